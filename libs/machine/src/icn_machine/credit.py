"""How far an owner may go into debt: the limit of an account, and the trade by which it grows.

Source: docs/spec/ledger.md, "Limit".
"""

from __future__ import annotations

from icn_machine import refusals
from icn_machine.credit_messages import UnitPolicy
from icn_machine.events import SoftLimitPassed
from icn_machine.limits import NO_FLOOR, PPM, QUANTITY_MAX
from icn_machine.records import Account, CreditLine, Trade
from icn_machine.refusals import Refused
from icn_machine.working_set import WorkingSet


def limit_of(working: WorkingSet, account: Account) -> int:
    """Lowest balance − held that a voluntary debit of the account may leave now, minor units."""
    in_force = working.loaded.unit_policies[account.unit]
    if in_force is None or not in_force.policy.growth_ppm:
        return account.floor_minor
    return limit_under(in_force.policy, account, working.now.credit_lines[account.unit + account.owner])


def limit_under(policy: UnitPolicy, account: Account, line: CreditLine | None) -> int:
    """The same under a policy, where the owner's credit line is this."""
    return max(account.floor_minor - growth(policy, account, line), NO_FLOOR)


def spendable_under(account: Account, limit_minor: int, time_ms: int) -> int:
    """What a voluntary debit may take in a block of this time, demurrage left out, minor units."""
    terms = account.known_terms
    if terms.is_closed or terms.is_opening or time_ms < terms.frozen_until_ms:
        return 0
    return max(account.balance_minor - account.held_minor - limit_minor, 0)


def growth(policy: UnitPolicy, account: Account, line: CreditLine | None) -> int:
    """By how much trade lowers the account's limit below its floor, minor units; ``line`` is its owner's."""
    if line is None or not is_main(account, line) or account.known_terms.has_own_floor:
        return 0
    grown_minor = policy.growth_ppm * min(line.earned_minor, line.spent_minor) // PPM
    return min(policy.growth_max_minor, grown_minor)


def is_main(account: Account, line: CreditLine | None) -> bool:
    """Whether it is its owner's first in the unit; ``line`` is the owner's."""
    return line is not None and line.main_account == account.account


def soft_limit(policy: UnitPolicy, limit_minor: int) -> int:
    """Below which it is told that the limit is near, minor units."""
    return -(-limit_minor * policy.soft_ppm // PPM)


def check_limit(source: Account, amount_minor: int, limit_minor: int) -> None:
    """Refuse a debit, or a hold, that would leave less than the limit."""
    if source.balance_minor - source.held_minor - amount_minor < limit_minor:
        raise Refused(
            refusals.CREDIT_LIMIT_EXCEEDED,
            ("balance_minor", source.balance_minor),
            ("held_minor", source.held_minor),
            ("amount_minor", amount_minor),
            ("floor_minor", limit_minor),
        )


def note_soft_limit(
    working: WorkingSet, payer: bytes, before: Account, after: Account, limit_minor: int
) -> None:
    """Tell of a voluntary debit or hold that takes an account past its unit's soft limit."""
    in_force = working.loaded.unit_policies[before.unit]
    if in_force is None or not in_force.policy.soft_ppm:
        return
    soft_limit_minor = soft_limit(in_force.policy, limit_minor)
    free_before = before.balance_minor - before.held_minor
    free_after = after.balance_minor - after.held_minor
    if free_after < soft_limit_minor <= free_before:
        working.events.append(
            SoftLimitPassed(
                payer, after.account, after.balance_minor, after.held_minor, limit_minor, soft_limit_minor
            )
        )


def trade_identifier(unit: bytes, one: bytes, other: bytes) -> bytes:
    """Names the trade leaf of two owners."""
    return unit + min(one, other) + max(one, other)


def count_trade(
    working: WorkingSet, payer: bytes, source: Account, destination: Account, amount_minor: int
) -> None:
    """Count a payment between two owners for both credit lines, where the unit's limits grow and as far as
    their trade does not count in full.

    Contracts have no credit line. Where the payer has no room for the pair's leaf, nothing is counted.
    """
    in_force = working.loaded.unit_policies[source.unit]
    if in_force is None or not in_force.policy.growth_ppm:
        return
    unit, spender, earner = source.unit, source.owner, destination.owner
    lines, trades = working.now.credit_lines, working.now.trades
    spending, earning = lines[unit + spender], lines[unit + earner]
    if spender == earner or spending is None or earning is None:
        return
    identifier = trade_identifier(unit, spender, earner)
    trade = trades[identifier]
    if trade is None:
        allowance = working.now.allowances[payer]
        assert allowance is not None, "a payer has an allowance, which never goes"
        if allowance.used_state_leaves >= allowance.limits.state_leaves:
            return
        working.put(working.now.allowances, payer, allowance.occupy(1))
        trade = Trade(0, 0, payer)
    is_lower = spender < earner
    so_far_minor = trade.lower_paid_minor if is_lower else trade.higher_paid_minor
    counted_minor = min(amount_minor, max(in_force.policy.counterparty_max_minor - so_far_minor, 0))
    if is_lower:
        trade = trade._replace(lower_paid_minor=so_far_minor + counted_minor)
    else:
        trade = trade._replace(higher_paid_minor=so_far_minor + counted_minor)
    if trades[identifier] != trade:
        working.put(trades, identifier, trade)
    if counted_minor:
        spent_minor = min(spending.spent_minor + counted_minor, QUANTITY_MAX)
        earned_minor = min(earning.earned_minor + counted_minor, QUANTITY_MAX)
        working.put(lines, unit + spender, spending._replace(spent_minor=spent_minor))
        working.put(lines, unit + earner, earning._replace(earned_minor=earned_minor))

"""Demurrage: what a unit's policy takes of idle balances. Source: docs/spec/ledger.md, "Demurrage"."""

from __future__ import annotations

from icn_machine import refusals
from icn_machine.credit import is_main
from icn_machine.credit_messages import ChargeDemurrage
from icn_machine.entries import PostingKind
from icn_machine.limits import DAY_MS, DEMURRAGE_EDGES_MAX, PPM, QUANTITY_MAX
from icn_machine.posting import BlockContext, Cause, check_open, known, post
from icn_machine.records import Account, PolicyInForce
from icn_machine.refusals import Refused
from icn_machine.working_set import WorkingSet


def settle(working: WorkingSet, cause: Cause, account: Account) -> Account:
    """Take what is due of an account up to this block; the account as it stands then."""
    in_force = working.loaded.unit_policies[account.unit]
    if in_force is None or not in_force.policy.demurrage_ppm or account.account == in_force.policy.fund:
        return account
    if account.known_terms.is_closed or account.known_terms.is_opening:
        return account
    time_ms = cause.context.time_ms
    edges = edges_between(in_force, account.known_terms.demurrage_until_ms, time_ms)
    if edges == 0:
        return account
    account = account.with_terms(demurrage_until_ms=time_ms)
    working.put(working.now.accounts, account.account, account)
    fund = known(working, in_force.policy.fund)
    policy = in_force.policy
    base_minor = account.balance_minor - _free_minor(working, account, policy.demurrage_free_minor)
    taken_minor = min(
        base_minor, base_minor * policy.demurrage_ppm * edges // PPM, QUANTITY_MAX - fund.balance_minor
    )
    if taken_minor <= 0:
        return account
    post(
        working,
        cause,
        source=account,
        destination=fund,
        amount_minor=taken_minor,
        kind=PostingKind.DEMURRAGE,
    )
    return known(working, account.account)


def begin_demurrage(working: WorkingSet, context: BlockContext, account: Account) -> Account:
    """The account as one that owes nothing for the time before this block."""
    in_force = working.loaded.unit_policies[account.unit]
    if in_force is None or not in_force.policy.demurrage_ppm:
        return account
    return account.with_terms(demurrage_until_ms=context.time_ms)


def settle_both(working: WorkingSet, cause: Cause, one: Account, other: Account) -> tuple[Account, Account]:
    """The same of two accounts of one unit; either may be the fund that the other pays to."""
    if working.loaded.unit_policies[one.unit] is None:
        return one, other
    settle(working, cause, one)
    other = settle(working, cause, known(working, other.account))
    return known(working, one.account), other


def edges_between(in_force: PolicyInForce, since_ms: int, until_ms: int) -> int:
    """How many edges of the policy lie behind the one time and not behind the other."""
    period_ms = in_force.policy.demurrage_days * DAY_MS
    first_ms = in_force.demurrage_set_time_ms
    passed = max(until_ms - first_ms, 0) // period_ms
    return min(passed - max(since_ms - first_ms, 0) // period_ms, DEMURRAGE_EDGES_MAX)


def charge_demurrage(working: WorkingSet, _acting: bytes, message: ChargeDemurrage, cause: Cause) -> None:
    """Take what is due of accounts that somebody names."""
    accounts = working.now.accounts
    named: list[Account] = []
    for identifier in message.accounts:
        account = accounts[identifier]
        if account is None:
            raise Refused(refusals.ACCOUNT_UNKNOWN)
        named.append(account)
    check_open(*named)
    unit = named[0].unit
    if any(account.unit != unit for account in named):
        raise Refused(refusals.UNIT_MISMATCH)
    in_force = working.loaded.unit_policies[unit]
    if in_force is None or not in_force.policy.demurrage_ppm:
        raise Refused(refusals.POLICY_UNKNOWN)
    for account in named:
        settle(working, cause, known(working, account.account))


def _free_minor(working: WorkingSet, account: Account, free_minor: int) -> int:
    """What stays free of it: on an owner's main account only, so that opening accounts saves nothing."""
    line = working.now.credit_lines[account.unit + account.owner]
    return free_minor if is_main(account, line) else 0

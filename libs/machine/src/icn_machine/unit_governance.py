"""What a unit's authority governs: floors, the policy, freezes, write-offs, openings and periods.

It acts by its own transaction or by a decision of its members; in both cases as ``acting``.

Source: docs/spec/ledger.md, "Messages".
"""

from __future__ import annotations

from icn_machine import refusals
from icn_machine.accounts import bind
from icn_machine.credit import check_limit, limit_of
from icn_machine.credit_messages import (
    ClosePeriod,
    ConfirmOpenings,
    FreezeAccount,
    SetUnitPolicy,
    WriteOff,
)
from icn_machine.demurrage import begin_demurrage, settle
from icn_machine.entries import PostingKind
from icn_machine.events import AccountFrozen, FloorChanged, PeriodClosed, UnitPolicySet
from icn_machine.governed import is_organization
from icn_machine.limits import FREEZE_AHEAD_MS_MAX
from icn_machine.messages import SetFloor
from icn_machine.posting import Cause, check_open, known, occupy, post
from icn_machine.records import Account, Period, PolicyInForce, Unit
from icn_machine.refusals import Refused
from icn_machine.working_set import WorkingSet


def set_floor(working: WorkingSet, acting: bytes, message: SetFloor, cause: Cause) -> None:
    """Set a floor of its own for an account."""
    account = _governed(working, acting, message.account)
    if account.known_terms.is_closed:
        raise Refused(refusals.ACCOUNT_CLOSED)
    _put_floor(working, acting, cause, account, message.floor_minor)


def set_unit_policy(working: WorkingSet, acting: bytes, message: SetUnitPolicy, cause: Cause) -> None:
    """Replace a unit's policy from the next block on."""
    _check_authority(working, acting, message.unit)
    policy = message.policy
    if policy.fund:
        _check_fund(working, acting, message)
    if policy.freezer and not is_organization(working, policy.freezer):
        raise Refused(refusals.AUTHORITY_UNKNOWN)
    policies = working.now.unit_policies
    before = policies[message.unit]
    if before is None:
        occupy(working, cause.payer, 1)
    elif before.policy.fund:
        bind(working, before.policy.fund, -1)
    if policy.fund:
        bind(working, policy.fund, 1)
    time_ms = cause.context.time_ms
    since_ms = time_ms
    if before is not None and before.policy.demurrage == policy.demurrage:
        since_ms = before.demurrage_set_time_ms
    working.put(policies, message.unit, PolicyInForce(policy, time_ms, since_ms))
    previous = None if before is None else before.policy
    working.events.append(UnitPolicySet(cause.payer, message.unit, previous, policy, acting, cause.position))


def _check_fund(working: WorkingSet, acting: bytes, message: SetUnitPolicy) -> None:
    fund = working.now.accounts[message.policy.fund]
    if fund is None or fund.unit != message.unit:
        raise Refused(refusals.FUND_UNKNOWN)
    check_open(fund)
    if fund.owner != acting and not fund.known_terms.pledged_minor:
        raise Refused(refusals.FUND_UNPLEDGED)


def freeze_account(working: WorkingSet, acting: bytes, message: FreezeAccount, cause: Cause) -> None:
    """Keep an account from voluntary debits for a while, or no longer."""
    account = working.now.accounts[message.account]
    if account is None:
        raise Refused(refusals.ACCOUNT_UNKNOWN)
    in_force = working.loaded.unit_policies[account.unit]
    freezer = in_force.policy.freezer if in_force is not None else b""
    if acting != (freezer or _unit(working, account.unit).authority):
        raise Refused(refusals.NOT_FREEZER)
    if account.known_terms.is_closed:
        raise Refused(refusals.ACCOUNT_CLOSED)
    time_ms, until_ms = cause.context.time_ms, message.until_time_ms
    if until_ms > time_ms + FREEZE_AHEAD_MS_MAX:
        raise Refused(refusals.FREEZE_TOO_LONG, ("until_time_ms", until_ms), ("block_time_ms", time_ms))
    previous_ms = account.known_terms.frozen_until_ms
    working.put(working.now.accounts, message.account, account.with_terms(frozen_until_ms=until_ms))
    working.events.append(AccountFrozen(cause.payer, message.account, previous_ms, until_ms, acting))


def write_off(working: WorkingSet, acting: bytes, message: WriteOff, cause: Cause) -> None:
    """Pay a debt from the unit's fund, as far as that is pledged."""
    account = _governed(working, acting, message.account)
    check_open(account)
    in_force = working.loaded.unit_policies[account.unit]
    if in_force is None or not in_force.policy.fund:
        raise Refused(refusals.FUND_UNKNOWN)
    fund = known(working, in_force.policy.fund)
    if fund.account == account.account:
        raise Refused(refusals.FUND_ITSELF)
    account = settle(working, cause, account)
    fund = known(working, fund.account)
    amount_minor = message.amount_minor
    if account.balance_minor + amount_minor > 0:
        raise Refused(
            refusals.WRITE_OFF_ABOVE_DEBT,
            ("balance_minor", account.balance_minor),
            ("amount_minor", amount_minor),
        )
    pledged_minor = fund.known_terms.pledged_minor
    if amount_minor > pledged_minor:
        raise Refused(
            refusals.PLEDGE_EXCEEDED, ("pledged_minor", pledged_minor), ("amount_minor", amount_minor)
        )
    check_limit(fund, amount_minor, limit_of(working, fund))
    post(
        working,
        cause,
        source=fund.with_terms(pledged_minor=pledged_minor - amount_minor),
        destination=account,
        amount_minor=amount_minor,
        kind=PostingKind.WRITE_OFF,
        memo_hash=message.memo_hash,
    )
    _put_floor(working, acting, cause, known(working, message.account), 0)


def confirm_openings(working: WorkingSet, acting: bytes, message: ConfirmOpenings, cause: Cause) -> None:
    """Put what members bring in force, debtors against creditors in the order given."""
    _check_authority(working, acting, message.unit)
    claims: list[tuple[bytes, int]] = []
    for identifier in message.accounts:
        account = working.now.accounts[identifier]
        if account is None:
            raise Refused(refusals.ACCOUNT_UNKNOWN)
        if account.unit != message.unit:
            raise Refused(refusals.UNIT_MISMATCH)
        if not account.known_terms.is_opening:
            raise Refused(refusals.OPENING_UNKNOWN)
        claims.append((identifier, account.known_terms.opening_minor))
    debts_minor = -sum(claim for _, claim in claims if claim < 0)
    credits_minor = sum(claim for _, claim in claims if claim > 0)
    if debts_minor != credits_minor:
        raise Refused(
            refusals.OPENINGS_UNBALANCED,
            ("debts_minor", debts_minor),
            ("credits_minor", credits_minor),
        )
    for identifier, _ in claims:
        begun = known(working, identifier).with_terms(is_opening=False, opening_minor=0)
        # Nothing was on it while it waited.
        working.put(working.now.accounts, identifier, begin_demurrage(working, cause.context, begun))
    _set_against(working, cause, claims)


def _set_against(working: WorkingSet, cause: Cause, claims: list[tuple[bytes, int]]) -> None:
    """Post each debt to the creditors that are not paid in full, both in the order given."""
    creditors = iter([claim for claim in claims if claim[1] > 0])
    creditor, open_minor = b"", 0
    for debtor, claim in claims:
        debt_minor = -claim
        while debt_minor > 0:
            if open_minor == 0:
                creditor, open_minor = next(creditors)
            amount_minor = min(debt_minor, open_minor)
            post(
                working,
                cause,
                source=known(working, debtor),
                destination=known(working, creditor),
                amount_minor=amount_minor,
                kind=PostingKind.OPENING,
            )
            debt_minor -= amount_minor
            open_minor -= amount_minor


def close_period(working: WorkingSet, acting: bytes, message: ClosePeriod, cause: Cause) -> None:
    """Record that the unit's books up to a time were looked at."""
    _check_authority(working, acting, message.unit)
    context = cause.context
    if message.end_time_ms > context.time_ms:
        raise Refused(
            refusals.PERIOD_NOT_OVER,
            ("end_time_ms", message.end_time_ms),
            ("block_time_ms", context.time_ms),
        )
    periods = working.now.periods
    before = periods[message.unit]
    if before is None:
        occupy(working, cause.payer, 1)
    elif message.end_time_ms < before.end_time_ms:
        raise Refused(
            refusals.PERIOD_CLOSED,
            ("end_time_ms", message.end_time_ms),
            ("closed_until_ms", before.end_time_ms),
        )
    period = Period(message.end_time_ms, message.digest, context.height, context.time_ms, acting)
    working.put(periods, message.unit, period)
    working.events.append(PeriodClosed(cause.payer, message.unit, period))


def _put_floor(working: WorkingSet, acting: bytes, cause: Cause, account: Account, floor_minor: int) -> None:
    changed = account.with_terms(has_own_floor=True)._replace(floor_minor=floor_minor)
    working.put(working.now.accounts, account.account, changed)
    working.events.append(
        FloorChanged(
            cause.payer,
            account.account,
            account.unit,
            account.floor_minor,
            floor_minor,
            acting,
            cause.position,
        )
    )


def _governed(working: WorkingSet, acting: bytes, identifier: bytes) -> Account:
    """An account of a unit whose authority acts."""
    account = working.now.accounts[identifier]
    if account is None:
        raise Refused(refusals.ACCOUNT_UNKNOWN)
    _check_authority(working, acting, account.unit)
    return account


def _check_authority(working: WorkingSet, acting: bytes, identifier: bytes) -> None:
    if _unit(working, identifier).authority != acting:
        raise Refused(refusals.NOT_UNIT_AUTHORITY)


def _unit(working: WorkingSet, identifier: bytes) -> Unit:
    unit = working.now.units[identifier]
    if unit is None:
        raise Refused(refusals.UNIT_UNKNOWN)
    return unit

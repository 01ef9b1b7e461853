"""Accounts: opened, pledged, closed. Source: docs/spec/ledger.md, "Accounts" and "Messages"."""

from __future__ import annotations

from icn_machine import refusals
from icn_machine.credit import is_main
from icn_machine.credit_messages import CloseAccount, PledgeAccount
from icn_machine.demurrage import begin_demurrage, settle
from icn_machine.entries import extend_sub_accounts
from icn_machine.events import AccountClosed, AccountOpened
from icn_machine.messages import OpenAccount, Transaction
from icn_machine.payments import check_free
from icn_machine.posting import BlockContext, Cause, check_credit, check_open, known, occupy, post
from icn_machine.records import Account, AccountTerms, CreditLine
from icn_machine.refusals import Refused
from icn_machine.working_set import WorkingSet


def open_account(
    working: WorkingSet, transaction: Transaction, message: OpenAccount, context: BlockContext, _index: int
) -> None:
    """Open an account: the owner's main one in the unit, or a further one, which has no credit."""
    accounts, owner = working.now.accounts, transaction.principal
    if accounts[message.account] is not None:
        raise Refused(refusals.ACCOUNT_EXISTS)
    unit = working.now.units[message.unit]
    if unit is None:
        raise Refused(refusals.UNIT_UNKNOWN)
    parent = _parent(working, owner, message) if message.parent else None
    lines, line_identifier = working.now.credit_lines, message.unit + owner
    line = lines[line_identifier]
    is_first = line is None or not line.main_account
    account = Account(
        message.account,
        owner,
        message.unit,
        0,
        0,
        unit.default_floor_minor if is_first else 0,
        payer=transaction.payer,
    ).with_terms(
        parent=message.parent,
        is_opening=message.is_opening,
        opening_minor=message.opening_minor,
        sub_account_number=parent.known_terms.sub_accounts + 1 if parent else 0,
    )
    put_new(working, context, account)
    if is_first:
        vacant = line or CreditLine(b"", 0, 0)
        working.put(lines, line_identifier, vacant._replace(main_account=message.account))
    if line is None:
        occupy(working, transaction.payer, 1)
    if parent is not None:
        _add_sub_account(working, context, parent, account)


def put_new(working: WorkingSet, context: BlockContext, account: Account) -> None:
    """Open an account whose id is free, in a unit that is there, and tell of it."""
    account = begin_demurrage(working, context, account)
    working.put(working.now.accounts, account.account, account)
    occupy(working, account.payer, 1)
    working.events.append(AccountOpened(account.payer, account))


def _parent(working: WorkingSet, owner: bytes, message: OpenAccount) -> Account:
    parent = working.now.accounts[message.parent]
    if (
        parent is None
        or (parent.owner, parent.unit) != (owner, message.unit)
        or parent.known_terms.parent
        or parent.known_terms.is_opening
        or parent.known_terms.is_closed
    ):
        raise Refused(refusals.PARENT_UNKNOWN)
    return parent


def _add_sub_account(working: WorkingSet, context: BlockContext, parent: Account, account: Account) -> None:
    terms = parent.known_terms
    changed = parent.with_terms(
        sub_accounts=terms.sub_accounts + 1,
        sub_accounts_hash=extend_sub_accounts(
            context.zone.genesis_hash, terms.sub_accounts_hash, account.account
        ),
        bonds=terms.bonds + 1,
    )
    working.put(working.now.accounts, parent.account, changed)


def bind(working: WorkingSet, identifier: bytes, bonds: int) -> None:
    """Count ``bonds`` more (or fewer) of what keeps an account from being closed."""
    account = known(working, identifier)
    changed = account.with_terms(bonds=account.known_terms.bonds + bonds)
    working.put(working.now.accounts, identifier, changed)


def pledge_account(working: WorkingSet, acting: bytes, message: PledgeAccount, _cause: Cause) -> None:
    """Say how much of an account write-offs may take from now on."""
    account = working.now.accounts[message.account]
    if account is None:
        raise Refused(refusals.ACCOUNT_UNKNOWN)
    if account.owner != acting:
        raise Refused(refusals.NOT_ACCOUNT_OWNER)
    check_open(account)
    changed = account.with_terms(pledged_minor=message.amount_minor)
    working.put(working.now.accounts, message.account, changed)


def close_account(working: WorkingSet, acting: bytes, message: CloseAccount, cause: Cause) -> None:
    """Close an account for ever: its owner, or, where nothing is left on it, the unit's authority."""
    account = working.now.accounts[message.account]
    if account is None:
        raise Refused(refusals.ACCOUNT_UNKNOWN)
    unit = working.now.units[account.unit]
    assert unit is not None, "an account's unit never goes"
    if acting != account.owner and (message.remainder_to or acting != unit.authority):
        raise Refused(refusals.NOT_ACCOUNT_OWNER)
    if account.known_terms.is_closed:
        raise Refused(refusals.ACCOUNT_CLOSED)
    account = settle(working, cause, account)
    is_passed_on = bool(message.remainder_to) and account.balance_minor > 0
    bonds = account.known_terms.bonds + _is_fund_still(working, account)
    if account.held_minor or bonds or (account.balance_minor and not is_passed_on):
        raise Refused(
            refusals.ACCOUNT_IN_USE,
            ("balance_minor", account.balance_minor),
            ("held_minor", account.held_minor),
            ("bonds", bonds),
        )
    if is_passed_on:
        _pass_on(working, cause, account, message.remainder_to)
    _end(working, cause, known(working, message.account))


def _is_fund_still(working: WorkingSet, account: Account) -> bool:
    """Whether the block goes by a policy with this fund that it has replaced already."""
    before, now = (
        policies[account.unit] for policies in (working.loaded.unit_policies, working.now.unit_policies)
    )
    is_fund = before is not None and before.policy.fund == account.account
    return is_fund and (now is None or now.policy.fund != account.account)


def _pass_on(working: WorkingSet, cause: Cause, account: Account, remainder_to: bytes) -> None:
    heir = working.now.accounts[remainder_to]
    if heir is None:
        raise Refused(refusals.ACCOUNT_UNKNOWN)
    if heir.unit != account.unit:
        raise Refused(refusals.UNIT_MISMATCH)
    check_open(heir)
    check_free(account, cause.context.time_ms)
    heir = settle(working, cause, heir)
    check_credit(heir, account.balance_minor)
    account = known(working, account.account)
    post(working, cause, source=account, destination=heir, amount_minor=account.balance_minor)


def _end(working: WorkingSet, cause: Cause, account: Account) -> None:
    """Leave the leaf, so that nobody can open the id again, and free its place; where nothing was ever posted
    and nothing decided about it, the owner's next account is the main one."""
    terms = account.known_terms
    line = working.now.credit_lines[account.unit + account.owner]
    # Its balance is 0, so what was ever credited was debited, too.
    was_used = account.given_minor or terms.has_own_floor or cause.context.time_ms < terms.frozen_until_ms
    if line is not None and is_main(account, line) and not was_used:
        vacant = line._replace(main_account=b"")
        working.put(working.now.credit_lines, account.unit + account.owner, vacant)
    kept = AccountTerms(
        parent=terms.parent,
        sub_accounts=terms.sub_accounts,
        sub_accounts_hash=terms.sub_accounts_hash,
        has_own_floor=terms.has_own_floor,
        is_closed=True,
        sub_account_number=terms.sub_account_number,
    )
    closed = account._replace(payer=b"", terms=kept)
    working.put(working.now.accounts, account.account, closed)
    if account.payer:
        occupy(working, account.payer, -1)
    if terms.parent:
        bind(working, terms.parent, -1)
    working.events.append(AccountClosed(cause.payer, closed))

"""What must hold after every block, worked out from its changes without the code that made them.

Source: docs/spec/transaction.md, "Execution", last paragraph; promise P3.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from icn_machine.credit_invariants import check_credit_lines
from icn_machine.events import Movement
from icn_machine.execution import BlockOutcome
from icn_machine.institution_invariants import check_institutions, check_members
from icn_machine.limits import IDENTIFIER_BYTES, QUANTITY_MAX
from icn_machine.records import Account, Authority, Hold, Membership, RecordTables
from icn_machine.refusals import InvariantBroken
from icn_machine.validator_invariants import check_validators

_NO_ACCOUNT = Account(b"", b"", b"", 0, 0, 0)
"""What a new account was before."""


def check_block(outcome: BlockOutcome, changes: RecordTables, transactions: int) -> None:
    """Check that a block's changes keep every sum.

    Raises:
        InvariantBroken: Σ balances of a unit moved, held is not the sum of the holds, a balance, what was
            given or the number of entries changed by something else than postings, receipts and transactions
            differ in number, a recovery is not by the guardian of the controller, or as `check_institutions`
            and `check_validators`.
    """
    if len(outcome.receipts) != transactions:
        raise InvariantBroken(f"{len(outcome.receipts)} receipts for {transactions} transactions")
    before = outcome.working.loaded
    posted: dict[bytes, int] = defaultdict(int)
    given: dict[bytes, int] = defaultdict(int)
    sides: dict[bytes, int] = defaultdict(int)
    for event in outcome.working.events:
        if type(event) is Movement:
            _, _, source, destination, _, amount_minor, *_ = event
            posted[source] -= amount_minor
            posted[destination] += amount_minor
            given[source] += amount_minor
            sides[source] += 1
            sides[destination] += 1
    held: dict[bytes, int] = defaultdict(int)
    for identifier, hold in changes.holds.items():
        previous = before.holds[identifier]
        if hold is not None:
            held[hold.source] += hold.remaining_minor
        if previous is not None:
            held[previous.source] -= previous.remaining_minor
    sums: dict[bytes, int] = defaultdict(int)
    for identifier, account in changes.accounts.items():
        if account is None:
            raise InvariantBroken(f"account {identifier.hex()} is gone")
        _, _, _, balance_before, held_before, _, given_before, entries_before, *_ = (
            before.accounts[identifier] or _NO_ACCOUNT
        )
        _, _, unit, balance_minor, held_minor, _, given_minor, entries, *_ = account
        moved = balance_minor - balance_before
        sums[unit] += moved
        _check_account(account)
        if moved != posted.pop(identifier, 0):
            raise InvariantBroken(f"balance of {identifier.hex()} moved by {moved}, not by its postings")
        given_after = given_before + given.get(identifier, 0)
        if given_after > QUANTITY_MAX:  # noqa: PLR1730 - calling min costs as much as all of this
            given_after = QUANTITY_MAX
        if given_minor != given_after:
            raise InvariantBroken(f"{identifier.hex()} has given {given_minor}, not its debits")
        _check_entries(identifier, entries - entries_before, sides.get(identifier, 0))
        if held_minor - held_before != held.pop(identifier, 0):
            raise InvariantBroken(f"held of {identifier.hex()} is not the sum of its holds")
    _check_rest("postings", posted)
    _check_rest("holds", held)
    _check_sums(sums)
    _check_recoveries(outcome.working.now)
    check_institutions(before, changes, outcome.working.now)
    check_validators(before, changes, outcome.working.now, outcome.working.validator_sets)
    _check_contracts(before, changes)
    check_credit_lines(before, changes)


def check_state(
    accounts: Iterable[Account],
    holds: Iterable[Hold],
    authorities: Iterable[Authority] = (),
    memberships: Iterable[Membership] = (),
) -> None:
    """Check the whole state, as at the start of a node.

    Raises:
        InvariantBroken: Σ balances of a unit is not 0, held is not the sum of an account's holds, or an
            authority's members are not its active memberships.
    """
    check_members(authorities, memberships)
    held: dict[bytes, int] = defaultdict(int)
    for hold in holds:
        held[hold.source] += hold.remaining_minor
    sums: dict[bytes, int] = defaultdict(int)
    for account in accounts:
        sums[account.unit] += account.balance_minor
        _check_account(account)
        if account.held_minor != held.pop(account.account, 0):
            raise InvariantBroken(f"held of {account.account.hex()} is not the sum of its holds")
    _check_rest("holds", held)
    _check_sums(sums)


def _check_entries(identifier: bytes, made: int, posted: int) -> None:
    if made != posted:
        raise InvariantBroken(f"{identifier.hex()} has {made} entries more, and {posted} postings")


def _check_account(account: Account) -> None:
    if abs(account.balance_minor) > QUANTITY_MAX or not 0 <= account.held_minor <= QUANTITY_MAX:
        raise InvariantBroken(
            f"{account.account.hex()} stands at {account.balance_minor}, held {account.held_minor}"
        )


def _check_recoveries(now: RecordTables) -> None:
    for principal, recovery in now.recoveries.items():
        controller = now.controllers[principal]
        if recovery is not None and (controller is None or not controller.is_guarded_by(recovery.guardian)):
            raise InvariantBroken(f"the recovery of {principal.hex()} is not by its guardian")
        if controller is not None and controller.is_being_recovered != (recovery is not None):
            raise InvariantBroken(f"the controller of {principal.hex()} has its recovery wrong")


def _check_contracts(before: RecordTables, changes: RecordTables) -> None:
    """What a contract's leaf says of its storage moves with the entries."""
    entries: dict[bytes, int] = defaultdict(int)
    size_bytes: dict[bytes, int] = defaultdict(int)
    for identifier, entry in changes.contract_entries.items():
        contract, key = identifier[:IDENTIFIER_BYTES], identifier[IDENTIFIER_BYTES:]
        for sign, version in ((1, entry), (-1, before.contract_entries[identifier])):
            if version is not None:
                entries[contract] += sign
                size_bytes[contract] += sign * (len(key) + len(version.value))
    for identifier, leaf in changes.contracts.items():
        if leaf is None:
            raise InvariantBroken(f"contract {identifier.hex()} is gone")
        previous = before.contracts[identifier]
        entries[identifier] -= leaf.storage_entries - (0 if previous is None else previous.storage_entries)
        size_bytes[identifier] -= leaf.storage_bytes - (0 if previous is None else previous.storage_bytes)
    for contract, count in entries.items():
        if count or size_bytes[contract]:
            raise InvariantBroken(f"the leaf of contract {contract.hex()} has its storage wrong")


def _check_rest(what: str, rest: dict[bytes, int]) -> None:
    for identifier, amount_minor in rest.items():
        if amount_minor:
            raise InvariantBroken(
                f"{what} of {identifier.hex()} say {amount_minor}, its account did not change"
            )


def _check_sums(sums: dict[bytes, int]) -> None:
    for unit, total_minor in sums.items():
        if total_minor:
            raise InvariantBroken(f"balances of unit {unit.hex()} sum to {total_minor}")

"""A state that does not add up stops the node, whatever made it so."""

from __future__ import annotations

import pytest
from icn_machine.entries import PostingKind
from icn_machine.events import Movement
from icn_machine.execution import BlockExecution, BlockOutcome
from icn_machine.invariants import check_block, check_state
from icn_machine.limits import QUANTITY_MAX
from icn_machine.posting import BlockContext, Cause, ZoneFacts, post
from icn_machine.records import (
    Account,
    Contract,
    ContractEntry,
    Controller,
    Hold,
    RecordTables,
    Recovery,
    RecoveryPolicy,
)
from icn_machine.refusals import InvariantBroken
from icn_machine.working_set import WorkingSet

from libs.machine.tests.zone import identifier, make_zone

CHAIN = bytes(32)
UNIT, A, B, HOLD = (identifier(name) for name in ("unit", "a", "b", "hold"))


def account(name: bytes, balance_minor: int = 0, held_minor: int = 0) -> Account:
    given_minor, entries = max(0, -balance_minor), int(balance_minor != 0)
    return Account(
        name,
        identifier("owner"),
        UNIT,
        balance_minor,
        held_minor,
        -100,
        given_minor,
        entries,
        CHAIN if entries else b"",
    )


def hold(remaining_minor: int) -> Hold:
    return Hold(HOLD, A, B, remaining_minor, 1, identifier("payer"))


def movement(amount_minor: int) -> Movement:
    return Movement(0, b"", A, B, UNIT, amount_minor, 0, 0, b"", b"", PostingKind.TRANSFER, b"")


def outcome(loaded: RecordTables, changed: RecordTables, *movements: Movement) -> BlockOutcome:
    zone = ZoneFacts(make_zone().genesis, {})
    made = BlockExecution(BlockContext(1, 0, 1, zone=zone), loaded).finish()
    for namespace, identifier_, record in changed:
        made.working.now.put(namespace, identifier_, record)
    made.working.events.extend(movements)
    return made


def check(loaded: RecordTables, changed: RecordTables, *movements: Movement) -> None:
    made = outcome(loaded, changed, *movements)
    check_block(made, made.working.changes(), 0)


def two_accounts() -> RecordTables:
    return RecordTables(accounts={A: account(A), B: account(B)}, holds={HOLD: None})


def test_a_transfer_that_adds_up_passes() -> None:
    changed = RecordTables(accounts={A: account(A, -5), B: account(B, 5)})
    check(two_accounts(), changed, movement(5))


@pytest.mark.parametrize(
    ("before", "after", "is_right"),
    [
        (0, 5, True),
        (0, 4, False),
        (0, 0, False),
        (7, 12, True),
        (QUANTITY_MAX - 5, QUANTITY_MAX, True),
        (QUANTITY_MAX - 4, QUANTITY_MAX, True),
        (QUANTITY_MAX, QUANTITY_MAX, True),
        (QUANTITY_MAX - 4, QUANTITY_MAX + 1, False),
    ],
)
def test_what_was_given_is_the_sum_of_debits_up_to_its_bound(before: int, after: int, is_right: bool) -> None:
    loaded = RecordTables(
        accounts={A: account(A)._replace(given_minor=before), B: account(B)}, holds={HOLD: None}
    )
    changed = RecordTables(accounts={A: account(A, -5)._replace(given_minor=after), B: account(B, 5)})
    if is_right:
        check(loaded, changed, movement(5))
        return
    with pytest.raises(InvariantBroken, match="has given"):
        check(loaded, changed, movement(5))


def test_a_posting_between_two_units_stops_before_it_changes_anything() -> None:
    source, destination = account(A), account(B)._replace(unit=identifier("other unit"))
    working = WorkingSet(RecordTables(accounts={A: source, B: destination}, unit_policies={UNIT: None}))
    cause = Cause(identifier("payer"), 0, BlockContext(1, 0, 1))
    with pytest.raises(AssertionError, match="two units"):
        post(working, cause, source=source, destination=destination, amount_minor=5)
    assert not any(working.changes().filled()) and not working.events


def test_credit_out_of_nothing_is_found() -> None:
    changed = RecordTables(accounts={A: account(A, -5), B: account(B, 6)})
    with pytest.raises(InvariantBroken, match="not by its postings"):
        check(two_accounts(), changed, movement(5))


def test_balances_that_moved_together_without_a_posting_are_found() -> None:
    changed = RecordTables(accounts={A: account(A, -5), B: account(B, 5)})
    with pytest.raises(InvariantBroken, match="not by its postings"):
        check(two_accounts(), changed)


@pytest.mark.parametrize("entries", [0, 2])
def test_more_or_fewer_entries_than_postings_are_found(entries: int) -> None:
    changed = RecordTables(accounts={A: account(A, -5)._replace(entries=entries), B: account(B, 5)})
    with pytest.raises(InvariantBroken, match=f"{entries} entries more, and 1 postings"):
        check(two_accounts(), changed, movement(5))


def test_a_posting_without_a_change_is_found() -> None:
    with pytest.raises(InvariantBroken, match="did not change"):
        check(two_accounts(), RecordTables(), movement(5))


def test_a_sum_that_is_not_zero_is_found_even_when_postings_say_so() -> None:
    loaded = RecordTables(accounts={A: account(A), B: None})
    with pytest.raises(InvariantBroken, match="sum to"):
        check(
            loaded, RecordTables(accounts={B: account(B, 5)._replace(unit=A), A: account(A, -5)}), movement(5)
        )


def test_held_without_a_hold_and_a_hold_without_held_are_found() -> None:
    with pytest.raises(InvariantBroken, match="sum of its holds"):
        check(two_accounts(), RecordTables(accounts={A: account(A, held_minor=5)}))
    with pytest.raises(InvariantBroken, match="holds of"):
        check(two_accounts(), RecordTables(holds={HOLD: hold(5)}))
    check(two_accounts(), RecordTables(accounts={A: account(A, held_minor=5)}, holds={HOLD: hold(5)}))


@pytest.mark.parametrize(("guardian", "is_right"), [(A, True), (B, False), (None, False)])
def test_a_recovery_that_is_not_by_the_guardian_is_found(guardian: bytes | None, is_right: bool) -> None:
    policy = None if guardian is None else RecoveryPolicy(guardian, 1)
    loaded = RecordTables(
        controllers={UNIT: Controller(UNIT, 1, (), policy, True, b"", (), b"")},
        recoveries={UNIT: Recovery(UNIT, 1, (), A, 1, A, b"")},
    )
    if is_right:
        check(loaded, RecordTables())
        return
    with pytest.raises(InvariantBroken, match="not by its guardian"):
        check(loaded, RecordTables())


def test_a_missing_receipt_is_found() -> None:
    made = outcome(two_accounts(), RecordTables())
    with pytest.raises(InvariantBroken, match="0 receipts for 1"):
        check_block(made, made.working.changes(), 1)


def test_an_account_that_is_gone_is_found() -> None:
    with pytest.raises(InvariantBroken, match="is gone"):
        check(two_accounts(), RecordTables(accounts={A: None}))


@pytest.mark.parametrize(
    ("accounts", "holds"),
    [
        ([account(A, 5)], []),
        ([account(A, 5), account(B, -4)], []),
        ([account(A, held_minor=5)], []),
        ([account(A)], [hold(5)]),
        ([account(A, held_minor=-1)], []),
        ([account(A, QUANTITY_MAX + 1), account(B, -QUANTITY_MAX - 1)], []),
        ([account(A, held_minor=5)], [hold(4)]),
        ([], [hold(5)]),
    ],
)
def test_the_whole_state_is_checked_at_the_start(accounts: list[Account], holds: list[Hold]) -> None:
    with pytest.raises(InvariantBroken):
        check_state(accounts, holds)


def test_a_whole_state_that_adds_up_passes() -> None:
    check_state([account(A, -QUANTITY_MAX, 5), account(B, QUANTITY_MAX)], [hold(5)])


FUND = identifier("fund")
OLD, NEW = FUND + b"old", FUND + b"new"


@pytest.mark.parametrize(
    ("entries", "size_bytes", "is_right"),
    [(2, 16, True), (1, 16, False), (2, 15, False), (1, 8, False)],
)
def test_a_contracts_leaf_says_what_its_storage_holds(entries: int, size_bytes: int, is_right: bool) -> None:
    payer = identifier("payer")
    leaf = Contract(FUND, bytes(32), payer, 1, 8, 5)
    loaded = RecordTables(
        contracts={FUND: leaf}, contract_entries={OLD: ContractEntry(b"12345", payer), NEW: None}
    )
    changed = RecordTables(
        contracts={FUND: leaf._replace(storage_entries=entries, storage_bytes=size_bytes)},
        contract_entries={OLD: ContractEntry(b"1234567", payer), NEW: ContractEntry(b"123", payer)},
    )
    if is_right:
        check(loaded, changed)
    else:
        with pytest.raises(InvariantBroken, match="storage wrong"):
            check(loaded, changed)


def test_an_entry_never_changes_behind_its_contracts_leaf() -> None:
    loaded = RecordTables(contract_entries={NEW: None})
    with pytest.raises(InvariantBroken, match="storage wrong"):
        check(loaded, RecordTables(contract_entries={NEW: ContractEntry(b"1", identifier("payer"))}))

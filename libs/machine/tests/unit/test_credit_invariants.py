"""A state whose credit lines, bonds or closed accounts do not add up stops the node, whatever made it so."""

from __future__ import annotations

import pytest
from icn_machine.credit_invariants import check_credit_lines
from icn_machine.credit_messages import OrderTransfers, UnitPolicy
from icn_machine.limits import QUANTITY_MAX
from icn_machine.records import Account, CreditLine, PolicyInForce, RecordTables, StandingOrder
from icn_machine.refusals import InvariantBroken

from libs.machine.tests.zone import identifier

UNIT, OTHER_UNIT, A, B, ORDER, PAYER = (
    identifier(name) for name in ("unit", "other", "a", "b", "order", "payer")
)
ANA, BEN = identifier("ana"), identifier("ben")


def account(
    name: bytes, *, payer: bytes = PAYER, balance: int = 0, held: int = 0, **terms: object
) -> Account:
    return Account(name, ANA, UNIT, balance, held, 0, payer=payer).with_terms(**terms)


def line(earned: int, spent: int) -> CreditLine:
    return CreditLine(A, earned, spent)


def lines(*pairs: tuple[bytes, bytes, CreditLine | None]) -> dict[bytes, CreditLine | None]:
    return {unit + owner: found for unit, owner, found in pairs}


def order(source: bytes = A) -> StandingOrder:
    message = OrderTransfers(ORDER, source, B, 1, b"", b"", 1, 0, 0, 1, needs_release=False)
    return StandingOrder(message, 0, 1, 0, (), PAYER)


def policy(fund: bytes) -> PolicyInForce:
    return PolicyInForce(UnitPolicy(fund=fund), 1, 1)


def accounts(*records: Account) -> dict[bytes, Account | None]:
    return {record.account: record for record in records}


# Trade

NO_LINES = lines((UNIT, ANA, None), (UNIT, BEN, None), (OTHER_UNIT, ANA, None))


@pytest.mark.parametrize(
    ("before", "after", "is_right"),
    [
        (NO_LINES, lines((UNIT, ANA, line(0, 5)), (UNIT, BEN, line(5, 0))), True),
        (NO_LINES, lines((UNIT, ANA, line(0, 5)), (UNIT, BEN, line(4, 0))), False),
        (NO_LINES, lines((UNIT, ANA, line(0, 5))), False),
        (NO_LINES, lines((UNIT, ANA, line(5, 5))), True),
        (NO_LINES, lines((UNIT, ANA, line(0, 5)), (OTHER_UNIT, ANA, line(5, 0))), False),
        (lines((UNIT, ANA, line(3, 9))), lines((UNIT, ANA, line(4, 10))), True),
        (lines((UNIT, ANA, line(3, 9))), lines((UNIT, ANA, line(4, 9))), False),
        (lines((UNIT, ANA, line(3, 9))), lines((UNIT, ANA, line(3, 8))), False),
        (
            lines((UNIT, ANA, line(0, QUANTITY_MAX - 1)), (UNIT, BEN, line(0, 0))),
            lines((UNIT, ANA, line(0, QUANTITY_MAX)), (UNIT, BEN, line(5, 0))),
            True,
        ),
    ],
)
def test_earned_and_spent_of_a_unit_grow_alike(
    before: dict[bytes, CreditLine | None], after: dict[bytes, CreditLine | None], is_right: bool
) -> None:
    loaded, changes = RecordTables(credit_lines=before), RecordTables(credit_lines=after)
    if is_right:
        check_credit_lines(loaded, changes)
        return
    with pytest.raises(InvariantBroken, match="earned and spent trade of unit"):
        check_credit_lines(loaded, changes)


def test_a_credit_line_never_goes() -> None:
    with pytest.raises(InvariantBroken, match="is gone"):
        check_credit_lines(
            RecordTables(credit_lines=lines((UNIT, ANA, line(0, 0)))),
            RecordTables(credit_lines=lines((UNIT, ANA, None))),
        )


# Bonds


def bonds_grow(before: RecordTables, changes: RecordTables, by: int, is_right: bool) -> None:
    """Check a change with A's bonds grown by so many beyond what binds it."""
    if is_right:
        check_credit_lines(before, changes)
        return
    with pytest.raises(InvariantBroken, match=f"bonds of {A.hex()} grew by {by}, not by what binds it"):
        check_credit_lines(before, changes)


@pytest.mark.parametrize(("bonds", "is_right"), [(1, True), (0, False), (2, False)])
def test_an_order_binds_its_source_once(bonds: int, is_right: bool) -> None:
    before = RecordTables(accounts=accounts(account(A)), orders={ORDER: None})
    changes = RecordTables(accounts=accounts(account(A, bonds=bonds)), orders={ORDER: order()})
    bonds_grow(before, changes, bonds, is_right)


@pytest.mark.parametrize(("bonds", "is_right"), [(1, True), (2, False), (0, False)])
def test_an_order_that_ends_frees_it(bonds: int, is_right: bool) -> None:
    before = RecordTables(accounts=accounts(account(A, bonds=2)), orders={ORDER: order()})
    changes = RecordTables(accounts=accounts(account(A, bonds=bonds)), orders={ORDER: None})
    bonds_grow(before, changes, bonds - 2, is_right)


def test_an_order_without_a_change_of_its_source_is_found() -> None:
    before = RecordTables(accounts=accounts(account(A)), orders={ORDER: None})
    bonds_grow(before, RecordTables(orders={ORDER: order()}), 0, is_right=False)


def test_an_order_that_only_moved_on_binds_as_before() -> None:
    before = RecordTables(accounts=accounts(account(A, bonds=1)), orders={ORDER: order()})
    check_credit_lines(before, RecordTables(orders={ORDER: order()._replace(times_passed=1)}))


@pytest.mark.parametrize(("bonds", "is_right"), [(1, True), (0, False), (2, False)])
def test_a_policy_binds_its_fund(bonds: int, is_right: bool) -> None:
    before = RecordTables(accounts=accounts(account(A)), unit_policies={UNIT: None})
    changes = RecordTables(accounts=accounts(account(A, bonds=bonds)), unit_policies={UNIT: policy(A)})
    bonds_grow(before, changes, bonds, is_right)


def test_another_fund_frees_the_one_before() -> None:
    before = RecordTables(accounts=accounts(account(A, bonds=1), account(B)), unit_policies={UNIT: policy(A)})
    after = RecordTables(accounts=accounts(account(A), account(B, bonds=1)), unit_policies={UNIT: policy(B)})
    check_credit_lines(before, after)
    kept = RecordTables(
        accounts=accounts(account(A, bonds=1), account(B, bonds=1)), unit_policies={UNIT: policy(B)}
    )
    bonds_grow(before, kept, 0, is_right=False)


@pytest.mark.parametrize(("bonds", "is_right"), [(1, True), (0, False), (2, False)])
def test_a_sub_account_binds_its_parent_while_it_is_open(bonds: int, is_right: bool) -> None:
    parent, child = account(A), account(B, parent=A)
    opened = RecordTables(accounts=accounts(account(A, bonds=bonds), child))
    bonds_grow(RecordTables(accounts={**accounts(parent), B: None}), opened, bonds, is_right)
    closed = RecordTables(
        accounts=accounts(account(A, bonds=1 - bonds), account(B, payer=b"", parent=A, is_closed=True))
    )
    before = RecordTables(accounts=accounts(account(A, bonds=1), child))
    if bonds <= 1:
        bonds_grow(before, closed, -bonds, is_right)


def test_a_sub_account_opened_and_closed_in_one_block_binds_nobody() -> None:
    before = RecordTables(accounts={**accounts(account(A)), B: None})
    child = account(B, payer=b"", parent=A, is_closed=True)
    check_credit_lines(before, RecordTables(accounts=accounts(child)))


def test_bonds_that_grow_by_themselves_are_found() -> None:
    before = RecordTables(accounts=accounts(account(A)))
    bonds_grow(before, RecordTables(accounts=accounts(account(A, bonds=1))), 1, is_right=False)


# Closed accounts, and those that wait


@pytest.mark.parametrize("state", [{"is_closed": True}, {"is_opening": True, "opening_minor": 5}])
@pytest.mark.parametrize("use", [{"balance": 1}, {"balance": -1}, {"held": 1}])
def test_who_is_closed_or_waits_has_nothing_on_it(state: dict[str, object], use: dict[str, int]) -> None:
    before = RecordTables(accounts=accounts(account(A)))
    check_credit_lines(before, RecordTables(accounts=accounts(account(A, payer=b"", **state))))
    changes = RecordTables(accounts=accounts(account(A, payer=b"", **use, **state)))
    with pytest.raises(InvariantBroken, match="is closed, or waits for its opening, and is in use"):
        check_credit_lines(before, changes)


def test_who_is_closed_is_bound_by_nothing() -> None:
    before = RecordTables(accounts=accounts(account(A)), orders={ORDER: None})
    bound = account(A, payer=b"", is_closed=True, bonds=1)
    with pytest.raises(InvariantBroken, match="is in use"):
        check_credit_lines(before, RecordTables(accounts=accounts(bound), orders={ORDER: order()}))


def test_who_is_closed_occupies_no_leaf() -> None:
    before = RecordTables(accounts=accounts(account(A)))
    check_credit_lines(before, RecordTables(accounts=accounts(account(A, payer=b"", is_closed=True))))
    with pytest.raises(InvariantBroken, match="is closed and occupies a leaf"):
        check_credit_lines(before, RecordTables(accounts=accounts(account(A, is_closed=True))))

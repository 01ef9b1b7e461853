"""Scoped keys over the messages of mutual credit: kinds, amounts, accounts and how long an order lasts."""

from __future__ import annotations

from typing import Any

import pytest
from icn.ledger.v1 import transaction_pb2 as pb
from icn_machine.authority import find_fault
from icn_machine.messages import KIND_NUMBERS
from icn_machine.parsing import controller_keys, parse_transaction
from icn_machine.records import Controller

from libs.machine.tests.credit_messages import (
    DAY_MS,
    cancel_order,
    charge_demurrage,
    close_account,
    close_period,
    confirm_openings,
    freeze_account,
    legs,
    offer_exchange,
    open_with,
    order_transfers,
    pledge_account,
    release_order,
    set_unit_policy,
    take_exchange,
    void_exchange,
    write_off,
)
from libs.machine.tests.zone import GENESIS_TIME_MS, TestKey, identifier, make_zone, sorted_keys, transfer

ZONE = make_zone()
A, B, C, D, E = (identifier(name) for name in "abcde")
KEY = TestKey("scoped")
NOW_MS = GENESIS_TIME_MS
EVERY_KIND = [
    legs((A, B, 1), (B, C, 1)),
    offer_exchange(C, (A, 5), (B, 7), 1),
    take_exchange(C, (A, B, 5), (D, E, 7)),
    void_exchange(C),
    order_transfers(C, A, B, 5, 1),
    cancel_order(C),
    release_order(C, A, B, 5),
    set_unit_policy(A),
    freeze_account(A, 1),
    pledge_account(A, 5),
    write_off(A, 5),
    close_account(A),
    confirm_openings(A, B, C),
    close_period(A, 1),
    charge_demurrage(A),
]


def excess(message: pb.Message, **scope: Any) -> str:
    """Why a key of this scope may not sign the message; empty where it may."""
    data = ZONE.transaction(ZONE.organizations[0], message, keys=[KEY], sequence=1)
    transaction = parse_transaction(data, ZONE.genesis.hash)
    kinds = scope.pop("kinds", [KIND_NUMBERS[type(transaction.messages[0])]])
    keys = controller_keys(sorted_keys(TestKey("full"), (KEY, pb.KeyScope(message_kinds=kinds, **scope))))
    controller = Controller(ZONE.organizations[0].principal, 1, keys, None, False, b"", (), b"")
    fault = find_fault(transaction, controller, NOW_MS)
    assert fault is None or fault.reason == "KEY_SCOPE_EXCEEDED"
    return "" if fault is None else fault.message


@pytest.mark.parametrize("message", EVERY_KIND, ids=lambda message: message.WhichOneof("kind"))
def test_a_key_signs_the_kinds_that_its_scope_names_and_no_other(message: pb.Message) -> None:
    number = pb.Message.DESCRIPTOR.fields_by_name[message.WhichOneof("kind") or ""].number
    assert excess(message, kinds=[number]) == ""
    others = [kind for kind in range(32, 47) if kind != number]
    assert f"message kind {number} is outside" in excess(message, kinds=others)


@pytest.mark.parametrize(
    ("message", "amount"),
    [
        (transfer(A, B, 10), 10),
        (legs((A, B, 10), (A, C, 9)), 10),
        (legs((A, B, 1), (B, C, 10)), 10),
        (offer_exchange(C, (A, 10), (B, 1_000), 1), 10),
        (take_exchange(C, (A, B, 10), (D, E, 1_000)), 10),
        (order_transfers(C, A, B, 10, 1), 10),
        (order_transfers(C, A, B, 5, 1, every_days=1, times=2), 10),
        (release_order(C, A, B, 10), 10),
        (pledge_account(A, 10), 10),
        (write_off(A, 10), 10),
    ],
)
def test_the_largest_amount_bounds_whatever_is_taken(message: pb.Message, amount: int) -> None:
    assert excess(message, amount_minor_max=amount) == ""
    assert excess(message, amount_minor_max=amount - 1) == f"amount {amount}, the key may move {amount - 1}"
    assert excess(message) == "", "without a bound"


def test_an_order_of_the_largest_amounts_is_measured_as_a_whole() -> None:
    message = order_transfers(C, A, B, 2**62, 1, every_days=1, times=1_200)
    assert excess(message, amount_minor_max=2**62) == f"amount {2**62 * 1_200}, the key may move {2**62}"


def test_with_a_bound_nothing_is_passed_on_by_closing() -> None:
    assert excess(close_account(A), amount_minor_max=1) == ""
    assert excess(close_account(A, B)) == ""
    assert "the key may move 1" in excess(close_account(A, B), amount_minor_max=1)


@pytest.mark.parametrize(
    ("message", "debited"),
    [
        (legs((A, D, 1), (B, E, 1)), [A, B]),
        (offer_exchange(C, (A, 10), (B, 10), 1), [A]),
        (take_exchange(C, (A, B, 10), (D, E, 10)), [A]),
        (order_transfers(C, A, B, 10, 1), [A]),
        (release_order(C, A, B, 10), [A]),
        (pledge_account(A, 10), [A]),
        (close_account(A, B), [A]),
        (close_account(A), [A]),
    ],
)
def test_only_the_accounts_of_the_scope_are_debited(message: pb.Message, debited: list[bytes]) -> None:
    assert excess(message, accounts=sorted(debited)) == ""
    for account in debited:
        others = sorted({A, B, C, D, E} - {account})
        assert excess(message, accounts=others) == f"account {account.hex()} is outside the key's scope"


@pytest.mark.parametrize(
    "message",
    [
        void_exchange(C),
        cancel_order(C),
        set_unit_policy(A),
        freeze_account(A, 1),
        confirm_openings(A, B, C),
        close_period(A, 1),
        charge_demurrage(A),
        open_with(A, B),
    ],
    ids=lambda message: message.WhichOneof("kind"),
)
def test_what_debits_nothing_by_itself_is_bounded_by_its_kind_alone(message: pb.Message) -> None:
    assert excess(message, amount_minor_max=1, accounts=[E]) == ""


@pytest.mark.parametrize(
    ("every", "last_ms"),
    [
        ({}, NOW_MS + DAY_MS),
        ({"every_days": 7, "times": 3}, NOW_MS + 15 * DAY_MS),
        ({"needs_release": True}, NOW_MS + DAY_MS),
    ],
)
def test_an_orders_last_time_lies_within_the_scopes_end(every: dict[str, int], last_ms: int) -> None:
    message = order_transfers(C, A, B, 1, NOW_MS + DAY_MS, **every)
    assert excess(message, expire_time_ms=last_ms) == ""
    assert "the order lasts longer" in excess(message, expire_time_ms=last_ms - 1)
    assert excess(message, expire_time_ms=0) == "", "a scope without an end"


def test_an_order_past_the_calendar_is_past_every_scope() -> None:
    message = order_transfers(C, A, B, 1, 2**62)
    assert "the order lasts longer" in excess(message, expire_time_ms=2**62)

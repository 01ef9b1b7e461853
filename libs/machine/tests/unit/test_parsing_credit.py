"""Validity rule 1 of the messages of mutual credit: each field at its border and one step past it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from icn.ledger.v1 import transaction_pb2 as pb
from icn_machine.limits import QUANTITY_MAX
from icn_machine.parsing import parse_transaction
from icn_machine.refusals import MALFORMED_TRANSACTION, Malformed

from libs.machine.tests.credit_messages import (
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
from libs.machine.tests.institutions import decision, enact
from libs.machine.tests.zone import TestKey, identifier, make_zone, transfer, update_controller

ZONE = make_zone()
A, B, C, D = (identifier(name) for name in "abcd")
SHORT, LONG = bytes(15), bytes(17)
COUNTERSIGNATURE = pb.Countersignature(signer=A, key_id=B, suite=1, signature=bytes(64))
GROWTH = {"growth_ppm": 1, "growth_max_minor": 1, "counterparty_max_minor": 1}
ACCOUNTS = sorted(identifier(f"account {number}") for number in range(513))


def read(message: pb.Message) -> Any:
    data = ZONE.transaction(ZONE.organizations[0], message, sequence=1)
    return parse_transaction(data, ZONE.genesis.hash)


def accept(message: pb.Message) -> None:
    assert len(read(message).messages) == 1


def refuse(message: pb.Message) -> None:
    with pytest.raises(Malformed) as refusal:
        read(message)
    assert refusal.value.reason == MALFORMED_TRANSACTION


def expect(message: pb.Message, *, is_right: bool) -> None:
    if is_right:
        accept(message)
    else:
        refuse(message)


def changed(message: pb.Message, name: str, value: object) -> pb.Message:
    """The same message with another value in a field of its kind."""
    copy = pb.Message.FromString(message.SerializeToString())
    setattr(getattr(copy, copy.WhichOneof("kind") or ""), name, value)
    return copy


EXAMPLES = [
    open_with(A, B, parent=C, is_opening=True, opening_minor=1),
    offer_exchange(C, (A, 5), (B, 7), 1, taker=D),
    take_exchange(C, (A, B, 5), (C, D, 7)),
    void_exchange(C),
    order_transfers(C, A, B, 5, 1, every_days=1, times=2, memo_hash=bytes(32)),
    cancel_order(C),
    release_order(C, A, B, 5),
    freeze_account(A, 1),
    pledge_account(A, 5),
    write_off(A, 5, bytes(32)),
    close_account(A, B),
    close_period(A, 1),
    set_unit_policy(A, soft_ppm=1),
]
AMOUNTS = {"amount_minor", "give_minor", "take_minor", "pay_minor"}
MAY_BE_EMPTY = {"parent", "taker", "remainder_to", "memo_hash"}
TIMES = {"expire_time_ms", "first_time_ms", "until_time_ms", "end_time_ms"}


def fields(kinds: set[str] | None = None) -> Iterator[tuple[pb.Message, str]]:
    """Each field of each example; of bytes only those that are ids, unless names are given."""
    for message in EXAMPLES:
        for field in getattr(message, message.WhichOneof("kind") or "").DESCRIPTOR.fields:
            is_id = field.type == field.TYPE_BYTES and field.name not in ("memo_hash", "digest", "reference")
            if field.name in kinds if kinds is not None else is_id:
                yield message, field.name


@pytest.mark.parametrize(("message", "name"), list(fields()))
def test_every_id_has_sixteen_bytes(message: pb.Message, name: str) -> None:
    accept(message)
    for value in (SHORT, LONG):
        refuse(changed(message, name, value))
    if name in MAY_BE_EMPTY:
        accept(changed(message, name, b""))
    else:
        refuse(changed(message, name, b""))


@pytest.mark.parametrize(("message", "name"), list(fields(AMOUNTS)))
def test_every_amount_is_one_to_two_to_the_62(message: pb.Message, name: str) -> None:
    accept(changed(message, name, QUANTITY_MAX))
    refuse(changed(message, name, QUANTITY_MAX + 1))
    if message.WhichOneof("kind") == "pledge_account":
        accept(changed(message, name, 0))
    else:
        refuse(changed(message, name, 0))


@pytest.mark.parametrize(("message", "name"), list(fields(TIMES)))
def test_every_time_is_at_most_two_to_the_62(message: pb.Message, name: str) -> None:
    accept(changed(message, name, 0))
    accept(changed(message, name, QUANTITY_MAX))
    refuse(changed(message, name, QUANTITY_MAX + 1))


@pytest.mark.parametrize(("message", "name"), list(fields({"memo_hash", "digest"})))
def test_a_hash_has_32_bytes_and_a_memo_may_have_none(message: pb.Message, name: str) -> None:
    for length in (31, 33):
        refuse(changed(message, name, bytes(length)))
    if name in MAY_BE_EMPTY:
        accept(changed(message, name, b""))
    else:
        refuse(changed(message, name, b""))


@pytest.mark.parametrize("length", [0, 1, 32, 33])
def test_a_reference_has_at_most_32_bytes(length: int) -> None:
    reference = b"r" * length
    of_leg = legs((A, B, 1), (B, C, 1))
    of_leg.transfer_legs.legs[0].reference = reference
    for message in (
        changed(transfer(A, B, 5), "reference", reference),
        order_transfers(C, A, B, 5, 1, reference=reference),
        of_leg,
    ):
        expect(message, is_right=length <= 32)


@pytest.mark.parametrize(
    "message",
    [
        open_with(A, B, parent=A),
        offer_exchange(C, (A, 5), (A, 7), 1),
        take_exchange(C, (A, A, 5), (B, C, 7)),
        take_exchange(C, (A, B, 5), (D, D, 7)),
        order_transfers(C, A, A, 5, 1),
        release_order(C, A, A, 5),
        close_account(A, A),
        legs((A, B, 1), (B, B, 1)),
    ],
)
def test_two_accounts_are_two(message: pb.Message) -> None:
    refuse(message)


@pytest.mark.parametrize("opening", [-(2**53), -1, 0, 1, 2**53])
def test_an_opening_brings_at_most_two_to_the_53_either_way(opening: int) -> None:
    accept(open_with(A, B, is_opening=True, opening_minor=opening))
    beyond = opening + (1 if opening > 0 else -1)
    if abs(opening) == 2**53:
        refuse(open_with(A, B, is_opening=True, opening_minor=beyond))
    expect(open_with(A, B, opening_minor=opening), is_right=opening == 0)


# Legs


def test_there_are_two_to_sixty_four_legs() -> None:
    many = [(A, ACCOUNTS[number], 1) for number in range(65)]
    for count, check in ((0, refuse), (1, refuse), (2, accept), (64, accept), (65, refuse)):
        check(legs(*many[:count]))


def test_no_source_and_destination_stand_there_twice() -> None:
    refuse(legs((A, B, 1), (B, C, 1), (A, B, 2)))
    accept(legs((A, B, 1), (B, A, 1), (A, C, 2)))


def test_what_legs_take_of_one_source_is_at_most_two_to_the_62() -> None:
    half = QUANTITY_MAX // 2
    accept(legs((A, B, half), (A, C, half), (B, C, half + 1)))
    refuse(legs((A, B, half), (A, C, half + 1)))


@pytest.mark.parametrize("leg", [(SHORT, B, 1), (A, LONG, 1), (A, B, 0), (A, B, QUANTITY_MAX + 1)])
def test_a_leg_is_as_a_transfer(leg: tuple[bytes, bytes, int]) -> None:
    refuse(legs((B, C, 1), leg))


def test_a_leg_has_a_memo_as_a_transfer() -> None:
    message = legs((A, B, 1), (B, C, 1))
    message.transfer_legs.legs[1].memo_hash = bytes(31)
    refuse(message)


# Orders


@pytest.mark.parametrize(
    ("fields", "is_right"),
    [
        ({"times": 0}, False),
        ({"times": 1}, True),
        ({"times": 2}, False),
        ({"every_days": 1, "times": 0}, False),
        ({"every_days": 1, "times": 1}, True),
        ({"every_days": 1, "times": 1_200}, True),
        ({"every_days": 1, "times": 1_201}, False),
        ({"every_days": 366, "times": 2}, True),
        ({"every_days": 367, "times": 2}, False),
        ({"every_months": 12, "times": 1_200}, True),
        ({"every_months": 12, "times": 1_201}, False),
        ({"every_months": 13, "times": 2}, False),
        ({"every_days": 1, "every_months": 1, "times": 2}, False),
        ({"needs_release": True}, True),
        ({"needs_release": True, "every_days": 1, "times": 1}, True),
        ({"needs_release": True, "every_days": 1, "times": 2}, False),
    ],
)
def test_an_order_has_its_times(fields: dict[str, int], is_right: bool) -> None:
    expect(order_transfers(C, A, B, 5, 1, **fields), is_right=is_right)


# Policies


@pytest.mark.parametrize(
    ("name", "highest", "others"),
    [
        ("growth_ppm", 1_000_000, {**GROWTH}),
        ("growth_max_minor", QUANTITY_MAX, {**GROWTH}),
        ("counterparty_max_minor", QUANTITY_MAX, {**GROWTH}),
        ("soft_ppm", 999_999, {}),
        ("fee_fixed_minor", QUANTITY_MAX, {"fund": B}),
        ("fee_ppm", 100_000, {"fund": B}),
        ("fee_max_minor", QUANTITY_MAX, {"fund": B}),
        ("demurrage_ppm", 100_000, {"fund": B, "demurrage_days": 1}),
        ("demurrage_days", 366, {"fund": B, "demurrage_ppm": 1}),
        ("demurrage_free_minor", QUANTITY_MAX, {"fund": B}),
    ],
)
def test_a_policy_goes_as_high_as_its_table_says(name: str, highest: int, others: dict[str, Any]) -> None:
    accept(set_unit_policy(A, **{**others, name: highest}))
    refuse(set_unit_policy(A, **{**others, name: highest + 1}))


@pytest.mark.parametrize("name", ["growth_max_minor", "counterparty_max_minor"])
def test_growth_has_both_its_bounds(name: str) -> None:
    accept(set_unit_policy(A, **GROWTH))
    refuse(set_unit_policy(A, **{**GROWTH, name: 0}))
    accept(set_unit_policy(A, **{**GROWTH, "growth_ppm": 0, name: 0}))


@pytest.mark.parametrize(
    "policy", [{"fee_fixed_minor": 1}, {"fee_ppm": 1}, {"demurrage_ppm": 1, "demurrage_days": 1}]
)
def test_fees_and_demurrage_need_a_fund(policy: dict[str, int]) -> None:
    refuse(set_unit_policy(A, **policy))
    accept(set_unit_policy(A, **policy, fund=B))


def test_demurrage_has_its_days() -> None:
    refuse(set_unit_policy(A, demurrage_ppm=1, fund=B))
    refuse(set_unit_policy(A, demurrage_days=1, fund=B))


def test_a_policy_is_there_and_its_ids_have_sixteen_bytes() -> None:
    refuse(pb.Message(set_unit_policy=pb.SetUnitPolicy(unit=A)))
    accept(pb.Message(set_unit_policy=pb.SetUnitPolicy(unit=A, policy=pb.UnitPolicy())))
    for name in ("fund", "freezer"):
        for value, check in ((SHORT, refuse), (LONG, refuse), (B, accept)):
            check(set_unit_policy(A, **{name: value}))


# Lists of accounts


def of_accounts(kind: str, accounts: list[bytes]) -> pb.Message:
    if kind == "confirm_openings":
        return pb.Message(confirm_openings=pb.ConfirmOpenings(unit=A, accounts=accounts))
    return pb.Message(charge_demurrage=pb.ChargeDemurrage(accounts=accounts))


@pytest.mark.parametrize(
    ("kind", "least", "most"), [("confirm_openings", 2, 512), ("charge_demurrage", 1, 64)]
)
def test_accounts_are_so_many_ascending_and_none_twice(kind: str, least: int, most: int) -> None:
    accept(of_accounts(kind, ACCOUNTS[:least]))
    refuse(of_accounts(kind, ACCOUNTS[: least - 1]))
    accept(of_accounts(kind, ACCOUNTS[:most]))
    refuse(of_accounts(kind, ACCOUNTS[: most + 1]))
    refuse(of_accounts(kind, [ACCOUNTS[1], ACCOUNTS[0]]))
    refuse(of_accounts(kind, [ACCOUNTS[0], ACCOUNTS[1], ACCOUNTS[1]]))
    refuse(of_accounts(kind, [SHORT, ACCOUNTS[0]]))


def test_a_unit_has_sixteen_bytes_where_openings_are_confirmed() -> None:
    refuse(changed(confirm_openings(A, B, C), "unit", SHORT))
    accept(charge_demurrage(A))


# What is charged


@pytest.mark.parametrize(
    ("message", "leaves"),
    [
        (open_with(A, B), 2),
        (offer_exchange(C, (A, 5), (B, 7), 1), 1),
        (order_transfers(C, A, B, 5, 1), 1),
        (set_unit_policy(A), 1),
        (close_period(A, 1), 1),
        (legs((A, B, 1), (B, C, 1)), 0),
        (take_exchange(C, (A, B, 5), (C, D, 7)), 0),
        (void_exchange(C), 0),
        (cancel_order(C), 0),
        (release_order(C, A, B, 5), 0),
        (freeze_account(A, 1), 0),
        (pledge_account(A, 5), 0),
        (write_off(A, 5), 0),
        (close_account(A), 0),
        (confirm_openings(A, B, C), 0),
        (charge_demurrage(A), 0),
    ],
)
def test_a_message_is_charged_for_the_leaves_it_may_make(message: pb.Message, leaves: int) -> None:
    assert read(message).leaves_made_max == leaves


ACTIONS = [
    set_unit_policy(A, soft_ppm=1),
    freeze_account(A, 1),
    write_off(A, 5),
    close_account(A),
    confirm_openings(A, B, C),
    close_period(A, 1),
]


def as_action(message: pb.Message) -> pb.DecisionAction:
    kind = message.WhichOneof("kind") or ""
    return pb.DecisionAction(**{kind: getattr(message, kind)})


@pytest.mark.parametrize("message", ACTIONS)
def test_a_decisions_actions_are_under_the_rules_of_the_messages(message: pb.Message) -> None:
    kind = message.WhichOneof("kind") or ""
    accept(enact(decision(as_action(message)), [COUNTERSIGNATURE]))
    named = "unit" if "unit" in getattr(message, kind).DESCRIPTOR.fields_by_name else "account"
    refuse(enact(decision(as_action(changed(message, named, SHORT))), [COUNTERSIGNATURE]))


def test_a_decision_is_charged_for_each_policy_and_period() -> None:
    actions = [as_action(message) for message in ACTIONS]
    assert read(enact(decision(), [COUNTERSIGNATURE])).leaves_made_max == 1
    assert read(enact(decision(*actions), [COUNTERSIGNATURE])).leaves_made_max == 1 + 2
    assert read(enact(decision(actions[0], actions[0]), [COUNTERSIGNATURE])).leaves_made_max == 1 + 2


def test_a_decision_may_confirm_as_many_openings_as_a_message() -> None:
    action = as_action(of_accounts("confirm_openings", ACCOUNTS[:512]))
    accept(enact(decision(action), [COUNTERSIGNATURE]))


@pytest.mark.parametrize(
    ("kind", "is_right"), [(31, False), *[(kind, True) for kind in range(32, 47)], (47, False)]
)
def test_a_scope_may_name_every_kind_of_mutual_credit(kind: int, is_right: bool) -> None:
    scope = pb.KeyScope(message_kinds=[kind])
    expect(update_controller(1, TestKey("full"), (TestKey("scoped"), scope)), is_right=is_right)

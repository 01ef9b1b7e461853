"""Leaves of policies, credit lines, trades, orders and periods: proven by their key, told in words."""

from __future__ import annotations

from typing import Any

import pytest
from icn.ledger.v1.state_pb2 import (
    CreditLineLeaf,
    PeriodLeaf,
    StandingOrderLeaf,
    TradeLeaf,
    UnitPolicyLeaf,
)
from icn.ledger.v1.transaction_pb2 import OrderTransfers, UnitPolicy
from icn_chain.epochs import ProofInvalid
from icn_client.light.leaves import NAMESPACES, read_statement
from icn_client.statements import sentence
from icn_machine.records import Namespace

UNIT, OWNER, OTHER, ORDER = (letter * 16 for letter in (b"u", b"o", b"p", b"q"))
ORDERED = OrderTransfers(order=ORDER, source=OWNER, destination=OTHER, amount_minor=500, times=12)
LEAVES: dict[int, tuple[bytes, Any, str]] = {
    21: (
        UNIT,
        UnitPolicyLeaf(policy=UnitPolicy(growth_ppm=500_000), set_time_ms=1_700_000_000_000),
        f"the policy of unit {UNIT.hex()} was set at 2023-11-14",
    ),
    22: (
        UNIT + OWNER,
        CreditLineLeaf(main_account=OTHER, earned_minor=2**62, spent_minor=7),
        f"of the trade of account {OTHER.hex()} count {2**62} minor units as earned and 7 as spent",
    ),
    23: (UNIT + OWNER + OTHER, TradeLeaf(lower_paid_minor=5), "the trade is as shown"),
    24: (
        ORDER,
        StandingOrderLeaf(ordered=ORDERED, times_passed=3),
        f"order {ORDER.hex()} pays 500 minor units from {OWNER.hex()} to {OTHER.hex()}; 3 of 12 times",
    ),
    25: (
        UNIT,
        PeriodLeaf(end_time_ms=1_700_000_000_000, closed_by=OWNER),
        f"the books of unit {UNIT.hex()} up to 2023-11-14 22:13:20+00:00 were closed by {OWNER.hex()}",
    ),
}


@pytest.mark.parametrize("namespace", sorted(LEAVES))
def test_a_leaf_is_read_and_told(namespace: int) -> None:
    identifier, leaf, told = LEAVES[namespace]
    fewest, most = NAMESPACES[namespace].identifier_bytes
    assert fewest == most == len(identifier)
    found = read_statement(namespace, identifier, leaf.SerializeToString(deterministic=True))
    assert told in sentence(found)
    absent = read_statement(namespace, identifier, b"")
    assert absent == {"kind": Namespace(namespace).name.lower(), "id": identifier.hex(), "is_absent": True}


def test_an_order_is_the_one_that_its_key_names() -> None:
    _, leaf, _ = LEAVES[24]
    with pytest.raises(ProofInvalid) as refusal:
        read_statement(24, OTHER, leaf.SerializeToString(deterministic=True))
    assert refusal.value.reason == "LEAF_MISMATCH"


def test_amounts_inside_of_a_policy_are_exact() -> None:
    value = UnitPolicyLeaf(policy=UnitPolicy(fee_max_minor=2**62)).SerializeToString(deterministic=True)
    assert read_statement(21, UNIT, value)["policy"]["fee_max_minor"] == str(2**62)


def test_every_namespace_of_the_ledger_can_be_proven() -> None:
    assert set(NAMESPACES) == {int(one) for one in Namespace}

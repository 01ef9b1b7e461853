"""Who can release an order: said as the ledger's own rules have it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn.ledger.v1.state_pb2 import ControllerLeaf
from icn.ledger.v1.transaction_pb2 import KeyScope
from icn_client.keystore import Identity
from icn_client.order_release import can_be_released, without_signers
from icn_client.transactions import KeyPair
from icn_machine.authority import find_fault
from icn_machine.leaves import decode_leaf
from icn_machine.parsing import parse_transaction
from icn_machine.records import Controller, Namespace

from libs.machine.tests.credit_messages import release_order
from libs.machine.tests.zone import Member, TestKey, identifier, make_zone, sorted_keys

ZONE = make_zone()
OWNER, SOURCE, OTHER, ORDER = (identifier(name) for name in ("owner", "source", "other", "order"))
TIME_MS, AMOUNT_MINOR = ZONE.genesis.time_ms + 1_000, 10
KEYS = [TestKey(f"key {number}") for number in range(5)]
RELEASE, TRANSFER = 38, 6


def leaf(threshold: int, scopes: Sequence[KeyScope | None]) -> ControllerLeaf:
    keys = sorted_keys(*zip(KEYS, scopes, strict=False))
    return ControllerLeaf(principal=OWNER, threshold=threshold, keys=keys)


def can(threshold: int, scopes: Sequence[KeyScope | None], signers: int) -> bool:
    """Whether an order that the first keys signed can be released."""
    signed = {key.key_id for key in KEYS[:signers]}
    return can_be_released(leaf(threshold, scopes), signed, SOURCE, AMOUNT_MINOR, TIME_MS)


def test_who_has_several_keys_releases_with_those_that_did_not_sign() -> None:
    keys = tuple(KeyPair.generate() for _ in range(3))
    identity = Identity("bakery", OWNER, 2, keys)
    assert without_signers(identity, [keys[0].key_id]).keys == keys[1:]
    assert without_signers(identity, [b"somebody else's"]) == identity


@pytest.mark.parametrize(
    ("threshold", "unscoped", "is_possible"), [(1, 1, False), (1, 2, True), (2, 3, False), (2, 4, True)]
)
def test_of_unscoped_keys_a_threshold_must_be_left(threshold: int, unscoped: int, is_possible: bool) -> None:
    assert can(threshold, [None] * unscoped, threshold) == is_possible


@pytest.mark.parametrize(
    ("scope", "is_possible"),
    [
        (KeyScope(message_kinds=[RELEASE]), True),
        (KeyScope(message_kinds=[TRANSFER]), False),
        (KeyScope(message_kinds=[RELEASE], amount_minor_max=AMOUNT_MINOR), True),
        (KeyScope(message_kinds=[RELEASE], amount_minor_max=AMOUNT_MINOR - 1), False),
        (KeyScope(message_kinds=[RELEASE], accounts=sorted((OTHER, SOURCE))), True),
        (KeyScope(message_kinds=[RELEASE], accounts=[OTHER]), False),
        (KeyScope(message_kinds=[RELEASE], expire_time_ms=TIME_MS), True),
        (KeyScope(message_kinds=[RELEASE], expire_time_ms=TIME_MS - 1), False),
    ],
)
def test_what_two_of_three_ordered_only_a_scoped_key_that_covers_it_releases(
    scope: KeyScope, is_possible: bool
) -> None:
    assert can(2, [None, None, None, scope], 2) == is_possible


scopes = st.none() | st.builds(
    KeyScope,
    message_kinds=st.sampled_from([[RELEASE], [TRANSFER], [TRANSFER, RELEASE]]),
    amount_minor_max=st.sampled_from([0, AMOUNT_MINOR - 1, AMOUNT_MINOR]),
    accounts=st.sampled_from([[], [SOURCE], [OTHER]]),
    expire_time_ms=st.sampled_from([0, TIME_MS - 1, TIME_MS]),
)


@settings(max_examples=60)
@given(st.data(), st.lists(scopes, min_size=1, max_size=5))
def test_it_is_possible_where_the_ledger_takes_some_keys_that_did_not_sign(
    data: st.DataObject, found: list[KeyScope | None]
) -> None:
    threshold = data.draw(st.integers(1, max(1, found.count(None))))
    signers = data.draw(st.integers(0, len(found)))
    controller = decode_leaf(Namespace.CONTROLLER, leaf(threshold, found).SerializeToString())
    assert isinstance(controller, Controller)
    owner = Member(OWNER, KEYS, OWNER)
    message = release_order(ORDER, SOURCE, OTHER, AMOUNT_MINOR)

    def takes(keys: Sequence[TestKey]) -> bool:
        signed = parse_transaction(ZONE.transaction(owner, message, keys=keys), ZONE.genesis.hash)
        return find_fault(signed, controller, TIME_MS) is None

    others = KEYS[signers : len(found)]
    sets = [some for count in range(1, len(others) + 1) for some in combinations(others, count)]
    assert can(threshold, found, signers) == any(takes(some) for some in sets)

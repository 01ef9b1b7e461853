"""Validity rule 1 says which field is wrong: without its name nobody finds the mistake in sixty-four legs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from icn.ledger.v1 import transaction_pb2 as pb
from icn_machine.parsing import parse_transaction
from icn_machine.refusals import Malformed

from libs.machine.tests.institutions import (
    admit,
    allowance_action,
    decision,
    enact,
    exclude,
    floor_action,
    found,
    set_rules,
)
from libs.machine.tests.unit.test_parsing import COUNTERSIGNATURE, EVERY_KIND, ZONE, A, B, C, signed

Place = tuple[tuple[str, int | None], ...]
"""Names from the outermost field to the innermost; of repeated ones with an index."""

SAID: Final = {
    "accounts": "account",
    "members": "member",
    "possession": "a signature of suite",
    "public_key": "a public key of suite",
    "state_leaves": "a limit of",
}
"""Where it is not the field's own name."""
WRONG: Final[dict[int, tuple[object, ...]]] = {
    FieldDescriptor.TYPE_BYTES: (bytes(5), bytes(5_000)),
    FieldDescriptor.TYPE_UINT64: (2**63,),
    FieldDescriptor.TYPE_UINT32: (2**32 - 1,),
    FieldDescriptor.TYPE_SINT64: (-(2**63), 2**63 - 1),
}
DECISIONS: Final = [
    decision(found([A])),
    *(
        decision(action, poll=C)
        for action in (
            admit(A),
            exclude(B),
            allowance_action(A, state_leaves=1),
            floor_action(A, -1),
            set_rules(1),
        )
    ),
]


def places(message: Message, inside: Place = ()) -> Iterator[tuple[Place, int]]:
    """Each scalar that is set, with its type."""
    for field, value in message.ListFields():
        items = list(enumerate(value)) if field.is_repeated else [(None, value)]
        for index, item in items:
            place = (*inside, (field.name, index))
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                yield from places(item, place)
            else:
                yield place, field.type


def changed(message: Message, place: Place, value: object) -> Message:
    """The same with another value in one place."""
    copy = type(message).FromString(message.SerializeToString())
    at: Any = copy
    *outer, (name, index) = place
    for outer_name, outer_index in outer:
        at = getattr(at, outer_name)
        at = at if outer_index is None else at[outer_index]
    if index is None:
        setattr(at, name, value)
    else:
        getattr(at, name)[index] = value
    return copy


def refusals(message: Message, wrap: Callable[[Any], pb.Message]) -> Iterator[tuple[str, str]]:
    """Name of what is wrong, and what is said, for each field by itself."""
    for place, kind in places(message):
        for value in WRONG.get(kind, ()):
            try:
                parse_transaction(signed(ZONE, wrap(changed(message, place, value))), ZONE.genesis.hash)
            except Malformed as refusal:
                yield place[-1][0], refusal.message


def of_kind(message: pb.Message) -> list[tuple[str, str]]:
    return list(refusals(message, lambda changed: changed))


def check(told: list[tuple[str, str]]) -> None:
    for name, said in told:
        assert re.search(rf"\b{SAID.get(name, name)}\b", said), (name, said)


@pytest.mark.parametrize("message", EVERY_KIND, ids=lambda message: message.WhichOneof("kind"))
def test_a_refusal_names_the_field(message: pb.Message) -> None:
    check(of_kind(message))


@pytest.mark.parametrize("body", DECISIONS, ids=["found", "admit", "exclude", "allowance", "floor", "rules"])
def test_a_refusal_of_a_decision_names_the_field(body: bytes) -> None:
    def wrap(changed: pb.Decision) -> pb.Message:
        return enact(changed.SerializeToString(deterministic=True), [COUNTERSIGNATURE])

    told = list(refusals(pb.Decision.FromString(body), wrap))
    assert told
    check(told)


def test_that_is_so_of_hundreds_of_wrong_values() -> None:
    assert sum(len(of_kind(message)) for message in EVERY_KIND) > 250

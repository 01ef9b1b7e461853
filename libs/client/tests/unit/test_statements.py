"""What a valid proof says, in a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from icn.ledger.v1 import state_pb2 as state
from icn.ledger.v1 import transaction_pb2 as pb
from icn_client.light.leaves import NAMESPACES, describe, read_statement
from icn_client.statements import sentence
from icn_machine.records import Namespace

A, B, DIGEST = b"a" * 16, b"b" * 16, b"d" * 32
HEX_A, HEX_B, HEX_D = A.hex(), B.hex(), DIGEST.hex()
APPLIED, ACTIVE, ENDED = (
    state.MEMBERSHIP_STATUS_APPLIED,
    state.MEMBERSHIP_STATUS_ACTIVE,
    state.MEMBERSHIP_STATUS_ENDED,
)
DAY = 86_400_000

SAID = [
    (
        3,
        A,
        state.AccountLeaf(account=A, balance_minor=-5, given_minor=9),
        "-5 minor units, 0 of them held, and has given 9",
    ),
    (9, A, state.AuthorityLeaf(authority=A, members=4), "4 members, more than two thirds of them must"),
    (
        9,
        A,
        state.AuthorityLeaf(authority=A, rules=pb.AuthorityRules(threshold=3), members=4),
        "3 of them must",
    ),
    (
        10,
        A + B,
        state.MembershipLeaf(organization=A, member=B, status=APPLIED, applied_time_ms=DAY),
        f"{HEX_B} applied to {HEX_A} at 1970-01-02",
    ),
    (
        10,
        A + B,
        state.MembershipLeaf(organization=A, member=B, status=ACTIVE, since_time_ms=DAY),
        f"{HEX_B} is a member of {HEX_A} since 1970-01-02",
    ),
    (
        10,
        A + B,
        state.MembershipLeaf(organization=A, member=B, status=ENDED, ended_time_ms=DAY),
        "ended at 1970-01-02",
    ),
    (
        11,
        A,
        state.PollLeaf(poll=A, organization=B, ballots=7, close_time_ms=DAY),
        "7 ballots: no result is recorded; ballots until 1970-01-02",
    ),
    (
        11,
        A,
        state.PollLeaf(poll=A, organization=B, result=DIGEST, decision=bytes(32)),
        f"its result is {HEX_D}, recorded by decision {'00' * 32}",
    ),
    (
        12,
        A + B,
        state.BallotLeaf(poll=A, voter=B, commitment=DIGEST),
        f"{HEX_B} is committed to {HEX_D} in poll {HEX_A}",
    ),
    (
        13,
        DIGEST,
        state.DecisionLeaf(authority=A, subject=DIGEST, signers=[A, B], members=3, height=8),
        f"decided {HEX_D}: 2 of 3 members countersigned, enacted at height 8",
    ),
    (
        19,
        b"",
        state.ValidatorsLeaf(validator_set_hash=DIGEST, since_epoch=3),
        f"validators {HEX_D} since epoch 3",
    ),
    (
        19,
        b"",
        state.ValidatorsLeaf(
            validator_set_hash=DIGEST,
            next_validator_set_hash=bytes(32),
            pending=[state.PendingSeats(seats=1), state.PendingSeats(seats=2)],
        ),
        f"since epoch 0; then {'00' * 32}, in which 3 seats differ",
    ),
    (
        20,
        DIGEST,
        state.ConsensusKeyLeaf(organization=A, height=8),
        f"consensus key {HEX_D} was named for {HEX_A} at height 8",
    ),
    (
        17,
        A + bytes(8),
        state.DutyLeaf(organization=A, blocks=9, proposed=2, signed=8),
        "proposed 2 of 9 blocks and signed 8",
    ),
    (
        18,
        (4).to_bytes(8, "big") + (3).to_bytes(8, "big"),
        state.EquivocationLeaf(epoch=4, seat=3, view=9),
        "seat 3 contradicted itself in view 9 of epoch 4",
    ),
    (2, A, state.UnitLeaf(unit=A), "the unit is as shown"),
]


@pytest.mark.parametrize(("namespace", "identifier", "leaf", "expected"), SAID)
def test_a_statement_is_said_in_a_sentence(
    namespace: int, identifier: bytes, leaf: Any, expected: str
) -> None:
    statement = read_statement(namespace, identifier, leaf.SerializeToString(deterministic=True))
    assert expected in sentence(statement)


@pytest.mark.parametrize("namespace", sorted(NAMESPACES))
def test_absence_is_said_of_every_kind(namespace: int) -> None:
    statement = read_statement(namespace, A, b"")
    assert sentence(statement) == f"there is no {Namespace(namespace).name.lower()} {HEX_A}"


def test_enumerations_are_named_and_unknown_ones_stay_numbers() -> None:
    poll = state.PollLeaf(electorate=pb.ELECTORATE_MEMBERS_OF_MEMBERS)
    assert describe(poll)["electorate"] == "members_of_members"
    assert describe(state.MembershipLeaf(status=ACTIVE))["status"] == "active"
    assert describe(state.MembershipLeaf(status=9))["status"] == 9  # type: ignore[arg-type]

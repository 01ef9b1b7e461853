from __future__ import annotations

import pytest
from icn.consensus.v1 import block_pb2
from icn_consensus.domain.block import MalformedMessage
from icn_consensus.domain.validator_set import ValidatorSet, parse_validator_set, validator_set_hash


def set_bytes(seats: int, suites: tuple[int, ...] = (1, 2)) -> bytes:
    return block_pb2.ValidatorSet(
        validators=[
            block_pb2.Validator(
                organization=bytes([seat]) * 16,
                keys=[
                    block_pb2.ConsensusKey(suite=suite, public_key=bytes([suite, seat])) for suite in suites
                ],
            )
            for seat in range(seats)
        ]
    ).SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    ("seats", "quorum", "faults"),
    [
        (4, 3, 1),
        (5, 4, 1),
        (6, 5, 1),
        (7, 5, 2),
        (8, 6, 2),
        (9, 7, 2),
        (10, 7, 3),
        (49, 33, 16),
        (50, 34, 16),
    ],
)
def test_quorums_overlap_in_an_honest_seat(seats: int, quorum: int, faults: int) -> None:
    validators = ValidatorSet(tuple(bytes([seat]) for seat in range(seats)), bytes(32))
    assert (validators.quorum, validators.faults_max) == (quorum, faults)
    assert 2 * quorum - seats > faults, "two quorums share more seats than can be faulty"
    assert seats - faults >= quorum, "the honest seats are a quorum"


def test_every_seat_leads_in_turn() -> None:
    validators = parse_validator_set(set_bytes(5))
    assert [validators.leader(view) for view in range(4, 10)] == [4, 0, 1, 2, 3, 4]


def test_a_set_is_read_with_its_ed25519_keys_in_seat_order() -> None:
    data = set_bytes(4)
    validators = parse_validator_set(data)
    assert validators.public_keys == tuple(bytes([1, seat]) for seat in range(4))
    assert validators.hash == validator_set_hash(data)


@pytest.mark.parametrize(
    "data",
    [set_bytes(3), set_bytes(51), set_bytes(4, suites=(2,)), set_bytes(4, suites=(1, 1)), b"\xff", b""],
)
def test_a_set_that_cannot_decide_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_validator_set(data)


@pytest.mark.parametrize("seats", [4, 50])
def test_the_smallest_and_the_largest_set_are_read(seats: int) -> None:
    assert parse_validator_set(set_bytes(seats)).seats == seats

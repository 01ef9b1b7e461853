from __future__ import annotations

import pytest
from icn.consensus.v1 import block_pb2
from icn_chain.malformed import MalformedMessage
from icn_chain.validator_set import NO_SEAT, Validator, ValidatorSet, parse_validator_set, validator_set_hash


def key(suite: int, seat: int) -> bytes:
    return bytes([suite, seat]) * 16


def set_bytes(seats: int, suites: tuple[int, ...] = (1, 2)) -> bytes:
    return block_pb2.ValidatorSet(
        validators=[
            block_pb2.Validator(
                organization=bytes([seat]) * 16,
                keys=[block_pb2.ConsensusKey(suite=suite, public_key=key(suite, seat)) for suite in suites],
            )
            for seat in range(seats)
        ]
    ).SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    ("seats", "quorum", "faults"),
    [
        (1, 1, 0),
        (3, 3, 0),
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
    validators = ValidatorSet.of(Validator(bytes([seat]) * 16, ((1, key(1, seat)),)) for seat in range(seats))
    assert (validators.quorum, validators.faults_max) == (quorum, faults)
    assert 2 * quorum - seats > faults, "two quorums share more seats than can be faulty"
    assert seats - faults >= quorum, "the honest seats are a quorum"


def test_every_seat_leads_in_turn() -> None:
    validators = parse_validator_set(set_bytes(5))
    assert [validators.leader(view) for view in range(4, 10)] == [4, 0, 1, 2, 3, 4]


def test_a_set_is_read_with_its_ed25519_keys_in_seat_order() -> None:
    data = set_bytes(4)
    validators = parse_validator_set(data)
    assert validators.public_keys == tuple(key(1, seat) for seat in range(4))
    assert validators.organizations == [bytes([seat]) * 16 for seat in range(4)]
    assert validators.keys_of_every_suite == {key(suite, seat) for suite in (1, 2) for seat in range(4)}
    assert validators.hash == validator_set_hash(data)
    assert [validators.seat_of(key(1, 2)), validators.seat_of(key(2, 2))] == [2, NO_SEAT]


def test_a_set_is_the_same_whether_it_was_read_or_made() -> None:
    data = set_bytes(4)
    made = ValidatorSet.of(
        Validator(bytes([seat]) * 16, ((1, key(1, seat)), (2, key(2, seat)))) for seat in range(4)
    )
    assert made == parse_validator_set(data) and made.data == data
    assert made != parse_validator_set(set_bytes(5))


def test_two_seats_do_not_share_a_key() -> None:
    message = block_pb2.ValidatorSet.FromString(set_bytes(4))
    message.validators[3].keys[0].public_key = key(1, 0)
    with pytest.raises(MalformedMessage, match="share"):
        parse_validator_set(message.SerializeToString(deterministic=True))


def test_a_key_of_another_length_is_refused() -> None:
    message = block_pb2.ValidatorSet.FromString(set_bytes(4))
    message.validators[3].keys[0].public_key += b"\0"
    with pytest.raises(MalformedMessage, match="33"):
        parse_validator_set(message.SerializeToString(deterministic=True))


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


def test_a_set_of_version_1_does_not_name_it() -> None:
    """So sets are byte for byte what they were before there were versions."""
    first = ValidatorSet.of(
        Validator(bytes([seat]) * 16, ((1, key(1, seat)), (2, key(2, seat)))) for seat in range(4)
    )
    assert first.protocol_version == 1 and first.data == set_bytes(4)
    message = block_pb2.ValidatorSet.FromString(first.data)
    message.protocol_version = 1
    with pytest.raises(MalformedMessage, match="goes without saying"):
        parse_validator_set(message.SerializeToString(deterministic=True))


@pytest.mark.parametrize("version", [2, 3, 2**32 - 1])
def test_a_set_names_the_version_by_which_it_decides_known_here_or_not(version: int) -> None:
    first = parse_validator_set(set_bytes(4))
    later = first.under(version)
    assert later == parse_validator_set(later.data) and later.hash != first.hash
    assert (later.protocol_version, later.validators) == (version, first.validators)
    assert later.under(1) == first

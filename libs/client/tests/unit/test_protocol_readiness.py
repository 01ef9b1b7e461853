"""Who can decide by another protocol version, as validators say."""

from __future__ import annotations

from icn.consensus.v1.service_pb2 import GetStatusResponse, PeerStatus
from icn.ledger.v1.service_pb2 import GetValidatorsResponse, Seat, Seats
from icn_client.protocol_readiness import readiness_of

A, B, C, D, E = (bytes([number]) * 16 for number in range(1, 6))


def named(
    in_force: tuple[bytes, ...], following: tuple[bytes, ...], version: int = 1
) -> GetValidatorsResponse:
    return GetValidatorsResponse(
        in_force=Seats(seats=[Seat(organization=one) for one in in_force], protocol_version=1),
        next=Seats(seats=[Seat(organization=one) for one in following], protocol_version=version),
    )


def says(
    seat: int | None, newest: int, heard: dict[int, int], epoch: int = 3, halted: str = ""
) -> GetStatusResponse:
    return GetStatusResponse(
        seat=seat or 0,
        is_seated=seat is not None,
        epoch=epoch,
        protocol_newest=newest,
        halted=halted,
        peers=[PeerStatus(seat=number, protocol_newest=known) for number, known in heard.items()],
    )


def test_one_validator_says_what_it_heard_of_all() -> None:
    found = readiness_of(
        named((A, B, C, D), (A, B, C, D)), [says(0, 2, {1: 2, 2: 1, 3: 0}), None, None, None]
    )
    assert (found.in_force, found.following) == (1, 1)
    assert [one.newest for one in found.seats] == [2, 2, 1, 0]
    assert [one.seat for one in found.unready(2)] == [2, 3]
    assert found.unready(1) == found.seats[3:], "of whom nothing was heard nothing is known"


def test_a_seat_s_own_word_counts_more_and_of_others_the_least() -> None:
    answers = [says(0, 2, {1: 1, 2: 2, 3: 2}), says(1, 2, {0: 1, 2: 1, 3: 2}), None, None]
    found = readiness_of(named((A, B, C, D), (A, B, C, D)), answers)
    assert [one.newest for one in found.seats] == [2, 2, 1, 2]


def test_who_comes_with_the_next_set_is_not_known_as_a_seat() -> None:
    found = readiness_of(named((A, B, C, D), (A, E, D), 2), [says(0, 2, {1: 2, 2: 2, 3: 2})])
    assert found.following == 2
    assert [(one.organization, one.newest) for one in found.seats] == [(A, 2), (E, 0), (D, 2)]


def test_who_is_in_an_older_epoch_numbers_other_seats() -> None:
    answers = [says(0, 2, {1: 2, 2: 2, 3: 2}), says(3, 1, {0: 1, 1: 1, 2: 1}, epoch=2)]
    found = readiness_of(named((A, B, C, D), (A, B, C, D)), answers)
    assert [one.newest for one in found.seats] == [2, 2, 2, 2]


def test_a_follower_s_own_word_is_of_no_seat() -> None:
    found = readiness_of(named((A, B, C, D), (A, B, C, D)), [says(None, 1, {0: 2, 1: 2, 2: 2, 3: 2})])
    assert [one.newest for one in found.seats] == [2, 2, 2, 2]


def test_why_a_seat_stands_still_is_shown() -> None:
    found = readiness_of(named((A, B, C, D), (A, B, C, D)), [says(1, 1, {}, halted="upgrade icn")])
    assert [one.halted for one in found.seats] == ["", "upgrade icn", "", ""]
    assert found.to_dict()["seats"][1] == {
        "seat": 1,
        "organization": B.hex(),
        "newest": 1,
        "halted": "upgrade icn",
    }


def test_nobody_answers() -> None:
    found = readiness_of(named((A,), (A,)), [None])
    assert [one.newest for one in found.seats] == [0]
    assert found.to_dict()["seats"][0]["newest"] is None

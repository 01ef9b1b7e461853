from __future__ import annotations

from collections.abc import Sequence

import pytest
from icn.consensus.v1.service_pb2 import GetStatusResponse, PeerStatus
from icn_client.connection import ValidatorAddress
from icn_client.status import NetworkStatus, ValidatorStatus


def stands(seats: int, *, epoch: int = 0, is_seated: bool = True) -> GetStatusResponse:
    others = [PeerStatus(seat=seat) for seat in range(seats - is_seated)]
    return GetStatusResponse(epoch=epoch, is_seated=is_seated, peers=others)


@pytest.mark.parametrize(
    ("answers", "has_quorum"),
    [
        ([stands(4)] * 3 + [None], True),
        ([stands(4)] * 2 + [None] * 2, False),
        ([None] * 4, False),
        ([stands(7, epoch=2)] * 4, False),
        ([stands(7, epoch=2)] * 5, True),
        ([stands(7, epoch=2)] * 4 + [stands(7, epoch=2, is_seated=False)], False),
        ([stands(7, epoch=1), *[stands(4, epoch=2)] * 2], True),
    ],
)
def test_a_quorum_is_of_the_seats_in_force(
    answers: Sequence[GetStatusResponse | None], has_quorum: bool
) -> None:
    address = ValidatorAddress(0, "a", b"", "", "")
    validators = tuple(ValidatorStatus(address, answer) for answer in answers)
    assert NetworkStatus("zone", "", "hosted", "", validators).has_quorum is has_quorum

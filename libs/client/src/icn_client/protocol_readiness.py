"""Which protocol version a zone goes by, which comes, and who of its validators can decide by it.

What a seat can do it says itself, and the others repeat what they heard when its stream began: nothing of it
is proven, and nothing on the chain depends on it.

Source: docs/spec/consensus.md, "Protocol versions", P9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from icn.consensus.v1.service_pb2 import GetStatusResponse
from icn.ledger.v1.service_pb2 import GetValidatorsResponse

from icn_client.seats import validators

if TYPE_CHECKING:
    from icn_client.connection import Connection


@dataclass(frozen=True, slots=True)
class SeatReadiness:
    """What one seat of the next set can decide by."""

    seat: int
    organization: bytes
    newest: int
    """Newest version that it says it knows; 0 where nobody heard it."""
    halted: str
    """Why it takes no part, as it says; empty while it does, and where it does not answer."""


@dataclass(frozen=True, slots=True)
class ProtocolReadiness:
    """What is in force, what comes, and who is ready for more."""

    in_force: int
    following: int
    """Of the next epoch: the same, unless one is activated."""
    seats: tuple[SeatReadiness, ...]

    def unready(self, version: int) -> tuple[SeatReadiness, ...]:
        """Seats of which it is not known that they can decide by a version."""
        return tuple(seat for seat in self.seats if seat.newest < version)

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "in_force": self.in_force,
            "next": self.following,
            "seats": [
                {
                    "seat": seat.seat,
                    "organization": seat.organization.hex(),
                    "newest": seat.newest or None,
                    "halted": seat.halted,
                }
                for seat in self.seats
            ],
        }


async def read_readiness(connection: Connection) -> ProtocolReadiness:
    """Ask the ledger of one validator, and where each stands.

    Raises:
        DomainError: nobody answers.
    """
    return readiness_of(await validators(connection), await connection.statuses())


def readiness_of(
    named: GetValidatorsResponse, answers: Sequence[GetStatusResponse | None]
) -> ProtocolReadiness:
    """Put together what validators say.

    A seat's own word counts most; of what others heard of it, the least. Who comes only with the next set was
    heard by nobody as a seat.
    """
    standing = [answer for answer in answers if answer is not None]
    epoch = max((answer.epoch for answer in standing), default=0)
    own: dict[int, GetStatusResponse] = {}
    told: dict[int, int] = {}
    for answer in standing:
        if answer.epoch != epoch:
            continue
        if answer.is_seated:
            own[answer.seat] = answer
        for peer in answer.peers:
            if peer.protocol_newest:
                told[peer.seat] = min(peer.protocol_newest, told.get(peer.seat, peer.protocol_newest))
    numbers = {seat.organization: number for number, seat in enumerate(named.in_force.seats)}
    seats = []
    for number, seat in enumerate(named.next.seats):
        held = numbers.get(seat.organization, -1)
        word = own.get(held)
        newest = told.get(held, 0) if word is None else word.protocol_newest
        halted = "" if word is None else word.halted
        seats.append(SeatReadiness(number, seat.organization, newest, halted))
    return ProtocolReadiness(named.in_force.protocol_version, named.next.protocol_version, tuple(seats))

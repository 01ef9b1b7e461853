"""Which validator to ask next: the one in use while it answers, then the healthiest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from icn_chain.quorum import SEATS_MAX, faults_of

from icn_kit.pauses import doubled

SUSPECT_SECONDS_MIN = 1.0
SUSPECT_SECONDS_MAX = 30.0
"""A validator that failed is left alone this long, doubling while it goes on failing; `icn up` has it back
in 5 s."""
HEIGHTS_BEHIND_MAX = 8
"""A validator this far behind the newest height that is sure fetches blocks and would show an old state."""


@dataclass(frozen=True, slots=True)
class ValidatorAddress:
    """Where one validator listens."""

    seat: int
    consensus: str
    """``host:port`` of its ConsensusService."""
    ledger: str
    """``host:port`` of its LedgerService; often the same."""
    server_name: str = ""
    """Name in its certificate, where it differs from the host."""


@dataclass(slots=True)
class Standing:
    """What is known of one validator, by calls and by asking for its status."""

    seat: int
    failures: int = 0
    """In a row."""
    suspect_until: float = 0.0
    """Monotonic seconds."""
    executed_height: int = 0
    """As it says itself."""
    is_catching_up: bool = False
    dissents: int = 0
    """Answers in a row that were not those of the others."""
    doubted_until: float = 0.0
    """Monotonic seconds."""

    def succeeded(self) -> None:
        """It answered."""
        self.failures = 0
        self.suspect_until = 0.0

    def failed(self, now: float) -> None:
        """It was unreachable at ``now``."""
        wait = doubled(SUSPECT_SECONDS_MIN, self.failures, SUSPECT_SECONDS_MAX)
        self.failures += 1
        self.suspect_until = now + wait

    def agreed(self) -> None:
        """It answered as the others did."""
        self.dissents = 0
        self.doubted_until = 0.0

    def dissented(self, now: float) -> None:
        """It answered otherwise than those that agreed, at ``now``."""
        wait = doubled(SUSPECT_SECONDS_MIN, self.dissents, SUSPECT_SECONDS_MAX)
        self.dissents += 1
        self.doubted_until = now + wait


def newest_height(standings: Sequence[Standing]) -> int:
    """The (f + 1)-th highest height that validators say they have executed: one honest validator has."""
    heights = sorted((standing.executed_height for standing in standings), reverse=True)
    return heights[faults_of(len(heights))] if heights else 0


class Reached(Protocol):
    """How far a validator is, as it says itself."""

    @property
    def executed_height(self) -> int:
        """Of the newest block that it has executed."""
        ...

    @property
    def is_catching_up(self) -> bool:
        """Whether it fetches blocks that others have."""
        ...


def is_lagging(reached: Reached, newest: int) -> bool:
    """Whether it would show a state older than ``newest`` allows."""
    return reached.is_catching_up or reached.executed_height + HEIGHTS_BEHIND_MAX < newest


def order_of_preference(standings: Sequence[Standing], preferred_seat: int, now: float) -> list[Standing]:
    """All validators, the one to ask first in front.

    First those that answer and are up to date, then the lagging, then those that contradicted the others,
    then the suspect ones (all may be down and one come back any moment); among equals the preferred seat,
    then by seat onwards from it, so that a client mostly reads from one validator and sees its own writes.
    No single validator can make the others look lagging: see `newest_height`.
    """
    newest = newest_height(standings)

    def rank(standing: Standing) -> tuple[bool, bool, bool, int]:
        distance = (standing.seat - preferred_seat) % SEATS_MAX
        return (
            standing.suspect_until > now,
            standing.doubted_until > now,
            is_lagging(standing, newest),
            distance,
        )

    return sorted(standings, key=rank)

"""Which validator to ask next: the one in use while it answers, then the healthiest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SUSPECT_SECONDS_MIN = 1.0
SUSPECT_SECONDS_MAX = 30.0
"""A validator that failed is left alone this long, doubling while it goes on failing; `icn up` has it back
in 5 s."""
HEIGHTS_BEHIND_MAX = 8
"""A validator this far behind the best known is fetching blocks and would show an old state."""

SEATS_MAX = 50
"""docs/spec/genesis.md, "Document"."""


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
    is_catching_up: bool = False

    def succeeded(self) -> None:
        """It answered."""
        self.failures = 0
        self.suspect_until = 0.0

    def failed(self, now: float) -> None:
        """It was unreachable at ``now``."""
        wait = min(SUSPECT_SECONDS_MIN * 2.0 ** min(self.failures, 16), SUSPECT_SECONDS_MAX)
        self.failures += 1
        self.suspect_until = now + wait


def order_of_preference(standings: Sequence[Standing], preferred_seat: int, now: float) -> list[Standing]:
    """All validators, the one to ask first in front.

    First those that answer and are up to date, then the lagging, then the suspect ones (all may be down and
    one come back any moment); among equals the preferred seat, then by seat onwards from it, so that a
    client mostly reads from one validator and sees its own writes.
    """
    best_height = max((standing.executed_height for standing in standings), default=0)

    def rank(standing: Standing) -> tuple[bool, bool, int]:
        is_lagging = standing.is_catching_up or standing.executed_height + HEIGHTS_BEHIND_MAX < best_height
        distance = (standing.seat - preferred_seat) % SEATS_MAX
        return (standing.suspect_until > now, is_lagging, distance)

    return sorted(standings, key=rank)

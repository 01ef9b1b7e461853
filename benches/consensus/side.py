"""What the loader sees of either network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple, Protocol

from icn_client.submitter import Door, Outcome
from icn_client.transactions import Signed

SEATS: Final = 4
PARTIES: Final = 1_000
"""Who pays whom: each with a key and an account of its own, so that blocks touch many."""
FLOOR_MINOR: Final = -1_000_000_000
AMOUNT_MINOR: Final = 1


class Applied(NamedTuple):
    """A block that a validator has applied."""

    height: int
    proposed_at_ms: int = 0
    """When its leader proposed it, unix milliseconds; 0 where a block does not say."""


class Side(Protocol):
    """A network of SEATS validators that runs, with PARTIES accounts open."""

    def doors(self) -> Sequence[Door]:
        """One per validator, for a Submitter."""

    def sign(self, count: int) -> tuple[list[Signed], int]:
        """So many transfers that follow on those before, and when they expire (unix milliseconds)."""

    def check(self, outcome: Outcome) -> None:
        """Raise where a transfer was not applied."""

    def watch(self, seat: int) -> AsyncIterator[Applied]:
        """Blocks as this validator applies them, until it is gone."""

    async def newest_final(self, seat: int) -> tuple[int, float] | None:
        """Height of the newest block that this validator knows to be final, and since when by its clock, in
        unix seconds; None where nobody can ask."""

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time so far, of ``nodes`` (validators with their databases) and of others by name."""

    def memory_bytes(self) -> int:
        """Proportional set size of all ``nodes``, now."""

    def kill(self, seat: int) -> None:
        """SIGKILL a validator and keep it down."""

    @property
    def settle_seconds(self) -> float:
        """How long after a run work may go on that was put off; its CPU time counts."""

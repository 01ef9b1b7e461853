"""GetStatus: where this validator stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from icn_chain.quorum import faults_of
from icn_kit.preference import is_lagging

from icn_consensus.domain.replica import Status

HEAR_SECONDS_MAX: Final = 5.0
"""From the start on. Whoever hears nobody by then is not known to be behind anybody; hearing the others takes
less than a second where they can be reached."""


@dataclass(frozen=True, slots=True)
class ValidatorStatus:
    """The core's position with what is around it."""

    core: Status
    genesis_hash: bytes
    final_since_ms: int
    """When the newest final block became final here; 0 until one did in this process."""
    pool_transactions: int
    peers: list[tuple[int, bool, int, int]]
    """Per other seat: whether a stream to or from it is open, the highest final height it told of, and the
    newest protocol version that it says it can decide by (0 without a stream)."""
    protocol_newest: int
    """Newest protocol version that this validator can decide by."""


@dataclass(frozen=True, slots=True)
class StatusReader:
    """Reads the parts of a `ValidatorStatus`."""

    public_key: bytes
    genesis_hash: bytes
    core: Callable[[], Status]
    final_since_ms: Callable[[], int]
    seats: Callable[[], Sequence[bytes]]
    """Keys in seat order."""
    pool_transactions: Callable[[], int]
    connection: Callable[[bytes], tuple[bool, int]]
    protocol_of: Callable[[bytes], int]
    """Newest version that a peer can decide by."""
    protocol_newest: int

    def read(self) -> ValidatorStatus:
        """The status now."""
        peers = [
            (seat, *self.connection(key), self.protocol_of(key))
            for seat, key in enumerate(self.seats())
            if key != self.public_key
        ]
        return ValidatorStatus(
            self.core(),
            self.genesis_hash,
            self.final_since_ms(),
            self.pool_transactions(),
            peers,
            self.protocol_newest,
        )

    def lag(self, seconds: float) -> str:
        """Why this validator is not where the others are; empty where nothing says so.

        f + 1 other seats must tell of a height: what fewer say may be made up. ``seconds``: since it listens.
        """
        core, seats = self.core(), self.seats()
        others = [self.connection(key) for key in seats if key != self.public_key]
        faults = faults_of(len(seats))
        heard, needed = sum(is_open for is_open, _ in others), min(faults + 1, len(others))
        if heard < needed and seconds < HEAR_SECONDS_MAX and not core.is_catching_up:
            return f"it has heard {heard} other validators, and needs {needed} to know how far the chain is"
        told = sorted((height for _, height in others), reverse=True)
        newest = max([core.final_height, *told[faults:]])
        if is_lagging(core, newest):
            return f"it is catching up: at height {core.executed_height} of {newest}"
        return ""

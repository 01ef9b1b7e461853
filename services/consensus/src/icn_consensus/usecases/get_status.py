"""GetStatus: where this validator stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from icn_consensus.domain.replica import Status


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

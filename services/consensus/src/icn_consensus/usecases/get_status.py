"""GetStatus: where this validator stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from icn_consensus.domain.replica import Status


@dataclass(frozen=True, slots=True)
class ValidatorStatus:
    """The core's position with what is around it."""

    core: Status
    seat: int
    genesis_hash: bytes
    pool_transactions: int
    peers: list[tuple[int, bool, int]]
    """Per other seat: whether a stream to or from it is open, and the highest final height it told of."""


@dataclass(frozen=True, slots=True)
class StatusReader:
    """Reads the parts of a `ValidatorStatus`."""

    seat: int
    genesis_hash: bytes
    core: Callable[[], Status]
    pool_transactions: Callable[[], int]
    peers: Callable[[], list[tuple[int, bool, int]]]

    def read(self) -> ValidatorStatus:
        """The status now."""
        return ValidatorStatus(
            self.core(), self.seat, self.genesis_hash, self.pool_transactions(), self.peers()
        )

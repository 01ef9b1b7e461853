"""One seat's Simplex replica: events in, actions out, no I/O, no clock, no randomness."""

from __future__ import annotations

from dataclasses import dataclass

from icn_consensus.domain.actions import Action
from icn_consensus.domain.config import Config, Recovered
from icn_consensus.domain.events import Event
from icn_consensus.domain.ports import Crypto


@dataclass(frozen=True, slots=True)
class Status:
    """Where a replica stands, for GetStatus."""

    epoch: int
    view: int
    final_height: int
    executed_height: int
    state_root: bytes
    block_time_ms: int
    """Time of the executed block."""
    is_catching_up: bool


class Replica:
    """A deterministic state machine; see `step`. ``now_ms`` is unix time that never goes backwards."""

    def __init__(self, config: Config, crypto: Crypto) -> None:
        raise NotImplementedError

    def start(self, recovered: Recovered, now_ms: int) -> list[Action]:
        """Take up where the disk left off; called once, before any `step`."""
        raise NotImplementedError

    def step(self, event: Event, now_ms: int) -> list[Action]:
        """Digest one event. The actions are to be carried out in order before those of the next step."""
        raise NotImplementedError

    def status(self) -> Status:
        """Where this replica stands."""
        raise NotImplementedError

    def next_leaders(self, count: int) -> tuple[int, ...]:
        """Seats whose turns are the current view and those after it: where pending transactions go."""
        raise NotImplementedError

    def block(self, block_hash: bytes) -> bytes | None:
        """Bytes of an unfinished block held here, for FetchRequests by hash; final ones are in the block store."""
        raise NotImplementedError

    def certificates_from(self, view: int) -> tuple[bytes, ...]:
        """Up to 64 notarizations and nullifications of the current epoch from this view on, ascending."""
        raise NotImplementedError

    def finalization(self) -> bytes:
        """Highest finalization certificate held; empty at genesis."""
        raise NotImplementedError

"""GetNode: what goes on inside this validator, for who runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from icn_consensus.domain.replica import Replica, Turn
from icn_consensus.usecases.ends import Ends
from icn_consensus.usecases.execution import Executor
from icn_consensus.usecases.pool import Pool
from icn_consensus.usecases.ports import PeerStreams, RecordLog


@dataclass(frozen=True, slots=True)
class PeerState:
    """Another validator, or who waits to be one."""

    public_key: bytes
    seat: int | None
    """In the epoch this validator is in."""
    is_silent: bool
    kept_turns: int
    lost_turns: int
    is_barred: bool
    streams: PeerStreams | None
    """None where there is none."""


@dataclass(frozen=True, slots=True)
class NodeState:
    """A validator from inside."""

    turn: Turn
    pool_transactions: int
    pool_bytes: int
    pool_deferred: int
    pool_oldest_age_ms: int
    waiting_transactions: int
    execution_backlog: int
    record_log_bytes: int
    record_sequence: int
    synced_record_sequence: int
    peers: list[PeerState]
    """By seat, then those without one by key."""


@dataclass(frozen=True, slots=True)
class NodeReader:
    """Reads the parts of a `NodeState`."""

    public_key: bytes
    replica: Replica
    pool: Pool
    ends: Ends
    executor: Executor
    record_log: RecordLog
    streams: Callable[[], Mapping[bytes, PeerStreams]]
    """By peer that has one."""
    is_barred: Callable[[bytes], bool]
    monotonic: Callable[[], float]

    def read(self) -> NodeState:
        """The state now."""
        turn = self.replica.turn()
        return NodeState(
            turn=turn,
            pool_transactions=len(self.pool),
            pool_bytes=self.pool.size_bytes,
            pool_deferred=self.pool.deferred,
            pool_oldest_age_ms=round(1000 * self.pool.oldest_age_seconds(self.monotonic())),
            waiting_transactions=len(self.ends),
            execution_backlog=self.executor.backlog,
            record_log_bytes=self.record_log.size_bytes,
            record_sequence=self.record_log.sequence,
            synced_record_sequence=self.record_log.synced_sequence,
            peers=self._peers(turn),
        )

    def _peers(self, turn: Turn) -> list[PeerState]:
        streams = self.streams()
        seats = dict(enumerate(self.replica.seats()))
        seated = [
            PeerState(
                public_key=key,
                seat=seat,
                is_silent=seat in turn.silent_seats,
                kept_turns=turn.kept_turns[seat],
                lost_turns=turn.lost_turns[seat],
                is_barred=self.is_barred(key),
                streams=streams.get(key),
            )
            for seat, key in seats.items()
            if key != self.public_key
        ]
        followers = sorted(streams.keys() - set(seats.values()))
        return seated + [
            PeerState(
                public_key=key,
                seat=None,
                is_silent=False,
                kept_turns=0,
                lost_turns=0,
                is_barred=self.is_barred(key),
                streams=streams[key],
            )
            for key in followers
        ]

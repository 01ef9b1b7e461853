"""What a replica is told at its start."""

from __future__ import annotations

from dataclasses import dataclass

from icn_chain.epochs import closes_epoch
from icn_chain.header import BlockHeader
from icn_chain.protocols import NEWEST_PROTOCOL
from icn_chain.validator_set import NO_SEAT, ValidatorSet

from icn_consensus.domain.block import ExecutedState


@dataclass(frozen=True, slots=True)
class Config:
    """Constants of the zone (from genesis) and who this replica is."""

    genesis_hash: bytes
    protocol_version: int
    """In force in the first epoch, from genesis; later ones are named by validator sets."""
    public_key: bytes
    """This replica's consensus key; it votes in epochs whose set names it, and follows in all others."""
    validators: ValidatorSet
    """Seats of the first epoch, from genesis."""
    genesis_time_ms: int
    epoch_ms: int
    heartbeat_ms: int
    block_time_distance_ms_max: int
    block_bytes_max: int
    block_transactions_max: int
    protocol_newest: int = NEWEST_PROTOCOL
    """Newest version that this replica and its application can decide by."""

    @property
    def label(self) -> str:
        """Of this replica in metrics and logs: its seat at genesis, or the beginning of its key."""
        seat = self.validators.seat_of(self.public_key)
        return self.public_key.hex()[:8] if seat == NO_SEAT else str(seat)

    @property
    def hash(self) -> bytes:
        """Of genesis, as `icn_chain.epochs.GenesisFacts` calls it."""
        return self.genesis_hash

    @property
    def time_ms(self) -> int:
        """Of genesis, as `icn_chain.epochs.GenesisFacts` calls it."""
        return self.genesis_time_ms

    def epoch_of(self, time_ms: int) -> int:
        """Epoch that a block time lies in."""
        return (time_ms - self.genesis_time_ms) // self.epoch_ms

    def closes_epoch(self, header: BlockHeader) -> bool:
        """Whether the block's time lies past its own epoch: an edge block, or one after it."""
        return closes_epoch(header, self)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What disk holds at start. Before it, the application executes the block store's final blocks."""

    final_header: BlockHeader
    """Newest final block of the block store; genesis (`block.genesis_header`) when there is no other."""
    finalization: bytes
    """Certificate that made it final (of it or of a descendant); empty for genesis."""
    executed: ExecutedState
    """The application's state; its executed_height equals the final header's height."""
    records: tuple[bytes, ...]
    """Record payloads of the log, in the order they were appended."""
    validators: tuple[ValidatorSet, ...] = ()
    """The sets that the final header names, where they are not that of genesis."""
    recent_hashes: tuple[bytes, ...] = ()
    """Of the newest blocks of the block store, ascending, at most `chain.RECENT_HEIGHTS`: a notarized block
    may say that only an older one was executed, and whoever judges it has to name those between."""

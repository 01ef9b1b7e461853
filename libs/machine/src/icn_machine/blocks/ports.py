"""What executing and judging blocks needs from outside, and the values that cross."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from icn_crypto.merkle_log import Log
from icn_kit.errors import DomainError, ErrorKind
from icn_kit.genesis import Genesis

from icn_machine.duty import DutyCounts
from icn_machine.events import Event
from icn_machine.receipts import Posted
from icn_machine.records import ContractEntry, Due, Namespace, RecordTables
from icn_machine.touched import RecordNames
from icn_machine.validity import ValidityView


class StateBehind(DomainError):
    """A height was named that this ledger has not executed yet; it will, so try again."""

    kind = ErrorKind.UNAVAILABLE
    reason = "STATE_BEHIND"

    def __init__(self, height: int, executed_height: int) -> None:
        super().__init__(
            f"height {height} is not executed yet, this ledger stands at {executed_height}",
            height=height,
            executed_height=executed_height,
        )


class StatePruned(DomainError):
    """A height was named that is too old to be read."""

    kind = ErrorKind.FAILED_PRECONDITION
    reason = "STATE_PRUNED"

    def __init__(self, height: int, oldest_height: int) -> None:
        super().__init__(
            f"the state after height {height} is no longer kept, the oldest is {oldest_height}",
            height=height,
            oldest_height=oldest_height,
        )


class HistoryMissing(DomainError):
    """What was asked for may lie at or below the snapshot that this ledger began with; others have it."""

    kind = ErrorKind.FAILED_PRECONDITION
    reason = "HISTORY_MISSING"

    def __init__(self, what: str, from_height: int) -> None:
        super().__init__(
            f"{what}: this ledger began with a snapshot and has blocks from height {from_height} on",
            from_height=from_height,
        )


@dataclass(frozen=True, slots=True)
class ExecutedBlock:
    """A block and what is true after it; height 0 is genesis."""

    height: int
    hash: bytes
    header: bytes
    """Canonical bytes."""
    time_ms: int
    epoch: int
    state_root: bytes
    receipts_root: bytes
    """Over the receipts of every block up to it."""
    log_root: bytes
    has_changed_state: bool
    next_expiry_time_ms: int
    """0 when nothing will expire."""
    transaction_count: int
    finalization: bytes
    """Canonical bytes of the certificate that covers it; empty for genesis."""
    next_validator_set_hash: bytes
    """Of the set that the state after it names for the next epoch."""

    def epoch_of_next(self, genesis: Genesis) -> int:
        """Epoch of the block that follows, where no recovery begins another. One that a recovery began lies
        ahead of its time, and lasts until that is past."""
        return max(self.epoch, genesis.epoch_of(self.time_ms))


@dataclass(frozen=True, slots=True)
class EpochEdge:
    """How an epoch handed over to the next."""

    epoch: int
    height: int
    """Of the edge block."""
    executed_height: int
    """Whose state root the edge header names."""
    header: bytes
    descendant_headers: tuple[bytes, ...]
    finalization: bytes
    next_validator_set: bytes
    """Canonical bytes; empty when the set stays as it is."""
    recovery: bytes = b""
    """Canonical bytes of the RecoveryCertificate that handed over behind the block, where no edge did."""


@dataclass(frozen=True, slots=True)
class BlockCommit:
    """Everything one block writes."""

    block: ExecutedBlock
    """Its ``next_expiry_time_ms`` is filled in by the store."""
    descendant_headers: tuple[bytes, ...]
    """From its child to the block that its finalization names. Kept of the newest block only: a thousand
    blocks that one certificate makes final would each bring those of all others."""
    transaction_ids: Sequence[bytes]
    receipts: Sequence[bytes]
    """Canonical bytes, one per transaction."""
    events: Sequence[Event]
    """In order."""
    posted: Sequence[Posted]
    """The movements among them."""
    before: RecordTables
    """Records as loaded."""
    changes: RecordTables
    leaves: Sequence[tuple[Namespace, bytes, bytes | None]]
    """Canonical leaf bytes of the changes, None for a leaf that went."""
    pages: Mapping[bytes, bytes | None]
    """Changed pages of the state tree by prefix."""
    log: Log
    """Block log with this block."""
    edge: EpochEdge | None
    """Set when the block is the last of its epoch to hold transactions."""
    duty: DutyCounts
    """Of the block's epoch, this block included."""
    validator_sets: Mapping[bytes, bytes] = field(default_factory=dict)
    """Canonical bytes of the sets that were not named before, by hash."""
    recovered: EpochEdge | None = None
    """Set when the block carries a recovery certificate: how its parent's epoch ended. Its descendant headers
    are in the store, whose newest block the parent is."""
    traceparents: Mapping[int, str] = field(default_factory=dict)
    """Of events by position, where the call that caused them was sampled; no part of the state."""


class RestoredBlock(NamedTuple):
    """A block whose state was restored."""

    header: bytes
    finalization: bytes
    """Of a descendant."""
    descendant_headers: tuple[bytes, ...]
    """From its child to the block that the finalization names."""


class PageNotLoaded(Exception):
    """A page of the state tree that is not in memory."""


class Pages(Protocol):
    """Pages of one version of the state tree."""

    def get(self, prefix: bytes, /) -> bytes | None:
        """Bytes of the page, None where there is none.

        Raises:
            PageNotLoaded: it has to be loaded first.
        """


class State(Protocol):
    """The replicated state. Only one `commit` runs at a time; everything else may run beside it."""

    @property
    def newest(self) -> ExecutedBlock:
        """The block executed last."""

    @property
    def snapshot_height(self) -> int:
        """Height of the snapshot that the state was restored from; 0: it was executed from genesis on."""

    @property
    def log(self) -> Log:
        """Block log up to `newest`; a copy. Empty at genesis, whose hash it holds from height 1 on."""

    @property
    def duty(self) -> DutyCounts:
        """What the seats did in the epoch of `newest` so far."""

    async def settle(self) -> None:
        """After a commit whose outcome is unknown, find out; otherwise nothing."""

    async def reload(self) -> None:
        """Forget what is in memory: the state was restored."""

    async def restored(self) -> RestoredBlock | None:
        """The block whose state was restored, while no block was executed after it."""

    async def load(self, names: RecordNames) -> RecordTables:
        """Records of the newest state, None for those that are absent."""

    async def load_validity(self, names: RecordNames, height: int) -> ValidityView:
        """Controllers and allowances as they were after ``height``.

        Raises:
            StateBehind: the height is not executed.
            StatePruned: it lies more than 256 heights back.
        """

    async def load_storage(self, contract: bytes) -> dict[bytes, ContractEntry]:
        """Every entry of a contract's storage in the newest state by identifier (contract ‖ key),
        ascending."""

    @property
    def pages(self) -> Pages:
        """Pages of the newest tree that are in memory."""

    async def load_pages(self, keys: Sequence[bytes]) -> Pages:
        """Every page of the newest tree that lies on the way to the keys, among others."""

    async def load_validator_sets(self, hashes: Collection[bytes]) -> Mapping[bytes, bytes]:
        """Canonical bytes of sets that were committed, by hash."""

    async def load_sets_of_epochs(self, epochs: Collection[int]) -> Mapping[int, bytes]:
        """Canonical bytes of the sets in force in epochs, up to that of the block under way; those with the
        set of genesis are left out."""

    async def due(self, time_ms: int) -> Due:
        """What falls due at or before the time, as much as one block settles."""

    async def commit(self, commit: BlockCommit) -> ExecutedBlock:
        """Write a block durably, all or nothing.

        Raises:
            Unavailable: the database went away; `settle` finds out whether the block was written.
            AnotherExecuted: the height is written already, by another process.
        """

    async def block_at(self, height: int) -> ExecutedBlock | None:
        """An executed block, None above the newest."""

    async def receipts_at(self, height: int) -> list[tuple[bytes, bytes]]:
        """Ids and receipts of a block's transactions, in order."""

    async def heights_of(self, transaction_ids: Sequence[bytes]) -> dict[bytes, int]:
        """The height of the block that includes each of the transactions; those in none are left out."""


class AnotherExecuted(RuntimeError):
    """Another process writes to this ledger's database. The node stops."""

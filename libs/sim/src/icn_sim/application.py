"""The application of a simulation: a digest of what was ordered, and a list of expiries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from icn_consensus.domain.block import NO_HASH, Block, BlockHeader, ExecutedState
from icn_crypto.hashing import sha256
from icn_crypto.merkle_log import EMPTY_ROOT, Log, leaf_hash, tree_root

from icn_sim.zone import GENESIS_TIME_MS, InvariantBroken

EXPIRING: Final = b"expires at "
"""A transaction that begins so makes something that expires at the time that follows, unix milliseconds."""


@dataclass(slots=True)
class SimulatedApplication:
    """A state machine as small as consensus can tell: a digest of all transactions, and expiries."""

    validator_set: bytes
    height: int = 0
    time_ms: int = GENESIS_TIME_MS
    digest: bytes = NO_HASH
    expiries_ms: list[int] = field(default_factory=list)
    transactions: dict[bytes, int] = field(default_factory=dict)
    """Height of each transaction executed."""
    log: Log = field(default_factory=Log)
    receipts_root: bytes = EMPTY_ROOT
    has_changed_state: bool = False

    def state_root(self) -> bytes:
        """Root of the state."""
        return sha256(self.digest + b"".join(time.to_bytes(8, "big") for time in self.expiries_ms))

    def state(self) -> ExecutedState:
        """As the application tells it."""
        return ExecutedState(
            self.height,
            self.time_ms,
            self.state_root(),
            self.receipts_root,
            EMPTY_ROOT if self.height == 0 else self.log.root(),
            self.has_changed_state,
            min(self.expiries_ms, default=0),
            self.validator_set,
        )

    def execute(self, genesis: BlockHeader, block: Block) -> None:
        """Apply the next final block; applying a height again does nothing."""
        if block.header.height <= self.height:
            return
        if block.header.height != self.height + 1:
            raise InvariantBroken(f"height {block.header.height} executed after {self.height}")
        before = self.state_root()
        if self.height == 0:
            self.log.append(leaf_hash(genesis.hash))
        self.height = block.header.height
        self.time_ms = block.header.time_ms
        self.log.append(leaf_hash(block.hash))
        self.expiries_ms = [time for time in self.expiries_ms if time > self.time_ms]
        for transaction in block.transactions:
            if transaction in self.transactions:
                raise InvariantBroken(f"{transaction!r} is executed twice")
            self.transactions[transaction] = self.height
            self.digest = sha256(self.digest + transaction)
            if transaction.startswith(EXPIRING):
                self.expiries_ms = sorted([*self.expiries_ms, int(transaction[len(EXPIRING) :].split()[0])])
        self.receipts_root = tree_root([leaf_hash(transaction) for transaction in block.transactions])
        self.has_changed_state = self.state_root() != before

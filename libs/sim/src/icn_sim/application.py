"""The small application of a simulation: a digest of what was ordered, and a list of expiries.

It implements consensus' port, as the ledger of `icn_sim.ledger` does; `Simulated` says what a simulation asks
of both besides.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from icn_chain.header import NO_HASH, BlockHeader, parse_header
from icn_chain.protocols import FIRST_PROTOCOL, NEWEST_PROTOCOL
from icn_chain.quorum import SEATS_MIN, faults_of
from icn_chain.validator_set import validator_set_hash
from icn_consensus.domain.actions import Branch
from icn_consensus.domain.block import ExecutedState
from icn_consensus.usecases.ports import (
    AncestorUnknown,
    Application,
    Choice,
    Execution,
    FinalBlock,
    StateBehind,
    TransactionCheck,
)
from icn_crypto.hashing import sha256
from icn_crypto.merkle_log import EMPTY_ROOT, Log, leaf_hash, tree_root

from icn_sim.zone import GENESIS_HASH, GENESIS_TIME_MS, PromiseBroken, validator_set_of

EXPIRING: Final = b"expires at "
"""A transaction that begins so makes something that expires at the time that follows, unix milliseconds."""
SEATS: Final = b"seats "
"""A transaction that begins so names the nodes that shall hold the seats from the next epoch on; what follows
"|" tells it from others."""
PROTOCOL: Final = b"protocol "
"""A transaction that begins so names the protocol version from the next epoch on; the rest as above."""
NEVER_MS: Final = 2**62
ALREADY_EXECUTED: Final = "ALREADY_EXECUTED"

Answer = TypeVar("Answer")


class Simulated(Application, Protocol):
    """An application with what a simulation has to know of it. Its calls wait for nothing."""

    @property
    def transactions(self) -> Mapping[bytes, int]:
        """Height of each transaction executed, by its bytes."""

    def state(self) -> ExecutedState:
        """What is true after the block executed last."""

    def restart(self) -> None:
        """Lose what is in memory only."""

    def check_promises(self) -> None:
        """Raise PromiseBroken if the state is not one that can be."""


def at_once(call: Coroutine[Any, Any, Answer]) -> Answer:
    """The answer of a call that waits for nothing."""
    try:
        call.send(None)
    except StopIteration as done:
        answer: Answer = done.value
        return answer
    call.close()
    raise AssertionError("a call of a simulated application waits for nothing")


class Seats:
    """Who decides, by the numbers of their nodes: in the epoch that blocks are of, and in the next."""

    def __init__(self, nodes: Iterable[int]) -> None:
        self.deciding = self.following = tuple(nodes)
        self.version = self.following_version = FIRST_PROTOCOL
        self.named = {validator_set_hash(self.data): (self.following, self.version)}
        """Every set that the state has named, with its protocol version, by hash."""

    @property
    def data(self) -> bytes:
        """Canonical bytes of the set that follows."""
        return validator_set_of(self.following, self.following_version)

    def begin(self, header: BlockHeader) -> None:
        """A block's header says who decides in its epoch, and by which version."""
        self.deciding, self.version = self.named[header.validator_set_hash]
        if header.protocol_version != self.version:
            raise PromiseBroken(
                f"final block {header.height} is of protocol version {header.protocol_version}, "
                f"its seats decide by {self.version}"
            )

    def activate(self, version: int) -> None:
        """Name the next version, where it is the next and none is pending."""
        if self.following_version == self.version and version == self.version + 1:
            self.following_version = version
            self._name()

    def _name(self) -> None:
        self.named[validator_set_hash(self.data)] = self.following, self.following_version

    def change(self, nodes: Sequence[int]) -> None:
        """Name who follows, if at most f of those who decide are others, and no change is under way."""
        wanted = tuple(nodes)
        leaving, coming = set(self.deciding) - set(wanted), set(wanted) - set(self.deciding)
        faults_max = faults_of(len(self.deciding))
        if (
            self.following == self.deciding
            and max(len(leaving), len(coming)) <= faults_max
            and SEATS_MIN <= len(set(wanted)) == len(wanted)
        ):
            self.following = wanted
            self._name()


@dataclass(slots=True)
class SimulatedApplication:
    """A state machine as small as consensus can tell: a digest of all transactions, and expiries.

    A transaction is valid once; one that begins with SEATS names who shall decide. Implements `Simulated`.
    """

    seats: Seats
    height: int = 0
    time_ms: int = GENESIS_TIME_MS
    digest: bytes = NO_HASH
    expiries_ms: list[int] = field(default_factory=list)
    transactions: dict[bytes, int] = field(default_factory=dict)
    log: Log = field(default_factory=Log)
    receipts_root: bytes = EMPTY_ROOT
    has_changed_state: bool = False
    roots: dict[int, tuple[bytes, bytes, bytes]] = field(default_factory=dict)
    """State, receipts and log root after each height executed."""
    branches: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)
    """Transactions of the blocks that were found valid since the start."""

    def state_root(self) -> bytes:
        """Root of the state."""
        return sha256(
            self.digest + b"".join(time.to_bytes(8, "big") for time in self.expiries_ms) + self.seats.data
        )

    def state(self) -> ExecutedState:
        """See `Simulated`."""
        return ExecutedState(
            self.height,
            self.time_ms,
            self.state_root(),
            self.receipts_root,
            EMPTY_ROOT if self.height == 0 else self.log.root(),
            self.has_changed_state,
            min(self.expiries_ms, default=0),
            self.seats.data,
        )

    def restart(self) -> None:
        """See `Simulated`."""
        self.branches.clear()

    def check_promises(self) -> None:
        """See `Simulated`: `execute` has looked already."""

    async def get_info(self) -> tuple[bytes, int, ExecutedState]:
        """See `Application`."""
        return GENESIS_HASH, NEWEST_PROTOCOL, self.state()

    async def validator_set(self, set_hash: bytes) -> bytes:
        """See `Application`."""
        return validator_set_of(*self.seats.named[set_hash])

    async def check_recovery(self, certificate: bytes) -> None:
        """See `Application`. It keeps no keys that could have been named before."""

    async def check(self, transactions: Sequence[bytes]) -> list[TransactionCheck]:
        """See `Application`. A transaction is its own id."""
        checks = []
        for transaction in transactions:
            height = self.transactions.get(transaction, 0)
            checks.append(
                TransactionCheck(transaction, ALREADY_EXECUTED if height else "", "", NEVER_MS, height)
            )
        return checks

    async def prepare(
        self,
        branch: Branch,
        epoch: int,
        time_ms: int,
        candidates: Sequence[bytes],
        *,
        size_bytes_max: int,
        transactions_max: int,
    ) -> Choice:
        """See `Application`."""
        used = self._used(branch)
        chosen = [
            index
            for index, data in enumerate(candidates)
            if data not in used and data not in self.transactions
        ]
        return Choice(tuple(chosen[:transactions_max]), ())

    async def validate(
        self,
        block_hash: bytes,
        branch: Branch,
        epoch: int,
        time_ms: int,
        transactions: Sequence[bytes],
        *,
        recovery: bytes,
    ) -> str:
        """See `Application`. Of the state only what holds after the branch's executed height counts."""
        used = self._used(branch)
        for transaction in transactions:
            height = self.transactions.get(transaction)
            if transaction in used or (height is not None and height <= branch.executed_height):
                return "TRANSACTION_USED"
            used.add(transaction)
        self.branches[block_hash] = tuple(transactions)
        return ""

    async def execute(self, block: FinalBlock) -> Execution:
        """See `Application`."""
        outcomes = [(transaction, b"") for transaction in block.transactions]
        if block.height <= self.height:
            return Execution(self.state(), outcomes)
        if block.height != self.height + 1:
            raise PromiseBroken(f"height {block.height} executed after {self.height}")
        header = parse_header(GENESIS_HASH, block.header)
        self._check_named_roots(header)
        before = self.state_root()
        if self.height == 0:
            self.log.append(leaf_hash(header.parent))
        self.height = block.height
        self.time_ms = header.time_ms
        self.log.append(leaf_hash(header.hash))
        self.expiries_ms = [time for time in self.expiries_ms if time > self.time_ms]
        self.seats.begin(header)
        for transaction in block.transactions:
            if transaction in self.transactions:
                raise PromiseBroken(f"{transaction!r} is executed twice")
            self.transactions[transaction] = self.height
            self.digest = sha256(self.digest + transaction)
            if transaction.startswith(EXPIRING):
                self.expiries_ms = sorted([*self.expiries_ms, int(transaction[len(EXPIRING) :].split()[0])])
            if transaction.startswith(SEATS):
                words = transaction[len(SEATS) :].partition(b"|")[0]
                self.seats.change([int(word) for word in words.split()])
            if transaction.startswith(PROTOCOL):
                self.seats.activate(int(transaction[len(PROTOCOL) :].partition(b"|")[0]))
        self.receipts_root = tree_root([leaf_hash(transaction) for transaction in block.transactions])
        self.has_changed_state = self.state_root() != before
        state = self.state()
        self.roots[self.height] = state.state_root, state.receipts_root, state.log_root
        return Execution(state, outcomes)

    def _check_named_roots(self, header: BlockHeader) -> None:
        """As the ledger does: whose final blocks name other roots than its own has a state that is wrong."""
        state = self.state()
        self.roots.setdefault(self.height, (state.state_root, state.receipts_root, state.log_root))
        named = header.state_root, header.receipts_root, header.log_root
        if self.roots[header.executed_height] != named:
            raise PromiseBroken(
                f"final block {header.height} names other roots than ours after {header.executed_height}"
            )

    def _used(self, branch: Branch) -> set[bytes]:
        """Transactions of the branch's unexecuted blocks."""
        if branch.executed_height > self.height:
            raise StateBehind(f"height {branch.executed_height}, executed is {self.height}")
        used: set[bytes] = set()
        for block_hash in branch.unexecuted:
            if block_hash not in self.branches:
                raise AncestorUnknown(block_hash.hex())
            used.update(self.branches[block_hash])
        return used

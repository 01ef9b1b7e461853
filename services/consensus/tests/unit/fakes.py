"""Small fakes of the ports, and values that tests of several modules need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from icn_consensus.domain.actions import Branch, MessageKind
from icn_consensus.domain.block import ExecutedState
from icn_consensus.usecases.ends import News
from icn_consensus.usecases.ports import (
    Choice,
    Execution,
    FetchRequest,
    FinalBlock,
    Found,
    RestoredBlock,
    StoredBlock,
    TransactionCheck,
)
from icn_crypto.hashing import sha256

LATER_MS = 2_000_000


@dataclass
class FakeSink:
    """Keeps what it is told."""

    news: list[News] = field(default_factory=list)
    failure: Exception | None = None
    is_closed: bool = False

    def tell(self, news: News) -> None:
        self.news.append(news)

    def fail(self, error: Exception) -> None:
        self.failure = error


def state_after(height: int) -> ExecutedState:
    return ExecutedState(height, height * 1_000, bytes(32), bytes(32), bytes(32), True, 0, b"")


def check_of(data: bytes, **changes: object) -> TransactionCheck:
    return TransactionCheck(b"id of " + data, "", "", LATER_MS, 0)._replace(**changes)  # type: ignore[arg-type]


@dataclass
class FakeApplication:
    """Answers as told; keeps what it was asked."""

    checks: dict[bytes, TransactionCheck] = field(default_factory=dict)
    asked: list[list[bytes]] = field(default_factory=list)
    validated: list[tuple[bytes, Branch]] = field(default_factory=list)
    executed: list[int] = field(default_factory=list)
    on_check: Callable[[], None] = lambda: None
    on_prepare: Callable[[Sequence[bytes]], Choice] = lambda candidates: Choice(
        tuple(range(len(candidates))), ()
    )
    on_validate: Callable[[bytes, Branch], str] = lambda _block_hash, _branch: ""
    gate: asyncio.Event | None = None
    """Executing waits for it."""

    async def get_info(self) -> tuple[bytes, int, ExecutedState]:
        return bytes(32), 1, state_after(len(self.executed))

    async def check_recovery(self, certificate: bytes) -> None:
        pass

    async def check(self, transactions: Sequence[bytes]) -> list[TransactionCheck]:
        self.asked.append(list(transactions))
        self.on_check()
        return [self.checks.get(data, check_of(data)) for data in transactions]

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
        return self.on_prepare(candidates)

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
        reason = self.on_validate(block_hash, branch)
        self.validated.append((block_hash, branch))
        return reason

    async def execute(self, block: FinalBlock) -> Execution:
        if self.gate is not None:
            await self.gate.wait()
        self.executed.append(block.height)
        outcomes = [(b"id of " + data, b"receipt of " + data) for data in block.transactions]
        return Execution(state_after(block.height), outcomes)


@dataclass
class FakePeers:
    """Keeps what is sent; ``away`` peers are not connected."""

    away: set[bytes] = field(default_factory=set)
    batches: list[tuple[bytes, list[bytes]]] = field(default_factory=list)
    requests: list[tuple[bytes, FetchRequest]] = field(default_factory=list)
    responses: list[tuple[bytes, int, Found]] = field(default_factory=list)

    def broadcast(self, kind: MessageKind, data: bytes, except_peers: tuple[bytes, ...]) -> None:
        raise AssertionError("nothing under test broadcasts")

    def send(self, peer: bytes, kind: MessageKind, data: bytes) -> None:
        raise AssertionError("nothing under test sends messages")

    def note_fault(self, peer: bytes) -> None:
        raise AssertionError("nothing under test finds fault")

    def send_transactions(self, peer: bytes, transactions: Sequence[bytes]) -> bool:
        if peer in self.away:
            return False
        self.batches.append((peer, list(transactions)))
        return True

    def send_fetch_request(self, peer: bytes, request: FetchRequest) -> bool:
        if peer in self.away:
            return False
        self.requests.append((peer, request))
        return True

    def send_fetch_response(self, peer: bytes, request: int, found: Found) -> None:
        self.responses.append((peer, request, found))


CHUNK = b"a chunk"


class FakeSnapshots:
    """One snapshot of one chunk; nothing is restored."""

    async def snapshot(self) -> bytes:
        return b"a snapshot"

    async def snapshot_chunk(self, digest: bytes) -> bytes:
        return CHUNK if digest == sha256(CHUNK) else b""

    async def offer_snapshot(self, snapshot: bytes) -> tuple[int, tuple[bytes, ...]]:
        raise AssertionError("a validator that takes part restores nothing")

    async def put_snapshot_chunk(self, chunk: bytes) -> None:
        raise AssertionError("a validator that takes part restores nothing")

    async def restore_snapshot(self) -> None:
        raise AssertionError("a validator that takes part restores nothing")

    async def restored(self) -> RestoredBlock | None:
        return None


@dataclass
class FakeStore:
    """Blocks in a dict; ``failures`` is how many of the next additions fail."""

    blocks: dict[int, StoredBlock] = field(default_factory=dict)
    additions: list[list[int]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """Storing waits for it."""

    async def add(self, blocks: Sequence[StoredBlock], sequence: int) -> None:
        await (asyncio.sleep(0) if self.gate is None else self.gate.wait())
        if self.failures:
            raise self.failures.pop()
        self.additions.append([block.height for block in blocks])
        self.blocks.update({block.height: block for block in blocks})

    async def newest(self) -> StoredBlock | None:
        return self.blocks[max(self.blocks)] if self.blocks else None

    async def recent_hashes(self, count: int) -> list[bytes]:
        return [self.blocks[height].hash for height in sorted(self.blocks)[-count:]]

    async def by_hash(self, block_hash: bytes) -> StoredBlock | None:
        return next((block for block in self.blocks.values() if block.hash == block_hash), None)

    async def page(self, from_height: int) -> list[StoredBlock]:
        return [self.blocks[height] for height in sorted(self.blocks) if height >= from_height][:2]


@dataclass
class FakeRecordLog:
    """Counts."""

    synced_sequence: int = 7
    pruned: list[tuple[int, int]] = field(default_factory=list)

    def append(self, payload: bytes, epoch: int, view: int) -> None:
        raise AssertionError("nothing under test writes records")

    def sync(self) -> None:
        raise AssertionError("nothing under test writes records")

    def prune(self, epoch: int, view: int) -> None:
        self.pruned.append((epoch, view))


@dataclass
class FakeLease:
    """Held, except while it is told not to be sure or who has taken it."""

    is_sure: asyncio.Event = field(default_factory=asyncio.Event)
    taken_by: Exception | None = None

    def __post_init__(self) -> None:
        self.is_sure.set()

    @property
    def is_fresh(self) -> bool:
        return self.is_sure.is_set()

    async def hold(self) -> None:
        await self.is_sure.wait()
        if self.taken_by is not None:
            raise self.taken_by


async def settle(rounds: int = 30) -> None:
    """Let tasks run until nothing more happens without time passing."""
    for _ in range(rounds):
        await asyncio.sleep(0)

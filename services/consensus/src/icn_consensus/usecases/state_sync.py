"""State sync: a validator that has nothing takes the application's state from the others, not every block.

Which snapshot is one, and whether a chunk is right, says the application; here it is only carried.
Source: docs/spec/consensus.md, "State sync".
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import Any, Final

import structlog
from icn_chain.block import Block, parse_block
from icn_chain.header import BlockHeader, parse_header
from icn_chain.malformed import MalformedMessage
from icn_kit.errors import DomainError

from icn_consensus.domain.config import Config
from icn_consensus.metrics import STATE_SYNC_CHUNKS, STATE_SYNC_MISSING_CHUNKS
from icn_consensus.usecases.ports import (
    FetchRequest,
    Found,
    Peers,
    RestoredBlock,
    Snapshots,
    StoredBlock,
)

ANSWER_SECONDS_MAX: Final = 10.0
"""For a snapshot of 3 MiB over 4 Mbit/s with what its sender says meanwhile."""
PATIENCE_SECONDS: Final = 1.0
"""What a peer has at first: another may be quicker. When nobody was, all of them have the longer time."""
GATHER_SECONDS_MAX: Final = 5.0
"""For streams to all others; who is up needs milliseconds."""
BODY_TRIES_MAX: Final = 60
BODY_RETRY_SECONDS: Final = 1.0
"""Between two rounds for the block whose state was restored, while nobody has it."""

_CHUNK_INVALID: Final = "SNAPSHOT_CHUNK_INVALID"
_SNAPSHOT_INVALID: Final = "SNAPSHOT_INVALID"

Ask = Callable[[bytes, FetchRequest, float], Awaitable[Found | None]]
"""Asks a peer; None when no answer came in so many seconds. The request's number is the asker's to choose."""

_log = structlog.get_logger(__name__)


class SnapshotBlockMissing(Exception):
    """The state was restored, and nobody has the block that it is of: the node stops, and tries again."""


class _Questions:
    """Whom to ask next, and for how long: who does not answer comes after all others from then on."""

    def __init__(self, peers: Sequence[bytes], ask: Ask) -> None:
        self._ask = ask
        self._seconds = PATIENCE_SECONDS
        self.order = list(peers)

    async def ask(self, peer: bytes, request: FetchRequest) -> Found | None:
        """Ask a peer; None when it does not answer."""
        found = await self._ask(peer, request, self._seconds)
        if found is None:
            self.order.remove(peer)
            self.order.append(peer)
        return found

    def prefer(self, peer: bytes) -> None:
        """Ask this peer first, while it answers."""
        self.order.remove(peer)
        self.order.insert(0, peer)

    def drop(self, peer: bytes) -> None:
        """Ask this peer for nothing more."""
        self.order.remove(peer)

    def wait_longer(self) -> bool:
        """Nobody answered: give them more time from now on. False when they have had it."""
        if self._seconds >= ANSWER_SECONDS_MAX:
            return False
        self._seconds = ANSWER_SECONDS_MAX
        return True


async def restore(peers: Sequence[bytes], application: Snapshots, ask: Ask) -> RestoredBlock | None:
    """Restore the application from the first peer whose snapshot holds.

    A chunk is asked of the snapshot's peer first, then of all others: it is known by its SHA-256. Who sent a
    wrong one, or a snapshot that is none, is asked for nothing more; who does not answer, after all others.

    Returns: the block whose state it is; None when no peer's snapshot could be restored.

    Raises:
        DomainError: the application is away.
    """
    questions = _Questions(peers, ask)
    silent: list[bytes] = []
    for peer in chain(peers, silent):  # who did not answer at first has its second turn behind all first ones
        if peer in silent:
            questions.wait_longer()
        if peer not in questions.order:
            continue
        found = await questions.ask(peer, FetchRequest(0, snapshot=True))
        if found is None and peer not in silent:
            silent.append(peer)
        if found is None or not found.snapshot:
            continue
        questions.prefer(peer)
        try:
            _, missing = await application.offer_snapshot(found.snapshot)
            if await _fetch_chunks(missing, questions, application):
                await application.restore_snapshot()
                return await application.restored()
        except DomainError as error:
            if error.reason != _SNAPSHOT_INVALID:
                raise
            if peer in questions.order:
                questions.drop(peer)
        finally:
            STATE_SYNC_MISSING_CHUNKS.set(0)
    return None


async def _fetch_chunks(missing: Sequence[bytes], questions: _Questions, application: Snapshots) -> bool:
    """Hand the application every chunk; False when one is nowhere."""
    for position, digest in enumerate(missing):
        STATE_SYNC_MISSING_CHUNKS.set(len(missing) - position)
        while not await _fetch_chunk(digest, questions, application):
            if not questions.wait_longer():
                return False
        STATE_SYNC_CHUNKS.inc()
    return True


async def _fetch_chunk(digest: bytes, questions: _Questions, application: Snapshots) -> bool:
    for source in tuple(questions.order):
        found = await questions.ask(source, FetchRequest(0, snapshot_chunk=digest))
        if found is None or not found.snapshot:
            continue
        try:
            await application.put_snapshot_chunk(found.snapshot)
        except DomainError as error:
            if error.reason != _CHUNK_INVALID:
                raise
            questions.drop(source)
        else:
            return True
    return False


async def fetch_body(
    config: Config, restored: RestoredBlock, peers: Sequence[bytes], ask: Ask
) -> StoredBlock | None:
    """The block whose state was restored, as the block store keeps it; None when no peer has it."""
    header = parse_header(config.genesis_hash, restored.header)
    for peer in peers:
        found = await ask(peer, FetchRequest(0, block_hash=header.hash), ANSWER_SECONDS_MAX)
        for data in () if found is None else found.blocks[:1]:
            block = _parse(config, data)
            if block is not None and block.hash == header.hash:
                return _stored(block.header, data, restored)
    return None


def _parse(config: Config, data: bytes) -> Block | None:
    try:
        return parse_block(
            config.genesis_hash,
            data,
            bytes_max=config.block_bytes_max,
            transactions_max=config.block_transactions_max,
        )
    except MalformedMessage:
        return None


def _stored(header: BlockHeader, data: bytes, restored: RestoredBlock) -> StoredBlock:
    return StoredBlock(
        header.height,
        header.hash,
        header.epoch,
        header.view,
        data,
        restored.finalization,
        restored.descendant_headers,
    )


class Sources:
    """The other validators, before this one takes part: their answers, and nothing else that they say.

    A `peers.network.Listener`.
    """

    def __init__(self) -> None:
        self.peers: Peers
        """Where questions go; set before the first is asked."""
        self.heights: dict[bytes, int] = {}
        """Final heights by peer, as their Hellos said."""
        self._asked: dict[int, tuple[bytes, asyncio.Future[Found | None]]] = {}
        self._numbers = 0
        self._has_come = asyncio.Event()

    async def gather(self, count: int, seconds: float = GATHER_SECONDS_MAX) -> list[bytes]:
        """Wait until so many peers are connected, at most so long; the farthest ones first."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while len(self.heights) < count:
                    self._has_come.clear()
                    await self._has_come.wait()
        return sorted(self.heights, key=lambda peer: (-self.heights[peer], peer))

    async def ask(self, peer: bytes, request: FetchRequest, seconds: float) -> Found | None:
        """Ask a peer; None when it is not connected or does not answer in time."""
        self._numbers += 1
        number = self._numbers
        answer: asyncio.Future[Found | None] = asyncio.get_running_loop().create_future()
        self._asked[number] = (peer, answer)
        try:
            if not self.peers.send_fetch_request(peer, request._replace(request=number)):
                return None
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._asked[number]

    def on_frame(self, peer: bytes, frame: Any) -> None:
        """An answer is taken, everything else is dropped."""
        if frame.WhichOneof("kind") != "fetch_response":
            return
        response = frame.fetch_response
        asked, answer = self._asked.get(response.request, (b"", None))
        if answer is not None and asked == peer and not answer.done():
            answer.set_result(Found(blocks=tuple(response.blocks), snapshot=response.snapshot))

    def on_connected(self, peer: bytes, final_height: int) -> None:
        """A peer may be asked."""
        self.heights[peer] = final_height
        self._has_come.set()

    def on_disconnected(self, peer: bytes) -> None:
        """What it was asked may be lost."""
        self.heights.pop(peer, None)
        for asked, answer in self._asked.values():
            if asked == peer and not answer.done():
                answer.set_result(None)

    async def wait_for_room(self, _peer: bytes) -> None:
        """There is always room: what is not asked for is dropped."""


async def sync_state(
    config: Config, application: Snapshots, sources: Sources, peers_max: int, heights_min: int
) -> StoredBlock | None:
    """Restore the application, unless it is restored already, and fetch the block that its state is of.

    Args:
        config: the zone's.
        application: at genesis, or restored and not gone on since.
        sources: the others, once they are dialled.
        peers_max: how many there are at most.
        heights_min: how far ahead one of them must say to be.

    Returns: the first block of the block store; None when the state is to be executed from genesis on.

    Raises:
        SnapshotBlockMissing: see there.
        DomainError: the application is away.
    """
    restored = await application.restored()
    peers = await sources.gather(peers_max)
    if restored is None:
        if max(sources.heights.values(), default=0) < heights_min:
            return None
        _log.info("asking for a snapshot", peers=len(peers), heights=sorted(sources.heights.values()))
        restored = await restore(peers, application, sources.ask)
        if restored is None:
            _log.warning("no snapshot could be restored: every block is executed", peers=len(peers))
            return None
    for _ in range(BODY_TRIES_MAX):
        stored = await fetch_body(config, restored, await sources.gather(1), sources.ask)
        if stored is not None:
            _log.warning("begins with a snapshot", height=stored.height)
            return stored
        await asyncio.sleep(BODY_RETRY_SECONDS)
    raise SnapshotBlockMissing("the block whose state was restored is at none of the others")

"""Blocks and certificates between validators: asking for what is missing here, answering what others ask."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from icn_chain.block import Block
from icn_chain.header import INTEGER_MAX
from icn_crypto.hashing import HASH_BYTES
from icn_kit.errors import DomainError

from icn_consensus.domain.actions import Fetch, FetchBlock, FetchCertificates, FetchFinalBlocks
from icn_consensus.domain.events import BlocksFetched, CertificatesFetched, Event, FetchFailed
from icn_consensus.domain.replica import Replica
from icn_consensus.metrics import EVENTS_DROPPED
from icn_consensus.usecases.ports import BlockStore, FetchRequest, Found, Peers, Snapshots, StoredBlock

ANSWER_SECONDS_MAX: Final = 3.0
"""For two pages of 1 MiB over 10 Mbit/s; whoever is silent is not waited for so long (`domain.fetcher`)."""
WAITING_PER_PEER_MAX: Final = 4
"""The core asks one question of each of three kinds, and may have given one up."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Asked:
    fetch: Fetch
    timer: asyncio.TimerHandle


class Asking:
    """Carries out `Fetch` actions."""

    def __init__(self, peers: Peers, on_answer: Callable[[Event], None]) -> None:
        self._peers = peers
        self._on_answer = on_answer
        self._asked: dict[int, _Asked] = {}

    def put(self, fetch: Fetch) -> None:
        """Ask the seat; ends with one event."""
        what = fetch.what
        if isinstance(what, FetchBlock):
            request = FetchRequest(fetch.request, block_hash=what.block_hash)
        elif isinstance(what, FetchFinalBlocks):
            request = FetchRequest(fetch.request, final_from_height=what.from_height)
        else:
            request = FetchRequest(fetch.request, certificates_from_view=what.from_view)
        if not self._peers.send_fetch_request(fetch.peer, request):
            self._on_answer(FetchFailed(fetch.request))
            return
        timer = asyncio.get_running_loop().call_later(ANSWER_SECONDS_MAX, self._fail, fetch.request)
        self._asked[fetch.request] = _Asked(fetch, timer)

    def take_response(self, peer: bytes, response: Any) -> None:
        """A peer answered; answers that nobody waits for are dropped."""
        asked = self._asked.get(response.request)
        if asked is None or asked.fetch.peer != peer:
            return
        asked.timer.cancel()
        del self._asked[response.request]
        if isinstance(asked.fetch.what, FetchCertificates):
            self._on_answer(CertificatesFetched(response.request, peer, tuple(response.certificates)))
            return
        self._on_answer(
            BlocksFetched(
                response.request,
                peer,
                tuple(response.blocks),
                response.certificates[0] if response.certificates else b"",
                tuple(response.descendant_headers),
            )
        )

    def forget_peer(self, peer: bytes) -> None:
        """The stream to a peer broke: what it was asked may be lost."""
        for request, asked in list(self._asked.items()):
            if asked.fetch.peer == peer:
                asked.timer.cancel()
                self._fail(request)

    def close(self) -> None:
        """Wait for nothing any more."""
        for asked in self._asked.values():
            asked.timer.cancel()
        self._asked.clear()

    def _fail(self, request: int) -> None:
        if self._asked.pop(request, None) is not None:
            self._on_answer(FetchFailed(request))


class Answering:
    """Answers other validators' requests, one of each peer in turn; `run` keeps it going."""

    def __init__(
        self,
        peers: Peers,
        store: BlockStore,
        replica: Replica,
        find_unexecuted: Callable[[bytes], Block | None],
        snapshots: Snapshots,
    ) -> None:
        """``find_unexecuted`` finds a final block that may not be in the store yet."""
        self._peers = peers
        self._store = store
        self._replica = replica
        self._find_unexecuted = find_unexecuted
        self._snapshots = snapshots
        self._waiting: dict[bytes, deque[Any]] = {}
        """By peer; the first is answered next."""
        self._has_waiting = asyncio.Event()

    def put(self, peer: bytes, request: Any) -> None:
        """Take a FetchRequest, or drop it when the peer asks faster than it is answered."""
        waiting = self._waiting.setdefault(peer, deque())
        if len(waiting) >= WAITING_PER_PEER_MAX:
            EVENTS_DROPPED.labels("fetch").inc()
            return
        waiting.append(request)
        self._has_waiting.set()

    async def run(self) -> None:
        """Answer, until cancelled."""
        while True:
            await self._has_waiting.wait()
            peer = next(iter(self._waiting))
            waiting = self._waiting.pop(peer)
            request = waiting.popleft()
            if waiting:
                self._waiting[peer] = waiting  # behind the others
            if not self._waiting:
                self._has_waiting.clear()
            try:
                found = await self._find(request)
            except DomainError as error:
                _log.warning("a peer's request cannot be answered", peer=peer.hex(), problem=error.message)
                found = Found()
            self._peers.send_fetch_response(peer, request.request, found)

    async def _find(self, request: Any) -> Found:
        what = request.WhichOneof("what")
        if what == "block_hash" and len(request.block_hash) == HASH_BYTES:
            return await self._find_block(request.block_hash)
        if what == "final_from_height" and 0 < request.final_from_height <= INTEGER_MAX:
            page = await self._store.page(request.final_from_height)
            # A store that begins with a snapshot lacks the blocks before it.
            return page_of(page) if page and page[0].height == request.final_from_height else Found()
        if what == "certificates_from_view" and request.certificates_from_view <= INTEGER_MAX:
            return Found(certificates=self._replica.certificates_from(request.certificates_from_view))
        if what == "snapshot":
            return Found(snapshot=await self._snapshots.snapshot())
        if what == "snapshot_chunk" and len(request.snapshot_chunk) == HASH_BYTES:
            return Found(snapshot=await self._snapshots.snapshot_chunk(request.snapshot_chunk))
        return Found()

    async def _find_block(self, block_hash: bytes) -> Found:
        unfinished = self._replica.block(block_hash)
        if unfinished is not None:
            return Found((unfinished,))
        final = self._find_unexecuted(block_hash)
        if final is not None:
            return Found((final.data,))
        stored = await self._store.by_hash(block_hash)
        return Found() if stored is None else Found((stored.block,))


def page_of(page: Sequence[StoredBlock]) -> Found:
    """Blocks of the first one's epoch: who catches up learns only then who decides in the next."""
    blocks = [stored for stored in page if stored.epoch == page[0].epoch]
    last = blocks[-1]
    data = tuple(stored.block for stored in blocks)
    return Found(data, (last.finalization,), last.descendant_headers)

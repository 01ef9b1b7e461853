"""Restoring from peers some of whom lie, lack chunks or say nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from icn.consensus.v1 import block_pb2, peer_pb2
from icn_chain.block import Block, build_block
from icn_chain.header import parse_header
from icn_consensus.usecases import state_sync
from icn_consensus.usecases.ports import FetchRequest, Found, RestoredBlock
from icn_consensus.usecases.state_sync import (
    SnapshotBlockMissing,
    Sources,
    fetch_body,
    restore,
    sync_state,
)
from icn_crypto.hashing import sha256
from icn_crypto.merkle_log import EMPTY_ROOT
from icn_kit.errors import InvalidArgument, Unavailable

from .fakes import FakePeers
from .test_judging import some_block
from .test_recover import CONFIG

ANA, BEN, CAI = b"ana", b"ben", b"cai"
CHUNKS = (b"first", b"second", b"third")
DIGESTS = tuple(map(sha256, CHUNKS))
SNAPSHOT = b"".join(DIGESTS)


def block_at(height: int) -> Block:
    """A block whose body is the one that its header names."""
    fields = block_pb2.BlockHeader.FromString(some_block(height).header.data)
    fields.transactions_root = EMPTY_ROOT
    header = parse_header(bytes(32), fields.SerializeToString(deterministic=True))
    return build_block(header, [], b"", b"")


BLOCK = block_at(7)
RESTORED = RestoredBlock(BLOCK.header.data, b"finalization", (b"descendant",))


@dataclass
class Restores:
    """An application that takes SNAPSHOT and its chunks, and nothing else."""

    missing: list[bytes] = field(default_factory=list)
    offers: list[bytes] = field(default_factory=list)
    is_done: bool = False

    async def offer_snapshot(self, snapshot: bytes) -> tuple[int, tuple[bytes, ...]]:
        self.offers.append(snapshot)
        if snapshot != SNAPSHOT:
            raise InvalidArgument("SNAPSHOT_INVALID", "none")
        self.missing = list(DIGESTS)
        return 7, DIGESTS

    async def put_snapshot_chunk(self, chunk: bytes) -> None:
        if sha256(chunk) != self.missing[0]:
            raise InvalidArgument("SNAPSHOT_CHUNK_INVALID", "not that one")
        del self.missing[0]

    async def restore_snapshot(self) -> None:
        assert not self.missing
        self.is_done = True

    async def restored(self) -> RestoredBlock | None:
        return RESTORED if self.is_done else None


@dataclass
class World:
    """Peers by what they answer."""

    snapshots: dict[bytes, bytes | None]
    chunks: dict[bytes, Sequence[bytes]]
    lies: set[bytes] = field(default_factory=set)
    asked: list[tuple[bytes, FetchRequest]] = field(default_factory=list)
    slow: dict[bytes, float] = field(default_factory=dict)
    """Seconds that a peer needs to answer."""
    is_slow_at_once: bool = True
    """And not only after it has told of its snapshot."""
    waited_seconds: float = 0.0

    async def ask(self, peer: bytes, request: FetchRequest, seconds: float) -> Found | None:
        self.asked.append((peer, request))
        if (self.is_slow_at_once or not request.snapshot) and self.slow.get(peer, 0.0) > seconds:
            self.waited_seconds += seconds
            return None
        return self.answer(peer, request)

    def answer(self, peer: bytes, request: FetchRequest) -> Found | None:
        if request.snapshot:
            snapshot = self.snapshots.get(peer)
            return None if snapshot is None else Found(snapshot=snapshot)
        assert request.snapshot_chunk is not None
        if peer in self.lies:
            return Found(snapshot=b"forged")
        held = {sha256(chunk): chunk for chunk in self.chunks.get(peer, ())}
        return Found(snapshot=held.get(request.snapshot_chunk, b""))

    def asked_for_chunks(self, peer: bytes) -> int:
        return sum(asked == peer and request.snapshot_chunk is not None for asked, request in self.asked)


async def test_a_snapshot_is_taken_chunk_by_chunk_in_the_applications_order() -> None:
    application = Restores()
    world = World({ANA: SNAPSHOT}, {ANA: CHUNKS})
    assert await restore([ANA, BEN], application, world.ask) == RESTORED
    assert [request.snapshot_chunk for _, request in world.asked[1:]] == list(DIGESTS)


async def test_who_sends_a_wrong_chunk_is_asked_for_nothing_more() -> None:
    application = Restores()
    world = World({ANA: SNAPSHOT, BEN: SNAPSHOT}, {BEN: CHUNKS}, lies={ANA})
    assert await restore([ANA, BEN], application, world.ask) == RESTORED
    assert (world.asked_for_chunks(ANA), world.asked_for_chunks(BEN)) == (1, 3)


async def test_who_offers_a_snapshot_that_is_none_is_asked_for_nothing_more() -> None:
    application = Restores()
    world = World({ANA: b"forged", BEN: SNAPSHOT}, {ANA: CHUNKS, BEN: CHUNKS})
    assert await restore([ANA, BEN], application, world.ask) == RESTORED
    assert application.offers == [b"forged", SNAPSHOT]
    assert world.asked_for_chunks(ANA) == 0


async def test_chunks_come_from_whoever_has_them() -> None:
    application = Restores()
    world = World({CAI: SNAPSHOT}, {ANA: CHUNKS[:1], BEN: CHUNKS[1:]})
    assert await restore([ANA, BEN, CAI], application, world.ask) == RESTORED


@pytest.mark.parametrize(
    ("snapshots", "chunks"),
    [({}, {}), ({ANA: b"", BEN: None}, {ANA: CHUNKS}), ({ANA: SNAPSHOT, BEN: SNAPSHOT}, {ANA: CHUNKS[:2]})],
    ids=["nobody answers", "nobody has one", "a chunk is nowhere"],
)
async def test_without_a_whole_snapshot_nothing_is_restored(
    snapshots: dict[bytes, bytes | None], chunks: dict[bytes, Sequence[bytes]]
) -> None:
    application = Restores()
    assert await restore([ANA, BEN], application, World(snapshots, chunks).ask) is None
    assert not application.is_done


async def test_who_offers_a_snapshot_and_then_says_nothing_is_waited_for_once_and_not_for_long() -> None:
    application = Restores()
    world = World(
        {ANA: SNAPSHOT, BEN: SNAPSHOT}, {BEN: CHUNKS}, slow={ANA: float("inf")}, is_slow_at_once=False
    )
    assert await restore([ANA, BEN], application, world.ask) == RESTORED
    assert (world.asked_for_chunks(ANA), world.asked_for_chunks(BEN)) == (1, 3)
    assert world.waited_seconds == state_sync.PATIENCE_SECONDS


async def test_peers_that_are_all_slow_have_the_longer_time_from_then_on() -> None:
    application = Restores()
    slow = dict.fromkeys((ANA, BEN, CAI), state_sync.ANSWER_SECONDS_MAX)
    world = World({BEN: SNAPSHOT}, {BEN: CHUNKS}, slow=slow)
    assert await restore([ANA, BEN, CAI], application, world.ask) == RESTORED
    assert world.asked_for_chunks(BEN) == 3
    assert world.waited_seconds == 3 * state_sync.PATIENCE_SECONDS


async def test_an_application_that_is_away_is_no_liar() -> None:
    class Away(Restores):
        async def put_snapshot_chunk(self, chunk: bytes) -> None:
            raise Unavailable("DATABASE_UNAVAILABLE", "restarting")

    with pytest.raises(Unavailable):
        await restore([ANA], Away(), World({ANA: SNAPSHOT}, {ANA: CHUNKS}).ask)


async def test_the_block_of_the_state_is_taken_by_its_hash_and_with_what_the_application_has_judged() -> None:
    async def ask(peer: bytes, request: FetchRequest, _seconds: float) -> Found | None:
        assert request.block_hash == BLOCK.hash
        answers = {ANA: Found((b"no block",)), BEN: Found((block_at(8).data,)), CAI: Found((BLOCK.data,))}
        return answers[peer]

    assert await fetch_body(CONFIG, RESTORED, [ANA, BEN], ask) is None
    stored = await fetch_body(CONFIG, RESTORED, [ANA, BEN, CAI], ask)
    assert stored is not None
    assert (stored.height, stored.hash, stored.block) == (7, BLOCK.hash, BLOCK.data)
    assert (stored.finalization, stored.descendant_headers) == (b"finalization", (b"descendant",))


def sources_of(heights: dict[bytes, int], answer: Callable[[FetchRequest], Any]) -> Sources:
    """Connected peers that answer at once."""

    class Answers(FakePeers):
        def send_fetch_request(self, peer: bytes, request: FetchRequest) -> bool:
            response = answer(request)
            if response is not None:
                response.request = request.request
                sources.on_frame(peer, peer_pb2.PeerFrame(fetch_response=response))
            return peer in sources.heights

    sources = Sources()
    sources.peers = Answers()
    for peer, height in heights.items():
        sources.on_connected(peer, height)
    return sources


def honest(request: FetchRequest) -> Any:
    if request.snapshot:
        return peer_pb2.FetchResponse(snapshot=SNAPSHOT)
    if request.block_hash is not None:
        return peer_pb2.FetchResponse(blocks=[BLOCK.data])
    return peer_pb2.FetchResponse(snapshot=dict(zip(DIGESTS, CHUNKS, strict=True))[request.snapshot_chunk])


@pytest.mark.parametrize(("height", "is_synced"), [(99, False), (100, True)])
async def test_the_state_is_taken_from_so_many_heights_on_and_executed_below(
    height: int, is_synced: bool
) -> None:
    application = Restores()
    sources = sources_of({ANA: height, BEN: 3}, honest)
    stored = await sync_state(CONFIG, application, sources, 2, 100)
    assert (stored is not None) is application.is_done is is_synced


async def test_who_was_restored_and_stopped_before_its_block_was_stored_fetches_only_that() -> None:
    application = Restores(is_done=True)
    stored = await sync_state(CONFIG, application, sources_of({ANA: 3}, honest), 1, 100)
    assert stored is not None
    assert stored.hash == BLOCK.hash
    assert application.offers == []


async def test_a_block_that_nobody_has_is_asked_for_again_and_then_stops_the_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state_sync, "BODY_RETRY_SECONDS", 0.001)
    asked: list[FetchRequest] = []

    def answer(request: FetchRequest) -> Any:
        asked.append(request)
        return peer_pb2.FetchResponse()

    with pytest.raises(SnapshotBlockMissing):
        await sync_state(CONFIG, Restores(is_done=True), sources_of({ANA: 3}, answer), 1, 100)
    assert len(asked) == state_sync.BODY_TRIES_MAX


async def test_silence_a_broken_stream_and_strangers_answers_are_no_answer() -> None:
    sources = sources_of({ANA: 1}, lambda _request: None)
    assert await sources.ask(ANA, FetchRequest(0, snapshot=True), 0.01) is None
    assert await sources.ask(BEN, FetchRequest(0, snapshot=True), 0.01) is None
    frame = peer_pb2.PeerFrame(fetch_response=peer_pb2.FetchResponse(request=3, snapshot=b"another's"))

    class Breaks(FakePeers):
        def send_fetch_request(self, peer: bytes, request: FetchRequest) -> bool:
            sources.on_frame(BEN, frame)
            sources.on_frame(ANA, peer_pb2.PeerFrame(vote=b"a vote"))
            sources.on_disconnected(ANA)
            return True

    sources.peers = Breaks()
    assert await sources.ask(ANA, FetchRequest(0, snapshot=True), 0.01) is None
    assert await sources.gather(1, seconds=0.01) == []

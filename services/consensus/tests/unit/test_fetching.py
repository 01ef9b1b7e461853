from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from icn.consensus.v1 import peer_pb2
from icn_chain.block import Block
from icn_consensus.domain.actions import Fetch, FetchBlock, FetchCertificates, FetchFinalBlocks
from icn_consensus.domain.events import BlocksFetched, CertificatesFetched, Event, FetchFailed
from icn_consensus.usecases import fetching
from icn_consensus.usecases.fetching import Answering, Asking
from icn_consensus.usecases.ports import FetchRequest, Found, StoredBlock
from icn_crypto.hashing import sha256
from icn_kit.errors import Unavailable

from .fakes import CHUNK, FakePeers, FakeSnapshots, FakeStore, settle
from .test_judging import some_block

HASH = b"h" * 32
ANA, BEN = b"key of ana", b"key of ben"


class TestAsking:
    @pytest.fixture
    async def world(self) -> Any:
        peers, answers = FakePeers(), list[Event]()
        asking = Asking(peers, answers.append)
        yield peers, answers, asking
        asking.close()

    async def test_each_kind_of_request_is_sent_and_answered(self, world: Any) -> None:
        peers, answers, asking = world
        asking.put(Fetch(1, ANA, FetchBlock(HASH)))
        asking.put(Fetch(2, BEN, FetchFinalBlocks(7)))
        asking.put(Fetch(3, BEN, FetchCertificates(0)))
        assert peers.requests == [
            (ANA, FetchRequest(1, block_hash=HASH)),
            (BEN, FetchRequest(2, final_from_height=7)),
            (BEN, FetchRequest(3, certificates_from_view=0)),
        ]
        asking.take_response(ANA, peer_pb2.FetchResponse(request=1, blocks=[b"block"]))
        asking.take_response(
            BEN,
            peer_pb2.FetchResponse(request=2, blocks=[b"b"], certificates=[b"c"], descendant_headers=[b"h"]),
        )
        asking.take_response(BEN, peer_pb2.FetchResponse(request=3, certificates=[b"d"]))
        assert answers == [
            BlocksFetched(1, ANA, (b"block",)),
            BlocksFetched(2, BEN, (b"b",), b"c", (b"h",)),
            CertificatesFetched(3, BEN, (b"d",)),
        ]

    async def test_a_peer_that_is_not_connected_fails_at_once(self, world: Any) -> None:
        peers, answers, asking = world
        peers.away = {ANA}
        asking.put(Fetch(1, ANA, FetchBlock(HASH)))
        assert answers == [FetchFailed(1)]

    async def test_answers_of_another_peer_and_second_answers_are_dropped(self, world: Any) -> None:
        _, answers, asking = world
        asking.put(Fetch(1, ANA, FetchBlock(HASH)))
        asking.take_response(BEN, peer_pb2.FetchResponse(request=1, blocks=[b"forged"]))
        asking.take_response(ANA, peer_pb2.FetchResponse(request=9))
        assert answers == []
        for _ in range(2):
            asking.take_response(ANA, peer_pb2.FetchResponse(request=1))
        assert answers == [BlocksFetched(1, ANA, ())]

    async def test_a_broken_stream_fails_what_was_asked_of_that_peer_only(self, world: Any) -> None:
        _, answers, asking = world
        asking.put(Fetch(1, ANA, FetchBlock(HASH)))
        asking.put(Fetch(2, BEN, FetchBlock(HASH)))
        asking.forget_peer(ANA)
        assert answers == [FetchFailed(1)]

    async def test_no_answer_in_time_is_a_failure(self, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fetching, "ANSWER_SECONDS_MAX", 0.01)
        _, answers, asking = world
        asking.put(Fetch(1, ANA, FetchBlock(HASH)))
        await asyncio.sleep(0.1)
        assert answers == [FetchFailed(1)]
        asking.take_response(ANA, peer_pb2.FetchResponse(request=1))
        assert len(answers) == 1


class KnowsBlocks:
    """What `Answering` needs of a replica."""

    def block(self, block_hash: bytes) -> bytes | None:
        return b"unfinished" if block_hash == b"u" * 32 else None

    def certificates_from(self, view: int) -> tuple[bytes, ...]:
        return (b"certificate %d" % view,)


class TestAnswering:
    @pytest.fixture
    async def world(self) -> Any:
        peers, store = FakePeers(), FakeStore()
        for height in (1, 2, 3):
            block = some_block(height)
            store.blocks[height] = StoredBlock(height, block.hash, 0, height, b"final %d" % height, b"f", ())
        unexecuted = some_block(4)

        def find_unexecuted(block_hash: bytes) -> Block | None:
            return unexecuted if block_hash == unexecuted.hash else None

        answering = Answering(peers, store, KnowsBlocks(), find_unexecuted, FakeSnapshots())  # type: ignore[arg-type]
        task = asyncio.ensure_future(answering.run())
        yield peers, store, answering
        task.cancel()

    @pytest.mark.parametrize(
        ("what", "blocks", "certificates"),
        [
            ({"block_hash": b"u" * 32}, [b"unfinished"], []),
            ({"block_hash": some_block(4).hash}, [some_block(4).data], []),
            ({"block_hash": some_block(2).hash}, [b"final 2"], []),
            ({"block_hash": b"?" * 32}, [], []),
            ({"block_hash": b"short"}, [], []),
            ({"final_from_height": 2}, [b"final 2", b"final 3"], [b"f"]),
            ({"final_from_height": 4}, [], []),
            ({"final_from_height": 0}, [], []),
            ({"final_from_height": 2**63}, [], []),
            ({"certificates_from_view": 0}, [], [b"certificate 0"]),
            ({"certificates_from_view": 2**63}, [], []),
            ({}, [], []),
        ],
    )
    async def test_what_is_here_is_sent_and_nothing_is_an_answer_too(
        self, world: Any, what: dict[str, Any], blocks: list[bytes], certificates: list[bytes]
    ) -> None:
        peers, _, answering = world
        answering.put(ANA, peer_pb2.FetchRequest(request=5, **what))
        await settle()
        assert peers.responses == [(ANA, 5, Found(tuple(blocks), tuple(certificates)))]

    @pytest.mark.parametrize(
        ("what", "found"),
        [
            ({"snapshot": True}, b"a snapshot"),
            ({"snapshot_chunk": sha256(CHUNK)}, CHUNK),
            ({"snapshot_chunk": sha256(b"another")}, b""),
            ({"snapshot_chunk": b"short"}, b""),
        ],
    )
    async def test_snapshots_and_their_chunks_are_sent_as_the_application_keeps_them(
        self, world: Any, what: dict[str, Any], found: bytes
    ) -> None:
        peers, _, answering = world
        answering.put(ANA, peer_pb2.FetchRequest(request=5, **what))
        await settle()
        assert peers.responses == [(ANA, 5, Found(snapshot=found))]

    async def test_a_store_that_begins_above_the_height_asked_for_answers_that_it_has_nothing(
        self, world: Any
    ) -> None:
        peers, store, answering = world
        del store.blocks[1]
        answering.put(ANA, peer_pb2.FetchRequest(request=5, final_from_height=1))
        await settle()
        assert peers.responses == [(ANA, 5, Found())]

    async def test_a_peer_that_asks_faster_than_it_is_answered_is_not_heard(self, world: Any) -> None:
        peers, _, answering = world
        for request in range(fetching.WAITING_PER_PEER_MAX + 1):
            answering.put(ANA, peer_pb2.FetchRequest(request=request))
        answering.put(BEN, peer_pb2.FetchRequest(request=99))
        await settle()
        assert [request for _, request, _ in peers.responses] == [0, 99, 1, 2, 3]
        answering.put(ANA, peer_pb2.FetchRequest(request=100))
        await settle()
        assert peers.responses[-1][1] == 100

    async def test_whoever_asks_much_is_answered_in_turn_with_the_others(self, world: Any) -> None:
        """Else a seat's question for a body waits behind all the pages that followers want."""
        peers, _, answering = world
        for request, peer in enumerate((ANA, ANA, ANA, BEN, BEN, b"key of cem")):
            answering.put(peer, peer_pb2.FetchRequest(request=request))
        await settle()
        assert [request for _, request, _ in peers.responses] == [0, 3, 5, 1, 4, 2]

    async def test_a_store_that_is_away_gives_an_empty_answer(self, world: Any) -> None:
        peers, store, answering = world

        async def fail(_from_height: int) -> Any:
            raise Unavailable("DATABASE_UNAVAILABLE", "restarting")

        store.page = fail
        answering.put(ANA, peer_pb2.FetchRequest(request=1, final_from_height=1))
        await settle()
        assert peers.responses == [(ANA, 1, Found())]

    async def test_a_page_ends_where_an_epoch_does_and_shows_that_its_last_block_is_final(
        self, world: Any
    ) -> None:
        peers, store, answering = world
        store.blocks[2] = dataclasses.replace(store.blocks[2], descendant_headers=(b"after the edge",))
        store.blocks[3] = dataclasses.replace(store.blocks[3], epoch=1)
        answering.put(ANA, peer_pb2.FetchRequest(request=1, final_from_height=2))
        answering.put(ANA, peer_pb2.FetchRequest(request=2, final_from_height=3))
        await settle()
        assert peers.responses == [
            (ANA, 1, Found((b"final 2",), (b"f",), (b"after the edge",))),
            (ANA, 2, Found((b"final 3",), (b"f",))),
        ]

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from icn.consensus.v1 import peer_pb2
from icn_chain.protocols import NEWEST_PROTOCOL
from icn_consensus.peers import frames
from icn_consensus.peers import network as networks
from icn_consensus.peers.hello import Greeting, Identity
from icn_consensus.peers.network import FOLLOWERS_MAX, PeerNetwork
from icn_consensus.peers.standing import FAULTS_MAX
from icn_consensus.usecases.crypto import ConsensusCrypto
from icn_crypto.suites import SigningKey, Suite
from icn_kit.errors import Unavailable

KEY = SigningKey.from_seed(Suite.ED25519, bytes(32))
GENESIS = b"g" * 32


class CallThatEatsACancellation:
    """As one of grpc.aio does when a cancellation reaches it while the stream begins."""

    def __init__(self) -> None:
        self.is_writing = asyncio.Event()
        self.has_eaten = False

    async def write(self, _data: bytes) -> None:
        self.is_writing.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self.has_eaten:
                raise
            self.has_eaten = True
            none = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, none, none, "stopping") from None

    def cancel(self) -> bool:
        return True


async def test_closing_ends_although_a_stream_that_begins_eats_the_cancellation() -> None:
    call = CallThatEatsACancellation()
    channels: Any = SimpleNamespace(
        channel=lambda _address: SimpleNamespace(stream_stream=lambda _method: lambda: call),
        certificate_hash=b"",
    )
    identity = Identity(GENESIS, KEY.public_key, ConsensusCrypto(KEY, GENESIS))
    listener: Any = None
    network = PeerNetwork(
        identity, ["peer"], channels, listener, final_height=lambda: 0, is_named=lambda _peer: True
    )
    network.start(lambda work, name: asyncio.create_task(work, name=name))
    await call.is_writing.wait()
    async with asyncio.timeout(5):
        await network.close()
    assert call.has_eaten


@pytest.mark.parametrize("is_named", [True, False])
async def test_of_who_holds_no_seat_only_questions_answers_and_recoveries_are_heard(is_named: bool) -> None:
    others = SigningKey.from_seed(Suite.ED25519, bytes([1] * 32))
    heard: list[str] = []

    async def wait_for_room(_peer: bytes) -> None:
        pass

    listener: Any = SimpleNamespace(
        on_frame=lambda _peer, frame: heard.append(frame.WhichOneof("kind")),
        on_connected=lambda _peer, _height: None,
        on_disconnected=lambda _peer: None,
        wait_for_room=wait_for_room,
    )
    identity = Identity(GENESIS, KEY.public_key, ConsensusCrypto(KEY, GENESIS))
    channels: Any = SimpleNamespace()
    network = PeerNetwork(
        identity, [], channels, listener, final_height=lambda: 0, is_named=lambda _peer: is_named
    )
    greeting = Greeting(Identity(GENESIS, others.public_key, ConsensusCrypto(others, GENESIS)))
    questions = [
        peer_pb2.PeerFrame(fetch_request=peer_pb2.FetchRequest(request=1, final_from_height=1)),
        peer_pb2.PeerFrame(fetch_response=peer_pb2.FetchResponse(request=1)),
        peer_pb2.PeerFrame(recovery=b"recovery"),
    ]
    words = [
        peer_pb2.PeerFrame(vote=b"vote"),
        peer_pb2.PeerFrame(proposal=b"proposal"),
        peer_pb2.PeerFrame(certificate=b"certificate"),
        peer_pb2.PeerFrame(transactions=peer_pb2.TransactionBatch(transactions=[b"transaction"])),
        peer_pb2.PeerFrame(traces=peer_pb2.TraceBatch()),
    ]
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def requests() -> AsyncIterator[bytes]:
        yield frames.request_bytes(greeting.say(0))
        greeting.hear(frames.parse_frame(await answers.get()), must_answer=True)
        yield frames.request_bytes(greeting.say(0))
        for frame in words + questions:
            yield frames.request_bytes(frame)

    known: list[int] = []
    listener.on_connected = lambda peer, _height: known.append(network.protocol_newest(peer))
    await network.serve(requests(), answers.put)
    assert known == [NEWEST_PROTOCOL]
    assert network.protocol_newest(others.public_key) == 0, "the stream has ended"
    kinds = [frame.WhichOneof("kind") for frame in words + questions]
    assert heard == kinds[0 if is_named else len(words) :]


async def test_whoever_fills_all_places_of_followers_with_one_certificate_drives_out_only_itself() -> None:
    """Eight strangers with a certificate of the zone once kept every validator with a new key out."""
    connected: list[bytes] = []
    has_come = asyncio.Event()

    def on_connected(peer: bytes, _height: int) -> None:
        connected.append(peer)
        has_come.set()

    listener: Any = SimpleNamespace(
        on_frame=lambda _peer, _frame: None,
        on_connected=on_connected,
        on_disconnected=connected.remove,
    )
    identity = Identity(GENESIS, KEY.public_key, ConsensusCrypto(KEY, GENESIS))
    network = PeerNetwork(
        identity, [], SimpleNamespace(), listener, final_height=lambda: 0, is_named=lambda _peer: False
    )
    streams: list[asyncio.Task[None]] = []

    async def follow(seed: int, *names: str) -> bytes:
        key = SigningKey.from_seed(Suite.ED25519, bytes([seed] * 32))
        greeting = Greeting(Identity(GENESIS, key.public_key, ConsensusCrypto(key, GENESIS)))
        answers: asyncio.Queue[bytes] = asyncio.Queue()

        async def requests() -> AsyncIterator[bytes]:
            yield frames.request_bytes(greeting.say(0))
            greeting.hear(frames.parse_frame(await answers.get()), must_answer=True)
            yield frames.request_bytes(greeting.say(0))
            await asyncio.Event().wait()

        serving = network.serve(requests(), answers.put, frozenset(names))
        streams.append(asyncio.create_task(serving))
        async with asyncio.timeout(5):
            await has_come.wait()
        has_come.clear()
        return key.public_key

    crowd = [await follow(seed, "crowd") for seed in range(1, FOLLOWERS_MAX + 1)]
    new = await follow(100, "new")
    assert connected == [*crowd[1:], new]
    last = await follow(101, "crowd")
    assert connected == [*crowd[2:], new, last]
    again = await follow(102, "new")
    assert connected == [*crowd[2:], last, again]
    with pytest.raises(Unavailable) as refused:
        await streams[0]
    assert refused.value.reason == "FOLLOWERS_FULL"
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*streams, return_exceptions=True)


class Answering:
    """The call of a stream that we dial: who answers shakes hands and sends what it is given."""

    def __init__(self, key: SigningKey, messages: list[Any]) -> None:
        self._messages = messages
        self._greeting = Greeting(Identity(GENESIS, key.public_key, ConsensusCrypto(key, GENESIS)), b"")
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()
        self._written = 0

    async def write(self, data: bytes) -> None:
        self._written += 1
        if self._written == 1:
            self._greeting.hear(frames.parse_frame(data), must_answer=False)
            self._answers.put_nowait(frames.request_bytes(self._greeting.say(0)))
        elif self._written == 2:
            for message in self._messages:
                self._answers.put_nowait(message)

    async def read(self) -> Any:
        return await self._answers.get()

    @property
    def unread(self) -> int:
        return self._answers.qsize()

    def cancel(self) -> bool:
        return True


class Dialling:
    """A network that has dialled one peer, and blames it for every frame but its first ``free`` ones."""

    def __init__(self, messages: list[Any], *, is_named: bool, free: int = 0) -> None:
        peer = SigningKey.from_seed(Suite.ED25519, bytes([1] * 32))
        self.peer, self.streams, self.heard = peer.public_key, 0, 0

        def call() -> Answering:
            self.streams += 1
            self.newest = Answering(peer, messages)
            return self.newest

        def on_frame(key: bytes, _frame: peer_pb2.PeerFrame) -> None:
            self.heard += 1
            if self.heard > free:
                self.network.note_fault(key)

        async def wait_for_room(_peer: bytes) -> None:
            await asyncio.sleep(0)

        listener: Any = SimpleNamespace(
            on_frame=on_frame,
            on_connected=lambda _peer, _height: None,
            on_disconnected=lambda _peer: None,
            wait_for_room=wait_for_room,
        )
        channels: Any = SimpleNamespace(
            channel=lambda _address: SimpleNamespace(stream_stream=lambda _method: call), certificate_hash=b""
        )
        identity = Identity(GENESIS, KEY.public_key, ConsensusCrypto(KEY, GENESIS))
        self.network = PeerNetwork(
            identity, ["peer"], channels, listener, final_height=lambda: 0, is_named=lambda _peer: is_named
        )

    async def run_for(self, seconds: float) -> None:
        self.network.start(lambda work, name: asyncio.create_task(work, name=name))
        await asyncio.sleep(seconds)
        self.is_connected, _ = self.network.connection(self.peer)
        self.is_barred = self.network.is_barred(self.peer)
        await self.network.close()


VOTES = [frames.request_bytes(peer_pb2.PeerFrame(vote=b"vote %d" % number)) for number in range(100)]
QUESTIONS = [
    frames.request_bytes(peer_pb2.PeerFrame(fetch_request=peer_pb2.FetchRequest(request=number)))
    for number in range(1, 101)
]


async def test_a_barred_peer_is_not_heard_on_the_stream_that_we_dialled_and_that_stays() -> None:
    dialling = Dialling(VOTES, is_named=True)
    await dialling.run_for(0.3)
    assert dialling.heard == FAULTS_MAX
    assert (dialling.is_barred, dialling.is_connected, dialling.streams) == (True, True, 1)
    assert dialling.newest.unread == len(VOTES) - FAULTS_MAX - 1, "what it sends meanwhile waits at its end"


async def test_who_holds_no_seat_is_heard_no_more_on_the_stream_that_we_dialled() -> None:
    dialling = Dialling([*VOTES, *QUESTIONS], is_named=False, free=1_000)
    await dialling.run_for(0.3)
    assert (dialling.heard, dialling.is_connected) == (len(QUESTIONS), True)


async def test_a_follower_at_fault_loses_the_stream_that_we_dialled_and_is_not_dialled_at_once() -> None:
    dialling = Dialling(QUESTIONS, is_named=False)
    await dialling.run_for(0.5)
    assert dialling.heard == dialling.streams <= 4


async def test_a_stream_that_ends_for_what_is_no_frame_is_dialled_again_ever_later() -> None:
    dialling = Dialling([b"\xff" * 100], is_named=True)
    await dialling.run_for(0.7)
    assert 2 <= dialling.streams <= 5, "after 0.1, 0.2 and 0.4 s, or down to half of each"


async def test_a_peer_that_ends_its_streams_at_once_is_dialled_ever_later() -> None:
    """It made every validator say its state and its proposals again, a dozen times a second."""
    dialling = Dialling([grpc.aio.EOF], is_named=True)
    await dialling.run_for(0.7)
    assert 2 <= dialling.streams <= 5


async def test_a_peer_whose_stream_lasted_is_dialled_at_once_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "RECONNECT_SECONDS_MAX", 0.0)
    monkeypatch.setattr(networks, "RECONNECT_SECONDS_FIRST", 0.02)
    dialling = Dialling([grpc.aio.EOF], is_named=True)
    await dialling.run_for(0.5)
    assert dialling.streams > 5

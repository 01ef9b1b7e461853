"""Streams to and from the other validators. Source: protos/icn/consensus/v1/peer.proto.

Each validator dials every address it was given, and writes to a peer on the stream that it dialled; where it
has none, as to one that came later, on the stream that the peer dialled. So reconnecting needs no agreement.
A peer is its consensus key. Whom no known set names is a follower: it is told what everybody is told, its
questions are answered, and nothing else that it says is heard. Who is barred is heard on no stream.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import grpc
import grpc.aio
import structlog
from icn.consensus.v1 import peer_pb2
from icn_kit.channel import ChannelFactory
from icn_kit.errors import DomainError, InvalidArgument, Unavailable, from_rpc_error
from icn_kit.lifecycle import cancel_all

from icn_consensus.domain.actions import MessageKind
from icn_consensus.metrics import PEER_BYTES, PEER_FAULTS, PEER_FRAMES_DROPPED, PEERS_CONNECTED
from icn_consensus.peers import frames
from icn_consensus.peers.hello import Greeting, HelloRefused, Identity
from icn_consensus.peers.outbox import Outbox
from icn_consensus.peers.standing import Standing
from icn_consensus.usecases.ports import FetchRequest, Found, PeerStreams

CONNECT: Final = "/icn.consensus.v1.PeerService/Connect"
HELLO_SECONDS_MAX: Final = 5.0
"""For a handshake of three messages; a peer that is up needs milliseconds."""
RECONNECT_SECONDS_FIRST: Final = 0.1
RECONNECT_SECONDS_MAX: Final = 2.0
"""A validator that starts again within 5 s is found within 2 s more, however long it was away. A stream that
ends sooner than so is as none: the next is dialled ever later."""
FOLLOWERS_MAX: Final = 8
"""Streams of callers that no set names: validators that wait for their seat. A newer one takes the place of
the oldest of the same certificate's names, else of the oldest of the names with most streams."""
FOLLOWERS_FRAMES: Final = ("fetch_request", "fetch_response", "recovery")
"""What is heard of them: their questions, their answers to ours, and what would give all of them seats."""

_SENT_BYTES: Final = PEER_BYTES.labels("sent")
_RECEIVED_BYTES: Final = PEER_BYTES.labels("received")

_log = structlog.get_logger(__name__)


class Listener(Protocol):
    """Whoever wants to hear from the other validators."""

    def on_frame(self, peer: bytes, frame: peer_pb2.PeerFrame) -> None:
        """A frame came from who has proven to hold this key."""

    def on_connected(self, peer: bytes, final_height: int) -> None:
        """What is sent to this peer from now on is written."""

    def on_disconnected(self, peer: bytes) -> None:
        """The stream to this peer broke."""

    async def wait_for_room(self, peer: bytes) -> None:
        """Return when more frames of the peer may come."""


class _Traffic:
    """What went over the streams of one peer, since the first of them opened."""

    __slots__ = ("dropped_frames", "received_bytes", "sent_bytes")

    def __init__(self) -> None:
        self.sent_bytes = self.received_bytes = self.dropped_frames = 0

    def sent(self, size_bytes: int) -> None:
        """Count a message that was written."""
        self.sent_bytes += size_bytes
        _SENT_BYTES.inc(size_bytes)

    def received(self, size_bytes: int) -> None:
        """Count a message that was read."""
        self.received_bytes += size_bytes
        _RECEIVED_BYTES.inc(size_bytes)


class _Link:
    """An address that we dial."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.outbox = Outbox()
        self.peer = b""
        """Who answers there; empty while there is no stream."""
        self.is_cut = False
        """Whether the stream ends, or ended, for what came on it: then it is not dialled at once again."""
        self.last_problem = ""


class _Call:
    """A stream that a peer dialled."""

    def __init__(self, task: asyncio.Task[Any], names: frozenset[str]) -> None:
        self.task = task
        self.outbox = Outbox()
        self.names = names
        """Of the caller's certificate."""
        self.ended_by: DomainError | None = None
        """Why we cancelled it."""

    def end(self, why: DomainError) -> None:
        """Cancel it; the caller is told why."""
        self.ended_by = why
        self.task.cancel()


class PeerNetwork:
    """This validator's connections. `start` after the listener is ready, `close` at the end."""

    def __init__(
        self,
        identity: Identity,
        addresses: Sequence[str],
        channels: ChannelFactory,
        listener: Listener,
        *,
        final_height: Callable[[], int],
        is_named: Callable[[bytes], bool],
    ) -> None:
        """``is_named``: whether a set that the state knows names this key."""
        self._identity = identity
        self._channels = channels
        self._listener = listener
        self._final_height = final_height
        self._is_named = is_named
        self._links = [_Link(address) for address in addresses]
        self._dialled: dict[bytes, _Link] = {}
        self._calls: dict[bytes, _Call] = {}
        self._outboxes: dict[bytes, Outbox] = {}
        """Where what is for a peer waits to be written."""
        self._heights: dict[bytes, int] = {}
        """Highest final block that a peer told of, while there is a stream."""
        self._protocols: dict[bytes, int] = {}
        """Newest protocol version that a peer says it can decide by, while there is a stream."""
        self._traffic: dict[bytes, _Traffic] = {}
        """Of peers with a stream."""
        self._standings: dict[bytes, Standing] = {}
        """Of keys that a set names."""
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, guard: Callable[[Any, str], asyncio.Task[None]]) -> None:
        """Begin to dial; ``guard`` runs a coroutine as a task that must not fail."""
        self._tasks = [
            guard(self._keep_connected(link), f"consensus.peer.{link.address}") for link in self._links
        ]

    async def close(self) -> None:
        """End the streams that we dialled."""
        await cancel_all(self._tasks)

    def connection(self, peer: bytes) -> tuple[bool, int]:
        """Whether a stream to or from it is open, and the highest final height it told of."""
        return peer in self._outboxes, self._heights.get(peer, 0)

    def protocol_newest(self, peer: bytes) -> int:
        """Newest protocol version that a peer can decide by, as it says; 0 without a stream to or from it."""
        return self._protocols.get(peer, 0) if peer in self._outboxes else 0

    def streams(self) -> dict[bytes, PeerStreams]:
        """By peer with a stream."""
        return {
            peer: PeerStreams(
                peer in self._dialled,
                self._heights.get(peer, 0),
                traffic.sent_bytes,
                traffic.received_bytes,
                traffic.dropped_frames,
            )
            for peer, traffic in self._traffic.items()
        }

    def is_barred(self, peer: bytes) -> bool:
        """Whether its streams are refused for now."""
        return self._barred_seconds(peer) > 0

    def _barred_seconds(self, peer: bytes) -> float:
        standing = self._standings.get(peer)
        return 0.0 if standing is None else standing.barred_seconds(time.monotonic())

    def told_height(self) -> int:
        """The highest final block that a connected peer told of."""
        return max(self._heights.values(), default=0)

    def note_final_height(self, peer: bytes, height: int) -> None:
        """A peer told of a final block."""
        self._heights[peer] = max(height, self._heights.get(peer, 0))

    def note_fault(self, peer: bytes) -> None:
        """A peer sent what no honest validator sends; when that was too much, the stream that it dialled is
        cut. Ours stays, where a set names it: it hears what it needs."""
        if not self._note_fault(peer, "malformed messages", is_fatal=False):
            return
        if peer in self._calls:
            self._calls[peer].end(_barred(peer))
        if peer in self._dialled and not self._is_named(peer):
            self._dialled[peer].is_cut = True

    def _note_fault(self, peer: bytes, problem: str, *, is_fatal: bool) -> bool:
        """Count a fault; True when the peer is barred from now on."""
        PEER_FAULTS.labels("frame" if is_fatal else "message").inc()
        if not self._is_named(peer):
            return True  # nobody misses a follower
        standing, now = self._standings.setdefault(peer, Standing()), time.monotonic()
        if standing.barred_seconds(now):
            return True  # for what its stream sent before it was cut
        seconds = standing.note_fault(now, is_fatal=is_fatal)
        if not seconds:
            return False
        _log.error("a peer is barred", peer=peer.hex(), seconds=seconds, problem=problem)
        return True

    # --- sending: usecases.ports.Peers

    def broadcast(self, kind: MessageKind, data: bytes, except_peers: tuple[bytes, ...]) -> None:
        """Send to everybody but those."""
        frame = frames.message_frame(kind, data)
        for peer in self._outboxes:
            if peer not in except_peers:
                self._put(peer, frame, is_urgent=True)

    def send(self, peer: bytes, kind: MessageKind, data: bytes) -> None:
        """Send to one peer."""
        self._put(peer, frames.message_frame(kind, data), is_urgent=True)

    def send_transactions(self, peer: bytes, transactions: Sequence[bytes]) -> bool:
        """Send transactions; False when the peer is not connected."""
        return self._put(peer, frames.transactions_frame(transactions), is_urgent=False)

    def broadcast_traces(self, traces: Sequence[tuple[bytes, str]]) -> None:
        """Tell everybody who is connected."""
        frame = frames.traces_frame(traces)
        for peer in self._outboxes:
            self._put(peer, frame, is_urgent=False)

    def send_fetch_request(self, peer: bytes, request: FetchRequest) -> bool:
        """Ask a peer; False when it is not connected."""
        return self._put(peer, frames.fetch_request_frame(request), is_urgent=True)

    def send_fetch_response(self, peer: bytes, request: int, found: Found) -> None:
        """Answer a peer."""
        self._put(peer, frames.fetch_response_frame(request, found), is_urgent=False)

    def _put(self, peer: bytes, frame: bytes, *, is_urgent: bool) -> bool:
        outbox = self._outboxes.get(peer)
        if outbox is None:
            return False
        dropped = outbox.put(frame, is_urgent=is_urgent)
        if dropped:
            PEER_FRAMES_DROPPED.inc(dropped)
            self._traffic[peer].dropped_frames += dropped
        return True

    def _choose_outbox(self, peer: bytes) -> None:
        """Streams to or from a peer came or went: tell the listener where that changes how it is reached."""
        link, call = self._dialled.get(peer), self._calls.get(peer)
        chosen = link.outbox if link is not None else call.outbox if call is not None else None
        before = self._outboxes.get(peer)
        if chosen is before:
            return
        if before is not None:
            del self._outboxes[peer]
            self._listener.on_disconnected(peer)  # what waited there is lost
        if chosen is not None:
            chosen.clear()
            self._traffic.setdefault(peer, _Traffic())
            self._outboxes[peer] = chosen
            self._listener.on_connected(peer, self._heights.get(peer, 0))
        else:
            self._heights.pop(peer, None)
            self._protocols.pop(peer, None)
            self._traffic.pop(peer, None)
        PEERS_CONNECTED.labels(self._identity.label).set(len(self._outboxes))

    def _take(self, peer: bytes, data: bytes, traffic: _Traffic, *, is_heard: bool) -> None:
        """Hand over the frames of a message; of who is not heard only those of `FOLLOWERS_FRAMES`."""
        traffic.received(len(data))
        try:
            parsed = frames.parse_frames(data)
        except frames.MalformedFrame as error:
            self._note_fault(peer, str(error), is_fatal=True)
            raise
        for frame in parsed:
            if is_heard or frame.WhichOneof("kind") in FOLLOWERS_FRAMES:
                self._listener.on_frame(peer, frame)

    # --- streams we dial

    async def _keep_connected(self, link: _Link) -> None:
        delay_seconds = RECONNECT_SECONDS_FIRST
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        while True:
            dialled_at = time.monotonic()
            try:
                await self._run_stream(link)
            except HelloRefused as refusal:
                self._note_problem(link, str(refusal))
            except frames.MalformedFrame as error:
                link.is_cut = True
                self._note_problem(link, str(error))
            except grpc.RpcError as error:
                answer = from_rpc_error(error)
                self._note_problem(link, f"{answer.reason}: {answer.message}")
            except (TimeoutError, asyncio.InvalidStateError, grpc.aio.UsageError) as error:
                self._note_problem(link, f"the stream broke: {type(error).__name__}")
            if link.peer:
                if not link.is_cut and time.monotonic() - dialled_at >= RECONNECT_SECONDS_MAX:
                    delay_seconds = RECONNECT_SECONDS_FIRST
                self._disconnected(link)
            if task.cancelling():
                return  # gRPC answers a cancellation that reaches it while a call begins with an error
            # Both ends of a broken pair, and all peers of a restarted one, try at different moments.
            await asyncio.sleep(delay_seconds * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            delay_seconds = min(2 * delay_seconds, RECONNECT_SECONDS_MAX)

    async def _run_stream(self, link: _Link) -> None:
        """Connect, shake hands, write what is queued and read until the stream ends."""
        connect = self._channels.channel(link.address).stream_stream(CONNECT)
        greeting = Greeting(self._identity, self._channels.certificate_hash)
        call = connect()
        try:
            async with asyncio.timeout(HELLO_SECONDS_MAX):
                await call.write(frames.request_bytes(greeting.say(self._final_height())))
                answer = await call.read()
                if answer is grpc.aio.EOF:
                    raise HelloRefused(f"the stream ended: {await call.details()}")
                greeting.hear(frames.parse_frame(answer), must_answer=True)
                other = self._dialled.get(greeting.peer)
                if other is not None:
                    raise HelloRefused(f"{greeting.peer.hex()} answers at {other.address}, too")
                await call.write(frames.request_bytes(greeting.say(self._final_height())))
            link.peer = greeting.peer
            link.is_cut = False
            link.last_problem = ""
            self._dialled[link.peer] = link
            self.note_final_height(link.peer, greeting.final_height)
            self._protocols[link.peer] = greeting.protocol_newest
            _log.info("peer connected", peer=link.peer.hex(), address=link.address)
            self._choose_outbox(link.peer)
            await self._exchange(call, link)
        finally:
            call.cancel()

    async def _exchange(self, call: Any, link: _Link) -> None:
        peer = link.peer
        traffic = self._traffic[peer]

        async def read() -> None:
            while (data := await call.read()) is not grpc.aio.EOF:
                if link.is_cut:
                    raise HelloRefused(_barred(peer).message)
                if barred_seconds := self._barred_seconds(peer):
                    traffic.received(len(data))
                    await asyncio.sleep(barred_seconds)  # what it sends meanwhile waits at its end
                    continue
                self._take(peer, data, traffic, is_heard=self._is_named(peer))
                await self._listener.wait_for_room(peer)

        writing = asyncio.ensure_future(_write(call.write, link.outbox, traffic))
        reading = asyncio.ensure_future(read())
        try:
            await asyncio.wait({writing, reading}, return_when=asyncio.FIRST_COMPLETED)
            for done in (writing, reading):
                if done.done():
                    done.result()
        except asyncio.CancelledError:
            # A call that ended shows itself to its readers and writers as a cancellation, too.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise asyncio.InvalidStateError from None
        finally:
            writing.cancel()
            reading.cancel()
            await asyncio.gather(writing, reading, return_exceptions=True)

    def _disconnected(self, link: _Link) -> None:
        peer, link.peer = link.peer, b""
        del self._dialled[peer]
        _log.info("peer disconnected", peer=peer.hex(), address=link.address, problem=link.last_problem)
        self._choose_outbox(peer)

    def _note_problem(self, link: _Link, problem: str) -> None:
        """Log a problem once, not at every try."""
        if problem != link.last_problem and not link.peer:
            _log.warning("no stream to peer", address=link.address, problem=problem)
        link.last_problem = problem

    # --- streams others dial

    async def serve(
        self,
        requests: AsyncIterator[bytes],
        write: Callable[[bytes], Awaitable[None]],
        names: frozenset[str] = frozenset(),
        channel: bytes = b"",
    ) -> None:
        """Serve one stream that a peer dialled, until it ends. ``names`` and ``channel`` are of its
        certificate, the latter its hash; both empty in plain text.

        Raises:
            HelloRefused: the caller has not the key it says it has.
            InvalidArgument: MALFORMED_FRAME.
            Unavailable: STREAM_REPLACED, the same peer dialled again; HELLO_LATE; FOLLOWERS_FULL,
                a newer follower took the place; PEER_BARRED, it sent too much that no honest validator sends.
        """
        peer = await self._shake_hands(requests, write, channel)
        task = asyncio.current_task()
        assert task is not None, "gRPC runs every call in a task"
        call = _Call(task, names)
        if not self._is_named(peer) and peer not in self._calls:
            self._make_room_for_follower(names)
        previous = self._calls.get(peer)
        if previous is not None:
            previous.end(Unavailable("STREAM_REPLACED", "the same peer has dialled again"))
        self._calls[peer] = call
        self._choose_outbox(peer)
        traffic = self._traffic[peer]
        writing = asyncio.ensure_future(_write(write, call.outbox, traffic))
        try:
            async for data in requests:
                self._take(peer, data, traffic, is_heard=self._is_named(peer))
                await self._listener.wait_for_room(peer)
        except frames.MalformedFrame as error:
            raise _malformed(str(error)) from error
        except asyncio.CancelledError:
            if call.ended_by is None:
                raise
            raise call.ended_by from None
        finally:
            writing.cancel()
            if self._calls.get(peer) is call:
                del self._calls[peer]
                self._choose_outbox(peer)

    def _make_room_for_follower(self, names: frozenset[str]) -> None:
        """End the stream of another follower when there are too many: whoever fills all places with one
        certificate drives out only itself."""
        followers = {peer: call for peer, call in self._calls.items() if not self._is_named(peer)}
        if len(followers) < FOLLOWERS_MAX:
            return
        crowds = [call.names for call in followers.values()]
        crowd = names if names in crowds else max(crowds, key=crowds.count)
        oldest = next(peer for peer, call in followers.items() if call.names == crowd)
        followers[oldest].end(Unavailable("FOLLOWERS_FULL", f"a newer one of {FOLLOWERS_MAX} followers came"))
        del self._calls[oldest]
        self._choose_outbox(oldest)

    async def _shake_hands(
        self, requests: AsyncIterator[bytes], write: Callable[[bytes], Awaitable[None]], channel: bytes
    ) -> bytes:
        greeting = Greeting(self._identity, channel)
        try:
            async with asyncio.timeout(HELLO_SECONDS_MAX):
                greeting.hear(_parsed(await anext(requests)), must_answer=False)
                # Before it proves its key, so that a barred validator sees no stream open. A stranger that
                # claims the key changes nothing by it.
                if self.is_barred(greeting.peer):
                    raise _barred(greeting.peer)
                await write(frames.request_bytes(greeting.say(self._final_height())))
                greeting.hear(_parsed(await anext(requests)), must_answer=True)
        except TimeoutError:
            raise Unavailable("HELLO_LATE", f"no Hello within {HELLO_SECONDS_MAX:g} s") from None
        except StopAsyncIteration:
            raise HelloRefused("the stream ended before the Hello") from None
        self.note_final_height(greeting.peer, greeting.final_height)
        self._protocols[greeting.peer] = greeting.protocol_newest
        return greeting.peer


async def _write(write: Callable[[bytes], Awaitable[None]], outbox: Outbox, traffic: _Traffic) -> None:
    """Write what is queued, until cancelled or the stream breaks."""
    while True:
        message = frames.joined(await outbox.take())
        await write(message)
        traffic.sent(len(message))


def _parsed(data: bytes) -> peer_pb2.PeerFrame:
    try:
        return frames.parse_frame(data)
    except frames.MalformedFrame as error:
        raise _malformed(str(error)) from error


def _barred(peer: bytes) -> DomainError:
    # Without the seconds that are left: who dials logs a problem once while its words stay the same.
    return Unavailable("PEER_BARRED", f"{peer.hex()} sent what no honest validator sends: try again later")


def _malformed(message: str) -> DomainError:
    return InvalidArgument("MALFORMED_FRAME", message)

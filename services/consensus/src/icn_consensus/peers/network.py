"""Streams to and from the other validators. Source: protos/icn/consensus/v1/peer.proto.

Each validator dials every other and writes on the streams that it dialled; what it hears comes on those that
others dialled. So a stream has one writer and one reader, and reconnecting needs no agreement.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import grpc
import grpc.aio
import structlog
from icn.consensus.v1 import peer_pb2
from icn_kit.channel import ChannelFactory
from icn_kit.errors import DomainError, InvalidArgument, Unavailable, from_rpc_error
from icn_kit.lifecycle import cancel_all

from icn_consensus.domain.actions import MessageKind
from icn_consensus.metrics import PEER_FAULTS, PEER_FRAMES_DROPPED, PEERS_CONNECTED
from icn_consensus.peers import frames
from icn_consensus.peers.hello import Greeting, HelloRefused, Identity
from icn_consensus.peers.outbox import Outbox
from icn_consensus.peers.standing import Standing
from icn_consensus.usecases.ports import FetchRequest, Found

CONNECT: Final = "/icn.consensus.v1.PeerService/Connect"
HELLO_SECONDS_MAX: Final = 5.0
"""For a handshake of three messages; a peer that is up needs milliseconds."""
RECONNECT_SECONDS_FIRST: Final = 0.1
RECONNECT_SECONDS_MAX: Final = 2.0
"""A validator that starts again within 5 s is found within 2 s more, however long it was away."""

_log = structlog.get_logger(__name__)


class Listener(Protocol):
    """Whoever wants to hear from the other validators."""

    def on_frame(self, peer: bytes, frame: peer_pb2.PeerFrame) -> None:
        """A frame came from who has proven to hold this key."""

    def on_connected(self, peer: bytes, final_height: int) -> None:
        """What is sent to this peer from now on is written."""

    def on_disconnected(self, peer: bytes) -> None:
        """The stream to this peer broke."""

    async def wait_for_room(self) -> None:
        """Return when more frames may come."""


class _Link:
    """The stream to one peer."""

    def __init__(self, seat: int, peer: bytes, address: str) -> None:
        self.seat = seat
        self.peer = peer
        self.address = address
        self.outbox = Outbox()
        self.is_connected = False
        self.final_height = 0
        """Highest that the peer told of."""
        self.last_problem = ""


class PeerNetwork:
    """This validator's connections. `start` after the listener is ready, `close` at the end."""

    def __init__(
        self,
        identity: Identity,
        addresses: Mapping[int, str],
        channels: ChannelFactory,
        listener: Listener,
        final_height: Callable[[], int],
    ) -> None:
        self._identity = identity
        self._channels = channels
        self._listener = listener
        self._final_height = final_height
        keys = identity.validators.public_keys
        self._links = {seat: _Link(seat, keys[seat], address) for seat, address in sorted(addresses.items())}
        self._inbound: dict[int, asyncio.Task[Any]] = {}
        self._replaced: set[asyncio.Task[Any]] = set()
        self._barred: set[asyncio.Task[Any]] = set()
        self._standings = {seat: Standing() for seat in self._links}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, guard: Callable[[Any, str], asyncio.Task[None]]) -> None:
        """Begin to dial; ``guard`` runs a coroutine as a task that must not fail."""
        self._tasks = [
            guard(self._keep_connected(link), f"consensus.peer.{link.seat}") for link in self._links.values()
        ]

    async def close(self) -> None:
        """End the streams that we dialled."""
        await cancel_all(self._tasks)

    def connections(self) -> list[tuple[int, bool, int]]:
        """Per other seat: whether a stream to or from it is open, and the highest final height it told of."""
        return [
            (link.seat, link.is_connected or link.seat in self._inbound, link.final_height)
            for link in self._links.values()
        ]

    def note_final_height(self, peer: bytes, height: int) -> None:
        """A peer told of a final block."""
        link = self._links[self._identity.validators.seat_of(peer)]
        link.final_height = max(link.final_height, height)

    def note_fault(self, peer: bytes) -> None:
        """A peer sent what no honest validator sends; when that was too much, its stream is cut."""
        seat = self._identity.validators.seat_of(peer)
        if self._note_fault(seat, "malformed messages", is_fatal=False):
            stream = self._inbound.get(seat)
            if stream is not None:
                self._barred.add(stream)
                stream.cancel()

    def _note_fault(self, seat: int, problem: str, *, is_fatal: bool) -> bool:
        """Count a fault; True when the seat is barred from now on."""
        PEER_FAULTS.labels("frame" if is_fatal else "message").inc()
        standing, now = self._standings[seat], time.monotonic()
        if standing.is_barred(now):
            return True  # for what its stream sent before it was cut
        seconds = standing.note_fault(now, is_fatal=is_fatal)
        if not seconds:
            return False
        _log.error("a seat is barred", seat=seat, seconds=seconds, problem=problem)
        return True

    # --- sending: usecases.ports.Peers

    def broadcast(self, kind: MessageKind, data: bytes, except_peers: tuple[bytes, ...]) -> None:
        """Send to everybody but those."""
        frame = frames.message_frame(kind, data)
        for link in self._links.values():
            if link.peer not in except_peers:
                self._put(link, frame, is_urgent=True)

    def send(self, peer: bytes, kind: MessageKind, data: bytes) -> None:
        """Send to one peer."""
        self._put(self._link(peer), frames.message_frame(kind, data), is_urgent=True)

    def send_transactions(self, peer: bytes, transactions: Sequence[bytes]) -> bool:
        """Send transactions; False when the peer is not connected."""
        return self._put(self._link(peer), frames.transactions_frame(transactions), is_urgent=False)

    def broadcast_traces(self, traces: Sequence[tuple[bytes, str]]) -> None:
        """Tell everybody who is connected."""
        frame = frames.traces_frame(traces)
        for link in self._links.values():
            self._put(link, frame, is_urgent=False)

    def send_fetch_request(self, peer: bytes, request: FetchRequest) -> bool:
        """Ask a peer; False when it is not connected."""
        return self._put(self._link(peer), frames.fetch_request_frame(request), is_urgent=True)

    def send_fetch_response(self, peer: bytes, request: int, found: Found) -> None:
        """Answer a peer."""
        self._put(self._link(peer), frames.fetch_response_frame(request, found), is_urgent=False)

    def _link(self, peer: bytes) -> _Link:
        return self._links[self._identity.validators.seat_of(peer)]

    def _put(self, link: _Link, frame: bytes, *, is_urgent: bool) -> bool:
        if not link.is_connected:
            return False
        dropped = link.outbox.put(frame, is_urgent=is_urgent)
        if dropped:
            PEER_FRAMES_DROPPED.inc(dropped)
        return True

    # --- streams we dial

    async def _keep_connected(self, link: _Link) -> None:
        delay_seconds = RECONNECT_SECONDS_FIRST
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        while True:
            try:
                await self._run_stream(link)
            except (HelloRefused, frames.MalformedFrame) as refusal:
                self._note_problem(link, str(refusal))
            except grpc.RpcError as error:
                answer = from_rpc_error(error)
                self._note_problem(link, f"{answer.reason}: {answer.message}")
            except (TimeoutError, asyncio.InvalidStateError, grpc.aio.UsageError) as error:
                self._note_problem(link, f"the stream broke: {type(error).__name__}")
            if link.is_connected:
                delay_seconds = RECONNECT_SECONDS_FIRST
                self._disconnected(link)
            if task.cancelling():
                return  # gRPC answers a cancellation that reaches it while a call begins with an error
            # Both ends of a broken pair, and all peers of a restarted one, try at different moments.
            await asyncio.sleep(delay_seconds * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            delay_seconds = min(2 * delay_seconds, RECONNECT_SECONDS_MAX)

    async def _run_stream(self, link: _Link) -> None:
        """Connect, shake hands, write what is queued until the stream ends."""
        connect = self._channels.channel(link.address).stream_stream(CONNECT)
        call = connect()
        try:
            greeting = Greeting(self._identity, expected_seat=link.seat)
            async with asyncio.timeout(HELLO_SECONDS_MAX):
                await call.write(frames.request_bytes(greeting.say(self._final_height())))
                answer = await call.read()
                if answer is grpc.aio.EOF:
                    raise HelloRefused(f"the stream ended: {await call.details()}")
                greeting.hear(frames.parse_frame(answer), must_answer=True)
                await call.write(frames.request_bytes(greeting.say(self._final_height())))
            link.outbox.clear()
            link.is_connected = True
            link.last_problem = ""
            self.note_final_height(link.peer, greeting.final_height)
            PEERS_CONNECTED.labels(self._identity.seat).inc()
            _log.info("peer connected", seat=link.seat)
            self._listener.on_connected(link.peer, greeting.final_height)
            await self._write_until_closed(call, link)
        finally:
            call.cancel()

    async def _write_until_closed(self, call: Any, link: _Link) -> None:
        async def write() -> None:
            while True:
                await call.write(frames.joined(await link.outbox.take()))

        writing = asyncio.ensure_future(write())
        reading = asyncio.ensure_future(
            call.read()
        )  # the callee says nothing more: this ends with the stream
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
        link.is_connected = False
        link.outbox.clear()
        PEERS_CONNECTED.labels(self._identity.seat).dec()
        _log.info("peer disconnected", seat=link.seat, problem=link.last_problem)
        self._listener.on_disconnected(link.peer)

    def _note_problem(self, link: _Link, problem: str) -> None:
        """Log a problem once, not at every try."""
        if problem != link.last_problem and not link.is_connected:
            _log.warning("no stream to peer", seat=link.seat, address=link.address, problem=problem)
        link.last_problem = problem

    # --- streams others dial

    async def serve(self, requests: AsyncIterator[bytes], write: Callable[[bytes], Awaitable[None]]) -> None:
        """Serve one stream that a peer dialled, until it ends.

        Raises:
            HelloRefused: the caller is not a validator of this zone.
            InvalidArgument: MALFORMED_FRAME.
            Unavailable: STREAM_REPLACED, the same seat dialled again; HELLO_LATE; SEAT_BARRED, it sent too
                much that no honest validator sends.
        """
        seat = await self._shake_hands(requests, write)
        task = asyncio.current_task()
        assert task is not None, "gRPC runs every call in a task"
        previous = self._inbound.get(seat)
        if previous is not None:
            self._replaced.add(previous)
            previous.cancel()
        self._inbound[seat] = task
        listener = self._listener
        peer = self._identity.validators.public_keys[seat]
        try:
            async for data in requests:
                for frame in self._all_parsed(seat, data):
                    listener.on_frame(peer, frame)
                await listener.wait_for_room()
        except asyncio.CancelledError:
            if task in self._replaced:
                raise Unavailable("STREAM_REPLACED", "the same seat has dialled again") from None
            if task in self._barred:
                raise _barred(seat) from None
            raise
        finally:
            self._replaced.discard(task)
            self._barred.discard(task)
            if self._inbound.get(seat) is task:
                del self._inbound[seat]

    async def _shake_hands(
        self, requests: AsyncIterator[bytes], write: Callable[[bytes], Awaitable[None]]
    ) -> int:
        greeting = Greeting(self._identity)
        try:
            async with asyncio.timeout(HELLO_SECONDS_MAX):
                greeting.hear(_parsed(await anext(requests)), must_answer=False)
                # Before it proves its seat, so that the validator of a barred seat sees no stream open. A
                # stranger that claims the seat changes nothing by it.
                if self._standings[greeting.seat].is_barred(time.monotonic()):
                    raise _barred(greeting.seat)
                await write(frames.request_bytes(greeting.say(self._final_height())))
                greeting.hear(_parsed(await anext(requests)), must_answer=True)
        except TimeoutError:
            raise Unavailable("HELLO_LATE", f"no Hello within {HELLO_SECONDS_MAX:g} s") from None
        except StopAsyncIteration:
            raise HelloRefused("the stream ended before the Hello") from None
        self.note_final_height(self._identity.validators.public_keys[greeting.seat], greeting.final_height)
        return greeting.seat

    def _all_parsed(self, seat: int, data: bytes) -> list[peer_pb2.PeerFrame]:
        try:
            return frames.parse_frames(data)
        except frames.MalformedFrame as error:
            self._note_fault(seat, str(error), is_fatal=True)
            raise _malformed(str(error)) from error


def _parsed(data: bytes) -> peer_pb2.PeerFrame:
    try:
        return frames.parse_frame(data)
    except frames.MalformedFrame as error:
        raise _malformed(str(error)) from error


def _barred(seat: int) -> DomainError:
    # Without the seconds that are left: who dials logs a problem once while its words stay the same.
    return Unavailable("SEAT_BARRED", f"seat {seat} sent what no honest validator sends: try again later")


def _malformed(message: str) -> DomainError:
    return InvalidArgument("MALFORMED_FRAME", message)

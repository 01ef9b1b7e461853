"""A connection through a gateway, for devices that reach neither validators nor services.

What is signed is signed here; the gateway carries bytes, and what it answers can be proven against the
genesis file (`icn proof`). Source: docs/spec/gateway.md, "Calls".
"""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote

from google.protobuf.message import DecodeError
from icn.consensus.v1.service_pb2 import GetStatusResponse, PeerStatus
from icn.ledger.v1.service_pb2 import GetTransactionRequest
from icn.ledger.v1.service_pb2_grpc import LedgerServiceStub
from icn.ledger.v1.transaction_pb2 import Transaction
from icn_kit.errors import (
    DeadlineExceeded,
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from icn_kit.ledger_streams import WATCH_ACCOUNT

from icn_client.connection import STATEMENT, Connection, NetworkFile, ValidatorAddress
from icn_client.sign_in import origin_of
from icn_client.submitter import DoorClosed, News, NewsState, TransactionMalformed
from icn_client.transactions import transaction_id

SECONDS_MAX: Final = 20.0
ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
"""Above the largest message that a service sends, 4 MiB."""
WAIT_MS: Final = 5_000
REQUESTS_AT_ONCE: Final = 8
WATCH_POLL_SECONDS: Final = 2.0
"""Between two looks at a watched account: some blocks."""
OCTET_STREAM: Final = "application/octet-stream"

_ERROR_OF_STATUS: Final = {
    400: InvalidArgument,
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    409: FailedPrecondition,
    429: ResourceExhausted,
    504: DeadlineExceeded,
}
"""Everything else is Unavailable: the gateway or what is behind it does not work."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers in lower case, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> dict[str, Any]:
        """The body as JSON. Raises Unavailable (ANSWER_MALFORMED)."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Unavailable("ANSWER_MALFORMED", "the answer is not a gateway's")
        return found

    def refusal(self) -> DomainError:
        """The problem that it holds, as gRPC would have told it."""
        problem = self.document()
        kind = _ERROR_OF_STATUS.get(self.status, Unavailable)
        figures = problem.get("figures")
        return kind(
            str(problem.get("reason", "UNKNOWN")),
            str(problem.get("detail", "")),
            **(figures if isinstance(figures, dict) else {}),
        )


class Gateway:
    """Requests to one gateway, a few at once."""

    def __init__(self, url: str) -> None:
        self.origin = origin_of(url)
        self._gate = asyncio.Semaphore(REQUESTS_AT_ONCE)

    async def get(self, path: str) -> Answer:
        """Raises Unavailable (GATEWAY_UNREACHABLE)."""
        return await self._ask(path, None)

    async def post(self, path: str, content: bytes) -> Answer:
        """Bytes. Raises as `get`."""
        return await self._ask(path, content)

    async def call(self, method: str, request: bytes, metadata: Sequence[tuple[str, str]] = ()) -> bytes:
        """The response message of a call; the metadata becomes headers. Raises DomainError."""
        answer = await self._ask(f"/v1/calls?method={quote(method, safe='')}", request, metadata)
        if answer.status != 200:
            raise answer.refusal()
        return answer.body

    async def validators(self) -> dict[str, Any]:
        """What ``/v1/validators`` says. Raises DomainError."""
        answer = await self.get("/v1/validators")
        if answer.status != 200:
            raise answer.refusal()
        return answer.document()

    async def _ask(self, path: str, content: bytes | None, headers: Sequence[tuple[str, str]] = ()) -> Answer:
        async with self._gate:
            return await asyncio.to_thread(self._ask_now, path, content, headers)

    def _ask_now(self, path: str, content: bytes | None, headers: Sequence[tuple[str, str]]) -> Answer:
        request = urllib.request.Request(  # noqa: S310 - `origin_of` lets http and https through, nothing else
            self.origin + path,
            data=content,
            headers={**({"content-type": OCTET_STREAM} if content is not None else {}), **dict(headers)},
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS_MAX) as answer:  # noqa: S310
                return _read(answer.status, answer)
        except urllib.error.HTTPError as error:
            with error:
                return _read(error.code, error)
        except (OSError, ValueError) as error:
            raise Unavailable("GATEWAY_UNREACHABLE", f"{self.origin}: {error}") from error


def _read(status: int, answer: Any) -> Answer:
    body = answer.read(ANSWER_BYTES_MAX + 1)
    if len(body) > ANSWER_BYTES_MAX:
        raise Unavailable("ANSWER_MALFORMED", f"the answer has more than {ANSWER_BYTES_MAX} bytes")
    return Answer(status, {name.lower(): value for name, value in answer.headers.items()}, body)


class GatewayChannel:
    """Stands where the generated stubs expect a `grpc.aio.Channel`; of the streams GetStatement and
    WatchAccount go through a gateway, an answer per call."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes],
        response_deserializer: Callable[[bytes], Any],
        **_options: Any,
    ) -> Callable[..., Awaitable[Any]]:
        """A call of this method; it raises DomainError."""

        async def call(request: Any, metadata: Sequence[tuple[str, str]] = (), **_options: Any) -> Any:
            answer = await self._gateway.call(method, request_serializer(request), metadata)
            try:
                return response_deserializer(answer)
            except DecodeError:
                raise Unavailable("ANSWER_MALFORMED", f"the answer is none of {method}") from None

        return call

    def unary_stream(self, method: str, *codecs: Any, **options: Any) -> Callable[..., Any]:
        """One answer of GetStatement, perhaps not whole, or of WatchAccount; any other is refused."""
        if method not in {STATEMENT, WATCH_ACCOUNT}:
            return self.stream_stream(method)
        ask = self.unary_unary(method, *codecs, **options)

        async def call(request: Any, **options: Any) -> AsyncIterator[Any]:
            yield await ask(request, **options)
            if method == WATCH_ACCOUNT:  # whoever watches goes on at once
                await asyncio.sleep(WATCH_POLL_SECONDS)

        return call

    def stream_stream(self, method: str, *_parts: Any, **_options: Any) -> Callable[..., Any]:
        """Refuses."""

        def call(*_parts: Any, **_options: Any) -> Any:
            raise Unavailable("NO_STREAMS", f"{method} is a stream, which no gateway carries")

        return call

    stream_unary = stream_stream


class GatewayConnection(Connection):
    """As `Connection`, through a gateway alone."""

    def __init__(self, network: NetworkFile) -> None:
        super().__init__(network)
        self.gateway = Gateway(network.gateway_url)
        self._channel = GatewayChannel(self.gateway)
        self._ledger = LedgerServiceStub(self._channel)

    def doors(self) -> list[Any]:
        """One, the gateway."""
        return [GatewayDoor(self)]

    def ledger(self, address: ValidatorAddress) -> Any:
        """The ledger as the gateway asks it, whichever validator is meant."""
        return self._ledger

    def service(self, make: Callable[[Any], T], name: str) -> T:
        """Stub of a service."""
        return make(self._channel)

    def _service_channel(self, name: str) -> Any:
        return self._channel

    async def statuses(self) -> list[GetStatusResponse | None]:
        """As the gateway says. Raises DomainError."""
        shown = await self.gateway.validators()
        return [_status(shown, address.organization.hex()) for address in self.network.validators]

    async def read(self, call: Callable[[Any], Awaitable[T]]) -> T:
        """Ask the ledger. Raises DomainError."""
        return await call(self._at_height(self._ledger))


def _status(shown: Mapping[str, Any], organization: str) -> GetStatusResponse | None:
    """Where the validator of an organization stands; None where it does not answer or holds no seat."""
    try:
        found = [one for one in shown["validators"] if one["organization"] == organization]
        status = found[0]["status"] if found else None
        if status is None:
            return None
        return GetStatusResponse(
            seat=found[0]["seat"],
            is_seated=True,
            peers=[
                PeerStatus(
                    seat=peer["seat"],
                    is_connected=peer["is_connected"],
                    protocol_newest=peer.get("protocol_newest", 0),
                )
                for peer in status["peers"]
            ],
            epoch=status["epoch"],
            view=status["view"],
            final_height=status["final_height"],
            executed_height=status["executed_height"],
            state_root=bytes.fromhex(status["state_root"]),
            block_time_ms=status["block_time_ms"],
            pool_transactions=status["pool_transactions"],
            genesis_hash=bytes.fromhex(shown["genesis_hash"]),
            is_catching_up=status["is_catching_up"],
            protocol_version=status.get("protocol_version", 0),
            protocol_newest=status.get("protocol_newest", 0),
            protocol_next=status.get("protocol_next", 0),
            halted=status.get("halted", ""),
        )
    except (KeyError, TypeError, ValueError):
        raise Unavailable("ANSWER_MALFORMED", "the answer is not a gateway's") from None


class GatewayDoor:
    """The gateway as the submitter sees it (`icn_client.submitter.Door`)."""

    def __init__(self, connection: GatewayConnection) -> None:
        self._connection = connection
        self.name = connection.gateway.origin

    async def open(self) -> GatewayStream:
        """Once it has shown that it is of the same zone."""
        try:
            shown = await self._connection.gateway.validators()
        except DomainError as error:
            raise DoorClosed(f"{error.reason}: {error.message}") from error
        if shown.get("genesis_hash") != self._connection.genesis.hash.hex():
            raise DoorClosed("it is of another zone")
        return GatewayStream(self)

    async def find(self, transaction: bytes) -> News | None:
        """Ask the ledger by id."""
        request = GetTransactionRequest(name=f"transactions/{transaction.hex()}")
        try:
            found = await self._connection.read(lambda stub: stub.GetTransaction(request))
        except NotFound:
            return None
        except DomainError as error:
            raise DoorClosed(f"{error.reason}: {error.message}") from error
        self._connection.note_height(found.height)
        receipt = found.receipt.SerializeToString(deterministic=True)
        return News(transaction, NewsState.COMMITTED, height=found.height, receipt=receipt)

    async def block_time_ms(self) -> int:
        """Of the newest block that a validator executed, as the gateway says."""
        try:
            return await self._connection.newest_block_time_ms()
        except DomainError as error:
            raise DoorClosed(f"{error.reason}: {error.message}") from error

    async def submit(self, data: bytes) -> News:
        """One transaction, until it is included, refused or WAIT_MS have passed.

        Raises:
            DoorClosed, TransactionMalformed: see there.
        """
        identifier = transaction_id(self._connection.genesis.hash, Transaction.FromString(data).body)
        try:
            answer = await self._connection.gateway.post(f"/v1/transactions?wait_ms={WAIT_MS}", data)
            if answer.status == 200:
                height = answer.document().get("height")
                if isinstance(height, int):
                    self._connection.note_height(height)
                return await self.find(identifier) or News(identifier, NewsState.PENDING)
            if answer.status == 202:
                is_unknown = answer.document().get("state") == "unknown"
                return News(identifier, NewsState.UNKNOWN if is_unknown else NewsState.PENDING)
            error = answer.refusal()
        except DomainError as unreachable:
            raise DoorClosed(f"{unreachable.reason}: {unreachable.message}") from unreachable
        if error.reason == "MALFORMED_TRANSACTION":
            raise TransactionMalformed(error.message)
        if answer.status == 408 or answer.status >= 500:
            return News(identifier, NewsState.UNKNOWN)
        seconds = answer.headers.get("retry-after", "")
        retry_after_ms = int(seconds) * 1_000 if seconds.isdecimal() and len(seconds) < 5 else 0
        return News(
            identifier,
            NewsState.REFUSED,
            reason=error.reason,
            message=error.message,
            retry_after_ms=retry_after_ms,
        )


class GatewayStream:
    """Transactions to a gateway, one request each (`icn_client.submitter.DoorStream`)."""

    def __init__(self, door: GatewayDoor) -> None:
        self._door = door
        self._news: asyncio.Queue[News | Exception] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    async def send(self, transactions: Sequence[bytes]) -> None:
        """Start a request for each."""
        for data in transactions:
            task = asyncio.create_task(self._submit(data))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _submit(self, data: bytes) -> None:
        try:
            self._news.put_nowait(await self._door.submit(data))
        except (DoorClosed, TransactionMalformed) as error:
            self._news.put_nowait(error)

    async def news(self) -> AsyncIterator[Sequence[News]]:
        """What the gateway says, as it comes."""
        while True:
            said = await self._news.get()
            if isinstance(said, Exception):
                raise said
            yield [said]

    async def close(self) -> None:
        """Let go of what is under way; it may still be included."""
        for task in self._tasks:
            task.cancel()

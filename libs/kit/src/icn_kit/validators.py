"""The validators as one ledger and one pool: asks the preferred one, and the next when it is unreachable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Set
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar, cast

import grpc
import structlog
from google.protobuf.message import Message
from icn.consensus.v1 import service_pb2 as consensus
from icn.consensus.v1.service_pb2_grpc import ConsensusServiceStub
from icn.ledger.v1 import service_pb2 as ledger
from icn.ledger.v1.service_pb2_grpc import LedgerServiceStub
from icn_chain.quorum import faults_of
from prometheus_client import Counter, Gauge

from icn_kit.agreement import AgreedReads
from icn_kit.block_clock import BlockSource
from icn_kit.channel import ChannelFactory
from icn_kit.errors import (
    LASTING_REASONS,
    DeadlineExceeded,
    DomainError,
    ErrorKind,
    ResourceExhausted,
    Unavailable,
    from_rpc_error,
)
from icn_kit.ledger_reads import LedgerReads
from icn_kit.min_height import read_metadata
from icn_kit.preference import (
    Standing,
    ValidatorAddress,
    is_lagging,
    newest_height,
    order_of_preference,
)
from icn_kit.trace import trace_metadata

READ_SECONDS_MAX = 5.0
"""Longest a client waits for a read, whoever of the validators gives it."""
ATTEMPT_SECONDS_MAX = 2.0
"""Then a read is tried on the next validator: one that hangs must not use up the whole time."""
SUBMIT_SECONDS_MARGIN = 5.0
"""What a submission may take beyond the wait the client asked for."""
SUBMIT_PATIENCE_SECONDS = 1.0
"""A submission may wait for a block; who is silent for so long is asked whether it is there at all."""
STATUS_SECONDS_MAX = 1.0
"""A validator that needs longer to say where it stands is shown as not reachable."""
WATCH_SECONDS = 5.0
"""How often the standings are refreshed; four questions cost about 1 ms of CPU."""
STANDINGS_SECONDS_MAX = 2 * WATCH_SECONDS
"""Older standings are refreshed before anything rests on them, where nobody watches."""
STANDINGS_SECONDS_MIN = 0.25
"""They are refreshed no more often when too few validators seem up to date."""

FAILOVERS = Counter(
    "icn_kit_validator_failovers_total", "Calls that went to another validator than the first asked."
)
REACHABLE = Gauge(
    "icn_kit_validators_reachable", "Validators that answered the last question for their status."
)

_ELSEWHERE = frozenset({ErrorKind.UNAVAILABLE, ErrorKind.CANCELLED})
"""After these the call goes to the next validator."""
STATE_BEHIND = "STATE_BEHIND"
"""Reason of UNAVAILABLE from a validator that works and has not executed the height that was asked for."""
STATEMENT_PART_BYTES = 2 * 1024 * 1024
"""Of a statement, in one answer for clients that no stream reaches."""

Response = TypeVar("Response")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ValidatorReport:
    """What one validator said of itself just now."""

    seat: int
    status: consensus.GetStatusResponse | None
    """None when it could not be reached."""


class Validators(LedgerReads):
    """Reads of the ledger, submissions and statuses over all validators of the zone.

    Every read is answered by one validator, which may lie: good for pages, which proofs check. What
    authority or money rests on is read from ``agreed``.

    Every read raises `icn_kit.errors.DomainError`: the validator's refusal as it is, ``Unavailable`` when no
    validator could be reached, ``DeadlineExceeded`` when time ran out.

    Args:
        addresses: one per seat. f is counted among them, so list every validator of the zone: of fewer than
            four each one is believed.
        channels: a factory without retries of its own, since another validator is asked sooner than the same
            one again, and with those of `icn_kit.ledger_streams` that are followed among its long-lived
            ones.
    """

    def __init__(self, addresses: Sequence[ValidatorAddress], channels: ChannelFactory) -> None:
        assert addresses, "settings require at least one validator"
        self._addresses = {address.seat: address for address in addresses}
        self._standings = [Standing(seat) for seat in sorted(self._addresses)]
        self._preferred_seat = self._standings[0].seat
        self._channels = channels
        self._standings_read_at = float("-inf")
        self._reading_standings: asyncio.Task[Sequence[ValidatorReport]] | None = None
        self.agreed = AgreedReads(self)
        """The same reads, each answered by f + 1 validators alike."""

    @property
    def size(self) -> int:
        """See `icn_kit.agreement.Panel`."""
        return len(self._standings)

    @property
    def faulty_max(self) -> int:
        """See `icn_kit.agreement.Panel`."""
        return faults_of(len(self._standings))

    async def eligible(self, needed: int) -> tuple[Sequence[Standing], int]:
        """See `icn_kit.agreement.Panel`."""
        await self._refresh_standings(STANDINGS_SECONDS_MAX)
        found, newest = self._up_to_date()
        if len(found) < needed:
            await self._refresh_standings(STANDINGS_SECONDS_MIN)
            found, newest = self._up_to_date()
        return found, newest

    def _up_to_date(self) -> tuple[Sequence[Standing], int]:
        newest = newest_height(self._standings)
        ordered = order_of_preference(self._standings, self._preferred_seat, monotonic())
        return [standing for standing in ordered if not is_lagging(standing, newest)], newest

    async def _refresh_standings(self, age_seconds_max: float) -> None:
        """Where they are older than so; once for all who ask at the same time."""
        if monotonic() - self._standings_read_at <= age_seconds_max:
            return
        if self._reading_standings is None or self._reading_standings.done():
            self._reading_standings = asyncio.create_task(self.read_statuses())
        await asyncio.shield(self._reading_standings)

    async def ask_one(self, standing: Standing, request: Message, seconds: float) -> Message:
        """See `icn_kit.agreement.Panel`."""
        try:
            answer = await self._call(self._addresses[standing.seat], request, seconds)
        except grpc.aio.AioRpcError as error:
            refusal = from_rpc_error(error)
            _note_refusal(standing, refusal)
            raise refusal from error
        standing.succeeded()
        return answer

    async def ask_several(self, request: Message, count: int) -> Sequence[Message]:
        """What up to ``count`` validators that are not lagging answer, each for itself; who does not is left
        out."""
        standings, _ = await self.eligible(count)
        asking = (self.ask_one(standing, request, STATUS_SECONDS_MAX) for standing in standings[:count])
        answers = await asyncio.gather(*asking, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, DomainError):
                raise answer
        return [answer for answer in answers if isinstance(answer, Message)]

    def sources(self) -> Sequence[BlockSource]:
        """Each validator by itself, for `icn_kit.block_clock`."""
        return [_Source(self, standing) for standing in self._standings]

    async def watch_blocks_of(
        self, standing: Standing, from_height: int
    ) -> AsyncIterator[ledger.WatchBlocksResponse]:
        """Executed blocks from a height on (0: from the next one), without their receipts, as one validator
        sends them.

        Raises:
            DomainError: the stream has ended, with why; ask again from the height after the last one.
        """
        request = ledger.WatchBlocksRequest(from_height=from_height, without_receipts=True)
        address = self._addresses[standing.seat]
        stub = self._channels.stub(LedgerServiceStub, address.ledger, address.server_name)
        try:
            async for response in stub.WatchBlocks(request):
                yield response
        except grpc.aio.AioRpcError as error:
            refusal = from_rpc_error(error)
            if refusal.kind in _ELSEWHERE:
                standing.failed(monotonic())
            raise refusal from error
        raise Unavailable("STREAM_ENDED", "the validator ended the stream")

    async def watch_account(
        self, request: ledger.WatchAccountRequest
    ) -> AsyncIterator[ledger.WatchAccountResponse]:
        """An account as the first validator shows it that begins to, until that one ends the stream.

        Raises:
            DomainError: its refusal, or that none began; later, why the stream broke off. Ask again from the
                height after the last one.
        """
        call: Any = None

        async def begin(address: ValidatorAddress, seconds: float) -> ledger.WatchAccountResponse:
            nonlocal call
            stub = self._channels.stub(LedgerServiceStub, address.ledger, address.server_name)
            call = stub.WatchAccount(request, metadata=read_metadata())
            begun: ledger.WatchAccountResponse = await _first(call, seconds)
            return begun

        first = await self._with_failover(begin, READ_SECONDS_MAX, ATTEMPT_SECONDS_MAX)
        try:
            yield first
            while (following := await call.read()) is not grpc.aio.EOF:
                yield following
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        finally:
            call.cancel()

    # Submission and statuses.

    async def submit(self, transactions: Sequence[bytes], wait_ms: int) -> Sequence[consensus.SubmitOutcome]:
        """Hand over and wait; one outcome per transaction, in order.

        Handing the same transactions to a second validator is safe: a block includes an id once. So it is
        done as soon as the first does not say either where it stands. What the second refuses may be in a
        block all the same, by way of the first: the outcome is UNKNOWN then, and ``Unavailable`` where it
        has room for nothing (docs/spec/consensus.md, "Transactions on their way").
        """
        request = consensus.SubmitTransactionsRequest(transactions=transactions, wait_ms=wait_ms)
        seconds = wait_ms / 1_000 + SUBMIT_SECONDS_MARGIN
        tried: set[int] = set()

        async def call(address: ValidatorAddress, time_left: float) -> consensus.SubmitTransactionsResponse:
            tried.add(address.seat)
            answer = self._consensus(address).SubmitTransactions(
                request, timeout=time_left, metadata=trace_metadata()
            )
            response = await self._unless_gone(address.seat, answer, tried)
            return cast(consensus.SubmitTransactionsResponse, response)

        try:
            response = await self._with_failover(call, seconds, seconds)
        except ResourceExhausted as full:
            if len(tried) > 1:
                raise Unavailable(full.reason, full.message) from full
            raise
        if len(response.outcomes) != len(transactions):
            _log.error("validator answered with a wrong number of outcomes", expected=len(transactions))
            raise DeadlineExceeded("OUTCOMES_MISSING", "the validator's answer is incomplete")
        if len(tried) > 1:
            for outcome in response.outcomes:
                if outcome.state == consensus.SUBMIT_STATE_REFUSED and outcome.reason not in LASTING_REASONS:
                    outcome.state = consensus.SUBMIT_STATE_UNKNOWN
        return response.outcomes

    async def _unless_gone(self, seat: int, call: Awaitable[Response], tried: Set[int]) -> Response:
        """The answer of a validator that may take its time.

        Raises:
            AioRpcError: its own, or UNAVAILABLE where it is gone meanwhile. A host that went away without a
                word leaves a connection that is being made for seconds.
        """
        answer = asyncio.ensure_future(call)
        gone = asyncio.ensure_future(self._until_gone(seat, tried))
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return await answer
            await gone
            raise _failure(grpc.StatusCode.UNAVAILABLE, "it does not say where it stands")
        finally:
            answer.cancel()
            gone.cancel()
            await asyncio.gather(answer, gone, return_exceptions=True)

    async def _until_gone(self, seat: int, tried: Set[int]) -> None:
        """Return when a validator that is asked now and then does not say where it stands, while one that has
        not been tried does."""
        while True:
            await asyncio.sleep(SUBMIT_PATIENCE_SECONDS)
            await self._refresh_standings(STANDINGS_SECONDS_MIN)
            now = monotonic()
            there = {standing.seat for standing in self._standings if standing.suspect_until <= now}
            if seat not in there and there - tried:
                return

    async def read_statuses(self) -> Sequence[ValidatorReport]:
        """One report per validator, by seat; never raises for an unreachable one. The answers also tell which
        validator to prefer."""
        reports = await asyncio.gather(*(self._status(standing) for standing in self._standings))
        self._standings_read_at = monotonic()
        REACHABLE.set(sum(report.status is not None for report in reports))
        return reports

    async def watch(self) -> None:
        """Refresh the standings until cancelled, so that a first failure already knows the healthiest
        other."""
        while True:
            await self.read_statuses()
            await asyncio.sleep(WATCH_SECONDS)

    async def _status(self, standing: Standing) -> ValidatorReport:
        address = self._addresses[standing.seat]
        try:
            status = await self._consensus(address).GetStatus(
                consensus.GetStatusRequest(), timeout=STATUS_SECONDS_MAX, metadata=trace_metadata()
            )
        except grpc.aio.AioRpcError as error:
            _note_refusal(standing, from_rpc_error(error))
            return ValidatorReport(standing.seat, None)
        standing.succeeded()
        standing.executed_height = status.executed_height
        standing.is_catching_up = status.is_catching_up
        return ValidatorReport(standing.seat, status)

    async def _read(self, request: Message, response_type: type[Response]) -> Response:
        def call(address: ValidatorAddress, timeout: float) -> Awaitable[Response]:
            return cast(Awaitable[Response], self._call(address, request, timeout))

        return await self._with_failover(call, READ_SECONDS_MAX, ATTEMPT_SECONDS_MAX)

    def _call(self, address: ValidatorAddress, request: Message, timeout: float) -> Awaitable[Message]:
        """The read whose request this is."""
        stub = self._channels.stub(LedgerServiceStub, address.ledger, address.server_name)
        method = request.DESCRIPTOR.name.removesuffix("Request")
        call: Any = getattr(stub, method)(request, timeout=timeout, metadata=read_metadata())
        if isinstance(request, ledger.GetStatementRequest):
            return _joined(call)
        if isinstance(request, ledger.WatchAccountRequest):
            return _only_first(call, timeout)
        answer: Awaitable[Message] = call
        return answer

    def _consensus(self, address: ValidatorAddress) -> Any:
        return self._channels.stub(ConsensusServiceStub, address.consensus, address.server_name)

    async def _with_failover(
        self,
        call: Callable[[ValidatorAddress, float], Awaitable[Response]],
        seconds: float,
        attempt_seconds: float,
    ) -> Response:
        """Ask one validator after the other until one answers, at most ``seconds`` in all; next is who of the
        others is best by what is known then.

        A refusal is an answer. Raises the last failure when nobody answered.
        """
        ends_at = monotonic() + seconds
        failure: DomainError = Unavailable("NO_VALIDATOR_REACHABLE", "no validator is reachable")
        tried: set[int] = set()
        while len(tried) < len(self._standings) and (remaining := ends_at - monotonic()) > 0:
            ordered = order_of_preference(self._standings, self._preferred_seat, monotonic())
            standing = next(standing for standing in ordered if standing.seat not in tried)
            if tried:
                FAILOVERS.inc()
            tried.add(standing.seat)
            try:
                response = await call(self._addresses[standing.seat], min(remaining, attempt_seconds))
            except grpc.aio.AioRpcError as error:
                refusal = from_rpc_error(error)
                is_elsewhere = refusal.kind in _ELSEWHERE
                is_hanging = refusal.kind is ErrorKind.DEADLINE_EXCEEDED and attempt_seconds < seconds
                if not (is_elsewhere or is_hanging):
                    if refusal.kind is not ErrorKind.DEADLINE_EXCEEDED:
                        self._answered(standing)
                    raise refusal from error
                if refusal.reason != STATE_BEHIND:
                    standing.failed(monotonic())
                _log.info("validator unreachable", seat=standing.seat, reason=refusal.reason)
                failure = refusal
                continue
            self._answered(standing)
            return response
        if failure.kind in _ELSEWHERE and failure.reason != STATE_BEHIND:
            raise Unavailable("NO_VALIDATOR_REACHABLE", "no validator is reachable") from failure
        raise failure

    def _answered(self, standing: Standing) -> None:
        standing.succeeded()
        self._preferred_seat = standing.seat


def _note_refusal(standing: Standing, refusal: DomainError) -> None:
    """Whether it came from the validator or instead of an answer."""
    is_away = refusal.kind in _ELSEWHERE or refusal.kind is ErrorKind.DEADLINE_EXCEEDED
    if is_away and refusal.reason != STATE_BEHIND:
        standing.failed(monotonic())
    else:
        standing.succeeded()


async def _first(call: Any, seconds: float) -> Any:
    """The first answer of a stream. Raises AioRpcError, also where none comes in time."""
    try:
        async with asyncio.timeout(seconds):
            answer = await call.read()
    except TimeoutError:
        call.cancel()
        raise _failure(grpc.StatusCode.DEADLINE_EXCEEDED, "the stream does not begin") from None
    if answer is grpc.aio.EOF:
        raise _failure(grpc.StatusCode.UNAVAILABLE, "the stream ended before it began")
    return answer


async def _only_first(call: Any, seconds: float) -> Any:
    try:
        return await _first(call, seconds)
    finally:
        call.cancel()


def _failure(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)


async def _joined(call: Any) -> ledger.GetStatementResponse:
    """A statement's parts as one message, from its beginning on; without closing where more are to come."""
    joined = ledger.GetStatementResponse()
    size_bytes = 0
    async for part in call:
        joined.MergeFrom(part)
        size_bytes += part.ByteSize()
        if size_bytes >= STATEMENT_PART_BYTES:
            call.cancel()
            break
    return joined


class _Source:
    """The blocks of one validator."""

    def __init__(self, validators: Validators, standing: Standing) -> None:
        self._validators = validators
        self._standing = standing

    async def list_blocks(self, page_size: int, page_token: str) -> ledger.ListBlocksResponse:
        """See `icn_kit.block_clock.BlockSource`."""
        request = ledger.ListBlocksRequest(page_size=page_size, page_token=page_token)
        answer = await self._validators.ask_one(self._standing, request, ATTEMPT_SECONDS_MAX)
        return cast(ledger.ListBlocksResponse, answer)

    def watch_blocks(self, from_height: int) -> AsyncIterator[ledger.WatchBlocksResponse]:
        """See `icn_kit.block_clock.BlockSource`."""
        return self._validators.watch_blocks_of(self._standing, from_height)

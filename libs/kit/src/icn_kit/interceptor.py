"""The one thin layer around every call that a server answers.

It wraps method handlers when they are registered, so that nothing has to be looked up or built during a
call: the metrics of a method, its deadline rule and its deserializer are bound once. What it does for a
call: continue the trace, bound the time, parse the request, turn errors into statuses, count.
`benches/interceptor.py` prints its cost.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NoReturn

import grpc
import structlog
from google.protobuf.message import DecodeError
from prometheus_client import Counter, Histogram

from icn_kit.errors import (
    MESSAGE_CHARACTERS_MAX,
    STATUS_DETAILS_KEY,
    DeadlineExceeded,
    DomainError,
    ErrorKind,
    InvalidArgument,
    RemoteError,
    Unavailable,
    status_details,
)
from icn_kit.spans import record_span
from icn_kit.trace import TRACEPARENT_KEY, Trace, current_trace, parse_traceparent

MALFORMED_REQUEST = "MALFORMED_REQUEST"
"""Reason of INVALID_ARGUMENT for bytes that are no message of the request's type."""
DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
DRAINING = "DRAINING"
"""Reason of UNAVAILABLE for a long-lived stream that ends because the process stops: connect again
elsewhere."""

DEADLINE_SECONDS_DEFAULT = 10.0
"""For callers that forgot; generous, since theirs is the bug."""
DEADLINE_SECONDS_MAX = 60.0
"""No answer of this platform is worth a longer wait; what takes longer is a stream or polled."""

CALL_SECONDS = Histogram(
    "icn_kit_call_seconds",
    "Time from the request's arrival to the answer, per method.",
    ["method"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0),
)
CALLS = Counter("icn_kit_calls_total", "Calls answered, per method and status.", ["method", "code"])

_STATUS: dict[ErrorKind, grpc.StatusCode] = {kind: grpc.StatusCode[kind.name] for kind in ErrorKind}
_NUMBERS = {kind.value for kind in ErrorKind}
_log = structlog.get_logger(__name__)

Handler = Any
"""grpc.RpcMethodHandler, which has no types."""


@dataclass(frozen=True, slots=True)
class DeadlineRule:
    """Seconds a call may take: by default, and at most whatever the caller asks for."""

    default_seconds: float = DEADLINE_SECONDS_DEFAULT
    max_seconds: float = DEADLINE_SECONDS_MAX


class Interceptor:
    """Wraps handlers; knows the long-lived streams under way so that a drain can end them."""

    def __init__(self, deadlines: DeadlineRule, long_lived_streams: frozenset[str]) -> None:
        self._deadlines = deadlines
        self._long_lived_streams = long_lived_streams
        self._long_lived_tasks: set[asyncio.Task[Any]] = set()
        self._is_draining = False

    def wrap(self, method: str, handler: Handler) -> Handler:
        """The same handler inside the layer. ``method`` is the full name,
        ``/icn.ledger.v1.LedgerService/GetAccount``.

        Raises:
            TypeError: the behaviour is not a coroutine or asynchronous generator function; grpc.aio would
                run it on a thread.
        """
        calls = _MethodCalls(method)
        if not handler.response_streaming:
            behavior = handler.stream_unary if handler.request_streaming else handler.unary_unary
            behavior = _asynchronous(method, behavior)
            if handler.request_streaming:
                return grpc.stream_unary_rpc_method_handler(
                    self._answering_once(calls, behavior, None, handler.response_serializer),
                    request_deserializer=_refusing_malformed(handler.request_deserializer),
                )
            return grpc.unary_unary_rpc_method_handler(
                self._answering_once(
                    calls, behavior, handler.request_deserializer, handler.response_serializer
                )
            )
        behavior = handler.stream_stream if handler.request_streaming else handler.unary_stream
        behavior = _asynchronous(method, behavior)
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._answering_often(calls, behavior, None),
                request_deserializer=_refusing_malformed(handler.request_deserializer),
                response_serializer=handler.response_serializer,
            )
        return grpc.unary_stream_rpc_method_handler(
            self._answering_often(calls, behavior, handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )

    def end_long_lived_streams(self) -> None:
        """End them with UNAVAILABLE and reason DRAINING; those that start from now on end at once."""
        self._is_draining = True
        for task in self._long_lived_tasks:
            task.cancel()

    def _answering_once(
        self,
        calls: _MethodCalls,
        behavior: Callable[[Any, Any], Awaitable[Any]],
        deserialize: Callable[[bytes], Any] | None,
        serialize: Callable[[Any], bytes] | None,
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        deadlines = self._deadlines

        async def answer(request: Any, context: Any) -> Any:
            started = perf_counter()
            trace = _continue_trace(context)
            code = grpc.StatusCode.OK
            try:
                if deserialize is not None:
                    request = _parse(deserialize, request)
                remaining = context.time_remaining()
                if remaining is not None and remaining <= deadlines.max_seconds:
                    response = await behavior(
                        request, context
                    )  # gRPC itself cancels us when the time is over
                else:
                    seconds = deadlines.default_seconds if remaining is None else deadlines.max_seconds
                    response = await _within(seconds, behavior(request, context))
                return response if serialize is None else serialize(response)
            except BaseException as error:
                code, refusal = _status_of(calls.method, context, error)
                if refusal is None:
                    raise
                await _abort(context, refusal)
            finally:
                calls.finished(code, perf_counter() - started, trace)

        return answer

    def _answering_often(
        self,
        calls: _MethodCalls,
        behavior: Callable[[Any, Any], Any],
        deserialize: Callable[[bytes], Any] | None,
    ) -> Callable[[Any, Any], Awaitable[None]]:
        deadlines = self._deadlines
        is_long_lived = calls.method in self._long_lived_streams
        is_generator = inspect.isasyncgenfunction(behavior)

        async def write_all(request: Any, context: Any) -> None:
            if is_generator:
                async for response in behavior(request, context):
                    await context.write(response)
            else:
                await behavior(request, context)

        async def answer(request: Any, context: Any) -> None:
            started = perf_counter()
            trace = _continue_trace(context)
            code = grpc.StatusCode.OK
            try:
                if deserialize is not None:
                    request = _parse(deserialize, request)
                remaining = context.time_remaining()
                if is_long_lived:
                    # Sent with a write that is cancelled, it counts as unsent, and the status is refused.
                    await context.send_initial_metadata(())
                    await self._while_serving(write_all(request, context))
                elif remaining is not None and remaining <= deadlines.max_seconds:
                    await write_all(request, context)
                else:
                    seconds = deadlines.default_seconds if remaining is None else deadlines.max_seconds
                    await _within(seconds, write_all(request, context))
            except BaseException as error:
                code, refusal = _status_of(calls.method, context, error)
                if refusal is None:
                    raise
                await _abort(context, refusal)
            finally:
                calls.finished(code, perf_counter() - started, trace)

        return answer

    async def _while_serving(self, work: Awaitable[None]) -> None:
        task = asyncio.current_task()
        assert task is not None, "gRPC runs every call in a task"
        self._long_lived_tasks.add(task)
        try:
            if self._is_draining:
                task.cancel()
            await work
        except asyncio.CancelledError:
            if not self._is_draining:
                raise
            raise Unavailable(DRAINING, "the server is stopping") from None
        finally:
            self._long_lived_tasks.discard(task)


class _MethodCalls:
    """What is bound once per method: its name and its metrics."""

    __slots__ = ("_counters", "_seconds", "method")

    def __init__(self, method: str) -> None:
        self.method = method
        self._seconds = CALL_SECONDS.labels(method)
        self._counters = {grpc.StatusCode.OK: CALLS.labels(method, grpc.StatusCode.OK.name)}

    def finished(self, code: grpc.StatusCode, seconds: float, trace: Trace) -> None:
        counter = self._counters.get(code)
        if counter is None:
            counter = self._counters[code] = CALLS.labels(self.method, code.name)
        counter.inc()
        self._seconds.observe(seconds)
        record_span(trace, self.method, seconds, kind="server", code=code.name)


def _asynchronous(method: str, behavior: Any) -> Any:
    if inspect.iscoroutinefunction(behavior) or inspect.isasyncgenfunction(behavior):
        return behavior
    if behavior.__module__.endswith("_pb2_grpc"):
        return _unimplemented
    raise TypeError(f"{method} is not asynchronous")


async def _unimplemented(_request: Any, _context: Any) -> NoReturn:
    raise RemoteError(ErrorKind.UNIMPLEMENTED, "UNIMPLEMENTED", "this server does not offer that method")


def _continue_trace(context: Any) -> Trace:
    for name, value in context.invocation_metadata():
        if name == TRACEPARENT_KEY:
            trace = parse_traceparent(value)
            break
    else:
        trace = Trace()
    current_trace.set(trace)  # every call has a task, and so a context, of its own
    return trace


def _parse(deserialize: Callable[[bytes], Any], request: bytes) -> Any:
    try:
        return deserialize(request)
    except (DecodeError, ValueError):
        raise InvalidArgument(
            MALFORMED_REQUEST, "the request's bytes are not a message of its type"
        ) from None


def _refusing_malformed(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """Raises in the handler's own reading of the stream, from where it reaches the layer like any other
    error."""
    if deserialize is None:
        return None
    return lambda request: _parse(deserialize, request)


async def _within(seconds: float, work: Awaitable[Any]) -> Any:
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceeded(
            DEADLINE_EXCEEDED, f"no answer within {seconds:g} seconds", seconds=f"{seconds:g}"
        ) from None


def _status_of(method: str, context: Any, error: BaseException) -> tuple[grpc.StatusCode, DomainError | None]:
    """The status a failed call ends with, and what to tell the caller unless the call has ended already."""
    if isinstance(error, asyncio.CancelledError):
        return grpc.StatusCode.CANCELLED, None
    if isinstance(error, grpc.aio.AbortError):
        return _STATUS.get(_kind_numbered(context.code()), grpc.StatusCode.UNKNOWN), None
    refusal = _refusal_in(error)
    if refusal is None:
        trace = current_trace.get() or Trace()
        _log.error("call failed", method=method, trace_id=trace.trace_id, exc_info=error)
        refusal = RemoteError(ErrorKind.INTERNAL, "INTERNAL", "internal error", trace_id=trace.trace_id)
    return _STATUS[refusal.kind], refusal


def _kind_numbered(code: Any) -> ErrorKind:
    """``context.code()`` is a number or a grpc.StatusCode, depending on who set it."""
    number = code.value[0] if isinstance(code, grpc.StatusCode) else code
    return ErrorKind(number) if number in _NUMBERS else ErrorKind.UNKNOWN


def _refusal_in(error: BaseException) -> DomainError | None:
    """The refusal itself, or the first one of a task group in which nothing but refusals failed."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, BaseExceptionGroup):
        refusals = [_refusal_in(inner) for inner in error.exceptions]
        if all(refusal is not None for refusal in refusals):
            return refusals[0]
    return None


async def _abort(context: Any, refusal: DomainError) -> NoReturn:
    await context.abort(
        _STATUS[refusal.kind],
        refusal.message[:MESSAGE_CHARACTERS_MAX],
        ((STATUS_DETAILS_KEY, status_details(refusal)),),
    )
    raise AssertionError("abort raises")

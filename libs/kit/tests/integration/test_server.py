from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1 import service_pb2, service_pb2_grpc
from icn_kit.errors import (
    DeadlineExceeded,
    DomainError,
    ErrorKind,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
    from_rpc_error,
)
from icn_kit.interceptor import CALLS, DeadlineRule
from icn_kit.server import GrpcServer, ServerLimits, peer_names
from icn_kit.telemetry import current_trace
from structlog.testing import capture_logs

from .conftest import CHAT, SERVICE, UNARY, UPLOAD, WATCH, Echo, Serve, add_echo

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
MALFORMED = b"\xff\xff\xff"


def unary(address: str, **options: Any) -> Any:
    channel = grpc.aio.insecure_channel(address, **options)
    return channel.unary_unary(UNARY, EventEnvelope.SerializeToString, EventEnvelope.FromString)


async def refusal(call: Any) -> DomainError:
    """What a call fails with, whichever shape it has."""
    with pytest.raises(grpc.RpcError) as failed:
        if hasattr(call, "read"):
            while await call.read() is not grpc.aio.EOF:
                pass
        else:
            await call
    return from_rpc_error(failed.value)


async def test_a_call_is_answered_and_counted(serve: Serve) -> None:
    server = await serve(Echo())
    before = CALLS.labels(UNARY, "OK")._value.get()
    assert (await unary(server.address)(EventEnvelope(height=7), timeout=5)).height == 7
    assert CALLS.labels(UNARY, "OK")._value.get() == before + 1


async def test_the_four_shapes_of_call_work_inside_the_layer(serve: Serve) -> None:
    server = await serve(Echo())
    async with grpc.aio.insecure_channel(server.address) as channel:
        shape = (EventEnvelope.SerializeToString, EventEnvelope.FromString)
        three = [EventEnvelope(height=height) for height in range(3)]
        assert (await channel.stream_unary(UPLOAD, *shape)(iter(three))).height == 3
        watched = channel.unary_stream(WATCH, *shape)(EventEnvelope(height=3))
        assert [answer async for answer in watched] == three
        chatted = channel.stream_stream(CHAT, *shape)(iter(three))
        assert [answer async for answer in chatted] == three


async def test_a_refusal_reaches_the_caller_with_its_numbers(serve: Serve) -> None:
    class Refusing(Echo):
        async def unary(self, request: EventEnvelope, context: Any) -> EventEnvelope:
            raise FailedPrecondition("CREDIT_LIMIT_EXCEEDED", "too low", balance_minor=-5)

        async def watch(self, request: EventEnvelope, context: Any) -> Any:
            yield request
            raise NotFound("ACCOUNT_UNKNOWN", "no such account")

    server = await serve(Refusing())
    with capture_logs() as logs:
        refused = await refusal(unary(server.address)(EventEnvelope()))
        assert isinstance(refused, FailedPrecondition)
        assert (refused.reason, refused.message) == ("CREDIT_LIMIT_EXCEEDED", "too low")
        assert refused.metadata == {"balance_minor": "-5"}
        channel = grpc.aio.insecure_channel(server.address)
        assert (await refusal(channel.unary_stream(WATCH)(b""))).reason == "ACCOUNT_UNKNOWN"
    assert logs == [], "an expected refusal is not an incident"


async def test_a_refusal_out_of_a_task_group_is_a_refusal(serve: Serve) -> None:
    class Grouping(Echo):
        async def unary(self, request: EventEnvelope, context: Any) -> EventEnvelope:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.refuse())
            return request

        async def refuse(self) -> None:
            raise NotFound("ACCOUNT_UNKNOWN", "no such account")

    server = await serve(Grouping())
    assert (await refusal(unary(server.address)(EventEnvelope()))).reason == "ACCOUNT_UNKNOWN"


async def test_an_unknown_exception_tells_the_trace_id_only_and_is_logged_once(serve: Serve) -> None:
    class Broken(Echo):
        async def unary(self, request: EventEnvelope, context: Any) -> EventEnvelope:
            raise RuntimeError("secret: hunter2")

        async def watch(self, request: EventEnvelope, context: Any) -> Any:
            yield request
            raise RuntimeError("secret: hunter2")

    server = await serve(Broken())
    channel = grpc.aio.insecure_channel(server.address)
    for call in (channel.unary_unary(UNARY), channel.unary_stream(WATCH)):
        with capture_logs() as logs:
            failed = await refusal(call(b"", metadata=(("traceparent", TRACEPARENT),)))
        assert (failed.kind, failed.message) == (ErrorKind.INTERNAL, "internal error")
        assert failed.metadata == {"trace_id": TRACEPARENT.split("-")[1]}
        errors = [entry for entry in logs if entry["event"] == "call failed"]
        assert len(errors) == 1
        assert errors[0]["trace_id"] == failed.metadata["trace_id"]
        assert isinstance(errors[0]["exc_info"], RuntimeError)


@pytest.mark.parametrize("method", [UNARY, UPLOAD, WATCH, CHAT])
async def test_bytes_that_are_no_request_are_an_invalid_argument(serve: Serve, method: str) -> None:
    server = await serve(Echo())
    channel = grpc.aio.insecure_channel(server.address)
    call = {
        UNARY: lambda: channel.unary_unary(UNARY)(MALFORMED),
        UPLOAD: lambda: channel.stream_unary(UPLOAD)(iter([b"", MALFORMED])),
        WATCH: lambda: channel.unary_stream(WATCH)(MALFORMED),
        CHAT: lambda: channel.stream_stream(CHAT)(iter([b"", MALFORMED])),
    }[method]
    with capture_logs() as logs:
        refused = await refusal(call())
    assert isinstance(refused, InvalidArgument)
    assert refused.reason == "MALFORMED_REQUEST"
    assert logs == []


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=st.binary(max_size=200))
def test_no_bytes_give_an_internal_error(garbage: bytes) -> None:
    async def call() -> None:
        server = GrpcServer("127.0.0.1:0", [(add_echo, Echo())])
        await server.start()
        try:
            async with grpc.aio.insecure_channel(server.address) as channel:
                await channel.unary_unary(UNARY)(garbage)
        except grpc.RpcError as error:
            assert from_rpc_error(error).reason == "MALFORMED_REQUEST"
        finally:
            await server.drain(0)

    asyncio.run(call())


async def test_unknown_fields_of_a_newer_caller_are_fine(serve: Serve) -> None:
    server = await serve(Echo())
    channel = grpc.aio.insecure_channel(server.address)
    assert await channel.unary_unary(UNARY)(b"\x18\x07\xfa\x07\x03new") == b"\x18\x07\xfa\x07\x03new"


async def test_a_request_above_the_size_limit_is_refused_before_it_is_parsed(serve: Serve) -> None:
    server = await serve(Echo(), limits=ServerLimits(message_size_bytes_max=10_000))
    call = unary(server.address)
    fits = EventEnvelope(payload=b"x" * (10_000 - 3))
    assert fits.ByteSize() == 10_000
    assert await call(fits) == fits
    assert isinstance(await refusal(call(EventEnvelope(payload=b"x" * (10_000 - 2)))), ResourceExhausted)


async def test_an_unknown_method_is_unimplemented(serve: Serve) -> None:
    server = await serve(Echo())
    channel = grpc.aio.insecure_channel(server.address)
    assert (await refusal(channel.unary_unary(f"/{SERVICE}/Nothing")(b""))).kind is ErrorKind.UNIMPLEMENTED
    assert (await refusal(channel.unary_unary("/no.such.Service/Get")(b""))).kind is ErrorKind.UNIMPLEMENTED


def test_a_handler_that_would_run_on_a_thread_is_refused() -> None:
    class Blocking(Echo):
        def unary(self, request: EventEnvelope, context: Any) -> EventEnvelope:  # type: ignore[override]
            return request

    with pytest.raises(TypeError, match="Unary is not asynchronous"):
        GrpcServer("127.0.0.1:0", [(add_echo, Blocking())])


def test_handlers_that_the_layer_would_not_see_are_refused() -> None:
    def add_in_the_older_way(servicer: Echo, server: Any) -> None:
        handlers = {"Unary": grpc.unary_unary_rpc_method_handler(servicer.unary)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    with pytest.raises(TypeError, match="add_registered_method_handlers"):
        GrpcServer("127.0.0.1:0", [(add_in_the_older_way, Echo())])


async def test_a_method_left_to_the_generated_base_is_unimplemented() -> None:
    left = (service_pb2_grpc.add_LedgerServiceServicer_to_server, service_pb2_grpc.LedgerServiceServicer())
    server = GrpcServer("127.0.0.1:0", [left])
    await server.start()
    try:
        stub = service_pb2_grpc.LedgerServiceStub(grpc.aio.insecure_channel(server.address))
        assert (
            await refusal(stub.GetAccount(service_pb2.GetAccountRequest()))
        ).kind is ErrorKind.UNIMPLEMENTED
        watch = stub.WatchBlocks(service_pb2.WatchBlocksRequest())
        assert (await refusal(watch)).kind is ErrorKind.UNIMPLEMENTED
    finally:
        await server.drain(0)


# -- deadlines


class Slow(Echo):
    def __init__(self) -> None:
        self.remaining: list[float | None] = []
        self.has_started = asyncio.Event()
        self.was_cancelled = asyncio.Event()

    async def unary(self, request: EventEnvelope, context: Any) -> EventEnvelope:
        self.remaining.append(context.time_remaining())
        self.has_started.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.was_cancelled.set()
            raise
        return request

    async def watch(self, request: EventEnvelope, context: Any) -> Any:
        yield request
        await asyncio.sleep(30)


@pytest.mark.parametrize(("asked_seconds", "allowed_seconds"), [(None, 0.2), (60.0, 0.4)])
async def test_the_server_supplies_and_caps_the_deadline(
    serve: Serve, asked_seconds: float | None, allowed_seconds: float
) -> None:
    slow = Slow()
    server = await serve(slow, limits=ServerLimits(deadlines=DeadlineRule(0.2, 0.4)))
    refused = await refusal(unary(server.address)(EventEnvelope(), timeout=asked_seconds))
    assert isinstance(refused, DeadlineExceeded)
    assert refused.metadata == {"seconds": f"{allowed_seconds:g}"}
    assert slow.was_cancelled.is_set()


async def test_a_deadline_within_the_cap_is_the_callers(serve: Serve) -> None:
    slow = Slow()
    server = await serve(slow, limits=ServerLimits(deadlines=DeadlineRule(0.1, 20)))
    assert isinstance(await refusal(unary(server.address)(EventEnvelope(), timeout=0.5)), DeadlineExceeded)
    assert slow.remaining[0] is not None
    assert 0.2 < slow.remaining[0] < 1
    await asyncio.wait_for(slow.was_cancelled.wait(), 5)


async def test_a_time_out_of_the_handlers_own_is_its_bug(serve: Serve) -> None:
    class Impatient(Echo):
        async def unary(self, request: EventEnvelope, context: Any) -> EventEnvelope:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(1)
            return request

    server = await serve(Impatient())
    with capture_logs():
        assert (await refusal(unary(server.address)(EventEnvelope()))).kind is ErrorKind.INTERNAL


async def test_a_stream_has_a_deadline_unless_it_is_named_as_long_lived(serve: Serve) -> None:
    limits = ServerLimits(deadlines=DeadlineRule(0.2, 0.2))
    bounded = await serve(Slow(), limits=limits)
    unbounded = await serve(Slow(), limits=limits, long_lived_streams=[WATCH])
    call = grpc.aio.insecure_channel(bounded.address).unary_stream(WATCH)(b"")
    assert isinstance(await refusal(call), DeadlineExceeded)
    call = grpc.aio.insecure_channel(unbounded.address).unary_stream(WATCH)(b"")
    assert await call.read() == b""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call.read(), 0.6)


# -- drain, health, reflection


async def test_a_drain_finishes_calls_and_ends_long_lived_streams(serve: Serve) -> None:
    started = asyncio.Event()

    class Working(Slow):
        async def unary(self, request: EventEnvelope, context: Any) -> EventEnvelope:
            started.set()
            await asyncio.sleep(0.3)
            return request

    server = await serve(Working(), long_lived_streams=[WATCH])
    channel = grpc.aio.insecure_channel(server.address)
    stream = channel.unary_stream(WATCH)(b"")
    assert await stream.read() == b""
    working = asyncio.ensure_future(unary(server.address)(EventEnvelope(height=7)))
    await started.wait()
    draining = asyncio.ensure_future(server.drain(5))
    ended = await refusal(stream)
    assert isinstance(ended, Unavailable)
    assert ended.reason == "DRAINING"
    assert (await working).height == 7
    await draining
    assert isinstance(await refusal(unary(server.address)(EventEnvelope(), timeout=1)), Unavailable)


async def test_a_drain_ends_a_stream_after_the_message_that_is_on_its_way(serve: Serve) -> None:
    has_begun = asyncio.Event()

    class Talkative(Echo):
        async def watch(self, request: EventEnvelope, context: Any) -> Any:
            while True:
                has_begun.set()
                yield EventEnvelope(traceparent="x" * 3_000_000)  # more than is sent before it is read

    server = await serve(Talkative(), long_lived_streams=[WATCH])
    stream = grpc.aio.insecure_channel(server.address).unary_stream(WATCH)(b"")
    await asyncio.wait_for(has_begun.wait(), 5)
    draining = asyncio.ensure_future(server.drain(20))
    await asyncio.sleep(0.1)
    assert len(await stream.read()) > 3_000_000
    assert (await refusal(stream)).reason == "DRAINING"
    await draining


async def test_what_a_drain_cannot_wait_for_is_cut_off(serve: Serve) -> None:
    slow = Slow()
    server = await serve(slow)
    working = unary(server.address)(EventEnvelope(), timeout=20)
    await asyncio.wait_for(slow.has_started.wait(), 5)
    await asyncio.wait_for(server.drain(0.1), 5)
    assert (await refusal(working)).kind in (ErrorKind.UNAVAILABLE, ErrorKind.CANCELLED)


async def test_health_is_known_for_the_services_there_are(serve: Serve) -> None:
    server = await serve(Echo())
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    stub = health_pb2_grpc.HealthStub(grpc.aio.insecure_channel(server.address))
    for name in ("", SERVICE):
        assert (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status == serving
    assert set((await stub.List(health_pb2.HealthListRequest())).statuses) == {"", SERVICE}
    unknown = health_pb2.HealthCheckRequest(service="made.up")
    assert (await refusal(stub.Check(unknown))).reason == "UNKNOWN_SERVICE"
    assert (await refusal(stub.Watch(unknown))).reason == "UNKNOWN_SERVICE"
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == serving
    await server._health.set_serving(False)
    assert (await asyncio.wait_for(watch.read(), 5)).status == not_serving


async def test_reflection_lists_the_services(serve: Serve) -> None:
    server = await serve(Echo())
    stub = reflection_pb2_grpc.ServerReflectionStub(grpc.aio.insecure_channel(server.address))
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = [answer async for answer in stub.ServerReflectionInfo(iter([request]))]
    assert {service.name for service in answer.list_services_response.service} >= {
        SERVICE,
        "grpc.health.v1.Health",
    }


# -- addresses, traces


async def test_a_unix_socket_serves_and_can_be_bound_again(serve: Serve, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/kit.sock"
    first = await serve(Echo(), address)
    assert (await unary(address)(EventEnvelope(height=1))).height == 1
    await first.drain(0)
    await serve(Echo(), address)
    assert (await unary(address)(EventEnvelope(height=2))).height == 2


async def test_a_taken_port_is_an_error_and_not_shared(serve: Serve) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RuntimeError):
            await serve(Echo(), f"127.0.0.1:{taken.getsockname()[1]}")


async def test_the_trace_of_the_caller_is_the_handlers(serve: Serve) -> None:
    class Traced(Echo):
        async def unary(self, request: EventEnvelope, context: Any) -> EventEnvelope:
            trace = current_trace.get()
            assert trace is not None
            return EventEnvelope(traceparent=trace.traceparent, aggregate=trace.parent_span_id)

    server = await serve(Traced())
    with capture_logs() as logs:
        answer = await unary(server.address)(EventEnvelope(), metadata=(("traceparent", TRACEPARENT),))
        unsampled = await unary(server.address)(EventEnvelope())
    assert answer.traceparent.split("-")[1] == TRACEPARENT.split("-")[1]
    assert answer.aggregate == TRACEPARENT.split("-")[2]
    (span,) = [entry for entry in logs if entry["event"] == "span"]
    assert (span["name"], span["code"], span["span_id"]) == (UNARY, "OK", answer.traceparent.split("-")[2])
    assert unsampled.traceparent.endswith("-00")
    assert structlog.contextvars.get_contextvars() == {}


async def test_a_caller_without_a_certificate_has_no_names(serve: Serve) -> None:
    class Naming(Echo):
        async def unary(self, request: EventEnvelope, context: Any) -> EventEnvelope:
            return EventEnvelope(height=len(peer_names(context)))

    server = await serve(Naming())
    assert (await unary(server.address)(EventEnvelope())).height == 0

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit import channel as channel_module
from icn_kit.channel import ATTEMPTS_MAX, ChannelFactory, service_config
from icn_kit.errors import DeadlineExceeded, DomainError, Unavailable, from_rpc_error
from icn_kit.server import peer_names
from icn_kit.tls import WATCH_SECONDS, TlsFiles
from icn_localnet.certificates import Authority

from .conftest import CHAT, SERVICE, UNARY, WATCH, Echo, Serve

SHAPE = (EventEnvelope.SerializeToString, EventEnvelope.FromString)


class EchoStub:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.unary = channel.unary_unary(UNARY, *SHAPE)
        self.watch = channel.unary_stream(WATCH, *SHAPE)
        self.chat = channel.stream_stream(CHAT, *SHAPE)


MakeFactory = Callable[..., ChannelFactory]


@pytest.fixture
async def make_factory() -> AsyncIterator[MakeFactory]:
    made: list[ChannelFactory] = []

    def make(*arguments: Any, **options: Any) -> ChannelFactory:
        made.append(ChannelFactory(*arguments, **options))
        return made[-1]

    yield make
    for factory in made:
        await factory.close()


async def refusal(call: Any) -> DomainError:
    with pytest.raises(grpc.RpcError) as failed:
        await call
    return from_rpc_error(failed.value)


class Failing(Echo):
    """Unavailable for the first ``failures`` calls."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0
        self.remaining: list[float | None] = []

    async def unary(self, request: EventEnvelope, context: Any) -> EventEnvelope:
        self.calls += 1
        self.remaining.append(context.time_remaining())
        if self.calls <= self.failures:
            raise Unavailable("STARTING", "not yet")
        return request


async def test_channels_and_stubs_are_shared_by_address(serve: Serve, make_factory: MakeFactory) -> None:
    server = await serve(Echo())
    factory = make_factory()
    assert factory.channel(server.address) is factory.channel(server.address)
    assert factory.stub(EchoStub, server.address) is factory.stub(EchoStub, server.address)
    assert factory.channel("127.0.0.1:1") is not factory.channel(server.address)
    assert (await factory.stub(EchoStub, server.address).unary(EventEnvelope(height=7))).height == 7


@pytest.mark.parametrize("named", [UNARY, f"/{SERVICE}/"])
async def test_a_named_method_is_tried_again_while_unavailable(
    serve: Serve, make_factory: MakeFactory, named: str
) -> None:
    servicer = Failing(ATTEMPTS_MAX - 1)
    server = await serve(servicer)
    stub = make_factory(idempotent_methods=[named]).stub(EchoStub, server.address)
    assert (await stub.unary(EventEnvelope(height=7))).height == 7
    assert servicer.calls == ATTEMPTS_MAX


async def test_tries_are_bounded_and_the_last_refusal_is_told(
    serve: Serve, make_factory: MakeFactory
) -> None:
    servicer = Failing(1_000)
    server = await serve(servicer)
    stub = make_factory(idempotent_methods=[UNARY]).stub(EchoStub, server.address)
    assert (await refusal(stub.unary(EventEnvelope()))).reason == "STARTING"
    assert servicer.calls == ATTEMPTS_MAX


async def test_a_method_that_is_not_named_is_tried_once(serve: Serve, make_factory: MakeFactory) -> None:
    servicer = Failing(1)
    server = await serve(servicer)
    stub = make_factory(idempotent_methods=[WATCH]).stub(EchoStub, server.address)
    assert (await refusal(stub.unary(EventEnvelope()))).reason == "STARTING"
    assert servicer.calls == 1


async def test_a_peer_that_restarts_is_found_by_a_named_method(
    serve: Serve, make_factory: MakeFactory
) -> None:
    first = await serve(Echo())
    stub = make_factory(idempotent_methods=[UNARY]).stub(EchoStub, first.address)
    await stub.unary(EventEnvelope())
    await first.drain(0)
    calling = asyncio.ensure_future(_until_answered(stub))
    await asyncio.sleep(0.3)
    await serve(Echo(), first.address)
    assert await asyncio.wait_for(calling, 10) == 7


async def _until_answered(stub: EchoStub) -> int:
    while True:
        try:
            return (await stub.unary(EventEnvelope(height=7))).height
        except grpc.RpcError as error:
            assert isinstance(from_rpc_error(error), Unavailable)


async def test_every_call_has_a_deadline_that_the_server_sees(
    serve: Serve, make_factory: MakeFactory
) -> None:
    servicer = Failing(0)
    server = await serve(servicer)
    stub = make_factory(call_seconds=3.0).stub(EchoStub, server.address)
    await stub.unary(EventEnvelope())
    await stub.unary(EventEnvelope(), timeout=8.0)
    first, second = servicer.remaining
    assert first is not None
    assert second is not None
    assert 2 < first < 4
    assert 7 < second < 9  # gRPC rounds up on the wire


async def test_a_peer_that_says_nothing_is_given_up_after_the_deadline(make_factory: MakeFactory) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        stub = make_factory(call_seconds=0.3).stub(EchoStub, f"127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert isinstance(await refusal(stub.unary(EventEnvelope())), DeadlineExceeded)
        assert time.monotonic() - began < 5
    assert isinstance(
        await refusal(make_factory().stub(EchoStub, "127.0.0.1:1").unary(EventEnvelope())), Unavailable
    )


async def test_a_long_lived_stream_has_no_deadline(serve: Serve, make_factory: MakeFactory) -> None:
    server = await serve(Echo(), long_lived_streams=[CHAT])
    bounded = make_factory(call_seconds=0.2).stub(EchoStub, server.address).chat()
    unbounded = (
        make_factory(call_seconds=0.2, long_lived_streams=[CHAT]).stub(EchoStub, server.address).chat()
    )
    await asyncio.sleep(0.4)
    with pytest.raises(grpc.RpcError) as ended:
        await bounded.read()
    assert isinstance(from_rpc_error(ended.value), DeadlineExceeded)
    await unbounded.write(EventEnvelope(height=7))
    assert (await unbounded.read()).height == 7
    unbounded.cancel()


def test_the_service_config_is_what_grpc_reads() -> None:
    assert json.loads(service_config([])) == {"methodConfig": []}
    (entry,) = json.loads(service_config([UNARY, f"/{SERVICE}/"]))["methodConfig"]
    assert entry["name"] == [{"service": SERVICE, "method": "Unary"}, {"service": SERVICE}]
    assert entry["retryPolicy"]["maxAttempts"] <= 5, "gRPC's own limit"


# -- mutual TLS


class Naming(Echo):
    async def unary(self, request: EventEnvelope, context: Any) -> EventEnvelope:
        return EventEnvelope(aggregate=",".join(sorted(peer_names(context))))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "authority")
    made.ensure("Test authority")
    return made


def issue(authority: Authority, name: str, directory: Path) -> TlsFiles:
    issued = authority.issue(name, directory)
    return TlsFiles(issued.certificate, issued.key, issued.authority)


async def test_both_sides_show_a_certificate(
    serve: Serve, make_factory: MakeFactory, authority: Authority, tmp_path: Path
) -> None:
    server = await serve(Naming(), tls=issue(authority, "validator-1", tmp_path / "server"))
    client = make_factory(issue(authority, "validator-2", tmp_path / "client"))
    answer = await client.stub(EchoStub, server.address, "validator-1").unary(EventEnvelope())
    assert "validator-2" in answer.aggregate.split(",")


async def test_strangers_and_the_bare_are_refused(
    serve: Serve, make_factory: MakeFactory, authority: Authority, tmp_path: Path
) -> None:
    server = await serve(Naming(), tls=issue(authority, "validator-1", tmp_path / "server"))
    other = Authority(tmp_path / "other-authority")
    other.ensure("Another authority")
    stranger = issue(other, "validator-2", tmp_path / "stranger")
    trusting = TlsFiles(stranger.certificate, stranger.key, authority.certificate)
    for factory in (make_factory(stranger), make_factory(trusting), make_factory()):
        stub = factory.stub(EchoStub, server.address, "validator-1")
        assert isinstance(await refusal(stub.unary(EventEnvelope(), timeout=3)), Unavailable)


async def test_a_peer_with_another_name_is_refused(
    serve: Serve, make_factory: MakeFactory, authority: Authority, tmp_path: Path
) -> None:
    server = await serve(Naming(), tls=issue(authority, "validator-1", tmp_path / "server"))
    client = make_factory(issue(authority, "validator-2", tmp_path / "client"))
    stub = client.stub(EchoStub, server.address, "validator-3")
    assert isinstance(await refusal(stub.unary(EventEnvelope(), timeout=3)), Unavailable)


def replace(old: TlsFiles, new: TlsFiles) -> None:
    """As a certificate manager does: each file at once."""
    for target, source in zip(
        (old.certificate, old.key, old.authority), (new.certificate, new.key, new.authority), strict=True
    ):
        fresh = target.with_suffix(".fresh")
        fresh.write_bytes(source.read_bytes())
        fresh.replace(target)


async def test_a_renewed_certificate_gets_a_new_channel_and_the_old_one_ends_with_its_calls(
    serve: Serve,
    make_factory: MakeFactory,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = await serve(
        Naming(), tls=issue(authority, "validator-1", tmp_path / "server"), long_lived_streams=[CHAT]
    )
    files = issue(authority, "validator-2", tmp_path / "client")
    factory = make_factory(files, long_lived_streams=[CHAT])
    old = factory.channel(server.address, "validator-1")
    chat = factory.stub(EchoStub, server.address, "validator-1").chat()
    await chat.write(EventEnvelope(height=1))
    assert (await chat.read()).height == 1

    replace(files, issue(authority, "validator-2b", tmp_path / "renewed"))
    await asyncio.sleep(WATCH_SECONDS + 0.1)
    stub = factory.stub(EchoStub, server.address, "validator-1")
    assert factory.channel(server.address, "validator-1") is not old
    assert "validator-2b" in (await stub.unary(EventEnvelope())).aggregate.split(",")

    await chat.write(EventEnvelope(height=2))
    assert (await chat.read()).height == 2, "a call that was under way goes on"
    (retiring,) = factory._retired
    assert not retiring.done()
    chat.cancel()
    await asyncio.wait_for(asyncio.wait({retiring}), 5)
    assert old.get_state() is grpc.ChannelConnectivity.SHUTDOWN


async def test_a_call_that_never_ends_does_not_keep_an_old_channel_for_ever(
    serve: Serve,
    make_factory: MakeFactory,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channel_module, "RETIRED_SECONDS_MAX", 0.2)
    server = await serve(
        Naming(), tls=issue(authority, "validator-1", tmp_path / "server"), long_lived_streams=[CHAT]
    )
    files = issue(authority, "validator-2", tmp_path / "client")
    factory = make_factory(files, long_lived_streams=[CHAT])
    chat = factory.stub(EchoStub, server.address, "validator-1").chat()
    await chat.write(EventEnvelope())
    await chat.read()
    replace(files, issue(authority, "validator-2b", tmp_path / "renewed"))
    await asyncio.sleep(WATCH_SECONDS + 0.1)
    factory.channel(server.address, "validator-1")
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(chat.read(), 5)


async def test_the_server_shows_a_renewed_certificate_without_a_restart(
    serve: Serve, make_factory: MakeFactory, authority: Authority, tmp_path: Path
) -> None:
    files = issue(authority, "validator-1", tmp_path / "server")
    server = await serve(Naming(), tls=files)
    client = issue(authority, "validator-2", tmp_path / "client")
    await make_factory(client).stub(EchoStub, server.address, "validator-1").unary(EventEnvelope())
    replace(files, issue(authority, "validator-9", tmp_path / "renewed"))
    await asyncio.sleep(WATCH_SECONDS + 0.1)
    await make_factory(client).stub(EchoStub, server.address, "validator-9").unary(EventEnvelope(), timeout=5)
    renamed = make_factory(client).stub(EchoStub, server.address, "validator-1")
    assert isinstance(await refusal(renamed.unary(EventEnvelope(), timeout=3)), Unavailable)


async def test_certificates_and_their_authority_are_replaced_under_load_and_no_call_fails(
    serve: Serve, make_factory: MakeFactory, authority: Authority, tmp_path: Path
) -> None:
    called, calling = (issue(authority, name, tmp_path / name) for name in ("validator-1", "gateway"))
    server = await serve(Naming(), tls=called)
    factory = make_factory(calling)
    answered: list[str] = []

    async def load() -> None:
        while True:
            stub = factory.stub(EchoStub, server.address, "validator-1")
            answered.append((await stub.unary(EventEnvelope())).aggregate)
            await asyncio.sleep(0.01)

    loading = asyncio.create_task(load())
    steps = iter(range(100))

    async def replace_all(renewed_by: Authority | None, trusted: bytes) -> None:
        """As Kubernetes does: in each pod at another time."""
        for files, name in ((called, "validator-1"), (calling, "gateway")):
            new = files if renewed_by is None else issue(renewed_by, name, tmp_path / f"{next(steps)}")
            bundle = tmp_path / "bundle.pem"
            bundle.write_bytes(trusted)
            replace(files, TlsFiles(new.certificate, new.key, bundle))
            await asyncio.sleep(WATCH_SECONDS + 0.2)

    old = authority.certificate.read_bytes()
    await replace_all(authority, old)
    authority.succeed("valley")
    await replace_all(None, authority.certificate.read_bytes())
    await replace_all(authority, authority.certificate.read_bytes())
    authority.forget_predecessors()
    await replace_all(None, authority.certificate.read_bytes())
    assert not loading.done(), "no call failed"
    before = len(answered)
    await asyncio.sleep(0.5)
    loading.cancel()
    assert len(answered) > before > 100
    stranger = TlsFiles(calling.certificate, calling.key, tmp_path / "old.pem")
    stranger.authority.write_bytes(old)
    stub = make_factory(stranger).stub(EchoStub, server.address, "validator-1")
    assert isinstance(await refusal(stub.unary(EventEnvelope(), timeout=3)), Unavailable)


async def test_files_in_the_middle_of_being_replaced_change_nothing(
    serve: Serve, make_factory: MakeFactory, authority: Authority, tmp_path: Path
) -> None:
    server = await serve(Naming(), tls=issue(authority, "validator-1", tmp_path / "server"))
    files = issue(authority, "validator-2", tmp_path / "client")
    factory = make_factory(files)
    old = factory.channel(server.address, "validator-1")
    files.key.unlink()
    await asyncio.sleep(WATCH_SECONDS + 0.1)
    assert factory.channel(server.address, "validator-1") is old

"""Channels to other processes: shared, bounded in time, retried where that is safe, renewed with the
certificates."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import grpc
import grpc.aio

from icn_kit.server import MESSAGE_SIZE_BYTES_MAX
from icn_kit.tls import TlsFiles, TlsMaterial, TlsWatch, certificate_hash

CALL_SECONDS_DEFAULT = 10.0
"""Deadline of a call whose caller gives none."""
ATTEMPTS_MAX = 4
"""The first try and three more, about 0.1 + 0.2 + 0.4 s apart: a restart on the other side, not an outage."""
CHANNELS_MAX = 256
"""Fifty validators and every service, several times over; more is a leak of ours."""
RETIRED_SECONDS_MAX = 300.0
"""A channel with an old certificate lives on for its calls this long, then they are cut off and connect
again."""
KEEPALIVE_INTERVAL_MS = 10_000
KEEPALIVE_TIMEOUT_MS = 5_000
"""A peer that is gone without a word is noticed within 15 s, while a call is under way."""
CONNECT_MS_MAX = 5_000
"""For one attempt with its TLS handshake, on a machine with better things to do."""
RECONNECT_BACKOFF_MS_MIN = 100
RECONNECT_BACKOFF_MS_MAX = 2_000
"""A validator that restarts within 5 s is found within 2 s more."""

Stub = TypeVar("Stub")


class ChannelFactory:
    """Makes and keeps channels; one per process is enough.

    Args:
        tls: files for mutual TLS, looked at again at most once a second when a channel is asked for; None
            for plain text over loopback or unix sockets.
        idempotent_methods: full names (``/icn.ledger.v1.LedgerService/GetAccount``) or whole services
            (``/icn.ledger.v1.LedgerService/``) that may be tried again when the peer is UNAVAILABLE.
        long_lived_streams: full names of streams that get no deadline.
        call_seconds: deadline of every other call that brings none of its own.

    Raises:
        OSError, CertificateInvalid: see `TlsWatch.read`.
    """

    def __init__(
        self,
        tls: TlsFiles | None = None,
        *,
        idempotent_methods: Collection[str] = (),
        long_lived_streams: Collection[str] = (),
        call_seconds: float = CALL_SECONDS_DEFAULT,
        message_size_bytes_max: int = MESSAGE_SIZE_BYTES_MAX,
    ) -> None:
        self._watch = None if tls is None else TlsWatch(tls)
        self._credentials: grpc.ChannelCredentials | None = None
        self.certificate_hash = b""
        """SHA-256 of the certificate that current channels show; empty in plain text."""
        if self._watch is not None:
            self._take(self._watch.read())
        self._channels: dict[tuple[str, str], grpc.aio.Channel] = {}
        self._stubs: dict[tuple[str, str, Any], Any] = {}
        self._retired: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._call_seconds = call_seconds
        self._long_lived_streams = frozenset(long_lived_streams)
        self._options = [
            ("grpc.service_config", service_config(idempotent_methods)),
            ("grpc.max_receive_message_length", message_size_bytes_max),
            ("grpc.max_send_message_length", message_size_bytes_max),
            ("grpc.keepalive_time_ms", KEEPALIVE_INTERVAL_MS),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
            ("grpc.initial_reconnect_backoff_ms", RECONNECT_BACKOFF_MS_MIN),
            ("grpc.min_reconnect_backoff_ms", CONNECT_MS_MAX),  # what gRPC takes as the limit of one attempt
            ("grpc.max_reconnect_backoff_ms", RECONNECT_BACKOFF_MS_MAX),
            (
                "grpc.enable_http_proxy",
                0,
            ),  # peers are named by address; a proxy variable must not reroute them
        ]

    def channel(self, address: str, server_name: str = "") -> grpc.aio.Channel:
        """The channel to ``address`` (``host:port`` or ``unix:/path``); it connects when first used.

        Do not keep it: ask again for each call, so that a renewed certificate is used. A channel that is
        no longer current takes no new calls.

        Args:
            server_name: the name the peer's certificate must have, where it differs from the host of
                ``address``.
        """
        assert not self._is_closed, "the factory is closed"
        if self._watch is not None and (renewed := self._watch.read_if_changed()) is not None:
            self._take(renewed)
            self._retire_all()
        key = (address, server_name)
        channel = self._channels.get(key)
        if channel is None:
            assert len(self._channels) < CHANNELS_MAX, "channels leak"
            channel = self._channels[key] = self._connect(address, server_name)
        return channel

    def stub(self, make: Callable[[grpc.aio.Channel], Stub], address: str, server_name: str = "") -> Stub:
        """``make(channel)``, for instance a generated stub class, kept as long as its channel is current."""
        channel = self.channel(address, server_name)
        key = (address, server_name, make)
        stub: Stub | None = self._stubs.get(key)
        if stub is None:
            stub = self._stubs[key] = make(channel)
        return stub

    async def close(self) -> None:
        """Cut off what is under way and close every channel."""
        self._is_closed = True
        for retiring in self._retired:
            retiring.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))
        self._channels.clear()
        self._stubs.clear()

    def _connect(self, address: str, server_name: str) -> grpc.aio.Channel:
        if self._credentials is None:
            channel = grpc.aio.insecure_channel(address, options=self._options)
        else:
            named = [("grpc.ssl_target_name_override", server_name)] if server_name else []
            channel = grpc.aio.secure_channel(address, self._credentials, options=[*self._options, *named])
        return _DeadlineChannel(channel, self._call_seconds, self._long_lived_streams)

    def _take(self, material: TlsMaterial) -> None:
        self._credentials = grpc.ssl_channel_credentials(
            material.authority, material.key, material.certificate
        )
        self.certificate_hash = certificate_hash(material.certificate)

    def _retire_all(self) -> None:
        self._stubs.clear()
        while self._channels:
            _, channel = self._channels.popitem()
            task = asyncio.ensure_future(_retire(channel))
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)


async def _retire(channel: grpc.aio.Channel) -> None:
    try:
        await channel.close(grace=RETIRED_SECONDS_MAX)
    finally:
        await channel.close()


class _DeadlineChannel(grpc.aio.Channel):  # type: ignore[misc]
    """A channel whose calls all have a deadline.

    The ``timeout`` of a service config would say so in one place, but grpcio measures it from a wrong
    start (up to two seconds early, https://github.com/grpc/grpc/issues/40633) and does not tell the
    server.
    """

    def __init__(
        self, channel: grpc.aio.Channel, call_seconds: float, long_lived_streams: frozenset[str]
    ) -> None:
        self._inner = channel
        self._call_seconds = call_seconds
        self._long_lived_streams = long_lived_streams

    def _bounded(self, method: str, call: Callable[..., Any]) -> Callable[..., Any]:
        if method in self._long_lived_streams:
            return call
        call_seconds = self._call_seconds

        def bounded(request: Any = None, timeout: float | None = None, **options: Any) -> Any:
            return call(request, timeout=call_seconds if timeout is None else timeout, **options)

        return bounded

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._bounded(method, self._inner.unary_unary(method, *arguments, **options))

    def unary_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._bounded(method, self._inner.unary_stream(method, *arguments, **options))

    def stream_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._bounded(method, self._inner.stream_unary(method, *arguments, **options))

    def stream_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._bounded(method, self._inner.stream_stream(method, *arguments, **options))

    async def close(self, grace: float | None = None) -> None:
        await self._inner.close(grace)

    async def __aenter__(self) -> _DeadlineChannel:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._inner.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()


def service_config(idempotent_methods: Collection[str]) -> str:
    """The gRPC service config as JSON: which methods may be retried, and how (gRFC A6)."""
    retries = {
        "maxAttempts": ATTEMPTS_MAX,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    names = [_method_name(method) for method in idempotent_methods]
    return json.dumps({"methodConfig": [{"name": names, "retryPolicy": retries}] if names else []})


def _method_name(method: str) -> dict[str, str]:
    _, service, name = method.split("/")
    return {"service": service, "method": name} if name else {"service": service}

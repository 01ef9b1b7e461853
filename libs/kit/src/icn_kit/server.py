"""A gRPC server of the platform: the layer around every call, limits, mutual TLS, health, reflection,
draining."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from icn_kit.errors import NotFound
from icn_kit.interceptor import DeadlineRule, Handler, Interceptor
from icn_kit.tls import TlsFiles, TlsMaterial, TlsWatch, certificate_hash

MESSAGE_SIZE_BYTES_MAX = 8 * 1024 * 1024
"""Of a request or an answer: the largest block with its certificates, twice over. gRPC refuses more with
RESOURCE_EXHAUSTED before it is parsed."""
CONCURRENT_CALLS_MAX = 1024
"""Above this a caller gets RESOURCE_EXHAUSTED at once, which is better than a queue nobody can see."""
CONCURRENT_CALLS_PER_CONNECTION_MAX = 640
"""Above this a client's calls wait on its own side. A gateway has 512 requests under way at most, and
while all of them wait for a block its question whether the validator is there must get through."""
KEEPALIVE_INTERVAL_MS_MIN = 5_000
"""Clients may ping an idle connection this often (`icn_kit.channel` does so every 10 s)."""

HEALTH_WATCH = "/grpc.health.v1.Health/Watch"

AddServicer = Callable[[Any, Any], None]
"""A generated ``add_…Servicer_to_server``, or one of your own that registers handlers for raw bytes."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What one server takes on."""

    message_size_bytes_max: int = MESSAGE_SIZE_BYTES_MAX
    concurrent_calls_max: int = CONCURRENT_CALLS_MAX
    concurrent_calls_per_connection_max: int = CONCURRENT_CALLS_PER_CONNECTION_MAX
    deadlines: DeadlineRule = field(default_factory=DeadlineRule)


class GrpcServer:
    """Serves ``services`` at one address.

    Args:
        address: ``host:port`` (port 0 takes a free one, see ``address`` after `start`) or ``unix:/path``.
        services: pairs of a generated ``add_…Servicer_to_server`` and the servicer, all of whose methods are
            asynchronous.
        tls: files for mutual TLS: both sides must show a certificate of the authority. They are read again
            when they change. None serves in plain text and is meant for unix sockets and loopback.
        limits: sizes, concurrency and deadlines.
        long_lived_streams: full names (``/icn.consensus.v1.PeerService/Connect``) of streams that no
            deadline ends. A drain ends them with UNAVAILABLE and reason DRAINING.
    """

    def __init__(
        self,
        address: str,
        services: Sequence[tuple[AddServicer, Any]],
        tls: TlsFiles | None = None,
        limits: ServerLimits = ServerLimits(),
        *,
        long_lived_streams: Collection[str] = (),
    ) -> None:
        self.address = address
        self._tls = tls
        self._interceptor = Interceptor(limits.deadlines, frozenset((*long_lived_streams, HEALTH_WATCH)))
        self._limits = limits
        self._server: grpc.aio.Server | None = None
        self._handlers = _HandlersOfServices(self._interceptor)
        for add_servicer, servicer in services:
            add_servicer(servicer, self._handlers)
        missing = self._handlers.in_the_older_way - set(self._handlers.by_service)
        if missing:
            raise TypeError(f"register {sorted(missing)} with add_registered_method_handlers")
        self._health = _Health(list(self._handlers.by_service))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._handlers)
        _add_reflection(self._handlers)

    async def start(self) -> None:
        """Accept calls.

        Raises:
            RuntimeError: the address cannot be bound.
            OSError, CertificateInvalid: the TLS files cannot be used.
        """
        assert self._server is None, "started already"
        limits = self._limits
        credentials = None if self._tls is None else _server_credentials(self._tls)
        server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),  # a second process on our port must fail, not share our calls
                ("grpc.max_receive_message_length", limits.message_size_bytes_max),
                ("grpc.max_send_message_length", limits.message_size_bytes_max),
                ("grpc.max_concurrent_streams", limits.concurrent_calls_per_connection_max),
                ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_INTERVAL_MS_MIN),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", KEEPALIVE_INTERVAL_MS_MIN),
                ("grpc.keepalive_permit_without_calls", 1),
            ],
            maximum_concurrent_rpcs=limits.concurrent_calls_max,
        )
        for service_name, method_handlers in self._handlers.by_service.items():
            server.add_registered_method_handlers(service_name, method_handlers)
        try:
            if credentials is None:
                port = server.add_insecure_port(self.address)
            else:
                port = server.add_secure_port(self.address, credentials)
            await server.start()
        except RuntimeError:
            await server.stop(None)
            raise
        if not self.address.startswith("unix:"):
            self.address = f"{self.address.rpartition(':')[0]}:{port}"
        self._server = server
        await self._health.set_serving(True)

    async def drain(self, seconds: float = 5.0) -> None:
        """Turn unhealthy, end the long-lived streams, let other calls finish for ``seconds``, then cut them
        off. Does nothing if never started."""
        if self._server is None:
            return
        await self._health.set_serving(False)
        self._interceptor.end_long_lived_streams()
        await self._server.stop(grace=seconds)


class _HandlersOfServices:
    """Stands in for the server while generated code registers its handlers, and wraps each."""

    def __init__(self, interceptor: Interceptor) -> None:
        self._interceptor = interceptor
        self.by_service: dict[str, dict[str, Handler]] = {}
        self.in_the_older_way: set[str] = set()

    def add_registered_method_handlers(self, service_name: str, method_handlers: dict[str, Handler]) -> None:
        self.by_service[service_name] = {
            method: self._interceptor.wrap(f"/{service_name}/{method}", handler)
            for method, handler in method_handlers.items()
        }

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[Any]) -> None:
        """Generated code registers everything in this older way too; nothing to add."""
        self.in_the_older_way.update(handler.service_name() for handler in generic_rpc_handlers)


class _Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """grpc.health.v1 for the names of this server; the reference servicer remembers any name a caller makes
    up."""

    def __init__(self, service_names: Sequence[str]) -> None:
        self._names = {"", *service_names}
        self._is_serving = False
        self._changed = asyncio.Condition()

    async def set_serving(self, is_serving: bool) -> None:
        async with self._changed:
            self._is_serving = is_serving
            self._changed.notify_all()

    def _answer(self, name: str) -> health_pb2.HealthCheckResponse:
        if name not in self._names:
            raise NotFound("UNKNOWN_SERVICE", "this server does not have that service")
        status = health_pb2.HealthCheckResponse.ServingStatus
        return health_pb2.HealthCheckResponse(
            status=status.SERVING if self._is_serving else status.NOT_SERVING
        )

    async def Check(self, request: Any, _context: Any) -> Any:  # noqa: N802 - named by the proto
        return self._answer(request.service)

    async def List(self, _request: Any, _context: Any) -> Any:  # noqa: N802 - named by the proto
        return health_pb2.HealthListResponse(statuses={name: self._answer(name) for name in self._names})

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802 - named by the proto
        answered: Any = None
        while True:
            async with self._changed:
                while (answer := self._answer(request.service)) == answered:
                    await self._changed.wait()
            await context.write(answer)
            answered = answer


def _add_reflection(handlers: _HandlersOfServices) -> None:
    from grpc_reflection.v1alpha import _async, reflection_pb2, reflection_pb2_grpc

    name = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"].full_name
    servicer = _async.ReflectionServicer((*handlers.by_service, name))
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, handlers)


def _server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    watch = TlsWatch(files)

    def configuration(material: TlsMaterial) -> Any:
        return grpc.ssl_server_certificate_configuration(
            [(material.key, material.certificate)], root_certificates=material.authority
        )

    def renewed() -> Any:
        """Called by gRPC at each handshake, on a thread of its own; None keeps what it has."""
        material = watch.read_if_changed()
        return None if material is None else configuration(material)

    return grpc.dynamic_ssl_server_credentials(
        configuration(watch.read()), renewed, require_client_authentication=True
    )


def peer_names(context: Any) -> frozenset[str]:
    """The names in the certificate that the caller of this RPC has shown: its common name and alternative
    names.

    Empty without TLS.
    """
    identity = context.auth_context()
    names = (*identity.get("x509_common_name", ()), *identity.get("x509_subject_alternative_name", ()))
    return frozenset(name.decode() for name in names)


def peer_certificate_hash(context: Any) -> bytes:
    """SHA-256 of the certificate that the caller of this RPC has shown; empty without TLS."""
    shown = context.auth_context().get("x509_pem_cert", ())
    return certificate_hash(shown[0]) if shown else b""

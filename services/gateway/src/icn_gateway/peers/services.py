"""The services of the host over gRPC, each at its address, and the ledger through the validators."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from icn_kit.channel import ChannelFactory
from icn_kit.errors import DomainError, ErrorKind, RemoteError, Unavailable, from_rpc_error
from icn_kit.trace import trace_metadata
from icn_kit.validators import READ_SECONDS_MAX, Validators
from prometheus_client import Histogram

from icn_gateway.usecases.contracts import LEDGER, SERVICES, Method

METHODS_OF_SERVICES = tuple(
    Method(service, method).name
    for service, descriptor in SERVICES.items()
    for method in descriptor.methods
    if service != LEDGER
)
"""Tried again while a service restarts; a command too, since its id makes a repeat harmless."""
COMMAND_SECONDS_MAX = 10.0
"""A command is one transaction of its service, and may first wait for the ledger to show a key."""

CALL_SECONDS = Histogram(
    "icn_gateway_service_call_seconds",
    "Time of calls to the services, per method and status.",
    ["method", "code"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0),
)


class ServicePeers:
    """Implements `icn_gateway.usecases.ports.Services`.

    Args:
        addresses: by service; one that is missing answers with SERVICE_NOT_CONFIGURED.
        channels: one that tries reads again while a service restarts.
        validators: asked for what the ledger knows.
    """

    def __init__(
        self, addresses: Mapping[str, str], channels: ChannelFactory, validators: Validators
    ) -> None:
        self._addresses = dict(addresses)
        self._channels = channels
        self._validators = validators

    async def ask(self, method: Method, request: Message) -> Message:
        """See `Services`."""
        if method.service == LEDGER:
            answer: Message = await self._validators.ask(request)
            return answer
        return await self._call(method, request.SerializeToString(), READ_SECONDS_MAX)

    async def send(self, method: Method, request: bytes) -> Message:
        """See `Services`."""
        return await self._call(method, request, COMMAND_SECONDS_MAX)

    async def _call(self, method: Method, request: bytes, seconds: float) -> Message:
        address = self._addresses.get(method.service)
        if address is None:
            raise Unavailable("SERVICE_NOT_CONFIGURED", f"this gateway knows no {method.service} service")
        channel = self._channels.channel(address)
        # Bytes in and bytes out: what was signed is not parsed and put together again on the way.
        call: Any = channel.unary_unary(method.name)
        started_at = monotonic()
        try:
            answer: bytes = await call(request, timeout=seconds, metadata=trace_metadata())
        except grpc.aio.AioRpcError as error:
            refusal = _refusal(method, from_rpc_error(error))
            CALL_SECONDS.labels(method.name, refusal.kind.name).observe(monotonic() - started_at)
            raise refusal from error
        CALL_SECONDS.labels(method.name, "OK").observe(monotonic() - started_at)
        try:
            return method.response.FromString(answer)
        except DecodeError as error:
            raise RemoteError(
                ErrorKind.INTERNAL,
                "MALFORMED_ANSWER",
                f"{method.service} answered with bytes that are no answer",
            ) from error


def _refusal(method: Method, error: DomainError) -> DomainError:
    """What the service said; that nobody listens is said with the service's name."""
    if error.kind is ErrorKind.UNAVAILABLE and error.reason == ErrorKind.UNAVAILABLE.name:
        return Unavailable("SERVICE_UNREACHABLE", f"the {method.service} service is not reachable")
    return error

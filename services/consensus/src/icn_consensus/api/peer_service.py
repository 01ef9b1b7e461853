# ruff: noqa: N802 - gRPC names the methods
"""PeerService: the streams that other validators dial. Source: protos/icn/consensus/v1/peer.proto."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Protocol

import grpc
from icn.consensus.v1 import peer_pb2_grpc  # noqa: F401 - registers the descriptors for reflection
from icn_kit.server import peer_certificate_hash, peer_names

SERVICE: Final = "icn.consensus.v1.PeerService"
CONNECT: Final = f"/{SERVICE}/Connect"


class Inbound(Protocol):
    """Whoever serves a stream; refusals are DomainErrors."""

    async def serve(
        self,
        requests: AsyncIterator[bytes],
        write: Callable[[bytes], Awaitable[None]],
        names: frozenset[str],
        channel: bytes,
    ) -> None:
        """Serve one stream, of a caller whose certificate has these names and this hash, until it ends."""


class PeerServicer:
    """The RPC on raw bytes: frames with blocks are not worth two protobuf messages around them."""

    def __init__(self, inbound: Inbound) -> None:
        self._inbound = inbound

    async def Connect(self, requests: AsyncIterator[bytes], context: Any) -> None:
        """One stream of a peer."""
        names, channel = peer_names(context), peer_certificate_hash(context)
        await self._inbound.serve(requests, context.write, names, channel)


def add_peer_service_to_server(servicer: PeerServicer, server: Any) -> None:
    """As generated code would, but without serializers."""
    server.add_registered_method_handlers(
        SERVICE, {"Connect": grpc.stream_stream_rpc_method_handler(servicer.Connect)}
    )

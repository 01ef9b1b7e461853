from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import grpc
from icn_consensus.peers.hello import Identity
from icn_consensus.peers.network import PeerNetwork
from icn_consensus.usecases.crypto import ConsensusCrypto
from icn_crypto.suites import SigningKey, Suite

KEY = SigningKey.from_seed(Suite.ED25519, bytes(32))
GENESIS = b"g" * 32


class CallThatEatsACancellation:
    """As one of grpc.aio does when a cancellation reaches it while the stream begins."""

    def __init__(self) -> None:
        self.is_writing = asyncio.Event()
        self.has_eaten = False

    async def write(self, _data: bytes) -> None:
        self.is_writing.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self.has_eaten:
                raise
            self.has_eaten = True
            none = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, none, none, "stopping") from None

    def cancel(self) -> bool:
        return True


async def test_closing_ends_although_a_stream_that_begins_eats_the_cancellation() -> None:
    call = CallThatEatsACancellation()
    channels: Any = SimpleNamespace(
        channel=lambda _address: SimpleNamespace(stream_stream=lambda _method: lambda: call)
    )
    identity = Identity(GENESIS, KEY.public_key, ConsensusCrypto(KEY, GENESIS))
    listener: Any = None
    network = PeerNetwork(
        identity, ["peer"], channels, listener, final_height=lambda: 0, is_named=lambda _peer: True
    )
    network.start(lambda work, name: asyncio.create_task(work, name=name))
    await call.is_writing.wait()
    async with asyncio.timeout(5):
        await network.close()
    assert call.has_eaten

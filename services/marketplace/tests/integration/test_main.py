"""The service as a process has it: real Postgres, real NATS, a real socket."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from icn_kit.lifecycle import Stop
from icn_localnet.hosted import is_healthy
from icn_localnet.pytest_plugin import HostedSettingsFor
from icn_marketplace.main import build
from icn_marketplace.settings import MarketplaceSettings


async def test_it_serves_health_and_drains(hosted_settings: HostedSettingsFor) -> None:
    stop = Stop()
    service = await build(MarketplaceSettings(**hosted_settings("icn_marketplace")), stop)
    await service.start()
    try:
        async with grpc.aio.insecure_channel(service.address) as channel:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert await asyncio.to_thread(is_healthy, f"127.0.0.1:{service.metrics_port}")
        assert not stop.is_requested
    finally:
        await service.drain()
    assert not await asyncio.to_thread(is_healthy, f"127.0.0.1:{service.metrics_port}")

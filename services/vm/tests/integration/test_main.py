"""vm as a process has it: real Postgres, a real socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from icn_kit.lifecycle import Stop
from icn_localnet.hosted import is_healthy
from icn_localnet.pytest_plugin import DatabaseFor
from icn_vm.main import build
from icn_vm.settings import VmSettings


async def test_it_serves_health_and_drains(database_for: DatabaseFor, tmp_path: Path) -> None:
    address = f"unix:{tmp_path / 'vm.sock'}"
    service = await build(VmSettings(database_url=database_for("icn_vm"), address=address), Stop())
    await service.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert await asyncio.to_thread(is_healthy, f"127.0.0.1:{service.metrics_port}")
    finally:
        await service.drain()
    assert not await asyncio.to_thread(is_healthy, f"127.0.0.1:{service.metrics_port}")

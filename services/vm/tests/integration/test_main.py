"""vm as a process has it: real Postgres, a real socket."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
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


def test_the_alarm_of_a_process_writes_its_stacks_and_ends_it(
    database_for: DatabaseFor, tmp_path: Path
) -> None:
    """What happens 75 s after a call took the interpreter's lock and kept it."""
    address = tmp_path / "vm.sock"
    with (tmp_path / "vm.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "icn_vm.main"],
            env={
                **os.environ,
                "ICN_VM_ADDRESS": f"unix:{address}",
                "ICN_VM_DATABASE_URL": database_for("icn_vm"),
            },
            stdout=log,
            stderr=log,
        )
        try:
            for _ in range(600):
                if address.exists() or process.poll() is not None:
                    break
                time.sleep(0.1)
            process.send_signal(signal.SIGALRM)
            assert process.wait(30) == -signal.SIGALRM
        finally:
            process.kill()
            process.wait()
    written = (tmp_path / "vm.log").read_text()
    assert "most recent call first" in written and "in run_service" in written and "in _run" in written

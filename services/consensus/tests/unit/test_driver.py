from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from icn.consensus.v1 import peer_pb2
from icn_consensus.usecases.driver import Driver
from icn_consensus.usecases.pool import Pool
from icn_consensus.usecases.ports import StoredBlock
from icn_consensus.usecases.recover import recover
from icn_kit.clock import SystemClock
from icn_kit.errors import Unavailable

from .fakes import FakePeers, FakeRecordLog, FakeStore
from .test_recover import CONFIG, Application


class StoreThatEatsACancellation(FakeStore):
    """As a call of grpc.aio does when a cancellation reaches it while it begins: it fails instead."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = asyncio.Event()

    async def page(self, from_height: int) -> list[StoredBlock]:
        self.is_asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Unavailable("DATABASE_AWAY", "cancelled") from None
        raise AssertionError("nobody answers")


async def test_draining_ends_although_a_call_eats_the_cancellation() -> None:
    store = StoreThatEatsACancellation()
    crypto: Any = SimpleNamespace()
    driver = Driver(
        CONFIG,
        crypto,
        Application(),
        store,
        FakeRecordLog(),
        evidence=SimpleNamespace(),  # type: ignore[arg-type]
        pool=Pool(),
        clock=SystemClock(),
        recovered=await recover(CONFIG, Application(), FakeStore(), []),
    )
    tasks: list[asyncio.Task[None]] = []

    def guard(work: Any, name: str) -> asyncio.Task[None]:
        tasks.append(asyncio.create_task(work, name=name))
        return tasks[-1]

    driver.begin(FakePeers(), lambda _seat, _height: None, guard)
    driver.on_frame(1, peer_pb2.PeerFrame(fetch_request=peer_pb2.FetchRequest(final_from_height=1)))
    await store.is_asked.wait()
    async with asyncio.timeout(10):
        await driver.drain(0.1)
    assert all(task.done() for task in tasks)

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from icn.consensus.v1 import peer_pb2
from icn_consensus.domain.actions import Report, ReportKind
from icn_consensus.domain.events import PoolChanged
from icn_consensus.usecases import inbox
from icn_consensus.usecases.clock_watch import ClockWrong
from icn_consensus.usecases.driver import Driver
from icn_consensus.usecases.pool import Pool
from icn_consensus.usecases.ports import StoredBlock
from icn_consensus.usecases.recover import recover
from icn_kit.clock import Clock, SystemClock
from icn_kit.errors import Unavailable

from .fakes import FakeLease, FakePeers, FakeRecordLog, FakeSnapshots, FakeStore
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


async def make_driver(store: FakeStore, clock: Clock | None = None) -> Driver:
    crypto: Any = SimpleNamespace()
    return Driver(
        CONFIG,
        crypto,
        Application(),
        store,
        FakeRecordLog(),
        lease=FakeLease(),
        evidence=SimpleNamespace(),  # type: ignore[arg-type]
        snapshots=FakeSnapshots(),
        pool=Pool(),
        clock=clock or SystemClock(),
        recovered=await recover(CONFIG, Application(), FakeStore(), []),
    )


@pytest.mark.parametrize(
    "certificate",
    [b"\xff", b"\x0a", bytes(100), b"\x08\x03\x28" + b"\xff" * 9 + b"\x01", b"\x08\x03" * 5_000],
    ids=["no message", "cut off", "zeros", "height of 64 bits", "too large"],
)
async def test_a_certificate_that_is_none_does_not_break_the_stream_it_comes_on(certificate: bytes) -> None:
    driver = await make_driver(FakeStore())
    heights: list[int] = []
    driver._note_peer_height = lambda _seat, height: heights.append(height)
    driver.replica = SimpleNamespace(epoch=0)  # type: ignore[assignment]
    driver.on_frame(b"somebody", peer_pb2.PeerFrame(certificate=certificate))
    assert not heights
    assert len(driver._inbox) == 1, "the core judges it"


async def test_who_sends_too_many_recoveries_of_no_use_is_at_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "USELESS_MAX", 2)
    monkeypatch.setattr(inbox, "USELESS_PER_SECOND", 0)
    faulty: list[bytes] = []

    class Peers(FakePeers):
        def note_fault(self, peer: bytes) -> None:
            faulty.append(peer)

    driver = await make_driver(FakeStore())
    driver._peers = Peers()
    for peer in (b"somebody", b"somebody", b"", b"", b"", b"another", b"somebody"):
        assert not faulty
        driver._carry_report(Report(ReportKind.RECOVERY_REFUSED, 0, 1, 0, peer=peer))
    assert faulty == [b"somebody"], "the operator's own count against nobody"


async def test_a_clock_that_is_set_back_stops_the_node_instead_of_its_timers() -> None:
    clock = SimpleNamespace(now_ms=lambda: 10_000_000)
    driver = await make_driver(FakeStore(), clock)
    failed: dict[str, asyncio.Task[None]] = {}

    def guard(work: Any, name: str) -> asyncio.Task[None]:
        failed[name] = asyncio.create_task(work, name=name)
        return failed[name]

    driver.begin(FakePeers(), lambda _seat, _height: None, guard)
    clock.now_ms = lambda: 10_000_000 - 3_600_000
    driver.put(PoolChanged(False))
    with pytest.raises(ClockWrong, match="went back by 3600 s"):
        await failed["consensus.core"]
    await driver.drain(0.1)


async def test_draining_ends_although_a_call_eats_the_cancellation() -> None:
    store = StoreThatEatsACancellation()
    driver = await make_driver(store)
    tasks: list[asyncio.Task[None]] = []

    def guard(work: Any, name: str) -> asyncio.Task[None]:
        tasks.append(asyncio.create_task(work, name=name))
        return tasks[-1]

    driver.begin(FakePeers(), lambda _seat, _height: None, guard)
    driver.on_frame(b"somebody", peer_pb2.PeerFrame(fetch_request=peer_pb2.FetchRequest(final_from_height=1)))
    await store.is_asked.wait()
    async with asyncio.timeout(10):
        await driver.drain(0.1)
    assert all(task.done() for task in tasks)

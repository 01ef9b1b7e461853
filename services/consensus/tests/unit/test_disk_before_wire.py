"""Whatever a validator says is on its disk first: four drivers with the production core and log.

Each time one of them sends an own message, the power fails, in a copy of what its disk was asked to sync.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from icn.consensus.v1 import peer_pb2
from icn_chain.validator_set import parse_validator_set
from icn_consensus.domain.actions import MessageKind
from icn_consensus.domain.block import parse_vote
from icn_consensus.domain.config import Config
from icn_consensus.domain.records import RecordKind, decode_record
from icn_consensus.store import record_log
from icn_consensus.store.key_lease import KeyInUse
from icn_consensus.store.record_log import RecordLog
from icn_consensus.usecases.driver import Driver
from icn_consensus.usecases.pool import Pool
from icn_consensus.usecases.ports import FetchRequest, Found
from icn_consensus.usecases.recover import recover
from icn_sim.application import Seats, SimulatedApplication
from icn_sim.signatures import SimulatedCrypto
from icn_sim.zone import GENESIS_HASH, GENESIS_TIME_MS, public_key_of, validator_set_of

from .fakes import FakeLease, FakeSnapshots, FakeStore
from .power_loss import Power

SEATS = range(4)
OWN = (RecordKind.PROPOSAL, RecordKind.NOTARIZE, RecordKind.NULLIFY, RecordKind.FINALIZE)


class Clock:
    """Real time, of a zone that has just begun."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def now_ms(self) -> int:
        return GENESIS_TIME_MS + int(1_000 * (time.monotonic() - self._begun))


class Wire:
    """One validator's connections: hands messages to the others' drivers, and looks at the disk first."""

    def __init__(self, federation: Federation, seat: int) -> None:
        self._federation = federation
        self._seat = seat
        self._key = public_key_of(seat)

    def broadcast(self, kind: MessageKind, data: bytes, except_peers: tuple[bytes, ...]) -> None:
        for seat in SEATS:
            if seat != self._seat and public_key_of(seat) not in except_peers:
                self.send(public_key_of(seat), kind, data)

    def send(self, peer: bytes, kind: MessageKind, data: bytes) -> None:
        if kind in (MessageKind.VOTE, MessageKind.PROPOSAL):
            self._federation.check_is_on_disk(self._seat, kind, data)
        driver = self._federation.drivers[peer]
        frame = peer_pb2.PeerFrame(**{kind.value: data})
        asyncio.get_running_loop().call_soon(driver.on_frame, self._key, frame)

    def note_fault(self, peer: bytes) -> None:
        raise AssertionError("nobody lies")

    def send_transactions(self, peer: bytes, transactions: Sequence[bytes]) -> bool:
        return False

    def broadcast_traces(self, traces: Sequence[tuple[bytes, str]]) -> None:
        pass

    def send_fetch_request(self, peer: bytes, request: FetchRequest) -> bool:
        return False

    def send_fetch_response(self, peer: bytes, request: int, found: Found) -> None:
        raise AssertionError("nobody asks")


class Federation:
    """Four validators in one loop."""

    def __init__(self, folder: Path, power: Power) -> None:
        self.folder = folder
        self.power = power
        self.drivers: dict[bytes, Driver] = {}
        self.logs: list[RecordLog] = []
        self._clock = Clock()
        self.stores = [FakeStore() for _ in SEATS]
        self.leases = [FakeLease() for _ in SEATS]
        self.said: set[tuple[int, str]] = set()
        """Seat and kind of every own message."""
        self.failures: list[BaseException] = []
        self._checked: set[tuple[int, bytes]] = set()

    async def start(self) -> None:
        for seat in SEATS:
            self.drivers[public_key_of(seat)] = await self._make(seat)
        for seat in SEATS:
            self.drivers[public_key_of(seat)].begin(Wire(self, seat), lambda *_: None, self._guard)

    async def _make(self, seat: int) -> Driver:
        config = Config(
            genesis_hash=GENESIS_HASH,
            protocol_version=1,
            public_key=public_key_of(seat),
            validators=parse_validator_set(validator_set_of(SEATS)),
            genesis_time_ms=GENESIS_TIME_MS,
            epoch_ms=86_400_000,
            heartbeat_ms=30_000,
            block_time_distance_ms_max=3_000,
            block_bytes_max=1_048_576,
            block_transactions_max=100,
        )
        log = RecordLog.open(self.folder / str(seat), genesis_hash=GENESIS_HASH, public_key=config.public_key)
        self.logs.append(log)
        application = SimulatedApplication(Seats(SEATS))
        return Driver(
            config,
            SimulatedCrypto(config.public_key),
            application,
            self.stores[seat],
            log,
            lease=self.leases[seat],
            evidence=SimpleNamespace(),  # type: ignore[arg-type]
            snapshots=FakeSnapshots(),
            pool=Pool(),
            clock=self._clock,
            recovered=await recover(config, application, self.stores[seat], log.payloads()),
        )

    def _guard(self, work: Any, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            self.failures.append(failure)

    def check_is_on_disk(self, seat: int, kind: MessageKind, data: bytes) -> None:
        """Whoever starts again after a loss of power now knows what it is about to say."""
        if (seat, data) in self._checked:
            return
        self._checked.add((seat, data))
        left = RecordLog.open(
            self.power.image(self.folder / str(seat), self.folder / "left"),
            genesis_hash=GENESIS_HASH,
            public_key=public_key_of(seat),
        )
        kept = {record.message for record in map(decode_record, left.payloads()) if record.kind in OWN}
        left.close()
        said = kind.value if kind is MessageKind.PROPOSAL else parse_vote(data).kind.name
        assert data in kept, f"{said} of seat {seat} is sent before it is on disk"
        self.said.add((seat, said))

    def submit(self, transaction: bytes) -> None:
        for driver in self.drivers.values():
            driver.admission.offer(b"somebody", [transaction])

    async def close(self) -> None:
        for driver in self.drivers.values():
            await driver.drain(0.1)
        for log in self.logs:
            log.close()


@pytest.fixture
async def federation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Federation]:
    monkeypatch.setattr(record_log, "SEGMENT_BYTES_MAX", 2_000)
    federation = Federation(tmp_path, Power(monkeypatch))
    await federation.start()
    yield federation
    await federation.close()


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not claim():  # noqa: ASYNC110 - drivers' state raises no event here
            await asyncio.sleep(0.005)


async def until_executed(federation: Federation, height: int) -> None:
    drivers = federation.drivers.values()
    await until(
        lambda: (
            bool(federation.failures) or min(driver.executor.executed_height for driver in drivers) >= height
        )
    )
    assert not federation.failures


def speakers(federation: Federation) -> set[int]:
    return {seat for seat, _ in federation.said}


async def test_no_message_leaves_before_its_record_is_on_disk(federation: Federation) -> None:
    for number in range(8):
        federation.submit(b"transaction %d" % number)
        await until_executed(federation, number + 1)
    kinds = ("proposal", "NOTARIZE", "FINALIZE")
    assert {(seat, kind) for seat in SEATS for kind in kinds} <= federation.said
    assert max(len(list((federation.folder / str(seat)).glob("*.log"))) for seat in SEATS) > 1


async def test_a_vote_to_skip_a_leader_is_on_disk_before_it_leaves(federation: Federation) -> None:
    leader = federation.drivers[public_key_of(1)]
    leader.on_frame = lambda _peer, _frame: None  # type: ignore[method-assign]
    leader.admission.offer = lambda _peer, _transactions: None  # type: ignore[method-assign]
    federation.submit(b"transaction")
    await until(lambda: bool(federation.failures) or any(kind == "NULLIFY" for _, kind in federation.said))
    assert not federation.failures


async def test_who_is_not_sure_to_hold_its_key_says_nothing_and_goes_on_when_it_is(
    federation: Federation,
) -> None:
    federation.leases[2].is_sure.clear()
    federation.submit(b"transaction")
    await until(lambda: speakers(federation) == {0, 1, 3})
    assert federation.logs[2].sequence == 0
    federation.leases[2].is_sure.set()
    await until(lambda: speakers(federation) == {0, 1, 2, 3})
    assert not federation.failures


async def test_who_stands_still_between_disk_and_wire_asks_again_before_it_sends(
    federation: Federation,
) -> None:
    lease, log = federation.leases[2], federation.logs[2]

    def stand_still() -> None:
        if log.sequence > log.synced_sequence:
            lease.is_sure.clear()

    federation.power.on_sync = stand_still
    federation.submit(b"transaction")
    await until(lambda: not lease.is_fresh)
    federation.power.on_sync = None
    await asyncio.sleep(0.1)
    assert log.synced_sequence > 0
    assert 2 not in speakers(federation)
    lease.taken_by = KeyInUse("another process")
    lease.is_sure.set()
    await until(lambda: bool(federation.failures))
    assert federation.failures == [lease.taken_by]
    assert 2 not in speakers(federation)

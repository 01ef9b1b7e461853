"""A validator whose disk is full stops, says why, has said nothing that is not on disk, and comes back."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from typing import Any

import pytest
from icn.consensus.v1 import service_pb2
from icn_consensus.domain.records import RecordKind, decode_record
from icn_consensus.store.record_log import RecordLog

from .conftest import Federation, MakeFederation, Validator, until
from .counting_application import make_transaction
from .test_killed_process import Processes, executed_height, until_level

COMMITTED = service_pb2.SUBMIT_STATE_COMMITTED
ROOM_BYTES = 6_000
"""What the disk still takes: some views' votes and certificates."""
OWN = (RecordKind.PROPOSAL, RecordKind.NOTARIZE, RecordKind.NULLIFY, RecordKind.FINALIZE)


@pytest.fixture
def processes() -> Iterator[Processes]:
    processes = Processes()
    yield processes
    processes.kill_all()


def listen(validator: Validator, speaker: bytes, heard: set[bytes]) -> None:
    """Note what another says to this validator, by its key."""
    assert validator.service is not None
    driver: Any = validator.service.driver
    on_frame = driver.on_frame

    def note(sender: bytes, frame: Any) -> None:
        if sender == speaker and frame.WhichOneof("kind") in ("vote", "proposal"):
            heard.add(frame.vote or frame.proposal)
        on_frame(sender, frame)

    driver.on_frame = note


def fill_disk(processes: Processes, validator: Validator) -> None:
    """Let no file of the process grow by much: a write beyond is cut short, the next one refused."""
    written = max(path.stat().st_size for path in validator.directory.rglob("*") if path.is_file())
    pid = processes.pid(validator)
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (written + ROOM_BYTES, hard))


async def test_a_validator_whose_disk_fills_stops_says_why_and_comes_back_when_there_is_room(
    make_federation: MakeFederation, processes: Processes
) -> None:
    federation: Federation = make_federation()
    *steady, victim = federation.validators
    heard: set[bytes] = set()
    for validator in steady:
        await validator.start()
        listen(validator, victim.public_key, heard)
    processes.start(victim)
    sequence = 0

    async def submit(validator: Validator) -> None:
        nonlocal sequence
        sequence += 1
        [outcome] = await validator.submit([make_transaction(b"ana", sequence)])
        assert outcome.state == COMMITTED

    for number in range(20):
        await submit(steady[number % 3])
    await until_level(victim, steady[0])
    fill_disk(processes, victim)
    async with asyncio.timeout(60):
        while processes.has_ended(victim) is None:
            await submit(steady[sequence % 3])  # the others go on
    assert processes.has_ended(victim) == 1
    assert "record cannot be written: File too large" in (victim.directory / "log").read_text()

    log = RecordLog.open(
        victim.settings.record_directory,
        genesis_hash=federation.network.genesis.hash,
        public_key=victim.public_key,
    )
    kept = {record.message for record in map(decode_record, log.payloads()) if record.kind in OWN}
    log.close()
    await asyncio.sleep(0.2)
    assert heard
    assert heard <= kept, "whatever it said is on its disk"

    processes.start(victim)
    await until_level(victim, steady[0])
    await steady[0].stop()  # from now on nothing is final without the one whose disk was full
    await submit(steady[1])
    await until(lambda: steady[2].application.total == sequence)
    assert await executed_height(victim) >= 0
    assert processes.stop(victim) == 0

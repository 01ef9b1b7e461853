from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from icn.consensus.v1 import service_pb2

from .conftest import Federation, MakeFederation, Validator, until
from .counting_application import chain_of, make_transaction

COMMITTED = service_pb2.SUBMIT_STATE_COMMITTED
PROGRAM = Path(__file__).with_name("validator_process.py")


class Processes:
    """Validators as processes; none outlives the test."""

    def __init__(self) -> None:
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, validator: Validator) -> None:
        settings = validator.settings
        document = {
            **settings.model_dump(mode="json"),
            "database_url": settings.database_url.get_secret_value(),
        }
        path = validator.directory / "settings.json"
        path.write_text(json.dumps(document))
        with (validator.directory / "log").open("ab") as log:
            self._running[validator.seat] = subprocess.Popen(
                [sys.executable, str(PROGRAM), str(path)], stdout=log, stderr=log
            )

    def pid(self, validator: Validator) -> int:
        return self._running[validator.seat].pid

    def has_ended(self, validator: Validator) -> int | None:
        """Exit status; None while it runs."""
        return self._running[validator.seat].poll()

    def kill(self, validator: Validator) -> None:
        process = self._running.pop(validator.seat)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self, validator: Validator) -> int:
        process = self._running.pop(validator.seat)
        process.terminate()
        return process.wait(15)

    def kill_all(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()


@pytest.fixture
def processes() -> Iterator[Processes]:
    processes = Processes()
    yield processes
    processes.kill_all()


async def executed_height(validator: Validator) -> int:
    try:
        return int((await validator.status()).executed_height)
    except grpc.RpcError:
        return -1


async def until_level(behind: Validator, ahead: Validator) -> None:
    async with asyncio.timeout(30):
        while await executed_height(behind) < ahead.application.height:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_a_killed_validator_comes_back_with_its_votes_its_blocks_and_the_same_state(
    make_federation: MakeFederation, processes: Processes
) -> None:
    federation: Federation = make_federation()
    *steady, victim = federation.validators
    for validator in steady:
        await validator.start()
    processes.start(victim)
    sequence = 1

    async def submit(count: int) -> None:
        nonlocal sequence
        for _ in range(count):
            validator = steady[sequence % 3]
            outcomes = await validator.submit([make_transaction(b"ana", sequence)])
            assert outcomes[0].state == COMMITTED
            sequence += 1

    for _ in range(2):
        await until_level(victim, steady[0])
        sending = asyncio.ensure_future(submit(20))
        await asyncio.sleep(0.2)
        processes.kill(victim)  # in the middle of its work
        await sending
        processes.start(victim)
    await until_level(victim, steady[0])
    status = await victim.status()
    assert status.state_root == steady[0].application.states[status.executed_height].state_root
    await until(lambda: all(other.application.total == 40 for other in steady))
    chain_of([other.application for other in steady])

    await steady[0].stop()  # from now on nothing is final without the one that was killed
    [outcome] = await steady[1].submit([make_transaction(b"ben", 1)])
    assert outcome.state == COMMITTED
    assert processes.stop(victim) == 0


async def test_four_processes_killed_at_once_lose_nothing_that_was_answered(
    make_federation: MakeFederation, processes: Processes
) -> None:
    validators = make_federation().validators
    for validator in validators:
        processes.start(validator)
    for validator in validators:
        await until_answers(validator)
    answered = [make_transaction(b"ana", 1 + n) for n in range(100)]
    answers = await validators[0].submit(answered)
    assert {answer.state for answer in answers} == {COMMITTED}
    waiting = asyncio.ensure_future(
        validators[1].submit([make_transaction(b"ana", 101 + n) for n in range(200)])
    )
    await asyncio.sleep(0.05)
    for validator in validators:
        processes.kill(validator)
    await asyncio.gather(waiting, return_exceptions=True)
    for validator in validators:
        processes.start(validator)
    for validator in validators:
        await until_answers(validator)
    # Within 30 s of the heal (design, P4); a second or two is usual.
    [outcome] = await validators[2].submit([make_transaction(b"ben", 1)], wait_ms=28_000)
    assert outcome.state == COMMITTED
    for validator in validators:
        async with asyncio.timeout(30):
            while await executed_height(validator) < outcome.height:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        again = await validator.submit(answered)
        # Who had not executed them when it was killed has done so since, and still has the receipts.
        assert all(answer.state == COMMITTED or answer.reason == "ALREADY_EXECUTED" for answer in again)
        assert [answer.height for answer in again] == [answer.height for answer in answers]


async def until_answers(validator: Validator) -> None:
    async with asyncio.timeout(30):
        while await executed_height(validator) < 0:  # noqa: ASYNC110
            await asyncio.sleep(0.1)

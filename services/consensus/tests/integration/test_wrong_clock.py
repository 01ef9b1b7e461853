"""A validator whose clock is an hour off: the others go on, it stops, says why, and comes back."""

from __future__ import annotations

import asyncio
import time

import pytest
from icn.consensus.v1 import service_pb2
from icn_consensus.metrics import CLOCK_DISTANCE_SECONDS
from icn_consensus.usecases import clock_watch
from icn_kit.clock import SystemClock

from .conftest import MakeFederation, until
from .counting_application import chain_of, make_transaction

COMMITTED = service_pb2.SUBMIT_STATE_COMMITTED
HOUR_MS = 3_600_000
SECONDS_MAX = 40.0


class ShiftedClock:
    """The system's, this much off."""

    def __init__(self, shift_ms: int) -> None:
        self.shift_ms = shift_ms

    def now_ms(self) -> int:
        return SystemClock().now_ms() + self.shift_ms


@pytest.mark.parametrize(
    ("shift_ms", "words"), [(HOUR_MS, "s ahead of the blocks"), (-HOUR_MS, "s behind the blocks")]
)
async def test_a_validator_whose_clock_is_an_hour_off_stops_and_comes_back_when_it_is_right(
    make_federation: MakeFederation, monkeypatch: pytest.MonkeyPatch, shift_ms: int, words: str
) -> None:
    monkeypatch.setattr(clock_watch, "OFF_SECONDS_MAX", 2.0)
    federation = make_federation()
    *steady, wrong = federation.validators
    for validator in steady:
        await validator.start()
    await wrong.start(ShiftedClock(shift_ms))
    sequence, slowest = 0, 0.0
    began = time.monotonic()
    while not wrong.stop_request.is_requested:
        sequence += 1
        started = time.monotonic()
        [outcome] = await steady[sequence % 3].submit([make_transaction(b"ana", sequence)])
        assert outcome.state == COMMITTED
        slowest = max(slowest, time.monotonic() - started)
        assert time.monotonic() - began < SECONDS_MAX
    assert slowest < 5, "the others never stand still"
    assert words in wrong.stop_request.reason
    assert "set it right and start again" in wrong.stop_request.reason
    assert wrong.service is not None
    assert wrong.service.fault == wrong.stop_request.reason.removeprefix("task ")
    distance = CLOCK_DISTANCE_SECONDS.labels(wrong.seat)._value.get()
    assert distance == pytest.approx(-shift_ms / 1000, abs=5)
    await wrong.stop()

    await wrong.start()
    await until(lambda: wrong.application.total == steady[0].application.total)
    await steady[0].stop()  # from now on nothing is final without the one that was wrong
    [outcome] = await steady[1].submit([make_transaction(b"ben", 1)])
    assert outcome.state == COMMITTED
    assert not wrong.stop_request.is_requested
    await until(lambda: wrong.application.total == steady[1].application.total)
    chain_of([wrong.application, steady[1].application, steady[2].application])


async def test_a_clock_that_is_set_back_by_an_hour_stops_the_validator_at_once_and_it_comes_back(
    make_federation: MakeFederation,
) -> None:
    federation = make_federation()
    *steady, wrong = federation.validators
    for validator in steady:
        await validator.start()
    clock = ShiftedClock(0)
    await wrong.start(clock)
    [outcome] = await wrong.submit([make_transaction(b"ana", 1)])
    assert outcome.state == COMMITTED
    clock.shift_ms = -HOUR_MS
    [outcome] = await steady[0].submit([make_transaction(b"ana", 2)])
    assert outcome.state == COMMITTED
    async with asyncio.timeout(10):
        await wrong.stop_request.wait()
    assert "the clock went back by 3600 s" in wrong.stop_request.reason
    await wrong.stop()
    await wrong.start(clock)  # still wrong, but it does not step any more: it follows and does not vote
    await until(lambda: wrong.application.total == steady[0].application.total)
    await wrong.stop()
    await wrong.start()
    await steady[0].stop()
    [outcome] = await steady[1].submit([make_transaction(b"ana", 3)])
    assert outcome.state == COMMITTED

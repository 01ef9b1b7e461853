"""The event loop of a simulated ledger does everything within the call."""

from __future__ import annotations

import asyncio
import threading

import pytest
from icn_sim.inline_loop import InlineLoop


async def twice(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("wrong")


def test_tasks_of_a_call_are_done_within_it() -> None:
    async def call() -> int:
        lock = asyncio.Lock()
        async with lock:
            task = asyncio.create_task(twice(4))
            return await asyncio.shield(asyncio.ensure_future(twice(3))) + await task

    assert InlineLoop().run(call()) == 14


def test_work_for_a_thread_is_done_on_this_one() -> None:
    async def call() -> int:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(divmod, 1, 0)
        return await asyncio.to_thread(threading.get_ident)

    assert InlineLoop().run(call()) == threading.get_ident()


def test_what_the_call_or_its_task_raises_is_raised() -> None:
    async def call() -> None:
        await asyncio.create_task(fail())

    loop = InlineLoop()
    for failing in (fail, call):
        with pytest.raises(ValueError, match="wrong"):
            loop.run(failing())
    assert loop.run(twice(1)) == 2


def test_an_error_in_a_callback_ends_the_run() -> None:
    async def call() -> None:
        asyncio.get_running_loop().call_soon(divmod, 1, 0)
        await asyncio.sleep(0)

    with pytest.raises(ZeroDivisionError):
        InlineLoop().run(call())


def test_a_call_waits_for_nothing_from_outside() -> None:
    async def call() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(AssertionError, match="nothing from outside"):
        InlineLoop().run(call())


async def test_it_runs_inside_another_loop() -> None:
    outer = asyncio.get_running_loop()
    assert InlineLoop().run(twice(5)) == 10
    assert asyncio.get_running_loop() is outer

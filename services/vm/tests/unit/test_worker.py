"""The thread that runs contracts: in order, without holding up the loop, and no call fails for the clock."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from icn_kit.errors import Unavailable
from icn_vm.usecases.worker import Worker
from icn_wasm.refusals import CodeReason, CodeRefused, EngineFault


async def test_work_is_done_in_order_on_one_thread_while_the_loop_is_free(worker: Worker) -> None:
    order: list[int] = []
    threads: set[int] = set()

    def work(number: int) -> int:
        time.sleep(0.01)
        order.append(number)
        threads.add(threading.get_ident())
        return number

    async def ticks() -> int:
        count = 0
        while len(order) < 5:
            await asyncio.sleep(0.001)
            count += 1
        return count

    ticking = asyncio.create_task(ticks())
    assert await asyncio.gather(*(worker.run(lambda n=n: work(n)) for n in range(5))) == list(range(5))  # type: ignore[misc]
    assert order == list(range(5))
    assert threads.isdisjoint({threading.get_ident()}) and len(threads) == 1
    assert await ticking > 5


async def test_an_error_goes_to_who_waits_and_stops_nothing(worker: Worker, faults: list[str]) -> None:
    def fail() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await worker.run(fail)
    assert await worker.run(lambda: 7) == 7
    assert faults == []


@pytest.mark.parametrize("fault", [EngineFault("no memory"), CodeRefused(CodeReason.FLOAT_USED, "never")])
async def test_what_the_machine_could_not_do_ends_the_process(
    worker: Worker, faults: list[str], fault: Exception
) -> None:
    def fail() -> None:
        raise fault

    with pytest.raises(Unavailable, match=str(fault)):
        await worker.run(fail)
    assert len(faults) == 1
    with pytest.raises(Unavailable):
        await worker.run(lambda: 7)  # nothing runs any more
    assert len(faults) == 1


async def test_a_call_that_runs_too_long_ends_the_process_and_is_never_refused() -> None:
    faults: list[str] = []
    worker = Worker(faults.append, seconds_max=0.05)
    done = threading.Event()
    with pytest.raises(Unavailable, match="longer"):
        await worker.run(lambda: done.wait(5))
    done.set()
    assert len(faults) == 1
    worker.close()


async def test_who_gives_up_waiting_does_not_stop_the_work(worker: Worker) -> None:
    done = threading.Event()
    waiting = asyncio.create_task(worker.run(lambda: done.wait(5)))
    await asyncio.sleep(0.01)
    waiting.cancel()
    done.set()
    assert await worker.run(lambda: 7) == 7

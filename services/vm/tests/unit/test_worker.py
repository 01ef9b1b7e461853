"""The thread that runs contracts: in order, without holding up the loop, and no call fails for the clock."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
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
    assert await asyncio.gather(*(worker.run(lambda n=n: work(n), f"work {n}") for n in range(5))) == list(
        range(5)
    )  # type: ignore[misc]
    assert order == list(range(5))
    assert threads.isdisjoint({threading.get_ident()}) and len(threads) == 1
    assert await ticking > 5


async def test_an_error_goes_to_who_waits_and_stops_nothing(worker: Worker, faults: list[str]) -> None:
    def fail() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await worker.run(fail, "a failure")
    assert await worker.run(lambda: 7, "seven") == 7
    assert faults == []


@pytest.mark.parametrize("fault", [EngineFault("no memory"), CodeRefused(CodeReason.FLOAT_USED, "never")])
async def test_what_the_machine_could_not_do_ends_the_process(
    worker: Worker, faults: list[str], fault: Exception
) -> None:
    def fail() -> None:
        raise fault

    with pytest.raises(Unavailable, match=f"a failure: .*{fault}"):
        await worker.run(fail, "a failure")
    assert len(faults) == 1
    with pytest.raises(Unavailable):
        await worker.run(lambda: 7, "seven")  # nothing runs any more
    assert len(faults) == 1


async def test_a_call_that_runs_too_long_ends_the_process_and_is_never_refused() -> None:
    faults: list[str] = []
    worker = Worker(faults.append, seconds_max=0.05)
    done = threading.Event()
    with pytest.raises(Unavailable, match="execute of contract aa in block 7 ran longer"):
        await worker.run(lambda: done.wait(5), "execute of contract aa in block 7")
    done.set()
    assert len(faults) == 1
    worker.close()


async def test_who_gives_up_waiting_does_not_stop_the_work(worker: Worker) -> None:
    done = threading.Event()
    waiting = asyncio.create_task(worker.run(lambda: done.wait(5), "execute of contract aa in block 7"))
    await asyncio.sleep(0.01)
    waiting.cancel()
    done.set()
    assert await worker.run(lambda: 7, "seven") == 7


STUCK = """
import asyncio, re, sys
from icn_vm.usecases.execute_batch import Batch, Block, Call
from icn_vm.usecases.worker import Worker, arm_alarm
from icn_wasm.engine import Engine, EntryPoint
from icn_wasm.messages import Caller

class Stuck(Engine):
    def run(self, *arguments):
        re.search("(a|a)*b", "a" * 60)  # for ever, and the interpreter's lock is held all the time

class Codes:
    async def get(self, checksum):
        return b"code"

async def main():
    worker = Worker(lambda why: sys.exit(why), seconds_max=0.2, alarm=arm_alarm(), alarm_seconds=1.0)
    assert await worker.run(lambda: 7, "seven") == 7
    await asyncio.sleep(1.5)  # what has ended is not watched any more
    batch = Batch(Stuck(), worker, Codes())
    call = Call(EntryPoint.EXECUTE, bytes(32), "ab" * 16, Caller("cd" * 16), b"{}", 10**6, 3, {}, {})
    print("stuck", flush=True)
    await batch.answer(Block(77, 1, "ef" * 16), False, call)

asyncio.run(main())
"""


def test_a_call_that_holds_the_interpreters_lock_ends_the_process_and_is_named() -> None:
    """The event loop stands still with it, and its watchdog too: such a vm once stood for ever."""
    ended = subprocess.run(
        [sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (-signal.SIGALRM, "stuck\n"), ended.stderr
    assert (
        f"in execute of contract {'ab' * 16}, code {'00' * 32}, by transaction 3 of block 77" in ended.stderr
    )
    assert "in search" in ended.stderr, "where it was stuck"

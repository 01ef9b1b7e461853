"""The one thread that runs contracts, and the watchdogs over it.

Calls of a block run in order anyway, and wasmtime's Python package allows no two at once; on a thread of
their own they leave the event loop to health and metrics. A call ends because its gas does: one that runs
longer than the watchdog allows, on this machine, must never fail for it, since others might not. So the
process ends.

The event loop watches while it can. Work that holds the interpreter's lock stops the loop as well, and
nothing written in Python would run: for that the operating system's timer ends the process (`arm_alarm`),
after the stacks of all threads were written down. The frame that does the work is named for what it does,
so that they say which contract in which block was stuck.
"""

from __future__ import annotations

import asyncio
import faulthandler
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import FunctionType
from typing import Any, Final, TypeVar

from icn_kit.errors import Unavailable
from icn_wasm.refusals import CodeRefused, EngineFault

CALL_SECONDS_MAX: Final = 60.0
"""A billion units of fuel take about a second of one core; a machine this slow needs its operator."""
ALARM_SECONDS: Final = 75.0
"""Where the event loop has not ended the process by then; before the ledger gives up, after 90 s."""
STACK_BYTES: Final = 16 * 1024 * 1024
"""Of the thread: eight times what a contract may use of it, whatever the system's default."""
ENGINE_FAULT: Final = "ENGINE_FAULT"

Result = TypeVar("Result")
Alarm = Callable[[float], None]
"""Ends the process in so many seconds, whatever it does then; 0 calls that off."""
_Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


def arm_alarm() -> Alarm:
    """Have SIGALRM write the stacks of all threads to stderr and end the process, without the interpreter.

    Of a process as a whole: only who owns it may call this.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.register(signal.SIGALRM, file=sys.stderr, all_threads=True, chain=True)

    def alarm(seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds)

    return alarm


def _no_alarm(_seconds: float) -> None:
    """Where the process belongs to somebody else, as in tests."""


class Worker:
    """Runs functions one after the other on a thread that does not keep the process alive."""

    def __init__(
        self,
        on_fault: Callable[[str], None],
        seconds_max: float = CALL_SECONDS_MAX,
        alarm: Alarm | None = None,
        alarm_seconds: float = ALARM_SECONDS,
    ) -> None:
        self._on_fault = on_fault
        self._seconds_max = seconds_max
        self._alarm = alarm or _no_alarm
        self._alarm_seconds = alarm_seconds
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._fault = ""
        before = threading.stack_size(STACK_BYTES)
        try:
            threading.Thread(target=self._run, name="contracts", daemon=True).start()
        finally:
            threading.stack_size(before)

    async def run(self, function: Callable[[], Result], what: str) -> Result:
        """The function's result.

        Args:
            function: the work.
            what: names it where it does not end, such as "execute of contract … in block 7".

        Raises:
            Unavailable: ENGINE_FAULT: the machine could not go on; this process is about to end.
            Exception: whatever else the function raises.
        """
        if self._fault:
            raise Unavailable(ENGINE_FAULT, self._fault)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._jobs.put((_named(function, what), loop, future))
        try:
            # Shielded: who gives up waiting must not leave the watchdog without its dog.
            return await asyncio.wait_for(asyncio.shield(future), self._seconds_max)
        except TimeoutError:
            raise self._stop(f"{what} ran longer than {self._seconds_max:g} s") from None
        except (EngineFault, CodeRefused) as fault:
            raise self._stop(f"{what}: {type(fault).__name__}: {fault}") from fault

    def close(self) -> None:
        """Let the thread end after what is queued."""
        self._jobs.put(None)

    def _stop(self, why: str) -> Unavailable:
        if not self._fault:
            self._fault = why
            self._on_fault(why)
        return Unavailable(ENGINE_FAULT, why)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, loop, future = job
            self._alarm(self._alarm_seconds)
            try:
                result, error = function(), None
            except BaseException as raised:  # noqa: BLE001 - it belongs to who waits
                result, error = None, raised
            self._alarm(0)
            try:
                loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:
                return  # the loop is gone, and who waited with it


def _named(function: Callable[[], Result], what: str) -> Callable[[], Result]:
    """The function inside a frame whose name is ``what``, as stacks that are written down show it."""

    def frame() -> Result:
        return function()

    code = frame.__code__.replace(co_name=what)
    return FunctionType(code, globals(), what, None, frame.__closure__)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)

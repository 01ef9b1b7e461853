"""The life of a process: start, wait for a signal or a fatal fault, drain, exit."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Awaitable, Callable, Collection, Coroutine
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import structlog

from icn_kit.spans import flush_spans

DRAIN_SECONDS_MAX = 25.0
"""Kubernetes sends SIGKILL 30 s after SIGTERM; what is not drained five seconds before that is cut off."""

COLLECTION_THRESHOLDS = (50_000, 20, 50)
"""New objects before the youngest are looked through, and rounds before the older ones are."""

CANCEL_SECONDS = 1.0
"""A task that is still there after this is cancelled again."""

EXIT_FATAL = 1
EXIT_FORCED = 130
"""A second signal while draining, as a shell reports a process that Ctrl-C ended."""

TERMINATION_LOG: Final = Path("/dev/termination-log")
"""What a container leaves here is what ``kubectl describe pod`` says of its end; elsewhere there is none."""
TERMINATION_CHARACTERS_MAX: Final = 1000
"""Kubernetes keeps 4096 bytes, UTF-8 included."""

_log = structlog.get_logger(__name__)

Result = TypeVar("Result")


class Service(Protocol):
    """What `run_service` keeps alive; every service's ``build(settings)`` returns one."""

    async def start(self) -> None:
        """Begin to serve; returns once calls are accepted."""
        ...

    async def drain(self) -> None:
        """Refuse new work, finish what is under way, release everything."""
        ...


class Stop:
    """Why and when this process ends. The first request wins."""

    def __init__(self) -> None:
        self._requested = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.exit_code = 0
        self.reason = ""

    def request(self, reason: str, exit_code: int = 0) -> None:
        """Ask the process to drain and exit with ``exit_code``."""
        if not self._requested.is_set():
            self.reason, self.exit_code = reason, exit_code
            self._requested.set()

    @property
    def is_requested(self) -> bool:
        """Whether somebody has asked."""
        return self._requested.is_set()

    async def wait(self) -> None:
        """Return once somebody has asked."""
        await self._requested.wait()

    def guard(self, work: Coroutine[Any, Any, Result], name: str) -> asyncio.Task[Result]:
        """Run ``work`` beside the rest; if it fails the process drains and exits with 1.

        A node that goes on with half of its tasks is worse than one that starts again.
        """
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        self.request(f"task {task.get_name()} failed: {error}", EXIT_FATAL)
        _log.critical("task failed", task=task.get_name(), exc_info=error)


async def cancel_all(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks until all have ended, whatever they end with.

    Once is not enough: `asyncio.wait_for` of Python 3.11 gives its result and forgets the cancellation when
    both come at once, and what runs for ever goes on.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_SECONDS)


async def supervise(main: Callable[[Stop], Awaitable[None]]) -> int:
    """Await ``main(stop)`` until it returns; it should return soon after ``stop.wait()`` does. Gives the
    exit code.

    SIGTERM and SIGINT request the stop; a second one, or DRAIN_SECONDS_MAX, cancels ``main``.
    """
    stop = Stop()
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(main(stop))
    forced = False

    def on_signal(number: signal.Signals) -> None:
        nonlocal forced
        if stop.is_requested:
            forced = True
            task.cancel()
        stop.request(number.name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    waiting = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            _log.info("draining", reason=stop.reason)
            await asyncio.wait({task}, timeout=DRAIN_SECONDS_MAX)
        if not task.done():
            _log.error("drain took too long", seconds=DRAIN_SECONDS_MAX)
            task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return EXIT_FORCED if forced else stop.exit_code or EXIT_FATAL
        return stop.exit_code
    finally:
        if stop.exit_code:
            leave_reason(stop.reason)
        waiting.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def leave_reason(reason: str, file: Path = TERMINATION_LOG) -> None:
    """Say why this process ends where Kubernetes looks for it; nothing happens where it does not."""
    if file.is_file():
        with contextlib.suppress(OSError):
            file.write_text(reason[:TERMINATION_CHARACTERS_MAX] + "\n", "utf-8")


def reason_of(error: BaseException) -> str:
    """What a person is told of the error that ended a process, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def collect_seldom() -> None:
    """Have the collector of reference cycles look seldom, and never at what is there now.

    A service keeps large caches for long and makes few cycles: with Python's defaults the collector walked
    through the caches for nothing, 8 % of a validator's CPU under load (benches/run.py replay).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTION_THRESHOLDS)


def run(main: Callable[[Stop], Coroutine[Any, Any, None]]) -> int:
    """Run ``main(stop)`` on a uvloop event loop until a signal; returns the exit code for ``sys.exit``.

    An exception out of ``main`` is logged once and gives exit code 1.
    """
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(supervise(main))
        except Exception as error:  # noqa: BLE001 - the edge of the process: logged once, then the exit code tells
            leave_reason(reason_of(error))
            _log.critical("process failed", why=reason_of(error), exc_info=True)
            return EXIT_FATAL
        finally:
            flush_spans()


def run_service(build: Callable[[Stop], Awaitable[Service]]) -> int:
    """`run` for the usual case: build a service, start it, wait for the stop, drain it."""

    async def main(stop: Stop) -> None:
        service = await build(stop)
        try:
            await service.start()
            collect_seldom()
            await stop.wait()
        finally:
            await service.drain()

    return run(main)

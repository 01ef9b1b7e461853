"""Keeps the parts of a local network running: starts them, restarts what died, stops them all."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Protocol

from icn_kit.lifecycle import cancel_all

from icn_localnet import processes
from icn_localnet.postgres_binaries import PostgresUnavailable
from icn_localnet.postgres_settings import UnsafeSettings
from icn_localnet.processes import Confinement, ProcessFailed

RESTART_SECONDS_FIRST, RESTART_SECONDS_MAX = 0.25, 4.0
"""What died is started again within five seconds, however often it died before."""
STEADY_SECONDS = 30.0
"""A part that ran this long begins again with the shortest wait."""
HELD_POLL_SECONDS = 0.25
LOG_CHECK_SECONDS = 120.0

StartFailures = (ProcessFailed, PostgresUnavailable, UnsafeSettings, OSError)
"""Why a part does not come up; tried again unless it is the first time."""


class AlreadyRunning(RuntimeError):
    """Another supervisor runs the network of this directory."""


class Part(Protocol):
    """A process that can be started and says when it is ready. All but `spawn` run on threads."""

    log: Path
    confinement: Confinement | None

    def prepare(self) -> None:
        """Get ready to be started: clean up, write configuration. May block."""
        ...

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process at once, from the main thread."""
        ...

    def wait_until_ready(self) -> None:
        """Return when it serves; raises one of `StartFailures`. May block."""
        ...

    def stop(self) -> None:
        """Have it drain and end; nothing happens when it does not run. May block."""
        ...


@dataclass(frozen=True)
class Stage:
    """Parts that start side by side, after those of earlier stages are ready, and stop before them."""

    parts: Mapping[str, Part]
    before: Sequence[Callable[[], None]] = ()
    """Run side by side on threads before the parts start."""
    spare: Mapping[str, int] = field(default_factory=dict)
    """Parts that may fail to start, with the seat they belong to; they are tried again like parts that
    died."""
    spare_max: int = 0
    """Of how many seats."""


@dataclass
class Child:
    """A part with what the supervisor knows about it."""

    name: str
    part: Part
    state: str = "stopped"
    """``starting``, ``running``, ``waiting`` (to be started again), ``held`` or ``stopped``."""
    pid: int | None = None
    restarts: int = 0
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


ProcessTable = dict[str, dict[str, Any]]
"""Name → {pid, state, restarts}."""


class Supervisor:
    """Runs the parts of one network directory. All of them end with it, however it ends.

    ``publish`` is told the process table whenever it changes.
    """

    def __init__(self, directory: Path, publish: Callable[[ProcessTable], None]) -> None:
        self.directory = directory
        self.children: dict[str, Child] = {}
        self._publish = publish
        self._stages: list[list[Child]] = []
        self._lock: TextIOWrapper | None = None
        self._maintenance: asyncio.Task[None] | None = None

    def lock(self) -> None:
        """Claim the directory. The kernel drops the claim with the process, so it is never stale.

        Raises:
            AlreadyRunning: see there.
        """
        self._lock = _claim(self.directory)
        shutil.rmtree(self.directory / "held", ignore_errors=True)  # of an earlier run

    async def start(self, stages: Sequence[Stage]) -> None:
        """Start everything and return when all of it is ready.

        Raises:
            ProcessFailed, PostgresUnavailable, UnsafeSettings, OSError: a part did not come up; what
                had come up is stopped again.
        """
        try:
            for stage in stages:
                await asyncio.gather(*(asyncio.to_thread(work) for work in stage.before))
                await self._bring_up(stage)
        except BaseException:
            await self.stop()
            raise
        self._maintenance = asyncio.create_task(self._keep_logs_bounded())

    async def stop(self) -> None:
        """Stop everything, the last stage first."""
        tasks = [child.task for child in self.children.values() if child.task is not None]
        if self._maintenance is not None:
            tasks.append(self._maintenance)
        await cancel_all(tasks)
        for stage in reversed(self._stages):
            await asyncio.gather(*(asyncio.to_thread(child.part.stop) for child in stage))
            for child in stage:
                child.state, child.pid = "stopped", None
        if self.children:
            self._publish(self.table())
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def table(self) -> ProcessTable:
        """What runs now."""
        return {
            child.name: {"pid": child.pid, "state": child.state, "restarts": child.restarts}
            for child in self.children.values()
        }

    async def _bring_up(self, stage: Stage) -> None:
        """Start a stage's parts side by side; returns when all are ready, or all but those of the seats that
        may be away.

        Raises what the first failure of another was.
        """
        children = [Child(name, part) for name, part in stage.parts.items()]
        loop = asyncio.get_running_loop()
        self._stages.append(children)
        first_starts = []
        for child in children:
            self.children[child.name] = child
            first_start: asyncio.Future[None] = loop.create_future()
            first_starts.append(first_start)
            child.task = asyncio.create_task(self._keep_running(child, first_start), name=child.name)
        failures = [
            (child.name, failure)
            for child, failure in zip(
                children, await asyncio.gather(*first_starts, return_exceptions=True), strict=True
            )
            if failure is not None
        ]
        seats = {stage.spare.get(name) for name, _ in failures}
        if None in seats or len(seats) > stage.spare_max:
            raise failures[0][1]
        for name, _ in failures:
            sys.stderr.write(f"{name} is away, the others go on without it\n")

    async def _keep_running(self, child: Child, first_start: asyncio.Future[None]) -> None:
        """Start ``child``, wait for its end, start it again, until cancelled."""
        delay_seconds = RESTART_SECONDS_FIRST
        while True:
            await self._wait_while_held(child)
            started_at = time.monotonic()
            try:
                await self._run_once(child, first_start)
            except StartFailures as error:
                await asyncio.to_thread(child.part.stop)
                if not first_start.done():
                    first_start.set_exception(type(error)(f"{child.name}: {error}"))
                sys.stderr.write(f"{child.name}: {error}\n")
            if time.monotonic() - started_at > STEADY_SECONDS:
                delay_seconds = RESTART_SECONDS_FIRST
            child.restarts += 1
            self._set_state(child, "waiting")
            await asyncio.sleep(delay_seconds)
            delay_seconds = min(2 * delay_seconds, RESTART_SECONDS_MAX)

    async def _run_once(self, child: Child, first_start: asyncio.Future[None]) -> None:
        """One life of the child, from its start to its end."""
        await asyncio.to_thread(child.part.prepare)
        process = child.part.spawn()
        child.pid = process.pid
        try:
            self._set_state(child, "starting")
            await asyncio.to_thread(child.part.wait_until_ready)
            child.is_ready.set()
            self._set_state(child, "running")
            if not first_start.done():
                first_start.set_result(None)
            await _ended(process)
        finally:
            child.is_ready.clear()
            child.pid = None

    async def _wait_while_held(self, child: Child) -> None:
        path = hold_path(self.directory, child.name)
        if not path.exists():
            return
        self._set_state(child, "held")
        while path.exists():  # noqa: ASYNC110 - another process removes the file
            await asyncio.sleep(HELD_POLL_SECONDS)

    async def _keep_logs_bounded(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK_SECONDS)
            for child in self.children.values():
                await asyncio.to_thread(processes.rotate, child.part.log)

    def _set_state(self, child: Child, state: str) -> None:
        child.state = state
        self._publish(self.table())


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Within it no platform can run in the directory.

    Raises:
        AlreadyRunning: see there.
    """
    with _claim(directory):
        yield


def _claim(directory: Path) -> TextIOWrapper:
    """An open file whose lock is held until it is closed, or the process ends."""
    lock = (directory / "supervisor.lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise AlreadyRunning(f"the network in {directory} is running already") from None
    return lock


def hold_path(directory: Path, name: str) -> Path:
    """The file that keeps a child down while it exists."""
    return directory / "held" / name


def hold(directory: Path, name: str, pid: int | None) -> None:
    """Kill a child of the network in ``directory`` (SIGKILL) and keep it down until `release`."""
    path = hold_path(directory, name)
    path.parent.mkdir(exist_ok=True)
    path.touch()
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def release(directory: Path, name: str) -> None:
    """Let the supervisor start a held child again."""
    hold_path(directory, name).unlink(missing_ok=True)


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Return when the process has ended, without looking at it in between."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    handle = os.pidfd_open(process.pid)
    try:
        loop.add_reader(handle, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    process.wait()

"""The embedded platform: run in this process' foreground (`icn up`), or as a child that ends with us (`icn
demo`).

A child is a process of its own so that whoever holds members' keys and whoever runs the platform do not share
one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from icn_client.platforms import is_running, platform_environment

if TYPE_CHECKING:
    from icn_localnet.network import Network

START_SECONDS_MAX: Final = 120.0
"""The first start on a slow machine, with the database template still to be made."""
STOP_SECONDS_MAX: Final = 40.0
"""The supervisor drains and stops everything in less; what is left dies with it."""
POLL_SECONDS: Final = 0.05
LOG_NAME: Final = "up.log"


class PlatformFailed(Exception):
    """The platform did not come up, or went away; the message says what its log ends with."""


async def run_in_foreground(network: Network, on_ready: Callable[[], None]) -> None:
    """Start everything, tell, and stop everything when SIGINT or SIGTERM comes.

    Raises:
        PlatformFailed: a part did not come up, or the directory's network runs already.
    """
    from icn_localnet.parts import stages
    from icn_localnet.supervisor import AlreadyRunning, StartFailures, Supervisor

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    supervisor = Supervisor(network.directory, network.save)
    try:
        supervisor.lock()
        network.choose_free_ports()
        starting = asyncio.create_task(supervisor.start(stages(network)))
        waiting = asyncio.create_task(ended.wait())
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        if not ended.is_set():
            on_ready()
        await waiting
    except AlreadyRunning as error:
        raise PlatformFailed(str(error)) from error
    except StartFailures as error:
        raise PlatformFailed(f"the platform did not come up: {error}") from error
    finally:
        await supervisor.stop()


@dataclass(frozen=True, slots=True)
class PartState:
    """What the supervisor says of one process."""

    pid: int | None
    state: str
    restarts: int


class EmbeddedPlatform:
    """A platform that runs as our child. Use it as a context; it is stopped at the end."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> EmbeddedPlatform:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Id of the supervising process while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start the founded network of the directory and return when everything serves.

        Raises:
            PlatformFailed: see there.
        """
        from icn_localnet import processes

        log = self.directory / LOG_NAME
        self._process = processes.spawn(
            [sys.executable, "-m", "icn_client.cli", "up", "--data", str(self.directory)],
            log=log,
            death_signal=signal.SIGTERM,
            environment=platform_environment(),
        )
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self.is_ready():
            if self._process.poll() is not None:
                raise PlatformFailed(f"the platform did not come up: {processes.tail(log)}")
            if time.monotonic() > deadline:
                self.stop()
                raise PlatformFailed(f"not ready in {START_SECONDS_MAX:.0f} s: {processes.tail(log)}")
            time.sleep(POLL_SECONDS)

    def wait(self) -> int:
        """Return the exit status when the platform ends by itself."""
        assert self._process is not None, "start() comes first"
        return self._process.wait()

    def stop(self) -> None:
        """Stop everything."""
        from icn_localnet import processes

        if self._process is not None:
            processes.stop(self._process, first=signal.SIGTERM, seconds=STOP_SECONDS_MAX)
            self._process = None

    def parts(self) -> dict[str, PartState]:
        """The platform's processes by name, as ``network.json`` has them now."""
        return parts_of(self.directory)

    def is_ready(self) -> bool:
        """Whether every process serves."""
        found = self.parts()
        return (
            is_running(self.directory)
            and "gateway" in found
            and all(part.state == "running" for part in found.values())
        )

    def kill(self, name: str) -> int:
        """SIGKILL a process and return its id; the supervisor starts it again.

        Raises:
            PlatformFailed: it does not run.
        """
        pid = self.parts()[name].pid
        if pid is None:
            raise PlatformFailed(f"{name} does not run")
        os.kill(pid, signal.SIGKILL)
        return pid

    def hold_down(self, name: str) -> int:
        """SIGKILL a process and keep it down until `let_up`; returns its id."""
        from icn_localnet.supervisor import hold

        pid = self.parts()[name].pid
        if pid is None:
            raise PlatformFailed(f"{name} does not run")
        hold(self.directory, name, pid)
        return pid

    def let_up(self, name: str) -> None:
        """Let the supervisor start a process again."""
        from icn_localnet.supervisor import release

        release(self.directory, name)

    async def wait_until(
        self, condition: Callable[[Mapping[str, PartState]], bool], seconds: float, what: str
    ) -> None:
        """Return when the processes are as wished.

        Raises:
            PlatformFailed: they are not in time.
        """
        deadline = time.monotonic() + seconds
        while not condition(self.parts()):
            if time.monotonic() > deadline:
                raise PlatformFailed(f"{what}: not within {seconds:.0f} s")
            await asyncio.sleep(POLL_SECONDS)


def parts_of(directory: Path) -> dict[str, PartState]:
    """The processes that ``network.json`` lists; none where it is not there yet."""
    try:
        document: dict[str, Any] = json.loads((directory / "network.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {
        name: PartState(part["pid"], part["state"], part["restarts"])
        for name, part in document.get("processes", {}).items()
    }

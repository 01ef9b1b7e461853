"""A platform on this machine: run it, launch it, and reach it from any process.

``python -m icn_localnet.platform DIR`` runs the network of a directory until SIGINT or SIGTERM; it prints the
gateway's address when everything is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from icn_localnet import processes, supervisor
from icn_localnet.network import Network, NetworkInvalid
from icn_localnet.parts import remove_socket_directories, stages
from icn_localnet.processes import ProcessFailed
from icn_localnet.supervisor import AlreadyRunning, Stage, StartFailures, Supervisor

START_SECONDS_MAX = 180.0
"""A first start makes the template and four clusters; recovery of each after a power cut comes on top."""
STOP_SECONDS_MAX = 60.0
WAIT_SECONDS_MAX = 60.0
POLL_SECONDS = 0.05
PARTS_OF_A_SEAT = ("postgres", "vm", "validator")
"""In the order they start; each is named with its seat behind a hyphen."""


async def run(
    network: Network,
    until: asyncio.Event,
    on_ready: Callable[[], None] = lambda: None,
    parts: Callable[[Network], Sequence[Stage]] = stages,
) -> None:
    """Run the platform from this event loop until ``until`` is set; the parts are processes of their own.

    ``on_ready`` is called once everything serves. Must be called on the main thread. ``parts`` says which are
    started, all unless told otherwise.

    Raises:
        AlreadyRunning: another process runs it.
        ProcessFailed, PostgresUnavailable, UnsafeSettings, OSError: a part did not come up.
    """
    keeper = Supervisor(network.directory, network.save)
    network.ready_pid = None
    keeper.lock()
    try:
        network.choose_free_ports()
        network.save({})
        starting = asyncio.ensure_future(keeper.start(parts(network)))
        asked_to_stop = asyncio.ensure_future(until.wait())
        try:
            await asyncio.wait({starting, asked_to_stop}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                network.ready_pid = os.getpid()
                network.save(keeper.table())
                on_ready()
            await asked_to_stop
        finally:
            for task in (starting, asked_to_stop):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError, *StartFailures):
                await starting
    finally:
        network.ready_pid = None
        await keeper.stop()
        remove_socket_directories(network)
        network.save()


class RunningPlatform:
    """A platform that some process on this machine runs, reached through the files of its directory.

    Its calls block; call them on a thread where an event loop must go on.
    """

    def __init__(self, directory: Path, process: subprocess.Popen[bytes] | None = None) -> None:
        self.directory = directory.absolute()
        self._process = process

    @property
    def network(self) -> Network:
        """Addresses as they are now."""
        return Network.load(self.directory)

    @property
    def gateway_url(self) -> str:
        """Address of the page and the REST interface."""
        return self.network.gateway_url

    def processes(self) -> dict[str, dict[str, Any]]:
        """Name → {pid, state, restarts} of every part."""
        return self.network.processes

    def pid(self, name: str) -> int | None:
        """Process id of a part such as ``validator-2``, ``postgres-2``, ``nats`` or ``gateway``."""
        found: int | None = self.processes()[name]["pid"]
        return found

    def kill(self, seat: int) -> None:
        """SIGKILL a validator and its Postgres, and keep both down until `start`."""
        self.hold(f"validator-{seat}")
        self.hold(f"postgres-{seat}")

    def start(self, seat: int) -> None:
        """Start a killed validator again; returns when it serves."""
        self.release(f"postgres-{seat}")
        self.release(f"validator-{seat}")

    def hold(self, name: str) -> None:
        """SIGKILL a part and keep it down until `release`."""
        supervisor.hold(self.directory, name, self.pid(name))
        self.wait_until(name, "held")

    def release(self, name: str) -> None:
        """Start a held part again; returns when it serves."""
        supervisor.release(self.directory, name)
        self.wait_until(name, "running")

    def kill_process(self, name: str) -> None:
        """SIGKILL a part, which the supervisor then starts again; returns when that has happened."""
        before = self.processes()[name]
        if before["pid"] is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(before["pid"], signal.SIGKILL)
        self._wait(
            lambda table: table[name]["state"] == "running" and table[name]["restarts"] > before["restarts"],
            f"{name} to run again",
        )

    def lose(self, seat: int, *, with_record: bool = False) -> None:
        """SIGKILL a validator and lose its database, as a lost disk would; with its record too if wanted.
        All of it stays down until `come_back`."""
        for part in PARTS_OF_A_SEAT:
            self.hold(f"{part}-{seat}")
        directory = self.network.validator_directory(seat)
        # Postgres ends its other processes when they notice, and they may write until then.
        left = processes.processes_in(directory / "postgres" / "cluster")
        processes.wait_until_gone(left, WAIT_SECONDS_MAX)
        shutil.rmtree(directory / "postgres")
        if with_record:
            shutil.rmtree(directory / "record")

    def come_back(self, seat: int) -> None:
        """Start the parts of a lost validator; returns when its server runs, whatever becomes of the rest."""
        for part in PARTS_OF_A_SEAT:
            supervisor.release(self.directory, f"{part}-{seat}")
        self.wait_until(f"{PARTS_OF_A_SEAT[0]}-{seat}", "running")

    def replace_key(self, seat: int, content: bytes) -> None:
        """Stop a validator, give it other consensus keys (`Network.replace_key`), and start it again."""
        name = f"validator-{seat}"
        self.hold(name)
        try:
            self.network.replace_key(seat, content)
        finally:
            self.release(name)

    def wipe_events(self) -> None:
        """Lose everything NATS holds, as a lost disk would, and start it empty."""
        self.hold("nats")
        shutil.rmtree(self.network.shared_directory / "nats" / "store", ignore_errors=True)
        self.release("nats")

    def wait_until(self, name: str, state: str) -> None:
        """Return when a part is in this state (`icn_localnet.supervisor.Child`).

        Raises:
            TimeoutError: not within WAIT_SECONDS_MAX.
        """
        self._wait(lambda table: table[name]["state"] == state, f"{name} to be {state}")

    def stop(self) -> None:
        """Stop a platform that `launch` started; returns when all its processes have ended."""
        assert self._process is not None, "only who launched it stops it"
        processes.stop(self._process, first=signal.SIGTERM, seconds=STOP_SECONDS_MAX)

    def _wait(self, is_so: Callable[[Mapping[str, Mapping[str, Any]]], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while not is_so(self.processes()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {WAIT_SECONDS_MAX} s for {what}: {self.processes()}")
            time.sleep(POLL_SECONDS)


def launch(network: Network) -> RunningPlatform:
    """Run the platform in a process of its own, which ends with this one; returns when everything serves.

    Raises:
        ProcessFailed: it did not come up; the message ends with why.
    """
    log = network.directory / "platform.log"
    process = processes.spawn(
        [sys.executable, "-m", "icn_localnet.platform", str(network.directory)],
        log=log,
        death_signal=signal.SIGTERM,
    )
    running = RunningPlatform(network.directory, process)
    deadline = time.monotonic() + START_SECONDS_MAX
    while not _is_ready(running, process.pid):
        if process.poll() is not None:
            raise ProcessFailed(f"the platform ended with {process.returncode}: {processes.tail(log)}")
        if time.monotonic() > deadline:
            running.stop()
            raise ProcessFailed(f"the platform was not ready in {START_SECONDS_MAX} s: {processes.tail(log)}")
        time.sleep(POLL_SECONDS)
    return running


def _is_ready(running: RunningPlatform, pid: int) -> bool:
    try:
        return running.network.ready_pid == pid
    except (OSError, NetworkInvalid):
        return False


def main() -> None:
    """The program; exit status 1 with one sentence when the platform does not come up."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m icn_localnet.platform DIR\n")
        raise SystemExit(2)
    try:
        network = Network.load(Path(sys.argv[1]))
        asyncio.run(_run_until_signal(network))
    except (AlreadyRunning, NetworkInvalid, *StartFailures) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None


async def _run_until_signal(network: Network) -> None:
    until = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, until.set)

    def on_ready() -> None:
        sys.stdout.write(f"{network.gateway_url}\n")
        sys.stdout.flush()

    await run(network, until, on_ready)


if __name__ == "__main__":
    main()

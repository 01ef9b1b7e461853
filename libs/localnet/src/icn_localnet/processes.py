"""Starts, finds and stops operating-system processes, and keeps their logs bounded."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

LAUNCHER = Path(__file__).with_name("launch.py")
LOG_BYTES_MAX = 16 * 1024 * 1024
"""The end of a log beyond it goes to ``.old`` at the next check, so that a process keeps about twice this."""
POLL_SECONDS = 0.02

Identity = Literal["keep", "namespace", "nobody"]
"""Whom a child runs as: the caller, the caller seen as nobody in a user namespace, or nobody."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """What the kernel keeps a child from, where it has Landlock (Linux 5.13)."""

    hidden: tuple[Path, ...]
    """Nothing below these can be read, written or made, …"""
    reachable: tuple[Path, ...]
    """… but these, which must be there when the child starts."""

    def options(self) -> list[str]:
        """For the launcher."""
        return [
            *(f"--hide={path}" for path in self.hidden),
            *(f"--reach={path}" for path in self.reachable),
        ]


class ProcessFailed(RuntimeError):
    """A child ended or did not become ready; the message ends with what its log says."""


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    death_signal: signal.Signals = signal.SIGKILL,
    identity: Identity = "keep",
    environment: Mapping[str, str] | None = None,
    on_any_thread: bool = False,
    confinement: Confinement | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``command`` (absolute program path first) in a session of its own, output appended to ``log``.

    The kernel sends it ``death_signal`` when this process dies, so nothing is orphaned. That is tied to the
    calling thread, which must therefore be the main one, unless ``on_any_thread`` says that this thread will
    outlive the child.
    """
    if not on_any_thread and threading.current_thread() is not threading.main_thread():
        raise RuntimeError("children must be started from the main thread: they die with the thread that did")
    rotate(log)
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER), "--parent", str(os.getpid())]
    launcher += ["--death-signal", str(int(death_signal)), "--identity", identity]
    launcher += [*(confinement.options() if confinement else ()), "--"]
    with log.open("ab") as output:
        return subprocess.Popen(
            [*launcher, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment) if environment is not None else None,
            start_new_session=True,
        )


def run_to_end(
    command: Sequence[str],
    *,
    identity: Identity = "keep",
    standard_input: str = "",
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float = 120,
) -> str:
    """Run ``command`` and return what it printed.

    Raises:
        ProcessFailed: its exit status is not 0 or the time ran out.
    """
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER), "--parent", str(os.getpid())]
    launcher += ["--death-signal", str(int(signal.SIGKILL)), "--identity", identity, "--"]
    try:
        done = subprocess.run(
            [*launcher, *command],
            input=standard_input,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment) if environment is not None else None,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProcessFailed(f"{command[0]} took longer than {timeout_seconds} s") from error
    if done.returncode != 0:
        raise ProcessFailed(f"{command[0]} ended with {done.returncode}: {done.stdout[-2000:].strip()}")
    return done.stdout


def lines_of(command: Sequence[str], *, log: Path) -> Generator[str]:
    """The lines that ``command`` prints, as they come; what it says on stderr is appended to ``log``. It ends
    with whoever reads.

    Raises:
        ProcessFailed: its exit status is not 0.
    """
    rotate(log)
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER), "--parent", str(os.getpid())]
    launcher += ["--death-signal", str(int(signal.SIGKILL)), "--"]
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [*launcher, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None, "it was asked for"
        with process.stdout:
            yield from process.stdout
        status = process.wait()
    finally:
        process.kill()
        process.wait()
    if status != 0:
        raise ProcessFailed(f"{command[0]} ended with {status}: {tail(log)}")


@cache
def can_enter_user_namespace() -> bool:
    """Whether this user may start a program in a user namespace of its own; asked of the kernel once."""
    try:
        run_to_end([sys.executable, "-I", "-S", "-c", "pass"], identity="namespace", timeout_seconds=30)
    except ProcessFailed:
        return False
    return True


def stop(process: subprocess.Popen[bytes], *, first: signal.Signals, seconds: float) -> None:
    """Ask ``process`` to end, kill it after ``seconds``; returns when it has ended."""
    if process.poll() is None:
        process.send_signal(first)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def is_alive(pid: int) -> bool:
    """Whether a process with this id runs (a zombie does not)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def processes_in(directory: Path) -> list[int]:
    """Ids of processes whose working directory is ``directory``; those of a Postgres are all in its data."""
    wanted = directory.resolve()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "cwd").readlink() == wanted and is_alive(int(entry.name)):
                    found.append(int(entry.name))
    return sorted(found)


def wait_until_gone(pids: Sequence[int], seconds: float) -> bool:
    """Wait until none of ``pids`` runs; false when the time is over first."""
    deadline = time.monotonic() + seconds
    while any(is_alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def rotate(log: Path) -> None:
    """Move the end of a log that has grown past its bound aside and empty it; writers go on appending.

    The file is copied and truncated, since a running process holds it open in append mode.
    """
    try:
        size_bytes = log.stat().st_size
    except FileNotFoundError:
        return
    if size_bytes > LOG_BYTES_MAX:
        with log.open("rb+") as current, log.with_name(log.name + ".old").open("wb") as old:
            current.seek(size_bytes - LOG_BYTES_MAX)
            while chunk := current.read(1 << 20):
                old.write(chunk)
            current.truncate(0)


def tail(log: Path, characters_max: int = 2000) -> str:
    """The end of a log, for error messages."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - characters_max))
        return file.read().decode(errors="replace").strip()
    return ""

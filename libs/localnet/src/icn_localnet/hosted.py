"""A Python process of the platform that says over HTTP when it is ready."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from icn_localnet import processes
from icn_localnet.processes import Confinement, ProcessFailed

START_SECONDS_MAX = 120.0
"""A second is usual; a machine that does much else at the same time may need a hundred."""
STOP_SECONDS_MAX = 15.0
"""A service drains for less; what remains is killed, which it must survive anyway."""
READY_POLL_SECONDS = 0.05
HEALTH_SECONDS_MAX = 2.0
LOG_CHARACTERS_READ_MAX = 32_000
"""Holds the longest traceback of ours, on one line."""
LAST_CHARACTERS_MAX = 2_000


class HostedProcess:
    """``python -m MODULE ARGUMENT…`` with its log; ready when ``http://HEALTH/healthz`` answers 200."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        health: str,
        log: Path,
        environment: Mapping[str, str] = os.environ,
        confinement: Confinement | None = None,
    ) -> None:
        self.confinement = confinement
        self._arguments = list(arguments)
        self.environment = {**environment, "PYTHONUNBUFFERED": "1"}
        self.health = health
        """``host:port``."""
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Id of the running process."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def prepare(self) -> None:
        """Nothing to do."""

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process; `wait_until_ready` must follow."""
        assert self._process is None or self._process.poll() is not None, "already started"
        self._process = processes.spawn(
            [sys.executable, "-m", *self._arguments],
            log=self.log,
            death_signal=signal.SIGKILL,
            environment=self.environment,
            confinement=self.confinement,
        )
        return self._process

    def wait_until_ready(self) -> None:
        """Return when the process is healthy.

        Raises:
            ProcessFailed: it ended or took longer than START_SECONDS_MAX.
        """
        process = self._process
        assert process is not None, "spawn() comes first"
        deadline = time.monotonic() + START_SECONDS_MAX
        while not is_healthy(self.health):
            if process.poll() is not None:
                raise ProcessFailed(f"ended with {process.returncode}: {last_words(self.log)}")
            if time.monotonic() > deadline:
                raise ProcessFailed(f"not ready in {START_SECONDS_MAX} s: {last_words(self.log)}")
            time.sleep(READY_POLL_SECONDS)

    def stop(self) -> None:
        """Have the process drain and end."""
        if self._process is not None:
            processes.stop(self._process, first=signal.SIGTERM, seconds=STOP_SECONDS_MAX)
            self._process = None


def last_words(log: Path) -> str:
    """Why a process ended: the last line of the exception that it logged last, else the end of its log."""
    text = processes.tail(log, LOG_CHARACTERS_READ_MAX)
    for line in reversed(text.splitlines()):
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and (exception := str(entry.get("exception", "")).strip()):
                return exception.splitlines()[-1]
    return text[-LAST_CHARACTERS_MAX:]


def is_healthy(address: str) -> bool:
    """Whether ``GET /healthz`` at ``host:port`` answers 200."""
    host, _, port = address.rpartition(":")
    request = f"GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host, int(port)), timeout=HEALTH_SECONDS_MAX) as connection:
            connection.sendall(request.encode())
            return connection.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False

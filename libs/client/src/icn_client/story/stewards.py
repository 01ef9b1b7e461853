"""The co-ops' stewards: programs with keys of their own, started by the co-ops and not by the platform."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from icn_client.keystore import (
    PASSPHRASE_VARIABLE,
    SCRYPT_LOG2_N_MACHINE_MADE,
    Identity,
    Keystore,
)
from icn_client.platforms import STEWARD_VARIABLE, founder_slug
from icn_client.stewarding import register_steward
from icn_client.story.stage import Coop, Stage

EVERY: Final = "1s"
STOP_SECONDS_MAX: Final = 10.0


class Stewards:
    """Runs them, and ends them with the story."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="icn-stewards-")
        self._store = Keystore(Path(self._folder.name))
        self._passphrase = secrets.token_hex(32)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def names(self) -> list[str]:
        """Co-ops whose steward runs."""
        return sorted(self._running)

    async def register(self, stage: Stage, coop: Coop) -> None:
        """Make the steward's key and put it beside the co-op's own, good for countersigning only."""
        steward = Identity.generate(founder_slug(coop.name), principal=coop.actor.principal)
        self._store.add(steward, self._passphrase, SCRYPT_LOG2_N_MACHINE_MADE)
        await register_steward(stage.connection, stage.submitter, coop.actor, steward)

    def start(self, stage: Stage, coop: Coop) -> None:
        """Start the co-op's program; it ends with the story."""
        from icn_localnet import processes  # a client that does not host a platform needs no localnet

        command = [sys.executable, "-m", "icn_client.cli", "steward", "run", "--every", EVERY]
        command += ["--as", founder_slug(coop.name), "--data", str(stage.platform.directory)]
        environment = {
            **os.environ,
            STEWARD_VARIABLE: self._folder.name,
            PASSPHRASE_VARIABLE: self._passphrase,
        }
        log = Path(self._folder.name) / f"{founder_slug(coop.name)}.log"
        self._running[coop.name] = processes.spawn(
            command, log=log, death_signal=signal.SIGTERM, environment=environment
        )

    def said(self, name: str) -> str:
        """The end of what a co-op's steward has said."""
        return (Path(self._folder.name) / f"{founder_slug(name)}.log").read_text(errors="replace")[-2000:]

    def stop(self, *names: str) -> None:
        """End some, or all."""
        for name in names or tuple(self._running):
            process = self._running.pop(name)
            process.terminate()
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def close(self) -> None:
        """End all and forget their keys."""
        self.stop()
        self._folder.cleanup()

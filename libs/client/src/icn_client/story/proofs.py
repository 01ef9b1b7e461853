"""What anybody can check with the genesis file alone."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from icn_client import institutions
from icn_client.story.stage import Stage, StoryFailed, hours


async def offline(stage: Stage) -> None:
    """A balance, a membership and the result of the election; and a forged one of each."""
    anna, ivo = stage.members["Anna"], stage.members["Ivo"]
    leaf = await stage.balance("Anna")
    press = stage.coops[ivo.coop].actor.principal
    poll = (await institutions.poll(stage.connection, stage.election)).poll
    claims = (
        (
            f"accounts/{anna.account.hex()}",
            {"account": anna.account.hex(), "balance_minor": str(leaf.balance_minor)},
            f"Anna stands at {hours(leaf.balance_minor)}",
        ),
        (
            f"memberships/{press.hex()}/{ivo.actor.principal.hex()}",
            {"member": ivo.actor.principal.hex(), "organization": press.hex(), "status": "active"},
            f"Ivo is a member of {ivo.coop}",
        ),
        (
            f"polls/{stage.election.hex()}",
            {"poll": stage.election.hex(), "result": poll.result.hex(), "ballots": str(poll.ballots)},
            f"the election of {poll.ballots} ballots has the result {poll.result.hex()[:16]}…",
        ),
    )
    with tempfile.TemporaryDirectory(prefix="icn-proof-") as folder:
        away = Path(folder)
        shutil.copy(stage.network.genesis_path, away / "genesis.json")
        for name, expected, text in claims:
            content = await stage.connection.proof_file(name)
            (away / "proof.json").write_bytes(content)
            verdict, is_cut_off = await asyncio.to_thread(_verify_apart, away, "proof.json")
            statement = verdict.get("statement") or {}
            stage.check(
                verdict.get("valid") is True
                and {key: str(statement.get(key)) for key in expected} == expected,
                f"{text}, after block {verdict.get('height')}: {len(content)} bytes, {verdict.get('trust')}, "
                f"profile {verdict.get('profile')}, {verdict.get('age_seconds')} s old"
                + (", in a process without any network" if is_cut_off else ""),
            )
            document = json.loads(content)
            document["value"] = document["value"][:-2] + f"{int(document['value'][-2:], 16) ^ 1:02x}"
            (away / "forged.json").write_text(json.dumps(document))
            forged, _ = await asyncio.to_thread(_verify_apart, away, "forged.json")
            stage.check(forged.get("valid") is False, f"one bit changed: refused, {forged.get('reason')}")


def _verify_apart(folder: Path, name: str) -> tuple[dict[str, Any], bool]:
    """`icn proof verify` in a process that has this folder's files and nothing else to go by.

    Also returns whether it had no network at all.
    """
    command = [sys.executable, "-m", "icn_client.cli", "proof", "verify", name, "--genesis", "genesis.json"]
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder)}
    apart = [*_without_network(), *command]
    done = subprocess.run(
        apart, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    try:
        return json.loads(done.stdout), len(apart) > len(command)
    except ValueError:
        raise StoryFailed(f"icn proof verify said nothing: {done.stderr[-500:]}") from None


def _without_network() -> list[str]:
    """How to start a program in a network namespace without any interface; nothing where the kernel forbids
    it.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        return []
    prefix = [unshare, "--user", "--net"]
    probe = subprocess.run(
        [*prefix, sys.executable, "-S", "-c", "pass"], capture_output=True, timeout=30, check=False
    )
    return prefix if probe.returncode == 0 else []

"""The guided story holds, from the outside: its exit status, its steps, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

STEPS = 17


@pytest.mark.xdist_group("platform")
@pytest.mark.timeout(600)
def test_the_demo_holds_in_every_step_and_leaves_no_process_behind(icn: Any, tmp_path: Path) -> None:
    data = tmp_path / "zone"
    run = icn("demo", "--json", "--data", str(data), seconds=560)
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert result["held"] is True
    assert len(result["steps"]) == STEPS
    for step in result["steps"]:
        assert any(text.startswith("✓") for text in step["shown"]), step
    shown = " ".join(text for step in result["steps"] for text in step["shown"])
    for text in (
        "would stand at −520.00 HOURS, the floor is −500.00 HOURS",
        "three countersignatures found nothing: QUORUM_NOT_MET",
        "all 7 vote yes, 4 countersign: one short, it is still −500.00 HOURS",
        "Scottish STV: Anna, Hana, Dina",
        "one approval is not enough",
        "the lost key signs nothing any more: KEY_UNKNOWN",
    ):
        assert text in shown, text
    assert processes_of(data) == []


@pytest.mark.xdist_group("platform")
def test_a_directory_that_holds_a_zone_is_not_played_over(icn: Any, tmp_path: Path) -> None:
    (tmp_path / "zone").mkdir()
    (tmp_path / "zone" / "genesis.json").write_text("{}")
    run = icn("demo", "--data", str(tmp_path / "zone"))
    assert run.returncode == 1
    assert "holds a network already" in run.stderr
    assert (tmp_path / "zone" / "genesis.json").read_text() == "{}"


@pytest.mark.xdist_group("platform")
@pytest.mark.timeout(400)
def test_up_says_where_it_is_stops_everything_on_ctrl_c_and_goes_on_where_it_stopped(
    icn: Any, tmp_path: Path
) -> None:
    data = tmp_path / "zone"
    heights = []
    for _ in range(2):
        with up(data) as (process, ready):
            assert ready["validators"] == 4 and ready["url"].startswith("http://127.0.0.1:")
            assert (ready["profile"], ready["data"]) == ("hosted", str(data))
            second = icn("up", "--data", str(data))
            assert second.returncode == 1 and "running already" in second.stderr
            command = ("unit", "create", "AGAIN", "--as", "harvest-farm", "--json", "--data", str(data))
            made = icn(*command, ICN_PASSPHRASE="")
            assert made.returncode == 0, made.stderr
            heights.append(json.loads(made.stdout)["height"])
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        assert processes_of(data) == []
    assert heights[0] < heights[1]
    assert icn("status", "--data", str(data)).returncode == 3


@contextmanager
def up(data: Path) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    command = [sys.executable, "-m", "icn_client.cli", "up", "--json", "--data", str(data)]
    environment = {**os.environ, "XDG_STATE_HOME": str(data.parent / "state")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def processes_of(data: Path) -> list[int]:
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(data) in part for part in process.info["cmdline"] or ())
    ]

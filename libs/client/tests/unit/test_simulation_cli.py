"""`icn sim`: its last line, its exit status, and what it says of a broken promise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from icn_client.cli.main import main
from icn_sim import campaign
from icn_sim.campaign import Result


def sim(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, Any, str]:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr("sys.argv", ["icn", "sim", *options])
        main()
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    return int(ended.value.code or 0), json.loads(lines[-1]) if lines else None, shown.err


def test_seeds_are_played_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    code, told, _ = sim(capsys, "--seeds", "3", "--first-seed", "11")
    assert (code, told["seeds"], told["forks"], told["violations"]) == (0, 3, 0, [])
    assert told["reached"]["final_blocks"] > 3


def test_a_broken_promise_ends_it_with_1_and_the_command_that_plays_it_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Result(seeds=5, violations={7: "two final blocks at height 3"})
    monkeypatch.setattr(campaign, "run", lambda *_arguments: found)
    code, told, said = sim(capsys, "--seeds", "5", "--first-seed", "4")
    assert (code, told["forks"]) == (1, 1)
    assert "icn sim --first-seed 7 --seeds 1" in said


def test_too_little_reached_ends_it_with_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "run", lambda *_arguments: Result(seeds=2_000))
    code, told, said = sim(capsys, "--seeds", "2000")
    assert code == 1
    assert told["missed"]["catch_ups"] == {"reached": 0, "minimum": 100}
    assert "catch_ups: 0, of 2000 seeds at least 100" in said


@pytest.mark.parametrize("options", [("--seeds", "0"), ("--seeds", "10000001"), ("--first-seed", "-1")])
def test_numbers_out_of_range_are_a_usage_error(
    options: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, told, said = sim(capsys, *options)
    assert (code, told) == (2, None)
    assert options[0] in said

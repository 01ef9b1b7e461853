"""`icn vote` from outside: what is printed for a file and for a folder, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BLT = b"3 2\n7 1 2 0\n2 2 0\n3 3 0\n0\nAna\nBert\nCleo\nBoard\n"
TIED = b"3 1\n[tie 3 2 1]\n2 1 0\n2 2 0\n3 3 0\n0\nAna\nBert\nCleo\n"
SOI = b"# NUMBER ALTERNATIVES: 2\n# ALTERNATIVE NAME 1: Ana\n# ALTERNATIVE NAME 2: Bert\n3: 2,1\n1: 1\n"


def count(
    *arguments: str, folder: Path, text: bytes = b"", method: str = "scottish-stv"
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "icn_client.cli", "vote", "count", "--method", method, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        input=text,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_a_file_is_counted_stage_by_stage_with_exact_decimals(tmp_path: Path) -> None:
    (tmp_path / "board.blt").write_bytes(BLT)
    run = count("--in", "board.blt", folder=tmp_path)
    assert (run.returncode, run.stderr) == (0, b"")
    assert json.loads(run.stdout) == {
        "quota": "5",
        "winners": [1, 2],
        "stages": [
            {"action": "elect", "candidates": [1], "totals": ["7.00000", "2.00000", "3.00000"]},
            {"action": "transfer", "candidates": [1], "totals": ["5.00000", "3.99997", "3.00000"]},
            {"action": "exclude", "candidates": [3], "totals": ["5.00000", "3.99997", "0.00000"]},
        ],
        "ties": [],
    }


def test_standard_input_is_counted_with_other_seats_and_places(tmp_path: Path) -> None:
    run = count("--in", "-", "--seats", "1", "--places", "0", folder=tmp_path, text=BLT)
    found = json.loads(run.stdout)
    assert (found["quota"], found["winners"]) == ("7", [1])
    assert found["stages"][0]["totals"] == ["7", "2", "3"]


def test_a_tie_is_a_result_and_lists_the_lot(tmp_path: Path) -> None:
    run = count("--in", "-", folder=tmp_path, text=TIED)
    assert run.returncode == 0
    assert json.loads(run.stdout)["ties"] == [
        {"stage": 2, "action": "exclude", "candidates": [1, 2], "chosen": 2, "by": "lot", "among": [1, 2]}
    ]


def test_the_format_follows_from_the_name_or_the_option(tmp_path: Path) -> None:
    (tmp_path / "board.soi").write_bytes(SOI)
    assert json.loads(count("--in", "board.soi", "--seats", "1", folder=tmp_path).stdout)["winners"] == [2]
    run = count("--in", "-", "--format", "soi", "--seats", "1", folder=tmp_path, text=SOI)
    assert json.loads(run.stdout)["winners"] == [2]


def test_a_file_without_seats_is_refused_unless_they_are_given(tmp_path: Path) -> None:
    run = count("--in", "-", "--format", "soi", folder=tmp_path, text=SOI)
    assert (run.returncode, run.stdout) == (1, b"")
    assert run.stderr == b"icn: -: the file does not say how many seats there are; give --seats N\n"


def test_a_file_that_is_none_costs_one_sentence_with_its_line(tmp_path: Path) -> None:
    run = count("--in", "-", folder=tmp_path, text=BLT.replace(b"2 2 0", b"2 2 2 0"))
    assert (run.returncode, run.stdout) == (1, b"")
    assert run.stderr == b"icn: -: line 3: candidate 2 is ranked twice\n"
    run = count("--in", "-", "--seats", "4", folder=tmp_path, text=BLT)
    assert (run.returncode, run.stderr) == (1, b"icn: -: seats: 4 seats for 3 candidates\n")


def test_a_folder_gives_a_line_per_file_and_goes_on_after_one_that_fails(tmp_path: Path) -> None:
    (tmp_path / "wards").mkdir()
    for name, content in {"a.blt": BLT, "b.blt": b"junk", "c.blt": TIED, ".hidden": b"junk"}.items():
        (tmp_path / "wards" / name).write_bytes(content)
    run = count("--in", "wards", "--jsonl", folder=tmp_path)
    found = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 1
    assert [one["file"] for one in found] == ["a.blt", "b.blt", "c.blt"]
    assert [one.get("winners") for one in found] == [[1, 2], None, [3]]
    assert sorted(found[1]) == ["error", "file"] and "line 1: " in found[1]["error"]
    (tmp_path / "wards" / "b.blt").unlink()
    assert count("--in", "wards", "--jsonl", folder=tmp_path).returncode == 0


@pytest.mark.parametrize("method", ["borda", "copeland", "minimax", "schulze", "ranked-pairs"])
def test_candidates_are_compared_in_pairs(tmp_path: Path, method: str) -> None:
    run = count("--in", "-", folder=tmp_path, text=BLT, method=method)
    assert (run.returncode, run.stderr) == (0, b"")
    found = json.loads(run.stdout)
    assert found.pop("scores") is not None
    assert found == {
        "quota": None,
        "winners": [1],
        "stages": [],
        "ties": [],
        "candidates": [1, 2, 3],
        "above": [["0", "7", "7"], ["2", "0", "9"], ["3", "3", "0"]],
    }


@pytest.mark.parametrize("option", [("--seats", "2"), ("--places", "3")])
def test_what_only_transfers_have_is_refused_for_comparisons(tmp_path: Path, option: tuple[str, str]) -> None:
    run = count("--in", "-", *option, folder=tmp_path, text=BLT, method="schulze")
    assert run.returncode == 2
    assert b"schulze elects one, and counts whole ballots" in run.stderr

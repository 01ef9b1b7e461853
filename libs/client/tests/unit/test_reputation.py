"""`icn reputation replay` from outside."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROWS = [
    f"p{number % 7},p{number % 5},{-5 if number % 4 == 0 else 3},{1_000 + number}" for number in range(29)
]
TEXT = "\n".join(["source,target,rating,time", *ROWS]) + "\n"


def replay(folder: Path, *arguments: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "icn_client.cli", "reputation", "replay", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        input=text,
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_one_line_per_rating_from_the_share_on_in_file_order(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text(TEXT)
    run = replay(tmp_path, "--in", "ratings.csv", "--predict-from", "0.8")
    assert (run.returncode, run.stderr) == (0, b"")
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert [(line["source"], line["target"]) for line in lines] == [
        tuple(row.split(",")[:2]) for row in ROWS[23:]
    ]
    assert all(list(line) == ["source", "target", "score"] and 0 < line["score"] < 1 for line in lines)


def test_a_packed_file_and_standard_input_give_the_same(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text(TEXT)
    (tmp_path / "ratings.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + TEXT.encode()))
    plain = replay(tmp_path, "--in", "ratings.csv", "--predict-from", "0")
    assert len(plain.stdout.splitlines()) == len(ROWS)
    assert replay(tmp_path, "--in", "ratings.csv.gz", "--predict-from", "0.0").stdout == plain.stdout
    assert replay(tmp_path, "--in", "-", "--predict-from", ".0", text=TEXT.encode()).stdout == plain.stdout


def test_a_share_of_one_and_a_file_without_rows_are_results(tmp_path: Path) -> None:
    whole = replay(tmp_path, "--in", "-", "--predict-from", "1", text=TEXT.encode())
    empty = replay(tmp_path, "--in", "-", "--predict-from", "0.8", text=b"source,target,rating,time\n")
    assert [(run.returncode, run.stdout) for run in (whole, empty)] == [(0, b"")] * 2


def test_rows_out_of_order_are_taken_as_they_stand_and_said(tmp_path: Path) -> None:
    text = "source,target,rating,time\na,b,1,2\nb,a,1,1\n"
    run = replay(tmp_path, "--in", "-", "--predict-from", "0", text=text.encode())
    assert run.returncode == 0
    assert [json.loads(line)["source"] for line in run.stdout.splitlines()] == ["a", "b"]
    assert b"not in order of time" in run.stderr


@pytest.mark.parametrize("share", ["1.01", "-0.1", "x", "", "nan", "1e-1", "4/5", "80%"])
def test_a_share_that_is_none_is_wrong_usage(tmp_path: Path, share: str) -> None:
    run = replay(tmp_path, "--in", "-", f"--predict-from={share}", text=TEXT.encode())
    assert (run.returncode, run.stdout) == (2, b"")
    assert b"--predict-from" in run.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", b"line 1: no column source"),
        (TEXT.encode() + b"a,b,bad,1\n", b"line 31: rating: 'bad'"),
        (TEXT.encode() + b"a,\xff,1,1\n", b"line 31: not UTF-8"),
        (gzip.compress(TEXT.encode())[:-9], b"not a whole gzip file"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_before_anything_is_printed(
    tmp_path: Path, content: bytes, said: bytes
) -> None:
    run = replay(tmp_path, "--in", "-", "--predict-from", "0", text=content)
    assert (run.returncode, run.stdout) == (1, b"")
    assert said in run.stderr
    assert b"Traceback" not in run.stderr


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    run = replay(tmp_path, "--in", "missing.csv", "--predict-from", "0.8")
    assert (run.returncode, run.stdout) == (1, b"")
    assert b"missing.csv" in run.stderr

"""A real transaction file on four validators: nothing lost, nothing doubled, equal to an independent fold."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from e2e.chains import chains
from e2e.fold import fold

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("ICN_SHARED_DATA") or HERE.parent.parent / "shared" / "data")
SARAFU = SHARED / "sarafu" / "sarafu-10k.csv.gz"
HEADER = "id,timeset,transfer_subtype,source,target,weight,token_name,token_address\n"
REPLAY_SECONDS_MAX = 240


def balances_of(path: Path) -> dict[str, int]:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["party", "balance"]
    return {party: int(balance) for party, balance in rows[1:]}


def test_the_fold_is_short_and_imports_nothing_of_ours() -> None:
    text = (HERE / "fold.py").read_text()
    assert len(text.splitlines()) <= 40
    assert "icn_" not in text


def check(result: dict[str, Any], file: Path, balances: Path) -> None:
    expected, refused = fold(str(file))
    assert refused == [], "the file's own order pays for every row"
    assert balances_of(balances) == expected
    assert result["committed"] == result["rows"] > 0
    assert (result["refused"], result["sum"]) == (0, "0")
    assert len(result["root"]) == 64
    assert result["per_second"] > 0 and result["registration_seconds"] > 0


def test_a_file_with_many_chains_of_spending_loses_no_row(icn: Any, federation: Any, tmp_path: Path) -> None:
    seed = 20_260_301
    file = tmp_path / "rows.csv.gz"
    file.write_bytes(gzip.compress(chains(seed, 600).encode()))
    out = tmp_path / "balances.csv"
    run = icn("replay", str(file), "--balances", str(out), "--data", str(federation.directory))
    assert run.returncode == 0, f"seed {seed}: {run.stderr}"
    check(json.loads(run.stdout), file, out)
    assert "registration took" in run.stderr


def test_rows_that_nothing_can_fund_are_given_up_and_named(icn: Any, federation: Any, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(
        HEADER
        + "1,t,DISBURSEMENT,bank,ana,10,T,0x\n"
        + "2,t,STANDARD,ana,bruno,10.000001,T,0x\n"
        + "3,t,STANDARD,ana,bruno,4.0000005,T,0x\n"
        + "4,t,STANDARD,bruno,carla,0.0000001,T,0x\n"
        + "5,t,STANDARD,bruno,carla,1.5,T,0x\n"
    )
    out = tmp_path / "balances.csv"
    run = icn("replay", str(file), "--balances", str(out), "--data", str(federation.directory))
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert (result["rows"], result["committed"], result["refused"], result["sum"]) == (5, 3, 2, "0")
    assert balances_of(out) == {"bank": -10_000_000, "ana": 6_000_000, "bruno": 2_500_000, "carla": 1_500_000}
    assert "line 3" in run.stderr and "line 5" in run.stderr


@pytest.mark.vectors
@pytest.mark.skipif(not SARAFU.exists(), reason=f"{SARAFU} is not there")
@pytest.mark.timeout(600)
def test_sarafu_commits_every_row_while_validators_are_killed(
    icn: Any, federation: Any, tmp_path: Path
) -> None:
    out = tmp_path / "balances.csv"
    killed: list[str] = []
    done = threading.Event()

    def kill() -> None:
        # One after another, so that never more than one of four is away; the first is the one the stream is
        # to.
        for name in ("validator-0", "postgres-2", "validator-3"):
            if done.wait(5):
                return
            federation.kill_process(name)
            killed.append(name)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        run = icn(
            "replay",
            str(SARAFU),
            "--balances",
            str(out),
            "--data",
            str(federation.directory),
            seconds=REPLAY_SECONDS_MAX,
        )
    finally:
        done.set()
        killer.join()
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    check(result, SARAFU, out)
    assert result["failovers"] >= 1
    assert killed, "the replay was over before anything was killed"
    status = icn("status", "--json", "--data", str(federation.directory))
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["has_fork"] is False


@pytest.mark.timeout(300)
def test_without_a_running_platform_a_fresh_one_is_started_and_stopped(icn: Any, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(HEADER + "1,t,DISBURSEMENT,bank,ana,10,T,0x\n2,t,STANDARD,ana,bruno,4,T,0x\n")
    run = icn("replay", str(file), seconds=200, TMPDIR=str(tmp_path))
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert (result["committed"], result["sum"]) == (2, "0")
    assert list(tmp_path.glob("icn-*/genesis.json")) == [], "its directory is removed"


def test_the_fold_prints_what_the_balances_file_holds(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(HEADER + "1,t,DISBURSEMENT,bank,ana,0.0000025,T,0x\n")
    run = subprocess.run(
        [sys.executable, str(HERE / "fold.py"), str(file)], capture_output=True, text=True, check=True
    )
    assert run.stdout == "party,balance\nbank,-2\nana,2\n"

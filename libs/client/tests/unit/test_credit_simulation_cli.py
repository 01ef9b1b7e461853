"""`icn credit simulate`: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from icn_client.cli.main import main

from libs.audit.tests.unit.test_simulate import ANA, BEN, UNIT, History
from libs.machine.tests.zone import make_zone, transfer

Simulate = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def history() -> History:
    async def play() -> History:
        history = await History(make_zone()).begin()
        await history.add(history.ana, transfer(ANA, BEN, 60))
        await history.add(history.ben, transfer(BEN, ANA, 70))
        return history

    return asyncio.run(play())


@pytest.fixture
def simulate(history: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Simulate:
    (tmp_path / "genesis.json").write_text(json.dumps(history.zone.document))
    (tmp_path / "archive.icn").write_bytes(history.chain.archive())

    def run(policy: str, *options: str) -> tuple[int, Any, str]:
        (tmp_path / "policy.json").write_text(policy)
        files = [str(tmp_path / name) for name in ("archive.icn", "genesis.json", "policy.json")]
        arguments = [files[0], "--genesis", files[1], "--unit", UNIT.hex(), "--policy", files[2], *options]
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.setattr("sys.argv", ["icn", "credit", "simulate", *arguments])
            main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), json.loads(shown.out) if shown.out else None, shown.err

    return run


def test_who_would_have_been_refused_is_counted_and_every_difference_written(
    simulate: Simulate, history: History, tmp_path: Path
) -> None:
    out = tmp_path / "changed.jsonl"
    code, found, said = simulate('{"default_floor_minor": "-20"}', "--out", str(out))
    assert code == 0
    assert (found["transactions"], found["refused"], found["would_be_refused"]) == (6, 0, 2)
    assert [one["principal"] for one in found["members"]] == sorted(
        [history.ana.principal.hex(), history.ben.principal.hex()]
    )
    assert found["members"][0]["reasons"] == {"CREDIT_LIMIT_EXCEEDED": 1}
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["was"], line["would_be"]) for line in lines] == [("", "CREDIT_LIMIT_EXCEEDED")] * 2
    assert lines[0]["figures"] == {
        "balance_minor": "0",
        "held_minor": "0",
        "amount_minor": "60",
        "floor_minor": "-20",
    }
    assert "0 of 6 transactions were refused, 2 would have been" in said


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("[]", "not a JSON object"),
        ("{", "not JSON"),
        ('{"growth_ppm": 1}', "growth without growth_max_minor"),
        ('{"growth_ppm": "much"}', "invalid literal"),
        ('{"groth_ppm": 1}', "groth_ppm"),
        ('{"soft_ppm": 1000000}', "soft_ppm 1000000, the highest is 999999"),
        ('{"fund": "12"}', "fund has 1 bytes"),
        ('{"default_floor_minor": "1"}', "default_floor_minor 1, allowed -2^62 to 0"),
    ],
)
def test_a_policy_that_could_not_be_set_is_refused(simulate: Simulate, policy: str, told: str) -> None:
    code, found, said = simulate(policy)
    assert (code, found) == (1, None)
    assert told in said


def test_a_file_that_is_there_is_not_written_over(simulate: Simulate, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    code, found, said = simulate("{}", "--out", str(tmp_path / "x"))
    assert (code, found) == (1, None)
    assert "File exists" in said
    assert (tmp_path / "x").read_text() == "mine"

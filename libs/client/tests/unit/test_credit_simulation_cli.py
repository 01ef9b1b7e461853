"""`icn credit simulate`: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from icn_client.cli.main import main

from libs.audit.tests.unit.test_simulate import ANA, BEN, HOLD, UNIT, History
from libs.machine.tests.zone import capture_hold, make_zone, place_hold, transfer

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

    def run(policy: str, *options: str) -> tuple[int, Any, str]:
        if not (tmp_path / "archive.icn").exists():
            (tmp_path / "archive.icn").write_bytes(history.chain.archive())
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
        ('{"growth_ppm": "much"}', "growth_ppm: 'much' is no whole number"),
        ('{"fee_ppm": 1.9}', "fee_ppm: '1.9' is no whole number"),
        ('{"growth_ppm": true}', "growth_ppm: 'True' is no whole number"),
        ('{"growth_ppm": 1e400}', "growth_ppm: 'inf' is no whole number"),
        ('{"growth_ppm": NaN}', "growth_ppm: 'nan' is no whole number"),
        ('{"growth_ppm": [1]}', "growth_ppm: '[1]' is no whole number"),
        ('{"growth_ppm": -1}', "out of range"),
        ('{"fee_max_minor": "99999999999999999999"}', "out of range"),
        ('{"default_floor_minor": "-1_000"}', "default_floor_minor: '-1_000' is no whole number"),
        ('{"default_floor_minor": "-\u0661"}', "is no whole number"),
        ('{"default_floor_minor": -0.5}', "default_floor_minor: '-0.5' is no whole number"),
        ('{"default_floor_minor": false}', "is no whole number"),
        ('{"DESCRIPTOR": 1}', "'DESCRIPTOR' is no field of a policy"),
        ('{"fund": "00 00000000000000000000000000000001"}', "is not hexadecimal"),
        ('{"fund": 5}', "fund: '5' is not hexadecimal"),
        ('{"a": ' + "[" * 5_000, "not JSON"),
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


def test_numbers_may_be_whole_or_decimal_strings(simulate: Simulate) -> None:
    for floor in ("-20", '"-20"'):
        code, found, _ = simulate(f'{{"default_floor_minor": {floor}}}')
        assert (code, found["would_be_refused"]) == (0, 2)


def test_what_was_refused_and_would_be_for_another_reason_is_counted_on_its_own(
    simulate: Simulate, history: History
) -> None:
    expire_ms = history.chain.ledger.state.newest.time_ms + 60_000
    asyncio.run(history.add(history.ben, place_hold(HOLD, BEN, ANA, 50, expire_ms)))
    asyncio.run(history.add(history.ana, capture_hold(HOLD, 51)))
    code, found, _ = simulate('{"default_floor_minor": "-20"}')
    assert (code, found["refused"], found["would_be_refused"]) == (0, 1, 4)
    ana = next(one for one in found["members"] if one["principal"] == history.ana.principal.hex())
    assert (ana["would_be_refused"], ana["would_be_accepted"], ana["refused_otherwise"]) == (1, 0, 1)
    assert ana["reasons"] == {"CREDIT_LIMIT_EXCEEDED": 1, "HOLD_UNKNOWN": 1}


def test_a_fund_that_could_not_be_one_is_refused_and_leaves_no_file(
    simulate: Simulate, tmp_path: Path
) -> None:
    out = tmp_path / "changed.jsonl"
    for _ in range(2):
        policy = json.dumps({"fee_ppm": 1, "fund": "00" * 16})
        code, found, said = simulate(policy, "--out", str(out))
        assert (code, found, "FUND_UNKNOWN: up to height 6" in said, out.exists()) == (1, None, True, False)


def test_an_archive_that_diverges_leaves_no_file_behind(
    simulate: Simulate, history: History, tmp_path: Path
) -> None:
    archive, out = history.chain.archive(), tmp_path / "changed.jsonl"
    (tmp_path / "archive.icn").write_bytes(archive[:-1] + bytes([archive[-1] ^ 1]))
    code, found, said = simulate("{}", "--out", str(out))
    assert (code, found, "is not what it says" in said, out.exists()) == (1, None, True, False)
    (tmp_path / "archive.icn").write_bytes(archive)
    code, found, _ = simulate("{}", "--out", str(out))
    assert (code, out.read_bytes()) == (0, b"")


def test_a_file_that_is_there_is_not_written_over(simulate: Simulate, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    code, found, said = simulate("{}", "--out", str(tmp_path / "x"))
    assert (code, found) == (2, None)
    assert "is there already" in said
    assert (tmp_path / "x").read_text() == "mine"

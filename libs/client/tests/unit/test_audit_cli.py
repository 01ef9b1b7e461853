"""`icn audit verify`: what it prints, and with what it exits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from icn_client.cli.main import main

from libs.audit.tests.books import ANA, BEN, UNIT, Books
from libs.machine.tests.zone import make_zone

Verify = Callable[[bytes], tuple[int, Any, str]]


@pytest.fixture
def books() -> Books:
    async def play() -> Books:
        books = await Books(make_zone()).begin()
        await books.pay(5)
        await books.close(books.time_ms + 1, books.digest({ANA: -5, BEN: 5}))
        return books

    return asyncio.run(play())


@pytest.fixture
def verify(books: Books, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verify:
    genesis, archive = tmp_path / "genesis.json", tmp_path / "archive.icn"
    genesis.write_text(json.dumps(books.zone.document))

    def run(content: bytes) -> tuple[int, Any, str]:
        archive.write_bytes(content)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.setattr("sys.argv", ["icn", "audit", "verify", str(archive), "--genesis", str(genesis)])
            main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), json.loads(shown.out), shown.err

    return run


def test_an_archive_that_holds_is_told_with_its_periods(books: Books, verify: Verify) -> None:
    code, found, said = verify(books.chain.archive())
    assert (code, found["valid"], found["heights"], found["transfers"]) == (0, True, books.height, 1)
    assert found["periods"] == {"closed": 1, "not_recomputed": 0, "wrong": 0}
    assert found["findings"] == []
    assert "digest" not in said


def test_a_wrong_digest_of_a_period_is_a_finding_beside_a_valid_archive(books: Books, verify: Verify) -> None:
    end_ms = books.time_ms + 1
    asyncio.run(books.close(end_ms, bytes(32)))
    code, found, said = verify(books.chain.archive())
    assert (code, found["valid"]) == (0, True)
    assert found["periods"] == {"closed": 2, "not_recomputed": 0, "wrong": 1}
    assert found["findings"] == [
        {
            "kind": "period_digest",
            "height": books.height,
            "key": f"period/{UNIT.hex()}",
            "end_time_ms": end_ms,
            "expected": books.digest({ANA: -5, BEN: 5}).hex(),
            "found": bytes(32).hex(),
            "corrected_at": None,
        }
    ]
    assert "1 of 2 periods were closed with another digest" in said


def test_a_broken_chain_has_a_divergence_and_no_findings(books: Books, verify: Verify) -> None:
    content = bytearray(books.chain.archive())
    content[200] ^= 1
    code, found, said = verify(bytes(content))
    assert (code, found["valid"]) == (1, False)
    assert sorted(found) == ["divergence", "valid"]
    assert sorted(found["divergence"]) == ["expected", "found", "height", "key"]
    assert "not valid" in said

"""`icn statement` on files: what it refuses, and with which words."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from icn_client.cli import output
from icn_client.cli.account_statements import _read_names, check_text, convert
from icn_client.cli.output import Refused
from icn_client.statement_texts import convert as texts

from libs.client.tests.unit.told import ACCOUNT, FROM_MS, UNTIL_MS, Told, grown

HEX = "ab" * 16


@pytest.fixture
async def told() -> Told:
    return await grown()


def test_what_members_write_is_text_and_no_markup_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """One payment's memo ended `icn account entries` with a traceback, and another made a link."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr("sys.stdout", shown)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    memos = ["[/]", "[link=https://evil.example]invoice[/link]", "[red]paid[/red]", ":skull:"]
    output.table(("number", "memo"), [(str(number), memo) for number, memo in enumerate(memos)])
    assert all(memo in shown.getvalue() for memo in memos)


async def test_memos_beside_a_statement_that_is_none_are_refused(tmp_path: Path, told: Told) -> None:
    statement, memos = tmp_path / "statement.jsonl", tmp_path / "memos.jsonl"
    statement.write_bytes(b"")
    memos.write_bytes(b"")
    with pytest.raises(Refused, match="the file is empty"):
        convert(statement, "csv", opened=memos)
    statement.write_bytes(b"".join(told.lines()))
    memos.write_bytes(b"{}\n")
    with pytest.raises(Refused, match="line 1: no opened memo") as refused:
        convert(statement, "csv", opened=memos)
    assert refused.value.reason == "MEMOS_INVALID"
    with pytest.raises(Refused, match="No such file"):
        convert(statement, "csv", opened=tmp_path / "nowhere")


def test_names_are_read_as_a_spreadsheet_writes_them(tmp_path: Path) -> None:
    names = tmp_path / "names.csv"
    names.write_bytes(f'\ufeffname,account,town\r\n"Bäckerei, Süd",accounts/{HEX},Ulm\r\n'.encode())
    assert _read_names(names) == {bytes.fromhex(HEX): "Bäckerei, Süd"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1"),
        (b"account\n", "line 1"),
        (b"account,name\n" + HEX.encode() + b",Ana\nabcd,Ben\n", "line 3"),
        (b"account,name\n,Ana\n", "line 2"),
        (b"account,name\n" + HEX.encode() + b",\xff\n", "not UTF-8"),
        (b'account,name\n"' + HEX.encode() + b",Ana\n", "line"),
    ],
)
def test_names_that_cannot_be_read_are_refused_with_their_line(
    tmp_path: Path, content: bytes, said: str
) -> None:
    names = tmp_path / "names.csv"
    names.write_bytes(content)
    with pytest.raises(Refused) as refusal:
        _read_names(names)
    assert (refusal.value.reason, said in str(refusal.value)) == ("NAMES_INVALID", True)


async def test_pages_are_made_of_a_statement_that_holds_and_of_no_other(told: Told, tmp_path: Path) -> None:
    genesis, file, out = tmp_path / "genesis.json", tmp_path / "told.jsonl", tmp_path / "told.pdf"
    genesis.write_text(json.dumps(told.zone.document))
    lines = told.lines()
    file.write_bytes(b"".join([*lines[:4], *lines[5:]]))
    with pytest.raises(Refused) as refusal:
        convert(file, "pdf", out, genesis)
    assert (refusal.value.reason, out.exists()) == ("ENTRY_MISSING", False)
    file.write_bytes(b"".join(lines))
    convert(file, "pdf", out, genesis)
    assert out.read_bytes().startswith(b"%PDF-1.7\n")


async def test_an_equal_text_is_said_to_be_equal_by_its_ending(
    told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "told.jsonl"
    lines = told.lines()
    file.write_bytes(b"".join(lines))
    for ending, form in ((".csv", "csv"), (".beancount", "beancount"), (".journal", "hledger")):
        text = tmp_path / f"told{ending}"
        text.write_text("".join(texts(lines, form)))
        check_text(text, file)
        inside = [one for one in told.entries(ACCOUNT) if FROM_MS <= one.block_time_ms < UNTIL_MS]
        found = json.loads(capsys.readouterr().out)
        assert found == {"equal": True, "form": form, "entries": str(len(inside))}


async def test_a_text_that_is_no_text_and_a_statement_that_is_none_are_refused(
    told: Told, tmp_path: Path
) -> None:
    file, text = tmp_path / "told.jsonl", tmp_path / "told.csv"
    lines = told.lines(ACCOUNT, FROM_MS, UNTIL_MS)
    file.write_bytes(b"".join(lines))
    for content in (b"\xff", b"a,b\n"):
        text.write_bytes(content)
        with pytest.raises(Refused) as refusal:
            check_text(text, file)
        assert refusal.value.reason == "TEXT_UNREADABLE"
    text.write_text("".join(texts(lines, "csv")))
    file.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(Refused) as refusal:
        check_text(text, file)
    assert refusal.value.reason == "STATEMENT_MALFORMED"
    for one, other in ((tmp_path / "none.csv", file), (text, tmp_path / "none")):
        with pytest.raises(Refused) as refusal:
            check_text(one, other)
        assert refusal.value.reason == "FILE_UNREADABLE"

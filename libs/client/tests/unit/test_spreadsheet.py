"""Spreadsheets of members: what is read, which rows are bad and why, and what differs from the ledger."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Iterable, Iterator
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from icn_client import spreadsheet
from icn_client.spreadsheet import (
    COLUMNS,
    FAULTS_MAX,
    LINE_BYTES_MAX,
    NAME_CHARACTERS_MAX,
    OPENING_MINOR_MAX,
    ROWS_MAX,
    CellFault,
    Member,
    Sheet,
    Standing,
    compare,
    read_sheet,
)

ANA, BEN, EVA = (bytes([number]) * 16 for number in (1, 2, 3))
FILES = {"ana.json": ANA, "ben, the younger.json": BEN}


def public_part(name: str) -> bytes:
    if name not in FILES:
        raise CellFault("FILE_UNREADABLE", f"{name} is not there")
    return FILES[name]


def read(content: str | bytes, scale: int = 2) -> Sheet:
    data = content.encode() if isinstance(content, str) else content
    return read_sheet(io.BytesIO(data), scale, public_part)


def faults(content: str | bytes, scale: int = 2) -> list[tuple[int, str, str]]:
    return [fault[:3] for fault in read(content, scale).faults]


def sheet_of(*rows: str) -> str:
    return "name,member,opening\n" + "".join(f"{row}\n" for row in rows)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_sheet_is_read_as_spreadsheets_write_it(mark: str, delimiter: str, end: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerow(["Town", " OPENING", "Member", "Name "])
    writer.writerow(["Ulm; or, Neu-Ulm", "-12.5", "ben, the younger.json", 'Benno "Ben"  Böhm'])
    writer.writerow(["", "", " ", ""])
    writer.writerow(["two\nlines", " 12.500 ", f"principals/{EVA.hex().upper()}", "Eva\xa0Süß"])
    writer.writerow(["", "0", "ana.json", "Ana", "", ""])
    sheet = read(mark + text.getvalue())
    assert sheet.faults == []
    assert sheet.members == [
        Member(2, 'Benno "Ben" Böhm', BEN, "ben, the younger.json", -1250),
        Member(4, "Eva Süß", EVA, "", 1250),
        Member(6, "Ana", ANA, "ana.json", 0),
    ]
    assert (sheet.row_count, sheet.credits_minor, sheet.debts_minor) == (3, 1250, 1250)


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        (",ana.json,1", "name", "EMPTY"),
        ("Ana,,1", "member", "EMPTY"),
        ("Ana,ana.json, ", "opening", "EMPTY"),
        ("x" * (NAME_CHARACTERS_MAX + 1) + ",ana.json,1", "name", "NAME_INVALID"),
        ("An\x00a,ana.json,1", "name", "NAME_INVALID"),
        ("An\u202ea,ana.json,1", "name", "NAME_INVALID"),
        ("EVA ,ana.json,1", "name", "NAME_TWICE"),
        (f"Ana,{EVA.hex()},1", "member", "PRINCIPAL_TWICE"),
        (f"Ana,{EVA.hex()[:-1]},1", "member", "FILE_UNREADABLE"),
        ("Ana,gone.json,1", "member", "FILE_UNREADABLE"),
        ('Ana,ana.json,"12,50"', "opening", "NOT_DECIMAL"),
        ('Ana,ana.json,"1,234.50"', "opening", "NOT_DECIMAL"),
        ("Ana,ana.json,+1", "opening", "NOT_DECIMAL"),
        ("Ana,ana.json,−1", "opening", "NOT_DECIMAL"),
        ("Ana,ana.json,1e3", "opening", "NOT_DECIMAL"),
        ("Ana,ana.json,1.", "opening", "NOT_DECIMAL"),
        ("Ana,ana.json,.5", "opening", "NOT_DECIMAL"),
        ("Ana,ana.json,1 000", "opening", "NOT_DECIMAL"),
        ("Ana,ana.json,١", "opening", "NOT_DECIMAL"),
        ("Ana,ana.json,NaN", "opening", "NOT_DECIMAL"),
        ("Ana,ana.json,12 EUR", "opening", "NOT_DECIMAL"),
        ("Ana,ana.json," + "1" * 41, "opening", "NOT_DECIMAL"),
        ("Ana,ana.json,0.001", "opening", "TOO_MANY_PLACES"),
        ("Ana,ana.json,90071992547409.93", "opening", "OUT_OF_RANGE"),
        ("Ana,ana.json,-90071992547409.93", "opening", "OUT_OF_RANGE"),
        ("Ana,ana.json,12,50", "", "CELLS_WRONG"),
        ("Ana,ana.json", "", "CELLS_WRONG"),
        ('"Ana"x,ana.json,1', "", "NOT_CSV"),
        ("Ana\rBen,ana.json,1", "", "NOT_CSV"),
    ],
)
def test_a_bad_row_is_named_with_line_column_and_reason_and_costs_no_other(
    row: str, column: str, reason: str
) -> None:
    sheet = read(sheet_of(f"Eva,{EVA.hex()},-3", row, 'Ben,"ben, the younger.json",4'))
    assert [fault[:3] for fault in sheet.faults] == [(3, column, reason)]
    assert [(member.line, member.name) for member in sheet.members] == [(2, "Eva"), (4, "Ben")]
    assert sheet.row_count == 3


def test_every_bad_cell_of_a_row_is_named() -> None:
    assert faults(sheet_of(",gone.json,much")) == [
        (2, "name", "EMPTY"),
        (2, "member", "FILE_UNREADABLE"),
        (2, "opening", "NOT_DECIMAL"),
    ]


def test_messages_say_what_is_compared_and_what_to_write_instead() -> None:
    told = {
        fault.reason: fault.message
        for fault in read(
            sheet_of(
                'A,ana.json,"12,50"',
                "B,b.json,0.125",
                "a,ana.json,90071992547409.93",
                "C,ana.json,1,2",
                "D,,",
            )
        ).faults
    }
    assert "'12,50'" in told["NOT_DECIMAL"] and "with a point" in told["NOT_DECIMAL"]
    assert told["TOO_MANY_PLACES"] == "0.125 has 3 decimal places, the unit 2"
    assert f"9007199254740993 minor units, at most {OPENING_MINOR_MAX}" in told["OUT_OF_RANGE"]
    assert told["NAME_TWICE"] == "'a' stands in line 2 already"
    assert told["PRINCIPAL_TWICE"] == f"principals/{ANA.hex()} stands in line 2 already"
    assert told["CELLS_WRONG"].startswith("4 cells, the header has 3; ")


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_claim_can_be_brought_either_way(sign: int) -> None:
    (member,) = read(sheet_of(f"Ana,ana.json,{sign * OPENING_MINOR_MAX}"), scale=0).members
    assert member.opening_minor == sign * OPENING_MINOR_MAX
    assert faults(sheet_of(f"Ana,ana.json,{sign * (OPENING_MINOR_MAX + 1)}"), 0) == [
        (2, "opening", "OUT_OF_RANGE")
    ]


@given(minor=st.integers(-OPENING_MINOR_MAX, OPENING_MINOR_MAX), scale=st.integers(0, 9))
def test_an_amount_is_read_exactly_as_it_was_written(minor: int, scale: int) -> None:
    written = f"{Decimal(minor).scaleb(-scale):f}"
    (member,) = read(sheet_of(f"Ana,ana.json,{written}"), scale).members
    assert member.opening_minor == minor


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", (1, "", "COLUMN_MISSING")),
        ("name,member\nAna,ana.json\n", (1, "", "COLUMN_MISSING")),
        ("name,name,member,opening\n", (1, "", "COLUMN_TWICE")),
        ("name,member,opening\n", (1, "", "NO_ROWS")),
        ("name,member,opening\n,,\n", (1, "", "NO_ROWS")),
        ('"name,member,opening\n', (1, "", "NOT_CSV")),
        (sheet_of("Ana,ana.json,1").encode("utf-16"), (1, "", "NOT_UTF8")),
        (sheet_of("Ana,ana.json,1", "Böhm,x,1").encode("cp1252"), (3, "", "NOT_UTF8")),
        (sheet_of("x" * LINE_BYTES_MAX), (2, "", "LINE_TOO_LONG")),
        (sheet_of("Ana,ana.json,1", '"Ben,x,1', "Eva,y,1"), (3, "", "NOT_CSV")),
    ],
)
def test_a_file_that_is_no_sheet_is_named_with_its_line(
    content: str | bytes, found: tuple[int, str, str]
) -> None:
    assert faults(content) == [found]


def test_a_line_may_be_as_long_as_its_bound() -> None:
    row = "Ana,ana.json,1,"
    filling = "x" * (LINE_BYTES_MAX - len(row) - 1)
    content = f"name,member,opening,note\n{row}{filling}\n"
    assert faults(content) == []
    assert faults(content.replace(filling, filling + "x")) == [(2, "", "LINE_TOO_LONG")]


@given(content=st.binary(max_size=400))
@example(b'name,member,opening\n"')
@example(b"name,member,opening\r\r\n\x00,\xef\xbb\xbf,1")
def test_whatever_the_bytes_are_each_fault_has_a_place(content: bytes) -> None:
    header = b"name,member,opening\n"
    for data in (content, header + content):
        sheet = read(data)
        assert sheet.members or sheet.faults
        for fault in sheet.faults:
            assert 1 <= fault.line <= data.count(b"\n") + 1
            assert fault.column in ("", *COLUMNS)


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=8), delimiter=st.sampled_from(",;"))
def test_every_row_is_taken_or_named(rows: list[tuple[str, str, str]], delimiter: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([COLUMNS, *rows])
    sheet = read(text.getvalue())
    filled = sum(any(cell.strip() for cell in row) for row in rows)
    if filled:
        assert sheet.row_count == filled
        assert len(sheet.members) + len({fault.line for fault in sheet.faults}) == filled
    else:
        assert [fault.reason for fault in sheet.faults] == ["NO_ROWS"]


def many(count: int, opening: str = "1.00") -> Iterator[bytes]:
    yield b"name,member,opening,note\n"
    for number in range(count):
        yield f"member {number},{number:032x},{opening},{'x' * 900}\n".encode()


def peak_bytes(lines: Iterable[bytes]) -> tuple[Sheet, int]:
    tracemalloc.start()
    try:
        sheet = read_sheet(lines, 2, public_part)
        return sheet, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_largest_sheet_is_read_in_less_memory_than_it_has_bytes() -> None:
    sheet, peak = peak_bytes(many(ROWS_MAX))
    assert (sheet.fault_count, len(sheet.members)) == (0, ROWS_MAX)
    assert peak < 80_000_000 < ROWS_MAX * 900


def test_one_row_more_than_the_largest_sheet_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheet, "ROWS_MAX", 5)
    assert read_sheet(many(5), 2, public_part).fault_count == 0
    over = read_sheet(many(9), 2, public_part)
    assert [fault[:3] for fault in over.faults] == [(7, "", "TOO_MANY_ROWS")]


def test_faults_are_counted_and_the_first_are_kept() -> None:
    sheet = read_sheet(many(FAULTS_MAX + 5, "much"), 2, public_part)
    assert (sheet.fault_count, len(sheet.faults)) == (FAULTS_MAX + 5, FAULTS_MAX)
    assert sheet.faults[-1].line == FAULTS_MAX + 1


FIRST, SECOND = b"a" * 16, b"b" * 16


@pytest.mark.parametrize(
    ("opening_minor", "standing", "reason"),
    [
        (-5, Standing({FIRST: -5}), ""),
        (-5, Standing({FIRST: -5}, is_open=True), ""),
        (-5, Standing(confirmed_minor=-5, is_open=True), ""),
        (0, None, ""),
        (0, Standing(is_open=True), ""),
        (0, Standing({FIRST: 0}), ""),
        (0, Standing({FIRST: 1}), "OTHER_AMOUNT"),
        (-5, None, "MISSING"),
        (-5, Standing(), "MISSING"),
        (-5, Standing(is_open=True), "NOT_WAITING"),
        (-5, Standing({FIRST: 5}), "OTHER_AMOUNT"),
        (-5, Standing({FIRST: -5, SECOND: 0}), ""),
        (-5, Standing({FIRST: -3, SECOND: -2}), ""),
        (-5, Standing({FIRST: -3, SECOND: -3}), "OTHER_AMOUNT"),
        (-5, Standing({FIRST: -6, SECOND: 1}), "OTHER_AMOUNT"),
        (5, Standing({FIRST: 6, SECOND: -1}), "OTHER_AMOUNT"),
        (0, Standing({FIRST: 6, SECOND: -6}), "OTHER_AMOUNT"),
        (-5, Standing({FIRST: -2}, confirmed_minor=-3), ""),
        (-5, Standing({FIRST: 1}, confirmed_minor=-6), "OTHER_AMOUNT"),
        (-5, Standing(confirmed_minor=-4, is_open=True), "OTHER_AMOUNT"),
        (-5, Standing({FIRST: -5}, confirmed_minor=-5), "OTHER_AMOUNT"),
        (0, Standing(confirmed_minor=3), "OTHER_AMOUNT"),
    ],
)
def test_each_way_to_differ_from_the_ledger_is_named(
    opening_minor: int, standing: Standing | None, reason: str
) -> None:
    found = compare([Member(7, "Ana", ANA, "", opening_minor)], {} if standing is None else {ANA: standing})
    waiting = {} if standing is None else standing.waiting
    if reason:
        assert [one[:5] for one in found.differences] == [(7, "Ana", ANA, reason, opening_minor)]
        assert (found.differences[0].standing, found.claims, found.done) == (standing or Standing(), {}, 0)
    else:
        assert (found.differences, found.claims, found.done) == ([], waiting, int(not waiting))


def test_whoever_waits_and_is_not_on_the_sheet_is_named() -> None:
    standings = {EVA: Standing(is_open=True), BEN: Standing({SECOND: 9}), ANA: Standing({FIRST: -9})}
    found = compare([Member(2, "Ana", ANA, "", -9)], standings)
    assert found.claims == {FIRST: -9}
    assert found.differences == [(None, "", BEN, "NOT_ON_SHEET", None, standings[BEN])]

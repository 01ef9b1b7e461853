"""A text that was made of a statement comes back: it is found equal, or where it first differs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import pytest
from icn_client.light.statement import entry_line
from icn_client.opened_memos import MemoKey
from icn_client.statement_check import Difference, TextUnreadable, find_difference, read_csv_entry
from icn_client.statement_texts import CSV_COLUMNS, FORMS, Money, convert, one_line
from icn_crypto.sealed_memo import Payment

from libs.client.tests.unit.told import (
    ACCOUNT,
    BEN,
    FROM_MS,
    LAST_MS,
    MAIN,
    SPANS,
    UNTIL_MS,
    Told,
    grown,
    with_memos,
)


@pytest.fixture
async def told() -> Told:
    return await grown()


def check(lines: Sequence[bytes], text: str, form: str) -> tuple[int, Difference | None]:
    return find_difference(lines, io.StringIO(text, newline=""), form)


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("span", SPANS)
async def test_what_was_converted_is_found_equal_when_it_comes_back(
    told: Told, form: str, span: tuple[int, int]
) -> None:
    inside = [one for one in told.entries(ACCOUNT) if span[0] <= one.block_time_ms < span[1]]
    lines = told.lines(ACCOUNT, *span)
    text = "".join(convert(lines, form))
    assert check(lines, text, form) == (len(inside), None)
    assert check(lines, text.replace("\n", "\r\n"), form) == (len(inside), None)


HOSTILE = 'reverses:17, two "loaves" \\\n2026-01-01 * "ICN" "gift" ; \x1b[31m, ok'
"""A memo is written by the other party."""


@pytest.mark.parametrize("form", sorted(FORMS))
async def test_memos_stand_beside_their_entries_and_come_back_equal(form: str) -> None:
    hashes = [bytes([number]) * 32 for number in range(1, 4)]
    told = await with_memos(b"", *hashes)
    lines = told.lines(MAIN, 0, LAST_MS)
    entries = told.entries(MAIN)
    payment = Payment(MAIN, BEN)
    memos = {MemoKey(hashes[0], payment): HOSTILE, MemoKey(hashes[2], payment): "three"}
    memos[MemoKey(hashes[1], Payment(BEN, MAIN))] = "loaves of another payment"
    text = "".join(convert(lines, form, memos))
    assert "loaves" in text and "loaves" not in "".join(convert(lines, form))
    found = find_difference(lines, io.StringIO(text, newline=""), form, memos)
    assert found == (len(entries), None)
    other = {**memos, MemoKey(hashes[0], payment): "two"}
    same, difference = find_difference(lines, io.StringIO(text, newline=""), form, other)
    assert difference is not None and same < len(entries)
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        shown = {hashes[0]: one_line(HOSTILE), hashes[2]: "three"}
        assert [row["memo"] for row in rows] == [shown.get(one.memo_hash, "") for one in entries]
    else:
        assert (
            "\x1b" not in text
            and "reverses:" not in text.replace('memo: "reverses:', "")
            and '\n2026-01-01 * "ICN" "gift"' not in text
        )


@pytest.mark.parametrize("memo", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r\n=cmd|' /C calc'!A0"])
async def test_no_memo_is_a_formula_for_a_spreadsheet(memo: str) -> None:
    told = await with_memos(b"\1" * 32)
    text = "".join(
        convert(told.lines(MAIN, 0, LAST_MS), "csv", {MemoKey(b"\1" * 32, Payment(MAIN, BEN)): memo})
    )
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["memo"] == f"'{one_line(memo)}"


async def test_a_csv_is_read_back_into_the_very_entries(told: Told) -> None:
    lines = told.lines(from_ms=0, until_ms=LAST_MS)
    money = Money("HOUR", 2)
    rows = csv.DictReader("".join(convert(lines, "csv")).splitlines())
    for row, entry in zip(rows, told.entries(ACCOUNT), strict=True):
        found = read_csv_entry(row, money)
        assert entry_line(found) == entry_line(entry)


async def test_a_spreadsheet_may_quote_shorten_and_add_columns(told: Told) -> None:
    lines = told.lines()
    rows = list(csv.DictReader("".join(convert(lines, "csv")).splitlines()))
    written = io.StringIO(newline="")
    columns = [*reversed(rows[0]), "remark"]
    writer = csv.DictWriter(written, columns, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    for row in rows:
        amount = row["amount"].rstrip("0").rstrip(".")
        writer.writerow({**row, "amount": amount, "remark": "Bäckerei, zwei\nBrote"})
    assert check(lines, written.getvalue(), "csv") == (len(rows), None)


@pytest.mark.parametrize("column", CSV_COLUMNS)
async def test_a_csv_with_another_value_names_the_entry_and_the_column(told: Told, column: str) -> None:
    lines = told.lines()
    rows = list(csv.DictReader("".join(convert(lines, "csv")).splitlines()))
    for wrong in ({"time": "2026-01-01T00:00:00"}.get(column, "7"), "no", "1E5", "12.505", ""):
        written = io.StringIO(newline="")
        writer = csv.DictWriter(written, CSV_COLUMNS)
        writer.writeheader()
        writer.writerows([rows[0], {**rows[1], column: wrong}, *rows[2:]])
        if wrong == rows[1][column]:
            continue
        same, found = check(lines, written.getvalue(), "csv")
        assert (same, found) == (1, Difference("", rows[1]["number"], column, wrong, rows[1][column]))


@pytest.mark.parametrize("form", sorted(FORMS))
async def test_an_entry_that_went_came_twice_or_changed_is_named(told: Told, form: str) -> None:
    lines = told.lines()
    opening, *pieces = convert(lines, form)
    numbers = [str(one.number) for one in told.entries(ACCOUNT) if FROM_MS <= one.block_time_ms < UNTIL_MS]
    for place, number in enumerate(numbers):
        same, found = check(lines, "".join([opening, *pieces[:place], *pieces[place + 1 :]]), form)
        assert found is not None and (same, found.entry) == (place, number)
        changed = pieces[place].replace(".", ".1", 1)
        same, found = check(lines, "".join([opening, *pieces[:place], changed, *pieces[place + 1 :]]), form)
        assert found is not None and (same, found.entry) == (place, number)
    same, found = check(lines, "".join([opening, *pieces, pieces[-1]]), form)
    assert found is not None and (same, found.entry, found.expected) == (len(pieces), "", "")
    same, found = check(lines, opening, form)
    assert found is not None and (same, found.entry, found.found) == (0, numbers[0], "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "number,time\n",
        "\x00",
        '"',
        ",".join([*CSV_COLUMNS, "number"]) + "\n",
        ",".join(CSV_COLUMNS) + '\n"' + "x" * 200_000,
        ",".join(CSV_COLUMNS) + '\n"' + "x\n" * 200_000,
    ],
)
async def test_what_is_no_csv_of_ours_is_refused(told: Told, text: str) -> None:
    with pytest.raises(TextUnreadable):
        check(told.lines(), text, "csv")

"""What a real reader of PDF finds on the pages of a statement."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any

import pytest
from icn_client.light.statement import StatementInvalid
from icn_client.light.verify_statement import AccountStatement, verify_statement
from icn_client.opened_memos import MemoKey
from icn_client.statement_pdf import write_pdf
from icn_crypto.sealed_memo import Payment
from pypdf import PdfReader

from libs.client.tests.unit.told import (
    ACCOUNT,
    BEN,
    LAST_MS,
    MAIN,
    SPANS,
    Told,
    grown,
    invented,
    make_up,
    with_memos,
)


@pytest.fixture
async def told() -> Told:
    return await grown()


def pdf(lines: Sequence[bytes], found: AccountStatement, names: Mapping[bytes, str] | None = None) -> bytes:
    written = BytesIO()
    write_pdf(lines, found, names or {}, written)
    return written.getvalue()


def pages(data: bytes) -> list[list[str]]:
    """Lines of each page, top to bottom."""
    reader = PdfReader(BytesIO(data), strict=True)
    return [page.extract_text(extraction_mode="layout").splitlines() for page in reader.pages]


def entry_rows(data: bytes) -> list[list[str]]:
    """Number, day, time, kind, other account, amount, balance of every entry."""
    return [one.split() for page in pages(data) for one in page if re.match(r" *\d+ +\d{4}-\d\d-\d\d ", one)]


def amount(minor: int) -> str:
    return f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02}"


@pytest.mark.parametrize("span", SPANS)
async def test_every_entry_of_the_span_is_on_the_pages_with_its_sums(
    told: Told, span: tuple[int, int]
) -> None:
    lines = told.lines(ACCOUNT, *span, is_signed=True)
    found = verify_statement(lines, told.zone.genesis)
    data = pdf(lines, found)
    inside = [one for one in told.entries(ACCOUNT) if span[0] <= one.block_time_ms < span[1]]
    assert [(row[0], row[3], row[4], row[5], row[6]) for row in entry_rows(data)] == [
        (
            str(one.number),
            "capture" if one.kind == 2 else "transfer",
            one.counter_account.hex(),
            amount(abs(one.amount_minor)),
            amount(one.balance_minor),
        )
        for one in inside
    ]
    text = "\n".join(one for page in pages(data) for one in page)
    sums = found.sums
    assert re.search(rf"Opening balance +{re.escape(amount(sums.opening_minor))}\n", text)
    closing = [amount(sums.debited_minor), amount(sums.credited_minor), amount(sums.closing_minor)]
    assert re.search(r"Closing balance +" + " +".join(re.escape(one) for one in closing), text)
    for said in (ACCOUNT.hex(), found.owner, found.signer, found.key_id, found.digest.hex(), "HOUR"):
        assert said in text


def made(amounts: Iterable[int]) -> tuple[list[bytes], AccountStatement]:
    lines: list[bytes] = []
    return lines, make_up(invented(amounts), lines.append)


def right_edges(data: bytes) -> dict[str, set[int]]:
    """Of every text of the first page, in points, by the widths that its font names."""
    page = PdfReader(BytesIO(data)).pages[0]
    font = page["/Resources"]["/Font"]["/F"]  # type: ignore[index]
    listed = iter(font["/DescendantFonts"][0].get_object()["/W"])
    widths = {number: values[0] for number, values in zip(listed, listed, strict=True)}
    told = dict(re.findall(rb"<(....)> <(....)>", font["/ToUnicode"].get_object().get_data()))
    size = 0.0
    found: dict[str, set[int]] = {}

    def visit(operator: bytes, operands: Sequence[Any], _cm: object, tm: Sequence[float]) -> None:
        nonlocal size
        if operator == b"Tf":
            size = float(operands[1])
        elif operator == b"Tj":
            codes = operands[0].original_bytes
            numbers = [codes[at : at + 2] for at in range(0, len(codes), 2)]
            text = "".join(chr(int(told[one.hex().encode()], 16)) for one in numbers)
            width = sum(widths[int.from_bytes(one, "big")] for one in numbers) * size / 1_000
            found.setdefault(text, set()).add(round(tm[4] + width))

    page.extract_text(visitor_operand_before=visit)
    return found


def test_amounts_end_at_the_right_edge_of_their_columns() -> None:
    edges = right_edges(pdf(*made([-5, 12_000_000, -(2**62), 7])))
    columns = {name: edges[name] for name in ("debit", "credit", "balance")}
    assert columns == {"debit": {389}, "credit": {472}, "balance": {555}}
    for text, name in (
        ("0.05", "debit"),
        ("46116860184273879.04", "debit"),
        ("120000.00", "credit"),
        ("0.07", "credit"),
        ("-0.05", "balance"),
        ("119999.95", "balance"),
    ):
        assert edges[text] == columns[name], text


def test_each_page_carries_its_sums_forward_to_the_next() -> None:
    amounts = [number * 7_919 % 10_000 - 5_000 for number in range(1, 331)]
    data = pdf(*made(amounts))
    rows = entry_rows(data)
    assert [row[0] for row in rows] == [str(number) for number in range(1, 331)]
    start, carried = 0, [amount(0)]
    told = pages(data)
    assert len(told) > 4
    for number, page in enumerate(told, 1):
        assert f"page {number}" in page[0] or f"page {number}" in page[1]
        here = [one for one in page if re.match(r" *\d+ +\d{4}-", one)]
        moved = amounts[start : start + len(here)]
        start += len(here)
        assert last(page, "Opening balance" if number == 1 else "Brought forward") == carried
        debited, credited = -sum(one for one in moved if one < 0), sum(one for one in moved if one > 0)
        assert last(page, "This page") == [amount(debited), amount(credited)]
        so_far = amounts[:start]
        carried = [
            amount(-sum(one for one in so_far if one < 0)),
            amount(sum(one for one in so_far if one > 0)),
            amount(sum(so_far)),
        ]
        assert last(page, "Closing balance" if number == len(told) else "Carried forward") == carried


def last(page: Sequence[str], name: str) -> list[str]:
    """The figures behind a name."""
    (found,) = [one for one in page if name in one]
    return found.split(name)[1].split()


@pytest.mark.parametrize("count", [0, 1, *range(36, 50)])
def test_wherever_a_page_ends_no_entry_and_no_fact_is_lost(count: int) -> None:
    data = pdf(*made([1] * count))
    assert len(entry_rows(data)) == count
    text = [one for page in pages(data) for one in page]
    assert sum("Closing balance" in one for one in text) == 1
    assert sum("SHA-256" in one for one in text) == 1


def test_amounts_and_names_of_any_width_stay_in_their_columns() -> None:
    lines, found = made([2**62, -(2**62), -(2**62)])
    names = {entry.counter_account: "W" * 5_000 for entry in invented([1, 1, 1])} | {ACCOUNT: "M" * 5_000}
    data = pdf(lines, found, names)
    assert [row[5:] for row in entry_rows(data)] == [
        ["46116860184273879.04", "46116860184273879.04"],
        ["46116860184273879.04", "0.00"],
        ["46116860184273879.04", "-46116860184273879.04"],
    ]
    assert sum("W" * 99 + "…" in one for page in pages(data) for one in page) == 3


def test_names_may_have_any_letters_and_what_cannot_be_shown_is_seen_to_be_missing() -> None:
    lines, found = made([5, -3])
    first, second = invented([5, -3])
    names = {
        first.counter_account: "Bäckerei Żółw Ωμέγα Хлеб, (a\\b)",
        second.counter_account: "株\n\x00e\u0301",
    }
    text = "\n".join(one for page in pages(pdf(lines, found, names)) for one in page)
    assert "Bäckerei Żółw Ωμέγα Хлеб, (a\\b)" in re.sub(" +", " ", text)
    assert re.search("\N{REPLACEMENT CHARACTER} +é", text)
    assert "not proven" in text
    assert "not proven" not in "".join(one for page in pages(pdf(lines, found)) for one in page)


def test_the_same_statement_makes_the_same_bytes() -> None:
    lines, found = made(range(-100, 100))
    assert pdf(lines, found) == pdf(lines, found)


def test_it_has_a_title_and_a_language_and_brings_its_typeface() -> None:
    data = pdf(*made([5]))
    reader = PdfReader(BytesIO(data), strict=True)
    assert reader.metadata is not None
    assert ACCOUNT.hex() in str(reader.metadata.title)
    assert reader.metadata.creation_date is None
    assert reader.root_object["/Lang"] == "en"
    font = reader.pages[0]["/Resources"]["/Font"]["/F"]  # type: ignore[index]
    (descendant,) = font["/DescendantFonts"]
    file = descendant.get_object()["/FontDescriptor"]["/FontFile2"].get_object().get_data()
    assert file[:4] == b"\x00\x01\x00\x00"
    assert len(data) < 60_000


def test_a_file_that_changed_since_it_was_verified_makes_no_pages() -> None:
    _, found = made([5, 7])
    other, _ = made([5, 8])
    written = BytesIO()
    with pytest.raises(StatementInvalid):
        write_pdf(other, found, {}, written)
    assert not written.getvalue()


async def test_memos_stand_below_their_entries_as_far_as_they_fit() -> None:
    told = await with_memos(b"\1" * 32, b"", *[b"\2" * 32] * 36)
    lines = told.lines(MAIN, 0, LAST_MS, is_signed=True)
    found = verify_statement(lines, told.zone.genesis)
    written = BytesIO()
    long = "flour and " * 30
    payment = Payment(MAIN, BEN)
    memos = {MemoKey(b"\1" * 32, payment): "two\n\x1bloaves", MemoKey(b"\2" * 32, payment): long}
    write_pdf(lines, found, {}, written, memos=memos)
    shown = ["\n".join(page) for page in pages(written.getvalue())]
    assert "two  loaves" in re.sub(r"(?<=two) +", "  ", shown[0]) and "\x1b" not in "".join(shown)
    text = "".join(page.extract_text() for page in PdfReader(BytesIO(written.getvalue())).pages)
    assert (text.count(long[:99]), text.count(long[:100]), text.count("…")) == (36, 0, 36 + len(shown))
    assert text.count("transfer") == 38
    assert "as a party's key opened them" in text
    assert "as a party's key opened them" not in "".join("\n".join(page) for page in pages(pdf(lines, found)))

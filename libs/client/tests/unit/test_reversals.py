"""A transfer that gives back is told with the entry that it gives back, each of which is given back once."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_client.reversals import Reversals
from icn_client.statement_pdf import write_pdf
from icn_client.statement_texts import FORMS, convert
from icn_machine.entries import Entry, PostingKind
from pypdf import PdfReader

from libs.client.tests.unit.told import make_up

BEN, CAY = b"b" * 16, b"c" * 16
PAID, OTHER = b"p" * 32, b"o" * 32


def entry(
    number: int,
    amount_minor: int,
    reference: bytes = b"",
    transaction: bytes = b"",
    other: bytes = BEN,
    kind: int = PostingKind.TRANSFER,
) -> Entry:
    made = transaction or bytes([number]) * 32
    return Entry(number, number, 1_000 * number, made, kind, amount_minor, 0, other, b"", reference, b"")


def told(*entries: Entry, entries_max: int = 100) -> list[int]:
    reversals = Reversals(entries_max)
    return [reversals.take(one) for one in entries]


PAYMENT = entry(1, -500, transaction=PAID)


@pytest.mark.parametrize(
    ("back", "is_reversal"),
    [
        (entry(2, 500, PAID), True),
        (entry(2, 499, PAID), True),
        (entry(2, 501, PAID), False),
        (entry(2, -500, PAID), False),
        (entry(2, 500, OTHER), False),
        (entry(2, 500, PAID[:31]), False),
        (entry(2, 500), False),
        (entry(2, 500, PAID, other=CAY), False),
        *[(entry(2, 500, PAID, kind=kind), False) for kind in PostingKind if kind != PostingKind.TRANSFER],
    ],
)
def test_a_reversal_is_a_transfer_the_other_way_of_no_more_than_was_moved(
    back: Entry, is_reversal: bool
) -> None:
    assert told(PAYMENT, back) == [0, 1 if is_reversal else 0]


@pytest.mark.parametrize("amount_minor", [-500, 500])
def test_both_sides_see_it(amount_minor: int) -> None:
    assert told(PAYMENT._replace(amount_minor=amount_minor), entry(2, -amount_minor, PAID))[1] == 1


def test_what_was_reversed_is_not_reversed_again_and_a_reversal_can_be() -> None:
    back = entry(2, 500, PAID)
    assert told(PAYMENT, back, entry(3, 500, PAID)) == [0, 1, 0]
    assert told(PAYMENT, entry(2, 1, PAID), entry(3, 1, PAID)) == [0, 1, 0]
    assert told(PAYMENT, back, entry(3, -500, back.transaction_id)) == [0, 1, 2]


def test_of_several_postings_the_first_that_fits_is_reversed() -> None:
    several = [entry(number, -amount, transaction=PAID) for number, amount in enumerate((3, 9, 9), 1)]
    assert told(*several, entry(4, 5, PAID), entry(5, 3, PAID), entry(6, 9, PAID)) == [0, 0, 0, 2, 1, 3]


@pytest.mark.parametrize("kind", PostingKind)
def test_a_posting_of_any_kind_is_reversed_but_not_one_that_no_transaction_made(kind: PostingKind) -> None:
    assert told(PAYMENT._replace(kind=kind), entry(2, 500, PAID))[1] == 1
    assert told(PAYMENT._replace(transaction_id=b""), entry(2, 500, bytes(32)), entry(3, 500)) == [0, 0, 0]


def test_an_id_that_ends_with_zeros_is_found_though_a_reference_is_told_without_them() -> None:
    transaction = b"z" * 30 + b"\0\0"
    assert told(entry(1, -5, transaction=transaction), entry(2, 5, transaction.rstrip(b"\0")))[1] == 1


def test_it_is_looked_for_so_many_entries_back_and_no_further() -> None:
    between = [entry(number, 1) for number in range(2, 5)]
    assert told(PAYMENT, *between, entry(5, 500, PAID), entries_max=4)[-1] == 1
    assert told(PAYMENT, *between, entry(5, 500, PAID), entries_max=3)[-1] == 0


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 3).filter(bool), st.integers(0, 3)), max_size=30)
)
def test_memory_is_bounded_and_no_entry_is_reversed_twice(drawn: list[tuple[int, int, int]]) -> None:
    reversals, found = Reversals(5), []
    for number, (transaction, amount_minor, reference) in enumerate(drawn, 1):
        one = entry(number, amount_minor, bytes([reference]) * 32, bytes([transaction]) * 32)
        found.append(reversals.take(one))
        assert len(reversals._recent) <= 5
        assert sum(map(len, reversals._open.values())) <= 5
        assert all(reversals._open.values())
    given_back = [number for number in found if number]
    assert len(given_back) == len(set(given_back))


def test_every_form_shows_it() -> None:
    entries = [PAYMENT, entry(2, 500, PAID), entry(3, 500, PAID)]
    lines: list[bytes] = []
    found = make_up(entries, lines.append)
    rows = list(csv.DictReader(io.StringIO("".join(convert(lines, "csv")))))
    assert [row["reverses"] for row in rows] == ["", "1", ""]
    assert [row["reference"] for row in rows] == ["", PAID.hex(), PAID.hex()]
    for form, said in (("beancount", "  reverses: 1\n"), ("hledger", ", reverses:1\n")):
        _, *pieces = convert(lines, form)
        assert [said in piece for piece in pieces] == [False, True, False], form
    written = io.BytesIO()
    write_pdf(lines, found, {}, written)
    text = PdfReader(written, strict=True).pages[0].extract_text()
    assert ("reverses entry 1" in text, text.count(f"reference {PAID.hex()}")) == (True, 1)
    assert sorted(FORMS) == ["beancount", "csv", "hledger"]

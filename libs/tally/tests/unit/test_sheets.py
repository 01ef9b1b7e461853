"""Sheets and sentences: every number of a count, and nothing that a name could break."""

from __future__ import annotations

import csv
import io
from html.parser import HTMLParser

from icn_tally.ballots import ranked_ballots
from icn_tally.scottish_stv import ScottishStv, count
from icn_tally.sheets import explained, sheet_csv, sheet_html
from icn_tally.stages import Count

NAMES = ["Ana", "Bert", "=Cleo<script>", "Dora & Co"]


def counted() -> Count:
    orders = [((1, 2), 7), ((2,), 2), ((3,), 3), ((4,), 2), ((), 1)]
    ballots = ranked_ballots(NAMES, [([[one] for one in order], weight) for order, weight in orders])
    return count(ScottishStv(2), ballots, [4, 3, 2, 1])


def test_a_count_is_told_stage_by_stage() -> None:
    assert explained(counted(), ["Ana", "Bert", "Cleo", "Dora"]) == [
        "14 ballots are valid; 1 more name nobody that they could count for. The quota is 5.",
        "Stage 1. First preferences are counted. Elected: Ana.",
        "Stage 2. What is above the quota goes on: Ana had 7.00000.",
        "Stage 3. Excluded: Dora had 2.00000.",
        "Stage 4. Excluded: Cleo had 3.00000. Elected: Bert.",
        "Elected: Ana and Bert.",
    ]


def test_ties_are_told_with_what_broke_them() -> None:
    ballots = ranked_ballots(["Ana", "Bert", "Cleo"], [([[1]], 2), ([[2]], 2), ([[3]], 3)])
    told = explained(count(ScottishStv(1), ballots, [2, 1, 3]), ["Ana", "Bert", "Cleo"])
    assert "Ana and Bert were tied; the lot decided between Ana and Bert: Bert is excluded." in told


def test_the_sheet_has_every_total_and_no_formula() -> None:
    found = counted()
    rows = [*csv.reader(io.StringIO(sheet_csv(found, NAMES)))]
    assert [row[0] for row in rows] == [
        "",
        "Ana",
        "Bert",
        "'=Cleo<script>",
        "Dora & Co",
        "non-transferable",
        "lost by rounding",
    ]
    for place in range(4):
        assert rows[place + 1][1:] == [found.written(stage.totals)[place] for stage in found.stages]
    assert rows[0][2] == "2: transfer Ana"


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_shows_the_same_and_no_name_becomes_markup() -> None:
    found = counted()
    reader = Reader()
    reader.feed(sheet_html(found, NAMES, "Board <2026>"))
    assert "script" not in reader.tags and reader.tags.count("table") == 1
    text = " ".join(reader.texts)
    assert "=Cleo<script>" in text and "Dora & Co" in text and "Board <2026>" in text
    for stage in found.stages:
        assert all(total in text for total in found.written(stage.totals))

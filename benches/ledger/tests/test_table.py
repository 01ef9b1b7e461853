"""What the table says about what was measured."""

from __future__ import annotations

from benches.ledger.table import NOT_MEASURED, Row, cell, is_met, table

RATE = Row("rate", "transfers", lambda value: f"{value:.0f} /s", {"native": 5.0}, more_is_better=True)
COST = Row("cost", "cost", lambda value: f"{value:.1f} us", {"native": 2.0, "wheels": 3.0})


def test_the_bar_itself_is_enough_whichever_way_is_better() -> None:
    assert (is_met(RATE, "native", 5.0), is_met(RATE, "native", 4.99)) == (True, False)
    assert (is_met(COST, "native", 2.0), is_met(COST, "native", 2.01)) == (True, False)
    assert is_met(RATE, "wheels", 9.0) is None


def test_the_median_is_judged_and_the_extremes_are_told() -> None:
    assert cell(COST, "native", [9.0, 1.0, 2.0]) == "2.0 us (1.0 us to 9.0 us), bar ≤ 2.0 us: met"
    assert cell(RATE, "native", [4.0]) == "4 /s, bar ≥ 5 /s: **missed**"
    assert cell(RATE, "wheels", [4.0]) == "4 /s"
    assert cell(RATE, "native", []) == NOT_MEASURED


def test_a_row_has_a_cell_for_each_configuration() -> None:
    printed = table([RATE, COST], {"native": {"rate": [5.0]}, "wheels": {"cost": [4.0]}})
    assert printed.splitlines() == [
        "| figure | native | wheels |",
        "|---|---|---|",
        "| transfers | 5 /s, bar ≥ 5 /s: met | not measured |",
        "| cost | not measured | 4.0 us, bar ≤ 3.0 us: **missed** |",
    ]

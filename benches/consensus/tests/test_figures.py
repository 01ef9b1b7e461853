"""What the table says about what was measured."""

from __future__ import annotations

import pytest

from benches.consensus.figures import (
    NOT_MEASURED,
    Heights,
    Row,
    applied_on_all,
    is_met,
    longest_gap,
    percentile,
    ratio,
    table,
)

RATE = Row("rate", "rate", lambda value: f"{value:.0f}", {"ours": 2.0}, more_is_better=True)
COST = Row("cost", "cost", lambda value: f"{value:.0f}", {"ours": 0.6})


def heights(*noted: tuple[int, float]) -> Heights:
    made = Heights()
    for height, at_seconds in noted:
        made.note(height, at_seconds)
    return made


def test_a_height_is_applied_when_it_or_a_later_one_was_heard_of() -> None:
    node = heights((3, 1.0), (5, 2.0), (5, 9.0), (4, 9.5))
    assert [node.applied_at(height) for height in (3, 4, 5, 6)] == [1.0, 2.0, 2.0, None]


def test_a_height_is_applied_on_all_once_the_last_node_has_it() -> None:
    quick, slow = heights((1, 1.0), (2, 2.0)), heights((1, 1.5))
    assert applied_on_all([quick, slow], 1) == 1.5
    assert applied_on_all([quick, slow], 2) is None


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_a_value_that_was_measured(share: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_a_gap_counts_from_the_kill_on_and_to_the_end() -> None:
    assert longest_gap([0.5, 1.25, 1.5], begin=1.0, end=3.0) == 1.5
    assert longest_gap([4.0], begin=1.0, end=3.0) == 2.0


def test_a_ratio_is_the_median_of_the_rounds_that_both_have() -> None:
    assert ratio({0: 2.0, 1: 9.0, 2: 4.0, 3: 1.0}, {0: 1.0, 1: 1.0, 2: 2.0}) == 2.0
    assert ratio({0: 2.0}, {1: 1.0}) is None


def test_the_bar_itself_is_enough_whichever_way_is_better() -> None:
    assert (is_met(RATE, "ours", 2.0), is_met(RATE, "ours", 1.99)) == (True, False)
    assert (is_met(COST, "ours", 0.6), is_met(COST, "ours", 0.61)) == (True, False)
    assert is_met(COST, "another", 0.1) is None


def test_the_table_says_what_was_missed_and_what_was_not_measured() -> None:
    measured = {"ours": {"rate": {0: 10.0, 1: 30.0}}, "peer": {"rate": {0: 10.0, 1: 10.0}}}
    head, _, rate, cost = table([RATE, COST], measured, ["ours"], ["peer"]).splitlines()
    assert head == "| figure | ours | peer | ours to peer |"
    assert rate == "| rate | 20 (10 to 30) | 10 (10 to 10) | 2.00 × (bar ≥ 2: met) |"
    assert cost == f"| cost | {NOT_MEASURED} | {NOT_MEASURED} | {NOT_MEASURED} |"
    measured["peer"]["rate"] = {0: 20.0, 1: 20.0}
    assert "1.00 × (bar ≥ 2: **missed**)" in table([RATE], measured, ["ours"], ["peer"])


def test_what_the_peer_has_none_of_is_not_called_unmeasured() -> None:
    row = Row("apart", "apart", lambda value: f"{value:.0f}", {}, is_only_ours=True)
    measured = {"ours": {"apart": {0: 5.0}}}
    assert table([row], measured, ["ours"], ["peer"]).endswith("| apart | 5 | none |  |")


def test_an_absolute_bar_is_for_our_own_median() -> None:
    row = Row("delay", "delay", lambda value: f"{value:.0f} ms", {"ours": 125.0}, is_absolute=True)
    measured = {"ours": {"delay": {0: 125.0}}, "peer": {"delay": {0: 250.0}}}
    assert table([row], measured, ["ours"], ["peer"]).endswith("| 0.50 × (bar ≤ 125 ms: met) |")
    measured["ours"]["delay"] = {0: 126.0}
    assert table([row], measured, ["ours"], ["peer"]).endswith("| 0.50 × (bar ≤ 125 ms: **missed**) |")


def test_an_absolute_bar_may_be_for_what_the_peer_is_not_measured_for() -> None:
    row = Row(
        "memory", "memory", lambda value: f"{value:.2f} ×", {"ours": 1.1}, is_only_ours=True, is_absolute=True
    )
    measured = {"ours": {"memory": {0: 1.1}}}
    assert table([row], measured, ["ours"], ["peer"]).endswith("| none | 1.10 × (bar ≤ 1.10 ×: met) |")
    measured["ours"]["memory"] = {0: 1.11}
    assert table([row], measured, ["ours"], ["peer"]).endswith("(bar ≤ 1.10 ×: **missed**) |")

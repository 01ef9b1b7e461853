import csv
import gzip
from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_trust.accuracy import area_under_curve
from icn_trust.prediction import Predictor, first_predicted, replay
from icn_trust.ratings import Rating

ROWS = st.lists(
    st.builds(
        Rating,
        st.sampled_from("abcdef"),
        st.sampled_from("abcdef"),
        st.sampled_from([-10.0, -1.0, 0.0, 1.0, 7.0]),
    ),
    max_size=40,
)


def learned(*rows: tuple[str, str, float]) -> Predictor:
    predictor = Predictor()
    for row in rows:
        predictor.learn(Rating(*row))
    return predictor


@given(rows=ROWS, other=ROWS, first=st.integers(0, 40))
def test_a_prediction_depends_on_the_rows_above_it_only(
    rows: list[Rating], other: list[Rating], first: int
) -> None:
    first = min(first, len(rows))
    found = list(replay(rows, first))
    assert len(found) == len(rows) - first
    for row in range(first, len(rows)):
        changed = [*rows[:row], Rating(rows[row].source, rows[row].target, -rows[row].rating), *other]
        assert next(iter(list(replay(changed, first))[row - first :])) == found[row - first]


@given(rows=ROWS)
def test_scores_lie_between_zero_and_one(rows: list[Rating]) -> None:
    assert all(0 < score < 1 for score in replay(rows, 0))


def test_the_first_row_is_the_floor_of_rows_times_share_exactly() -> None:
    assert first_predicted(10, Fraction("0.7")) == 7  # 10 * 0.7 as floats would do too,
    assert first_predicted(100, Fraction("0.29")) == 29  # but 100 * 0.29 is 28.999…
    assert first_predicted(24_186, Fraction("0.8")) == 19_348
    assert first_predicted(3, Fraction(0)) == 0
    assert first_predicted(3, Fraction(1)) == 3
    assert first_predicted(0, Fraction("0.5")) == 0


def test_bad_news_of_the_target_lowers_the_score_and_the_newest_most() -> None:
    good = [(rater, "zoe", 1.0) for rater in "abcdefgh"]
    nothing_bad = learned(*good).predict("x", "zoe")
    bad_first = learned(("y", "zoe", -1.0), *good).predict("x", "zoe")
    bad_last = learned(*good, ("y", "zoe", -1.0)).predict("x", "zoe")
    assert bad_last < bad_first < nothing_bad


def test_bad_news_weighs_more_from_somebody_whom_the_seeds_trust() -> None:
    rows = [("ann", other, 1.0) for other in ("ben", "cid")] + [("ben", "ann", 1.0), ("ben", "zoe", -1.0)]
    # The first ten sources are founders; the stranger comes after them and nobody rates it.
    rows = [(f"f{number}", "ann", 1.0) for number in range(10)] + rows
    trusted = learned(*rows)
    stranger = learned(*rows[:-1], ("out", "zoe", -1.0))
    for predictor in (trusted, stranger):
        predictor.refresh_trust()
    assert trusted.terms("x", "zoe")["bad_news"] < stranger.terms("x", "zoe")["bad_news"] < 0


def test_a_source_that_finds_fault_is_expected_to_find_more() -> None:
    kind = learned(*[("x", other, 1.0) for other in "abcdef"])
    harsh = learned(*[("x", other, -1.0 if other in "ef" else 1.0) for other in "abcdef"])
    assert harsh.predict("x", "zoe") < kind.predict("x", "zoe")


def test_a_rating_is_expected_to_be_returned() -> None:
    without = learned(("zoe", "y", 1.0)).terms("x", "zoe")["reciprocity"]
    assert learned(("zoe", "x", 1.0)).terms("x", "zoe")["reciprocity"] > without == 0
    assert learned(("zoe", "x", -1.0)).terms("x", "zoe")["reciprocity"] < 0
    assert learned(("zoe", "x", -1.0), ("zoe", "x", 1.0)).terms("x", "zoe")["reciprocity"] > 0


def test_the_word_of_friends_counts() -> None:
    told = (("f", "zoe", -1.0), ("g", "zoe", 1.0))
    assert learned(*told, ("x", "f", 1.0)).terms("x", "zoe")["friends"] < 0
    assert learned(*told, ("x", "g", 1.0)).terms("x", "zoe")["friends"] > 0
    assert learned(*told, ("x", "g", -1.0)).terms("x", "zoe")["friends"] == 0


def test_ratings_of_oneself_and_zeros_count_for_nothing() -> None:
    rows = (("a", "b", 1.0), ("b", "c", -1.0))
    noise = (("b", "b", 9.0), ("c", "c", -9.0), ("a", "c", 0.0))
    assert learned(*rows, *noise).terms("a", "c") == learned(*rows).terms("a", "c")


def test_a_score_is_explained_by_its_terms() -> None:
    predictor = learned(("a", "b", 1.0), ("b", "a", -1.0))
    log_odds = sum(predictor.terms("a", "b").values())
    assert predictor.predict("a", "b") == pytest.approx(1 / (1 + 2.718281828459045**-log_odds), abs=1e-9)


def test_the_area_under_the_curve_counts_pairs_and_halves_ties() -> None:
    assert area_under_curve([1, 2, 3, 4], [False, False, True, True]) == 1
    assert area_under_curve([1, 2, 3, 4], [True, True, False, False]) == 0
    assert area_under_curve([1, 1, 1], [True, False, True]) == 0.5
    assert area_under_curve([1, 2, 2], [False, True, False]) == 0.75
    with pytest.raises(ValueError, match="alike"):
        area_under_curve([1, 2], [True, True])


@pytest.mark.vectors
def test_predictions_on_real_ratings_beat_the_mean_of_the_received(
    shared_data: Callable[[str], Path],
) -> None:
    with gzip.open(shared_data("trust-bitcoin-alpha") / "ratings.csv.gz", "rt", newline="") as file:
        table = sorted(csv.DictReader(file), key=lambda row: float(row["timestamp"]))
    rows = [Rating(row["source"], row["target"], float(row["weight"])) for row in table]
    first = first_predicted(len(rows), Fraction("0.8"))
    received: dict[str, list[float]] = defaultdict(list)
    means = []
    for number, row in enumerate(rows):
        if number >= first:
            means.append(sum(received[row.target]) / max(1, len(received[row.target])))
        received[row.target].append(row.rating)
    outcomes = [row.rating > 0 for row in rows[first:]]
    found = area_under_curve(list(replay(rows, first)), outcomes)
    mean = area_under_curve(means, outcomes)
    print(f"area under the curve {found:.4f}, mean of the received {mean:.4f}")
    assert 1 - found < (1 - mean) / 2

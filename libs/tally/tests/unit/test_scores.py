"""Rules on points and ranks, held to their definitions ballot by ballot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_tally.ballots import Ballots, marked_ballots, ranked_ballots
from icn_tally.faults import InvalidBallots, InvalidParameter
from icn_tally.scores import RULES, Scored, Scoring, count

NAMES = ["Ana", "Bert", "Cleo", "Dora"]


def marked(*papers: tuple[Mapping[int, int], int], candidates: int = 3) -> Ballots:
    return marked_ballots(NAMES[:candidates], papers)


def counted(ballots: Ballots, rule: str, **form: Any) -> Scored:
    return count(Scoring.from_form(rule, form), ballots, range(1, len(ballots.candidates) + 1))


papers = st.lists(
    st.tuples(st.dictionaries(st.integers(1, 4), st.integers(0, 5)), st.integers(1, 4)),
    min_size=1,
    max_size=8,
)


def test_approvals_are_counted_and_ties_of_the_last_seat_drawn() -> None:
    ballots = ranked_ballots(NAMES, [([[1, 2]], 3), ([[2, 3]], 2), ([], 4), ([[3]], 1)])
    found = counted(ballots, "approval", seats=2)
    assert (found.scores, found.winners, found.ties) == ((3, 5, 3, 0), (2, 1), ((1, 3),))
    with pytest.raises(InvalidBallots, match="ballot 1: 2 ranks"):
        counted(ranked_ballots(NAMES, [([[1], [2]], 1)]), "approval")


def test_scores_are_added_up_and_who_breaks_the_limit_counts_nowhere() -> None:
    ballots = marked(({1: 5, 2: 3}, 2), ({2: 4, 3: 1}, 3), ({1: 6}, 7), ({3: -1}, 1))
    found = counted(ballots, "score", highest=5)
    assert (found.scores, found.winners, found.invalid) == ((10, 18, 3), (2,), 8)


def test_star_elects_whom_more_prefer_of_the_two_highest() -> None:
    ballots = marked(({1: 5, 2: 4}, 2), ({2: 5, 1: 4}, 1), ({3: 5, 2: 3}, 1))
    found = counted(ballots, "star", highest=5)
    assert (found.scores, found.finalists, found.winners) == ((14, 16, 5), ((2, 2), (1, 2)), (2,))
    found = counted(marked(({1: 5, 2: 4}, 3), ({2: 5}, 2)), "star", highest=5)
    assert (found.scores, found.winners) == ((15, 22, 0), (1,))


def test_star_breaks_a_tie_of_finalists_by_preference_then_by_lot() -> None:
    ballots = marked(({1: 5, 2: 1, 3: 0}, 2), ({2: 4, 3: 5}, 2), ({1: 0}, 1))
    found = counted(ballots, "star", highest=5)
    # 1, 2 and 3 have 10 each; nobody is preferred to both others by more ballots, so lots decide.
    assert found.scores == (10, 10, 10)
    assert found.ties[0] == (1, 2, 3)
    assert found.finalists[0][0] == 1


def judged_by_hand(grades: Mapping[int, Sequence[int]]) -> list[int]:
    """Who is left when middle grades are taken away one by one."""
    left = {number: sorted(given) for number, given in grades.items()}
    while len(left) > 1 and next(iter(left.values())):
        middles = {number: given[(len(given) + 1) // 2 - 1] for number, given in left.items()}
        most = max(middles.values())
        left = {number: given for number, given in left.items() if middles[number] == most}
        for grades_left in left.values():
            grades_left.remove(most)
    return sorted(left)


@given(papers)
def test_majority_judgment_takes_middle_grades_away_one_by_one(
    papers: list[tuple[dict[int, int], int]],
) -> None:
    found = counted(marked(*papers, candidates=4), "majority-judgment", highest=5)
    grades = {
        number: [given.get(number, 0) for given, weight in papers for _ in range(weight)]
        for number in range(1, 5)
    }
    best = judged_by_hand(grades)
    assert found.winners == (best[0],) and found.ties == ((tuple(best),) if len(best) > 1 else ())
    middle = (sum(weight for _, weight in papers) + 1) // 2 - 1
    assert found.scores == tuple(sorted(grades[number])[middle] for number in range(1, 5))


def test_majority_judgment_of_millions_needs_no_list_of_them() -> None:
    huge = 2**50
    ballots = marked(({1: 3, 2: 3}, huge), ({1: 2, 2: 2}, huge), ({1: 3, 2: 2}, 1))
    assert counted(ballots, "majority-judgment", highest=3).winners == (1,)


def test_bucklin_adds_ranks_until_somebody_stands_on_more_than_half() -> None:
    orders = [((1, 2, 3, 4), 42), ((2, 3, 4, 1), 26), ((3, 4, 2, 1), 15), ((4, 3, 2, 1), 17)]
    ballots = ranked_ballots(NAMES, [([[number] for number in order], weight) for order, weight in orders])
    found = counted(ballots, "bucklin")
    # As in the literature: after two ranks Nashville has 68, Chattanooga 58.
    assert (found.scores, found.winners) == ((42, 68, 58, 32), (2,))
    with pytest.raises(InvalidBallots, match="no ballot is valid"):
        counted(ranked_ballots(NAMES, [([], 2)]), "bucklin")


@given(papers, st.integers(1, 12))
def test_cumulative_and_quadratic_votes_keep_to_their_budget(
    papers: list[tuple[dict[int, int], int]], limit: int
) -> None:
    for rule, name, cost in (("cumulative", "points", 1), ("quadratic", "credits", 2)):
        valid = [(given, w) for given, w in papers if sum(mark**cost for mark in given.values()) <= limit]
        form = {name: limit, "seats": 2}
        if not valid:
            with pytest.raises(InvalidBallots):
                counted(marked(*papers, candidates=4), rule, **form)
            continue
        found = counted(marked(*papers, candidates=4), rule, **form)
        sums = tuple(sum(given.get(number, 0) * w for given, w in valid) for number in range(1, 5))
        assert found.scores == sums
        assert found.invalid == sum(w for _, w in papers) - sum(w for _, w in valid)
        assert [*found.winners] == sorted(range(1, 5), key=lambda number: (-sums[number - 1], number))[:2]


def test_quadratic_votes_may_be_against() -> None:
    found = counted(marked(({1: 3, 2: -4}, 1), ({2: 3}, 1), ({3: -6}, 1)), "quadratic", credits=25)
    assert (found.scores, found.invalid) == ((3, -1, 0), 1)


def test_ballots_without_points_are_refused_where_points_count() -> None:
    with pytest.raises(InvalidBallots, match="say nothing of points"):
        counted(ranked_ballots(NAMES, [([[1]], 1)]), "score", highest=5)


@pytest.mark.parametrize(
    ("rule", "form", "name"),
    [
        ("score", {}, "highest"),
        ("score", {"highest": 5, "seats": 4}, "seats"),
        ("star", {"highest": 5, "seats": 1}, "seats"),
        ("cumulative", {"points": 0}, "points"),
        ("approval", {"limit": 3}, "limit"),
    ],
)
def test_parameters_out_of_form_are_named(rule: str, form: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        counted(marked(({1: 1}, 1)), rule, **form)
    assert error.value.name == name


@pytest.mark.parametrize("rule", RULES)
def test_parameters_are_what_they_were_read_from(rule: str) -> None:
    form = {"score": "highest", "star": "highest", "majority-judgment": "highest"}.get(rule)
    form = form or {"cumulative": "points", "quadratic": "credits"}.get(rule)
    read = Scoring.from_form(rule, {form: 7} if form else {})
    assert Scoring.from_form(rule, read.to_form()) == read


def test_parameters_are_read_whole_and_have_defaults() -> None:
    assert Scoring.from_form("approval", {}) == Scoring("approval", 1, 10**9)
    assert Scoring.from_form("bucklin", {}).to_form() == {}
    for rule, name, seats in (
        ("score", "highest", True), ("star", "highest", False), ("majority-judgment", "highest", False),
        ("cumulative", "points", True), ("quadratic", "credits", True),
    ):  # fmt: skip
        form = {"seats": 2_000, name: 10**9} if seats else {name: 10**9}
        read = Scoring.from_form(rule, form)
        assert read == Scoring(rule, 2_000 if seats else 1, 10**9)
        assert read.to_form() == form
        assert Scoring.from_form(rule, {name: 1}).limit == 1
        for value in (0, 10**9 + 1):
            with pytest.raises(InvalidParameter, match=name):
                Scoring.from_form(rule, {name: value})
    for seats_wanted in (0, 2_001):
        with pytest.raises(InvalidParameter, match="seats"):
            Scoring.from_form("approval", {"seats": seats_wanted})


def test_a_result_is_written_whole() -> None:
    found = counted(
        marked(({1: 5, 2: 4}, 2), ({2: 5, 1: 4}, 1), ({3: 5, 2: 3}, 1), ({1: 6}, 7)), "star", highest=5
    )
    assert found.to_form() == {
        "candidates": [1, 2, 3],
        "scores": ["14", "16", "5"],
        "winners": [2],
        "ties": [],
        "finalists": [{"candidate": 2, "preferred_by": "2"}, {"candidate": 1, "preferred_by": "2"}],
        "invalid": "7",
    }
    tied = counted(ranked_ballots(NAMES[:2], [([[1, 2]], 1)]), "approval")
    assert tied.to_form()["ties"] == [[1, 2]] and tied.to_form()["finalists"] == []


def test_what_cannot_be_counted_is_refused_with_its_numbers() -> None:
    with pytest.raises(InvalidParameter, match=r"^seats: 5 seats for 4 candidates$"):
        counted(ranked_ballots(NAMES, [([[1]], 1)]), "approval", seats=5)
    with pytest.raises(InvalidBallots, match=r"^ballot 2: 2 ranks, an approval ballot has one$"):
        counted(ranked_ballots(NAMES, [([[1]], 1), ([[1], [2]], 1)]), "approval")
    for rule in ("score", "star", "majority-judgment"):
        with pytest.raises(InvalidBallots, match=r"^no ballot is valid, so there is nothing to count$"):
            counted(marked(({1: 6}, 1)), rule, highest=5)
    with pytest.raises(InvalidBallots, match=r"^no ballot is valid, so there is nothing to count$"):
        counted(ranked_ballots(NAMES, []), "bucklin")
    with pytest.raises(InvalidParameter, match="lot_order"):
        count(Scoring("approval"), ranked_ballots(NAMES, [([[1]], 1)]), [1])


def test_star_lets_preferences_decide_between_three_for_one_place_in_the_runoff() -> None:
    # 3 leads; 1 and 2 and 4 have 6 each, and more ballots put 2 over 1 and over 4.
    ballots = marked(
        ({3: 5, 2: 3}, 2), ({3: 5, 1: 2}, 1), ({1: 4}, 1), ({4: 5}, 1), ({4: 1, 3: 1}, 1), candidates=4
    )
    found = counted(ballots, "star", highest=5)
    assert found.scores == (6, 6, 16, 6)
    # 2 over 1: two of four; 2 over 4: two of four; so nobody is over both others, and a lot chooses.
    assert found.ties == ((1, 2, 4),) and found.finalists[1][0] == 1
    other = marked(({3: 5, 2: 2}, 3), ({3: 5, 1: 5}, 1), ({1: 1}, 1), ({4: 3}, 2), candidates=4)
    found = counted(other, "star", highest=5)
    assert (found.scores, found.ties) == ((6, 6, 20, 6), ())
    assert found.finalists == ((3, 4), (2, 0)) and found.winners == (3,)


def test_star_breaks_an_equal_runoff_by_scores_and_then_by_lot() -> None:
    found = counted(marked(({1: 5}, 1), ({2: 3}, 1)), "star", highest=5)
    assert (found.finalists, found.winners, found.ties) == (((1, 1), (2, 1)), (1,), ())
    found = counted(marked(({2: 5}, 1), ({1: 3}, 1)), "star", highest=5)
    assert (found.finalists, found.winners, found.ties) == (((2, 1), (1, 1)), (2,), ())
    lots = count(Scoring("star", limit=5), marked(({1: 3}, 1), ({2: 3}, 1)), [2, 1, 3])
    assert (lots.finalists, lots.winners, lots.ties) == (((1, 1), (2, 1)), (2,), ((1, 2),))
    alone = counted(marked(({1: 3}, 2), candidates=1), "star", highest=5)
    assert (alone.scores, alone.winners, alone.finalists) == ((6,), (1,), ())


def test_bucklin_stops_at_the_first_rank_with_more_than_half() -> None:
    ballots = ranked_ballots(NAMES, [([[1], [2, 3]], 3), ([[2]], 2), ([[4], [3]], 1)])
    # Three of six is not more than half; with second ranks 2 has five.
    found = counted(ballots, "bucklin")
    assert (found.scores, found.winners, found.ties) == ((3, 5, 4, 1), (2,), ())
    more = counted(ranked_ballots(NAMES, [([[1], [2]], 4), ([[2]], 3)]), "bucklin")
    assert (more.scores, more.winners) == ((4, 3, 0, 0), (1,))
    # Nobody ever has more than half: all ranks are counted, and a lot chooses.
    none = counted(ranked_ballots(NAMES, [([[1]], 1), ([[2]], 1), ([[3]], 1)]), "bucklin")
    assert (none.winners, none.ties) == ((1,), ((1, 2, 3),))


def test_limits_are_for_each_candidate_or_for_the_whole_ballot() -> None:
    ballots = marked(({1: 3, 2: 3}, 1), ({1: 4}, 1), ({1: 5, 2: 1}, 1), ({1: -1, 2: 2}, 1), ({3: 0}, 1))
    assert counted(ballots, "score", highest=4).invalid == 2
    cumulative = counted(ballots, "cumulative", points=5)
    assert (cumulative.scores, cumulative.invalid) == ((4, 0, 0), 3)
    quadratic = counted(ballots, "quadratic", credits=18)
    assert (quadratic.scores, quadratic.invalid) == ((6, 5, 0), 1)

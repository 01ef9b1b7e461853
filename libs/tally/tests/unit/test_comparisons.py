"""Rules that compare in pairs, held to their definitions on small elections and to published examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_tally.ballots import Ballots, ranked_ballots
from icn_tally.comparisons import MEASURED, RULES, Compared, Comparison, Tie, compare
from icn_tally.faults import InvalidBallots, InvalidParameter
from icn_tally.pairwise import STANDING_MAX, preferences

TENNESSEE = [((1, 2, 3, 4), 42), ((2, 3, 4, 1), 26), ((3, 4, 2, 1), 15), ((4, 3, 2, 1), 17)]
"""Memphis, Nashville, Chattanooga, Knoxville, as in the literature on voting."""
SCHULZE_2011 = [
    ("ACBED", 5), ("ADECB", 5), ("BEDAC", 8), ("CABED", 3), ("CAEBD", 7), ("CBADE", 2), ("DCEBA", 7),
    ("EBADC", 8),
]  # fmt: skip
"""Example 1 of Schulze's paper (2011)."""


def strict(orders: Sequence[tuple[Sequence[int], int]], candidates: int) -> Ballots:
    names = [f"candidate {number}" for number in range(1, candidates + 1)]
    return ranked_ballots(names, [([[number] for number in order], weight) for order, weight in orders])


def count(rule: str, ballots: Ballots, measure: str | None = None) -> Compared:
    form = {} if measure is None else {"measure": measure}
    return compare(Comparison.from_form(rule, form), ballots, range(1, len(ballots.candidates) + 1))


@st.composite
def elections(draw: st.DrawFn, candidates_max: int = 5) -> Ballots:
    candidates = draw(st.integers(1, candidates_max))
    numbers = range(1, candidates + 1)
    bundles = []
    for _ in range(draw(st.integers(1, 9))):
        order = draw(st.permutations(numbers))[: draw(st.integers(0, candidates))]
        ranks: list[list[int]] = []
        for number in order:
            if ranks and draw(st.integers(0, 3)) == 0:
                ranks[-1].append(number)
            else:
                ranks.append([number])
        bundles.append((ranks, draw(st.integers(1, 3))))
    withdrawn = draw(st.sets(st.sampled_from(numbers), max_size=candidates - 1))
    return ranked_ballots([f"candidate {number}" for number in numbers], bundles, withdrawn)


def above_by_definition(ballots: Ballots) -> list[list[int]]:
    standing = ballots.standing()
    found = [[0] * len(standing) for _ in standing]
    for ranking, weight in ballots.bundles():
        rank_of = {number: place for place, rank in enumerate(ranking) for number in rank}
        for row, one in enumerate(standing):
            for column, other in enumerate(standing):
                if rank_of.get(one, len(ranking)) < rank_of.get(other, len(ranking)):
                    found[row][column] += weight
    return found


def margins_of(counted: Compared) -> list[list[int]]:
    places = range(len(counted.candidates))
    return [[counted.above[one][other] - counted.above[other][one] for other in places] for one in places]


def paths(size: int, start: int, end: int) -> Iterator[tuple[int, ...]]:
    between = [place for place in range(size) if place not in (start, end)]
    for length in range(len(between) + 1):
        for middle in permutations(between, length):
            yield (start, *middle, end)


def strongest(weights: list[list[int]], start: int, end: int) -> int:
    weakest = (
        min(weights[one][next_one] for one, next_one in pairwise(path))
        for path in paths(len(weights), start, end)
    )
    return max(weakest)


def undefeated(counted: Compared, defeats: set[tuple[int, int]]) -> tuple[int, ...]:
    lost = {loser for _, loser in defeats}
    return tuple(number for place, number in enumerate(counted.candidates) if place not in lost)


@given(elections(candidates_max=7))
def test_preferences_are_counted_as_the_model_says(ballots: Ballots) -> None:
    assert preferences(ballots).tolist() == above_by_definition(ballots)


def test_long_rankings_of_many_are_counted_as_the_model_says() -> None:
    orders = [([(place * step) % 61 + 1 for place in range(60)], step) for step in (2, 3, 5, 7, 11, 13)]
    ballots = strict(orders, 61)
    assert preferences(ballots).tolist() == above_by_definition(ballots)


def test_no_sum_overflows_where_thousands_agree() -> None:
    orders = [((1, *rest), 1) for rest in permutations(range(2, 9))]
    assert len(orders) == 5_040
    above = preferences(strict(orders, 8)).tolist()
    assert above[0] == [0, *[5_040] * 7]
    assert {above[one][other] for one in range(1, 8) for other in range(1, 8) if one != other} == {2_520}


def test_more_candidates_than_comparisons_are_made_of_are_refused() -> None:
    ballots = strict([((1,), 1)], STANDING_MAX + 1)
    with pytest.raises(InvalidBallots, match=r"^1001 candidates; comparisons are made of up to 1000$"):
        count("schulze", ballots)


@pytest.mark.parametrize("rule", RULES)
def test_tennessee_makes_nashville_its_capital_by_every_rule_of_comparison(rule: str) -> None:
    assert count(rule, strict(TENNESSEE, 4)).winners == (2,)


def test_the_example_of_schulzes_paper_comes_out_as_published() -> None:
    letters = {letter: number for number, letter in enumerate("ABCDE", start=1)}
    ballots = strict([([letters[one] for one in order], weight) for order, weight in SCHULZE_2011], 5)
    for measure in ("margins", "winning-votes"):
        counted = count("schulze", ballots, measure)
        assert counted.winners == (letters["E"],)
        by_beats = sorted(letters, key=lambda letter: -counted.scores[letters[letter] - 1])
        assert "".join(by_beats) == "EACBD"


@given(elections())
def test_whoever_beats_all_others_wins_by_every_rule_but_borda(ballots: Ballots) -> None:
    counted = count("copeland", ballots)
    over = margins_of(counted)
    places = range(len(over))
    first = [one for one in places if all(over[one][other] > 0 for other in places if other != one)]
    for rule in set(RULES) - {"borda"} if first else ():
        assert count(rule, ballots).winners == (counted.candidates[first[0]],)


@given(elections(), st.sampled_from(["margins", "winning-votes"]))
def test_schulze_and_minimax_are_what_their_definitions_say(ballots: Ballots, measure: str) -> None:
    schulze, minimax = count("schulze", ballots, measure), count("minimax", ballots, measure)
    over, places = margins_of(schulze), range(len(schulze.candidates))
    weighed = over if measure == "margins" else schulze.above
    weights = [[weighed[one][other] if over[one][other] > 0 else 0 for other in places] for one in places]
    pairs = [(one, other) for one in places for other in places if one != other]
    strength = {pair: strongest(weights, *pair) for pair in pairs}
    beats = {(one, other) for one, other in pairs if strength[one, other] > strength[other, one]}
    assert schulze.winners == undefeated(schulze, beats)
    worst = [max((weights[other][one] for other in places if other != one), default=0) for one in places]
    assert minimax.winners == tuple(minimax.candidates[one] for one in places if worst[one] == min(worst))


@given(elections())
def test_split_cycle_drops_the_smallest_margins_of_every_cycle(ballots: Ballots) -> None:
    counted = count("split-cycle", ballots)
    over, places = margins_of(counted), range(len(counted.candidates))
    defeats = {(one, other) for one in places for other in places if over[one][other] > 0}
    dropped: set[tuple[int, int]] = set()
    for size in range(3, len(places) + 1):
        for cycle in permutations(places, size):
            edges = list(pairwise((*cycle, cycle[0])))
            if all(edge in defeats for edge in edges):
                smallest = min(over[one][other] for one, other in edges)
                dropped |= {edge for edge in edges if over[edge[0]][edge[1]] == smallest}
    kept = defeats - dropped
    numbered = {(counted.candidates[one], counted.candidates[other]) for one, other in kept}
    assert set(counted.locked) == numbered
    assert counted.winners == undefeated(counted, kept)


@given(elections())
def test_ranked_pairs_lock_from_the_heaviest_down_whatever_closes_no_cycle(ballots: Ballots) -> None:
    counted = count("ranked-pairs", ballots)
    over = margins_of(counted)
    place_of = {number: place for place, number in enumerate(counted.candidates)}
    locked = [(place_of[winner], place_of[loser]) for winner, loser in counted.locked]
    weights = [over[winner][loser] for winner, loser in locked]
    assert weights == sorted(weights, reverse=True) and all(weight > 0 for weight in weights)
    order = {edge: place for place, edge in enumerate(locked)}
    places = range(len(over))
    for edge in ((one, other) for one in places for other in places if over[one][other] > 0):
        if edge not in order:
            earlier = [one for one in locked if over[one[0]][one[1]] >= over[edge[0]][edge[1]]]
            assert reaches(earlier, edge[1], edge[0])
    assert not any(reaches(locked, loser, winner) for winner, loser in locked)
    sources = undefeated(counted, set(locked))
    assert counted.winners == (sources[0],), "lots are in the order of candidates here"
    assert any(tie.candidates == sources for tie in counted.ties) == (len(sources) > 1)


def reaches(edges: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    seen, to_do = {start}, [start]
    while to_do:
        here = to_do.pop()
        for one, other in edges:
            if one == here and other not in seen:
                seen.add(other)
                to_do.append(other)
    return end in seen


def test_equal_victories_in_a_cycle_are_put_in_order_by_lot_and_listed() -> None:
    ballots = strict([((1, 2, 3), 1), ((2, 3, 1), 1), ((3, 1, 2), 1)], 3)
    # The victory of whoever stands first in the order of lots is locked first, then that of the second.
    for lots, winner in (([1, 2, 3], 1), ([2, 1, 3], 1), ([2, 3, 1], 2), ([3, 1, 2], 3), ([1, 3, 2], 3)):
        counted = compare(Comparison("ranked-pairs"), ballots, lots)
        assert counted.winners == (winner,)
        (tie,) = counted.ties
        assert set(tie.pairs) == {(1, 2), (2, 3), (3, 1)}
        assert tie.to_form() == {"by": "lot", "pairs": [[winner, loser] for winner, loser in tie.pairs]}


def test_where_nobody_is_above_anybody_all_are_tied_and_ranked_pairs_draw() -> None:
    ballots = strict([((), 3)], 3)
    for rule in set(RULES) - {"ranked-pairs"}:
        assert count(rule, ballots).winners == (1, 2, 3)
    drawn = compare(Comparison("ranked-pairs"), ballots, [2, 3, 1])
    assert drawn.winners == (2,)
    assert [tie.to_form() for tie in drawn.ties] == [{"by": "lot", "among": [1, 2, 3]}]


@given(elections())
def test_kemeny_finds_who_leads_an_order_that_agrees_most(ballots: Ballots) -> None:
    counted = count("kemeny", ballots)
    agreements = {
        order: sum(counted.above[one][other] for one, other in combinations(order, 2))
        for order in permutations(range(len(counted.candidates)))
    }
    best = max(agreements.values())
    leaders = {counted.candidates[order[0]] for order, agreed in agreements.items() if agreed == best}
    assert counted.winners == tuple(sorted(leaders))
    assert counted.scores == (best,)


def test_kemeny_is_counted_for_eight_and_refused_for_nine() -> None:
    assert count("kemeny", strict([((3, 1, 2), 1)], 8)).winners == (3,)
    with pytest.raises(InvalidBallots, match=r"^9 candidates; kemeny counts for up to 8$"):
        count("kemeny", strict([((1,), 1)], 9))


@given(elections())
def test_borda_counts_places_below_minus_places_above(ballots: Ballots) -> None:
    counted = count("borda", ballots)
    expected = [0] * len(counted.candidates)
    for ranking, weight in ballots.bundles():
        ranked = [number for rank in ranking for number in rank]
        unranked = [number for number in counted.candidates if number not in ranked]
        places = [*ranking, tuple(unranked)]
        for place, rank in enumerate(places):
            below, above = (sum(map(len, part)) for part in (places[place + 1 :], places[:place]))
            for number in rank:
                expected[counted.candidates.index(number)] += weight * (below - above)
    assert counted.scores == tuple(expected)
    assert counted.winners == tuple(
        number for number, score in zip(counted.candidates, expected, strict=True) if score == max(expected)
    )


@given(elections(), st.sampled_from(RULES))
def test_a_weight_is_so_many_ballots_and_their_order_is_nothing(ballots: Ballots, rule: str) -> None:
    single = [
        (ranking, 1)
        for ranking, weight in zip(ballots.rankings, ballots.weights, strict=True)
        for _ in range(weight)
    ]
    apart = ranked_ballots(ballots.candidates, reversed(single), ballots.withdrawn)
    assert count(rule, apart).to_form() == count(rule, ballots).to_form()


def test_parameters_are_read_and_written_and_what_is_unknown_is_refused() -> None:
    assert [Comparison.from_form(rule, {}).to_form() for rule in MEASURED] == [{"measure": "margins"}] * 3
    assert Comparison.from_form("copeland", {}).to_form() == {}
    for rule, form, name in (
        ("schulze", {"measure": "ratio"}, "measure"),
        ("copeland", {"measure": "margins"}, "measure"),
        ("borda", {"seats": 2}, "seats"),
    ):
        with pytest.raises(InvalidParameter) as refused:
            Comparison.from_form(rule, form)
        assert refused.value.name == name


def test_ranked_pairs_want_a_lot_of_each_candidate() -> None:
    with pytest.raises(InvalidParameter, match="lot_order: each number from 1 to 4 is expected once"):
        compare(Comparison("ranked-pairs"), strict(TENNESSEE, 4), [1, 2, 3])


def test_as_many_candidates_as_comparisons_are_made_of_are_compared() -> None:
    above = preferences(strict([((1,), 2), ((2, 1), 3)], STANDING_MAX))
    assert above[0].tolist() == [0, 2, *[5] * (STANDING_MAX - 2)]
    assert above[1].tolist() == [3, 0, *[3] * (STANDING_MAX - 2)]
    assert not above[2:].any()


def test_a_result_is_written_whole() -> None:
    ballots = ranked_ballots(["a", "b", "c"], [([[1], [3]], 3), ([[3], [2]], 2), ([[2]], 2)], withdrawn=[2])
    assert count("borda", ballots).to_form() == {
        "candidates": [1, 3],
        "above": [["0", "3"], ["2", "0"]],
        "winners": [1],
        "scores": ["1", "-1"],
        "locked": [],
        "ties": [],
        "rounds": [],
    }
    found = count("ranked-pairs", ballots)
    assert (found.parameters, found.locked, found.scores) == (
        Comparison("ranked-pairs", "margins"),
        ((1, 3),),
        (),
    )
    assert found.to_form()["locked"] == [[1, 3]]
    assert count("baldwin", ballots).to_form()["rounds"] == [[3]]
    assert Tie(candidates=(1, 3)).to_form() == {"by": "lot", "among": [1, 3]}
    assert Tie(((3, 1),)).to_form() == {"by": "lot", "pairs": [[3, 1]]}


def test_scores_are_as_each_rule_counts_them() -> None:
    """1 over 2 by 5 to 2, 2 over 3 by 4 to 3, 3 over 1 by 4 to 3; 4 is below all by 7 to 0, and 4 is not
    ranked by anybody."""
    ballots = strict([((1, 2, 3), 3), ((3, 1, 2), 2), ((2, 3), 1), ((3,), 1)], 4)
    assert count("copeland", ballots).above == ((0, 5, 3, 5), (1, 0, 4, 6), (4, 3, 0, 7), (0, 0, 0, 0))
    assert count("copeland", ballots).scores == (4, 4, 4, 0)
    assert count("minimax", ballots).scores == (-1, -4, -1, -7)
    assert count("minimax", ballots, "winning-votes").scores == (-4, -5, -4, -7)
    assert count("borda", ballots).scores == (8, 3, 7, -18)
    # The ways back from 2 to 1, 3 to 2 and 1 to 3 are of strength 1, that from 1 to 2 alone is of 4.
    schulze = count("schulze", ballots)
    assert (schulze.scores, schulze.winners) == ((2, 1, 1, 0), (1, 3))


def test_nanson_and_baldwin_go_round_by_round() -> None:
    ballots = strict(TENNESSEE, 4)
    # In each round scores are counted among those that are left.
    assert count("borda", ballots).scores == (-48, 88, 46, -86)
    assert count("nanson", ballots).rounds == ((1, 4), (3,))
    assert count("baldwin", ballots).rounds == ((4,), (1,), (3,))
    assert count("nanson", strict([((), 1)], 3)).rounds == count("baldwin", strict([((), 1)], 3)).rounds == ()


def test_long_and_short_rankings_with_large_weights_are_compared_exactly() -> None:
    huge = 2**52 - 1
    ballots = ranked_ballots(
        [f"candidate {number}" for number in range(1, 301)],
        [([[1], [2, 300], [3]], huge), ([[300], [1]], 2**51 + 1), ([], 5)],
    )
    above = preferences(ballots)
    assert above[0, 1] == huge + 2**51 + 1 and above[0, 299] == huge and above[299, 0] == 2**51 + 1
    assert above[1, 299] == 0 and above[299, 1] == 2**51 + 1 and above[2, 3] == huge and above[3, 2] == 0


def test_ballots_are_compared_in_parts_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [([(place * step) % 11 + 1 for place in range(10)], step) for step in (2, 3, 5, 7)]
    ballots = ranked_ballots(
        [f"candidate {number}" for number in range(1, 12)],
        [*(([[number] for number in order], weight) for order, weight in orders), ([[1, 5], [2]], 4)],
    )
    expected = above_by_definition(ballots)
    for cells in (1, 11, 22, 33, 4_000):
        monkeypatch.setattr("icn_tally.pairwise.CELLS_MAX", cells)
        assert preferences(ballots).tolist() == expected


@pytest.mark.parametrize("length", [1, 2, 3])
def test_many_short_rankings_are_counted_pair_by_pair(length: int) -> None:
    """As many orders of few of twenty candidates as make that the quicker way."""
    orders = [
        ([(start + step * place) % 20 + 1 for place in range(length)], start % 3 + 1)
        for start in range(20)
        for step in (*range(1, 10), *range(11, 20))
    ]
    ballots = ranked_ballots(
        [f"candidate {number}" for number in range(1, 21)],
        [*(([[number] for number in order], weight) for order, weight in orders), ([[3, 4], [5]], 2)] * 3,
        withdrawn=[7],
    )
    assert preferences(ballots).tolist() == above_by_definition(ballots)

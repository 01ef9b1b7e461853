"""Scottish STV: properties, borders, ties, and the same bytes everywhere."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_tally.ballots import Ballots, ranked_ballots
from icn_tally.faults import InvalidBallots, InvalidParameter
from icn_tally.scottish_stv import STANDING_MAX, ScottishStv, count
from icn_tally.stages import Count, Tie
from icn_tally.tallies import tally

Bundle = tuple[list[list[int]], int]


def strict(rankings: dict[tuple[int, ...], int], candidates: int) -> Ballots:
    """Ballots without equal ranks, by ranking and weight."""
    names = [f"c{number}" for number in range(1, candidates + 1)]
    return ranked_ballots(
        names, [([[number] for number in ranking], weight) for ranking, weight in rankings.items()]
    )


@st.composite
def contests(draw: st.DrawFn) -> tuple[int, list[Bundle], ScottishStv, list[int]]:
    """Few candidates and weights, so that totals are often equal; at least one ballot is valid."""
    candidates = draw(st.integers(1, 6))
    bundles: list[Bundle] = [([[draw(st.integers(1, candidates))]], 1)]
    for _ in range(draw(st.integers(0, 12))):
        order = draw(st.permutations(range(1, candidates + 1)))[: draw(st.integers(0, candidates))]
        ranks: list[list[int]] = []
        for number in order:
            if ranks and draw(st.integers(0, 7)) == 0:
                ranks[-1].append(number)
            else:
                ranks.append([number])
        bundles.append((ranks, draw(st.integers(1, 4))))
    rule = ScottishStv(
        draw(st.integers(1, candidates)),
        draw(st.sampled_from([0, 1, 5])),
        draw(st.sampled_from(["narrowing", "all-unequal"])),
    )
    return candidates, bundles, rule, draw(st.permutations(range(1, candidates + 1)))


def ballots_of(candidates: int, bundles: list[Bundle]) -> Ballots:
    return ranked_ballots([f"c{number}" for number in range(1, candidates + 1)], bundles)


def by_hand(
    candidates: int, bundles: list[Bundle], rule: ScottishStv, order: list[int]
) -> tuple[object, ...]:
    """The rules of docs/spec/voting.md once more, ballot by ballot and as slowly as they read."""
    scale = 10**rule.places
    papers: list[list[int]] = []
    for ranks, weight in bundles:
        sequence: list[int] = []
        for rank in ranks:
            if len(rank) > 1:
                break
            sequence += rank
        if sequence:
            papers += [list(sequence) for _ in range(weight)]
    holder = [paper[0] for paper in papers]
    value = [scale] * len(papers)
    quota = (len(papers) // (rule.seats + 1) + 1) * scale
    numbers = range(1, candidates + 1)
    state = dict.fromkeys(numbers, "continuing")
    kept: dict[int, int] = {}
    history: list[list[int]] = []
    winners: list[int] = []

    def totals() -> list[int]:
        held = {n: sum(v for h, v in zip(holder, value, strict=True) if h == n) for n in numbers}
        return [kept.get(n, held[n]) for n in numbers]

    def end_stage() -> None:
        history.append(totals())
        new = [n for n in numbers if state[n] == "continuing" and history[-1][n - 1] >= quota]
        left = [n for n in numbers if state[n] == "continuing" and n not in new]
        if len(left) <= rule.seats - len(winners) - len(new):
            new = sorted(new + left)
        for n in new:
            state[n] = "elected"
        winners.extend(new)

    def pick(tied: list[int], sign: int) -> int:
        for past in history[-2::-1]:
            if rule.ties == "all-unequal" and len({past[n - 1] for n in tied}) < len(tied):
                continue
            best = min(sign * past[n - 1] for n in tied)
            tied = [n for n in tied if sign * past[n - 1] == best]
        return min(tied, key=order.index)

    def move(n: int) -> None:
        for place, paper in enumerate(papers):
            if holder[place] == n:
                after = paper[paper.index(n) + 1 :]
                holder[place] = next((m for m in after if state[m] == "continuing"), 0)

    end_stage()
    while len(winners) < rule.seats:
        now = totals()
        over = [n for n in numbers if state[n] == "elected" and now[n - 1] > quota]
        if over:
            most = max(now[n - 1] for n in over)
            n = pick([m for m in over if now[m - 1] == most], -1)
            for place in range(len(papers)):
                if holder[place] == n:
                    value[place] = value[place] * (most - quota) // most
            kept[n] = quota
        else:
            running = [m for m in numbers if state[m] == "continuing"]
            least = min(now[m - 1] for m in running)
            n = pick([m for m in running if now[m - 1] == least], 1)
            state[n] = "excluded"
        move(n)
        end_stage()
    return winners, history


@given(contests())
def test_a_count_is_what_the_rules_give_ballot_by_ballot(
    contest: tuple[int, list[Bundle], ScottishStv, list[int]],
) -> None:
    candidates, bundles, rule, order = contest
    found = count(rule, ballots_of(candidates, bundles), order)
    winners, history = by_hand(candidates, bundles, rule, order)
    assert ([*found.winners], [[*stage.totals] for stage in found.stages]) == (winners, history)


@given(contests())
def test_every_vote_is_accounted_for_at_every_stage(
    contest: tuple[int, list[Bundle], ScottishStv, list[int]],
) -> None:
    candidates, bundles, rule, order = contest
    found = count(rule, ballots_of(candidates, bundles), order)
    assert found.valid + found.invalid == sum(weight for _, weight in bundles)
    for stage in found.stages:
        assert sum(stage.totals) + stage.non_transferable + stage.lost == found.valid * 10**rule.places
        assert min(stage.totals) >= 0 and stage.lost >= 0
    assert len(found.winners) == rule.seats == len({*found.winners})
    assert [n for stage in found.stages for n in stage.elected] == [*found.winners]


@given(contests(), st.randoms(use_true_random=False))
def test_neither_the_order_nor_the_bundling_of_ballots_matters(
    contest: tuple[int, list[Bundle], ScottishStv, list[int]], randomness: random.Random
) -> None:
    candidates, bundles, rule, order = contest
    single = [(ranks, 1) for ranks, weight in bundles for _ in range(weight)]
    randomness.shuffle(single)
    together, apart = ballots_of(candidates, bundles), ballots_of(candidates, single)
    assert count(rule, together, order) == count(rule, apart, order)
    assert together.root() == apart.root()


@given(contests())
def test_a_candidate_whom_nobody_ranks_changes_nothing_but_by_its_own_exclusion(
    contest: tuple[int, list[Bundle], ScottishStv, list[int]],
) -> None:
    """The lot falls on it first, so that it goes before others whom nobody ranks."""
    candidates, bundles, rule, order = contest
    more = candidates + 1
    without = count(rule, ballots_of(candidates, bundles), order)
    found = count(rule, ballots_of(more, bundles), [more, *order])
    assert {*found.winners} == {*without.winners}
    kept = [stage.totals[:-1] for stage in found.stages if stage.candidates != (more,)]
    assert kept[: len(without.stages)] == [stage.totals for stage in without.stages]


@given(contests())
def test_withdrawing_a_candidate_equals_ballots_that_never_named_it(
    contest: tuple[int, list[Bundle], ScottishStv, list[int]],
) -> None:
    candidates, bundles, rule, order = contest
    more = candidates + 1
    named = [([[more], *ranks], weight) for ranks, weight in bundles]
    names = [f"c{number}" for number in range(1, more + 1)]
    found = count(rule, ranked_ballots(names, named, withdrawn=[more]), [*order, more])
    expected = count(rule, ballots_of(candidates, bundles), order)
    assert (found.winners, found.quota, found.ties) == (expected.winners, expected.quota, expected.ties)
    assert [stage.totals[:-1] for stage in found.stages] == [stage.totals for stage in expected.stages]


def test_a_surplus_is_truncated_and_what_truncation_takes_is_named() -> None:
    found = count(ScottishStv(2), strict({(1, 2): 7, (2,): 2, (3,): 3}, 3), [1, 2, 3])
    # Quota 5, surplus 2 of 7: each ballot goes on with 0.28571.
    assert (found.quota, found.stages[1].action, found.stages[1].candidates) == ("5", "transfer", (1,))
    assert found.written(found.stages[1].totals) == ["5.00000", "3.99997", "3.00000"]
    assert found.written([found.stages[1].lost]) == ["0.00003"]


def test_reaching_the_quota_exactly_elects_and_leaves_nothing_to_transfer() -> None:
    found = count(ScottishStv(2), strict({(1, 2): 4, (2,): 3, (3,): 2, (4,): 1}, 4), [1, 2, 3, 4])
    assert found.quota == "4" and found.stages[0].elected == (1,)
    assert (found.stages[1].action, found.stages[1].candidates) == ("exclude", (4,))


def test_as_many_candidates_as_seats_are_elected_at_the_first_stage() -> None:
    found = count(ScottishStv(3), strict({(1,): 9, (2, 1): 1}, 3), [3, 2, 1])
    assert (found.winners, len(found.stages), found.stages[0].candidates) == ((1, 2, 3), 1, (1, 2, 3))


def test_more_seats_than_candidates_is_refused_and_withdrawn_ones_do_not_count() -> None:
    with pytest.raises(InvalidParameter, match="seats: 3 seats for 2 candidates"):
        count(ScottishStv(3), strict({(1,): 1}, 2), [1, 2])
    withdrawn = ranked_ballots(["a", "b"], [([[1]], 1)], withdrawn=[2])
    assert count(ScottishStv(1), withdrawn, [1, 2]).winners == (1,)
    with pytest.raises(InvalidParameter, match="seats: 2 seats for 1 candidates"):
        count(ScottishStv(2), withdrawn, [1, 2])


def test_five_hundred_candidates_are_counted_and_one_more_is_refused() -> None:
    everybody = strict({(1,): 5, (2,): 5}, STANDING_MAX)
    found = count(ScottishStv(1), everybody, [*range(STANDING_MAX, 0, -1)])
    assert (found.winners, len(found.stages)) == ((1,), STANDING_MAX)
    with pytest.raises(InvalidBallots, match="501 candidates"):
        count(ScottishStv(1), strict({(1,): 1}, STANDING_MAX + 1), [*range(1, STANDING_MAX + 2)])


@pytest.mark.parametrize("bundles", [[], [([], 3)], [([[1, 2]], 3)]])
def test_without_a_valid_ballot_there_is_no_count(bundles: list[Bundle]) -> None:
    with pytest.raises(InvalidBallots, match="no ballot is valid"):
        count(ScottishStv(1), ranked_ballots(["a", "b"], bundles), [1, 2])


def test_when_all_ballots_are_exhausted_those_that_are_left_are_elected() -> None:
    found = count(ScottishStv(2), strict({(1,): 9}, 4), [2, 3, 4, 1])
    assert found.winners == (1, 4)
    assert found.written([found.stages[-1].non_transferable, found.stages[-1].lost]) == ["4.99995", "0.00005"]


def test_an_equal_rank_ends_a_ballot_and_at_the_top_makes_it_invalid() -> None:
    names = ["a", "b", "c", "d"]
    ballots = ranked_ballots(names, [([[1], [2, 3], [4]], 2), ([[4]], 3), ([[2]], 4), ([[2, 3]], 5)])
    found = count(ScottishStv(1), ballots, [3, 1, 2, 4])
    assert (found.valid, found.invalid) == (9, 5)
    after = next(stage for stage in found.stages if stage.candidates == (1,))
    assert found.written([after.non_transferable]) == ["2.00000"]


def test_a_tie_of_two_is_broken_by_the_most_recent_stage_at_which_they_differed() -> None:
    found = count(ScottishStv(1), strict({(1,): 6, (2,): 4, (3,): 3, (4, 3): 1}, 4), [2, 3, 1, 4])
    assert found.ties == (Tie(3, "exclude", (2, 3), 3, 1, ()),)
    assert found.ties[0].to_form()["by"] == "stage" and found.ties[0].to_form()["earlier_stage"] == 1
    assert found.stages[2].candidates == (3,)


def test_three_tied_are_narrowed_stage_by_stage_or_only_all_at_once() -> None:
    # Candidates 1, 2, 3 stand at 10, 11, 9, then at 11, 11, 12, then at 12 each.
    rankings = {(1,): 10, (2,): 11, (3,): 9, (4,): 1, (4, 1): 1, (4, 3): 3, (5,): 4, (5, 1): 1, (5, 2): 1}
    ballots = strict({**rankings, (6,): 30}, 6)
    chosen = {}
    for ties in ("narrowing", "all-unequal"):
        found = tally("scottish-stv", {"seats": 1, "ties": ties}, ballots, [2, 1, 3, 4, 5, 6]).outcome
        assert isinstance(found, Count)
        seen = [tuple(vote // 10**5 for vote in stage.totals[:3]) for stage in found.stages]
        assert seen[:3] == [(10, 11, 9), (11, 11, 12), (12, 12, 12)]
        assert found.ties[0].candidates == (1, 2, 3) and found.ties[0].earlier_stage == 1
        chosen[ties] = found.ties[0].chosen
    assert chosen == {"narrowing": 1, "all-unequal": 3}


def test_a_lot_falls_only_between_those_whom_earlier_stages_leave() -> None:
    ballots = strict({(1,): 4, (2,): 4, (3,): 3, (4, 3): 1, (5,): 9}, 5)
    (tie,) = [tie for tie in count(ScottishStv(1), ballots, [1, 2, 3, 4, 5]).ties if tie.stage == 3]
    assert tie == Tie(3, "exclude", (1, 2, 3), 3, 1, ())
    ballots = strict({(1,): 3, (2,): 3, (3,): 4, (4, 1): 1, (4, 2): 1, (5,): 9}, 5)
    (tie,) = [tie for tie in count(ScottishStv(1), ballots, [3, 2, 1, 4, 5]).ties if tie.stage == 3]
    assert tie == Tie(3, "exclude", (1, 2, 3), 2, None, (1, 2))


def test_a_lot_falls_on_the_first_in_the_order_and_is_listed() -> None:
    ballots = strict({(1,): 2, (2,): 2, (3,): 3}, 3)
    for order, chosen in (([1, 2, 3], 1), ([3, 2, 1], 2)):
        found = count(ScottishStv(1), ballots, order)
        assert found.ties == (Tie(2, "exclude", (1, 2), chosen, None, (1, 2)),)
        assert found.ties[0].to_form() == {
            "stage": 2,
            "action": "exclude",
            "candidates": [1, 2],
            "chosen": chosen,
            "by": "lot",
            "among": [1, 2],
        }


def test_equal_surpluses_are_transferred_in_the_order_of_lots() -> None:
    ballots = strict({(1, 3): 6, (2, 4): 6, (3,): 2, (4,): 1, (5,): 1}, 5)
    for order, first in (([1, 2, 3, 4, 5], 1), ([2, 1, 3, 4, 5], 2)):
        found = count(ScottishStv(3), ballots, order)
        assert (found.stages[1].action, found.stages[1].candidates) == ("transfer", (first,))
        assert found.ties[0] == Tie(2, "transfer", (1, 2), first, None, (1, 2))


@pytest.mark.parametrize("order", [[], [1, 2], [1, 2, 2], [0, 1, 2], [1, 2, 3, 4]])
def test_a_lot_order_names_every_candidate_once(order: list[int]) -> None:
    with pytest.raises(InvalidParameter, match="lot_order"):
        count(ScottishStv(1), strict({(1,): 1}, 3), order)


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ({}, "seats"),
        ({"seats": 0}, "seats"),
        ({"seats": True}, "seats"),
        ({"seats": "1"}, "seats"),
        ({"seats": 1, "places": 10}, "places"),
        ({"seats": 1, "ties": "coin"}, "ties"),
        ({"seats": 1, "seat": 1}, "seat"),
    ],
)
def test_parameters_out_of_form_are_named(form: dict[str, object], name: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        tally("scottish-stv", form, strict({(1,): 1}, 2), [1, 2])
    assert caught.value.name == name


PROGRAM = """
import random, sys
from icn_tally.ballots import ranked_ballots
from icn_tally.lots import lot_order
from icn_tally.tallies import tally
r = random.Random(7)
names = [f"candidate {n}" for n in range(1, 21)]
bundles = [([[n] for n in r.sample(range(1, 21), r.randrange(20))], r.randrange(1, 3)) for _ in range(200)]
ballots = ranked_ballots(names, bundles, withdrawn=[4, 17])
order = lot_order(ballots.root(), bytes(32), 20)
sys.stdout.buffer.write(tally("scottish-stv", {"seats": 6}, ballots, order).to_bytes())
"""


def test_the_same_ballots_give_the_same_bytes_under_any_hash_seed() -> None:
    found = set()
    for seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=True
        )
        found.add(run.stdout)
    assert len(found) == 1 and b'"by":"lot"' in found.pop()


def test_parameters_are_read_whole_and_have_defaults() -> None:
    assert ScottishStv.from_form({"seats": 1}) == ScottishStv(1, 5, "narrowing")
    form = {"seats": 500, "places": 9, "ties": "all-unequal"}
    assert ScottishStv.from_form(form) == ScottishStv(500, 9, "all-unequal")
    assert ScottishStv.from_form(form).to_form() == form
    assert ScottishStv.from_form({"seats": 1, "places": 0}).places == 0
    for name, value in (("seats", 0), ("seats", 501), ("places", -1), ("places", 10), ("ties", "lot")):
        with pytest.raises(InvalidParameter) as error:
            ScottishStv.from_form({"seats": 1, name: value})
        assert error.value.name == name


def test_the_quota_is_written_as_a_whole_number_of_ballots() -> None:
    ballots = ranked_ballots(["a", "b", "c"], [([[1]], 6), ([[2]], 4), ([[3]], 2)])
    found = count(ScottishStv(2), ballots, [1, 2, 3])
    # 12 ÷ 3 + 1; 2 is elected when nobody else is left.
    assert (found.quota, found.places, found.winners) == ("5", 5, (1, 2))
    assert found.stages[0].totals == (600_000, 400_000, 200_000)

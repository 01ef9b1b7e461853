"""Runoffs, held to a count ballot by ballot and to elections that are small enough to check by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_tally.ballots import Ballots, ranked_ballots
from icn_tally.faults import InvalidBallots, InvalidParameter
from icn_tally.runoff import STANDING_MAX, Runoff, count
from icn_tally.stages import Count, Stage, Tie

Paper = tuple[tuple[tuple[int, ...], ...], int]


def ballots_of(candidates: int, papers: Sequence[tuple[Sequence[Sequence[int]], int]]) -> Ballots:
    return ranked_ballots([f"c{number}" for number in range(1, candidates + 1)], papers)


def strict(candidates: int, *orders: tuple[Sequence[int], int]) -> Ballots:
    return ballots_of(candidates, [([[number] for number in order], weight) for order, weight in orders])


def counted(ballots: Ballots, rule: str = "irv", **form: Any) -> Count:
    return count(Runoff.from_form(rule, form), ballots, range(1, len(ballots.candidates) + 1))


@st.composite
def elections(draw: st.DrawFn) -> tuple[int, list[Paper]]:
    candidates = draw(st.integers(1, 5))
    papers: list[Paper] = []
    for _ in range(draw(st.integers(1, 8))):
        order = draw(st.permutations(range(1, candidates + 1)))[: draw(st.integers(0, candidates))]
        ranks: list[list[int]] = []
        for number in order:
            if ranks and draw(st.integers(0, 3)) == 0:
                ranks[-1].append(number)
            else:
                ranks.append([number])
        papers.append((tuple(tuple(sorted(rank)) for rank in ranks), draw(st.integers(1, 3))))
    return candidates, papers


def first_of(ranks: Sequence[Sequence[int]], left: Sequence[int], equal_ranks: str) -> int:
    for rank in ranks:
        here = [number for number in rank if number in left]
        if len(rank) == 1:
            if here:
                return here[0]
        elif equal_ranks == "end" or (equal_ranks == "one-continuing" and len(here) > 1):
            return 0
        elif equal_ranks == "one-continuing" and here:
            return here[0]
    return 0


def by_hand(candidates: int, papers: Sequence[Paper], equal_ranks: str) -> tuple[list[list[int]], int]:
    """Totals of each stage, and the winner; the smaller number is excluded first."""
    left = [*range(1, candidates + 1)]
    valid = [(ranks, weight) for ranks, weight in papers if first_of(ranks, left, equal_ranks)]
    stages = []
    while True:
        totals = [0] * candidates
        for ranks, weight in valid:
            # A ballot that has ended stays so: what is left of it is judged by who continues now.
            number = first_of(ranks, left, equal_ranks)
            if number:
                totals[number - 1] += weight
        stages.append(totals)
        majority = [number for number in left if 2 * totals[number - 1] > sum(totals)]
        if majority or len(left) == 1:
            return stages, (majority or left)[0]
        left.remove(min(left, key=lambda number: (totals[number - 1], number)))


@given(elections(), st.sampled_from(["end", "skip"]))
def test_instant_runoff_is_what_the_rule_gives_ballot_by_ballot(
    election: tuple[int, list[Paper]], equal_ranks: str
) -> None:
    candidates, papers = election
    everybody = range(1, candidates + 1)
    if not any(first_of(ranks, everybody, equal_ranks) for ranks, _ in papers):
        with pytest.raises(InvalidBallots):
            counted(ballots_of(candidates, papers), equal_ranks=equal_ranks)
        return
    found = counted(ballots_of(candidates, papers), equal_ranks=equal_ranks)
    assert ([[*stage.totals] for stage in found.stages], found.winners[0]) == by_hand(
        candidates, papers, equal_ranks
    )
    assert len(found.winners) == 1


@given(elections())
def test_excluding_sure_losers_together_elects_the_same(election: tuple[int, list[Paper]]) -> None:
    candidates, papers = election
    ballots = ballots_of(candidates, papers)
    try:
        one_by_one = counted(ballots)
    except InvalidBallots:
        return
    together = counted(ballots, exclusion="sure-losers")
    if not one_by_one.ties:
        assert together.winners == one_by_one.winners
    assert len(together.stages) <= len(one_by_one.stages)


def test_a_ballot_with_one_continuing_in_an_equal_rank_counts_for_it() -> None:
    ballots = ballots_of(3, [([[1], [2, 3]], 2), ([[2]], 3), ([[3]], 4)])
    assert counted(ballots, equal_ranks="one-continuing").stages[-1].totals == (0, 3, 4)
    after = ballots_of(4, [([[1], [2, 4]], 2), ([[2]], 3), ([[3]], 5), ([[4]], 1)])
    # 4 is excluded first, so that 2 alone continues in the rank of both.
    assert counted(after, equal_ranks="one-continuing").stages[2].totals == (0, 5, 5, 0)


def test_more_than_half_is_needed_and_half_is_not_enough() -> None:
    half = counted(strict(3, ((1,), 4), ((2,), 3), ((3, 2), 1)))
    assert [stage.elected for stage in half.stages] == [(), (), (2,)]
    assert half.ties == (Tie(3, "exclude", (1, 2), 1, None, (1, 2)),)
    more = counted(strict(3, ((1,), 5), ((2,), 3), ((3, 2), 1)))
    assert (more.quota, [stage.elected for stage in more.stages]) == ("5", [(1,)])


def test_a_majority_of_the_first_stage_needs_votes_that_were_exhausted_since() -> None:
    ballots = strict(3, ((1,), 4), ((2,), 3), ((3,), 2))
    assert counted(ballots).winners == (1,)
    first = counted(ballots, majority_of="first-stage")
    assert (first.quota, first.winners, first.stages[-1].totals) == ("5", (1,), (4, 0, 0))


def test_a_count_goes_on_until_two_are_left_where_that_is_wanted() -> None:
    ballots = strict(4, ((1,), 7), ((2,), 3), ((3, 2), 2), ((4, 2), 1))
    assert len(counted(ballots).stages) == 1
    found = counted(ballots, until_two=True)
    assert (found.winners, found.stages[-1].totals) == ((1,), (7, 6, 0, 0))


def test_write_ins_and_those_with_too_few_votes_are_excluded_first() -> None:
    ballots = strict(4, ((1,), 5), ((2,), 4), ((3, 2), 2), ((4, 1), 3))
    found = counted(ballots, first_excluded=[4], votes_min=3)
    assert [stage.candidates for stage in found.stages] == [(), (4,)]
    found = counted(
        strict(4, ((1,), 5), ((2,), 4), ((3, 2), 2), ((4, 2), 3)), first_excluded=[4], votes_min=3
    )
    assert [stage.candidates for stage in found.stages] == [(), (4,), (3,)]
    found = counted(strict(5, ((1,), 9), ((2,), 7), ((3, 2), 2), ((4, 2), 1), ((5, 1), 3)), votes_min=3)
    assert [stage.candidates for stage in found.stages] == [(), (3, 4), (5,)]


def test_from_the_bottom_up_no_majority_elects() -> None:
    ballots = strict(4, ((1,), 9), ((2,), 2), ((3,), 4), ((4, 2), 3))
    found = counted(ballots, seats=2)
    assert (found.winners, [stage.candidates for stage in found.stages]) == ((1, 3), [(), (2,), (4,)])


def test_plurality_takes_the_most_first_preferences_and_draws_lots() -> None:
    ballots = strict(3, ((1, 2), 4), ((2, 1), 4), ((3, 2), 3))
    found = counted(ballots, rule="plurality")
    assert (found.winners, found.quota) == ((1,), "")
    assert found.ties == (Tie(1, "elect", (1, 2), 1, None, (1, 2)),)
    assert counted(ballots, rule="plurality", seats=2).winners == (1, 2)
    assert counted(ballots, rule="plurality", seats=2).ties == ()


def test_coombs_excludes_whom_most_rank_last() -> None:
    # Tennessee: Memphis is last for 58, Nashville wins then.
    ballots = strict(4, ((1, 2, 3, 4), 42), ((2, 3, 4, 1), 26), ((3, 4, 2, 1), 15), ((4, 3, 2, 1), 17))
    found = counted(ballots, rule="coombs")
    assert [stage.candidates for stage in found.stages] == [(), (1,)]
    assert found.winners == (2,)


def test_coombs_shares_a_ballot_among_several_last() -> None:
    ballots = strict(4, ((1,), 4), ((2, 1, 3), 3), ((3, 1, 2, 4), 2))
    # Last: 1 has 0; 2: 4/3; 3: 4/3; 4: 4/3 + 3 + 2.
    assert counted(ballots, rule="coombs").stages[1].candidates == (4,)


@pytest.mark.parametrize(
    ("rule", "form", "name"),
    [
        ("irv", {"seats": 0}, "seats"),
        ("irv", {"seats": 4}, "seats"),
        ("irv", {"first_excluded": [4]}, "first_excluded"),
        ("irv", {"first_excluded": 4}, "first_excluded"),
        ("irv", {"until_two": 1}, "until_two"),
        ("irv", {"exclusion": "all"}, "exclusion"),
        ("irv", {"votes_min": -1}, "votes_min"),
        ("coombs", {"seats": 1}, "seats"),
        ("plurality", {"exclusion": "one"}, "exclusion"),
    ],
)
def test_parameters_out_of_form_are_named(rule: str, form: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        counted(strict(3, ((1,), 1)), rule=rule, **form)
    assert error.value.name == name


def test_too_many_candidates_are_refused() -> None:
    with pytest.raises(InvalidBallots, match="501 candidates"):
        counted(strict(STANDING_MAX + 1, ((1,), 1)))


@pytest.mark.parametrize("rule", ["irv", "coombs", "plurality"])
def test_parameters_are_what_they_were_read_from(rule: str) -> None:
    form = Runoff.from_form(rule, {}).to_form()
    assert Runoff.from_form(rule, form) == Runoff.from_form(rule, {})


def test_parameters_are_read_whole_and_have_defaults() -> None:
    for rule in ("irv", "coombs", "plurality"):
        assert Runoff.from_form(rule, {}) == Runoff(rule, 1, "lot", "end", "one", "continuing", False, 0, ())
    form = {
        "seats": 2_000,
        "ties": "narrowing",
        "equal_ranks": "one-continuing",
        "exclusion": "sure-losers",
        "majority_of": "first-stage",
        "until_two": True,
        "votes_min": 2**53 - 1,
        "first_excluded": [2, 7],
    }
    read = Runoff.from_form("irv", form)
    assert read == Runoff(
        "irv", 2_000, "narrowing", "one-continuing", "sure-losers", "first-stage", True, 2**53 - 1, (2, 7)
    )
    assert read.to_form() == form
    for rule, names in (("plurality", ("seats", "ties", "equal_ranks")), ("coombs", ("ties", "equal_ranks"))):
        part = {name: form[name] for name in names}
        assert Runoff.from_form(rule, part).to_form() == part
    for name, value in (
        ("seats", 2_001),
        ("votes_min", 2**53),
        ("equal_ranks", "all"),
        ("majority_of", "all"),
    ):
        with pytest.raises(InvalidParameter) as error:
            Runoff.from_form("irv", {name: value})
        assert error.value.name == name


def test_what_cannot_be_counted_is_refused_with_its_numbers() -> None:
    with pytest.raises(InvalidParameter, match=r"^seats: 4 seats for 3 candidates$"):
        counted(strict(3, ((1,), 1)), seats=4)
    with pytest.raises(InvalidBallots, match=r"^no ballot is valid, so there is nothing to count$"):
        counted(strict(2, ((), 3)))
    with pytest.raises(InvalidBallots, match=r"^501 candidates; irv counts for up to 500$"):
        counted(strict(501, ((1,), 1)))
    assert counted(strict(501, ((1,), 1)), rule="plurality").winners == (1,)
    assert counted(strict(500, ((1,), 1))).winners == (1,)
    with pytest.raises(InvalidParameter, match="lot_order"):
        count(Runoff(), strict(2, ((1,), 1)), [1])


def test_a_whole_sheet_is_as_reckoned_by_hand() -> None:
    ballots = ballots_of(
        4, [([[1]], 5), ([[2], [1]], 4), ([[3], [2]], 3), ([[4]], 2), ([[1, 2]], 2), ([], 1)]
    )
    found = counted(ballots)
    # Two of 14 end when 4 is excluded; 7 of 12 are a majority then.
    assert (found.valid, found.invalid, found.quota, found.winners, found.places) == (14, 3, "7", (2,), 0)
    assert found.stages == (
        Stage("elect", (), (5, 4, 3, 2), 0, 0, (), 8),
        Stage("exclude", (4,), (5, 4, 3, 0), 2, 0, (), 7),
        Stage("exclude", (3,), (5, 7, 0, 0), 2, 0, (2,), 7),
    )
    assert counted(ballots, rule="plurality", seats=2).stages == (
        Stage("elect", (1, 2), (5, 4, 3, 2), 0, 0, (1, 2)),
    )


@pytest.mark.parametrize(
    ("votes", "until_two", "stages", "winners"),
    [
        # 5 of 9 is a majority; 4 of 8 is none, but of the 7 that are left.
        ((5, 4), False, 1, (1,)),
        ((4, 3, 1), False, 2, (1,)),
        ((9, 1, 2), True, 2, (1,)),
        ((9, 1), True, 1, (1,)),
        ((9,), True, 1, (1,)),
        # The majority of the first stage stays elected.
        ((9, 1, 2, 3), True, 3, (1,)),
    ],
)
def test_a_majority_is_more_than_half_of_what_continues(
    votes: tuple[int, ...], until_two: bool, stages: int, winners: tuple[int, ...]
) -> None:
    orders = [((number,), amount) for number, amount in enumerate(votes, start=1)]
    found = counted(strict(len(votes), *orders), until_two=until_two)
    assert (len(found.stages), found.winners) == (stages, winners)


def test_who_is_to_go_first_stays_where_seats_would_stay_empty_or_is_elected() -> None:
    ballots = strict(3, ((1,), 4), ((2,), 3), ((3,), 2))
    # All three have fewer than 6, and one is to be elected: only the last goes.
    assert counted(ballots, votes_min=6).stages[1].candidates == (3,)
    assert counted(ballots, first_excluded=[1, 2, 3]).stages[1].candidates == (3,)
    elected = strict(3, ((1,), 5), ((2,), 3), ((3,), 1))
    assert counted(elected, votes_min=6, until_two=True).stages[1].candidates == (2, 3)
    below = strict(3, ((1,), 4), ((2,), 3), ((3,), 3))
    assert counted(below, votes_min=4).stages[1].candidates == (2, 3)
    assert counted(below, votes_min=3).stages[1].candidates == (2,)
    # 3 has no vote, so that it need not go first.
    assert counted(strict(3, ((1,), 4), ((2,), 4)), first_excluded=[2, 3]).stages[1].candidates == (2,)


def test_plurality_draws_only_for_the_seats_that_are_left() -> None:
    ballots = strict(4, ((1,), 2), ((2,), 5), ((3,), 2), ((4,), 2))
    found = count(Runoff("plurality", 3), ballots, [4, 3, 2, 1])
    assert found.winners == (2, 4, 3) and found.stages[0].elected == (2, 3, 4)
    assert [(tie.candidates, tie.chosen) for tie in found.ties] == [((1, 3, 4), 4), ((1, 3), 3)]


def test_a_rank_with_one_continuing_counts_after_others_have_gone() -> None:
    papers = [([[4], [1, 3]], 1), ([[1]], 4), ([[2]], 4), ([[3], [1, 2]], 2), ([[3], [2, 4]], 1)]
    found = counted(ballots_of(4, papers), equal_ranks="one-continuing")
    # When 4 goes, 1 and 3 continue; when 3 goes, 1 and 2 do, and of 2 and 4 only 2.
    assert [(stage.totals, stage.non_transferable) for stage in found.stages] == [
        ((4, 4, 3, 1), 0),
        ((4, 4, 3, 0), 1),
        ((4, 5, 0, 0), 3),
    ]

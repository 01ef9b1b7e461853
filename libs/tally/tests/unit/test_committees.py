"""Committee rules against their definitions, by looking at every committee; whole elections are in
test_declared_results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import combinations, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_tally.ballots import Ballots, ranked_ballots
from icn_tally.committees.approvals import STANDING_MAX, Approvals
from icn_tally.committees.elect import RULES, Electing, elect_committee
from icn_tally.committees.optimal import monroe_score, thiele_weights
from icn_tally.faults import InvalidBallots, InvalidParameter

Profile = list[tuple[tuple[int, ...], int]]
Committee = tuple[int, ...]


def ballots_of(candidates: int, profile: Profile, withdrawn: Sequence[int] = ()) -> Ballots:
    names = [f"c{number}" for number in range(1, candidates + 1)]
    return ranked_ballots(names, [([approved] if approved else [], w) for approved, w in profile], withdrawn)


def elected(
    rule: str, size: int, candidates: int, profile: Profile, *, every: bool = True
) -> list[Committee]:
    order = range(1, candidates + 1)
    return [*elect_committee(rule, size, ballots_of(candidates, profile), order, every=every).committees]


@st.composite
def elections(draw: st.DrawFn) -> tuple[int, int, Profile]:
    candidates = draw(st.integers(2, 5))
    approved = st.sets(st.integers(1, candidates)).map(lambda chosen: tuple(sorted(chosen)))
    profile = draw(st.lists(st.tuples(approved, st.integers(1, 3)), min_size=1, max_size=6))
    if not any(chosen for chosen, _ in profile):
        profile.append(((1,), 1))
    return candidates, draw(st.integers(1, candidates)), profile


def best(
    candidates: int, size: int, score: Callable[[Committee], object], *, least: bool = False
) -> list[Committee]:
    scores = {members: score(members) for members in combinations(range(1, candidates + 1), size)}
    wanted = (min if least else max)(scores.values())  # type: ignore[type-var]
    return sorted(members for members, found in scores.items() if found == wanted)


def satisfaction(profile: Profile, members: Iterable[int], worth: Callable[[int], Fraction]) -> Fraction:
    chosen = set(members)
    return sum(
        (w * sum((worth(place) for place in range(1, len(chosen & {*approved}) + 1)), Fraction(0)))
        for approved, w in profile
    ) + Fraction(0)


WORTH: dict[str, Callable[[int], Fraction]] = {
    "av": lambda place: Fraction(1),
    "pav": lambda place: Fraction(1, place),
    "slav": lambda place: Fraction(1, 2 * place - 1),
    "geom2": lambda place: Fraction(1, 2**place),
    "cc": lambda place: Fraction(place == 1),
}


@given(elections())
def test_thiele_rules_elect_every_committee_with_the_largest_sum(election: tuple[int, int, Profile]) -> None:
    candidates, size, profile = election
    for rule, worth in WORTH.items():
        expected = best(candidates, size, lambda members, worth=worth: satisfaction(profile, members, worth))
        assert elected(rule, size, candidates, profile) == expected, rule
        assert elected(rule, size, candidates, profile, every=False)[0] in expected, rule


@given(elections())
def test_lexicographic_and_split_approvals(election: tuple[int, int, Profile]) -> None:
    candidates, size, profile = election

    def served(members: Committee) -> list[int]:
        return [
            sum(w for approved, w in profile if len({*approved} & {*members}) >= amount)
            for amount in range(1, size + 1)
        ]

    def split(members: Committee) -> Fraction:
        return sum(
            (
                Fraction(w * len({*approved} & {*members}), len(approved))
                for approved, w in profile
                if approved
            ),
            Fraction(0),
        )

    assert elected("lexcc", size, candidates, profile) == best(candidates, size, served)
    assert elected("sav", size, candidates, profile) == best(candidates, size, split)


@given(elections())
def test_distances_of_ballots_are_least(election: tuple[int, int, Profile]) -> None:
    candidates, size, profile = election

    def distances(members: Committee) -> list[int]:
        return sorted(
            (len({*approved} ^ {*members}) for approved, w in profile for _ in range(w)), reverse=True
        )

    expected = best(candidates, size, lambda members: distances(members)[0], least=True)
    assert elected("minimaxav", size, candidates, profile) == expected
    assert elected("lexminimaxav", size, candidates, profile) == best(candidates, size, distances, least=True)


@given(elections())
@settings(max_examples=40, deadline=None)
def test_monroe_gives_every_member_as_many_ballots(election: tuple[int, int, Profile]) -> None:
    candidates, size, profile = election
    voters = [approved for approved, w in profile for _ in range(w)][:6]
    unit: Profile = [(approved, 1) for approved in voters]
    if not any(voters):
        return

    def given_members(members: Committee) -> int:
        least, spare = divmod(len(voters), size)
        places = [*members] * least + [0] * spare
        most = 0
        for extra in combinations(members, spare):
            slots = [place for place in places if place] + [*extra]
            for order in set(permutations(slots)):
                most = max(most, sum(member in voter for member, voter in zip(order, voters, strict=True)))
        return most

    assert elected("monroe", size, candidates, unit) == best(candidates, size, given_members)


def by_steps(
    candidates: int, size: int, gain: Callable[[Committee, int], object], *, every: bool = True
) -> list[Committee]:
    """Committees that adding who gains most leads to."""
    found = {()}
    for _ in range(size):
        following = set()
        for members in found:
            gains = {one: gain(members, one) for one in range(1, candidates + 1) if one not in members}
            most = max(gains.values())  # type: ignore[type-var]
            following |= {tuple(sorted((*members, one))) for one, found in gains.items() if found == most}
        found = following
    return sorted(found)


@given(elections())
def test_sequential_thiele_rules_add_who_gains_most(election: tuple[int, int, Profile]) -> None:
    candidates, size, profile = election
    for rule in ("pav", "slav", "cc"):
        expected = by_steps(
            candidates,
            size,
            lambda members, one, rule=rule: satisfaction(profile, (*members, one), WORTH[rule]),
        )
        assert elected(f"seq{rule}", size, candidates, profile) == expected, rule


@given(elections())
def test_the_reverse_rule_takes_out_who_is_missed_least(election: tuple[int, int, Profile]) -> None:
    candidates, size, profile = election
    found = {tuple(range(1, candidates + 1))}
    for _ in range(candidates - size):
        following = set()
        for members in found:
            left = {one: satisfaction(profile, {*members} - {one}, WORTH["pav"]) for one in members}
            following |= {
                tuple(sorted({*members} - {one}))
                for one, score in left.items()
                if score == max(left.values())
            }
        found = following
    assert elected("revseqpav", size, candidates, profile) == sorted(found)


@given(elections())
def test_loads_and_support_are_spread_as_evenly_as_can_be(election: tuple[int, int, Profile]) -> None:
    """The heaviest load is that of the group of members whose supporters are fewest for it."""
    candidates, size, profile = election

    def support(members: Iterable[int]) -> Fraction:
        return min(
            Fraction(sum(w for approved, w in profile if {*approved} & {*group}), len(group))
            for amount in range(1, len([*members]) + 1)
            for group in combinations(members, amount)
        )

    approved_of = {number for approved, _ in profile for number in approved}
    if len(approved_of) >= size:
        expected = best(candidates, size, support)
        assert elected("minimaxphragmen", size, candidates, profile) == expected
    steps = by_steps(candidates, size, lambda members, one: support((*members, one)))
    assert elected("maximin-support", size, candidates, profile) == steps


def test_leximax_goes_on_where_the_heaviest_load_is_the_same() -> None:
    # 1 has one supporter in any committee with it; 2 or 3 weigh less with more supporters.
    profile: Profile = [((1,), 1), ((2,), 2), ((3,), 3)]
    assert elected("minimaxphragmen", 2, 3, profile) == [(2, 3)]
    profile = [((1,), 1), ((2,), 2), ((3,), 3), ((4,), 1)]
    # 1 and 4 have one ballot each: with either the heaviest load is 1, with both it lies on two ballots.
    assert elected("minimaxphragmen", 3, 4, profile) == [(1, 2, 3), (1, 2, 4), (1, 3, 4), (2, 3, 4)]
    assert elected("leximaxphragmen", 3, 4, profile) == [(1, 2, 3), (2, 3, 4)]
    profile = [((1, 2), 1), ((3,), 1), ((4,), 4), ((1,), 1)]
    assert elected("minimaxphragmen", 2, 4, profile) == [(1, 4)]


def voter_by_voter(
    candidates: int,
    size: int,
    profile: Profile,
    start: Fraction,
    step: Callable[[list[Fraction], list[int]], tuple[object, list[Fraction]] | None],
    *,
    to_the_end: bool = True,
) -> set[tuple[Committee, tuple[Fraction, ...]]]:
    """Committees and what voters hold, when each step takes a candidate with the best measure; ``step`` tells
    it and what voters hold afterwards, from what they hold and who of them approves."""
    voters = [approved for approved, w in profile for _ in range(w)]
    states = {((), (start,) * len(voters))}
    for _ in range(size):
        following = set()
        for members, held in states:
            steps = {
                one: found
                for one in range(1, candidates + 1)
                if one not in members
                and (found := step([*held], [place for place, voter in enumerate(voters) if one in voter]))
            }
            if not steps:
                following |= (
                    {
                        (tuple(sorted((*members, one))), held)
                        for one in range(1, candidates + 1)
                        if one not in members
                    }
                    if to_the_end
                    else {(members, held)}
                )
                continue
            least = min(measure for measure, _ in steps.values())  # type: ignore[type-var]
            following |= {
                (tuple(sorted((*members, one))), tuple(after))
                for one, (measure, after) in steps.items()
                if measure == least
            }
        states = following
    return states


def load_step(held: list[Fraction], supporters: list[int]) -> tuple[Fraction, list[Fraction]] | None:
    if not supporters:
        return None
    load = (1 + sum((held[place] for place in supporters), Fraction(0))) / len(supporters)
    return load, [load if place in supporters else one for place, one in enumerate(held)]


@given(elections())
def test_phragmen_shares_loads_among_supporters(election: tuple[int, int, Profile]) -> None:
    candidates, size, profile = election
    found = voter_by_voter(candidates, size, profile, Fraction(0), load_step)
    assert elected("seqphragmen", size, candidates, profile) == sorted({members for members, _ in found})


@given(elections())
def test_enestroem_takes_a_quota_of_votes(election: tuple[int, int, Profile]) -> None:
    candidates, size, profile = election
    quota = Fraction(sum(w for _, w in profile), size)

    def step(held: list[Fraction], supporters: list[int]) -> tuple[Fraction, list[Fraction]]:
        votes = sum((held[place] for place in supporters), Fraction(0))
        kept = max((votes - quota) / votes, Fraction(0)) if votes else Fraction(0)
        return -votes, [one * kept if place in supporters else one for place, one in enumerate(held)]

    found = voter_by_voter(candidates, size, profile, Fraction(1), step)
    assert elected("phragmen-enestroem", size, candidates, profile) == sorted(
        {members for members, _ in found}
    )


def pay_step(held: list[Fraction], supporters: list[int]) -> tuple[Fraction, list[Fraction]] | None:
    """The least price at which supporters pay 1 together; what they hold is where paying all they have
    begins."""
    if sum((held[place] for place in supporters), Fraction(0)) < 1:
        return None
    for exhausted in range(len(supporters)):
        poorest = sorted(held[place] for place in supporters)
        price = (1 - sum(poorest[:exhausted], Fraction(0))) / (len(supporters) - exhausted)
        if price <= poorest[exhausted] and (exhausted == 0 or price >= poorest[exhausted - 1]):
            return price, [
                one - min(one, price) if place in supporters else one for place, one in enumerate(held)
            ]
    raise AssertionError("supporters can pay")


@given(elections())
def test_equal_shares_pay_for_members(election: tuple[int, int, Profile]) -> None:
    candidates, size, profile = election
    voters = sum(w for _, w in profile)
    paid = voter_by_voter(candidates, size, profile, Fraction(size, voters), pay_step, to_the_end=False)
    expected = set()
    for members, held in paid:
        rest = [one for one in range(1, candidates + 1) if one not in members]
        # What is left of a share is a negative load for the seats that are left.
        profile_of_rest = [
            (tuple(rest.index(one) + 1 for one in voter if one in rest), w) for voter, w in profile
        ]
        unit = [(approved, 1) for approved, w in profile_of_rest for _ in range(w)]
        states = {((), tuple(-one for one in held))}
        for _ in range(size - len(members)):
            following = set()
            for chosen, loads in states:
                steps = {
                    one: found
                    for one in range(1, len(rest) + 1)
                    if one not in chosen
                    and (
                        found := load_step(
                            [*loads], [place for place, (voter, _) in enumerate(unit) if one in voter]
                        )
                    )
                }
                if not steps:
                    following |= {
                        ((*chosen, one), loads) for one in range(1, len(rest) + 1) if one not in chosen
                    }
                    continue
                least = min(load for load, _ in steps.values())
                following |= {
                    ((*chosen, one), tuple(after)) for one, (load, after) in steps.items() if load == least
                }
            states = following
        expected |= {tuple(sorted((*members, *(rest[one - 1] for one in chosen)))) for chosen, _ in states}
    assert elected("equal-shares", size, candidates, profile) == sorted(expected)


@given(elections())
def test_one_committee_is_one_of_the_tied_and_bundles_do_not_matter(
    election: tuple[int, int, Profile],
) -> None:
    candidates, size, profile = election
    single: Profile = [(approved, 1) for approved, w in profile for _ in range(w)]
    for rule in RULES:
        every = elected(rule, size, candidates, profile)
        assert elected(rule, size, candidates, profile, every=False)[0] in every, rule
        assert elected(rule, size, candidates, single) == every, rule
        assert all(len({*members}) == size for members in every), rule


def test_lots_decide_which_tied_committee_it_is() -> None:
    profile: Profile = [((1,), 1), ((2,), 1), ((3,), 1)]
    for rule in RULES:
        found = elect_committee(rule, 1, ballots_of(3, profile), [3, 1, 2])
        assert found.committees == ((3,),), rule


def test_the_withdrawn_are_not_elected() -> None:
    profile: Profile = [((1, 2), 3), ((2, 3), 2)]
    for rule in RULES:
        found = elect_committee(rule, 2, ballots_of(3, profile, [2]), [1, 2, 3])
        assert found.committees == ((1, 3),), rule


def test_what_cannot_be_elected_is_refused() -> None:
    ballots = ballots_of(3, [((1,), 1)])
    with pytest.raises(InvalidParameter) as error:
        elect_committee("b" * 50, 1, ballots, [1, 2, 3])
    assert str(error.value) == f"rule: '{'b' * 40}' is not one of {', '.join(RULES)}"
    for size in (0, 4):
        with pytest.raises(InvalidParameter, match=f"^size: {size} members of 3 candidates$"):
            elect_committee("av", size, ballots, [1, 2, 3])
    with pytest.raises(InvalidParameter, match="lot_order"):
        elect_committee("av", 1, ballots, [1, 2])
    with pytest.raises(InvalidBallots, match=r"^nobody approves of anybody$"):
        elect_committee("av", 1, ballots_of(2, [((), 3)]), [1, 2])
    with pytest.raises(InvalidBallots, match=r"^ballot 1: 2 ranks, an approval ballot has one$"):
        elect_committee("av", 1, ranked_ballots(["a", "b"], [([[1], [2]], 1)]), [1, 2])
    for rule in ("minimaxphragmen", "leximaxphragmen", "maximin-support"):
        with pytest.raises(InvalidBallots, match=r"^13 members; "):
            elect_committee(rule, 13, ballots_of(14, [((1,), 1)]), range(1, 15))
    many = ballots_of(STANDING_MAX + 1, [((1,), 1)])
    with pytest.raises(InvalidBallots, match=r"^1001 candidates; committees are elected of up to 1000$"):
        elect_committee("trivial", 1, many, range(1, STANDING_MAX + 2))


def test_as_many_candidates_and_members_as_allowed_are_counted() -> None:
    many = ballots_of(STANDING_MAX, [((1,), 1)])
    assert elect_committee("trivial", 1, many, range(1, STANDING_MAX + 1)).committees == ((1,),)
    everybody = tuple(range(1, 13))
    for rule in ("minimaxphragmen", "maximin-support"):
        assert elected(rule, 12, 12, [((1,), 1)], every=False) == [everybody], rule


def test_more_tied_committees_than_are_listed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icn_tally.committees.elect.COMMITTEES_MAX", 3)
    for rule in ("trivial", "seqpav", "equal-shares-with-av-completion"):
        profile: Profile = [((number,), 1) for number in range(1, 5)]
        assert elected(rule, 1, 3, profile[:3]) == [(1,), (2,), (3,)], rule
        with pytest.raises(InvalidBallots, match=r"^more than 3 committees are tied; ask for one$"):
            elected(rule, 1, 4, profile)
        assert elected(rule, 1, 4, profile, every=False) == [(1,)], rule


def test_more_ways_than_are_followed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icn_tally.committees.sequential.STATES_MAX", 3)
    profile: Profile = [((number,), 1) for number in range(1, 5)]
    for rule in ("seqpav", "seqphragmen", "maximin-support", "phragmen-enestroem"):
        assert len(elected(rule, 1, 3, profile[:3])) == 3, rule
        with pytest.raises(InvalidBallots, match=r"^ties allow more than 3 ways; ask for one committee$"):
            elected(rule, 1, 4, profile)
    completed = "equal-shares-with-av-completion"
    assert elected(completed, 2, 3, [((1, 2, 3), 1), ((), 4)]) == [(1, 2), (1, 3), (2, 3)]
    with pytest.raises(InvalidBallots, match=r"^ties allow more than 3 committees; ask for one$"):
        elected(completed, 2, 4, [((1, 2, 3, 4), 1), ((), 4)])


def test_a_search_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    told = r"^the best committee was not found in 4 steps: too many candidates$"
    profile: Profile = [((number,), 1) for number in range(1, 6)]
    monkeypatch.setattr("icn_tally.committees.optimal.NODES_MAX", 4)
    for rule in ("minimaxav", "minimaxphragmen"):
        assert len(elected(rule, 1, 4, profile[:4])) == 4, rule
        with pytest.raises(InvalidBallots, match=told):
            elected(rule, 1, 5, profile)
    # One step for each candidate that is taken or left, and one where nobody is left to take.
    assert elected("pav", 1, 1, [((1,), 1)]) == [(1,)]
    with pytest.raises(InvalidBallots, match=told):
        elected("pav", 1, 4, profile[:4])


def test_a_result_is_written_with_its_rule_and_size() -> None:
    found = elect_committee("av", 2, ballots_of(3, [((1, 2), 1), ((1, 3), 1)]), [1, 2, 3], every=True)
    assert found.to_form() == {"committees": [[1, 2], [1, 3]]}
    assert (found.parameters.rule, found.parameters.to_form()) == ("av", {"size": 2, "every": True})


def test_members_add_what_the_rule_says_in_whole_numbers() -> None:
    weights = {
        rule: thiele_weights(rule, 3, 4) for rule in ("av", "sav", "pav", "slav", "geom2", "cc", "lexcc")
    }
    assert weights == {
        "av": [1, 1, 1, 0],
        "sav": [1, 1, 1, 0],
        "pav": [6, 3, 2, 0],
        "slav": [15, 5, 3, 0],
        "geom2": [4, 2, 1, 0],
        "cc": [1, 0, 0, 0],
        "lexcc": [25, 5, 1, 0],
    }


def test_the_rules_differ_where_they_should() -> None:
    """Ten ballots approve of 1, 2 and 3, fewer of each of the others alone."""
    profile: Profile = [((1, 2, 3), 10), ((4,), 6), ((5,), 4), ((6,), 3)]
    found = {rule: elected(rule, 3, 6, profile, every=False)[0] for rule in WORTH}
    # A second seat of ten is worth 10, 5, 10/3 and 5, a third 10, 10/3, 2 and 5/2.
    assert found == {
        "av": (1, 2, 3),
        "pav": (1, 2, 4),
        "slav": (1, 4, 5),
        "geom2": (1, 2, 4),
        "cc": (1, 4, 5),
    }


@pytest.mark.parametrize("rule", RULES)
def test_millions_of_ballots_elect_whom_as_many_parts_of_them_elect(rule: str) -> None:
    profile: Profile = [((1, 2), 5), ((3,), 3), ((2, 4), 2), ((4,), 1)]
    huge: Profile = [(approved, weight << 44) for approved, weight in profile]
    assert elected(rule, 2, 4, huge) == elected(rule, 2, 4, profile)


def test_greedy_monroe_gives_members_the_first_ballots_as_they_lie() -> None:
    # 1 has five of six ballots and is given three: one for 1 and 2, both for 1 alone; so two are left for 2.
    profile: Profile = [((1, 2), 1), ((1,), 2), ((1, 2), 2), ((3,), 1)]
    assert elected("greedy-monroe", 2, 3, profile) == [(1, 2)]
    # With all three of both first, none is left for 2.
    assert elected("greedy-monroe", 2, 3, [((1, 2), 3), ((1,), 2), ((3,), 1)]) == [(1, 3)]
    # Of five ballots the first member is given three, the second two.
    assert elected("greedy-monroe", 2, 3, [((1, 2), 4), ((3,), 1)]) == [(1, 2)]
    assert elected("greedy-monroe", 2, 3, [((1, 2), 3), ((3,), 2)]) == [(1, 3)]


def test_monroe_counts_ballots_that_can_be_given_to_a_member_they_approve_of() -> None:
    approvals = Approvals(3, ((0, 1), (0,), (2,), ()), (2, 2, 1, 1))
    # Six ballots, three for each member.
    assert monroe_score(approvals, (0, 1)) == 4
    assert monroe_score(approvals, (0, 2)) == 4
    assert monroe_score(approvals, (1, 2)) == 3
    # Two for each of three.
    assert monroe_score(approvals, (0, 1, 2)) == 5
    # Of five ballots two members are given two each, and one of them the fifth.
    uneven = Approvals(3, ((0,), (1,), (2,)), (3, 1, 1))
    assert monroe_score(uneven, (0, 1)) == 4
    assert monroe_score(Approvals(2, ((0,), (1,)), (4, 3)), (0, 1)) == 7
    assert monroe_score(Approvals(2, ((0,), (1,)), (5, 2)), (0, 1)) == 6


def test_a_flow_is_led_back_where_the_first_way_was_no_good() -> None:
    # The first ballot could go to 0, as the others must; all fit only when it goes to 1.
    for order in ((0, 1), (1, 0)):
        approvals = Approvals(2, ((0, 1), (0,), (1,)), (2, 2, 0))
        assert monroe_score(approvals, order) == 4
    chain = Approvals(3, ((0, 1), (0,), (1, 2), (1,), (2,)), (1, 1, 1, 1, 2))
    assert monroe_score(chain, (0, 1, 2)) == 6


def test_equal_shares_are_completed_by_approvals_or_with_more_for_everybody() -> None:
    """Shares of 1/4: the four pay 1 for 1 and have nothing left; the three have 3/4."""
    profile: Profile = [((1, 2), 4), ((3,), 3), ((4,), 1)]
    assert elected("equal-shares-with-av-completion", 2, 4, profile) == [(1, 2)]
    # With 3/8 each the three pay for 3.
    assert elected("equal-shares-with-increment-completion", 2, 4, profile) == [(1, 3)]
    assert elected("equal-shares", 2, 4, profile) == [(1, 3), (2, 3)]
    # Whom nobody approves of is never paid for, not even with a share of 1 each.
    assert elected("equal-shares-with-increment-completion", 2, 3, [((1,), 3), ((), 1)]) == [(1, 2)]
    # Six have 3/2, of which a third is left; at shares of 3/8 they pay 9/4, for both of theirs.
    most: Profile = [((1, 2), 6), ((3,), 1), ((4,), 1)]
    assert elected("equal-shares-with-increment-completion", 2, 4, most) == [(1, 2)]


def test_approvals_complete_equal_shares_with_every_tied_choice() -> None:
    # For two seats shares are 1/3, so that the two have 2/3 together and nobody can pay 1.
    profile: Profile = [((1,), 2), ((2,), 1), ((3,), 1), ((), 2)]
    rule = "equal-shares-with-av-completion"
    assert elected(rule, 2, 3, profile) == [(1, 2), (1, 3)]
    assert elected(rule, 2, 3, profile, every=False) == [(1, 2)]
    assert elected(rule, 1, 3, profile) == [(1,)]
    assert elected(rule, 3, 3, profile) == [(1, 2, 3)]


def test_a_load_that_nobody_carries_is_the_heaviest() -> None:
    profile: Profile = [((1,), 3), ((2,), 1)]
    # 3 and 4 have no supporters: whoever has is elected first, and then one of the others.
    assert elected("minimaxphragmen", 2, 4, profile) == [(1, 2)]
    assert elected("leximaxphragmen", 3, 4, profile) == [(1, 2, 3), (1, 2, 4)]
    assert elected("minimaxphragmen", 3, 4, profile) == [(1, 2, 3), (1, 2, 4)]


def test_equal_ballots_are_put_together() -> None:
    approvals = Approvals(3, ((0,), (1, 2), (0,), ()), (2, 1, 3, 1))
    merged = approvals.merged()
    assert (merged.sets, merged.weights) == (((0,), (1, 2), ()), (5, 1, 1))
    assert (merged.voters, merged.supporters, merged.support) == (7, ((0,), (1,), (1,)), (5, 1, 1))
    assert merged.matrix.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("candidates", "profile", "committees"),
    [
        # A quota of 6½ is taken of 10 votes: of each 0.35 is left, so that b has 2.05 and c 2.
        (3, [((1,), 7), ((1, 2), 3), ((2,), 1), ((3,), 2)], [(1, 2)]),
        # Of 14 ballots a quota is 7: 0.3 of each is left, and b has 1.9 to 3.
        (3, [((1,), 7), ((1, 2), 3), ((2,), 1), ((3,), 3)], [(1, 3)]),
        # a has 5 of a quota of 6, so nothing is left of its votes, and b has 1 to 3.
        (4, [((1,), 2), ((1, 2), 3), ((2,), 1), ((3,), 3), ((4,), 3)], [(1, 3), (1, 4)]),
    ],
)
def test_enestroem_leaves_of_each_vote_what_is_above_the_quota(
    candidates: int, profile: Profile, committees: list[Committee]
) -> None:
    assert elected("phragmen-enestroem", 2, candidates, profile) == committees


def test_the_form_of_an_election_is_read_by_its_names() -> None:
    assert Electing.from_form("pav", {"size": 3, "every": True}) == Electing("pav", 3, True)
    assert Electing.from_form("pav", {"size": 3}).every is False
    with pytest.raises(InvalidParameter, match=r"^all: unknown; there are size, every$"):
        Electing.from_form("pav", {"size": 3, "all": True})


def test_shares_grow_until_every_seat_is_paid_for_even_beyond_one_seat_for_each_ballot() -> None:
    profile = [((4, 5, 6), 1), ((1, 3), 1), ((5,), 1), ((1, 2, 3, 4, 5), 1)]
    rule = "equal-shares-with-increment-completion"
    assert elected(rule, 3, 6, profile, every=False) == [(1, 3, 5)]
    # Where nobody approves of so many, shares that grow would never fill the seats.
    assert elected(rule, 3, 4, [((2,), 5), ((), 1)], every=False) == [(1, 2, 3)]

"""Committees that are made member by member. Where several may come next, each way can be followed.

Source: docs/spec/voting.md, "Committees"; Lackner and Skowron, Multi-Winner Voting with Approval Preferences
(2023); Peters and Skowron, Proportionality and the limits of welfarism (2020).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Final, TypeAlias, TypeVar

from icn_tally.committees.approvals import Approvals
from icn_tally.committees.optimal import LOAD_MEMBERS_MAX, Committee, ThieleScore
from icn_tally.faults import InvalidBallots

STATES_MAX: Final = 200_000
"""Ways to break ties that are followed at a time."""

State = TypeVar("State", bound=Hashable)
Members: TypeAlias = frozenset[int]

_NOBODY: Final[Members] = frozenset()


def _all_ways(
    start: State, next_states: Callable[[State], Iterable[State]], steps: int, *, every: bool
) -> list[State]:
    """The states after so many steps; without ``every`` the first way at each tie.

    Raises:
        InvalidBallots: ties allow too many.
    """
    states: dict[State, None] = {start: None}
    for _ in range(steps):
        following: dict[State, None] = {}
        for state in states:
            for found in next_states(state):
                following[found] = None
                if not every:
                    break
            if len(following) > STATES_MAX:
                raise InvalidBallots(f"ties allow more than {STATES_MAX} ways; ask for one committee")
        states = following
    return [*states]


def _committees(found: Iterable[Iterable[int]]) -> list[Committee]:
    return sorted({tuple(sorted(members)) for members in found})


def by_thiele(rule: str, approvals: Approvals, size: int, *, every: bool) -> list[Committee]:
    """Each member is who adds most to the score."""
    score = ThieleScore(rule, approvals, size)

    def following(members: Members) -> list[Members]:
        approved = sum((score.row(member) for member in members), score.start())
        gains = score.gains(approved).tolist()
        others = [place for place in range(approvals.candidates) if place not in members]
        most = max(gains[place] for place in others)
        return [members | {place} for place in others if gains[place] == most]

    return _committees(_all_ways(_NOBODY, following, size, every=every))


def by_reverse_thiele(rule: str, approvals: Approvals, size: int, *, every: bool) -> list[Committee]:
    """From all candidates, each step takes out who adds least to the score."""
    score = ThieleScore(rule, approvals, approvals.candidates)

    def following(members: Members) -> list[Members]:
        approved = sum((score.row(member) for member in members), score.start())
        losses = score.losses(approved).tolist()
        least = min(losses[place] for place in members)
        # The last of those that are equal goes first, so that the first stays where one way is followed.
        return [members - {place} for place in sorted(members, reverse=True) if losses[place] == least]

    everybody = frozenset(range(approvals.candidates))
    return _committees(_all_ways(everybody, following, approvals.candidates - size, every=every))


@dataclass(frozen=True, slots=True)
class _Loads:
    """Members, and the load that one ballot of each bundle carries."""

    members: Members
    loads: tuple[Fraction, ...]


def by_phragmen(approvals: Approvals, size: int, *, every: bool) -> list[Committee]:
    """Each member brings a load of 1, which its supporters share so that all of them carry the same; the next
    is who makes that the least."""
    start = _Loads(frozenset(), (Fraction(0),) * len(approvals.sets))
    return _committees(state.members for state in _phragmen_from([start], approvals, size, every=every))


def _phragmen_from(states: Iterable[_Loads], approvals: Approvals, size: int, *, every: bool) -> list[_Loads]:
    weights = approvals.weights

    def following(state: _Loads) -> list[_Loads]:
        after: dict[int, Fraction] = {}
        for place in range(approvals.candidates):
            bundles = approvals.supporters[place]
            if place not in state.members and bundles:
                carried = sum((state.loads[bundle] * weights[bundle] for bundle in bundles), Fraction(1))
                after[place] = Fraction(carried, approvals.support[place])
        if not after:
            others = [place for place in range(approvals.candidates) if place not in state.members]
            return [_Loads(state.members | {place}, state.loads) for place in others]
        least = min(after.values())
        found = []
        for place, load in after.items():
            if load == least:
                loads = [*state.loads]
                for bundle in approvals.supporters[place]:
                    loads[bundle] = load
                found.append(_Loads(state.members | {place}, tuple(loads)))
        return found

    found: list[_Loads] = []
    for state in states:
        found += _all_ways(state, following, size - len(state.members), every=every)
    return found


def by_equal_shares(approvals: Approvals, size: int, completion: str, *, every: bool) -> list[Committee]:
    """Each ballot has an equal share of the seats, and pays for members it approves of; see "Budgets".

    ``completion`` fills the seats that nobody can pay for: "seqphragmen" with what the shares left as
    negative loads; "av" by approvals; "increment" with shares of one seat more, and one more, of which one
    way is followed, until all are filled.
    """
    share = Fraction(size, approvals.voters)
    every = every and completion != "increment"
    ways = _equal_shares(approvals, size, share, every=every)
    if completion == "increment":
        # A share of as many seats as there are pays for everybody whom anybody approves of.
        fillable = min(size, sum(1 for supporters in approvals.supporters if supporters))
        while len(ways[0].members) < fillable:
            share += Fraction(1, approvals.voters)
            ways = _equal_shares(approvals, size, share, every=False)
    if completion == "av":
        return _by_approvals(approvals, size, [state.members for state in ways], every=every)
    states = [_Loads(state.members, tuple(-left for left in state.loads)) for state in ways]
    return _committees(state.members for state in _phragmen_from(states, approvals, size, every=every))


def _equal_shares(approvals: Approvals, size: int, share: Fraction, *, every: bool) -> list[_Loads]:
    """Members, and what is left of each share (as `loads`), when nobody else can be paid for."""
    weights = approvals.weights

    def price(place: int, left: Sequence[Fraction]) -> Fraction | None:
        bundles = approvals.supporters[place]
        if sum(left[bundle] * weights[bundle] for bundle in bundles) < 1:
            return None
        unpaid, voters = Fraction(1), approvals.support[place]
        for most, weight in sorted((left[bundle], weights[bundle]) for bundle in bundles):
            if unpaid <= most * voters:
                return Fraction(unpaid, voters)
            unpaid -= most * weight
            voters -= weight
        raise AssertionError("supporters who can pay together find a price")

    def following(state: _Loads) -> list[_Loads]:
        if len(state.members) == size:
            return [state]
        prices = {
            place: asked
            for place in range(approvals.candidates)
            if place not in state.members and (asked := price(place, state.loads)) is not None
        }
        if not prices:
            return [state]
        least = min(prices.values())
        found = []
        for place, paid in prices.items():
            if paid == least:
                left = [*state.loads]
                for bundle in approvals.supporters[place]:
                    left[bundle] -= min(left[bundle], paid)
                found.append(_Loads(state.members | {place}, tuple(left)))
        return found

    start = _Loads(frozenset(), (share,) * len(approvals.sets))
    return _all_ways(start, following, size, every=every)


def _by_approvals(
    approvals: Approvals, size: int, ways: Iterable[Members], *, every: bool
) -> list[Committee]:
    """The seats that are left go to those whom most approve of."""
    found: list[Iterable[int]] = []
    for members in ways:
        others = [place for place in range(approvals.candidates) if place not in members]
        order = sorted(others, key=lambda place: -approvals.support[place])
        missing = size - len(members)
        if missing == 0:
            found.append(members)
            continue
        border = approvals.support[order[missing - 1]]
        sure = [place for place in order if approvals.support[place] > border]
        tied = sorted(place for place in order if approvals.support[place] == border)
        for added in combinations(tied, missing - len(sure)):
            found.append([*members, *sure, *added])
            if len(found) > STATES_MAX:
                raise InvalidBallots(f"ties allow more than {STATES_MAX} committees; ask for one")
            if not every:
                break
    return _committees(found)


def by_enestroem(approvals: Approvals, size: int, *, every: bool) -> list[Committee]:
    """Each ballot begins with one vote; the next member is whose supporters have most left, and takes a quota
    of it in equal part from each: all ballots divided by the seats."""
    quota = Fraction(approvals.voters, size)
    weights = approvals.weights

    def following(state: _Loads) -> list[_Loads]:
        others = [place for place in range(approvals.candidates) if place not in state.members]
        votes = {
            place: sum(
                (state.loads[bundle] * weights[bundle] for bundle in approvals.supporters[place]), Fraction(0)
            )
            for place in others
        }
        most = max(votes.values())
        kept = Fraction(most - quota, most) if most > quota else Fraction(0)
        found = []
        for place in others:
            if votes[place] == most:
                left = [*state.loads]
                for bundle in approvals.supporters[place]:
                    left[bundle] *= kept
                found.append(_Loads(state.members | {place}, tuple(left)))
        return found

    start = _Loads(frozenset(), (Fraction(1),) * len(approvals.sets))
    return _committees(state.members for state in _all_ways(start, following, size, every=every))


def by_maximin_support(approvals: Approvals, size: int, *, every: bool) -> list[Committee]:
    """The next member is with whom the votes can be spread most evenly: so that the member with the fewest
    has most."""
    if size > LOAD_MEMBERS_MAX:
        raise InvalidBallots(f"{size} members; support is spread over up to {LOAD_MEMBERS_MAX}")

    def support(members: Members) -> Fraction:
        least = None
        for amount in range(1, len(members) + 1):
            for group in combinations(members, amount):
                bundles = {bundle for member in group for bundle in approvals.supporters[member]}
                votes = Fraction(sum(approvals.weights[bundle] for bundle in bundles), amount)
                least = votes if least is None or votes < least else least
        assert least is not None, "a committee has members"
        return least

    def following(members: Members) -> list[Members]:
        after = {
            place: support(members | {place}) for place in range(approvals.candidates) if place not in members
        }
        most = max(after.values())
        return [members | {place} for place, found in after.items() if found == most]

    return _committees(_all_ways(_NOBODY, following, size, every=every))


def by_greedy_monroe(approvals: Approvals, size: int) -> list[Committee]:
    """The next member is of whom most of the ballots approve that have none yet; it is given to the first of
    them, up to as many as to each other member."""
    least, spare = divmod(approvals.voters, size)
    left = [*approvals.weights]
    members: list[int] = []
    for turn in range(size):
        votes = {
            place: sum(left[bundle] for bundle in approvals.supporters[place])
            for place in range(approvals.candidates)
            if place not in members
        }
        chosen = max(votes, key=lambda place: (votes[place], -place))
        members.append(chosen)
        amount = least + (turn < spare)
        for bundle in approvals.supporters[chosen]:
            taken = min(left[bundle], amount)
            left[bundle] -= taken
            amount -= taken
    return [tuple(sorted(members))]

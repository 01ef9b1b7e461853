"""Committees that are best by a score: searched by branch and bound, so that none better is missed.

Source: docs/spec/voting.md, "Committees"; Lackner and Skowron, Multi-Winner Voting with Approval Preferences
(2023).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations, pairwise
from math import lcm
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from icn_tally.committees.approvals import Approvals
from icn_tally.faults import InvalidBallots

Committee: TypeAlias = tuple[int, ...]
"""Places, upwards."""

NODES_MAX: Final = 1_000_000
"""Steps of a search: a minute or so."""
LOAD_MEMBERS_MAX: Final = 12
"""Members of a committee by loads: every subset of it is looked at."""
_INT64_SAFE: Final = 2**62


class _Steps:
    """The bound of a search."""

    def __init__(self) -> None:
        self._left = NODES_MAX

    def take(self) -> None:
        """One more step.

        Raises:
            InvalidBallots: there were too many.
        """
        self._left -= 1
        if self._left < 0:
            raise InvalidBallots(
                f"the best committee was not found in {NODES_MAX} steps: too many candidates"
            )


def thiele_weights(rule: str, size: int, voters: int) -> list[int]:
    """What the first, second … member whom a ballot approves of adds, as whole numbers, then a 0."""
    if rule in {"av", "sav"}:
        weights = [1] * size
    elif rule == "pav":
        whole = lcm(*range(1, size + 1))
        weights = [whole // place for place in range(1, size + 1)]
    elif rule == "slav":
        whole = lcm(*range(1, 2 * size, 2))
        weights = [whole // place for place in range(1, 2 * size, 2)]
    elif rule == "geom2":
        weights = [2 ** (size - place) for place in range(1, size + 1)]
    elif rule == "cc":
        weights = [1] + [0] * (size - 1)
    else:
        assert rule == "lexcc", "the table of rules names no other"
        weights = [(voters + 1) ** (size - place) for place in range(1, size + 1)]
    return [*weights, 0]


class ThieleScore:
    """Scores of committees by how many members each ballot approves of."""

    def __init__(self, rule: str, approvals: Approvals, size: int) -> None:
        self.approvals = approvals
        weights = [*approvals.weights]
        if rule == "sav":
            whole = lcm(*(len(approved) for approved in approvals.sets if approved))
            weights = [
                weight * whole // max(len(approved), 1)
                for weight, approved in zip(weights, approvals.sets, strict=True)
            ]
        steps = thiele_weights(rule, size, approvals.voters)
        self._dtype: type = np.int64 if sum(weights) * sum(steps) < _INT64_SAFE else object
        self._weights = np.array(weights, self._dtype)
        self._steps = np.array(steps, self._dtype)
        self._matrix = approvals.matrix.astype(self._dtype)

    def start(self) -> NDArray[np.int64]:
        """How many members each bundle approves of before there are any."""
        return np.zeros(len(self._weights), np.int64)

    def gains(self, approved: NDArray[np.int64]) -> NDArray[Any]:
        """What each candidate would add to a committee."""
        gains: NDArray[Any] = self._matrix @ (self._weights * self._steps[approved])
        return gains

    def losses(self, approved: NDArray[np.int64]) -> NDArray[Any]:
        """What each member adds to its committee."""
        before = np.maximum(approved - 1, 0)
        losses: NDArray[Any] = self._matrix @ (self._weights * self._steps[before])
        return losses

    def row(self, candidate: int) -> NDArray[np.int64]:
        """1 for each bundle that approves of the candidate."""
        row: NDArray[np.int64] = self.approvals.matrix[candidate]
        return row


def best_by_thiele(rule: str, approvals: Approvals, size: int, *, every: bool) -> list[Committee]:
    """The committees with the largest score, or one of them."""
    return _Search(ThieleScore(rule, approvals, size), size, every=every).run()


def best_by_monroe(approvals: Approvals, size: int, *, every: bool) -> list[Committee]:
    """The committees to whose members most ballots can be given that approve of them, each member as many."""
    score = ThieleScore("cc", approvals, size)
    return _Search(score, size, every=every, exactly=lambda members: monroe_score(approvals, members)).run()


class _Search:
    """Depth first over candidates taken or left; what can still be gained is never more than the largest
    gains now, for each becomes smaller with every member."""

    def __init__(
        self,
        score: ThieleScore,
        size: int,
        *,
        every: bool,
        exactly: Callable[[Sequence[int]], int] | None = None,
    ) -> None:
        self.found: list[Committee] = []
        self._score = score
        self._size = size
        self._every = every
        self._exactly = exactly
        """The score of a whole committee, where the other is only a bound of it."""
        self._best = -1
        self._steps = _Steps()

    def run(self) -> list[Committee]:
        """Look at every committee."""
        self._extend([], range(self._score.approvals.candidates), self._score.start(), 0)
        return self.found

    def _extend(
        self, members: list[int], open_candidates: Sequence[int], approved: NDArray[np.int64], score: int
    ) -> None:
        """Look at every committee that has these members and others of the open candidates."""
        self._steps.take()
        missing = self._size - len(members)
        if missing == 0:
            self._offer(members, score)
            return
        if len(open_candidates) < missing:
            return
        gains = self._score.gains(approved)
        possible = sorted((int(gains[candidate]) for candidate in open_candidates), reverse=True)
        most = score + sum(possible[:missing])
        if most < self._best or (most == self._best and not self._every):
            return
        first = max(open_candidates, key=lambda candidate: (int(gains[candidate]), -candidate))
        others = [candidate for candidate in open_candidates if candidate != first]
        gain = int(gains[first])
        self._extend([*members, first], others, approved + self._score.row(first), score + gain)
        self._extend(members, others, approved, score)

    def _offer(self, members: Sequence[int], score: int) -> None:
        if self._exactly is not None:
            score = self._exactly(members)
        if score > self._best:
            self._best = score
            self.found = []
        if score == self._best and (self._every or not self.found):
            self.found.append(tuple(sorted(members)))


def monroe_score(approvals: Approvals, members: Sequence[int]) -> int:
    """To how many ballots a member can be given that they approve of, when each member is given to as many
    ballots, or to one more: a maximum flow."""
    least, spare = divmod(approvals.voters, len(members))
    chosen = set(members)
    room: dict[_Point, dict[_Point, int]] = {_SOURCE: {}, _SPARE: {_SINK: spare}, _SINK: {}}
    for place, (approved, weight) in enumerate(zip(approvals.sets, approvals.weights, strict=True)):
        if wanted := chosen.intersection(approved):
            room[_SOURCE]["ballots", place] = weight
            room["ballots", place] = {("member", member): weight for member in wanted}
    for member in members:
        room["member", member] = {_SINK: least, _SPARE: 1}
    return _largest_flow(room)


_Point: TypeAlias = tuple[str, int]
_SOURCE: Final = ("source", 0)
_SPARE: Final = ("spare", 0)
_SINK: Final = ("sink", 0)


def _largest_flow(room: dict[_Point, dict[_Point, int]]) -> int:
    """What can flow from the source to the sink (Edmonds and Karp 1972); ``room`` is what is left
    afterwards."""
    for start in [*room]:
        for end in [*room[start]]:
            room[end].setdefault(start, 0)
    total = 0
    while True:
        came: dict[_Point, _Point] = {}
        waiting = deque([_SOURCE])
        while waiting and _SINK not in came:
            point = waiting.popleft()
            for following, left in room[point].items():
                if left > 0 and following not in came and following != _SOURCE:
                    came[following] = point
                    waiting.append(following)
        if _SINK not in came:
            return total
        way = [_SINK]
        while way[-1] != _SOURCE:
            way.append(came[way[-1]])
        steps = [(before, after) for after, before in pairwise(way)]
        amount = min(room[before][after] for before, after in steps)
        for before, after in steps:
            room[before][after] -= amount
            room[after][before] += amount
        total += amount


def best_by_distance(approvals: Approvals, size: int, *, lexicographic: bool, every: bool) -> list[Committee]:
    """The committees whose largest number of differences to a ballot is the smallest; lexicographic: the
    second largest then, and so on."""

    def worst(members: Committee) -> list[tuple[int, int]]:
        chosen = set(members)
        by_distance: dict[int, int] = {}
        for approved, weight in zip(approvals.sets, approvals.weights, strict=True):
            distance = len(approved) + size - 2 * len(chosen.intersection(approved))
            by_distance[distance] = by_distance.get(distance, 0) + weight
        order = sorted(by_distance.items(), reverse=True)
        return order if lexicographic else [(order[0][0], 0)]

    return _least(approvals, size, worst, every=every)


def best_by_loads(approvals: Approvals, size: int, *, lexicographic: bool, every: bool) -> list[Committee]:
    """The committees whose members' loads, 1 each, weigh least on the ballot that carries most (Phragmén);
    lexicographic: on the others then, too."""
    if size > LOAD_MEMBERS_MAX:
        raise InvalidBallots(f"{size} members; loads are compared for up to {LOAD_MEMBERS_MAX}")

    def heaviest(members: Committee) -> list[tuple[Fraction, int]]:
        loads = balanced_loads(approvals, members)
        return loads if lexicographic else [(loads[0][0], 0)]

    return _least(approvals, size, heaviest, every=every)


def balanced_loads(approvals: Approvals, members: Sequence[int]) -> list[tuple[Fraction, int]]:
    """Loads, the heaviest first, and how many ballots carry each, when the members' loads are spread most
    evenly over those who approve of them. A member of whom nobody approves weighs more than everything.

    The heaviest load is that of the members S with the largest |S| ÷ |ballots that approve of one of them|;
    without these the same holds for the rest (Hall's theorem for fractions).
    """
    open_members = [*members]
    carriers: dict[int, int] = {}
    for place in {place for member in members for place in approvals.supporters[member]}:
        carriers[place] = approvals.weights[place]
    loads: list[tuple[Fraction, int]] = []
    nobody = sum(not approvals.supporters[member] for member in members)
    if nobody:
        loads.append((Fraction(len(members) + nobody), 1))
        open_members = [member for member in members if approvals.supporters[member]]
    while open_members:
        load, group = _heaviest_group(approvals, open_members, carriers)
        carried = {place for member in group for place in approvals.supporters[member]} & carriers.keys()
        loads.append((load, sum(carriers[place] for place in carried)))
        for place in carried:
            del carriers[place]
        open_members = [member for member in open_members if member not in group]
    return loads


def _heaviest_group(
    approvals: Approvals, members: Sequence[int], carriers: Mapping[int, int]
) -> tuple[Fraction, set[int]]:
    """The largest group of members with the heaviest load on its carriers."""
    best = (Fraction(-1), 0)
    found: set[int] = set()
    for amount in range(1, len(members) + 1):
        for group in combinations(members, amount):
            carried = {place for member in group for place in approvals.supporters[member]} & carriers.keys()
            ballots = sum(carriers[place] for place in carried)
            if ballots and (Fraction(amount, ballots), amount) > best:
                best, found = (Fraction(amount, ballots), amount), set(group)
    return best[0], found


def _least(
    approvals: Approvals, size: int, measure: Callable[[Committee], Any], *, every: bool
) -> list[Committee]:
    """The committees of which a measure is the least; each is looked at."""
    steps = _Steps()
    found: list[Committee] = []
    least: Any = None
    for members in combinations(range(approvals.candidates), size):
        steps.take()
        measured = measure(members)
        if least is None or measured < least:
            least, found = measured, [members]
        elif measured == least and every:
            found.append(members)
    return found

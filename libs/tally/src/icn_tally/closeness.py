"""How close a result is: the fewest ballots that, cast otherwise, would have elected others.

Source: docs/spec/voting.md, "Closeness".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, permutations, product
from math import comb, perm
from typing import Final, TypeAlias

from icn_crypto.jcs import JsonValue

from icn_tally.ballots import Ballots, Ranking
from icn_tally.faults import InvalidBallots
from icn_tally.stages import Count

STEPS_DEFAULT: Final = 20_000
"""Counts of other ballots that a search may make."""

Winners: TypeAlias = Callable[[Ballots], frozenset[int]]
"""Counts ballots; lots as they were drawn."""


@dataclass(frozen=True, slots=True)
class Change:
    """So many ballots with one ranking, cast as another."""

    ballots: int
    cast: Ranking
    instead: Ranking

    def to_form(self) -> dict[str, JsonValue]:
        """As an object."""
        return {
            "ballots": str(self.ballots),
            "cast": [[*rank] for rank in self.cast],
            "instead": [[*rank] for rank in self.instead],
        }


@dataclass(frozen=True, slots=True)
class Closeness:
    """Bounds of the fewest ballots; exact where they are equal."""

    at_least: int
    """No fewer would do."""
    at_most: int | None
    """With so many it was done: None where no change was found that does it."""
    example: tuple[Change, ...]
    """Changes that do it, `at_most` ballots in all; counted to be sure."""
    winners: tuple[int, ...]
    """Whom these elect."""

    @property
    def is_exact(self) -> bool:
        """Whether nothing is left open."""
        return self.at_least == self.at_most

    def to_form(self) -> dict[str, JsonValue]:
        """As an object."""
        return {
            "at_least": str(self.at_least),
            "at_most": None if self.at_most is None else str(self.at_most),
            "example": [change.to_form() for change in self.example],
            "winners": [*self.winners],
        }


def closeness(
    winners: Winners, ballots: Ballots, *, at_least: int = 1, steps_max: int = STEPS_DEFAULT
) -> Closeness:
    """Search for the fewest ballots that change who wins, in at most so many counts. ``at_least`` is a bound
    that is known already, as `runoff_bound` gives one.

    Ballots that prefer the winners are given to each rival alone, as few as do it; then, from one ballot up,
    every other way to cast so many is tried, as long as counts are left.
    """
    search = _Search(winners, ballots, steps_max)
    search.give_to_rivals()
    known = max(at_least, 1)
    while (search.best is None or known < search.best) and search.try_all(known):
        known += 1
    if search.best is not None:
        known = min(known, search.best)
    return Closeness(known, search.best, search.example, search.winners)


def runoff_bound(count: Count, standing: Sequence[int]) -> int:
    """For one winner by instant runoff or plurality: with fewer ballots no stage excludes another, and nobody
    else is elected. A ballot that is cast otherwise changes the difference of two totals by 2 at most, and so
    that of twice a total and all."""
    left = [*standing]
    needed: list[int] = []
    for stage, following in zip(count.stages, [*count.stages[1:], None], strict=True):
        if stage.action == "exclude":
            left = [number for number in left if number not in stage.candidates]
        totals = sorted(stage.totals[number - 1] for number in left)
        if len(totals) == 1:
            break
        all_votes, most = sum(totals), totals[-1]
        if stage.elected or following is None:
            needed.append(2 * most - all_votes if count.quota else most - totals[-2])
            break
        out = len(following.candidates)
        needed += [totals[out] - sum(totals[:out]), all_votes - 2 * most + 1]
    return max(min((-(-change // 2) for change in needed), default=1), 1)


class _Search:
    def __init__(self, winners: Winners, ballots: Ballots, steps_max: int) -> None:
        self.count = winners
        self.ballots = ballots
        self.steps_left = steps_max
        self.before = winners(ballots)
        self.best: int | None = None
        self.example: tuple[Change, ...] = ()
        self.winners: tuple[int, ...] = ()
        self.standing = ballots.standing()

    def give_to_rivals(self) -> None:
        """For each rival the fewest that a bisection finds."""
        for rival in self.standing:
            if rival in self.before or self.steps_left < 1:
                continue
            alone: Ranking = ((rival,),)
            order = sorted(range(len(self.ballots.rankings)), key=self._support, reverse=True)
            total = sum(self.ballots.weights)
            low, high = 0, total if self.best is None else self.best - 1
            if high < 1 or not self._tried(self._first(order, high, alone)):
                continue
            while high - low > 1 and self.steps_left > 0:
                middle = (low + high) // 2
                if self._tried(self._first(order, middle, alone)):
                    high = middle
                else:
                    low = middle

    def _support(self, place: int) -> int:
        """How high a ballot ranks one of the winners."""
        for height, rank in enumerate(self.ballots.rankings[place]):
            if self.before.intersection(rank):
                return len(self.standing) - height
        return 0

    def _first(self, order: Sequence[int], amount: int, instead: Ranking) -> list[Change]:
        changes = []
        for place in order:
            taken = min(amount, self.ballots.weights[place])
            if taken and self.ballots.rankings[place] != instead:
                changes.append(Change(taken, self.ballots.rankings[place], instead))
                amount -= taken
        return changes

    def try_all(self, amount: int) -> bool:
        """Try every way to cast so many ballots otherwise; false where too few counts are left for it."""
        rankings = [*dict.fromkeys(self.ballots.rankings)]
        size = len(self.standing)
        others = sum(perm(size, length) for length in range(size + 1))
        if comb(len(rankings) + amount - 1, amount) * others**amount > self.steps_left:
            return False
        for cast in combinations_with_replacement(rankings, amount):
            for instead in product(self._strict_orders(), repeat=amount):
                changes = [Change(1, one, other) for one, other in zip(cast, instead, strict=True)]
                if self._tried(changes):
                    return True
        return True

    def _strict_orders(self) -> Iterator[Ranking]:
        for length in range(len(self.standing) + 1):
            for order in permutations(self.standing, length):
                yield tuple((number,) for number in order)

    def _tried(self, changes: Sequence[Change]) -> bool:
        """Whether these changes elect others; remembered where they are the fewest so far."""
        self.steps_left -= 1
        changed = self._changed(changes)
        if changed is None:
            return False
        try:
            after = self.count(changed)
        except InvalidBallots:
            return False
        if after == self.before:
            return False
        amount = sum(change.ballots for change in changes)
        if self.best is None or amount < self.best:
            self.best, self.example, self.winners = amount, tuple(changes), tuple(sorted(after))
        return True

    def _changed(self, changes: Sequence[Change]) -> Ballots | None:
        """The ballots with changes; None where there are not so many to change."""
        weights: dict[Ranking, int] = {}
        for ranking, weight in zip(self.ballots.rankings, self.ballots.weights, strict=True):
            weights[ranking] = weights.get(ranking, 0) + weight
        for change in changes:
            if weights.get(change.cast, 0) < change.ballots:
                return None
            weights[change.cast] -= change.ballots
            weights[change.instead] = weights.get(change.instead, 0) + change.ballots
        kept = {ranking: weight for ranking, weight in weights.items() if weight}
        return Ballots(self.ballots.candidates, [*kept], [*kept.values()], self.ballots.withdrawn)

"""Single transferable votes that move from pile to pile at truncated values: Scottish STV and weighted
inclusive Gregory.

Source: docs/spec/voting.md, "Scottish STV" and "WIGM".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from icn_tally import parameters
from icn_tally.ballots import Ballots
from icn_tally.faults import InvalidBallots
from icn_tally.lots import places_by_lot
from icn_tally.resting import collector_at_rest
from icn_tally.stages import Action, Count, Parameters, Stage, TieRule, Ties, sure_losers, written

STANDING_MAX: Final = 500
"""Candidates; a tie looks back over all stages, so when all tie at every stage the work grows with the cube:
1.3 CPU-seconds for 500, 10 for 1,000."""
PLACES_MAX: Final = 9

_Bundle: TypeAlias = tuple[Iterator[tuple[int, ...]], int]
"""What is left of the ranks of ballots, and how many they are. A bundle lies at one candidate at a time, so
that the iterator is its only place."""


@dataclass(frozen=True, slots=True)
class Course:
    """How a rule of this kind goes."""

    parameters: Parameters
    seats: int
    places: int
    """Decimal places of transfer values and totals."""
    ties: TieRule
    quota_units: Callable[[int], int]
    """Of the valid ballots, in units of 10^−places."""
    all_surpluses: bool = False
    """A stage transfers every surplus at once, not the largest alone."""
    one_elected: bool = False
    """A stage elects the largest that reaches the quota, not all."""
    factor_truncated: bool = False
    """The share that a surplus is of its total is truncated before values are multiplied with it."""
    sure_losers: bool = False
    """A stage excludes all who cannot catch up any more."""
    votes_min: int = 0
    """Ballots; who has fewer is excluded before all others."""
    first_excluded: tuple[int, ...] = ()
    """Who is excluded before all others, if anybody's vote lies there."""


@collector_at_rest()
def count_transfers(course: Course, ballots: Ballots, lot_order: Sequence[int]) -> Count:
    """Count the ballots.

    Raises:
        InvalidParameter: more seats than candidates stand, or the lot order does not name each once.
        InvalidBallots: none is valid, or more than 500 candidates stand.
    """
    parameters.check_seats("a single transferable vote", course.seats, ballots, STANDING_MAX)
    return _Counting(
        course, ballots, Ties(course.ties, places_by_lot(lot_order, len(ballots.candidates)))
    ).run()


class _Counting:
    """The state of a count; lists are indexed by candidate number, place 0 unused."""

    def __init__(self, course: Course, ballots: Ballots, ties: Ties) -> None:
        self.course = course
        self.scale = 10**course.places
        self.ties = ties
        size = len(ballots.candidates) + 1
        self.continuing = list(ballots.standing())
        self.is_continuing = [False] * size
        for candidate in self.continuing:
            self.is_continuing[candidate] = True
        self.elected: set[int] = set()
        self.winners: list[int] = []
        self.stages: list[Stage] = []
        self.totals = [0] * size
        self.piles: list[dict[int, list[_Bundle]]] = [{} for _ in range(size)]
        """The bundles that lie at each candidate, by value in units."""
        self.non_transferable = 0
        self.lost = 0
        self.invalid = 0
        first: list[list[_Bundle]] = [[] for _ in range(size)]
        firsts = [0] * size
        for ranking, weight in ballots.bundles():
            ranks = iter(ranking)
            rank = next(ranks, ())
            if len(rank) == 1:
                first[rank[0]].append((ranks, weight))
                firsts[rank[0]] += weight
            else:
                self.invalid += weight
        self.valid = sum(firsts)
        if self.valid == 0:
            raise InvalidBallots("no ballot is valid, so there is nothing to count")
        self.quota_units = course.quota_units(self.valid)
        for candidate in self.continuing:
            self.totals[candidate] = firsts[candidate] * self.scale
            self.piles[candidate] = {self.scale: first[candidate]}

    def run(self) -> Count:
        """All stages."""
        self._end_stage("elect", ())
        while len(self.winners) < self.course.seats:
            if losers := self._sure_losers():
                self._exclude(losers)
            elif surpluses := self._surpluses():
                self._transfer(surpluses)
            else:
                self._exclude(self._excluded_first() or [self._smallest()])
        return Count(
            self.course.parameters,
            self.course.places,
            self.valid,
            self.invalid,
            written(self.quota_units, self.course.places),
            tuple(self.winners),
            tuple(self.stages),
            tuple(self.ties.found),
        )

    def _end_stage(self, action: Action, candidates: Sequence[int]) -> None:
        votes = sum(self.totals) + self.non_transferable + self.lost
        assert votes == self.valid * self.scale, "no vote appears or goes unaccounted for"
        elected = [number for number in self.continuing if self.totals[number] >= self.quota_units]
        vacancies = self.course.seats - len(self.winners)
        assert len(elected) <= vacancies, "the quota lets no more reach it than there are seats"
        if self.course.one_elected and elected:
            most = max(self.totals[number] for number in elected)
            tied = [number for number in elected if self.totals[number] == most]
            elected = [self.ties.choose(tied, "elect", self.stages)]
        self._elect(elected)
        if len(self.continuing) <= vacancies - len(elected):
            elected = sorted([*elected, *self.continuing])
            self._elect(self.continuing)
        self.winners += elected
        self.stages.append(
            Stage(
                action,
                tuple(candidates or elected),
                tuple(self.totals[1:]),
                self.non_transferable,
                self.lost,
                tuple(elected),
            )
        )

    def _elect(self, candidates: Sequence[int]) -> None:
        self.elected.update(candidates)
        for candidate in candidates:
            self.is_continuing[candidate] = False
        self.continuing = [candidate for candidate in self.continuing if self.is_continuing[candidate]]

    def _surpluses(self) -> list[int]:
        """Whose surplus the next stage transfers; nobody where none is left."""
        if self.course.all_surpluses:
            return [*self.stages[-1].elected]
        most = max((self.totals[candidate] for candidate in self.elected), default=0)
        if most <= self.quota_units:
            return []
        tied = [candidate for candidate in self.elected if self.totals[candidate] == most]
        return [self.ties.choose(sorted(tied), "transfer", self.stages)]

    def _transfer(self, candidates: Sequence[int]) -> None:
        for candidate in candidates:
            total = self.totals[candidate]
            surplus = total - self.quota_units
            moved = 0
            for value, bundles in self._take_pile(candidate) if surplus > 0 else ():
                if self.course.factor_truncated:
                    value_passed = value * (surplus * self.scale // total) // self.scale
                else:
                    value_passed = value * surplus // total
                moved += self._pass_on(bundles, value_passed)
            self.totals[candidate] = min(total, self.quota_units)
            self.lost += max(surplus, 0) - moved
        self._end_stage("transfer", candidates)

    def _smallest(self) -> int:
        smallest = min(self.totals[candidate] for candidate in self.continuing)
        tied = [candidate for candidate in self.continuing if self.totals[candidate] == smallest]
        return self.ties.choose(tied, "exclude", self.stages)

    def _excluded_first(self) -> list[int]:
        """Whom the parameters exclude before all others; never so many that seats stay empty."""
        spare = len(self.continuing) - (self.course.seats - len(self.winners))
        least = self.course.votes_min * self.scale
        for losers in (
            [number for number in self.course.first_excluded if self.totals[number] > 0],
            [number for number in self.continuing if self.totals[number] < least],
        ):
            found = [number for number in losers if self.is_continuing[number]]
            if 0 < len(found) <= spare:
                return found
        return []

    def _sure_losers(self) -> list[int]:
        """Most of the candidates that have, all together and with every surplus, less than each other."""
        if not self.course.sure_losers:
            return []
        vacancies = self.course.seats - len(self.winners)
        votes = sum(max(self.totals[candidate] - self.quota_units, 0) for candidate in self.elected)
        totals = {candidate: self.totals[candidate] for candidate in self.continuing}
        return sure_losers(totals, votes, vacancies)

    def _exclude(self, candidates: Sequence[int]) -> None:
        for candidate in candidates:
            self.is_continuing[candidate] = False
            self.continuing.remove(candidate)
            self.totals[candidate] = 0
        for candidate in candidates:
            for value, bundles in self._take_pile(candidate):
                self._pass_on(bundles, value)
        self._end_stage("exclude", candidates)

    def _take_pile(self, candidate: int) -> list[tuple[int, list[_Bundle]]]:
        pile = self.piles[candidate]
        self.piles[candidate] = {}
        return list(pile.items())

    def _pass_on(self, bundles: Sequence[_Bundle], value: int) -> int:
        """Give the bundles to their next continuing candidates at this value; the votes in them."""
        is_continuing = self.is_continuing
        received: dict[int, list[_Bundle]] = {}
        ended = 0
        for bundle in bundles:
            for rank in bundle[0]:
                if len(rank) > 1:
                    ended += bundle[1]
                    break
                candidate = rank[0]
                if is_continuing[candidate]:
                    if candidate in received:
                        received[candidate].append(bundle)
                    else:
                        received[candidate] = [bundle]
                    break
            else:
                ended += bundle[1]
        self.non_transferable += ended * value
        moved = ended * value
        for candidate, given in received.items():
            votes = sum([weight for _, weight in given]) * value
            self.totals[candidate] += votes
            moved += votes
            self.piles[candidate].setdefault(value, []).extend(given)
        return moved

"""One winner by first preferences: plurality, instant runoff and Coombs.

Source: docs/spec/voting.md, "Runoffs"; for the options of US jurisdictions the RCTab tabulator of the
Ranked Choice Voting Resource Center.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, TypeAlias, cast

import numpy as np
from icn_crypto.jcs import JsonValue
from numpy.typing import NDArray

from icn_tally import parameters
from icn_tally.ballots import CANDIDATES_MAX, WEIGHT_MAX, Ballots
from icn_tally.faults import InvalidBallots
from icn_tally.lots import places_by_lot
from icn_tally.pairwise import height_chunks
from icn_tally.resting import collector_at_rest
from icn_tally.stages import TIE_RULES, Action, Count, Stage, TieRule, Ties, sure_losers

PLURALITY: Final = "plurality"
IRV: Final = "irv"
COOMBS: Final = "coombs"
RULES: Final = (PLURALITY, IRV, COOMBS)
STANDING_MAX: Final = 500

EqualRanks: TypeAlias = Literal["end", "skip", "one-continuing"]
EQUAL_RANKS: Final[tuple[EqualRanks, ...]] = ("end", "skip", "one-continuing")
Exclusion: TypeAlias = Literal["one", "sure-losers"]
EXCLUSIONS: Final[tuple[Exclusion, ...]] = ("one", "sure-losers")
MajorityOf: TypeAlias = Literal["continuing", "first-stage"]
MAJORITIES: Final[tuple[MajorityOf, ...]] = ("continuing", "first-stage")

_Bundle: TypeAlias = tuple[Iterator[tuple[int, ...]], int]
"""The ranks that are left of ballots, and how many they are."""


@dataclass(frozen=True, slots=True)
class Runoff:
    """Parameters; plurality has seats and ties, Coombs only ties and equal ranks."""

    rule: str = IRV
    seats: int = 1
    """Plurality elects as many (single non-transferable vote); instant runoff excludes until so many are
    left."""
    ties: TieRule = "lot"
    equal_ranks: EqualRanks = "end"
    exclusion: Exclusion = "one"
    majority_of: MajorityOf = "continuing"
    until_two: bool = False
    """Go on excluding after a majority, until two are left."""
    votes_min: int = 0
    """Who has fewer is excluded before all others."""
    first_excluded: tuple[int, ...] = ()
    """Who is excluded before all others, if anybody's vote lies there: undeclared write-ins."""

    @classmethod
    def from_form(cls, rule: str, form: Mapping[str, object]) -> Runoff:
        """Read them from an object.

        Raises:
            InvalidParameter: one is unknown or out of its limits.
        """
        parameters.refuse_unknown(form, _KNOWN[rule])
        return cls(
            rule,
            parameters.integer(form, "seats", low=1, high=CANDIDATES_MAX, default=1),
            cast(TieRule, parameters.choice(form, "ties", TIE_RULES, "lot")),
            cast(EqualRanks, parameters.choice(form, "equal_ranks", EQUAL_RANKS, "end")),
            cast(Exclusion, parameters.choice(form, "exclusion", EXCLUSIONS, "one")),
            cast(MajorityOf, parameters.choice(form, "majority_of", MAJORITIES, "continuing")),
            parameters.claim(form, "until_two"),
            parameters.integer(form, "votes_min", low=0, high=WEIGHT_MAX, default=0),
            parameters.numbers(form, "first_excluded"),
        )

    def to_form(self) -> dict[str, JsonValue]:
        """The same as an object, nothing left to defaults."""
        form: dict[str, JsonValue] = {
            "seats": self.seats,
            "ties": self.ties,
            "equal_ranks": self.equal_ranks,
            "exclusion": self.exclusion,
            "majority_of": self.majority_of,
            "until_two": self.until_two,
            "votes_min": self.votes_min,
            "first_excluded": [*self.first_excluded],
        }
        return {name: form[name] for name in _KNOWN[self.rule]}


_KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    PLURALITY: ("seats", "ties", "equal_ranks"),
    IRV: (
        "seats", "ties", "equal_ranks", "exclusion", "majority_of", "until_two", "votes_min",
        "first_excluded", ),
    COOMBS: ("ties", "equal_ranks"),
}  # fmt: skip


@collector_at_rest()
def count(rule: Runoff, ballots: Ballots, lot_order: Sequence[int]) -> Count:
    """Count the ballots.

    Raises:
        InvalidParameter: more seats than candidates stand, a number that is no candidate's, or the lot order
            does not name each once.
        InvalidBallots: none is valid, or more than 500 candidates stand.
    """
    standing_max = CANDIDATES_MAX if rule.rule == PLURALITY else STANDING_MAX
    parameters.check_seats(rule.rule, rule.seats, ballots, standing_max)
    parameters.of_candidates(rule.first_excluded, "first_excluded", ballots)
    ties = Ties(rule.ties, places_by_lot(lot_order, len(ballots.candidates)))
    counting = (_Coombs if rule.rule == COOMBS else _Counting)(rule, ballots, ties)
    return counting.plurality() if rule.rule == PLURALITY else counting.run()


class _Counting:
    """The state of a count; lists are indexed by candidate number, place 0 unused."""

    def __init__(self, rule: Runoff, ballots: Ballots, ties: Ties) -> None:
        self.rule = rule
        self.ballots = ballots
        self.ties = ties
        size = len(ballots.candidates) + 1
        self.continuing = list(ballots.standing())
        self.is_continuing = [False] * size
        for number in self.continuing:
            self.is_continuing[number] = True
        self.totals = [0] * size
        self.piles: list[list[_Bundle]] = [[] for _ in range(size)]
        self.exhausted = 0
        self._pass_on([(iter(ranking), weight) for ranking, weight in ballots.bundles()])
        self.invalid = self.exhausted
        self.exhausted = 0
        self.valid = sum(self.totals)
        if self.valid == 0:
            raise InvalidBallots("no ballot is valid, so there is nothing to count")
        self.elected: list[int] = []
        self.stages: list[Stage] = []

    def plurality(self) -> Count:
        """One stage: those with the most first preferences."""
        while len(self.elected) < self.rule.seats:
            left = [number for number in self.continuing if number not in self.elected]
            most = max(self.totals[number] for number in left)
            tied = [number for number in left if self.totals[number] == most]
            if len(self.elected) + len(tied) <= self.rule.seats:
                self.elected += tied
            else:
                self.elected.append(self.ties.choose(tied, "elect", ()))
        elected = tuple(sorted(self.elected))
        self.stages.append(Stage("elect", elected, tuple(self.totals[1:]), 0, 0, elected))
        return self._result(None)

    def run(self) -> Count:
        """Exclude until somebody has a majority, or as many are left as there are seats."""
        self._end_stage("elect", ())
        while not self._is_done():
            self._exclude(self._losers())
        return self._result(self._majority())

    def _result(self, quota: int | None) -> Count:
        return Count(
            self.rule,
            0,
            self.valid,
            self.invalid,
            "" if quota is None else str(quota),
            tuple(self.elected),
            tuple(self.stages),
            tuple(self.ties.found),
        )

    def _is_done(self) -> bool:
        if self.rule.until_two and self.rule.seats == 1:
            return bool(self.elected) and len(self.continuing) <= 2
        return len(self.elected) == self.rule.seats

    def _majority(self) -> int:
        """How many votes elect."""
        votes = self.valid if self.rule.majority_of == "first-stage" else self.valid - self.exhausted
        return votes // 2 + 1

    def _end_stage(self, action: Action, candidates: Sequence[int]) -> None:
        assert sum(self.totals) + self.exhausted == self.valid, "no vote appears or goes unaccounted for"
        elected: list[int] = []
        if not self.elected:
            if len(self.continuing) == self.rule.seats:
                elected = self.continuing
            elif self.rule.seats == 1:
                elected = [number for number in self.continuing if self.totals[number] >= self._majority()]
        self.elected += elected
        self.stages.append(
            Stage(
                action,
                tuple(candidates or elected),
                tuple(self.totals[1:]),
                self.exhausted,
                0,
                tuple(elected),
                self._majority() if self.rule.seats == 1 else None,
            )
        )

    def _losers(self) -> list[int]:
        """Whom the next stage excludes; never so many that seats stay empty."""
        spare = len(self.continuing) - self.rule.seats
        kept = set(self.elected)
        lists = [
            [number for number in self.rule.first_excluded if self.totals[number] > 0],
            [number for number in self.continuing if self.totals[number] < self.rule.votes_min],
        ]
        if self.rule.exclusion == "sure-losers":
            totals = {number: self.totals[number] for number in self.continuing}
            lists.append(sure_losers(totals, 0, self.rule.seats))
        for losers in lists:
            found = [number for number in losers if self.is_continuing[number] and number not in kept]
            if 0 < len(found) <= spare:
                return found
        tied = self._worst()
        return [self.ties.choose(tied, "exclude", self.stages)]

    def _worst(self) -> list[int]:
        smallest = min(self.totals[number] for number in self.continuing)
        return [number for number in self.continuing if self.totals[number] == smallest]

    def _exclude(self, candidates: Sequence[int]) -> None:
        moved: list[_Bundle] = []
        for number in candidates:
            self.is_continuing[number] = False
            self.continuing.remove(number)
            self.totals[number] = 0
            moved += self.piles[number]
            self.piles[number] = []
        self._pass_on(moved)
        self._end_stage("exclude", candidates)

    def _pass_on(self, bundles: Sequence[_Bundle]) -> None:
        for bundle in bundles:
            number = self._next(bundle[0])
            if number:
                self.piles[number].append(bundle)
                self.totals[number] += bundle[1]
            else:
                self.exhausted += bundle[1]

    def _next(self, ranks: Iterator[tuple[int, ...]]) -> int:
        """The candidate to whom a ballot goes, 0 where it ends."""
        for rank in ranks:
            if len(rank) == 1:
                if self.is_continuing[rank[0]]:
                    return rank[0]
            elif self.rule.equal_ranks == "end":
                return 0
            elif self.rule.equal_ranks == "one-continuing":
                left = [number for number in rank if self.is_continuing[number]]
                if left:
                    return left[0] if len(left) == 1 else 0
        return 0


class _Coombs(_Counting):
    """Excludes who stands last most often; a ballot that has several last counts for each in equal part."""

    def __init__(self, rule: Runoff, ballots: Ballots, ties: Ties) -> None:
        super().__init__(rule, ballots, ties)
        self._standing = np.array(ballots.standing())
        self._chunks = [*height_chunks(ballots)]

    def _worst(self) -> list[int]:
        places = np.searchsorted(self._standing, self.continuing)
        by_size: dict[int, NDArray[np.int64]] = {}
        for heights, weights in self._chunks:
            left = heights[places]
            is_last = left == left.max(axis=0)
            sizes = is_last.sum(axis=0)
            for size in np.unique(sizes).tolist():
                those = sizes == size
                found = by_size.setdefault(size, np.zeros(len(places), np.int64))
                found += is_last[:, those] @ weights[those]
        last = [
            sum(Fraction(int(weights[place]), size) for size, weights in by_size.items())
            for place in range(len(places))
        ]
        most = max(last)
        return [number for number, weight in zip(self.continuing, last, strict=True) if weight == most]

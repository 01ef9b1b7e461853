"""The ballot model of all rules, its canonical form and root.

Source: docs/spec/voting.md, "Ballots".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from icn_crypto.jcs import INTEGER_MAX, JsonValue, NotIJson, canonicalize
from icn_crypto.merkle_log import Log, leaf_hash

from icn_tally.faults import InvalidBallots

Ranking: TypeAlias = tuple[tuple[int, ...], ...]
"""Ranks, the highest first; each holds the numbers of the candidates in it, sorted upwards."""

Marks: TypeAlias = tuple[int, ...]
"""One for each rank, larger ones first: points, scores or credits."""

FORM: Final = "icn/ranked-ballots/v1"
MARKED_FORM: Final = "icn/marked-ballots/v1"

CANDIDATES_MAX: Final = 2_000
"""A stage sheet has a total for each candidate at each stage: four million at most."""
NAME_CHARACTERS_MAX: Final = 1_000
BALLOTS_MAX: Final = 10_000_000
"""Different bundles of ballots; more people than that vote in several polling districts."""
MARK_MAX: Final = 1_000_000_000
"""Points that one ballot gives one candidate, or takes from it."""
WEIGHT_MAX: Final = INTEGER_MAX
"""Also of all ballots together, so that every total of weights is exact in any reader of JSON."""


@dataclass(frozen=True, slots=True)
class Ballots:
    """Ballots as they were cast, in bundles of equal ones.

    Readers and `ranked_ballots` make these; whoever constructs one directly vouches for the limits.
    """

    candidates: tuple[str, ...]
    """Names; a candidate's number is its place, from 1."""
    rankings: Sequence[Ranking]
    weights: Sequence[int]
    """How many ballots have the ranking at the same place; 1 or more."""
    withdrawn: frozenset[int] = frozenset()
    marks: Sequence[Marks] = ()
    """What each rank of the ranking at the same place is worth; empty where ballots only rank."""

    @property
    def total_weight(self) -> int:
        """How many ballots there are, blank ones included."""
        return sum(self.weights)

    def standing(self) -> tuple[int, ...]:
        """Numbers of the candidates that are not withdrawn, upwards."""
        return tuple(number for number in range(1, len(self.candidates) + 1) if number not in self.withdrawn)

    def bundles(self) -> Iterable[tuple[Ranking, int]]:
        """Ranking and weight of each bundle, withdrawn candidates taken out."""
        if not self.withdrawn:
            return zip(self.rankings, self.weights, strict=True)
        return self._bundles_without_withdrawn()

    def _bundles_without_withdrawn(self) -> Iterator[tuple[Ranking, int]]:
        withdrawn = self.withdrawn
        for ranking, weight in zip(self.rankings, self.weights, strict=True):
            left = (tuple(number for number in rank if number not in withdrawn) for rank in ranking)
            yield tuple(rank for rank in left if rank), weight

    def marked_bundles(self) -> Iterator[tuple[Ranking, Marks, int]]:
        """Ranking, marks and weight of each bundle, withdrawn candidates taken out.

        Raises:
            InvalidBallots: the ballots have no marks.
        """
        if not self.marks:
            raise InvalidBallots("these ballots rank candidates, and say nothing of points")
        withdrawn = self.withdrawn
        for ranking, marks, weight in zip(self.rankings, self.marks, self.weights, strict=True):
            left = [
                (tuple(number for number in rank if number not in withdrawn), mark)
                for rank, mark in zip(ranking, marks, strict=True)
            ]
            kept = [(rank, mark) for rank, mark in left if rank]
            yield tuple(rank for rank, _ in kept), tuple(mark for _, mark in kept), weight

    def canonical_lines(self) -> list[bytes]:
        """The leaves of the root: the candidates, then each different ranking with its weight."""
        if self.marks:
            return self._canonical_marked_lines()
        weights: dict[Ranking, int] = {}
        for ranking, weight in zip(self.rankings, self.weights, strict=True):
            weights[ranking] = weights.get(ranking, 0) + weight
        lines = [self._canonical_head(FORM)]
        lines += (
            canonicalize({"ranking": [[*rank] for rank in ranking], "weight": str(weights[ranking])})
            for ranking in sorted(weights)
        )
        return lines

    def _canonical_marked_lines(self) -> list[bytes]:
        weights: dict[tuple[Ranking, Marks], int] = {}
        for ranking, marks, weight in zip(self.rankings, self.marks, self.weights, strict=True):
            weights[ranking, marks] = weights.get((ranking, marks), 0) + weight
        lines = [self._canonical_head(MARKED_FORM)]
        lines += (
            canonicalize(
                {
                    "marks": [str(mark) for mark in marks],
                    "ranking": [[*rank] for rank in ranking],
                    "weight": str(weights[ranking, marks]),
                }
            )
            for ranking, marks in sorted(weights)
        )
        return lines

    def _canonical_head(self, form: str) -> bytes:
        head: dict[str, JsonValue] = {
            "form": form,
            "candidates": [*self.candidates],
            "withdrawn": [*sorted(self.withdrawn)],
        }
        return canonicalize(head)

    def root(self) -> bytes:
        """What names exactly these ballots, in whatever order and bundles, 32 bytes."""
        log = Log()
        for line in self.canonical_lines():
            log.append(leaf_hash(line))
        return log.root()


def ranked_ballots(
    candidates: Sequence[str],
    bundles: Iterable[tuple[Sequence[Iterable[int]], int]],
    withdrawn: Iterable[int] = (),
) -> Ballots:
    """Ballots from outside, checked: pairs of a ranking (ranks of numbers from 1) and a weight.

    Raises:
        InvalidBallots: a limit of the model is broken; the bundle is named by its place from 1.
    """
    names = checked_names(candidates)
    gone = checked_withdrawn(withdrawn, len(names))
    rankings: list[Ranking] = []
    weights: list[int] = []
    single = single_ranks(len(names))
    total = 0
    for place, (ranks, weight) in enumerate(bundles, start=1):
        if place > BALLOTS_MAX:
            raise InvalidBallots(f"more than {BALLOTS_MAX} ballots")
        if type(weight) is not int or not 1 <= weight <= WEIGHT_MAX:
            raise InvalidBallots(f"ballot {place}: a weight is a whole number from 1 to {WEIGHT_MAX}")
        ranking = tuple(tuple(sorted(rank)) for rank in ranks)
        if fault := ranking_fault(ranking, len(names)):
            raise InvalidBallots(f"ballot {place}: {fault}")
        total += weight
        if total > WEIGHT_MAX:
            raise InvalidBallots(f"ballot {place}: all weights together are more than {WEIGHT_MAX}")
        rankings.append(tuple([single[rank[0]] if len(rank) == 1 else rank for rank in ranking]))
        weights.append(weight)
    return Ballots(names, rankings, weights, gone)


def marked_ballots(
    candidates: Sequence[str],
    bundles: Iterable[tuple[Mapping[int, int], int]],
    withdrawn: Iterable[int] = (),
) -> Ballots:
    """Ballots that give points, checked: pairs of the points by candidate's number, and a weight.

    Raises:
        InvalidBallots: a limit of the model is broken; the bundle is named by its place from 1.
    """
    marks: list[Marks] = []

    def ranked() -> Iterator[tuple[Sequence[Iterable[int]], int]]:
        for place, (points, weight) in enumerate(bundles, start=1):
            for given in points.values():
                if type(given) is not int or abs(given) > MARK_MAX:
                    raise InvalidBallots(f"ballot {place}: a mark is a whole number up to {MARK_MAX}")
            ranking, found = by_marks(points)
            marks.append(found)
            yield ranking, weight

    ballots = ranked_ballots(candidates, ranked(), withdrawn)
    return replace(ballots, marks=marks)


def by_marks(points: Mapping[int, int]) -> tuple[Ranking, Marks]:
    """A ranking by points, the most first, and what each rank has."""
    ranks: dict[int, list[int]] = {}
    for number, given in points.items():
        ranks.setdefault(given, []).append(number)
    marks = tuple(sorted(ranks, reverse=True))
    return tuple(tuple(sorted(ranks[mark])) for mark in marks), marks


def checked_names(candidates: Sequence[str]) -> tuple[str, ...]:
    """The names as they are.

    Raises:
        InvalidBallots: too few or many, or one that has no canonical form.
    """
    if not 1 <= len(candidates) <= CANDIDATES_MAX:
        raise InvalidBallots(f"{len(candidates)} candidates; there can be 1 to {CANDIDATES_MAX}")
    for number, name in enumerate(candidates, start=1):
        if fault := name_fault(name):
            raise InvalidBallots(f"candidate {number}: {fault}")
    return tuple(candidates)


def name_fault(name: object) -> str | None:
    """Why this is no name of a candidate, None where it is."""
    if not isinstance(name, str) or not 1 <= len(name) <= NAME_CHARACTERS_MAX:
        return f"a name has 1 to {NAME_CHARACTERS_MAX} characters"
    try:
        canonicalize(name)
    except NotIJson as error:
        return str(error)
    return None


def checked_withdrawn(withdrawn: Iterable[int], candidates: int) -> frozenset[int]:
    """The numbers as a set.

    Raises:
        InvalidBallots: one that no candidate has, one twice, or all.
    """
    found: set[int] = set()
    for number in withdrawn:
        if fault := number_fault(number, candidates):
            raise InvalidBallots(f"withdrawn: {fault}")
        if number in found:
            raise InvalidBallots(f"withdrawn: candidate {number} stands twice")
        found.add(number)
    if len(found) == candidates:
        raise InvalidBallots("withdrawn: all candidates")
    return frozenset(found)


def number_fault(number: object, candidates: int) -> str | None:
    """Why this is no candidate's number, None where it is."""
    if type(number) is not int or not 1 <= number <= candidates:
        return f"there is no candidate {str(number)[:20]}; numbers go from 1 to {candidates}"
    return None


def ranking_fault(ranking: Ranking, candidates: int) -> str | None:
    """Why this is no ranking, None where it is."""
    found: set[int] = set()
    for rank in ranking:
        if not rank:
            return "a rank is empty"
        for number in rank:
            if fault := number_fault(number, candidates):
                return fault
            if number in found:
                return f"candidate {number} is ranked twice"
            found.add(number)
    return None


def single_ranks(candidates: int) -> Mapping[int, tuple[int]]:
    """One rank for each candidate alone, by number, so that rankings can share them."""
    return {number: (number,) for number in range(1, candidates + 1)}

"""Rules that count points or ranks: approval, score, STAR, majority judgment, Bucklin and cumulative votes.

Source: docs/spec/voting.md, "Scores"; Balinski and Laraki, Majority Judgment (2011); Equal Vote Coalition,
STAR voting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from icn_crypto.jcs import JsonValue

from icn_tally import parameters
from icn_tally.ballots import CANDIDATES_MAX, MARK_MAX, Ballots
from icn_tally.faults import InvalidBallots
from icn_tally.lots import places_by_lot

APPROVAL: Final = "approval"
SCORE: Final = "score"
STAR: Final = "star"
MAJORITY_JUDGMENT: Final = "majority-judgment"
BUCKLIN: Final = "bucklin"
CUMULATIVE: Final = "cumulative"
QUADRATIC: Final = "quadratic"
_WITH_SEATS: Final = (APPROVAL, SCORE, CUMULATIVE, QUADRATIC)
_WITH_LIMIT: Final[Mapping[str, str]] = {
    SCORE: "highest",
    STAR: "highest",
    MAJORITY_JUDGMENT: "highest",
    CUMULATIVE: "points",
    QUADRATIC: "credits",
}


@dataclass(frozen=True, slots=True)
class Scoring:
    """Parameters."""

    rule: str
    seats: int = 1
    limit: int = MARK_MAX
    """Of one ballot: the highest score of a candidate; all points of a cumulative vote; of a quadratic one
    all credits, of which votes cost their square."""

    @classmethod
    def from_form(cls, rule: str, form: Mapping[str, object]) -> Scoring:
        """Read them from an object.

        Raises:
            InvalidParameter: one is missing, unknown or out of its limits.
        """
        seats = ("seats",) if rule in _WITH_SEATS else ()
        limit = (_WITH_LIMIT[rule],) if rule in _WITH_LIMIT else ()
        parameters.refuse_unknown(form, (*seats, *limit))
        return cls(
            rule,
            parameters.integer(form, "seats", low=1, high=CANDIDATES_MAX, default=1),
            parameters.integer(form, limit[0], low=1, high=MARK_MAX) if limit else MARK_MAX,
        )

    def to_form(self) -> dict[str, JsonValue]:
        """The same as an object, nothing left to defaults."""
        form: dict[str, JsonValue] = {"seats": self.seats} if self.rule in _WITH_SEATS else {}
        return {**form, _WITH_LIMIT[self.rule]: self.limit} if self.rule in _WITH_LIMIT else form


@dataclass(frozen=True, slots=True)
class Scored:
    """Result; candidates are numbers, scores in the order of those that stand, upwards."""

    parameters: Scoring
    candidates: tuple[int, ...]
    scores: tuple[int, ...]
    """As the rule says."""
    winners: tuple[int, ...]
    """By place."""
    ties: tuple[tuple[int, ...], ...]
    """Candidates between whom a lot decided."""
    finalists: tuple[tuple[int, int], ...] = ()
    """STAR: both candidates of the run-off, and how many ballots prefer each."""
    invalid: int = 0
    """Ballots that break the limit."""

    def to_form(self) -> dict[str, JsonValue]:
        """As an object."""
        return {
            "candidates": [*self.candidates],
            "scores": [str(score) for score in self.scores],
            "winners": [*self.winners],
            "ties": [[*tie] for tie in self.ties],
            "finalists": [
                {"candidate": number, "preferred_by": str(votes)} for number, votes in self.finalists
            ],
            "invalid": str(self.invalid),
        }


def count(rule: Scoring, ballots: Ballots, lot_order: Sequence[int]) -> Scored:
    """Count the ballots.

    Raises:
        InvalidParameter: more seats than candidates stand, or the lot order does not name each once.
        InvalidBallots: the rule cannot count such ballots, or none is valid.
    """
    parameters.check_seats(rule.rule, rule.seats, ballots)
    return _RULES[rule.rule](_Counting(rule, ballots, places_by_lot(lot_order, len(ballots.candidates))))


class _Counting:
    def __init__(self, rule: Scoring, ballots: Ballots, lots: Mapping[int, int]) -> None:
        self.rule = rule
        self.ballots = ballots
        self.standing = ballots.standing()
        self.ties: list[tuple[int, ...]] = []
        self.invalid = 0
        self._lots = lots

    def marked(self, is_valid: Callable[[Mapping[int, int]], bool]) -> list[tuple[Mapping[int, int], int]]:
        """What each valid ballot gives each candidate that it names, and its weight; counts the others."""
        found: list[tuple[Mapping[int, int], int]] = []
        for ranking, marks, weight in self.ballots.marked_bundles():
            given = {number: mark for rank, mark in zip(ranking, marks, strict=True) for number in rank}
            if is_valid(given):
                found.append((given, weight))
            else:
                self.invalid += weight
        if not found:
            raise InvalidBallots("no ballot is valid, so there is nothing to count")
        return found

    def sums(self, marked: Iterable[tuple[Mapping[int, int], int]]) -> dict[int, int]:
        """What each candidate has of all ballots."""
        scores = dict.fromkeys(self.standing, 0)
        for given, weight in marked:
            for number, mark in given.items():
                scores[number] += mark * weight
        return scores

    def drawn(self, tied: Sequence[int]) -> int:
        """The one whom a lot decides for."""
        if len(tied) == 1:
            return tied[0]
        self.ties.append(tuple(tied))
        return min(tied, key=self._lots.__getitem__)

    def highest(self, scores: Mapping[int, int], amount: int) -> list[int]:
        """So many with the highest scores, by place."""
        found: list[int] = []
        while len(found) < amount:
            left = [number for number in scores if number not in found]
            most = max(scores[number] for number in left)
            tied = [number for number in left if scores[number] == most]
            found += tied if len(found) + len(tied) <= amount else [self.drawn(tied)]
        return found

    def result(
        self, scores: Mapping[int, int], winners: Iterable[int], finalists: Sequence[tuple[int, int]] = ()
    ) -> Scored:
        """With what was noted on the way."""
        of_standing = tuple(scores[number] for number in self.standing)
        return Scored(
            self.rule,
            self.standing,
            of_standing,
            tuple(winners),
            tuple(self.ties),
            tuple(finalists),
            self.invalid,
        )


def _approval(counting: _Counting) -> Scored:
    """Ballots with one rank approve of everybody in it."""
    scores = dict.fromkeys(counting.standing, 0)
    for place, (ranking, weight) in enumerate(counting.ballots.bundles(), start=1):
        if len(ranking) > 1:
            raise InvalidBallots(f"ballot {place}: {len(ranking)} ranks, an approval ballot has one")
        for number in ranking[0] if ranking else ():
            scores[number] += weight
    return counting.result(scores, counting.highest(scores, counting.rule.seats))


def _score(counting: _Counting) -> Scored:
    """The sum of scores from 0 to the highest; who is not named has 0."""
    scores = counting.sums(counting.marked(_within(counting.rule.limit)))
    return counting.result(scores, counting.highest(scores, counting.rule.seats))


def _within(highest: int) -> Callable[[Mapping[int, int]], bool]:
    return lambda given: all(0 <= mark <= highest for mark in given.values())


def _star(counting: _Counting) -> Scored:
    """The two with the highest scores; of them whom more ballots give a higher score."""
    marked = counting.marked(_within(counting.rule.limit))
    scores = counting.sums(marked)
    if len(counting.standing) == 1:
        return counting.result(scores, counting.standing)
    finalists: list[int] = []
    while len(finalists) < 2:
        left = [number for number in counting.standing if number not in finalists]
        most = max(scores[number] for number in left)
        tied = [number for number in left if scores[number] == most]
        preferred = [
            one for one in tied if all(_over(marked, one, other) > 0 for other in tied if other != one)
        ]
        if len(finalists) + len(tied) <= 2:
            finalists += tied
        else:
            finalists.append(preferred[0] if preferred else counting.drawn(tied))
    one, other = finalists
    over = _over(marked, one, other) or scores[one] - scores[other]
    winner = counting.drawn(sorted(finalists)) if over == 0 else (one if over > 0 else other)
    for_one, for_other = _preferring(marked, one, other), _preferring(marked, other, one)
    return counting.result(scores, [winner], [(one, for_one), (other, for_other)])


def _preferring(marked: Iterable[tuple[Mapping[int, int], int]], one: int, other: int) -> int:
    return sum(weight for given, weight in marked if given.get(one, 0) > given.get(other, 0))


def _over(marked: Sequence[tuple[Mapping[int, int], int]], one: int, other: int) -> int:
    return _preferring(marked, one, other) - _preferring(marked, other, one)


def _majority_judgment(counting: _Counting) -> Scored:
    """The highest majority grade: the lower middle one of all grades; between equal ones those that remain
    when one such grade of each is taken away, and so on. Who is not named has grade 0."""
    marked = counting.marked(_within(counting.rule.limit))
    voters = sum(weight for _, weight in marked)
    grades: dict[int, dict[int, int]] = {number: {} for number in counting.standing}
    for given, weight in marked:
        for number, mark in given.items():
            grades[number][mark] = grades[number].get(mark, 0) + weight
    for given_grades in grades.values():
        unnamed = voters - sum(given_grades.values())
        given_grades[0] = given_grades.get(0, 0) + unnamed
    middles = {number: _middle(counts)[0] for number, counts in grades.items()}
    left = [*counting.standing]
    counts = {number: dict(grades[number]) for number in left}
    while len(left) > 1 and sum(counts[left[0]].values()) > 0:
        found = {number: _middle(counts[number]) for number in left}
        most = max(grade for grade, _ in found.values())
        left = [number for number in left if found[number][0] == most]
        taken = min(found[number][1] for number in left)
        for number in left:
            counts[number][most] -= taken
    return counting.result(middles, [counting.drawn(left)])


def _middle(counts: Mapping[int, int]) -> tuple[int, int]:
    """The lower middle grade, and how many of it can be taken away, one by one, each the middle one then."""
    total = sum(counts.values())
    below = 0
    for grade in sorted(counts):
        through = below + counts[grade]
        if through >= (total + 1) // 2:
            # With k taken away, below < (total − k + 1) ÷ 2 ≤ through − k, rounded down, must hold.
            return grade, min(total - 2 * below, 2 * through - total + 1)
        below = through
    raise AssertionError("somebody graded")


def _bucklin(counting: _Counting) -> Scored:
    """First ranks alone, then with second ranks, and so on, until somebody stands on more than half of all
    ballots; of those the one who stands on most."""
    scores = dict.fromkeys(counting.standing, 0)
    bundles = [*counting.ballots.bundles()]
    half = sum(weight for _, weight in bundles)
    for place in range(max((len(ranking) for ranking, _ in bundles), default=0)):
        for ranking, weight in bundles:
            for number in ranking[place] if place < len(ranking) else ():
                scores[number] += weight
        if 2 * max(scores.values()) > half:
            break
    if not any(scores.values()):
        raise InvalidBallots("no ballot is valid, so there is nothing to count")
    return counting.result(scores, counting.highest(scores, 1))


def _cumulative(counting: _Counting) -> Scored:
    """The sum of points, of which a ballot has so many."""
    limit = counting.rule.limit
    marked = counting.marked(
        lambda given: all(mark >= 0 for mark in given.values()) and sum(given.values()) <= limit
    )
    scores = counting.sums(marked)
    return counting.result(scores, counting.highest(scores, counting.rule.seats))


def _quadratic(counting: _Counting) -> Scored:
    """The sum of votes, for and against; so many votes for one candidate cost a ballot their square of
    credits."""
    limit = counting.rule.limit
    scores = counting.sums(
        counting.marked(lambda given: sum(mark * mark for mark in given.values()) <= limit)
    )
    return counting.result(scores, counting.highest(scores, counting.rule.seats))


_RULES: Final[Mapping[str, Callable[[_Counting], Scored]]] = {
    APPROVAL: _approval,
    SCORE: _score,
    STAR: _star,
    MAJORITY_JUDGMENT: _majority_judgment,
    BUCKLIN: _bucklin,
    CUMULATIVE: _cumulative,
    QUADRATIC: _quadratic,
}
RULES: Final = tuple(_RULES)

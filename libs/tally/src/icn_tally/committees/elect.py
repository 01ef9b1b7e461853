"""One door to every committee rule.

Source: docs/spec/voting.md, "Committees".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, islice
from typing import Final

from icn_crypto.jcs import JsonValue

from icn_tally import parameters
from icn_tally.ballots import CANDIDATES_MAX, Ballots
from icn_tally.committees import optimal, sequential
from icn_tally.committees.approvals import Approvals
from icn_tally.committees.optimal import Committee
from icn_tally.faults import InvalidBallots, InvalidParameter
from icn_tally.lots import places_by_lot

GREEDY_MONROE: Final = "greedy-monroe"
"""The one rule that looks at ballots in their order."""
COMMITTEES_MAX: Final = 200_000
"""Tied committees that are listed."""


@dataclass(frozen=True, slots=True)
class Electing:
    """Parameters."""

    rule: str
    size: int
    """Members of a committee."""
    every: bool = False
    """Whether every tied committee is told, not one."""

    @classmethod
    def from_form(cls, rule: str, form: Mapping[str, object]) -> Electing:
        """Read them from an object.

        Raises:
            InvalidParameter: one is missing, unknown or out of its limits.
        """
        parameters.refuse_unknown(form, ("size", "every"))
        size = parameters.integer(form, "size", low=1, high=CANDIDATES_MAX)
        return cls(rule, size, parameters.claim(form, "every"))

    def to_form(self) -> dict[str, JsonValue]:
        """The same as an object, nothing left to defaults."""
        return {"size": self.size, "every": self.every}


@dataclass(frozen=True, slots=True)
class Elected:
    """Result; committees are of candidates' numbers, upwards."""

    parameters: Electing
    committees: tuple[Committee, ...]
    """One, or all that are tied."""

    def to_form(self) -> dict[str, JsonValue]:
        """As an object."""
        return {"committees": [[*members] for members in self.committees]}


def elect_committee(
    rule: str, size: int, ballots: Ballots, lot_order: Sequence[int], *, every: bool = False
) -> Elected:
    """Elect so many of the candidates that stand: one committee, the earlier candidates in the order of lots
    first where there is a tie, or every tied one.

    Raises:
        InvalidParameter: the rule is unknown, the size is not from 1 to the candidates, or the lot order does
            not name each once.
        InvalidBallots: the rule cannot count such ballots, or not with so many candidates or ties.
    """
    if rule not in RULES:
        raise InvalidParameter("rule", f"{rule[:40]!r} is not one of {', '.join(RULES)}")
    standing = ballots.standing()
    if not 1 <= size <= len(standing):
        raise InvalidParameter("size", f"{size} members of {len(standing)} candidates")
    lots = places_by_lot(lot_order, len(ballots.candidates))
    by_lot = sorted(standing, key=lots.__getitem__)
    place_of = {number: place for place, number in enumerate(by_lot)}
    approvals = Approvals.of(ballots, place_of)
    found = _RULES[rule](approvals if rule == GREEDY_MONROE else approvals.merged(), size, every)
    committees = sorted(tuple(sorted(by_lot[place] for place in members)) for members in found)
    if len(committees) > COMMITTEES_MAX:
        raise InvalidBallots(f"more than {COMMITTEES_MAX} committees are tied; ask for one")
    return Elected(Electing(rule, size, every), tuple(committees))


def _trivial(approvals: Approvals, size: int, every: bool) -> list[Committee]:
    """Every committee."""
    every_one = combinations(range(approvals.candidates), size)
    return [*islice(every_one, COMMITTEES_MAX + 1 if every else 1)]


def _thiele(rule: str, approvals: Approvals, size: int, every: bool) -> list[Committee]:
    return optimal.best_by_thiele(rule, approvals, size, every=every)


def _sequential_thiele(rule: str, approvals: Approvals, size: int, every: bool) -> list[Committee]:
    return sequential.by_thiele(rule, approvals, size, every=every)


def _equal_shares(completion: str, approvals: Approvals, size: int, every: bool) -> list[Committee]:
    return sequential.by_equal_shares(approvals, size, completion, every=every)


_Rule = Callable[[Approvals, int, bool], list[Committee]]
_RULES: Final[Mapping[str, _Rule]] = {
    **{rule: partial(_thiele, rule) for rule in ("av", "sav", "pav", "slav", "cc", "lexcc", "geom2")},
    **{f"seq{rule}": partial(_sequential_thiele, rule) for rule in ("pav", "slav", "cc")},
    "revseqpav": lambda approvals, size, every: sequential.by_reverse_thiele(
        "pav", approvals, size, every=every
    ),
    "monroe": lambda approvals, size, every: optimal.best_by_monroe(approvals, size, every=every),
    GREEDY_MONROE: lambda approvals, size, _: sequential.by_greedy_monroe(approvals, size),
    "seqphragmen": lambda approvals, size, every: sequential.by_phragmen(approvals, size, every=every),
    "minimaxphragmen": lambda approvals, size, every: optimal.best_by_loads(
        approvals, size, lexicographic=False, every=every
    ),
    "leximaxphragmen": lambda approvals, size, every: optimal.best_by_loads(
        approvals, size, lexicographic=True, every=every
    ),
    "phragmen-enestroem": lambda approvals, size, every: sequential.by_enestroem(
        approvals, size, every=every
    ),
    "maximin-support": lambda approvals, size, every: sequential.by_maximin_support(
        approvals, size, every=every
    ),
    "equal-shares": partial(_equal_shares, "seqphragmen"),
    "equal-shares-with-av-completion": partial(_equal_shares, "av"),
    "equal-shares-with-increment-completion": partial(_equal_shares, "increment"),
    "minimaxav": lambda approvals, size, every: optimal.best_by_distance(
        approvals, size, lexicographic=False, every=every
    ),
    "lexminimaxav": lambda approvals, size, every: optimal.best_by_distance(
        approvals, size, lexicographic=True, every=every
    ),
    "trivial": _trivial,
}
RULES: Final = tuple(_RULES)

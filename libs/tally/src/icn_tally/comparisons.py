"""Rules that compare candidates in pairs: Borda, Copeland, minimax, Schulze, ranked pairs and others.

Source: docs/spec/voting.md, "Comparisons"; Schulze, A new monotonic, clone-independent, reversal symmetric,
and Condorcet-consistent single-winner election method (2011); Zavist and Tideman, Complete independence of
clones in the ranked pairs rule (1989); Holliday and Pacuit, Split Cycle (2023).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

import numpy as np
from icn_crypto.jcs import JsonValue
from numpy.typing import NDArray

from icn_tally import parameters
from icn_tally.ballots import Ballots
from icn_tally.faults import InvalidBallots
from icn_tally.lots import places_by_lot
from icn_tally.pairwise import Matrix, margins, preferences

Measure: TypeAlias = Literal["margins", "winning-votes"]
MEASURES: Final[tuple[Measure, ...]] = ("margins", "winning-votes")
KEMENY_STANDING_MAX: Final = 8
"""Candidates: the work doubles with each."""
HALVES: Final = 2
"""Copeland's points are counted in halves, one for a tie."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Parameters."""

    rule: str
    measure: Measure = "margins"
    """What a defeat weighs; only minimax, Schulze and ranked pairs know another than margins."""

    @classmethod
    def from_form(cls, rule: str, form: Mapping[str, object]) -> Comparison:
        """Read them from an object.

        Raises:
            InvalidParameter: one is unknown or out of its limits.
        """
        known = ("measure",) if rule in MEASURED else ()
        parameters.refuse_unknown(form, known)
        return cls(rule, cast(Measure, parameters.choice(form, "measure", MEASURES, "margins")))

    def to_form(self) -> dict[str, JsonValue]:
        """The same as an object, nothing left to defaults."""
        return {"measure": self.measure} if self.rule in MEASURED else {}


@dataclass(frozen=True, slots=True)
class Tie:
    """What lots decided of a count by ranked pairs."""

    pairs: tuple[tuple[int, int], ...] = ()
    """Victories of one weight, in the order in which lots put them: another order may have locked others."""
    candidates: tuple[int, ...] = ()
    """Who stood above all others equally; the first in the order of lots won."""

    def to_form(self) -> dict[str, JsonValue]:
        """As it stands in results."""
        if self.candidates:
            return {"by": "lot", "among": [*self.candidates]}
        return {"by": "lot", "pairs": [[winner, loser] for winner, loser in self.pairs]}


@dataclass(frozen=True, slots=True)
class Compared:
    """Result; candidates are numbers, rows and columns those that stand, upwards."""

    parameters: Comparison
    candidates: tuple[int, ...]
    above: tuple[tuple[int, ...], ...]
    """Ballots that put the row's candidate above the column's."""
    winners: tuple[int, ...]
    """All that are tied, upwards; of ranked pairs the one whom lots leave."""
    scores: tuple[int, ...]
    """Of each candidate, as the rule says; empty where it has none."""
    locked: tuple[tuple[int, int], ...]
    """Winner and loser. Ranked pairs: what was locked, in order; split cycle: the defeats that stand."""
    ties: tuple[Tie, ...]
    rounds: tuple[tuple[int, ...], ...] = ()
    """Nanson and Baldwin: who was excluded in each round."""

    def to_form(self) -> dict[str, JsonValue]:
        """As an object."""
        return {
            "candidates": [*self.candidates],
            "above": [[str(votes) for votes in row] for row in self.above],
            "winners": [*self.winners],
            "scores": [str(score) for score in self.scores],
            "locked": [[winner, loser] for winner, loser in self.locked],
            "ties": [tie.to_form() for tie in self.ties],
            "rounds": [[*excluded] for excluded in self.rounds],
        }


def compare(rule: Comparison, ballots: Ballots, lot_order: Sequence[int]) -> Compared:
    """Count the ballots.

    Raises:
        InvalidParameter: ranked pairs, and the lot order does not name each candidate once.
        InvalidBallots: too many candidates stand.
    """
    standing = ballots.standing()
    if rule.rule == KEMENY and len(standing) > KEMENY_STANDING_MAX:
        raise InvalidBallots(f"{len(standing)} candidates; {KEMENY} counts for up to {KEMENY_STANDING_MAX}")
    above = preferences(ballots)
    found = _RULES[rule.rule](_Pairs(rule, len(ballots.candidates), standing, above, lot_order))
    return Compared(
        rule,
        standing,
        tuple(tuple(row) for row in above.tolist()),
        tuple(standing[place] for place in found.winners),
        found.scores,
        tuple((standing[winner], standing[loser]) for winner, loser in found.locked),
        found.ties,
        tuple(tuple(standing[place] for place in excluded) for excluded in found.rounds),
    )


@dataclass(frozen=True, slots=True)
class _Pairs:
    """What the rules look at, by place among the standing."""

    rule: Comparison
    candidates: int
    """How many there are, withdrawn ones included."""
    standing: tuple[int, ...]
    above: Matrix
    lot_order: Sequence[int]

    def numbered(self, pair: tuple[int, int]) -> tuple[int, int]:
        """Two places as numbers."""
        return self.standing[pair[0]], self.standing[pair[1]]

    @property
    def defeats(self) -> Matrix:
        """What each victory weighs, 0 where there is none."""
        over = margins(self.above)
        return np.where(over > 0, over if self.rule.measure == "margins" else self.above, 0)


@dataclass(frozen=True, slots=True)
class _Found:
    winners: Sequence[int]
    scores: tuple[int, ...] = ()
    locked: Sequence[tuple[int, int]] = ()
    ties: tuple[Tie, ...] = ()
    rounds: tuple[tuple[int, ...], ...] = ()


def _best(scores: NDArray[np.int64]) -> list[int]:
    return [int(place) for place in np.flatnonzero(scores == scores.max())]


def _borda(pairs: _Pairs) -> _Found:
    """Places below minus places above, over all ballots."""
    scores = margins(pairs.above).sum(axis=1)
    return _Found(_best(scores), tuple(scores.tolist()))


def _copeland(pairs: _Pairs) -> _Found:
    """Halves: two for each victory, one for each tie."""
    over = margins(pairs.above)
    ties = (over == 0).sum(axis=1) - 1  # not with itself
    scores = HALVES * (over > 0).sum(axis=1) + ties
    return _Found(_best(scores), tuple(scores.tolist()))


def _minimax(pairs: _Pairs) -> _Found:
    """Minus the worst defeat."""
    scores = -pairs.defeats.max(axis=0)
    return _Found(_best(scores), tuple(scores.tolist()))


def widest_paths(weights: Matrix) -> Matrix:
    """For each pair the weight of its strongest path, which is that of its weakest victory; 0 without one."""
    kind = np.int32 if int(weights.max()) <= np.iinfo(np.int32).max else np.int64
    paths: NDArray[Any] = weights.astype(kind)  # half the bytes, half the time
    for through in range(len(paths)):
        np.maximum(paths, np.minimum(paths[:, through, np.newaxis], paths[through]), out=paths)
    return paths


def _schulze(pairs: _Pairs) -> _Found:
    """Candidates whose path to nobody is weaker than the way back; scored by how many they beat."""
    paths = widest_paths(pairs.defeats)
    np.fill_diagonal(paths, 0)
    beats = paths > paths.T
    winners = [int(place) for place in np.flatnonzero(~beats.any(axis=0))]
    return _Found(winners, tuple(beats.sum(axis=1).tolist()))


def _split_cycle(pairs: _Pairs) -> _Found:
    """Candidates without a defeat that is larger than the smallest margin of every cycle it is in."""
    over = pairs.defeats
    stands = (over > 0) & (over > widest_paths(over).T)
    winners = [int(place) for place in np.flatnonzero(~stands.any(axis=0))]
    return _Found(winners, locked=[(int(winner), int(loser)) for winner, loser in np.argwhere(stands)])


def _ranked_pairs(pairs: _Pairs) -> _Found:
    """Victories from the heaviest down, each that closes no cycle; equal ones by lot (Zavist and Tideman)."""
    of_number = places_by_lot(pairs.lot_order, pairs.candidates)
    lot = [of_number[number] for number in pairs.standing]
    defeats = pairs.defeats
    by_weight: dict[int, list[tuple[int, int]]] = {}
    for winner, loser in np.argwhere(defeats > 0).tolist():
        by_weight.setdefault(int(defeats[winner, loser]), []).append((winner, loser))
    order = _Order(len(pairs.standing))
    ties: list[Tie] = []
    for _, equal in sorted(by_weight.items(), reverse=True):
        equal.sort(key=lambda pair: (lot[pair[0]], -lot[pair[1]]))
        free = [pair for pair in equal if not order.forbids(*pair)]
        if sum(order.lock(*pair) for pair in free) < len(free):
            ties.append(Tie(tuple(pairs.numbered(pair) for pair in free)))
    lost = {loser for _, loser in order.locked}
    undefeated = [place for place in range(len(pairs.standing)) if place not in lost]
    if len(undefeated) > 1:
        ties.append(Tie(candidates=tuple(pairs.standing[place] for place in undefeated)))
    return _Found([min(undefeated, key=lot.__getitem__)], locked=order.locked, ties=tuple(ties))


class _Order:
    """Victories that were locked, and whom each candidate stands above by them."""

    def __init__(self, size: int) -> None:
        self.locked: list[tuple[int, int]] = []
        self._below = [1 << place for place in range(size)]
        """As bits; itself included."""

    def forbids(self, winner: int, loser: int) -> bool:
        """Whether this victory would close a cycle."""
        return bool(self._below[loser] >> winner & 1)

    def lock(self, winner: int, loser: int) -> bool:
        """Lock a victory, if it closes no cycle."""
        if self.forbids(winner, loser):
            return False
        self.locked.append((winner, loser))
        if not self._below[winner] >> loser & 1:
            gained = self._below[loser]
            self._below = [below | gained if below >> winner & 1 else below for below in self._below]
        return True


def _kemeny(pairs: _Pairs) -> _Found:
    """Candidates that lead an order with which the ballots agree most, by dynamic programming over sets."""
    above: list[list[int]] = pairs.above.tolist()
    size = len(above)
    agreed = [0] * (1 << size)
    """With the best order of each set, as bits."""

    def led_by(leader: int, members: int) -> int:
        others = members & ~(1 << leader)
        return agreed[others] + sum(above[leader][other] for other in range(size) if others >> other & 1)

    for members in range(1, 1 << size):
        agreed[members] = max(led_by(leader, members) for leader in range(size) if members >> leader & 1)
    whole = (1 << size) - 1
    winners = [leader for leader in range(size) if led_by(leader, whole) == agreed[whole]]
    return _Found(winners, (agreed[whole],))


def _nanson(pairs: _Pairs) -> _Found:
    """In each round those below the mean of the Borda scores are excluded, which is 0."""
    return _by_rounds(pairs, lambda scores: scores < 0)


def _baldwin(pairs: _Pairs) -> _Found:
    """In each round those with the smallest Borda score are excluded, all that are tied."""
    return _by_rounds(pairs, lambda scores: scores == scores.min())


def _by_rounds(pairs: _Pairs, worst: Callable[[NDArray[np.int64]], NDArray[np.bool_]]) -> _Found:
    """Exclude by scores among those that are left, until it would be all of them or none."""
    over = margins(pairs.above)
    left = np.arange(len(pairs.standing))
    rounds: list[tuple[int, ...]] = []
    while True:
        scores = over[np.ix_(left, left)].sum(axis=1)
        excluded = worst(scores)
        if excluded.all() or not excluded.any():
            return _Found(left.tolist(), rounds=tuple(rounds))
        rounds.append(tuple(left[excluded].tolist()))
        left = left[~excluded]


BORDA: Final = "borda"
COPELAND: Final = "copeland"
MINIMAX: Final = "minimax"
SCHULZE: Final = "schulze"
RANKED_PAIRS: Final = "ranked-pairs"
SPLIT_CYCLE: Final = "split-cycle"
KEMENY: Final = "kemeny"
NANSON: Final = "nanson"
BALDWIN: Final = "baldwin"
MEASURED: Final = (MINIMAX, SCHULZE, RANKED_PAIRS)
_RULES: Final[Mapping[str, Callable[[_Pairs], _Found]]] = {
    BORDA: _borda,
    COPELAND: _copeland,
    MINIMAX: _minimax,
    SCHULZE: _schulze,
    RANKED_PAIRS: _ranked_pairs,
    SPLIT_CYCLE: _split_cycle,
    KEMENY: _kemeny,
    NANSON: _nanson,
    BALDWIN: _baldwin,
}
RULES: Final = tuple(_RULES)

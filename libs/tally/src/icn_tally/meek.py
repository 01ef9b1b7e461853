"""Meek and Warren: every candidate keeps of each vote that comes by what it needs, found by iteration.

Source: docs/spec/voting.md, "Meek and Warren"; Hill, Wichmann and Woodall, Algorithm 123: Single transferable
vote by Meek's method (1987); Proportional Representation Foundation, Reference Meek Rule; Hill and Warren,
Meek versus Warren, Voting matters 20 (2005).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, permutations, product
from math import factorial, lcm, prod
from typing import Any, Final, TypeAlias

import numpy as np
from icn_crypto.jcs import JsonValue
from numpy.typing import NDArray

from icn_tally import parameters
from icn_tally.ballots import Ballots, Ranking
from icn_tally.faults import InvalidBallots
from icn_tally.lots import places_by_lot
from icn_tally.resting import collector_at_rest
from icn_tally.stages import Action, Count, Stage, Ties, written

MEEK: Final = "meek"
WARREN: Final = "warren"
RULES: Final = (MEEK, WARREN)
STANDING_MAX: Final = 500
PLACES_DEFAULT: Final = 9
PLACES_MAX: Final = 18
TOLERANCE_PLACES_DEFAULT: Final = 6
ORDERS_MAX: Final = 720
"""Orders of one ballot with equal ranks: six candidates in one rank."""
ITERATIONS_MAX: Final = 10_000
"""Of one stage; the surplus shrinks with each, by a tenth and more in all elections we know."""
_INT64_MAX: Final = 2**63 - 1

_Bundle: TypeAlias = tuple[Iterator[int], int]
"""What is left of an order of ballots, and how many they are, in parts of a ballot."""
_Integers: TypeAlias = NDArray[Any]
"""Of 64 bits where no product can pass them, else of Python's."""


@dataclass(frozen=True, slots=True)
class Meek:
    """Parameters of both rules."""

    rule: str
    seats: int
    places: int = PLACES_DEFAULT
    """Decimal places of votes and keep factors."""
    tolerance_places: int = TOLERANCE_PLACES_DEFAULT
    """Iteration ends when the surplus of all elected is below 10^−this."""

    @classmethod
    def from_form(cls, rule: str, form: Mapping[str, object]) -> Meek:
        """Read them from an object.

        Raises:
            InvalidParameter: one is missing, unknown or out of its limits.
        """
        parameters.refuse_unknown(form, ("seats", "places", "tolerance_places"))
        seats = parameters.integer(form, "seats", low=1, high=STANDING_MAX)
        places = parameters.integer(form, "places", low=1, high=PLACES_MAX, default=PLACES_DEFAULT)
        default = min(TOLERANCE_PLACES_DEFAULT, places)
        tolerance = parameters.integer(form, "tolerance_places", low=1, high=places, default=default)
        return cls(rule, seats, places, tolerance)

    def to_form(self) -> dict[str, JsonValue]:
        """The same as an object, nothing left to defaults."""
        return {"seats": self.seats, "places": self.places, "tolerance_places": self.tolerance_places}


@collector_at_rest()
def count(rule: Meek, ballots: Ballots, lot_order: Sequence[int]) -> Count:
    """Count the ballots.

    Raises:
        InvalidParameter: more seats than candidates stand, or the lot order does not name each once.
        InvalidBallots: none is valid, too many candidates stand or equal ranks make too many orders.
    """
    parameters.check_seats(rule.rule, rule.seats, ballots, STANDING_MAX)
    return _Counting(rule, ballots, Ties("lot", places_by_lot(lot_order, len(ballots.candidates)))).run()


@dataclass(slots=True)
class _Node:
    """Ballots that come to a candidate by the same way over elected ones."""

    bundles: list[_Bundle] = field(default_factory=list)
    """Of a hopeful: those that lie here. They move on when it is elected or excluded."""
    weight: int = 0
    below: dict[int, _Node] = field(default_factory=dict)
    """Of an elected: whom what it does not keep comes to."""


class _Counting:
    """The state of a count. Ballots form a tree: a node for each way over elected candidates to a hopeful,
    so that an iteration visits each way once, however many ballots go it."""

    def __init__(self, rule: Meek, ballots: Ballots, ties: Ties) -> None:
        self.rule = rule
        self.ties = ties
        self.scale = 10**rule.places
        self.size = len(ballots.candidates) + 1
        self.hopeful = list(ballots.standing())
        self.elected: list[int] = []
        self.stages: list[Stage] = []
        self.keep = [0] * self.size
        for candidate in self.hopeful:
            self.keep[candidate] = self.scale
        orders = [
            _checked_orders(ranking, place) for place, (ranking, _) in enumerate(ballots.bundles(), start=1)
        ]
        self.parts = lcm(*set(orders))
        """Of a ballot, so that each order of its equal ranks is a whole number of them."""
        self.root = _Node()
        self.invalid = 0
        given: list[_Bundle] = []
        for (ranking, weight), amount in zip(ballots.bundles(), orders, strict=True):
            if ranking:
                given += ((order, weight * self.parts // amount) for order in _sequences(ranking, amount))
            else:
                self.invalid += weight
        self.valid = ballots.total_weight - self.invalid
        if self.valid == 0:
            raise InvalidBallots("no ballot is valid, so there is nothing to count")
        self._put(self.root, given)
        largest = self.valid * self.parts * self.scale
        self.dtype: type = np.int64 if largest <= _INT64_MAX and self.scale**2 <= _INT64_MAX // 2 else object
        self.votes = [0] * self.size
        self.quota = 0

    def run(self) -> Count:
        """All stages: what the one before decided is carried out by iteration."""
        action: Action = "elect"
        candidates: tuple[int, ...] = ()
        while True:
            found = self._iterate()
            if not found and self._is_decided():
                found = tuple(self.hopeful)
            self.stages.append(self._stage(action, candidates or found, found))
            self._elect(found)
            if not self.hopeful or len(self.elected) == self.rule.seats:
                break
            if found:
                action, candidates = "transfer", found
            else:
                action, candidates = "exclude", (self._lowest(),)
                self._exclude(candidates[0])
        winners = tuple(number for stage in self.stages for number in stage.elected)
        quota = written(self.quota, self.rule.places)
        return Count(
            self.rule,
            self.rule.places,
            self.valid,
            self.invalid,
            quota,
            winners,
            tuple(self.stages),
            tuple(self.ties.found),
        )

    def _is_decided(self) -> bool:
        return len(self.elected) + len(self.hopeful) <= self.rule.seats

    def _stage(self, action: Action, candidates: tuple[int, ...], elected: tuple[int, ...]) -> Stage:
        left = self.valid * self.scale - sum(self.votes)
        return Stage(action, candidates, tuple(self.votes[1:]), left, 0, elected, self.quota)

    def _iterate(self) -> tuple[int, ...]:
        """Distribute votes and change keep factors until somebody is elected, who is returned, or until the
        surplus is small or shrinks no more."""
        tolerance = 10 ** (self.rule.places - self.rule.tolerance_places)
        levels = self._levels()
        before = None
        for _ in range(ITERATIONS_MAX):
            self._distribute(levels)
            self.quota = sum(self.votes) // (self.rule.seats + 1) + 1
            reached = tuple(number for number in self.hopeful if self.votes[number] >= self.quota)
            if reached:
                return reached
            surplus = self._surplus()
            if surplus < tolerance or (before is not None and surplus >= before) or self._is_decided():
                return ()
            before = surplus
            for number in self.elected:
                share = _divided_up(self.keep[number] * self.quota, self.scale)
                self.keep[number] = min(_divided_up(share * self.scale, self.votes[number]), self.scale)
        raise InvalidBallots(
            f"a surplus is left after {ITERATIONS_MAX} iterations of one stage: count with fewer places"
        )

    def _surplus(self) -> int:
        return max(sum(self.votes[number] - self.quota for number in self.elected), 0)

    def _lowest(self) -> int:
        """Whom to exclude. Who may be overtaken by no more than the surplus is tied."""
        smallest = min(self.votes[number] for number in self.hopeful)
        reach = smallest + self._surplus()
        tied = [number for number in self.hopeful if self.votes[number] <= reach]
        return self.ties.choose(tied, "exclude", self.stages)

    def _elect(self, candidates: Iterable[int]) -> None:
        for number in candidates:
            self.hopeful.remove(number)
            self.elected.append(number)
        for node in self._nodes(set(candidates)):
            bundles, node.bundles = node.bundles, []
            self._put(node, bundles)

    def _exclude(self, candidate: int) -> None:
        self.hopeful.remove(candidate)
        self.keep[candidate] = 0
        for parent in [self.root, *self._nodes(set(self.elected))]:
            if node := parent.below.pop(candidate, None):
                self._put(parent, node.bundles)

    def _nodes(self, candidates: set[int]) -> list[_Node]:
        """All nodes of some candidates."""
        found: list[_Node] = []
        open_nodes = [self.root]
        while open_nodes:
            node = open_nodes.pop()
            open_nodes += node.below.values()
            found += [below for number, below in node.below.items() if number in candidates]
        return found

    def _put(self, parent: _Node, bundles: Iterable[_Bundle]) -> None:
        """Give bundles to the next candidate of each that is hopeful or elected, and on from the elected."""
        is_elected = set(self.elected)
        for bundle in bundles:
            node = parent
            for number in bundle[0]:
                if not self.keep[number]:
                    continue
                following = node.below.get(number)
                if following is None:
                    following = node.below[number] = _Node()
                node = following
                node.weight += bundle[1]
                if number not in is_elected:
                    node.bundles.append(bundle)
                    break

    def _levels(self) -> list[tuple[_Integers, _Integers, _Integers]]:
        """The tree level by level: candidate, place of the parent in the level above, weight of each node."""
        levels: list[tuple[_Integers, _Integers, _Integers]] = []
        parents = [self.root]
        while True:
            level = [
                (number, place, node)
                for place, parent in enumerate(parents)
                for number, node in parent.below.items()
            ]
            if not level:
                return levels
            numbers, places, parents = (list(column) for column in zip(*level, strict=True))
            weights: _Integers = np.array([node.weight for node in parents], self.dtype)
            levels.append((np.array(numbers), np.array(places), weights))

    def _distribute(self, levels: Sequence[tuple[_Integers, _Integers, _Integers]]) -> None:
        """Give each candidate what it keeps of every vote that comes by; shares are rounded up, and of what
        parts of a ballot make a vote, down."""
        keep: _Integers = np.array(self.keep, self.dtype)
        votes: _Integers = np.zeros(self.size, self.dtype)
        left: _Integers = np.array([self.scale], self.dtype)
        for numbers, parents, weights in levels:
            comes = left[parents]
            if self.rule.rule == MEEK:
                kept = -(-comes * keep[numbers] // self.scale)
            else:
                kept = np.minimum(comes, keep[numbers])
            np.add.at(votes, numbers, kept * weights)
            left = comes - kept
        self.votes = [int(vote) // self.parts for vote in votes]


def _divided_up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


def orders_of(ranking: Ranking) -> int:
    """In how many strict orders a ranking can be read."""
    longer = [len(rank) for rank in ranking if len(rank) > 1]
    return prod(map(factorial, longer)) if longer else 1


def _checked_orders(ranking: Ranking, place: int) -> int:
    orders = orders_of(ranking)
    if orders > ORDERS_MAX:
        raise InvalidBallots(
            f"ballot {place}: its equal ranks allow {orders} orders; up to {ORDERS_MAX} are counted"
        )
    return orders


def _sequences(ranking: Ranking, orders: int) -> Iterator[Iterator[int]]:
    """Each strict order of a ranking."""
    if orders == 1:
        yield chain.from_iterable(ranking)
        return
    for ranks in product(*(permutations(rank) for rank in ranking)):
        yield (number for rank in ranks for number in rank)

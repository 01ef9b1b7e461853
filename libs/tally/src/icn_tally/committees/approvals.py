"""Who approves of whom, as all committee rules look at it.

Source: docs/spec/voting.md, "Committees".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from icn_tally.ballots import Ballots
from icn_tally.faults import InvalidBallots

STANDING_MAX: Final = 1_000


@dataclass(frozen=True)
class Approvals:
    """Ballots in bundles; candidates by place among those that stand, from 0."""

    candidates: int
    sets: tuple[tuple[int, ...], ...]
    """The places that each bundle approves of, upwards."""
    weights: tuple[int, ...]

    @classmethod
    def of(cls, ballots: Ballots, place_of: Mapping[int, int]) -> Approvals:
        """Approvals from ballots with one rank each; ``place_of`` each number that stands.

        Raises:
            InvalidBallots: one has several ranks, too many candidates stand or nobody approves of anybody.
        """
        if len(place_of) > STANDING_MAX:
            raise InvalidBallots(
                f"{len(place_of)} candidates; committees are elected of up to {STANDING_MAX}"
            )
        sets: list[tuple[int, ...]] = []
        for place, (ranking, _) in enumerate(ballots.bundles(), start=1):
            if len(ranking) > 1:
                raise InvalidBallots(f"ballot {place}: {len(ranking)} ranks, an approval ballot has one")
            approved = tuple(sorted(place_of[number] for rank in ranking for number in rank))
            sets.append(approved)
        if not any(sets):
            raise InvalidBallots("nobody approves of anybody")
        return cls(len(place_of), tuple(sets), tuple(ballots.weights))

    def merged(self) -> Approvals:
        """The same with one bundle for equal ballots."""
        bundles: dict[tuple[int, ...], int] = {}
        for approved, weight in zip(self.sets, self.weights, strict=True):
            bundles[approved] = bundles.get(approved, 0) + weight
        return Approvals(self.candidates, tuple(bundles), tuple(bundles.values()))

    @cached_property
    def voters(self) -> int:
        """How many ballots there are, blank ones included."""
        return sum(self.weights)

    @cached_property
    def supporters(self) -> tuple[tuple[int, ...], ...]:
        """The bundles that approve of each candidate."""
        found: list[list[int]] = [[] for _ in range(self.candidates)]
        for place, approved in enumerate(self.sets):
            for candidate in approved:
                found[candidate].append(place)
        return tuple(map(tuple, found))

    @cached_property
    def support(self) -> tuple[int, ...]:
        """How many ballots approve of each candidate."""
        return tuple(sum(self.weights[place] for place in bundles) for bundles in self.supporters)

    @cached_property
    def matrix(self) -> NDArray[Any]:
        """1 where the bundle of the column approves of the candidate of the row."""
        found = np.zeros((self.candidates, len(self.sets)), np.int64)
        for candidate, bundles in enumerate(self.supporters):
            found[candidate, list(bundles)] = 1
        return found

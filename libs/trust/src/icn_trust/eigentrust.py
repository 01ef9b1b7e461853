"""Seeded EigenTrust: personalized PageRank over local trust.

Source: docs/spec/reputation.md, "Scores".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from icn_trust.graph import Floats, TrustGraph

ALPHA: Final = 0.85
ALPHA_MAX: Final = 0.99
TOLERANCE: Final = 1e-12
TOLERANCE_MIN: Final = 1e-14
TOLERANCE_MAX: Final = 1e-10
"""A tenth of a unit of the rounded score: explanations sum exactly up to here."""
ITERATIONS_MAX: Final = 5_000
"""ALPHA_MAX reaches TOLERANCE_MIN in about 3,300."""
SEED_WEIGHT_MAX: Final = 2**32 - 1
SCORE_SCALE: Final = 10**9
"""Units of a score at the edge."""


class InvalidSeeds(ValueError):
    """There are no seeds, or one of them cannot be; the message names it."""


class NotConverged(ArithmeticError):
    """The iterations ran out. There are no half-done scores: they would favour whoever is near the seeds."""

    def __init__(self, iterations: int, change: float, tolerance: float) -> None:
        super().__init__(
            f"after {iterations} iterations scores still change by {change:.3g}, tolerance {tolerance:.3g}"
        )
        self.iterations = iterations
        self.change = change
        self.tolerance = tolerance


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What `scores` found, with what an explanation needs."""

    graph: TrustGraph
    values: Floats
    """By position; they sum to 1."""
    seed_shares: Floats
    alpha: float
    tolerance: float
    iterations: int

    def of(self, member: str) -> float:
        """A member's score. Raises KeyError."""
        return float(self.values[self.graph.position(member)])

    def rounded(self, member: str) -> int:
        """A member's score in units of 1 / SCORE_SCALE, half to even. Raises KeyError."""
        return to_units(self.of(member))

    def all_rounded(self) -> dict[str, int]:
        """Every member's rounded score, by ascending id."""
        return {
            member: to_units(float(value))
            for member, value in zip(self.graph.members, self.values, strict=True)
        }


def to_units(value: float) -> int:
    """A score in units of 1 / SCORE_SCALE, half to even."""
    return round(value * SCORE_SCALE)


def scores(
    graph: TrustGraph,
    seeds: Mapping[str, int],
    alpha: float = ALPHA,
    tolerance: float = TOLERANCE,
    iterations_max: int = ITERATIONS_MAX,
) -> Scores:
    """Score every member; ``seeds`` are members with weights from 1.

    Raises:
        InvalidSeeds: no seeds, a seed that is no member, or a weight out of range.
        NotConverged: ``iterations_max`` was reached.
        ValueError: alpha, tolerance or iterations out of range.
    """
    if not 0 < alpha <= ALPHA_MAX:
        raise ValueError(f"alpha: {alpha} is not above 0 and at most {ALPHA_MAX}")
    if not TOLERANCE_MIN <= tolerance <= TOLERANCE_MAX:
        raise ValueError(f"tolerance: {tolerance} is not from {TOLERANCE_MIN} to {TOLERANCE_MAX}")
    if not 1 <= iterations_max <= ITERATIONS_MAX:
        raise ValueError(f"iterations_max: {iterations_max} is not from 1 to {ITERATIONS_MAX}")
    seed_shares = _seed_shares(graph, seeds)
    values = seed_shares
    change = 0.0
    for iteration in range(1, iterations_max + 1):
        to_seeds = 1 - alpha + alpha * float(values[graph.dangling].sum())
        following = alpha * (graph.shares @ values) + to_seeds * seed_shares
        change = float(np.abs(following - values).sum())
        values = following
        if change < tolerance:
            values.setflags(write=False)
            return Scores(graph, values, seed_shares, alpha, tolerance, iteration)
    raise NotConverged(iterations_max, change, tolerance)


def _seed_shares(graph: TrustGraph, seeds: Mapping[str, int]) -> Floats:
    if not seeds:
        raise InvalidSeeds("no seeds: without them anybody can make up the members that trust him")
    for member, weight in sorted(seeds.items()):
        if member not in graph:
            raise InvalidSeeds(f"seed {member[:40]!r} is no member")
        if not 1 <= weight <= SEED_WEIGHT_MAX:
            raise InvalidSeeds(f"seed {member[:40]!r}: weight {weight} is not from 1 to {SEED_WEIGHT_MAX}")
    total = sum(seeds.values())
    shares = np.zeros(len(graph.members))
    for member, weight in seeds.items():
        shares[graph.position(member)] = weight / total
    shares.setflags(write=False)
    return shares

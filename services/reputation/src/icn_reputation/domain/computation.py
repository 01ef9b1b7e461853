"""One computation of a dimension's scores, and what it was made of.

Source: docs/spec/reputation.md, "Computation".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from icn_trust.eigentrust import ALPHA, SCORE_SCALE, Scores, scores
from icn_trust.graph import TrustGraph

from icn_reputation.domain.principals import identifier_of, name_of
from icn_reputation.domain.seeds import CONFIGURED, Seeds

PAIRS_MAX: Final = 1_000_000
"""Of one dimension: about 0.5 GB while they are computed (benches/reputation.py). A hundred thousand members
with ten partners each reach it."""
ALPHA_NANO: Final = round(ALPHA * SCORE_SCALE)


class PairSum(NamedTuple):
    """All evidence of one pair."""

    who: bytes
    about: bytes
    fulfilled: int
    """Sum of weights."""
    failed: int


@dataclass(frozen=True, slots=True)
class Basis:
    """What a computation is made of; two of the same dimension, number and seeds agree in every score."""

    dimension: str
    evidence_count: int
    """The pieces numbered 1 to this."""
    as_of_ms: int
    """Block time of the newest of them."""
    seeds: Seeds

    def is_behind(self, other: Basis) -> bool:
        """Whether ``other`` has seen something that this one has not."""
        return (
            self.evidence_count < other.evidence_count or CONFIGURED < self.seeds.height < other.seeds.height
        )

    def adds_to(self, other: Basis) -> bool:
        """Whether scores made of this one can differ from those of ``other``, and are not older."""
        is_same = self.evidence_count == other.evidence_count and self.seeds == other.seeds
        return not is_same and not self.is_behind(other)


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """Scores with their basis."""

    basis: Basis
    scores: Scores
    pairs: int
    """How many trust."""

    @property
    def members(self) -> int:
        """How many principals have a score."""
        return len(self.scores.graph.members)

    def rank(self, principal: bytes) -> int:
        """How many principals score higher, and one, by rounded scores. Raises KeyError."""
        own = self.scores.rounded(name_of(principal))
        return int((np.rint(self.scores.values * SCORE_SCALE) > own).sum()) + 1

    def rounded(self) -> dict[bytes, int]:
        """Every principal's score, units of 10^-9."""
        return {identifier_of(name): units for name, units in self.scores.all_rounded().items()}


def compute(basis: Basis, sums: Iterable[PairSum]) -> Computed:
    """Score everybody whom the evidence names, and the seeds. Takes long: not for an event loop.

    Raises:
        icn_trust.eigentrust.NotConverged: the iterations ran out, which the constants rule out.
    """
    members = {name_of(seed) for seed in basis.seeds.principals}
    trusted: list[tuple[str, str, float]] = []
    for pair in sums:
        who, about = name_of(pair.who), name_of(pair.about)
        members.update((who, about))
        if pair.fulfilled > pair.failed:
            trusted.append((who, about, pair.fulfilled - pair.failed))
    graph = TrustGraph.build(trusted, members)
    found = scores(graph, {name_of(seed): 1 for seed in basis.seeds.principals})
    return Computed(basis, found, len(trusted))

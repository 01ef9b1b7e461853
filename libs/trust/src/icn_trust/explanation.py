"""Which parts a score is the sum of, and the evidence behind them.

Source: docs/spec/reputation.md, "Explanation".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from icn_trust.eigentrust import SCORE_SCALE, Scores
from icn_trust.evidence import Evidence, Experience, Kind, LocalTrust

NAMED_DEFAULT: Final = 20
NAMED_MAX: Final = 1_000
EVIDENCE_NAMED: Final = 20
"""Pieces of evidence named for one pair."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """The evidence of one pair, bounded."""

    named: tuple[Evidence, ...]
    """Heaviest first, then newest, then by source."""
    others: int
    """How many are not named."""
    others_fulfilled: int
    """Their weights, summed."""
    others_failed: int


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one member passes on to the one whose score is explained."""

    member: str
    amount: float
    amount_units: int
    """Of 1 / SCORE_SCALE."""
    score: float
    """The contributing member's own."""
    trust: float
    """s(member, explained): after failed evidence."""
    pieces: Pieces | None
    """None where the graph was not made from evidence."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A score and its parts. The floats sum to it within the tolerance, the units exactly."""

    member: str
    score: float
    score_units: int
    seed: float
    """For being a seed."""
    seed_units: int
    returned: float
    """A seed's share of what dangling members do not pass on."""
    returned_units: int
    contributions: tuple[Contribution, ...]
    """Largest first, then by id."""
    rest: float
    """All members that are not named."""
    rest_units: int
    rest_members: int


def explain(
    scores: Scores, member: str, evidence: LocalTrust | None = None, named_max: int = NAMED_DEFAULT
) -> Explanation:
    """Explain a member's score, naming at most ``named_max`` of those it comes from.

    Raises:
        KeyError: nobody of that id.
        ValueError: ``named_max`` is not from 0 to NAMED_MAX.
    """
    if not 0 <= named_max <= NAMED_MAX:
        raise ValueError(f"named_max: {named_max} is not from 0 to {NAMED_MAX}")
    graph = scores.graph
    position = graph.position(member)
    share = float(scores.seed_shares[position])
    seed = (1 - scores.alpha) * share
    returned = scores.alpha * float(scores.values[graph.dangling].sum()) * share
    begin, end = graph.shares.indptr[position : position + 2]
    sources = graph.shares.indices[begin:end]
    amounts = scores.alpha * scores.values[sources] * graph.shares.data[begin:end]
    trusts = graph.amounts.data[begin:end]
    # Positions ascend with ids, so they decide ties; members with score 0 pass nothing on.
    order = [index for index in np.lexsort((sources, -amounts)) if amounts[index] > 0]
    named, others = order[:named_max], order[named_max:]
    rest = float(amounts[others].sum())
    score = float(scores.values[position])
    units = _units(
        scores.rounded(member), [seed, returned, *(float(amounts[index]) for index in named), rest]
    )
    contributions = tuple(
        Contribution(
            member=(source := graph.members[sources[index]]),
            amount=float(amounts[index]),
            amount_units=amount_units,
            score=float(scores.values[sources[index]]),
            trust=float(trusts[index]),
            pieces=None if evidence is None else _pieces(evidence.experiences[source, member]),
        )
        for index, amount_units in zip(named, units[2:-1], strict=True)
    )
    return Explanation(
        member=member,
        score=score,
        score_units=scores.rounded(member),
        seed=seed,
        seed_units=units[0],
        returned=returned,
        returned_units=units[1],
        contributions=contributions,
        rest=rest,
        rest_units=units[-1],
        rest_members=len(others),
    )


def _units(total: int, parts: list[float]) -> list[int]:
    """Parts as integers that sum to ``total``, which is within 0.6 of their sum in units."""
    scaled = [part * SCORE_SCALE for part in parts]
    units = [int(part) for part in scaled]
    missing = total - sum(units)
    assert missing >= 0, "a tolerance up to TOLERANCE_MAX keeps the parts below the score and half a unit"
    largest = sorted(
        (index for index, part in enumerate(scaled) if part > 0),
        key=lambda index: (units[index] - scaled[index], index),
    )
    assert missing <= len(largest)
    for index in largest[:missing]:
        units[index] += 1
    return units


def _pieces(experience: Experience) -> Pieces:
    others = experience.pieces[EVIDENCE_NAMED:]
    return Pieces(
        named=experience.pieces[:EVIDENCE_NAMED],
        others=len(others),
        others_fulfilled=sum(piece.weight for piece in others if piece.kind is Kind.FULFILLED),
        others_failed=sum(piece.weight for piece in others if piece.kind is Kind.FAILED),
    )

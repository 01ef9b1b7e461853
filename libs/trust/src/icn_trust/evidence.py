"""What one party to a commitment saw of the other, and what it makes of it per pair.

Source: docs/spec/reputation.md, "Evidence" and "Local trust".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

NAME_CHARACTERS_MAX: Final = 256
WEIGHT_MAX: Final = 2**32 - 1
"""Two million pieces of this weight still sum exactly in a float of 53 bits."""
TIME_MS_MAX: Final = 2**63 - 1
DIMENSION: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")

Pair = tuple[str, str]
"""Who trusts whom."""


class InvalidEvidence(ValueError):
    """A piece breaks a rule; the message names the field."""

    reason = "EVIDENCE_INVALID"


class EvidenceConflict(InvalidEvidence):
    """Two different pieces have one name."""

    reason = "EVIDENCE_CONFLICT"


class Kind(Enum):
    """How the commitment ended."""

    FULFILLED = "fulfilled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One commitment's end, as one party to it saw the other.

    Raises:
        InvalidEvidence: a field breaks its rule.
    """

    who: str
    """Whose experience this is."""
    about: str
    dimension: str
    kind: Kind
    weight: int
    """What was committed, in the dimension's measure, from 1."""
    occurred_at_ms: int
    """Block time of the end."""
    source_id: str
    """The event it comes from."""

    def __post_init__(self) -> None:
        for name, value in (("who", self.who), ("about", self.about), ("source_id", self.source_id)):
            if not 1 <= len(value) <= NAME_CHARACTERS_MAX:
                raise InvalidEvidence(
                    f"{name}: {len(value)} characters, 1 to {NAME_CHARACTERS_MAX} are allowed"
                )
        if self.who == self.about:
            raise InvalidEvidence(f"about: {self.who[:40]!r} speaks about itself")
        if DIMENSION.fullmatch(self.dimension) is None:
            raise InvalidEvidence(f"dimension: {self.dimension[:40]!r} is not {DIMENSION.pattern}")
        if not 1 <= self.weight <= WEIGHT_MAX:
            raise InvalidEvidence(f"weight: {self.weight} is not from 1 to {WEIGHT_MAX}")
        if not 0 <= self.occurred_at_ms <= TIME_MS_MAX:
            raise InvalidEvidence(f"occurred_at_ms: {self.occurred_at_ms} is not from 0 to {TIME_MS_MAX}")


@dataclass(frozen=True, slots=True)
class Experience:
    """All the evidence of one pair in one dimension."""

    pieces: tuple[Evidence, ...]
    """Heaviest first, then newest, then by source."""
    fulfilled: int
    """Sum of weights."""
    failed: int

    @property
    def trust(self) -> int:
        """Never below zero: distrust is not passed on."""
        return max(0, self.fulfilled - self.failed)


@dataclass(frozen=True, slots=True)
class LocalTrust:
    """Who has which experience with whom in one dimension, as of a time."""

    dimension: str
    experiences: Mapping[Pair, Experience]

    @property
    def members(self) -> frozenset[str]:
        """Everybody named."""
        return frozenset(name for pair in self.experiences for name in pair)

    def trusted(self) -> Iterator[tuple[str, str, int]]:
        """Who trusts whom how much, above zero: what `TrustGraph` takes."""
        for (who, about), experience in self.experiences.items():
            if experience.trust > 0:
                yield who, about, experience.trust


def local_trust(evidence: Iterable[Evidence], dimension: str, until_ms: int = TIME_MS_MAX) -> LocalTrust:
    """Gather the evidence of one dimension up to and including a time; a repeated piece counts once.

    Raises:
        EvidenceConflict: two different pieces of one name.
    """
    named: dict[tuple[str, str, str], Evidence] = {}
    for piece in evidence:
        if piece.dimension != dimension:
            continue
        known = named.setdefault((piece.source_id, piece.who, piece.about), piece)
        if known != piece:
            raise EvidenceConflict(
                f"source_id: {piece.source_id[:40]!r} says two things of {piece.who[:40]!r} "
                f"about {piece.about[:40]!r} in {dimension}"
            )
    pairs: dict[Pair, list[Evidence]] = {}
    for piece in named.values():
        if piece.occurred_at_ms <= until_ms:
            pairs.setdefault((piece.who, piece.about), []).append(piece)
    return LocalTrust(dimension, {pair: _experience(pairs[pair]) for pair in sorted(pairs)})


def _experience(pieces: list[Evidence]) -> Experience:
    pieces.sort(key=lambda piece: (-piece.weight, -piece.occurred_at_ms, piece.source_id))
    return Experience(
        tuple(pieces),
        sum(piece.weight for piece in pieces if piece.kind is Kind.FULFILLED),
        sum(piece.weight for piece in pieces if piece.kind is Kind.FAILED),
    )

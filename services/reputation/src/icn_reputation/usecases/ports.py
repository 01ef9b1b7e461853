"""What the use cases need from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from icn.ledger.v1 import service_pb2 as ledger
from icn_trust.evidence import Evidence, Kind

from icn_reputation.domain.computation import Basis, PairSum
from icn_reputation.domain.reciprocity import MarkedPosting, MarkedSums


class NumberedEvidence(NamedTuple):
    """A piece and its number within its dimension, from 1, in the order of arrival."""

    number: int
    piece: Evidence


class PairEvidence(NamedTuple):
    """The evidence of one pair, bounded."""

    named: Sequence[NumberedEvidence]
    """Heaviest first, then newest, then by source."""
    others: int
    others_fulfilled: int
    others_failed: int


class ComputationRow(NamedTuple):
    """The newest computation of a dimension as stored."""

    basis: Basis
    members: int
    pairs: int


class ScoreRow(NamedTuple):
    """One stored score."""

    principal: bytes
    dimension: str
    score_nano: int
    rank: int
    as_of_ms: int
    evidence_count: int


class DimensionRow(NamedTuple):
    """What is stored about a dimension; one without evidence has no row."""

    name: str
    evidence_count: int
    computation: ComputationRow | None


class Change(NamedTuple):
    """One principal's score before and after."""

    principal: bytes
    previous_nano: int
    score_nano: int


class Changes(NamedTuple):
    """What a computation changed."""

    largest: Sequence[Change]
    """By size, then by principal; bounded."""
    total: int


class EvidenceWriter(Protocol):
    """Writes pieces, inside the transaction of the event they come from."""

    async def add(self, piece: Evidence) -> int | None:
        """Store a piece; its number, or None when the same piece is there already.

        Raises:
            FailedPrecondition: EVIDENCE_CONFLICT, another piece has the same name.
        """
        ...


class MembershipWriter(Protocol):
    """Remembers who belongs where, inside the transaction of the event that says so."""

    async def set_membership(
        self, organization: bytes, member: bytes, *, is_active: bool, has_been_active: bool, height: int
    ) -> None:
        """A membership as it stands at a height; what an older event says changes nothing."""
        ...

    async def add_authority(self, authority: bytes, height: int) -> None:
        """An authority that was founded."""
        ...


class MarkedWriter(Protocol):
    """Sums marked postings, inside the transaction of the event that tells of one."""

    async def add(self, posting: MarkedPosting) -> None:
        """Count a posting that was not counted before; in any order."""
        ...


class MarkedReader(Protocol):
    """Reads what marked postings moved."""

    async def marked_sums(self, asked: Sequence[tuple[bytes, int]]) -> Mapping[bytes, MarkedSums]:
        """Of accounts, each up to and with a height; those that no marked posting touched are left out."""
        ...


class ScoreReader(Protocol):
    """Reads what is stored."""

    async def dimension(self, name: str) -> DimensionRow | None:
        """A dimension that has evidence or a computation."""
        ...

    async def dimensions(self) -> Sequence[DimensionRow]:
        """All of them, by name."""
        ...

    async def scores(self, dimension: str, after: tuple[int, bytes] | None, limit: int) -> Sequence[ScoreRow]:
        """Scores behind a place (score, principal), highest first, then by principal."""
        ...

    async def scores_of(self, principal: bytes) -> Sequence[ScoreRow]:
        """A principal's scores, by dimension."""
        ...

    async def evidence(
        self, dimension: str, about: bytes, who: bytes, before: int | None, limit: int, *, kind: Kind | None
    ) -> Sequence[NumberedEvidence]:
        """Evidence with a number below ``before``, latest first; empty ``about`` or ``who`` is anybody, no
        ``kind`` both."""
        ...

    async def pair_evidence(
        self, basis: Basis, about: bytes, who: Sequence[bytes], named_max: int
    ) -> Sequence[PairEvidence]:
        """What each of ``who`` experienced with ``about``, as far as ``basis`` knows, in their order."""
        ...

    async def pair_sums(self, basis: Basis, limit: int) -> Sequence[PairSum]:
        """Every pair's evidence up to the basis, at most ``limit`` pairs."""
        ...


class ScoreWriter(Protocol):
    """Takes the basis of a computation and stores its outcome."""

    async def memberships_height(self) -> int:
        """Block of the newest change of a membership or founding of an authority that is known; 0 before."""
        ...

    async def basis(self, dimension: str, configured: Sequence[bytes], founders: Sequence[bytes]) -> Basis:
        """What a computation made now would be made of, read at one moment."""
        ...

    async def store(self, row: ComputationRow, scores: dict[bytes, int], changes_max: int) -> Changes | None:
        """Store a computation and announce what it changed, in one transaction.

        None when one is stored that this one does not add to: then nothing is changed.
        """
        ...


class LedgerReader(Protocol):
    """Reads integer evidence from the validators."""

    async def list_duties(
        self, organization: str, page_size: int, page_token: str
    ) -> ledger.ListDutiesResponse:
        """As LedgerService says it."""
        ...

    async def list_accounts(self, owner: str, page_size: int, page_token: str) -> ledger.ListAccountsResponse:
        """As LedgerService says it."""
        ...

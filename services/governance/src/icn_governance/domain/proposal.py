"""A proposal on its way from draft to enactment. Source: docs/spec/governance.md."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final

from icn_tally.polls.documents import Draft, PollDocument, read_document, read_draft
from icn_tally.polls.forms import InvalidDocument

from icn_governance.domain.errors import document_invalid, not_a_teller, wrong_state

PROPOSAL_BYTES: Final = 16
OPENINGS_PER_VOTER_MAX: Final = 8
"""A member who changes a ballot more often sends the last openings again."""
BALLOTS_MAX: Final = 10_000
"""Openings and a result of so many voters are shown and recounted in seconds; larger polls need districts."""


class ProposalState(IntEnum):
    """How far a proposal has come; the numbers of the proto."""

    DRAFT = 1
    ANNOUNCED = 2
    OPEN = 3
    CLOSED = 4
    COUNTED = 5
    ENACTED = 6
    VOID = 7

    @property
    def word(self) -> str:
        """As people read it."""
        return self.name.lower()


CLOSED_STATES: Final = frozenset({ProposalState.CLOSED, ProposalState.COUNTED, ProposalState.ENACTED})
"""Ballots and openings may be shown."""


@dataclass(frozen=True, slots=True)
class LotShare:
    """What a teller has given towards drawing lots."""

    teller: bytes
    commitment: bytes = b""
    secret: bytes = b""


@dataclass(frozen=True, slots=True)
class CountedResult:
    """A result as stored."""

    result: bytes
    """Canonical JSON."""
    digest: bytes
    is_complete: bool
    is_carried: bool
    winners: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal as stored; ``proposal`` is the poll's id too."""

    proposal: bytes
    organization: bytes
    proposer: bytes
    state: ProposalState
    draft: bytes
    create_time_ms: int
    document: bytes = b""
    document_digest: bytes = b""
    close_time_ms: int = 0
    opening_time_ms: int = 0
    ballots: int = 0
    openings: int = 0
    """Voters that have sent one."""
    result: CountedResult | None = None
    decision_id: bytes = b""
    enact_height: int = 0
    lots: tuple[LotShare, ...] = field(default=())
    """One for each teller, in the draft's order."""
    position: int = 0
    """Grows with every draft."""

    def read_draft(self) -> Draft:
        """The draft, which was checked when it came."""
        return read_draft(self.draft)

    def read_document(self) -> PollDocument:
        """The poll document, which was checked when it came."""
        assert self.document, "a draft has no document yet"
        return read_document(self.document)

    def about(self, document: PollDocument, data: bytes) -> Proposal:
        """The proposal with this document, whose bytes are ``data``."""
        return replace(
            self,
            document=data,
            document_digest=document.digest(),
            close_time_ms=document.close_time_ms,
            opening_time_ms=document.opening_time_ms,
        )

    def without_document(self) -> Proposal:
        """A draft again: the ledger never opened a poll."""
        return replace(
            self,
            state=ProposalState.DRAFT,
            document=b"",
            document_digest=b"",
            close_time_ms=0,
            opening_time_ms=0,
        )

    def check_draft(self) -> None:
        """Pass while tellers may commit and a document may take the place of another.

        Raises:
            FailedPrecondition: PROPOSAL_NOT_DRAFT.
        """
        if self.state not in (ProposalState.DRAFT, ProposalState.ANNOUNCED):
            raise wrong_state("PROPOSAL_NOT_DRAFT", self.proposal, self.state.word)

    def check_takes_openings(self) -> None:
        """Pass from the document's coming until the count.

        Raises:
            FailedPrecondition: PROPOSAL_NOT_OPEN, OPENINGS_CLOSED.
        """
        if self.state in (ProposalState.DRAFT, ProposalState.VOID):
            raise wrong_state("PROPOSAL_NOT_OPEN", self.proposal, self.state.word)
        if (
            self.state not in (ProposalState.ANNOUNCED, ProposalState.OPEN, ProposalState.CLOSED)
            or self.result
        ):
            raise wrong_state("OPENINGS_CLOSED", self.proposal, "counted")

    def check_closed(self) -> None:
        """Pass when openings and secrets may be shown.

        Raises:
            FailedPrecondition: PROPOSAL_NOT_CLOSED.
        """
        if self.state not in CLOSED_STATES:
            raise wrong_state("PROPOSAL_NOT_CLOSED", self.proposal, self.state.word)

    def lot_of(self, teller: bytes) -> LotShare:
        """A teller's share.

        Raises:
            PermissionDenied: NOT_A_TELLER.
        """
        for share in self.lots:
            if share.teller == teller:
                return share
        raise not_a_teller(teller, self.proposal)


def checked_document(proposal: Proposal, data: bytes, genesis_hash: bytes) -> PollDocument:
    """The document with these bytes, which makes a poll of this draft.

    Raises:
        InvalidArgument: DOCUMENT_INVALID.
    """
    try:
        document = read_document(data)
        for place, found, expected in (
            ("genesis", document.genesis, genesis_hash),
            ("poll", document.poll, proposal.proposal),
            ("draft", document.draft.to_bytes(), proposal.draft),
            ("lot_commitments", document.lot_commitments, tuple(share.commitment for share in proposal.lots)),
        ):
            if found != expected:
                raise InvalidDocument(place, "is not what is known here")
    except InvalidDocument as error:
        raise document_invalid("DOCUMENT_INVALID", error) from None
    return document

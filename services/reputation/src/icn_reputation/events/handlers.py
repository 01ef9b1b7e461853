"""What events of the marketplace and of the ledger leave here, each in the transaction that remembers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError, Message
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1.events_pb2 import AuthorityFounded, MembershipChanged, TransferCommitted
from icn.marketplace.v1.events_pb2 import CommitmentFailed, CommitmentFulfilled
from icn_kit.database import Connection
from icn_kit.errors import InvalidArgument
from icn_kit.inbox import MALFORMED_EVENT, Handler
from icn_trust.evidence import TIME_MS_MAX, Kind

from icn_reputation.domain.commitments import EndedCommitment
from icn_reputation.domain.principals import IDENTIFIER_BYTES
from icn_reputation.domain.reciprocity import MARKED, SUM_MAX, MarkedPosting
from icn_reputation.metrics import EVIDENCE
from icn_reputation.usecases.ports import EvidenceWriter, MarkedWriter, MembershipWriter
from icn_reputation.usecases.record_evidence import record_evidence
from icn_reputation.usecases.record_membership import record_membership

FULFILLED = "icn.marketplace.v1.commitment_fulfilled"
FAILED = "icn.marketplace.v1.commitment_failed"
AUTHORITY_FOUNDED = "icn.ledger.v1.authority_founded"
MEMBERSHIP_CHANGED = "icn.ledger.v1.membership_changed"
TRANSFER_COMMITTED = "icn.ledger.v1.transfer_committed"

MARKETPLACE_SUBJECTS = (FULFILLED, FAILED)
LEDGER_SUBJECTS = (AUTHORITY_FOUNDED, MEMBERSHIP_CHANGED)
POSTING_SUBJECTS = (TRANSFER_COMMITTED,)

_Payload = TypeVar("_Payload", bound=Message)


class Writer(EvidenceWriter, MembershipWriter, Protocol):
    """Both, in one open transaction."""


class Changes(Protocol):
    """Who is told that scores may be others now."""

    def evidence_added(self, dimension: str, number: int) -> None:
        """A piece was written; its transaction is not committed yet."""
        ...

    def membership_changed(self, height: int) -> None:
        """A membership or an authority was written; its transaction is not committed yet."""
        ...


class Handlers:
    """Handlers for `icn_kit.inbox.Consumer`.

    Args:
        writer: makes what writes with an event's connection.
    """

    def __init__(self, writer: Callable[[Connection], Writer], changes: Changes) -> None:
        self._writer = writer
        self._changes = changes

    async def of_marketplace(self, event: EventEnvelope, connection: Connection) -> None:
        """Record the evidence that an ended commitment is.

        Raises:
            InvalidArgument: MALFORMED_EVENT, DIMENSION_UNKNOWN, EVIDENCE_INVALID: put aside with that reason.
            FailedPrecondition: EVIDENCE_CONFLICT, likewise.
        """
        ended: CommitmentFulfilled | CommitmentFailed
        if event.subject == FULFILLED:
            kind, ended = Kind.FULFILLED, _payload(event, CommitmentFulfilled)
        elif event.subject == FAILED:
            kind, ended = Kind.FAILED, _payload(event, CommitmentFailed)
        else:
            raise _unexpected(event)
        number = await record_evidence(
            EndedCommitment(
                commitment=ended.commitment,
                kind=kind,
                who=ended.who,
                about=ended.about,
                dimension=ended.dimension,
                weight=ended.weight,
                occurred_at_ms=ended.occurred_time_ms,
                source=ended.source_id,
            ),
            self._writer(connection),
        )
        if number is not None:
            EVIDENCE.labels(ended.dimension, kind.value).inc()
            self._changes.evidence_added(ended.dimension, number)

    async def of_ledger(self, event: EventEnvelope, connection: Connection) -> None:
        """Remember authorities and memberships.

        Raises:
            InvalidArgument: MALFORMED_EVENT: put aside with that reason.
        """
        writer = self._writer(connection)
        if event.subject == AUTHORITY_FOUNDED:
            founded = _payload(event, AuthorityFounded)
            _check(founded.authority.authority, founded.height)
            await writer.add_authority(founded.authority.authority, founded.height)
            height = founded.height
        elif event.subject == MEMBERSHIP_CHANGED:
            changed = _payload(event, MembershipChanged)
            leaf = changed.membership
            _check(leaf.organization, changed.height)
            _check(leaf.member, changed.height)
            await record_membership(
                leaf.organization,
                leaf.member,
                status=leaf.status,
                since_time_ms=leaf.since_time_ms,
                height=changed.height,
                memberships=writer,
            )
            height = changed.height
        else:
            raise _unexpected(event)
        self._changes.membership_changed(height)


def is_marked(event: EventEnvelope) -> bool:
    """Whether a posting is marked, or cannot be read, which its handler then says: most are plain trade."""
    try:
        return TransferCommitted.FromString(event.payload).kind in MARKED
    except DecodeError:
        return True


def of_postings(writer: Callable[[Connection], MarkedWriter]) -> Handler:
    """Handles what `is_marked` lets through; ``writer`` makes what writes with an event's connection."""

    async def count(event: EventEnvelope, connection: Connection) -> None:
        """Raises InvalidArgument: MALFORMED_EVENT: put aside with that reason."""
        posting = _payload(event, TransferCommitted)
        _check(posting.source, posting.height)
        _check(posting.destination, posting.height)
        if posting.height == 0 or not 1 <= posting.amount_minor <= SUM_MAX:
            raise InvalidArgument(MALFORMED_EVENT, "a height or an amount is out of range")
        await writer(connection).add(
            MarkedPosting(posting.source, posting.destination, posting.amount_minor, posting.height)
        )

    return count


def _payload(event: EventEnvelope, kind: type[_Payload]) -> _Payload:
    try:
        return kind.FromString(event.payload)
    except DecodeError:
        raise InvalidArgument(MALFORMED_EVENT, f"the payload of {event.subject} is none") from None


def _check(identifier: bytes, height: int) -> None:
    if len(identifier) != IDENTIFIER_BYTES or height > TIME_MS_MAX:
        raise InvalidArgument(MALFORMED_EVENT, "an identifier or a height is out of range")


def _unexpected(event: EventEnvelope) -> InvalidArgument:
    return InvalidArgument(MALFORMED_EVENT, f"nobody asked for {event.subject}")

"""Pieces of evidence as the marketplace tells them, and principals by name."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from hypothesis import strategies as st
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1.events_pb2 import AuthorityFounded, MembershipChanged, TransferCommitted
from icn.ledger.v1.state_pb2 import AuthorityLeaf, MembershipLeaf, MembershipStatus, PostingKind
from icn.marketplace.v1.events_pb2 import CommitmentFailed, CommitmentFulfilled
from icn_kit.envelope import new_event_id

FOUNDERS = ("bakery", "housing", "farm", "workshop")


def principal(name: str) -> bytes:
    """A principal's 16 bytes by a name for people."""
    return sha256(name.encode()).digest()[:16]


def named(name: str) -> str:
    """``principals/<32 hex>``."""
    return f"principals/{principal(name).hex()}"


def event(subject: str, payload: Any, aggregate: str = "agreements/1") -> EventEnvelope:
    """An envelope as a relay would publish it."""
    return EventEnvelope(
        id=new_event_id(),
        zone=bytes(16),
        schema_version=1,
        subject=subject,
        aggregate=aggregate,
        payload=payload.SerializeToString(),
    )


def ended(
    who: str,
    about: str,
    weight: int = 100,
    *,
    commitment: str = "",
    dimension: str = "delivery",
    is_failed: bool = False,
    occurred_at_ms: int = 1_000,
    changed: dict[str, Any] | None = None,
) -> EventEnvelope:
    """A commitment to ``who`` that ended by ``about``."""
    identifier = principal(commitment or f"{who} {about} {weight} {occurred_at_ms} {dimension}")
    fields: dict[str, Any] = {
        "commitment": identifier,
        "agreement": principal("agreement"),
        "who": principal(who),
        "about": principal(about),
        "dimension": dimension,
        "weight": weight,
        "occurred_time_ms": occurred_at_ms,
        "source_id": f"commitments/{identifier.hex()}",
        **(changed or {}),
    }
    kind, payload = (
        ("commitment_failed", CommitmentFailed(**fields, reason="not_delivered"))
        if is_failed
        else ("commitment_fulfilled", CommitmentFulfilled(**fields))
    )
    return event(f"icn.marketplace.v1.{kind}", payload)


def membership(organization: str, member: str, height: int, *, is_active: bool = True) -> EventEnvelope:
    """A membership as the ledger tells of it."""
    status = (
        MembershipStatus.MEMBERSHIP_STATUS_ACTIVE if is_active else MembershipStatus.MEMBERSHIP_STATUS_ENDED
    )
    leaf = MembershipLeaf(
        organization=principal(organization),
        member=principal(member),
        status=status,
        applied_time_ms=1,
        since_time_ms=2,
    )
    payload = MembershipChanged(height=height, block_time_ms=height, membership=leaf)
    return event("icn.ledger.v1.membership_changed", payload, "memberships/1/2")


def authority(name: str, height: int) -> EventEnvelope:
    """An authority's founding as the ledger tells of it."""
    payload = AuthorityFounded(height=height, authority=AuthorityLeaf(authority=principal(name)))
    return event("icn.ledger.v1.authority_founded", payload, "authorities/1")


def posted(
    source: str,
    destination: str,
    amount_minor: int,
    height: int,
    kind: PostingKind = PostingKind.POSTING_KIND_FEE,
    changed: dict[str, Any] | None = None,
) -> EventEnvelope:
    """A posting as the ledger tells of it."""
    fields: dict[str, Any] = {
        "height": height,
        "source": principal(source),
        "destination": principal(destination),
        "amount_minor": amount_minor,
        "kind": kind,
        **(changed or {}),
    }
    return event("icn.ledger.v1.transfer_committed", TransferCommitted(**fields), "accounts/1")


TRADES = st.lists(
    st.tuples(
        st.sampled_from((*FOUNDERS, "ana", "ben", "eva")),
        st.sampled_from((*FOUNDERS, "ana", "ben", "eva")),
        st.integers(1, 1_000),
        st.booleans(),
        st.integers(0, 9),
    ).filter(lambda trade: trade[0] != trade[1]),
    max_size=20,
)
"""Who, about, weight, whether it failed, when."""


def pieces_of(trades: list[tuple[str, str, int, bool, int]]) -> list[EventEnvelope]:
    """One event per trade, each of a commitment of its own."""
    return [
        ended(who, about, weight, commitment=str(number), is_failed=failed, occurred_at_ms=occurred_at_ms)
        for number, (who, about, weight, failed, occurred_at_ms) in enumerate(trades)
    ]

"""Events as envelopes."""

from __future__ import annotations

from google.protobuf.message import Message
from icn.identity.v1 import events_pb2
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit.envelope import new_event_id
from icn_kit.trace import current_trace

from icn_identity.domain.claims import ClaimKind
from icn_identity.usecases.ports import StoredCredential

SCHEMA_VERSION = 1
_KINDS = {ClaimKind.MEMBERSHIP: "membership", ClaimKind.OFFICE: "office"}


def envelope(
    zone: bytes, name: str, payload: Message, *, aggregate: str, tenant: bytes = b"", height: int = 0
) -> EventEnvelope:
    """An event of identity; ``name`` in snake case."""
    trace = current_trace.get()
    return EventEnvelope(
        id=new_event_id(),
        zone=zone,
        height=height,
        schema_version=SCHEMA_VERSION,
        tenant=tenant,
        traceparent=trace.traceparent if trace is not None and trace.is_sampled else "",
        subject=f"icn.identity.v1.{name}",
        aggregate=aggregate,
        payload=payload.SerializeToString(deterministic=True),
    )


def credential_name(credential_id: bytes) -> str:
    """Resource name of a credential."""
    return f"credentials/{credential_id.hex()}"


def credential_published(zone: bytes, stored: StoredCredential) -> EventEnvelope:
    """Tells of a credential."""
    name = credential_name(stored.id)
    payload = events_pb2.CredentialPublished(
        credential=name,
        organization=stored.organization,
        subject=stored.subject,
        kind=_KINDS[stored.kind],
        office=stored.office,
        valid_from_time_ms=stored.valid_from_ms,
        valid_until_time_ms=stored.valid_until_ms or 0,
    )
    return envelope(zone, "credential_published", payload, aggregate=name, tenant=stored.organization)


def credential_revoked(zone: bytes, stored: StoredCredential) -> EventEnvelope:
    """Tells that a credential is revoked."""
    name = credential_name(stored.id)
    payload = events_pb2.CredentialRevoked(
        credential=name,
        organization=stored.organization,
        subject=stored.subject,
        kind=_KINDS[stored.kind],
        office=stored.office,
    )
    return envelope(zone, "credential_revoked", payload, aggregate=name, tenant=stored.organization)

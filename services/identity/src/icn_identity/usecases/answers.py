"""What is stored, as the calls answer it."""

from __future__ import annotations

from icn.identity.v1 import service_pb2

from icn_identity.domain.claims import ClaimKind
from icn_identity.usecases.ports import StoredCredential
from icn_identity.usecases.telling import credential_name

_KINDS = {
    ClaimKind.MEMBERSHIP: service_pb2.CREDENTIAL_KIND_MEMBERSHIP,
    ClaimKind.OFFICE: service_pb2.CREDENTIAL_KIND_OFFICE,
}


def credential_answer(stored: StoredCredential) -> service_pb2.Credential:
    """A credential."""
    return service_pb2.Credential(
        name=credential_name(stored.id),
        kind=_KINDS[stored.kind],
        organization=f"principals/{stored.organization.hex()}",
        subject=f"principals/{stored.subject.hex()}",
        office=stored.office,
        valid_from_time_ms=stored.valid_from_ms,
        valid_until_time_ms=stored.valid_until_ms or 0,
        published_time_ms=stored.published_ms,
        revoked_time_ms=stored.revoked_ms or 0,
        document=stored.document,
    )

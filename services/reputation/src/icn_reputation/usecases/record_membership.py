"""Who belongs to the federation, as far as seeds need it."""

from __future__ import annotations

from icn.ledger.v1.state_pb2 import MembershipStatus

from icn_reputation.usecases.ports import MembershipWriter


async def record_membership(
    organization: bytes,
    member: bytes,
    *,
    status: int,
    since_time_ms: int,
    height: int,
    memberships: MembershipWriter,
) -> None:
    """Remember a membership as an event of the ledger says it stands."""
    is_active = status == MembershipStatus.MEMBERSHIP_STATUS_ACTIVE
    await memberships.set_membership(
        organization,
        member,
        is_active=is_active,
        has_been_active=is_active or since_time_ms > 0,
        height=height,
    )

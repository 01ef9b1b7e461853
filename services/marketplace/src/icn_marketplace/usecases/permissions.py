"""Who may do what. Source: docs/spec/marketplace.md, "Who may"."""

from __future__ import annotations

from collections.abc import Sequence

from icn_kit.errors import PermissionDenied

from icn_marketplace.domain.booking import Booking, not_your_booking
from icn_marketplace.domain.resource import Resource
from icn_marketplace.usecases.ports import Permissions


class PermissionsAt:
    """Who is what at one height, and whether anybody has asked."""

    def __init__(self, source: Permissions, height: int) -> None:
        self.source = source
        self.height = height
        self._has_judged = False

    @property
    def judged_at(self) -> int | None:
        """The height, once something was judged by it: kept with the command."""
        return self.height if self._has_judged else None

    def is_related(self, principal: bytes, relations: Sequence[str], organization: bytes) -> bool:
        """Whether the principal has one of the relations to the organization.

        Raises:
            HeightNotReached: the copy of the permissions is older.
        """
        self._has_judged = True
        return self.source.is_related(principal, relations, organization, self.height)


MEMBER, OFFICER, MEMBER_OF_MEMBER = "member", "officer", "member_of_member"


def check_may_add(principal: bytes, owner: bytes, permissions: PermissionsAt) -> None:
    """Refuse who does not belong to the owner of a resource.

    Raises:
        PermissionDenied: NOT_A_MEMBER.
    """
    if principal != owner and not permissions.is_related(principal, (MEMBER, OFFICER), owner):
        raise PermissionDenied(
            "NOT_A_MEMBER",
            "only the owner, its members and its officers may",
            principal=principal.hex(),
            organization=owner.hex(),
        )


def check_may_remove(principal: bytes, resource: Resource, permissions: PermissionsAt) -> None:
    """Refuse who neither speaks for the owner nor is the member that added the resource.

    Raises:
        PermissionDenied: NOT_YOUR_RESOURCE.
    """
    if principal == resource.owner:
        return
    allowed = (MEMBER, OFFICER) if principal == resource.added_by else (OFFICER,)
    if not permissions.is_related(principal, allowed, resource.owner):
        raise PermissionDenied(
            "NOT_YOUR_RESOURCE", "only the owner, its officers and the member that added it may"
        )


def check_may_book(principal: bytes, resource: Resource, permissions: PermissionsAt) -> None:
    """Refuse who is not in the audience.

    Raises:
        PermissionDenied: NOT_IN_AUDIENCE.
    """
    audience = resource.rules.audience
    if not audience or principal in (audience, resource.owner):
        return
    if not permissions.is_related(principal, (MEMBER, OFFICER, MEMBER_OF_MEMBER), audience):
        raise PermissionDenied(
            "NOT_IN_AUDIENCE",
            "only members of the audience, and of its member organizations, may book",
            principal=principal.hex(),
            organization=audience.hex(),
        )


def check_may_cancel(
    principal: bytes, booking: Booking, resource: Resource, permissions: PermissionsAt
) -> None:
    """Refuse who is neither the booker nor speaks for the owner.

    Raises:
        PermissionDenied: NOT_YOUR_BOOKING.
    """
    if principal in (booking.booker, resource.owner):
        return
    if not permissions.is_related(principal, (OFFICER,), resource.owner):
        raise not_your_booking()

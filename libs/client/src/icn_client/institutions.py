"""Reads of authorities, memberships, polls and decisions on a running network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from icn.ledger.v1.service_pb2 import (
    GetAuthorityRequest,
    GetDecisionRequest,
    GetMembershipRequest,
    GetPollRequest,
    ListBallotsRequest,
    ListDutiesRequest,
    ListMembershipsRequest,
)
from icn_kit.errors import Unavailable

from icn_client.connection import PAGE_SIZE_MAX, PAGES_MAX, Connection


async def authority(connection: Connection, identifier: bytes) -> Any:
    """An authority's leaf. Raises DomainError (AUTHORITY_UNKNOWN)."""
    request = GetAuthorityRequest(name=f"authorities/{identifier.hex()}")
    return (await connection.read(lambda stub: stub.GetAuthority(request))).authority


async def membership(connection: Connection, organization: bytes, member: bytes) -> Any:
    """A membership's leaf. Raises DomainError (MEMBERSHIP_UNKNOWN)."""
    request = GetMembershipRequest(name=f"memberships/{organization.hex()}/{member.hex()}")
    return (await connection.read(lambda stub: stub.GetMembership(request))).membership


async def poll(connection: Connection, identifier: bytes) -> Any:
    """A poll with the height and the block time it was read at. Raises DomainError (POLL_UNKNOWN)."""
    request = GetPollRequest(name=f"polls/{identifier.hex()}")
    return await connection.read(lambda stub: stub.GetPoll(request))


async def decision(connection: Connection, identifier: bytes) -> Any:
    """An enacted decision's leaf. Raises DomainError (DECISION_UNKNOWN)."""
    request = GetDecisionRequest(name=f"decisions/{identifier.hex()}")
    return (await connection.read(lambda stub: stub.GetDecision(request))).decision


async def memberships_of_organization(connection: Connection, organization: bytes) -> AsyncIterator[Any]:
    """All memberships of an organization, ascending by member; those that ended included."""
    request = ListMembershipsRequest(organization=f"principals/{organization.hex()}", page_size=PAGE_SIZE_MAX)
    async for row in _pages(connection, "ListMemberships", request, "memberships"):
        yield row


async def memberships_of_member(connection: Connection, member: bytes) -> AsyncIterator[Any]:
    """All memberships of a member, ascending by organization; those that ended included."""
    request = ListMembershipsRequest(member=f"principals/{member.hex()}", page_size=PAGE_SIZE_MAX)
    async for row in _pages(connection, "ListMemberships", request, "memberships"):
        yield row


async def ballots(connection: Connection, identifier: bytes) -> AsyncIterator[Any]:
    """All ballots of a poll, ascending by voter. Raises DomainError (POLL_UNKNOWN)."""
    request = ListBallotsRequest(poll=f"polls/{identifier.hex()}", page_size=PAGE_SIZE_MAX)
    async for row in _pages(connection, "ListBallots", request, "ballots"):
        yield row


async def duties(connection: Connection, organization: bytes | None = None) -> AsyncIterator[Any]:
    """Duty evidence, newest epoch first, of all organizations or of one."""
    name = "" if organization is None else f"principals/{organization.hex()}"
    request = ListDutiesRequest(organization=name, page_size=PAGE_SIZE_MAX)
    async for row in _pages(connection, "ListDuties", request, "duties"):
        yield row


async def _pages(connection: Connection, method: str, request: Any, rows: str) -> AsyncIterator[Any]:
    for _ in range(PAGES_MAX):
        page = await connection.read(partial(_call, method, request))
        for row in getattr(page, rows):
            yield row
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
    raise Unavailable("LIST_TOO_LONG", f"more than {PAGES_MAX * PAGE_SIZE_MAX} {rows}")


def _call(method: str, request: Any, stub: Any) -> Any:
    return getattr(stub, method)(request)

"""Adds a resource."""

from __future__ import annotations

from icn.marketplace.v1 import service_pb2 as pb
from icn_kit.commands import Command

from icn_marketplace.domain.identifiers import derive_identifier
from icn_marketplace.domain.resource import BookingRules, Resource, check_resource_counts
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.describe import describe_resource
from icn_marketplace.usecases.once import once
from icn_marketplace.usecases.permissions import check_may_add
from icn_marketplace.usecases.ports import UnitOfWork


async def add_resource(command: Command[pb.AddResource], context: Context) -> pb.AddResourceResponse:
    """Add a resource of an organization that the acting principal belongs to.

    Raises:
        InvalidArgument: FIELD_INVALID.
        PermissionDenied: NOT_A_MEMBER.
        ResourceExhausted: TOO_MANY_RESOURCES.
    """
    request = command.request
    rules = request.rules
    resource = Resource(
        resource=derive_identifier(context.genesis_hash, command.id, "resource"),
        owner=request.owner,
        added_by=command.principal,
        title=request.title,
        note=request.note,
        specification=request.specification,
        rules=BookingRules(
            audience=rules.audience,
            open_minute=rules.open_minute,
            close_minute=rules.close_minute,
            utc_offset_minutes=rules.utc_offset_minutes,
            minutes_min=rules.minutes_min,
            minutes_max=rules.minutes_max,
            ahead_days_max=rules.ahead_days_max,
        ),
        photos=(),
        added_at_ms=context.clock.now_ms(),
    )

    async def add(uow: UnitOfWork) -> pb.AddResourceResponse:
        check_may_add(command.principal, resource.owner, context.permissions)
        owned, added = await uow.resources.count(resource.owner, command.principal)
        check_resource_counts(owned, None if command.principal == resource.owner else added)
        await uow.resources.add(resource)
        await uow.outbox.add(context.announcer.resource_added(resource))
        return pb.AddResourceResponse(resource=describe_resource(resource))

    return await once(command, pb.AddResourceResponse, context, add)

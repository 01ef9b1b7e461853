"""Removes a resource."""

from __future__ import annotations

from icn.marketplace.v1 import service_pb2 as pb
from icn_kit.commands import Command

from icn_marketplace.domain.fields import check_bytes
from icn_marketplace.domain.limits import IDENTIFIER_BYTES
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.describe import describe_resource
from icn_marketplace.usecases.once import once
from icn_marketplace.usecases.permissions import check_may_remove
from icn_marketplace.usecases.ports import UnitOfWork
from icn_marketplace.usecases.unknown import found


async def remove_resource(command: Command[pb.RemoveResource], context: Context) -> pb.RemoveResourceResponse:
    """Take a resource that nobody has booked any more out of the lists; its bookings stay readable.

    Raises:
        InvalidArgument: FIELD_INVALID.
        NotFound: RESOURCE_UNKNOWN.
        PermissionDenied: NOT_YOUR_RESOURCE.
        FailedPrecondition: RESOURCE_REMOVED, RESOURCE_BOOKED.
    """
    identifier = command.request.resource
    check_bytes("resource", identifier, IDENTIFIER_BYTES)

    async def remove(uow: UnitOfWork) -> pb.RemoveResourceResponse:
        resource = found(await uow.resources.lock(identifier), "resource", identifier)
        check_may_remove(command.principal, resource, context.permissions)
        now_ms = context.clock.now_ms()
        removed = resource.remove(await uow.bookings.count_booked(identifier, now_ms), now_ms)
        await uow.resources.remove(identifier, now_ms)
        await uow.outbox.add(context.announcer.resource_removed(removed, command.principal))
        return pb.RemoveResourceResponse(resource=describe_resource(removed))

    return await once(command, pb.RemoveResourceResponse, context, remove)

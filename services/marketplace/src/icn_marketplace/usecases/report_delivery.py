"""The provider says that it has delivered."""

from __future__ import annotations

from icn.marketplace.v1 import service_pb2 as pb
from icn_kit.commands import Command

from icn_marketplace.domain.fields import check_bytes
from icn_marketplace.domain.limits import IDENTIFIER_BYTES
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.describe import describe_agreement
from icn_marketplace.usecases.once import once
from icn_marketplace.usecases.ports import UnitOfWork
from icn_marketplace.usecases.unknown import found


async def report_delivery(command: Command[pb.ReportDelivery], context: Context) -> pb.ReportDeliveryResponse:
    """Note the provider's word; only the receiver's fulfils the commitment.

    Raises:
        InvalidArgument: FIELD_INVALID.
        NotFound: AGREEMENT_UNKNOWN.
        PermissionDenied: NOT_A_PARTY.
        FailedPrecondition: DELIVERY_ENDED.
    """
    identifier = command.request.agreement
    check_bytes("agreement", identifier, IDENTIFIER_BYTES)

    async def report(uow: UnitOfWork) -> pb.ReportDeliveryResponse:
        stored, hold = found(await uow.agreements.lock(identifier), "agreement", identifier)
        agreement = stored.report(command.principal)
        if agreement != stored:
            await uow.agreements.change(agreement)
        return pb.ReportDeliveryResponse(agreement=describe_agreement(agreement, hold))

    return await once(command, pb.ReportDeliveryResponse, context, report)

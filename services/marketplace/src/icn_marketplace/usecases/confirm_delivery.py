"""The receiver says that it has received."""

from __future__ import annotations

from icn.marketplace.v1 import service_pb2 as pb
from icn_kit.commands import Command

from icn_marketplace.domain.agreement import delivery_evidence
from icn_marketplace.domain.fields import check_bytes
from icn_marketplace.domain.limits import IDENTIFIER_BYTES
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.describe import describe_agreement
from icn_marketplace.usecases.once import once
from icn_marketplace.usecases.ports import UnitOfWork
from icn_marketplace.usecases.record_progress import record_observation
from icn_marketplace.usecases.unknown import found


async def confirm_delivery(
    command: Command[pb.ConfirmDelivery], context: Context
) -> pb.ConfirmDeliveryResponse:
    """Fulfil the commitment to deliver; with the payment captured the agreement is settled.

    Raises:
        InvalidArgument: FIELD_INVALID.
        NotFound: AGREEMENT_UNKNOWN.
        PermissionDenied: NOT_A_PARTY.
        FailedPrecondition: DELIVERY_ENDED.
    """
    identifier = command.request.agreement
    check_bytes("agreement", identifier, IDENTIFIER_BYTES)
    block_time_ms = await context.block_time.now_ms()

    async def confirm(uow: UnitOfWork) -> pb.ConfirmDeliveryResponse:
        stored, hold = found(await uow.agreements.lock(identifier), "agreement", identifier)
        agreement = stored.confirm(command.principal)
        agreement = await record_observation(
            uow,
            agreement,
            hold,
            block_time_ms,
            context.announcer,
            before=stored,
            told=(delivery_evidence(agreement, block_time_ms),),
        )
        return pb.ConfirmDeliveryResponse(agreement=describe_agreement(agreement, hold))

    return await once(command, pb.ConfirmDeliveryResponse, context, confirm)

"""Closes an offer."""

from __future__ import annotations

from icn.marketplace.v1 import service_pb2 as pb
from icn_kit.commands import Command

from icn_marketplace.domain.fields import check_bytes
from icn_marketplace.domain.limits import IDENTIFIER_BYTES
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.describe import describe_offer
from icn_marketplace.usecases.once import once
from icn_marketplace.usecases.ports import UnitOfWork
from icn_marketplace.usecases.unknown import found


async def close_offer(command: Command[pb.CloseOffer], context: Context) -> pb.CloseOfferResponse:
    """End an offer; agreements made stay.

    Raises:
        InvalidArgument: FIELD_INVALID.
        NotFound: OFFER_UNKNOWN.
        PermissionDenied: NOT_YOUR_OFFER.
        FailedPrecondition: OFFER_CLOSED.
    """
    identifier = command.request.offer
    check_bytes("offer", identifier, IDENTIFIER_BYTES)

    async def close(uow: UnitOfWork) -> pb.CloseOfferResponse:
        now_ms = context.clock.now_ms()
        offer = found(await uow.offers.lock(identifier), "offer", identifier).close(command.principal, now_ms)
        await uow.offers.change(offer)
        await uow.outbox.add(context.announcer.offer_closed(offer, now_ms))
        return pb.CloseOfferResponse(offer=describe_offer(offer, now_ms))

    return await once(command, pb.CloseOfferResponse, context, close)

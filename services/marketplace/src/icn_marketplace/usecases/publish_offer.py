"""Publishes an offer."""

from __future__ import annotations

from dataclasses import replace

from icn.marketplace.v1 import service_pb2 as pb
from icn_kit.commands import Command
from icn_kit.errors import PermissionDenied

from icn_marketplace.domain.fields import field_invalid
from icn_marketplace.domain.identifiers import derive_identifier
from icn_marketplace.domain.offer import Offer, check_offer, check_offer_count
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.describe import ACTIONS, describe_offer
from icn_marketplace.usecases.once import once
from icn_marketplace.usecases.ports import UnitOfWork


async def publish_offer(command: Command[pb.PublishOffer], context: Context) -> pb.PublishOfferResponse:
    """Offer something for credit on an account of the acting principal.

    Raises:
        InvalidArgument: FIELD_INVALID.
        NotFound: ACCOUNT_UNKNOWN.
        PermissionDenied: NOT_ACCOUNT_OWNER.
        ResourceExhausted: TOO_MANY_OFFERS.
    """
    request = command.request
    action = ACTIONS.get(request.action)
    if action is None:
        raise field_invalid("action", f"{request.action} is not known")
    now_ms = context.clock.now_ms()
    offer = Offer(
        offer=derive_identifier(context.genesis_hash, command.id, "offer"),
        provider=command.principal,
        action=action,
        title=request.title,
        note=request.note,
        specification=request.specification,
        quantity=request.quantity,
        quantity_left=request.quantity,
        measure=request.measure,
        price_minor=request.price_minor,
        unit=b"",
        account=request.account,
        fulfil_within_ms=request.fulfil_within_ms,
        expires_at_ms=request.expire_time_ms,
        is_closed=False,
        photos=(),
        published_at_ms=now_ms,
    )
    check_offer(offer, now_ms)
    account = await context.ledger.account(request.account)
    if account.owner != command.principal:
        raise PermissionDenied(
            "NOT_ACCOUNT_OWNER", "the account is somebody else's", account=request.account.hex()
        )
    offer = replace(offer, unit=account.unit)

    async def publish(uow: UnitOfWork) -> pb.PublishOfferResponse:
        check_offer_count(await uow.offers.count_kept(offer.provider, now_ms))
        await uow.offers.add(offer)
        await uow.outbox.add(context.announcer.offer_published(offer))
        return pb.PublishOfferResponse(offer=describe_offer(offer, now_ms))

    return await once(command, pb.PublishOfferResponse, context, publish)

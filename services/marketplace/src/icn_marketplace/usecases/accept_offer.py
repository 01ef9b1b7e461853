"""Turns an offer into an agreement."""

from __future__ import annotations

from icn.marketplace.v1 import service_pb2 as pb
from icn_kit.commands import Command
from icn_kit.errors import FailedPrecondition, ResourceExhausted

from icn_marketplace.domain.agreement import Agreement, AgreementState, next_look_ms
from icn_marketplace.domain.fields import check_bytes
from icn_marketplace.domain.identifiers import derive_identifier
from icn_marketplace.domain.limits import IDENTIFIER_BYTES, LAPSED_AGREEMENTS_MAX, OPEN_AGREEMENTS_MAX
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.describe import describe_agreement
from icn_marketplace.usecases.once import once
from icn_marketplace.usecases.ports import UnitOfWork
from icn_marketplace.usecases.record_progress import record_observation
from icn_marketplace.usecases.unknown import found


async def accept_offer(command: Command[pb.AcceptOffer], context: Context) -> pb.AcceptOfferResponse:
    """Take part of an offer. The hold that pays for it may have been placed before: its id was known.

    Raises:
        InvalidArgument: FIELD_INVALID.
        NotFound: OFFER_UNKNOWN.
        PermissionDenied: OWN_OFFER.
        FailedPrecondition: OFFER_CLOSED, PRICE_CHANGED, QUANTITY_EXCEEDED, HOLD_ENDED.
        ResourceExhausted: TOO_MANY_AGREEMENTS, TOO_MANY_LAPSED.
    """
    request = command.request
    check_bytes("offer", request.offer, IDENTIFIER_BYTES)
    block_time_ms = await context.block_time.now_ms()

    async def accept(uow: UnitOfWork) -> pb.AcceptOfferResponse:
        offer = found(await uow.offers.lock(request.offer), "offer", request.offer)
        offer.check_expiry(request.expire_time_ms, command.issue_time_ms)
        taken = offer.take(command.principal, request.quantity, request.price_minor, context.clock.now_ms())
        await _check_counts(uow, offer.offer, command.principal)
        agreement = Agreement(
            agreement=derive_identifier(context.genesis_hash, command.id, "agreement"),
            offer=offer.offer,
            provider=offer.provider,
            receiver=command.principal,
            action=offer.action.value,
            title=offer.title,
            quantity=request.quantity,
            amount_minor=request.quantity * offer.price_minor,
            unit=offer.unit,
            account=offer.account,
            expires_at_ms=request.expire_time_ms,
            delivery=derive_identifier(context.genesis_hash, command.id, "delivery"),
            payment=derive_identifier(context.genesis_hash, command.id, "payment"),
            made_at_ms=block_time_ms,
        )
        hold = await uow.holds.expect(agreement.payment)
        if hold is not None and hold.release is not None:
            raise FailedPrecondition("HOLD_ENDED", "the hold was given back before the agreement was made")
        await uow.offers.change(taken)
        await uow.agreements.add(agreement, next_look_ms(agreement, hold))
        await uow.outbox.add(context.announcer.agreement_made(agreement))
        if hold is not None:
            agreement = await record_observation(uow, agreement, hold, block_time_ms, context.announcer)
        return pb.AcceptOfferResponse(agreement=describe_agreement(agreement, hold))

    return await once(command, pb.AcceptOfferResponse, context, accept)


async def _check_counts(uow: UnitOfWork, offer: bytes, receiver: bytes) -> None:
    open_agreements = await uow.agreements.count(offer, receiver, AgreementState.OPEN)
    if open_agreements >= OPEN_AGREEMENTS_MAX:
        raise ResourceExhausted(
            "TOO_MANY_AGREEMENTS",
            f"{open_agreements} agreements with this offer are open, at most {OPEN_AGREEMENTS_MAX}",
            agreements=open_agreements,
            agreements_max=OPEN_AGREEMENTS_MAX,
        )
    lapsed = await uow.agreements.count(offer, receiver, AgreementState.LAPSED)
    if lapsed >= LAPSED_AGREEMENTS_MAX:
        raise ResourceExhausted(
            "TOO_MANY_LAPSED",
            f"{lapsed} agreements with this offer lapsed without a payment, at most {LAPSED_AGREEMENTS_MAX}",
            lapsed=lapsed,
            lapsed_max=LAPSED_AGREEMENTS_MAX,
        )

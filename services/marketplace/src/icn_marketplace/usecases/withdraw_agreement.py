"""A party ends an agreement that nothing is held for."""

from __future__ import annotations

from icn.marketplace.v1 import service_pb2 as pb
from icn_kit.commands import Command
from icn_kit.errors import FailedPrecondition
from icn_kit.saga import Theirs

from icn_marketplace.domain.agreement import effect_of, is_another, withdraw
from icn_marketplace.domain.fields import check_bytes
from icn_marketplace.domain.limits import IDENTIFIER_BYTES
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.describe import describe_agreement
from icn_marketplace.usecases.once import once
from icn_marketplace.usecases.ports import UnitOfWork
from icn_marketplace.usecases.record_progress import keep_progress
from icn_marketplace.usecases.unknown import found


async def withdraw_agreement(
    command: Command[pb.WithdrawAgreement], context: Context
) -> pb.WithdrawAgreementResponse:
    """End it and give what it took back to the offer.

    A hold that is placed at this very moment pays for nothing: the provider voids it, or owes a return of
    what it captures.

    Raises:
        InvalidArgument: FIELD_INVALID.
        NotFound: AGREEMENT_UNKNOWN.
        PermissionDenied: NOT_A_PARTY.
        FailedPrecondition: AGREEMENT_ENDED, DELIVERY_ENDED, HOLD_PRESENT.
    """
    identifier = command.request.agreement
    check_bytes("agreement", identifier, IDENTIFIER_BYTES)
    block_time_ms = await context.block_time.now_ms()
    async with context.units() as uow:
        seen = await uow.agreements.lock(identifier)
    # Asked outside of a transaction. One that differs is not the payment.
    is_held = (
        seen is not None
        and not is_another(*seen)
        and await context.ledger.held_at(seen.agreement.payment) is not None
    )

    async def end(uow: UnitOfWork) -> pb.WithdrawAgreementResponse:
        stored, hold = found(await uow.agreements.lock(identifier), "agreement", identifier)
        stored.check_withdrawable(command.principal)
        if is_held or effect_of(stored, hold) is not Theirs.ABSENT:
            raise FailedPrecondition(
                "HOLD_PRESENT", "the price is held on the ledger; the provider can release it"
            )
        progress = withdraw(stored, block_time_ms)
        await keep_progress(uow, progress, stored, context.announcer)
        return pb.WithdrawAgreementResponse(agreement=describe_agreement(progress.agreement, hold))

    return await once(command, pb.WithdrawAgreementResponse, context, end)

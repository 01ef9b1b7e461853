"""The provider names the transfer by which it gave a payment back."""

from __future__ import annotations

from dataclasses import replace

from icn.marketplace.v1 import service_pb2 as pb
from icn_kit.commands import Command
from icn_kit.errors import FailedPrecondition

from icn_marketplace.domain.fields import check_bytes
from icn_marketplace.domain.limits import DIGEST_BYTES, IDENTIFIER_BYTES
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.describe import describe_agreement
from icn_marketplace.usecases.once import once
from icn_marketplace.usecases.ports import UnitOfWork
from icn_marketplace.usecases.unknown import found


async def report_return(command: Command[pb.ReportReturn], context: Context) -> pb.ReportReturnResponse:
    """Settle what is owed back with a transfer that the ledger shows.

    Raises:
        InvalidArgument: FIELD_INVALID.
        NotFound: AGREEMENT_UNKNOWN, TRANSACTION_UNKNOWN.
        PermissionDenied: NOT_A_PARTY.
        FailedPrecondition: NOTHING_OWED, TRANSFER_MISMATCH, TRANSFER_USED.
    """
    request = command.request
    check_bytes("agreement", request.agreement, IDENTIFIER_BYTES)
    check_bytes("transaction_id", request.transaction_id, DIGEST_BYTES)
    postings = await context.ledger.postings(request.transaction_id)

    async def settle(uow: UnitOfWork) -> pb.ReportReturnResponse:
        seen = await uow.agreements.lock(request.agreement)
        agreement, hold = found(seen, "agreement", request.agreement)
        agreement.check_owing(command.principal)
        assert hold is not None, "a return is owed only for what was captured"
        returned_minor = max(
            (
                -posting.amount_minor
                for posting in postings
                if (posting.account, posting.counter_account) == (agreement.account, hold.source)
            ),
            default=0,
        )
        if returned_minor < agreement.return_owed_minor:
            raise FailedPrecondition(
                "TRANSFER_MISMATCH",
                f"it gives {returned_minor} back to the account that paid, {agreement.return_owed_minor} are "
                f"owed",
                returned_minor=returned_minor,
                return_owed_minor=agreement.return_owed_minor,
            )
        if not await uow.agreements.note_return(agreement.agreement, request.transaction_id):
            raise FailedPrecondition("TRANSFER_USED", "the transfer counts for another agreement")
        settled = replace(agreement, return_owed_minor=0)
        await uow.agreements.change(settled)
        await uow.outbox.add(context.announcer.agreement_ended(settled))
        return pb.ReportReturnResponse(agreement=describe_agreement(settled, hold))

    return await once(command, pb.ReportReturnResponse, context, settle)

"""What every write does: the first answer for a repeat, the present keys, the log of the organization."""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf.message import Message
from icn_credentials.webvh_log import Log
from icn_kit.commands import Command
from icn_kit.errors import NotFound

from icn_identity.domain.principals import Controller
from icn_identity.domain.refusals import issuer_without_did
from icn_identity.usecases.logs import LogMemory
from icn_identity.usecases.ports import Surroundings, UnitOfWork

AnswerT = TypeVar("AnswerT", bound=Message)


async def first_answer(command: Command[Any], uow: UnitOfWork, answer_type: type[AnswerT]) -> AnswerT | None:
    """What the command was answered when it was taken, None where it was not. Inside an open transaction."""
    known = await uow.commands.answer(command.id)
    return None if known is None else answer_type.FromString(known)


async def controller_of(principal: bytes, around: Surroundings) -> Controller:
    """The controller on the ledger.

    Raises:
        NotFound: CONTROLLER_UNKNOWN.
    """
    found = await around.ledger.controller(principal)
    if found is None:
        raise NotFound("CONTROLLER_UNKNOWN", f"no principal {principal.hex()}", principal=principal.hex())
    return found


async def issuer_log(principal: bytes, uow: UnitOfWork, logs: LogMemory) -> Log:
    """The log of an organization that signs. Inside an open transaction.

    Raises:
        FailedPrecondition: DID_UNKNOWN.
    """
    log = await logs.of(principal, uow)
    if log is None or log.last.parameters.is_deactivated:
        raise issuer_without_did(principal)
    return log


async def settle_offices(uow: UnitOfWork, around: Surroundings) -> int:
    """Bring office tuples in line with the credentials, inside the open transaction; how many changed.

    Does nothing while no block is known: the next checkpoint does it.
    """
    newest = around.blocks.newest
    if newest is None:
        return 0
    reached = await uow.tuples.lock()
    return await uow.tuples.settle_offices(newest.time_ms, max(reached + 1, newest.height))

"""A repeat gets the first answer whatever would refuse it now. Source: docs/spec/command.md, "Repeats"."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from google.protobuf.message import Message
from icn_kit.commands import Command
from icn_kit.errors import DomainError

from icn_marketplace.usecases.ports import UnitsOfWork

ResponseT = TypeVar("ResponseT", bound=Message)


async def with_first_answer(
    work: Callable[[], Awaitable[ResponseT]],
    command: Command[Any],
    response_type: type[ResponseT],
    units: UnitsOfWork,
) -> ResponseT:
    """Do ``work``; where it is refused, also because a peer does not answer, give the answer that the command
    has had before, if it has had one. What is checked before the command is claimed (fields, the ledger's
    word) so never refuses a repeat, and who is not refused pays nothing for that.

    Raises:
        DomainError: of ``work``.
    """
    try:
        return await work()
    except DomainError:
        async with units() as uow:
            known = await uow.commands.find(command.id)
        if known is None:
            raise
    return response_type.FromString(known)

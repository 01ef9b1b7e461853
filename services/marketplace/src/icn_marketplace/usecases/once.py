"""One effect per command: a repeat gets the first answer. Source: docs/spec/command.md, "Repeats"."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from google.protobuf.message import Message
from icn_kit.commands import Command

from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.ports import UnitOfWork

ResponseT = TypeVar("ResponseT", bound=Message)


async def once(
    command: Command[Any],
    response_type: type[ResponseT],
    context: Context,
    work: Callable[[UnitOfWork], Awaitable[ResponseT]],
) -> ResponseT:
    """Do ``work`` in a transaction that also keeps the command and its answer, unless that was done before.

    The command is claimed first: a repeat at the same time waits there, before it could meet its own effect.
    """
    async with context.units() as uow:
        known = await uow.commands.claim(command)
        if known is not None:
            return response_type.FromString(known)
        response = await work(uow)
        await uow.commands.answer(
            command.id, response.SerializeToString(deterministic=True), context.permissions.judged_at
        )
        await uow.commit()
    return response

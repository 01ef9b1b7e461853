"""A command has one effect and one answer, however often it comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from icn_kit.commands import Command

from icn_governance.domain.errors import COMMANDS_PER_DAY_MAX, too_many_commands
from icn_governance.usecases.ports import Begin, UnitOfWork

T = TypeVar("T")


async def once(
    command: Command[Any],
    begin: Begin,
    prepare: Callable[[], Awaitable[T]],
    work: Callable[[UnitOfWork, T], Awaitable[bytes]],
) -> bytes:
    """The answer of ``work``, or the one that the same command got before.

    Args:
        command: checked.
        begin: makes a unit of work.
        prepare: asks others, outside of any transaction; not called for a repeat that is known.
        work: makes the change and the answer's bytes inside the transaction that keeps the command.

    Raises:
        ResourceExhausted: TOO_MANY_COMMANDS.
        DomainError: whatever ``prepare`` and ``work`` refuse; nothing is kept.
    """
    async with begin() as uow:
        known = await uow.records.find_answer(command.id)
        recent = await uow.records.count_recent_commands(command.principal)
    if known is not None:
        return known
    if recent >= COMMANDS_PER_DAY_MAX:
        raise too_many_commands(command.principal)
    prepared = await prepare()
    async with begin() as uow:
        if not await uow.records.claim(command):
            known = await uow.records.find_answer(command.id)
            assert known is not None, "a claimed command is answered by the same transaction"
            return known
        answer = await work(uow, prepared)
        await uow.records.answer(command.id, answer)
        await uow.commit()
    return answer

"""What an import asks of the ledger, and sends to it.

Source: docs/spec/ledger.md, "Imports".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, Final, TypeVar

from icn.ledger.v1.service_pb2 import Account
from icn.ledger.v1.transaction_pb2 import Message
from icn_chain.envelope import MESSAGES_MAX
from icn_kit.errors import FailedPrecondition, NotFound
from icn_machine.entries import PostingKind

from icn_client.acting import TransactionRefused, actor_of, perform
from icn_client.connection import PAGE_SIZE_MAX, Connection
from icn_client.keystore import Identity
from icn_client.spreadsheet import Standing
from icn_client.submitter import Outcome, Submitter

ASKED_AT_ONCE: Final = 16
"""Reads under way: enough to fill the way there and back."""
MESSAGES_BYTES_MAX: Final = 60_000
"""Of one transaction, which has at most 65,536 with its signatures (docs/spec/transaction.md, "Bytes")."""

T = TypeVar("T")
Answer = TypeVar("Answer")
Tell = Callable[[int], object]
"""Is told how many are done."""


async def controllers(connection: Connection, principals: Sequence[bytes], tell: Tell) -> dict[bytes, Any]:
    """Leaves of those of the principals that the ledger knows. Raises DomainError."""

    async def controller_of(principal: bytes) -> Any:
        try:
            return await connection.controller(principal)
        except NotFound:
            return None

    found = await _ask_each(principals, controller_of, tell)
    return {principal: leaf for principal, leaf in zip(principals, found, strict=True) if leaf is not None}


async def standings(
    connection: Connection, unit: bytes, principals: Sequence[bytes], *, with_others: bool = False, tell: Tell
) -> dict[bytes, Standing]:
    """What principals have in a unit, and on request whoever else has something there.

    Raises:
        DomainError: nobody answers; HISTORY_MISSING where who does no longer has the first entry of an
            account of the principals, so that what was confirmed of it cannot be told.
    """

    async def accounts_of(owner: bytes) -> list[Any]:
        return [one async for one in connection.accounts(owner) if one.leaf.unit == unit]

    if with_others:
        accounts = []
        seen = 0
        async for one in connection.accounts():
            tell(seen := seen + 1)
            if one.leaf.unit == unit:
                accounts.append(one)
    else:
        accounts = [one for some in await _ask_each(principals, accounts_of, tell) for one in some]
    found: dict[bytes, Standing] = {}
    for one in accounts:
        leaf = one.leaf
        standing = found.setdefault(leaf.owner, Standing())
        if leaf.terms.is_opening:
            standing.waiting[leaf.account] = leaf.terms.opening_minor
        elif not leaf.terms.is_closed:
            standing.is_open = True

    # What was confirmed are an account's first entries, all of one block: nothing can be posted before.
    named = set(principals)
    moved = [one for one in accounts if one.leaf.owner in named and one.leaf.entries]
    short = [one for one in moved if one.leaf.entries <= PAGE_SIZE_MAX]
    firsts = list(
        zip(short, await _ask_each(short, lambda one: _only_page(connection, one), tell), strict=True)
    )
    # One by one: a ledger streams few statements at once, to all who ask.
    firsts += [(one, await _first_part(connection, one)) for one in moved if one.leaf.entries > PAGE_SIZE_MAX]
    for one, entries in firsts:
        openings = [
            entry.posting.amount_minor for entry in entries if entry.posting.kind == PostingKind.OPENING
        ]
        if openings:
            standing = found[one.leaf.owner]
            standing.confirmed_minor = (standing.confirmed_minor or 0) + sum(openings)
    return found


async def _only_page(connection: Connection, account: Account) -> Sequence[Any]:
    """Entries of an account that has few. Raises as `standings`."""
    entries = await connection.entries(account.leaf.account, PAGE_SIZE_MAX)
    return _with_first(account, entries)


async def _first_part(connection: Connection, account: Account) -> Sequence[Any]:
    """The oldest entries of an account, all of its first block among them. Raises as `standings`."""
    async with aclosing(connection.statement(account.leaf.account, 1, account.height + 1)) as parts:
        async for part in parts:
            if part.entries:
                return _with_first(account, part.entries)
    return _with_first(account, ())


def _with_first(account: Account, entries: Sequence[Any]) -> Sequence[Any]:
    """The entries, of which one is the account's first. Raises as `standings`."""
    if not any(entry.number == 1 for entry in entries):
        raise FailedPrecondition(
            "HISTORY_MISSING",
            f"accounts/{account.leaf.account.hex()} has {account.leaf.entries} entries, and who answers does "
            "not show the first, which tells what was confirmed: ask a validator that has it",
        )
    return entries


async def perform_all(
    connection: Connection,
    identity: Identity,
    messages: Iterable[Message],
    place: Callable[[int, int], str],
    tell: Tell,
) -> list[Outcome]:
    """Send messages in order, as many as a transaction may have, one transaction after the other.

    Args:
        connection: to the platform.
        identity: who signs.
        messages: made one by one, in another thread.
        place: names messages by how many were sent before them, and how many they are.
        tell: of messages that had their effect.

    Raises:
        TransactionRefused: one had no effect; those before it had, and no more are sent.
        NobodyAnswers: see there.
    """
    outcomes = []
    sent = 0
    actor = await actor_of(connection, identity)
    batches = _batches(messages)
    async with Submitter(connection.doors()) as submitter:
        while batch := await asyncio.to_thread(next, batches, None):
            try:
                outcome, _ = await perform(submitter, actor, batch)
            except TransactionRefused as error:
                text = f"{place(sent, len(batch))}: {error}"
                raise TransactionRefused(error.reason, text, error.figures) from error
            outcomes.append(outcome)
            sent += len(batch)
            tell(sent)
    return outcomes


def _batches(messages: Iterable[Message]) -> Iterator[list[Message]]:
    batch: list[Message] = []
    size = 0
    for message in messages:
        if batch and (len(batch) == MESSAGES_MAX or size + message.ByteSize() > MESSAGES_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += message.ByteSize()
    if batch:
        yield batch


async def _ask_each(items: Sequence[T], ask: Callable[[T], Awaitable[Answer]], tell: Tell) -> list[Answer]:
    """An answer for each, in order; some are asked for at once."""
    found: list[Answer] = []
    for start in range(0, len(items), ASKED_AT_ONCE):
        found += await asyncio.gather(*(ask(item) for item in items[start : start + ASKED_AT_ONCE]))
        tell(len(found))
    return found

"""What an import asks of the ledger, and sends to it.

Source: docs/spec/ledger.md, "Imports".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from icn.ledger.v1.transaction_pb2 import Message
from icn_chain.envelope import MESSAGES_MAX
from icn_kit.errors import NotFound
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


async def absent(connection: Connection, principals: Sequence[bytes], tell: Tell) -> set[bytes]:
    """Those of the principals that the ledger does not know. Raises DomainError."""

    async def is_there(principal: bytes) -> bool:
        try:
            await connection.controller(principal)
        except NotFound:
            return False
        return True

    found = await _ask_each(principals, is_there, tell)
    return {principal for principal, is_known in zip(principals, found, strict=True) if not is_known}


async def standings(
    connection: Connection, unit: bytes, principals: Sequence[bytes], *, with_others: bool = False, tell: Tell
) -> dict[bytes, Standing]:
    """What principals have in a unit, and on request whoever else has something there. Raises DomainError."""

    async def accounts_of(owner: bytes) -> list[Any]:
        return [one.leaf async for one in connection.accounts(owner) if one.leaf.unit == unit]

    if with_others:
        leaves = []
        seen = 0
        async for one in connection.accounts():
            tell(seen := seen + 1)
            if one.leaf.unit == unit:
                leaves.append(one.leaf)
    else:
        leaves = [leaf for some in await _ask_each(principals, accounts_of, tell) for leaf in some]
    found: dict[bytes, Standing] = {}
    for leaf in leaves:
        standing = found.setdefault(leaf.owner, Standing())
        if leaf.terms.is_opening:
            standing.waiting[leaf.account] = leaf.terms.opening_minor
        elif not leaf.terms.is_closed:
            standing.is_open = True

    # What was confirmed is an account's first entry, so it stands on the page where there is only one.
    named = set(principals)
    looked_at = [leaf for leaf in leaves if leaf.owner in named and 0 < leaf.entries <= PAGE_SIZE_MAX]
    confirmed = await _ask_each(looked_at, lambda leaf: _confirmed_minor(connection, leaf.account), tell)
    for leaf, minor in zip(looked_at, confirmed, strict=True):
        if minor is not None:
            found[leaf.owner].confirmed_minor = (found[leaf.owner].confirmed_minor or 0) + minor
    return found


async def _confirmed_minor(connection: Connection, account: bytes) -> int | None:
    """What was confirmed of an account with one page of entries; None where nothing was."""
    openings = [
        entry.posting.amount_minor
        for entry in await connection.entries(account, PAGE_SIZE_MAX)
        if entry.posting.kind == PostingKind.OPENING
    ]
    return sum(openings) if openings else None


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

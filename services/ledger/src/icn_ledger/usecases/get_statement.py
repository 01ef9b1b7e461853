"""GetStatement: an account's entries over a span, oldest first, however many.

Entries of an executed block never change, and the span is fixed when the call begins. So the parts are read
one by one, each by its key, and no transaction is held open while a slow reader takes its time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from icn_kit.errors import InvalidArgument
from icn_kit.places import Places
from icn_machine.limits import QUANTITY_MAX

from icn_ledger.usecases.reads import Reader, get_balance

PART_BYTES: Final = 256 * 1024
"""A part ends with the block whose entries reach it: some 1,200 entries, 2 ms of the event loop."""
STATEMENTS_AT_ONCE_MAX: Final = 16
"""Each holds two parts in memory."""


class EntryRows(NamedTuple):
    """The account's entries of one block."""

    height: int
    entries: bytes
    """A serialized `ListEntriesResponse`, ascending."""


class StatementReader(Reader, Protocol):
    """Where statements are read."""

    async def entry_rows(self, account: bytes, first: int, last: int, part_bytes: int) -> Sequence[EntryRows]:
        """Entries of the blocks from a height to another, ascending, as many as it takes for so many bytes,
        one block's at least where there are any."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a span: the first block that belongs to it, or no longer does."""

    height: int | None
    """None: that of the first block at or past the time."""
    time_ms: int = 0


class Edge(NamedTuple):
    """What the account had after a block."""

    balance_minor: int
    entries: int
    """Number of its newest entry, which may be older than what is here."""
    height: int


class Statement(NamedTuple):
    """A statement whose ends are found."""

    opening: Edge
    closing: Edge
    parts: AsyncIterator[Sequence[EntryRows]]


class Statements:
    """Reads for some callers at once."""

    def __init__(self, reader: StatementReader) -> None:
        self._reader = reader
        self.places = Places(STATEMENTS_AT_ONCE_MAX, "STATEMENTS_BUSY", "statements")

    async def read(self, account: bytes, begin: Bound, end: Bound) -> Statement:
        """A statement over [begin, end).

        Raises:
            InvalidArgument: SPAN_REVERSED.
            NotFound: ACCOUNT_UNKNOWN.
            StateBehind: the block before a height that was named is not executed here.
            HistoryMissing: the span begins in what a snapshot stands for.
        """
        opening = await self._edge(account, begin)
        closing = await self._edge(account, end)
        if closing.height < opening.height:
            raise InvalidArgument(
                "SPAN_REVERSED",
                f"the span begins with block {opening.height + 1} and ends with block {closing.height}",
                first_height=opening.height + 1,
                last_height=closing.height,
            )
        return Statement(opening, closing, self._parts(account, opening.height + 1, closing.height))

    async def _edge(self, account: bytes, bound: Bound) -> Edge:
        height = None if bound.height is None else max(bound.height - 1, 0)
        found = await get_balance(account, height, bound.time_ms - 1, self._reader)
        return Edge(found.balance_minor, found.entries, found.row.height)

    async def _parts(self, account: bytes, first: int, last: int) -> AsyncIterator[Sequence[EntryRows]]:
        while first <= last:
            rows = await self._reader.entry_rows(account, first, last, PART_BYTES)
            if not rows:
                return
            yield rows
            first = rows[-1].height + 1


FROM_THE_FIRST: Final = Bound(0)
TO_THE_NEWEST: Final = Bound(None, QUANTITY_MAX)

"""WatchAccount: an account as it is, and again after every block that changed it or its owner's credit.

As in `watch_blocks` a watcher pulls. Every block wakes it to one read of the newest state; who is slow is
shown the newest alone, so it costs nothing but what it skips.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from icn.ledger.v1.service_pb2 import Entry
from icn_kit.places import Places

from icn_ledger.usecases.reads import CreditAt, Reader, check_history, get_credit
from icn_ledger.usecases.watch_blocks import BlockFeed

WATCHERS_MAX: Final = 128
"""Each reads by three keys after every block."""
ENTRIES_MAX: Final = 500
"""In an answer, as in a page; of more than these the newest."""


class AccountNews(NamedTuple):
    """An account as it stands, and what was booked on it since the news before."""

    credit: CreditAt
    entries: Sequence[Entry]
    """Oldest first."""
    has_skipped: bool
    """Whether there were older ones since."""


class AccountWatch:
    """Watches for some callers at once."""

    def __init__(self, feed: BlockFeed, reader: Reader) -> None:
        self._feed = feed
        self._reader = reader
        self._places = Places(WATCHERS_MAX, "WATCHERS_FULL", "watched accounts")

    async def watch(self, account: bytes, from_height: int) -> AsyncIterator[AccountNews]:
        """The account now, with its entries from a height on (0: with none), then its news for ever.

        Raises:
            NotFound: ACCOUNT_UNKNOWN.
            HistoryMissing: the height is not above the snapshot that this ledger began with.
            ResourceExhausted: WATCHERS_FULL.
        """
        if from_height:
            await check_history(f"block {from_height}", from_height, self._reader)
        with self._places.take():
            found = await get_credit(account, self._reader)
            told_height = from_height - 1 if from_height else found.height
            while True:
                entries = await self._entries(account, told_height, found.height)
                yield AccountNews(found, entries[:ENTRIES_MAX][::-1], len(entries) > ENTRIES_MAX)
                told, told_height = found, found.height
                while _is_same(told, found):
                    await self._feed.wait_above(found.height)
                    found = await get_credit(account, self._reader)

    async def _entries(self, account: bytes, after: int, until: int) -> Sequence[Entry]:
        """Entries above one height up to another, newest first, at most ENTRIES_MAX + 1."""
        if after >= until:
            return ()
        listed = await self._reader.entries(account, (until + 1, 0), ENTRIES_MAX + 1)
        return [entry for entry in listed if entry.height > after]


def _is_same(one: CreditAt, other: CreditAt) -> bool:
    """Whether whoever sees both sees no difference but in height: a freeze ends by time alone."""
    return (one.account, one.in_force, one.line, one.spendable_minor) == (
        other.account,
        other.in_force,
        other.line,
        other.spendable_minor,
    )

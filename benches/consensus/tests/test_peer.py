"""What the peer's door says, as the submitter hears it."""

from __future__ import annotations

import asyncio

import pytest
from icn_client.submitter import DoorClosed, News, NewsState

from benches.consensus.peer import PeerStream


class Unwritten:
    """A writer that nobody writes to."""


async def heard(data: bytes) -> list[News]:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    told: list[News] = []
    with pytest.raises(DoorClosed):
        async for news in PeerStream(reader, Unwritten()).news():  # type: ignore[arg-type]
            told.extend(news)
    return told


def frame(height: int, *endings: bytes) -> bytes:
    return height.to_bytes(8, "big") + len(endings).to_bytes(4, "big") + b"".join(endings)


async def test_a_block_commits_what_it_applied_and_refuses_the_rest() -> None:
    applied, below = await heard(frame(7, b"a" * 16 + b"\0", b"b" * 16 + b"\3"))
    assert (applied.transaction_id, applied.state, applied.height) == (b"a" * 16, NewsState.COMMITTED, 7)
    assert applied.receipt
    assert (below.state, below.reason, below.retry_after_ms) == (NewsState.REFUSED, "code 3", 0)


async def test_a_full_pool_asks_to_try_again() -> None:
    (full,) = await heard(frame(0, b"a" * 16 + b"\4"))
    assert full.state is NewsState.REFUSED
    assert full.retry_after_ms > 0


async def test_a_block_without_endings_is_no_news() -> None:
    assert await heard(frame(8)) == []

"""What the loader notes of finality."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import pytest
from icn_client.submitter import News, NewsState, Outcome
from icn_client.transactions import Signed
from icn_kit.lifecycle import cancel_all

from benches.consensus.figures import Heights
from benches.consensus.load import FINAL_LOOK_SECONDS, MEMORY_LOOKS, look_for_finality, memory_over

FAR_AHEAD_MS = 2**50


class Asked:
    """A side of which only finality is asked."""

    def __init__(self, newest: list[tuple[int, float] | None]) -> None:
        self._newest = newest

    async def newest_final(self, _seat: int) -> tuple[int, float] | None:
        return self._newest.pop(0) if len(self._newest) > 1 else self._newest[0]


async def test_a_height_is_final_since_the_validator_says_so_of_it_or_of_a_later_one() -> None:
    final, now = Heights(), time.time()
    asked = Asked([(3, now - 9), (3, now - 9), (5, now - 2)])
    before = time.perf_counter()
    looking = asyncio.create_task(look_for_finality(asked, final))  # type: ignore[arg-type]
    await asyncio.sleep(10 * FINAL_LOOK_SECONDS)
    await cancel_all([looking])
    assert final.heights == [3, 5]
    assert final.at_seconds == pytest.approx([before - 9, before - 2], abs=1)
    assert final.applied_at(4) == final.at_seconds[1]


async def test_where_nobody_can_be_asked_nothing_is_noted() -> None:
    final = Heights()
    await asyncio.wait_for(look_for_finality(Asked([None]), final), 5)  # type: ignore[arg-type]
    assert not final.heights


class InstantDoor:
    """A validator that applies what it gets."""

    name = "instant"

    def __init__(self) -> None:
        self._news: asyncio.Queue[list[News]] = asyncio.Queue()

    async def open(self) -> InstantDoor:
        return self

    async def send(self, transactions: Sequence[bytes]) -> None:
        self._news.put_nowait([News(data, NewsState.COMMITTED, 1, b"receipt") for data in transactions])

    async def news(self) -> AsyncIterator[Sequence[News]]:
        while True:
            yield await self._news.get()

    async def close(self) -> None:
        pass

    async def find(self, _transaction_id: bytes) -> News | None:
        return None

    async def block_time_ms(self) -> int:
        return 0


class Swollen:
    """A side that applies at once what it gets, and whose memory is as told."""

    def __init__(self, looks: list[int]) -> None:
        self._looks = iter(looks)
        self.signed = 0

    def doors(self) -> list[InstantDoor]:
        return [InstantDoor()]

    def sign(self, count: int) -> tuple[list[Signed], int]:
        numbers = range(self.signed, self.signed + count)
        self.signed += count
        ids = [number.to_bytes(32, "big") for number in numbers]
        return [Signed(one, one) for one in ids], FAR_AHEAD_MS

    def check(self, outcome: Outcome) -> None:
        assert outcome.height == 1

    def memory_bytes(self) -> int:
        return next(self._looks)


async def test_memory_is_looked_at_evenly_and_its_last_third_compared_with_the_middle_one() -> None:
    third = MEMORY_LOOKS // 3
    side = Swollen([9] * third + [100] * third + [110, 130] * (third // 2))
    figures = await asyncio.wait_for(memory_over(side, 1_200, 50), 30)  # type: ignore[arg-type]
    assert figures == {"memory_bytes": 120, "memory_growth": pytest.approx(1.2)}
    assert side.signed == 1_200

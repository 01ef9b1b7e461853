"""Sessions on a real Postgres: kept over a restart, good once, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from icn_gateway.domain.sign_in import CODES_MAX, SESSIONS_MAX, Session, make_challenge
from icn_gateway.store.sessions import PostgresSessions
from icn_kit.errors import FailedPrecondition, Unavailable

NOW_MS = 1_790_000_000_000
PRINCIPAL = b"p" * 16


@pytest.fixture
def dsn(database_for: Any) -> str:
    return str(database_for("icn_gateway"))


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[PostgresSessions]:
    made = PostgresSessions(dsn)
    yield made
    await made.close()


def session(expire_time_ms: int = NOW_MS + 1_000, principal: bytes = PRINCIPAL) -> Session:
    return Session(principal, b"d" * 32, expire_time_ms)


def challenge(number: int) -> Any:
    return make_challenge(PRINCIPAL, b"k" * 32, number.to_bytes(16, "big"), NOW_MS)


def secret(number: int) -> bytes:
    return number.to_bytes(32, "big")


async def test_sessions_and_the_key_of_challenges_survive_a_restart(dsn: str, store: Any) -> None:
    key = await store.challenge_key()
    await store.add_session(secret(1), session(), challenge(1), NOW_MS)
    again = PostgresSessions(dsn)
    assert await again.challenge_key() == key
    assert await again.find(secret(1), NOW_MS) == session()
    assert await again.find(secret(2), NOW_MS) is None
    await again.close()


async def test_two_gateways_that_start_at_once_agree_on_the_key(dsn: str, store: Any) -> None:
    other = PostgresSessions(dsn)
    first, second = await asyncio.gather(store.challenge_key(), other.challenge_key())
    assert first == second
    await other.close()


async def test_a_session_is_found_up_to_its_last_moment(store: Any) -> None:
    await store.add_session(secret(1), session(NOW_MS + 5), challenge(1), NOW_MS)
    assert await store.find(secret(1), NOW_MS + 5) is not None
    assert await store.find(secret(1), NOW_MS + 6) is None


async def test_of_many_who_bring_the_same_challenge_one_signs_in(store: Any) -> None:
    attempts = [store.add_session(secret(n), session(), challenge(1), NOW_MS) for n in range(8)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 1
    assert {o.reason for o in outcomes if isinstance(o, FailedPrecondition)} == {"CHALLENGE_USED"}
    with pytest.raises(FailedPrecondition):
        await store.add_code(secret(99), session(), challenge(1), NOW_MS)


async def test_a_code_is_good_once_even_for_many_at_once(store: Any) -> None:
    await store.add_code(secret(1), session(), challenge(1), NOW_MS)
    tries = [store.exchange_code(secret(1), secret(10 + n), NOW_MS + 9_000, NOW_MS) for n in range(8)]
    granted = [found for found in await asyncio.gather(*tries) if found is not None]
    assert granted == [session(NOW_MS + 9_000)]
    found = [await store.find(secret(10 + n), NOW_MS) for n in range(8)]
    assert sum(one is not None for one in found) == 1


async def test_a_code_that_has_expired_opens_nothing(store: Any) -> None:
    await store.add_code(secret(1), session(NOW_MS + 5), challenge(1), NOW_MS)
    assert await store.exchange_code(secret(1), secret(2), NOW_MS + 9_000, NOW_MS + 6) is None
    assert await store.find(secret(2), NOW_MS) is None


async def test_who_signs_in_again_and_again_keeps_the_newest_sessions(store: Any) -> None:
    for number in range(SESSIONS_MAX + 3):
        await store.add_session(secret(number), session(NOW_MS + number), challenge(number), 0)
    found = [await store.find(secret(number), 0) is not None for number in range(SESSIONS_MAX + 3)]
    assert found == [False] * 3 + [True] * SESSIONS_MAX
    for number in range(CODES_MAX + 1):
        await store.add_code(secret(number), session(NOW_MS + number), challenge(1_000 + number), 0)
    assert await store.exchange_code(secret(0), secret(5_000), NOW_MS, 0) is None
    assert await store.exchange_code(secret(1), secret(5_001), NOW_MS, 0) is not None


async def test_what_has_ended_is_removed_when_somebody_signs_in(dsn: str, store: Any) -> None:
    await store.add_session(secret(1), session(NOW_MS + 5), challenge(1), NOW_MS)
    await store.add_session(secret(2), session(NOW_MS + 999_999), challenge(2), NOW_MS + 500_000)
    async with store._transaction() as connection:
        counts = [
            (await (await connection.execute(f"SELECT count(*) FROM {table}")).fetchone())[0]
            for table in ("session", "used_challenge")
        ]
    assert counts == [1, 0], "its own challenge had ended by then too"
    assert await store.find(secret(2), NOW_MS) is not None


async def test_ending_everything_spares_others(store: Any) -> None:
    await store.add_session(secret(1), session(), challenge(1), NOW_MS)
    await store.add_session(secret(2), session(), challenge(2), NOW_MS)
    await store.add_code(secret(3), session(), challenge(3), NOW_MS)
    await store.add_session(secret(4), session(principal=b"q" * 16), challenge(4), NOW_MS)
    await store.end(secret(1))
    assert await store.find(secret(1), NOW_MS) is None
    assert await store.end_all(PRINCIPAL) == 1
    assert await store.exchange_code(secret(3), secret(5), NOW_MS, NOW_MS) is None
    assert await store.find(secret(4), NOW_MS) is not None


async def test_without_a_database_the_reason_is_told() -> None:
    with pytest.raises(Unavailable) as refusal:
        await PostgresSessions("").challenge_key()
    assert refusal.value.reason == "SIGN_IN_NOT_CONFIGURED"
    away = PostgresSessions("host=127.0.0.1 port=1 dbname=none user=none")
    for _ in range(2):
        with pytest.raises(Unavailable) as refusal:
            await away.challenge_key()
        assert refusal.value.reason == "DATABASE_UNAVAILABLE"
        assert "127.0.0.1" not in refusal.value.message

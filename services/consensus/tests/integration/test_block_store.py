from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from icn_consensus.store import block_store
from icn_consensus.store.block_store import SCHEMA, BlockStore, RecordLogStale
from icn_consensus.usecases.ports import StoredBlock
from icn_kit.database import Database

LOG_ID = b"l" * 16
KEY = b"k" * 32


def stored(height: int, size_bytes: int = 100) -> StoredBlock:
    return StoredBlock(
        height, height.to_bytes(32, "big"), 2, height + 5, bytes(size_bytes), b"final", (b"header", b"")
    )


@pytest.fixture
async def database(databases: list[str]) -> AsyncIterator[Database]:
    database = await Database.open(databases[0], SCHEMA, pool_size=2)
    yield database
    await database.close()


@pytest.fixture
async def store(database: Database) -> BlockStore:
    return await BlockStore.open(database, KEY, LOG_ID, 0)


async def test_blocks_come_back_as_they_were_stored(store: BlockStore) -> None:
    assert await store.newest() is None
    assert await store.recent_hashes(2) == []
    await store.add([stored(1), stored(2)], 5)
    assert await store.newest() == stored(2)
    assert await store.by_hash(stored(1).hash) == stored(1)
    assert await store.by_hash(bytes(32)) is None
    assert await store.page(1) == [stored(1), stored(2)]


async def test_hashes_of_the_newest_blocks_ascend(store: BlockStore) -> None:
    await store.add([stored(1), stored(2), stored(3)], 5)
    assert await store.recent_hashes(2) == [stored(2).hash, stored(3).hash]
    assert await store.recent_hashes(4) == [stored(1).hash, stored(2).hash, stored(3).hash]


async def test_adding_blocks_again_changes_nothing(store: BlockStore) -> None:
    await store.add([stored(1), stored(2)], 5)
    await store.add([stored(2, size_bytes=7), stored(3)], 6)
    assert await store.page(1) == [stored(1), stored(2), stored(3)]


async def test_a_page_holds_at_most_so_many_blocks(store: BlockStore) -> None:
    await store.add([stored(height) for height in range(1, 70)], 1)
    assert [block.height for block in await store.page(3)] == list(range(3, 67))
    assert [block.height for block in await store.page(69)] == [69]
    assert await store.page(70) == []


@pytest.mark.parametrize(("limit", "count"), [(299, 2), (300, 3), (301, 3), (99, 1)])
async def test_a_page_holds_at_most_so_many_bytes_but_always_one_block(
    store: BlockStore, monkeypatch: pytest.MonkeyPatch, limit: int, count: int
) -> None:
    monkeypatch.setattr(block_store, "PAGE_BYTES_MAX", limit)
    await store.add([stored(height) for height in range(1, 6)], 1)
    assert [block.height for block in await store.page(2)] == list(range(2, 2 + count))


async def test_the_log_that_the_store_was_filled_with_opens_it_again(
    store: BlockStore, database: Database
) -> None:
    await store.add([stored(1)], 5)
    for last_record in (5, 9):
        opened = await BlockStore.open(database, KEY, LOG_ID, last_record)
        assert (await opened.by_hash(stored(1).hash)) is not None


async def test_a_log_that_ends_before_a_record_that_was_durable_is_refused(
    store: BlockStore, database: Database
) -> None:
    await store.add([stored(1)], 5)
    await store.add([stored(2)], 3)
    with pytest.raises(RecordLogStale, match="ends at record 4, but record 5"):
        await BlockStore.open(database, KEY, LOG_ID, 4)


async def test_another_log_is_refused_even_before_the_first_block(
    store: BlockStore, database: Database
) -> None:
    with pytest.raises(RecordLogStale, match="not the one"):
        await BlockStore.open(database, KEY, b"x" * 16, 0)


async def test_a_restored_store_takes_another_key_with_its_own_log_and_no_older_copy_of_it(
    store: BlockStore, database: Database
) -> None:
    await store.add([stored(1)], 5)
    other, log_id = b"o" * 32, b"x" * 16
    renewed = await BlockStore.open(database, other, log_id, 0)
    await renewed.add([stored(2)], 3)
    with pytest.raises(RecordLogStale, match="ends at record 2, but record 3"):
        await BlockStore.open(database, other, log_id, 2)
    with pytest.raises(RecordLogStale, match="ends at record 4, but record 5"):
        await BlockStore.open(database, KEY, LOG_ID, 4)


async def test_the_row_of_an_earlier_release_becomes_that_of_the_key_whose_log_it_names(
    store: BlockStore, database: Database
) -> None:
    await store.add([stored(1)], 5)
    async with database.transaction() as connection:
        await connection.execute("UPDATE record_log SET public_key = NULL")
    with pytest.raises(RecordLogStale, match="ends at record 4, but record 5"):
        await BlockStore.open(database, KEY, LOG_ID, 4)


async def test_a_store_that_another_log_took_over_takes_no_blocks_from_the_first(
    store: BlockStore, database: Database
) -> None:
    async with database.transaction() as connection:
        await connection.execute("UPDATE record_log SET log_id = %b", (b"x" * 16,))
    with pytest.raises(RecordLogStale, match="another record log now"):
        await store.add([stored(1)], 1)
    assert await store.newest() is None

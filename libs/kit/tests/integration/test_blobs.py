"""Blobs over real Postgres: named by content, sealed per subject, bounded, forgotten."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import psycopg
import pytest
from icn_kit import blobs
from icn_kit.blobs import CONTENT_BYTES_MAX, Blob, BlobTable, PostgresBlobStore, create_blob_statements
from icn_kit.database import Database
from icn_kit.errors import DomainError, ErrorKind, NotFound
from icn_kit.sealing import SealingKeyInvalid, create_sealing_statements, read_sealing_key

ANA, BEN = f"principals/{1:032x}", f"principals/{2:032x}"
SEALING_KEY = bytes(range(32))
PHOTO = b"a tractor in the evening sun" * 100


@pytest.fixture
async def database(database: Database) -> Database:
    """The fresh database with the tables of blobs."""
    async with database.transaction() as connection:
        for statement in (*create_sealing_statements(), *create_blob_statements()):
            await connection.execute(statement)
    return database


@pytest.fixture
def store(database: Database) -> PostgresBlobStore:
    return PostgresBlobStore(database, SEALING_KEY)


async def everything_stored(database: Database) -> bytes:
    async with database.transaction() as connection:
        found = await connection.execute(
            "SELECT sealed FROM blobs UNION ALL SELECT wrapped FROM subject_keys"
        )
        return b"".join([row[0] for row in await found.fetchall()])


async def test_a_blob_is_named_by_its_content_and_read_back(store: PostgresBlobStore) -> None:
    name = await store.put(PHOTO, "image/jpeg", ANA)
    assert name == hashlib.sha256(PHOTO).hexdigest()
    assert await store.get(name) == Blob(PHOTO, "image/jpeg")


async def test_storing_it_again_is_the_same_blob(store: PostgresBlobStore, database: Database) -> None:
    names = await asyncio.gather(*(store.put(PHOTO, "image/jpeg", ANA) for _ in range(5)))
    assert len(set(names)) == 1
    async with database.transaction() as connection:
        count = await (await connection.execute("SELECT count(*) FROM blobs")).fetchone()
    assert count == (1,)


async def test_the_tables_alone_show_nothing(store: PostgresBlobStore, database: Database) -> None:
    await store.put(PHOTO, "image/jpeg", ANA)
    stored = await everything_stored(database)
    assert PHOTO[:16] not in stored
    with pytest.raises(SealingKeyInvalid):
        await PostgresBlobStore(database, bytes(32)).get(hashlib.sha256(PHOTO).hexdigest())


async def test_several_are_read_at_once_by_content_and_type(store: PostgresBlobStore) -> None:
    photo, text, lost = b"a photo", b"a text", b"a text of Ben's"
    digests = [hashlib.sha256(content).digest() for content in (photo, text, lost, b"nobody's")]
    for content, media_type, subject in (
        (photo, "image/jpeg", ANA),
        (text, "image/jpeg", ANA),
        (text, "text/plain", BEN),
        (lost, "text/plain", BEN),
    ):
        await store.put(content, media_type, subject)
    assert await store.get_several(digests, "text/plain") == {digests[1]: text, digests[2]: lost}
    assert await store.get_several(digests, "image/jpeg") == {digests[0]: photo, digests[1]: text}
    await store.delete_subject(BEN)
    assert await store.get_several(digests, "text/plain") == {}
    assert await store.get_several([], "text/plain") == {}


async def test_a_forgotten_subject_is_nowhere_readable_and_others_stay(
    store: PostgresBlobStore, database: Database
) -> None:
    only_anas = await store.put(b"only Ana's", "text/plain", ANA)
    both = await store.put(PHOTO, "image/jpeg", ANA)
    assert await store.put(PHOTO, "image/jpeg", BEN) == both
    assert await store.delete_subject(ANA)
    assert not await store.delete_subject(ANA)
    with pytest.raises(NotFound) as refusal:
        await store.get(only_anas)
    assert refusal.value.reason == "BLOB_UNKNOWN"
    assert (await store.get(both)).content == PHOTO
    assert await store.put(b"only Ana's", "text/plain", ANA) == only_anas, "she may come back"


@pytest.mark.parametrize(
    ("content", "media_type", "subject", "reason"),
    [
        (b"", "image/png", ANA, "BLOB_EMPTY"),
        (bytes(CONTENT_BYTES_MAX + 1), "image/png", ANA, "BLOB_TOO_LARGE"),
        (b"x", "image", ANA, "MEDIA_TYPE_INVALID"),
        (b"x", "image/png; charset=x", ANA, "MEDIA_TYPE_INVALID"),
        (b"x", "a/" + "b" * 63, ANA, "MEDIA_TYPE_INVALID"),
        (b"x", "image/png", "", "SUBJECT_INVALID"),
        (b"x", "image/png", "s" * 129, "SUBJECT_INVALID"),
    ],
)
async def test_what_is_out_of_bounds_is_refused(
    store: PostgresBlobStore, content: bytes, media_type: str, subject: str, reason: str
) -> None:
    with pytest.raises(DomainError) as refusal:
        await store.put(content, media_type, subject)
    assert refusal.value.reason == reason


async def test_the_largest_is_taken(store: PostgresBlobStore) -> None:
    name = await store.put(bytes(CONTENT_BYTES_MAX), "a/" + "b" * 62, "s" * 128)
    assert len((await store.get(name)).content) == CONTENT_BYTES_MAX


async def test_a_subject_has_a_quota_that_a_race_does_not_pass(
    store: PostgresBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "SUBJECT_BYTES_MAX", 30)
    results = await asyncio.gather(
        *(store.put(bytes([number]) * 10, "a/b", ANA) for number in range(6)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, DomainError)]
    assert [refusal.reason for refusal in refused] == ["BLOB_QUOTA_EXCEEDED"] * 3
    await store.put(bytes([9]) * 10, "a/b", BEN)


@pytest.mark.parametrize("name", ["", "0" * 63, "G" * 64, "0" * 64])
async def test_a_name_that_is_none_is_unknown(store: PostgresBlobStore, name: str) -> None:
    with pytest.raises(NotFound):
        await store.get(name)


async def test_damage_is_told_and_never_shown(store: PostgresBlobStore, database: Database, dsn: str) -> None:
    name = await store.put(PHOTO, "image/jpeg", ANA)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("UPDATE kit.blobs SET media_type = 'text/html'")
    with pytest.raises(DomainError) as refusal:
        await store.get(name)
    assert (refusal.value.kind, refusal.value.reason) == (ErrorKind.DATA_LOSS, "SEAL_BROKEN")


async def test_in_a_transaction_that_rolls_back_nothing_was_stored(
    store: PostgresBlobStore, database: Database
) -> None:
    with pytest.raises(RuntimeError):
        async with database.transaction() as connection:
            name = await BlobTable(SEALING_KEY).put(connection, PHOTO, "image/jpeg", ANA)
            assert (await BlobTable(SEALING_KEY).get(connection, name)).content == PHOTO
            raise RuntimeError("the rest failed")
    assert await everything_stored(database) == b""


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_sealing_key_has_32_bytes(tmp_path: Path, length: int) -> None:
    path = tmp_path / "sealing.key"
    path.write_bytes(bytes(length))
    with pytest.raises(SealingKeyInvalid):
        read_sealing_key(path)
    path.write_bytes(SEALING_KEY)
    assert read_sealing_key(path) == SEALING_KEY

"""Reading versioned rows: the value of a record or page after a height. Source: docs/spec/ledger-store.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from icn_kit.database import Connection

from icn_ledger.domain.leaves import decode_leaf
from icn_ledger.domain.records import Namespace, RecordTables
from icn_ledger.store.arrays import ByteaArray, SmallintArray

_LEAVES = """
    SELECT wanted.namespace, wanted.identifier, version.value
    FROM unnest(%(namespaces)s, %(identifiers)s) AS wanted (namespace, identifier)
    CROSS JOIN LATERAL (
        SELECT value FROM leaves
        WHERE leaves.namespace = wanted.namespace AND leaves.identifier = wanted.identifier
            AND leaves.height <= %(height)s
        ORDER BY leaves.height DESC LIMIT 1
    ) AS version
    WHERE version.value IS NOT NULL
"""

_PAGES = """
    SELECT wanted.prefix, version.page
    FROM unnest(%(prefixes)s) AS wanted (prefix)
    CROSS JOIN LATERAL (
        SELECT page FROM tree_pages
        WHERE tree_pages.prefix = wanted.prefix AND tree_pages.height <= %(height)s
        ORDER BY tree_pages.height DESC LIMIT 1
    ) AS version
    WHERE version.page IS NOT NULL
"""


async def fetch_leaf_bytes(
    connection: Connection, wanted: Sequence[tuple[Namespace, bytes]], height: int
) -> list[tuple[Namespace, bytes, bytes]]:
    """Canonical leaf bytes after ``height`` of those that are there, in any order."""
    cursor = connection.cursor(binary=True)
    await cursor.execute(
        _LEAVES,
        {
            "namespaces": SmallintArray([namespace for namespace, _ in wanted]),
            "identifiers": ByteaArray([identifier for _, identifier in wanted]),
            "height": height,
        },
    )
    rows: list[Any] = await cursor.fetchall()
    return [(Namespace(namespace), identifier, value) for namespace, identifier, value in rows]


async def fetch_records(
    connection: Connection, wanted: Sequence[tuple[Namespace, bytes]], height: int
) -> RecordTables:
    """Records after ``height``, None for those that are absent."""
    records = RecordTables()
    for namespace, identifier in wanted:
        records.put(namespace, identifier, None)
    for namespace, identifier, value in await fetch_leaf_bytes(connection, wanted, height):
        records.put(namespace, identifier, decode_leaf(namespace, value))
    return records


async def fetch_pages(
    connection: Connection, prefixes: Sequence[bytes], height: int
) -> dict[bytes, bytes | None]:
    """Pages after ``height``, None for those that are absent."""
    pages: dict[bytes, bytes | None] = dict.fromkeys(prefixes)
    cursor = connection.cursor(binary=True)
    await cursor.execute(_PAGES, {"prefixes": ByteaArray(prefixes), "height": height})
    pages.update(await cursor.fetchall())
    return pages

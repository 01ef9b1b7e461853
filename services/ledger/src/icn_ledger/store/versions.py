"""Reading the state as it is and as it was: the newest leaves, and what later blocks replaced.

Source: docs/spec/ledger-store.md, "How far back".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from icn_crypto.hashing import NO_GENESIS, preimage_head
from icn_crypto.state_tree import changes_of, missing_prefixes
from icn_crypto.tags import STATE_KEY
from icn_kit.database import Connection
from icn_kit.errors import ResourceExhausted
from icn_machine.blocks.ports import StatePruned
from icn_machine.contract_limits import KEY_BYTES_MAX
from icn_machine.leaves import decode_leaf
from icn_machine.records import ContractEntry, Key, Namespace, RecordTables

from icn_ledger.store.arrays import ByteaArray, SmallintArray

# The first block after a height that replaced a leaf has what it was then.
REPLACED = """
    SELECT DISTINCT ON (version.namespace, version.identifier)
        version.namespace, version.identifier, version.value
    FROM replaced, unnest(replaced.namespaces, replaced.identifiers, replaced.leaf_values)
        AS version (namespace, identifier, value)
    WHERE replaced.height > %(height)s
    ORDER BY version.namespace, version.identifier, replaced.height
"""

KEY_HEAD = preimage_head(STATE_KEY, NO_GENESIS)
"""What the preimage of a state key begins with (docs/spec/cryptography.md)."""

# A leaf after the height is what the first block above it replaced, else what it is now.
LEAVES_AFTER = """
    SELECT namespace, identifier, value, sha256(%(head)s || int4send(octet_length(identifier) + 1)
        || substring(int2send(namespace) FROM 2) || identifier) AS state_key
    FROM (
        SELECT namespace, identifier,
            CASE WHEN older.identifier IS NULL THEN newest.value ELSE older.value END AS value
        FROM leaves AS newest FULL JOIN (_REPLACED) AS older USING (namespace, identifier)
    ) AS leaf
    WHERE value IS NOT NULL
""".replace("_REPLACED", REPLACED)

# No index has state keys: it would cost every leaf, for a question that is seldom asked.
_NEIGHBOURS = """
    (SELECT namespace, identifier, value FROM (_LEAVES) AS leaf
        WHERE state_key < %(key)s ORDER BY state_key DESC LIMIT 1)
    UNION ALL
    (SELECT namespace, identifier, value FROM (_LEAVES) AS leaf
        WHERE state_key > %(key)s ORDER BY state_key LIMIT 1)
""".replace("_LEAVES", LEAVES_AFTER)

_REPLACED_NAMES = """
    SELECT DISTINCT version.namespace, version.identifier
    FROM replaced, unnest(replaced.namespaces, replaced.identifiers) AS version (namespace, identifier)
    WHERE replaced.height > %(height)s
"""

_CHANGED_SINCE_EDGE = """
    SELECT namespace, identifier FROM leaves_at_edges WHERE epoch >= %(epoch)s
    UNION (_REPLACED_NAMES) LIMIT %(count)s
""".replace("_REPLACED_NAMES", _REPLACED_NAMES)

_LEAVES = """
    SELECT wanted.namespace, wanted.identifier,
        CASE WHEN older.identifier IS NULL THEN newest.value ELSE older.value END AS value
    FROM unnest(%(namespaces)s, %(identifiers)s) AS wanted (namespace, identifier)
    LEFT JOIN LATERAL (
        SELECT value FROM leaves
        WHERE leaves.namespace = wanted.namespace AND leaves.identifier = wanted.identifier
        LIMIT 1
    ) AS newest ON true
    LEFT JOIN (_REPLACED) AS older USING (namespace, identifier)
""".replace("_REPLACED", REPLACED)

# An edge below the horizon shows what the first edge at or after it kept, or what it shows at the horizon.
_LEAVES_AT_EDGE = """
    SELECT DISTINCT ON (wanted.namespace, wanted.identifier)
        wanted.namespace, wanted.identifier, version.value
    FROM unnest(%(namespaces)s, %(identifiers)s) AS wanted (namespace, identifier)
    JOIN leaves_at_edges AS version USING (namespace, identifier)
    WHERE version.epoch >= %(epoch)s
    ORDER BY wanted.namespace, wanted.identifier, version.epoch
"""

_PAGES = """
    SELECT wanted.prefix, version.page
    FROM unnest(%(prefixes)s) AS wanted (prefix)
    CROSS JOIN LATERAL (
        SELECT page FROM tree_pages WHERE tree_pages.prefix = wanted.prefix LIMIT 1
    ) AS version
"""

_STORAGE = """
    SELECT identifier, value FROM leaves
    WHERE namespace = %(namespace)s AND identifier >= %(first)s AND identifier < %(end)s
    ORDER BY identifier
"""

LEAVES_CHANGED_MAX = 10_000
"""Since an epoch's edge that is proven: putting 9,000 back into the tree of 18,000 took 0.13 CPU-seconds, and
1.4 s with Postgres on a busy machine."""
LeafBytes = list[tuple[Namespace, bytes, bytes]]
"""Namespace, identifier, canonical bytes; in any order."""


async def fetch_leaf_bytes(connection: Connection, wanted: Sequence[Key], height: int) -> LeafBytes:
    """Canonical leaf bytes after ``height``, which is not below the horizon, of those that were there."""
    return await _fetch(connection, _LEAVES, {**_named(wanted), "height": height})


async def fetch_neighbours(connection: Connection, key: bytes, height: int) -> LeafBytes:
    """The last leaf below a state key and the first above it, ascending, as far as there are any, after
    ``height``, which is not below the horizon. Reads every leaf."""
    return await _fetch(connection, _NEIGHBOURS, {"height": height, "head": KEY_HEAD, "key": key})


async def fetch_storage(connection: Connection, contract: bytes) -> dict[bytes, ContractEntry]:
    """The newest version of every entry of a contract's storage by identifier (contract ‖ key), ascending."""
    cursor = connection.cursor(binary=True)
    end = contract + b"\xff" * (KEY_BYTES_MAX + 1)
    await cursor.execute(
        _STORAGE, {"namespace": int(Namespace.CONTRACT_ENTRY), "first": contract, "end": end}
    )
    return {
        identifier: cast(ContractEntry, decode_leaf(Namespace.CONTRACT_ENTRY, value))
        for identifier, value in await cursor.fetchall()
    }


async def fetch_leaf_bytes_at_edge(connection: Connection, wanted: Sequence[Key], epoch: int) -> LeafBytes:
    """Canonical leaf bytes in the state that the edge of a kept epoch names, of those that were there.

    Raises:
        StatePruned: the edge is older than the snapshot that this ledger began with.
    """
    cursor = connection.cursor(binary=True)
    await cursor.execute(
        "SELECT edge.executed_height, provable_from, snapshot_height"
        " FROM epoch_edges AS edge, horizon, chain WHERE epoch = %s",
        (epoch,),
    )
    row = await cursor.fetchone()
    assert row is not None, "the epoch has ended"
    executed_height, provable_from, snapshot_height = row
    if executed_height < snapshot_height:
        raise StatePruned(executed_height, snapshot_height)
    await cursor.execute(_LEAVES_AT_EDGE, {**_named(wanted), "epoch": epoch})
    kept = {(namespace, identifier): value for namespace, identifier, value in await cursor.fetchall()}
    others = [key for key in wanted if key not in kept]
    found = [(namespace, identifier, value) for (namespace, identifier), value in kept.items() if value]
    return _read(found) + await fetch_leaf_bytes(connection, others, max(executed_height, provable_from))


async def fetch_tree(
    connection: Connection, height: int, keys: Sequence[bytes] = ()
) -> tuple[dict[bytes, bytes | None], dict[bytes, bytes | None]]:
    """What the tree after ``height``, which is not below the horizon, is made of.

    Returns:
        The written pages on the way to ``keys`` and to every leaf that may differ between their tree and the
        wanted one, by prefix; and those leaves as they were, by state key, None for absent ones.
    """
    cursor = connection.cursor(binary=True)
    await cursor.execute("SELECT pages_height FROM chain")
    row = await cursor.fetchone()
    assert row is not None, "the chain has its row"
    await cursor.execute(_REPLACED_NAMES, {"height": min(height, row[0])})
    differing: list[Any] = await cursor.fetchall()
    leaves = await fetch_leaf_bytes(connection, differing, height)
    return await _changed_tree(connection, differing, leaves, keys)


async def fetch_tree_at_edge(
    connection: Connection, epoch: int, keys: Sequence[bytes]
) -> tuple[dict[bytes, bytes | None], dict[bytes, bytes | None]]:
    """The same of the state that the edge of a kept epoch names.

    Raises:
        StatePruned: the edge is older than the snapshot that this ledger began with.
        ResourceExhausted: TOO_MANY_CHANGED: more than LEAVES_CHANGED_MAX leaves changed since.
    """
    cursor = connection.cursor(binary=True)
    await cursor.execute("SELECT least(pages_height, provable_from) FROM chain, horizon")
    row = await cursor.fetchone()
    assert row is not None, "both tables have their row"
    wanted = {"epoch": epoch, "height": row[0], "count": LEAVES_CHANGED_MAX + 1}
    await cursor.execute(_CHANGED_SINCE_EDGE, wanted)
    differing: list[Any] = await cursor.fetchall()
    if len(differing) > LEAVES_CHANGED_MAX:
        raise ResourceExhausted(
            "TOO_MANY_CHANGED",
            f"more than {LEAVES_CHANGED_MAX} leaves changed since the edge of epoch {epoch}",
            epoch=epoch,
        )
    leaves = await fetch_leaf_bytes_at_edge(connection, differing, epoch)
    return await _changed_tree(connection, differing, leaves, keys)


async def _changed_tree(
    connection: Connection, differing: Sequence[Any], leaves: LeafBytes, keys: Sequence[bytes]
) -> tuple[dict[bytes, bytes | None], dict[bytes, bytes | None]]:
    gone = [(namespace, identifier, None) for namespace, identifier in differing]
    changes = {**changes_of(gone), **changes_of(leaves)}
    pages: dict[bytes, bytes | None] = {}
    while missing := missing_prefixes(pages, [*keys, *changes]):
        pages.update(await fetch_pages(connection, missing))
    return pages, changes


def records_of(wanted: Sequence[Key], found: LeafBytes) -> RecordTables:
    """The records that were wanted, None for those that were not found."""
    records = RecordTables()
    for namespace, identifier in wanted:
        records.put(namespace, identifier, None)
    for namespace, identifier, value in found:
        records.put(namespace, identifier, decode_leaf(namespace, value))
    return records


async def fetch_pages(connection: Connection, prefixes: Sequence[bytes]) -> dict[bytes, bytes | None]:
    """Written pages, None for those that are absent."""
    pages: dict[bytes, bytes | None] = dict.fromkeys(prefixes)
    cursor = connection.cursor(binary=True)
    await cursor.execute(_PAGES, {"prefixes": ByteaArray(prefixes)})
    pages.update(await cursor.fetchall())
    return pages


def _named(wanted: Sequence[Key]) -> dict[str, Any]:
    return {
        "namespaces": SmallintArray([namespace for namespace, _ in wanted]),
        "identifiers": ByteaArray([identifier for _, identifier in wanted]),
    }


async def _fetch(connection: Connection, text: str, parameters: dict[str, Any]) -> LeafBytes:
    cursor = connection.cursor(binary=True)
    await cursor.execute(text, parameters)
    return _read(await cursor.fetchall())


def _read(rows: Sequence[Any]) -> LeafBytes:
    return [
        (Namespace(namespace), identifier, value)
        for namespace, identifier, value in rows
        if value is not None
    ]

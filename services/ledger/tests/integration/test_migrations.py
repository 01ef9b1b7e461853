"""What a migration makes of rows that an earlier release wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

from icn.ledger.v1.state_pb2 import HoldLeaf
from icn_kit.database import Database
from icn_kit.migrate import upgrade, versions_folder_of
from icn_ledger.store.versions import fetch_leaf_bytes, fetch_leaf_bytes_at_edge, fetch_pages
from icn_localnet.postgres import PostgresServer
from icn_machine.records import Namespace

ANCHOR = Namespace.ANCHOR
BEFORE_HOLDS_OF_ACCOUNTS = 13
"""Migrations."""

VERSIONS = (
    "INSERT INTO chain (genesis_hash, executed_height, log_frontier, descendant_headers)"
    " VALUES ('', 9, '', '{}')",
    "UPDATE horizon SET provable_from = 5",
    "INSERT INTO epoch_edges VALUES (0, 4, 3, '', '{}', '', '')",
    "INSERT INTO leaves (namespace, identifier, height, value) VALUES"
    " (5, 'a', 0, 'a0'), (5, 'a', 4, 'a4'), (5, 'a', 7, 'a7'), (5, 'a', 9, 'a9'),"
    " (5, 'b', 5, 'b5'), (5, 'b', 6, NULL), (5, 'b', 8, 'b8'), (5, 'c', 1, 'c1'), (5, 'c', 9, NULL)",
    "INSERT INTO tree_pages (prefix, height, page) VALUES"
    " ('', 5, 'old'), ('', 9, 'new'), ('p', 6, 'p6'), ('p', 8, NULL)",
)


async def test_versions_become_the_newest_state_and_what_was_replaced(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    folder = versions_folder_of("icn_ledger")
    for name in ("0001_ledger.py", "0002_pages_in_line.py"):
        shutil.copy(folder / name, tmp_path)
    postgres_server.create_database("versions_before")
    dsn = postgres_server.create_role_and_schema("ledger", "versions_before")
    upgrade(dsn, "ledger", tmp_path)
    database = await Database.open(dsn, "ledger", pool_size=1)
    async with database.transaction() as connection:
        for statement in VERSIONS:
            await connection.execute(statement)
    upgrade(dsn, "ledger", folder)
    wanted = [(ANCHOR, name) for name in (b"a", b"b", b"c", b"d")]
    async with database.connection() as connection:
        states = {
            height: {name: value for _, name, value in await fetch_leaf_bytes(connection, wanted, height)}
            for height in range(5, 10)
        }
        assert states == {
            5: {b"a": b"a4", b"b": b"b5", b"c": b"c1"},
            6: {b"a": b"a4", b"c": b"c1"},
            7: {b"a": b"a7", b"c": b"c1"},
            8: {b"a": b"a7", b"b": b"b8", b"c": b"c1"},
            9: {b"a": b"a9", b"b": b"b8"},
        }
        cursor = await connection.execute("SELECT pages_height FROM chain")
        assert await cursor.fetchone() == (9,)
        edge = await fetch_leaf_bytes_at_edge(connection, wanted, 0)
        assert sorted(edge) == [(ANCHOR, b"a", b"a0"), (ANCHOR, b"c", b"c1")]
        assert await fetch_pages(connection, [b"", b"p"]) == {b"": b"new", b"p": None}
        cursor = await connection.execute("SELECT height FROM leaves ORDER BY identifier")
        assert await cursor.fetchall() == [(9,), (8,)]
    await database.close()
    with postgres_server.connect() as connection_:
        connection_.execute("DROP DATABASE versions_before WITH (FORCE)")


async def test_holds_that_were_open_are_listed(postgres_server: PostgresServer, tmp_path: Path) -> None:
    folder = versions_folder_of("icn_ledger")
    for migration in sorted(folder.glob("0*.py"))[:BEFORE_HOLDS_OF_ACCOUNTS]:
        shutil.copy(migration, tmp_path)
    postgres_server.create_database("holds_before")
    dsn = postgres_server.create_role_and_schema("ledger", "holds_before")
    upgrade(dsn, "ledger", tmp_path)
    ana, ben, cay = (name * 16 for name in (b"a", b"b", b"c"))
    plain = HoldLeaf(hold=b"1" * 16, source=ana, destination=ben, remaining_minor=5)
    offer = HoldLeaf(hold=b"2" * 16, source=ben, take_account=cay, remaining_minor=7)
    database = await Database.open(dsn, "ledger", pool_size=1)
    async with database.transaction() as connection:
        for leaf in (plain, offer):
            await connection.execute("INSERT INTO holds VALUES (%s, 9)", (leaf.hold,))
            await connection.execute(
                "INSERT INTO leaves (namespace, identifier, height, value) VALUES (%s, %s, 1, %s)",
                (int(Namespace.HOLD), leaf.hold, leaf.SerializeToString()),
            )
    upgrade(dsn, "ledger", folder)
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT hold, expire_time_ms, source, destination, is_offer FROM holds ORDER BY hold"
        )
        assert await cursor.fetchall() == [(plain.hold, 9, ana, ben, False), (offer.hold, 9, ben, cay, True)]
    await database.close()
    with postgres_server.connect() as connection_:
        connection_.execute("DROP DATABASE holds_before WITH (FORCE)")

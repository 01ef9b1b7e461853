"""What the ledger takes to read a statement, per entry: in one stream, oldest first, and in pages, newest
first.

``python benches/account_statement.py [--entries N …] [--rounds N]``, over a Postgres of its own. Both sides
are measured in turn over the same rows: the use case and the answers' bytes, without gRPC; then what `icn
statement export` makes of them before it checks or writes an entry. CPU time of this process, all threads;
that of Postgres' process beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import psycopg
from icn.ledger.v1 import service_pb2 as pb
from icn_client.stating import read_told
from icn_kit.database import Database
from icn_ledger.store.queries import LedgerQueries
from icn_ledger.usecases.get_statement import FROM_THE_FIRST, Bound, Edge, Statements
from icn_ledger.usecases.reads import list_entries
from icn_localnet.postgres import DATABASE, PostgresServer
from icn_localnet.postgres_settings import SETTINGS
from processes import usage

ACCOUNT: Final = os.urandom(16)
PER_BLOCK: Final = 5
PAGE_SIZE: Final = 500
TABLES: Final = (
    "CREATE TABLE entries (account bytea NOT NULL, height bigint NOT NULL, entries bytea NOT NULL,"
    " PRIMARY KEY (account, height))",
    "ALTER TABLE entries ALTER COLUMN entries SET STORAGE EXTERNAL",
    "CREATE TABLE chain (snapshot_height bigint NOT NULL)",
    "INSERT INTO chain VALUES (0)",
)


def rows(count: int) -> list[tuple[bytes, int, bytes]]:
    """The account's entries as the ledger keeps them."""
    found = []
    for first in range(0, count, PER_BLOCK):
        height = first // PER_BLOCK + 1
        entries = [
            pb.Entry(
                height=height,
                index=index,
                transaction_id=os.urandom(32),
                posting={
                    "account": ACCOUNT,
                    "counter_account": os.urandom(16),
                    "amount_minor": 5,
                    "balance_minor": 5 * (first + index + 1),
                },
                memo_hash=os.urandom(32) if index % 2 else b"",
                block_time_ms=1_700_000_000_000 + height,
                number=first + index + 1,
            )
            for index in range(PER_BLOCK)
        ]
        found.append((ACCOUNT, height, pb.ListEntriesResponse(entries=entries).SerializeToString()))
    return found


class AtEnds(Statements):
    """The ends are two look-ups a statement; here they are given, so that the tables need no chain."""

    async def _edge(self, account: bytes, bound: Bound) -> Edge:
        return Edge(0, 0, 0 if bound is FROM_THE_FIRST else bound.height or 0)


async def in_one_stream(queries: LedgerQueries, last: int) -> list[bytes]:
    """The answers of GetStatement, serialized."""
    statement = await AtEnds(queries).read(ACCOUNT, FROM_THE_FIRST, Bound(last))
    return [
        pb.GetStatementResponse.FromString(b"".join(row.entries for row in part)).SerializeToString()
        async for part in statement.parts
    ]


async def in_pages(queries: LedgerQueries, _last: int) -> list[bytes]:
    """The answers of ListEntries, serialized."""
    found, before, has_more = [], None, True
    while has_more:
        page, has_more = await list_entries(ACCOUNT, before, PAGE_SIZE, queries)
        found.append(pb.ListEntriesResponse(entries=page).SerializeToString())
        before = (page[-1].height, page[-1].index)
    return found


def told_in_order(answers: list[bytes]) -> int:
    """Entries of a statement's parts as the client reads them."""
    return sum(
        read_told(told).number > 0
        for data in answers
        for told in pb.GetStatementResponse.FromString(data).entries
    )


def told_backwards(answers: list[bytes]) -> int:
    """The same of pages, by way of a file, as the client did it before."""
    count = 0
    with tempfile.TemporaryFile() as spool:
        places = []
        for data in answers:
            for told in pb.ListEntriesResponse.FromString(data).entries:
                kept = told.SerializeToString()
                places.append((spool.tell(), len(kept)))
                spool.write(kept)
        for start, length in reversed(places):
            spool.seek(start)
            count += read_told(pb.Entry.FromString(spool.read(length))).number > 0
    return count


Read = Callable[[LedgerQueries, int], Awaitable[list[bytes]]]
SIDES: Final[dict[str, tuple[Read, Callable[[list[bytes]], int]]]] = {
    "one stream": (in_one_stream, told_in_order),
    "pages": (in_pages, told_backwards),
}


async def measure(dsn: str, counts: list[int], rounds: int) -> None:
    """Fill, read in turn, print."""
    database = await Database.open(dsn, "ledger", pool_size=1)
    queries = LedgerQueries(database)
    async with database.connection() as connection:
        backend = connection.info.backend_pid
    for count in counts:
        with psycopg.connect(dsn, autocommit=True, options="-c search_path=ledger") as writer:
            writer.execute("TRUNCATE entries")
            with writer.cursor().copy("COPY entries FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(["bytea", "int8", "bytea"])
                for row in rows(count):
                    copy.write_row(row)
            writer.execute("VACUUM ANALYZE entries")
        taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in SIDES}
        for _ in range(rounds):
            for name, (read, told) in SIDES.items():
                before, before_postgres = time.process_time(), postgres_seconds(backend)
                answers = await read(queries, count)
                served, postgres = time.process_time(), postgres_seconds(backend)
                assert told(answers) == count
                done = time.process_time()
                parts = (served - before, postgres - before_postgres, done - served)
                taken[name].append(parts)
        for name, of_side in taken.items():
            server, postgres, client = (
                statistics.median(column) / count * 1e6 for column in zip(*of_side, strict=True)
            )
            print(
                f"{count} entries, {name}: ledger {server:.2f} us an entry "
                f"({1e6 / server:,.0f} a CPU-second), Postgres {postgres:.2f}, client {client:.2f}"
            )
    print(f"memory at its peak: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")
    await database.close()


def postgres_seconds(backend: int) -> float:
    """CPU time of the server's process so far."""
    return float(usage(backend).cpu_seconds)


def main() -> None:
    """Start Postgres, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="icn-bench-") as directory:
        Path(directory).chmod(0o711)
        server = PostgresServer(Path(directory) / "postgres", settings=SETTINGS)
        server.start()
        try:
            server.create_database(DATABASE)
            with psycopg.connect(server.dsn(), autocommit=True) as connection:
                connection.execute("CREATE SCHEMA ledger")
                connection.execute("SET search_path = ledger")
                for statement in TABLES:
                    connection.execute(statement)
            asyncio.run(measure(server.dsn(), arguments.entries, arguments.rounds))
        finally:
            server.stop()


if __name__ == "__main__":
    main()

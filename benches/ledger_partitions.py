"""Whether the history's tables should be partitioned by height: the same rows in whole and in cut tables.

``python benches/ledger_partitions.py [--blocks N] [--transfers N] [--accounts N] [--cuts N …]
[--shared-buffers SIZE]``. Of the statement that writes a block only the parts that write history, in turn
into each set of tables, which share the server's memory; CPU time is that of the server's process for the
connection. Look-ups are the production ones. `synchronous_commit` is off here: waiting costs no CPU. Quoted
by docs/adr/0042-history-is-not-partitioned.md.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from icn_ledger.store.arrays import BigintArray, ByteaArray, SmallintArray
from icn_ledger.store.history import SELECT_PLACES, id_heads
from icn_ledger.store.queries import _ENTRIES_OF_ACCOUNT
from icn_ledger.store.statements import _ENTRIES, _TRANSACTIONS
from icn_localnet.postgres import DATABASE, PostgresServer
from icn_localnet.postgres_settings import SETTINGS
from processes import usage

ENTRY_BYTES, RECEIPT_BYTES, EVENT_BYTES, LEAF_BYTES = 170, 100, 190, 60
"""About what a transfer leaves; what the rows say does not matter here."""
LOOKUPS = 400
PAGE = 50
SEED = 42
TABLES = {
    "transactions": "height bigint NOT NULL, ids bytea NOT NULL, receipts bytea[] NOT NULL,"
    " PRIMARY KEY (height)",
    "transaction_places": "id_head bigint NOT NULL, height bigint NOT NULL, index integer NOT NULL,"
    " PRIMARY KEY (id_head, height, index)",
    "entries": "account bytea NOT NULL, height bigint NOT NULL, entries bytea NOT NULL,"
    " PRIMARY KEY (account, height)",
    "entry_blocks": "height bigint NOT NULL, entries integer NOT NULL, accounts bytea[] NOT NULL,"
    " PRIMARY KEY (height)",
    "replaced": "height bigint NOT NULL, namespaces smallint[] NOT NULL, identifiers bytea[] NOT NULL,"
    " written_at bigint[] NOT NULL, leaf_values bytea[] NOT NULL, PRIMARY KEY (height)",
    # A unique key of a partitioned table holds what it is cut by: so the outbox gets a height.
    "outbox": "position bigint NOT NULL, height bigint NOT NULL, id bytea NOT NULL, envelope bytea NOT NULL,"
    " PRIMARY KEY (position, height), UNIQUE (id, height)",
}
OUT_OF_LINE = {
    "transactions": ("ids", "receipts"),
    "entries": ("entries",),
    "entry_blocks": ("accounts",),
    "replaced": ("identifiers", "leaf_values"),
    "outbox": ("envelope",),
}
WRITE = f"""
    WITH {_TRANSACTIONS}, {_ENTRIES}, leaves_replaced AS (
        INSERT INTO replaced (height, namespaces, identifiers, written_at, leaf_values)
        VALUES (%(height)s, %(namespaces)s, %(identifiers)s, %(written_at)s, %(leaf_values)s)
    )
    INSERT INTO outbox (position, height, id, envelope) VALUES (%(height)s, %(height)s, %(id)s, %(envelope)s)
"""


class Side:
    """One set of tables, with a connection of its own."""

    def __init__(self, dsn: str, name: str, cuts: int, blocks: int) -> None:
        self.name = name
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.connection.execute(f"CREATE SCHEMA {name}")
        self.connection.execute(f"SET search_path = {name}")
        self.connection.execute("SET synchronous_commit = off")
        self.connection.execute("SET enable_seqscan = off")
        for table, columns in TABLES.items():
            by = " PARTITION BY RANGE (height)" if cuts else ""
            self.connection.execute(f"CREATE TABLE {table} ({columns}){by}")
            parts = [table]
            if cuts:
                parts = [f"{table}_{cut}" for cut in range(cuts)]
                for cut, part in enumerate(parts):
                    ends = (blocks * cut // cuts, blocks * (cut + 1) // cuts)
                    self.connection.execute(
                        f"CREATE TABLE {part} PARTITION OF {table} FOR VALUES FROM ({ends[0]}) TO ({ends[1]})"
                    )
            for part in parts:
                for column in OUT_OF_LINE.get(table, ()):
                    self.connection.execute(f"ALTER TABLE {part} ALTER COLUMN {column} SET STORAGE EXTERNAL")
        self.write_seconds: list[float] = []

    def cpu_seconds(self) -> float:
        """Of the server's process so far."""
        return float(usage(self.connection.info.backend_pid).cpu_seconds)

    def write(self, parameters: dict[str, Any]) -> None:
        """Write a block's history."""
        self.connection.execute(WRITE, parameters, prepare=True)

    def look_up(self, text: str, parameters: Sequence[dict[str, Any]]) -> tuple[float, float]:
        """Median microseconds of a look-up, and CPU of the server per look-up."""
        taken = []
        before = self.cpu_seconds()
        for values in parameters:
            started = time.perf_counter()
            self.connection.execute(text, values, prepare=True, binary=True).fetchall()
            taken.append(time.perf_counter() - started)
        cpu = (self.cpu_seconds() - before) / len(parameters)
        return statistics.median(taken) * 1e6, cpu * 1e6

    def seconds(self, *statements: str) -> float:
        """Time of statements."""
        started = time.perf_counter()
        for statement in statements:
            self.connection.execute(statement)
        return time.perf_counter() - started


def block(height: int, accounts: Sequence[bytes], transfers: int, chance: random.Random) -> dict[str, Any]:
    """Parameters of `WRITE`; some accounts trade much, some hardly ever."""
    ids = [chance.randbytes(32) for _ in range(transfers)]
    moved: dict[bytes, int] = {}
    for _ in range(2 * transfers):
        account = accounts[int(len(accounts) * chance.random() ** 2)]
        moved[account] = moved.get(account, 0) + 1
    touched = list(moved)
    return {
        "height": height,
        "ids": b"".join(ids),
        "id_heads": BigintArray(id_heads(ids)),
        "receipts": ByteaArray([chance.randbytes(RECEIPT_BYTES) for _ in ids]),
        "entry_accounts": ByteaArray(touched),
        "packed_entries": ByteaArray([chance.randbytes(ENTRY_BYTES * moved[one]) for one in touched]),
        "entries": 2 * transfers,
        "namespaces": SmallintArray([1] * len(touched)),
        "identifiers": ByteaArray(touched),
        "written_at": BigintArray([height] * len(touched)),
        "leaf_values": ByteaArray([chance.randbytes(LEAF_BYTES) for _ in touched]),
        "id": chance.randbytes(16),
        "envelope": chance.randbytes(EVENT_BYTES * transfers),
        "one_id": ids[0],
    }


def looked_up(text: str, parameters: Sequence[dict[str, Any]], side: Side) -> str:
    """What look-ups took, and of the server's CPU time."""
    return "{:.0f} ({:.0f})".format(*side.look_up(text, parameters))


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=2_000)
    parser.add_argument("--transfers", type=int, default=500)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--cuts", type=int, nargs="+", default=[0, 8, 64])
    parser.add_argument("--shared-buffers", default=SETTINGS["shared_buffers"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="icn-bench-") as directory:
        Path(directory).chmod(0o711)
        settings = {"max_locks_per_transaction": "256", "shared_buffers": options.shared_buffers}
        server = PostgresServer(Path(directory) / "postgres", settings=settings)
        server.start()
        try:
            server.create_database(DATABASE)
            sides = [Side(server.dsn(), f"cut_{cuts}", cuts, options.blocks) for cuts in options.cuts]
            measure(sides, options)
        finally:
            server.stop()


def measure(sides: Sequence[Side], options: argparse.Namespace) -> None:
    """Print a line per figure, a column per set of tables."""
    chance = random.Random(SEED)
    accounts = [chance.randbytes(16) for _ in range(options.accounts)]
    known_ids = []
    measured_from = options.blocks * 3 // 4
    for height in range(options.blocks):
        parameters = block(height, accounts, options.transfers, chance)
        known_ids.append(parameters["one_id"])
        for side in sides:
            if height == measured_from:
                side.write_seconds.append(side.cpu_seconds())
            side.write(parameters)
    rows = (options.blocks - measured_from) * options.transfers

    def tell(what: str, value: Callable[[Side], str]) -> None:
        print(f"{what:46}", *(f"{value(side):>16}" for side in sides), flush=True)

    print(f"{options.blocks * options.transfers} transfers in {options.blocks} blocks")
    tell("partitions", lambda side: side.name)
    tell(
        "writing, CPU us per transfer",
        lambda side: f"{(side.cpu_seconds() - side.write_seconds[0]) / rows * 1e6:.2f}",
    )
    for side in sides:
        side.connection.execute("VACUUM (ANALYZE)")
    newest = options.blocks - 1
    for name, few in (("busy", accounts[:100]), ("quiet", accounts[-100:])):
        asked = [
            {"account": few[number % len(few)], "height": newest, "count": PAGE} for number in range(LOOKUPS)
        ]
        tell(
            f"page of {PAGE} rows, {name} account, us (CPU)",
            partial(looked_up, _ENTRIES_OF_ACCOUNT, asked),
        )
    for count in (1, 100):
        groups = [chance.sample(known_ids, count) for _ in range(LOOKUPS // count + 50)]
        named = [{"ids": ByteaArray(ids), "id_heads": BigintArray(id_heads(ids))} for ids in groups]
        tell(
            f"{count} by id, us (CPU)",
            partial(looked_up, SELECT_PLACES, named),
        )
    half = options.blocks // 2
    tell("VACUUM (FREEZE), s", lambda side: f"{side.seconds('VACUUM (FREEZE)'):.2f}")
    tell("the same again, s", lambda side: f"{side.seconds('VACUUM (FREEZE)'):.2f}")
    tell("forgetting 16 heights of replaced, ms", lambda side: f"{1e3 * side.seconds(_forget(16)):.1f}")
    tell(
        "forgetting half of all history, s",
        lambda side: f"{side.seconds(*_halved(side, options.blocks, half)):.2f}",
    )


def _forget(height: int) -> str:
    return f"DELETE FROM replaced WHERE height < {height}"


def _halved(side: Side, blocks: int, half: int) -> list[str]:
    cuts = int(side.name.removeprefix("cut_"))
    if cuts:
        return [
            f"DROP TABLE {table}_{cut}"
            for table in TABLES
            for cut in range(cuts)
            if blocks * (cut + 1) // cuts <= half
        ]
    return [*(f"DELETE FROM {table} WHERE height < {half}" for table in TABLES), "VACUUM"]


if __name__ == "__main__":
    main()

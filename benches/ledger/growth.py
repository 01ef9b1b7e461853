"""How large the ledger's tables are, and how long its queries take, as history grows.

    python -m benches.ledger.growth [--transfers 1000000]

The databases are filled through the production path (`chain`), but for two things: signatures are not
verified, and no events are written, since the relay deletes what it has published. Figures are taken at each
power of ten from 10^5 on. A second database stays at 10^5, so that a page of history is asked of both in
turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import cycle, islice
from typing import Any, Final

import psycopg
from icn_kit.database import Database
from icn_ledger.store.queries import LedgerQueries
from icn_ledger.usecases.get_proof import Wanted, get_proof
from icn_ledger.usecases.reads import get_leaf, get_transaction, list_entries
from icn_machine.records import Namespace

from benches.ledger.chain import SCHEMA, new_database, open_chain, running_server

ACCOUNTS: Final = 10_000
SHOPS: Final = 50
"""Accounts that take part in half of all transfers; theirs are the histories that are asked for."""
TRANSFERS_PER_BLOCK: Final = 1_000
FIRST_MARK: Final = 100_000
TRANSFERS_DEFAULT: Final = 1_000_000
PAGE, STATEMENT_PAGE = 50, 500
"""The default and the largest page of ListEntries; a shop has more entries at the first mark."""
SAMPLES: Final = 100
PROOF_SAMPLES: Final = 3
"""A proof takes a hundred times as long as a page."""
PAIRS: Final = 9
TABLES: Final = ("entries", "transaction_places", "transactions", "replaced", "leaves", "tree_pages")
"""Those that are told one by one; the others go together."""

_SIZES: Final = """
    SELECT relname, pg_total_relation_size(oid) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'ledger'::regnamespace
"""

Ask = Callable[[bytes], Awaitable[Any]]


class Grown:
    """A ledger with history, and what one can ask it for."""

    def __init__(self, dsn: str, database: Database) -> None:
        self.dsn = dsn
        self.database = database
        self.accounts: list[bytes] = []
        self.ids: list[bytes] = []
        """One transaction of every block."""
        self._queries = LedgerQueries(database)

    async def balance(self, account: bytes) -> Any:
        return await get_leaf(Namespace.ACCOUNT, account, self._queries)

    async def history_page(self, account: bytes) -> Any:
        rows, _ = await list_entries(account, None, PAGE, self._queries)
        assert len(rows) == PAGE, "shops have more"
        return rows

    async def statement_page(self, account: bytes) -> Any:
        rows, _ = await list_entries(account, None, STATEMENT_PAGE, self._queries)
        assert len(rows) == STATEMENT_PAGE, "shops have more"
        return rows

    async def transaction(self, transaction_id: bytes) -> Any:
        return await get_transaction(transaction_id, self._queries)

    async def proof(self, account: bytes) -> Any:
        return await get_proof(Wanted(Namespace.ACCOUNT, account), 0, self._queries)

    async def query_ms(self) -> dict[str, float]:
        """Median of each query, in milliseconds."""
        shops = self.accounts[:SHOPS]
        return {
            "balance": await median_ms(self.balance, self.accounts, SAMPLES),
            "history page": await median_ms(self.history_page, shops, SAMPLES),
            "statement page": await median_ms(self.statement_page, shops, SAMPLES),
            "transaction by id": await median_ms(self.transaction, self.ids, SAMPLES),
            "proof": await median_ms(self.proof, self.accounts, PROOF_SAMPLES),
        }

    def sizes(self) -> dict[str, int]:
        """Bytes on disk by table, indexes and what lies out of line included."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")  # as autovacuum does in its time
            found: dict[str, int] = dict(connection.execute(_SIZES).fetchall())
        told = {name: found.pop(name) for name in TABLES}
        return {**told, "others": sum(found.values())}


async def median_ms(ask: Ask, of: Sequence[bytes], samples: int) -> float:
    """How long a query takes; asked for things that lie evenly among all."""
    step = max(1, len(of) // samples)
    wanted = list(islice(cycle(of[::step]), samples))
    for one in wanted:
        await ask(one)
    times = []
    for one in wanted:
        started = time.perf_counter()
        await ask(one)
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


async def fill(grown: Grown, transfers: int, on_mark: Callable[[int], Awaitable[None]]) -> None:
    """Execute blocks until there are so many transfers; tell of each mark."""
    chance = random.Random(1)
    async with open_chain(grown.dsn, ACCOUNTS, events=lambda _commit: []) as chain:
        grown.accounts = [party.account for party in chain.parties]
        mark = FIRST_MARK
        for count in range(TRANSFERS_PER_BLOCK, transfers + 1, TRANSFERS_PER_BLOCK):
            execution = await chain.execute(chain.block(chain.transfers(TRANSFERS_PER_BLOCK, SHOPS)))
            grown.ids.append(chance.choice(execution.outcomes)[0])
            if count == mark:
                await on_mark(count)
                mark *= 10


async def page_ratio(small: Grown, large: Grown) -> float:
    """How many times as long a page of history takes; median of pairs that take turns to be the first."""
    ratios = []
    for number in range(PAIRS):
        order = (small, large) if number % 2 else (large, small)
        ms = {one: await median_ms(one.history_page, one.accounts[:SHOPS], SAMPLES) for one in order}
        ratios.append(ms[large] / ms[small])
    return statistics.median(ratios)


async def grow(transfers: int, on_figures: Callable[[int, dict[str, Any]], None]) -> None:
    """Fill, and tell the figures at each mark: ``bytes`` by table, ``ms`` by query, ``page_ratio`` to the
    first mark."""
    with running_server() as server:
        opened = []
        for name in ("small", "large"):
            dsn = new_database(server, name)
            opened.append(Grown(dsn, await Database.open(dsn, SCHEMA)))
        small, large = opened

        async def begin(_count: int) -> None:
            small.sizes()

        async def measure(count: int) -> None:
            figures = {"bytes": large.sizes(), "ms": await large.query_ms()}
            on_figures(count, {**figures, "page_ratio": await page_ratio(small, large)})

        await fill(small, FIRST_MARK, begin)
        await fill(large, transfers, measure)
        for one in opened:
            await one.database.close()


def table(marks: Mapping[int, Mapping[str, Any]]) -> str:
    """Markdown: a row per table and query, a column per number of transfers."""
    columns = [f"{count:,}" for count in marks]
    lines = ["| | " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) + 1)]
    first = next(iter(marks.values()))
    for name in first["bytes"]:
        sizes = [f"{one['bytes'][name] / 2**20:,.1f} MiB" for one in marks.values()]
        lines.append(f"| {name} | " + " | ".join(sizes) + " |")
    each = [f"{sum(one['bytes'].values()) / count:,.0f} bytes" for count, one in marks.items()]
    lines.append("| **all, per transfer** | " + " | ".join(each) + " |")
    for name in first["ms"]:
        times = [f"{one['ms'][name]:,.2f} ms" for one in marks.values()]
        lines.append(f"| {name} | " + " | ".join(times) + " |")
    ratios = [f"{one['page_ratio']:.2f} ×" for one in marks.values()]
    lines.append("| a history page, to one at 100,000, in turns | " + " | ".join(ratios) + " |")
    return "\n".join(lines)


def main() -> None:
    """Fill, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transfers", type=int, default=TRANSFERS_DEFAULT)
    marks: dict[int, Any] = {}

    def note(count: int, figures: dict[str, Any]) -> None:
        marks[count] = figures
        print(f"{count}: {json.dumps(figures)}", file=sys.stderr, flush=True)

    asyncio.run(grow(parser.parse_args().transfers, note))
    print(table(marks))


if __name__ == "__main__":
    main()

"""What reading costs: a balance, and the entries of a statement.

A balance is `get_leaf` over `LedgerQueries`, which is what GetAccount does, as the use case and as a call of
gRPC over a unix socket with both ends in this process. It is compared with a bare SELECT of the leaf's value
by primary key through the same driver: psycopg, asynchronous, binary, prepared, autocommit. All on one
connection at a time; they take turns.

A statement is made as `icn statement export` makes it: the parts of GetStatement (`Statements` over
`LedgerQueries`), the chain over the entries, a line for each. Its proofs and the way over gRPC are left out.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import psycopg
from icn.ledger.v1.service_pb2 import GetAccountRequest, GetStatementResponse
from icn.ledger.v1.service_pb2_grpc import LedgerServiceStub, add_LedgerServiceServicer_to_server
from icn_client.light.statement import entry_line
from icn_client.stating import read_told
from icn_kit.database import Database
from icn_kit.lifecycle import collect_seldom
from icn_kit.server import GrpcServer
from icn_ledger.api.ledger_service import LedgerServicer
from icn_ledger.store.queries import LedgerQueries
from icn_ledger.store.snapshots import PostgresSnapshots
from icn_ledger.usecases.get_statement import FROM_THE_FIRST, TO_THE_NEWEST, Statements
from icn_ledger.usecases.query_contract import ContractQueries
from icn_ledger.usecases.reads import get_leaf
from icn_ledger.usecases.stream_leaves import LeafReader
from icn_ledger.usecases.watch_blocks import BlockFeed
from icn_localnet.postgres import PostgresServer
from icn_machine.blocks.contract_engine import NoVm
from icn_machine.entries import EntryChain
from icn_machine.records import Namespace
from icn_machine.touched import RecordNames

from benches.ledger.chain import SCHEMA, Chain, new_database, open_chain, running_server
from benches.ledger.worker import Figures, Measure
from benches.processes import usage

ACCOUNTS: Final = 500
SHOPS: Final = 4
ENTRIES: Final = 10_000
"""Of the account whose statement is made."""
TRANSFERS_PER_BLOCK: Final = 1_000
READS_PER_TURN: Final = 200
TURNS: Final = 7

Ask = Callable[[bytes], Awaitable[Any]]

_BARE: Final = "SELECT value FROM leaves WHERE namespace = %s AND identifier = %s"


@asynccontextmanager
async def measuring() -> AsyncIterator[Measure]:
    """Figures of both."""
    with running_server() as server:
        dsn = new_database(server)
        async with open_chain(dsn, ACCOUNTS, events=lambda _commit: []) as chain:
            shop = await fill(chain)
            accounts = [party.account for party in chain.parties]
            database = await Database.open(dsn, SCHEMA)
            queries = LedgerQueries(database)
            async with (
                await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection,
                served(database, queries, chain, server) as stub,
            ):
                collect_seldom()
                asked = {
                    "bare": bare(connection),
                    "use_case": lambda account: get_leaf(Namespace.ACCOUNT, account, queries),
                    "grpc": lambda account: stub.GetAccount(
                        GetAccountRequest(name=f"accounts/{account.hex()}")
                    ),
                }

                async def measure() -> Figures:
                    assert server.pid is not None, "it runs"
                    figures = await in_turns(asked, accounts, server.pid)
                    figures["statement_rate"] = await statement(shop, chain, queries, server.pid)
                    return figures

                yield measure
            await database.close()


async def fill(chain: Chain) -> bytes:
    """Execute blocks until the first shop has the entries; its account."""
    shop = chain.parties[0].account
    entries = 0
    while entries < ENTRIES:
        await chain.execute(chain.block(chain.transfers(TRANSFERS_PER_BLOCK, SHOPS)))
        records = await chain.state.load(RecordNames(accounts={shop}))
        record = records.accounts[shop]
        assert record is not None, "it is there"
        entries = record.entries
    return shop


def bare(connection: psycopg.AsyncConnection[Any]) -> Ask:
    """The SELECT that the others are compared with."""

    async def ask(account: bytes) -> Any:
        cursor = connection.cursor(binary=True)
        await cursor.execute(_BARE, (int(Namespace.ACCOUNT), account))
        return await cursor.fetchone()

    return ask


@asynccontextmanager
async def served(
    database: Database, queries: LedgerQueries, chain: Chain, server: PostgresServer
) -> AsyncIterator[Any]:
    """A stub of the ledger's service."""
    servicer = LedgerServicer(
        queries,
        BlockFeed(chain.state.newest.height),
        chain.zone.genesis.hash,
        ContractQueries(queries, NoVm()),
        LeafReader(PostgresSnapshots(database)),
    )
    address = f"unix:{server.directory}/ledger.sock"
    grpc_server = GrpcServer(address, [(add_LedgerServiceServicer_to_server, servicer)])
    await grpc_server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        yield LedgerServiceStub(channel)
    await grpc_server.drain(1.0)


async def in_turns(asked: dict[str, Ask], accounts: Sequence[bytes], postgres_pid: int) -> Figures:
    """Microseconds by the clock, and of CPU time of this process and Postgres, of one read of each kind;
    medians of the turns. Ratios are medians of the turns' ratios to the bare one."""
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in asked}
    for turn in range(TURNS):
        for name, ask in asked.items():
            wanted = [accounts[(turn + read) % len(accounts)] for read in range(READS_PER_TURN)]
            cpu_before = time.process_time() + usage(postgres_pid).cpu_seconds
            started = time.perf_counter()
            for account in wanted:
                await ask(account)
            seconds = time.perf_counter() - started
            cpu_seconds = time.process_time() + usage(postgres_pid).cpu_seconds - cpu_before
            turns[name].append((seconds / READS_PER_TURN * 1e6, cpu_seconds / READS_PER_TURN * 1e6))
    figures = {}
    for name, taken in turns.items():
        for place, kind in enumerate(("us", "cpu_us")):
            figures[f"{name}_{kind}"] = statistics.median(one[place] for one in taken)
            figures[f"{name}_{kind}_ratio"] = statistics.median(
                one[place] / other[place] for one, other in zip(taken, turns["bare"], strict=True)
            )
    return figures


async def statement(account: bytes, chain: Chain, queries: LedgerQueries, postgres_pid: int) -> float:
    """Entries per CPU-second, of this process and Postgres together."""
    own, database = time.process_time(), usage(postgres_pid).cpu_seconds
    links, end, count = EntryChain(chain.zone.genesis.hash), b"", 0
    made = await Statements(queries).read(account, FROM_THE_FIRST, TO_THE_NEWEST)
    async for rows in made.parts:
        for told in GetStatementResponse.FromString(b"".join(row.entries for row in rows)).entries:
            entry = read_told(told)
            end = links.extend(end, entry)
            entry_line(entry)
            count += 1
    assert count >= ENTRIES, "all of them were told"
    return count / (time.process_time() - own + usage(postgres_pid).cpu_seconds - database)

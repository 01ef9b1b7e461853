"""A ledger as a validator has it, over a Postgres of its own, fed with blocks of transfers.

Blocks are executed by the production path: `Executor`, the state root, one durable statement by `StateStore`,
the pruner. What a validator does before it executes is left out: transactions are signed with zeros, which
nobody verifies here, and headers have no certificates. Transactions are read for the first time, as by a node
that catches up. The accounts are there at height 0.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from icn.ledger.v1 import state_pb2
from icn_kit.database import Database
from icn_kit.migrate import upgrade, versions_folder_of
from icn_ledger.events.outbox_rows import make_event_rows
from icn_ledger.store.pruner import HEIGHTS_PER_WAKING, Pruner
from icn_ledger.store.state import StateStore
from icn_ledger.usecases.ports import EventRows
from icn_localnet.postgres import DATABASE, PostgresServer
from icn_machine.blocks.block_commit import initial_commit
from icn_machine.blocks.execute_block import Execution, Executor
from icn_machine.blocks.final_block import FinalBlock
from icn_machine.blocks.ports import BlockCommit, State
from icn_machine.blocks.transaction_cache import TransactionCache
from icn_machine.genesis_state import first_header, genesis_records
from icn_machine.leaves import decode_leaf
from icn_machine.records import Account, Namespace, Unit
from icn_machine.wire import unsigned

from libs.machine.tests.zone import Ledger, Member, Zone, identifier, make_zone

SCHEMA: Final = "ledger"
UNIT: Final = identifier("unit")
FLOOR_MINOR: Final = -(2**40)
BLOCK_MS: Final = 100
EXPIRY_MS: Final = 3_600_000
FINALIZATION: Final = b"\x08\x03"
"""Not looked at by who executes."""
NO_SIGNATURE: Final = b"\x1a\x40" + bytes(64)


@dataclass
class Party:
    """Who holds an account."""

    member: Member
    account: bytes

    def __post_init__(self) -> None:
        self._head = b"\x0a\x10" + self.member.principal + b"\x12\x10" + self.member.payer + b"\x20"
        self._tail = b"\x12\x56\x08\x01\x12\x10" + self.member.keys[0].key_id + NO_SIGNATURE
        self._sequence = 0

    def transfer(self, destination: bytes, amount_minor: int, memo_hash: bytes, time_ms: int) -> bytes:
        """The party's next transaction, in canonical form but for its signature."""
        self._sequence += 1
        transfer = b"\x0a\x10" + self.account + b"\x12\x10" + destination
        transfer += b"\x18" + unsigned(amount_minor) + b"\x22\x20" + memo_hash
        message = b"\x32" + unsigned(len(transfer)) + transfer
        body = self._head + unsigned(self._sequence) + b"\x28" + unsigned(time_ms + EXPIRY_MS)
        body += b"\x32" + unsigned(len(message)) + message
        return b"\x0a" + unsigned(len(body)) + body + self._tail


def make_parties(zone: Zone, count: int) -> list[Party]:
    """Members of one organization, which pays for them."""
    organization = zone.organizations[0]
    return [
        Party(zone.member(f"member {number}", organization), identifier(f"account {number}"))
        for number in range(count)
    ]


def first_commit(zone: Zone, parties: Sequence[Party]) -> BlockCommit:
    """What height 0 writes when the parties have their accounts by then."""
    records = genesis_records(zone.genesis)
    issuer = zone.organizations[0].principal
    records.units[UNIT] = Unit(UNIT, "HOUR", 2, issuer, issuer, FLOOR_MINOR)
    for party in parties:
        member = party.member
        leaf = state_pb2.ControllerLeaf(
            principal=member.principal, threshold=1, keys=[member.keys[0].message()], sponsor=member.payer
        )
        records.put(
            Namespace.CONTROLLER,
            member.principal,
            decode_leaf(Namespace.CONTROLLER, leaf.SerializeToString(deterministic=True)),
        )
        records.accounts[party.account] = Account(party.account, member.principal, UNIT, 0, 0, FLOOR_MINOR)
    return initial_commit(zone.genesis, records, lambda root: first_header(zone.genesis, root))


class Chain:
    """Blocks over a state at height 0. Made by `open_chain` over a database."""

    def __init__(
        self, zone: Zone, parties: Sequence[Party], state: State, pruner: Pruner | None = None
    ) -> None:
        self.zone = zone
        self.parties = parties
        self.state = state
        self._pruner = pruner
        self._chance = random.Random(1)
        executor = Executor(zone.genesis, state, TransactionCache(zone.genesis.hash), _heard, halted)
        self._ledger = Ledger(zone, state, executor)

    def transfers(self, count: int, shops: int = 0) -> list[bytes]:
        """Signed by nobody, between parties drawn at random; half of them have one of the first ``shops``
        parties on one side, where there are any."""
        time_ms, chance, parties = self.state.newest.time_ms, self._chance, self.parties
        made = []
        for number in range(count):
            payer = chance.randrange(len(parties))
            payee = chance.randrange(shops if shops and number % 2 else len(parties))
            if payer == payee:
                payee = (payee + 1) % len(parties)
            if number % 4 == 3:
                payer, payee = payee, payer
            transfer = parties[payer].transfer(
                parties[payee].account, 1 + number, chance.randbytes(32), time_ms
            )
            made.append(transfer)
        return made

    def block(self, transactions: Sequence[bytes]) -> FinalBlock:
        """The next block, with these transactions."""
        header = self._ledger.header(transactions, after_ms=BLOCK_MS)
        return FinalBlock(header, transactions, FINALIZATION, ())

    async def execute(self, block: FinalBlock) -> Execution:
        """Execute the next block, and prune when the ledger's task would."""
        execution = await self._ledger.executor.execute(block)
        if self._pruner is not None and execution.block.height % HEIGHTS_PER_WAKING == 0:
            while await self._pruner.prune():
                pass
        return execution


@contextmanager
def running_server(settings: Mapping[str, str] | None = None) -> Iterator[PostgresServer]:
    """A server that is gone afterwards, configured as a validator's but for ``settings``."""
    with TemporaryDirectory(prefix="icn-bench-") as folder:
        Path(folder).chmod(0o711)  # Postgres may run as nobody where this is root
        server = PostgresServer(Path(folder) / "postgres", settings=settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def new_database(server: PostgresServer, name: str = DATABASE) -> str:
    """Make a database with the ledger's tables; its connection string."""
    server.create_database(name)
    dsn = server.create_role_and_schema(SCHEMA, name)
    upgrade(dsn, SCHEMA, versions_folder_of("icn_ledger"))
    return dsn


@asynccontextmanager
async def open_chain(dsn: str, accounts: int, events: EventRows | None = None) -> AsyncIterator[Chain]:
    """A chain at height 0 with so many accounts; ``events`` in place of what production makes of them."""
    zone = make_zone()
    parties = make_parties(zone, accounts)
    database = await Database.open(dsn, SCHEMA, pool_size=3)
    try:
        state = await StateStore.open(
            database,
            events or make_event_rows(zone.genesis.hash),
            zone.genesis.hash,
            first_commit(zone, parties),
        )
        yield Chain(zone, parties, state, Pruner(database))
        await state.close()
    finally:
        await database.close()


def _heard(_execution: Execution) -> None:
    return


def halted(why: str) -> None:
    """A ledger that halts ends the bench."""
    raise SystemExit(why)

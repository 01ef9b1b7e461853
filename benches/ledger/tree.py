"""The state root after a block: 4,000 of 131,072 leaves changed, changed pages written.

Through `update_tree` over the `StateStore` of a validator that has run for a while, so that the pages are in
its memory. Then a block is committed that holds nothing but those that changed; they reach the tables at
every sixteenth height or when 8,192 have changed. CPU time of this process and of Postgres.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from icn_crypto.state_tree import state_key
from icn_kit.database import Database
from icn_kit.lifecycle import collect_seldom
from icn_ledger.store.state import StateStore
from icn_machine.blocks.block_commit import initial_commit, update_tree
from icn_machine.genesis_state import first_header, genesis_records
from icn_machine.leaves import encode_leaf
from icn_machine.records import Account, Namespace, RecordTables

from benches.ledger.chain import FLOOR_MINOR, SCHEMA, UNIT, new_database, running_server
from benches.ledger.worker import Figures, Measure
from benches.processes import usage
from libs.machine.tests.zone import identifier, make_zone

LEAVES: Final = 131_072
DIRTY: Final = 4_000
LEAVES_PER_TRANSFER: Final = 2
"""Both accounts. The payer's controller changes as well, once per block however often it pays."""
BLOCKS: Final = 16


@asynccontextmanager
async def measuring() -> AsyncIterator[Measure]:
    """Figures of sixteen blocks."""
    zone, chance = make_zone(), random.Random(1)
    owner = zone.organizations[0].principal
    accounts = [identifier(f"account {number}") for number in range(LEAVES)]
    records = genesis_records(zone.genesis)
    for account in accounts:
        records.accounts[account] = Account(account, owner, UNIT, 0, 0, FLOOR_MINOR)
    first = initial_commit(zone.genesis, records, lambda root: first_header(zone.genesis, root))
    with running_server() as server:
        database = await Database.open(new_database(server), SCHEMA, pool_size=3)
        state = await StateStore.open(database, lambda _commit: [], zone.genesis.hash, first)
        # What a block of transfers writes beside its pages is none of this bench's.
        empty = replace(first, before=RecordTables(), changes=RecordTables(), leaves=(), validator_sets={})
        await state.load_pages([state_key(Namespace.ACCOUNT, account) for account in accounts])
        collect_seldom()

        def changed(account: bytes) -> bytes:
            balance = chance.randrange(-(2**30), 2**30)
            return encode_leaf(
                Namespace.ACCOUNT, Account(account, owner, UNIT, balance, 0, FLOOR_MINOR, 2**30, 7, bytes(32))
            )

        async def measure() -> Figures:
            assert server.pid is not None, "it runs"
            update_seconds = write_seconds = 0.0
            database_before = usage(server.pid).cpu_seconds
            for _ in range(BLOCKS):
                leaves = [
                    (Namespace.ACCOUNT, account, changed(account))
                    for account in chance.sample(accounts, DIRTY)
                ]
                started = time.process_time()
                update = await update_tree(leaves, state)
                updated = time.process_time()
                newest = state.newest
                block = replace(newest, height=newest.height + 1, hash=update.root, state_root=update.root)
                await state.commit(replace(empty, block=block, pages=update.pages))
                update_seconds += updated - started
                write_seconds += time.process_time() - updated
            transfers = BLOCKS * DIRTY / LEAVES_PER_TRANSFER
            figures = {
                "update_us": update_seconds / transfers * 1e6,
                "write_us": write_seconds / transfers * 1e6,
                "database_us": (usage(server.pid).cpu_seconds - database_before) / transfers * 1e6,
            }
            return {"sum_us": sum(figures.values()), **figures}

        yield measure
        await state.close()
        await database.close()

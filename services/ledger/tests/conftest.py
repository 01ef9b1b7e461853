"""The zone of `libs.machine.tests`, with ledgers over a database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from icn_kit.database import Database
from icn_ledger.events.outbox_rows import make_event_rows
from icn_ledger.store.state import StateStore
from icn_machine.blocks.contract_engine import ContractEngine

from libs.machine.tests.zone import Ledger, Zone, first_commit, ledger_over, make_zone, memory_ledger


@pytest.fixture
def zone() -> Zone:
    return make_zone()


@pytest.fixture
def ledger(zone: Zone) -> Ledger:
    return memory_ledger(zone)


OpenLedger = Callable[..., AbstractAsyncContextManager[Ledger]]


@pytest.fixture
def open_ledger(zone: Zone) -> OpenLedger:
    """Opens a ledger over a database; twice over one for a restart."""

    @asynccontextmanager
    async def open_one(dsn: str, contracts: ContractEngine | None = None) -> AsyncIterator[Ledger]:
        database = await Database.open(dsn, "ledger", pool_size=4)
        try:
            state = await StateStore.open(
                database, make_event_rows(zone.genesis.hash), zone.genesis.hash, first_commit(zone.genesis)
            )
            yield ledger_over(state, zone, contracts)
            await state.close()
        finally:
            await database.close()

    return open_one

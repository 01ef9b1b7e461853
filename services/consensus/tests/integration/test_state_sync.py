"""Who lost everything takes the state from the others: real consensus, real ledgers, real Postgres.

Genesis lies some epochs back, so the first block closes its epoch and a snapshot follows at once.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from icn.ledger.v1 import service_pb2
from icn.ledger.v1.service_pb2_grpc import LedgerServiceStub
from icn_consensus.main import build
from icn_consensus.store.block_store import BlockStore
from icn_consensus.usecases.ports import StoredBlock
from icn_kit.lifecycle import Stop
from icn_ledger import main as ledger
from icn_ledger.settings import LedgerSettings
from icn_localnet.network import NetworkOptions
from icn_localnet.pytest_plugin import Templates

from .conftest import SEATS, WAIT_SECONDS, Federation, Validator, until

EPOCH_MS = 60_000
LOST = 3
CONSENSUS_TABLES = "consensus.final_blocks, consensus.record_log, consensus.evidence, consensus.key_leases"


@pytest.fixture
def ledgers(database_templates: Templates) -> Iterator[list[str]]:
    """A ledger's database for each seat, and one for who lost its own."""
    copies = [database_templates.copy("icn_ledger") for _ in range(SEATS + 1)]
    yield [dsn for _, dsn in copies]
    for name, _ in copies:
        database_templates.drop(name)


class WithLedger:
    """A validator whose application is a ledger."""

    def __init__(self, validator: Validator, dsn: str) -> None:
        self.validator = validator
        self.dsn = dsn
        self.ledger: ledger.Service | None = None

    async def start(self) -> None:
        validator = self.validator
        settings = LedgerSettings(
            genesis=validator.settings.genesis,
            database_url=self.dsn,  # type: ignore[arg-type]
            application_address=validator.application_address,
            address="127.0.0.1:0",
        )
        self.ledger = await ledger.build(settings, Stop())
        await self.ledger.start()
        validator.service = await build(validator.settings, Stop())
        await validator.service.start()

    async def stop(self) -> None:
        if self.validator.service is not None:
            await self.validator.service.drain()
            self.validator.service = None
        if self.ledger is not None:
            await self.ledger.drain()
            self.ledger = None

    @property
    def height(self) -> int:
        assert self.validator.service is not None
        return self.validator.service.driver.status().executed_height

    def rows(self, text: str) -> list[Any]:
        return rows(self.dsn, "ledger", text)

    def lose_everything(self, database: str, dsn: str) -> None:
        """Log, databases and key are gone; a new key may follow."""
        shutil.rmtree(self.validator.settings.record_directory)
        with psycopg.connect(database) as connection:
            connection.execute(f"TRUNCATE {CONSENSUS_TABLES}")
        self.dsn = dsn
        key_file = self.validator.directory / "keys" / "new.json"
        key_file.write_text(json.dumps({"ed25519": secrets.token_hex(32)}))
        changes = {"key_file": key_file, "state_sync_heights_min": 1}
        self.validator.settings = self.validator.settings.model_copy(update=changes)


def rows(dsn: str, schema: str, text: str) -> list[Any]:
    with psycopg.connect(dsn, autocommit=True, options=f"-c search_path={schema}") as connection:
        cursor = connection.execute(text)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
async def nodes(
    short_directory: Path, databases: list[str], ledgers: list[str]
) -> AsyncIterator[list[WithLedger]]:
    """Four validators some epochs after genesis, each with a snapshot."""
    begun_ms = time.time_ns() // 1_000_000 - 4 * EPOCH_MS
    options = NetworkOptions(epoch_ms=EPOCH_MS, heartbeat_ms=1_000, genesis_time_ms=begun_ms)
    federation = Federation(short_directory, databases, options)
    made = [
        WithLedger(validator, dsn)
        for validator, dsn in zip(federation.validators, ledgers[:SEATS], strict=True)
    ]
    try:
        await asyncio.gather(*(node.start() for node in made))
        await until(lambda: all(node.rows("SELECT height FROM snapshots") for node in made))
        yield made
    finally:
        for node in made:
            await node.stop()
        await federation.channels.close()


async def follows(node: WithLedger, others: list[WithLedger]) -> None:
    """The node executes what the others do, to the same roots."""
    begun = node.height
    await until(lambda: node.height > begun + 3)
    ours = dict(node.rows("SELECT height, state_root FROM blocks WHERE height > 0"))
    theirs = dict(others[0].rows("SELECT height, state_root FROM blocks"))
    assert len(ours) > 3
    assert ours.items() <= theirs.items()


@pytest.mark.parametrize("lies", ["nobody", "a chunk", "a snapshot"])
async def test_who_lost_everything_begins_with_a_snapshot_and_follows(
    nodes: list[WithLedger], databases: list[str], ledgers: list[str], lies: str
) -> None:
    *steady, lost = nodes
    await lost.stop()
    if lies != "nobody":  # one after the other of two that are asked first
        for node in steady[:2]:
            forged = "snapshot_chunks" if lies == "a chunk" else "snapshots"
            node.rows(f"UPDATE {forged} SET data = set_byte(data, 40, get_byte(data, 40) # 1)")
    lost.lose_everything(databases[LOST], ledgers[SEATS])
    await lost.start()
    ((height,),) = lost.rows("SELECT snapshot_height FROM chain")
    assert height > 0
    stored = rows(databases[LOST], "consensus", "SELECT min(height), max(height) FROM final_blocks")
    assert stored[0][0] == height
    await follows(lost, steady)
    await lost.stop()
    await lost.start()  # as any other start
    await follows(lost, steady)
    assert lost.ledger is not None
    async with grpc.aio.insecure_channel(lost.ledger.addresses[-1]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await LedgerServiceStub(channel).GetBlock(service_pb2.GetBlockRequest(name="blocks/1"))
    assert f"from height {height + 1} on" in str(refusal.value.details())


async def test_who_stopped_between_state_and_block_fetches_the_block_and_goes_on(
    nodes: list[WithLedger], databases: list[str], ledgers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    *steady, lost = nodes
    await lost.stop()
    lost.lose_everything(databases[LOST], ledgers[SEATS])

    add = BlockStore.add

    async def die(store: BlockStore, blocks: Sequence[StoredBlock], sequence: int) -> None:
        if sequence == 0:
            raise InterruptedError
        await add(store, blocks, sequence)  # of the others, who go on meanwhile

    with monkeypatch.context() as patch:
        patch.setattr(BlockStore, "add", die)
        with pytest.raises(InterruptedError):
            await lost.start()
    await lost.stop()
    ((height,),) = lost.rows("SELECT snapshot_height FROM chain")
    assert height > 0
    assert rows(databases[LOST], "consensus", "SELECT count(*) FROM final_blocks") == [(0,)]
    await lost.start()
    await follows(lost, steady)


async def test_with_a_short_chain_every_block_is_executed(
    nodes: list[WithLedger], databases: list[str], ledgers: list[str]
) -> None:
    *steady, lost = nodes
    await lost.stop()
    lost.lose_everything(databases[LOST], ledgers[SEATS])
    changes = {"state_sync_heights_min": 10_000}
    lost.validator.settings = lost.validator.settings.model_copy(update=changes)
    await lost.start()
    await until(lambda: lost.height >= min(node.height for node in steady) - 1, WAIT_SECONDS)
    assert lost.rows("SELECT snapshot_height FROM chain") == [(0,)]
    assert lost.rows("SELECT count(*) FROM blocks WHERE height IN (1, 2)") == [(2,)]

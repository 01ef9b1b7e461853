"""Ledgers over real databases, and served on real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from icn.consensus.v1 import application_pb2 as app
from icn.consensus.v1.application_pb2_grpc import ApplicationServiceStub
from icn.consensus.v1.block_pb2 import BlockHeader
from icn.ledger.v1 import service_pb2 as pb
from icn.ledger.v1.service_pb2_grpc import LedgerServiceStub
from icn_crypto import tags
from icn_crypto.hashing import NO_GENESIS, domain_hash
from icn_crypto.merkle_log import leaf_hash, tree_root
from icn_kit.errors import from_rpc_error
from icn_kit.lifecycle import Stop
from icn_ledger.main import Service, build
from icn_ledger.settings import LedgerSettings
from icn_localnet.pytest_plugin import DatabaseFor

from libs.machine.tests.zone import FixedClock, Zone, create_unit, identifier, open_account, transfer

UNIT = identifier("unit")
ANA, BEN = identifier("account of ana"), identifier("account of ben")


@pytest.fixture
def dsn(database_for: DatabaseFor) -> str:
    """Connection string of a fresh database with the ledger's tables."""
    return database_for("icn_ledger")


Query = Callable[..., list[tuple[object, ...]]]


@pytest.fixture
def query(dsn: str) -> Query:
    """Runs one statement in the ledger's schema, on a connection of its own."""

    def run(text: str, *parameters: object) -> list[tuple[object, ...]]:
        with psycopg.connect(dsn, autocommit=True, options="-c search_path=ledger") as connection:
            cursor = connection.execute(text, parameters)
            return cursor.fetchall() if cursor.description else []

    return run


@dataclass
class Running:
    """A served ledger and stubs to it."""

    zone: Zone
    service: Service
    stop: Stop
    application: Any
    ledger: Any

    async def header(self, transactions: list[bytes], **changes: Any) -> bytes:
        """The header that follows the newest state."""
        state = (await self.application.GetInfo(app.GetInfoRequest())).state
        height = state.executed_height
        parent = (await self.ledger.GetBlock(pb.GetBlockRequest(name=f"blocks/{height}"))).block
        epoch = self.zone.genesis.epoch_of(state.time_ms)
        time_ms = changes.get("time_ms", state.time_ms + 1_000)
        set_hash = BlockHeader.FromString(parent.header).next_validator_set_hash
        is_edge = self.zone.genesis.epoch_of(time_ms) != epoch
        next_hash = domain_hash(tags.VALIDATOR_SET, NO_GENESIS, state.next_validator_set)
        fields = {
            "protocol_version": 1,
            "height": height + 1,
            "view": height + 1,
            "parent": parent.hash,
            "time_ms": time_ms,
            "transactions_root": tree_root([leaf_hash(data) for data in transactions]),
            "executed_height": height,
            "state_root": state.state_root,
            "receipts_root": state.receipts_root,
            "log_root": state.log_root,
            "parent_certificate_digest": bytes(32),
            "finalization_digest": bytes(32),
            "epoch": epoch,
            "validator_set_hash": set_hash,
            "next_validator_set_hash": next_hash if is_edge else set_hash,
            **changes,
        }
        return BlockHeader(**fields).SerializeToString(deterministic=True)

    async def execute(self, *transactions: bytes) -> Any:
        return await self.execute_block(await self.header(list(transactions)), *transactions)

    async def execute_block(self, header: bytes, *transactions: bytes, **changes: Any) -> Any:
        fields = {"finalization": b"\x08\x03", **changes}
        request = app.ExecuteBlockRequest(header=header, transactions=transactions, **fields)
        return await self.application.ExecuteBlock(request)

    async def fill(self) -> None:
        """A unit, two accounts and five transfers, one per block."""
        shop = self.zone.organizations[0]
        await self.execute(
            self.zone.transaction(
                shop, create_unit(UNIT, floor_minor=-100), open_account(ANA, UNIT), open_account(BEN, UNIT)
            )
        )
        for amount in range(1, 6):
            await self.execute(self.zone.transaction(shop, transfer(ANA, BEN, amount, bytes([amount]) * 32)))


@pytest.fixture
async def start(zone: Zone, dsn: str, tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Running]]]:
    genesis = tmp_path / "genesis.json"
    genesis.write_text(json.dumps(zone.document))
    started: list[tuple[Service, grpc.aio.Channel, grpc.aio.Channel]] = []

    async def run(**changes: Any) -> Running:
        values = {
            "genesis": genesis,
            "database_url": dsn,
            "application_address": f"unix:{tmp_path}/application.sock",
            "address": "127.0.0.1:0",
            **changes,
        }
        stop = Stop()
        service = await build(LedgerSettings(**values), stop, FixedClock(zone.genesis.time_ms))
        await service.start()
        application, ledger = (grpc.aio.insecure_channel(address) for address in service.addresses)
        started.append((service, application, ledger))
        return Running(zone, service, stop, ApplicationServiceStub(application), LedgerServiceStub(ledger))

    yield run
    for service, application, ledger in started:
        await application.close()
        await ledger.close()
        await service.drain()


@pytest.fixture
async def running(start: Callable[..., Awaitable[Running]]) -> Running:
    return await start()


async def refuse(call: Awaitable[Any], code: grpc.StatusCode) -> str:
    """The reason of a refusal with this status."""
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call
    assert refusal.value.code() == code, refusal.value
    return from_rpc_error(refusal.value).reason


async def pages(call: Callable[[str], Awaitable[Any]], rows: str) -> list[Any]:
    """Every row of a list, page by page."""
    found: list[Any] = []
    token = ""
    while True:
        page = await call(token)
        found += getattr(page, rows)
        token = page.next_page_token
        if not token:
            return found
        assert len(getattr(page, rows)) > 0

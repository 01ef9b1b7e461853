"""Validators that answer over real gRPC sockets, and gateways that serve over real HTTP sockets."""

# ruff: noqa: N802 - methods are named by the protos
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from icn.consensus.v1 import service_pb2 as consensus
from icn.consensus.v1.service_pb2_grpc import ConsensusServiceServicer, add_ConsensusServiceServicer_to_server
from icn.ledger.v1 import service_pb2 as ledger
from icn.ledger.v1.service_pb2_grpc import LedgerServiceServicer, add_LedgerServiceServicer_to_server
from icn_gateway.api.server import HttpServer
from icn_gateway.events.feed import Feed
from icn_kit.channel import ChannelFactory
from icn_kit.ledger_streams import WATCH_ACCOUNT
from icn_kit.min_height import MIN_HEIGHT_KEY
from icn_kit.preference import ValidatorAddress
from icn_kit.server import GrpcServer
from icn_kit.validators import Validators
from icn_localnet.files import free_port
from icn_machine.blocks.ports import StateBehind


def ledger_servicer(zone: Any, seat: FakeValidator) -> LedgerServiceServicer:
    """The zone's reads as LedgerService."""

    class Servicer(LedgerServiceServicer):  # type: ignore[misc]
        async def GetAccount(self, request: Any, context: Any) -> Any:
            height = int(dict(context.invocation_metadata()).get(MIN_HEIGHT_KEY, 0))
            if height > seat.executed_height:
                seat.calls += 1
                raise StateBehind(height, seat.executed_height)
            return await seat.answer(zone.get_account(request.name))

        async def ListAccounts(self, request: Any, _context: Any) -> Any:
            return await seat.answer(zone.list_accounts(request.owner, request.page_size, request.page_token))

        async def ListEntries(self, request: Any, _context: Any) -> Any:
            return await seat.answer(
                zone.list_entries(request.account, request.page_size, request.page_token)
            )

        async def GetUnit(self, request: Any, _context: Any) -> Any:
            return await seat.answer(zone.get_unit(request.name))

        async def ListUnits(self, request: Any, _context: Any) -> Any:
            return await seat.answer(zone.list_units(request.page_size, request.page_token))

        async def GetController(self, request: Any, _context: Any) -> Any:
            true = await seat.answer(zone.get_controller(request.name))
            return true if seat.forged_controller is None else seat.forged_controller

        async def GetHold(self, request: Any, _context: Any) -> Any:
            return await seat.answer(zone.get_hold(request.name))

        async def GetAllowance(self, request: Any, _context: Any) -> Any:
            return await seat.answer(zone.get_allowance(request.organization))

        async def GetRecovery(self, request: Any, _context: Any) -> Any:
            return await seat.answer(zone.get_recovery(request.name))

        async def GetTransaction(self, request: Any, _context: Any) -> Any:
            return await seat.answer(zone.get_transaction(request.name))

        async def GetBlock(self, request: Any, _context: Any) -> Any:
            return await seat.answer(zone.get_block(request.name))

        async def ListBlocks(self, request: Any, _context: Any) -> Any:
            return await seat.answer(zone.list_blocks(request.page_size, request.page_token))

        async def GetProof(self, request: Any, _context: Any) -> Any:
            return await seat.answer(zone.get_proof(request.name, request.from_epoch))

        async def GetStatement(self, _request: Any, _context: Any) -> Any:
            for part in seat.statement:
                yield part

        async def WatchAccount(self, request: Any, _context: Any) -> Any:
            seat.calls += 1
            await asyncio.sleep(seat.delay_seconds)
            seat.watched.append(request)
            try:
                yield ledger.WatchAccountResponse(account=(await zone.get_account(request.name)).account)
                while (news := await seat.news.get()) is not None:
                    yield news
            finally:
                seat.unwatched.set()

    return Servicer()


def consensus_servicer(zone: Any, seat: FakeValidator) -> ConsensusServiceServicer:
    """The zone's pool as ConsensusService."""

    class Servicer(ConsensusServiceServicer):  # type: ignore[misc]
        async def SubmitTransactions(self, request: Any, _context: Any) -> Any:
            seat.submissions += 1
            if seat.submit_fault is not None:
                raise seat.submit_fault
            await asyncio.sleep(seat.block_seconds)
            outcomes = await seat.answer(zone.submit(request.transactions, request.wait_ms))
            return consensus.SubmitTransactionsResponse(outcomes=outcomes)

        async def GetStatus(self, _request: Any, _context: Any) -> Any:
            if seat.status_fault is not None:
                raise seat.status_fault
            status = await seat.answer(_now(zone.status(seat.seat)))
            status.is_catching_up = seat.is_catching_up
            status.executed_height = seat.claimed_height or status.executed_height
            return status

    return Servicer()


async def _now(value: Any) -> Any:
    return value


class FakeValidator:
    """One seat on a port of its own."""

    def __init__(self, zone: Any, seat: int) -> None:
        self.zone = zone
        self.seat = seat
        self.address = ""
        self.calls = self.submissions = 0
        self.is_catching_up = False
        self.delay_seconds = 0.0
        self.block_seconds = 0.0
        """What a submission takes besides."""
        self.submit_fault: Exception | None = None
        self.status_fault: Exception | None = None
        """Raised instead of taking transactions, and of saying where it stands, if set."""
        self.claimed_height = 0
        """What its status says instead of the truth, when not 0."""
        self.forged_controller: Any = None
        """What it says of every controller instead of the truth."""
        self.executed_height = 100
        """Of a read that asks for a height above it, it says that it is behind."""
        self.statement: list[ledger.GetStatementResponse] = []
        """What it answers to every GetStatement."""
        self.watched: list[ledger.WatchAccountRequest] = []
        """What it was asked to watch."""
        self.unwatched = asyncio.Event()
        """Set when a stream of a watched account has ended."""
        self.news: asyncio.Queue[ledger.WatchAccountResponse | None] = asyncio.Queue()
        """What it tells of a watched account; None ends the stream."""
        self.server: GrpcServer | None = None

    async def answer(self, work: Any) -> Any:
        self.calls += 1
        try:
            await asyncio.sleep(self.delay_seconds)
            return await work
        finally:
            work.close()

    async def start(self) -> None:
        """Serve; after a stop at the same address again."""
        self.server = GrpcServer(
            self.address or "127.0.0.1:0",
            [
                (add_LedgerServiceServicer_to_server, ledger_servicer(self.zone, self)),
                (add_ConsensusServiceServicer_to_server, consensus_servicer(self.zone, self)),
            ],
        )
        await self.server.start()
        self.address = self.server.address

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.drain(0)
            self.server = None


@pytest.fixture
async def fake_validators(zone: Any) -> AsyncIterator[list[FakeValidator]]:
    """Four seats of the zone, serving."""
    made = [FakeValidator(zone, seat) for seat in range(4)]
    for validator in made:
        await validator.start()
    yield made
    for validator in made:
        await validator.stop()


@pytest.fixture
async def validators(fake_validators: list[FakeValidator]) -> AsyncIterator[Validators]:
    """The gateway's side of them."""
    channels = ChannelFactory(long_lived_streams=(WATCH_ACCOUNT,))
    addresses = [ValidatorAddress(item.seat, item.address, item.address) for item in fake_validators]
    yield Validators(addresses, channels)
    await channels.close()


Serve = Callable[..., Any]


@pytest.fixture
def serve(zone: Any, make: Any) -> Serve:
    """``async with serve(feed=…, ports=…) as (client, server)``: a gateway on a port of its own."""

    @asynccontextmanager
    async def serve_(feed: Feed | None = None, ports: Any = None, watched: Any = None) -> AsyncIterator[Any]:
        events = Feed({}) if feed is None else feed
        context = make.context(zone, events, ports, watched=watched)
        server = HttpServer(make.edge(context), "127.0.0.1", port := free_port())
        await server.start()
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
                yield client, server
        finally:
            events.drain()
            context.watched.drain()
            await server.drain()

    return serve_

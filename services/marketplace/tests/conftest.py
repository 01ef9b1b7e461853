"""The marketplace over a real database, with people, permissions, a clock and a ledger that tests hold."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import pytest
from google.protobuf.message import Message
from icn.kit.v1.command_pb2 import CommandBody, CommandSignature, SignedCommand
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.marketplace.v1 import service_pb2 as pb
from icn_crypto.suites import SigningKey, Suite, key_id
from icn_kit.blobs import BlobTable
from icn_kit.block_clock import BlockMoment
from icn_kit.commands import Command, DirectoryKey, PrincipalKeys, command_id, command_preimage
from icn_kit.database import Database
from icn_kit.errors import NotFound, Unauthenticated
from icn_kit.inbox import handle_once
from icn_kit.permissions import HeightNotReached
from icn_localnet.pytest_plugin import DatabaseFor
from icn_marketplace.domain.agreement import Agreement
from icn_marketplace.domain.limits import MINUTE_MS
from icn_marketplace.events.ledger_holds import LedgerHolds
from icn_marketplace.store.queries import Queries
from icn_marketplace.store.unit_of_work import EventUnitOfWork, UnitOfWork
from icn_marketplace.usecases.announce import Announcer
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.expire_agreements import expire_agreements
from icn_marketplace.usecases.permissions import PermissionsAt
from icn_marketplace.usecases.ports import AccountSeen, PaymentSeen, PostingSeen

GENESIS = b"g" * 32
NOW = 1_800_000_000_000
"""A whole minute."""
SEALING_KEY = secrets.token_bytes(32)
METHODS = "/icn.marketplace.v1.MarketplaceService/"

RequestT = TypeVar("RequestT", bound=Message)


class TestClock:
    """Stands still unless it is moved."""

    __test__ = False

    def __init__(self) -> None:
        self.ms = NOW

    def now_ms(self) -> int:
        return self.ms


class KnownRelations:
    """Implements `Permissions` from a set, up to ``height``; ``arriving`` is known from the next block on."""

    def __init__(self) -> None:
        self.height = 0
        self.newest = 0
        self.is_late = False
        """Whether what is waited for does not come in time."""
        self.known: set[tuple[bytes, str, bytes]] = set()
        self.arriving: set[tuple[bytes, str, bytes]] = set()

    def is_related(
        self, principal: bytes, relations: Sequence[str], organization: bytes, height: int
    ) -> bool:
        if height > self.height:
            raise HeightNotReached(height, self.height)
        return any((principal, relation, organization) in self.known for relation in relations)

    def newest_height(self) -> int:
        if self.arriving:
            self.newest += 1
        return self.newest

    async def wait_for(self, height: int) -> None:
        if self.is_late:
            raise HeightNotReached(height, self.height)
        self.height = height
        self.known |= self.arriving


@dataclass
class TestLedger:
    """Implements `Ledger`, `PaymentMemos`, `LedgerEvents` and `BlockTime`."""

    __test__ = False

    accounts: dict[bytes, AccountSeen] = field(default_factory=dict)
    holds: set[bytes] = field(default_factory=set)
    transactions: dict[bytes, list[PostingSeen]] = field(default_factory=dict)
    memos: dict[tuple[bytes, int], dict[bytes, PaymentSeen]] = field(default_factory=dict)
    """Of entries, by account and height."""
    order_memos: dict[bytes, bytes] = field(default_factory=dict)
    block_time_ms: int = NOW
    is_stream_handled: bool = True
    height: int = 100

    async def account(self, account: bytes) -> AccountSeen:
        if account not in self.accounts:
            raise NotFound("ACCOUNT_UNKNOWN", "no account")
        return self.accounts[account]

    async def held_at(self, hold: bytes) -> int | None:
        return self.height if hold in self.holds else None

    async def postings(self, transaction_id: bytes) -> list[PostingSeen]:
        if transaction_id not in self.transactions:
            raise NotFound("TRANSACTION_UNKNOWN", "no transaction")
        return self.transactions[transaction_id]

    async def memos_of_entries(self, account: bytes, height: int) -> dict[bytes, PaymentSeen]:
        if account not in self.accounts:
            raise NotFound("ACCOUNT_UNKNOWN", "no account")
        return self.memos.get((account, height), {})

    async def memo_of_order(self, order: bytes) -> bytes:
        if order not in self.order_memos:
            raise NotFound("ORDER_UNKNOWN", "no order")
        return self.order_memos[order]

    async def is_level(self) -> bool:
        return self.is_stream_handled

    @property
    def newest(self) -> BlockMoment:
        return BlockMoment(self.height, self.block_time_ms)

    async def wait_for_height(self, height: int) -> None:
        if height > self.height:
            await asyncio.Event().wait()

    async def now_ms(self) -> int:
        return self.block_time_ms


class Person:
    """A principal with a key; implements nothing, signs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.principal = secrets.token_bytes(16)
        self.key = SigningKey.generate(Suite.ED25519)
        self.key_id = key_id({Suite.ED25519: self.key.public_key})

    def body(self, method: str, request: bytes, now_ms: int) -> bytes:
        body: bytes = CommandBody(
            method=METHODS + method,
            principal=self.principal,
            issue_time_ms=now_ms,
            expire_time_ms=now_ms + 600_000,
            nonce=secrets.token_bytes(16),
            request=request,
        ).SerializeToString(deterministic=True)
        return body

    def sign(self, method: str, request: Message | bytes, now_ms: int = NOW) -> SignedCommand:
        data = request if isinstance(request, bytes) else request.SerializeToString(deterministic=True)
        body = self.body(method, data, now_ms)
        signature = self.key.sign(command_preimage(GENESIS, body))
        return SignedCommand(
            body=body,
            signatures=[CommandSignature(suite=Suite.ED25519, key_id=self.key_id, signature=signature)],
        )

    def keys(self) -> PrincipalKeys:
        key = DirectoryKey({int(Suite.ED25519): self.key.public_key}, is_scoped=False)
        return PrincipalKeys(self.principal, 1, {self.key_id: key}, b"")


class People:
    """Implements `KeyDirectory`."""

    def __init__(self) -> None:
        self.known: dict[bytes, Person] = {}

    def person(self, name: str) -> Person:
        person = Person(name)
        self.known[person.principal] = person
        return person

    async def keys_of(self, principal: bytes, *, is_newest: bool = False) -> PrincipalKeys:
        if principal not in self.known:
            raise Unauthenticated("CONTROLLER_UNKNOWN", "nobody")
        return self.known[principal].keys()


@dataclass
class Market:
    """The use cases over a real database."""

    database: Database
    context: Context
    clock: TestClock
    permissions: KnownRelations
    ledger: TestLedger
    people: People
    queries: Queries
    blobs: BlobTable
    announcer: Announcer
    holds: LedgerHolds

    def command(self, person: Person, request: RequestT) -> Command[RequestT]:
        """A command as the verifier gives it out, each one a new one."""
        method = request.DESCRIPTOR.name
        body = person.body(method, request.SerializeToString(deterministic=True), self.clock.ms)
        return Command(
            id=command_id(GENESIS, body),
            method=METHODS + method,
            principal=person.principal,
            issue_time_ms=self.clock.ms,
            expire_time_ms=self.clock.ms + 600_000,
            request=request,
            body=body,
            signatures=b"",
        )

    def join(self, person: Person, organization: Person, relation: str = "member") -> None:
        self.permissions.known.add((person.principal, relation, organization.principal))

    async def events(self) -> list[EventEnvelope]:
        async with self.database.connection() as connection:
            rows = await (
                await connection.execute("SELECT envelope FROM outbox ORDER BY position")
            ).fetchall()
        return [EventEnvelope.FromString(row[0]) for row in rows]

    async def subjects(self) -> list[str]:
        """Whose blobs are kept, one for each blob."""
        async with self.database.connection() as connection:
            cursor = await connection.execute("SELECT subject FROM blobs ORDER BY subject")
            return [row[0] for row in await cursor.fetchall()]

    async def event_names(self) -> list[str]:
        return [event.subject.rpartition(".")[2] for event in await self.events()]

    async def tell(self, event: EventEnvelope) -> bool:
        """An event of the ledger, through the inbox."""
        async with self.database.transaction() as connection:
            return (await handle_once(connection, "test", [event], self.holds.handle))[0]

    async def expire(self, block_time_ms: int) -> int:
        """A look at what is due."""
        self.ledger.block_time_ms = block_time_ms
        return await expire_agreements(
            block_time_ms,
            self.queries,
            self.context.units,
            ledger=self.ledger,
            events=self.ledger,
            announcer=self.announcer,
        )

    async def agreement(self, name: str) -> Agreement:
        seen = await self.queries.agreement(bytes.fromhex(name.rpartition("/")[2]))
        assert seen is not None
        return seen.agreement


@pytest.fixture
async def market(database_for: DatabaseFor) -> AsyncIterator[Market]:
    database = await Database.open(database_for("icn_marketplace"), "marketplace", pool_size=8)
    clock, permissions, ledger, people = TestClock(), KnownRelations(), TestLedger(), People()
    announcer, blobs = Announcer(GENESIS), BlobTable(SEALING_KEY)
    context = Context(
        genesis_hash=GENESIS,
        units=partial(UnitOfWork, database, blobs, asyncio.Semaphore(6)),
        clock=clock,
        permissions=PermissionsAt(permissions, 0),
        ledger=ledger,
        block_time=ledger,
        announcer=announcer,
    )
    bus: Any = None
    yield Market(
        database=database,
        context=context,
        clock=clock,
        permissions=permissions,
        ledger=ledger,
        people=people,
        queries=Queries(database),
        blobs=blobs,
        announcer=announcer,
        holds=LedgerHolds(
            database,
            bus,
            lambda connection: EventUnitOfWork(connection, blobs),
            announcer,
            ledger=ledger,
            heights=ledger,
        ),
    )
    await database.close()


def always_open(**changes: Any) -> pb.BookingRules:
    """Rules that allow nearly everything, for anybody."""
    values: dict[str, Any] = {
        "open_minute": 0,
        "close_minute": 1_440,
        "minutes_min": 1,
        "minutes_max": 43_200,
        "ahead_days_max": 366,
    }
    return pb.BookingRules(**{**values, **changes})


def wish(resource: bytes, start: int, end: int, if_taken: int = pb.IF_TAKEN_REFUSE) -> pb.BookResource:
    """[start, end) in minutes after NOW."""
    return pb.BookResource(
        resource=resource,
        start_time_ms=NOW + start * MINUTE_MS,
        end_time_ms=NOW + end * MINUTE_MS,
        if_taken=if_taken,  # type: ignore[arg-type]
    )

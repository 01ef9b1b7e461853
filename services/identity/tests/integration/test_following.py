"""Memberships of the ledger become tuples, and blocks become checkpoints, over real Postgres and NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from icn.identity.v1 import events_pb2
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1.events_pb2 import MembershipChanged
from icn.ledger.v1.state_pb2 import (
    MEMBERSHIP_STATUS_ACTIVE,
    MEMBERSHIP_STATUS_APPLIED,
    MEMBERSHIP_STATUS_ENDED,
    MembershipLeaf,
)
from icn_identity.events.memberships import CONSUMER, SUBJECT, Memberships
from icn_identity.events.permissions import Checkpoints
from icn_identity.store.tuples import PostgresTuples
from icn_kit.block_clock import BlockMoment
from icn_kit.bus import Bus, OutgoingEvent
from icn_kit.envelope import ledger_event_id, serialize_envelope
from icn_kit.lease import Lease
from icn_localnet.nats import USER, NatsServer

Service = Any
"""From conftest."""
ZONE = bytes(range(16))
ORGANIZATION = b"b" * 16
START_MS = 1_790_000_000_000
PATIENCE_SECONDS = 60


class Blocks:
    """A chain that is moved by the test."""

    def __init__(self) -> None:
        self.newest: BlockMoment | None = None
        self._changed = asyncio.Condition()

    async def stand(self, height: int) -> None:
        async with self._changed:
            self.newest = BlockMoment(height, START_MS + height)
            self._changed.notify_all()

    async def wait_for_height(self, height: int) -> BlockMoment:
        async with self._changed:
            while self.newest is None or self.newest.height < height:
                await self._changed.wait()
            return self.newest


@dataclass
class Following:
    """The parts that follow the ledger, running."""

    service: Service
    bus: Bus
    blocks: Blocks
    lease: Lease
    sequence: int = 0

    async def tell(self, status: Any, height: int, member: bytes = b"a" * 16) -> None:
        """The ledger publishes a change; every event is told twice, as may happen."""
        leaf = MembershipLeaf(organization=ORGANIZATION, member=member, status=status)
        changed = MembershipChanged(height=height, block_time_ms=START_MS, membership=leaf)
        event_id = ledger_event_id(ZONE, height, member[0])
        envelope = EventEnvelope(
            id=event_id,
            zone=ZONE,
            height=height,
            schema_version=1,
            tenant=ORGANIZATION,
            subject=SUBJECT,
            aggregate="memberships/x",
            payload=changed.SerializeToString(),
        )
        event = OutgoingEvent(event_id, SUBJECT, serialize_envelope(envelope), "")
        self.sequence = await self.bus.publish_batch("ledger", [event], self.sequence)

    def is_member(self, height: int, member: bytes = b"a" * 16) -> bool:
        return bool(
            self.service.permissions.check(
                f"principals/{member.hex()}", "member", f"organizations/{ORGANIZATION.hex()}", height
            ).is_allowed
        )

    async def reach(self, height: int) -> None:
        await eventually(lambda: self.service.permissions.height >= height)


async def eventually(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)


@pytest.fixture
async def following(service: Service, nats_server: NatsServer) -> AsyncIterator[Following]:
    bus = await Bus.connect(nats_server.address, "test", user=USER, password=nats_server.password)
    with suppress(Exception):
        await bus.delete_stream("ledger")
    await bus.ensure_stream("ledger")
    blocks = Blocks()
    lease = Lease(bus, "relay.ledger", "test")
    assert await lease.acquire()
    memberships = Memberships(lambda connection: PostgresTuples(connection, ZONE), service.permissions)
    checkpoints = Checkpoints(service.unit_of_work, bus, blocks, service.permissions)  # type: ignore[arg-type]

    async def renew() -> None:
        while True:
            await asyncio.sleep(0.5)
            await lease.renew_if_due()

    work: list[Awaitable[None]] = [
        memberships.consumer(service.database, bus).run(),
        checkpoints.run(CONSUMER),
        renew(),
    ]
    tasks = [asyncio.ensure_future(one) for one in work]
    yield Following(service, bus, blocks, lease)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await lease.release()
    await bus.delete_stream("ledger")
    await bus.close()


async def test_members_come_and_go_at_the_heights_of_the_ledger(following: Following) -> None:
    await following.tell(MEMBERSHIP_STATUS_APPLIED, 2)
    await following.tell(MEMBERSHIP_STATUS_ACTIVE, 3)
    await following.blocks.stand(4)
    await following.reach(4)
    assert [following.is_member(height) for height in (2, 3, 4)] == [False, True, True]
    await following.tell(MEMBERSHIP_STATUS_ENDED, 6)
    await following.tell(MEMBERSHIP_STATUS_ACTIVE, 8)
    await following.blocks.stand(9)
    await following.reach(9)
    assert [following.is_member(height) for height in (5, 6, 7, 8)] == [True, False, False, True]
    published = [
        events_pb2.PermissionCheckpoint.FromString(payload).height
        for name, payload in await following.service.events()
        if name == "permission_checkpoint"
    ]
    assert published == sorted(set(published)) and published[-1] == 9


async def test_who_is_no_member_any_more_holds_no_office_also_when_admitted_again(
    following: Following,
) -> None:
    service = following.service
    service.blocks.stand(1, START_MS)
    await service.publish_entry()
    await service.publish_list()
    await following.tell(MEMBERSHIP_STATUS_ACTIVE, 1)
    await service.publish(service.bakery.sign(service.bakery.claim(service.anna, 1, office="chair")))
    await following.blocks.stand(2)
    await following.reach(2)
    subject, object_ = f"principals/{service.anna.hex()}", f"organizations/{ORGANIZATION.hex()}"
    assert service.permissions.check(subject, "officer", object_, 2).is_allowed
    await following.tell(MEMBERSHIP_STATUS_ENDED, 4)
    await following.tell(MEMBERSHIP_STATUS_ACTIVE, 5)
    await following.blocks.stand(6)
    await following.reach(6)
    assert not service.permissions.check(subject, "officer", object_, 4).is_allowed
    assert not service.permissions.check(subject, "officer", object_, 6).is_allowed
    assert service.permissions.check(subject, "member", object_, 6).is_allowed


async def test_an_event_after_its_checkpoint_holds_from_the_next_height(following: Following) -> None:
    await following.blocks.stand(10)
    await following.reach(10)
    await following.tell(MEMBERSHIP_STATUS_ACTIVE, 7)
    await following.blocks.stand(12)
    await following.reach(12)
    assert [following.is_member(height) for height in (7, 10, 11)] == [False, False, True]


async def test_no_checkpoint_while_nobody_publishes_the_ledgers_events(following: Following) -> None:
    await following.blocks.stand(1)
    await following.reach(1)
    following.lease._renewed_at = float("inf")  # not renewed any more
    await asyncio.sleep(6)  # a lease lives for four seconds
    await following.blocks.stand(2)
    await asyncio.sleep(3)
    assert following.service.permissions.height == 1


async def test_an_idle_chain_makes_no_checkpoints(following: Following) -> None:
    await following.blocks.stand(1)
    await following.reach(1)
    await asyncio.sleep(4)
    names = [name for name, _ in await following.service.events()]
    assert names == ["permission_checkpoint"]

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
from icn_identity.usecases.ports import EventsEnd
from icn_identity.usecases.publish_credential import MembershipMoved
from icn_kit.block_clock import BlockMoment
from icn_kit.bus import DEAD_LETTERS, Bus, OutgoingEvent
from icn_kit.envelope import ledger_event_id, serialize_envelope
from icn_kit.errors import FailedPrecondition
from icn_kit.lifecycle import cancel_all
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


class Outboxes:
    """Four validators with the same events, the last of which the test names."""

    needed = 2

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self.newest = (b"", 0)
        self.answering = 4
        self.lying: EventsEnd | None = None

    async def ends(self) -> list[EventsEnd]:
        height = 0 if self._blocks.newest is None else self._blocks.newest.height
        honest = [EventsEnd(height, *self.newest) for _ in range(self.answering)]
        return honest if self.lying is None else [self.lying, *honest[1:]]


@dataclass
class Following:
    """The parts that follow the ledger, running."""

    service: Service
    bus: Bus
    blocks: Blocks
    outboxes: Outboxes
    sequence: int = 0

    async def tell(self, status: Any, height: int, member: bytes = b"a" * 16) -> None:
        """The ledger changes a membership and publishes it."""
        self.happen(status, height, member)
        await self.publish(status, height, member)

    def happen(self, status: Any, height: int, member: bytes = b"a" * 16) -> None:
        """The validators have executed a change."""
        word = {MEMBERSHIP_STATUS_APPLIED: "applied", MEMBERSHIP_STATUS_ACTIVE: "active"}.get(status, "ended")
        known = self.service.ledger.memberships.get((ORGANIZATION, member))
        since_ms = START_MS + height if word == "active" or known is None else known.since_time_ms
        self.service.ledger.admit(ORGANIZATION, member, word, height=height, since_ms=since_ms)
        self.outboxes.newest = (ledger_event_id(ZONE, height, member[0]), height)

    async def publish(self, status: Any, height: int, member: bytes = b"a" * 16) -> None:
        """Somebody says so on the bus."""
        leaf = MembershipLeaf(organization=ORGANIZATION, member=member, status=status)
        changed = MembershipChanged(height=height, block_time_ms=START_MS + height, membership=leaf)
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

    async def end_of(self, member: bytes) -> None:
        """Return when the end of a membership has been handled."""
        object_, subject = f"organizations/{ORGANIZATION.hex()}", f"principals/{member.hex()}"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                async with self.service.unit_of_work() as uow:
                    if await uow.tuples.last_end(object_, "member", subject):
                        return
                await asyncio.sleep(0.05)

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
    await bus.ensure_dead_letters()
    await bus.streams.purge_stream(DEAD_LETTERS)  # a consumer that starts tries them first
    blocks = Blocks()
    outboxes = Outboxes(blocks)
    memberships = Memberships(
        lambda connection: PostgresTuples(connection, ZONE), service.permissions, service.ledger, blocks
    )
    checkpoints = Checkpoints(
        service.unit_of_work,
        bus,
        blocks,  # type: ignore[arg-type]
        service.permissions,
        outboxes,
    )
    work: list[Awaitable[None]] = [
        memberships.consumer(service.database, bus).run(),
        checkpoints.run(CONSUMER),
    ]
    tasks = [asyncio.ensure_future(one) for one in work]
    yield Following(service, bus, blocks, outboxes)
    await cancel_all(tasks)
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


async def test_a_checkpoint_does_not_pass_a_change_that_the_relay_has_not_published_yet(
    following: Following,
) -> None:
    await following.tell(MEMBERSHIP_STATUS_ACTIVE, 1)
    await following.blocks.stand(1)
    await following.reach(1)
    following.happen(MEMBERSHIP_STATUS_ENDED, 2)
    await following.blocks.stand(4)
    await asyncio.sleep(2)  # four times what a checkpoint waits at most
    assert following.service.permissions.height == 1
    await following.publish(MEMBERSHIP_STATUS_ENDED, 2)
    await following.reach(4)
    assert [following.is_member(height) for height in (1, 2, 4)] == [True, False, False]


async def test_no_checkpoint_rests_on_fewer_validators_than_must_agree(following: Following) -> None:
    following.outboxes.answering = 1
    await following.blocks.stand(1)
    await asyncio.sleep(1.5)
    assert following.service.permissions.height == 0
    following.outboxes.answering = 2
    await following.reach(1)


async def test_one_validator_neither_holds_checkpoints_back_nor_makes_them_early(
    following: Following,
) -> None:
    await following.tell(MEMBERSHIP_STATUS_ACTIVE, 1)
    following.outboxes.lying = EventsEnd(2**62, b"x" * 16, 2**62)  # events that never come
    await following.blocks.stand(1)
    await following.reach(1)
    following.outboxes.lying = EventsEnd(2**62, b"", 0)  # nothing to wait for
    following.happen(MEMBERSHIP_STATUS_ENDED, 2)
    await following.blocks.stand(3)
    await asyncio.sleep(1.5)
    assert following.service.permissions.height == 1


async def test_a_forged_event_makes_nobody_a_member(following: Following) -> None:
    stranger = b"s" * 16
    await following.tell(MEMBERSHIP_STATUS_ACTIVE, 1, stranger)
    await following.tell(MEMBERSHIP_STATUS_ENDED, 3, stranger)
    await following.publish(MEMBERSHIP_STATUS_ACTIVE, 2, stranger)
    following.service.ledger.admit(ORGANIZATION, b"t" * 16, "applied", height=2)
    await following.publish(MEMBERSHIP_STATUS_ACTIVE, 2, b"t" * 16)
    await following.publish(MEMBERSHIP_STATUS_ACTIVE, 2, b"u" * 16)  # nobody has ever heard of it
    await following.tell(MEMBERSHIP_STATUS_ACTIVE, 4)
    await following.blocks.stand(5)
    await following.reach(5)
    assert following.is_member(5)
    assert not any(following.is_member(5, member) for member in (stranger, b"t" * 16, b"u" * 16))


async def test_a_forged_end_of_a_membership_that_lasts_has_no_effect(following: Following) -> None:
    await following.tell(MEMBERSHIP_STATUS_ACTIVE, 1)
    following.service.ledger.admit(ORGANIZATION, b"a" * 16, height=5, since_ms=START_MS + 1)
    await following.publish(MEMBERSHIP_STATUS_ENDED, 5)
    await following.tell(MEMBERSHIP_STATUS_ACTIVE, 6, b"c" * 16)
    await following.blocks.stand(7)
    await following.reach(7)
    assert following.is_member(7)


async def test_an_event_waits_until_enough_validators_have_come_so_far(following: Following) -> None:
    following.service.ledger.admit(ORGANIZATION, b"a" * 16, height=1)
    await following.publish(MEMBERSHIP_STATUS_ACTIVE, 3)
    await asyncio.sleep(1)
    assert not following.service.permissions.is_changed
    following.happen(MEMBERSHIP_STATUS_ACTIVE, 3)
    await following.blocks.stand(3)
    await following.reach(3)
    assert following.is_member(3)


async def test_an_office_does_not_outlive_a_membership_that_ends_while_it_is_published(
    following: Following,
) -> None:
    """The ledger is asked before, and the end is handled before the credential is stored."""
    service = following.service
    service.blocks.stand(1, START_MS)
    await service.publish_entry()
    await service.publish_list()
    await following.tell(MEMBERSHIP_STATUS_ACTIVE, 1)
    await following.blocks.stand(2)
    await following.reach(2)
    asked = service.ledger.membership
    times = 0

    async def ask_and_lose_time(organization_: bytes, member: bytes) -> Any:
        nonlocal times
        seen = await asked(organization_, member)
        times += 1
        if times == 1:
            service.ledger.membership = asked  # the consumer asks too
            await following.tell(MEMBERSHIP_STATUS_ENDED, 4)
            await following.end_of(member)
            service.ledger.membership = ask_and_lose_time
        return seen

    service.ledger.membership = ask_and_lose_time
    with pytest.raises(FailedPrecondition) as refusal:
        await service.publish(service.bakery.sign(service.bakery.claim(service.anna, 1, office="chair")))
    assert refusal.value.reason == "NOT_A_MEMBER" and times >= 2
    await following.blocks.stand(5)
    await following.reach(5)
    subject, object_ = f"principals/{service.anna.hex()}", f"organizations/{ORGANIZATION.hex()}"
    assert not service.permissions.check(subject, "officer", object_, 5).is_allowed


async def test_an_office_is_refused_while_validators_show_an_older_membership_than_is_known(
    following: Following,
) -> None:
    service = following.service
    service.blocks.stand(1, START_MS)
    await service.publish_entry()
    await service.publish_list()
    await following.tell(MEMBERSHIP_STATUS_ACTIVE, 1)
    await following.tell(MEMBERSHIP_STATUS_ENDED, 4)
    await following.blocks.stand(4)
    await following.reach(4)
    service.ledger.admit(ORGANIZATION, service.anna, height=3)  # eight heights are allowed
    document = service.bakery.sign(service.bakery.claim(service.anna, 1, office="chair"))
    with pytest.raises(MembershipMoved) as refusal:
        await service.publish(document)
    assert refusal.value.metadata == {"ended_at": 4, "read_at": 3}
    service.ledger.admit(ORGANIZATION, service.anna, height=4)  # the border: admitted again at once
    assert (await service.publish(document)).credential


async def test_an_idle_chain_makes_no_checkpoints(following: Following) -> None:
    await following.blocks.stand(1)
    await following.reach(1)
    await asyncio.sleep(4)
    names = [name for name, _ in await following.service.events()]
    assert names == ["permission_checkpoint"]

"""The service as a process has it: events of the ledger over real NATS, each with one effect."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest_asyncio
from google.protobuf.message import Message
from icn.governance.v1 import service_pb2 as messages
from icn.governance.v1.service_pb2_grpc import GovernanceServiceStub
from icn.identity.v1.events_pb2 import PermissionTupleRemoved, PermissionTupleWritten
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1 import events_pb2 as ledger_events
from icn.ledger.v1.state_pb2 import AuthorityLeaf, DecisionLeaf, MembershipLeaf
from icn.ledger.v1.transaction_pb2 import Decision
from icn_governance.main import build
from icn_governance.settings import GovernanceSettings
from icn_kit.bus import Bus, stream_name
from icn_kit.envelope import ledger_event_id, new_event_id, serialize_envelope
from icn_kit.genesis import load_genesis
from icn_kit.lifecycle import Stop
from icn_localnet.pytest_plugin import HostedSettingsFor
from icn_tally.polls.decisions import decision_bytes, decision_id

VALLEY, BAKERY = b"v" * 16, b"b" * 16


class Running:
    def __init__(self, stub: Any, bus: Bus, genesis_hash: bytes) -> None:
        self.stub, self.bus, self.genesis_hash = stub, bus, genesis_hash
        self.count = 0

    async def publish(self, service: str, event: Message, subject: str, times: int = 1) -> None:
        self.count += 1
        zone = self.genesis_hash[:16]
        identifier = ledger_event_id(zone, self.count, 0) if service == "ledger" else new_event_id()
        envelope = EventEnvelope(
            id=identifier,
            zone=zone,
            height=self.count if service == "ledger" else 0,
            schema_version=1,
            subject=f"icn.{service}.v1.{subject}",
            aggregate="tests/1",
            payload=event.SerializeToString(deterministic=True),
        )
        for _ in range(times):
            await self.bus.streams.publish(
                envelope.subject, serialize_envelope(envelope), stream=stream_name(service)
            )

    async def until(self, ask: Any, is_so: Any) -> Any:
        deadline = time.monotonic() + 20
        while True:
            try:
                if is_so(answer := await ask()):
                    return answer
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.NOT_FOUND, error
            assert time.monotonic() < deadline, "no effect"
            await asyncio.sleep(0.05)


@pytest_asyncio.fixture
async def running(hosted_settings: HostedSettingsFor) -> AsyncIterator[Running]:
    settings = GovernanceSettings(**hosted_settings("icn_governance"))
    service = await build(settings, Stop())
    await service.start()
    bus = await Bus.connect(
        settings.nats_url,
        "test",
        user=settings.nats_user or None,
        password=settings.nats_password.get_secret_value() or None,
    )
    for name in ("ledger", "identity"):
        await bus.ensure_stream(name)
    async with grpc.aio.insecure_channel(service.address) as channel:
        yield Running(GovernanceServiceStub(channel), bus, load_genesis(settings.genesis).hash)
    await bus.close()
    await service.drain()


async def test_memberships_authorities_and_offices_are_shown_as_events_tell_them(running: Running) -> None:
    authority = ledger_events.AuthorityFounded(authority=AuthorityLeaf(authority=VALLEY, members=1), height=1)
    await running.publish("ledger", authority, "authority_founded")
    leaf = MembershipLeaf(organization=VALLEY, member=BAKERY, status=2, since_time_ms=5)
    changed = ledger_events.MembershipChanged(height=2, membership=leaf)
    await running.publish("ledger", changed, "membership_changed", times=3)
    name = f"organizations/{VALLEY.hex()}"
    request = messages.GetOrganizationRequest(name=name)
    answer = await running.until(
        lambda: running.stub.GetOrganization(request), lambda one: one.organization.members == 1
    )
    assert answer.organization.is_authority
    office = {
        "object": name,
        "relation": "office.treasurer",
        "subject": f"principals/{BAKERY.hex()}",
        "height": 2,
    }
    await running.publish("identity", PermissionTupleWritten(**office), "permission_tuple_written")
    other = PermissionTupleWritten(**{**office, "relation": "member"})
    await running.publish("identity", other, "permission_tuple_written")
    members = messages.ListMembersRequest(organization=name)
    answer = await running.until(
        lambda: running.stub.ListMembers(members), lambda page: bool(page.members[0].offices)
    )
    assert list(answer.members[0].offices) == ["treasurer"]
    await running.publish("identity", PermissionTupleRemoved(**office), "permission_tuple_removed")
    await running.until(lambda: running.stub.ListMembers(members), lambda page: not page.members[0].offices)


async def test_a_decision_that_came_by_another_way_is_shown_and_told_once(running: Running) -> None:
    decision = Decision(authority=VALLEY, subject=bytes(32), expire_time_ms=9)
    body = decision_bytes(decision)
    identifier = decision_id(running.genesis_hash, body)
    await running.bus.ensure_stream("governance")
    event = ledger_events.DecisionEnacted(
        height=7,
        decision_id=identifier,
        decision=DecisionLeaf(authority=VALLEY, subject=bytes(32), members=1, height=7),
        body=body,
    )
    await running.publish("ledger", event, "decision_enacted", times=2)
    request = messages.GetDecisionRequest(name=f"decisions/{identifier.hex()}")
    answer = await running.until(
        lambda: running.stub.GetDecision(request), lambda one: one.decision.enact_height == 7
    )
    assert answer.decision.state == messages.DECISION_STATE_ENACTED
    state = await running.until(
        lambda: running.bus.stream_state("governance"),
        lambda found: found is not None and found.last_sequence,
    )
    await asyncio.sleep(0.3)
    assert await running.bus.stream_state("governance") == state, "told once"
    told = await running.bus.streams.get_msg(stream_name("governance"), seq=state.last_sequence)
    envelope = EventEnvelope.FromString(told.data or b"")
    assert (envelope.subject, envelope.tenant) == ("icn.governance.v1.decision_enacted", VALLEY)

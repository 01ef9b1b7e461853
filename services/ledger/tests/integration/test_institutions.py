"""Authorities, memberships, polls and decisions as served: read, listed, proven, the same after a restart."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from icn.consensus.v1 import application_pb2 as app
from icn.consensus.v1.block_pb2 import BlockHeader
from icn.ledger.v1 import events_pb2
from icn.ledger.v1 import service_pb2 as pb
from icn.ledger.v1 import state_pb2 as state
from icn.ledger.v1.transaction_pb2 import ELECTORATE_MEMBERS
from icn_crypto.state_proof import Proof, verify_absence, verify_inclusion
from icn_crypto.state_tree import state_key
from icn_kit.envelope import check_envelope
from icn_kit.outbox import events_of_row

from libs.machine.tests.equivocations import evidence, record
from libs.machine.tests.institutions import (
    FEDERATION,
    POLL,
    SUBJECT,
    admit_member,
    apply_for_membership,
    cast_ballot,
    countersign,
    decision,
    decision_id,
    enact,
    end_membership,
    found,
    open_poll,
    set_rules,
)
from libs.machine.tests.zone import EPOCH_MS, identifier, open_controller, parent_certificate
from services.ledger.tests.integration.conftest import Query, Running, pages, refuse

HEX = "ab" * 16
YES = bytes([3]) * 32
READS = [
    "GetAuthority",
    "GetMembership",
    "ListMemberships",
    "GetPoll",
    "ListBallots",
    "GetDecision",
    "ListDuties",
    "ListEquivocations",
    "GetValidators",
]


def name(collection: str, *identifiers: bytes) -> str:
    return "/".join([collection, *[one.hex() for one in identifiers]])


async def founded(running: Running) -> bytes:
    """The federation of the four, and a shop with two members of whom one has cast a ballot; the decision."""
    zone = running.zone
    shop = zone.organizations[0]
    body = decision(found([one.principal for one in zone.organizations]))
    signed = [countersign(zone, body, one.principal, one.keys[0]) for one in zone.organizations]
    ana, ben = zone.member("ana", shop), zone.member("ben", shop)
    await running.execute(
        zone.transaction(shop, enact(body, signed)),
        zone.transaction(shop, open_controller(ana), open_controller(ben)),
    )
    await running.execute(
        zone.transaction(ana, apply_for_membership(shop.principal)),
        zone.transaction(ben, apply_for_membership(shop.principal)),
        zone.transaction(shop, admit_member(ana.principal)),
        zone.transaction(shop, admit_member(ben.principal)),
    )
    close = zone.genesis.time_ms + 3_500
    await running.execute(
        zone.transaction(ana, open_poll(POLL, shop.principal, close)),
        zone.transaction(ana, cast_ballot(POLL, YES)),
    )
    return body


async def test_every_institution_is_read_by_its_name(running: Running) -> None:
    body = await founded(running)
    zone, ledger = running.zone, running.ledger
    shop, ana = zone.organizations[0].principal, identifier("ana")
    authority = await ledger.GetAuthority(pb.GetAuthorityRequest(name=name("authorities", FEDERATION)))
    assert (authority.authority.members, authority.height) == (4, 3)
    membership = await ledger.GetMembership(pb.GetMembershipRequest(name=name("memberships", shop, ana)))
    assert membership.membership.status == state.MEMBERSHIP_STATUS_ACTIVE
    assert membership.membership.since_time_ms == zone.genesis.time_ms + 2_000
    poll = await ledger.GetPoll(pb.GetPollRequest(name=name("polls", POLL)))
    assert (poll.poll.ballots, poll.poll.electorate, poll.height) == (1, ELECTORATE_MEMBERS, 3)
    assert poll.block_time_ms == zone.genesis.time_ms + 3_000
    ballots = (await ledger.ListBallots(pb.ListBallotsRequest(poll=name("polls", POLL)))).ballots
    assert [(ballot.voter, ballot.commitment) for ballot in ballots] == [(ana, YES)]
    for voter, expected in ((ana, [ana]), (shop, [])):
        request = pb.ListBallotsRequest(poll=name("polls", POLL), voter=name("principals", voter))
        assert [ballot.voter for ballot in (await ledger.ListBallots(request)).ballots] == expected
    found_decision = await ledger.GetDecision(
        pb.GetDecisionRequest(name=name("decisions", decision_id(zone, body)))
    )
    assert (found_decision.decision.subject, found_decision.decision.members) == (SUBJECT, 4)
    assert found_decision.height == 3


async def test_memberships_are_listed_from_both_sides_whatever_the_page_size(running: Running) -> None:
    await founded(running)
    zone, ledger = running.zone, running.ledger
    shop = zone.organizations[0].principal
    ana, ben = zone.member("ana", zone.organizations[0]), zone.member("ben", zone.organizations[0])
    ana.next_sequence, ben.next_sequence = {0: 4}, {0: 2}
    await running.execute(
        zone.transaction(ben, apply_for_membership(FEDERATION)),
        zone.transaction(ben, end_membership(shop, ben.principal)),
    )

    async def of(organization: bytes = b"", member: bytes = b"", size: int = 0) -> list[bytes]:
        async def page(token: str) -> Any:
            return await ledger.ListMemberships(
                pb.ListMembershipsRequest(
                    organization=organization and name("principals", organization),
                    member=member and name("principals", member),
                    page_size=size,
                    page_token=token,
                )
            )

        rows = await pages(page, "memberships")
        return [row.member if organization else row.organization for row in rows]

    founders = sorted(one.principal for one in zone.organizations)
    for size in (0, 1, 2, 500):
        assert await of(organization=FEDERATION, size=size) == sorted([*founders, ben.principal])
        assert await of(organization=shop, size=size) == sorted([ana.principal, ben.principal])
        assert await of(member=ben.principal, size=size) == sorted([shop, FEDERATION])
        assert await of(member=identifier("nobody"), size=size) == []
        assert await of(organization=identifier("nobody"), size=size) == []


async def test_ballots_are_listed_page_by_page(running: Running) -> None:
    await founded(running)
    zone = running.zone
    ben = zone.member("ben", zone.organizations[0])
    ben.next_sequence = {0: 2}
    header = await running.header(
        [data := zone.transaction(ben, cast_ballot(POLL, bytes(32)))],
        time_ms=zone.genesis.time_ms + 3_400,
    )
    await running.execute_block(header, data)

    async def page(token: str) -> Any:
        return await running.ledger.ListBallots(
            pb.ListBallotsRequest(poll=name("polls", POLL), page_size=1, page_token=token)
        )

    voters = [row.voter for row in await pages(page, "ballots")]
    assert voters == sorted([identifier("ana"), identifier("ben")])


PROVEN = [
    ("authorities", [FEDERATION], 9),
    ("memberships", [FEDERATION, identifier("co-op 0")], 10),
    ("polls", [POLL], 11),
    ("ballots", [POLL, identifier("ana")], 12),
]


async def test_institutions_are_proven_like_any_leaf(running: Running) -> None:
    body = await founded(running)
    await running.execute()
    proven = [*PROVEN, ("decisions", [decision_id(running.zone, body)], 13)]
    for collection, identifiers, namespace in proven:
        answer = await running.ledger.GetProof(pb.GetProofRequest(name=name(collection, *identifiers)))
        assert (answer.namespace, answer.identifier) == (namespace, b"".join(identifiers))
        root, key = state_root(answer), state_key(namespace, answer.identifier)
        assert verify_inclusion(root, key, answer.value, Proof.from_dict(json.loads(answer.state_proof)))
    absent = await running.ledger.GetProof(
        pb.GetProofRequest(name=name("memberships", FEDERATION, identifier("ana")))
    )
    assert absent.value == b""
    key = state_key(10, FEDERATION + identifier("ana"))
    assert verify_absence(state_root(absent), key, Proof.from_dict(json.loads(absent.state_proof)))


async def test_a_restart_serves_the_same_institutions(start: Callable[..., Awaitable[Running]]) -> None:
    first = await start()
    body = await founded(first)
    zone = first.zone
    await first.service.drain()
    again = await start()
    authority = await again.ledger.GetAuthority(pb.GetAuthorityRequest(name=name("authorities", FEDERATION)))
    assert authority.authority.members == 4
    # The decision is known from disk, and another one counts the members that are there.
    shop = zone.organizations[0]
    signed = [countersign(zone, body, one.principal, one.keys[0]) for one in zone.organizations]
    other = decision(set_rules(3))
    by = [countersign(zone, other, one.principal, one.keys[0]) for one in zone.organizations[:3]]
    answer = await again.execute(
        zone.transaction(shop, enact(body, signed)), zone.transaction(shop, enact(other, by))
    )
    receipts = [state.Receipt.FromString(outcome.receipt) for outcome in answer.outcomes]
    assert [receipt.reason for receipt in receipts] == ["DECISION_EXISTS", ""]


async def test_a_state_whose_members_are_not_counted_right_is_not_served(
    start: Callable[..., Awaitable[Running]], query: Query
) -> None:
    first = await start()
    await founded(first)
    for _ in range(16):
        await first.execute()
    await first.service.drain()
    query(
        "DELETE FROM leaves WHERE namespace = 10 AND identifier = %s",
        FEDERATION + first.zone.organizations[0].principal,
    )
    with pytest.raises(AssertionError, match="counts 4 members and has 3"):
        await start()


async def test_institutions_are_told_with_their_tenants(running: Running, query: Query) -> None:
    body = await founded(running)
    envelopes = [
        event
        for row in query("SELECT subject, envelope FROM outbox ORDER BY position")
        for event in events_of_row(*row)
    ]
    for envelope in envelopes:
        check_envelope(envelope)
    shop, ana = running.zone.organizations[0].principal, identifier("ana")
    told = [(one.subject.rpartition(".")[2], one.tenant, one.aggregate) for one in envelopes]
    assert told[0] == ("authority_founded", FEDERATION, name("authorities", FEDERATION))
    assert [kind for kind, _, _ in told[1:6]] == [*["membership_changed"] * 4, "decision_enacted"]
    assert told[5][1:] == (FEDERATION, name("authorities", FEDERATION))
    enacted = events_pb2.DecisionEnacted.FromString(envelopes[5].payload)
    assert (enacted.body, enacted.decision_id) == (body, decision_id(running.zone, body))
    assert told[6] == ("controller_opened", shop, name("principals", ana))
    assert told[8] == ("membership_changed", shop, name("memberships", shop, ana))
    assert told[-2:] == [
        ("poll_opened", shop, name("polls", POLL)),
        ("ballot_cast", shop, name("polls", POLL)),
    ]


ABSENT = [
    ("GetAuthority", pb.GetAuthorityRequest(name=f"authorities/{HEX}"), "AUTHORITY_UNKNOWN"),
    ("GetMembership", pb.GetMembershipRequest(name=f"memberships/{HEX}/{HEX}"), "MEMBERSHIP_UNKNOWN"),
    ("GetPoll", pb.GetPollRequest(name=f"polls/{HEX}"), "POLL_UNKNOWN"),
    ("ListBallots", pb.ListBallotsRequest(poll=f"polls/{HEX}"), "POLL_UNKNOWN"),
    ("GetDecision", pb.GetDecisionRequest(name=f"decisions/{HEX * 2}"), "DECISION_UNKNOWN"),
]


async def test_what_is_not_there_is_not_found(running: Running) -> None:
    for method, request, reason in ABSENT:
        call = getattr(running.ledger, method)(request)
        assert await refuse(call, grpc.StatusCode.NOT_FOUND) == reason


BAD_NAMES = [
    "",
    "polls/",
    "nonsense",
    f"polls/{HEX.upper()}",
    f"memberships/{HEX}",
    "x" * 100_000,
    "polls/\u0000",
]


async def test_a_wrong_name_is_an_invalid_argument_everywhere(running: Running) -> None:
    ledger = running.ledger
    for bad in BAD_NAMES:
        calls = [
            ledger.GetAuthority(pb.GetAuthorityRequest(name=bad)),
            ledger.GetMembership(pb.GetMembershipRequest(name=bad)),
            ledger.GetPoll(pb.GetPollRequest(name=bad)),
            ledger.ListBallots(pb.ListBallotsRequest(poll=bad)),
            ledger.GetDecision(pb.GetDecisionRequest(name=bad)),
            ledger.GetProof(pb.GetProofRequest(name=bad)),
        ]
        if bad:  # in lists the empty name means all
            calls.append(ledger.ListMemberships(pb.ListMembershipsRequest(organization=bad)))
            calls.append(ledger.ListMemberships(pb.ListMembershipsRequest(member=bad)))
            calls.append(ledger.ListDuties(pb.ListDutiesRequest(organization=bad)))
        for call in calls:
            assert await refuse(call, grpc.StatusCode.INVALID_ARGUMENT) == "MALFORMED_NAME"


P = f"principals/{HEX}"
WRONG_PAGES = [
    ("ListMemberships", pb.ListMembershipsRequest(), "ORGANIZATION_OR_MEMBER"),
    ("ListMemberships", pb.ListMembershipsRequest(organization=P, member=P), "ORGANIZATION_OR_MEMBER"),
    ("ListMemberships", pb.ListMembershipsRequest(member=P, page_size=501), "PAGE_SIZE_OUT_OF_RANGE"),
    ("ListMemberships", pb.ListMembershipsRequest(member=P, page_token="AAAA"), "INVALID_PAGE_TOKEN"),
    ("ListBallots", pb.ListBallotsRequest(poll=f"polls/{HEX}", page_size=501), "PAGE_SIZE_OUT_OF_RANGE"),
    ("ListBallots", pb.ListBallotsRequest(poll=f"polls/{HEX}", voter="polls/00"), "MALFORMED_NAME"),
    ("ListBallots", pb.ListBallotsRequest(poll=f"polls/{HEX}", page_token="\u00fc"), "INVALID_PAGE_TOKEN"),
    ("ListDuties", pb.ListDutiesRequest(page_size=2**32 - 1), "PAGE_SIZE_OUT_OF_RANGE"),
    ("ListDuties", pb.ListDutiesRequest(page_token="x" * 10_000), "INVALID_PAGE_TOKEN"),
    ("ListEquivocations", pb.ListEquivocationsRequest(page_size=501), "PAGE_SIZE_OUT_OF_RANGE"),
    ("ListEquivocations", pb.ListEquivocationsRequest(page_token="AAAA"), "INVALID_PAGE_TOKEN"),
]


async def test_a_wrong_page_is_an_invalid_argument(running: Running) -> None:
    for method, request, reason in WRONG_PAGES:
        call = getattr(running.ledger, method)(request)
        assert await refuse(call, grpc.StatusCode.INVALID_ARGUMENT) == reason


async def test_a_token_of_one_list_is_refused_by_another(running: Running) -> None:
    await founded(running)
    page = await running.ledger.ListMemberships(
        pb.ListMembershipsRequest(organization=name("principals", FEDERATION), page_size=1)
    )
    for request in (
        pb.ListMembershipsRequest(member=name("principals", FEDERATION), page_token=page.next_page_token),
        pb.ListMembershipsRequest(organization=P, page_token=page.next_page_token),
    ):
        call = running.ledger.ListMemberships(request)
        assert await refuse(call, grpc.StatusCode.INVALID_ARGUMENT) == "INVALID_PAGE_TOKEN"


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(method=st.sampled_from(READS), data=st.binary(max_size=200))
async def test_garbage_bytes_are_answered_with_a_refusal(running: Running, method: str, data: bytes) -> None:
    async with grpc.aio.insecure_channel(running.service.addresses[1]) as channel:
        call = channel.unary_unary(f"/icn.ledger.v1.LedgerService/{method}")
        try:
            await call(data, timeout=5)
        except grpc.aio.AioRpcError as error:
            assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND), error


def state_root(answer: Any) -> bytes:
    """What the proven header names."""
    root: bytes = BlockHeader.FromString(answer.header).state_root
    return root


async def days(running: Running, count: int) -> None:
    """As many blocks, a day apart; every seat but the last signs each."""
    certificate = parent_certificate([0, 1, 2])
    for _ in range(count):
        time_ms = (await running.application.GetInfo(app.GetInfoRequest())).state.time_ms
        header = await running.header(
            [],
            time_ms=time_ms + EPOCH_MS,
            epoch=running.zone.genesis.epoch_of(time_ms),
            parent_certificate_digest=sha256(certificate).digest(),
        )
        await running.execute_block(header, parent_certificate=certificate)


async def test_equivocations_are_listed_by_epoch_and_seat(running: Running) -> None:
    zone = running.zone
    recorded = [record(evidence(zone, claimed=seat, seat=seat)) for seat in (3, 0, 2)]
    await running.execute(*[zone.transaction(zone.organizations[1], message) for message in recorded])
    await running.execute()

    async def page(token: str) -> Any:
        return await running.ledger.ListEquivocations(
            pb.ListEquivocationsRequest(page_size=2, page_token=token)
        )

    rows = await pages(page, "equivocations")
    assert [(row.epoch, row.seat, row.organization) for row in rows] == [
        (0, seat, zone.genesis.validators[seat].organization) for seat in (0, 2, 3)
    ]
    answer = await running.ledger.GetProof(pb.GetProofRequest(name="equivocations/0/2"))
    assert answer.value == rows[1].SerializeToString(deterministic=True)


async def test_duties_are_listed_newest_epoch_first_and_go_on_after_a_restart(
    start: Callable[..., Awaitable[Running]],
) -> None:
    first = await start()
    await days(first, 2)
    await first.service.drain()
    running = await start()
    await days(running, 2)
    seats = [seat.organization for seat in running.zone.genesis.validators]

    async def listed(organization: bytes = b"", size: int = 0) -> list[tuple[int, bytes, int, int, int]]:
        async def page(token: str) -> Any:
            return await running.ledger.ListDuties(
                pb.ListDutiesRequest(
                    organization=organization and name("principals", organization),
                    page_size=size,
                    page_token=token,
                )
            )

        rows = await pages(page, "duties")
        return [(row.epoch, row.organization, row.blocks, row.proposed, row.signed) for row in rows]

    expected = [
        (
            epoch,
            organization,
            1,
            int(seats.index(organization) == (epoch + 1) % 4),
            int(organization != seats[3]),
        )
        for epoch in (2, 1, 0)
        for organization in sorted(seats)
    ]
    for size in (0, 1, 3, 500):
        assert await listed(size=size) == expected
        of_one = [row for row in expected if row[1] == seats[2]]
        assert await listed(seats[2], size) == of_one
    assert await listed(identifier("nobody")) == []
    name_of = f"duties/{seats[1].hex()}/0"
    await days(running, 1)
    answer = await running.ledger.GetProof(pb.GetProofRequest(name=name_of))
    assert (answer.namespace, answer.identifier) == (17, seats[1] + bytes(8))
    assert verify_inclusion(
        state_root(answer),
        state_key(17, answer.identifier),
        answer.value,
        Proof.from_dict(json.loads(answer.state_proof)),
    )


async def test_a_block_without_its_parents_certificate_is_an_invalid_argument(running: Running) -> None:
    header = await running.header([], parent_certificate_digest=bytes([1]) * 32)
    call = running.execute_block(header)
    assert await refuse(call, grpc.StatusCode.INVALID_ARGUMENT) == "PARENT_CERTIFICATE_MISMATCH"

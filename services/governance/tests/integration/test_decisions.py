"""Decisions: who may propose and countersign, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from icn.governance.v1 import service_pb2 as messages
from icn.ledger.v1.transaction_pb2 import Countersignature
from icn_crypto.suites import SigningKey, Suite
from icn_kit.errors import DomainError
from icn_tally.polls.decisions import decision_bytes

from .world import GENESIS, HOUR_MS, NOW_MS, Person, World, founding

NEW = b"n" * 16


async def refused(work: Any) -> str:
    with pytest.raises(DomainError) as error:
        await work
    return error.value.reason


async def proposed(world: World, who: Person | None = None) -> Any:
    decision, text = founding(world.coops[:3], NEW)
    request = messages.ProposeDecision(decision=decision_bytes(decision), text=text.to_bytes())
    return (await world.do(who or world.coops[0], "ProposeDecision", request)).decision


def submit(world: World, name: str, countersignature: Countersignature) -> Any:
    request = messages.SubmitCountersignatureRequest(decision=name, countersignature=countersignature)
    return world.ask("SubmitCountersignature", request)


async def test_founders_propose_and_countersign_their_federation(world: World) -> None:
    shown = await proposed(world)
    assert await proposed(world, world.coops[1]) == shown
    assert await refused(proposed(world, world.coops[3])) == "NOT_A_MEMBER"
    for coop in world.coops[:3]:
        await submit(world, shown.name, coop.countersign(shown.body))
    listed = await world.ask(
        "ListCountersignatures", messages.ListCountersignaturesRequest(decision=shown.name, page_size=2)
    )
    assert len(listed.countersignatures) == 2
    rest = await world.ask(
        "ListCountersignatures",
        messages.ListCountersignaturesRequest(
            decision=shown.name, page_size=2, page_token=listed.next_page_token
        ),
    )
    signers = [one.signer for one in (*listed.countersignatures, *rest.countersignatures)]
    assert signers == sorted(coop.principal for coop in world.coops[:3])
    found = (await world.ask("GetDecision", messages.GetDecisionRequest(name=shown.name))).decision
    assert (found.countersignatures, found.countersignatures_needed) == (3, 3)
    assert found.actions[0].startswith("found the authority with 3 members")


async def test_countersignatures_that_the_ledger_would_refuse_are_refused(world: World) -> None:
    shown = await proposed(world)
    coop = world.coops[0]
    good = coop.countersign(shown.body)
    forged = Countersignature.FromString(good.SerializeToString())
    forged.signature = good.signature[:-1] + bytes([good.signature[-1] ^ 1])
    unknown = coop.countersign(shown.body, SigningKey.from_seed(Suite.ED25519, bytes(32)))
    other_suite = Countersignature.FromString(good.SerializeToString())
    other_suite.suite = 2
    short = Countersignature.FromString(good.SerializeToString())
    short.signer = b"x"
    for wrong, reason in (
        (forged, "COUNTERSIGNATURE_INVALID"),
        (unknown, "KEY_UNKNOWN"),
        (other_suite, "KEY_UNKNOWN"),
        (short, "FIELD_INVALID"),
        (coop.countersign(b"another decision"), "COUNTERSIGNATURE_INVALID"),
        (world.coops[3].countersign(shown.body), "NOT_A_MEMBER"),
    ):
        assert await refused(submit(world, shown.name, wrong)) == reason
    assert await refused(submit(world, f"decisions/{'00' * 32}", good)) == "DECISION_UNKNOWN"
    assert await refused(submit(world, "decisions/00", good)) == "MALFORMED_NAME"
    world.ledger.controllers[coop.principal] = coop.controller(threshold=2)
    await submit(world, shown.name, good)  # a steward's key acts alone, whatever the threshold
    with_two_keys = world.coops[1]
    world.ledger.controllers[with_two_keys.principal] = with_two_keys.controller(threshold=2)
    alone = with_two_keys.countersign(shown.body, with_two_keys.key)
    assert await refused(submit(world, shown.name, alone)) == "KEY_NOT_ALLOWED"
    ended = with_two_keys.controller()
    ended.keys[1].scope.expire_time_ms = NOW_MS - 1
    world.ledger.controllers[with_two_keys.principal] = ended
    late = with_two_keys.countersign(shown.body)
    assert await refused(submit(world, shown.name, late)) == "KEY_NOT_ALLOWED"


async def test_a_decision_lapses_in_block_time(world: World) -> None:
    shown = await proposed(world)
    world.ledger.time_ms = NOW_MS + HOUR_MS
    await submit(world, shown.name, world.coops[0].countersign(shown.body))
    world.ledger.time_ms += 1
    late = submit(world, shown.name, world.coops[1].countersign(shown.body))
    assert await refused(late) == "DECISION_LAPSED"
    for state, count in ((1, 0), (2, 0), (3, 1), (0, 1)):
        answer = await world.ask("ListDecisions", messages.ListDecisionsRequest(state=state))
        assert len(answer.decisions) == count


async def test_decisions_that_are_none_are_refused(world: World) -> None:
    decision, text = founding(world.coops[:3], NEW)
    good = decision_bytes(decision)
    of_poll, late_founding, other_subject, no_expiry = (founding(world.coops[:3], NEW)[0] for _ in range(4))
    of_poll.poll = NEW
    late_founding.actions.append(decision.actions[0])
    other_subject.subject = bytes(32)
    no_expiry.expire_time_ms = 0
    for body, words, reason in (
        (b"\xff", text.to_bytes(), "DECISION_INVALID"),
        (good + b"\x08\x01", text.to_bytes(), "DECISION_INVALID"),
        (good, b"{}", "TEXT_INVALID"),
        (decision_bytes(of_poll), text.to_bytes(), "DECISION_INVALID"),
        (decision_bytes(late_founding), text.to_bytes(), "DECISION_INVALID"),
        (decision_bytes(other_subject), text.to_bytes(), "DECISION_INVALID"),
        (decision_bytes(no_expiry), text.to_bytes(), "DECISION_INVALID"),
    ):
        request = messages.ProposeDecision(decision=body, text=words)
        assert await refused(world.do(world.coops[0], "ProposeDecision", request)) == reason
    assert GENESIS


async def test_an_organization_says_who_it_is(world: World) -> None:
    coop = world.coops[0]
    request = messages.RegisterOrganization(
        organization=coop.principal,
        display_name="Sunrise Bakery",
        kind="cooperative",
        website="https://sunrise.example",
    )
    shown = (await world.do(coop, "RegisterOrganization", request)).organization
    assert (shown.display_name, shown.is_authority) == ("Sunrise Bakery", False)
    federation = messages.RegisterOrganization(
        organization=b"f" * 16, display_name="Valley", kind="federation"
    )
    shown = (await world.do(coop, "RegisterOrganization", federation)).organization
    assert shown.is_authority
    for who in (world.stranger, world.people[0]):
        for wanted in (request, federation):
            assert await refused(world.do(who, "RegisterOrganization", wanted)) == "NOT_OF_THE_ORGANIZATION"
    page = await world.ask("ListOrganizations", messages.ListOrganizationsRequest(page_size=1))
    rest = await world.ask(
        "ListOrganizations",
        messages.ListOrganizationsRequest(page_size=1, page_token=page.next_page_token),
    )
    assert {one.kind for one in (*page.organizations, *rest.organizations)} == {"cooperative", "federation"}
    found = await world.ask("ListOrganizations", messages.ListOrganizationsRequest(kind="federation"))
    assert [one.display_name for one in found.organizations] == ["Valley"]


WRONG_PROFILES: list[dict[str, Any]] = [
    {"organization": b"x"},
    {"display_name": ""},
    {"display_name": "  "},
    {"display_name": "a\nb"},
    {"display_name": "a" * 201},
    {"kind": ""},
    {"kind": "Co-op"},
    {"kind": "-"},
    {"kind": "a" * 33},
    {"description": "a" * 4_001},
    {"description": "\x00"},
    {"contact": "a" * 1_001},
    {"website": "http://sunrise.example"},
    {"website": "https://"},
    {"website": "https://a b"},
    {"website": "https://" + "a" * 300},
]


@pytest.mark.parametrize("change", WRONG_PROFILES, ids=str)
async def test_a_profile_out_of_its_limits_is_refused(world: World, change: dict[str, Any]) -> None:
    values = {"organization": world.coops[0].principal, "display_name": "A", "kind": "cooperative", **change}
    work = world.do(world.coops[0], "RegisterOrganization", messages.RegisterOrganization(**values))
    assert await refused(work) == "FIELD_INVALID"


READS: list[tuple[str, dict[str, Any], str]] = [
    ("GetOrganization", {"name": "x"}, "MALFORMED_NAME"),
    ("GetOrganization", {"name": "organizations/" + "ab" * 16}, "ORGANIZATION_UNKNOWN"),
    ("GetOrganization", {"name": "organizations/" + "AB" * 16}, "MALFORMED_NAME"),
    ("ListOrganizations", {"page_size": 501}, "PAGE_SIZE_OUT_OF_RANGE"),
    ("ListOrganizations", {"page_token": "zz"}, "INVALID_PAGE_TOKEN"),
    ("ListOrganizations", {"kind": "No!"}, "FIELD_INVALID"),
    ("ListMembers", {}, "FIELD_INVALID"),
    (
        "ListMembers",
        {"organization": "organizations/" + "ab" * 16, "member": "principals/" + "ab" * 16},
        "FIELD_INVALID",
    ),
    ("ListMembers", {"member": "organizations/" + "ab" * 16}, "MALFORMED_NAME"),
    ("GetProposal", {"name": "proposals/" + "ab" * 16}, "PROPOSAL_UNKNOWN"),
    ("GetProposal", {"name": "proposals/" + "ab" * 17}, "MALFORMED_NAME"),
    ("ListProposals", {"state": 99}, "STATE_UNKNOWN"),
    ("ListProposals", {"page_size": 201}, "PAGE_SIZE_OUT_OF_RANGE"),
    ("ListProposals", {"organization": "organizations/x"}, "MALFORMED_NAME"),
    ("ListOpenings", {"proposal": "proposals/" + "ab" * 16}, "PROPOSAL_UNKNOWN"),
    ("ListOpenings", {"proposal": ""}, "MALFORMED_NAME"),
    ("GetResult", {"proposal": "proposals/" + "ab" * 16}, "PROPOSAL_UNKNOWN"),
    ("GetDecision", {"name": "decisions/" + "ab" * 32}, "DECISION_UNKNOWN"),
    ("GetDecision", {"name": "decisions/" + "ab" * 16}, "MALFORMED_NAME"),
    ("ListDecisions", {"page_size": 101}, "PAGE_SIZE_OUT_OF_RANGE"),
    ("ListDecisions", {"state": -1}, "STATE_UNKNOWN"),
    ("ListCountersignatures", {"decision": "decisions/" + "ab" * 32}, "DECISION_UNKNOWN"),
    (
        "ListCountersignatures",
        {"decision": "decisions/" + "ab" * 32, "page_size": 65},
        "PAGE_SIZE_OUT_OF_RANGE",
    ),
]


@pytest.mark.parametrize(("method", "fields", "reason"), READS, ids=str)
async def test_a_bad_read_is_refused(world: World, method: str, fields: dict[str, Any], reason: str) -> None:
    assert await refused(world.ask(method, getattr(messages, f"{method}Request")(**fields))) == reason


WRITES = [
    "RegisterOrganization",
    "CreateProposal",
    "CommitLot",
    "OpenProposal",
    "OpenBallot",
    "RevealLot",
    "ProposeDecision",
]


@pytest.mark.parametrize("method", WRITES)
async def test_a_bad_command_is_refused(world: World, method: str) -> None:
    request_type = getattr(messages, f"{method}Request")
    assert await refused(world.ask(method, request_type())) in ("METHOD_MISMATCH", "COMMAND_MALFORMED")
    inner = getattr(messages, method)()
    for other in WRITES:
        if other != method:
            wrong = world.coops[0].command(other, getattr(messages, other)())
            assert await refused(world.ask(method, request_type(command=wrong.command))) == "METHOD_MISMATCH"
    changed = world.coops[0].command(method, inner)
    changed.command.signatures[0].signature = bytes(64)
    assert await refused(world.ask(method, changed)) == "COMMAND_SIGNATURE_INVALID"
    assert await refused(world.do(Person("nobody"), method, inner)) == "CONTROLLER_UNKNOWN"
    reason = await refused(world.do(world.coops[0], method, inner))  # every field empty
    assert reason in ("FIELD_INVALID", "PROPOSAL_UNKNOWN", "DECISION_INVALID", "TEXT_INVALID")

"""Whatever a host serves of one decision, the steward refuses that one, says why, and goes on with others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from icn.governance.v1 import service_pb2 as messages
from icn.ledger.v1.state_pb2 import AuthorityLeaf, ControllerLeaf, MembershipLeaf, PollLeaf
from icn.ledger.v1.transaction_pb2 import Countersignature
from icn_client.decisions import decision_id, is_countersigned, with_steward_key
from icn_client.governance import Governance, election_draft, plain_draft
from icn_client.keystore import Identity
from icn_client.steward import ProvenPoll, Shown, StewardRefuses
from icn_client.stewarding import Step, StewardProgram
from icn_client.transactions import KeyPair, controller_key

from .closed_polls import COOPS, FEDERATION, FLOOR, GENESIS, NO, POLL, YES, Leaves, poll_of

OTHER = b"o" * 16
TELLERS = {COOPS[0]: b"1" * 32, COOPS[1]: b"2" * 32}
STEWARD = KeyPair.generate()
GOOD = poll_of(plain_draft(FEDERATION, "Floor", "Shall we?", 3, actions=[FLOOR]), [YES, YES, NO])
ELECTION = election_draft(FEDERATION, "Delegate", "Who?", ["Ana", "Ben"], 1, tellers=TELLERS)
SPOILT = poll_of(ELECTION, [[[1]], [[2]]], secrets=TELLERS, poll=OTHER)
NASTY = ["", "principals/zz", "principals/" + "é" * 32, "a" * 5_000, "decisions/\x1b[2J", "proposals/00"]


class TwoPolls:
    """The ledger, which does not lie."""

    def __init__(self) -> None:
        self.leaves: dict[bytes, Leaves] = {POLL: GOOD[0], OTHER: SPOILT[0]}

    async def closed_poll(self, poll: bytes) -> ProvenPoll:
        if poll not in self.leaves:
            raise StewardRefuses("LEAF_UNPROVEN", "no such poll")
        return await self.leaves[poll].closed_poll(poll)

    async def membership(self, organization: bytes, member: bytes) -> MembershipLeaf | None:
        return await GOOD[0].membership(organization, member) if organization == FEDERATION else None

    async def authority(self, authority: bytes) -> AuthorityLeaf | None:
        return await GOOD[0].authority(authority)

    async def count_voters(self, leaf: PollLeaf) -> int:
        return 3


class Host(Governance):
    """A governance that answers honestly about one poll and spoils every answer about the other."""

    def __init__(self, connection: Any, spoil: Any) -> None:
        super().__init__(connection)
        self.spoil = spoil
        self.taken: dict[str, Countersignature] = {}

    async def _call(self, method: str, request: Any, response_type: Any) -> Any:
        if method == "ListDecisions":
            spoilt = self.spoil(messages.ListDecisionsResponse(decisions=[decision_of(*SPOILT)]))
            # Newest first: the steward deals with the spoilt one before the good one.
            return messages.ListDecisionsResponse(decisions=[decision_of(*GOOD), *spoilt.decisions])
        if method == "SubmitCountersignature":
            self.taken[request.decision] = request.countersignature
            return messages.SubmitCountersignatureResponse(countersignatures=1)
        name = getattr(request, "decision", "") or getattr(request, "proposal", "") or request.name
        is_good = name in (f"proposals/{POLL.hex()}", decision_of(*GOOD).name)
        answer = honest(method, *(GOOD if is_good else SPOILT))
        return answer if is_good else self.spoil(answer)


def decision_of(_: Leaves, shown: Shown) -> messages.Decision:
    return messages.Decision(
        name=f"decisions/{decision_id(GENESIS, shown.decision).hex()}",
        body=shown.decision,
        authority=f"organizations/{FEDERATION.hex()}",
        proposal=f"proposals/{shown.proposal.hex()}",
    )


def honest(method: str, _: Leaves, shown: Shown) -> Message:
    if method == "GetProposal":
        lots = [
            messages.LotShare(teller=f"principals/{teller.hex()}", commitment=bytes(32), secret=secret)
            for teller, secret in shown.secrets.items()
        ]
        return messages.GetProposalResponse(
            proposal=messages.Proposal(
                name=f"proposals/{shown.proposal.hex()}", document=shown.document, lots=lots
            )
        )
    if method == "ListOpenings":
        openings = [
            messages.Opening(voter=f"principals/{one.voter.hex()}", salt=one.salt, ballot=one.ballot)
            for one in shown.openings
        ]
        return messages.ListOpeningsResponse(openings=openings)
    if method == "GetResult":
        return messages.GetResultResponse(result=shown.result)
    assert method == "ListCountersignatures", method
    return messages.ListCountersignaturesResponse()


async def controller(principal: bytes) -> ControllerLeaf:
    own = ControllerLeaf(threshold=2, keys=[controller_key(KeyPair.generate().public_keys)])
    return ControllerLeaf(threshold=2, keys=list(with_steward_key(own, STEWARD)))


async def look_at(spoil: Any) -> tuple[Host, list[Step]]:
    connection: Any = SimpleNamespace(genesis=SimpleNamespace(hash=GENESIS), controller=controller)
    steward = Identity("bakery", COOPS[0], 1, (STEWARD,))
    program = StewardProgram(connection, None, steward, ledger=TwoPolls())  # type: ignore[arg-type]
    host = Host(connection, spoil)
    program._governance = host
    return host, await program.look()


def spoilt_value(data: st.DataObject, field: FieldDescriptor, value: Any) -> Any:
    if field.cpp_type == field.CPPTYPE_STRING and field.type == field.TYPE_BYTES:
        cut = data.draw(st.integers(0, len(value)))
        return data.draw(
            st.sampled_from([value[:cut], value[:cut] + b"\xff" + value[cut:], b"{" * 3_000, b""])
        )
    if field.cpp_type == field.CPPTYPE_STRING:
        return data.draw(st.sampled_from(NASTY) | st.text(max_size=40))
    if field.cpp_type == field.CPPTYPE_BOOL:
        return not value
    if field.cpp_type == field.CPPTYPE_ENUM:
        return data.draw(st.integers(-(2**31), 2**31 - 1))
    signed = field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_INT64)
    return data.draw(st.integers(-(2**31) if signed else 0, 2**31 - 1))


def spoil_message(data: st.DataObject, message: Message) -> None:
    """Change one field of a message, or of one inside it."""
    field = data.draw(st.sampled_from(list(message.DESCRIPTOR.fields)))
    held = getattr(message, field.name)
    if field.message_type is not None and field.is_repeated:
        if held and data.draw(st.booleans()):
            spoil_message(data, held[data.draw(st.integers(0, len(held) - 1))])
        elif held and data.draw(st.booleans()):
            del held[-1]
        else:
            held.add().CopyFrom(held[0]) if held else held.add()
    elif field.message_type is not None:
        spoil_message(data, held)
    elif field.is_repeated:
        if held:
            del held[-1]
    else:
        setattr(message, field.name, spoilt_value(data, field, held))


@settings(max_examples=150)
@given(st.data())
async def test_a_spoilt_answer_stops_no_other_decision(data: st.DataObject) -> None:
    def spoil(answer: Message) -> Message:
        for _ in range(data.draw(st.integers(0, 2))):
            spoil_message(data, answer)
        if isinstance(answer, messages.ListDecisionsResponse | messages.ListOpeningsResponse):
            answer.next_page_token = ""
        return answer

    host, steps = await look_at(spoil)
    good = decision_of(*GOOD)
    assert [step.outcome for step in steps if step.decision == good.name] == ["countersigned"]
    for step in steps:
        assert step.outcome != "refused" or (step.reason and step.message)
    # Whatever it was shown, what it signed are the two decisions that the ballots come to.
    true_bodies = (GOOD[1].decision, SPOILT[1].decision)
    leaf = await controller(COOPS[0])
    for signature in host.taken.values():
        assert any(is_countersigned(GENESIS, body, signature, leaf) for body in true_bodies)


@pytest.mark.parametrize("error", [ValueError("bytes.fromhex"), RecursionError(), MemoryError(), KeyError(1)])
async def test_what_nobody_thought_of_is_a_refusal_of_that_one(error: Exception) -> None:
    def spoil(answer: Message) -> Message:
        if isinstance(answer, messages.ListDecisionsResponse):
            return answer
        raise error

    _, steps = await look_at(spoil)
    assert [(step.outcome, step.reason) for step in steps] == [
        ("refused", "ANSWER_MALFORMED"),
        ("countersigned", ""),
    ]
    assert type(error).__name__ in steps[0].message

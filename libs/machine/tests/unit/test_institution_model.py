"""Institutions against a model of them: plain dictionaries, made from the specification alone.

Hypothesis plays blocks to both, allowed and not, and compares reasons and every membership, count, ballot and
result.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from icn.ledger.v1 import transaction_pb2 as pb
from icn.ledger.v1.state_pb2 import Receipt
from icn_machine.institution_invariants import check_members

from libs.machine.tests.institutions import (
    FEDERATION,
    POLL_MS_MIN,
    admit,
    admit_member,
    apply_for_membership,
    cast_ballot,
    countersign,
    decision,
    decision_id,
    enact,
    end_membership,
    exclude,
    found,
    open_poll,
    set_rules,
    vouch_for_applicant,
)
from libs.machine.tests.zone import Member, identifier, make_zone, memory_ledger, open_controller

PEOPLE = 3
ACTORS = st.integers(0, 3 + PEOPLE)
"""The four founders, then the people; founder 0 is the shop."""
POLLS = [identifier(f"poll {number}") for number in range(2)]
FEDERATED = -1
"""The organization that is the federation."""
ORGANIZATIONS = st.sampled_from([0, FEDERATED])


class Refusal(Exception):
    pass


@dataclass
class Model:
    """What the specification says, in the plainest words."""

    time: int
    members: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    polls: dict[int, dict[str, Any]] = field(default_factory=dict)
    ballots: dict[tuple[int, int], int] = field(default_factory=dict)
    decided: set[bytes] = field(default_factory=set)
    threshold: int = 0
    vouches_min: int = 0
    poll_ms_min: int = POLL_MS_MIN

    def active(self, organization: int, member: int) -> bool:
        return self.members.get((organization, member), {}).get("status") == "active"

    def count(self) -> int:
        return sum(key[0] == FEDERATED and one["status"] == "active" for key, one in self.members.items())

    def application(self, organization: int, member: int) -> dict[str, Any]:
        found_ = self.members.get((organization, member))
        if found_ is None:
            raise Refusal("MEMBERSHIP_UNKNOWN")
        if found_["status"] != "applied":
            raise Refusal("MEMBERSHIP_NOT_APPLIED")
        return found_

    def end(self, organization: int, member: int) -> None:
        found_ = self.members.get((organization, member))
        if found_ is None:
            raise Refusal("MEMBERSHIP_UNKNOWN")
        if found_["status"] == "ended":
            raise Refusal("MEMBERSHIP_ENDED")
        if organization == FEDERATED and found_["status"] == "active" and self.count() == 1:
            raise Refusal("LAST_MEMBER")
        found_["status"] = "ended"

    def apply(self, actor: int, organization: int) -> None:
        if self.members.get((organization, actor), {"status": "ended"})["status"] != "ended":
            raise Refusal("MEMBERSHIP_EXISTS")
        self.members[organization, actor] = {"status": "applied", "since": 0, "vouchers": set()}

    def vouch(self, actor: int, organization: int, applicant: int) -> None:
        if not self.active(organization, actor):
            raise Refusal("NOT_A_MEMBER")
        application = self.application(organization, applicant)
        if actor in application["vouchers"]:
            raise Refusal("ALREADY_VOUCHED")
        application["vouchers"].add(actor)

    def admit(self, organization: int, member: int) -> None:
        application = self.application(organization, member)
        if organization == FEDERATED and len(application["vouchers"]) < self.vouches_min:
            raise Refusal("VOUCHES_NOT_MET")
        application.update(status="active", since=self.time)

    def open(self, actor: int, poll: int, organization: int, is_indirect: bool, after: int) -> None:
        if poll in self.polls:
            raise Refusal("POLL_EXISTS")
        if actor != organization and not self.active(organization, actor):
            raise Refusal("NOT_A_MEMBER")
        if after <= 0:
            raise Refusal("POLL_CLOSE_OUT_OF_RANGE")
        if organization == FEDERATED and after < self.poll_ms_min:
            raise Refusal("POLL_TOO_SHORT")
        self.polls[poll] = {
            "organization": organization,
            "is_indirect": is_indirect,
            "open": self.time,
            "close": self.time + after,
            "result": None,
        }

    def cast(self, actor: int, poll: int, through: int | None, value: int) -> None:
        if poll not in self.polls:
            raise Refusal("POLL_UNKNOWN")
        found_ = self.polls[poll]
        if self.time >= found_["close"]:
            raise Refusal("POLL_CLOSED")
        chain = [(found_["organization"], actor)]
        if found_["is_indirect"]:
            chain = [] if through is None else [(found_["organization"], through), (through, actor)]
        if (through is not None) != found_["is_indirect"] or not all(
            self.active(*one) and self.members[one]["since"] <= found_["open"] for one in chain
        ):
            raise Refusal("NOT_ELIGIBLE")
        self.ballots[poll, actor] = value

    def enact(self, signers: list[int], name: bytes, poll: int | None, action: tuple[Any, ...]) -> None:
        if name in self.decided:
            raise Refusal("DECISION_EXISTS")
        if not all(self.active(FEDERATED, signer) for signer in signers):
            raise Refusal("NOT_A_MEMBER")
        members = self.count()
        is_carried = 3 * len(signers) > 2 * members and len(signers) >= min(self.threshold, members)
        if not is_carried:
            raise Refusal("QUORUM_NOT_MET")
        if poll is not None:
            if poll not in self.polls:
                raise Refusal("POLL_UNKNOWN")
            if self.polls[poll]["organization"] != FEDERATED:
                raise Refusal("POLL_OF_ANOTHER")
            if self.time < self.polls[poll]["close"]:
                raise Refusal("POLL_OPEN")
            if self.polls[poll]["result"] is not None:
                raise Refusal("POLL_DECIDED")
        kind, *rest = action
        if kind == "admit":
            self.admit(FEDERATED, *rest)
        elif kind == "exclude":
            self.end(FEDERATED, *rest)
        elif kind == "rules":
            self.threshold, self.vouches_min, self.poll_ms_min = rest
        self.decided.add(name)
        if poll is not None:
            self.polls[poll]["result"] = name


actions = st.one_of(
    st.tuples(st.just("admit"), ACTORS),
    st.tuples(st.just("exclude"), ACTORS),
    st.tuples(
        st.just("rules"), st.sampled_from([0, 0, 1, 2, 7]), st.integers(0, 2), st.sampled_from([1, 2_000])
    ),
    st.just(("none",)),
)
polls = st.integers(0, 1)
messages = st.one_of(
    st.tuples(st.just("apply"), ACTORS, ORGANIZATIONS),
    st.tuples(st.just("vouch"), ACTORS, ORGANIZATIONS, ACTORS),
    st.tuples(st.just("admit"), st.just(0), ACTORS),
    st.tuples(st.just("end"), ACTORS, ORGANIZATIONS, ACTORS),
    st.tuples(st.just("leave"), ACTORS, ORGANIZATIONS),
    st.tuples(st.just("open"), ACTORS, polls, ORGANIZATIONS, st.booleans(), st.integers(-1, 5)),
    st.tuples(st.just("cast"), ACTORS, polls, st.sampled_from([None, None, 0, 0, 1]), st.integers(0, 9)),
    st.tuples(
        st.just("enact"),
        ACTORS,
        st.sets(ACTORS, min_size=1),
        st.sampled_from([None, None, 0, 1]),
        actions,
        st.integers(0, 3),
    ),
)


class InstitutionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()

    def teardown(self) -> None:
        self.loop.close()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def set_up(self) -> None:
        self.zone = make_zone()
        self.ledger = memory_ledger(self.zone)
        founders = self.zone.organizations
        people = [self.zone.member(f"person {number}", founders[0]) for number in range(PEOPLE)]
        self.actors: list[Member] = [*founders, *people]
        body = decision(found([one.principal for one in founders]))
        signed = [countersign(self.zone, body, one.principal, one.keys[0]) for one in founders]
        opened = self.zone.transaction(founders[0], *[open_controller(person) for person in people])
        self.run(self.ledger.execute(opened, self.zone.transaction(founders[0], enact(body, signed))))
        self.model = Model(self.ledger.state.newest.time_ms)
        for founder in range(4):
            self.model.members[FEDERATED, founder] = {
                "status": "active",
                "since": self.model.time,
                "vouchers": set(),
            }

    def principal(self, actor: int) -> bytes:
        return FEDERATION if actor == FEDERATED else self.actors[actor].principal

    def make(self, message: tuple[Any, ...], time_ms: int) -> tuple[int, pb.Message, Any]:
        """Who acts, the message, and what the model does."""
        kind, actor, *rest = message
        model, name = self.model, self.principal
        match kind:
            case "apply":
                return actor, apply_for_membership(name(rest[0])), lambda: model.apply(actor, *rest)
            case "vouch":
                made = vouch_for_applicant(name(rest[0]), name(rest[1]))
                return actor, made, lambda: model.vouch(actor, *rest)
            case "admit":
                return actor, admit_member(name(rest[0])), lambda: model.admit(actor, *rest)
            case "leave":
                made = end_membership(name(rest[0]), name(actor))
                return actor, made, lambda: model.end(rest[0], actor)
            case "end":
                made = end_membership(name(rest[0]), name(rest[1]))
                return actor, made, lambda: self.end(actor, *rest)
            case "open":
                poll, organization, is_indirect, seconds = rest
                electorate = pb.ELECTORATE_MEMBERS_OF_MEMBERS if is_indirect else pb.ELECTORATE_MEMBERS
                after = seconds * 1_000
                made = open_poll(POLLS[poll], name(organization), time_ms + after, electorate)
                return actor, made, lambda: model.open(actor, poll, organization, is_indirect, after)
            case "cast":
                poll, through, value = rest
                made = cast_ballot(
                    POLLS[poll], bytes([value]) * 32, b"" if through is None else name(through)
                )
                return actor, made, lambda: model.cast(actor, poll, through, value)
        signers, poll, action, number = rest
        verb, *values = action
        made_actions = {
            "admit": lambda: [admit(name(values[0]))],
            "exclude": lambda: [exclude(name(values[0]))],
            "rules": lambda: [set_rules(values[0], values[1], poll_ms_min=values[2])],
            "none": list,
        }[verb]()
        body = decision(
            *made_actions, poll=b"" if poll is None else POLLS[poll], subject=bytes([number]) * 32
        )
        signed = [
            countersign(self.zone, body, name(signer), self.actors[signer].keys[0]) for signer in signers
        ]
        identity = decision_id(self.zone, body)
        return actor, enact(body, signed), lambda: model.enact(sorted(signers), identity, poll, action)

    def end(self, actor: int, organization: int, member: int) -> None:
        if actor not in (organization, member):
            raise Refusal("NOT_MEMBER_NOR_ORGANIZATION")
        self.model.end(organization, member)

    @rule(block=st.lists(messages, max_size=8))
    def play_a_block(self, block: list[tuple[Any, ...]]) -> None:
        time_ms = self.ledger.state.newest.time_ms + 1_000
        block = [one for one in block if one[0] != "apply" or one[1] != one[2]]
        made = [self.make(one, time_ms) for one in block]
        data = [
            self.zone.transaction(self.actors[actor], message, time_ms=time_ms) for actor, message, _ in made
        ]
        execution = self.run(self.ledger.execute(*data))
        self.model.time = time_ms
        for one, (_, _, step), (_, receipt) in zip(block, made, execution.outcomes, strict=True):
            try:
                step()
            except Refusal as refusal:
                expected = str(refusal)
            else:
                expected = ""
            assert Receipt.FromString(receipt).reason == expected, one

    @invariant()
    def the_ledger_stands_where_the_model_does(self) -> None:
        if not hasattr(self, "model"):
            return
        records, model = self.ledger.state.records[-1], self.model
        shown = {
            one.organization + one.member: (one.status.name.lower(), set(one.vouchers))
            for one in records.memberships.values()
            if one is not None
        }
        assert shown == {
            self.principal(organization) + self.principal(member): (
                one["status"],
                {self.principal(voucher) for voucher in one["vouchers"]},
            )
            for (organization, member), one in model.members.items()
        }
        authority = records.authorities[FEDERATION]
        assert authority is not None
        assert (authority.members, *authority.rules[:3]) == (
            model.count(),
            model.threshold,
            model.vouches_min,
            model.poll_ms_min,
        )
        for number, poll in model.polls.items():
            leaf = records.polls[POLLS[number]]
            assert leaf is not None
            assert leaf.ballots == sum(key[0] == number for key in model.ballots)
            assert leaf.decision == (poll["result"] or b"")
        for (number, actor), value in model.ballots.items():
            ballot = records.ballots[POLLS[number] + self.principal(actor)]
            assert ballot is not None and ballot.commitment == bytes([value]) * 32
        check_members([authority], [one for one in records.memberships.values() if one is not None])
        assert self.ledger.halts == []


TestInstitutionMachine = InstitutionMachine.TestCase
TestInstitutionMachine.settings = settings(
    max_examples=40, stateful_step_count=12, suppress_health_check=list(HealthCheck)
)

"""A federation for tests: members with keys, a ledger that answers from memory, the service over Postgres."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from icn.governance.v1 import service_pb2 as messages
from icn.kit.v1.command_pb2 import CommandBody, CommandSignature, SignedCommand
from icn.ledger.v1.state_pb2 import (
    MEMBERSHIP_STATUS_ACTIVE,
    AuthorityLeaf,
    BallotLeaf,
    ControllerLeaf,
    MembershipLeaf,
    PollLeaf,
)
from icn.ledger.v1.transaction_pb2 import (
    AuthorityRules,
    ControllerKey,
    Countersignature,
    Decision,
    DecisionAction,
    FoundAuthority,
    KeyScope,
    PublicKey,
)
from icn_crypto.suites import SigningKey, Suite, key_id
from icn_governance.api.governance_service import SERVICE, GovernanceServicer, Needs
from icn_governance.domain.proposal import Proposal
from icn_governance.store.queries import GovernanceQueries
from icn_governance.store.unit_of_work import begin_with
from icn_governance.usecases.close_polls import Advancing, advance
from icn_governance.usecases.ports import PollAt
from icn_kit.commands import CommandVerifier, command_preimage
from icn_kit.database import Database
from icn_kit.errors import Unauthenticated
from icn_kit.key_directory import principal_keys
from icn_tally.plain_decision import CHOICES
from icn_tally.polls.actions import read_actions
from icn_tally.polls.commitments import Opening, ballot_bytes, lot_commitment
from icn_tally.polls.decisions import decision_bytes, decision_preimage
from icn_tally.polls.documents import DecisionText, Draft, PollDocument
from icn_tally.polls.rules import rule_of
from icn_tally.tallies import read_parameters

GENESIS = bytes(range(32))
NOW_MS = 1_800_000_000_000
FEDERATION = b"f" * 16
HOUR_MS = 3_600_000
ACTION = {"kind": "set-floor", "account": "aa" * 16, "floor_minor": "-120000"}
_numbers = itertools.count(1)


class Person:
    """A principal with one key, and a steward's key beside it."""

    def __init__(self, name: str) -> None:
        self.principal = name.encode().ljust(16, b"-")
        self.key = SigningKey.from_seed(Suite.ED25519, name.encode().ljust(32, b"k"))
        self.steward = SigningKey.from_seed(Suite.ED25519, name.encode().ljust(32, b"s"))

    @property
    def name(self) -> str:
        return f"principals/{self.principal.hex()}"

    def controller(self, threshold: int = 1) -> ControllerLeaf:
        scoped = ControllerKey(
            public_keys=[PublicKey(suite=1, public_key=self.steward.public_key)],
            scope=KeyScope(message_kinds=[16]),
        )
        plain = ControllerKey(public_keys=[PublicKey(suite=1, public_key=self.key.public_key)])
        return ControllerLeaf(principal=self.principal, threshold=threshold, keys=[plain, scoped])

    def command(self, method: str, request: Message, now_ms: int = NOW_MS) -> Any:
        body = CommandBody(
            method=f"{SERVICE}/{method}",
            principal=self.principal,
            issue_time_ms=now_ms,
            expire_time_ms=now_ms + 60_000,
            nonce=next(_numbers).to_bytes(16, "big"),
            request=request.SerializeToString(deterministic=True),
        ).SerializeToString(deterministic=True)
        signature = CommandSignature(
            suite=1, key_id=id_of(self.key), signature=self.key.sign(command_preimage(GENESIS, body))
        )
        signed = SignedCommand(body=body, signatures=[signature])
        return getattr(messages, f"{method}Request")(command=signed)

    def countersign(self, body: bytes, key: SigningKey | None = None) -> Countersignature:
        chosen = key or self.steward
        return Countersignature(
            signer=self.principal,
            key_id=id_of(chosen),
            suite=1,
            signature=chosen.sign(decision_preimage(GENESIS, body)),
        )


def id_of(key: SigningKey) -> bytes:
    return key_id({key.suite: key.public_key})


class MemoryLedger:
    """What the validators would answer."""

    def __init__(self) -> None:
        self.memberships: dict[tuple[bytes, bytes], MembershipLeaf] = {}
        self.authorities: dict[bytes, AuthorityLeaf] = {}
        self.controllers: dict[bytes, ControllerLeaf] = {}
        self.polls: dict[bytes, PollLeaf] = {}
        self.cast: dict[bytes, dict[bytes, BallotLeaf]] = {}
        self.time_ms = NOW_MS

    def admit(self, organization: bytes, *members: Person) -> None:
        for member in members:
            self.memberships[organization, member.principal] = MembershipLeaf(
                organization=organization,
                member=member.principal,
                status=MEMBERSHIP_STATUS_ACTIVE,
                since_time_ms=1,
            )
            self.controllers[member.principal] = member.controller()

    async def membership(self, organization: bytes, member: bytes) -> MembershipLeaf | None:
        return self.memberships.get((organization, member))

    async def memberships_of(self, member: bytes) -> Sequence[MembershipLeaf]:
        return [leaf for leaf in self.memberships.values() if leaf.member == member]

    async def authority(self, authority: bytes) -> AuthorityLeaf | None:
        return self.authorities.get(authority)

    async def controller(self, principal: bytes) -> ControllerLeaf | None:
        return self.controllers.get(principal)

    async def poll(self, poll: bytes) -> PollAt | None:
        leaf = self.polls.get(poll)
        return None if leaf is None else PollAt(leaf, self.time_ms)

    async def ballots(self, poll: bytes) -> Sequence[BallotLeaf]:
        return sorted(self.cast.get(poll, {}).values(), key=lambda leaf: leaf.voter)

    def block_time_ms(self) -> int:
        return self.time_ms

    def open_poll(self, document: PollDocument, opened_by: bytes, digest: bytes = b"") -> PollLeaf:
        leaf = PollLeaf(
            poll=document.poll,
            organization=document.draft.organization,
            electorate=document.draft.ledger_electorate,
            document=digest or document.digest(),
            opened_by=opened_by,
            open_time_ms=self.time_ms,
            close_time_ms=document.close_time_ms,
        )
        self.polls[document.poll] = leaf
        return leaf

    async def has_ballot(self, poll: bytes, voter: bytes) -> bool:
        return voter in self.cast.get(poll, {})

    def cast_ballot(self, poll: bytes, opening: Opening) -> None:
        self.cast.setdefault(poll, {})[opening.voter] = BallotLeaf(
            poll=poll, voter=opening.voter, commitment=opening.commitment(GENESIS, poll), cast_time_ms=1
        )
        self.polls[poll].ballots = len(self.cast[poll])

    async def keys_of(self, principal: bytes, *, is_newest: bool = False) -> Any:
        del is_newest
        if principal not in self.controllers:
            raise Unauthenticated("CONTROLLER_UNKNOWN", "no such controller")
        return principal_keys(self.controllers[principal])

    def now_ms(self) -> int:
        return NOW_MS


@dataclass
class World:
    """Four co-ops that are a federation, each with people, and the service."""

    database: Database
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    changes: int = 0

    def __post_init__(self) -> None:
        self.coops = [Person(name) for name in ("bakery", "clinic", "farm", "press")]
        self.people = [Person(name) for name in ("ana", "ben", "cleo")]
        self.stranger = Person("stranger")
        self.ledger.admit(FEDERATION, *self.coops)
        self.ledger.admit(self.coops[0].principal, *self.people)
        self.ledger.controllers[self.stranger.principal] = self.stranger.controller()
        self.ledger.authorities[FEDERATION] = AuthorityLeaf(
            authority=FEDERATION, rules=AuthorityRules(poll_ms_min=HOUR_MS), members=4
        )
        self.begin = begin_with(self.database, GENESIS)
        self.servicer = GovernanceServicer(
            Needs(
                genesis_hash=GENESIS,
                commands=CommandVerifier(GENESIS, self.ledger, self.ledger),
                begin=self.begin,
                reader=GovernanceQueries(self.database),
                ledger=self.ledger,
                block_time=self.ledger,
                clock=self.ledger,
                note_change=self._changed,
            )
        )

    def _changed(self) -> None:
        self.changes += 1

    async def ask(self, method: str, request: Message) -> Any:
        return await getattr(self.servicer, method)(request, None)

    async def do(self, who: Person, method: str, request: Message) -> Any:
        return await self.ask(method, who.command(method, request))

    async def advance(self, proposal: bytes) -> None:
        needs = Advancing(self.begin, self.ledger, self.ledger, GENESIS)
        await advance(proposal, self.ledger.time_ms, needs)

    async def stored(self, proposal: bytes) -> Proposal:
        async with self.begin() as uow:
            found = await uow.records.proposal(proposal)
        assert found is not None
        return found

    async def events(self) -> list[str]:
        async with self.database.connection() as connection:
            cursor = await connection.execute("SELECT subject FROM outbox ORDER BY fence, position")
            return [row[0].removeprefix("icn.governance.v1.") for row in await cursor.fetchall()]

    async def draft(self, draft: Draft, who: Person | None = None, proposal: bytes = b"p" * 16) -> Any:
        request = messages.CreateProposal(proposal=proposal, draft=draft.to_bytes())
        return await self.do(who or self.coops[0], "CreateProposal", request)

    async def announce(self, draft: Draft, proposal: bytes = b"p" * 16) -> PollDocument:
        """Draft, lots, document: all but the ledger's part."""
        await self.draft(draft, proposal=proposal)
        tellers = [person for person in self.coops if person.principal in draft.tellers]
        commitments = {}
        for teller in tellers:
            commitment = lot_commitment(GENESIS, proposal, teller.principal, secret_of(teller))
            commitments[teller.principal] = commitment
            await self.do(teller, "CommitLot", messages.CommitLot(proposal=proposal, commitment=commitment))
        document = PollDocument(
            GENESIS,
            proposal,
            draft,
            tuple(commitments[teller] for teller in draft.tellers),
            NOW_MS + HOUR_MS,
        )
        request = messages.OpenProposal(proposal=proposal, document=document.to_bytes())
        await self.do(self.coops[0], "OpenProposal", request)
        return document

    async def vote(
        self, voter: Person, ranking: Any, proposal: bytes = b"p" * 16, is_opened: bool = True
    ) -> Opening:
        opening = Opening(voter.principal, next(_numbers).to_bytes(32, "big"), ballot_bytes(ranking))
        self.ledger.cast_ballot(proposal, opening)
        if is_opened:
            request = messages.OpenBallot(proposal=proposal, salt=opening.salt, ballot=opening.ballot)
            await self.do(voter, "OpenBallot", request)
        return opening


def secret_of(teller: Person) -> bytes:
    return teller.principal + teller.principal


def plain_draft(eligible: int = 4, actions: Sequence[dict[str, Any]] = (ACTION,), **changes: Any) -> Draft:
    values: dict[str, Any] = {
        "organization": FEDERATION,
        "electorate": "members",
        "title": "Raise the floor of the farm",
        "question": "Shall Harvest Farm owe up to 1,200 hours?",
        "rule": "plain-decision",
        "parameters": rule_of(AuthorityRules(), read_actions(actions, "actions"), eligible).to_form(),
        "candidates": CHOICES,
        "tellers": (),
        "opening_ms": 600_000,
        "actions": read_actions(actions, "actions"),
    }
    return Draft(**{**values, **changes})


def election_draft(tellers: Sequence[Person], rule: str = "scottish-stv") -> Draft:
    return plain_draft(
        actions=(),
        rule=rule,
        parameters=read_parameters(rule, {"seats": 1}).to_form(),
        candidates=("Ana", "Ben", "Cleo"),
        tellers=tuple(sorted(teller.principal for teller in tellers)),
        electorate="members-of-members",
        title="Delegate",
    )


def founding(founders: Sequence[Person], authority: bytes) -> tuple[Decision, DecisionText]:
    text = DecisionText(authority, "Founding", "We found it.")
    action = DecisionAction(
        found_authority=FoundAuthority(
            members=sorted(founder.principal for founder in founders), rules=AuthorityRules(vouches_min=1)
        )
    )
    decision = Decision(
        authority=authority,
        subject=text.digest(GENESIS),
        expire_time_ms=NOW_MS + HOUR_MS,
        actions=[action],
    )
    return decision, text


__all__ = [name for name in globals() if not name.startswith("_")] + ["decision_bytes"]

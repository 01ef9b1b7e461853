"""Governance from a member's side: drafts, polls, ballots, lots, and reading all of it back.

What is written is signed here, by whoever acts. Source: docs/spec/governance.md.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from google.protobuf.message import Message as ProtoMessage
from icn.governance.v1 import service_pb2 as messages
from icn.ledger.v1.transaction_pb2 import AuthorityRules, Countersignature, DecisionAction
from icn_kit.errors import FailedPrecondition, Unavailable
from icn_tally import scottish_stv
from icn_tally.plain_decision import CHOICES, PlainDecision
from icn_tally.polls.commitments import SALT_BYTES, SECRET_BYTES, Opening, ballot_bytes, lot_commitment
from icn_tally.polls.documents import Draft, PollDocument, checked_draft, read_document, read_draft
from icn_tally.polls.rules import rule_of
from icn_tally.runoff import COOMBS
from icn_tally.tallies import read_parameters

from icn_client import transactions
from icn_client.acting import Actor, perform
from icn_client.commands import send_command, sign_command
from icn_client.keystore import Identity
from icn_client.names import identifier_in
from icn_client.submitter import Outcome, Submitter

if TYPE_CHECKING:
    from icn_client.connection import Connection

SERVICE: Final = "/icn.governance.v1.GovernanceService"
PAGES_MAX: Final = 1_000
"""Of 100 and more each."""
PAGE_SIZE: Final = 100
OPENING_MS_DEFAULT: Final = 10 * 60 * 1000
"""Long enough for a phone that lost its network right after the last vote."""

ResponseT = TypeVar("ResponseT", bound=ProtoMessage)
Signer = Identity | Actor


def proposal_name(proposal: bytes) -> str:
    """``proposals/…``."""
    return f"proposals/{proposal.hex()}"


def decision_name(decision: bytes) -> str:
    """``decisions/…``."""
    return f"decisions/{decision.hex()}"


def organization_name(organization: bytes) -> str:
    """``organizations/…``."""
    return f"organizations/{organization.hex()}"


def plain_draft(
    organization: bytes,
    title: str,
    question: str,
    eligible: int,
    *,
    actions: Iterable[DecisionAction] = (),
    electorate: str = "members",
    opening_ms: int = OPENING_MS_DEFAULT,
    rules: AuthorityRules | None = None,
    rule: PlainDecision | None = None,
) -> Draft:
    """A draft to be answered with yes, no or abstention.

    Args:
        organization: whose members decide, 16 bytes.
        title: one line.
        question: what is asked.
        eligible: how many may vote; at least as many as the ledger will find.
        actions: what a carried decision does.
        electorate: ``members`` or ``members-of-members``.
        opening_ms: how long missing openings are waited for.
        rules: of the authority that decides; the defaults of one where left out.
        rule: with its own ``eligible``, instead of the least that the rules ask for.

    Raises:
        InvalidDocument: a limit is broken.
    """
    enacted = tuple(actions)
    if rule is None and electorate == "members":
        rule = rule_of(rules or AuthorityRules(), enacted, eligible)
    return checked_draft(
        Draft(
            organization=organization,
            electorate=electorate,
            title=title,
            question=question,
            rule="plain-decision",
            parameters=(rule or PlainDecision(eligible)).to_form(),
            candidates=CHOICES,
            tellers=(),
            opening_ms=opening_ms,
            actions=enacted,
        )
    )


def election_draft(
    organization: bytes,
    title: str,
    question: str,
    candidates: Sequence[str],
    seats: int,
    *,
    rule: str = scottish_stv.RULE,
    tellers: Iterable[bytes] = (),
    electorate: str = "members-of-members",
    opening_ms: int = OPENING_MS_DEFAULT,
) -> Draft:
    """A draft to be answered by ranking candidates.

    Args:
        organization: whose members, or whose members' members, elect, 16 bytes.
        title: one line.
        question: what is asked.
        candidates: their names, in the order of the ballot paper.
        seats: how many are elected.
        rule: one of `icn_tally.tallies.IN_STAGES`, its other parameters as they are when left out.
        tellers: principals whose lots break ties; without any, a tie that needs lots cannot be completed.
        electorate: ``members`` or ``members-of-members``.
        opening_ms: how long missing openings are waited for.

    Raises:
        InvalidDocument: a limit is broken.
        InvalidParameter: the rule is unknown, or does not elect so many.
    """
    wanted = {} if rule == COOMBS and seats == 1 else {"seats": seats}
    return checked_draft(
        Draft(
            organization=organization,
            electorate=electorate,
            title=title,
            question=question,
            rule=rule,
            parameters=read_parameters(rule, wanted).to_form(),
            candidates=tuple(candidates),
            tellers=tuple(sorted(tellers)),
            opening_ms=opening_ms,
            actions=(),
        )
    )


def ranking_of(draft: Draft, choices: Sequence[str]) -> list[list[int]]:
    """The ranking that names stand for, the first first; numbers from 1 name candidates too.

    Raises:
        ValueError: a name that no candidate has, or several have; a candidate twice.
    """
    numbers = []
    for choice in choices:
        found = [number for number, name in enumerate(draft.candidates, start=1) if name == choice]
        if not found and choice.isascii() and choice.isdigit() and len(choice) < 5:
            found = [number for number in range(1, len(draft.candidates) + 1) if number == int(choice)]
        if len(found) != 1:
            raise ValueError(f"{choice[:80]!r} is not one of {', '.join(draft.candidates)}")
        numbers += found
    if len(set(numbers)) != len(numbers):
        raise ValueError("a candidate is ranked twice")
    return [[number] for number in numbers]


@dataclass(frozen=True, slots=True)
class CastBallot:
    """A ballot on the ledger; the opening is kept until governance has it."""

    opening: Opening
    commitment: bytes
    outcome: Outcome


class Governance:
    """The service, through a connection; every method raises DomainError for a refusal."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    # Writes.

    async def register(
        self,
        who: Signer,
        organization: bytes,
        display_name: str,
        kind: str,
        **texts: str,
    ) -> Any:
        """Say who an organization is. ``texts``: description, contact, website."""
        request = messages.RegisterOrganization(
            organization=organization, display_name=display_name, kind=kind, **texts
        )
        answer = await self._command(
            who, "RegisterOrganization", request, messages.RegisterOrganizationResponse
        )
        return answer.organization

    async def create(self, who: Signer, draft: Draft, proposal: bytes | None = None) -> Any:
        """Keep a draft under a new id, or the one given; the proposal."""
        request = messages.CreateProposal(
            proposal=proposal or transactions.new_identifier(), draft=draft.to_bytes()
        )
        return (await self._command(who, "CreateProposal", request, messages.CreateProposalResponse)).proposal

    async def commit_lot(self, who: Signer, proposal: bytes, secret: bytes) -> bytes:
        """Commit to a secret of 32 random bytes as a teller; the commitment."""
        commitment = lot_commitment(self.connection.genesis.hash, proposal, who.principal, secret)
        request = messages.CommitLot(proposal=proposal, commitment=commitment)
        await self._command(who, "CommitLot", request, messages.CommitLotResponse)
        return commitment

    async def reveal_lot(self, who: Signer, proposal: bytes, secret: bytes) -> Any:
        """Reveal the secret after the close; the proposal."""
        request = messages.RevealLot(proposal=proposal, secret=secret)
        return (await self._command(who, "RevealLot", request, messages.RevealLotResponse)).proposal

    async def announce(self, who: Signer, proposal: bytes, close_time_ms: int) -> PollDocument:
        """Give governance the document of a draft that will close then; `open_poll` opens the poll.

        Raises:
            DomainError: among others LOT_COMMITMENT_MISSING while a teller has not committed.
        """
        shown = await self.proposal(proposal)
        for share in shown.lots:
            if not share.commitment:
                raise FailedPrecondition(
                    "LOT_COMMITMENT_MISSING",
                    f"teller {share.teller} has not committed yet",
                    teller=share.teller,
                )
        document = document_from(shown, self.connection.genesis.hash, close_time_ms)
        request = messages.OpenProposal(proposal=proposal, document=document.to_bytes())
        await self._command(who, "OpenProposal", request, messages.OpenProposalResponse)
        return document

    async def open_ballot(self, who: Signer, proposal: bytes, opening: Opening) -> None:
        """Send the opening of the own ballot; sending it again is harmless."""
        request = messages.OpenBallot(proposal=proposal, salt=opening.salt, ballot=opening.ballot)
        await self._command(who, "OpenBallot", request, messages.OpenBallotResponse)

    async def propose_decision(self, who: Signer, body: bytes, text: bytes) -> Any:
        """Keep a decision without a poll for the members to countersign; the decision."""
        request = messages.ProposeDecision(decision=body, text=text)
        answer = await self._command(who, "ProposeDecision", request, messages.ProposeDecisionResponse)
        return answer.decision

    async def submit(self, decision: bytes, countersignature: Countersignature) -> int:
        """Bring a countersignature; how many there are."""
        request = messages.SubmitCountersignatureRequest(
            decision=decision_name(decision), countersignature=countersignature
        )
        answer = await self._call("SubmitCountersignature", request, messages.SubmitCountersignatureResponse)
        return int(answer.countersignatures)

    # Reads.

    async def organization(self, organization: bytes) -> Any:
        """One organization."""
        request = messages.GetOrganizationRequest(name=organization_name(organization))
        answer = await self._call("GetOrganization", request, messages.GetOrganizationResponse)
        return answer.organization

    async def organizations(self, kind: str = "") -> AsyncIterator[Any]:
        """All organizations, or those of one kind."""
        make = partial(messages.ListOrganizationsRequest, kind=kind, page_size=PAGE_SIZE)
        async for page in self._pages("ListOrganizations", make, messages.ListOrganizationsResponse):
            for one in page.organizations:
                yield one

    async def members(self, organization: bytes) -> AsyncIterator[Any]:
        """Memberships of an organization, with offices."""
        make = partial(
            messages.ListMembersRequest, organization=organization_name(organization), page_size=PAGE_SIZE
        )
        async for page in self._pages("ListMembers", make, messages.ListMembersResponse):
            for one in page.members:
                yield one

    async def proposal(self, proposal: bytes) -> Any:
        """One proposal with its documents."""
        request = messages.GetProposalRequest(name=proposal_name(proposal))
        return (await self._call("GetProposal", request, messages.GetProposalResponse)).proposal

    async def proposals(
        self, organization: bytes | None = None, state: messages.ProposalState | None = None
    ) -> AsyncIterator[Any]:
        """Proposals, the newest first."""
        name = "" if organization is None else organization_name(organization)
        make = partial(messages.ListProposalsRequest, organization=name, state=state, page_size=PAGE_SIZE)
        async for page in self._pages("ListProposals", make, messages.ListProposalsResponse):
            for one in page.proposals:
                yield one

    async def openings(self, proposal: bytes) -> list[Opening]:
        """All openings of a closed poll."""
        make = partial(messages.ListOpeningsRequest, proposal=proposal_name(proposal), page_size=PAGE_SIZE)
        found: list[Opening] = []
        async for page in self._pages("ListOpenings", make, messages.ListOpeningsResponse):
            found += [
                Opening(identifier_in(one.voter, "principals"), one.salt, one.ballot) for one in page.openings
            ]
        return found

    async def result(self, proposal: bytes) -> bytes:
        """The result as governance shows it."""
        request = messages.GetResultRequest(proposal=proposal_name(proposal))
        data: bytes = (await self._call("GetResult", request, messages.GetResultResponse)).result
        return data

    async def decision(self, decision: bytes) -> Any:
        """One decision."""
        request = messages.GetDecisionRequest(name=decision_name(decision))
        return (await self._call("GetDecision", request, messages.GetDecisionResponse)).decision

    async def decisions(
        self, state: messages.DecisionState | None = None, authority: bytes | None = None
    ) -> AsyncIterator[Any]:
        """Decisions, the newest first."""
        name = "" if authority is None else organization_name(authority)
        make = partial(messages.ListDecisionsRequest, authority=name, state=state, page_size=PAGE_SIZE)
        async for page in self._pages("ListDecisions", make, messages.ListDecisionsResponse):
            for one in page.decisions:
                yield one

    async def countersignatures(self, decision: bytes) -> list[Countersignature]:
        """All countersignatures of a decision."""
        make = partial(messages.ListCountersignaturesRequest, decision=decision_name(decision))
        found: list[Countersignature] = []
        async for page in self._pages("ListCountersignatures", make, messages.ListCountersignaturesResponse):
            found += page.countersignatures
        return found

    async def _command(
        self, who: Signer, method: str, request: ProtoMessage, response_type: type[ResponseT]
    ) -> ResponseT:
        keys = who.keys[: who.threshold] if isinstance(who, Identity) else who.keys
        signed = sign_command(
            self.connection.genesis.hash, keys, who.principal, f"{SERVICE}/{method}", request
        )
        return await send_command(self.connection, signed, response_type)

    async def _call(self, method: str, request: ProtoMessage, response_type: type[ResponseT]) -> ResponseT:
        return await self.connection.call_service(f"{SERVICE}/{method}", request, response_type)

    async def _pages(self, method: str, make: Any, response_type: type[ResponseT]) -> AsyncIterator[Any]:
        token = ""
        for _ in range(PAGES_MAX):
            page: Any = await self._call(method, make(page_token=token), response_type)
            yield page
            token = page.next_page_token
            if not token:
                return
        raise Unavailable("LIST_TOO_LONG", f"{method} goes on for more than {PAGES_MAX} pages")


def document_from(shown: Any, genesis_hash: bytes, close_time_ms: int) -> PollDocument:
    """The poll document of a draft as governance shows it, closing then.

    Raises:
        InvalidDocument, InvalidArgument: what is shown is no draft.
    """
    draft = read_draft(shown.draft)
    commitments: Mapping[bytes, bytes] = {
        identifier_in(share.teller, "principals"): share.commitment for share in shown.lots
    }
    return PollDocument(
        genesis=genesis_hash,
        poll=identifier_in(shown.name, "proposals"),
        draft=draft,
        lot_commitments=tuple(commitments.get(teller, b"") for teller in draft.tellers),
        close_time_ms=close_time_ms,
    )


async def open_poll(submitter: Submitter, actor: Actor, document: PollDocument) -> Outcome:
    """Open the poll of an announced document on the ledger.

    Raises:
        TransactionRefused: the ledger's reason.
    """
    message = transactions.open_poll(
        document.poll,
        document.draft.organization,
        document.digest(),
        document.close_time_ms,
        document.draft.ledger_electorate,
    )
    outcome, _ = await perform(submitter, actor, [message])
    return outcome


def new_opening(voter: bytes, ranking: Sequence[Sequence[int]]) -> Opening:
    """A ballot with a fresh salt."""
    return Opening(voter, secrets.token_bytes(SALT_BYTES), ballot_bytes(ranking))


def new_secret() -> bytes:
    """A teller's secret."""
    return secrets.token_bytes(SECRET_BYTES)


async def cast_ballot(
    governance: Governance,
    submitter: Submitter,
    actor: Actor,
    *,
    proposal: bytes,
    opening: Opening,
    through: bytes = b"",
) -> CastBallot:
    """Commit to a ballot on the ledger, then send its opening to governance.

    Args:
        governance: keeps the opening.
        submitter: sends the transaction.
        actor: the voter.
        proposal: 16 bytes.
        opening: of `new_opening`; keep it until this returns, so that it can be sent again.
        through: organization through which the voter votes, where members of members do.

    Raises:
        TransactionRefused: the ledger's reason; nothing was cast.
        DomainError: the ballot is cast, its opening is not with governance: send it again.
    """
    genesis_hash = governance.connection.genesis.hash
    commitment = opening.commitment(genesis_hash, proposal)
    outcome, _ = await perform(submitter, actor, [transactions.cast_ballot(proposal, commitment, through)])
    await governance.open_ballot(actor, proposal, opening)
    return CastBallot(opening, commitment, outcome)


async def read_poll_document(governance: Governance, proposal: bytes) -> PollDocument:
    """The document of a proposal as governance shows it; the ledger says whether it is the one.

    Raises:
        DomainError: PROPOSAL_UNKNOWN.
        InvalidDocument: there is none yet, or it is none.
    """
    return read_document((await governance.proposal(proposal)).document)

# ruff: noqa: N802, D102 - gRPC names the methods, the proto describes them
"""GovernanceService. Source: protos/icn/governance/v1/service.proto."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message
from icn.governance.v1 import service_pb2 as messages
from icn.governance.v1 import service_pb2_grpc
from icn_kit.clock import Clock
from icn_kit.commands import Command, CommandVerifier
from icn_kit.errors import InvalidArgument
from icn_kit.pages import PageTokens, check_page_size

from icn_governance.api import translate
from icn_governance.api.names import parse_name, parse_optional
from icn_governance.domain.decision import COUNTERSIGNATURES_MAX, DecisionState, StoredDecision
from icn_governance.domain.errors import malformed
from icn_governance.domain.organization import is_kind
from icn_governance.domain.proposal import Proposal, ProposalState
from icn_governance.usecases import decide, draft_proposal, open_ballot, reads
from icn_governance.usecases.ports import (
    Begin,
    BlockTime,
    DecisionFilter,
    Ledger,
    OrganizationRow,
    ProposalFilter,
    Reader,
)
from icn_governance.usecases.register_organization import register_organization

SERVICE = "/icn.governance.v1.GovernanceService"
PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 500
PROPOSALS_MAX = 200
DECISIONS_MAX = 100
"""Each may hold 32 KB."""
IDENTIFIER_BYTES = 16
DIGEST_BYTES = 32
POSITION_BYTES = 8

RequestT = TypeVar("RequestT", bound=Message)


@dataclass(frozen=True, slots=True)
class Needs:
    """What the calls stand on."""

    genesis_hash: bytes
    commands: CommandVerifier
    begin: Begin
    reader: Reader
    ledger: Ledger
    block_time: BlockTime
    clock: Clock
    note_change: Callable[[], None]
    """Called when a poll may be due sooner."""


class GovernanceServicer(service_pb2_grpc.GovernanceServiceServicer):
    """The RPCs; errors become statuses in the interceptor."""

    def __init__(self, needs: Needs) -> None:
        self._needs = needs
        self._tokens = PageTokens(needs.genesis_hash)

    # Organizations.

    async def RegisterOrganization(
        self, request: Any, _context: Any
    ) -> messages.RegisterOrganizationResponse:
        needs = self._needs
        command = await self._read(request, "RegisterOrganization", messages.RegisterOrganization)

        def answer(row: OrganizationRow) -> bytes:
            return _bytes(messages.RegisterOrganizationResponse(organization=translate.organization(row)))

        data = await register_organization(command, needs.begin, needs.ledger, needs.clock, answer)
        return messages.RegisterOrganizationResponse.FromString(data)

    async def GetOrganization(self, request: Any, _context: Any) -> messages.GetOrganizationResponse:
        identifier = parse_name(request.name, "organizations")
        row = await reads.get_organization(identifier, self._needs.begin)
        return messages.GetOrganizationResponse(organization=translate.organization(row))

    async def ListOrganizations(self, request: Any, _context: Any) -> messages.ListOrganizationsResponse:
        if request.kind and not is_kind(request.kind):
            raise malformed("kind", "1 to 32 characters a to z and hyphens are expected")
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        listing = f"organizations {request.kind}"
        after = self._tokens.read(listing, request.page_token, IDENTIFIER_BYTES)
        rows = await self._needs.reader.list_organizations(request.kind, after, size)
        token = self._token(listing, rows, size, lambda row: row.profile.organization)
        return messages.ListOrganizationsResponse(
            organizations=[translate.organization(row) for row in rows], next_page_token=token
        )

    async def ListMembers(self, request: Any, _context: Any) -> messages.ListMembersResponse:
        if bool(request.organization) == bool(request.member):
            raise malformed("organization, member", "exactly one of the two is expected")
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        listing = f"members {request.organization} {request.member}"
        reader = self._needs.reader
        if request.organization:
            identifier = parse_name(request.organization, "organizations")
            after = self._tokens.read(listing, request.page_token, IDENTIFIER_BYTES)
            rows = await reader.list_members(identifier, after, size)
            token = self._token(listing, rows, size, lambda row: row.leaf.member)
        else:
            identifier = parse_name(request.member, "principals")
            after = self._tokens.read(listing, request.page_token, IDENTIFIER_BYTES)
            rows = await reader.list_memberships_of(identifier, after, size)
            token = self._token(listing, rows, size, lambda row: row.leaf.organization)
        return messages.ListMembersResponse(
            members=[translate.member(row) for row in rows], next_page_token=token
        )

    # Proposals.

    async def CreateProposal(self, request: Any, _context: Any) -> messages.CreateProposalResponse:
        needs = self._needs
        command = await self._read(request, "CreateProposal", messages.CreateProposal)
        data = await draft_proposal.create_proposal(
            command, needs.begin, needs.ledger, needs.clock, _answering(messages.CreateProposalResponse)
        )
        return messages.CreateProposalResponse.FromString(data)

    async def CommitLot(self, request: Any, _context: Any) -> messages.CommitLotResponse:
        command = await self._read(request, "CommitLot", messages.CommitLot)
        answer = _answering(messages.CommitLotResponse)
        data = await draft_proposal.commit_lot(command, self._needs.begin, answer)
        return messages.CommitLotResponse.FromString(data)

    async def OpenProposal(self, request: Any, _context: Any) -> messages.OpenProposalResponse:
        needs = self._needs
        command = await self._read(request, "OpenProposal", messages.OpenProposal)
        data = await draft_proposal.open_proposal(
            command,
            needs.begin,
            needs.ledger,
            block_time=needs.block_time,
            genesis_hash=needs.genesis_hash,
            answer=_answering(messages.OpenProposalResponse),
        )
        needs.note_change()
        return messages.OpenProposalResponse.FromString(data)

    async def OpenBallot(self, request: Any, _context: Any) -> messages.OpenBallotResponse:
        needs = self._needs
        command = await self._read(request, "OpenBallot", messages.OpenBallot)

        def answer(commitment: bytes) -> bytes:
            return _bytes(messages.OpenBallotResponse(commitment=commitment))

        data = await open_ballot.open_ballot(command, needs.begin, needs.ledger, needs.genesis_hash, answer)
        needs.note_change()
        return messages.OpenBallotResponse.FromString(data)

    async def RevealLot(self, request: Any, _context: Any) -> messages.RevealLotResponse:
        needs = self._needs
        command = await self._read(request, "RevealLot", messages.RevealLot)
        answer = _answering(messages.RevealLotResponse)
        data = await open_ballot.reveal_lot(command, needs.begin, needs.genesis_hash, answer)
        needs.note_change()
        return messages.RevealLotResponse.FromString(data)

    async def GetProposal(self, request: Any, _context: Any) -> messages.GetProposalResponse:
        stored = await reads.get_proposal(parse_name(request.name, "proposals"), self._needs.begin)
        return messages.GetProposalResponse(proposal=translate.proposal(stored))

    async def ListProposals(self, request: Any, _context: Any) -> messages.ListProposalsResponse:
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PROPOSALS_MAX)
        organization = parse_optional(request.organization, "organizations")
        state = _state(ProposalState, request.state)
        listing = f"proposals {request.organization} {request.state}"
        before = self._position(listing, request.page_token)
        rows = await self._needs.reader.list_proposals(ProposalFilter(organization, state), before, size)
        token = self._token(listing, rows, size, lambda row: row.position.to_bytes(POSITION_BYTES, "big"))
        return messages.ListProposalsResponse(
            proposals=[translate.proposal(row, with_documents=False) for row in rows], next_page_token=token
        )

    async def ListOpenings(self, request: Any, _context: Any) -> messages.ListOpeningsResponse:
        needs = self._needs
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        identifier = parse_name(request.proposal, "proposals")
        listing = f"openings {request.proposal}"
        after = self._tokens.read(listing, request.page_token, IDENTIFIER_BYTES)
        rows = await reads.list_openings(identifier, after, size, needs.begin, needs.reader)
        token = self._token(listing, rows, size, lambda row: row.voter)
        return messages.ListOpeningsResponse(
            openings=[translate.opening(row) for row in rows], next_page_token=token
        )

    async def GetResult(self, request: Any, _context: Any) -> messages.GetResultResponse:
        result = await reads.get_result(parse_name(request.proposal, "proposals"), self._needs.begin)
        return messages.GetResultResponse(result=result.result, digest=result.digest)

    # Decisions.

    async def ProposeDecision(self, request: Any, _context: Any) -> messages.ProposeDecisionResponse:
        needs = self._needs
        command = await self._read(request, "ProposeDecision", messages.ProposeDecision)

        def answer(stored: StoredDecision) -> bytes:
            shown = translate.decision(stored, needs.block_time.block_time_ms())
            return _bytes(messages.ProposeDecisionResponse(decision=shown))

        data = await decide.propose_decision(
            command,
            needs.begin,
            needs.ledger,
            clock=needs.clock,
            genesis_hash=needs.genesis_hash,
            answer=answer,
        )
        return messages.ProposeDecisionResponse.FromString(data)

    async def GetDecision(self, request: Any, _context: Any) -> messages.GetDecisionResponse:
        needs = self._needs
        identifier = parse_name(request.name, "decisions", DIGEST_BYTES)
        stored, needed = await reads.get_decision(identifier, needs.begin, needs.ledger)
        return messages.GetDecisionResponse(
            decision=translate.decision(stored, needs.block_time.block_time_ms(), needed)
        )

    async def ListDecisions(self, request: Any, _context: Any) -> messages.ListDecisionsResponse:
        needs = self._needs
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, DECISIONS_MAX)
        authority = parse_optional(request.authority, "organizations")
        state = _state(DecisionState, request.state)
        listing = f"decisions {request.authority} {request.state}"
        before = self._position(listing, request.page_token)
        now_ms = needs.block_time.block_time_ms()
        rows = await needs.reader.list_decisions(DecisionFilter(authority, state, now_ms), before, size)
        token = self._token(listing, rows, size, lambda row: row.position.to_bytes(POSITION_BYTES, "big"))
        return messages.ListDecisionsResponse(
            decisions=[translate.decision(row, now_ms) for row in rows], next_page_token=token
        )

    async def SubmitCountersignature(
        self, request: Any, _context: Any
    ) -> messages.SubmitCountersignatureResponse:
        needs = self._needs
        count = await decide.submit_countersignature(
            parse_name(request.decision, "decisions", DIGEST_BYTES),
            request.countersignature,
            needs.begin,
            needs.ledger,
            block_time=needs.block_time,
            genesis_hash=needs.genesis_hash,
        )
        return messages.SubmitCountersignatureResponse(countersignatures=count)

    async def ListCountersignatures(
        self, request: Any, _context: Any
    ) -> messages.ListCountersignaturesResponse:
        needs = self._needs
        size = check_page_size(request.page_size, COUNTERSIGNATURES_MAX, COUNTERSIGNATURES_MAX)
        identifier = parse_name(request.decision, "decisions", DIGEST_BYTES)
        listing = f"countersignatures {request.decision}"
        after = self._tokens.read(listing, request.page_token, IDENTIFIER_BYTES)
        rows = await reads.list_countersignatures(identifier, after, size, needs.begin, needs.reader)
        token = self._token(listing, rows, size, lambda row: row.signer)
        return messages.ListCountersignaturesResponse(countersignatures=rows, next_page_token=token)

    # What they share.

    async def _read(self, request: Any, method: str, request_type: type[RequestT]) -> Command[RequestT]:
        return await self._needs.commands.read(request.command, f"{SERVICE}/{method}", request_type)

    def _position(self, listing: str, token: str) -> int | None:
        place = self._tokens.read(listing, token, POSITION_BYTES)
        return None if place is None else int.from_bytes(place, "big")

    def _token(self, listing: str, rows: Any, size: int, place: Callable[[Any], bytes]) -> str:
        return self._tokens.write(listing, place(rows[-1])) if len(rows) == size else ""


def _answering(response_type: Callable[..., Message]) -> Callable[[Proposal], bytes]:
    return lambda stored: _bytes(response_type(proposal=translate.proposal(stored)))


def _bytes(response: Message) -> bytes:
    return response.SerializeToString(deterministic=True)


StateT = TypeVar("StateT", ProposalState, DecisionState)


def _state(states: type[StateT], number: int) -> StateT | None:
    if number == 0:
        return None
    try:
        return states(number)
    except ValueError:
        raise InvalidArgument("STATE_UNKNOWN", f"there is no state {number}") from None

# ruff: noqa: N802, D102 - gRPC names the methods, the proto describes them
"""The RPCs about authorities, memberships, polls, decisions, duty and validators; a part of LedgerService."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from icn.ledger.v1 import service_pb2, state_pb2, transaction_pb2
from icn_chain.validator_set import ValidatorSet
from icn_kit.errors import InvalidArgument
from icn_kit.pages import PageTokens, check_page_size
from icn_machine.limits import DIGEST_BYTES, IDENTIFIER_BYTES
from icn_machine.records import Namespace

from icn_ledger.api.names import EPOCH_BYTES, SEAT_BYTES, parse_identifier, parse_pair
from icn_ledger.usecases.reads import LeafAt, Reader, get_leaf, get_poll

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 500
EVIDENCE_PAGE_BYTES = 1_048_576
"""A page ends with the read that reaches it: evidence may be of 56 KiB, a message of 8 MiB."""
EVIDENCE_READ_MAX = 16
"""Leaves with evidence read at once."""


class InstitutionReads:
    """What `LedgerServicer` answers of institutions."""

    _source: Reader
    _tokens: PageTokens

    async def GetAuthority(self, request: Any, _context: Any) -> service_pb2.GetAuthorityResponse:
        identifier = parse_identifier(request.name, "authorities")
        leaf = await get_leaf(Namespace.AUTHORITY, identifier, self._source)
        return service_pb2.GetAuthorityResponse(
            authority=state_pb2.AuthorityLeaf.FromString(leaf.value), height=leaf.height
        )

    async def GetMembership(self, request: Any, _context: Any) -> service_pb2.GetMembershipResponse:
        organization, member = parse_pair(request.name, "memberships")
        leaf = await get_leaf(Namespace.MEMBERSHIP, organization + member, self._source)
        return service_pb2.GetMembershipResponse(
            membership=state_pb2.MembershipLeaf.FromString(leaf.value), height=leaf.height
        )

    async def ListMemberships(self, request: Any, _context: Any) -> service_pb2.ListMembershipsResponse:
        if bool(request.organization) == bool(request.member):
            raise InvalidArgument(
                "ORGANIZATION_OR_MEMBER", "exactly one of organization and member is to be set"
            )
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        if request.organization:
            organization = parse_identifier(request.organization, "principals")
            listing = f"memberships of organization {organization.hex()}"
            after = self._tokens.read(listing, request.page_token, IDENTIFIER_BYTES) or b""
            rows = await self._source.prefixed(Namespace.MEMBERSHIP, organization, after, size + 1)
        else:
            member = parse_identifier(request.member, "principals")
            listing = f"memberships of member {member.hex()}"
            after = self._tokens.read(listing, request.page_token, IDENTIFIER_BYTES) or b""
            rows = await self._source.memberships_of(member, after, size + 1)
        memberships = [state_pb2.MembershipLeaf.FromString(row.value) for row in rows[:size]]
        token = ""
        if len(rows) > size:
            last = memberships[-1]
            token = self._tokens.write(listing, last.member if request.organization else last.organization)
        return service_pb2.ListMembershipsResponse(memberships=memberships, next_page_token=token)

    async def GetPoll(self, request: Any, _context: Any) -> service_pb2.GetPollResponse:
        poll = await get_poll(parse_identifier(request.name, "polls"), self._source)
        return service_pb2.GetPollResponse(
            poll=state_pb2.PollLeaf.FromString(poll.value),
            height=poll.height,
            block_time_ms=poll.block_time_ms,
        )

    async def ListBallots(self, request: Any, _context: Any) -> service_pb2.ListBallotsResponse:
        poll = parse_identifier(request.poll, "polls")
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        listing = f"ballots of {poll.hex()}"
        after = self._tokens.read(listing, request.page_token, IDENTIFIER_BYTES) or b""
        if request.voter:
            voter = parse_identifier(request.voter, "principals")
            found = await self._source.leaf(Namespace.BALLOT, poll + voter)
            rows: Sequence[LeafAt] = [] if found is None else [found]
        else:
            rows = await self._source.prefixed(Namespace.BALLOT, poll, after, size + 1)
        if not rows:
            await get_poll(poll, self._source)  # none yet, or no such poll
        ballots = [state_pb2.BallotLeaf.FromString(row.value) for row in rows[:size]]
        token = self._tokens.write(listing, ballots[-1].voter) if len(rows) > size else ""
        return service_pb2.ListBallotsResponse(ballots=ballots, next_page_token=token)

    async def GetDecision(self, request: Any, _context: Any) -> service_pb2.GetDecisionResponse:
        identifier = parse_identifier(request.name, "decisions", DIGEST_BYTES)
        leaf = await get_leaf(Namespace.DECISION, identifier, self._source)
        return service_pb2.GetDecisionResponse(
            decision=state_pb2.DecisionLeaf.FromString(leaf.value), height=leaf.height
        )

    async def ListEquivocations(self, request: Any, _context: Any) -> service_pb2.ListEquivocationsResponse:
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        after = self._tokens.read("equivocations", request.page_token, EPOCH_BYTES + SEAT_BYTES)
        leaves: list[state_pb2.EquivocationLeaf] = []
        token = ""
        while len(leaves) < size and not token:
            wanted = min(EVIDENCE_READ_MAX, size - len(leaves))
            rows = await self._source.prefixed(Namespace.EQUIVOCATION, b"", after or b"", wanted + 1)
            leaves += [state_pb2.EquivocationLeaf.FromString(row.value) for row in rows[:wanted]]
            if len(rows) <= wanted:
                break
            last = leaves[-1]
            after = last.epoch.to_bytes(EPOCH_BYTES, "big") + last.seat.to_bytes(SEAT_BYTES, "big")
            if len(leaves) == size or sum(len(leaf.evidence) for leaf in leaves) >= EVIDENCE_PAGE_BYTES:
                token = self._tokens.write("equivocations", after)
        return service_pb2.ListEquivocationsResponse(equivocations=leaves, next_page_token=token)

    async def GetValidators(self, _request: Any, _context: Any) -> service_pb2.GetValidatorsResponse:
        found = await self._source.validators()
        return service_pb2.GetValidatorsResponse(
            in_force=_seats(found.in_force),
            since_epoch=found.validators.since_epoch,
            next=_seats(found.following),
            change_height=found.validators.change_height,
            seats_changed=found.validators.seats_changed,
            seats_changed_max=found.in_force.faults_max,
            epoch=found.epoch,
            height=found.height,
        )

    async def ListDuties(self, request: Any, _context: Any) -> service_pb2.ListDutiesResponse:
        organization = parse_identifier(request.organization, "principals") if request.organization else b""
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        listing = f"duties of {organization.hex()}"
        place = self._tokens.read(listing, request.page_token, EPOCH_BYTES + IDENTIFIER_BYTES)
        before = None if place is None else (int.from_bytes(place[:EPOCH_BYTES], "big"), place[EPOCH_BYTES:])
        rows = await self._source.duties(organization, before, size + 1)
        duties = [state_pb2.DutyLeaf.FromString(row.value) for row in rows[:size]]
        token = ""
        if len(rows) > size:
            last = duties[-1]
            token = self._tokens.write(listing, last.epoch.to_bytes(EPOCH_BYTES, "big") + last.organization)
        return service_pb2.ListDutiesResponse(duties=duties, next_page_token=token)


def _seats(validator_set: ValidatorSet) -> service_pb2.Seats:
    return service_pb2.Seats(
        hash=validator_set.hash,
        seats=[
            service_pb2.Seat(
                organization=seat.organization,
                public_keys=[
                    transaction_pb2.PublicKey(suite=suite, public_key=public_key)
                    for suite, public_key in seat.keys
                ],
            )
            for seat in validator_set.validators
        ],
        protocol_version=validator_set.protocol_version,
    )

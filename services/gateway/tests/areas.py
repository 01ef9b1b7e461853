"""A lively federation for pages: every area has something to show, long names and large numbers among it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from time import time
from typing import Any

from icn.governance.v1 import service_pb2 as governance
from icn.identity.v1 import service_pb2 as identity
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1 import events_pb2, state_pb2, transaction_pb2
from icn.ledger.v1 import service_pb2 as ledger
from icn.marketplace.v1 import events_pb2 as marketplace_events
from icn.marketplace.v1 import service_pb2 as marketplace
from icn.reputation.v1 import service_pb2 as reputation
from icn_gateway.events.feed import Feed
from icn_kit.errors import NotFound

HOUR_MS = 3_600_000
LONG = "Solidarity-Landwirtschaftsgenossenschaft-am-Unteren-Fluss"
FEDERATION = (7_000).to_bytes(16, "big")
MEMBER = (7_001).to_bytes(16, "big")
RESOURCE, OFFER, AGREEMENT, BOOKING, PROPOSAL, ELECTION, CONTRACT, CREDENTIAL = (
    number.to_bytes(16, "big").hex() for number in range(7_100, 7_108)
)
DECISION = "d0" * 32
DID = "did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH"
PHOTO = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"
PAGES = (
    "/",
    "/accounts",
    f"/accounts/{10:032x}",
    "/market",
    f"/offers/{OFFER}",
    f"/agreements/{AGREEMENT}",
    "/bookings",
    f"/resources/{RESOURCE}",
    f"/resources/{RESOURCE}?week=1",
    "/proposals",
    f"/proposals/{PROPOSAL}",
    f"/proposals/{ELECTION}",
    f"/certificates/{DECISION}",
    "/people",
    f"/organizations/{FEDERATION.hex()}",
    f"/people/{MEMBER.hex()}",
    "/scores",
    f"/scores/{MEMBER.hex()}",
    "/contracts",
    f"/contracts/{CONTRACT}",
    "/sign-in",
    "/accounts/nobody",
)
"""Every page that can be seen without signing in, and a refusal."""


@dataclass
class Areas:
    """What the services answer; tests change it."""

    zone: Any

    def fill(self) -> Areas:
        """Give every call an answer."""
        zone = self.zone
        founder = zone.genesis.organizations[0].principal
        unit = (100).to_bytes(16, "big").hex()
        now_ms = int(time() * 1_000) // HOUR_MS * HOUR_MS
        principal = f"principals/{MEMBER.hex()}"
        organization = f"organizations/{FEDERATION.hex()}"
        zone.controllers[MEMBER] = state_pb2.ControllerLeaf(
            principal=MEMBER, threshold=1, keys=zone.controllers[founder].keys[:1], sponsor=founder
        )
        membership = state_pb2.MembershipLeaf(
            organization=FEDERATION,
            member=MEMBER,
            status=state_pb2.MEMBERSHIP_STATUS_ACTIVE,
            applied_time_ms=now_ms - 9 * HOUR_MS,
            since_time_ms=now_ms - 8 * HOUR_MS,
            vouchers=[founder, zone.genesis.organizations[1].principal],
        )
        offer = marketplace.Offer(
            name=f"offers/{OFFER}",
            provider=principal,
            action=marketplace.OFFER_ACTION_TRANSFER,
            title="Rye bread <b>fresh</b>",
            note="Every Saturday.\nBring a bag.",
            specification="bread",
            quantity=40,
            quantity_left=12,
            measure="loaf",
            price_minor=450,
            unit=f"units/{unit}",
            is_open=True,
            photos=[PHOTO],
        )
        agreement = marketplace.Agreement(
            name=f"agreements/{AGREEMENT}",
            offer=offer.name,
            provider=principal,
            receiver=f"principals/{founder.hex()}",
            quantity=3,
            amount_minor=1_350,
            unit=f"units/{unit}",
            state=marketplace.AGREEMENT_STATE_OPEN,
            hold=marketplace.HOLD_STATE_HELD,
            make_time_ms=now_ms,
            expire_time_ms=now_ms + 48 * HOUR_MS,
            title=offer.title,
            commitments=[
                marketplace.Commitment(
                    action="transfer",
                    provider=principal,
                    receiver=f"principals/{founder.hex()}",
                    state=marketplace.COMMITMENT_STATE_REPORTED,
                )
            ],
        )
        resource = marketplace.Resource(
            name=f"resources/{RESOURCE}",
            owner=f"principals/{founder.hex()}",
            title=f"Tractor of {LONG}",
            note="Key at the mill.",
            specification="tractor",
            rules=marketplace.BookingRules(
                open_minute=360,
                close_minute=1_260,
                utc_offset_minutes=60,
                minutes_min=30,
                minutes_max=480,
                ahead_days_max=60,
                audience=FEDERATION,
            ),
            photos=[PHOTO],
        )
        bookings = [
            marketplace.Booking(
                name=f"bookings/{BOOKING}",
                resource=resource.name,
                booker=principal,
                start_time_ms=now_ms + hours * HOUR_MS,
                end_time_ms=now_ms + (hours + 2) * HOUR_MS,
                state=standing,
                queue_place=place,
            )
            for hours, standing, place in (
                (1, marketplace.BOOKING_STATE_BOOKED, 0),
                (1, marketplace.BOOKING_STATE_WAITING, 1),
                (30, marketplace.BOOKING_STATE_BOOKED, 0),
            )
        ]
        decision = f"decisions/{DECISION}"
        proposals = [
            governance.Proposal(
                name=f"proposals/{PROPOSAL}",
                organization=organization,
                proposer=principal,
                state=governance.PROPOSAL_STATE_OPEN,
                title="Raise the floor of the bakery",
                question="Should the bakery be able to owe more?\nIt buys an oven.",
                rule="plain-decision",
                candidates=["yes", "no", "abstain"],
                electorate=transaction_pb2.ELECTORATE_MEMBERS,
                actions=["set the floor of 0a0a to -20000"],
                close_time_ms=now_ms + 20 * HOUR_MS,
                ballots=7,
                openings=3,
                decision=decision,
                is_carried=True,
            ),
            governance.Proposal(
                name=f"proposals/{ELECTION}",
                organization=organization,
                proposer=principal,
                state=governance.PROPOSAL_STATE_COUNTED,
                title="Delegates to the assembly",
                question="Two delegates.",
                rule="scottish-stv",
                candidates=["Ana", "Boris", LONG],
                seats=2,
                close_time_ms=now_ms - 20 * HOUR_MS,
                ballots=12,
                openings=12,
                is_carried=True,
                is_complete=True,
                winners=[3, 1],
            ),
        ]
        taken = governance.Decision(
            name=decision,
            authority=organization,
            proposal=f"proposals/{PROPOSAL}",
            expire_time_ms=now_ms + 700 * HOUR_MS,
            state=governance.DECISION_STATE_PROPOSED,
            countersignatures=2,
            countersignatures_needed=3,
            actions=["set the floor of 0a0a to -20000"],
        )
        score = reputation.Score(
            principal=principal, dimension="delivery", score_nano=123_456_789, rank=1, evidence_count=9
        )
        evidence = reputation.Evidence(
            who=f"principals/{founder.hex()}",
            about=principal,
            dimension="delivery",
            kind=reputation.EVIDENCE_KIND_FULFILLED,
            weight=1_350,
            occurred_time_ms=now_ms,
        )
        credential = identity.Credential(
            name=f"credentials/{CREDENTIAL}",
            kind=identity.CREDENTIAL_KIND_OFFICE,
            organization=f"principals/{FEDERATION.hex()}",
            subject=principal,
            office="treasurer",
            valid_from_time_ms=now_ms,
            document=b"{}",
        )
        results = {PROPOSAL: plain_result(), ELECTION: election_result()}
        answers: dict[str, Any] = {
            "GetAccount": lambda request: ledger.GetAccountResponse(
                account=ledger.Account(leaf=zone.accounts[bytes.fromhex(request.name.partition("/")[2])])
            ),
            "ListEntries": lambda _: ledger.ListEntriesResponse(
                entries=[entry for rows in zone.entries.values() for entry in rows]
            ),
            "GetController": self._controller,
            "GetAuthority": self._only(
                FEDERATION.hex(),
                ledger.GetAuthorityResponse(
                    authority=state_pb2.AuthorityLeaf(
                        authority=FEDERATION,
                        rules=transaction_pb2.AuthorityRules(
                            threshold=0,
                            vouches_min=2,
                            majority=transaction_pb2.Share(numerator=3, denominator=5),
                        ),
                        members=5,
                    )
                ),
            ),
            "ListMemberships": ledger.ListMembershipsResponse(memberships=[membership]),
            "GetPoll": ledger.GetPollResponse(poll=state_pb2.PollLeaf(ballots=7)),
            "GetDecision": self._decision(taken),
            "GetContract": ledger.GetContractResponse(
                contract=state_pb2.ContractLeaf(
                    contract=bytes.fromhex(CONTRACT),
                    code=b"\x0c" * 32,
                    made_by=MEMBER,
                    storage_entries=12,
                    storage_bytes=4_096,
                ),
                height=9,
            ),
            "ListOrganizations": governance.ListOrganizationsResponse(
                organizations=[
                    governance.Organization(
                        name=organization,
                        display_name=f"{LONG} <script>alert(1)</script>",
                        kind="federation",
                        description="We share what we have.\n" * 5,
                        members=5,
                        applicants=1,
                        is_authority=True,
                    )
                ]
            ),
            "GetOrganization": governance.GetOrganizationResponse(
                organization=governance.Organization(
                    name=organization,
                    display_name=LONG,
                    kind="federation",
                    description="We share.",
                    contact="post@example.org",
                    website="https://example.org/about",
                    members=5,
                )
            ),
            "ListMembers": governance.ListMembersResponse(
                members=[governance.Member(membership=membership, offices=["treasurer"])]
            ),
            "ListProposals": governance.ListProposalsResponse(proposals=proposals),
            "GetProposal": lambda request: governance.GetProposalResponse(
                proposal=next(each for each in proposals if each.name == request.name)
            ),
            "GetResult": lambda request: governance.GetResultResponse(
                result=json.dumps(results[request.proposal.partition("/")[2]]).encode(), digest=b"\x05" * 32
            ),
            "ListDecisions": governance.ListDecisionsResponse(decisions=[taken]),
            "ListCountersignatures": governance.ListCountersignaturesResponse(
                countersignatures=[
                    transaction_pb2.Countersignature(
                        signer=founder, key_id=b"\x01" * 16, suite=1, signature=bytes(64)
                    )
                ]
            ),
            "ListOffers": marketplace.ListOffersResponse(offers=[offer]),
            "GetOffer": marketplace.GetOfferResponse(offer=offer),
            "ListAgreements": marketplace.ListAgreementsResponse(agreements=[agreement]),
            "GetAgreement": marketplace.GetAgreementResponse(agreement=agreement),
            "ListResources": marketplace.ListResourcesResponse(resources=[resource]),
            "GetResource": marketplace.GetResourceResponse(resource=resource),
            "ListBookings": marketplace.ListBookingsResponse(bookings=bookings),
            "ListDimensions": reputation.ListDimensionsResponse(
                dimensions=[reputation.Dimension(name=name) for name in ("delivery", "payment")]
            ),
            "ListScores": reputation.ListScoresResponse(scores=[score]),
            "GetScore": reputation.GetScoreResponse(
                score=score,
                explanation=reputation.Explanation(
                    seed_nano=100_000_000,
                    contributions=[
                        reputation.Contribution(
                            principal=f"principals/{founder.hex()}",
                            amount_nano=23_456_789,
                            trust=1_350,
                            evidence=[evidence],
                            others=7,
                        )
                    ],
                ),
            ),
            "ListEvidence": reputation.ListEvidenceResponse(evidence=[evidence]),
            "ListCredentials": identity.ListCredentialsResponse(credentials=[credential]),
            "GetPrincipal": identity.GetPrincipalResponse(
                name=principal,
                keys=[identity.PrincipalKey(key_id=b"\x01" * 16, did=DID)],
                did=f"did:webvh:QmScid:localhost:orgs:{FEDERATION.hex()}",
                is_did_current=True,
            ),
        }
        zone.services.answers.update(answers)
        return self

    def _controller(self, request: Any) -> Any:
        leaf = self.zone.controllers.get(bytes.fromhex(request.name.partition("/")[2]))
        if leaf is None:
            raise NotFound("CONTROLLER_UNKNOWN", "no such principal")
        return ledger.GetControllerResponse(controller=leaf)

    @staticmethod
    def _only(identifier: str, answer: Any) -> Any:
        def answered(request: Any) -> Any:
            if request.name.rpartition("/")[2] != identifier:
                raise NotFound("AUTHORITY_UNKNOWN", "no such authority")
            return answer

        return answered

    @staticmethod
    def _decision(taken: Any) -> Any:
        def answered(request: Any) -> Any:
            """Two services have a call of this name."""
            if isinstance(request, governance.GetDecisionRequest):
                return governance.GetDecisionResponse(decision=taken)
            raise NotFound("DECISION_UNKNOWN", "not enacted")

        return answered


def plain_result() -> dict[str, Any]:
    """As docs/spec/governance.md has it."""
    return {
        "tally": {
            "rule": "plain-decision",
            "result": {
                "carried": True,
                "yes": "5",
                "no": "1",
                "abstain": "1",
                "blank": "0",
                "stages": [
                    {"action": "quorum", "part": "7", "whole": "12", "reached": True},
                    {"action": "majority", "part": "5", "whole": "6", "reached": True},
                ],
            },
        },
        "fault": "",
        "is_carried": True,
        "winners": [],
    }


def election_result() -> dict[str, Any]:
    """The same of an election with many stages, wider than a phone."""
    stage = {
        "action": "transfer",
        "candidates": [3],
        "totals": ["4.00000", "3.33332", "4.66668"],
        "non_transferable": "0.00000",
        "lost": "0.00000",
        "elected": [],
    }
    tie = {"stage": 2, "action": "exclude", "candidates": [1, 2], "chosen": 2, "by": "lot", "among": [1, 2]}
    return {
        "tally": {
            "rule": "scottish-stv",
            "result": {"valid": "12", "invalid": "0", "quota": "5", "stages": [stage] * 9, "ties": [tie]},
        },
        "fault": "",
        "is_carried": True,
        "winners": [3, 1],
    }


async def lively_feed(zone: Any) -> Feed:
    """A feed that has heard of a transfer, a contract call and an agreement."""
    founder = zone.genesis.organizations[0].principal
    unit = (100).to_bytes(16, "big")
    now_ms = int(time() * 1_000)
    events = {
        "ledger": [
            (
                "transfer_committed",
                events_pb2.TransferCommitted(
                    height=2,
                    block_time_ms=now_ms - 4_000,
                    source=(10).to_bytes(16, "big"),
                    destination=(11).to_bytes(16, "big"),
                    unit=unit,
                    amount_minor=12_050,
                ),
            ),
            (
                "membership_changed",
                events_pb2.MembershipChanged(
                    height=3,
                    block_time_ms=now_ms - 3_000,
                    membership=state_pb2.MembershipLeaf(
                        organization=FEDERATION, member=MEMBER, status=state_pb2.MEMBERSHIP_STATUS_ACTIVE
                    ),
                ),
            ),
            (
                "decision_enacted",
                events_pb2.DecisionEnacted(
                    height=3,
                    block_time_ms=now_ms - 2_000,
                    decision_id=bytes.fromhex(DECISION),
                    decision=state_pb2.DecisionLeaf(authority=FEDERATION),
                ),
            ),
            (
                "contract_called",
                events_pb2.ContractCalled(
                    height=3,
                    contract=bytes.fromhex(CONTRACT),
                    sender=MEMBER,
                    fuel_used=48_211,
                    events=[
                        events_pb2.ContractEvent(
                            type="wasm", attributes=[events_pb2.ContractAttribute(key="paid", value="12")]
                        )
                    ],
                ),
            ),
        ],
        "marketplace": [
            (
                "agreement_made",
                marketplace_events.AgreementMade(
                    agreement=bytes.fromhex(AGREEMENT),
                    provider=MEMBER,
                    receiver=founder,
                    amount_minor=1_350,
                    unit=unit,
                    occurred_time_ms=now_ms - 1_000,
                ),
            )
        ],
    }
    feed = Feed({service: _NoSource() for service in events})
    for service, told in events.items():
        for number, (name, payload) in enumerate(told):
            time_ms = now_ms - 1_000 + number
            feed._take(
                service,
                EventEnvelope(
                    id=time_ms.to_bytes(6, "big") + number.to_bytes(10, "big"),
                    height=number if service == "ledger" else 0,
                    subject=f"icn.{service}.v1.{name}",
                    payload=payload.SerializeToString(),
                ),
            )
    return feed


class _NoSource:
    """Nothing more happens."""

    async def read(self, tail_max: int) -> Any:
        del tail_max
        return
        yield

"""Organizations and their members, proposals, decisions under way and who has countersigned them."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from icn.governance.v1 import service_pb2
from icn_kit.errors import InvalidArgument

from icn_gateway.api.fields import PAGE_SIZE_MAX
from icn_gateway.api.reads.route import (
    Content,
    Read,
    choice,
    digest,
    identifier,
    json_content,
    only_of,
    paging,
    word,
)
from icn_gateway.usecases.contracts import method

_PAGING = paging(PAGE_SIZE_MAX)


def _result(_request: Message, response: Any) -> Content:
    """The same bytes for everybody who recounts, so that their digest can be compared."""
    return json_content(response.result, headers={"etag": f'"{response.digest.hex()}"'})


def _one_of_two(fields: dict[str, Any]) -> None:
    if bool(fields["organization"]) == bool(fields["member"]):
        raise InvalidArgument("INVALID_ARGUMENT", "give organization or member, and not both")


READS = (
    Read(
        "/v1/organizations",
        "ListOrganizations",
        "Organizations",
        method("governance", "ListOrganizations"),
        (word("kind", "kind", "Only of this kind; absent for all.", "cooperative", default=""), *_PAGING),
    ),
    Read(
        "/v1/organizations/{organization_id:str}",
        "GetOrganization",
        "Organizations",
        method("governance", "GetOrganization"),
        (identifier("organization_id", "name", "organizations", "Organization"),),
    ),
    Read(
        "/v1/members",
        "ListMembers",
        "Organizations",
        method("governance", "ListMembers"),
        (
            only_of("organization", "organization", "organizations", "Members of this organization"),
            only_of("member", "member", "principals", "Organizations of this member", ""),
            *_PAGING,
        ),
        check=_one_of_two,
    ),
    Read(
        "/v1/proposals",
        "ListProposals",
        "Governance",
        method("governance", "ListProposals"),
        (
            only_of("organization", "organization", "organizations", "Only of this organization"),
            choice(
                "state",
                "state",
                "Only in this state",
                service_pb2.DESCRIPTOR.enum_types_by_name["ProposalState"],
            ),
            *paging(200),
        ),
    ),
    Read(
        "/v1/proposals/{proposal_id:str}",
        "GetProposal",
        "Governance",
        method("governance", "GetProposal"),
        (identifier("proposal_id", "name", "proposals", "Proposal"),),
    ),
    Read(
        "/v1/proposals/{proposal_id:str}/openings",
        "ListOpenings",
        "Governance",
        method("governance", "ListOpenings"),
        (identifier("proposal_id", "proposal", "proposals", "Proposal"), *_PAGING),
    ),
    Read(
        "/v1/proposals/{proposal_id:str}/result",
        "GetResult",
        "Governance",
        method("governance", "GetResult"),
        (identifier("proposal_id", "proposal", "proposals", "Proposal"),),
        content=_result,
    ),
    Read(
        "/v1/certificates",
        "ListCertificates",
        "Governance",
        method("governance", "ListDecisions"),
        (
            only_of("authority", "authority", "organizations", "Only of this authority"),
            choice(
                "state",
                "state",
                "Only in this state",
                service_pb2.DESCRIPTOR.enum_types_by_name["DecisionState"],
            ),
            *paging(100),
        ),
    ),
    Read(
        "/v1/certificates/{decision_id:str}",
        "GetCertificate",
        "Governance",
        method("governance", "GetDecision"),
        (digest("decision_id", "name", "decisions", "Decision"),),
    ),
    Read(
        "/v1/certificates/{decision_id:str}/countersignatures",
        "ListCountersignatures",
        "Governance",
        method("governance", "ListCountersignatures"),
        (digest("decision_id", "decision", "decisions", "Decision"), *paging(64)),
    ),
)

"""Answers of routes whose question comes in the body."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from icn_gateway.api.fields import EXAMPLE_DIGEST, EXAMPLE_ID, HEX_32, HEX_64, Height, PrincipalId
from icn_gateway.api.views.common import View


class ContractAnswer(View):
    """What a contract answered."""

    data: Annotated[msgspec.Raw, Meta(description="JSON of the contract's own.")]
    fuel_used: Annotated[
        str, Meta(pattern="^(0|[1-9][0-9]*)$", description="Fuel it used.", examples=["48211"])
    ]
    height: Annotated[Height, Meta(description="Height of the state it was asked on.")]


class ProofVerdict(View):
    """One proof of a credential."""

    is_valid: Annotated[bool, Meta(description="Whether it holds.", examples=[True])]
    reason: Annotated[str, Meta(description="Why not; empty when it holds.", examples=[""])]
    cryptosuite: Annotated[str, Meta(description="Its suite.", examples=["eddsa-jcs-2022"])]
    verification_method: Annotated[str, Meta(description="The key that made it.", examples=["did:key:z6Mk…"])]


class CredentialVerdict(View):
    """Whether a credential is valid by what this zone knows."""

    is_valid: Annotated[bool, Meta(description="Valid only if every proof is.", examples=[True])]
    reason: Annotated[str, Meta(description="Why not; empty when it is.", examples=[""])]
    proofs: Annotated[list[ProofVerdict], Meta(description="In their order.")]
    issuer: Annotated[str, Meta(description="DID that issued it.", examples=["did:webvh:…"])]
    is_issuer_bound: Annotated[
        bool, Meta(description="Whether the issuer is an organization of this zone.", examples=[True])
    ]
    organization: Annotated[str, Meta(description="Which one; empty for none.", examples=[""])]
    status: Annotated[str, Meta(description="What the status list says.", examples=["active"])]


class CountersignatureRequest(View, forbid_unknown_fields=True):
    """One member's agreement with a decision."""

    signer: Annotated[PrincipalId, Meta(description="The member.")]
    key_id: Annotated[str, Meta(pattern=HEX_32, description="Which key.", examples=[EXAMPLE_ID])]
    suite: Annotated[int, Meta(ge=1, le=65_535, description="1 Ed25519, 2 ML-DSA-65.", examples=[1])]
    signature: Annotated[
        str,
        Meta(
            pattern="^([0-9a-f]{2})+$",
            max_length=6_618,
            description="Over the decision's bytes, in lower-case hex.",
            examples=["00" * 64],
        ),
    ]


class ProposalCountersignatures(View):
    """How far the decision that follows from a proposal has come."""

    decision: Annotated[str, Meta(pattern=HEX_64, description="Its digest.", examples=[EXAMPLE_DIGEST])]
    countersignatures: Annotated[int, Meta(ge=0, description="How many there are.", examples=[2])]
    countersignatures_needed: Annotated[
        int, Meta(ge=0, description="How many must; 0 when no validator answers.", examples=[3])
    ]
    enact_height: Annotated[Height, Meta(description="Block that enacted it; 0 before.")]
    signers: Annotated[list[PrincipalId], Meta(description="Members that have signed, ascending.")]


class CountersignatureTaken(View):
    """How many countersignatures a decision has."""

    countersignatures: Annotated[int, Meta(ge=0, description="Of this decision, here.", examples=[3])]

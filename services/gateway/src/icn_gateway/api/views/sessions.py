"""Signing in."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from icn_gateway.api.fields import EXAMPLE_ID, HEX_32, PrincipalId, TimeMs
from icn_gateway.api.views.common import View
from icn_gateway.domain.sign_in import CHALLENGE_CHARACTERS, SIGNATURES_MAX

EXAMPLE_CHALLENGE = "01" + EXAMPLE_ID + "00" * (CHALLENGE_CHARACTERS // 2 - 17)

ChallengeHex = Annotated[
    str,
    Meta(
        pattern="^[0-9a-f]*$",
        min_length=CHALLENGE_CHARACTERS,
        max_length=CHALLENGE_CHARACTERS,
        description="What to sign, in lower-case hex.",
        examples=[EXAMPLE_CHALLENGE],
    ),
]


class ChallengeRequest(View, forbid_unknown_fields=True):
    """Asks for something to sign."""

    principal: Annotated[PrincipalId, Meta(description="Who wants to sign in.")]


class SignInChallenge(View):
    """Something to sign (docs/spec/gateway.md, Sign-in)."""

    challenge: ChallengeHex
    origins: Annotated[
        list[str],
        Meta(
            description=(
                "How this gateway is reached. Sign the one that you yourself have connected to; "
                "where it is not listed, do not sign."
            ),
            examples=[["https://icn.example"]],
        ),
    ]
    expire_time_ms: Annotated[TimeMs, Meta(description="Good until then, by the gateway's clock.")]


class SignInSignature(View, forbid_unknown_fields=True):
    """A signature by one unscoped key of the principal."""

    suite: Annotated[int, Meta(ge=1, le=65_535, description="1 Ed25519, 2 ML-DSA-65.", examples=[1])]
    key_id: Annotated[str, Meta(pattern=HEX_32, description="Which key.", examples=[EXAMPLE_ID])]
    signature: Annotated[
        str,
        Meta(
            pattern="^([0-9a-f]{2})+$",
            max_length=6_618,
            description="As long as the suite says, in lower-case hex.",
            examples=["00" * 64],
        ),
    ]


class SignInRequest(View, forbid_unknown_fields=True):
    """A challenge with the signatures of as many keys as the principal's threshold."""

    challenge: ChallengeHex
    signatures: Annotated[
        list[SignInSignature],
        Meta(min_length=1, max_length=SIGNATURES_MAX, description="Each key once."),
    ]
    purpose: Annotated[
        Literal["program", "page"],
        Meta(
            description="`program`: answer with a token. `page`: answer with a code for a browser.",
            examples=["program"],
        ),
    ] = "program"


class SignedIn(View):
    """A session that reads, and cannot do anything."""

    principal: PrincipalId
    expire_time_ms: Annotated[TimeMs, Meta(description="When it, or the code, ends.")]
    token: (
        Annotated[
            str,
            Meta(
                description="For a program: send it as `Authorization: Bearer …`. Told once.",
                examples=["q1zJc2l1…"],
            ),
        ]
        | UnsetType
    ) = UNSET
    code: (
        Annotated[
            str,
            Meta(
                description="For a page: type it at `/sign-in`. Good once.",
                examples=["7K3M-92QX-A1BC"],
            ),
        ]
        | UnsetType
    ) = UNSET
    link: (
        Annotated[
            str,
            Meta(
                description="For a page: the same as a link.",
                examples=["https://icn.example/sign-in?code=7K3M-92QX-A1BC"],
            ),
        ]
        | UnsetType
    ) = UNSET


class SessionView(View):
    """Who is signed in."""

    principal: PrincipalId
    expire_time_ms: Annotated[TimeMs, Meta(description="When the session ends.")]


class SessionsEnded(View):
    """What was ended."""

    ended: Annotated[int, Meta(ge=0, description="How many sessions.", examples=[1])]

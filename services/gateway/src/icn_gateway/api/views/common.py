"""What every kind of document needs."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from icn_gateway.api.fields import EXAMPLE_DIGEST, EXAMPLE_ID, HEX_32, HEX_64, UnitId


class View(msgspec.Struct):
    """Base of every document."""


class Problem(View):
    """Why a request was not done, as application/problem+json (RFC 9457)."""

    type: Annotated[
        str, Meta(description="Always `about:blank`: `reason` says which problem.", examples=["about:blank"])
    ]
    title: Annotated[str, Meta(description="The HTTP status in words.", examples=["Not Found"])]
    status: Annotated[int, Meta(ge=400, le=599, description="The HTTP status.", examples=[404])]
    reason: Annotated[
        str,
        Meta(
            pattern="^[A-Z][A-Z0-9_]*$",
            description="Stable reason, upper snake case: match on this, never on `detail`.",
            examples=["ACCOUNT_UNKNOWN"],
        ),
    ]
    detail: Annotated[str, Meta(description="For people.", examples=["no such account"])]
    instance: Annotated[
        str, Meta(description="Path of the request.", examples=[f"/v1/accounts/{EXAMPLE_ID}"])
    ]
    trace_id: Annotated[
        str, Meta(pattern=HEX_32, description="Finds this request in the logs.", examples=[EXAMPLE_ID])
    ]
    figures: Annotated[
        dict[str, str],
        Meta(description="The values that were compared, by name.", examples=[{"floor_minor": "-500"}]),
    ] = {}
    transaction_id: (
        Annotated[
            str,
            Meta(
                pattern=HEX_64,
                description="The transaction the problem is about; ask for it at `/v1/transactions/{id}`.",
                examples=[EXAMPLE_DIGEST],
            ),
        ]
        | UnsetType
    ) = UNSET
    command_id: (
        Annotated[
            str,
            Meta(
                pattern=HEX_64,
                description="The command the problem is about; sending the same bytes again is safe.",
                examples=[EXAMPLE_DIGEST],
            ),
        ]
        | UnsetType
    ) = UNSET


class UnitReference(View):
    """What is needed to read amounts of a unit."""

    id: UnitId
    code: Annotated[str, Meta(description="Shown to people; not unique.", examples=["HOURS"])]
    scale: Annotated[
        int,
        Meta(
            ge=0,
            le=9,
            description="Decimal places of one whole unit: minor units are 10^−scale.",
            examples=[2],
        ),
    ]


class Health(View):
    """Whether this process can do its work."""

    status: Annotated[
        Literal["ok"], Meta(description="Always `ok`; a problem is answered with 503.", examples=["ok"])
    ]
    validators_reachable: Annotated[int, Meta(ge=1, description="How many validators answer.", examples=[4])]

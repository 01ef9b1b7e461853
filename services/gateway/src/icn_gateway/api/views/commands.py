"""What became of a command."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from icn_gateway.api.fields import EXAMPLE_DIGEST, HEX_64
from icn_gateway.api.views.common import View


class CommandAnswer(View):
    """What the service answered to a command."""

    command_id: Annotated[
        str,
        Meta(
            pattern=HEX_64,
            description="Hash of the command's body, 32 bytes: its idempotency key.",
            examples=[EXAMPLE_DIGEST],
        ),
    ]
    method: Annotated[
        str,
        Meta(
            description="The call it named.",
            examples=["/icn.marketplace.v1.MarketplaceService/AcceptOffer"],
        ),
    ]
    response: Annotated[
        dict[str, Any],
        Meta(description="The call's response message as a document (docs/spec/gateway.md, Documents)."),
    ]

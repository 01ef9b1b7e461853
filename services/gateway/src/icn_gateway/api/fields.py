"""Kinds of values that REST documents are made of, with their ranges; the OpenAPI document is generated
from them."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

EXAMPLE_ID: Final = "7f3a4c1de0b94d6f8a52c7e1904b33d8"
EXAMPLE_DIGEST: Final = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"
EXAMPLE_TRANSACTION: Final = (
    "CkMKEH86TB3guU1vilLH4ZBLM9gSEH86TB3guU1vilLH4ZBLM9ggASjgrMWijDQyFEoSChB/Okwd4LlNb4pSx+GQ"
    "SzPYElYIARIQfzpMHeC5TW+KUsfhkEsz2BpAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
)
"""Voids a hold; its signature is 64 zero bytes."""
EXAMPLE_COMMAND: Final = (
    "CnkKMS9pY24ubWFya2V0cGxhY2UudjEuTWFya2V0cGxhY2VTZXJ2aWNlL0Nsb3NlT2ZmZXISEH86TB3guU1vilLH4Z"
    "BLM9gYgNjBoow0IOD/06KMNCoQfzpMHeC5TW+KUsfhkEsz2DISChB/Okwd4LlNb4pSx+GQSzPYElYIARIQfzpMHeC5"
    "TW+KUsfhkEsz2BpAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAA=="
)
"""Closes an offer; its signature is 64 zero bytes."""

HEX_32: Final = "^[0-9a-f]{32}$"
HEX_64: Final = "^[0-9a-f]{64}$"
HEX: Final = "^([0-9a-f]{2})*$"
MINOR_UNITS: Final = "^(0|-?[1-9][0-9]{0,18})$"
PAGE_TOKEN: Final = "^[A-Za-z0-9_=.:~/+-]*$"  # noqa: S105 - a pattern
PAGE_TOKEN_CHARACTERS_MAX: Final = 512
PAGE_SIZE_MAX: Final = 500
PAGE_SIZE_DEFAULT: Final = 50
BLOCK_PAGE_SIZE_MAX: Final = 50
"""Blocks may hold 4,000 transaction ids each, and an answer of a validator 8 MiB."""
HEIGHT_MAX: Final = 2**53 - 1
"""Largest integer that every JSON reader keeps exactly (RFC 7493); at two blocks a second, 140 million
years."""

PrincipalId = Annotated[
    str, Meta(pattern=HEX_32, description="Principal id, 16 bytes.", examples=[EXAMPLE_ID])
]
AccountId = Annotated[str, Meta(pattern=HEX_32, description="Account id, 16 bytes.", examples=[EXAMPLE_ID])]
UnitId = Annotated[str, Meta(pattern=HEX_32, description="Unit id, 16 bytes.", examples=[EXAMPLE_ID])]
HoldId = Annotated[str, Meta(pattern=HEX_32, description="Hold id, 16 bytes.", examples=[EXAMPLE_ID])]
KeyId = Annotated[
    str,
    Meta(
        pattern=HEX_32, description="Key id: hash of the key's public keys, 16 bytes.", examples=[EXAMPLE_ID]
    ),
]
TransactionId = Annotated[
    str,
    Meta(
        pattern=HEX_64,
        description="Transaction id: hash of the body without signatures, 32 bytes.",
        examples=[EXAMPLE_DIGEST],
    ),
]
Digest = Annotated[str, Meta(pattern=HEX_64, description="32 bytes.", examples=[EXAMPLE_DIGEST])]
Hex = Annotated[str, Meta(pattern=HEX, description="Bytes in lower-case hex.", examples=["0a10"])]
MinorUnits = Annotated[
    str,
    Meta(
        pattern=MINOR_UNITS,
        description=(
            "Decimal string of minor units, between −2^63 and 2^64; with the unit's `scale` decimal places. "
            "A string, because JSON readers round numbers this large."
        ),
        examples=["-12050"],
    ),
]
Height = Annotated[
    int, Meta(ge=0, le=HEIGHT_MAX, description="Height of a block; genesis is 0.", examples=[1842])
]
TimeMs = Annotated[
    int,
    Meta(
        ge=0,
        le=HEIGHT_MAX,
        description="Unix time in milliseconds, as the chain's blocks tell it.",
        examples=[1_790_000_000_000],
    ),
]
NextPageToken = Annotated[
    str,
    Meta(
        max_length=PAGE_TOKEN_CHARACTERS_MAX,
        description="Give it as `page_token` for the next page; empty on the last page.",
        examples=[""],
    ),
]

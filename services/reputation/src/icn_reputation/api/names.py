"""Names and sizes as callers write them. A refusal is INVALID_ARGUMENT with a stable reason."""

from __future__ import annotations

from icn_kit.errors import InvalidArgument

from icn_reputation.domain.principals import COLLECTION, IDENTIFIER_BYTES, identifier_of

NAME_CHARACTERS_SHOWN = 80


def parse_principal(name: str) -> bytes:
    """The 16 bytes of ``principals/<32 hex>``.

    Raises:
        InvalidArgument: MALFORMED_NAME.
    """
    try:
        return identifier_of(name)
    except ValueError:
        raise InvalidArgument(
            "MALFORMED_NAME",
            f"expected {COLLECTION}/ and {2 * IDENTIFIER_BYTES} lower-case hex digits",
            name=name[:NAME_CHARACTERS_SHOWN],
        ) from None

"""The height that reads of the ledger must have reached: what lets somebody read what they wrote, whichever
validator answers.

One gRPC metadata entry says it for every read, so no request has a field for it and no reader a parameter: a
context variable holds it, as the trace's does. Source: docs/spec/ledger-store.md, "Reads".
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from icn_kit.errors import InvalidArgument
from icn_kit.trace import trace_metadata

MIN_HEIGHT_KEY: Final = "icn-min-height"
"""Name of the gRPC metadata entry and of the HTTP header: decimal digits."""
MIN_HEIGHT_MAX: Final = 2**62

min_height: ContextVar[int] = ContextVar("icn_min_height", default=0)
"""Of the call being handled; 0: any height will do."""


def parse_min_height(value: str | bytes) -> int:
    """The height in ``value``.

    Raises:
        InvalidArgument: MIN_HEIGHT_MALFORMED.
    """
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    # int() takes signs, spaces, underscores and the digits of every script.
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= MIN_HEIGHT_MAX):
        raise InvalidArgument(
            "MIN_HEIGHT_MALFORMED", f"{MIN_HEIGHT_KEY} must be a height, 0 to 2^62, in decimal digits"
        )
    return int(text)


def min_height_metadata(height: int) -> tuple[tuple[str, str], ...]:
    """The gRPC metadata that asks for a height; empty for 0."""
    return ((MIN_HEIGHT_KEY, str(height)),) if height else ()


def read_metadata() -> tuple[tuple[str, str], ...]:
    """gRPC metadata that carries the trace and the height of the work at hand to who is asked."""
    return trace_metadata() + min_height_metadata(min_height.get())

"""Where an archive and what comes of executing it part."""

from __future__ import annotations

from typing import Final

SHOWN_BYTES_MAX: Final = 32_768
"""Above all that a ledger's leaves come to; a hostile archive's may have 16 MiB."""


class Diverged(Exception):
    """The first thing that is not as the archive says. Source: docs/spec/audit.md, "Verification"."""

    def __init__(self, height: int, key: str, expected: str, found: str) -> None:
        """``height``: of the block in question; 0 before the first."""
        super().__init__(f"height {height}, {key}: expected {expected}, found {found}")
        self.height = height
        self.key = key
        self.expected = expected
        self.found = found


def hexadecimal(data: bytes) -> str:
    """What a divergence says of bytes: the first SHOWN_BYTES_MAX of them."""
    shown = data[:SHOWN_BYTES_MAX].hex()
    more = len(data) - SHOWN_BYTES_MAX
    return f"{shown}… and {more} more bytes" if more > 0 else shown

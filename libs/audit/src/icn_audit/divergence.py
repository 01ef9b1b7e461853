"""Where an archive and what comes of executing it part."""

from __future__ import annotations


class Diverged(Exception):
    """The first thing that is not as the archive says. Source: docs/spec/audit.md, "Verification"."""

    def __init__(self, height: int, key: str, expected: str, found: str) -> None:
        """``height``: of the block in question; 0 before the first."""
        super().__init__(f"height {height}, {key}: expected {expected}, found {found}")
        self.height = height
        self.key = key
        self.expected = expected
        self.found = found

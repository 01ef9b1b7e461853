"""How many of n seats decide, and how many may be faulty. Source: docs/spec/consensus.md, "Seats"."""

from __future__ import annotations

from typing import Final

SEATS_MIN: Final = 4
"""Fewer cannot bear a faulty one."""
SEATS_MAX: Final = 50


def quorum_of(seats: int) -> int:
    """⌊2n/3⌋ + 1: any two quorums share a seat that is not faulty."""
    return 2 * seats // 3 + 1


def faults_of(seats: int) -> int:
    """f = ⌊(n − 1)/3⌋, of at least one seat: what f + 1 say alike, one says that is not faulty."""
    assert seats > 0, "a zone has validators"
    return (seats - 1) // 3

"""What an account's owner gave and was given in trade: what marked postings moved is left out.

Source: docs/spec/reputation.md, "Reciprocity".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from icn.ledger.v1.state_pb2 import PostingKind

MARKED: Final = frozenset(
    {
        PostingKind.POSTING_KIND_FEE,
        PostingKind.POSTING_KIND_DEMURRAGE,
        PostingKind.POSTING_KIND_WRITE_OFF,
        PostingKind.POSTING_KIND_OPENING,
    }
)
"""Kinds that the unit's rules or its authority make: they say nothing about who is debited."""
SUM_MAX: Final = 2**62
"""Where the ledger's own sums stay, and those that are shown."""


@dataclass(frozen=True, slots=True)
class MarkedPosting:
    """A posting of one of the kinds of MARKED."""

    source: bytes
    destination: bytes
    amount_minor: int
    height: int


@dataclass(frozen=True, slots=True)
class MarkedSums:
    """What marked postings took from an account and gave it, minor units."""

    debited_minor: int = 0
    credited_minor: int = 0


@dataclass(frozen=True, slots=True)
class Reciprocity:
    """Give and take of one account, minor units; received − given, with the marked, is the balance."""

    given_minor: int
    received_minor: int
    marked: MarkedSums


def reciprocity(balance_minor: int, debited_minor: int, marked: MarkedSums) -> Reciprocity:
    """Of an account with this balance, of which so much was ever debited.

    The ledger's sum of debits stays at SUM_MAX once it gets there; then what is shown is too little, and 0
    at least.
    """
    return Reciprocity(
        given_minor=max(0, debited_minor - marked.debited_minor),
        received_minor=max(0, balance_minor + debited_minor - marked.credited_minor),
        marked=MarkedSums(min(marked.debited_minor, SUM_MAX), min(marked.credited_minor, SUM_MAX)),
    )

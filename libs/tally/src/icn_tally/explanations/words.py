"""What all sentences are made of."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from icn_tally.sheets import listed


def named(numbers: Sequence[int], names: Sequence[str]) -> str:
    """Candidates of these numbers, in a sentence."""
    return listed([names[number - 1] for number in numbers])


def amount(number: int, thing: str) -> str:
    """So many of something whose plural ends in s."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def exactly(value: Fraction) -> str:
    """A decimal where twelve places are enough for it, else a fraction."""
    for places in range(13):
        scaled = value * 10**places
        if scaled.denominator == 1:
            units, scale = abs(scaled.numerator), 10**places
            sign = "-" if value < 0 else ""
            return f"{sign}{units // scale}" + (f".{units % scale:0{places}}" if places else "")
    return str(value)

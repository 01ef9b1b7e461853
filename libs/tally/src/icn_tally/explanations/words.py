"""What all sentences are made of."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from icn_tally.sheets import listed

_TURNS: Final = dict.fromkeys(
    map(ord, "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
)
"""Signs that turn the direction of what stands after them."""


def told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Names as they stand in sentences and tables: with their numbers where two are the same or one could be
    read as several, and without signs that turn the text around them."""
    plain = [name.translate(_TURNS) for name in names]
    is_clear = len(set(plain)) == len(plain) and not any(", " in name or " and " in name for name in plain)
    return tuple(plain if is_clear else (f"{name} ({place})" for place, name in enumerate(plain, start=1)))


def named(numbers: Sequence[int], names: Sequence[str]) -> str:
    """Candidates of these numbers, in a sentence."""
    return listed([names[number - 1] for number in numbers])


def nearly(value: Fraction) -> str:
    """Exactly where four places are enough, else about."""
    if (value * 10_000).denominator == 1:
        return exactly(value)
    return f"about {exactly(Fraction(round(value * 10_000), 10_000))}"


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

"""Seats for parties or units in proportion to their votes: Sainte-Laguë, D'Hondt, Adams, Hamilton.

Source: docs/spec/voting.md, "Apportionment"; Balinski and Young, Fair Representation (2001).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from icn_crypto.jcs import JsonValue

from icn_tally.ballots import CANDIDATES_MAX, WEIGHT_MAX
from icn_tally.faults import InvalidBallots, InvalidParameter
from icn_tally.lots import places_by_lot

SAINTE_LAGUE: Final = "sainte-lague"
DHONDT: Final = "dhondt"
ADAMS: Final = "adams"
HAMILTON: Final = "hamilton"
SEATS_MAX: Final = 100_000

_DIVISORS: Final[Mapping[str, Callable[[int], int]]] = {
    SAINTE_LAGUE: lambda seats: 2 * seats + 1,
    DHONDT: lambda seats: seats + 1,
    ADAMS: lambda seats: seats,
}
"""What votes are divided by for a seat more; after 0 comes everybody with votes before anybody's second."""
RULES: Final = (*_DIVISORS, HAMILTON)


@dataclass(frozen=True, slots=True)
class Apportioned:
    """Result; in the order in which votes were given."""

    rule: str
    seats: tuple[int, ...]
    tied: tuple[int, ...]
    """Numbers of those who had the same claim to the last seat, of whom lots decided; empty without."""

    def to_form(self) -> dict[str, JsonValue]:
        """As an object."""
        return {"rule": self.rule, "seats": [*self.seats], "tied": [*self.tied]}


def apportion(rule: str, seats: int, votes: Sequence[int], lot_order: Sequence[int]) -> Apportioned:
    """Give out so many seats; numbers go from 1 in the order of ``votes``, each 0 or more.

    Raises:
        InvalidParameter: the rule, the seats or the lot order are out of form.
        InvalidBallots: too many parties, or votes that are none.
    """
    if rule not in RULES:
        raise InvalidParameter("rule", f"{rule[:40]!r} is not one of {', '.join(RULES)}")
    if not 1 <= seats <= SEATS_MAX:
        raise InvalidParameter("seats", f"a whole number from 1 to {SEATS_MAX} is expected")
    if not 1 <= len(votes) <= CANDIDATES_MAX:
        raise InvalidBallots(f"{len(votes)} parties; there can be 1 to {CANDIDATES_MAX}")
    for number, cast in enumerate(votes, start=1):
        if type(cast) is not int or not 0 <= cast <= WEIGHT_MAX:
            raise InvalidBallots(f"party {number}: votes are a whole number from 0 to {WEIGHT_MAX}")
    if not any(votes):
        raise InvalidBallots("nobody has a vote, so there is nothing to give out")
    lots = places_by_lot(lot_order, len(votes))
    if rule == HAMILTON:
        return _by_remainders(seats, votes, lots)
    return _by_divisors(rule, seats, votes, lots)


def _by_divisors(rule: str, seats: int, votes: Sequence[int], lots: Mapping[int, int]) -> Apportioned:
    """Seat by seat to the largest quotient."""
    divisor = _DIVISORS[rule]

    def claim(number: int, held: int) -> tuple[int, Fraction, int, int]:
        """Smaller ones first: a division by 0 before all others, then the largest quotient, then lots."""
        by = divisor(held)
        quotient = Fraction(votes[number - 1], by) if by else Fraction(votes[number - 1])
        return (0 if by == 0 else 1, -quotient, lots[number], number)

    held = [0] * len(votes)
    claims = [claim(number, 0) for number, cast in enumerate(votes, start=1) if cast]
    heapq.heapify(claims)
    last: tuple[int, Fraction] = (0, Fraction(0))
    for _ in range(seats):
        order, quotient, _, number = heapq.heappop(claims)
        last = (order, quotient)
        held[number - 1] += 1
        heapq.heappush(claims, claim(number, held[number - 1]))
    open_claims = sorted(number for order, quotient, _, number in claims if (order, quotient) == last)
    served = [
        number
        for number in range(1, len(votes) + 1)
        if held[number - 1] and claim(number, held[number - 1] - 1)[:2] == last
    ]
    return Apportioned(rule, tuple(held), tuple(sorted({*served, *open_claims})) if open_claims else ())


def _by_remainders(seats: int, votes: Sequence[int], lots: Mapping[int, int]) -> Apportioned:
    """Whole quotas first, what is left to the largest remainders."""
    total = sum(votes)
    held = [cast * seats // total for cast in votes]
    remainder = {number: cast * seats % total for number, cast in enumerate(votes, start=1)}
    order = sorted(remainder, key=lambda number: (-remainder[number], lots[number]))
    left = seats - sum(held)
    for number in order[:left]:
        held[number - 1] += 1
    tied: tuple[int, ...] = ()
    if 0 < left < len(order) and remainder[order[left - 1]] == remainder[order[left]]:
        border = remainder[order[left]]
        tied = tuple(sorted(number for number in order if remainder[number] == border))
    return Apportioned(HAMILTON, tuple(held), tied)

"""Scottish STV: whole-vote transfers at truncated values, one surplus or exclusion at a stage.

Source: docs/spec/voting.md, "Scottish STV"; SSI 2007/42, schedule 1, rules 45 to 52.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from icn_crypto.jcs import JsonValue

from icn_tally import parameters
from icn_tally.ballots import Ballots
from icn_tally.stages import Count, TieRule
from icn_tally.transfers import PLACES_MAX, STANDING_MAX, Course, count_transfers

RULE: Final = "scottish-stv"
PLACES_DEFAULT: Final = 5
TIE_RULES: Final[tuple[TieRule, ...]] = ("narrowing", "all-unequal")


@dataclass(frozen=True, slots=True)
class ScottishStv:
    """Parameters."""

    seats: int
    places: int = PLACES_DEFAULT
    """Decimal places of transfer values and totals."""
    ties: TieRule = "narrowing"

    @classmethod
    def from_form(cls, form: Mapping[str, object]) -> ScottishStv:
        """Read them from an object.

        Raises:
            InvalidParameter: one is missing, unknown or out of its limits.
        """
        parameters.refuse_unknown(form, ("seats", "places", "ties"))
        return cls(
            parameters.integer(form, "seats", low=1, high=STANDING_MAX),
            parameters.integer(form, "places", low=0, high=PLACES_MAX, default=PLACES_DEFAULT),
            cast(TieRule, parameters.choice(form, "ties", TIE_RULES, "narrowing")),
        )

    def to_form(self) -> dict[str, JsonValue]:
        """The same as an object, nothing left to defaults."""
        return {"seats": self.seats, "places": self.places, "ties": self.ties}


def count(rule: ScottishStv, ballots: Ballots, lot_order: Sequence[int]) -> Count:
    """Count the ballots.

    Raises:
        InvalidParameter: more seats than candidates stand, or the lot order does not name each once.
        InvalidBallots: none is valid, or more than 500 candidates stand.
    """

    def quota(valid: int) -> int:
        return valid // (rule.seats + 1) + 1

    course = Course(rule, rule.seats, rule.places, rule.ties, lambda valid: quota(valid) * 10**rule.places)
    counted = count_transfers(course, ballots, lot_order)
    return replace(counted, quota=str(quota(counted.valid)))

"""Weighted inclusive Gregory: a surplus is taken in equal part from every ballot of the elected.

Source: docs/spec/voting.md, "WIGM".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from icn_crypto.jcs import JsonValue

from icn_tally import parameters
from icn_tally.ballots import WEIGHT_MAX, Ballots
from icn_tally.stages import TIE_RULES, Count, TieRule
from icn_tally.transfers import PLACES_MAX, STANDING_MAX, Course, count_transfers

RULE: Final = "wigm"
PLACES_DEFAULT: Final = 4

Quota: TypeAlias = Literal["fraction", "whole"]
QUOTAS: Final[tuple[Quota, ...]] = ("fraction", "whole")
Surpluses: TypeAlias = Literal["largest", "all", "one-elected"]
SURPLUSES: Final[tuple[Surpluses, ...]] = ("largest", "all", "one-elected")
Factor: TypeAlias = Literal["exact", "truncated"]
FACTORS: Final[tuple[Factor, ...]] = ("exact", "truncated")
Exclusion: TypeAlias = Literal["one", "sure-losers"]
EXCLUSIONS: Final[tuple[Exclusion, ...]] = ("one", "sure-losers")


@dataclass(frozen=True, slots=True)
class Wigm:
    """Parameters."""

    seats: int
    places: int = PLACES_DEFAULT
    """Decimal places of transfer values and totals."""
    ties: TieRule = "lot"
    quota: Quota = "fraction"
    surpluses: Surpluses = "largest"
    factor: Factor = "exact"
    exclusion: Exclusion = "one"
    votes_min: int = 0
    """Who has fewer ballots is excluded before all others."""
    first_excluded: tuple[int, ...] = ()
    """Who is excluded before all others, if anybody's vote lies there: undeclared write-ins."""

    @classmethod
    def from_form(cls, form: Mapping[str, object]) -> Wigm:
        """Read them from an object.

        Raises:
            InvalidParameter: one is missing, unknown or out of its limits.
        """
        known = (
            "seats", "places", "ties", "quota", "surpluses", "factor", "exclusion", "votes_min",
            "first_excluded", )  # fmt: skip
        parameters.refuse_unknown(form, known)
        return cls(
            parameters.integer(form, "seats", low=1, high=STANDING_MAX),
            parameters.integer(form, "places", low=0, high=PLACES_MAX, default=PLACES_DEFAULT),
            cast(TieRule, parameters.choice(form, "ties", TIE_RULES, "lot")),
            cast(Quota, parameters.choice(form, "quota", QUOTAS, "fraction")),
            cast(Surpluses, parameters.choice(form, "surpluses", SURPLUSES, "largest")),
            cast(Factor, parameters.choice(form, "factor", FACTORS, "exact")),
            cast(Exclusion, parameters.choice(form, "exclusion", EXCLUSIONS, "one")),
            parameters.integer(form, "votes_min", low=0, high=WEIGHT_MAX, default=0),
            parameters.numbers(form, "first_excluded"),
        )

    def to_form(self) -> dict[str, JsonValue]:
        """The same as an object, nothing left to defaults."""
        return {
            "seats": self.seats,
            "places": self.places,
            "ties": self.ties,
            "quota": self.quota,
            "surpluses": self.surpluses,
            "factor": self.factor,
            "exclusion": self.exclusion,
            "votes_min": self.votes_min,
            "first_excluded": [*self.first_excluded],
        }


def count(rule: Wigm, ballots: Ballots, lot_order: Sequence[int]) -> Count:
    """Count the ballots.

    Raises:
        InvalidParameter: more seats than candidates stand, a number that is no candidate's, or the lot order
            does not name each once.
        InvalidBallots: none is valid, or more than 500 candidates stand.
    """
    scale: int = 10**rule.places

    def quota_units(valid: int) -> int:
        if rule.quota == "whole":
            return (valid // (rule.seats + 1) + 1) * scale
        return valid * scale // (rule.seats + 1) + 1

    course = Course(
        rule,
        rule.seats,
        rule.places,
        rule.ties,
        quota_units,
        all_surpluses=rule.surpluses != "largest",
        one_elected=rule.surpluses == "one-elected",
        factor_truncated=rule.factor == "truncated",
        sure_losers=rule.exclusion == "sure-losers",
        votes_min=rule.votes_min,
        first_excluded=parameters.of_candidates(rule.first_excluded, "first_excluded", ballots),
    )
    return count_transfers(course, ballots, lot_order)

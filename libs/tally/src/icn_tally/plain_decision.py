"""Yes, no or abstain, with a quorum and a majority.

Source: docs/spec/voting.md, "Plain decision".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from icn_crypto.jcs import JsonValue

from icn_tally import parameters
from icn_tally.ballots import WEIGHT_MAX, Ballots, Ranking
from icn_tally.faults import InvalidBallots, InvalidParameter

RULE: Final = "plain-decision"
CHOICES: Final = ("yes", "no", "abstain")
DENOMINATOR_MAX: Final = 1_000_000

Comparison: TypeAlias = Literal["more-than", "at-least"]
Turnout: TypeAlias = Literal["cast", "yes-no", "yes"]
Base: TypeAlias = Literal["yes-no", "cast", "eligible"]
COMPARISONS: Final[tuple[Comparison, ...]] = ("more-than", "at-least")
TURNOUTS: Final[tuple[Turnout, ...]] = ("cast", "yes-no", "yes")
BASES: Final[tuple[Base, ...]] = ("yes-no", "cast", "eligible")


@dataclass(frozen=True, slots=True)
class Share:
    """More than a fraction, or at least it."""

    comparison: Comparison
    numerator: int
    denominator: int

    @classmethod
    def from_form(cls, form: object, name: str) -> Share:
        """Read it from the member ``name``.

        Raises:
            InvalidParameter: it is none, or greater than the whole.
        """
        if not isinstance(form, dict):
            raise InvalidParameter(name, "an object is expected")
        try:
            parameters.refuse_unknown(form, ("comparison", "numerator", "denominator"))
            denominator = parameters.integer(form, "denominator", low=1, high=DENOMINATOR_MAX)
            return cls(
                cast(Comparison, parameters.choice(form, "comparison", COMPARISONS, "")),
                parameters.integer(form, "numerator", low=0, high=denominator),
                denominator,
            )
        except InvalidParameter as error:
            raise InvalidParameter(f"{name}.{error.name}", error.fault) from None

    def to_form(self) -> dict[str, JsonValue]:
        """The same as an object."""
        return {
            "comparison": self.comparison,
            "numerator": self.numerator,
            "denominator": self.denominator,
        }

    def is_reached(self, part: int, whole: int) -> bool:
        """Whether ``part`` is so much of ``whole``; exactly, by cross multiplication."""
        left, right = part * self.denominator, self.numerator * whole
        return left > right if self.comparison == "more-than" else left >= right


ANY_TURNOUT: Final = Share("at-least", 0, 1)
MORE_THAN_HALF: Final = Share("more-than", 1, 2)


@dataclass(frozen=True, slots=True)
class PlainDecision:
    """Parameters."""

    eligible: int
    """Weight of the whole electorate."""
    quorum: Share = ANY_TURNOUT
    quorum_counts: Turnout = "cast"
    majority: Share = MORE_THAN_HALF
    majority_of: Base = "yes-no"

    @classmethod
    def from_form(cls, form: Mapping[str, object]) -> PlainDecision:
        """Read them from an object.

        Raises:
            InvalidParameter: one is missing, unknown or out of its limits.
        """
        known = ("eligible", "quorum", "quorum_counts", "majority", "majority_of")
        parameters.refuse_unknown(form, known)
        return cls(
            parameters.integer(form, "eligible", low=1, high=WEIGHT_MAX),
            Share.from_form(form["quorum"], "quorum") if "quorum" in form else ANY_TURNOUT,
            cast(Turnout, parameters.choice(form, "quorum_counts", TURNOUTS, "cast")),
            Share.from_form(form["majority"], "majority") if "majority" in form else MORE_THAN_HALF,
            cast(Base, parameters.choice(form, "majority_of", BASES, "yes-no")),
        )

    def to_form(self) -> dict[str, JsonValue]:
        """The same as an object, nothing left to defaults."""
        return {
            "eligible": self.eligible,
            "quorum": self.quorum.to_form(),
            "quorum_counts": self.quorum_counts,
            "majority": self.majority.to_form(),
            "majority_of": self.majority_of,
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """Result and the numbers that were compared."""

    parameters: PlainDecision
    yes: int
    no: int
    abstain: int
    blank: int
    invalid: int
    turnout: int
    """What was compared with the quorum's share of the electorate."""
    base: int
    """Of which yes had to be the majority's share."""
    has_quorum: bool
    has_majority: bool

    @property
    def is_carried(self) -> bool:
        """Whether the decision is taken; nobody's yes carries nothing."""
        return self.has_quorum and self.has_majority and self.yes > 0

    def to_form(self) -> dict[str, JsonValue]:
        """As an object; the stages are the two comparisons."""
        return {
            "carried": self.is_carried,
            "yes": str(self.yes),
            "no": str(self.no),
            "abstain": str(self.abstain),
            "blank": str(self.blank),
            "invalid": str(self.invalid),
            "stages": [
                {
                    "action": "quorum",
                    "part": str(self.turnout),
                    "whole": str(self.parameters.eligible),
                    "reached": self.has_quorum,
                },
                {
                    "action": "majority",
                    "part": str(self.yes),
                    "whole": str(self.base),
                    "reached": self.has_majority,
                },
            ],
        }


def decide(rule: PlainDecision, ballots: Ballots) -> Decision:
    """Count the ballots.

    Raises:
        InvalidBallots: the candidates are not yes, no and abstain.
        InvalidParameter: more ballots than the electorate has.
    """
    if ballots.candidates != CHOICES or ballots.withdrawn:
        raise InvalidBallots(f"the candidates of a plain decision are {', '.join(CHOICES)}")
    if ballots.total_weight > rule.eligible:
        raise InvalidParameter("eligible", f"{rule.eligible}, but {ballots.total_weight} ballots were cast")
    votes: dict[Ranking, int] = {((1,),): 0, ((2,),): 0, ((3,),): 0, (): 0}
    invalid = 0
    for ranking, weight in ballots.bundles():
        if ranking in votes:
            votes[ranking] += weight
        else:
            invalid += weight
    yes, no, abstain, blank = votes.values()
    turnouts = {"cast": yes + no + abstain, "yes-no": yes + no, "yes": yes}
    bases = {"cast": yes + no + abstain, "yes-no": yes + no, "eligible": rule.eligible}
    turnout, base = turnouts[rule.quorum_counts], bases[rule.majority_of]
    return Decision(
        rule,
        yes,
        no,
        abstain,
        blank,
        invalid,
        turnout,
        base,
        has_quorum=rule.quorum.is_reached(turnout, rule.eligible),
        has_majority=rule.majority.is_reached(yes, base),
    )

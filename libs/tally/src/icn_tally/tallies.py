"""One door to every rule: the same ballots, parameters and lots give the same bytes.

Source: docs/spec/voting.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from icn_crypto.jcs import JsonValue, canonicalize

from icn_tally import plain_decision, scottish_stv
from icn_tally.ballots import Ballots
from icn_tally.faults import InvalidParameter
from icn_tally.stages import Count

Outcome: TypeAlias = Count | plain_decision.Decision

RULES: Final = (plain_decision.RULE, scottish_stv.RULE)


@dataclass(frozen=True, slots=True)
class Tally:
    """A result with its stages, and what it was counted by."""

    rule: str
    lot_order: tuple[int, ...]
    outcome: Outcome

    def to_form(self) -> dict[str, JsonValue]:
        """As an object."""
        return {
            "rule": self.rule,
            "parameters": self.outcome.parameters.to_form(),
            "lot_order": [*self.lot_order],
            "result": self.outcome.to_form(),
        }

    def to_bytes(self) -> bytes:
        """The canonical form (RFC 8785): what is anchored and countersigned."""
        return canonicalize(self.to_form())


def tally(
    rule: str, parameters: Mapping[str, object], ballots: Ballots, lot_order: Sequence[int] = ()
) -> Tally:
    """Count ballots by one of ``RULES``; a rule that draws lots needs their order.

    Raises:
        InvalidParameter: the rule is unknown, or one of its parameters or the lot order is out of form.
        InvalidBallots: the rule cannot count such ballots.
    """
    outcome: Outcome
    if rule == scottish_stv.RULE:
        outcome = scottish_stv.count(scottish_stv.ScottishStv.from_form(parameters), ballots, lot_order)
    elif rule == plain_decision.RULE:
        if lot_order:
            raise InvalidParameter("lot_order", f"{rule} draws no lots")
        outcome = plain_decision.decide(plain_decision.PlainDecision.from_form(parameters), ballots)
    else:
        raise InvalidParameter("rule", f"{rule[:40]!r} is not one of {', '.join(RULES)}")
    return Tally(rule, tuple(lot_order), outcome)

"""One door to every rule that elects or decides: the same ballots, parameters and lots give the same bytes.

Source: docs/spec/voting.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from icn_crypto.jcs import JsonValue, canonicalize

from icn_tally import comparisons, meek, plain_decision, runoff, scores, scottish_stv, wigm
from icn_tally.ballots import Ballots
from icn_tally.committees import elect
from icn_tally.committees.elect import Elected, Electing
from icn_tally.comparisons import Compared, Comparison
from icn_tally.faults import InvalidParameter
from icn_tally.plain_decision import Decision
from icn_tally.scores import Scored
from icn_tally.stages import Count, Parameters

Form: TypeAlias = Mapping[str, object]
Outcome: TypeAlias = Count | Compared | Scored | Elected | Decision

WITH_TRANSFERS: Final = (scottish_stv.RULE, wigm.RULE, *meek.RULES)
"""Fill seats, and count parts of votes."""
IN_STAGES: Final = (*WITH_TRANSFERS, *runoff.RULES)
IN_PAIRS: Final = comparisons.RULES
BY_SCORES: Final = scores.RULES
OF_COMMITTEES: Final = elect.RULES
RULES: Final = (*IN_STAGES, *IN_PAIRS, *BY_SCORES, *OF_COMMITTEES, plain_decision.RULE)


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


def tally(rule: str, parameters: Form, ballots: Ballots, lot_order: Sequence[int] = ()) -> Tally:
    """Count ballots by one of ``RULES``; every rule but a plain decision takes an order of lots.

    Raises:
        InvalidParameter: the rule is unknown, or one of its parameters or the lot order is out of form.
        InvalidBallots: the rule cannot count such ballots.
    """
    read = read_parameters(rule, parameters)
    return Tally(rule, tuple(lot_order), _COUNTS[type(read)](read, ballots, lot_order))


def read_parameters(rule: str, form: Form) -> Parameters:
    """What a rule counts by.

    Raises:
        InvalidParameter: the rule or one of its parameters is unknown, or one is missing or beyond a limit.
    """
    if rule not in _READERS:
        raise InvalidParameter("rule", f"{rule[:40]!r} is not one of {', '.join(RULES)}")
    return _READERS[rule](form)


_READERS: Final[Mapping[str, Callable[[Form], Parameters]]] = {
    scottish_stv.RULE: scottish_stv.ScottishStv.from_form,
    wigm.RULE: wigm.Wigm.from_form,
    **{rule: partial(meek.Meek.from_form, rule) for rule in meek.RULES},
    **{rule: partial(runoff.Runoff.from_form, rule) for rule in runoff.RULES},
    **{rule: partial(Comparison.from_form, rule) for rule in comparisons.RULES},
    **{rule: partial(scores.Scoring.from_form, rule) for rule in scores.RULES},
    **{rule: partial(Electing.from_form, rule) for rule in elect.RULES},
    plain_decision.RULE: plain_decision.PlainDecision.from_form,
}


def _committee(rule: Electing, ballots: Ballots, lots: Sequence[int]) -> Elected:
    return elect.elect_committee(rule.rule, rule.size, ballots, lots, every=rule.every)


def _decision(rule: plain_decision.PlainDecision, ballots: Ballots, lots: Sequence[int]) -> Decision:
    if lots:
        raise InvalidParameter("lot_order", f"{plain_decision.RULE} draws no lots")
    return plain_decision.decide(rule, ballots)


_COUNTS: Final[Mapping[type, Callable[[Any, Ballots, Sequence[int]], Outcome]]] = {
    scottish_stv.ScottishStv: scottish_stv.count,
    wigm.Wigm: wigm.count,
    meek.Meek: meek.count,
    runoff.Runoff: runoff.count,
    Comparison: comparisons.compare,
    scores.Scoring: scores.count,
    Electing: _committee,
    plain_decision.PlainDecision: _decision,
}

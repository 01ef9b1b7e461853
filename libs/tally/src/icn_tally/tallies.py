"""One door to every rule that elects or decides: the same ballots, parameters and lots give the same bytes.

Source: docs/spec/voting.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from icn_crypto.jcs import JsonValue, canonicalize

from icn_tally import comparisons, meek, plain_decision, runoff, scores, scottish_stv, wigm
from icn_tally.ballots import Ballots
from icn_tally.committees import elect
from icn_tally.committees.elect import Elected, Electing
from icn_tally.comparisons import Compared, Comparison
from icn_tally.faults import InvalidParameter
from icn_tally.plain_decision import Decision
from icn_tally.scores import Scored
from icn_tally.stages import Count

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
    counting = _COUNTING.get(rule)
    if counting is None:
        raise InvalidParameter("rule", f"{rule[:40]!r} is not one of {', '.join(RULES)}")
    return Tally(rule, tuple(lot_order), counting(rule, parameters, ballots, lot_order))


_Counting: TypeAlias = Callable[[str, Form, Ballots, Sequence[int]], Outcome]


def _scottish(_: str, form: Form, ballots: Ballots, lots: Sequence[int]) -> Count:
    return scottish_stv.count(scottish_stv.ScottishStv.from_form(form), ballots, lots)


def _wigm(_: str, form: Form, ballots: Ballots, lots: Sequence[int]) -> Count:
    return wigm.count(wigm.Wigm.from_form(form), ballots, lots)


def _meek(rule: str, form: Form, ballots: Ballots, lots: Sequence[int]) -> Count:
    return meek.count(meek.Meek.from_form(rule, form), ballots, lots)


def _runoff(rule: str, form: Form, ballots: Ballots, lots: Sequence[int]) -> Count:
    return runoff.count(runoff.Runoff.from_form(rule, form), ballots, lots)


def _comparison(rule: str, form: Form, ballots: Ballots, lots: Sequence[int]) -> Compared:
    return comparisons.compare(Comparison.from_form(rule, form), ballots, lots)


def _score(rule: str, form: Form, ballots: Ballots, lots: Sequence[int]) -> Scored:
    return scores.count(scores.Scoring.from_form(rule, form), ballots, lots)


def _committee(rule: str, form: Form, ballots: Ballots, lots: Sequence[int]) -> Elected:
    read = Electing.from_form(rule, form)
    return elect.elect_committee(rule, read.size, ballots, lots, every=read.every)


def _decision(rule: str, form: Form, ballots: Ballots, lots: Sequence[int]) -> Decision:
    if lots:
        raise InvalidParameter("lot_order", f"{rule} draws no lots")
    return plain_decision.decide(plain_decision.PlainDecision.from_form(form), ballots)


_COUNTING: Final[Mapping[str, _Counting]] = {
    scottish_stv.RULE: _scottish,
    wigm.RULE: _wigm,
    **dict.fromkeys(meek.RULES, _meek),
    **dict.fromkeys(runoff.RULES, _runoff),
    **dict.fromkeys(comparisons.RULES, _comparison),
    **dict.fromkeys(scores.RULES, _score),
    **dict.fromkeys(elect.RULES, _committee),
    plain_decision.RULE: _decision,
}

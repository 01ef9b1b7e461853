"""Rules of a count as the RCTab tabulator writes them, as parameters of our rules.

Source: docs/spec/voting.md, "Cast-vote records"; configuration format of RCTab, Ranked Choice Voting Resource
Center.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any, Final, cast

from icn_crypto.jcs import NotIJson, parse

from icn_tally import runoff, wigm
from icn_tally.ballots import CANDIDATES_MAX, WEIGHT_MAX, name_fault
from icn_tally.cast_vote_records import RANKS_MAX, Marks, Overvotes
from icn_tally.contest import BYTE_ORDER_MARK
from icn_tally.faults import InvalidFile, InvalidParameter
from icn_tally.stages import TieRule
from icn_tally.transfers import PLACES_MAX

OVERVOTES: Final[Mapping[str, Overvotes]] = {"alwaysSkipToNextRank": "skip", "exhaustImmediately": "end"}
TIES: Final[Mapping[str, TieRule]] = {
    "random": "lot",
    "stopCountingAndAsk": "lot",
    "useCandidateOrder": "lot",
    "usePermutationInConfig": "lot",
    "generatePermutation": "lot",
    "previousRoundCountsThenRandom": "narrowing",
    "previousRoundCountsThenAsk": "narrowing",
}
WRITE_IN: Final = "undeclared_write_in"
SINGLE_WINNER: Final = "singleWinnerMajority"
BOTTOMS_UP: Final = "bottomsUp"
SURPLUSES: Final[Mapping[str, wigm.Surpluses]] = {
    "multiWinnerAllowMultipleWinnersPerRound": "all",
    "multiWinnerAllowOnlyOneWinnerPerRound": "one-elected",
}
WITHOUT_EFFECT: Final = ("randomSeed", "rulesDescription", "multiSeatBottomsUpPercentageThreshold")
"""Our lots come from outside, and no count by a threshold of percent is offered."""
NOT_OFFERED: Final = ("hareQuota", "stopTabulationEarlyAfterRound")


@dataclass(frozen=True, slots=True)
class CountingRules:
    """How to read a file of cast-vote records, and how to count it."""

    marks: Marks
    rule: str
    parameters: dict[str, object]
    """As `from_form` of the rule reads them."""


def read_counting_rules(content: bytes) -> CountingRules:
    """Rules from JSON in UTF-8.

    Raises:
        InvalidFile: not JSON, or a member stands twice.
        InvalidParameter: as in `counting_rules`.
    """
    try:
        form = parse(content.removeprefix(BYTE_ORDER_MARK))
    except NotIJson as error:
        at = error.__cause__
        if isinstance(at, JSONDecodeError):
            raise InvalidFile(at.lineno, f"not JSON at column {at.colno}: {at.msg}") from None
        raise InvalidFile(1, f"not JSON: {error}") from None
    return counting_rules(form)


def counting_rules(form: object) -> CountingRules:
    """Rules from an object with the members rules, candidates and labels.

    Raises:
        InvalidParameter: one of them is missing, out of form, or asks for what is not offered.
    """
    rules = _object(form, "rules")
    candidates = _names(form)
    labels = _labels(form, candidates)
    read = _Rules(rules)
    marks = Marks(
        candidates,
        labels.get("overvote", ""),
        labels.get("skipped", ""),
        labels.get(WRITE_IN, ""),
        read.choice("overvoteRule", OVERVOTES, "exhaustImmediately"),
        read.number("maxSkippedRanksAllowed", RANKS_MAX, None, endless="unlimited"),
        read.number("maxRankingsAllowed", RANKS_MAX, None, endless="max"),
        read.claim("exhaustOnDuplicateCandidate"),
        read.claim("treatBlankAsUndeclaredWriteIn"),
    )
    if marks.blank_is_write_in and not marks.write_in:
        raise InvalidParameter("treatBlankAsUndeclaredWriteIn", "there is no label of undeclared write-ins")
    parameters: dict[str, object] = {
        "seats": read.number("numberOfWinners", CANDIDATES_MAX, 1),
        "ties": read.choice("tiebreakMode", TIES, "random"),
        "votes_min": read.number("minimumVoteThreshold", WEIGHT_MAX, 0),
        "first_excluded": [len(candidates) + 1] if marks.write_in else [],
    }
    mode = read.choice("winnerElectionMode", {name: name for name in _MODES}, SINGLE_WINNER)
    places = read.number("decimalPlacesForVoteArithmetic", PLACES_MAX, wigm.PLACES_DEFAULT)
    batch = "sure-losers" if read.claim("batchElimination") else "one"
    is_fraction = read.claim("nonIntegerWinningThreshold")
    of_first = read.claim("doesFirstRoundDetermineThreshold")
    until_two = read.claim("continueUntilTwoCandidatesRemain")
    read.refuse_others()
    if mode in SURPLUSES:
        parameters |= {
            "places": places,
            "quota": "fraction" if is_fraction else "whole",
            "surpluses": SURPLUSES[mode],
            "factor": "truncated",
            "exclusion": batch,
        }
        return CountingRules(marks, wigm.RULE, parameters)
    if mode == SINGLE_WINNER and parameters["seats"] != 1:
        raise InvalidParameter("numberOfWinners", f"{mode} elects one")
    parameters |= {
        "exclusion": batch,
        "majority_of": "first-stage" if of_first else "continuing",
        "until_two": until_two,
    }
    return CountingRules(marks, runoff.IRV, parameters)


_MODES: Final = (SINGLE_WINNER, BOTTOMS_UP, *SURPLUSES)


class _Rules:
    """The members of an object, each asked for once."""

    def __init__(self, members: Mapping[str, object]) -> None:
        self._left = dict(members)

    def refuse_others(self) -> None:
        """Refuse what nobody asked for, unless it says nothing or changes nothing."""
        for name, value in self._left.items():
            if name in NOT_OFFERED and value not in ("", False, None):
                raise InvalidParameter(name, "this is not offered")
            if name not in NOT_OFFERED and name not in WITHOUT_EFFECT:
                raise InvalidParameter(str(name)[:40], "unknown")

    def claim(self, name: str) -> bool:
        value = self._left.pop(name, False)
        if not isinstance(value, bool):
            raise InvalidParameter(name, "true or false is expected")
        return value

    def choice(self, name: str, choices: Mapping[str, Any], default: str) -> Any:
        value = self._left.pop(name, default)
        if not isinstance(value, str) or value not in choices:
            raise InvalidParameter(name, f"one of {', '.join(choices)} is expected")
        return choices[value]

    def number(self, name: str, high: int, default: int | None, endless: str = "") -> int | None:
        """A whole number, which may be written as a word; ``default`` where it is empty or without limit."""
        value = self._left.pop(name, "")
        if value in ("", endless):
            return default
        text = str(value) if type(value) is int else value
        if not (isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= len(str(high))):
            raise InvalidParameter(name, f"a whole number from 0 to {high} is expected")
        if int(text) > high:
            raise InvalidParameter(name, f"a whole number from 0 to {high} is expected")
        return int(text)


def _object(form: object, name: str) -> Mapping[str, object]:
    value = form.get(name) if isinstance(form, dict) else None
    if not isinstance(value, dict):
        raise InvalidParameter(name, "an object is expected")
    return cast(Mapping[str, object], value)


def _names(form: object) -> tuple[str, ...]:
    value = form.get("candidates") if isinstance(form, dict) else None
    if not isinstance(value, list) or not 1 <= len(value) < CANDIDATES_MAX:
        raise InvalidParameter("candidates", f"a list of 1 to {CANDIDATES_MAX - 1} names is expected")
    for number, name in enumerate(value, start=1):
        if fault := name_fault(name):
            raise InvalidParameter("candidates", f"{number}: {fault}")
    if len(set(value)) < len(value):
        raise InvalidParameter("candidates", "a name stands twice")
    return tuple(value)


def _labels(form: object, candidates: Collection[str]) -> Mapping[str, str]:
    labels = _object(form, "labels")
    for name, label in labels.items():
        if name not in ("overvote", "skipped", WRITE_IN):
            raise InvalidParameter(f"labels.{str(name)[:40]}", "unknown")
        if not isinstance(label, str):
            raise InvalidParameter(f"labels.{name}", "a text is expected")
        if label in candidates:
            raise InvalidParameter(f"labels.{name}", "a candidate has this name")
        if name == WRITE_IN and label and (fault := name_fault(label)):
            raise InvalidParameter(f"labels.{name}", fault)
    return cast(Mapping[str, str], labels)

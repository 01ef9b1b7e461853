"""Counts in stages: what each stage did, and whom ties were broken for.

Source: docs/spec/voting.md, "Stages".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from icn_crypto.jcs import JsonValue

Action: TypeAlias = Literal["elect", "transfer", "exclude"]
TieRule: TypeAlias = Literal["narrowing", "all-unequal", "lot"]
TIE_RULES: Final[tuple[TieRule, ...]] = ("narrowing", "all-unequal", "lot")


class Parameters(Protocol):
    """What a rule counts by."""

    def to_form(self) -> dict[str, JsonValue]:
        """As an object, nothing left to defaults."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage did and how it ended. Votes are in units of 10^−places."""

    action: Action
    candidates: tuple[int, ...]
    """Acted upon; at the first stage those it elected."""
    totals: tuple[int, ...]
    """One for each candidate, by number."""
    non_transferable: int
    """So far."""
    lost: int
    """By truncation, so far."""
    elected: tuple[int, ...]
    """At the end of this stage."""
    quota: int | None = None
    """Where it changes from stage to stage."""


@dataclass(frozen=True, slots=True)
class Tie:
    """Candidates whose totals left open on whom to act."""

    stage: int
    """That was to begin, from 1."""
    action: Action
    candidates: tuple[int, ...]
    chosen: int
    earlier_stage: int | None
    """Whose totals decided, None where a lot did."""
    drawn_among: tuple[int, ...]
    """Between whom the lot decided, empty where none was needed."""

    def to_form(self) -> dict[str, JsonValue]:
        """As it stands in results."""
        form: dict[str, JsonValue] = {
            "stage": self.stage,
            "action": self.action,
            "candidates": [*self.candidates],
            "chosen": self.chosen,
        }
        if self.earlier_stage is not None:
            return {**form, "by": "stage", "earlier_stage": self.earlier_stage}
        return {**form, "by": "lot", "among": [*self.drawn_among]}


@dataclass(frozen=True, slots=True)
class Count:
    """Result and stage sheet."""

    parameters: Parameters
    places: int
    """Decimal places of all votes."""
    valid: int
    """Ballots that count for somebody at the first stage."""
    invalid: int
    """The others."""
    quota: str
    """As it was last, written as the rule writes it."""
    winners: tuple[int, ...]
    """By stage of election, within a stage by number."""
    stages: tuple[Stage, ...]
    ties: tuple[Tie, ...]

    def to_form(self) -> dict[str, JsonValue]:
        """As an object; what may have decimals is a string."""
        return {
            "valid": str(self.valid),
            "invalid": str(self.invalid),
            "quota": self.quota,
            "winners": [*self.winners],
            "stages": [self._stage_form(stage) for stage in self.stages],
            "ties": [tie.to_form() for tie in self.ties],
        }

    def _stage_form(self, stage: Stage) -> dict[str, JsonValue]:
        form: dict[str, JsonValue] = {
            "action": stage.action,
            "candidates": [*stage.candidates],
            "totals": [*self.written(stage.totals)],
            "non_transferable": written(stage.non_transferable, self.places),
            "lost": written(stage.lost, self.places),
            "elected": [*stage.elected],
        }
        return form if stage.quota is None else {**form, "quota": written(stage.quota, self.places)}

    def written(self, votes: Sequence[int]) -> list[str]:
        """Votes as decimals with all places."""
        return [written(vote, self.places) for vote in votes]


def written(votes: int, places: int) -> str:
    """Votes in units of 10^−places as a decimal with all places."""
    if places == 0:
        return str(votes)
    scale = 10**places
    return f"{votes // scale}.{votes % scale:0{places}}"


def sure_losers(totals: Mapping[int, int], votes: int, kept: int) -> list[int]:
    """The largest group that leaves so many others and has, all together and with ``votes`` besides, less
    than each of them; numbers upwards."""
    order = sorted(totals, key=totals.__getitem__)
    found = 0
    for place, number in enumerate(order[: len(order) - kept], start=1):
        votes += totals[number]
        if votes < totals[order[place]]:
            found = place
    return sorted(order[:found])


class Ties:
    """Breaks ties by earlier stages as the rule says, else by lot, and keeps a list of them."""

    def __init__(self, rule: TieRule, lot_places: Mapping[int, int]) -> None:
        self.found: list[Tie] = []
        self._rule = rule
        self._lot_places = lot_places

    def choose(self, tied: Sequence[int], action: Action, stages: Sequence[Stage]) -> int:
        """The one to act upon, of candidates between whom the totals now leave it open."""
        if len(tied) == 1:
            return tied[0]
        left, earlier_stage = self._by_earlier_stages(tied, action, stages)
        chosen = min(left, key=self._lot_places.__getitem__)
        drawn = () if earlier_stage is not None else tuple(left)
        self.found.append(Tie(len(stages) + 1, action, tuple(tied), chosen, earlier_stage, drawn))
        return chosen

    def _by_earlier_stages(
        self, tied: Sequence[int], action: Action, stages: Sequence[Stage]
    ) -> tuple[Sequence[int], int | None]:
        """Those whom earlier stages leave, and the stage that left one alone, None where none did."""
        extreme = min if action == "exclude" else max
        left = tied
        for stage in range(len(stages) - 1, 0, -1) if self._rule != "lot" else ():
            totals = stages[stage - 1].totals
            votes = [totals[candidate - 1] for candidate in left]
            if self._rule == "all-unequal" and len(set(votes)) < len(votes):
                continue
            kept = extreme(votes)
            left = [candidate for candidate, vote in zip(left, votes, strict=True) if vote == kept]
            if len(left) == 1:
                return left, stage
        return left, None

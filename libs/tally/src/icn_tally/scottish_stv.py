"""Scottish STV: whole-vote transfers at truncated values, one surplus or exclusion at a stage.

Source: docs/spec/voting.md, "Scottish STV"; SSI 2007/42, schedule 1, rules 45 to 52.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, Literal, TypeAlias, cast

from icn_crypto.jcs import JsonValue

from icn_tally import parameters
from icn_tally.ballots import Ballots, Ranking
from icn_tally.faults import InvalidBallots, InvalidParameter
from icn_tally.lots import places_by_lot

RULE: Final = "scottish-stv"
STANDING_MAX: Final = 500
"""Candidates; a tie looks back over all stages, so when all tie at every stage the work grows with the cube:
1.3 CPU-seconds for 500, 10 for 1,000."""
PLACES_DEFAULT: Final = 5
PLACES_MAX: Final = 9

Action: TypeAlias = Literal["elect", "transfer", "exclude"]
TieRule: TypeAlias = Literal["narrowing", "all-unequal"]
TIE_RULES: Final[tuple[TieRule, ...]] = ("narrowing", "all-unequal")

_Bundle: TypeAlias = tuple[Iterator[int], int]
"""What is left of the sequence of ballots, and how many they are. A bundle lies at one candidate at a time,
so that the iterator is its only place."""


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

    parameters: ScottishStv
    valid: int
    """Ballots whose first preference is for one candidate."""
    invalid: int
    """The others."""
    quota: int
    winners: tuple[int, ...]
    """By stage of election, within a stage by number."""
    stages: tuple[Stage, ...]
    ties: tuple[Tie, ...]

    def to_form(self) -> dict[str, JsonValue]:
        """As an object; what may have decimals is a string."""
        return {
            "valid": str(self.valid),
            "invalid": str(self.invalid),
            "quota": str(self.quota),
            "winners": [*self.winners],
            "stages": [
                {
                    "action": stage.action,
                    "candidates": [*stage.candidates],
                    "totals": [*self.written(stage.totals)],
                    "non_transferable": self.written([stage.non_transferable])[0],
                    "lost": self.written([stage.lost])[0],
                    "elected": [*stage.elected],
                }
                for stage in self.stages
            ],
            "ties": [tie.to_form() for tie in self.ties],
        }

    def written(self, votes: Sequence[int]) -> list[str]:
        """Votes as decimals with all places."""
        places = self.parameters.places
        if places == 0:
            return [str(vote) for vote in votes]
        scale = 10**places
        return [f"{vote // scale}.{vote % scale:0{places}}" for vote in votes]


def count(rule: ScottishStv, ballots: Ballots, lot_order: Sequence[int]) -> Count:
    """Count the ballots.

    Raises:
        InvalidParameter: more seats than candidates stand, or the lot order does not name each once.
        InvalidBallots: none is valid, or more than 500 candidates stand.
    """
    standing = ballots.standing()
    if len(standing) > STANDING_MAX:
        raise InvalidBallots(f"{len(standing)} candidates; {RULE} counts for up to {STANDING_MAX}")
    if rule.seats > len(standing):
        raise InvalidParameter("seats", f"{rule.seats} seats for {len(standing)} candidates")
    return _Counting(rule, ballots, places_by_lot(lot_order, len(ballots.candidates))).run()


class _Counting:
    """The state of a count; lists are indexed by candidate number, place 0 unused."""

    def __init__(self, rule: ScottishStv, ballots: Ballots, lot_places: Mapping[int, int]) -> None:
        self.rule = rule
        self.scale = 10**rule.places
        self.lot_places = lot_places
        size = len(ballots.candidates) + 1
        self.continuing = list(ballots.standing())
        self.is_continuing = [False] * size
        for candidate in self.continuing:
            self.is_continuing[candidate] = True
        self.elected: set[int] = set()
        self.winners: list[int] = []
        self.stages: list[Stage] = []
        self.ties: list[Tie] = []
        self.totals = [0] * size
        self.piles: list[dict[int, list[_Bundle]]] = [{} for _ in range(size)]
        """The bundles that lie at each candidate, by value in units."""
        self.non_transferable = 0
        self.lost = 0
        self.invalid = 0
        first: list[list[_Bundle]] = [[] for _ in range(size)]
        firsts = [0] * size
        for ranking, weight in ballots.bundles():
            sequence = _sequence(ranking)
            candidate = next(sequence, 0)
            if candidate:
                first[candidate].append((sequence, weight))
                firsts[candidate] += weight
            else:
                self.invalid += weight
        self.valid = sum(firsts)
        if self.valid == 0:
            raise InvalidBallots("no ballot is valid, so there is nothing to count")
        self.quota = self.valid // (rule.seats + 1) + 1
        self.quota_units = self.quota * self.scale
        for candidate in self.continuing:
            self.totals[candidate] = firsts[candidate] * self.scale
            self.piles[candidate] = {self.scale: first[candidate]}

    def run(self) -> Count:
        """All stages."""
        self._end_stage("elect", None)
        while len(self.winners) < self.rule.seats:
            surplus = max((self.totals[candidate] for candidate in self.elected), default=0)
            if surplus > self.quota_units:
                tied = [candidate for candidate in self.elected if self.totals[candidate] == surplus]
                candidate = self._choose(sorted(tied), "transfer")
                self._transfer_surplus(candidate)
                self._end_stage("transfer", candidate)
            else:
                smallest = min(self.totals[candidate] for candidate in self.continuing)
                tied = [candidate for candidate in self.continuing if self.totals[candidate] == smallest]
                candidate = self._choose(tied, "exclude")
                self._exclude(candidate)
                self._end_stage("exclude", candidate)
        return Count(
            self.rule,
            self.valid,
            self.invalid,
            self.quota,
            tuple(self.winners),
            tuple(self.stages),
            tuple(self.ties),
        )

    def _end_stage(self, action: Action, candidate: int | None) -> None:
        votes = sum(self.totals) + self.non_transferable + self.lost
        assert votes == self.valid * self.scale, "no vote appears or goes unaccounted for"
        elected = [number for number in self.continuing if self.totals[number] >= self.quota_units]
        vacancies = self.rule.seats - len(self.winners)
        assert len(elected) <= vacancies, "the quota lets no more reach it than there are seats"
        self._elect(elected)
        if len(self.continuing) <= vacancies - len(elected):
            elected = sorted([*elected, *self.continuing])
            self._elect(self.continuing)
        self.winners += elected
        self.stages.append(
            Stage(
                action,
                tuple(elected) if candidate is None else (candidate,),
                tuple(self.totals[1:]),
                self.non_transferable,
                self.lost,
                tuple(elected),
            )
        )

    def _elect(self, candidates: Sequence[int]) -> None:
        self.elected.update(candidates)
        for candidate in candidates:
            self.is_continuing[candidate] = False
        self.continuing = [candidate for candidate in self.continuing if self.is_continuing[candidate]]

    def _transfer_surplus(self, candidate: int) -> None:
        total = self.totals[candidate]
        surplus = total - self.quota_units
        moved = 0
        for value, bundles in self._take_pile(candidate):
            moved += self._pass_on(bundles, value * surplus // total)
        self.totals[candidate] = self.quota_units
        self.lost += surplus - moved

    def _exclude(self, candidate: int) -> None:
        self.is_continuing[candidate] = False
        self.continuing.remove(candidate)
        self.totals[candidate] = 0
        for value, bundles in self._take_pile(candidate):
            self._pass_on(bundles, value)

    def _take_pile(self, candidate: int) -> list[tuple[int, list[_Bundle]]]:
        pile = self.piles[candidate]
        self.piles[candidate] = {}
        return list(pile.items())

    def _pass_on(self, bundles: Sequence[_Bundle], value: int) -> int:
        """Give the bundles to their next continuing candidates at this value; the votes in them."""
        is_continuing = self.is_continuing
        received: dict[int, list[_Bundle]] = {}
        ended = 0
        for bundle in bundles:
            for candidate in bundle[0]:
                if is_continuing[candidate]:
                    if candidate in received:
                        received[candidate].append(bundle)
                    else:
                        received[candidate] = [bundle]
                    break
            else:
                ended += bundle[1]
        self.non_transferable += ended * value
        moved = ended * value
        for candidate, given in received.items():
            votes = sum([weight for _, weight in given]) * value
            self.totals[candidate] += votes
            moved += votes
            self.piles[candidate].setdefault(value, []).extend(given)
        return moved

    def _choose(self, tied: Sequence[int], action: Action) -> int:
        """The one to act upon, of candidates that have the same total now."""
        if len(tied) == 1:
            return tied[0]
        left, earlier_stage = self._by_earlier_stages(tied, max if action == "transfer" else min)
        chosen = min(left, key=self.lot_places.__getitem__)
        self.ties.append(
            Tie(
                len(self.stages) + 1,
                action,
                tuple(tied),
                chosen,
                earlier_stage,
                () if earlier_stage is not None else tuple(left),
            )
        )
        return chosen

    def _by_earlier_stages(
        self, tied: Sequence[int], extreme: Callable[[Iterable[int]], int]
    ) -> tuple[Sequence[int], int | None]:
        """Those whom earlier stages leave, and the stage that left one alone, None where none did."""
        left = tied
        for stage in range(len(self.stages) - 1, 0, -1):
            totals = self.stages[stage - 1].totals
            votes = [totals[candidate - 1] for candidate in left]
            if self.rule.ties == "all-unequal" and len(set(votes)) < len(votes):
                continue
            kept = extreme(votes)
            left = [candidate for candidate, vote in zip(left, votes, strict=True) if vote == kept]
            if len(left) == 1:
                return left, stage
        return left, None


def _sequence(ranking: Ranking) -> Iterator[int]:
    """The preferences up to the first equal rank."""
    numbers = [rank[0] for rank in ranking if len(rank) == 1]
    if len(numbers) < len(ranking):
        numbers = [rank[0] for rank in takewhile(lambda rank: len(rank) == 1, ranking)]
    return iter(numbers)

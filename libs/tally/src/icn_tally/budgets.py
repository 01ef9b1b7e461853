"""Spending a budget on projects: by score until nothing fits, or so that equal groups decide on equal shares.

Source: docs/spec/voting.md, "Budgets"; Peters, Pierczyński and Skowron, Proportional participatory budgeting
with additive utilities (2021); Faliszewski et al., Participatory budgeting: data, tools and analysis (2023).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm
from typing import Final, Literal, TypeAlias, cast

from icn_crypto.jcs import JsonValue

from icn_tally import parameters
from icn_tally.budgeting import Budgeting
from icn_tally.faults import InvalidBallots, InvalidParameter
from icn_tally.lots import places_by_lot

GREEDY: Final = "greedy"
GREEDY_NO_SKIP: Final = "greedy-no-skip"
GREEDY_THRESHOLD: Final = "greedy-threshold"
EQUAL_SHARES: Final = "equal-shares"
RULES: Final = (GREEDY, GREEDY_NO_SKIP, GREEDY_THRESHOLD, EQUAL_SHARES)

Completion: TypeAlias = Literal["none", "utilitarian", "add1", "add1u", "comparison"]
COMPLETIONS: Final[tuple[Completion, ...]] = ("none", "utilitarian", "add1", "add1u", "comparison")
Utility: TypeAlias = Literal["cardinal", "cost"]
UTILITIES: Final[tuple[Utility, ...]] = ("cardinal", "cost")
PROJECTS_MAX: Final = 2_000
ROUNDS_MAX: Final = 1_000_000
"""Budgets that add-one tries; each is a whole count."""

Reason: TypeAlias = Literal[
    "funded",
    "too-dear",
    "below-threshold",
    "after-the-end",
    "without-support",
    "shares-too-small",
    "completed",
]


@dataclass(frozen=True, slots=True)
class Spending:
    """Parameters."""

    rule: str
    threshold: int = 0
    """Votes or points; greedy rules fund no project with fewer."""
    completion: Completion = "add1"
    """Of equal shares: how what is left is spent."""
    utility: Utility = "cost"
    """Of equal shares: whether what a ballot gives a project counts as it is, or times its cost."""

    @classmethod
    def from_form(cls, rule: str, form: Mapping[str, object]) -> Spending:
        """Read them from an object.

        Raises:
            InvalidParameter: one is unknown or out of its limits.
        """
        if rule not in RULES:
            raise InvalidParameter("rule", f"{rule[:40]!r} is not one of {', '.join(RULES)}")
        known = ("completion", "utility") if rule == EQUAL_SHARES else ("threshold",)
        parameters.refuse_unknown(form, () if rule == GREEDY else known)
        return cls(
            rule,
            parameters.integer(form, "threshold", low=0, high=2**53 - 1, default=0),
            cast(Completion, parameters.choice(form, "completion", COMPLETIONS, "add1")),
            cast(Utility, parameters.choice(form, "utility", UTILITIES, "cost")),
        )

    def to_form(self) -> dict[str, JsonValue]:
        """The same as an object, nothing left to defaults."""
        if self.rule == EQUAL_SHARES:
            return {"completion": self.completion, "utility": self.utility}
        return {} if self.rule == GREEDY else {"threshold": self.threshold}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a project is funded or not."""

    project: int
    """By number."""
    reason: Reason
    score: int
    left: Fraction
    """Of the budget when the project's turn came, before it was paid; of equal shares what its supporters
    could still pay together."""
    price: Fraction | None = None
    """Of equal shares: what one unit of utility cost each supporter."""

    def to_form(self) -> dict[str, JsonValue]:
        """As it stands in results."""
        form: dict[str, JsonValue] = {
            "project": self.project,
            "reason": self.reason,
            "score": str(self.score),
            "left": str(self.left),
        }
        return form if self.price is None else {**form, "price": str(self.price)}


@dataclass(frozen=True, slots=True)
class Spent:
    """Result."""

    parameters: Spending
    selected: tuple[int, ...]
    """Numbers of the projects, in the order in which they were funded."""
    spent: Fraction
    verdicts: tuple[Verdict, ...]
    """One for each project, in the order in which the rule came to them."""
    ties: tuple[tuple[int, ...], ...]
    """Projects between which a lot decided."""
    rounds: int = 1
    """Budgets that were tried."""

    def to_form(self) -> dict[str, JsonValue]:
        """As an object."""
        return {
            "selected": [*self.selected],
            "spent": str(self.spent),
            "verdicts": [verdict.to_form() for verdict in self.verdicts],
            "ties": [[*tie] for tie in self.ties],
            "rounds": self.rounds,
        }


def spend(
    rule: Spending,
    budgeting: Budgeting,
    lot_order: Sequence[int],
    progress: Callable[[int], None] = lambda rounds: None,
) -> Spent:
    """Choose projects; ``progress`` is told after each budget that add-one tried.

    Raises:
        InvalidParameter: the lot order does not name each project once.
        InvalidBallots: too many projects, or add-one tried too many budgets.
    """
    if len(budgeting.ids) > PROJECTS_MAX:
        raise InvalidBallots(f"{len(budgeting.ids)} projects; there can be {PROJECTS_MAX}")
    lots = places_by_lot(lot_order, len(budgeting.ids))
    if rule.rule != EQUAL_SHARES:
        return _greedy(rule, budgeting, lots, range(1, len(budgeting.ids) + 1), Fraction(0))
    return _EqualShares(rule, budgeting, lots, progress).run()


def _greedy(
    rule: Spending, budgeting: Budgeting, lots: Mapping[int, int], projects: Iterable[int], spent: Fraction
) -> Spent:
    """Down the list of scores, with what is left after ``spent``."""
    scores = budgeting.scores
    order = sorted(projects, key=lambda number: (-scores[number - 1], lots[number]))
    selected: list[int] = []
    verdicts: list[Verdict] = []
    ended = False
    for number in order:
        cost, score = budgeting.costs[number - 1], scores[number - 1]
        left = budgeting.budget - spent
        reason: Reason = "funded"
        if score <= 0:
            reason = "without-support"
        elif score < rule.threshold:
            reason = "below-threshold"
        elif ended:
            reason = "after-the-end"
        elif cost > left:
            reason = "too-dear"
            ended = rule.rule == GREEDY_NO_SKIP
        else:
            selected.append(number)
            spent += cost
        verdicts.append(Verdict(number, reason, score, left))
    return Spent(rule, tuple(selected), spent, tuple(verdicts), _greedy_ties(budgeting, order, verdicts))


def _greedy_ties(
    budgeting: Budgeting, order: Sequence[int], verdicts: Sequence[Verdict]
) -> tuple[tuple[int, ...], ...]:
    """Projects of one score of which some were funded and some were not, or not for the same reason."""
    by_score: dict[int, list[int]] = {}
    for place, number in enumerate(order):
        by_score.setdefault(budgeting.scores[number - 1], []).append(place)
    return tuple(
        tuple(order[place] for place in places)
        for places in by_score.values()
        if len({verdicts[place].reason for place in places}) > 1
    )


@dataclass(slots=True)
class _Shares:
    """One count of equal shares with a fixed budget."""

    left: list[int]
    """Of the share of one ballot of each bundle, in units of 1 / ``parts`` of the currency."""
    parts: int
    selected: list[int] = field(default_factory=list)
    spent: Fraction = Fraction(0)
    prices: dict[int, Fraction] = field(default_factory=dict)
    ties: list[tuple[int, ...]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Price:
    """What every supporter pays for each of its marks, unless it has less left."""

    units: Fraction
    """Of the shares."""
    of_utility: Fraction
    """In the currency; what projects are chosen by."""


class _EqualShares:
    """The method of equal shares: every ballot has an equal part of the budget, and pays for a project that
    it supports in proportion to what the project is worth to it."""

    def __init__(
        self, rule: Spending, budgeting: Budgeting, lots: Mapping[int, int], progress: Callable[[int], None]
    ) -> None:
        self.rule = rule
        self.budgeting = budgeting
        self.lots = lots
        self.progress = progress
        self.weights = budgeting.ballots.weights
        self.voters = sum(self.weights)

    def run(self) -> Spent:
        """With the completion that the rule asks for."""
        if self.voters == 0:
            raise InvalidBallots("there is no ballot, so nobody has a share")
        shares, rounds = self._with_budget(self.budgeting.budget), 1
        if self.rule.completion in {"add1", "add1u", "comparison"}:
            shares, rounds = self._add_one(shares)
        found = self._told(shares, rounds)
        if self.rule.completion in {"utilitarian", "add1u", "comparison"}:
            found = self._completed(found)
        if self.rule.completion == "comparison":
            found = self._compared(found)
        return found

    def _add_one(self, shares: _Shares) -> tuple[_Shares, int]:
        """Count with ever more for each ballot, one unit of the currency at a time, while the real budget
        pays for what is chosen; the last that it pays for."""
        budget = self.budgeting.budget
        for rounds in range(1, ROUNDS_MAX):
            self.progress(rounds)
            if not self._fits_more(shares):
                return shares, rounds
            more = self._with_budget(budget + rounds * self.voters)
            if more.spent > budget or len(more.selected) == self._supported():
                return (shares if more.spent > budget else more), rounds + 1
            shares = more
        raise InvalidBallots(f"{EQUAL_SHARES}: after {ROUNDS_MAX} budgets there is no end")

    def _supported(self) -> int:
        return sum(score > 0 for score in self.budgeting.scores)

    def _fits_more(self, shares: _Shares) -> bool:
        """Whether the real budget pays for any other project that somebody supports."""
        left = self.budgeting.budget - shares.spent
        chosen = set(shares.selected)
        return any(
            cost <= left and score > 0 and number not in chosen
            for number, (cost, score) in enumerate(
                zip(self.budgeting.costs, self.budgeting.scores, strict=True), start=1
            )
        )

    def _with_budget(self, budget: Fraction) -> _Shares:
        """The count proper. A project's price only rises, so that one is reckoned again when it is the
        least."""
        share = Fraction(budget, self.voters)
        parts = lcm(share.denominator, *(cost.denominator for cost in self.budgeting.costs))
        shares = _Shares([int(share * parts)] * len(self.weights), parts)
        heap = [
            (Fraction(0), self.lots[number], number)
            for number, given in enumerate(self.budgeting.supporters, start=1)
            if given
        ]
        heapq.heapify(heap)
        while heap:
            _, lot, number = heapq.heappop(heap)
            price = self._price(number, shares)
            if price is None:
                continue
            if heap and (price.of_utility, lot) > heap[0][:2]:
                heapq.heappush(heap, (price.of_utility, lot, number))
                continue
            self._note_tie(shares, heap, price, number)
            self._pay(shares, number, price)
        return shares

    def _note_tie(
        self, shares: _Shares, heap: Sequence[tuple[Fraction, int, int]], price: _Price, number: int
    ) -> None:
        """Remember which others had the same price."""
        tied = []
        for known, _, other in heap:
            if known <= price.of_utility:
                theirs = self._price(other, shares)
                if theirs is not None and theirs.of_utility == price.of_utility:
                    tied.append(other)
        if tied:
            shares.ties.append(tuple(sorted([number, *tied])))

    def _price(self, number: int, shares: _Shares) -> _Price | None:
        """What supporters pay if all pay for the project as much for each mark; None where they cannot."""
        cost = self.budgeting.costs[number - 1]
        unpaid = int(cost * shares.parts)
        left, weights = shares.left, self.weights
        given = self.budgeting.supporters[number - 1]
        if sum([left[place] * weights[place] for place, _ in given]) < unpaid:
            return None
        if all(mark == 1 for _, mark in given):
            order = sorted([(left[place], 1, weights[place]) for place, _ in given])
        else:
            order = sorted(
                [(left[place], mark, weights[place]) for place, mark in given],
                key=lambda purse: Fraction(purse[0], purse[1]),
            )
        marks = sum(mark * weight for _, mark, weight in order)
        for most, mark, weight in order:
            if unpaid * mark <= most * marks:
                units = Fraction(unpaid, marks)
                worth = cost if self.rule.utility == "cost" else 1
                return _Price(units, Fraction(units, shares.parts * worth))
            unpaid -= most * weight
            marks -= mark * weight
        raise AssertionError("supporters who can pay together find a price")

    def _pay(self, shares: _Shares, number: int, price: _Price) -> None:
        finer = price.units.denominator
        if finer > 1:
            shares.parts *= finer
            shares.left = [left * finer for left in shares.left]
        for place, mark in self.budgeting.supporters[number - 1]:
            shares.left[place] -= min(shares.left[place], price.units.numerator * mark)
        shares.selected.append(number)
        shares.spent += self.budgeting.costs[number - 1]
        shares.prices[number] = price.of_utility

    def _told(self, shares: _Shares, rounds: int) -> Spent:
        """The result with a verdict for each project."""
        scores = self.budgeting.scores
        verdicts = [
            Verdict(number, "funded", scores[number - 1], self._purse(number, shares), shares.prices[number])
            for number in shares.selected
        ]
        chosen = set(shares.selected)
        for number, score in enumerate(scores, start=1):
            if number not in chosen:
                reason: Reason = "shares-too-small" if score > 0 else "without-support"
                verdicts.append(Verdict(number, reason, score, self._purse(number, shares)))
        ties = tuple(shares.ties)
        return Spent(self.rule, tuple(shares.selected), shares.spent, tuple(verdicts), ties, rounds)

    def _purse(self, number: int, shares: _Shares) -> Fraction:
        given = self.budgeting.supporters[number - 1]
        return Fraction(sum(shares.left[place] * self.weights[place] for place, _ in given), shares.parts)

    def _completed(self, found: Spent) -> Spent:
        """The rest of the budget, down the list of scores."""
        chosen = set(found.selected)
        others = [number for number in range(1, len(self.budgeting.ids) + 1) if number not in chosen]
        more = _greedy(self.rule, self.budgeting, self.lots, others, found.spent)
        added = set(more.selected)
        verdicts = [
            Verdict(verdict.project, "completed", verdict.score, verdict.left)
            if verdict.project in added
            else verdict
            for verdict in found.verdicts
        ]
        return Spent(
            self.rule,
            (*found.selected, *more.selected),
            more.spent,
            tuple(verdicts),
            (*found.ties, *more.ties),
            found.rounds,
        )

    def _compared(self, found: Spent) -> Spent:
        """The greedy choice instead, where more ballots have more of it."""
        greedy = _greedy(
            self.rule, self.budgeting, self.lots, range(1, len(self.budgeting.ids) + 1), Fraction(0)
        )
        gains = [0] * len(self.weights)
        for choice, sign in ((found.selected, 1), (greedy.selected, -1)):
            for number in choice:
                for place, mark in self.budgeting.supporters[number - 1]:
                    gains[place] += sign * mark
        ours = sum(weight for gain, weight in zip(gains, self.weights, strict=True) if gain > 0)
        theirs = sum(weight for gain, weight in zip(gains, self.weights, strict=True) if gain < 0)
        return greedy if theirs > ours else found

"""What a budget is to be spent on: projects with costs, and ballots on them.

Source: docs/spec/voting.md, "Budgets".
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from icn_tally.ballots import Ballots


@dataclass(frozen=True)
class Budgeting:
    """Projects are the candidates of the ballots; a project's number is its place, from 1."""

    ballots: Ballots
    """Of approval where they have no marks: whoever is ranked is approved."""
    ids: tuple[str, ...]
    costs: tuple[Fraction, ...]
    """More than 0, in the currency of the budget."""
    budget: Fraction
    rule: str | None = None
    """What the file says that it was counted by."""
    threshold: int = 0
    """Votes or points below which no project is funded, where the file says so."""

    @cached_property
    def supporters(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """For each project who gives it more than 0: the place of a bundle of ballots, and how much."""
        found: list[list[tuple[int, int]]] = [[] for _ in self.ids]
        if self.ballots.marks:
            for place, (ranking, marks, _) in enumerate(self.ballots.marked_bundles()):
                for rank, mark in zip(ranking, marks, strict=True):
                    if mark > 0:
                        for number in rank:
                            found[number - 1].append((place, mark))
        else:
            for place, (ranking, _) in enumerate(self.ballots.bundles()):
                for rank in ranking:
                    for number in rank:
                        found[number - 1].append((place, 1))
        return tuple(map(tuple, found))

    @cached_property
    def scores(self) -> tuple[int, ...]:
        """Votes or points of each project, over all ballots."""
        weights = self.ballots.weights
        return tuple(sum(weights[place] * mark for place, mark in given) for given in self.supporters)

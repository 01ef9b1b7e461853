"""Panels drawn by lot within quotas, so that the least likely member is drawn as likely as can be, and then
the next (LEXIMIN).

Source: docs/spec/voting.md, "Sortition"; Flanigan, Gölz, Gupta, Hennig and Procaccia, Fair algorithms for
selecting citizens' assemblies (2021).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from icn_crypto.jcs import JsonValue
from numpy.typing import NDArray

from icn_tally.faults import InvalidBallots, InvalidParameter, printable

POOL_MAX: Final = 5_000
CATEGORIES_MAX: Final = 50
VALUES_TOLD_MAX: Final = 10
"""Of a category, where a member has none of them."""
PANELS_MAX: Final = 20_000
"""Panels of a lottery: each step of the search adds one."""
TICKETS: Final = 1_000_000
"""Of a lottery; the probability of a panel is a whole number of them."""
TOLERANCE: Final = 1e-7
"""Two probabilities that differ by less are the same to the search; a ticket is ten times as much."""
SLACK: Final = 1e-9
"""Taken from what is fixed, so that floating point leaves it possible."""

Panel: TypeAlias = tuple[int, ...]
"""Places in the pool, upwards, from 0."""
_Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Quota:
    """How many of a panel have one value of a category, both bounds included."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Pool:
    """Who may be drawn."""

    members: tuple[Mapping[str, str], ...]
    """The value of each in every category."""
    quotas: Mapping[str, Mapping[str, Quota]]
    """By category, by value."""
    size: int
    """Of a panel."""


@dataclass(frozen=True, slots=True)
class Lottery:
    """Panels and how many tickets of a million each has."""

    panels: tuple[Panel, ...]
    tickets: tuple[int, ...]
    probabilities: tuple[float, ...]
    """Of each member of the pool, as the search found them; tickets round them to a millionth."""

    def draw(self, ticket: int) -> Panel:
        """The panel that owns a ticket, 0 to 999,999, which nobody knew before the lottery was published."""
        assert 0 <= ticket < TICKETS, "callers take a ticket modulo their number"
        for panel, amount in zip(self.panels, self.tickets, strict=True):
            if ticket < amount:
                return panel
            ticket -= amount
        raise AssertionError("the tickets of all panels are a million")

    def to_form(self) -> dict[str, JsonValue]:
        """As an object."""
        return {"panels": [[*panel] for panel in self.panels], "tickets": [*self.tickets]}


def leximin(pool: Pool, progress: Callable[[int], None] = lambda panels: None) -> Lottery:
    """The lottery over panels whose lowest probability of a member is the highest, then the next one up;
    ``progress`` is told how many panels there are.

    Raises:
        InvalidParameter: the panel's size or a quota is out of form, or no panel can keep to them.
        InvalidBallots: the pool is too large, a member lacks a value, or the search takes too many panels.
    """
    _check(pool)
    return _Search(pool, progress).run()


def keeps_quotas(pool: Pool, panel: Panel) -> bool:
    """Whether a panel has its size, each member once, and as many of each value as it may."""
    if len({*panel}) != len(panel) or len(panel) != pool.size:
        return False
    return all(
        quota.low <= sum(pool.members[place][category] == value for place in panel) <= quota.high
        for category, values in pool.quotas.items()
        for value, quota in values.items()
    )


def _check(pool: Pool) -> None:
    if not 1 <= len(pool.members) <= POOL_MAX:
        raise InvalidBallots(f"{len(pool.members)} in the pool; there can be 1 to {POOL_MAX}")
    if not 1 <= pool.size <= len(pool.members):
        raise InvalidParameter("size", f"{pool.size} of {len(pool.members)} in the pool")
    if len(pool.quotas) > CATEGORIES_MAX:
        raise InvalidParameter("quotas", f"{len(pool.quotas)} categories; there can be {CATEGORIES_MAX}")
    for category, values in pool.quotas.items():
        for value, quota in values.items():
            if not 0 <= quota.low <= quota.high:
                raise InvalidParameter(f"quotas.{category[:40]}.{value[:40]}", f"{quota.low} to {quota.high}")
    for place, member in enumerate(pool.members):
        for category, values in pool.quotas.items():
            if member.get(category) not in values:
                known = ", ".join(map(printable, [*values][:VALUES_TOLD_MAX]))
                raise InvalidBallots(f"member {place}: {printable(category)[:40]} is none of {known[:400]}")


class _Search:
    """Column generation: the best lottery over some panels, and the panel that would make it better, until
    there is none; then those who cannot have more are fixed, and the others go on."""

    def __init__(self, pool: Pool, progress: Callable[[int], None]) -> None:
        self.pool = pool
        self.progress = progress
        self.everybody = len(pool.members)
        self.rows, self.lows, self.highs = self._constraints()
        self.panels: list[Panel] = []
        self.known: set[Panel] = set()

    def run(self) -> Lottery:
        """The lottery."""
        self._cover()
        fixed: dict[int, float] = {}
        while len(fixed) < self.everybody:
            self._fix_the_least(fixed)
        shares = self._shares(fixed)
        return self._lottery(shares)

    def _constraints(self) -> tuple[_Floats, _Floats, _Floats]:
        """Of a panel as a vector of 0 and 1: its size, then each quota."""
        rows, lows, highs = [np.ones(self.everybody)], [float(self.pool.size)], [float(self.pool.size)]
        for category, values in self.pool.quotas.items():
            for value, quota in values.items():
                rows.append(np.array([float(member[category] == value) for member in self.pool.members]))
                lows.append(float(quota.low))
                highs.append(float(quota.high))
        return np.array(rows), np.array(lows), np.array(highs)

    def _best_panel(self, worth: _Floats) -> Panel:
        """The panel whose members are worth most together.

        Raises:
            InvalidParameter: no panel keeps to the quotas.
        """
        from scipy.optimize import Bounds, LinearConstraint, milp

        found = milp(
            -worth,
            integrality=np.ones(self.everybody),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(self.rows, self.lows, self.highs),
        )
        if found.x is None:
            raise InvalidParameter("quotas", "no panel of this pool keeps to them")
        panel = tuple(int(place) for place in np.flatnonzero(np.round(found.x) == 1))
        assert keeps_quotas(self.pool, panel), "the solver keeps to whole numbers"
        return panel

    def _add(self, panel: Panel) -> bool:
        """Whether the panel is new."""
        if panel in self.known:
            return False
        if len(self.panels) == PANELS_MAX:
            raise InvalidBallots(f"no best lottery was found over {PANELS_MAX} panels")
        self.panels.append(panel)
        self.known.add(panel)
        self.progress(len(self.panels))
        return True

    def _cover(self) -> None:
        """Panels with everybody in one who can be in any."""
        worth = np.ones(self.everybody)
        while (worth > 0).any():
            panel = self._best_panel(worth)
            members = [*panel]
            if not (worth[members] > 0).any():
                break
            self._add(panel)
            worth[members] = 0

    def _members(self) -> Any:
        """A column for each panel, 1 in the rows of its members."""
        from scipy.sparse import csc_array

        rows = np.concatenate([np.array(panel) for panel in self.panels])
        ends = np.cumsum([0, *(len(panel) for panel in self.panels)])
        return csc_array((np.ones(len(rows)), rows, ends), shape=(self.everybody, len(self.panels)))

    def _fix_the_least(self, fixed: dict[int, float]) -> None:
        """Find how likely the least likely of the others can be, and fix those who cannot have more."""
        while True:
            least, worth = self._dual(fixed)
            panel = self._best_panel(worth)
            others = worth[[*panel]].sum()
            if others <= least + TOLERANCE or not self._add(panel):
                break
        # Complementary slackness: whoever is worth something has the least in every best lottery.
        new = [place for place in range(self.everybody) if place not in fixed and worth[place] > TOLERANCE]
        gap = least - sum(worth[place] * share for place, share in fixed.items())
        assert new, "somebody is the least likely"
        for place in new:
            fixed[place] = max(gap - SLACK, 0.0)

    def _dual(self, fixed: Mapping[int, float]) -> tuple[float, _Floats]:
        """What everybody is worth so that the best known panel is worth least, the open ones 1 together; and
        what that panel is worth."""
        from scipy.optimize import linprog
        from scipy.sparse import csr_array, hstack

        panels = self._members().T
        matrix = hstack([csr_array(panels), csr_array(-np.ones((len(self.panels), 1)))], format="csr")
        open_ones = np.array([0.0 if place in fixed else 1.0 for place in range(self.everybody)])
        cost = np.zeros(self.everybody + 1)
        for place, share in fixed.items():
            cost[place] = -share
        cost[-1] = 1.0
        found = linprog(
            cost,
            A_ub=matrix,
            b_ub=np.zeros(len(self.panels)),
            A_eq=np.array([[*open_ones, 0.0]]),
            b_eq=[1.0],
            bounds=[(0, None)] * self.everybody + [(None, None)],
            method="highs",
        )
        assert found.x is not None, f"the best panel is bounded: {found.message}"
        return float(found.x[-1]), np.array(found.x[:-1])

    def _shares(self, fixed: Mapping[int, float]) -> _Floats:
        """The lottery that gives everybody what is fixed, or misses it least."""
        from scipy.optimize import linprog
        from scipy.sparse import csr_array, hstack

        members = csr_array(self._members())
        wanted = np.array([fixed[place] for place in range(self.everybody)])
        matrix = hstack([-members, csr_array(-np.ones((self.everybody, 1)))], format="csr")
        found = linprog(
            np.array([*np.zeros(len(self.panels)), 1.0]),
            A_ub=matrix,
            b_ub=-wanted,
            A_eq=np.array([[*np.ones(len(self.panels)), 0.0]]),
            b_eq=[1.0],
            bounds=(0, None),
            method="highs",
        )
        assert found.x is not None, f"there is always a lottery: {found.message}"
        shares: _Floats = np.clip(np.array(found.x[:-1]), 0, None)
        return shares

    def _lottery(self, shares: _Floats) -> Lottery:
        """Shares in whole tickets, what is left over to the largest remainders."""
        shares = shares / shares.sum()
        exact = shares * TICKETS
        tickets = np.floor(exact).astype(np.int64)
        order = np.lexsort((np.arange(len(exact)), tickets - exact))
        tickets[order[: TICKETS - int(tickets.sum())]] += 1
        kept = sorted(
            (panel, int(amount)) for panel, amount in zip(self.panels, tickets, strict=True) if amount > 0
        )
        probabilities = self._members() @ shares
        return Lottery(
            tuple(panel for panel, _ in kept),
            tuple(amount for _, amount in kept),
            tuple(float(found) for found in probabilities),
        )


def pool_of(rows: Sequence[Mapping[str, str]], quotas: Mapping[str, Mapping[str, Quota]], size: int) -> Pool:
    """A pool from rows of a table, categories without a quota left out."""
    members = tuple({category: row.get(category, "") for category in quotas} for row in rows)
    return Pool(members, quotas, size)

"""Whose vote counts through whom: ranked delegations with fall-backs, resolved so that no vote is lost in a
cycle or with a delegate who does not vote.

Source: docs/spec/voting.md, "Delegation"; Brill, Delemazure, George, Lackner and Schmidt-Kraepelin, Liquid
democracy with ranked delegations (2022), rule "Diffusion".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from icn_tally.ballots import WEIGHT_MAX
from icn_tally.faults import InvalidBallots, InvalidParameter

VOTERS_MAX: Final = 20_000_000
DELEGATIONS_MAX: Final = 100_000_000
DEPTH_MAX: Final = 1_000
RANKS_MAX: Final = 100
"""Delegates of one voter, first choice and fall-backs."""
NOBODY: Final = -1

Places: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Delegation:
    """What a voter said: whom to vote for it, where and until when."""

    voter: int
    """A place among the voters, from 0."""
    delegate: int
    rank: int = 1
    """1 for the first choice; a fall-back counts when no better one has a way to a vote."""
    scope: tuple[str, ...] = ()
    """Topics from the general to the special; none is everything."""
    expires_at: int | None = None
    """Unix seconds from which on it does not count any more."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Delegations that count in one vote; arrays of one length."""

    voters: Places
    delegates: Places
    ranks: Places
    """From 1, each once for a voter."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Through whom votes count; arrays by voter."""

    casters: Places
    """Who casts the vote: the voter itself, a delegate, or `NOBODY` where no way leads to one who voted."""
    depths: Places
    """How many delegations lie between, 0 for one's own vote or none."""
    through: Places
    """To which of its delegates a vote goes first; the voter itself where there is none between."""
    carried: Places
    """The weight that each caster casts, its own included."""


def in_scope(delegations: Iterable[Delegation], topic: Sequence[str], at: int) -> Chosen:
    """What counts in a vote on a topic at a time, in Unix seconds: of a voter's delegations those of the most
    special scope come first, in their ranks, then those of the next.

    Raises:
        InvalidBallots: a voter has two delegates of one rank in one scope.
    """
    of_voter: dict[int, list[tuple[int, int, int]]] = {}
    for one in delegations:
        is_wide = tuple(topic[: len(one.scope)]) == one.scope
        if is_wide and (one.expires_at is None or at < one.expires_at):
            of_voter.setdefault(one.voter, []).append((-len(one.scope), one.rank, one.delegate))
    voters: list[int] = []
    delegates: list[int] = []
    ranks: list[int] = []
    for voter, found in of_voter.items():
        found.sort()
        if len({(width, rank) for width, rank, _ in found}) < len(found):
            raise InvalidBallots(f"voter {voter}: two delegates of one rank")
        for place, (_, _, delegate) in enumerate(found, start=1):
            voters.append(voter)
            delegates.append(delegate)
            ranks.append(place)
    return Chosen(np.array(voters, np.int64), np.array(delegates, np.int64), np.array(ranks, np.int64))


def resolve(
    voted: NDArray[np.bool_],
    weights: Places,
    chosen: Chosen,
    *,
    depth_max: int = DEPTH_MAX,
    weight_max: int | None = None,
) -> Resolved:
    """Find the caster of every vote. ``voted`` and ``weights`` by voter; a caster never carries more than
    ``weight_max``, unless its own weight is more.

    Raises:
        InvalidBallots: arrays are out of form or limits.
        InvalidParameter: a cap is out of form.
    """
    _check(voted, weights, chosen, depth_max, weight_max)
    return _Resolving(voted, weights, chosen, depth_max, weight_max).run()


def _check(
    voted: NDArray[np.bool_], weights: Places, chosen: Chosen, depth_max: int, weight_max: int | None
) -> None:
    voters = len(voted)
    if not 1 <= voters <= VOTERS_MAX or len(weights) != voters:
        raise InvalidBallots(f"{voters} voters with {len(weights)} weights; there can be 1 to {VOTERS_MAX}")
    if int(weights.min()) < 0 or _sum(weights) > WEIGHT_MAX:
        raise InvalidBallots(f"a weight is negative, or all together are more than {WEIGHT_MAX}")
    edges = len(chosen.voters)
    if edges > DELEGATIONS_MAX or not edges == len(chosen.delegates) == len(chosen.ranks):
        raise InvalidBallots(f"{edges} delegations; there can be {DELEGATIONS_MAX}")
    if edges:
        low = min(int(chosen.voters.min()), int(chosen.delegates.min()))
        high = max(int(chosen.voters.max()), int(chosen.delegates.max()))
        if low < 0 or high >= voters:
            raise InvalidBallots(f"a delegation names a voter that is none of {voters}")
        if not 1 <= int(chosen.ranks.min()) <= int(chosen.ranks.max()) <= RANKS_MAX:
            raise InvalidBallots(f"ranks of delegates go from 1 to {RANKS_MAX}")
    if not 1 <= depth_max <= DEPTH_MAX:
        raise InvalidParameter("depth_max", f"a whole number from 1 to {DEPTH_MAX} is expected")
    if weight_max is not None and not 1 <= weight_max <= WEIGHT_MAX:
        raise InvalidParameter("weight_max", f"a whole number from 1 to {WEIGHT_MAX} is expected")


def _sum(weights: Places) -> int:
    """Of any 64-bit numbers; sums of halves do not overflow for as many voters as there can be."""
    half = 32
    return (int((weights >> half).sum()) << half) + int((weights & ((1 << half) - 1)).sum())


class _Resolving:
    """Votes spread from those who voted: in each step through the best rank by which anybody reaches them."""

    def __init__(
        self,
        voted: NDArray[np.bool_],
        weights: Places,
        chosen: Chosen,
        depth_max: int,
        weight_max: int | None,
    ) -> None:
        voters = len(voted)
        self.weights = weights
        self.depth_max = depth_max
        self.weight_max = weight_max
        self.casters = np.where(voted, np.arange(voters), NOBODY)
        self.depths = np.zeros(voters, np.int64)
        self.through = np.arange(voters)
        self.carried = np.where(voted, weights, 0)
        counts = ~voted[chosen.voters] & (chosen.voters != chosen.delegates)
        order = np.flatnonzero(counts)
        order = order[np.argsort(chosen.delegates[order], kind="stable")]
        self.voters, self.ranks = chosen.voters[order], chosen.ranks[order]
        self.starts = np.searchsorted(chosen.delegates[order], np.arange(voters + 1))
        """Of the delegations to each delegate."""
        highest = int(self.ranks.max()) if len(self.ranks) else 0
        self.waiting: list[list[tuple[Places, Places]]] = [[] for _ in range(highest + 1)]
        """By rank: voters, and the delegates by whom they reach a vote."""

    def run(self) -> Resolved:
        """Steps until nobody else reaches a vote."""
        self._reached_by(np.flatnonzero(self.casters != NOBODY))
        while (step := self._best_step()) is not None:
            self._reached_by(self._assign(*step))
        return Resolved(self.casters, self.depths, self.through, self.carried)

    def _reached_by(self, delegates: Places) -> None:
        """Those who delegate to somebody who has a way to a vote now."""
        delegates = delegates[self.depths[delegates] < self.depth_max]
        amounts = self.starts[delegates + 1] - self.starts[delegates]
        total = int(amounts.sum())
        if total == 0:
            return
        firsts = np.repeat(self.starts[delegates] - (np.cumsum(amounts) - amounts), amounts)
        edges = firsts + np.arange(total)
        through = np.repeat(delegates, amounts)
        is_open = self.casters[self.voters[edges]] == NOBODY
        edges, through = edges[is_open], through[is_open]
        ranks = self.ranks[edges]
        for rank in np.unique(ranks).tolist():
            here = ranks == rank
            self.waiting[rank].append((self.voters[edges[here]], through[here]))

    def _best_step(self) -> tuple[Places, Places] | None:
        for waiting in self.waiting:
            if waiting:
                voters = np.concatenate([voters for voters, _ in waiting])
                through = np.concatenate([delegates for _, delegates in waiting])
                waiting.clear()
                is_open = self.casters[voters] == NOBODY
                return voters[is_open], through[is_open]
        return None

    def _assign(self, voters: Places, through: Places) -> Places:
        """Give voters the casters of their delegates, in their order as far as casters may carry them; who
        was."""
        if self.weight_max is not None:
            order = np.argsort(voters, kind="stable")
            fits = self._fitting(voters[order], self.casters[through[order]])
            voters, through = voters[order][fits], through[order][fits]
        self.casters[voters] = self.casters[through]
        self.depths[voters] = self.depths[through] + 1
        self.through[voters] = through
        np.add.at(self.carried, self.casters[voters], self.weights[voters])
        return voters

    def _fitting(self, voters: Places, casters: Places) -> NDArray[np.bool_]:
        """Which of them their casters can carry, one after the other."""
        assert self.weight_max is not None, "only asked for where there is a cap"
        wanted = np.zeros(len(self.weights), np.int64)
        np.add.at(wanted, casters, self.weights[voters])
        fits = np.ones(len(voters), np.bool_)
        crowded = np.flatnonzero(self.carried[casters] + wanted[casters] > self.weight_max)
        room: dict[int, int] = {}
        for place in crowded.tolist():
            caster, weight = int(casters[place]), int(self.weights[voters[place]])
            left = room.setdefault(caster, self.weight_max - int(self.carried[caster]))
            if weight <= left:
                room[caster] = left - weight
            else:
                fits[place] = False
        return fits

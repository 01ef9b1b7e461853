"""Delegations and votes of several levels."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from icn_tally.delegation import NOBODY, Resolved
from icn_tally.explanations.words import amount
from icn_tally.levels import Decided, Votes
from icn_tally.sheets import Row, Sheet


def way_of(resolved: Resolved, voter: int) -> list[int]:
    """From a voter, by whom its vote goes, to who casts it; the voter alone where nobody does or it does
    itself. Places from 0."""
    way = [voter]
    while resolved.depths[way[-1]] > 0:
        way.append(int(resolved.through[way[-1]]))
    return way


def explain_vote(resolved: Resolved, voter: int, name_of: Callable[[int], str]) -> str:
    """What became of one vote, in a sentence."""
    if resolved.casters[voter] == NOBODY:
        return f"{name_of(voter)} did not vote, and none of its delegations leads to somebody who did."
    way = way_of(resolved, voter)
    if len(way) == 1:
        return f"{name_of(voter)} voted."
    told = ", who delegates to ".join(name_of(place) for place in way[1:])
    return f"{name_of(voter)} delegates to {told}, who voted."


def explain_delegations(resolved: Resolved, name_of: Callable[[int], str]) -> Sheet:
    """How many votes are cast and how; a row for each caster with what it carries, the most first."""
    casters = np.flatnonzero(resolved.casters == np.arange(len(resolved.casters)))
    order = casters[np.argsort(-resolved.carried[casters], kind="stable")]
    own, lost = len(casters), int(np.count_nonzero(resolved.casters == NOBODY))
    delegated = len(resolved.casters) - own - lost
    sentences = [
        f"{amount(own, 'voter')} cast their own vote; {delegated} more are cast by delegates, over up to "
        f"{amount(int(resolved.depths.max()), 'delegation')}; of {lost} no delegation leads to a vote."
    ]
    if own:
        first = int(order[0])
        sentences.append(f"{name_of(first)} carries the most: {int(resolved.carried[first])}.")
    rows = tuple(Row(name_of(int(place)), (str(int(resolved.carried[place])),)) for place in order.tolist())
    return Sheet(tuple(sentences), ("carried",), rows)


def explain_levels(decided: Decided) -> Sheet:
    """Every unit from the top down: its votes, the tests of its rule, and what its parent counts."""
    units = [*_units(decided, 0)]
    rows = tuple(
        Row(
            f"{'· ' * level}{unit.unit}",
            (
                str(unit.votes.yes),
                str(unit.votes.no),
                str(unit.votes.abstain),
                str(unit.eligible),
                "carried" if unit.carried else "not carried",
            ),
            "elected" if unit.carried else "",
        )
        for level, unit in units
    )
    sentences = tuple(_unit_told(unit, has_parent=level > 0) for level, unit in units)
    return Sheet(sentences, ("yes", "no", "abstain", "eligible", "decision"), rows)


def _units(decided: Decided, level: int) -> Iterator[tuple[int, Decided]]:
    yield level, decided
    for child in decided.children:
        yield from _units(child, level + 1)


def _unit_told(unit: Decided, *, has_parent: bool) -> str:
    tests = "; ".join(f"{name}: {'met' if met else 'not met'}" for name, met in unit.conditions)
    passed = f" Its parent counts {_votes_told(unit.transmitted)}." if has_parent else ""
    carried = "Carried" if unit.carried else "Not carried"
    return f"{unit.unit}: {_votes_told(unit.votes)} of {unit.eligible}. {carried} ({tests}).{passed}"


def _votes_told(votes: Votes) -> str:
    return f"{votes.yes} yes, {votes.no} no, {votes.abstain} abstain"

"""Committees, budgets, apportionments and lotteries over panels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from icn_tally.apportionment import ADAMS, DHONDT, HAMILTON, SAINTE_LAGUE, Apportioned
from icn_tally.ballots import Ballots
from icn_tally.budgeting import Budgeting
from icn_tally.budgets import Reason, Spent, Verdict
from icn_tally.committees.elect import Elected
from icn_tally.explanations.words import amount, exactly, named, nearly
from icn_tally.sheets import Row, Sheet
from icn_tally.sortition import TICKETS, Lottery

COMMITTEES_TOLD_MAX: Final = 20
_APPORTIONED: Final[Mapping[str, str]] = {
    SAINTE_LAGUE: "Seat after seat goes to the largest votes ÷ (2 × seats held + 1).",
    DHONDT: "Seat after seat goes to the largest votes ÷ (seats held + 1).",
    ADAMS: "First everybody with votes has a seat, those with most first; then seat after seat goes to the "
    "largest votes ÷ seats held.",
    HAMILTON: "Everybody has as many seats as whole quotas; the rest go to the largest remainders.",
}
_VERDICTS: Final[Mapping[Reason, str]] = {
    "funded": "funded: {cost} of {left} left",
    "too-dear": "not funded: it costs {cost}, and {left} were left",
    "below-threshold": "not funded: its score is below the threshold of {threshold}",
    "after-the-end": "not funded: the list ended before it",
    "without-support": "not funded: nobody supports it",
    "shares-too-small": "not funded: it costs {cost}, and its supporters had {left} left together",
    "completed": "funded from what was left: {cost} of {left}",
}

_BY_SHARES: Final = (
    "funded: {cost}, at {price} for each unit of utility; its supporters have {left} left together"
)


def explain_committee(elected: Elected, ballots: Ballots, names: Sequence[str]) -> Sheet:
    """How many ballots approve of each member, and how many members ballots have; for the first of tied
    committees. A column with the approvals."""
    approvals: Counter[int] = Counter()
    members_of: Counter[int] = Counter()
    first = frozenset(elected.committees[0])
    for ranking, weight in ballots.bundles():
        approved = ranking[0] if ranking else ()
        members_of[len(first.intersection(approved))] += weight
        approvals.update(dict.fromkeys(approved, weight))
    sentences = [
        f"Rule {elected.parameters.rule}, {amount(elected.parameters.size, 'seat')}; "
        f"{amount(sum(members_of.values()), 'ballot')}.",
        *(f"Tied: {named(members, names)}." for members in elected.committees[1:][:COMMITTEES_TOLD_MAX]),
        *(
            f"Ballots that approve of {amount(members, 'member')}: {members_of[members]}."
            for members in sorted(members_of, reverse=True)
        ),
        f"Elected: {named(sorted(first), names)}.",
    ]
    if len(elected.committees) > COMMITTEES_TOLD_MAX + 1:
        sentences.insert(-1, f"{len(elected.committees)} committees are tied in all.")
    rows = tuple(
        Row(names[number - 1], (str(approvals[number]),), "elected" if number in first else "")
        for number in ballots.standing()
    )
    return Sheet(tuple(sentences), ("approvals",), rows)


def explain_budget(spent: Spent, budgeting: Budgeting) -> Sheet:
    """Why each project is funded or not, in the order in which the rule came to them."""
    projects = _projects(budgeting)
    rows = tuple(
        Row(
            projects[verdict.project - 1],
            (
                exactly(budgeting.costs[verdict.project - 1]),
                str(verdict.score),
                verdict.reason,
                exactly(verdict.left),
                "" if verdict.price is None else exactly(verdict.price),
            ),
            "elected" if verdict.project in spent.selected else "",
        )
        for verdict in spent.verdicts
    )
    header = ("cost", "score", "verdict", "left", "price")
    return Sheet(tuple(_budget_told(spent, budgeting, projects)), header, rows)


def _budget_told(spent: Spent, budgeting: Budgeting, projects: Sequence[str]) -> Iterator[str]:
    yield f"The budget is {exactly(budgeting.budget)}; rule {spent.parameters.rule}."
    if spent.rounds > 1:
        yield f"{spent.rounds} budgets were tried, each with one more for every ballot."
    for verdict in spent.verdicts:
        told = _verdict_told(verdict, spent, budgeting)
        yield f"{projects[verdict.project - 1]}, score {verdict.score}: {told}."
    for tie in spent.ties:
        yield f"{named(tie, projects)} were tied: a lot decided which came first."
    yield f"Spent: {exactly(spent.spent)}, on {amount(len(spent.selected), 'project')}."


def _verdict_told(verdict: Verdict, spent: Spent, budgeting: Budgeting) -> str:
    told = _VERDICTS[verdict.reason] if verdict.price is None else _BY_SHARES
    return told.format(
        cost=exactly(budgeting.costs[verdict.project - 1]),
        left=nearly(verdict.left),
        threshold=spent.parameters.threshold,
        price="" if verdict.price is None else nearly(verdict.price),
    )


def _projects(budgeting: Budgeting) -> list[str]:
    """Names, with their ids where these are others."""
    names = zip(budgeting.ballots.candidates, budgeting.ids, strict=True)
    return [name if name == identity else f"{name} ({identity})" for name, identity in names]


def explain_seats(apportioned: Apportioned, votes: Sequence[int], names: Sequence[str]) -> Sheet:
    """What each has; columns with votes and seats."""
    rows = tuple(
        Row(name, (str(cast), str(seats)), "elected" if seats else "")
        for name, cast, seats in zip(names, votes, apportioned.seats, strict=True)
    )
    sentences = [
        _APPORTIONED[apportioned.rule],
        *(
            f"{name}: {amount(seats, 'seat')} for {amount(cast, 'vote')}."
            for name, cast, seats in zip(names, votes, apportioned.seats, strict=True)
        ),
    ]
    if apportioned.tied:
        sentences.append(f"{named(apportioned.tied, names)} had the same claim to the last seat: by lot.")
    return Sheet(tuple(sentences), ("votes", "seats"), rows)


def explain_lottery(lottery: Lottery, names: Sequence[str]) -> Sheet:
    """How many of the tickets draw each member of the pool; a column with them."""
    tickets = [0] * len(names)
    for panel, share in zip(lottery.panels, lottery.tickets, strict=True):
        for place in panel:
            tickets[place] += share
    least, most = min(tickets), max(tickets)
    of_least = tickets.count(least)
    sentences = (
        f"{amount(len(lottery.panels), 'panel')} that keep the quotas share {TICKETS} tickets; one of "
        "these is drawn.",
        f"Nobody is on the panel of fewer than {least} tickets; {amount(of_least, 'member')} on so many.",
        f"Nobody is on that of more than {most}.",
    )
    rows = tuple(Row(name, (str(share),)) for name, share in zip(names, tickets, strict=True))
    return Sheet(sentences, ("tickets",), rows)

"""Every reader of ballots, budgets, rules and documents as a function of bytes, which raises when the reader
breaks a promise.

A reader takes its input or refuses it with one of `REFUSALS`, in one short printable line. What it took
satisfies the model of ballots, is counted by rules that fit its size, and where it has a canonical form it is
read back from it as it was. `scripts/fuzz_readers.py` looks for inputs that break this; those that were found
stand in `unit/test_reader_targets.py`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from typing import Any, Final

import numpy as np
from icn.ledger.v1.transaction_pb2 import AuthorityRules
from icn_client.approval_files import read_approvals
from icn_crypto.jcs import NotIJson, canonicalize, parse
from icn_tally import (
    apportionment,
    budgets,
    delegation,
    levels,
    plain_decision,
    runoff,
    scores,
    sortition,
    tallies,
    wigm,
)
from icn_tally.ballots import MARK_MAX, Ballots, marked_ballots, ranked_ballots
from icn_tally.blt import read_blt
from icn_tally.cast_vote_records import Marks, read_cast_vote_records
from icn_tally.committees import elect
from icn_tally.contest import Contest
from icn_tally.explanations.results import explain
from icn_tally.explanations.shares import explain_seats
from icn_tally.explanations.ways import explain_levels
from icn_tally.faults import InvalidBallots, InvalidFile, InvalidParameter
from icn_tally.pabulib import read_pabulib
from icn_tally.points import read_points
from icn_tally.polls.actions import describe_action
from icn_tally.polls.commitments import ballot_bytes, read_ballot
from icn_tally.polls.documents import Draft, checked_draft, read_document, read_draft, read_text
from icn_tally.polls.forms import InvalidDocument
from icn_tally.polls.results import count_poll
from icn_tally.polls.rules import draft_shortfall
from icn_tally.preflib import FORMATS, read_preflib
from icn_tally.rctab_rules import read_counting_rules
from icn_tally.sheets import sheet_csv, sheet_html
from icn_tally.tables import read_parties, read_people, read_quotas
from icn_tally.tallies import Tally, read_parameters, tally

REFUSALS: Final = (InvalidFile, InvalidBallots, InvalidParameter, InvalidDocument)
MESSAGE_CHARACTERS_MAX: Final = 1_000
LINE_ENDINGS: Final = (b"\n", b"\r", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9")
"""Of YAML, which has the most of them."""
SMALL_CANDIDATES: Final = 6
SMALL_BUNDLES: Final = 30
"""Up to these every rule counts in milliseconds."""

FEW: Final = ranked_ballots("ABCD", [([[1], [2, 3]], 3), ([[2], [1], [4]], 2), ([[4]], 2), ([], 1)], [3])
MARKED: Final = marked_ballots("ABCD", [({1: 5, 2: 3}, 2), ({2: 5, 3: 0}, 2), ({4: 1}, 1), ({}, 1)])
APPROVED: Final = ranked_ballots("ABCD", [([[1, 2]], 2), ([[2, 4]], 1), ([], 1)])
DECIDED: Final = ranked_ballots(plain_decision.CHOICES, [([[1]], 3), ([[2]], 2), ([[3]], 1), ([], 1)])
LOTS: Final = (4, 3, 2, 1)
MARKS: Final = (
    Marks(),
    Marks(("Ana", "Bert"), write_in="UWI", overvotes="skip", blank_is_write_in=True),
    Marks(overvote="Ana", skipped="", skipped_max=1, ranks_max=2, repeat_ends=True),
)


def took(read: Callable[[bytes], object], content: bytes) -> bool:
    """Whether a target took the input. Raises AssertionError, or what the reader lets out."""
    try:
        read(content)
    except REFUSALS as error:
        told = str(error)
        assert told.isprintable() and 0 < len(told) <= MESSAGE_CHARACTERS_MAX, (
            f"a refusal says {told[:2000]!r}"
        )
        if isinstance(error, InvalidFile):
            lines = 1 + sum(content.count(ending) for ending in LINE_ENDINGS)
            assert 1 <= error.line <= lines, f"{error}, of {lines} lines"
        elif isinstance(error, InvalidParameter):
            assert error.name or told.startswith("''"), "a refusal names the field"
        return False
    return True


def if_it_can(work: Callable[[], object]) -> None:
    """A count may refuse what was read, in the same words."""
    try:
        work()
    except REFUSALS as error:
        assert str(error).isprintable(), "a refusal is printable"


def check_ballots(ballots: Ballots) -> None:
    """What a reader lets through the model lets through, with the same root."""
    if ballots.marks:
        points = (
            {number: mark for rank, mark in zip(ranking, marks, strict=True) for number in rank}
            for ranking, marks in zip(ballots.rankings, ballots.marks, strict=True)
        )
        again = marked_ballots(
            ballots.candidates, zip(points, ballots.weights, strict=True), ballots.withdrawn
        )
    else:
        bundles = zip(ballots.rankings, ballots.weights, strict=True)
        again = ranked_ballots(ballots.candidates, bundles, ballots.withdrawn)
    assert again.root() == ballots.root(), "the ballots have one root"


def is_small(ballots: Ballots) -> bool:
    return len(ballots.candidates) <= SMALL_CANDIDATES and len(ballots.weights) <= SMALL_BUNDLES


def count_contest(contest: Contest) -> None:
    """By plurality, and by every rule on rankings where the contest is small."""
    ballots = contest.ballots
    check_ballots(ballots)
    lots = contest.lot_order or range(1, len(ballots.candidates) + 1)
    seats = {"seats": contest.seats or 1}
    if_it_can(lambda: tell(tally(runoff.PLURALITY, seats, ballots, lots), ballots))
    if not is_small(ballots):
        return
    for rule in (*runoff.RULES, *tallies.IN_PAIRS, scores.APPROVAL, scores.BUCKLIN):
        if_it_can(lambda rule=rule: tell(tally(rule, {}, ballots, lots), ballots))
    for rule in tallies.WITH_TRANSFERS:
        if_it_can(lambda rule=rule: tell(tally(rule, seats, ballots, lots), ballots))


def tell(counted: Tally, ballots: Ballots) -> None:
    """As canonical bytes and as sheets."""
    counted.to_bytes()
    sheet = explain(counted.outcome, ballots)
    sheet_csv(sheet).encode()
    sheet_html(sheet, counted.rule).encode()


def points(content: bytes) -> None:
    contest = read_points(content)
    check_ballots(contest.ballots)
    lots = range(1, len(contest.ballots.candidates) + 1)
    for rule, limit in (("score", "highest"), ("cumulative", "points"), ("quadratic", "credits")):
        if_it_can(lambda rule=rule, limit=limit: tally(rule, {limit: MARK_MAX}, contest.ballots, lots))
    if is_small(contest.ballots):
        for rule in ("star", "majority-judgment"):
            if_it_can(lambda rule=rule: tally(rule, {"highest": MARK_MAX}, contest.ballots, lots))


def parties(content: bytes) -> None:
    names, votes = read_parties(content)
    for rule in apportionment.RULES:

        def apportion(rule: str = rule) -> None:
            found = apportionment.apportion(rule, 7, votes, range(1, len(votes) + 1))
            assert sum(found.seats) == 7, "every seat is given out"
            sheet_html(explain_seats(found, votes, names), rule).encode()

        if_it_can(apportion)


def pool(content: bytes) -> None:
    """Members, an empty line, and quotas."""
    people, _, quotas = content.partition(b"\n\n")
    try:
        of_values = read_quotas(quotas)
    except InvalidFile:
        read_people(people)
        raise InvalidDocument("quotas", "these are none") from None
    found = read_people(people)
    if len(found.members) <= SMALL_BUNDLES:
        if_it_can(lambda: sortition.leximin(sortition.Pool(found.members, of_values, 2)))


def blt(content: bytes) -> None:
    count_contest(read_blt(content))


def preflib(kind: str, content: bytes) -> None:
    count_contest(read_preflib(content, kind))


def cast_vote_records(marks: Marks, content: bytes) -> None:
    count_contest(read_cast_vote_records(content, marks))


def pabulib(content: bytes) -> None:
    """Counted greedily, and where it is small by equal shares, but not by add-one with its many budgets."""
    budgeting = read_pabulib(content)
    check_ballots(budgeting.ballots)
    lots = range(1, len(budgeting.ids) + 1)
    forms: list[tuple[str, dict[str, object]]] = [
        (budgets.GREEDY, {}),
        (budgets.GREEDY_THRESHOLD, {"threshold": budgeting.threshold}),
    ]
    if is_small(budgeting.ballots):
        forms += [
            (budgets.EQUAL_SHARES, {"completion": completion, "utility": utility})
            for completion in ("none", "utilitarian")
            for utility in budgets.UTILITIES
        ]
    for rule, form in forms:

        def spend(rule: str = rule, form: Mapping[str, object] = form) -> None:
            spent = budgets.spend(budgets.Spending.from_form(rule, form), budgeting, lots)
            assert sum(budgeting.costs[number - 1] for number in spent.selected) <= budgeting.budget
            canonicalize(spent.to_form())

        if_it_can(spend)


def approvals(content: bytes) -> None:
    ballots, size = read_approvals(content)
    check_ballots(ballots)
    order = range(1, len(ballots.candidates) + 1)
    for rule in elect.RULES if is_small(ballots) else ("av", "sav"):
        if_it_can(lambda rule=rule: elect.elect_committee(rule, size or 1, ballots, order, every=False))


def counting_rules(content: bytes) -> None:
    """A file with the names that the rules know is read and counted by them."""
    found = read_counting_rules(content)
    marks = found.marks
    names = [*marks.candidates[:4], marks.write_in, marks.skipped, marks.overvote, ""]
    sheet = io.StringIO()
    writer = csv.writer(sheet)
    writer.writerow(["rank1", "rank2"])
    writer.writerows(zip(names, [*names[1:], names[0]], strict=True))
    if_it_can(lambda: count_by_rules(sheet.getvalue().encode(), found.marks, found.rule, found.parameters))


def count_by_rules(records: bytes, marks: Marks, rule: str, parameters: dict[str, object]) -> None:
    contest = read_cast_vote_records(records, marks)
    check_ballots(contest.ballots)
    lots = range(1, len(contest.ballots.candidates) + 1)
    if rule == wigm.RULE:
        wigm.count(wigm.Wigm.from_form(parameters), contest.ballots, lots)
    else:
        runoff.count(runoff.Runoff.from_form(rule, parameters), contest.ballots, lots)


def canonical(content: bytes) -> bytes:
    """JSON in canonical form, so that a search gets past that gate; other bytes as they are."""
    try:
        return canonicalize(parse(content))
    except NotIJson:
        return content


def check_draft(read: Draft) -> None:
    assert checked_draft(read) == read, "a draft is read back as it was"
    for action in read.actions:
        describe_action(action).encode()
    draft_shortfall(read, AuthorityRules(), 5)


def draft(content: bytes) -> None:
    content = canonical(content)
    read = read_draft(content)
    assert read.to_bytes() == content, "a draft has one form"
    check_draft(read)


def document(content: bytes) -> None:
    content = canonical(content)
    read = read_document(content)
    assert read.to_bytes() == content, "a document has one form"
    check_draft(read.draft)
    canonicalize(dict(count_poll(read, [], [], {}).form))


def decision_text(content: bytes) -> None:
    content = canonical(content)
    assert read_text(content).to_bytes() == content, "a text has one form"


def ballot(content: bytes) -> None:
    content = canonical(content)
    ranking = read_ballot(content, len(FEW.candidates))
    assert ballot_bytes(ranking) == content, "a ballot has one form"
    check_ballots(ranked_ballots(FEW.candidates, [(ranking, 1)]))


def form_of(content: bytes) -> dict[str, Any]:
    """An object of JSON, for engines that are given objects. Raises InvalidDocument."""
    try:
        form = parse(content)
    except NotIJson as error:
        raise InvalidDocument("", ascii(error)[:200]) from None
    if not isinstance(form, dict):
        raise InvalidDocument("", "an object is expected")
    return form


def as_list(value: object, kind: type) -> list[Any]:
    """The members of a list that have a type."""
    return [entry for entry in value if type(entry) is kind] if isinstance(value, list) else []


def as_whole(value: object) -> int:
    return value if type(value) is int else 0


def as_fraction(value: object) -> Fraction:
    numerator, denominator = (*as_list(value, int), 1, 1)[:2]
    return Fraction(numerator, denominator or 1)


def parameters(content: bytes) -> None:
    """Of the rule that is named: read, read back from what they are written as, and counted by."""
    form = form_of(content)
    rule, given = str(form.get("rule")), form.get("parameters")
    given = given if isinstance(given, dict) else {}
    if rule in apportionment.RULES:
        votes = as_list(given.get("votes"), int)
        apportionment.apportion(rule, as_whole(given.get("seats")), votes, range(len(votes), 0, -1))
    elif rule in budgets.RULES and "size" not in given:
        read = budgets.Spending.from_form(rule, given)
        assert budgets.Spending.from_form(rule, read.to_form()) == read, "they are read back as they were"
    else:
        found = read_parameters(rule, given)
        assert read_parameters(rule, found.to_form()) == found, "they are read back as they were"
        ballots = BALLOTS_OF.get(rule, FEW)
        lots = () if rule == plain_decision.RULE else LOTS
        if_it_can(lambda: tell(tally(rule, given, ballots, lots), ballots))


BALLOTS_OF: Final[Mapping[str, Ballots]] = {
    **dict.fromkeys(tallies.OF_COMMITTEES, APPROVED),
    **dict.fromkeys(tallies.BY_SCORES, MARKED),
    scores.APPROVAL: APPROVED,
    plain_decision.RULE: DECIDED,
}


def delegations(content: bytes) -> None:
    """Every vote goes to somebody who voted, or is counted nowhere; none is lost."""
    form = form_of(content)
    voted = np.array(as_list(form.get("voted"), bool), np.bool_)
    weights = np.array(as_list(form.get("weights"), int), np.int64)
    said = [
        delegation.Delegation(
            as_whole(one.get("voter")),
            as_whole(one.get("delegate")),
            as_whole(one.get("rank", 1)),
            tuple(as_list(one.get("scope"), str)),
            one["expires_at"] if type(one.get("expires_at")) is int else None,
        )
        for one in as_list(form.get("delegations"), dict)
    ]
    chosen = delegation.in_scope(said, as_list(form.get("topic"), str), as_whole(form.get("at")))
    caps = {name: form[name] for name in ("depth_max", "weight_max") if type(form.get(name)) is int}
    found = delegation.resolve(voted, weights, chosen, **caps)
    reached = found.casters != delegation.NOBODY
    assert voted[found.casters[reached]].all(), "whoever casts has voted"
    assert int(found.carried.sum()) == int(weights[reached].sum()), "no vote is lost"


SHARED_RULES: Final[Mapping[str, Callable[[Fraction], levels.Rule]]] = {
    "majority": levels.majority,
    "turnout": levels.turnout,
    "units": levels.units_carry,
    "members": levels.members_carry,
    "double": lambda share: levels.AllOf((levels.majority(share), levels.units_carry(share))),
    "minority": lambda share: levels.no_blocking_minority(2, share),
    "scaled": lambda share: levels.scaled_majority(share, share + 1),
    "either": lambda share: levels.AnyOf((levels.adaptive_quorum("for"), levels.members_carry(share))),
    "veto": lambda share: levels.no_veto("a", "b", str(share)),
}


def unit(content: bytes) -> None:
    found = levels.decide(node_of(form_of(content)))
    canonicalize(found.to_form())
    sheet_html(explain_levels(found), found.unit).encode()


def node_of(form: Mapping[str, Any]) -> levels.Node:
    transmission = form.get("transmission")
    rule = SHARED_RULES.get(str(form.get("rule")), levels.majority)
    return levels.Node(
        str(form.get("unit")),
        rule(as_fraction(form.get("share"))),
        as_whole(form.get("weight", 1)),
        transmission if transmission in levels.TRANSMISSIONS else "bloc",
        levels.Votes(*as_list(form.get("own"), int)[:3]),
        as_whole(form.get("eligible")),
        levels.Votes(*as_list(form.get("delegates"), int)[:3]),
        tuple(node_of(child) for child in as_list(form.get("children"), dict)),
    )


def panel(content: bytes) -> None:
    """Panels of up to twelve members are searched."""
    form = form_of(content)
    rows = [
        {name: value for name, value in row.items() if isinstance(value, str)}
        for row in as_list(form.get("rows"), dict)[:12]
    ]
    quotas = form.get("quotas")
    pool = sortition.pool_of(
        rows,
        {
            category: {
                value: sortition.Quota(*(*as_list(bounds, int), 0, 0)[:2]) for value, bounds in values.items()
            }
            for category, values in (quotas.items() if isinstance(quotas, dict) else ())
            if isinstance(values, dict)
        },
        as_whole(form.get("size")),
    )
    lottery = sortition.leximin(pool)
    assert sum(lottery.tickets) == sortition.TICKETS, "every ticket has a panel"
    assert all(sortition.keeps_quotas(pool, found) for found in lottery.panels)


TARGETS: Final[Mapping[str, Callable[[bytes], object]]] = {
    "blt": blt,
    **{kind: partial(preflib, kind) for kind in FORMATS},
    "csv-as-named": partial(cast_vote_records, MARKS[0]),
    "csv-declared": partial(cast_vote_records, MARKS[1]),
    "csv-strict": partial(cast_vote_records, MARKS[2]),
    "points": points,
    "parties": parties,
    "pool": pool,
    "pabulib": pabulib,
    "approvals": approvals,
    "counting-rules": counting_rules,
    "draft": draft,
    "document": document,
    "decision-text": decision_text,
    "ballot": ballot,
    "parameters": parameters,
    "delegations": delegations,
    "levels": unit,
    "panel": panel,
}

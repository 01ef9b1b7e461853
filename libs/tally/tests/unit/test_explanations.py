"""Every result in sentences and as a table: every number of a result, and nothing that a name could break."""

from __future__ import annotations

import csv
import io
import re
from fractions import Fraction
from html.parser import HTMLParser

import numpy as np
import pytest
from icn_tally import apportionment, budgets, delegation, levels, plain_decision, tallies
from icn_tally.ballots import Ballots, marked_ballots, ranked_ballots
from icn_tally.budgeting import Budgeting
from icn_tally.explanations.results import explain
from icn_tally.explanations.shares import explain_budget, explain_lottery, explain_seats
from icn_tally.explanations.stages import explain_stages
from icn_tally.explanations.ways import explain_delegations, explain_levels, explain_vote, way_of
from icn_tally.explanations.words import exactly
from icn_tally.scottish_stv import ScottishStv, count
from icn_tally.sheets import sheet_csv, sheet_html
from icn_tally.sortition import Lottery
from icn_tally.stages import Count
from icn_tally.tallies import tally

NAMES = ["Ana", "Bert", "=Cleo<script>", "Dora & Co"]
PLAIN = ["Ana", "Bert", "Cleo", "Dora"]
ORDERS = [((1, 2), 7), ((2,), 2), ((3,), 3), ((4,), 2), ((), 1)]


def ranked(names: list[str]) -> Ballots:
    return ranked_ballots(names, [([[one] for one in order], weight) for order, weight in ORDERS])


def counted() -> Count:
    return count(ScottishStv(2), ranked(NAMES), [4, 3, 2, 1])


def told(rule: str, parameters: dict[str, object], ballots: Ballots) -> tuple[str, ...]:
    lots = () if rule == plain_decision.RULE else range(1, len(ballots.candidates) + 1)
    return explain(tally(rule, parameters, ballots, lots).outcome, ballots).sentences


def test_a_count_is_told_stage_by_stage() -> None:
    assert explain_stages(counted(), PLAIN).sentences == (
        "14 ballots are valid; 1 more name nobody, or several first, and count for nobody. The quota is 5.",
        "Stage 1. First preferences are counted. Elected: Ana.",
        "Stage 2. What is above the quota goes on: Ana had 7.00000.",
        "Stage 3. Excluded: Dora had 2.00000.",
        "Stage 4. Excluded: Cleo had 3.00000. Elected: Bert.",
        "Elected: Ana and Bert.",
    )


def test_ties_are_told_with_what_broke_them() -> None:
    ballots = ranked_ballots(["Ana", "Bert", "Cleo"], [([[1]], 2), ([[2]], 2), ([[3]], 3)])
    sentences = explain_stages(count(ScottishStv(1), ballots, [2, 1, 3]), ["Ana", "Bert", "Cleo"]).sentences
    assert "Ana and Bert were tied; the lot decided between Ana and Bert: Bert is excluded." in sentences


def test_the_sheet_has_every_total_and_no_formula() -> None:
    found = counted()
    rows = [*csv.reader(io.StringIO(sheet_csv(explain_stages(found, NAMES))))]
    assert [row[0] for row in rows] == [
        "",
        "Ana",
        "Bert",
        "'=Cleo<script>",
        "Dora & Co",
        "non-transferable",
        "lost by rounding",
    ]
    for place in range(4):
        assert rows[place + 1][1:] == [found.written(stage.totals)[place] for stage in found.stages]
    assert rows[0][2] == "2: transfer Ana"


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_shows_the_same_and_no_name_becomes_markup() -> None:
    found = counted()
    reader = Reader()
    reader.feed(sheet_html(explain_stages(found, NAMES), "Board <2026>"))
    assert "script" not in reader.tags and reader.tags.count("table") == 1
    text = " ".join(reader.texts)
    assert "=Cleo<script>" in text and "Dora & Co" in text and "Board <2026>" in text
    for stage in found.stages:
        assert all(total in text for total in found.written(stage.totals))


POINTS = marked_ballots(["Ana", "Bert"], [({1: 5, 2: 1}, 2), ({1: 0, 2: 4}, 1), ({1: 9}, 1)])
APPROVED = ranked_ballots(PLAIN, [([[1, 2]], 3), ([[3]], 2), ([], 1)])


@pytest.mark.parametrize(
    ("rule", "parameters", "ballots"),
    [
        *((rule, {"seats": 2}, ranked(PLAIN)) for rule in tallies.WITH_TRANSFERS),
        *((rule, {}, ranked(PLAIN)) for rule in (*tallies.runoff.RULES, *tallies.IN_PAIRS, "bucklin")),
        *((rule, {"highest": 5}, POINTS) for rule in ("score", "star", "majority-judgment")),
        ("cumulative", {"points": 9}, POINTS),
        ("quadratic", {"credits": 81}, POINTS),
        ("approval", {"seats": 2}, APPROVED),
        *((rule, {"size": 2}, APPROVED) for rule in tallies.OF_COMMITTEES),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_rule_is_told_and_ends_with_who_is_elected(
    rule: str, parameters: dict[str, object], ballots: Ballots
) -> None:
    lots = range(1, len(ballots.candidates) + 1)
    outcome = tally(rule, parameters, ballots, lots).outcome
    sheet = explain(outcome, ballots)
    assert re.match(r"Elected: |Tied for the first place: ", sheet.sentences[-1])
    named = {name for name in ballots.candidates if name in sheet.sentences[-1]}
    assert {row.name for row in sheet.rows if row.standing == "elected"} == named != set()
    assert {len(row.cells) for row in sheet.rows} == {len(sheet.header)}
    form = str(outcome.to_form()) + str(outcome.parameters.to_form()) + str(ballots.weights)
    if rule not in tallies.OF_COMMITTEES:
        for number in re.findall(r"\d+\.\d+|\d\d+", " ".join(sheet.sentences)):
            assert number in form, number


def test_every_rule_is_in_this_test() -> None:
    scored = {"score", "star", "majority-judgment", "cumulative", "quadratic", "approval", "bucklin"}
    assert {*tallies.BY_SCORES} == scored
    assert {*tallies.RULES} == {
        *tallies.IN_STAGES, *tallies.IN_PAIRS, *scored, *tallies.OF_COMMITTEES, plain_decision.RULE,
    }  # fmt: skip


def test_pairs_are_told_with_the_closest_and_with_those_who_are_not_beaten() -> None:
    circle = ranked_ballots(
        ["Ana", "Bert", "Cleo"], [([[1], [2], [3]], 4), ([[2], [3], [1]], 3), ([[3], [1], [2]], 2)]
    )
    assert told("schulze", {}, circle)[1:] == (
        "Ana beats 1 other in the pair; it loses to Cleo, 4 to 5.",
        "Elected: Ana.",
    )
    assert told("ranked-pairs", {}, circle)[2:] == (
        "The victory of Bert over Cleo, 7 to 2, stands.",
        "The victory of Ana over Bert, 6 to 3, stands.",
        "Elected: Ana.",
    )
    assert told("minimax", {}, ranked(PLAIN))[1] == (
        "Ana beats each other candidate in the pair; the closest is Cleo, 7 to 3."
    )


def test_points_beyond_the_limit_and_the_final_pair_are_told() -> None:
    assert told("star", {"highest": 5}, POINTS)[1:] == (
        "Invalid, and counted nowhere: 1 ballot beyond this limit.",
        "Ana has 10; of the others Bert has the most, 6.",
        "Ana and Bert have the highest sums; 2 ballots score Ana higher, 1 Bert.",
        "Elected: Ana.",
    )


def test_a_decision_is_told_with_the_numbers_compared() -> None:
    ballots = ranked_ballots(["yes", "no", "abstain"], [([[1]], 5), ([[2]], 3), ([[3]], 1), ([], 2)])
    parameters: dict[str, object] = {
        "eligible": 40,
        "quorum": {"comparison": "at-least", "numerator": 1, "denominator": 4},
    }
    assert told(plain_decision.RULE, parameters, ballots) == (
        "5 yes, 3 no, 1 abstain; 2 blank and 0 invalid ones count nowhere.",
        "Quorum missed: 9 of 40 eligible said yes, no or abstain; needed is at least 1/4.",
        "Majority reached: 5 yes of 8 (yes and no); needed is more than 1/2.",
        "Not carried.",
    )


def test_a_committee_is_told_with_how_many_members_ballots_have() -> None:
    assert told("pav", {"size": 2}, APPROVED) == (
        "Rule pav, 2 seats; 6 ballots.",
        "Ballots that approve of 1 member: 5.",
        "Ballots that approve of 0 members: 1.",
        "Elected: Ana and Cleo.",
    )


def test_every_project_has_its_sentence() -> None:
    ballots = ranked_ballots(["swings", "bench", "Pond", "tree"], [([[1, 2]], 3), ([[1, 3]], 2)])
    costs = (Fraction(6), Fraction(7, 2), Fraction(3), Fraction(1))
    projects = Budgeting(ballots, ("swings", "bench", "pond", "tree"), costs, Fraction(10))
    sheet = explain_budget(budgets.spend(budgets.Spending("greedy"), projects, [1, 2, 3, 4]), projects)
    assert sheet.sentences == (
        "The budget is 10; rule greedy.",
        "swings, score 5: funded: 6 of 10 left.",
        "bench, score 3: funded: 3.5 of 4 left.",
        "Pond (pond), score 2: not funded: it costs 3, and 0.5 were left.",
        "tree, score 0: not funded: nobody supports it.",
        "Spent: 9.5, on 2 projects.",
    )
    shares = budgets.spend(budgets.Spending("equal-shares", completion="none"), projects, [1, 2, 3, 4])
    assert explain_budget(shares, projects).sentences[1] == (
        "swings, score 5: funded: 6, at 0.2 for each unit of utility; its supporters have 4 left together."
    )


def test_a_quota_that_changes_is_told_at_each_stage() -> None:
    ballots = ranked_ballots(["Ana", "Bert", "Cleo"], [([[1]], 3), ([[2]], 2), ([[3]], 1)])
    assert told("irv", {}, ballots)[:4] == (
        "6 ballots are valid.",
        "Stage 1. First preferences are counted. 4 votes elect.",
        "Stage 2. Excluded: Cleo had 1. 3 votes elect. Elected: Ana.",
        "Elected: Ana.",
    )
    assert "Stage 1. First preferences are counted. 3.000000001 votes elect." in told(
        "meek", {"seats": 1}, ballots
    )


def test_names_are_told_apart_and_turn_nothing_around() -> None:
    twice = ranked_ballots(["A. Smith", "Bert", "A. Smith"], [([[1]], 3), ([[2]], 2), ([[3]], 1)])
    assert told("plurality", {}, twice)[-1] == "Elected: A. Smith (1)."
    listed = ranked_ballots(["Cleo, elected: Bert", "Bert"], [([[1]], 3), ([[2]], 2)])
    assert told("plurality", {}, listed)[-1] == "Elected: Cleo, elected: Bert (1)."
    turned = ranked_ballots(["A\u202enna", "Bert"], [([[1]], 3)])
    assert told("plurality", {}, turned)[-1] == "Elected: Anna."


def test_seats_and_lotteries_are_told() -> None:
    found = apportionment.apportion(apportionment.HAMILTON, 3, [5, 5, 1], [1, 2, 3])
    sheet = explain_seats(found, [5, 5, 1], PLAIN[:3])
    assert sheet.sentences[1:] == (
        "Ana: 2 seats for 5 votes.",
        "Bert: 1 seat for 5 votes.",
        "Cleo: 0 seats for 1 vote.",
        "Ana and Bert had the same claim to the last seat: by lot.",
    )
    lottery = Lottery(((0, 1), (1, 2)), (400_000, 600_000), (0.4, 1.0, 0.6))
    sheet = explain_lottery(lottery, PLAIN[:3])
    assert [row.cells for row in sheet.rows] == [("400000",), ("1000000",), ("600000",)]
    assert "Nobody is on the panel of fewer than 400000 tickets; 1 member on so many." in sheet.sentences


def test_the_way_of_a_delegated_vote_is_told() -> None:
    voted = np.array([False, False, True, False, False])
    chosen = delegation.Chosen(np.array([0, 1, 3]), np.array([1, 2, 3]), np.array([1, 1, 1]))
    found = delegation.resolve(voted, np.ones(5, np.int64), chosen)
    names = ["Ana", "Bert", "Cleo", "Dora", "Emil"]
    assert way_of(found, 0) == [0, 1, 2]
    assert [explain_vote(found, voter, names.__getitem__) for voter in range(4)] == [
        "Ana delegates to Bert, who delegates to Cleo, who voted.",
        "Bert delegates to Cleo, who voted.",
        "Cleo voted.",
        "Dora did not vote, and none of its delegations leads to somebody who did.",
    ]
    sheet = explain_delegations(found, names.__getitem__)
    assert sheet.sentences == (
        "1 voter cast their own vote; 2 more are cast by delegates, over up to 2 delegations; of 2 no "
        "delegation leads to a vote.",
        "Cleo carries the most: 3.",
    )
    assert [(row.name, row.cells) for row in sheet.rows] == [("Cleo", ("3",))]


def test_every_unit_of_several_levels_is_told() -> None:
    half = levels.majority(Fraction(1, 2))
    leaf = levels.Node("North", half, weight=3, own=levels.Votes(2, 1, 0), eligible=9)
    found = levels.decide(levels.Node("Federation", half, children=(leaf,)))
    assert explain_levels(found).sentences == (
        "Federation: 3 yes, 0 no, 0 abstain of 3. Carried (majority > 1/2 of yes-no: met).",
        "North: 2 yes, 1 no, 0 abstain of 9. Carried (majority > 1/2 of yes-no: met). Its parent counts "
        "3 yes, 0 no, 0 abstain.",
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(Fraction(3), "3"), (Fraction(7, 2), "3.5"), (Fraction(-1, 8), "-0.125"), (Fraction(1, 3), "1/3")],
)
def test_amounts_are_written_exactly(value: Fraction, text: str) -> None:
    assert exactly(value) == text

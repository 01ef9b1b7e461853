"""Readers of cast-vote records, of rules of counting and of Pabulib: what they take, and the line or field of
what they refuse."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_tally.ballots import Ballots
from icn_tally.cast_vote_records import Marks, read_cast_vote_records
from icn_tally.faults import InvalidBallots, InvalidFile, InvalidParameter
from icn_tally.pabulib import read_pabulib
from icn_tally.rctab_rules import counting_rules

NAMED = Marks(("Ana", "Bert", "Cleo"), "over", "skipped", "UWI")


def orders(ballots: Ballots) -> list[tuple[list[int], int]]:
    return [
        ([number for rank in ranking for number in rank], weight)
        for ranking, weight in zip(ballots.rankings, ballots.weights, strict=True)
    ]


def read(lines: str, marks: Marks = NAMED) -> Ballots:
    return read_cast_vote_records(lines.encode(), marks).ballots


def test_records_are_read_with_counts_and_labels() -> None:
    ballots = read('count,rank1,rank2,rank3\n4,Bert,skipped,"Ana"\n1,UWI,Cleo,\n2,,,\n')
    assert ballots.candidates == ("Ana", "Bert", "Cleo", "UWI")
    assert orders(ballots) == [([2, 1], 4), ([4, 3], 1), ([], 2)]


def test_without_rules_candidates_are_numbered_as_they_appear() -> None:
    ballots = read("rank1,rank2\nZoe,Ana\nAna,overvote\nundervote,Zoe\n", Marks())
    assert ballots.candidates == ("Zoe", "Ana")
    assert orders(ballots) == [([1, 2], 1), ([2], 1), ([1], 1)]


@pytest.mark.parametrize(
    ("marks", "line", "order"),
    [
        ({}, "Ana,over,Bert", [1]),
        ({"overvotes": "skip"}, "Ana,over,Bert", [1, 2]),
        ({"skipped_max": 1}, "Ana,skipped,Bert", [1, 2]),
        ({"skipped_max": 0}, "Ana,skipped,Bert", [1]),
        ({"skipped_max": 1}, "skipped,,Bert", []),
        ({"ranks_max": 2}, "Ana,Bert,Cleo", [1, 2]),
        ({}, "Ana,Ana,Bert", [1, 2]),
        ({"repeat_ends": True}, "Ana,Ana,Bert", [1]),
        ({"blank_is_write_in": True}, "Ana,,Bert", [1, 4, 2]),
    ],
)
def test_rules_say_what_cells_mean(marks: dict[str, Any], line: str, order: list[int]) -> None:
    rules = Marks(("Ana", "Bert", "Cleo"), "over", "skipped", "UWI", **marks)
    assert orders(read(f"rank1,rank2,rank3\n{line}\n", rules)) == [(order, 1)]


@pytest.mark.parametrize(
    ("lines", "line", "fault"),
    [
        ("", 1, "empty"),
        ("rank1,rank3\n", 1, "rank2 is expected"),
        ("count\n", 1, "0 columns of ranks"),
        ("count,count,rank1\n", 1, "more than one column"),
        ("count,rank1\n1,Ana\n1\n", 3, "1 columns"),
        ("count,rank1\nx,Ana\n", 2, "whole number"),
        ("count,rank1\n0,Ana\n", 2, "weight"),
        ("count,rank1\n9007199254740991,Ana\n1,Ana\n", 3, "more than"),
        ("rank1\nAna\nDora\n", 3, "rank1: 'Dora' is no candidate"),
        ('rank1\n"Ana\n', 3, "CSV"),
        ("rank1\n\n", 3, "there is no ballot"),
    ],
)
def test_faults_of_records_name_their_line(lines: str, line: int, fault: str) -> None:
    with pytest.raises(InvalidFile, match=fault) as error:
        read(lines)
    assert error.value.line == line


RULES: dict[str, Any] = {
    "rules": {"overvoteRule": "alwaysSkipToNextRank", "maxSkippedRanksAllowed": "1"},
    "candidates": ["Ana", "Bert"],
    "labels": {"overvote": "over", "skipped": "none", "undeclared_write_in": "UWI"},
}


def with_rules(**rules: Any) -> dict[str, Any]:
    return {**RULES, "rules": {**RULES["rules"], **rules}}


def test_rules_become_parameters() -> None:
    found = counting_rules(RULES)
    assert found.marks == Marks(("Ana", "Bert"), "over", "none", "UWI", "skip", 1)
    assert found.rule == "irv"
    assert found.parameters == {
        "seats": 1, "ties": "lot", "votes_min": 0, "first_excluded": [3], "exclusion": "one",
        "majority_of": "continuing", "until_two": False,
    }  # fmt: skip
    found = counting_rules(
        with_rules(
            winnerElectionMode="multiWinnerAllowOnlyOneWinnerPerRound",
            numberOfWinners="2",
            decimalPlacesForVoteArithmetic="6",
            nonIntegerWinningThreshold=True,
            tiebreakMode="previousRoundCountsThenRandom",
            maxRankingsAllowed="max",
            randomSeed="7",
        )
    )
    assert (found.rule, found.marks.ranks_max) == ("wigm", None)
    assert found.parameters == {
        "seats": 2, "ties": "narrowing", "votes_min": 0, "first_excluded": [3], "places": 6,
        "quota": "fraction", "surpluses": "one-elected", "factor": "truncated", "exclusion": "one",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ([], "rules"),
        ({**RULES, "candidates": []}, "candidates"),
        ({**RULES, "candidates": ["Ana", "Ana"]}, "candidates"),
        ({**RULES, "candidates": ["Ana", 3]}, "candidates"),
        ({**RULES, "labels": None}, "labels"),
        ({**RULES, "labels": {"blank": ""}}, "labels.blank"),
        ({**RULES, "labels": {"overvote": "Ana"}}, "labels.overvote"),
        ({**RULES, "labels": {"undeclared_write_in": "Bert"}}, "labels.undeclared_write_in"),
        ({**RULES, "labels": {"undeclared_write_in": "\ud800"}}, "labels.undeclared_write_in"),
        (with_rules(overvoteRule="exhaustIfMultipleContinuing"), "overvoteRule"),
        (with_rules(numberOfWinners="2"), "numberOfWinners"),
        (with_rules(numberOfWinners="two"), "numberOfWinners"),
        (with_rules(numberOfWinners=[2]), "numberOfWinners"),
        (with_rules(maxSkippedRanksAllowed="1001"), "maxSkippedRanksAllowed"),
        (with_rules(hareQuota=True), "hareQuota"),
        (with_rules(batchElimination="yes"), "batchElimination"),
        (with_rules(winnerElectionMode="multiPassIrv"), "winnerElectionMode"),
        (with_rules(colour="red"), "colour"),
        ({**with_rules(treatBlankAsUndeclaredWriteIn=True), "labels": {}}, "treatBlankAsUndeclaredWriteIn"),
    ],
)
def test_rules_out_of_form_are_named(form: object, name: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        counting_rules(form)
    assert error.value.name == name


PB = """META
key;value
budget;10,5
vote_type;cumulative
rule;greedy
num_projects;2
num_votes;3
PROJECTS
project_id;cost;name
7;4.5;Swings
9;6;Bench
VOTES
voter_id;vote;points
a;7,9;3,1
b;9;2
c;;
"""


def test_a_budget_is_read_with_points() -> None:
    found = read_pabulib(PB.encode())
    assert (found.ids, found.costs, found.budget) == (
        ("7", "9"),
        (Fraction(9, 2), Fraction(6)),
        Fraction(21, 2),
    )
    assert (found.scores, found.rule, found.ballots.total_weight) == ((3, 3), "greedy", 3)
    assert found.ballots.candidates == ("Swings", "Bench")


def test_votes_of_approval_carry_no_marks_and_count_once() -> None:
    approval = PB.replace("cumulative", "approval").replace(";points", "").replace(";3,1", "")
    approval = approval.replace("b;9;2", "b;9")
    found = read_pabulib(approval.replace("a;7,9", "a;7,9,7").replace("c;;", "c;").encode())
    assert (found.scores, found.ballots.marks) == ((1, 2), ())
    with pytest.raises(InvalidBallots, match="say nothing of points"):
        next(found.ballots.marked_bundles())


def test_ordinal_votes_have_points_by_place() -> None:
    ordinal = PB.replace("cumulative", "ordinal\nmax_length;3").replace(";points", "")
    found = read_pabulib(ordinal.replace(";3,1", "").replace("b;9;2", "b;9").replace("c;;", "c;").encode())
    assert found.scores == (3, 2 + 3)


@pytest.mark.parametrize(
    ("old", "new", "line", "fault"),
    [
        ("META", "METAL", 1, "META is expected"),
        ("key;value", "key", 2, "one column value"),
        ("vote_type;cumulative\n", "", 7, "vote_type is missing"),
        ("cumulative", "best", 4, "vote_type: one of"),
        ("budget;10,5\n", "", 7, "budget is missing"),
        ("10,5", "-10", 3, "budget: an amount"),
        ("10,5", "9999999999999999", 3, "budget: more than"),
        ("rule;greedy", "budget;3", 5, "'budget' stands twice"),
        ("num_projects;2", "num_projects;3", 6, "3 are announced, there are 2"),
        ("num_votes;3", "num_votes;4", 7, "4 are announced, there are 3"),
        ("7;4.5", "7;0", 10, "more than 0"),
        ("7;4.5", "7;4.5e3", 10, "cost: an amount"),
        ("9;6;Bench", "7;6;Bench", 11, "project '7' stands twice"),
        ("a;7,9;3,1", "a;7,8;3,1", 14, "there is no project '8'"),
        ("a;7,9;3,1", "a;7,7;3,1", 14, "a project stands twice"),
        ("a;7,9;3,1", "a;7,9;3", 14, "1 for 2 projects"),
        ("a;7,9;3,1", "a;7,9;3,x", 14, "whole number"),
        ("a;7,9;3,1", "a;7,9;3,1;4", 14, "4 columns"),
        ("voter_id;vote;points", "voter_id;vote", 13, "one column points"),
        ("VOTES", "PROJECTS", 12, "does not stand here"),
        ("7;4.5;Swings\n9;6;Bench\n", "", 10, "there is no project"),
        ("a;7,9;3,1\nb;9;2\nc;;\n", "", 13, "there is no vote"),
    ],
)
def test_faults_of_a_budget_name_their_line(old: str, new: str, line: int, fault: str) -> None:
    with pytest.raises(InvalidFile, match=fault) as error:
        read_pabulib(PB.replace(old, new, 1).encode())
    assert error.value.line == line


def test_a_budget_without_votes_is_refused() -> None:
    with pytest.raises(InvalidFile, match="VOTES is missing"):
        read_pabulib(PB.partition("VOTES")[0].encode())


@given(st.binary(max_size=200) | st.text(alphabet='METAVOTESPROJC,;\n"-.01ak ', max_size=200).map(str.encode))
def test_garbage_is_refused_with_a_line(content: bytes) -> None:
    for reader in (read_pabulib, lambda found: read_cast_vote_records(found, Marks())):
        try:
            reader(content)
        except InvalidFile as error:
            assert error.line >= 1

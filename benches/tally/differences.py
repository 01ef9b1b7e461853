"""Random elections counted by us and by other libraries: `python -m benches.tally differences`.

Each difference is printed with its election. Where lots decide, ours draws them in the order of candidates;
what the other library says of ties is compared as far as it says it.
"""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, Final

from icn_tally import comparisons, meek, runoff, scores, scottish_stv, wigm
from icn_tally.ballots import Ballots, marked_ballots, ranked_ballots
from icn_tally.budgeting import Budgeting
from icn_tally.budgets import Spending, spend
from icn_tally.committees.elect import RULES as COMMITTEE_RULES
from icn_tally.committees.elect import elect_committee
from icn_tally.tallies import tally

HERE: Final = Path(__file__).resolve().parent
Task = dict[str, Any]

COMPARED: Final = (
    "borda", "copeland", "minimax", "schulze", "ranked-pairs", "split-cycle", "kemeny", "nanson", "baldwin",
)  # fmt: skip
AMONG: Final = (
    "plurality",
    "ranked-pairs",
    "coombs",
    "bucklin",
    "approval",
    "score",
    "star",
    "majority-judgment",
)
"""The other library gives every tied winner, and ours draws a lot: ours must be among them."""
TRANSFERS: Final = ("scottish-stv", "wigm", "meek", "warren")
ONE_ONLY: Final = ("greedy-monroe", "equal-shares-with-increment-completion")
SLOW: Final = "leximaxphragmen"
"""The other library takes minutes for elections that are not tiny."""
BUDGETS: Final = ("greedy", "mes")
RANKED_BY_VOTEKIT: Final = (
    "votekit-wigm", "votekit-irv", "votekit-schulze", "votekit-ranked-pairs", "votekit-plurality",
)  # fmt: skip
SCORED_BY_VOTEKIT: Final = ("votekit-score", "votekit-cumulative")
RULES: Final = (
    *COMPARED, *AMONG, "irv", *TRANSFERS, *(rule for rule in COMMITTEE_RULES if rule != "trivial"), *BUDGETS,
    *RANKED_BY_VOTEKIT, *SCORED_BY_VOTEKIT,
)  # fmt: skip


@dataclass(slots=True)
class Verdict:
    """Of one rule."""

    rule: str
    profiles: int = 0
    differing: int = 0
    not_answered: int = 0
    """By the other library."""
    left_open: int = 0
    """Where lots decided and the other library draws its own."""
    cpu_seconds: float = 0.0
    """Of the other library."""


class Oracle:
    """The other libraries, in a process of their own environment."""

    def __init__(self, stdin: IO[str], stdout: IO[str]) -> None:
        self._stdin, self._stdout = stdin, stdout

    def ask(self, task: Task) -> dict[str, Any]:
        """The answer to one task."""
        self._stdin.write(json.dumps(task) + "\n")
        self._stdin.flush()
        answer: dict[str, Any] = json.loads(self._stdout.readline())
        return answer


@contextmanager
def oracle(python: Path) -> Iterator[Oracle]:
    """A process with the other libraries, for as long as it is asked."""
    command = [str(python), str(HERE / "oracle.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None, "both are pipes"
        yield Oracle(process.stdin, process.stdout)
        process.stdin.close()


def compare(rule: str, profiles: int, seed: int, asked: Oracle, tell: Callable[[str], None]) -> Verdict:
    """Count random elections by one rule, here and there."""
    randomness = random.Random(f"{seed} {rule}")
    verdict = Verdict(rule)
    for _ in range(profiles):
        task = _task(rule, randomness)
        answer = asked.ask(task)
        verdict.profiles += 1
        verdict.cpu_seconds += answer["cpu_seconds"]
        if "error" in answer:
            verdict.not_answered += 1
            continue
        ours, theirs = _ours(task), answer["answer"]
        if rule == "greedy":
            # It also funds what nobody voted for, when there is money left.
            theirs = [place for place in theirs if any(place in approved for approved in task["approvals"])]
        if ours is None:
            verdict.left_open += 1
        elif not (ours["winner"] in theirs if "winner" in ours else ours["all"] == theirs):
            verdict.differing += 1
            tell(json.dumps({"task": task, "ours": ours, "theirs": theirs}))
    return verdict


def _task(rule: str, randomness: random.Random) -> Task:
    candidates = randomness.randrange(3, 8)
    if rule in COMMITTEE_RULES:
        candidates = 4 if rule == SLOW else randomness.randrange(4, 8)
        voters = randomness.randrange(3, 5) if rule == SLOW else randomness.randrange(4, 15)
        return {
            "library": "abcvoting",
            "rule": rule,
            "candidates": candidates,
            "size": randomness.randrange(2, candidates),
            "resolute": rule in ONE_ONLY,
            "approvals": [_some(candidates, randomness) for _ in range(voters)],
        }
    if rule in BUDGETS:
        costs = [randomness.randrange(1, 30) for _ in range(candidates)]
        return {
            "library": "pabutools",
            "rule": rule,
            "costs": costs,
            "budget": randomness.randrange(10, 80),
            "utility": randomness.choice(["cost", "cardinal"]),
            "approvals": [_some(candidates, randomness) for _ in range(randomness.randrange(3, 20))],
        }
    if rule in SCORED_BY_VOTEKIT:
        return _points_for_votekit(rule, candidates, randomness)
    if rule in ("approval", "score", "star", "majority-judgment"):
        highest = 1 if rule == "approval" else 5
        voters = randomness.randrange(3, 20)
        marks = [
            ({str(one): randomness.randrange(highest + 1) for one in range(candidates)}, 1)
            for _ in range(voters)
        ]
        return {
            "library": "pref_voting",
            "rule": rule,
            "candidates": candidates,
            "highest": highest,
            "marks": marks,
        }
    orders = [
        (randomness.sample(range(candidates), candidates), randomness.randrange(1, 6))
        for _ in range(randomness.randrange(2, 15))
    ]
    task = {"library": "pref_voting", "rule": rule, "candidates": candidates, "orders": orders}
    if rule in TRANSFERS or rule in RANKED_BY_VOTEKIT:
        orders = [(order[: randomness.randrange(1, candidates + 1)], weight * 7) for order, weight in orders]
        library = "votekit" if rule in RANKED_BY_VOTEKIT else "stv"
        return {**task, "library": library, "orders": orders, "seats": randomness.randrange(1, candidates)}
    return {**task, "lots": list(range(candidates))}


def _points_for_votekit(rule: str, candidates: int, randomness: random.Random) -> Task:
    """Up to 5 for each; of a cumulative vote so many as there are seats, all together."""
    seats = randomness.randrange(1, candidates)
    marks = []
    for _ in range(randomness.randrange(3, 20)):
        if rule == "votekit-cumulative":
            given = [randomness.randrange(candidates) for _ in range(randomness.randrange(1, seats + 1))]
            points = {str(one): given.count(one) for one in sorted(set(given))}
        else:
            points = {str(one): randomness.randrange(6) for one in range(candidates)}
        if any(points.values()):
            marks.append((points, 1))
    return {
        "library": "votekit",
        "rule": rule,
        "candidates": candidates,
        "seats": seats,
        "highest": 5,
        "marks": marks or [({"0": 1}, 1)],
    }


def _some(candidates: int, randomness: random.Random) -> list[int]:
    return sorted(randomness.sample(range(candidates), randomness.randrange(1, candidates)))


def _names(task: Task) -> list[str]:
    return [f"c{place}" for place in range(task["candidates"])]


def _ranked(task: Task) -> Ballots:
    return ranked_ballots(
        _names(task), [([[one + 1] for one in order], weight) for order, weight in task["orders"]]
    )


def _approved(approvals: list[list[int]], names: list[str]) -> Ballots:
    bundles = [([[one + 1 for one in approved]] if approved else [], 1) for approved in approvals]
    return ranked_ballots(names, bundles)


def _marked(task: Task) -> Ballots:
    ballots = [
        ({int(one) + 1: mark for one, mark in given.items()}, weight) for given, weight in task["marks"]
    ]
    return marked_ballots(_names(task), ballots)


def _ours(task: Task) -> dict[str, Any] | None:
    """Everything that is elected, or one winner of whom others may be tied; None where lots decided."""
    rule = task["rule"]
    if task["library"] == "pabutools":
        return {"all": _funded(task)}
    if rule in COMMITTEE_RULES:
        return {"all": _committees(task)}
    lots = range(1, task["candidates"] + 1)
    if task["library"] == "votekit":
        return _like_votekit(task, lots)
    return _like_pref_voting(task, lots)


def _like_pref_voting(task: Task, lots: range) -> dict[str, Any] | None:
    rule = task["rule"]
    if rule in comparisons.RULES:
        compared = comparisons.compare(comparisons.Comparison(rule), _ranked(task), lots)
        return None if compared.ties else {"all": [number - 1 for number in compared.winners]}
    if rule in TRANSFERS:
        return _transferred(task, lots)
    if rule in runoff.RULES:
        winner = runoff.count(runoff.Runoff(rule), _ranked(task), lots).winners[0] - 1
        return {"all": [winner]} if rule == "irv" else {"winner": winner}
    return {"winner": _scored(task, lots) - 1}


def _committees(task: Task) -> list[list[int]]:
    ballots = _approved(task["approvals"], _names(task))
    lots = range(1, task["candidates"] + 1)
    found = elect_committee(task["rule"], task["size"], ballots, lots, every=not task["resolute"])
    return [[number - 1 for number in members] for members in found.committees]


def _scored(task: Task, lots: range) -> int:
    rule = task["rule"]
    if rule == "approval":
        approvals = [[int(one) for one, mark in given.items() if mark] for given, _ in task["marks"]]
        return scores.count(scores.Scoring(rule), _approved(approvals, _names(task)), lots).winners[0]
    if rule == "bucklin":
        return scores.count(scores.Scoring(rule), _ranked(task), lots).winners[0]
    return scores.count(scores.Scoring(rule, limit=task["highest"]), _marked(task), lots).winners[0]


def _transferred(task: Task, lots: range) -> dict[str, Any] | None:
    seats, ballots = task["seats"], _ranked(task)
    if task["rule"] == scottish_stv.RULE:
        count = scottish_stv.count(scottish_stv.ScottishStv(seats), ballots, lots)
    elif task["rule"] == wigm.RULE:
        like_theirs = wigm.Wigm(seats, places=9, quota="whole", surpluses="all")
        count = wigm.count(like_theirs, ballots, lots)
    else:
        count = meek.count(meek.Meek(task["rule"], seats), ballots, lots)
    if any(tie.drawn_among for tie in count.ties):
        return None
    return {"all": sorted(number - 1 for number in count.winners)}


def _like_votekit(task: Task, lots: range) -> dict[str, Any] | None:
    """It knows no lots: where one decides, nothing is compared."""
    rule = task["rule"].removeprefix("votekit-")
    parameters: dict[str, object] = {"seats": task["seats"]}
    if rule == wigm.RULE:
        parameters |= {"places": 9, "quota": "whole", "surpluses": "one-elected"}
    elif rule == "cumulative":
        parameters |= {"points": task["seats"]}
    elif rule == "score":
        parameters |= {"highest": task["highest"]}
    elif rule != "plurality":
        parameters = {}
    ballots = _marked(task) if "marks" in task else _ranked(task)
    outcome: Any = tally(rule, parameters, ballots, lots).outcome
    if outcome.ties or (rule == "schulze" and len(outcome.winners) > 1):
        return None
    return {"all": sorted(number - 1 for number in outcome.winners)}


def _funded(task: Task) -> list[int]:
    names = [f"p{place:03}" for place in range(len(task["costs"]))]
    costs: tuple[Fraction, ...] = tuple(map(Fraction, task["costs"]))
    projects = Budgeting(_approved(task["approvals"], names), tuple(names), costs, Fraction(task["budget"]))
    form: Mapping[str, object] = {}
    rule = "greedy"
    if task["rule"] == "mes":
        rule, form = "equal-shares", {"completion": "none", "utility": task["utility"]}
    found = spend(Spending.from_form(rule, form), projects, range(1, len(names) + 1))
    return sorted(number - 1 for number in found.selected)

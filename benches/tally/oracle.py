"""Answers of other libraries, one JSON object per line of stdin: run in the environment of
`requirements.lock`, which has nothing of ICN.

Source: pref_voting, abcvoting and pabutools, by their public functions.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

Task = Mapping[str, Any]


def linear(task: Task) -> Any:
    """Complete strict orders; candidates from 0."""
    from pref_voting.profiles import Profile

    return Profile([order for order, _ in task["orders"]], [weight for _, weight in task["orders"]])


def truncated(task: Task) -> Any:
    """Strict orders of some candidates."""
    from pref_voting.profiles_with_ties import ProfileWithTies

    orders = [{one: rank for rank, one in enumerate(order, 1)} for order, _ in task["orders"]]
    weights = [weight for _, weight in task["orders"]]
    return ProfileWithTies(orders, weights, candidates=list(range(task["candidates"])))


def grades(task: Task) -> Any:
    """Points of each candidate."""
    from pref_voting.grade_profiles import GradeProfile

    ballots = [{int(one): mark for one, mark in given.items()} for given, _ in task["marks"]]
    return GradeProfile(
        ballots,
        list(range(task["highest"] + 1)),
        gcounts=[weight for _, weight in task["marks"]],
        candidates=list(range(task["candidates"])),
    )


def by_pref_voting(task: Task) -> Any:
    """Winners, all that are tied."""
    from pref_voting import grade_methods
    from pref_voting import voting_methods as known

    rule = task["rule"]
    lots = task.get("lots")
    if rule in GRADED:
        return sorted(map(int, getattr(grade_methods, GRADED[rule])(grades(task))))
    if rule == "irv":
        return sorted(map(int, known.instant_runoff_tb(linear(task), tie_breaker=lots)))
    return sorted(map(int, getattr(known, RANKED[rule])(linear(task))))


RANKED = {
    "plurality": "plurality",
    "borda": "borda",
    "copeland": "copeland",
    "minimax": "minimax",
    "schulze": "beat_path",
    "ranked-pairs": "ranked_pairs_tb",
    "split-cycle": "split_cycle",
    "kemeny": "kemeny_young",
    "nanson": "strict_nanson",
    "baldwin": "baldwin",
    "coombs": "coombs_put",
    "bucklin": "bucklin",
}
GRADED = {
    "approval": "approval",
    "score": "score_voting",
    "star": "star",
    "majority-judgment": "majority_judgement",
}


COUNTING: list[float] = []
"""CPU-seconds of the last count alone, without making its profile."""


def by_stv(task: Task) -> Any:
    """Those elected."""
    from pref_voting import proportional_methods as known

    name = {"scottish-stv": "stv_scottish", "wigm": "stv_wig", "meek": "stv_meek", "warren": "stv_warren"}
    profile = truncated(task)
    started = time.process_time()
    found = getattr(known, name[task["rule"]])(profile, num_seats=task["seats"])
    COUNTING.append(time.process_time() - started)
    return sorted(map(int, found))


def by_abcvoting(task: Task) -> Any:
    """Every tied committee, or one."""
    from abcvoting import abcrules
    from abcvoting.preferences import Profile, Voter

    profile = Profile(task["candidates"])
    profile.add_voters([Voter(approved) for approved in task["approvals"]])
    found = abcrules.compute(task["rule"], profile, task["size"], resolute=task["resolute"])
    return sorted(sorted(map(int, members)) for members in found)


def by_pabutools(task: Task) -> Any:
    """Projects that are funded; ties by their names."""
    from pabutools.election import (
        ApprovalBallot,
        ApprovalProfile,
        Cardinality_Sat,
        Cost_Sat,
        Instance,
        Project,
    )
    from pabutools.rules import greedy_utilitarian_welfare, method_of_equal_shares
    from pabutools.tiebreaking import lexico_tie_breaking

    projects = [Project(f"p{place:03}", cost) for place, cost in enumerate(task["costs"])]
    instance = Instance(projects, budget_limit=task["budget"])
    profile = ApprovalProfile(
        [ApprovalBallot([projects[place] for place in approved]) for approved in task["approvals"]]
    )
    sat = Cost_Sat if task["utility"] == "cost" else Cardinality_Sat
    if task["rule"] == "greedy":
        from pabutools.election import AdditiveSatisfaction

        class Votes(AdditiveSatisfaction):
            """One for each approved project, times its cost, so that the order is that of approvals."""

            def __init__(self, instance: Any, profile: Any, ballot: Any) -> None:
                super().__init__(
                    instance, profile, ballot, lambda i, p, b, project, v: project.cost * (project in b)
                )

        found = greedy_utilitarian_welfare(
            instance, profile, sat_class=Votes, tie_breaking=lexico_tie_breaking
        )
    else:
        found = method_of_equal_shares(instance, profile, sat_class=sat, tie_breaking=lexico_tie_breaking)
    return sorted(projects.index(project) for project in found)


ASK: Mapping[str, Callable[[Task], Any]] = {
    "pref_voting": by_pref_voting,
    "stv": by_stv,
    "abcvoting": by_abcvoting,
    "pabutools": by_pabutools,
}


def main() -> None:
    """One answer per line: {"answer", "cpu_seconds"} or {"error"}."""
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        task = json.loads(line)
        started = time.process_time()
        try:
            found = {"answer": ASK[task["library"]](task)}
        except Exception as error:  # noqa: BLE001 - what another library raises is one of its answers
            found = {"error": f"{type(error).__name__}: {error}"[:200]}
        spent = time.process_time() - started
        counting = COUNTING.pop() if COUNTING else spent
        print(json.dumps({**found, "cpu_seconds": spent, "counting_seconds": counting}), flush=True)


if __name__ == "__main__":
    main()

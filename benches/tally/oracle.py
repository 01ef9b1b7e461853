"""Answers of other libraries, one JSON object per line of stdin: run in the environment of
`requirements.lock`, which has nothing of ICN.

Source: pref_voting, votekit, abcvoting, pabutools and sortition-algorithms, by their public functions.
"""

from __future__ import annotations

import json
import os
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
    quota = {"quota_rule": "droop"} if task["rule"] == "wigm" else {}
    started = time.process_time()
    found = getattr(known, name[task["rule"]])(profile, num_seats=task["seats"], **quota)
    COUNTING.append(time.process_time() - started)
    return sorted(map(int, found))


def by_votekit(task: Task) -> Any:
    """Those elected; it breaks ties by names."""
    from votekit import RankBallot, RankProfile, ScoreBallot, ScoreProfile, elections

    names = [f"c{place}" for place in range(task["candidates"])]
    if "marks" in task:
        given = [
            ScoreBallot(scores={names[int(one)]: mark for one, mark in marks.items() if mark}, weight=weight)
            for marks, weight in task["marks"]
        ]
        profile = ScoreProfile(ballots=given, candidates=names)
    else:
        orders = [
            RankBallot(ranking=[{names[one]} for one in order], weight=weight)
            for order, weight in task["orders"]
        ]
        profile = RankProfile(ballots=orders, candidates=names)
    first = {"n_seats": 1}
    some = {"n_seats": task.get("seats", 1), "tiebreak": "alphabetical"}
    made = {
        "votekit-wigm": lambda: elections.STV(profile, simultaneous=False, exact=True, **some),
        "votekit-irv": lambda: elections.IRV(profile, tiebreak="alphabetical", exact=True),
        "votekit-schulze": lambda: elections.Schulze(profile, **first),
        "votekit-ranked-pairs": lambda: elections.RankedPairs(profile, **first),
        "votekit-plurality": lambda: elections.SNTV(profile, **some),
        "votekit-score": lambda: elections.Rating(
            profile, per_candidate_limit=task["highest"], **some | {"tiebreak": "random"}
        ),
        "votekit-cumulative": lambda: elections.Cumulative(profile, **some | {"tiebreak": "random"}),
    }[task["rule"]]()
    return sorted(names.index(name) for tied in made.get_elected() for name in tied)


def by_sortition(task: Task) -> Any:
    """Of each pool in its own tests, whose folder is given: the pool, and the least probability of a member
    at its largest; an error where no panel keeps the quotas."""
    import csv
    import importlib.util
    from pathlib import Path

    from sortition_algorithms.committee_generation import find_distribution_maximin
    from sortition_algorithms.errors import InfeasibleQuotasCantRelaxError

    tests = Path(task["tests"])
    spec = importlib.util.spec_from_file_location("examples", tests / "test_committee_generation.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules["examples"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pools = {name: one for name, one in vars(module).items() if isinstance(one, module.Example)}
    quotas: dict[str, dict[str, dict[str, int]]] = {}
    with (tests / "fixtures" / "features.csv").open() as file:
        for row in csv.DictReader(file):
            bounds = {name: int(row[name]) for name in ("min", "max", "min_flex", "max_flex")}
            quotas.setdefault(row["feature"], {})[row["value"]] = bounds
    with (tests / "fixtures" / "candidates.csv").open() as file:
        people = {row["nationbuilder_id"]: row for row in csv.DictReader(file)}
    columns = {key: {"home": key, "street": key} for key in people}
    members = {key: {name: row[name] for name in quotas} for key, row in people.items()}
    pools["fixtures"] = module.create_example_from_old_format(quotas, members, columns, task["size"])
    found = []
    for name, pool in pools.items():
        ids = list(pool.people)
        features = list(pool.features)
        row = {
            "name": name,
            "size": pool.number_people_wanted,
            "members": [{one: pool.people.get_person_dict(key)[one] for one in features} for key in ids],
            "quotas": {
                one: {value: [bound.min, bound.max] for value, bound in pool.features[one].items()}
                for one in features
            },
        }
        try:
            panels, chances, _ = find_distribution_maximin(
                pool.features, pool.people, pool.number_people_wanted, []
            )
        except InfeasibleQuotasCantRelaxError:
            found.append({**row, "least": None})
            continue
        of_member = dict.fromkeys(ids, 0.0)
        for panel, chance in zip(panels, chances, strict=True):
            for key in panel:
                of_member[key] += chance
        found.append({**row, "least": min(of_member.values())})
    return found


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
    "votekit": by_votekit,
    "sortition": by_sortition,
    "abcvoting": by_abcvoting,
    "pabutools": by_pabutools,
}


def main() -> None:
    """One answer per line: {"answer", "cpu_seconds"} or {"error"}."""
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # some of them print, even from C
    for line in sys.stdin:
        task = json.loads(line)
        started = time.process_time()
        try:
            found = {"answer": ASK[task["library"]](task)}
        except Exception as error:  # noqa: BLE001 - what another library raises is one of its answers
            found = {"error": f"{type(error).__name__}: {error}"[:200]}
        spent = time.process_time() - started
        counting = COUNTING.pop() if COUNTING else spent
        print(
            json.dumps({**found, "cpu_seconds": spent, "counting_seconds": counting}),
            file=answers,
            flush=True,
        )


if __name__ == "__main__":
    main()

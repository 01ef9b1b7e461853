import csv
import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_trust.eigentrust import SCORE_SCALE, InvalidSeeds, NotConverged, Scores, scores, to_units
from icn_trust.evidence import Evidence, Kind, local_trust
from icn_trust.graph import TrustGraph

NOISE = 1e-10
"""Twice the error of the scores, in sum, is below this."""

Trust = dict[tuple[str, str], int]


def score(trust: Trust, seeds: dict[str, int], members: tuple[str, ...] = ()) -> Scores:
    graph = TrustGraph.build(((*pair, amount) for pair, amount in trust.items()), [*members, *seeds])
    return scores(graph, seeds)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Trust, dict[str, int], tuple[str, ...]]:
    """Trust, seeds and members, up to eight."""
    members = tuple("abcdefgh"[: draw(st.integers(2, 8))])
    pairs = st.tuples(st.sampled_from(members), st.sampled_from(members)).filter(
        lambda pair: pair[0] != pair[1]
    )
    trust = draw(st.dictionaries(pairs, st.integers(1, 100), max_size=30))
    seeds = draw(st.dictionaries(st.sampled_from(members), st.integers(1, 5), min_size=1, max_size=3))
    return trust, seeds, members


@given(worlds())
def test_scores_equal_the_personalized_pagerank_of_networkx(
    world: tuple[Trust, dict[str, int], tuple[str, ...]],
) -> None:
    trust, seeds, members = world
    oracle = networkx.DiGraph()
    oracle.add_nodes_from(members)
    oracle.add_weighted_edges_from((*pair, amount) for pair, amount in trust.items())
    expected = networkx.pagerank(oracle, alpha=0.85, personalization=seeds, tol=1e-13, max_iter=1000)
    found = score(trust, seeds, members)
    assert max(abs(found.of(member) - expected[member]) for member in members) < 1e-10


@given(worlds())
def test_scores_are_not_negative_and_sum_to_one(world: tuple[Trust, dict[str, int], tuple[str, ...]]) -> None:
    found = score(*world)
    assert all(value >= 0 for value in found.values)
    assert abs(sum(found.values) - 1) < NOISE
    rounded = found.all_rounded()
    assert abs(sum(rounded.values()) - SCORE_SCALE) <= len(rounded) / 2 + 1
    assert all(rounded[member] == found.rounded(member) for member in rounded)


@given(worlds(), st.permutations("abcdefgh"))
def test_renaming_members_renames_scores(
    world: tuple[Trust, dict[str, int], tuple[str, ...]], names: list[str]
) -> None:
    trust, seeds, members = world
    name = dict(zip("abcdefgh", names, strict=True))
    renamed = score(
        {(name[who], name[about]): amount for (who, about), amount in trust.items()},
        {name[seed]: weight for seed, weight in seeds.items()},
        tuple(name[member] for member in members),
    )
    found = score(*world)
    assert all(abs(renamed.of(name[member]) - found.of(member)) < NOISE for member in members)


@given(worlds())
def test_the_order_of_the_input_changes_no_bit(
    world: tuple[Trust, dict[str, int], tuple[str, ...]],
) -> None:
    trust, seeds, members = world
    turned = dict(reversed(trust.items()))
    again = score(turned, dict(reversed(seeds.items())), members[::-1])
    assert again.values.tobytes() == score(*world).values.tobytes()


@given(worlds(), worlds(), st.sampled_from("abcdefgh"))
def test_a_ring_of_sybils_that_nobody_honest_trusts_gets_nothing(
    honest: tuple[Trust, dict[str, int], tuple[str, ...]],
    ring: tuple[Trust, dict[str, int], tuple[str, ...]],
    flattered: str,
) -> None:
    trust, seeds, members = honest
    sybils = {(f"sybil-{who}", f"sybil-{about}"): amount for (who, about), amount in ring[0].items()}
    sybils |= {(f"sybil-{member}", member): 100 for member in members if member == flattered}
    found = score(trust | sybils, seeds, (*members, *(f"sybil-{member}" for member in ring[2])))
    assert [found.of(member) for member in found.graph.members if member.startswith("sybil-")] == [0.0] * len(
        [member for member in found.graph.members if member.startswith("sybil-")]
    )
    alone = score(*honest)
    assert all(abs(found.of(member) - alone.of(member)) < NOISE for member in members)


@given(worlds(), st.data())
def test_a_ring_of_sybils_gets_at_most_what_is_lent_to_it_times_a_constant(
    honest: tuple[Trust, dict[str, int], tuple[str, ...]], data: st.DataObject
) -> None:
    trust, seeds, members = honest
    victim = data.draw(st.sampled_from(members))
    amount = data.draw(st.integers(1, 100))
    ring = {("sybil-0", "sybil-1"): 1, ("sybil-1", "sybil-2"): 1, ("sybil-2", "sybil-0"): 1}
    found = score(trust | ring | {(victim, "sybil-0"): amount}, seeds, members)
    lent = sum(weight for (who, _), weight in trust.items() if who == victim) + amount
    inflow = found.of(victim) * amount / lent
    gained = sum(found.of(f"sybil-{number}") for number in range(3))
    assert gained <= inflow * 0.85 / 0.15 + NOISE


def expect_no_fall(before: Scores, after: Scores, target: str, members: tuple[str, ...]) -> None:
    assert after.of(target) >= before.of(target) - NOISE
    for other in members:
        assert after.of(target) * before.of(other) >= before.of(target) * after.of(other) - NOISE


@given(worlds(), st.data())
def test_more_trust_from_anybody_never_lowers_the_target_nor_its_ratio_to_another(
    world: tuple[Trust, dict[str, int], tuple[str, ...]], data: st.DataObject
) -> None:
    trust, seeds, members = world
    who = data.draw(st.sampled_from(members))
    target = data.draw(st.sampled_from([member for member in members if member != who]))
    more = trust | {(who, target): trust.get((who, target), 0) + data.draw(st.integers(1, 1_000))}
    expect_no_fall(score(*world), score(more, seeds, members), target, members)


@given(worlds(), st.data())
def test_failed_evidence_only_reduces(
    world: tuple[Trust, dict[str, int], tuple[str, ...]], data: st.DataObject
) -> None:
    trust, seeds, members = world
    who = data.draw(st.sampled_from(members))
    target = data.draw(st.sampled_from([member for member in members if member != who]))
    weight = data.draw(st.integers(1, 200))
    evidence = [
        Evidence(*pair, "delivery", Kind.FULFILLED, amount, 0, f"events/{number}")
        for number, (pair, amount) in enumerate(trust.items())
    ]
    failed = Evidence(who, target, "delivery", Kind.FAILED, weight, 0, "events/failed")

    def of_evidence(pieces: list[Evidence]) -> Scores:
        graph = TrustGraph.build(local_trust(pieces, "delivery").trusted(), members)
        return scores(graph, seeds)

    before, after = of_evidence(evidence), of_evidence([*evidence, failed])
    expect_no_fall(after, before, target, members)
    if (who, target) not in trust:
        assert after.values.tobytes() == before.values.tobytes()


def test_without_seeds_there_is_no_score() -> None:
    with pytest.raises(InvalidSeeds, match="no seeds"):
        scores(TrustGraph.build([("ana", "ben", 1)]), {})


def test_a_seed_that_is_no_member_is_named() -> None:
    with pytest.raises(InvalidSeeds, match="'eva' is no member"):
        scores(TrustGraph.build([("ana", "ben", 1)]), {"ana": 1, "eva": 1})
    with pytest.raises(InvalidSeeds, match="'ana' is no member"):
        scores(TrustGraph.build([]), {"ana": 1})


@pytest.mark.parametrize("weight", [0, -1, 2**32])
def test_a_weight_of_a_seed_out_of_range_is_refused(weight: int) -> None:
    with pytest.raises(InvalidSeeds, match="weight"):
        scores(TrustGraph.build([("ana", "ben", 1)]), {"ana": weight})


def test_where_nobody_trusts_anybody_scores_are_the_seed_shares() -> None:
    found = score({}, {"ana": 1, "ben": 3}, ("eva",))
    assert [found.of(member) for member in ("ana", "ben", "eva")] == pytest.approx([0.25, 0.75, 0], abs=1e-15)


def test_iterations_that_run_out_give_no_scores() -> None:
    graph = TrustGraph.build([("ana", "ben", 1), ("ben", "eva", 1), ("eva", "ana", 1)])
    enough = scores(graph, {"ana": 1}).iterations
    assert scores(graph, {"ana": 1}, iterations_max=enough).iterations == enough
    with pytest.raises(NotConverged) as caught:
        scores(graph, {"ana": 1}, iterations_max=enough - 1)
    assert caught.value.iterations == enough - 1
    assert caught.value.change >= caught.value.tolerance == 1e-12


def test_the_largest_alpha_reaches_the_smallest_tolerance() -> None:
    ring = [(str(number), str((number + 1) % 1_000), 1.0) for number in range(1_000)]
    found = scores(TrustGraph.build(ring), {"0": 1}, alpha=0.99, tolerance=1e-14)
    assert found.of("0") == pytest.approx(0.01 / (1 - 0.99**1_000), rel=1e-9)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("alpha", value) for value in (0, -0.1, 0.991, 1, float("nan"))),
        *(("tolerance", value) for value in (0, 1e-15, 1e-9, float("nan"))),
        *(("iterations_max", value) for value in (0, 5_001)),
    ],
)
def test_a_setting_out_of_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        scores(TrustGraph.build([("ana", "ben", 1)]), {"ana": 1}, **{name: value})  # type: ignore[arg-type]


def test_rounding_is_half_to_even() -> None:
    assert [to_units(value) for value in (0.5e-9, 1.5e-9, 2.5e-9, 1.0)] == [0, 2, 2, SCORE_SCALE]


PROGRAM = """
import random, hashlib
from icn_trust.eigentrust import scores
from icn_trust.graph import TrustGraph
dice = random.Random(7)
names = {f"m{number}" for number in range(300)}
pairs = {(f"m{dice.randrange(300)}", f"m{dice.randrange(300)}") for _ in range(4_000)}
trust = [(a, b, 1 + len(a) * len(b)) for a, b in pairs if a != b]
found = scores(TrustGraph.build(trust, names), {"m1": 1, "m2": 2})
print(hashlib.sha256(found.values.tobytes()).hexdigest())
"""


def test_scores_are_the_same_bits_in_every_process_and_for_every_hash_seed() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "4294967295")
    }
    assert len(digests) == 1


def test_members_far_from_the_others_are_scored_to_the_limit() -> None:
    """networkx at 1e-12 stops early for such seeds: its bound grows with the number of members."""
    crowd = [(f"m{number}", f"m{(number * 7 + 1) % 4_000}", 1.0) for number in range(4_000) if number % 1_333]
    graph = TrustGraph.build([*crowd, ("ana", "ben", 1), ("ben", "ana", 1)])
    found = scores(graph, {"ana": 1})
    assert found.of("ana") == pytest.approx(1 / 1.85, abs=1e-11)
    assert found.of("ben") == pytest.approx(0.85 / 1.85, abs=1e-11)


@pytest.mark.vectors
@pytest.mark.parametrize(
    "seeds", [{"1": 1}, {"1": 1, "3": 2, "7188": 1}, {"50": 1, "22": 5, "430": 1, "177": 1}]
)
def test_scores_on_real_trust_equal_networkx(
    seeds: dict[str, int], shared_data: Callable[[str], Path]
) -> None:
    with gzip.open(shared_data("trust-bitcoin-alpha") / "ratings.csv.gz", "rt", newline="") as file:
        rows = [(row["source"], row["target"], int(row["weight"])) for row in csv.DictReader(file)]
    positive = [row for row in rows if row[2] > 0]
    oracle = networkx.DiGraph()
    oracle.add_weighted_edges_from(positive)
    expected = networkx.pagerank(oracle, alpha=0.85, personalization=seeds, tol=1e-12, max_iter=1000)
    found = scores(TrustGraph.build(positive), seeds, alpha=0.85, tolerance=1e-12)
    assert set(found.graph.members) == set(expected)
    difference = max(abs(found.of(member) - value) for member, value in expected.items())
    print(f"largest difference {difference:.3g} after {found.iterations} iterations")
    assert difference < 1e-9
    limit = networkx.pagerank(oracle, alpha=0.85, personalization=seeds, tol=1e-16, max_iter=1000)
    assert max(abs(found.of(member) - value) for member, value in limit.items()) < 1e-11

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_trust.eigentrust import scores
from icn_trust.evidence import Evidence, Kind, local_trust
from icn_trust.explanation import EVIDENCE_NAMED, Explanation, explain
from icn_trust.graph import TrustGraph


def piece(
    who: str, about: str, weight: int, source: str, kind: Kind = Kind.FULFILLED, at_ms: int = 0
) -> Evidence:
    return Evidence(who, about, "delivery", kind, weight, at_ms, source)


def explained(
    evidence: list[Evidence], seeds: dict[str, int], member: str, named_max: int = 20
) -> Explanation:
    trust = local_trust(evidence, "delivery")
    graph = TrustGraph.build(trust.trusted(), [*trust.members, *seeds])
    return explain(scores(graph, seeds), member, trust, named_max)


@given(
    pairs=st.lists(
        st.tuples(
            st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh"), st.integers(1, 9), st.sampled_from(Kind)
        ),
        max_size=40,
    ),
    seeds=st.dictionaries(st.sampled_from("abc"), st.integers(1, 3), min_size=1),
    member=st.sampled_from("abcdefgh"),
    named_max=st.integers(0, 8),
)
def test_the_parts_sum_to_the_score(
    pairs: list[tuple[str, str, int, Kind]], seeds: dict[str, int], member: str, named_max: int
) -> None:
    evidence = [
        piece(who, about, weight, f"events/{number}", kind)
        for number, (who, about, weight, kind) in enumerate(pairs)
        if who != about
    ]
    trust = local_trust(evidence, "delivery")
    found = scores(TrustGraph.build(trust.trusted(), "abcdefgh"), seeds)
    answer = explain(found, member, trust, named_max)
    named = answer.contributions
    total = answer.seed + answer.returned + sum(part.amount for part in named) + answer.rest
    assert abs(total - found.of(member)) <= found.tolerance
    units = answer.seed_units + answer.returned_units + sum(part.amount_units for part in named)
    assert units + answer.rest_units == answer.score_units == found.rounded(member)
    assert answer.score == found.of(member)
    assert len(named) <= named_max
    assert [part.amount for part in named] == sorted((part.amount for part in named), reverse=True)
    assert all(part.amount >= answer.rest / max(1, answer.rest_members) - 1e-15 for part in named)
    assert answer.rest_members == 0 or len(named) == named_max
    # Each contribution is recomputed from what it says.
    lent = {name: sum(trust for who, _, trust in trust.trusted() if who == name) for name in "abcdefgh"}
    for part in named:
        assert part.amount == pytest.approx(
            found.alpha * part.score * part.trust / lent[part.member], abs=1e-15
        )
        assert part.trust == trust.experiences[part.member, member].trust


def test_an_explanation_names_the_evidence_with_the_failures_that_reduce_it() -> None:
    evidence = [
        piece("ana", "ben", 5, "events/1", at_ms=1),
        piece("ana", "ben", 2, "events/2", Kind.FAILED, at_ms=2),
        piece("ana", "ben", 5, "events/3", at_ms=3),
    ]
    answer = explained(evidence, {"ana": 1}, "ben")
    assert [part.member for part in answer.contributions] == ["ana"]
    pieces = answer.contributions[0].pieces
    assert pieces is not None
    assert [one.source_id for one in pieces.named] == ["events/3", "events/1", "events/2"]
    assert answer.contributions[0].trust == 8
    assert (answer.seed, answer.returned, answer.rest, answer.rest_members) == (0, 0, 0, 0)


def test_a_seed_has_its_share_and_what_nobody_passes_on() -> None:
    answer = explained([piece("ana", "ben", 1, "events/1")], {"ana": 1}, "ana")
    assert answer.contributions == ()
    assert answer.seed == pytest.approx(0.15)
    assert answer.returned > 0
    assert answer.seed + answer.returned == pytest.approx(answer.score, abs=1e-12)


def test_evidence_beyond_the_bound_is_summed() -> None:
    evidence = [piece("ana", "ben", 2, f"events/{number:03}") for number in range(EVIDENCE_NAMED)]
    evidence += [piece("ana", "ben", 1, f"events/x{number}") for number in range(3)]
    evidence += [piece("ana", "ben", 1, f"events/y{number}", Kind.FAILED) for number in range(2)]
    pieces = explained(evidence, {"ana": 1}, "ben").contributions[0].pieces
    assert pieces is not None
    assert len(pieces.named) == EVIDENCE_NAMED
    assert (pieces.others, pieces.others_fulfilled, pieces.others_failed) == (5, 3, 2)


def test_equal_contributions_stand_in_order_of_id() -> None:
    evidence = [piece(who, "zoe", 1, "events/1") for who in ("eva", "ben", "ana", "ida")]
    answer = explained(evidence, {"eva": 1, "ben": 1, "ana": 1, "ida": 1}, "zoe", named_max=3)
    assert [part.member for part in answer.contributions] == ["ana", "ben", "eva"]
    assert answer.rest_members == 1


def test_a_graph_without_evidence_is_explained_without_pieces() -> None:
    answer = explain(scores(TrustGraph.build([("ana", "ben", 1.5)]), {"ana": 1}), "ben")
    assert [(part.trust, part.pieces) for part in answer.contributions] == [(1.5, None)]


def test_nobody_of_that_id_and_too_many_names_are_refused() -> None:
    found = scores(TrustGraph.build([("ana", "ben", 1)]), {"ana": 1})
    with pytest.raises(KeyError):
        explain(found, "eva")
    for named_max in (-1, 1_001):
        with pytest.raises(ValueError, match="named_max"):
            explain(found, "ben", named_max=named_max)

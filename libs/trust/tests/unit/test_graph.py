import math

import pytest
from icn_trust.graph import InvalidTrust, TrustGraph


@pytest.mark.parametrize("amount", [0, -1, math.nan, math.inf, -math.inf])
def test_trust_that_is_no_finite_number_above_zero_is_refused(amount: float) -> None:
    with pytest.raises(InvalidTrust, match="finite"):
        TrustGraph.build([("ana", "ben", amount)])


def test_trust_in_oneself_is_refused() -> None:
    with pytest.raises(InvalidTrust, match="itself"):
        TrustGraph.build([("ana", "ana", 1)])


def test_a_pair_twice_is_refused() -> None:
    with pytest.raises(InvalidTrust, match="twice"):
        TrustGraph.build([("ana", "ben", 1), ("ana", "ben", 1)])


def test_more_members_than_the_bound_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icn_trust.graph.MEMBERS_MAX", 3)
    monkeypatch.setattr("icn_trust.graph.PAIRS_MAX", 2)
    assert len(TrustGraph.build([("ana", "ben", 1), ("ben", "ana", 1)], members=["eva"]).members) == 3
    with pytest.raises(InvalidTrust, match="members"):
        TrustGraph.build([("ana", "ben", 1)], members=["eva", "ida"])
    with pytest.raises(InvalidTrust, match="pairs"):
        TrustGraph.build([("ana", "ben", 1), ("ben", "ana", 1), ("ana", "eva", 1)])


def test_what_a_member_passes_on_sums_to_one_or_to_nothing() -> None:
    graph = TrustGraph.build([("ana", "ben", 1), ("ana", "eva", 3)], members=["ida"])
    assert graph.members == ("ana", "ben", "eva", "ida")
    assert graph.shares.toarray().sum(axis=0).tolist() == [1, 0, 0, 0]
    assert graph.shares.toarray()[:, 0].tolist() == [0, 0.25, 0.75, 0]
    assert graph.dangling.tolist() == [1, 2, 3]

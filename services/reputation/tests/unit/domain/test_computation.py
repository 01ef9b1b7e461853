"""One computation: the same for the same evidence, whatever came first."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from icn_reputation.domain.computation import Basis, Computed, PairSum, compute
from icn_reputation.domain.principals import name_of
from icn_reputation.domain.seeds import Seeds
from icn_trust.eigentrust import SCORE_SCALE

PEOPLE = [bytes([number]) * 16 for number in range(6)]
SUMS = st.dictionaries(
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)).filter(lambda pair: pair[0] != pair[1]),
    st.tuples(st.integers(0, 50), st.integers(0, 50)),
    max_size=20,
)


def computed(sums: Iterable[PairSum]) -> Computed:
    return compute(Basis("delivery", 9, 1, Seeds((PEOPLE[0], PEOPLE[5]), 0)), sums)


@given(SUMS, st.randoms(use_true_random=False))
def test_the_order_of_pairs_changes_no_score(
    sums: dict[tuple[bytes, bytes], tuple[int, int]], dice: st.DataObject
) -> None:
    pairs = [PairSum(*pair, *weights) for pair, weights in sums.items()]
    shuffled = list(pairs)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    assert computed(pairs).rounded() == computed(shuffled).rounded()


@given(SUMS)
def test_everybody_who_is_named_has_a_score_and_a_rank(
    sums: dict[tuple[bytes, bytes], tuple[int, int]],
) -> None:
    found = computed(PairSum(*pair, *weights) for pair, weights in sums.items())
    rounded = found.rounded()
    assert set(rounded) == {PEOPLE[0], PEOPLE[5]}.union(*sums)
    assert abs(sum(rounded.values()) - SCORE_SCALE) <= len(rounded)
    for principal, score in rounded.items():
        assert found.rank(principal) == 1 + sum(other > score for other in rounded.values())


def test_a_pair_with_more_broken_than_kept_trusts_no_less_than_one_that_never_met() -> None:
    seed, ana, ben = PEOPLE[0], PEOPLE[1], PEOPLE[2]
    found = computed([PairSum(seed, ana, 10, 0), PairSum(seed, ben, 5, 9)])
    assert found.pairs == 1
    assert found.rounded()[ben] == 0
    assert found.scores.of(name_of(ana)) > 0

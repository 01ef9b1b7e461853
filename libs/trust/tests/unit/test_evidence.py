from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_trust.evidence import Evidence, EvidenceConflict, InvalidEvidence, Kind, local_trust

PIECE = Evidence("ana", "ben", "delivery", Kind.FULFILLED, 3, 1_000, "events/1")


def piece(who: str, about: str, weight: int, source: str, kind: Kind = Kind.FULFILLED) -> Evidence:
    return Evidence(who, about, "delivery", kind, weight, 1_000, source)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("who", ""),
        ("who", "x" * 257),
        ("about", "ana"),
        ("about", ""),
        ("source_id", ""),
        ("dimension", "Delivery"),
        ("dimension", ""),
        ("dimension", "x" * 65),
        ("weight", 0),
        ("weight", -1),
        ("weight", 2**32),
        ("occurred_at_ms", -1),
        ("occurred_at_ms", 2**63),
    ],
)
def test_a_piece_that_breaks_a_rule_is_refused_by_field(field: str, value: object) -> None:
    with pytest.raises(InvalidEvidence, match=f"^{field}: "):
        replace(PIECE, **{field: value})


def test_the_borders_are_allowed() -> None:
    for field, value in (("who", "x" * 256), ("weight", 2**32 - 1), ("occurred_at_ms", 2**63 - 1)):
        assert getattr(replace(PIECE, **{field: value}), field) == value


def test_failed_evidence_reduces_a_pair_and_never_below_zero() -> None:
    evidence = [piece("ana", "ben", 5, "1"), piece("ana", "ben", 2, "2", Kind.FAILED)]
    assert local_trust(evidence, "delivery").experiences["ana", "ben"].trust == 3
    evidence.append(piece("ana", "ben", 9, "3", Kind.FAILED))
    found = local_trust(evidence, "delivery")
    assert found.experiences["ana", "ben"].trust == 0
    assert list(found.trusted()) == []
    assert found.members == {"ana", "ben"}


def test_the_same_piece_twice_counts_once() -> None:
    assert local_trust([PIECE, PIECE], "delivery") == local_trust([PIECE], "delivery")


def test_two_pieces_of_one_name_are_refused() -> None:
    with pytest.raises(EvidenceConflict):
        local_trust([PIECE, replace(PIECE, weight=4)], "delivery")
    other_way = replace(PIECE, who="ben", about="ana")
    elsewhere = replace(PIECE, dimension="payment", weight=4)
    assert len(local_trust([PIECE, other_way, elsewhere], "delivery").experiences) == 2


def test_dimensions_are_kept_apart() -> None:
    assert local_trust([PIECE], "payment").experiences == {}


def test_a_score_at_a_time_uses_what_is_not_later() -> None:
    assert len(local_trust([PIECE], "delivery", until_ms=1_000).experiences) == 1
    assert local_trust([PIECE], "delivery", until_ms=999).experiences == {}


@given(weights=st.lists(st.integers(1, 9), max_size=12), seed=st.integers(0, 2**32))
def test_the_order_of_arrival_changes_nothing(weights: list[int], seed: int) -> None:
    evidence = [
        piece("ana", "ben" if weight % 2 else "eva", weight, str(number), list(Kind)[weight % 3 == 0])
        for number, weight in enumerate(weights)
    ]
    shuffled = evidence.copy()
    Random(seed).shuffle(shuffled)
    assert list(local_trust(shuffled, "delivery").experiences.items()) == list(
        local_trust(evidence, "delivery").experiences.items()
    )

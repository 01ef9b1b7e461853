"""Who trust flows from."""

from __future__ import annotations

import pytest
from icn_reputation.domain.computation import Basis
from icn_reputation.domain.seeds import CONFIGURED, SEEDS_MAX, Seeds, choose_seeds, is_federation

A, B, C = (bytes([number]) * 16 for number in range(1, 4))


@pytest.mark.parametrize(("founders", "needed"), [(4, 3), (5, 4), (6, 5), (7, 5), (1, 1)], ids=str)
def test_a_federation_has_more_than_two_thirds_of_the_founders(founders: int, needed: int) -> None:
    assert is_federation(needed, founders)
    assert not is_federation(needed - 1, founders)


def test_the_settings_come_first_then_the_federation_then_genesis() -> None:
    assert choose_seeds([C, A, C], [B], 7, [A]) == Seeds((A, C), CONFIGURED)
    assert choose_seeds([], [C, B], 7, [A]) == Seeds((B, C), 7)
    assert choose_seeds([], [], 0, [B, A]) == Seeds((A, B), 0)


def test_a_federation_that_everybody_left_has_the_founders_for_seeds_again() -> None:
    before, after = choose_seeds([], [B], 7, [A]), choose_seeds([], [], 9, [A])
    assert after == Seeds((A,), 9)
    assert Basis("delivery", 0, 0, after).adds_to(Basis("delivery", 0, 0, before))


def test_seeds_are_bounded_and_the_lowest_ids_stay() -> None:
    many = [number.to_bytes(16, "big") for number in range(SEEDS_MAX + 1)]
    assert choose_seeds([], many[::-1], 1, [A]).principals == tuple(many[:SEEDS_MAX])


@pytest.mark.parametrize(
    ("count", "seeds", "adds"),
    [
        (5, Seeds((A,), 3), False),
        (6, Seeds((A,), 3), True),
        (4, Seeds((A,), 3), False),
        (5, Seeds((A, B), 4), True),
        (5, Seeds((B,), 2), False),
        (6, Seeds((B,), 2), False),
        (4, Seeds((A, B), 4), False),
        (5, Seeds((B,), CONFIGURED), True),
        (4, Seeds((B,), CONFIGURED), False),
    ],
)
def test_a_computation_adds_to_another_when_it_has_seen_all_of_it_and_more(
    count: int, seeds: Seeds, adds: bool
) -> None:
    known = Basis("delivery", 5, 0, Seeds((A,), 3))
    assert Basis("delivery", count, 0, seeds).adds_to(known) is adds

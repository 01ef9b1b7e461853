"""Claims that add up to 0 are put into groups that each do, or it is said why not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_client.balanced_groups import NoGroups, balanced_groups
from icn_machine.limits import OPENINGS_MAX


def claims_of(*amounts: int) -> dict[bytes, int]:
    return {number.to_bytes(16, "big"): amount for number, amount in enumerate(amounts)}


@given(amounts=st.lists(st.integers(-20, 20), min_size=1, max_size=40), group_max=st.integers(3, 9))
def test_groups_are_of_all_accounts_and_each_adds_up_to_0(amounts: list[int], group_max: int) -> None:
    claims = claims_of(*amounts, -sum(amounts))
    try:
        groups = balanced_groups(claims, group_max)
    except NoGroups as error:
        assert f"and {group_max} at most" in str(error)
        return
    assert sorted(account for group in groups for account in group) == sorted(claims)
    for group in groups:
        assert 2 <= len(group) <= group_max
        assert group == sorted(group)
        assert sum(claims[account] for account in group) == 0


@given(amounts=st.lists(st.integers(1, 2**53), min_size=6, max_size=30))
def test_opposite_claims_always_find_each_other(amounts: list[int]) -> None:
    claims = claims_of(*amounts, *(-amount for amount in amounts))
    groups = balanced_groups(claims, 2)
    assert len(groups) == len(amounts)


@pytest.mark.parametrize("zeros", [1, 2, 3, 513, 1024, 1025])
def test_members_that_bring_nothing_are_in_no_group_alone(zeros: int) -> None:
    for others in ((), (5, -5)):
        claims = claims_of(*others, *(0 for _ in range(zeros)))
        if len(claims) == 1:
            with pytest.raises(NoGroups, match="1 account waits; 2 at least"):
                balanced_groups(claims)
            continue
        groups = balanced_groups(claims)
        assert sum(len(group) for group in groups) == len(claims)
        assert all(2 <= len(group) <= OPENINGS_MAX for group in groups)


def test_as_many_as_fit_are_one_group_and_one_more_is_not() -> None:
    claims = claims_of(OPENINGS_MAX - 1, *(-1 for _ in range(OPENINGS_MAX - 1)))
    assert balanced_groups(claims) == [sorted(claims)]
    with pytest.raises(
        NoGroups, match=f"{OPENINGS_MAX + 1} accounts were found .* and {OPENINGS_MAX} at most"
    ):
        balanced_groups(claims_of(OPENINGS_MAX, *(-1 for _ in range(OPENINGS_MAX))))


def test_twenty_thousand_claims_of_a_region_are_grouped() -> None:
    chance = random.Random(1)
    amounts = [chance.randint(-500_00, 500_00) for _ in range(20_000)]
    rest = -sum(amounts)
    amounts += [rest // 100] * 99
    amounts.append(-sum(amounts))
    groups = balanced_groups(claims_of(*amounts))
    assert sum(len(group) for group in groups) == len(amounts)
    assert len(groups) < 60

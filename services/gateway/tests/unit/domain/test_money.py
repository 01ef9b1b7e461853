from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_gateway.domain.money import GROUP_SEPARATOR, MINUS, format_amount


@pytest.mark.parametrize(
    ("amount_minor", "scale", "shown"),
    [
        (0, 0, "0"),
        (0, 2, "0.00"),
        (5, 2, "0.05"),
        (-5, 2, f"{MINUS}0.05"),
        (-12_050, 2, f"{MINUS}120.50"),
        (123_456_789, 2, f"1{GROUP_SEPARATOR}234{GROUP_SEPARATOR}567.89"),
        (-(2**62), 0, f"{MINUS}4 611 686 018 427 387 904".replace(" ", GROUP_SEPARATOR)),
        (1, 9, "0.000000001"),
    ],
)
def test_amounts_are_shown_whole_and_exact(amount_minor: int, scale: int, shown: str) -> None:
    assert format_amount(amount_minor, scale) == shown


@given(st.integers(-(2**63), 2**64), st.integers(0, 9))
def test_what_is_shown_is_the_amount_and_nothing_else(amount_minor: int, scale: int) -> None:
    shown = format_amount(amount_minor, scale).replace(GROUP_SEPARATOR, "").replace(MINUS, "-")
    assert Fraction(shown) * 10**scale == amount_minor

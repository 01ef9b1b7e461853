"""The height that reads must have reached travels as metadata, in one form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_kit.errors import InvalidArgument
from icn_kit.min_height import (
    MIN_HEIGHT_KEY,
    MIN_HEIGHT_MAX,
    min_height,
    min_height_metadata,
    parse_min_height,
    read_metadata,
)


@given(st.integers(1, MIN_HEIGHT_MAX))
def test_what_is_sent_is_what_is_read(height: int) -> None:
    ((name, value),) = min_height_metadata(height)
    assert name == MIN_HEIGHT_KEY
    assert parse_min_height(value) == parse_min_height(value.encode()) == height


@pytest.mark.parametrize(
    "value",
    ["", "-1", "+1", " 1", "1 ", "1_000", "1.0", "0x1", "½", "٣", str(MIN_HEIGHT_MAX + 1), "9" * 5_000],
)
def test_what_is_no_height_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        parse_min_height(value)
    assert refusal.value.reason == "MIN_HEIGHT_MALFORMED"


def test_no_height_sends_nothing_and_that_of_the_work_at_hand_is_sent_on() -> None:
    assert min_height_metadata(0) == read_metadata() == ()
    token = min_height.set(7)
    try:
        assert read_metadata() == ((MIN_HEIGHT_KEY, "7"),)
    finally:
        min_height.reset(token)

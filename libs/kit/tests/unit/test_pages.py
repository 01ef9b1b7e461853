"""Page sizes and page tokens: every wrong one is INVALID_ARGUMENT with a stable reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_kit.errors import InvalidArgument
from icn_kit.pages import PageTokens, check_page_size

TOKENS = PageTokens(bytes(32))


def test_page_sizes_have_a_default_and_a_bound() -> None:
    assert [check_page_size(size, 50, 500) for size in (0, 1, 500)] == [50, 1, 500]
    with pytest.raises(InvalidArgument) as refusal:
        check_page_size(501, 50, 500)
    assert refusal.value.reason == "PAGE_SIZE_OUT_OF_RANGE"


@given(st.binary(max_size=32))
def test_a_token_leads_back_to_its_place(place: bytes) -> None:
    assert TOKENS.read("units", TOKENS.write("units", place), len(place)) == place


def test_no_token_means_the_first_page() -> None:
    assert TOKENS.read("units", "", 16) is None


@given(st.text(max_size=80))
def test_garbage_is_no_token(token: str) -> None:
    if token:
        with pytest.raises(InvalidArgument) as refusal:
            TOKENS.read("units", token, 16)
        assert refusal.value.reason == "INVALID_PAGE_TOKEN"


@given(st.binary(min_size=16, max_size=16), st.integers(0, 31), st.sampled_from("AZaz09-_=+/ \n"))
def test_a_changed_token_is_refused(place: bytes, position: int, character: str) -> None:
    token = TOKENS.write("units", place)
    changed = token[:position] + character + token[position + 1 :]
    if changed != token:
        with pytest.raises(InvalidArgument):
            TOKENS.read("units", changed, 16)


def test_a_token_of_another_list_another_zone_or_another_length_is_refused() -> None:
    token = TOKENS.write("accounts of ab", bytes(16))
    for tokens, listing, length in (
        (TOKENS, "accounts of cd", 16),
        (PageTokens(bytes([1]) * 32), "accounts of ab", 16),
        (TOKENS, "accounts of ab", 8),
    ):
        with pytest.raises(InvalidArgument):
            tokens.read(listing, token, length)

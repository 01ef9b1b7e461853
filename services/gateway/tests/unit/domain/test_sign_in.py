from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_gateway.domain.sign_in import (
    CHALLENGE_MS,
    CODE_ALPHABET,
    CODE_CHARACTERS,
    keys_digest,
    make_challenge,
    make_code,
    read_challenge,
    read_code,
    secret_hash,
    show_code,
)
from icn_kit.errors import FailedPrecondition, InvalidArgument

KEY, NONCE, PRINCIPAL = b"k" * 32, b"n" * 16, b"p" * 16
NOW_MS = 1_790_000_000_000


def test_a_challenge_is_good_up_to_its_last_moment_and_not_after() -> None:
    made = make_challenge(PRINCIPAL, KEY, NONCE, NOW_MS)
    assert read_challenge(made.content, KEY, NOW_MS + CHALLENGE_MS) == made
    with pytest.raises(FailedPrecondition) as refusal:
        read_challenge(made.content, KEY, NOW_MS + CHALLENGE_MS + 1)
    assert refusal.value.reason == "CHALLENGE_EXPIRED"


@given(st.integers(0, 8 * 73 - 1))
def test_no_bit_of_a_challenge_can_be_changed(bit: int) -> None:
    content = bytearray(make_challenge(PRINCIPAL, KEY, NONCE, NOW_MS).content)
    content[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidArgument):
        read_challenge(bytes(content), KEY, NOW_MS)


@given(st.binary(max_size=200))
def test_what_this_gateway_has_not_made_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        read_challenge(content, KEY, NOW_MS)
    assert refusal.value.reason == "CHALLENGE_MALFORMED"


def test_a_challenge_of_another_gateways_key_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        read_challenge(make_challenge(PRINCIPAL, b"o" * 32, NONCE, NOW_MS).content, KEY, NOW_MS)


@given(st.binary(min_size=CODE_CHARACTERS, max_size=32))
def test_a_code_is_read_as_it_is_shown_and_as_people_type_it(random: bytes) -> None:
    code = make_code(random)
    assert len(code) == CODE_CHARACTERS
    assert read_code(show_code(code)) == code
    assert read_code(f" {show_code(code).lower()} ") == code
    assert read_code(code.replace("0", "o").replace("1", "l")) == code


@pytest.mark.parametrize(
    "text", ["", "ABCD-EFGH-JKM", "ABCD-EFGH-JKMNP", "ABCD-EFGH-JKMU", "Ä" * 12, "A" * 999]
)
def test_what_is_no_code_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        read_code(text)
    assert refusal.value.reason == "CODE_MALFORMED"


def test_every_letter_of_a_code_is_as_likely_as_the_others() -> None:
    assert 256 % len(CODE_ALPHABET) == 0


def test_other_keys_or_another_threshold_give_another_digest() -> None:
    one, two = b"1" * 16, b"2" * 16
    assert keys_digest(1, [one, two]) == keys_digest(1, [two, one])
    assert len({keys_digest(1, [one, two]), keys_digest(2, [one, two]), keys_digest(1, [one])}) == 3
    assert secret_hash("a") != secret_hash("b")

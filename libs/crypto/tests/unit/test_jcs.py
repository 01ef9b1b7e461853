"""Canonical JSON: the scheme's own examples, its borders, and what it refuses."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_crypto.jcs import (
    DEPTH_MAX,
    INTEGER_MAX,
    JsonValue,
    NotIJson,
    canonicalize,
    canonicalize_text,
    format_number,
)

text = st.text(st.characters(exclude_categories=["Cs", "Cn"]))
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-INTEGER_MAX, INTEGER_MAX)
json_values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


# RFC 8785, appendix B.
@pytest.mark.parametrize(
    ("bits", "written"),
    [
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("ffefffffffffffff", "-1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("c340000000000000", "-9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("44b52d02c7e14af7", "1.0000000000000001e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555554", "333333333.33333325"),
        ("41b3de4355555555", "333333333.3333333"),
        ("41b3de4355555556", "333333333.3333334"),
        ("41b3de4355555557", "333333333.33333343"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_numbers_are_written_as_the_scheme_lists_them(bits: str, written: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert format_number(number) == written


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_without_a_value_are_refused(number: float) -> None:
    with pytest.raises(NotIJson):
        format_number(number)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_as_itself(number: float) -> None:
    written = format_number(number)
    assert float(written) == number
    assert len(written) <= 25


@given(json_values)
def test_a_canonical_text_is_its_own_canonical_form_and_keeps_its_meaning(value: JsonValue) -> None:
    canonical = canonicalize(value)
    assert canonicalize_text(canonical) == canonical
    assert json.loads(canonical, parse_int=float) == value


@given(json_values)
def test_white_space_escapes_and_order_make_no_difference(value: JsonValue) -> None:
    assert canonicalize_text(json.dumps(value, indent=3, ensure_ascii=True).encode()) == canonicalize(value)


def test_members_are_sorted_by_utf_16_code_units() -> None:
    # U+1F600 is written D83D DE00 and so comes before U+FB33.
    assert (
        canonicalize({"\ufb33": 1, "\U0001f600": 2, "a": 3}) == '{"a":3,"\U0001f600":2,"\ufb33":1}'.encode()
    )


def test_strings_are_escaped_only_where_json_asks_for_it() -> None:
    written = canonicalize('\b\t\n\f\r"\\/\x00\x1f\x7f\u2028é')
    assert written == '"\\b\\t\\n\\f\\r\\"\\\\/\\u0000\\u001f\x7f\u2028é"'.encode()


def test_integers_are_exact_up_to_two_to_the_53() -> None:
    assert canonicalize(INTEGER_MAX) == b"9007199254740991"
    assert canonicalize(-INTEGER_MAX) == b"-9007199254740991"
    for number in (INTEGER_MAX + 1, -INTEGER_MAX - 1):
        with pytest.raises(NotIJson):
            canonicalize(number)


@pytest.mark.parametrize(
    ("literal", "written"),
    [
        (b"-0", b"0"),
        (b"1.0", b"1"),
        (b"1E2", b"100"),
        (b"9007199254740991", b"9007199254740991"),
        (b"-9007199254740991", b"-9007199254740991"),
        (b"9007199254740993", b"9007199254740992"),
        (b"12345678901234567890", b"12345678901234567000"),
        (b"1" + b"0" * 22, b"1e+22"),
    ],
)
def test_number_literals_are_read_as_doubles(literal: bytes, written: bytes) -> None:
    assert canonicalize_text(literal) == written


def test_depth_is_bounded() -> None:
    deepest = b"[" * DEPTH_MAX + b"]" * DEPTH_MAX
    assert canonicalize_text(deepest) == deepest
    for depth in (DEPTH_MAX + 1, 100_000):
        with pytest.raises(NotIJson):
            canonicalize_text(b"[" * depth + b"]" * depth)


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b" ",
        b"{",
        b"[1,]",
        b"01",
        b"1.",
        b"+1",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"9" * 5000,
        b"1 2",
        b"'a'",
        b'"\x01"',
        b'"\\x"',
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\\ufffe"',
        b'"\\ud83f\\udfff"',
        b'{"\\ufdd0":1}',
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b"\xef\xbb\xbf1",
        b"\xff",
        b'"\xed\xa0\x80"',
    ],
)
def test_what_is_not_i_json_is_refused(broken: bytes) -> None:
    with pytest.raises(NotIJson):
        canonicalize_text(broken)


@pytest.mark.parametrize("value", [b"bytes", (1,), {1: 2}, {"a": {1}}, object()])
def test_other_types_have_no_canonical_form(value: object) -> None:
    with pytest.raises(NotIJson):
        canonicalize(value)  # type: ignore[arg-type]


def test_a_member_that_stands_twice_is_found_among_many_and_named_in_a_few_words() -> None:
    many = "".join(f'"{number}":0,' for number in range(200_000))
    with pytest.raises(NotIJson, match="'199999' stands twice"):
        canonicalize_text(f'{{{many}"199999":1}}'.encode())
    with pytest.raises(NotIJson, match=f"'{'x' * 40}' stands twice"):
        canonicalize_text(f'{{"{"x" * 90}":0,"{"x" * 90}":1}}'.encode())

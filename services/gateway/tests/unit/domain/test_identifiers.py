from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_gateway.domain.identifiers import ProofKind, proof_name, require_hexadecimal
from icn_kit.errors import InvalidArgument


@given(st.binary(min_size=16, max_size=16))
def test_sixteen_bytes_in_lower_case_hex_are_an_identifier(identifier: bytes) -> None:
    assert require_hexadecimal(identifier.hex(), 32) == identifier.hex()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 31,
        "0" * 33,
        "A" * 32,
        "g" * 32,
        "0" * 31 + "\n",
        "0" * 31 + "٣",
        " " + "0" * 31,
        "0x" + "0" * 30,
    ],
)
def test_anything_else_is_refused_with_a_stable_reason(text: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        require_hexadecimal(text, 32)
    assert refusal.value.reason == "MALFORMED_IDENTIFIER"


@pytest.mark.parametrize("kind", [kind for kind in ProofKind if kind is not ProofKind.ANCHORS])
def test_everything_but_an_anchor_is_proven_by_an_identifier_of_sixteen_bytes(kind: ProofKind) -> None:
    assert proof_name(kind, "ab" * 16) == f"{kind.value}/{'ab' * 16}"
    with pytest.raises(InvalidArgument):
        proof_name(kind, "ab" * 32)


def test_an_anchor_is_proven_by_a_digest_of_thirty_two_bytes() -> None:
    assert proof_name(ProofKind.ANCHORS, "ab" * 32) == "anchors/" + "ab" * 32
    with pytest.raises(InvalidArgument):
        proof_name(ProofKind.ANCHORS, "ab" * 16)

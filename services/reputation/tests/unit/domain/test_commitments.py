"""From a commitment's end to a piece of evidence, with the borders of each field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from icn_kit.errors import InvalidArgument
from icn_reputation.domain.commitments import EndedCommitment, evidence_of
from icn_reputation.domain.principals import identifier_of, name_of
from icn_trust.evidence import Evidence, Kind

ANA, BEN, COMMITMENT = b"a" * 16, b"b" * 16, b"c" * 16
ENDED = EndedCommitment(
    commitment=COMMITMENT,
    kind=Kind.FULFILLED,
    who=ANA,
    about=BEN,
    dimension="delivery",
    weight=1,
    occurred_at_ms=0,
    source=f"commitments/{COMMITMENT.hex()}",
)


def test_a_piece_says_what_the_event_said() -> None:
    assert evidence_of(ENDED) == Evidence(
        who=name_of(ANA),
        about=name_of(BEN),
        dimension="delivery",
        kind=Kind.FULFILLED,
        weight=1,
        occurred_at_ms=0,
        source_id=f"commitments/{COMMITMENT.hex()}",
    )


@pytest.mark.parametrize(
    "changes", [{"weight": 2**32 - 1}, {"occurred_at_ms": 2**63 - 1}, {"kind": Kind.FAILED}]
)
def test_the_borders_are_taken(changes: dict[str, Any]) -> None:
    assert evidence_of(replace(ENDED, **changes)).source_id == ENDED.source


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dimension": "fame"}, "DIMENSION_UNKNOWN"),
        ({"dimension": ""}, "DIMENSION_UNKNOWN"),
        ({"dimension": "x" * 100_000}, "DIMENSION_UNKNOWN"),
        ({"weight": 0}, "EVIDENCE_INVALID"),
        ({"weight": 2**32}, "EVIDENCE_INVALID"),
        ({"occurred_at_ms": 2**63}, "EVIDENCE_INVALID"),
        ({"about": ANA}, "EVIDENCE_INVALID"),
        ({"who": b""}, "EVIDENCE_INVALID"),
        ({"who": b"a" * 17}, "EVIDENCE_INVALID"),
        ({"about": b"a" * 15}, "EVIDENCE_INVALID"),
        ({"commitment": b"c" * 32}, "EVIDENCE_INVALID"),
        ({"commitment": b"d" * 16}, "EVIDENCE_INVALID"),
        ({"source": ""}, "EVIDENCE_INVALID"),
        ({"source": f"Commitments/{COMMITMENT.hex()}"}, "EVIDENCE_INVALID"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        evidence_of(replace(ENDED, **changes))
    assert refusal.value.reason == reason
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    "name",
    [
        "",
        "principals/",
        "principals/" + "A" * 32,
        "principals/" + "a" * 31,
        "principals/" + "a" * 33,
        "principals/" + "a" * 32 + "\n",
        "accounts/" + "a" * 32,
    ],
)
def test_a_name_of_another_form_is_none(name: str) -> None:
    with pytest.raises(ValueError) as refusal:
        identifier_of(name)
    assert str(refusal.value) == name

from __future__ import annotations

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit.envelope import (
    AGGREGATE_CHARACTERS_MAX,
    ENVELOPE_BYTES_MAX,
    HEIGHT_MAX,
    SCHEMA_VERSION_MAX,
    SUBJECT_CHARACTERS_MAX,
    MalformedEvent,
    ledger_event_id,
    new_event_id,
    parse_envelope,
    serialize_envelope,
)

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SUBJECT = "icn.ledger.v1.transfer_committed"


def envelope(**fields: object) -> EventEnvelope:
    valid = {
        "id": b"i" * 16,
        "zone": b"z" * 16,
        "schema_version": 1,
        "subject": SUBJECT,
        "aggregate": "accounts/7f3a",
    }
    return EventEnvelope(**{**valid, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"height": HEIGHT_MAX},
        {"schema_version": SCHEMA_VERSION_MAX},
        {"tenant": b"t" * 16},
        {"traceparent": TRACEPARENT},
        {"subject": "icn.a.v1." + "b" * (SUBJECT_CHARACTERS_MAX - 9)},
        {"subject": "icn.ledger.v12.a1_b"},
        {"aggregate": "!" * AGGREGATE_CHARACTERS_MAX},
        {"payload": b"\xff" * 1000},
    ],
    ids=str,
)
def test_an_envelope_at_the_border_passes_and_comes_back_the_same(fields: dict[str, object]) -> None:
    sent = envelope(**fields)
    assert parse_envelope(serialize_envelope(sent)) == sent


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"id": b""}, "id"),
        ({"id": b"i" * 15}, "id"),
        ({"id": b"i" * 17}, "id"),
        ({"zone": b"z" * 32}, "zone"),
        ({"height": HEIGHT_MAX + 1}, "height"),
        ({"schema_version": 0}, "schema_version"),
        ({"schema_version": SCHEMA_VERSION_MAX + 1}, "schema_version"),
        ({"tenant": b"t"}, "tenant"),
        ({"traceparent": TRACEPARENT + "\n"}, "traceparent"),
        ({"traceparent": "01" + TRACEPARENT[2:]}, "traceparent"),
        ({"subject": ""}, "subject"),
        ({"subject": "icn.ledger.transfer_committed"}, "subject"),
        ({"subject": "icn.ledger.v0.transfer_committed"}, "subject"),
        ({"subject": "icn.ledger.v1.*"}, "subject"),
        ({"subject": "icn.ledger.v1.>"}, "subject"),
        ({"subject": SUBJECT + "\n"}, "subject"),
        ({"subject": SUBJECT + ".more"}, "subject"),
        ({"subject": "$JS.API.STREAM.DELETE.ICN_LEDGER"}, "subject"),
        ({"subject": "icn.a.v1." + "b" * (SUBJECT_CHARACTERS_MAX - 8)}, "subject"),
        ({"aggregate": ""}, "aggregate"),
        ({"aggregate": "a b"}, "aggregate"),
        ({"aggregate": "café"}, "aggregate"),
        ({"aggregate": "!" * (AGGREGATE_CHARACTERS_MAX + 1)}, "aggregate"),
    ],
    ids=str,
)
def test_an_envelope_over_the_border_is_refused_by_name(fields: dict[str, object], named: str) -> None:
    with pytest.raises(MalformedEvent, match=named):
        serialize_envelope(envelope(**fields))
    with pytest.raises(MalformedEvent, match=named):
        parse_envelope(envelope(**fields).SerializeToString())


def test_an_envelope_may_be_as_large_as_the_limit_and_no_larger() -> None:
    room = ENVELOPE_BYTES_MAX - len(envelope(payload=b"x" * 200_000).SerializeToString()) + 200_000
    assert len(serialize_envelope(envelope(payload=b"x" * room))) == ENVELOPE_BYTES_MAX
    with pytest.raises(MalformedEvent, match="bytes"):
        serialize_envelope(envelope(payload=b"x" * (room + 1)))
    with pytest.raises(MalformedEvent, match="bytes"):
        parse_envelope(envelope(payload=b"x" * (room + 1)).SerializeToString())


@given(st.binary(max_size=300))
def test_garbage_is_malformed_and_nothing_else(garbage: bytes) -> None:
    with pytest.raises(MalformedEvent):
        parse_envelope(garbage)


def test_unknown_fields_are_passed_over() -> None:
    unknown = b"\xfa\x07\x03new"  # field 127
    assert parse_envelope(serialize_envelope(envelope()) + unknown).subject == SUBJECT


def test_new_ids_are_version_7_uuids_of_this_moment() -> None:
    before = time.time_ns() // 1_000_000
    ids = {new_event_id() for _ in range(1_000)}
    after = time.time_ns() // 1_000_000
    assert len(ids) == 1_000
    for event_id in ids:
        number = uuid.UUID(bytes=event_id)
        assert number.version == 7
        assert number.variant == uuid.RFC_4122
        assert before <= number.int >> 80 <= after


def test_a_ledger_event_has_the_same_id_at_every_validator() -> None:
    # SHA-256 of the specification's preimage, computed with coreutils' sha256sum.
    assert ledger_event_id(b"z" * 16, 7, 3).hex() == "662eb0a9f09ad8ca8fcc9ba314e43fa3"


@given(st.tuples(st.integers(0, HEIGHT_MAX), st.integers(0, 2**32 - 1)), st.data())
def test_ledger_events_of_another_place_have_another_id(place: tuple[int, int], data: st.DataObject) -> None:
    other = data.draw(
        st.tuples(st.integers(0, HEIGHT_MAX), st.integers(0, 2**32 - 1)).filter(lambda value: value != place)
    )
    assert ledger_event_id(b"z" * 16, *place) != ledger_event_id(b"z" * 16, *other)

"""Envelopes put together by hand are those of the generated classes."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from icn.kit.v1.envelope_pb2 import EventEnvelope, EventRun
from icn.ledger.v1 import events_pb2
from icn_kit.envelope import check_envelope, ledger_event_id
from icn_kit.outbox import RUN_BYTES_MAX, events_of_row
from icn_ledger.events.outbox_rows import make_event_rows
from icn_machine.entries import PostingKind
from icn_machine.events import FloorChanged, Movement

from libs.machine.tests.zone import first_commit, make_zone

GENESIS_HASH = bytes(range(32))
ZONE = GENESIS_HASH[:16]
COMMIT = first_commit(make_zone().genesis)
IDS = [bytes([number]) * 32 for number in range(3)]
TRACEPARENT = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"

_movements = st.builds(
    Movement,
    transaction_index=st.integers(0, len(IDS) - 1),
    payer=st.just(b"p" * 16),
    source=st.binary(min_size=16, max_size=16),
    destination=st.binary(min_size=16, max_size=16),
    unit=st.just(b"u" * 16),
    amount_minor=st.integers(1, 2**62),
    source_balance_minor=st.just(0),
    destination_balance_minor=st.just(0),
    memo_hash=st.sampled_from([b"", b"m" * 32]),
    hold=st.sampled_from([b"", b"h" * 16]),
    kind=st.sampled_from(PostingKind),
    reference=st.binary(max_size=32),
)


@given(
    movements=st.lists(_movements, max_size=40),
    height=st.integers(1, 2**62),
    time_ms=st.integers(1, 2**62),
    traced=st.sets(st.integers(0, 40)),
)
def test_an_envelope_of_a_transfer_is_as_protobuf_writes_it(
    movements: list[Movement], height: int, time_ms: int, traced: set[int]
) -> None:
    commit = replace(
        COMMIT,
        block=replace(COMMIT.block, height=height, time_ms=time_ms),
        transaction_ids=IDS,
        events=movements,
        traceparents=dict.fromkeys(traced, TRACEPARENT),
    )
    rows = make_event_rows(GENESIS_HASH)(commit)
    assert [row.run for row in rows] == [
        EventRun.FromString(row.run).SerializeToString(deterministic=True) for row in rows
    ]
    expected = [
        EventEnvelope(
            id=ledger_event_id(ZONE, height, index),
            zone=ZONE,
            height=height,
            schema_version=1,
            tenant=movement.payer,
            traceparent=TRACEPARENT if index in traced else "",
            subject="icn.ledger.v1.transfer_committed",
            aggregate=f"accounts/{movement.source.hex()}",
            payload=events_pb2.TransferCommitted(
                transaction_id=IDS[movement.transaction_index],
                height=height,
                block_time_ms=time_ms,
                source=movement.source,
                destination=movement.destination,
                unit=movement.unit,
                amount_minor=movement.amount_minor,
                memo_hash=movement.memo_hash,
                hold=movement.hold,
                kind=movement.kind,  # type: ignore[arg-type]
                reference=movement.reference,
            ).SerializeToString(deterministic=True),
        )
        for index, movement in enumerate(movements)
    ]
    assert [event for row in rows for event in events_of_row("", row.run)] == expected
    assert [row.id for row in rows] == [envelope.id for envelope in expected[-1:]]


def test_a_block_of_many_bytes_of_events_takes_several_rows() -> None:
    floors = [
        FloorChanged(b"", bytes(12) + number.to_bytes(4, "big"), b"u" * 16, 0, -5, b"s" * 16, 0)
        for number in range(20_000)
    ]
    commit = replace(COMMIT, block=replace(COMMIT.block, height=3), events=floors)
    rows = make_event_rows(GENESIS_HASH)(commit)
    assert len(rows) > 1
    assert all(len(row.run) <= RUN_BYTES_MAX * 1.1 for row in rows)
    runs = [events_of_row("", row.run) for row in rows]
    assert [row.id for row in rows] == [run[-1].id for run in runs]
    events = [event for run in runs for event in run]
    assert [event.id for event in events] == [ledger_event_id(ZONE, 3, index) for index in range(len(floors))]
    assert [event.aggregate for event in events] == [f"accounts/{floor.account.hex()}" for floor in floors]


def test_an_envelope_of_any_other_event_keeps_the_rules() -> None:
    commit = replace(
        COMMIT,
        block=replace(COMMIT.block, height=3),
        events=[FloorChanged(b"", b"a" * 16, b"u" * 16, 0, -5, b"s" * 16, 0)],
    )
    (written,) = make_event_rows(GENESIS_HASH)(commit)
    assert EventRun.FromString(written.run).SerializeToString(deterministic=True) == written.run
    (envelope,) = events_of_row("", written.run)
    check_envelope(envelope)
    assert envelope.id == written.id == ledger_event_id(ZONE, 3, 0)
    assert envelope.tenant == b""
    assert events_pb2.FloorChanged.FromString(envelope.payload).floor_minor == -5

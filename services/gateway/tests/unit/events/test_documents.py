from __future__ import annotations

import json

import pytest
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1 import events_pb2, state_pb2
from icn_gateway.domain.events import format_cursors
from icn_gateway.events.documents import committed_event


def envelope(subject: str, payload: bytes, identifier: bytes = b"\x07" * 16) -> EventEnvelope:
    return EventEnvelope(
        id=identifier,
        zone=b"\x01" * 16,
        height=12,
        schema_version=1,
        tenant=b"\x02" * 16,
        subject=f"icn.ledger.v1.{subject}",
        aggregate="accounts/" + "0a" * 16,
        payload=payload,
    )


def test_a_transfer_reads_as_json_with_exact_numbers_and_hex() -> None:
    payload = events_pb2.TransferCommitted(
        transaction_id=b"\x03" * 32,
        height=12,
        source=b"\x0a" * 16,
        destination=b"\x0b" * 16,
        amount_minor=2**62,
    )
    event = committed_event(envelope("transfer_committed", payload.SerializeToString()))
    assert event is not None
    document = json.loads(event.document)
    assert document["subject"] == "icn.ledger.v1.transfer_committed"
    assert document["id"] == event.identifier == "07" * 16
    assert document["payload"]["amount_minor"] == "4611686018427387904"
    assert document["payload"]["source"] == "0a" * 16
    assert document["payload"]["hold"] == ""
    assert format_cursors({event.service: event.cursor}) == "12-" + "07" * 16


def test_a_refusal_shows_its_receipt_with_status_and_figures_by_name() -> None:
    payload = events_pb2.TransactionRefused(
        receipt=state_pb2.Receipt(
            status=state_pb2.RECEIPT_STATUS_REFUSED,
            reason="CREDIT_LIMIT_EXCEEDED",
            figures=[state_pb2.Figure(name="floor_minor", value=-500)],
        )
    )
    event = committed_event(envelope("transaction_refused", payload.SerializeToString()))
    assert event is not None
    receipt = json.loads(event.document)["payload"]["receipt"]
    assert receipt["status"] == "receipt_status_refused"
    assert receipt["figures"] == [{"name": "floor_minor", "value": "-500"}]


def test_a_message_that_is_absent_is_null() -> None:
    event = committed_event(
        envelope("hold_released", events_pb2.HoldReleased(is_expired=True).SerializeToString())
    )
    assert event is not None
    assert json.loads(event.document)["payload"] == {"height": "0", "hold": None, "is_expired": True}


@pytest.mark.parametrize("name", list(events_pb2.DESCRIPTOR.message_types_by_name))
def test_every_event_of_the_ledger_is_known_by_its_subject(name: str) -> None:
    subject = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
    assert committed_event(envelope(subject, b"")) is not None


@pytest.mark.parametrize(
    "unreadable",
    [
        envelope("never_heard_of", b""),
        envelope("transfer_committed", b"\xff\xff"),
        envelope("transfer_committed", b"", identifier=b"\x07" * 15),
    ],
)
def test_what_cannot_be_read_is_passed_over(unreadable: EventEnvelope) -> None:
    assert committed_event(unreadable) is None

"""Event envelopes as the JSON that clients read."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1 import events_pb2

from icn_gateway.domain.events import CommittedEvent

IDENTIFIER_BYTES = 16

_Reader = Callable[[Message], Any]

_64_BIT = frozenset(
    {
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_FIXED64,
        FieldDescriptor.TYPE_SFIXED64,
    }
)


def _subject(event: str) -> str:
    """The subject of an event's message: ``TransferCommitted`` is ``icn.ledger.v1.transfer_committed``."""
    return f"{events_pb2.DESCRIPTOR.package}.{re.sub('(?<!^)(?=[A-Z])', '_', event).lower()}"


_CLASS_OF_SUBJECT: dict[str, type[Message]] = {
    _subject(name): GetMessageClass(descriptor)
    for name, descriptor in events_pb2.DESCRIPTOR.message_types_by_name.items()
}


def committed_event(envelope: EventEnvelope) -> CommittedEvent | None:
    """The event in ``envelope``; None when this release does not know its subject or cannot read it.

    A newer service may publish what an older gateway has never heard of: that is no fault.
    """
    payload_class = _CLASS_OF_SUBJECT.get(envelope.subject)
    if payload_class is None or len(envelope.id) != IDENTIFIER_BYTES:
        return None
    try:
        payload = payload_class.FromString(envelope.payload)
    except DecodeError:
        return None
    document = {
        "id": envelope.id.hex(),
        "subject": envelope.subject,
        "height": envelope.height,
        "aggregate": envelope.aggregate,
        "tenant": envelope.tenant.hex(),
        "payload": message_document(payload),
    }
    return CommittedEvent(
        identifier=envelope.id.hex(),
        subject=envelope.subject,
        height=envelope.height,
        document=msgspec.json.encode(document),
    )


def message_document(message: Message) -> dict[str, Any]:
    """Every field by its proto name: bytes in hex, 64-bit numbers as decimal strings, an absent message as
    null."""
    return {name: read(message) for name, read in _readers(message.DESCRIPTOR)}


@cache
def _readers(descriptor: Any) -> tuple[tuple[str, _Reader], ...]:
    """How each field of a message is read: asking the descriptor at every event costs three times as much."""
    return tuple((field.name, _reader(field)) for field in descriptor.fields)


def _reader(field: Any) -> _Reader:
    get: Callable[[Message], Any] = attrgetter(field.name)
    convert = _converter(field)
    if field.is_repeated:
        return lambda message: [convert(item) for item in get(message)]
    if field.message_type is not None:
        return lambda message: convert(get(message)) if message.HasField(field.name) else None
    return lambda message: convert(get(message))


def _converter(field: Any) -> Callable[[Any], Any]:
    if field.message_type is not None:
        return message_document
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes.hex
    if field.type in _64_BIT:
        return str
    if field.enum_type is not None:
        names = {number: known.name.lower() for number, known in field.enum_type.values_by_number.items()}
        return lambda number: names.get(number, str(number))
    return lambda value: value

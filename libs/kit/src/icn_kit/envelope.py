"""The envelope every event travels in: made, checked, read.

Source: docs/spec/events.md, "Envelope".
"""

from __future__ import annotations

import re
import time
from hashlib import sha256
from random import SystemRandom

from google.protobuf.message import DecodeError
from icn.kit.v1.envelope_pb2 import EventEnvelope

ENVELOPE_BYTES_MAX = 256 * 1024
"""A quarter of what NATS takes as one message by default."""
SUBJECT_CHARACTERS_MAX = 128
AGGREGATE_CHARACTERS_MAX = 256
HEIGHT_MAX = 2**63 - 1
SCHEMA_VERSION_MAX = 2**16 - 1
ID_BYTES = 16

_LEDGER_EVENT_TAG = b"icn/event-id/v1"
_SUBJECT = re.compile(r"icn\.[a-z][a-z0-9_]*\.v[1-9][0-9]*\.[a-z][a-z0-9_]*\Z")
_AGGREGATE = re.compile(rf"[\x21-\x7e]{{1,{AGGREGATE_CHARACTERS_MAX}}}\Z")
_TRACEPARENT = re.compile(r"(?:00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})?\Z")
_random = SystemRandom()


class MalformedEvent(ValueError):
    """An envelope breaks a rule of the specification; the message says which."""


def new_event_id() -> bytes:
    """A UUIDv7 (RFC 9562, 5.7): 48 bits of unix milliseconds, the rest random but for version and variant."""
    number = time.time_ns() // 1_000_000 << 80 | _random.getrandbits(80)
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return number.to_bytes(ID_BYTES, "big")


def ledger_event_id(zone: bytes, height: int, index: int) -> bytes:
    """The id that every validator gives to event ``index`` (from 0) of block ``height``."""
    return sha256(ledger_event_tag(zone, height) + index.to_bytes(4, "big")).digest()[:ID_BYTES]


def ledger_event_tag(zone: bytes, height: int) -> bytes:
    """What is hashed before the index."""
    return _LEDGER_EVENT_TAG + zone + height.to_bytes(8, "big")


def check_envelope(envelope: EventEnvelope) -> None:
    """Refuse what no reader would take.

    Raises:
        MalformedEvent: a field breaks its rule.
    """
    if len(envelope.id) != ID_BYTES:
        raise MalformedEvent(f"id has {len(envelope.id)} bytes, not {ID_BYTES}")
    if len(envelope.zone) != ID_BYTES:
        raise MalformedEvent(f"zone has {len(envelope.zone)} bytes, not {ID_BYTES}")
    if envelope.height > HEIGHT_MAX:
        raise MalformedEvent(f"height {envelope.height} is above {HEIGHT_MAX}")
    if not 1 <= envelope.schema_version <= SCHEMA_VERSION_MAX:
        raise MalformedEvent(f"schema_version {envelope.schema_version} is not in 1 to {SCHEMA_VERSION_MAX}")
    if len(envelope.tenant) not in (0, ID_BYTES):
        raise MalformedEvent(f"tenant has {len(envelope.tenant)} bytes, neither 0 nor {ID_BYTES}")
    if _TRACEPARENT.match(envelope.traceparent) is None:
        raise MalformedEvent("traceparent is not a W3C traceparent")
    if len(envelope.subject) > SUBJECT_CHARACTERS_MAX or _SUBJECT.match(envelope.subject) is None:
        raise MalformedEvent("subject is not icn.<service>.v<n>.<event>")
    if _AGGREGATE.match(envelope.aggregate) is None:
        raise MalformedEvent("aggregate is not 1 to 256 printable characters without space")


def serialize_envelope(envelope: EventEnvelope) -> bytes:
    """The checked envelope as bytes for the outbox.

    Raises:
        MalformedEvent: a field breaks its rule, or it is larger than ENVELOPE_BYTES_MAX.
    """
    check_envelope(envelope)
    serialized = envelope.SerializeToString()
    if len(serialized) > ENVELOPE_BYTES_MAX:
        raise MalformedEvent(
            f"the event has {len(serialized)} bytes, at most {ENVELOPE_BYTES_MAX} are allowed"
        )
    return serialized


def parse_envelope(serialized: bytes) -> EventEnvelope:
    """The checked envelope in ``serialized``; the payload stays bytes.

    Raises:
        MalformedEvent: these bytes are no envelope, or it breaks a rule.
    """
    if len(serialized) > ENVELOPE_BYTES_MAX:
        raise MalformedEvent(
            f"the event has {len(serialized)} bytes, at most {ENVELOPE_BYTES_MAX} are allowed"
        )
    try:
        envelope = EventEnvelope.FromString(serialized)
    except DecodeError as error:
        raise MalformedEvent("the bytes are no envelope") from error
    check_envelope(envelope)
    return envelope

"""Event envelopes as the JSON that clients read."""

from __future__ import annotations

import re

import msgspec
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from icn.governance.v1 import events_pb2 as governance
from icn.identity.v1 import events_pb2 as identity
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1 import events_pb2 as ledger
from icn.marketplace.v1 import events_pb2 as marketplace
from icn.reputation.v1 import events_pb2 as reputation

from icn_gateway.domain.documents import Dialect, message_document
from icn_gateway.domain.events import CommittedEvent

IDENTIFIER_BYTES = 16

EVENT_FILES: dict[str, FileDescriptor] = {
    "governance": governance.DESCRIPTOR,
    "identity": identity.DESCRIPTOR,
    "ledger": ledger.DESCRIPTOR,
    "marketplace": marketplace.DESCRIPTOR,
    "reputation": reputation.DESCRIPTOR,
}
"""Every service that publishes, with the file that describes its events."""


def _classes(files: dict[str, FileDescriptor]) -> dict[str, tuple[str, type[Message]]]:
    """Service and message by subject: ``TransferCommitted`` is ``icn.ledger.v1.transfer_committed``."""
    return {
        f"{file.package}.{re.sub('(?<!^)(?=[A-Z])', '_', name).lower()}": (
            service,
            GetMessageClass(descriptor),
        )
        for service, file in files.items()
        for name, descriptor in file.message_types_by_name.items()
    }


_CLASS_OF_SUBJECT = _classes(EVENT_FILES)


def committed_event(envelope: EventEnvelope) -> CommittedEvent | None:
    """The event in ``envelope``; None when this release does not know its subject or cannot read it.

    A newer service may publish what an older gateway has never heard of: that is no fault.
    """
    service, payload_class = _CLASS_OF_SUBJECT.get(envelope.subject, ("", None))
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
        "payload": message_document(payload, Dialect.EVENT),
    }
    return CommittedEvent(
        identifier=envelope.id.hex(),
        service=service,
        subject=envelope.subject,
        height=envelope.height,
        document=msgspec.json.encode(document),
    )

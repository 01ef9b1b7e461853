"""Bytes that are no message of a chain."""

from __future__ import annotations

from icn_crypto import wire


class MalformedMessage(ValueError):
    """Bytes no honest validator sends: not canonical, out of bounds, or a body that its header denies."""


class NoMessage(MalformedMessage):
    """Bytes that are not the canonical encoding of the message at all."""


class EvidenceInvalid(ValueError):
    """The bytes prove nothing against anybody; the message says why."""


def parse(message_class: type[wire.MessageT], data: bytes, size_bytes_max: int) -> wire.MessageT:
    """Read a message that is in its canonical form.

    Raises:
        NoMessage: it is not, or it is longer than allowed.
    """
    try:
        return wire.parse_canonical(message_class, data, size_bytes_max)
    except (wire.MalformedBytes, wire.NotCanonical) as error:
        raise NoMessage(str(error)) from error

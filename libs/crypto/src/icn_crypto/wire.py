"""The canonical form of protobuf bytes: one encoding per message, anything else is refused.

What is signed, hashed or stored is kept as received, so two encodings of one meaning would be two
identities of one thing. Source: docs/spec/cryptography.md, "Wire form".
"""

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

MessageT = TypeVar("MessageT", bound=Message)


class MalformedBytes(ValueError):
    """The bytes are longer than allowed or are no message of the class at all."""


class NotCanonical(ValueError):
    """The bytes are a message, but not written in the one allowed way, or with a field nobody knows yet."""


def parse_canonical(message_class: type[MessageT], data: bytes, size_bytes_max: int) -> MessageT:
    """Read a message whose bytes are its canonical encoding.

    Canonical: fields ascending by number, fields at their default absent, varints minimal, repeated scalars
    packed, no unknown field, no field twice. That is what the protobuf runtime writes once unknown fields
    are dropped, so the test is to write the message again and compare.

    Raises:
        MalformedBytes: longer than ``size_bytes_max``, or not parseable.
        NotCanonical: parseable, but written differently.
    """
    if len(data) > size_bytes_max:
        raise MalformedBytes(f"{message_class.__name__} of {len(data)} bytes, at most {size_bytes_max}")
    try:
        message = message_class.FromString(data)
    except DecodeError as error:
        raise MalformedBytes(f"not a {message_class.__name__}") from error
    message.DiscardUnknownFields()  # type: ignore[no-untyped-call, unused-ignore]
    if message.SerializeToString(deterministic=True) != data:
        raise NotCanonical(f"{message_class.__name__} is not in canonical form")
    return message

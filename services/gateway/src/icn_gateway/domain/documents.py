"""Protobuf messages as the JSON that clients read: one mapping, by the rules below, for every message of
``protos/``.

- A field has its proto name. Bytes are lower-case hex. An absent message is null; of a ``oneof`` only the
  member that is set is there.
- 64-bit numbers are decimal strings, since JSON readers round them. In a `Dialect.REST` document heights,
  epochs and times in milliseconds are numbers, as everywhere in REST: they stay below 2^53.
- An enum value is its name in lower case; in REST without the prefix that all values of the enum share.

Source: docs/spec/gateway.md, "Documents".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message


class Dialect(Enum):
    """For whom a document is made."""

    REST = "rest"
    EVENT = "event"


_Write = Callable[[Message, dict[str, Any]], None]

_64_BIT = frozenset(
    {
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_FIXED64,
        FieldDescriptor.TYPE_SFIXED64,
    }
)
_SMALL_NAME = re.compile(r"(?:^|_)(?:height|epoch|ms)\Z")
UNSPECIFIED = "unspecified"


def message_document(message: Message, dialect: Dialect = Dialect.REST) -> dict[str, Any]:
    """``message`` as a JSON object."""
    document: dict[str, Any] = {}
    for write in _writers(message.DESCRIPTOR, dialect):
        write(message, document)
    return document


def is_decimal_string(field: FieldDescriptor, dialect: Dialect) -> bool:
    """Whether the number is written as a string."""
    if field.type not in _64_BIT:
        return False
    return dialect is Dialect.EVENT or _SMALL_NAME.search(field.name) is None


def enum_names(enum: EnumDescriptor, dialect: Dialect) -> dict[int, str]:
    """What each number of an enum is called."""
    prefix = "" if dialect is Dialect.EVENT else shared_prefix(enum)
    return {value.number: value.name.removeprefix(prefix).lower() for value in enum.values}


def shared_prefix(enum: EnumDescriptor) -> str:
    """``RECEIPT_STATUS_`` of ``ReceiptStatus``, as buf's lint asks of every enum."""
    return re.sub("(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"


def member_of_oneof(field: FieldDescriptor) -> bool:
    """Whether the field is one of several of which at most one is set; proto3's ``optional`` is not."""
    oneof = field.containing_oneof
    return oneof is not None and len(oneof.fields) > 1


@cache
def _writers(descriptor: Descriptor, dialect: Dialect) -> tuple[_Write, ...]:
    """How each field is written: asking the descriptor at every message costs three times as much."""
    return tuple(_writer(field, dialect) for field in descriptor.fields)


def _writer(field: FieldDescriptor, dialect: Dialect) -> _Write:
    name = field.name
    get: Callable[[Message], Any] = attrgetter(name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = (field.message_type.fields_by_name[part] for part in ("key", "value"))
        assert key.type == FieldDescriptor.TYPE_STRING, "maps of ours are keyed by strings"
        convert_value = _converter(value, dialect)

        def write_map(message: Message, document: dict[str, Any]) -> None:
            document[name] = {entry: convert_value(found) for entry, found in sorted(get(message).items())}

        return write_map
    convert = _converter(field, dialect)
    if field.is_repeated:

        def write_list(message: Message, document: dict[str, Any]) -> None:
            document[name] = [convert(item) for item in get(message)]

        return write_list
    is_choice = member_of_oneof(field)
    if field.has_presence:

        def write_if_set(message: Message, document: dict[str, Any]) -> None:
            if message.HasField(name):
                document[name] = convert(get(message))
            elif not is_choice:
                document[name] = None

        return write_if_set

    def write_plain(message: Message, document: dict[str, Any]) -> None:
        document[name] = convert(get(message))

    return write_plain


def _converter(field: FieldDescriptor, dialect: Dialect) -> Callable[[Any], Any]:
    if field.message_type is not None:
        return lambda message: message_document(message, dialect)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes.hex
    if is_decimal_string(field, dialect):
        return str
    if field.enum_type is not None:
        names = enum_names(field.enum_type, dialect)
        return lambda number: names.get(number, str(number))
    return lambda value: value

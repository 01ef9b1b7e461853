"""What the OpenAPI document says of messages and reads, in the words of ``protos/``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

from icn_gateway.api.declared import PROBLEM_DESCRIPTIONS
from icn_gateway.api.fields import HEIGHT_MAX, HEX
from icn_gateway.api.problems import PROBLEM_MEDIA_TYPE
from icn_gateway.api.reads.route import Parameter, Read
from icn_gateway.domain.documents import Dialect, enum_names, is_decimal_string, member_of_oneof

_DESCRIPTORS: Final = "descriptors.binpb"
_DECIMAL: Final = "^(0|-?[1-9][0-9]{0,19})$"
_SCHEMA_OF_CONTENT: Final[Mapping[str, Any]] = {"application/json": {}, "text/jsonl": {"type": "string"}}
_READ_PROBLEMS: Final = (400, 404, 409, 429, 500, 502, 503, 504)

# Numbers of fields in google/protobuf/descriptor.proto: what a path of source code info is made of.
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6
_FIELD, _NESTED, _METHOD = 2, 3, 2


@cache
def comments() -> Mapping[str, str]:
    """What each message, field and call of ``protos/`` is said to be, by its full name."""
    serialized = files("icn").joinpath(_DESCRIPTORS).read_bytes()
    found: dict[str, str] = {}
    for file in FileDescriptorSet.FromString(serialized).file:
        names = dict(_names(file))
        for location in file.source_code_info.location:
            name = names.get(tuple(location.path))
            if name is not None and location.leading_comments:
                found[name] = " ".join(location.leading_comments.split())
    return found


def _names(file: FileDescriptorProto) -> Iterable[tuple[tuple[int, ...], str]]:
    for number, message in enumerate(file.message_type):
        yield from _names_of((_MESSAGE, number), f"{file.package}.{message.name}", message)
    for number, enum in enumerate(file.enum_type):
        yield (_ENUM, number), f"{file.package}.{enum.name}"
    for number, service in enumerate(file.service):
        for position, method in enumerate(service.method):
            yield (_SERVICE, number, _METHOD, position), f"{file.package}.{service.name}.{method.name}"


def _names_of(
    path: tuple[int, ...], name: str, message: DescriptorProto
) -> Iterable[tuple[tuple[int, ...], str]]:
    yield path, name
    for number, field in enumerate(message.field):
        yield (*path, _FIELD, number), f"{name}.{field.name}"
    for number, nested in enumerate(message.nested_type):
        yield from _names_of((*path, _NESTED, number), f"{name}.{nested.name}", nested)


def schemas(descriptors: Iterable[Descriptor]) -> dict[str, Any]:
    """Schemas of these messages and of everything inside them, by full name."""
    waiting, made = list(descriptors), dict[str, Any]()
    while waiting:
        descriptor = waiting.pop()
        if descriptor.full_name in made:
            continue
        made[descriptor.full_name] = {
            "title": descriptor.name,
            "type": "object",
            "description": comments().get(descriptor.full_name, descriptor.name),
            "properties": {field.name: _described(field) for field in descriptor.fields},
            "required": [field.name for field in descriptor.fields if not member_of_oneof(field)],
        }
        for field in descriptor.fields:
            inner = field.message_type
            if inner is not None and inner.GetOptions().map_entry:
                inner = inner.fields_by_name["value"].message_type
            if inner is not None:
                waiting.append(inner)
    return made


def _described(field: FieldDescriptor) -> dict[str, Any]:
    comment = comments().get(field.full_name, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return {
            "type": "object",
            "additionalProperties": _value(field.message_type.fields_by_name["value"]),
            "description": comment,
        }
    schema = _value(field)
    if field.is_repeated:
        return {"type": "array", "items": schema, "description": comment}
    if field.has_presence and not member_of_oneof(field):
        return {"anyOf": [schema, {"type": "null"}], "description": comment}
    if field.enum_type is not None:
        names = ", ".join(f"`{name}`" for name in enum_names(field.enum_type, Dialect.REST).values())
        comment = f"{comment} One of {names}, or the number of one that this gateway does not know."
    return {**schema, "description": comment}


def _value(field: FieldDescriptor) -> dict[str, Any]:  # noqa: PLR0911 - one per kind of field
    if field.message_type is not None:
        return {"$ref": reference(field.message_type)}
    match field.type:
        case FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "pattern": HEX}
        case FieldDescriptor.TYPE_STRING | FieldDescriptor.TYPE_ENUM:
            return {"type": "string"}
        case FieldDescriptor.TYPE_BOOL:
            return {"type": "boolean"}
        case FieldDescriptor.TYPE_DOUBLE | FieldDescriptor.TYPE_FLOAT:
            return {"type": "number"}
        case _ if is_decimal_string(field, Dialect.REST):
            return {"type": "string", "pattern": _DECIMAL}
        case _:
            return {"type": "integer", "minimum": -HEIGHT_MAX, "maximum": HEIGHT_MAX}


def reference(descriptor: Descriptor) -> str:
    """Where the document has a message's schema."""
    return f"#/components/schemas/{descriptor.full_name}"


def operation(read: Read) -> dict[str, Any]:
    """What the document says of a read."""
    descriptor = read.method.descriptor
    words = comments().get(descriptor.full_name, descriptor.name)
    return {
        "operationId": read.operation,
        "tags": [read.tag],
        "summary": words.partition(". ")[0].rstrip("."),
        "description": words,
        "parameters": [
            parameter_object(parameter, is_in_path=parameter.name in read.path_parameters)
            for parameter in read.parameters
        ],
        "responses": {
            "200": {
                "description": comments().get(descriptor.output_type.full_name, "The answer."),
                "content": {
                    media_type: {
                        "schema": {"$ref": reference(descriptor.output_type)}
                        if read.content is None
                        else _SCHEMA_OF_CONTENT.get(media_type, {"type": "string", "format": "binary"})
                    }
                    for media_type in read.media_types
                },
            },
            **problem_responses(*_READ_PROBLEMS),
        },
    }


def problem_responses(*statuses: int) -> dict[str, Any]:
    """The refusals of a route."""
    return {
        str(status): {
            "description": PROBLEM_DESCRIPTIONS[status],
            "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted(statuses)
    }


def parameter_object(parameter: Parameter, *, is_in_path: bool) -> dict[str, Any]:
    """A parameter as OpenAPI has it."""
    schema: dict[str, Any]
    if parameter.whole_max is not None:
        least = 0 if parameter.default == "0" or parameter.default is None else 1
        schema = {"type": "integer", "minimum": least, "maximum": parameter.whole_max}
        example: Any = int(parameter.example)
    else:
        schema = {
            "type": "string",
            "pattern": f"^{parameter.pattern}$",
            "maxLength": parameter.characters_max,
        }
        example = parameter.example
        if parameter.default is None:
            schema["minLength"] = 1
    return {
        "name": parameter.name,
        "in": "path" if is_in_path else "query",
        "required": is_in_path or parameter.default is None,
        "description": parameter.description,
        "schema": schema,
        "example": example,
    }

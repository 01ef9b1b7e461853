"""A route that is one read of a service: its parameters become the request, the response its document.

What the route means, and which reasons it may be refused with, are the words that the contract in ``protos/``
has for the call: nothing is described twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message
from icn_kit.errors import ErrorKind, InvalidArgument, RemoteError
from litestar import Response, get
from litestar.di import NamedDependency

from icn_gateway.api.bodies import JSON
from icn_gateway.api.context import Context
from icn_gateway.api.fields import (
    EXAMPLE_DIGEST,
    EXAMPLE_ID,
    PAGE_SIZE_DEFAULT,
    PAGE_TOKEN,
    PAGE_TOKEN_CHARACTERS_MAX,
)
from icn_gateway.api.problems import AnyRequest
from icn_gateway.domain.documents import UNSPECIFIED, Dialect, enum_names, message_document
from icn_gateway.usecases.contracts import Method

_PATH_PARAMETER = re.compile(r"\{([a-z_]+):str\}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that a client gives in the path or the query."""

    name: str
    field: str
    """Field of the request that it fills."""
    description: str
    pattern: str
    """A regular expression that the whole of it matches."""
    characters_max: int
    example: str
    convert: Callable[[str], Any] = str
    """From the text to the field's value."""
    default: str | None = None
    """None: a client must give it."""
    whole_max: int | None = None
    """Set for a whole number: the largest; the smallest is 1, or 0 where that is the default."""

    def read(self, values: Sequence[str]) -> Any:
        """The field's value.

        Raises:
            InvalidArgument: it is missing, given twice, or not of its form.
        """
        if not values and self.default is not None:
            values = (self.default,)
        if len(values) != 1:
            raise InvalidArgument("INVALID_ARGUMENT", f"{self.name}: must be given once", parameter=self.name)
        (text,) = values
        if len(text) > self.characters_max or re.fullmatch(self.pattern, text) is None:
            raise InvalidArgument(
                "MALFORMED_IDENTIFIER" if "[0-9a-f]" in self.pattern else "INVALID_ARGUMENT",
                f"{self.name}: {self.description}",
                parameter=self.name,
            )
        if self.whole_max is not None and int(text) > self.whole_max:
            raise InvalidArgument("INVALID_ARGUMENT", f"{self.name}: {self.description}", parameter=self.name)
        return self.convert(text)


@dataclass(frozen=True, slots=True)
class Content:
    """An answer that is bytes for somebody else than a reader of our documents."""

    content: bytes
    media_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Read:
    """One route."""

    path: str
    """As Litestar has it, ``/v1/polls/{poll_id:str}/ballots``."""
    operation: str
    """Name of the operation in the OpenAPI document."""
    tag: str
    method: Method
    parameters: tuple[Parameter, ...] = ()
    combine: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """Makes fields of several parameters, where a field needs more than one."""
    content: Callable[[Any, Message], Content] | None = None
    """Makes the answer from request and response where it is not the response's document."""
    media_types: tuple[str, ...] = (JSON,)
    """What the answer can be."""
    check: Callable[[dict[str, Any]], None] | None = None
    """Refuses combinations that no request may have."""

    @property
    def path_parameters(self) -> frozenset[str]:
        """Names of those in the path."""
        return frozenset(_PATH_PARAMETER.findall(self.path))

    @property
    def openapi_path(self) -> str:
        """The path as OpenAPI writes it."""
        return _PATH_PARAMETER.sub(r"{\1}", self.path)

    def request(self, path_values: dict[str, Any], query: Any) -> Message:
        """The request that a client's values make.

        Raises:
            InvalidArgument: see `Parameter.read`.
        """
        in_path = self.path_parameters
        fields = {
            parameter.field: parameter.read(
                (path_values[parameter.name],)
                if parameter.name in in_path
                else query.getall(parameter.name, [])
            )
            for parameter in self.parameters
        }
        if self.check is not None:
            self.check(fields)
        return self.method.request(**(fields if self.combine is None else self.combine(fields)))


def handler(read: Read) -> Any:
    """The Litestar route."""

    async def answer(request: AnyRequest, context: NamedDependency[Context]) -> Response[bytes]:
        """Ask the service and say what it said."""
        asked = read.request(request.path_params, request.query_params)
        response = await context.services.ask(read.method, asked)
        if read.content is not None:
            found = read.content(asked, response)
            return Response(found.content, media_type=found.media_type, headers=dict(found.headers))
        return Response(msgspec.json.encode(message_document(response)), media_type=JSON)

    return get(read.path, name=read.operation, include_in_schema=False)(answer)


def identifier(name: str, field: str, collection: str, what: str) -> Parameter:
    """16 bytes in hex that name something of a collection; an empty ``collection`` leaves it as it is."""
    return Parameter(
        name,
        field,
        f"{what}, 16 bytes in lower-case hex.",
        "[0-9a-f]{32}",
        32,
        EXAMPLE_ID,
        _named(collection),
    )


def digest(name: str, field: str, collection: str, what: str) -> Parameter:
    """The same of 32 bytes."""
    return Parameter(
        name,
        field,
        f"{what}, 32 bytes in lower-case hex.",
        "[0-9a-f]{64}",
        64,
        EXAMPLE_DIGEST,
        _named(collection),
    )


def only_of(name: str, field: str, collection: str, what: str, example: str = EXAMPLE_ID) -> Parameter:
    """A filter: 16 bytes in hex; absent for all."""
    return Parameter(
        name,
        field,
        f"{what}, 16 bytes in lower-case hex; absent for all.",
        "([0-9a-f]{32})?",
        32,
        example,
        _named(collection),
        default="",
    )


def flag(name: str, field: str, what: str) -> Parameter:
    """``true`` or ``false``."""
    return Parameter(
        name, field, f"{what}: true or false.", "true|false", 5, "false", lambda text: text == "true", "false"
    )


def whole(name: str, what: str, largest: int, default: int | None, example: int) -> Parameter:
    """A whole number that is not negative, of a field of the same name."""
    digits = len(str(largest))
    return Parameter(
        name,
        name,
        what,
        f"(0|[1-9][0-9]{{0,{digits - 1}}})",
        digits,
        str(example),
        int,
        None if default is None else str(default),
        largest,
    )


def word(name: str, field: str, what: str, example: str, *, default: str | None = None) -> Parameter:
    """A short name such as a dimension's."""
    pattern = "[a-z][a-z0-9_.-]{0,63}" if default is None else "([a-z][a-z0-9_.-]{0,63})?"
    return Parameter(name, field, what, pattern, 64, example, default=default)


def choice(name: str, field: str, what: str, enum: EnumDescriptor) -> Parameter:
    """One value of an enum by its name in REST; absent for all."""
    numbers = {text: number for number, text in enum_names(enum, Dialect.REST).items() if text != UNSPECIFIED}
    words = "|".join(numbers)
    return Parameter(
        name,
        field,
        f"{what}: {', '.join(f'`{text}`' for text in numbers)}; absent for all.",
        f"({words})?",
        max(map(len, numbers)),
        next(iter(numbers)),
        lambda text: numbers.get(text, 0),
        default="",
    )


def paging(largest: int) -> tuple[Parameter, Parameter]:
    """The two parameters of every list."""
    return (
        Parameter(
            "page_size",
            "page_size",
            f"Rows of the page, 1 to {largest}.",
            "[1-9][0-9]{0,2}",
            3,
            str(PAGE_SIZE_DEFAULT),
            int,
            str(PAGE_SIZE_DEFAULT),
            largest,
        ),
        Parameter(
            "page_token",
            "page_token",
            "`next_page_token` of the previous page; absent for the first one.",
            PAGE_TOKEN.removeprefix("^").removesuffix("$"),
            PAGE_TOKEN_CHARACTERS_MAX,
            "",
            default="",
        ),
    )


def json_content(content: bytes, *, headers: Mapping[str, str] | None = None) -> Content:
    """JSON of a service, byte for byte as somebody has signed it.

    Raises:
        RemoteError: MALFORMED_ANSWER, it is none.
    """
    try:
        msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        raise malformed_answer("JSON that is none") from None
    return Content(content, JSON, headers or {})


def malformed_answer(what: str) -> RemoteError:
    """A service's answer is not what its contract says."""
    return RemoteError(ErrorKind.INTERNAL, "MALFORMED_ANSWER", f"a service answered with {what}")


def _named(collection: str) -> Callable[[str], str]:
    return lambda text: f"{collection}/{text}" if text and collection else text

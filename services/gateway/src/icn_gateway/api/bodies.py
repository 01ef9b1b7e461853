"""Bodies that a route reads itself: bounded in time, as bytes or as JSON with base64."""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

import msgspec
from litestar.exceptions import InternalServerException

from icn_gateway.api.problems import AnyRequest, HttpProblem

OCTET_STREAM: Final = "application/octet-stream"
JSON: Final = "application/json"
BODY_SECONDS_MAX: Final = 20.0
"""A phone on a bad line sends the largest transaction in it; who dribbles must not hold a place for ever."""


_Form = TypeVar("_Form")


async def read_body(request: AnyRequest) -> bytes:
    """The whole body.

    Raises:
        HttpProblem: BODY_TOO_SLOW, BODY_INCOMPLETE.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            return await request.body()
    except TimeoutError:
        raise HttpProblem(
            408, "BODY_TOO_SLOW", f"the body must arrive within {BODY_SECONDS_MAX:g} s"
        ) from None
    except InternalServerException:
        # Litestar's word for a body whose length or chunks are not what its headers say.
        raise HttpProblem(400, "BODY_INCOMPLETE", "the body ended before its end") from None


async def read_bytes_or_json(request: AnyRequest, field: str) -> bytes:
    """A body of bytes, or a JSON object whose one ``field`` holds them in base64. Raises as `read_parts`."""
    content, _ = await read_parts(request, field)
    return content


async def read_parts(request: AnyRequest, field: str, beside: str | None = None) -> tuple[bytes, bytes]:
    """As `read_bytes_or_json`; a JSON object may hold a second part, ``beside``; it is empty else.

    Raises:
        HttpProblem: MEDIA_TYPE_NOT_SUPPORTED; see `read_body`.
        msgspec.DecodeError, msgspec.ValidationError: the JSON is of another form.
    """
    match media_type(request):
        case "application/octet-stream":
            return await read_body(request), b""
        case "application/json":
            return _decode(await read_body(request), field, beside)
        case _:
            raise HttpProblem(415, "MEDIA_TYPE_NOT_SUPPORTED", f"the body must be {OCTET_STREAM} or {JSON}")


def decode_json(body: bytes, form: type[_Form]) -> _Form:
    """JSON that came from outside, as ``form``; ``Any`` for whatever it is. The decoder's own limit of
    nesting, about a thousand levels, is the depth's bound.

    Raises:
        HttpProblem: JSON_TOO_DEEP.
        msgspec.DecodeError, msgspec.ValidationError: no JSON, or of another form.
    """
    try:
        return msgspec.json.decode(body, type=form)
    except RecursionError:
        raise HttpProblem(400, "JSON_TOO_DEEP", "too many arrays and objects inside each other") from None


def _decode(body: bytes, field: str, beside: str | None) -> tuple[bytes, bytes]:
    found = decode_json(body, dict[str, str])
    if found.keys() - {beside} != {field}:
        optional = f" and may have `{beside}`" if beside else ""
        raise msgspec.ValidationError(f"the object must have one member, `{field}`{optional}")
    return msgspec.convert(found[field], type=bytes), msgspec.convert(found.get(beside or "", ""), type=bytes)


def media_type(request: AnyRequest) -> str:
    """Of the body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()

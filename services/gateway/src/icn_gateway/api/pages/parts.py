"""Parts of a page: each is read by itself, and where it cannot be read says so while the others show."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from icn_kit.errors import DomainError, ErrorKind
from litestar import Response
from litestar.params import QueryParameter

from icn_gateway.api import translate
from icn_gateway.api.context import Context
from icn_gateway.api.fields import PAGE_TOKEN, PAGE_TOKEN_CHARACTERS_MAX
from icn_gateway.api.pages.website import Website
from icn_gateway.api.problems import AnyRequest
from icn_gateway.api.sessions import token_of
from icn_gateway.domain.identifiers import IDENTIFIER_CHARACTERS, require_hexadecimal

ROWS = 50
"""Of a list that is the page's subject."""
ROWS_BESIDE = 8
"""Of a list beside it."""

PageToken = Annotated[
    str, QueryParameter(name="page_token", pattern=PAGE_TOKEN, max_length=PAGE_TOKEN_CHARACTERS_MAX)
]


@dataclass(frozen=True, slots=True)
class Part:
    """A document, or why there is none."""

    value: Any
    reason: str = ""
    """Stable reason; empty when it could be read."""
    is_away: bool = False
    """Nobody answers: it can be read again soon."""


async def part(reading: Awaitable[Any]) -> Part:
    """What was read, or why not."""
    try:
        return Part(await reading)
    except DomainError as error:
        away = error.kind in {ErrorKind.UNAVAILABLE, ErrorKind.DEADLINE_EXCEEDED}
        return Part(None, error.reason, away)


async def parts(**readings: Awaitable[Any]) -> dict[str, Part]:
    """All at once."""
    found = await asyncio.gather(*(part(reading) for reading in readings.values()))
    return dict(zip(readings, found, strict=True))


async def page(
    template: str, here: str, request: AnyRequest, context: Context, website: Website, **values: Any
) -> Response[str]:
    """A page of ours with what all of them show. ``here``: which entry of the navigation it is."""
    return website.render(
        template,
        zone=translate.validator_list(context.genesis, context.seats.known, ()),
        here=here,
        names=await context.book.names(),
        is_signed_in=bool(token_of(request)),
        **values,
    )


def identifier(text: str) -> str:
    """An id in an address.

    Raises:
        InvalidArgument: MALFORMED_IDENTIFIER.
    """
    return require_hexadecimal(text, IDENTIFIER_CHARACTERS)


async def units_of(context: Context, *documents: Part, field: str = "unit") -> Mapping[str, Any]:
    """Units by id that rows of these parts name, for their amounts; unknown ones are left out."""
    wanted: set[str] = set()
    for document in documents:
        for row in document.value or ():
            name = row.get(field)
            if isinstance(name, str) and name:
                wanted.add(name.rpartition("/")[2])
    found = await asyncio.gather(*(part(context.units.get(bytes.fromhex(name))) for name in sorted(wanted)))
    return {
        name: unit.value for name, unit in zip(sorted(wanted), found, strict=True) if unit.value is not None
    }

"""The page for people: plain documents, the same content without scripts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import jinja2
from icn.ledger.v1.service_pb2 import BlockSummary
from icn_kit.errors import DomainError
from icn_kit.trace import Trace, current_trace
from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from icn_gateway.api import translate
from icn_gateway.api.context import Context
from icn_gateway.api.fields import PAGE_TOKEN, PAGE_TOKEN_CHARACTERS_MAX
from icn_gateway.api.problems import AnyRequest, HttpProblem, as_problem
from icn_gateway.domain.identifiers import IDENTIFIER_CHARACTERS, require_hexadecimal
from icn_gateway.domain.money import NO_FLOOR_MINOR, format_amount
from icn_gateway.usecases.get_overview import get_overview
from icn_gateway.usecases.read_accounts import get_account, list_entries

ENTRIES_SHOWN = 50
STATIC_SECONDS = 31_536_000
"""A year: the address of a file changes with its content."""
STATIC_BYTES_MAX = 256 * 1024
SHORT_CHARACTERS = 8
"""Of an id or hash, shown where the whole of it is one tap away."""

_STATIC_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

PageToken = Annotated[
    str, QueryParameter(name="page_token", pattern=PAGE_TOKEN, max_length=PAGE_TOKEN_CHARACTERS_MAX)
]


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of the page, kept in memory."""

    content: bytes
    media_type: str
    version: str
    """Changes with the content."""


class Website:
    """Templates and files of ``web/``, read once.

    Raises:
        FileNotFoundError: the folder is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.files = {
            path.name: _static_file(path)
            for path in sorted((folder / "static").iterdir())
            if path.suffix in _STATIC_TYPES
        }
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folder / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["short"] = lambda text: text[:SHORT_CHARACTERS]
        self._templates.filters["moment"] = moment
        self._templates.filters["amount"] = format_amount
        self._templates.filters["grouped"] = lambda number: format_amount(number, 0)
        self._templates.globals["static"] = lambda name: f"/static/{name}?v={self.files[name].version}"
        self._templates.globals["NO_FLOOR_MINOR"] = NO_FLOOR_MINOR

    def render(self, template: str, status: int = 200, **values: Any) -> Response[str]:
        """A page."""
        return Response(
            self._templates.get_template(template).render(values),
            status_code=status,
            media_type="text/html",
            headers={"cache-control": "no-store"},
        )


def _static_file(path: Path) -> StaticFile:
    content = path.read_bytes()
    assert len(content) <= STATIC_BYTES_MAX, f"{path} is too large for a cheap phone"
    return StaticFile(content, _STATIC_TYPES[path.suffix], hashlib.sha256(content).hexdigest()[:12])


def moment(time_ms: int) -> str:
    """A block time for people, in UTC: ``2026-03-01 12:00:05``."""
    return datetime.fromtimestamp(time_ms // 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _blocks(blocks: Sequence[BlockSummary]) -> list[Any]:
    return [translate.block_summary(block) for block in blocks]


@get("/", include_in_schema=False)
async def show_overview(
    context: NamedDependency[Context], website: NamedDependency[Website], page_token: PageToken = ""
) -> Response[str]:
    """The zone at a glance."""
    overview = await get_overview(page_token, context.ledger, context.units, context.validators)
    return website.render(
        "overview.html",
        status=503 if overview.fault else 200,
        zone=translate.validator_list(context.genesis, overview.validators),
        final_height=overview.final_height,
        reachable=overview.reachable,
        accounts=overview.accounts,
        units=overview.units,
        blocks=_blocks(overview.blocks),
        is_ledger_readable=overview.fault is None,
        is_first_page=not page_token,
        names=context.names,
    )


@get("/accounts/{account_id:str}", include_in_schema=False)
async def show_account(
    account_id: FromPath[str],
    context: NamedDependency[Context],
    website: NamedDependency[Website],
    page_token: PageToken = "",
) -> Response[str]:
    """An account with its entries."""
    require_hexadecimal(account_id, IDENTIFIER_CHARACTERS)
    account, unit = await get_account(account_id, context.ledger, context.units)
    page = await list_entries(account_id, ENTRIES_SHOWN, page_token, context.ledger, context.units)
    return website.render(
        "account.html",
        zone=translate.validator_list(context.genesis, ()),
        account=account.leaf,
        height=account.height,
        unit=unit,
        entries=page.entries,
        next_page_token=page.next_page_token,
        is_first_page=not page_token,
        owner_name=context.names.get(account.leaf.owner),
    )


@get("/static/{name:str}", include_in_schema=False)
async def get_static(name: FromPath[str], website: NamedDependency[Website]) -> Response[bytes]:
    """A style sheet, script or image of the page."""
    file = website.files.get(name)
    if file is None:
        raise HttpProblem(404, "ROUTE_UNKNOWN", "there is no such file")
    return Response(
        file.content,
        media_type=file.media_type,
        headers={
            "cache-control": f"public, max-age={STATIC_SECONDS}, immutable",
            "etag": f'"{file.version}"',
        },
    )


@get("/favicon.ico", include_in_schema=False)
async def get_favicon(website: NamedDependency[Website]) -> Response[bytes]:
    """For browsers that ask for it whatever the page says."""
    file = website.files["icon.svg"]
    return Response(
        file.content, media_type=file.media_type, headers={"cache-control": "public, max-age=86400"}
    )


def pages_router(website: Website, context: Context) -> Router:
    """The routes for people; their refusals are pages too."""

    def refuse(_request: AnyRequest, error: Exception) -> Response[str]:
        problem = as_problem(error)
        return website.render(
            "problem.html",
            status=problem.status,
            zone=translate.validator_list(context.genesis, ()),
            title=HTTPStatus(problem.status).phrase,
            problem=problem,
            trace_id=(current_trace.get() or Trace()).trace_id,
        )

    return Router(
        path="/",
        route_handlers=[show_overview, show_account, get_static, get_favicon],
        exception_handlers={Exception: refuse, DomainError: refuse, HttpProblem: refuse},
    )

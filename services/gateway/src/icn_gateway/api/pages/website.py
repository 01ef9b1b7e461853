"""Templates and files of ``web/``, and what every page shows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jinja2
from litestar import Response

from icn_gateway.domain.money import NO_FLOOR_MINOR, format_amount
from icn_gateway.usecases.name_book import Named

STATIC_BYTES_MAX = 256 * 1024
SHORT_CHARACTERS = 8
"""Of an id or hash, shown where the whole of it is one tap away."""
NANO_DIGITS = 9

_STATIC_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


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
        self._templates.filters.update(
            short=lambda text: text[:SHORT_CHARACTERS],
            tail=lambda name: name.rpartition("/")[2],
            moment=moment,
            day=day,
            clock=lambda time_ms: moment(time_ms)[11:16],
            amount=lambda number, scale: format_amount(int(number), scale),
            grouped=lambda number: format_amount(int(number), 0),
            nano=lambda number: format_amount(int(number), NANO_DIGITS),
            words=lambda text: text.replace("_", " ").replace("-", " "),
        )
        self._templates.globals.update(
            static=lambda name: f"/static/{name}?v={self.files[name].version}",
            NO_FLOOR_MINOR=NO_FLOOR_MINOR,
        )

    def render(self, template: str, status: int = 200, **values: Any) -> Response[str]:
        """A page."""
        return Response(
            self._templates.get_template(template).render({"names": {}, "is_signed_in": False, **values}),
            status_code=status,
            media_type="text/html",
            headers={"cache-control": "no-store"},
        )


def _static_file(path: Path) -> StaticFile:
    content = path.read_bytes()
    assert len(content) <= STATIC_BYTES_MAX, f"{path} is too large for a cheap phone"
    return StaticFile(content, _STATIC_TYPES[path.suffix], hashlib.sha256(content).hexdigest()[:12])


def moment(time_ms: int | str) -> str:
    """A block time for people, in UTC: ``2026-03-01 12:00:05``."""
    return (_EPOCH + timedelta(seconds=min(int(time_ms) // 1_000, _SECONDS_MAX))).strftime(
        "%Y-%m-%d %H:%M:%S"
    )


def day(time_ms: int | str) -> str:
    """The day of it: ``Sun 1 Mar``."""
    found = _when(time_ms)
    return f"{found:%a} {found.day} {found:%b}"


def _when(time_ms: int | str) -> datetime:
    return _EPOCH + timedelta(seconds=min(int(time_ms) // 1_000, _SECONDS_MAX))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_MAX = 253_402_300_799
"""The end of the year 9999, which is as far as a calendar here goes."""


def shown_name(names: Mapping[str, Named], identifier: str) -> str:
    """An organization's name, or the beginning of the id."""
    named = names.get(identifier)
    return named.name if named is not None and named.name else identifier[:SHORT_CHARACTERS]

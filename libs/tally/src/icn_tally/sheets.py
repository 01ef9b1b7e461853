"""What is told of a result, as CSV and as a page.

Source: docs/spec/voting.md, "Sheets".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, Literal, TypeAlias

Standing: TypeAlias = Literal["", "elected", "out"]
_STYLE: Final = (
    "body{font-family:sans-serif;margin:1.5em}table{border-collapse:collapse}"
    "th,td{border:1px solid #999;padding:.25em .5em;text-align:right}"
    "th:first-child,td:first-child{text-align:left}.elected{font-weight:bold}.out{color:#666}"
)


@dataclass(frozen=True, slots=True)
class Row:
    """Of a candidate, project or unit, or of what nobody has."""

    name: str
    cells: tuple[str, ...]
    standing: Standing = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A result for people: sentences, and a table in which every number of them stands or can be seen."""

    sentences: tuple[str, ...]
    header: tuple[str, ...]
    """Of the cells, the names' column left out."""
    rows: tuple[Row, ...]


def sheet_csv(sheet: Sheet) -> str:
    """The table as RFC 4180; the sentences are left out."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\r\n")
    rows.writerow(["", *map(_harmless, sheet.header)])
    rows.writerows([_harmless(row.name), *row.cells] for row in sheet.rows)
    return text.getvalue()


def sheet_html(sheet: Sheet, title: str) -> str:
    """Sentences and table as a page of its own, without scripts or anything from elsewhere."""
    head = "".join(f"<th scope=col>{escape(cell)}</th>" for cell in ("", *sheet.header))
    body = "".join(map(_html_row, sheet.rows))
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in sheet.sentences)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(title)}</h1><ol>{sentences}</ol>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></html>\n"
    )


def listed(names: Sequence[str]) -> str:
    """In a sentence; "nobody" where there are none."""
    if not names:
        return "nobody"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _harmless(cell: str) -> str:
    """A name that a spreadsheet would take for a formula, as text."""
    return f"'{cell}" if cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell


def _html_row(row: Row) -> str:
    attribute = f" class={row.standing}" if row.standing else ""
    body = "".join(f"<td>{escape(cell)}</td>" for cell in row.cells)
    return f"<tr{attribute}><th scope=row>{escape(row.name)}</th>{body}</tr>"

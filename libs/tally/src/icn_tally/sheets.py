"""A count in stages for people: what happened, in sentences, and its sheet as CSV and as a page.

Source: docs/spec/voting.md, "Sheets".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from html import escape

from icn_tally.stages import Count, Stage, Tie, written

_STYLE = (
    "body{font-family:sans-serif;margin:1.5em}table{border-collapse:collapse}"
    "th,td{border:1px solid #999;padding:.25em .5em;text-align:right}"
    "th:first-child,td:first-child{text-align:left}.elected{font-weight:bold}.out{color:#666}"
)


def explained(count: Count, names: Sequence[str]) -> list[str]:
    """One sentence or more for each stage, in plain English; ``names`` of all candidates, by number.

    Every number in it stands in the count.
    """
    told = [_beginning(count)]
    for number, stage in enumerate(count.stages, start=1):
        told.append(_stage_told(count, number, stage, names))
        told += (_tie_told(tie, names) for tie in count.ties if tie.stage == number + 1)
    told.append(f"Elected: {_listed(count.winners, names)}.")
    return told


def sheet_csv(count: Count, names: Sequence[str]) -> str:
    """One row for each candidate, then for what nobody has; one column for each stage, as RFC 4180."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\r\n")
    rows.writerows(
        [cell if index else _harmless(cell) for index, cell in enumerate(row)] for row in _table(count, names)
    )
    return text.getvalue()


def sheet_html(count: Count, names: Sequence[str], title: str) -> str:
    """The same as a page of its own, without scripts or anything from elsewhere, with the sentences above
    it."""
    header, *rows = _table(count, names)
    head = "".join(f"<th scope=col>{escape(cell)}</th>" for cell in header)
    body = "".join(_html_row(row, _class_of(count, place)) for place, row in enumerate(rows, start=1))
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in explained(count, names))
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(title)}</h1><ol>{sentences}</ol>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></html>\n"
    )


def _beginning(count: Count) -> str:
    invalid = f"; {count.invalid} more name nobody that they could count for" if count.invalid else ""
    quota = f" The quota is {count.quota}." if count.quota else ""
    return f"{count.valid} ballots are valid{invalid}.{quota}"


def _stage_told(count: Count, number: int, stage: Stage, names: Sequence[str]) -> str:
    if stage.action == "elect":
        told = "First preferences are counted."
    else:
        before = count.stages[number - 2]
        had = ", ".join(
            f"{names[one - 1]} had {written(before.totals[one - 1], count.places)}"
            for one in stage.candidates
        )
        deed = "What is above the quota goes on" if stage.action == "transfer" else "Excluded"
        told = f"{deed}: {had}."
    elected = f" Elected: {_listed(stage.elected, names)}." if stage.elected else ""
    return f"Stage {number}. {told}{elected}"


def _tie_told(tie: Tie, names: Sequence[str]) -> str:
    deed = {"elect": "elected", "transfer": "transferred first", "exclude": "excluded"}[tie.action]
    by = (
        f"stage {tie.earlier_stage} decided"
        if tie.earlier_stage is not None
        else f"the lot decided between {_listed(tie.drawn_among, names)}"
    )
    return f"{_listed(tie.candidates, names)} were tied; {by}: {names[tie.chosen - 1]} is {deed}."


def _listed(numbers: Sequence[int], names: Sequence[str]) -> str:
    found = [names[number - 1] for number in numbers]
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}" if found else "nobody"


def _table(count: Count, names: Sequence[str]) -> Iterator[list[str]]:
    """Header, candidates, what is non-transferable and what was lost."""
    stages = count.stages
    yield ["", *(_column(number, stage, names) for number, stage in enumerate(stages, start=1))]
    for place, name in enumerate(names):
        yield [name, *(written(stage.totals[place], count.places) for stage in stages)]
    yield ["non-transferable", *(written(stage.non_transferable, count.places) for stage in stages)]
    yield ["lost by rounding", *(written(stage.lost, count.places) for stage in stages)]


def _column(number: int, stage: Stage, names: Sequence[str]) -> str:
    return (
        f"{number}"
        if stage.action == "elect"
        else f"{number}: {stage.action} {_listed(stage.candidates, names)}"
    )


def _harmless(cell: str) -> str:
    """A name that a spreadsheet would take for a formula, as text."""
    return f"'{cell}" if cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell


def _class_of(count: Count, place: int) -> str:
    if place in count.winners:
        return "elected"
    return (
        "out"
        if any(stage.action == "exclude" and place in stage.candidates for stage in count.stages)
        else ""
    )


def _html_row(row: Sequence[str], name: str) -> str:
    first, *cells = row
    attribute = f" class={name}" if name else ""
    body = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f"<tr{attribute}><th scope=row>{escape(first)}</th>{body}</tr>"

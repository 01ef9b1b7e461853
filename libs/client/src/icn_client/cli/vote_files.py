"""What the commands on files of ballots share: one file or a folder of them, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli.files import FILE_BYTES_MAX, batch_files, read_file
from icn_client.cli.output import EXIT_REFUSED, Refused, UsageError, print_json, progress, say, working

if TYPE_CHECKING:
    from icn_tally.sheets import Sheet

BallotsOption = Annotated[
    Path,
    typer.Option(
        "--in",
        metavar="FILE",
        help="The ballots; - for standard input; with --jsonl a folder, of which every file that is not "
        "hidden is counted.",
        readable=False,
    ),
]
JsonlOption = Annotated[bool, typer.Option("--jsonl", help="One line per file of a folder, with its name.")]

ExplainOption = Annotated[
    bool, typer.Option("--explain", help='Add the sentences that explain the result: "explanation".')
]
SheetOption = Annotated[
    Path | None,
    typer.Option(
        "--sheet",
        metavar="FILE",
        help="Write the result's table there too: a page with the explanation where the name ends in .html, "
        "else CSV.",
        readable=False,
    ),
]


def refuse_sheet_of_many(sheet: Path | None, jsonl: bool) -> None:
    """Raises UsageError."""
    if sheet is not None and jsonl:
        raise UsageError("--sheet: of one file, not of a folder")


def explained(told: Callable[[], Sheet], title: str, path: Path | None, *, explain: bool) -> dict[str, Any]:
    """Write the sheet where one is wanted; what the answer has more with an explanation.

    Raises:
        Refused: the file cannot be written.
    """
    if path is None and not explain:
        return {}
    found = told()
    if path is not None:
        _write_sheet(path, found, title)
    return {"explanation": found.sentences} if explain else {}


def _write_sheet(path: Path, sheet: Sheet, title: str) -> None:
    from icn_tally.sheets import sheet_csv, sheet_html

    is_page = path.suffix.lower() in (".html", ".htm")
    text = sheet_html(sheet, title) if is_page else sheet_csv(sheet)
    try:
        path.write_bytes(text.encode())
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", "NOT_WRITTEN") from None


def refuse_unknown(option: str, value: str | None, known: Sequence[str]) -> None:
    """Raises UsageError for a word that is given and not known."""
    if value is not None and value not in known:
        near = get_close_matches(value, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"{option}: {value[:40]!r} is not one of {', '.join(known)}{hint}")


def answer_files(file: Path, jsonl: bool, answer: Callable[[Path, bytes], dict[str, Any]]) -> None:
    """Print the answer for a file, or for each of a folder; there a file that fails does not stop the others.

    Raises:
        Refused: the one file fails.
    """
    if not jsonl:
        with working("counting"):
            found = _answer(file, answer)
        print_json(found)
        return
    faults = 0
    files = batch_files(file)
    with progress("counting", len(files)) as shown:
        for done, path in enumerate(files, start=1):
            try:
                found = _answer(path, answer)
            except Refused as error:
                faults += 1
                say(f"icn: {error}")
                found = {"error": str(error)}
            print_json({"file": path.name, **found})
            shown.update(done)
    if faults:
        raise SystemExit(EXIT_REFUSED)


def _answer(path: Path, answer: Callable[[Path, bytes], dict[str, Any]]) -> dict[str, Any]:
    content = read_file(path, FILE_BYTES_MAX)
    with refusing(path):
        return answer(path, content)


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """What the library finds wrong with a file. Raises Refused."""
    from icn_tally.faults import InvalidBallots, InvalidFile, InvalidParameter

    try:
        yield
    except (InvalidFile, InvalidBallots) as error:
        raise Refused(f"{path}: {error}", "BALLOTS_INVALID") from None
    except InvalidParameter as error:
        raise Refused(f"{path}: {error}", "PARAMETER_INVALID") from None

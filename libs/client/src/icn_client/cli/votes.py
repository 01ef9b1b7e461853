"""Counts of ballots in files: offline, JSON to stdout, on the engine that the services use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli.common import command_group
from icn_client.cli.files import FILE_BYTES_MAX, STANDARD_INPUT, batch_files, read_file
from icn_client.cli.output import EXIT_REFUSED, Refused, UsageError, print_json, progress, say

if TYPE_CHECKING:
    from icn_tally.contest import Contest

_STV = "scottish-stv"
_METHODS = (
    _STV, "borda", "copeland", "minimax", "schulze", "ranked-pairs", "split-cycle", "kemeny",
)  # fmt: skip
_FORMATS = ("blt", "soc", "soi", "toc", "toi")
_COUNT_EXAMPLES = """\b
Examples:
  icn vote count --method scottish-stv --in ward.blt
  icn vote count --method scottish-stv --in board.soi --seats 3
  icn vote count --method schulze --in chair.toi
  icn vote count --method scottish-stv --in wards/ --jsonl
"""


def register(app: typer.Typer) -> None:
    """Add `vote`."""
    vote = command_group("Counts of ballots that anybody can repeat.", _COUNT_EXAMPLES)
    # With one command alone, its name would not be asked for.
    vote.callback()(_vote)
    vote.command("count", epilog=_COUNT_EXAMPLES)(vote_count)
    app.add_typer(vote, name="vote")


def _vote() -> None:
    """Counts of ballots that anybody can repeat."""


def vote_count(  # noqa: PLR0917 - one parameter per option
    method: Annotated[str, typer.Option("--method", help=f"{', '.join(_METHODS)}.")],
    file: Annotated[
        Path,
        typer.Option(
            "--in",
            metavar="FILE",
            help="The ballots; - for standard input; with --jsonl a folder, of which every file that is not "
            "hidden is counted.",
            readable=False,
        ),
    ],
    form: Annotated[
        str | None,
        typer.Option(
            "--format", help=f"{', '.join(_FORMATS)}; by default what the file's name ends in, or blt."
        ),
    ] = None,
    seats: Annotated[
        int | None,
        typer.Option("--seats", metavar="N", help="Seats to fill, by default what the file says.", min=1),
    ] = None,
    places: Annotated[
        int | None,
        typer.Option(
            "--places", metavar="P", help="Decimal places of transfer values, by default 5.", min=0, max=9
        ),
    ] = None,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="One line per file of a folder, with its name.")
    ] = False,
) -> None:
    """Count ballots: {"quota","winners","stages","ties"}.

    Where earlier stages do not break a tie, the first in the order of lots is acted upon: the order that the
    file names, else that of its candidates; "ties" lists each. Of borda, copeland, minimax, schulze,
    split-cycle and kemeny all tied winners are told. "above": how many put each candidate above each other.
    """
    if method not in _METHODS:
        raise UsageError(f"--method: {method[:40]!r} is not one of {', '.join(_METHODS)}")
    if form is not None and form not in _FORMATS:
        raise UsageError(f"--format: {form[:40]!r} is not one of {', '.join(_FORMATS)}")
    if method != _STV and (places is not None or (seats or 1) > 1):
        raise UsageError(f"--seats and --places: {method} elects one, and counts whole ballots")
    if not jsonl:
        print_json(_count_file(method, file, form, seats, places))
        return
    faults = 0
    files = batch_files(file)
    with progress("counting", len(files)) as shown:
        for done, path in enumerate(files, start=1):
            try:
                found: dict[str, Any] = _count_file(method, path, form, seats, places)
            except Refused as error:
                faults += 1
                say(f"icn: {error}")
                found = {"error": str(error)}
            print_json({"file": path.name, **found})
            shown.update(done)
    if faults:
        raise SystemExit(EXIT_REFUSED)


def _count_file(
    method: str, path: Path, form: str | None, seats: int | None, places: int | None
) -> dict[str, Any]:
    """The answer for one file. Raises Refused."""
    from icn_tally.faults import InvalidBallots, InvalidFile, InvalidParameter

    content = read_file(path, FILE_BYTES_MAX)
    try:
        contest = _read(content, form or _format_of(path))
        if method == _STV:
            wanted = seats if seats is not None else contest.seats
            if wanted is None:
                raise Refused(
                    f"{path}: the file does not say how many seats there are; give --seats N", "NO_SEATS"
                )
            return _stages(contest, wanted, places)
        return _comparison(contest, method)
    except (InvalidFile, InvalidBallots) as error:
        raise Refused(f"{path}: {error}", "BALLOTS_INVALID") from None
    except InvalidParameter as error:
        raise Refused(f"{path}: {error}", "PARAMETER_INVALID") from None


def _lot_order(contest: Contest) -> Sequence[int]:
    return contest.lot_order or range(1, len(contest.ballots.candidates) + 1)


def _stages(contest: Contest, seats: int, places: int | None) -> dict[str, Any]:
    from icn_tally.scottish_stv import PLACES_DEFAULT, ScottishStv, count

    rule = ScottishStv(seats, PLACES_DEFAULT if places is None else places)
    counted = count(rule, contest.ballots, _lot_order(contest))
    return {
        "quota": str(counted.quota),
        "winners": counted.winners,
        "stages": [
            {"action": stage.action, "candidates": stage.candidates, "totals": counted.written(stage.totals)}
            for stage in counted.stages
        ],
        "ties": [tie.to_form() for tie in counted.ties],
    }


def _comparison(contest: Contest, method: str) -> dict[str, Any]:
    """A rule that compares in pairs knows neither quota nor stages."""
    from icn_tally.comparisons import Comparison, compare

    compared = compare(Comparison(method), contest.ballots, _lot_order(contest))
    found = compared.to_form()
    return {
        "quota": None,
        "winners": compared.winners,
        "stages": [],
        "ties": found["ties"],
        "candidates": found["candidates"],
        "above": found["above"],
        "scores": found["scores"],
    }


def _format_of(path: Path) -> str:
    ending = path.suffix.lower().removeprefix(".")
    return ending if path != STANDARD_INPUT and ending in _FORMATS else "blt"


def _read(content: bytes, form: str) -> Contest:
    from icn_tally.blt import read_blt
    from icn_tally.preflib import read_preflib

    return read_blt(content) if form == "blt" else read_preflib(content, form)

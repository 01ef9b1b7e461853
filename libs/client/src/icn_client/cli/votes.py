"""Counts of ballots in files: offline, JSON to stdout, on the engine that the services use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli import vote_budgets, vote_committees
from icn_client.cli.common import command_group
from icn_client.cli.files import STANDARD_INPUT, read_file
from icn_client.cli.output import Refused, UsageError
from icn_client.cli.vote_files import BallotsOption, JsonlOption, answer_files, refuse_unknown

if TYPE_CHECKING:
    from icn_tally.contest import Contest
    from icn_tally.rctab_rules import CountingRules
    from icn_tally.stages import Count

_TRANSFERS = ("scottish-stv", "wigm", "meek", "warren")
_RUNOFFS = ("irv", "coombs", "plurality")
_COMPARISONS = (
    "borda", "copeland", "minimax", "schulze", "ranked-pairs", "split-cycle", "kemeny", "nanson", "baldwin",
)  # fmt: skip
_METHODS = (*_TRANSFERS, *_RUNOFFS, *_COMPARISONS)
_WITH_SEATS = (*_TRANSFERS, "irv", "plurality")
_CSV = "csv"
_FORMATS = ("blt", "soc", "soi", "toc", "toi", _CSV)
RULES_BYTES_MAX = 4 * 1024 * 1024
"""Two thousand names and what else a count is told."""
_COUNT_EXAMPLES = """\b
Examples:
  icn vote count --method scottish-stv --in ward.blt
  icn vote count --method meek --in board.soi --seats 3
  icn vote count --method schulze --in chair.toi
  icn vote count --method irv --in mayor.csv --rules mayor.json
  icn vote count --method scottish-stv --in ward.blt --sheet ward.html
  icn vote count --method scottish-stv --in wards/ --jsonl
"""
_EXAMPLES = """\b
Examples:
  icn vote count --method scottish-stv --in ward.blt
  icn vote budget --in district.pb
  icn vote committee --rule pav --in board.yaml --all
"""


def register(app: typer.Typer) -> None:
    """Add `vote`."""
    vote = command_group("Counts of ballots that anybody can repeat.", _EXAMPLES)
    vote.command("count", epilog=_COUNT_EXAMPLES)(vote_count)
    vote_budgets.register(vote)
    vote_committees.register(vote)
    app.add_typer(vote, name="vote")


def vote_count(  # noqa: PLR0917 - one parameter per option
    method: Annotated[str, typer.Option("--method", help=f"{', '.join(_METHODS)}.")],
    file: BallotsOption,
    form: Annotated[
        str | None,
        typer.Option(
            "--format", help=f"{', '.join(_FORMATS)}; by default what the file's name ends in, or blt."
        ),
    ] = None,
    seats: Annotated[
        int | None,
        typer.Option(
            "--seats",
            metavar="N",
            help="Seats to fill; by default what the file says, and one for methods that elect one.",
            min=1,
        ),
    ] = None,
    places: Annotated[
        int | None,
        typer.Option(
            "--places",
            metavar="P",
            help="Decimal places of votes, by default 5 of scottish-stv, 4 of wigm, 9 of meek and warren.",
            min=0,
            max=18,
        ),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            "--rules",
            metavar="RULES.json",
            help="Candidates, labels and rules of cast-vote records, as the RCTab tabulator has them.",
            readable=False,
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--sheet",
            metavar="FILE",
            help="Write the stage sheet there too: a page with an explanation where the name ends in .html, "
            "else CSV.",
            readable=False,
        ),
    ] = None,
    jsonl: JsonlOption = False,
) -> None:
    """Count ballots: {"quota","winners","stages","ties"}.

    Where earlier stages do not break a tie, the first in the order of lots is acted upon: the order that the
    file names, else that of its candidates; "ties" lists each. Of borda, copeland, minimax, schulze,
    split-cycle, kemeny, nanson and baldwin all tied winners are told. "above": how many put each candidate
    above each other.
    """
    refuse_unknown("--method", method, _METHODS)
    refuse_unknown("--format", form, _FORMATS)
    if method not in _TRANSFERS and places is not None:
        raise UsageError(f"--places: {method} counts whole ballots")
    if method not in _WITH_SEATS and (seats or 1) > 1:
        raise UsageError(f"--seats: {method} elects one")
    if sheet is not None and (jsonl or method in _COMPARISONS):
        raise UsageError("--sheet: of one file, and of a method that counts in stages")
    told = _read_rules(rules) if rules is not None else None

    def answer(path: Path, content: bytes) -> dict[str, Any]:
        ending = form or _format_of(path)
        if told is not None and ending != _CSV:
            raise Refused(f"{path}: --rules are for cast-vote records in csv", "PARAMETER_INVALID")
        contest = _read(content, ending, told)
        if method in _COMPARISONS:
            return _comparison(contest, method)
        parameters: dict[str, Any] = {}
        if told is not None and told.rule == method:
            parameters |= told.parameters
        if seats is not None:
            parameters["seats"] = seats
        elif method in _TRANSFERS and "seats" not in parameters:
            if contest.seats is None:
                raise Refused(
                    f"{path}: the file does not say how many seats there are; give --seats N", "NO_SEATS"
                )
            parameters["seats"] = contest.seats
        if places is not None:
            parameters["places"] = places
        counted = _counted(method, parameters, contest)
        if sheet is not None:
            _write_sheet(sheet, counted, contest)
        return _stages(counted)

    answer_files(file, jsonl, answer)


def _read_rules(path: Path) -> CountingRules:
    """Raises Refused."""
    from icn_tally.faults import InvalidFile, InvalidParameter
    from icn_tally.rctab_rules import read_counting_rules

    content = read_file(path, RULES_BYTES_MAX)
    try:
        return read_counting_rules(content)
    except (InvalidFile, InvalidParameter) as error:
        raise Refused(f"{path}: {error}", "PARAMETER_INVALID") from None


def _lot_order(contest: Contest) -> Sequence[int]:
    return contest.lot_order or range(1, len(contest.ballots.candidates) + 1)


def _counted(method: str, parameters: dict[str, Any], contest: Contest) -> Count:
    from icn_tally import meek, runoff, scottish_stv, wigm

    ballots, lots = contest.ballots, _lot_order(contest)
    if method == scottish_stv.RULE:
        return scottish_stv.count(scottish_stv.ScottishStv.from_form(parameters), ballots, lots)
    if method == wigm.RULE:
        return wigm.count(wigm.Wigm.from_form(parameters), ballots, lots)
    if method in meek.RULES:
        return meek.count(meek.Meek.from_form(method, parameters), ballots, lots)
    return runoff.count(runoff.Runoff.from_form(method, parameters), ballots, lots)


def _write_sheet(path: Path, counted: Count, contest: Contest) -> None:
    """Raises Refused."""
    from icn_tally.sheets import sheet_csv, sheet_html

    names = contest.ballots.candidates
    is_page = path.suffix.lower() in (".html", ".htm")
    text = sheet_html(counted, names, contest.title or path.stem) if is_page else sheet_csv(counted, names)
    try:
        path.write_bytes(text.encode())
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", "NOT_WRITTEN") from None


def _stages(counted: Count) -> dict[str, Any]:
    return {
        "quota": counted.quota,
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


def _read(content: bytes, form: str, rules: CountingRules | None) -> Contest:
    from icn_tally.blt import read_blt
    from icn_tally.cast_vote_records import Marks, read_cast_vote_records
    from icn_tally.preflib import read_preflib

    if form == "blt":
        return read_blt(content)
    if form == _CSV:
        return read_cast_vote_records(content, rules.marks if rules is not None else Marks())
    return read_preflib(content, form)

"""Counts of ballots in files: offline, JSON to stdout, on the engine that the services use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli import vote_budgets, vote_committees, vote_shares
from icn_client.cli.common import command_group
from icn_client.cli.files import STANDARD_INPUT, read_file
from icn_client.cli.output import Refused, UsageError
from icn_client.cli.vote_files import (
    BallotsOption,
    ExplainOption,
    JsonlOption,
    SheetOption,
    answer_files,
    explained,
    refuse_sheet_of_many,
    refuse_unknown,
)

if TYPE_CHECKING:
    from icn_tally.ballots import Ballots
    from icn_tally.contest import Contest
    from icn_tally.rctab_rules import CountingRules
    from icn_tally.tallies import Outcome, Tally

_TRANSFERS = ("scottish-stv", "wigm", "meek", "warren")
_RUNOFFS = ("irv", "coombs", "plurality")
_COMPARISONS = (
    "borda", "copeland", "minimax", "schulze", "ranked-pairs", "split-cycle", "kemeny", "nanson", "baldwin",
)  # fmt: skip
_OF_POINTS = ("score", "star", "majority-judgment", "cumulative", "quadratic")
METHODS = (*_TRANSFERS, *_RUNOFFS, *_COMPARISONS, "approval", "bucklin", *_OF_POINTS)
_WITH_SEATS = (*_TRANSFERS, "irv", "plurality", "approval", "score", "cumulative", "quadratic")
_CSV = "csv"
_FORMATS = ("blt", "soc", "soi", "toc", "toi", _CSV, "points")
RULES_BYTES_MAX = 4 * 1024 * 1024
"""Two thousand names and what else a count is told."""
PARAMETERS_CHARACTERS_MAX = 65_536
_COUNT_EXAMPLES = """\b
Examples:
  icn vote count --method scottish-stv --in ward.blt
  icn vote count --method meek --in board.soi --seats 3
  icn vote count --method schulze --in chair.toi
  icn vote count --method irv --in mayor.csv --rules mayor.json
  icn vote count --method star --in menu.csv --parameters '{"highest":5}'
  icn vote count --method scottish-stv --in ward.blt --sheet ward.html
  icn vote count --method irv --in chair.soi --closeness 20000 --explain
  icn vote count --method scottish-stv --in wards/ --jsonl
"""
_EXAMPLES = """\b
Examples:
  icn vote count --method scottish-stv --in ward.blt
  icn vote budget --in district.pb
  icn vote committee --rule pav --in board.yaml --all
  icn vote apportion --rule dhondt --seats 25 --in units.csv
  icn vote panel --size 30 --in pool.csv --quotas quotas.csv
"""


def register(app: typer.Typer) -> None:
    """Add `vote`."""
    vote = command_group("Counts of ballots that anybody can repeat.", _EXAMPLES)
    vote.command("count", epilog=_COUNT_EXAMPLES)(vote_count)
    vote_budgets.register(vote)
    vote_committees.register(vote)
    vote_shares.register(vote)
    app.add_typer(vote, name="vote")


def vote_count(  # noqa: PLR0917 - one parameter per option
    method: Annotated[str, typer.Option("--method", help=f"{', '.join(METHODS)}.")],
    file: BallotsOption,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help=f"{', '.join(_FORMATS)}; by default what the file's name ends in, or blt. A csv of a method "
            "that counts points has a column of them for each candidate.",
        ),
    ] = None,
    seats: Annotated[
        int | None,
        typer.Option(
            "--seats",
            metavar="N",
            help="Seats to fill; by default one, of methods with transfers what the file says.",
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
    parameters: Annotated[
        str | None,
        typer.Option(
            "--parameters",
            metavar="JSON",
            help="Parameters of the method, as docs/spec/voting.md names them.",
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
    closeness: Annotated[
        int | None,
        typer.Option(
            "--closeness",
            metavar="COUNTS",
            help="Search for the fewest ballots that would have elected others, in so many counts.",
            min=1,
            max=10_000_000,
        ),
    ] = None,
    explain: ExplainOption = False,
    sheet: SheetOption = None,
    jsonl: JsonlOption = False,
) -> None:
    """Count ballots: {"quota","winners","stages","ties"}.

    Where earlier stages do not break a tie, the first in the order of lots is acted upon: the order that the
    file names, else that of its candidates; "ties" lists each. Of borda, copeland, minimax, schulze,
    split-cycle, kemeny, nanson and baldwin all tied winners are told. "above": how many put each candidate
    above each other.
    """
    refuse_unknown("--method", method, METHODS)
    refuse_unknown("--format", form, _FORMATS)
    if method not in _TRANSFERS and places is not None:
        raise UsageError(f"--places: {method} counts whole ballots")
    if method not in _WITH_SEATS and (seats or 1) > 1:
        raise UsageError(f"--seats: {method} elects one")
    if closeness is not None and (method in _OF_POINTS or method == "approval"):
        raise UsageError(f"--closeness: of methods that rank, {method} does not")
    refuse_sheet_of_many(sheet, jsonl)
    asked = _parameters_of(parameters)
    asked |= {"seats": seats} if seats is not None and method in _WITH_SEATS else {}
    asked |= {"places": places} if places is not None else {}
    told = _read_rules(rules) if rules is not None else None

    def answer(path: Path, content: bytes) -> dict[str, Any]:
        from icn_tally.explanations.results import explain as as_sheet
        from icn_tally.tallies import tally

        ending = form or _format_of(path)
        if told is not None and ending != _CSV:
            raise Refused(f"{path}: --rules are for cast-vote records in csv", "PARAMETER_INVALID")
        contest = _read(content, "points" if ending == _CSV and method in _OF_POINTS else ending, told)
        form_of = {**told.parameters, **asked} if told is not None and told.rule == method else {**asked}
        if method in _TRANSFERS and "seats" not in form_of:
            if contest.seats is None:
                raise Refused(
                    f"{path}: the file does not say how many seats there are; give --seats N", "NO_SEATS"
                )
            form_of["seats"] = contest.seats
        ballots = contest.ballots
        counted = tally(method, form_of, ballots, contest.lot_order or range(1, len(ballots.candidates) + 1))
        found = _shown(counted.outcome)
        if closeness is not None:
            found["closeness"] = _closeness(counted, form_of, ballots, closeness)
        return found | explained(
            lambda: as_sheet(counted.outcome, ballots), contest.title or path.stem, sheet, explain=explain
        )

    answer_files(file, jsonl, answer)


def _parameters_of(text: str | None) -> dict[str, Any]:
    """Raises UsageError."""
    from icn_crypto.jcs import NotIJson, parse

    if text is None:
        return {}
    if len(text) > PARAMETERS_CHARACTERS_MAX:
        raise UsageError(f"--parameters: {len(text)} characters; there can be {PARAMETERS_CHARACTERS_MAX}")
    try:
        found = parse(os.fsencode(text))
    except NotIJson as error:
        raise UsageError(f"--parameters: {str(error)[:100]}") from None
    if not isinstance(found, dict):
        raise UsageError("--parameters: a JSON object is expected")
    return found


def _read_rules(path: Path) -> CountingRules:
    """Raises Refused."""
    from icn_tally.faults import InvalidFile, InvalidParameter
    from icn_tally.rctab_rules import read_counting_rules

    content = read_file(path, RULES_BYTES_MAX)
    try:
        return read_counting_rules(content)
    except (InvalidFile, InvalidParameter) as error:
        raise Refused(f"{path}: {error}", "PARAMETER_INVALID") from None


def _closeness(counted: Tally, form: dict[str, Any], ballots: Ballots, steps_max: int) -> dict[str, Any]:
    """Raises Refused and what counts raise."""
    from icn_tally.closeness import closeness, runoff_bound
    from icn_tally.stages import Count
    from icn_tally.tallies import tally

    def winners(others: Ballots) -> frozenset[int]:
        outcome: Any = tally(counted.rule, form, others, counted.lot_order).outcome
        return frozenset(outcome.winners)

    outcome = counted.outcome
    has_bound = counted.rule in ("irv", "plurality") and form.get("seats", 1) == 1
    at_least = runoff_bound(outcome, ballots.standing()) if has_bound and isinstance(outcome, Count) else 1
    return dict(closeness(winners, ballots, at_least=at_least, steps_max=steps_max).to_form())


def _shown(outcome: Outcome) -> dict[str, Any]:
    """One shape for all methods: only counts in stages have a quota and stages."""
    from icn_tally.stages import Count

    found: dict[str, Any] = dict(outcome.to_form())
    if isinstance(outcome, Count):
        stages = [
            {"action": stage.action, "candidates": stage.candidates, "totals": outcome.written(stage.totals)}
            for stage in outcome.stages
        ]
        return {"quota": outcome.quota, "winners": outcome.winners, "stages": stages, "ties": found["ties"]}
    return {"quota": None, "stages": [], **found}


def _format_of(path: Path) -> str:
    ending = path.suffix.lower().removeprefix(".")
    return ending if path != STANDARD_INPUT and ending in _FORMATS else "blt"


def _read(content: bytes, form: str, rules: CountingRules | None) -> Contest:
    from icn_tally.blt import read_blt
    from icn_tally.cast_vote_records import Marks, read_cast_vote_records
    from icn_tally.points import read_points
    from icn_tally.preflib import read_preflib

    if form == "blt":
        return read_blt(content)
    if form == _CSV:
        return read_cast_vote_records(content, rules.marks if rules is not None else Marks())
    if form == "points":
        return read_points(content)
    return read_preflib(content, form)

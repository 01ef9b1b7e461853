"""Committees of files of approval ballots."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

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

_EXAMPLES = """\b
Examples:
  icn vote committee --rule pav --in board.yaml
  icn vote committee --rule seqphragmen --in board.yaml --size 5 --all
  icn vote committee --rule equal-shares --in boards/ --jsonl
"""


def register(vote: typer.Typer) -> None:
    """Add `committee`."""
    vote.command("committee", epilog=_EXAMPLES)(vote_committee)


def vote_committee(  # noqa: PLR0917 - one parameter per option
    rule: Annotated[
        str, typer.Option("--rule", help="av, pav, seqpav, seqphragmen, equal-shares and others.")
    ],
    file: BallotsOption,
    size: Annotated[
        int | None,
        typer.Option("--size", metavar="K", help="Members, by default what the file says.", min=1),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every tied committee, not one.")] = False,
    explain: ExplainOption = False,
    sheet: SheetOption = None,
    jsonl: JsonlOption = False,
) -> None:
    """Elect a committee: {"committees"}, lists of candidates, the first of which is 0.

    Where nothing else decides, the candidate that stands earlier in the file comes first. A rule that is not
    known is refused with the list of all.
    """
    from icn_tally.committees.elect import RULES, elect_committee

    refuse_unknown("--rule", rule, RULES)
    refuse_sheet_of_many(sheet, jsonl)

    def answer(path: Path, content: bytes) -> dict[str, Any]:
        from icn_tally.explanations.results import explain as as_sheet
        from icn_tally.faults import InvalidParameter

        from icn_client.approval_files import read_approvals

        ballots, named = read_approvals(content)
        members = size if size is not None else named
        if members is None:
            raise InvalidParameter("committeesize", "the file does not say it; give --size K")
        order = range(1, len(ballots.candidates) + 1)
        found = elect_committee(rule, members, ballots, order, every=every)
        return {
            "committees": [[number - 1 for number in committee] for committee in found.committees],
            **explained(
                lambda: as_sheet(found, ballots),
                path.stem,
                sheet,
                explain=explain,
            ),
        }

    answer_files(file, jsonl, answer)

"""Budgets of files: which projects are funded, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli.output import UsageError
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
    from icn_tally.budgeting import Budgeting
    from icn_tally.budgets import Spending

_RULES = ("greedy", "greedy-no-skip", "greedy-threshold", "equal-shares")
_COMPLETIONS = ("none", "utilitarian", "add1", "add1u", "comparison")
_UTILITIES = ("cost", "cardinal")
_EQUAL_SHARES = "equal-shares"
_OF_FILES = {"equalshares": "none", "equalshares/add1": "add1", "equalshares/add1u": "add1u"}
"""Rules as files of Pabulib name them, and the completion that they mean."""
_EXAMPLES = """\b
Examples:
  icn vote budget --in district.pb
  icn vote budget --rule equal-shares --completion add1u --in district.pb
  icn vote budget --in districts/ --jsonl
"""


def register(vote: typer.Typer) -> None:
    """Add `budget`."""
    vote.command("budget", epilog=_EXAMPLES)(vote_budget)


def vote_budget(  # noqa: PLR0917 - one parameter per option
    file: BallotsOption,
    rule: Annotated[
        str | None, typer.Option("--rule", help=f"{', '.join(_RULES)}; by default the file's own.")
    ] = None,
    completion: Annotated[
        str | None,
        typer.Option(
            "--completion",
            help=f"How equal shares spend what is left: {', '.join(_COMPLETIONS)}; by default add1.",
        ),
    ] = None,
    utility: Annotated[
        str | None,
        typer.Option(
            "--utility",
            help="What equal shares take a project to be worth to who votes for it: its cost, or cardinal, "
            "as many points as the vote gives; by default cost.",
        ),
    ] = None,
    explain: ExplainOption = False,
    sheet: SheetOption = None,
    jsonl: JsonlOption = False,
) -> None:
    """Spend a budget: {"selected","spent","verdicts","ties"}; projects by their ids.

    "verdicts" says of every project why it is funded or not, in the order in which the rule came to it. Where
    nothing else decides, the project that stands earlier in the file comes first.
    """
    refuse_unknown("--rule", rule, _RULES)
    refuse_unknown("--completion", completion, _COMPLETIONS)
    refuse_unknown("--utility", utility, _UTILITIES)
    if rule not in (None, _EQUAL_SHARES) and (completion or utility):
        raise UsageError(f"--completion and --utility are of equal-shares, not of {rule}")

    refuse_sheet_of_many(sheet, jsonl)

    def answer(path: Path, content: bytes) -> dict[str, Any]:
        from icn_tally.budgets import spend
        from icn_tally.explanations.shares import explain_budget
        from icn_tally.explanations.words import exactly
        from icn_tally.pabulib import read_pabulib

        budgeting = read_pabulib(content)
        spending = _spending(rule, completion, utility, budgeting)
        found = spend(spending, budgeting, range(1, len(budgeting.ids) + 1))
        ids = budgeting.ids
        return {
            "rule": spending.rule,
            **spending.to_form(),
            "selected": [ids[number - 1] for number in found.selected],
            "spent": exactly(found.spent),
            "verdicts": [
                {
                    "project": ids[verdict.project - 1],
                    "reason": verdict.reason,
                    "score": str(verdict.score),
                    "cost": exactly(budgeting.costs[verdict.project - 1]),
                    "left": exactly(verdict.left),
                }
                for verdict in found.verdicts
            ],
            "ties": [[ids[number - 1] for number in tie] for tie in found.ties],
            **explained(lambda: explain_budget(found, budgeting), path.stem, sheet, explain=explain),
        }

    answer_files(file, jsonl, answer)


def _spending(
    rule: str | None, completion: str | None, utility: str | None, budgeting: Budgeting
) -> Spending:
    """The parameters of a count. Raises InvalidParameter."""
    from icn_tally.budgets import GREEDY, Spending
    from icn_tally.faults import InvalidParameter

    named = rule
    if named is None:
        named = (budgeting.rule or "").lower()
        if named in _OF_FILES:
            completion = completion or _OF_FILES[named]
            named = _EQUAL_SHARES
        if named not in _RULES:
            raise InvalidParameter("rule", f"{named[:40]!r} is not one of {', '.join(_RULES)}; give --rule")
    form: dict[str, object] = {}
    if named == _EQUAL_SHARES:
        form |= {"completion": completion} if completion else {}
        form |= {"utility": utility} if utility else {}
    elif named != GREEDY:
        form["threshold"] = budgeting.threshold
    return Spending.from_form(named, form)

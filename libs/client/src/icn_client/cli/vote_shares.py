"""Seats in proportion to votes, and panels drawn by lot: files of what is no ballot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from icn_client.cli.files import FILE_BYTES_MAX, read_file
from icn_client.cli.output import UsageError, print_json, progress
from icn_client.cli.vote_files import ExplainOption, SheetOption, explained, refuse_unknown, refusing

_RULES = ("sainte-lague", "dhondt", "adams", "hamilton")
_SEATS_EXAMPLES = """\b
Examples:
  icn vote apportion --rule sainte-lague --seats 25 --in units.csv
  icn vote apportion --rule hamilton --seats 9 --in units.csv --explain
"""
_PANEL_EXAMPLES = """\b
Examples:
  icn vote panel --size 30 --in pool.csv --quotas quotas.csv --id name
  icn vote panel --size 30 --in pool.csv --quotas quotas.csv --ticket 271828
"""


def register(vote: typer.Typer) -> None:
    """Add `apportion` and `panel`."""
    vote.command("apportion", epilog=_SEATS_EXAMPLES)(vote_apportion)
    vote.command("panel", epilog=_PANEL_EXAMPLES)(vote_panel)


def vote_apportion(
    rule: Annotated[str, typer.Option("--rule", help=f"{', '.join(_RULES)}.")],
    seats: Annotated[int, typer.Option("--seats", metavar="N", help="Seats to give out.", min=1)],
    file: Annotated[
        Path,
        typer.Option("--in", metavar="FILE", help="CSV with the columns name and votes.", readable=False),
    ],
    explain: ExplainOption = False,
    sheet: SheetOption = None,
) -> None:
    """Give out seats in proportion to votes: {"seats","tied"}.

    Of equal claims to the last seat those that stand earlier in the file come first; "tied" names them all.
    """
    refuse_unknown("--rule", rule, _RULES)
    from icn_tally.apportionment import apportion
    from icn_tally.explanations.shares import explain_seats
    from icn_tally.tables import read_parties

    content = read_file(file, FILE_BYTES_MAX)
    with refusing(file):
        names, votes = read_parties(content)
        found = apportion(rule, seats, votes, range(1, len(names) + 1))
    given = zip(names, votes, found.seats, strict=True)
    print_json(
        {
            "rule": rule,
            "seats": [{"name": name, "votes": cast, "seats": held} for name, cast, held in given],
            "tied": [names[number - 1] for number in found.tied],
            **explained(lambda: explain_seats(found, votes, names), file.stem, sheet, explain=explain),
        }
    )


def vote_panel(  # noqa: PLR0917 - one parameter per option
    size: Annotated[int, typer.Option("--size", metavar="K", help="Members of the panel.", min=1)],
    file: Annotated[
        Path,
        typer.Option("--in", metavar="FILE", help="CSV with a line for each of the pool.", readable=False),
    ],
    quotas: Annotated[
        Path,
        typer.Option(
            "--quotas",
            metavar="FILE",
            help="CSV with the columns feature, value, min and max; features are columns of the pool.",
            readable=False,
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="COLUMN", help="What members are called by; by default their place from 1."
        ),
    ] = None,
    ticket: Annotated[
        int | None,
        typer.Option(
            "--ticket", metavar="N", help="The ticket that was drawn, 0 to 999999.", min=0, max=999_999
        ),
    ] = None,
    explain: ExplainOption = False,
    sheet: SheetOption = None,
) -> None:
    """Make a lottery over panels that keep the quotas: {"panels","tickets"}, and with --ticket "panel".

    The least likely member is as likely as can be, then the next. A panel owns as many of a million tickets
    as "tickets" says, the first from 0 on; draw the ticket by a number that nobody knew before.
    """
    from icn_tally.explanations.shares import explain_lottery
    from icn_tally.faults import InvalidParameter
    from icn_tally.sortition import Pool, leximin
    from icn_tally.tables import read_people, read_quotas

    if str(file) == str(quotas):
        raise UsageError("--quotas: a file of its own is expected")
    pool_content, quota_content = read_file(file, FILE_BYTES_MAX), read_file(quotas, FILE_BYTES_MAX)
    with refusing(quotas):
        of_values = read_quotas(quota_content)
    with refusing(file), progress("panels", None) as shown:
        people = read_people(pool_content)
        for wanted in [*of_values, *([name] if name is not None else [])]:
            if wanted not in people.columns:
                raise InvalidParameter(wanted[:40], "the pool has no such column")
        lottery = leximin(Pool(people.members, of_values, size), shown.update)
    names = [
        str(place) if name is None else member[name] for place, member in enumerate(people.members, start=1)
    ]
    answer: dict[str, Any] = {
        "panels": [[names[place] for place in panel] for panel in lottery.panels],
        "tickets": lottery.tickets,
    }
    if ticket is not None:
        answer["panel"] = [names[place] for place in lottery.draw(ticket)]
    print_json(answer | explained(lambda: explain_lottery(lottery, names), file.stem, sheet, explain=explain))

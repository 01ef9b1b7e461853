"""`icn account watch`: an account as it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from icn_machine.limits import QUANTITY_MAX

from icn_client.cli.account_documents import account_document, credit_document, entry_document
from icn_client.cli.common import (
    DataOption,
    JsonOption,
    identifier,
    platform_directory,
    show_amount,
    show_time,
    with_connection,
)
from icn_client.cli.output import print_json, print_text, say

if TYPE_CHECKING:
    from icn_client.connection import Connection

COUNT_MAX = 1_000_000_000

_EXAMPLES = """\b
Examples:
  icn account watch ACCOUNT
  icn account watch ACCOUNT --json --count 2       as it is, and its next change
  icn account watch ACCOUNT --from-height 1200     with the entries since then
"""


def add_to(group: typer.Typer) -> None:
    """Add the command to the group of accounts."""
    group.command("watch", epilog=_EXAMPLES)(watch)


def watch(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Id of the account.")],
    from_height: Annotated[
        int | None,
        typer.Option(
            "--from-height",
            metavar="N",
            min=1,
            max=QUANTITY_MAX,
            help="Begin with the entries since block N.",
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            "--count", metavar="N", min=1, max=COUNT_MAX, help="End after N; the first is how it is."
        ),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow an account: what it has now, then every change as it comes, until Ctrl-C; with --json one object
    per line. Entries since the one before come with each, oldest first.
    """
    wanted = identifier(account, "ACCOUNT", "accounts")

    async def follow(connection: Connection) -> None:
        unit = await connection.unit_of(wanted)
        told = 0
        async for news in connection.watch_account(wanted, from_height or 0):
            _tell(news, unit, as_json)
            told += 1
            if told == count:
                return

    with_connection(platform_directory(data), follow)


def _tell(news: Any, unit: Any, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                **account_document(news.account, unit),
                **credit_document(news.credit),
                "entries": [entry_document(entry) for entry in news.entries],
                "has_skipped": news.has_skipped,
            }
        )
        return
    from icn_client.light.statement import kind_name

    if news.has_skipped:
        say("icn: there were more entries than these; `icn account entries` has them all")
    for entry in news.entries:
        posting = entry.posting
        other = f"{'from' if posting.amount_minor > 0 else 'to'} {posting.counter_account.hex()}"
        amount = f"{show_amount(posting.amount_minor, unit.scale)} {unit.code}"
        print_text(f"{show_time(entry.block_time_ms)}  {kind_name(posting.kind)}  {amount} {other}")
    leaf = news.account.leaf
    amounts = (leaf.balance_minor, leaf.held_minor, news.credit.spendable_minor)
    balance, held, spendable = (f"{show_amount(minor, unit.scale)} {unit.code}" for minor in amounts)
    print_text(f"height {news.account.height}: balance {balance}, held {held}, spendable {spendable}")

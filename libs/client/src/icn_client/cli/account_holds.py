"""`icn account holds`: what reserves credit of an account, and what may pay it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli.common import (
    DataOption,
    JsonOption,
    identifier,
    platform_directory,
    show_amount,
    show_time,
    with_connection,
)
from icn_client.cli.output import print_json, table

if TYPE_CHECKING:
    from icn_client.connection import Connection

_EXAMPLES = """\b
Examples:
  icn account holds ACCOUNT
"""


def add_to(group: typer.Typer) -> None:
    """Add the command to the group of accounts."""
    group.command("holds", epilog=_EXAMPLES)(holds)


def holds(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="That is debited, or may be paid.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the open holds of an account, either side, offers of exchange among them; with --json one object
    per line. What it may be paid by an exchange is of another unit: see `icn exchange show`.
    """
    wanted = identifier(account, "ACCOUNT", "accounts")

    async def read(connection: Connection) -> tuple[Any, list[Any]]:
        unit = await connection.unit_of(wanted)
        return unit, [hold async for hold in connection.holds(wanted)]

    unit, found = with_connection(platform_directory(data), read)
    if as_json:
        from icn_client.light.leaves import describe

        for hold in found:
            print_json(describe(hold))
        return
    table(
        ("hold", "from", "to", "held", "until"),
        [
            (
                hold.hold.hex(),
                hold.source.hex(),
                hold.destination.hex() or "an exchange",
                _held(hold, wanted, unit),
                show_time(hold.expire_time_ms),
            )
            for hold in found
        ],
    )


def _held(hold: Any, account: bytes, unit: Any) -> str:
    """Of an exchange that pays the account, what is held is of another unit."""
    return "" if hold.take_account == account else show_amount(hold.remaining_minor, unit.scale)

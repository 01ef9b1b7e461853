"""`icn unit openings|close-period|demurrage`: what whoever keeps a unit's books does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from icn_machine.limits import DEMURRAGE_ACCOUNTS_MAX, OPENINGS_MAX

from icn_client.cli.common import (
    ActingOption,
    ActionOption,
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    UnitArgument,
    identifier,
    parse_time_ms,
    platform_directory,
    show_amount,
    show_time,
    with_connection,
)
from icn_client.cli.governing import Governed, perform_governed
from icn_client.cli.output import Refused, UsageError, print_json, print_text, table
from icn_client.cli.signing import perform_and_print

if TYPE_CHECKING:
    from icn_client.connection import Connection

DIGEST_BYTES: Final = 32

_OPENINGS_EXAMPLES = """\b
Examples:
  icn unit openings UNIT                                what members bring and nobody has confirmed
  icn unit openings UNIT ACCOUNT ACCOUNT ACCOUNT --as sunrise-bakery
"""
_CLOSE_EXAMPLES = """\b
Examples:
  icn unit close-period UNIT --end 2026-04-01 --as sunrise-bakery
  icn unit close-period UNIT --end 2026-04-01 --action > actions.json
"""
_DEMURRAGE_EXAMPLES = """\b
Examples:
  icn unit demurrage ACCOUNT ACCOUNT --as sunrise-bakery
"""


def add_to(group: typer.Typer) -> None:
    """Add the commands to `icn unit`."""
    group.command("openings", epilog=_OPENINGS_EXAMPLES)(openings)
    group.command("close-period", epilog=_CLOSE_EXAMPLES)(close_period)
    group.command("demurrage", epilog=_DEMURRAGE_EXAMPLES)(demurrage)


def openings(  # noqa: PLR0917 - one parameter per option
    unit: UnitArgument,
    accounts: Annotated[
        list[str] | None,
        typer.Argument(metavar="ACCOUNT…", help="Confirmed together; without any: list what waits."),
    ] = None,
    acting: ActingOption = None,
    as_action: ActionOption = False,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Confirm the balances that members bring (icn account open --brings), together 0; or list them."""
    from icn_client import credit

    wanted = identifier(unit, "UNIT", "units")
    named = [identifier(one, "ACCOUNT", "accounts") for one in accounts or ()]
    if not named:
        if acting is not None or as_action:
            raise UsageError("ACCOUNT: name the accounts to confirm")
        _list_openings(wanted, platform_directory(data), as_json)
        return
    if len(set(named)) != len(named):
        raise UsageError("ACCOUNT: one is named twice")
    if not 2 <= len(named) <= OPENINGS_MAX:
        raise UsageError(f"ACCOUNT: {len(named)} named, 2 to {OPENINGS_MAX} are confirmed together")

    async def prepare(connection: Connection) -> Governed:
        leaf = await connection.unit(wanted)
        claims = [await _claim(connection, account, leaf) for account in named]
        debts_minor = -sum(claim for claim in claims if claim < 0)
        credits_minor = sum(claim for claim in claims if claim > 0)
        if debts_minor != credits_minor:
            raise Refused(
                f"OPENINGS_UNBALANCED: debts of {show_amount(debts_minor, leaf.scale)}, credits of "
                f"{show_amount(credits_minor, leaf.scale)} {leaf.code}",
                "OPENINGS_UNBALANCED",
            )
        return Governed(
            credit.confirm_openings(wanted, named),
            leaf.authority,
            "NOT_UNIT_AUTHORITY",
            {"unit": wanted.hex(), "accounts": len(named), "credits_minor": str(credits_minor)},
            f"confirmed {len(named)} accounts: {show_amount(credits_minor, leaf.scale)} {leaf.code} owed",
        )

    perform_governed(prepare, acting, as_action, keystore, data, as_json)


async def _claim(connection: Connection, account: bytes, unit: Any) -> int:
    """What an account waits to bring, minor units. Raises Refused."""
    leaf = (await connection.account(account)).leaf
    if leaf.unit != unit.unit:
        raise Refused(
            f"UNIT_MISMATCH: accounts/{account.hex()} is of units/{leaf.unit.hex()}", "UNIT_MISMATCH"
        )
    if not leaf.terms.is_opening:
        raise Refused(
            f"OPENING_UNKNOWN: accounts/{account.hex()} waits for no confirmation", "OPENING_UNKNOWN"
        )
    return int(leaf.terms.opening_minor)


def _list_openings(unit: bytes, directory: Path, as_json: bool) -> None:
    async def read(connection: Connection) -> tuple[Any, list[Any]]:
        leaf = await connection.unit(unit)
        return leaf, [
            account.leaf
            async for account in connection.accounts()
            if account.leaf.unit == unit and account.leaf.terms.is_opening
        ]

    leaf, waiting = with_connection(directory, read)
    total_minor = sum(account.terms.opening_minor for account in waiting)
    if as_json:
        print_json(
            {
                "unit": unit.hex(),
                "sum_minor": str(total_minor),
                "waiting": [
                    {
                        "account": account.account.hex(),
                        "owner": account.owner.hex(),
                        "opening_minor": str(account.terms.opening_minor),
                    }
                    for account in waiting
                ],
            }
        )
        return
    table(
        ("account", "owner", "brings"),
        [
            (
                account.account.hex(),
                account.owner.hex(),
                show_amount(account.terms.opening_minor, leaf.scale),
            )
            for account in waiting
        ],
    )
    print_text(f"together {show_amount(total_minor, leaf.scale)} {leaf.code}; 0 can be confirmed")


def close_period(  # noqa: PLR0917 - one parameter per option
    unit: UnitArgument,
    end: Annotated[
        str, typer.Option("--end", metavar="TIME", help="First day or time (UTC) behind the period.")
    ],
    digest: Annotated[
        str | None,
        typer.Option("--digest", metavar="HEX", help="Of the trial balance, where it was made elsewhere."),
    ] = None,
    acting: ActingOption = None,
    as_action: ActionOption = False,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close a unit's books up to a time: the authority's word that it looked at the balances of then.

    The trial balance is made of what the ledger shows, which takes a read of every account; anybody who has
    the archive can compare its digest.
    """
    from icn_chain.trial_balance import trial_balance_digest

    from icn_client import credit
    from icn_client.trial_balance import trial_balance

    wanted = identifier(unit, "UNIT", "units")
    end_ms = parse_time_ms(end, "--end")
    given = None if digest is None else identifier(digest, "--digest", "digests", DIGEST_BYTES)

    async def prepare(connection: Connection) -> Governed:
        found = await connection.unit_with_policy(wanted)
        if end_ms < found.period.end_time_ms:
            raise Refused(
                f"PERIOD_CLOSED: closed up to {show_time(found.period.end_time_ms)} already, "
                f"{show_time(end_ms)} is earlier",
                "PERIOD_CLOSED",
            )
        balances = {} if given else await trial_balance(connection, wanted, end_ms)
        made = given or trial_balance_digest(connection.genesis.hash, balances)
        scale, code = found.unit.scale, found.unit.code
        return Governed(
            credit.close_period(wanted, end_ms, made),
            found.unit.authority,
            "NOT_UNIT_AUTHORITY",
            {
                "unit": wanted.hex(),
                "end_time_ms": str(end_ms),
                "digest": made.hex(),
                "balances": {account.hex(): str(minor) for account, minor in sorted(balances.items())},
            },
            f"closed the books of units/{wanted.hex()} up to {show_time(end_ms)}, digest {made.hex()}",
            [
                f"{account.hex()}  {show_amount(minor, scale):>20} {code}"
                for account, minor in sorted(balances.items())
            ],
        )

    perform_governed(prepare, acting, as_action, keystore, data, as_json)


def demurrage(
    accounts: Annotated[list[str], typer.Argument(metavar="ACCOUNT…", help="1 to 64 of one unit.")],
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the demurrage that is due of accounts; whoever pays for the transaction may."""
    from icn_client import credit

    named = [identifier(one, "ACCOUNT", "accounts") for one in accounts]
    if len(set(named)) != len(named):
        raise UsageError("ACCOUNT: one is named twice")
    if len(named) > DEMURRAGE_ACCOUNTS_MAX:
        raise UsageError(
            f"ACCOUNT: {len(named)} named, at most {DEMURRAGE_ACCOUNTS_MAX} are charged together"
        )
    shown = {"accounts": [account.hex() for account in named]}
    text = f"took what was due of {len(named)} accounts"
    perform_and_print(credit.charge_demurrage(named), shown, text, acting, keystore, data, as_json)

"""`icn unit create|list|show`: units of account. The rest of it: `unit_policies`, `unit_books`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli import unit_books, unit_policies
from icn_client.cli.common import (
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    UnitArgument,
    amount_minor,
    command_group,
    identifier,
    organization_identifier,
    platform_directory,
    show_amount,
    show_time,
    with_connection,
)
from icn_client.cli.output import UsageError, print_json, print_text, table
from icn_client.cli.signing import perform_and_print
from icn_client.cli.unit_policies import policy_lines

if TYPE_CHECKING:
    from icn_client.connection import Connection

_CREATE_EXAMPLES = """\b
Examples:
  icn unit create HOURS --as sunrise-bakery
  icn unit create HOURS --as sunrise-bakery --scale 2 --floor -40
  icn unit create HOURS --as sunrise-bakery --authority authorities/7f3a…
"""
_LIST_EXAMPLES = """\b
Examples:
  icn unit list
  icn unit list --json
"""
_SHOW_EXAMPLES = """\b
Examples:
  icn unit show UNIT
  icn unit show units/91c2… --json
"""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Units of account, their policies and books.")
    group.command("create", epilog=_CREATE_EXAMPLES)(create_unit)
    group.command("list", epilog=_LIST_EXAMPLES)(list_units)
    group.command("show", epilog=_SHOW_EXAMPLES)(show)
    unit_policies.add_to(group)
    unit_books.add_to(group)
    app.add_typer(group, name="unit")


def create_unit(  # noqa: PLR0917 - one parameter per option
    code: Annotated[str, typer.Argument(metavar="CODE", help="2 to 12 characters A–Z, 0–9 or hyphen.")],
    acting: AsOption,
    scale: Annotated[int, typer.Option("--scale", min=0, max=9, help="Decimal places.")] = 2,
    floor: Annotated[
        str, typer.Option("--floor", help="Floor of new accounts, zero or negative, in whole units.")
    ] = "0",
    authority: Annotated[
        str | None,
        typer.Option(
            "--authority",
            metavar="ID",
            help="Who sets floors: a principal, or a federation as authorities/ID; by default the co-op.",
        ),
    ] = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a unit of account; the acting co-op issues it, and sets floors unless another is named."""
    from icn_client import transactions

    unit = transactions.new_identifier()
    floor_minor = amount_minor(floor, scale, "--floor", may_be_negative=True)
    if floor_minor > 0:
        raise UsageError("--floor: must be zero or negative")
    governing = b"" if authority is None else organization_identifier(authority, "--authority")
    message = transactions.create_unit(unit, code, scale, floor_minor, governing)
    shown, text = {"unit": unit.hex()}, f"created units/{unit.hex()}"
    perform_and_print(message, shown, text, acting, keystore, data, as_json)


def list_units(data: DataOption = None, as_json: JsonOption = False) -> None:
    """List units by id; with --json one object per line."""

    async def read(connection: Connection) -> list[Any]:
        return [unit async for unit in connection.units()]

    found = with_connection(platform_directory(data), read)
    if as_json:
        for unit in found:
            print_json(unit_document(unit))
        return
    table(
        ("unit", "code", "scale", "default floor"),
        [
            (unit.unit.hex(), unit.code, str(unit.scale), show_amount(unit.default_floor_minor, unit.scale))
            for unit in found
        ],
    )


def unit_document(unit: Any) -> dict[str, Any]:
    """A unit's leaf as JSON shows it."""
    return {
        "unit": unit.unit.hex(),
        "code": unit.code,
        "scale": unit.scale,
        "issuer": unit.issuer.hex(),
        "authority": unit.authority.hex(),
        "default_floor_minor": str(unit.default_floor_minor),
    }


def show(unit: UnitArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show a unit: who governs it, its policy, the newest period that was closed."""
    from icn_tally.polls.credit_actions import write_policy

    wanted = identifier(unit, "UNIT", "units")
    found = with_connection(platform_directory(data), lambda connection: connection.unit_with_policy(wanted))
    leaf, policy, period = found.unit, found.policy, found.period
    has_policy, has_period = found.HasField("policy"), found.HasField("period")
    if as_json:
        print_json(
            {
                **unit_document(leaf),
                "policy": write_policy(policy.policy) if has_policy else None,
                "policy_set_time_ms": str(policy.set_time_ms) if has_policy else None,
                "period": {
                    "end_time_ms": str(period.end_time_ms),
                    "digest": period.digest.hex(),
                    "height": str(period.height),
                    "closed_by": period.closed_by.hex(),
                }
                if has_period
                else None,
            }
        )
        return
    print_text(f"unit           {leaf.unit.hex()}")
    print_text(f"code           {leaf.code}, {leaf.scale} decimal places")
    print_text(f"issuer         {leaf.issuer.hex()}")
    print_text(f"authority      {leaf.authority.hex()}")
    print_text(f"default floor  {show_amount(leaf.default_floor_minor, leaf.scale)} {leaf.code}")
    if has_policy:
        print_text(f"policy         since {show_time(policy.set_time_ms)}")
        for what, value in policy_lines(policy.policy, leaf.scale):
            print_text(f"  {what:<22} {value}")
    else:
        print_text("policy         none: limits do not grow, nothing is taken")
    if has_period:
        print_text(f"books closed   up to {show_time(period.end_time_ms)}, digest {period.digest.hex()}")

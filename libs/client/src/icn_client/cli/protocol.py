"""`icn protocol`: by which rules the zone goes, who can decide by others, and activating those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from icn_client.cli.common import (
    DataOption,
    JsonOption,
    KeystoreOption,
    command_group,
    platform_directory,
    with_connection,
)
from icn_client.cli.output import Refused, print_json, print_text, table
from icn_client.cli.signing import ZoneSignersOption, perform_as_zone, print_done, zone_signers

if TYPE_CHECKING:
    from typing import Any

    from icn_kit.genesis import Genesis

    from icn_client.connection import Connection
    from icn_client.protocol_readiness import ProtocolReadiness

_EXAMPLES = """\b
Examples:
  icn protocol status
  icn protocol activate 2 --as sunrise-bakery --as river-housing --as mill
"""
_STATUS_EXAMPLES = """\b
Examples:
  icn protocol status
  icn protocol status --json
"""
_ACTIVATE_EXAMPLES = """\b
Examples:
  icn protocol activate 2
  icn protocol activate 2 --as sunrise-bakery --as river-housing --as mill
"""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Versions of the zone's rules: what is in force, and what comes.", _EXAMPLES)
    group.command("status", epilog=_STATUS_EXAMPLES)(show_protocol)
    group.command("activate", epilog=_ACTIVATE_EXAMPLES)(activate)
    app.add_typer(group, name="protocol")


def show_protocol(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show the protocol version in force, the next one, and what each seat can decide by."""
    from icn_client.protocol_readiness import read_readiness

    async def read(connection: Connection) -> tuple[ProtocolReadiness, Genesis]:
        return await read_readiness(connection), connection.genesis

    found, genesis = with_connection(platform_directory(data), read)
    if as_json:
        print_json(found.to_dict())
        return
    names = {organization.principal: organization.name for organization in genesis.organizations}
    print_text(f"in force   {found.in_force}")
    if found.following == found.in_force:
        print_text("next       the same")
    else:
        print_text(f"next       {found.following}, from the end of the epoch on")
    rows = [
        (
            str(one.seat),
            one.organization.hex(),
            names.get(one.organization, ""),
            str(one.newest or "unknown"),
            one.halted,
        )
        for one in found.seats
    ]
    table(("seat", "organization", "name", "newest", "halted"), rows)


def activate(  # noqa: PLR0917 - one parameter per option
    version: Annotated[
        int, typer.Argument(metavar="VERSION", min=2, help="The version in force and 1 more.")
    ],
    is_forced: Annotated[
        bool, typer.Option("--force", help="Also where a seat is not known to be ready: it may stop.")
    ] = False,
    signers: ZoneSignersOption = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put the next protocol version in force from the end of the epoch on, as the zone's authority.

    It cannot be taken back. Refused while a seat is not known to decide by it, unless --force is given. Where
    the zone acts by decisions, its members vote on this instead (action activate-protocol).
    """
    from icn_client import transactions
    from icn_client.protocol_readiness import read_readiness

    directory = platform_directory(data)
    found = with_connection(directory, read_readiness)
    if version != found.in_force + 1:
        raise Refused(
            f"PROTOCOL_NOT_NEXT: version {version} is named, {found.in_force} is in force",
            "PROTOCOL_NOT_NEXT",
        )
    if found.following != found.in_force:
        raise Refused(
            f"PROTOCOL_PENDING: version {found.following} comes in force at the end of the epoch already",
            "PROTOCOL_PENDING",
        )
    unready = found.unready(version)
    if unready and not is_forced:
        told = ", ".join(f"seat {one.seat} ({one.newest or 'not heard'})" for one in unready)
        raise Refused(
            f"PROTOCOL_UNREADY: {len(unready)} of {len(found.seats)} seats are not known to decide by "
            f"version {version}: {told}; upgrade them first",
            "PROTOCOL_UNREADY",
        )
    identities = zone_signers(signers, keystore, directory)

    async def message(_connection: Connection) -> Any:
        return transactions.activate_protocol(version)

    outcome, _ = perform_as_zone(message, identities, directory)
    ready = len(found.seats) - len(unready)
    shown = {"protocol_version": version, "ready": ready, "seats": len(found.seats)}
    print_done(outcome, as_json, shown, f"version {version} comes in force at the end of the epoch")

"""`icn org`: who the organizations are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli.common import (
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    command_group,
    identifier,
    open_identity,
    organization_identifier,
    platform_directory,
    with_connection,
)
from icn_client.cli.output import print_json, print_text, table
from icn_client.cli.signing import ZoneSignersOption, perform_as_zone, print_done, zone_signers

if TYPE_CHECKING:
    from icn_client.connection import Connection

_EXAMPLES = """\b
Examples:
  icn org register "Sunrise Bakery" --kind cooperative --as sunrise-bakery
  icn org register "Valley Federation" --kind federation --for FEDERATION --as sunrise-bakery
  icn org show ORGANIZATION
"""
_REGISTER_EXAMPLES = """\b
Examples:
  icn org register "Sunrise Bakery" --kind cooperative --as sunrise-bakery
  icn org register "Valley Federation" --kind federation --for FEDERATION --as sunrise-bakery
"""
_LIST_EXAMPLES = """\b
Examples:
  icn org list
  icn org list --kind federation --json
"""
_SHOW_EXAMPLES = """\b
Examples:
  icn org show ORGANIZATION
"""
_ALLOW_EXAMPLES = """\b
Examples:
  icn org allow PRINCIPAL
  icn org allow PRINCIPAL --signatures 50000 --as sunrise-bakery --as river-housing --as mill
"""
BYTES_DEFAULT, SIGNATURES_DEFAULT, LEAVES_DEFAULT, FUEL_DEFAULT = 2**30, 10**6, 10**5, 2**40
"""Room for a cooperative of hundreds of members: each signs thousands of times in an epoch."""
COUNT_MAX = 2**62
"""As the ledger counts."""
STATUSES = ("", "applied", "active", "ended")


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Organizations and their members.", _EXAMPLES)
    group.command("register", epilog=_REGISTER_EXAMPLES)(register_organization)
    group.command("list", epilog=_LIST_EXAMPLES)(list_organizations)
    group.command("show", epilog=_SHOW_EXAMPLES)(show)
    group.command("allow", epilog=_ALLOW_EXAMPLES)(allow)
    app.add_typer(group, name="org")


def register_organization(  # noqa: PLR0917 - one parameter per option
    display_name: Annotated[str, typer.Argument(metavar="NAME", help="As people call it.")],
    acting: AsOption,
    kind: Annotated[
        str, typer.Option("--kind", metavar="KIND", help="cooperative, federation, working-group …")
    ] = "cooperative",
    organization: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="ORGANIZATION",
            help="An authority such as a federation that the acting identity is a member of.",
        ),
    ] = None,
    description: Annotated[str, typer.Option("--description", metavar="TEXT", help="What it does.")] = "",
    contact: Annotated[str, typer.Option("--contact", metavar="TEXT", help="How to reach it.")] = "",
    website: Annotated[str, typer.Option("--website", metavar="URL", help="https://…")] = "",
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say who an organization is, as itself or as a member of an authority."""
    from icn_client.governance import Governance

    named = None if organization is None else organization_identifier(organization, "--for")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> Any:
        return await Governance(connection).register(
            identity,
            named or identity.principal,
            display_name,
            kind,
            description=description,
            contact=contact,
            website=website,
        )

    _show(with_connection(directory, work), [], as_json)


def list_organizations(
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="Only of this kind.")] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the organizations."""
    from icn_client.governance import Governance

    async def work(connection: Connection) -> list[Any]:
        return [one async for one in Governance(connection).organizations(kind)]

    found = with_connection(platform_directory(data), work)
    if as_json:
        print_json({"organizations": [_document(one) for one in found]})
        return
    table(
        ("name", "kind", "members", "organization"),
        [(one.display_name or "—", one.kind or "—", str(one.members), one.name) for one in found],
    )


def show(
    organization: Annotated[str, typer.Argument(metavar="ORGANIZATION", help="Its id.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an organization and its members."""
    from icn_client.governance import Governance

    wanted = organization_identifier(organization, "ORGANIZATION")

    async def work(connection: Connection) -> tuple[Any, list[Any]]:
        governance = Governance(connection)
        found = await governance.organization(wanted)
        return found, [one async for one in governance.members(wanted)]

    found, members = with_connection(platform_directory(data), work)
    _show(found, members, as_json)


def allow(  # noqa: PLR0917 - one parameter per option
    organization: Annotated[
        str, typer.Argument(metavar="PRINCIPAL", help="Of the cooperative that is to pay for itself.")
    ],
    size_bytes: Annotated[
        int, typer.Option("--bytes", metavar="N", min=1, max=COUNT_MAX, help="Transactions, per epoch.")
    ] = BYTES_DEFAULT,
    signatures: Annotated[
        int, typer.Option("--signatures", metavar="N", min=1, max=COUNT_MAX, help="Per epoch.")
    ] = SIGNATURES_DEFAULT,
    leaves: Annotated[
        int, typer.Option("--leaves", metavar="N", min=1, max=COUNT_MAX, help="Of the state, in all.")
    ] = LEAVES_DEFAULT,
    fuel: Annotated[
        int, typer.Option("--fuel", metavar="N", min=0, max=COUNT_MAX, help="Of contracts, per epoch.")
    ] = FUEL_DEFAULT,
    signers: ZoneSignersOption = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set what an organization may use, as the zone's authority. Who has an allowance can hold a seat of the
    validators.

    Where the zone acts by decisions, its members vote on this instead.
    """
    from icn_client import transactions

    wanted = identifier(organization, "PRINCIPAL", "principals")
    directory = platform_directory(data)
    identities = zone_signers(signers, keystore, directory)

    async def message(_connection: Connection) -> Any:
        return transactions.set_allowance(
            wanted,
            bytes_per_epoch=size_bytes,
            signatures_per_epoch=signatures,
            state_leaves=leaves,
            fuel_per_epoch=fuel,
        )

    outcome, _ = perform_as_zone(message, identities, directory)
    shown = {"organization": wanted.hex()}
    print_done(outcome, as_json, shown, f"principals/{wanted.hex()} has an allowance of its own")


def _document(one: Any) -> dict[str, Any]:
    return {
        "name": one.name,
        "display_name": one.display_name,
        "kind": one.kind,
        "description": one.description,
        "contact": one.contact,
        "website": one.website,
        "is_authority": one.is_authority,
        "members": one.members,
        "applicants": one.applicants,
    }


def _member_document(one: Any) -> dict[str, Any]:
    leaf = one.membership
    return {
        "member": leaf.member.hex(),
        "status": STATUSES[leaf.status],
        "since_time_ms": str(leaf.since_time_ms),
        "vouchers": [voucher.hex() for voucher in leaf.vouchers],
        "offices": list(one.offices),
    }


def _show(one: Any, members: list[Any], as_json: bool) -> None:
    if as_json:
        print_json({**_document(one), "memberships": [_member_document(member) for member in members]})
        return
    print_text(f"{one.display_name or one.name}  ({one.kind or 'has not said who it is'})")
    print_text(f"organization  {one.name}")
    for label, text in (
        ("description", one.description),
        ("contact", one.contact),
        ("website", one.website),
    ):
        if text:
            print_text(f"{label.ljust(12)}  {text}")
    authority = ", acts by its members' countersignatures" if one.is_authority else ""
    print_text(f"members       {one.members}, {one.applicants} applying{authority}")
    for member in members:
        leaf = member.membership
        offices = f", {', '.join(member.offices)}" if member.offices else ""
        print_text(f"  principals/{leaf.member.hex()}  {STATUSES[leaf.status]}{offices}")

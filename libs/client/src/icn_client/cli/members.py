"""`icn member` and `icn authority`: who belongs where, and which organizations decide together."""

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
    organization_identifier,
    platform_directory,
    show_duration,
    show_time,
    with_connection,
)
from icn_client.cli.output import UsageError, print_json, print_text, table
from icn_client.cli.signing import perform_and_print

if TYPE_CHECKING:
    from icn_client.connection import Connection

OrganizationArgument = Annotated[
    str, typer.Argument(metavar="ORGANIZATION", help="Id of the organization or of the federation.")
]
MemberArgument = Annotated[str, typer.Argument(metavar="MEMBER", help="Id of the member or applicant.")]

_EXAMPLES = """\b
Examples:
  icn member apply ORGANIZATION --as anna
  icn member vouch ORGANIZATION MEMBER --as ben
  icn member admit MEMBER --as sunrise-bakery
  icn member list --organization ORGANIZATION
"""
_APPLY_EXAMPLES = """\b
Examples:
  icn member apply ORGANIZATION --as anna
"""
_VOUCH_EXAMPLES = """\b
Examples:
  icn member vouch ORGANIZATION MEMBER --as ben
"""
_ADMIT_EXAMPLES = """\b
Examples:
  icn member admit MEMBER --as sunrise-bakery
"""
_END_EXAMPLES = """\b
Examples:
  icn member end ORGANIZATION MEMBER --as anna              anna leaves
  icn member end ORGANIZATION MEMBER --as sunrise-bakery    the co-op excludes her
"""
_SHOW_EXAMPLES = """\b
Examples:
  icn member show ORGANIZATION MEMBER
  icn member show ORGANIZATION MEMBER --json
"""
_LIST_EXAMPLES = """\b
Examples:
  icn member list --organization ORGANIZATION
  icn member list --member MEMBER --json
"""
_AUTHORITY_EXAMPLES = """\b
Examples:
  icn authority show AUTHORITY
"""
_AUTHORITY_SHOW_EXAMPLES = """\b
Examples:
  icn authority show AUTHORITY
  icn authority show authorities/7f3a… --json
"""


def register(app: typer.Typer) -> None:
    """Add both groups."""
    members = command_group("Memberships: apply, vouch, admit, end.", _EXAMPLES)
    members.command("apply", epilog=_APPLY_EXAMPLES)(apply)
    members.command("vouch", epilog=_VOUCH_EXAMPLES)(vouch)
    members.command("admit", epilog=_ADMIT_EXAMPLES)(admit)
    members.command("end", epilog=_END_EXAMPLES)(end)
    members.command("show", epilog=_SHOW_EXAMPLES)(show)
    members.command("list", epilog=_LIST_EXAMPLES)(list_memberships)
    app.add_typer(members, name="member")
    authorities = command_group(
        "Authorities: organizations, such as federations, that act by their members' countersignatures.",
        _AUTHORITY_EXAMPLES,
    )
    authorities.command("show", epilog=_AUTHORITY_SHOW_EXAMPLES)(show_authority)
    app.add_typer(authorities, name="authority")


def apply(
    organization: OrganizationArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask an organization for membership, as the acting identity."""
    from icn_client import transactions

    wanted = _organization(organization)
    shown = {"organization": wanted.hex()}
    message = transactions.apply_for_membership(wanted)
    perform_and_print(message, shown, f"applied to {wanted.hex()}", acting, keystore, data, as_json)


def vouch(  # noqa: PLR0917 - one parameter per option
    organization: OrganizationArgument,
    member: MemberArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Speak for an applicant, as a member of the organization."""
    from icn_client import transactions

    wanted, applicant = _organization(organization), _member(member)
    shown = {"organization": wanted.hex(), "member": applicant.hex()}
    message = transactions.vouch_for_applicant(wanted, applicant)
    perform_and_print(message, shown, f"vouched for {applicant.hex()}", acting, keystore, data, as_json)


def admit(
    member: MemberArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an applicant a member of the acting organization; a federation does so by a decision."""
    from icn_client import transactions

    applicant = _member(member)
    message = transactions.admit_member(applicant)
    perform_and_print(
        message,
        {"member": applicant.hex()},
        f"admitted {applicant.hex()}",
        acting,
        keystore,
        data,
        as_json,
    )


def end(  # noqa: PLR0917 - one parameter per option
    organization: OrganizationArgument,
    member: MemberArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a membership or an application, as the member or as the organization."""
    from icn_client import transactions

    wanted, leaving = _organization(organization), _member(member)
    shown = {"organization": wanted.hex(), "member": leaving.hex()}
    message = transactions.end_membership(wanted, leaving)
    perform_and_print(
        message, shown, f"ended the membership of {leaving.hex()}", acting, keystore, data, as_json
    )


def show(
    organization: OrganizationArgument,
    member: MemberArgument,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a membership: how it stands, since when, who vouched."""
    wanted, of = _organization(organization), _member(member)

    async def read(connection: Connection) -> Any:
        from icn_client import institutions

        return await institutions.membership(connection, wanted, of)

    shown = _document(with_connection(platform_directory(data), read))
    if as_json:
        print_json(shown)
        return
    print_text(f"organization  {shown['organization']}")
    print_text(f"member        {shown['member']}")
    print_text(f"status        {shown['status']}")
    for name, label in (("applied", "applied"), ("since", "member since"), ("ended", "ended")):
        if shown[f"{name}_time_ms"] != "0":
            print_text(f"{label:12}  {show_time(int(shown[f'{name}_time_ms']))}")
    for voucher in shown["vouchers"]:
        print_text(f"vouched by    {voucher}")


def list_memberships(
    organization: Annotated[
        str | None, typer.Option("--organization", metavar="ID", help="Those of an organization.")
    ] = None,
    member: Annotated[str | None, typer.Option("--member", metavar="ID", help="Those of a member.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List memberships of an organization or of a member; with --json one object per line."""
    if (organization is None) == (member is None):
        raise UsageError("name either --organization or --member")
    wanted = _organization(organization or "") if organization is not None else _member(member or "")

    async def read(connection: Connection) -> list[dict[str, Any]]:
        from icn_client import institutions

        listed = (
            institutions.memberships_of_member
            if organization is None
            else institutions.memberships_of_organization
        )
        return [_document(row) async for row in listed(connection, wanted)]

    found = with_connection(platform_directory(data), read)
    if as_json:
        for shown in found:
            print_json(shown)
        return
    other = "organization" if organization is None else "member"
    table(
        (other, "status", "since", "vouches"),
        [
            (
                shown[other],
                shown["status"],
                "" if shown["since_time_ms"] == "0" else show_time(int(shown["since_time_ms"])),
                str(len(shown["vouchers"])),
            )
            for shown in found
        ],
    )


def show_authority(
    authority: Annotated[str, typer.Argument(metavar="AUTHORITY", help="Id of the authority.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an authority: its members, how many must countersign a decision, how many must vouch."""
    wanted = identifier(authority, "AUTHORITY", "authorities")

    async def read(connection: Connection) -> tuple[Any, list[bytes]]:
        from icn.ledger.v1.state_pb2 import MEMBERSHIP_STATUS_ACTIVE

        from icn_client import institutions

        leaf = await institutions.authority(connection, wanted)
        members = [
            row.member
            async for row in institutions.memberships_of_organization(connection, wanted)
            if row.status == MEMBERSHIP_STATUS_ACTIVE
        ]
        return leaf, members

    from icn.ledger.v1.transaction_pb2 import AuthorityRules, DecisionAction
    from icn_tally.polls.decisions import countersignatures_needed
    from icn_tally.polls.rules import poll_ms_min, share_text, shares_needed

    leaf, members = with_connection(platform_directory(data), read)
    needed = countersignatures_needed(leaf.rules, leaf.members)
    ordinary = shares_needed(leaf.rules, ())
    itself = shares_needed(leaf.rules, [DecisionAction(set_rules=AuthorityRules())])
    if as_json:
        print_json(
            {
                "authority": leaf.authority.hex(),
                "members": [member.hex() for member in members],
                "threshold": leaf.rules.threshold,
                "quorum": needed,
                "vouches_min": leaf.rules.vouches_min,
                "poll_ms_min": str(poll_ms_min(leaf.rules)),
                **{
                    name: f"{share.numerator}/{share.denominator}"
                    for name, share in (
                        ("quorum_share", ordinary.quorum),
                        ("majority_share", ordinary.majority),
                        ("constitutional_quorum_share", itself.quorum),
                        ("constitutional_majority_share", itself.majority),
                    )
                },
            }
        )
        return
    print_text(f"authority  {leaf.authority.hex()}")
    print_text(f"quorum     {needed} of {leaf.members} members")
    print_text(f"vouches    {leaf.rules.vouches_min}")
    print_text(f"polls      open for {show_duration(poll_ms_min(leaf.rules))} at least")
    print_text(
        f"votes      {share_text(ordinary.quorum)} of all members must vote, "
        f"{share_text(ordinary.majority)} vote yes"
    )
    print_text(
        f"           {share_text(itself.quorum)} and {share_text(itself.majority)} where members, allowances "
        "or rules change"
    )
    for member in members:
        print_text(f"member     {member.hex()}")


def _organization(text: str) -> bytes:
    return organization_identifier(text, "ORGANIZATION")


def _member(text: str) -> bytes:
    return identifier(text, "MEMBER", "principals")


def _document(leaf: Any) -> dict[str, Any]:
    from icn_client.light.leaves import describe

    shown = describe(leaf)
    shown.pop("payer")
    return shown

"""`icn did` and `icn vc` on a running platform: an organization's keystore signs, identity stores."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli.common import (
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    duration_ms,
    identifier,
    open_identity,
    platform_directory,
    with_connection,
)
from icn_client.cli.output import Refused, UsageError, print_bytes, print_json, print_text, table

if TYPE_CHECKING:
    from icn_client.connection import Connection

PAGE_MAX = 1_000

_CREATE_EXAMPLES = """\b
Examples:
  icn did create --as sunrise-bakery
"""
_ROTATE_EXAMPLES = """\b
Examples:
  icn did rotate --as sunrise-bakery              after its keys changed on the ledger
  icn did rotate --as sunrise-bakery --by housing      after a recovery: the guardian's key signs
"""
_SHOW_EXAMPLES = """\b
Examples:
  icn did show PRINCIPAL
"""
_LOG_EXAMPLES = """\b
Examples:
  icn did log PRINCIPAL --out did.jsonl
"""
_ISSUE_EXAMPLES = """\b
Examples:
  icn vc issue membership --as sunrise-bakery --to PRINCIPAL
  icn vc issue office --name treasurer --as sunrise-bakery --to PRINCIPAL --for 365d
"""
_REVOKE_EXAMPLES = """\b
Examples:
  icn vc revoke credentials/7f3a… --as sunrise-bakery
"""
_LIST_EXAMPLES = """\b
Examples:
  icn vc list --to PRINCIPAL
  icn vc list --of PRINCIPAL --json
"""
_GET_EXAMPLES = """\b
Examples:
  icn vc get credentials/7f3a… --out membership.json
"""
_STATUS_EXAMPLES = """\b
Examples:
  icn vc status-list PRINCIPAL --out list.json
"""

PrincipalArgument = Annotated[str, typer.Argument(metavar="PRINCIPAL", help="Id of the principal.")]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write to a file instead of stdout.", readable=False),
]


def register(did: typer.Typer, vc: typer.Typer) -> None:
    """Add the commands to their groups."""
    did.command("create", epilog=_CREATE_EXAMPLES)(create)
    did.command("rotate", epilog=_ROTATE_EXAMPLES)(rotate)
    did.command("show", epilog=_SHOW_EXAMPLES)(show)
    did.command("log", epilog=_LOG_EXAMPLES)(log)
    vc.command("issue", epilog=_ISSUE_EXAMPLES)(issue)
    vc.command("revoke", epilog=_REVOKE_EXAMPLES)(revoke)
    vc.command("list", epilog=_LIST_EXAMPLES)(list_credentials)
    vc.command("get", epilog=_GET_EXAMPLES)(get)
    vc.command("status-list", epilog=_STATUS_EXAMPLES)(status_list)


def create(
    acting: AsOption, keystore: KeystoreOption = None, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Make the organization's did:webvh, which shows its keys on the ledger."""
    _publish(acting, acting, keystore, data, as_json=as_json)


def rotate(
    acting: AsOption,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="NAME", help="Identity whose key signs the entry: the guardian's."),
    ] = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Continue the log of the DID with the keys that the ledger has now."""
    _publish(acting, by or acting, keystore, data, as_json=as_json)


def _publish(acting: str, by: str, keystore: Path | None, data: Path | None, *, as_json: bool) -> None:
    from icn_client.identities import publish_did

    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    signer = identity if by == acting else open_identity(by, keystore, directory)

    async def work(connection: Connection) -> Any:
        return await publish_did(connection, identity, signer)

    answer = with_connection(directory, work)
    if as_json:
        print_json({"did": answer.did, "version_id": answer.version_id})
    else:
        print_text(f"{answer.did}\nversion  {answer.version_id}")


def show(principal: PrincipalArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show a principal: keys, devices, DID, memberships, a recovery under way."""
    from icn_client.identities import get_principal

    wanted = identifier(principal, "PRINCIPAL", "principals")

    async def work(connection: Connection) -> Any:
        return await get_principal(connection, wanted)

    found = with_connection(platform_directory(data), work)
    if as_json:
        print_json(_portrait(found))
        return
    print_text(f"principal   {wanted.hex()}")
    print_text(
        f"did         {found.did or 'none'}{'' if found.is_did_current or not found.did else ' (old keys)'}"
    )
    for key in found.keys:
        kind = "device" if key.is_scoped else "key"
        print_text(f"{kind:<11} {key.key_id.hex()}  {key.did}")
    for one in found.memberships:
        print_text(f"membership  {one.organization}  {one.status}")
    if found.HasField("recovery"):
        print_text(f"recovery    by {found.recovery.guardian}, ready {_moment(found.recovery.ready_time_ms)}")


def log(principal: PrincipalArgument, out: OutOption = None, data: DataOption = None) -> None:
    """Fetch the log of an organization's DID: what `icn did resolve --log` reads."""
    from icn_client.identities import get_did_log

    wanted = identifier(principal, "PRINCIPAL", "principals")

    async def work(connection: Connection) -> bytes:
        return await get_did_log(connection, f"principals/{wanted.hex()}")

    _write(with_connection(platform_directory(data), work), out)


def issue(  # noqa: PLR0917 - one parameter per option
    kind: Annotated[str, typer.Argument(metavar="membership|office", help="What it says.")],
    acting: AsOption,
    subject: Annotated[str, typer.Option("--to", metavar="PRINCIPAL", help="Whom it is about.")],
    name: Annotated[
        str, typer.Option("--name", metavar="OFFICE", help="Name of the office, such as treasurer.")
    ] = "",
    lasting: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="How long it is valid, such as 365d; else until revoked."),
    ] = None,
    out: OutOption = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a credential with the organization's keys and publish it."""
    from icn_client.acting import now_ms
    from icn_client.identities import issue as sign_and_publish

    if kind not in ("membership", "office"):
        raise UsageError(f"{kind[:40]!r} is neither membership nor office")
    if (kind == "office") != bool(name):
        raise UsageError("an office has a name (--name treasurer), a membership none")
    wanted = identifier(subject, "--to", "principals")
    until_ms = None if lasting is None else now_ms() + duration_ms(lasting, "--for")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> Any:
        return await sign_and_publish(connection, identity, wanted, office=name, valid_until_ms=until_ms)

    issued = with_connection(directory, work)
    if out is not None:
        _write(json.dumps(issued.document).encode() + b"\n", out)
    if as_json:
        print_json({"credential": issued.name, "document": issued.document})
    else:
        print_text(issued.name)


def revoke(
    name: Annotated[str, typer.Argument(metavar="CREDENTIAL", help="credentials/…, or its 32 hex digits.")],
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign the organization's status list with the credential revoked, and publish it."""
    from icn_client.identities import revoke as sign_and_publish

    wanted = f"credentials/{identifier(name, 'CREDENTIAL', 'credentials').hex()}"
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> list[str]:
        return await sign_and_publish(connection, identity, wanted)

    revoked = with_connection(directory, work)
    if as_json:
        print_json({"revoked": revoked})
    else:
        print_text("\n".join(f"revoked  {one}" for one in revoked) or f"{wanted} was revoked already")


def list_credentials(
    organization: Annotated[
        str | None, typer.Option("--of", metavar="PRINCIPAL", help="Organization that signed them.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--to", metavar="PRINCIPAL", help="Whom they are about.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=PAGE_MAX)] = 100,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show credentials, newest first."""
    from icn_client.identities import list_credentials as ask

    if (organization is None) == (subject is None):
        raise UsageError("give either --of or --to")
    of = None if organization is None else identifier(organization, "--of", "principals")
    to = None if subject is None else identifier(subject, "--to", "principals")

    async def work(connection: Connection) -> Any:
        return await ask(connection, organization_=of, subject=to, limit=limit)

    found = with_connection(platform_directory(data), work)
    if as_json:
        print_json({"credentials": [_credential(one) for one in found]})
        return
    rows = [
        (one.name, one.office or "membership", one.organization, one.subject, _standing(one)) for one in found
    ]
    table(("name", "says", "organization", "subject", "state"), rows)


def get(
    name: Annotated[str, typer.Argument(metavar="CREDENTIAL", help="credentials/…, or its 32 hex digits.")],
    out: OutOption = None,
    data: DataOption = None,
) -> None:
    """Fetch a credential: what `icn vc verify` reads."""
    from icn_client.identities import get_credential

    wanted = f"credentials/{identifier(name, 'CREDENTIAL', 'credentials').hex()}"

    async def work(connection: Connection) -> bytes:
        return (await get_credential(connection, wanted)).document

    _write(with_connection(platform_directory(data), work) + b"\n", out)


def status_list(principal: PrincipalArgument, out: OutOption = None, data: DataOption = None) -> None:
    """Fetch an organization's status list: what `icn vc verify --status-list` reads."""
    from icn_client.identities import get_status_list

    wanted = identifier(principal, "PRINCIPAL", "principals")

    async def work(connection: Connection) -> bytes:
        return await get_status_list(connection, wanted)

    _write(with_connection(platform_directory(data), work) + b"\n", out)


def _write(content: bytes, out: Path | None) -> None:
    if out is None:
        print_bytes(content)
        return
    try:
        out.write_bytes(content)
    except OSError as error:
        raise Refused(f"{out}: {error.strerror}", "OUTPUT_UNWRITABLE") from None


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _standing(credential: Any) -> str:
    if credential.revoked_time_ms:
        return f"revoked {_moment(credential.revoked_time_ms)}"
    if credential.valid_until_time_ms:
        return f"until {_moment(credential.valid_until_time_ms)}"
    return "until revoked"


def _credential(one: Any) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": "office" if one.office else "membership",
        "organization": one.organization,
        "subject": one.subject,
        "office": one.office,
        "valid_from_ms": str(one.valid_from_time_ms),
        "valid_until_ms": str(one.valid_until_time_ms) if one.valid_until_time_ms else None,
        "revoked_ms": str(one.revoked_time_ms) if one.revoked_time_ms else None,
    }


def _key(key: Any) -> dict[str, Any]:
    return {"key_id": key.key_id.hex(), "did": key.did, "scoped": key.is_scoped, "suites": list(key.suites)}


def _portrait(found: Any) -> dict[str, Any]:
    recovery = None
    if found.HasField("recovery"):
        recovery = {
            "guardian": found.recovery.guardian,
            "ready_ms": str(found.recovery.ready_time_ms),
            "keys": [_key(key) for key in found.recovery.keys],
        }
    return {
        "principal": found.name,
        "threshold": found.threshold,
        "keys": [_key(key) for key in found.keys],
        "guardian": found.guardian or None,
        "recovery_delay_ms": str(found.recovery_delay_ms),
        "recovery": recovery,
        "did": found.did or None,
        "did_current": found.is_did_current,
        "memberships": [
            {"organization": one.organization, "status": one.status, "since_ms": str(one.since_time_ms)}
            for one in found.memberships
        ],
    }

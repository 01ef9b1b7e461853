"""`icn recovery`: a guardian gives a member whose keys are lost new ones, after a delay to object in."""

from __future__ import annotations

from pathlib import Path
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
    platform_directory,
    show_duration,
    show_time,
    with_connection,
)
from icn_client.cli.output import print_json, print_text
from icn_client.cli.signing import (
    DELAY_DEFAULT,
    DelayOption,
    perform_as,
    perform_on_principal,
    policy_of,
    print_done,
    read_public_part,
)

if TYPE_CHECKING:
    from icn_client.connection import Connection

PrincipalArgument = Annotated[
    str, typer.Argument(metavar="PRINCIPAL", help="Id of the principal whose keys are lost.")
]

_EXAMPLES = """\b
Examples:
  icn keys new anna --for PRINCIPAL             anna, on a new device
  icn keys export anna > anna.public.json
  icn recovery start anna.public.json --as sunrise-bakery
  icn recovery complete PRINCIPAL --as sunrise-bakery    after the delay
"""
_GUARDIAN_EXAMPLES = """\b
Examples:
  icn recovery guardian PRINCIPAL --as anna --delay 30d
  icn recovery guardian none --as anna
"""
_START_EXAMPLES = """\b
Examples:
  icn recovery start anna.public.json --as sunrise-bakery
"""
_CANCEL_EXAMPLES = """\b
Examples:
  icn recovery cancel PRINCIPAL --as anna
  icn recovery cancel PRINCIPAL --as sunrise-bakery
"""
_COMPLETE_EXAMPLES = """\b
Examples:
  icn recovery complete PRINCIPAL --as sunrise-bakery
"""
_SHOW_EXAMPLES = """\b
Examples:
  icn recovery show PRINCIPAL
  icn recovery show principals/7f3a… --json
"""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("New keys for who lost theirs, by a guardian, after a delay.", _EXAMPLES)
    group.command("guardian", epilog=_GUARDIAN_EXAMPLES)(guardian)
    group.command("start", epilog=_START_EXAMPLES)(start)
    group.command("cancel", epilog=_CANCEL_EXAMPLES)(cancel)
    group.command("complete", epilog=_COMPLETE_EXAMPLES)(complete)
    group.command("show", epilog=_SHOW_EXAMPLES)(show)
    app.add_typer(group, name="recovery")


def guardian(  # noqa: PLR0917 - one parameter per option
    principal: Annotated[
        str, typer.Argument(metavar="PRINCIPAL|none", help="Id of the guardian; none: nobody can recover it.")
    ],
    acting: AsOption,
    delay: DelayOption = DELAY_DEFAULT,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say who may recover the acting identity; keys stay as they are, a recovery under way is cancelled."""
    from icn_client import transactions

    policy = policy_of(principal, delay, "PRINCIPAL")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> tuple[Any, Any]:
        return await perform_as(connection, identity, [transactions.set_recovery(policy)])

    outcome, _ = with_connection(directory, work)
    shown = {"principal": identity.principal.hex(), **_policy_document(policy)}
    print_done(outcome, as_json, shown, f"guardian  {_policy_text(policy)}")


def start(
    public_part: Annotated[
        Path,
        typer.Argument(
            metavar="PUBLIC.json",
            help="What `icn keys export` printed for the new keys (`icn keys new NAME --for PRINCIPAL`).",
            readable=False,
        ),
    ],
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Announce new keys, as the guardian; the member can object until they are ready."""
    from icn_client import transactions

    principal, threshold, keys = read_public_part(public_part)
    message = transactions.start_recovery(principal, threshold, keys)
    perform_on_principal(message, principal, "announced new keys for", acting, keystore, data, as_json)


def cancel(
    principal: PrincipalArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a recovery without effect, as the member who objects or as the guardian."""
    from icn_client import transactions

    lost = identifier(principal, "PRINCIPAL", "principals")
    perform_on_principal(
        transactions.cancel_recovery(lost),
        lost,
        "cancelled the recovery of",
        acting,
        keystore,
        data,
        as_json,
    )


def complete(
    principal: PrincipalArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put announced keys in force, as the guardian, from their ready time to 30 days later."""
    from icn_client import transactions

    lost = identifier(principal, "PRINCIPAL", "principals")
    perform_on_principal(
        transactions.complete_recovery(lost), lost, "recovered", acting, keystore, data, as_json
    )


def show(principal: PrincipalArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show who may recover a principal, and the new keys that are announced."""
    from icn_kit.errors import NotFound

    wanted = identifier(principal, "PRINCIPAL", "principals")

    async def read(connection: Connection) -> tuple[Any, Any]:
        controller = await connection.controller(wanted)
        try:
            return controller, await connection.recovery(wanted)
        except NotFound:
            return controller, None

    controller, pending = with_connection(platform_directory(data), read)
    policy = controller.recovery if controller.HasField("recovery") else None
    described = None if pending is None else _pending_document(pending)
    if as_json:
        print_json({"principal": wanted.hex(), **_policy_document(policy), "pending": described})
        return
    print_text(f"principal  {wanted.hex()}")
    print_text(f"guardian   {_policy_text(policy)}")
    if described is None:
        print_text("pending    nothing")
        return
    for key_id in described["keys"]:
        print_text(f"new key    {key_id}")
    print_text(f"ready      {show_time(int(described['ready_time_ms']))}")
    print_text(f"lapses     {show_time(int(described['lapse_time_ms']))}")


def _policy_document(policy: Any) -> dict[str, Any]:
    return {
        "guardian": None if policy is None else policy.guardian.hex(),
        "delay_ms": None if policy is None else str(policy.delay_ms),
    }


def _policy_text(policy: Any) -> str:
    return "none" if policy is None else f"{policy.guardian.hex()}, after {show_duration(policy.delay_ms)}"


def _pending_document(pending: Any) -> dict[str, Any]:
    from icn_machine.limits import RECOVERY_LAPSE_MS

    from icn_client.transactions import controller_key_id

    return {
        "guardian": pending.guardian.hex(),
        "threshold": pending.threshold,
        "keys": [controller_key_id(key).hex() for key in pending.keys],
        "ready_time_ms": str(pending.ready_time_ms),
        "lapse_time_ms": str(pending.ready_time_ms + RECOVERY_LAPSE_MS),
    }

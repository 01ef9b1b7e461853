"""`icn keys allow|revoke`: further keys of a principal that may do some things only, such as a clerk's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from icn_machine.limits import CONTROLLER_KEYS_MAX, QUANTITY_MAX, SCOPE_ACCOUNTS_MAX

from icn_client.cli.common import (
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    identifier,
    moment_ms,
    open_identity,
    platform_directory,
    with_connection,
)
from icn_client.cli.output import Refused, UsageError
from icn_client.cli.signing import perform_as, print_done, read_public_part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from icn_client.connection import Connection


_ALLOW_EXAMPLES = """\b
Examples:
  icn keys new bakery-clerk --for PRINCIPAL       the bakery's; then icn keys export bakery-clerk > clerk.json
  icn keys allow clerk.json --kind order-transfers --amount-max 50000 --as sunrise-bakery
  icn keys allow officer.json --kind release-order --kind cancel-order --as sunrise-bakery
"""
_REVOKE_EXAMPLES = """\b
Examples:
  icn keys revoke KEY --as sunrise-bakery
"""


def add_to(group: typer.Typer) -> None:
    """Add the commands to `icn keys`."""
    group.command("allow", epilog=_ALLOW_EXAMPLES)(allow)
    group.command("revoke", epilog=_REVOKE_EXAMPLES)(revoke)


def allow(  # noqa: PLR0917 - one parameter per option
    public_part: Annotated[
        Path,
        typer.Argument(
            metavar="PUBLIC.json", help="What `icn keys export` printed for the key.", readable=False
        ),
    ],
    kind: Annotated[
        list[str], typer.Option("--kind", metavar="KIND", help="What it may sign, such as order-transfers.")
    ],
    acting: AsOption,
    amount_max: Annotated[
        int,
        typer.Option("--amount-max", metavar="MINOR", min=0, max=QUANTITY_MAX, help="In minor units."),
    ] = 0,
    account: Annotated[
        list[str] | None,
        typer.Option("--account", metavar="ACCOUNT", help="Only these are debited; every one without."),
    ] = None,
    expire: Annotated[
        str | None, typer.Option("--expire", metavar="TIME", help="Its end: from now, such as 90d, or a day.")
    ] = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a key act for the acting identity's principal, alone and within bounds; on the ledger, at once.

    A key that is there gets these bounds instead of its own. A recovery under way ends, as with any change.
    """
    from icn_client.acting import now_ms
    from icn_client.transactions import controller_key_id, key_scope

    principal, _, keys = read_public_part(public_part)
    if len(keys) != 1:
        raise Refused(f"{public_part}: {len(keys)} keys, one is expected", "PUBLIC_PART_INVALID")
    accounts = sorted({identifier(one, "--account", "accounts") for one in account or ()})
    if len(accounts) > SCOPE_ACCOUNTS_MAX:
        raise UsageError(f"--account: {len(accounts)} named, at most {SCOPE_ACCOUNTS_MAX} fit a scope")
    kinds = scope_kinds(kind)
    (key,) = keys
    key.scope.CopyFrom(
        key_scope(
            kinds,
            amount_minor_max=amount_max,
            accounts=accounts,
            expire_time_ms=0 if expire is None else moment_ms(expire, "--expire", now_ms()),
        )
    )
    key_id = controller_key_id(key)

    def change(found: Sequence[Any]) -> list[Any]:
        if any(controller_key_id(one) == key_id and not one.HasField("scope") for one in found):
            raise Refused("KEY_UNSCOPED: the key may do everything already", "KEY_UNSCOPED")
        return [*(one for one in found if controller_key_id(one) != key_id), key]

    outcome = _change_keys(change, acting, principal, keystore, data)
    shown = {"principal": principal.hex(), "key": key_id.hex(), "kinds": kinds}
    print_done(outcome, as_json, shown, f"key {key_id.hex()} may sign {', '.join(kinds)}")


def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Id of the key.")],
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a scoped key from the acting identity's principal."""
    from icn_client.transactions import controller_key_id

    wanted = identifier(key, "KEY", "keys")

    def change(found: Sequence[Any]) -> list[Any]:
        named = [one for one in found if controller_key_id(one) == wanted]
        if not named:
            raise Refused(f"KEY_UNKNOWN: the controller has no key {wanted.hex()}", "KEY_UNKNOWN")
        if not named[0].HasField("scope"):
            raise Refused("KEY_UNSCOPED: the key counts towards the threshold", "KEY_UNSCOPED")
        return [one for one in found if controller_key_id(one) != wanted]

    outcome = _change_keys(change, acting, None, keystore, data)
    print_done(outcome, as_json, {"key": wanted.hex()}, f"revoked key {wanted.hex()}")


def scope_kinds(names: Sequence[str]) -> list[str]:
    """Kinds as ``Message`` names them, from words with hyphens or underscores. Raises UsageError."""
    from difflib import get_close_matches

    from icn.ledger.v1.transaction_pb2 import Message

    known = [name for name in Message.DESCRIPTOR.fields_by_name if name not in UNSCOPED_ONLY]
    found = set()
    for name in names:
        kind = name.replace("-", "_")
        if kind not in known:
            near = get_close_matches(kind, known, 1)
            meant = f"; did you mean {near[0].replace('_', '-')}?" if near else ""
            raise UsageError(f"--kind: a key with bounds cannot sign {name[:40]!r}{meant}")
        found.add(kind)
    return sorted(found)


UNSCOPED_ONLY: Final = frozenset(
    {
        *("update_controller", "set_recovery", "start_recovery", "complete_recovery", "set_zone_authority"),
        *("change_validators", "rekey_seat", "activate_protocol"),
    }
)
"""Kinds that no scope names (docs/spec/transaction.md, "Validity")."""


def _change_keys(
    change: Callable[[Sequence[Any]], list[Any]],
    acting: str,
    principal: bytes | None,
    keystore: Path | None,
    data: Path | None,
) -> Any:
    from icn_client.transactions import update_controller

    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    if principal is not None and principal != identity.principal:
        raise Refused(
            f"the key is made for principals/{principal.hex()}, the identity is {identity.principal.hex()} "
            "(icn keys new NAME --for PRINCIPAL)",
            "PRINCIPAL_DIFFERS",
        )

    async def work(connection: Connection) -> Any:
        controller = await connection.controller(identity.principal)
        keys = change(controller.keys)
        if len(keys) > CONTROLLER_KEYS_MAX:
            raise Refused(f"{len(keys)} keys, a controller has at most {CONTROLLER_KEYS_MAX}", "KEYS_FULL")
        outcome, _ = await perform_as(connection, identity, [update_controller(controller.threshold, keys)])
        return outcome

    return with_connection(directory, work)

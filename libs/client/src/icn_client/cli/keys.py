"""`icn keys`: identities in a local encrypted keystore, and keys with bounds on the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli import key_scopes
from icn_client.cli.common import (
    JsonOption,
    KeystoreOption,
    command_group,
    identifier,
    personal_keystore,
    prompt,
)
from icn_client.cli.output import Refused, UsageError, print_json, print_text, say, table

if TYPE_CHECKING:
    from icn_client.keystore import PublicIdentity

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the identity.")]

_EXAMPLES = """\b
Examples:
  icn keys new anna
  icn keys export anna > anna.public.json
The passphrase is asked for, or read from the file that ICN_PASSPHRASE_FILE names, or from ICN_PASSPHRASE.
"""

_NEW_EXAMPLES = """\b
Examples:
  icn keys new anna
  ICN_PASSPHRASE_FILE=secret icn keys new sunrise-bakery --post-quantum
  icn keys new anna --for PRINCIPAL             after a loss
  icn keys new bakery-clerk --for PRINCIPAL     another key of the bakery, see: icn keys allow
"""
_LIST_EXAMPLES = """\b
Examples:
  icn keys list
  icn keys list --keystore DIR --json
"""
_SHOW_EXAMPLES = """\b
Examples:
  icn keys show anna
"""
_EXPORT_EXAMPLES = """\b
Examples:
  icn keys export anna > anna.public.json
"""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Identities in a local encrypted keystore.", _EXAMPLES)
    group.command("new", epilog=_NEW_EXAMPLES)(new)
    group.command("list", epilog=_LIST_EXAMPLES)(list_identities)
    group.command("show", epilog=_SHOW_EXAMPLES)(show)
    group.command("export", epilog=_EXPORT_EXAMPLES)(export)
    key_scopes.add_to(group)
    app.add_typer(group, name="keys")


def new(
    name: NameArgument,
    post_quantum: Annotated[
        bool, typer.Option("--post-quantum", help="Also make an ML-DSA-65 key, as organizations have.")
    ] = False,
    principal: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="PRINCIPAL",
            help="Principal that the key is for (`icn keys allow`, `icn recovery`); without it a new one.",
        ),
    ] = None,
    keystore: KeystoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an identity: a principal id and a key, sealed with a passphrase."""
    from icn_crypto.suites import Suite

    from icn_client.keystore import Identity, KeystoreError, is_name, passphrase_from_environment

    store = personal_keystore(keystore)
    if not is_name(name):
        raise UsageError(f"{name!r} is not a name: use up to 63 lower-case letters, digits and hyphens")
    known = None if principal is None else identifier(principal, "--for", "principals")
    try:
        if store.path(name).exists():
            raise Refused(f"{store.path(name)} exists already", "IDENTITY_EXISTS")
        passphrase = passphrase_from_environment(store.folder) or _new_passphrase()
        suites = (Suite.ED25519, Suite.ML_DSA_65) if post_quantum else (Suite.ED25519,)
        path = store.add(Identity.generate(name, suites, known), passphrase)
        public = store.public(name)
    except KeystoreError as error:
        raise Refused(str(error), "KEYSTORE") from None
    say(f"{path}: keep a copy; without the file and its passphrase only a guardian can help (icn recovery)")
    _show(public, as_json)


def list_identities(keystore: KeystoreOption = None, as_json: JsonOption = False) -> None:
    """Show the identities; asks for no passphrase."""
    from icn_client.keystore import KeystoreError

    store = personal_keystore(keystore)
    try:
        found = [store.public(name) for name in store.names()]
    except KeystoreError as error:
        raise Refused(str(error), "KEYSTORE") from None
    if as_json:
        print_json({"keystore": str(store.folder), "identities": [_document(one) for one in found]})
        return
    table(
        ("name", "principal", "keys"), [(one.name, one.principal.hex(), str(len(one.keys))) for one in found]
    )


def show(name: NameArgument, keystore: KeystoreOption = None, as_json: JsonOption = False) -> None:
    """Show one identity's public part; asks for no passphrase."""
    _show(_public(name, keystore), as_json)


def export(name: NameArgument, keystore: KeystoreOption = None) -> None:
    """Print the public part as JSON, for a co-op to admit; asks for no passphrase."""
    print_json(_document(_public(name, keystore)))


def _public(name: str, keystore: Path | None) -> PublicIdentity:
    from icn_client.keystore import KeystoreError

    try:
        return personal_keystore(keystore).public(name)
    except KeystoreError as error:
        raise Refused(str(error), "KEYSTORE") from None


def _new_passphrase() -> str:
    from icn_client.keystore import PASSPHRASE_FILE_VARIABLE, PASSPHRASE_VARIABLE

    ask = prompt()
    if ask is None:
        raise Refused(
            f"no passphrase: set {PASSPHRASE_FILE_VARIABLE} to a file with it, or {PASSPHRASE_VARIABLE}",
            "PASSPHRASE_MISSING",
        )
    passphrase = ask("New passphrase")
    if ask("Again") != passphrase:
        raise Refused("the two passphrases differ", "PASSPHRASE_DIFFERS")
    return passphrase


def _document(public: PublicIdentity) -> dict[str, Any]:
    from icn_kit.genesis import public_keys_document

    return {
        "name": public.name,
        "principal": public.principal.hex(),
        "threshold": public.threshold,
        "keys": [
            {"key_id": key_id.hex(), "public_keys": public_keys_document(public_keys)}
            for key_id, public_keys in zip(public.key_ids, public.keys, strict=True)
        ],
    }


def _show(public: PublicIdentity, as_json: bool) -> None:
    if as_json:
        print_json(_document(public))
        return
    print_text(f"name       {public.name}")
    print_text(f"principal  {public.principal.hex()}")
    for key_id in public.key_ids:
        print_text(f"key        {key_id.hex()}")

"""What the commands that sign for an identity share: a transaction, its answer, public parts, policies."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli.common import (
    duration_ms,
    identifier,
    open_identity,
    personal_keystore,
    platform_directory,
    prompt,
    with_connection,
)
from icn_client.cli.files import read_file
from icn_client.cli.output import Refused, print_json, print_text

if TYPE_CHECKING:
    from icn_client.acting import Actor
    from icn_client.connection import Connection
    from icn_client.keystore import Identity

PUBLIC_PART_BYTES_MAX = 262_144
IDENTIFIER_BYTES = 16
NO_GUARDIAN = "none"
DELAY_DEFAULT = "14d"
"""Long enough for a holiday, and for a veto to be paid for in one of several epochs."""

DelayOption = Annotated[
    str,
    typer.Option(
        "--delay",
        metavar="TIME",
        help="How long the member can object to new keys, such as 14d, 36h, 90m or 30s; up to 366d.",
    ),
]

ZoneSignersOption = Annotated[
    list[str] | None,
    typer.Option(
        "--as",
        metavar="NAME",
        help="Identity with keys of the zone's authority; by default all founders, or all of the keystore.",
    ),
]


def zone_signers(names: list[str] | None, keystore: Path | None, directory: Path) -> list[Identity]:
    """The identities that sign for the zone's authority: the named ones, or all of the platform's founders;
    of a platform that is elsewhere, all of the keystore. Raises Refused."""
    from icn_client.keystore import KeystoreError
    from icn_client.platforms import founders_keystore, open_all

    if names:
        return [open_identity(name, keystore, directory) for name in names]
    store = founders_keystore(directory)
    if keystore is not None or not store.folder.is_dir():
        store = personal_keystore(keystore)
    try:
        return open_all(store, prompt())
    except KeystoreError as error:
        raise Refused(str(error), "KEYSTORE") from None


def perform_as_zone(
    message: Callable[[Connection], Awaitable[Any]], signers: Sequence[Identity], directory: Path
) -> tuple[Any, Any]:
    """Sign and send a message, made with the connection, as the zone's authority; returns its outcome and
    receipt."""
    from icn_client.acting import perform, zone_authority
    from icn_client.submitter import Submitter

    async def work(connection: Connection) -> tuple[Any, Any]:
        made = await message(connection)
        authority = await zone_authority(connection, signers)
        async with Submitter(connection.doors()) as submitter:
            return await perform(submitter, authority, [made])

    return with_connection(directory, work)


async def perform_as(connection: Connection, identity: Identity, messages: list[Any]) -> tuple[Any, Any]:
    """Sign and send one transaction of an identity; returns its outcome and receipt."""
    from icn_client.acting import actor_of, perform
    from icn_client.submitter import Submitter

    actor: Actor = await actor_of(connection, identity)
    async with Submitter(connection.doors()) as submitter:
        return await perform(submitter, actor, messages)


def print_done(outcome: Any, as_json: bool, shown: dict[str, Any], text: str) -> None:
    """Say what a committed transaction did."""
    if as_json:
        print_json({**shown, "transaction": outcome.signed.transaction_id.hex(), "height": outcome.height})
    else:
        print_text(f"{text} (height {outcome.height}, transaction {outcome.signed.transaction_id.hex()})")


def perform_and_print(  # noqa: PLR0917 - what the commands pass on
    message: Any,
    shown: dict[str, Any],
    text: str,
    acting: str,
    keystore: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Sign and send a message, and say what it did: ``shown`` for programs, ``text`` for people."""
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    outcome, _ = with_connection(directory, lambda connection: perform_as(connection, identity, [message]))
    print_done(outcome, as_json, shown, text)


def perform_on_principal(  # noqa: PLR0917 - what the commands pass on
    message: Any,
    principal: bytes,
    done: str,
    acting: str,
    keystore: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """`perform_and_print` of a message about a principal."""
    shown, text = {"principal": principal.hex()}, f"{done} principals/{principal.hex()}"
    perform_and_print(message, shown, text, acting, keystore, data, as_json)


def read_public_part(path: Path) -> tuple[bytes, int, list[Any]]:
    """Principal, threshold and controller keys of what `icn keys export` printed. Raises Refused."""
    content = read_file(path, PUBLIC_PART_BYTES_MAX)
    try:
        document = json.loads(content)
        principal, threshold = bytes.fromhex(document["principal"]), document["threshold"]
        keys = [_controller_key(key["public_keys"]) for key in document["keys"]]
        if len(principal) != IDENTIFIER_BYTES:
            raise ValueError(f"principal has {len(principal)} bytes, must have {IDENTIFIER_BYTES}")
        if type(threshold) is not int or not 1 <= threshold <= len(keys):
            raise ValueError(f"threshold must be 1 to the number of keys, {len(keys)}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Refused(f"{path}: not a public part of an identity: {error!r}", "PUBLIC_PART_INVALID") from None
    return principal, threshold, keys


def _controller_key(public_keys: Any) -> Any:
    from icn_crypto.suites import SUITE_NAMES

    from icn_client.transactions import controller_key

    suites = {name: suite for suite, name in SUITE_NAMES.items()}
    if not public_keys:
        raise ValueError("a key has no public key")
    return controller_key({suites[name]: bytes.fromhex(public) for name, public in public_keys.items()})


def policy_of(guardian: str, delay: str, what: str) -> Any:
    """The recovery policy that a guardian's id, or ``none``, and a delay stand for. Raises UsageError."""
    from icn_client.transactions import recovery_policy

    delay_ms = duration_ms(delay, "--delay")
    if guardian == NO_GUARDIAN:
        return None
    return recovery_policy(identifier(guardian, what, "principals"), delay_ms)

"""`icn steward`: an organization's own program that recounts polls, countersigns what holds, and records
evidence against validators."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from icn_client.cli.common import (
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    command_group,
    duration_ms,
    identifier,
    open_identity,
    platform_directory,
    prompt,
    with_connection,
)
from icn_client.cli.output import EXIT_REFUSED, Refused, print_json, print_text, say

if TYPE_CHECKING:
    from icn_client.connection import Connection
    from icn_client.keystore import Identity, Keystore
    from icn_client.recording_evidence import Recording
    from icn_client.stewarding import Step

EVERY_DEFAULT: Final = "10s"

StewardKeystoreOption = Annotated[
    Path | None,
    typer.Option(
        "--steward-keystore",
        metavar="DIR",
        help="Folder of stewards' keys; by default ICN_STEWARD_KEYSTORE or the user's data folder.",
        readable=False,
    ),
]
AcceptOption = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-unopened",
        metavar="PROPOSAL",
        help="Countersign though ballots not opened could have decided; people have looked into it.",
    ),
]

_EXAMPLES = """\b
Examples:
  icn steward key --as sunrise-bakery     once: its key countersigns and records evidence, no more
  icn steward run --as sunrise-bakery     until Ctrl-C; needs no other key
  icn steward once --as sunrise-bakery
"""
_KEY_EXAMPLES = """\b
Examples:
  icn steward key --as sunrise-bakery
"""
_ONCE_EXAMPLES = """\b
Examples:
  icn steward once --as sunrise-bakery
  icn steward once PROPOSAL --as sunrise-bakery --accept-unopened PROPOSAL
"""
_RUN_EXAMPLES = """\b
Examples:
  icn steward run --as sunrise-bakery
  icn steward run --as sunrise-bakery --every 1m --json
"""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group(
        "An organization's own recount of polls, its countersignature, and evidence.", _EXAMPLES
    )
    group.command("key", epilog=_KEY_EXAMPLES)(make_key)
    group.command("once", epilog=_ONCE_EXAMPLES)(once)
    group.command("run", epilog=_RUN_EXAMPLES)(run)
    app.add_typer(group, name="steward")


def make_key(
    acting: AsOption,
    steward_keystore: StewardKeystoreOption = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the steward's key of an organization, in a keystore of its own, and register it on the ledger."""
    from icn_client.acting import actor_of
    from icn_client.stewarding import register_steward
    from icn_client.submitter import Submitter

    directory = platform_directory(data)
    organization = open_identity(acting, keystore, directory)
    store = steward_store(steward_keystore)
    steward = _steward(store, acting, organization)

    async def work(connection: Connection) -> int:
        actor = await actor_of(connection, organization)
        async with Submitter(connection.doors()) as submitter:
            return await register_steward(connection, submitter, actor, steward)

    height = with_connection(directory, work)
    key = steward.keys[0].key_id.hex()
    if as_json:
        print_json(
            {
                "organization": organization.principal.hex(),
                "key": key,
                "keystore": str(store.folder),
                "height": str(height),
            }
        )
        return
    print_text(f"key       {key}, for countersigning and recording evidence only")
    print_text(f"keystore  {store.path(acting)}")
    print_text(f"registered at height {height}" if height else "was registered before")


def once(  # noqa: PLR0917 - one parameter per option
    acting: AsOption,
    proposal: Annotated[
        str | None,
        typer.Argument(metavar="PROPOSAL", help="Only its decision; all that wait where left out."),
    ] = None,
    accept_unopened: AcceptOption = None,
    steward_keystore: StewardKeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look once at what waits: recount, countersign, enact; record evidence. Exit 1 when anything failed."""
    only = None if proposal is None else identifier(proposal, "PROPOSAL", "proposals")
    accepted = [identifier(one, "--accept-unopened", "proposals") for one in accept_unopened or ()]
    directory = platform_directory(data)
    steward = open_steward(steward_keystore, acting)

    async def work(connection: Connection) -> list[Step | Recording]:
        from icn_client.recording_evidence import EvidenceRecorder
        from icn_client.stewarding import StewardProgram
        from icn_client.submitter import Submitter

        async with Submitter(connection.doors()) as submitter:
            program = StewardProgram(connection, submitter, steward, accepts_unopened=accepted)
            steps: list[Step | Recording] = [*await program.look(only)]
            if only is None:
                steps += await EvidenceRecorder(connection, submitter, steward).look()
            return steps

    steps = with_connection(directory, work)
    if as_json:
        print_json({"steps": [step.document() for step in steps]})
    else:
        for step in steps:
            print_text(_line(step))
        if not steps:
            print_text("nothing waits")
    if any(step.outcome in ("refused", "failed") for step in steps):
        raise SystemExit(EXIT_REFUSED)


def run(  # noqa: PLR0917 - one parameter per option
    acting: AsOption,
    every: Annotated[
        str, typer.Option("--every", metavar="TIME", help="How often it looks: 10s, 1m.")
    ] = EVERY_DEFAULT,
    accept_unopened: AcceptOption = None,
    steward_keystore: StewardKeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look again and again, until Ctrl-C; with --json one line for each change."""
    seconds = duration_ms(every, "--every") / 1000
    accepted = [identifier(one, "--accept-unopened", "proposals") for one in accept_unopened or ()]
    directory = platform_directory(data)
    steward = open_steward(steward_keystore, acting)
    say(f"steward of {steward.principal.hex()}, key {steward.keys[0].key_id.hex()}; Ctrl-C ends it")

    async def work(connection: Connection) -> None:
        import asyncio

        from icn_kit.errors import DomainError

        from icn_client.recording_evidence import EvidenceRecorder
        from icn_client.stewarding import StewardProgram
        from icn_client.submitter import Submitter

        said: dict[str, Step | Recording] = {}
        async with Submitter(connection.doors()) as submitter:
            program = StewardProgram(connection, submitter, steward, accepts_unopened=accepted)
            recorder = EvidenceRecorder(connection, submitter, steward)
            while True:
                steps: list[Step | Recording] = []
                for look in (program.look, recorder.look):
                    try:
                        steps += await look()
                    except DomainError as error:
                        say(f"icn: {error.reason}: {error.message}; looking again in {every}")
                for step in steps:
                    if said.get(step.subject) != step:
                        said[step.subject] = step
                        print_json(step.document()) if as_json else print_text(_line(step))
                await asyncio.sleep(seconds)

    with_connection(directory, work)


def steward_store(folder: Path | None) -> Keystore:
    """The keystore of stewards named, or the person's."""
    from icn_client.keystore import Keystore as Store
    from icn_client.platforms import STEWARD_VARIABLE, keystore_folder

    named = os.environ.get(STEWARD_VARIABLE)
    if folder is not None:
        return Store(folder)
    return Store(Path(named) if named else keystore_folder().parent / "steward")


def open_steward(folder: Path | None, name: str) -> Identity:
    """The steward's identity of an organization. Raises Refused."""
    from icn_client.keystore import KeystoreError, find_passphrase

    store = steward_store(folder)
    try:
        if not store.path(name).is_file():
            raise Refused(
                f"no steward's key of {name!r} in {store.folder}: icn steward key --as {name}",
                "STEWARD_UNKNOWN",
            )
        return store.open(name, find_passphrase(store.folder, prompt()))
    except KeystoreError as error:
        raise Refused(str(error), "KEYSTORE") from None


def _steward(store: Keystore, name: str, organization: Identity) -> Identity:
    """The steward's identity, made where there is none."""
    from icn_client.keystore import (
        SCRYPT_LOG2_N_MACHINE_MADE,
        KeystoreError,
        make_machine_passphrase,
        passphrase_from_environment,
    )
    from icn_client.keystore import (
        Identity as New,
    )

    try:
        if store.path(name).is_file():
            found = open_steward(store.folder, name)
            if found.principal != organization.principal:
                raise Refused(f"{store.path(name)} is of another principal", "STEWARD_EXISTS")
            return found
        made = New.generate(name, principal=organization.principal)
        passphrase = passphrase_from_environment(store.folder)
        if passphrase is None:
            # A program that runs alone has nobody to ask; who reads its folder has its one power anyway.
            store.add(made, make_machine_passphrase(store.folder), SCRYPT_LOG2_N_MACHINE_MADE)
        else:
            store.add(made, passphrase)
    except KeystoreError as error:
        raise Refused(str(error), "KEYSTORE") from None
    return made


def _line(step: Step | Recording) -> str:
    said = f": {step.reason}: {step.message}" if step.reason else ""
    line = f"{step.headline}{said}"
    # Names and messages may come from a host, which is to move no cursor here.
    return "".join(character if character.isprintable() else "?" for character in line)

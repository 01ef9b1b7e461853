"""`icn connect`: use a federation's platform that runs elsewhere, through its gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from icn_client.cli.common import JsonOption, run_async
from icn_client.cli.output import Refused, UsageError, print_json, print_text, say

GENESIS_HASH_CHARACTERS = 64
_EXAMPLES = """\b
Examples:
  icn connect https://icn.example                       asks for its genesis file, shows the hash to compare
  icn connect https://icn.example --genesis zone.json   with the genesis file that your co-op has given you
  icn connect https://icn.example --genesis-hash 3f9a…  refuses another zone than this
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("connect", epilog=_EXAMPLES)(connect)


def connect(
    url: Annotated[str, typer.Argument(metavar="URL", help="Address of the gateway.")],
    genesis: Annotated[
        Path | None,
        typer.Option(
            "--genesis",
            metavar="FILE",
            help="The zone's genesis file, got another way than from the gateway.",
            readable=False,
        ),
    ] = None,
    genesis_hash: Annotated[
        str | None,
        typer.Option("--genesis-hash", metavar="HEX", help="Hash that the genesis file must have."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Where to note both; by default ICN_DATA or .icn. Commands with the same DIR go there.",
            readable=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Use a platform that runs elsewhere. Keys stay here: commands sign on this machine, the gateway carries.

    Everything that the zone ever proves is checked against the genesis file, so its hash is what to compare
    with your co-op, once.
    """
    from icn_kit.genesis import GenesisInvalid, parse_genesis

    from icn_client import platforms
    from icn_client.gateway import Gateway

    directory = (data if data is not None else platforms.data_directory()).absolute()
    try:
        gateway = Gateway(url)
    except ValueError as error:
        raise UsageError(f"URL: {error}") from None
    wanted = None if genesis_hash is None else _hash(genesis_hash)
    served = run_async(_served(gateway))
    content = served if genesis is None else _file(genesis)
    try:
        found, of_gateway = parse_genesis(content), parse_genesis(served)
    except GenesisInvalid as error:
        raise Refused(f"not a genesis file: {error}", "GENESIS_INVALID") from None
    for hash_wanted in (wanted, of_gateway.hash):
        if hash_wanted not in (None, found.hash):
            raise Refused(f"the zone is {found.hash.hex()}, wanted {hash_wanted.hex()}", "GENESIS_DIFFERS")
    _note(directory, gateway.origin, found, content)
    platforms.remember(directory)
    if as_json:
        print_json(
            {
                "url": gateway.origin,
                "data": str(directory),
                "zone": found.zone,
                "profile": str(found.trust_profile),
                "genesis": found.hash.hex(),
            }
        )
        return
    print_text(f"{found.zone} at {gateway.origin}  (trust profile {found.trust_profile})")
    print_text(f"genesis  {found.hash.hex()}")
    if genesis is None and wanted is None:
        say("compare this hash with your co-op: everything that is proven rests on it")


async def _served(gateway: Any) -> bytes:
    answer = await gateway.get("/v1/genesis")
    if answer.status != 200:
        raise answer.refusal()
    return bytes(answer.body)


def _hash(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(text) != GENESIS_HASH_CHARACTERS or len(found) * 2 != GENESIS_HASH_CHARACTERS:
        raise UsageError(f"--genesis-hash: {text[:80]!r} is not {GENESIS_HASH_CHARACTERS} hex digits")
    return found


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", "GENESIS_INVALID") from None


def _note(directory: Path, origin: str, found: Any, content: bytes) -> None:
    """Write both files, or neither where the directory is another zone's or a platform's own."""
    import json

    from icn_kit.genesis import GenesisInvalid, load_genesis
    from icn_localnet import files

    from icn_client.platforms import GATEWAY_FILE

    if (directory / "network.json").exists():
        raise Refused(f"{directory} is the platform of this machine", "DIRECTORY_USED")
    known = directory / "genesis.json"
    try:
        if known.exists() and (before := load_genesis(known).hash) != found.hash:
            raise Refused(
                f"{directory} is of the zone {before.hex()}, not {found.hash.hex()}", "GENESIS_DIFFERS"
            )
        files.make_private_directory(directory)
        files.write_private(known, content, may_replace=True)
        document = json.dumps({"url": origin}).encode() + b"\n"
        files.write_private(directory / GATEWAY_FILE, document, may_replace=True)
    except GenesisInvalid as error:
        raise Refused(f"{known}: {error}", "DIRECTORY_UNUSABLE") from None
    except OSError as error:
        raise Refused(f"{error.filename or directory}: {error.strerror}", "DIRECTORY_UNUSABLE") from None

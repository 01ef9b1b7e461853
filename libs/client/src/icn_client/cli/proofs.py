"""`icn proof`: fetch a proof from the platform, verify one with nothing but the genesis file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from icn_client.cli.common import DataOption, command_group, platform_directory, with_connection
from icn_client.cli.files import read_file
from icn_client.cli.output import EXIT_REFUSED, Refused, UsageError, print_bytes, print_json, say

_EXAMPLES = """\b
Examples:
  icn proof fetch accounts/6d6f… --out balance.json
  icn proof verify balance.json --genesis genesis.json
"""
_FETCH_EXAMPLES = """\b
Examples:
  icn proof fetch accounts/6d6f… --out balance.json
  icn proof fetch units/91c2… > unit.json
  icn proof fetch polls/5e07… --out result.json
"""
_VERIFY_EXAMPLES = """\b
Examples:
  icn proof verify balance.json --genesis genesis.json
"""
NAMES = (
    *("accounts", "units", "principals", "holds", "anchors", "allowances", "recoveries", "authorities"),
    *("memberships", "polls", "ballots", "decisions", "codes", "contracts", "duties", "equivocations"),
    *("validators", "consensus-keys"),
)


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Proofs of balances, units, keys and holds.", _EXAMPLES)
    group.command("fetch", epilog=_FETCH_EXAMPLES)(fetch)
    group.command("verify", epilog=_VERIFY_EXAMPLES)(verify)
    app.add_typer(group, name="proof")


def fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="accounts/ID, units/ID, principals/ID, memberships/ORG/MEMBER, polls/ID, decisions/ID …",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to write it; stdout without.", readable=False),
    ] = None,
    data: DataOption = None,
) -> None:
    """Fetch a proof that a leaf is, or is not, in the newest state that a final header names."""
    if name.partition("/")[0] not in NAMES:
        raise UsageError(f"{name!r}: a proof is of {', '.join(f'{folder}/…' for folder in NAMES)}")
    from icn_client.light import ProofInvalid
    from icn_client.proof_file import ProofMalformed

    directory = platform_directory(data)
    try:
        content = with_connection(directory, lambda connection: connection.proof_file(name))
    except (ProofInvalid, ProofMalformed) as error:
        raise Refused(
            f"the platform answered with a proof that does not hold: {error}", "PROOF_INVALID"
        ) from None
    if out is None:
        print_bytes(content + b"\n")
        return
    try:
        out.write_bytes(content)
    except OSError as error:
        raise Refused(f"{out}: {error.strerror}", "FILE_UNWRITABLE") from None
    say(f"{out}: {len(content)} bytes; check it with: icn proof verify {out} --genesis GENESIS")


def verify(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A proof as `icn proof fetch` writes it.", readable=False)
    ],
    genesis: Annotated[
        Path,
        typer.Option(
            "--genesis",
            metavar="GENESIS",
            help="The zone's genesis file: all that is trusted.",
            readable=False,
        ),
    ],
) -> None:
    """Check a proof offline and print what it shows. Exit 0 when it holds, 1 when not."""
    from icn_kit.genesis import GENESIS_BYTES_MAX, GenesisInvalid, parse_genesis

    from icn_client.light import verdict
    from icn_client.proof_file import FILE_BYTES_MAX
    from icn_client.statements import sentence

    try:
        trusted = parse_genesis(read_file(genesis, GENESIS_BYTES_MAX))
    except GenesisInvalid as error:
        raise Refused(f"{genesis}: {error}", "GENESIS_INVALID") from None
    found = verdict(read_file(file, FILE_BYTES_MAX), trusted, time.time_ns() // 1_000_000)
    print_json(found)
    if found["valid"]:
        say(f"icn: {sentence(found['statement'])}")
    else:
        say(f"icn: not valid: {found['reason']}: {found['message']}")
        raise SystemExit(EXIT_REFUSED)

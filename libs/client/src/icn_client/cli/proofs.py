"""`icn proof`: fetch a proof from the platform, verify one with nothing but the genesis file."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from icn_client.cli.common import DataOption, command_group, platform_directory, with_connection
from icn_client.cli.files import read_file
from icn_client.cli.output import EXIT_REFUSED, Refused, UsageError, print_bytes, print_json, say

if TYPE_CHECKING:
    from icn_chain.checkpoint import Checkpoint
    from icn_kit.genesis import Genesis

DAY_MS: Final = 86_400_000

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
  icn proof fetch transactions/c01d… --out receipt.json
  icn proof fetch accounts/6d6f…/entries/12 --out entry.json
  icn proof fetch credit-lines/UNIT/OWNER --out trade.json
"""
_VERIFY_EXAMPLES = """\b
Examples:
  icn proof verify balance.json --genesis genesis.json
  icn proof verify balance.json --genesis genesis.json --checkpoint checkpoint.json
"""
_CHECKPOINT_EXAMPLES = """\b
Examples:
  icn proof checkpoint balance.json --genesis genesis.json --out checkpoint.json
  icn proof fetch accounts/6d6f… --checkpoint checkpoint.json --out newer.json
  icn proof verify newer.json --genesis genesis.json --checkpoint checkpoint.json
"""
_EXPORT_EXAMPLES = """\b
Examples:
  icn proof export balance.json --format ics23 --out balance.ics23.json
  icn ledger verify-proof --kind ics23 --in balance.ics23.json
  icn proof fetch accounts/0000… --neighbours --out nobody.json
"""
GenesisOption = Annotated[
    Path, typer.Option("--genesis", metavar="GENESIS", help="The zone's genesis file.", readable=False)
]
CheckpointOption = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="CHECKPOINT",
        help="Begin there instead of at genesis: a block that you have checked before.",
        readable=False,
    ),
]
NAMES = (
    *("accounts", "units", "principals", "holds", "anchors", "allowances", "recoveries", "authorities"),
    *("memberships", "polls", "ballots", "decisions", "codes", "contracts", "duties", "equivocations"),
    *("validators", "consensus-keys", "transactions"),
    *("unit-policies", "credit-lines", "orders", "periods"),
)


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Proofs of balances, entries, receipts, units, keys and holds.", _EXAMPLES)
    group.command("fetch", epilog=_FETCH_EXAMPLES)(fetch)
    group.command("verify", epilog=_VERIFY_EXAMPLES)(verify)
    group.command("checkpoint", epilog=_CHECKPOINT_EXAMPLES)(checkpoint)
    group.command("export", epilog=_EXPORT_EXAMPLES)(export)
    app.add_typer(group, name="proof")


def fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="accounts/ID, accounts/ID/entries/NUMBER, transactions/ID, units/ID, principals/ID, "
            "memberships/ORG/MEMBER, polls/ID, decisions/ID …",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to write it; stdout without.", readable=False),
    ] = None,
    begin: CheckpointOption = None,
    neighbours: Annotated[
        bool,
        typer.Option("--neighbours", help="Of what is not there also the leaves beside it, for an export."),
    ] = False,
    data: DataOption = None,
) -> None:
    """Fetch a proof that a leaf is, or is not, in the newest state that a final header names; of what became
    of a transaction; or of one entry of an account.
    """
    if name.partition("/")[0] not in NAMES:
        raise UsageError(f"{name!r}: a proof is of {', '.join(f'{folder}/…' for folder in NAMES)}")
    from icn_chain.epochs import ProofInvalid

    from icn_client.light.final_header import ProofMalformed
    from icn_client.proving import fetch_proof

    directory = platform_directory(data)
    try:
        start = None if begin is None else read_checkpoint_file(begin)
        content = with_connection(
            directory,
            lambda connection: fetch_proof(connection, name, start, with_neighbours=neighbours),
        )
    except (ProofInvalid, ProofMalformed) as error:
        raise Refused(
            f"the platform answered with a proof that does not hold: {error}", "PROOF_INVALID"
        ) from None
    _write(content, out, f"{len(content)} bytes; check it with: icn proof verify {out} --genesis GENESIS")


def verify(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A proof as `icn proof fetch` writes it.", readable=False)
    ],
    genesis: GenesisOption,
    begin: CheckpointOption = None,
    trusting_days: Annotated[
        int,
        typer.Option(
            "--trusting-days",
            metavar="DAYS",
            min=1,
            max=3_650,
            help="How old a checkpoint may be before it is no longer believed.",
        ),
    ] = 90,
) -> None:
    """Check a proof offline and print what it shows. Exit 0 when it holds, 1 when not."""
    from icn_chain.checkpoint import FILE_BYTES_MAX as CHECKPOINT_BYTES_MAX

    from icn_client.light.final_header import FILE_BYTES_MAX
    from icn_client.light.verify import verdict
    from icn_client.statements import sentence

    found = verdict(
        read_file(file, FILE_BYTES_MAX),
        read_genesis(genesis),
        time.time_ns() // 1_000_000,
        checkpoint=None if begin is None else read_file(begin, CHECKPOINT_BYTES_MAX),
        trusting_period_ms=trusting_days * DAY_MS,
    )
    print_json(found)
    if found["valid"]:
        say(f"icn: {sentence(found['statement'])}")
    else:
        say(f"icn: not valid: {found['reason']}: {found['message']}")
        raise SystemExit(EXIT_REFUSED)


def checkpoint(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A proof as `icn proof fetch` writes it.", readable=False)
    ],
    genesis: GenesisOption,
    begin: CheckpointOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to write it; stdout without.", readable=False),
    ] = None,
) -> None:
    """Check a proof and write down its final block, for later proofs to begin with."""
    from icn_chain.epochs import ProofInvalid

    from icn_client.light.final_header import FILE_BYTES_MAX, ProofMalformed
    from icn_client.light.proofs import parse_proof
    from icn_client.light.verify import checkpoint_of, verify_proof

    zone = read_genesis(genesis)
    start = None if begin is None else read_checkpoint_file(begin)
    try:
        shown = verify_proof(parse_proof(read_file(file, FILE_BYTES_MAX)), zone, start)
        made = checkpoint_of(shown, zone)
    except (ProofInvalid, ProofMalformed) as error:
        raise Refused(f"{file}: {error}", error.reason) from None
    _write(made.to_bytes(), out, f"block {made.height} of epoch {made.epoch}, {made.block_hash.hex()}")


class ExportFormat(StrEnum):
    """Who is to check it."""

    ICS23 = "ics23"


def export(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A proof of a leaf; of one that is not there, fetched with --neighbours.",
            readable=False,
        ),
    ],
    form: Annotated[ExportFormat, typer.Option("--format", help="What others read.")] = ExportFormat.ICS23,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to write it; stdout without.", readable=False),
    ] = None,
) -> None:
    """Write a proof's path to the state root for verifiers of another form.

    Why that root is final is not in it: check FILE with `icn proof verify`.
    """
    from icn_client.light.exporting import NotExportable, to_ics23
    from icn_client.light.final_header import FILE_BYTES_MAX, ProofMalformed
    from icn_client.light.proofs import parse_proof

    assert form is ExportFormat.ICS23, "there is no other"
    try:
        content = to_ics23(parse_proof(read_file(file, FILE_BYTES_MAX)))
    except (NotExportable, ProofMalformed) as error:
        raise Refused(f"{file}: {error}", error.reason) from None
    _write(
        content, out, f"{len(content)} bytes; check it with: icn ledger verify-proof --kind ics23 --in {out}"
    )


def _write(content: bytes, out: Path | None, what: str) -> None:
    if out is None:
        print_bytes(content + b"\n")
        return
    try:
        out.write_bytes(content)
    except OSError as error:
        raise Refused(f"{out}: {error.strerror}", "FILE_UNWRITABLE") from None
    say(f"{out}: {what}")


def read_genesis(path: Path) -> Genesis:
    """The zone that a genesis file describes. Raises Refused."""
    from icn_kit.genesis import GENESIS_BYTES_MAX, GenesisInvalid, parse_genesis

    try:
        return parse_genesis(read_file(path, GENESIS_BYTES_MAX))
    except GenesisInvalid as error:
        raise Refused(f"{path}: {error}", "GENESIS_INVALID") from None


def read_checkpoint_file(path: Path) -> Checkpoint:
    """The checkpoint in a file. Raises Refused."""
    from icn_chain.checkpoint import FILE_BYTES_MAX, CheckpointMalformed, parse_checkpoint

    try:
        return parse_checkpoint(read_file(path, FILE_BYTES_MAX))
    except CheckpointMalformed as error:
        raise Refused(f"{path}: {error}", error.reason) from None

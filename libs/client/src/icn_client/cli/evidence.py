"""`icn evidence`: proofs that validators contradicted themselves, or proposed what is invalid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli.common import (
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    command_group,
    open_identity,
    platform_directory,
    with_connection,
)
from icn_client.cli.files import read_file
from icn_client.cli.output import EXIT_REFUSED, Refused, UsageError, print_json, print_text, table
from icn_client.cli.signing import perform_as, print_done

if TYPE_CHECKING:
    from icn_chain.epochs import EpochSet
    from icn_chain.evidence import Evidence
    from icn_kit.genesis import Genesis

    from icn_client.connection import Connection
    from icn_client.evidence import Seen

PROOF_FILE_BYTES_MAX = 131_072

_EXAMPLES = """\b
Examples:
  icn evidence list
  icn evidence record 3 1 --as sunrise-bakery    epoch 3, seat 1
  icn evidence check proof.hex --genesis genesis.json
"""
_LIST_EXAMPLES = """\b
Examples:
  icn evidence list
  icn evidence list --json
"""
_CHECK_EXAMPLES = """\b
Examples:
  icn evidence check proof.hex --genesis genesis.json
"""
_RECORD_EXAMPLES = """\b
Examples:
  icn evidence record 3 1 --as sunrise-bakery
"""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = command_group("Proofs that validators broke the rules.", _EXAMPLES)
    group.command("list", epilog=_LIST_EXAMPLES)(show_all)
    group.command("check", epilog=_CHECK_EXAMPLES)(check_file)
    group.command("record", epilog=_RECORD_EXAMPLES)(record)
    app.add_typer(group, name="evidence")


def show_all(data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the proofs that validators have; each is checked here, with the keys in genesis."""
    from icn_client.evidence import seen

    found = with_connection(platform_directory(data), seen)
    if as_json:
        for one in found:
            print_json(_document(one))
        return
    if not found:
        print_text("no validator has any")
        return
    rows = [
        [str(one.proof.epoch), str(one.proof.seat), _said(one.proof), _tellers(one), _recorded(one)]
        for one in found
    ]
    table(["epoch", "seat", "said", "told by seats", "on the ledger"], rows)


def check_file(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="The proof in hex, as `icn evidence list --json` prints it.", readable=False
        ),
    ],
    genesis: Annotated[
        Path,
        typer.Option("--genesis", metavar="GENESIS", help="The zone's genesis file.", readable=False),
    ],
    seats: Annotated[
        Path | None,
        typer.Option(
            "--seats",
            metavar="PROOF",
            help="Proof of validators/zone (`icn proof fetch`), where seats have changed since genesis.",
            readable=False,
        ),
    ] = None,
) -> None:
    """Check a proof offline: prints {"valid", "epoch", "seat", "view", "organization", "said", "shows"}, or
    {"valid", "problem"} and ends with exit status 1."""
    from icn_chain.epochs import first_set
    from icn_chain.malformed import EvidenceInvalid
    from icn_kit.genesis import GenesisInvalid, load_genesis

    from icn_client.evidence import check, grounds

    try:
        zone = load_genesis(genesis)
    except (GenesisInvalid, OSError) as error:
        raise UsageError(f"--genesis: {error}") from None
    text = read_file(file, PROOF_FILE_BYTES_MAX)
    try:
        sets = [first_set(zone.validator_set)] if seats is None else _sets_in(seats, zone)
        proof = check(bytes.fromhex(text.decode("ascii", "replace").strip()), zone, sets)
        shows = proof.check(grounds(proof.epoch, zone, sets))
    except EvidenceInvalid as error:
        print_json({"valid": False, "problem": str(error)})
        raise typer.Exit(EXIT_REFUSED) from None
    except ValueError:
        raise UsageError(f"{file} does not hold hex digits") from None
    organization = grounds(proof.epoch, zone, sets).validators.organizations[proof.seat].hex()
    said = {"said": list(proof.said), "shows": shows}
    print_json({"valid": True, **_place(proof), "organization": organization, **said})


def _sets_in(path: Path, genesis: Genesis) -> Sequence[EpochSet]:
    """The validators of every epoch that a valid proof walks. Raises Refused."""
    from icn_chain.epochs import ProofInvalid

    from icn_client.light.final_header import FILE_BYTES_MAX, ProofMalformed
    from icn_client.light.proof_file import parse_proof_file
    from icn_client.light.verify import verify_proof

    try:
        proof = parse_proof_file(read_file(path, FILE_BYTES_MAX))
        return verify_proof(proof, genesis).sets
    except (ProofInvalid, ProofMalformed) as error:
        raise Refused(f"{path}: {error}", "PROOF_INVALID") from None


def record(  # noqa: PLR0917 - one parameter per option
    epoch: Annotated[int, typer.Argument(metavar="EPOCH", min=0, max=2**62)],
    seat: Annotated[int, typer.Argument(metavar="SEAT", min=0, max=49)],
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a validator's proof to the ledger, where everybody can see and prove it."""
    from icn_client import transactions
    from icn_client.evidence import seen

    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> Any:
        for one in await seen(connection):
            if one.place == (epoch, seat):
                message = transactions.record_equivocation(one.proof.encode())
                outcome, _ = await perform_as(connection, identity, [message])
                return outcome
        raise Refused(f"no validator has a proof about seat {seat} in epoch {epoch}", "EVIDENCE_UNKNOWN")

    outcome = with_connection(directory, work)
    shown = {"equivocation": f"equivocations/{epoch}/{seat}"}
    print_done(outcome, as_json, shown, f"recorded equivocations/{epoch}/{seat}")


def _document(one: Seen) -> dict[str, Any]:
    return {
        **_place(one.proof),
        "said": list(one.proof.said),
        "told_by": list(one.told_by),
        "recorded": one.is_recorded,
        "proof": one.proof.encode().hex(),
    }


def _place(proof: Evidence) -> dict[str, Any]:
    return {"epoch": str(proof.epoch), "seat": proof.seat, "view": str(proof.view)}


def _said(proof: Evidence) -> str:
    if len(set(proof.said)) < len(proof.said):
        return f"two of {proof.said[0]}"
    return " and ".join(proof.said)


def _tellers(one: Seen) -> str:
    return ", ".join(map(str, one.told_by))


def _recorded(one: Seen) -> str:
    return "yes" if one.is_recorded else "no"

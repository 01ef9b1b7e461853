"""`icn validators recovery`: start a chain again whose validators lost their signing records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli.common import (
    AsOption,
    DataOption,
    GenesisOption,
    JsonOption,
    KeystoreOption,
    command_group,
    load_network,
    open_identity,
    platform_directory,
    with_connection,
)
from icn_client.cli.files import read_file
from icn_client.cli.output import Refused, UsageError, print_json, print_text, table

if TYPE_CHECKING:
    from icn.ledger.v1.transaction_pb2 import SeatOffer
    from icn_kit.genesis import Genesis

    from icn_client.chain_recovery import RecoveryFile, Submitted, Terms
    from icn_client.connection import Connection

_EXAMPLES = """\b
Examples:
  icn validators recovery prepare recovery.json --offer a.json --offer b.json --offer c.json --offer d.json
  icn validators recovery show recovery.json
  icn validators recovery sign recovery.json --as sunrise-bakery
  icn validators recovery submit recovery.json
"""

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="What `prepare` wrote and others signed.", readable=False)
]


def register(group: typer.Typer) -> None:
    """Add the group to `icn validators`."""
    recovery = command_group("Start a chain again whose validators lost their signing records.", _EXAMPLES)
    for command in (prepare, show, sign, submit):
        recovery.command(command.__name__, epilog=_EXAMPLES)(command)
    group.add_typer(recovery, name="recovery")


def prepare(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where it is written; must not exist.", readable=False)
    ],
    offers: Annotated[
        list[Path],
        typer.Option(
            "--offer",
            metavar="OFFER",
            help="What `icn validators key new` printed; one of each seated organization.",
            readable=False,
        ),
    ],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write what the organizations have to sign: the highest final block of the validators, and new keys."""
    from icn_client.acting import now_ms
    from icn_client.chain_recovery import RecoveryFileInvalid, check_file
    from icn_client.chain_recovery import prepare as prepare_file

    directory = platform_directory(data)
    if file.exists():
        raise Refused(f"{file}: exists", "FILE_EXISTS")
    by_organization: dict[bytes, SeatOffer] = {}
    for path in offers:
        offer = _read_offer(path, directory)
        if offer.organization in by_organization:
            raise UsageError(f"--offer: two are of {offer.organization.hex()}")
        by_organization[offer.organization] = offer

    async def work(connection: Connection) -> RecoveryFile:
        return await prepare_file(connection, by_organization, now_ms())

    genesis: Genesis = load_network(directory).genesis
    try:
        made = with_connection(directory, work)
        terms = check_file(made, genesis)
    except RecoveryFileInvalid as error:
        raise Refused(str(error), error.reason) from None
    _write(file, made.to_bytes())
    _print(terms, genesis, as_json)


def show(
    file: FileArgument, genesis: GenesisOption = None, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Check a file from genesis on, and show what it says and who has signed."""
    zone = _genesis(genesis, data)
    _print(_read(file, zone), zone, as_json)


def sign(  # noqa: PLR0917 - one parameter per option
    file: FileArgument,
    acting: AsOption,
    genesis: GenesisOption = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a file from genesis on, and add the signature of an organization."""
    from icn_client.chain_recovery import RecoveryFileInvalid, check_file
    from icn_client.chain_recovery import sign as sign_file

    zone = _genesis(genesis, data)
    terms = _read(file, zone)
    # With a genesis file at hand no platform need run where an organization signs.
    identity = open_identity(acting, keystore, platform_directory(data) if genesis is None else None)
    try:
        signed = sign_file(terms, identity, zone)
        terms = check_file(signed, zone)
    except RecoveryFileInvalid as error:
        raise Refused(str(error), error.reason) from None
    _write(file, signed.to_bytes())
    _print(terms, zone, as_json)


def submit(file: FileArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Hand a signed file to every validator of the platform; they go on in the epoch that it begins."""
    from icn_client.chain_recovery import submit as submit_certificate

    directory = platform_directory(data)
    genesis: Genesis = load_network(directory).genesis
    terms = _read(file, genesis)
    if not terms.is_complete:
        signed = len(terms.certificate.endorsements)
        raise Refused(
            f"{signed} of {terms.seated.seats} organizations have signed, {terms.seated.quorum} must",
            "RECOVERY_QUORUM_NOT_MET",
        )

    async def work(connection: Connection) -> list[Submitted]:
        return await submit_certificate(connection, terms.certificate)

    told = with_connection(directory, work)
    begun = sum(one.has_begun for one in told)
    rows = [
        (str(one.address.seat), one.address.name, _state(one), str(one.final_height), _why(one))
        for one in told
    ]
    if as_json:
        names = ("seat", "name", "state", "final_height", "message")
        said = [dict(zip(names, row, strict=True)) for row in rows]
        print_json({"epoch": str(terms.certificate.epoch), "validators": said})
    else:
        table(("seat", "name", "state", "height", ""), rows)
    if begun < terms.seated.quorum:
        raise Refused(
            f"epoch {terms.certificate.epoch} has begun at {begun} validators, {terms.seated.quorum} must",
            "RECOVERY_NOT_BEGUN",
        )


def _state(one: Submitted) -> str:
    if one.refusal is not None:
        return "refused"
    return "begun" if one.has_begun else "fetches"


def _why(one: Submitted) -> str:
    return "" if one.refusal is None else f"{one.refusal.reason}: {one.refusal.message}"


def _genesis(path: Path | None, data: Path | None) -> Genesis:
    from icn_kit.genesis import GenesisInvalid, load_genesis

    try:
        return load_genesis(platform_directory(data) / "genesis.json" if path is None else path)
    except (GenesisInvalid, OSError) as error:
        raise UsageError(f"--genesis: {error}") from None


def _read(file: Path, genesis: Genesis) -> Terms:
    from icn_client.chain_recovery import FILE_BYTES_MAX, RecoveryFileInvalid, read_recovery_file

    try:
        return read_recovery_file(read_file(file, FILE_BYTES_MAX), genesis)
    except RecoveryFileInvalid as error:
        raise Refused(f"{file}: {error}", error.reason) from None


def _read_offer(path: Path, directory: Path) -> SeatOffer:
    from icn_client.cli.validators import read_offer_file  # that module registers this one

    return read_offer_file(path, directory)


def _write(path: Path, content: bytes) -> None:
    """Replace a file whole: what others have signed must not be lost half-way."""
    from icn_localnet import files

    try:
        files.write_private(path, content, may_replace=True)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", "FILE_NOT_WRITTEN") from None


def _print(terms: Terms, genesis: Genesis, as_json: bool) -> None:
    names = {organization.principal: organization.name for organization in genesis.organizations}
    certificate = terms.certificate
    keys = dict(zip(certificate.validators.organizations, certificate.validators.public_keys, strict=True))
    signed: list[dict[str, Any]] = [
        {
            "organization": one.organization.hex(),
            "name": names.get(one.organization, ""),
            "ed25519": keys[one.organization].hex(),
            "signed": len(one.signatures),
            "threshold": one.threshold,
        }
        for one in terms.organizations
    ]
    if as_json:
        print_json(
            {
                "epoch": str(certificate.epoch),
                "height": str(certificate.height),
                "block_hash": certificate.block_hash.hex(),
                "state_root": certificate.state_root.hex(),
                "organizations": signed,
                "complete": terms.is_complete,
            }
        )
        return
    print_text(f"epoch {certificate.epoch} after height {certificate.height}")
    print_text(f"block      {certificate.block_hash.hex()}")
    print_text(f"state root {certificate.state_root.hex()}")
    rows = [
        (one["organization"], one["name"], one["ed25519"], f"{one['signed']} of {one['threshold']}")
        for one in signed
    ]
    table(("organization", "name", "new key", "signed"), rows)
    done = len(certificate.endorsements)
    print_text(f"{done} of {terms.seated.seats} organizations have signed, {terms.seated.quorum} must")

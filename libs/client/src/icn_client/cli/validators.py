"""`icn validators`: who validates, keys for a seat, and changes of the seats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli import (
    validator_database,
    validator_inspection,
    validator_joining,
    validator_recovery,
)
from icn_client.cli.common import (
    AsOption,
    DataOption,
    GenesisOption,
    JsonOption,
    KeystoreOption,
    command_group,
    identifier,
    load_network,
    open_identity,
    platform_directory,
    with_connection,
)
from icn_client.cli.files import read_file
from icn_client.cli.output import Refused, UsageError, print_json, print_text, say, table
from icn_client.cli.signing import (
    ZoneSignersOption,
    perform_as,
    perform_as_zone,
    print_done,
    zone_signers,
)

if TYPE_CHECKING:
    from icn.ledger.v1.service_pb2 import GetValidatorsResponse, Seats
    from icn.ledger.v1.transaction_pb2 import SeatOffer
    from icn_kit.genesis import Genesis

    from icn_client.connection import Connection

_EXAMPLES = """\b
Examples:
  icn validators show
  icn validators inspect 2
  icn validators key new --for PRINCIPAL --out consensus.json > offer.json
  icn validators key use consensus.json --validator 2
  icn validators rekey --as sunrise-bakery --offer offer.json
  icn validators change --add offer.json --remove PRINCIPAL
  icn validators admit request.pem > admission.json
  icn validators recovery show recovery.json
"""
_SHOW_EXAMPLES = """\b
Examples:
  icn validators show
  icn validators show --json
"""
_KEY_EXAMPLES = """\b
Examples:
  icn validators key new --for PRINCIPAL --out consensus.json > offer.json
  icn validators key use consensus.json --validator 2
"""
_USE_EXAMPLES = """\b
Examples:
  icn validators key use consensus.json --validator 2
"""
_REKEY_EXAMPLES = """\b
Examples:
  icn validators rekey --as sunrise-bakery --offer offer.json
"""
_CHANGE_EXAMPLES = """\b
Examples:
  icn validators change --add offer.json
  icn validators change --remove PRINCIPAL --add offer.json
  icn validators change --replace PRINCIPAL=offer.json --as sunrise-bakery --as river-housing --as mill
"""

OfferOption = Annotated[
    Path,
    typer.Option("--offer", metavar="FILE", help="What `icn validators key new` printed.", readable=False),
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Who validates, and changes of the seats.", _EXAMPLES)
    group.command("show", epilog=_SHOW_EXAMPLES)(show)
    key = command_group("Consensus keys of a seat.", _KEY_EXAMPLES)
    key.command("new", epilog=_KEY_EXAMPLES)(new_key)
    key.command("use", epilog=_USE_EXAMPLES)(use_key)
    group.add_typer(key, name="key")
    group.command("rekey", epilog=_REKEY_EXAMPLES)(rekey)
    group.command("change", epilog=_CHANGE_EXAMPLES)(change)
    validator_inspection.register(group)
    validator_database.register(group)
    validator_recovery.register(group)
    validator_joining.register_admit(group)
    app.add_typer(group, name="validators")


def show(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show the seats in force and those that follow, with their keys."""
    from icn_client.seats import validators

    async def read(connection: Connection) -> tuple[GetValidatorsResponse, Genesis]:
        return await validators(connection), connection.genesis

    found, genesis = with_connection(platform_directory(data), read)
    if as_json:
        print_json(
            {
                "epoch": str(found.epoch),
                "height": str(found.height),
                "since_epoch": str(found.since_epoch),
                "in_force": _document(found.in_force),
                "next": _document(found.next),
                "change_height": str(found.change_height),
                "seats_changed": found.seats_changed,
                "seats_changed_max": found.seats_changed_max,
            }
        )
        return
    names = {organization.principal: organization.name for organization in genesis.organizations}
    print_text(f"in force   {found.in_force.hash.hex()}, since epoch {found.since_epoch} of {found.epoch}")
    _print_seats(found.in_force, names)
    if found.next == found.in_force:
        print_text(f"next       the same; {found.seats_changed_max} seats may change")
        return
    changed = f"{found.seats_changed} of at most {found.seats_changed_max} seats changed"
    print_text(f"next       {found.next.hash.hex()}, {changed}, from the epoch's edge on")
    _print_seats(found.next, names)


def new_key(
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Where the secret key is written, as a validator reads it; must not exist.",
            readable=False,
        ),
    ],
    organization: Annotated[
        str, typer.Option("--for", metavar="PRINCIPAL", help="Organization that will hold the seat.")
    ],
    genesis: GenesisOption = None,
    data: DataOption = None,
) -> None:
    """Make consensus keys: the secrets go to FILE (0600), the offer with the public keys to stdout."""
    from icn_kit.genesis import GenesisInvalid, load_genesis

    from icn_client.seats import new_keys, offer_document, seeds_document

    holder = identifier(organization, "--for", "principals")
    path = platform_directory(data) / "genesis.json" if genesis is None else genesis
    try:
        zone = load_genesis(path)
    except (GenesisInvalid, OSError) as error:
        raise UsageError(f"--genesis: {error}") from None
    keys = new_keys()
    _write_secret(out, json.dumps(seeds_document(keys), indent=1).encode())
    say(f"{out}: the seat's secret keys; give them to one validator, and to nobody else")
    print_json(offer_document(keys, zone.hash, holder))


def use_key(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="What `icn validators key new` wrote.", readable=False),
    ],
    validator: Annotated[
        int, typer.Option("--validator", metavar="N", min=0, help="Which validator of the platform, from 0.")
    ],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a validator of the platform on this machine other consensus keys, with an empty record.

    A running one is started again; it follows until the set of an epoch names the key. The keys it had are
    kept under DIR/validator-N/retired, and refused from then on.
    """
    from icn_localnet.hosted import last_words
    from icn_localnet.network import KeyUsed, Network, NetworkInvalid
    from icn_localnet.platform import RunningPlatform

    from icn_client import platforms
    from icn_client.seats import KEY_FILE_BYTES_MAX, KeyFileInvalid, read_seeds

    content = read_file(file, KEY_FILE_BYTES_MAX)
    directory = (data if data is not None else platforms.data_directory()).absolute()
    try:
        keys = read_seeds(content)
        network = Network.load(directory)
        if validator >= len(network.validators):
            raise UsageError(f"--validator: {validator}, the platform has {len(network.validators)}")
        running = RunningPlatform(directory) if platforms.is_running(directory) else network
        running.replace_key(validator, content)
    except KeyFileInvalid as error:
        raise Refused(f"{file}: {error}", "KEY_FILE_INVALID") from None
    except KeyUsed as error:
        raise Refused(str(error), "CONSENSUS_KEY_USED") from None
    except TimeoutError:
        log = network.validator_directory(validator) / "validator.log"
        raise Refused(f"validator-{validator} does not start: {last_words(log)}", "PLATFORM_FAILED") from None
    except (NetworkInvalid, OSError) as error:
        raise Refused(f"{directory}: {error}", "DIRECTORY_UNUSABLE") from None
    ed25519 = keys[0].public_key.hex()
    if as_json:
        print_json({"validator": validator, "ed25519": ed25519})
    else:
        print_text(f"validator-{validator} has the key {ed25519} and follows until the seats name it")


def rekey(
    acting: AsOption,
    offer: OfferOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give the seat of the acting organization other keys, in force from a later epoch on."""
    from icn_client import seats, transactions

    directory = platform_directory(data)
    offered = read_offer_file(offer, directory)
    identity = open_identity(acting, keystore, directory)
    if offered.organization != identity.principal:
        raise Refused(f"{offer} is for {offered.organization.hex()}, not for {acting}", "OFFER_OF_ANOTHER")

    async def work(connection: Connection) -> tuple[Any, Any]:
        now = await seats.validators(connection)
        message = transactions.rekey_seat(now.next.hash, offered)
        outcome, _ = await perform_as(connection, identity, [message])
        return outcome, await seats.validators(connection)

    _print_changed(with_connection(directory, work), as_json)


def change(  # noqa: PLR0917 - one parameter per option
    added: Annotated[
        list[Path] | None,
        typer.Option("--add", metavar="FILE", help="Offer of a seat more.", readable=False),
    ] = None,
    removed: Annotated[
        list[str] | None,
        typer.Option("--remove", metavar="PRINCIPAL", help="Organization that leaves its seat."),
    ] = None,
    replaced: Annotated[
        list[str] | None,
        typer.Option(
            "--replace",
            metavar="PRINCIPAL=FILE",
            help="Organization whose seat it is, and the offer that takes its place.",
        ),
    ] = None,
    signers: ZoneSignersOption = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change who validates from a later epoch on, as the zone's authority; removals first, additions last."""
    from icn_client import seats, transactions

    directory = platform_directory(data)
    changes = [seats.remove(identifier(one, "--remove", "principals")) for one in removed or []]
    for one in replaced or []:
        leaving, separator, file = one.partition("=")
        if not separator or not file:
            raise UsageError(f"--replace: {one!r} is not PRINCIPAL=FILE")
        seated = identifier(leaving, "--replace", "principals")
        changes.append(seats.replace(seated, read_offer_file(Path(file), directory)))
    changes += [seats.add(read_offer_file(file, directory)) for file in added or []]
    if not changes:
        raise UsageError("nothing to change: give --add, --remove or --replace")
    identities = zone_signers(signers, keystore, directory)

    async def message(connection: Connection) -> Any:
        now = await seats.validators(connection)
        return transactions.change_validators(now.next.hash, changes)

    outcome, _ = perform_as_zone(message, identities, directory)
    _print_changed((outcome, with_connection(directory, seats.validators)), as_json)


def read_offer_file(path: Path, directory: Path) -> SeatOffer:
    """The offer in a file, for the zone of the platform. Raises Refused."""
    from icn_client.seats import OFFER_BYTES_MAX, OfferInvalid, read_offer

    try:
        return read_offer(read_file(path, OFFER_BYTES_MAX), load_network(directory).genesis.hash)
    except OfferInvalid as error:
        raise Refused(f"{path}: {error}", "OFFER_INVALID") from None


def _write_secret(path: Path, content: bytes) -> None:
    """Write a file that must not exist yet and that only its owner can read."""
    from icn_localnet import files

    try:
        files.write_private(path, content)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", "FILE_NOT_WRITTEN") from None


def _print_changed(done: tuple[Any, GetValidatorsResponse], as_json: bool) -> None:
    outcome, now = done
    shown = {"next": now.next.hash.hex(), "seats": len(now.next.seats), "seats_changed": now.seats_changed}
    text = f"next are {len(now.next.seats)} seats, {now.seats_changed} changed: {now.next.hash.hex()}"
    print_done(outcome, as_json, shown, text)


def _document(seats: Seats) -> dict[str, Any]:
    from icn_crypto.suites import Suite
    from icn_kit.genesis import public_keys_document

    return {
        "hash": seats.hash.hex(),
        "seats": [
            {
                "organization": seat.organization.hex(),
                "public_keys": public_keys_document(
                    {Suite(key.suite): key.public_key for key in seat.public_keys}
                ),
            }
            for seat in seats.seats
        ],
    }


def _print_seats(seats: Seats, names: dict[bytes, str]) -> None:
    rows = [
        (str(number), seat.organization.hex(), names.get(seat.organization, ""), _ed25519(seat))
        for number, seat in enumerate(seats.seats)
    ]
    table(("seat", "organization", "name", "ed25519"), rows)


def _ed25519(seat: Any) -> str:
    from icn_crypto.suites import Suite

    return next((key.public_key.hex() for key in seat.public_keys if key.suite == Suite.ED25519), "")

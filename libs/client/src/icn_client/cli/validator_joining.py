"""`icn validator`: one seat as its operator has it, on a machine or cluster of their own; and
`icn validators admit`, by which those who run the others let it in.

Source: docs/adr/0047-joining-from-outside.md; docs/operating/join.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from icn_client.cli.common import (
    DataOption,
    GenesisOption,
    JsonOption,
    command_group,
    identifier,
    load_network,
    platform_directory,
    run_async,
)
from icn_client.cli.files import read_file
from icn_client.cli.output import Refused, UsageError, print_json, print_text, say
from icn_client.cli.platform import PORT_MAX, run_until_signal
from icn_client.cli.proofs import read_checkpoint_file
from icn_client.cli.signing import PUBLIC_PART_BYTES_MAX, read_public_part

if TYPE_CHECKING:
    from icn_crypto.suites import SigningKey
    from icn_localnet.certificates import CertificateRequest
    from icn_localnet.joined import Listening, ToldValidator
    from icn_localnet.network import Network

    from icn_client.validator_standing import Standing

CONSENSUS_PORT: Final = 7001
LEDGER_PORT: Final = 7002
"""As the chart has them."""
OFFER_FILE: Final = "offer.json"
FOUNDER_FILE: Final = "founder.json"
REQUEST_FILE: Final = "request.pem"
PEM_BYTES_MAX: Final = 65_536
GENESIS_BYTES_MAX: Final = 4 * 1024 * 1024
HOST_CHARACTERS_MAX: Final = 200
LOOPBACK: Final = re.compile(r"(127\.[0-9.]+|localhost|\[?::1\]?):[0-9]+")
NOT_KNOWN: Final = "00" * 16
_PLACE: Final = re.compile(r"([0-9]{1,2})=(\[[0-9a-fA-F:.]+\]|[^:=\[\]]+)(?::([0-9]{1,5}):([0-9]{1,5}))?")

AdmissionOption = Annotated[
    Path | None,
    typer.Option(
        "--admission",
        metavar="FILE",
        help="What `icn validators admit` printed for it; kept from the first time on.",
        readable=False,
    ),
]
GenesisOfFounderOption = Annotated[
    Path | None,
    typer.Option(
        "--genesis",
        metavar="GENESIS",
        help="Of a founder, the first time: the zone's genesis file, now that it is there.",
        readable=False,
    ),
]

_EXAMPLES = """\b
Examples:
  icn validator init seat --genesis genesis.json --for PRINCIPAL --host icn.mill.example
  icn validator join seat --admission admission.json
  icn validator join seat
"""
_INIT_EXAMPLES = """\b
Examples:
  icn validator init seat --genesis genesis.json --for PRINCIPAL --host icn.mill.example
  icn validator init seat --genesis genesis.json --for PRINCIPAL --host 192.0.2.7 --consensus-port 17001
  icn validator init seat --founder public.json --name "Valley Mill" --host icn.mill.example
"""
_JOIN_EXAMPLES = """\b
Examples:
  icn validator join seat --admission admission.json
  icn validator join seat --genesis genesis.json --admission 1-valley-mill.json
  icn validator join seat
"""
_ADMIT_EXAMPLES = """\b
Examples:
  icn validators admit request.pem > admission.json
  icn validators admit request.pem --genesis genesis.json --authority authority \\
    --at 0=icn.bakery.example --at 1=192.0.2.7:17001:17002 > admission.json
  icn validators admit request.pem --genesis genesis.json --certificate signed.pem --trust bundle.pem \\
    --at 0=icn.bakery.example > admission.json
"""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("One seat, on a machine of its organization's own.", _EXAMPLES)
    group.command("init", epilog=_INIT_EXAMPLES)(init)
    group.command("join", epilog=_JOIN_EXAMPLES)(join)
    app.add_typer(group, name="validator")


def register_admit(group: typer.Typer) -> None:
    """Add the command to `icn validators`."""
    group.command("admit", epilog=_ADMIT_EXAMPLES)(admit)


def init(  # noqa: PLR0917 - one parameter per option
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A new folder, for all of the validator.", readable=False)
    ],
    hosts: Annotated[
        list[str],
        typer.Option("--host", metavar="HOST", help="Name or address by which the others call it."),
    ],
    genesis: Annotated[
        Path | None,
        typer.Option("--genesis", metavar="GENESIS", help="The zone's genesis file.", readable=False),
    ] = None,
    organization: Annotated[
        str | None,
        typer.Option("--for", metavar="PRINCIPAL", help="Organization that will hold the seat."),
    ] = None,
    founder: Annotated[
        Path | None,
        typer.Option(
            "--founder",
            metavar="PUBLIC.json",
            help="For a zone that is yet to be founded: what `icn keys export` printed for the organization.",
            readable=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Of the organization that founds, as genesis has it."),
    ] = None,
    consensus_port: Annotated[
        int, typer.Option("--consensus-port", metavar="N", min=1, max=PORT_MAX, help="For the validators.")
    ] = CONSENSUS_PORT,
    ledger_port: Annotated[
        int, typer.Option("--ledger-port", metavar="N", min=1, max=PORT_MAX, help="For services and clients.")
    ] = LEDGER_PORT,
    listen: Annotated[
        str, typer.Option("--listen", metavar="ADDRESS", help="Where it listens; by default everywhere.")
    ] = "0.0.0.0",  # noqa: S104 - others call it; they need a certificate of the zone
    as_json: JsonOption = False,
) -> None:
    """Make the keys of one validator, and what the others need to let it in: DIR/offer.json for the zone's
    authority, DIR/request.pem for who certifies validators. Neither holds a secret; the keys stay in DIR.

    Where the zone is yet to be founded (--founder), DIR/founder.json holds both, for who writes its genesis
    (icn cluster prepare --founder).
    """
    from icn_localnet.certificates import CertificateInvalid
    from icn_localnet.joined import Listening

    from icn_client.seats import new_keys

    for host in hosts:
        if not host or len(host) > HOST_CHARACTERS_MAX or "/" in host:
            raise UsageError(f"--host: {host[:80]!r} is neither a host's name nor an address")
    if consensus_port == ledger_port:
        raise UsageError(f"--ledger-port: {ledger_port} is the consensus port; each needs its own")
    directory = directory.absolute()
    listening = Listening(hosts, consensus_port, ledger_port, listen)
    keys = new_keys()
    try:
        if founder is not None and name is not None and genesis is None and organization is None:
            made = _make_founder(directory, founder, name, keys, listening)
        elif genesis is not None and organization is not None and founder is None and name is None:
            made = _make_joining(directory, genesis, organization, keys, listening)
        else:
            raise UsageError(
                "give --genesis and --for of a zone that is there, or --founder and --name for a new one"
            )
    except CertificateInvalid as error:
        raise UsageError(f"--host: {error}") from None
    except FileExistsError:
        raise Refused(f"{directory} is not empty: keys that are there must not be lost") from None
    if as_json:
        print_json({"ed25519": keys[0].public_key.hex(), **made})
        return
    later = ""
    if "founder" in made:
        later = " --genesis genesis.json"
        print_text(
            f"founder    {made['founder']}: to who writes genesis, for `icn cluster prepare --founder`"
        )
    else:
        print_text(f"genesis    {made['genesis_hash']}: compare it with what others have")
        print_text(f"offer      {made['offer']}: to the zone's authority, for `icn validators change --add`")
        print_text(f"request    {made['request']}: to who runs the others, for `icn validators admit`")
    print_text(
        f"ports      {consensus_port} and {ledger_port}, at {', '.join(hosts)}: open them to the others"
    )
    print_text(f"next       icn validator join {directory}{later} --admission admission.json")


def _make_founder(
    directory: Path, founder: Path, name: str, keys: list[SigningKey], listening: Listening
) -> dict[str, str]:
    from icn_localnet.joined import make_keys

    from icn_client.founding import founder_document
    from icn_client.seats import seeds_document

    read_public_part(founder)  # which says what is wrong with it
    public_part = json.loads(read_file(founder, PUBLIC_PART_BYTES_MAX))
    request = make_keys(directory, json.dumps(seeds_document(keys), indent=1).encode(), listening)
    host = listening.hosts[0]
    addresses = (f"{host}:{listening.consensus_port}", f"{host}:{listening.ledger_port}")
    document = founder_document(name, public_part, keys, addresses, request)
    return {"founder": _write(directory / FOUNDER_FILE, document)}


def _make_joining(
    directory: Path, genesis: Path, organization: str, keys: list[SigningKey], listening: Listening
) -> dict[str, str]:
    from icn_kit.genesis import GenesisInvalid
    from icn_localnet import files
    from icn_localnet.joined import make_validator

    from icn_client.seats import offer_document, seeds_document

    holder = identifier(organization, "--for", "principals")
    text = read_file(genesis, GENESIS_BYTES_MAX)
    seeds = json.dumps(seeds_document(keys), indent=1).encode()
    try:
        request = make_validator(directory, text, holder, seeds, listening)
    except GenesisInvalid as error:
        raise Refused(f"{genesis}: {error}", "GENESIS_INVALID") from None
    files.write_atomically(directory / REQUEST_FILE, request)
    zone_hash = _network(directory).genesis.hash
    return {
        "genesis_hash": zone_hash.hex(),
        "offer": _write(directory / OFFER_FILE, offer_document(keys, zone_hash, holder)),
        "request": str(directory / REQUEST_FILE),
    }


def _write(path: Path, document: Any) -> str:
    """A public file; its path."""
    from icn_localnet import files

    files.write_atomically(path, json.dumps(document).encode() + b"\n")
    return str(path)


def join(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="What `icn validator init` made.", readable=False)
    ],
    admission: AdmissionOption = None,
    genesis: GenesisOfFounderOption = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="What `icn proof checkpoint` wrote for somebody you trust; history must come by it.",
            readable=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run one validator of a zone whose others are elsewhere: Postgres, consensus, ledger, vm.

    It takes the chain from the others and follows; from the epoch on whose set names its key it takes part.
    Ctrl-C stops it, and the same command starts it again where it stopped.
    """
    from icn_localnet.joined import taken_ports, undone_if_refused

    from icn_client import platforms
    from icn_client.validator_standing import CannotJoin, check_others, watch_standing

    directory = directory.absolute()
    if platforms.is_running(directory):
        raise Refused(f"the validator in {directory} is running already", "ALREADY_RUNNING")
    with undone_if_refused(directory):
        network = admitted_network(directory, admission, genesis)
        if checkpoint is not None:
            _keep_checkpoint(network, checkpoint)
        if taken := taken_ports(network):
            raise Refused(
                f"cannot listen on {' and '.join(taken)}: another process does, or the address is not this "
                "machine's; end it, or make the validator anew with other ports",
                "PORT_TAKEN",
            )
        try:
            problems = run_async(check_others(directory))
        except CannotJoin as error:
            raise Refused(str(error), "CANNOT_JOIN") from None
    for problem in problems:
        say(problem)
    say(f"starting a validator of {network.genesis.zone} in {directory} …")

    def tell(standing: Standing) -> None:
        if as_json:
            print_json(standing.to_dict())
            return
        print_text(standing.text)
        if standing.state == "following":
            say(f"the zone's authority gives it a seat: icn validators change --add {directory / OFFER_FILE}")

    run_until_signal(network, "the validator", beside=lambda: watch_standing(directory, tell))
    say("stopped")


def _keep_checkpoint(network: Network, path: Path) -> None:
    """Have the validator believe a checkpoint of its zone. Raises Refused."""
    from icn_localnet import files
    from icn_localnet.joined import OWN
    from icn_localnet.network import CHECKPOINT_FILE

    found = read_checkpoint_file(path)
    if found.genesis != network.genesis.hash:
        raise Refused(
            f"{path}: of the zone with genesis {found.genesis.hex()}, and this validator is of "
            f"{network.genesis.hash.hex()}: ask for one of this zone",
            "CHECKPOINT_OF_ANOTHER",
        )
    files.write_atomically(network.validator_directory(OWN) / CHECKPOINT_FILE, found.to_bytes())


def admitted_network(directory: Path, admission: Path | None, genesis: Path | None = None) -> Network:
    """The directory of a validator with its admission, which is taken first where one is given, as is a
    founder's genesis. Raises Refused."""
    from icn_localnet.certificates import CertificateInvalid
    from icn_localnet.joined import (
        ADMISSION_BYTES_MAX,
        AdmissionInvalid,
        KeyGone,
        NotAdmitted,
        check_admitted,
        read_admission,
        take_admission,
    )

    if genesis is not None:
        _take_genesis_of_founder(directory, genesis)
    network = _network(directory)
    try:
        if admission is not None:
            take_admission(network, read_admission(read_file(admission, ADMISSION_BYTES_MAX)))
        check_admitted(network)
    except AdmissionInvalid as error:
        raise Refused(f"{admission}: {error}", "ADMISSION_INVALID") from None
    except NotAdmitted as error:
        raise Refused(
            f"{error}: send {directory / REQUEST_FILE} to who runs the others, and give what they answer "
            "with --admission",
            "NOT_ADMITTED",
        ) from None
    except KeyGone as error:
        raise Refused(str(error), "CONSENSUS_KEY_USED") from None
    except CertificateInvalid as error:
        raise Refused(
            f"{directory}: {error}: send {REQUEST_FILE} again, and give the new --admission", "NOT_ADMITTED"
        ) from None
    return network


def key_never_used(directory: Path) -> tuple[bytes, bytes]:
    """Ed25519 public key of a validator that has never voted, and the content of its key file. Raises
    Refused."""
    from icn_localnet.joined import KeyGone, read_unused_key

    from icn_client.seats import KeyFileInvalid, read_seeds

    try:
        content = read_unused_key(directory)
        return read_seeds(content)[0].public_key, content
    except KeyGone as error:
        raise Refused(str(error), "CONSENSUS_KEY_USED") from None
    except KeyFileInvalid as error:
        raise Refused(f"{directory}: {error}", "KEY_FILE_INVALID") from None


def _take_genesis_of_founder(directory: Path, genesis: Path) -> None:
    """Note a founder's genesis, in which its keys must have a seat. Raises Refused."""
    from icn_kit.genesis import GenesisInvalid, parse_genesis
    from icn_localnet.joined import own_directory, take_genesis
    from icn_localnet.network import KEY_FILE

    from icn_client.founding import FOUNDER_BYTES_MAX, FounderInvalid, check_named, read_founder
    from icn_client.seats import KeyFileInvalid, read_seeds

    content = read_file(genesis, GENESIS_BYTES_MAX)
    own = directory / "genesis.json"
    if own.exists():
        if own.read_bytes() != content:
            raise Refused(
                f"{genesis} is not the genesis that {directory} began with, and a validator stays in its "
                "zone: make another with icn validator init",
                "GENESIS_OF_ANOTHER",
            )
        return
    try:
        offered = read_founder(read_file(directory / FOUNDER_FILE, FOUNDER_BYTES_MAX))
        keys = read_seeds((own_directory(directory) / "keys" / KEY_FILE).read_bytes())
        check_named(parse_genesis(content), offered.founder.principal, keys)
        take_genesis(directory, content, offered.founder.principal)
    except GenesisInvalid as error:
        raise Refused(f"{genesis}: {error}", "GENESIS_INVALID") from None
    except FounderInvalid as error:
        raise Refused(f"{genesis}: {error}: give it back to who wrote it", "GENESIS_OF_ANOTHER") from None
    except (KeyFileInvalid, OSError) as error:
        raise Refused(f"{directory}: {error}", "DIRECTORY_UNUSABLE") from None


def _network(directory: Path) -> Network:
    """What `icn validator init` made. Raises Refused."""
    from icn_kit.genesis import GenesisInvalid
    from icn_localnet.network import Network, NetworkInvalid

    try:
        network = Network.load(directory)
        is_joined = network.is_joined and network.genesis is not None
    except FileNotFoundError:
        raise Refused(
            f"{directory} holds no validator: make one with icn validator init", "DIRECTORY_UNUSABLE"
        ) from None
    except (NetworkInvalid, GenesisInvalid, OSError) as error:
        raise Refused(f"{directory}: {error}", "DIRECTORY_UNUSABLE") from None
    if not is_joined:
        raise Refused(
            f"{directory} holds a whole platform: start it with icn up --data", "DIRECTORY_UNUSABLE"
        )
    return network


def admit(  # noqa: PLR0917 - one parameter per option
    request: Annotated[
        Path, typer.Argument(metavar="REQUEST.pem", help="What `icn validator init` made.", readable=False)
    ],
    places: Annotated[
        list[str] | None,
        typer.Option(
            "--at",
            metavar="SEAT=HOST[:PORT:PORT]",
            help="Where a validator is, with its ports for consensus and ledger; by default the platform's.",
        ),
    ] = None,
    authority: Annotated[
        Path | None,
        typer.Option(
            "--authority",
            metavar="DIR",
            help="Folder of the authority that certifies; by default the platform's.",
            readable=False,
        ),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate", metavar="FILE", help="Certificate that another authority made.", readable=False
        ),
    ] = None,
    trust: Annotated[
        Path | None,
        typer.Option(
            "--trust",
            metavar="FILE",
            help="Authorities whose certificates the new one shall accept; goes with --certificate.",
            readable=False,
        ),
    ] = None,
    genesis: GenesisOption = None,
    data: DataOption = None,
) -> None:
    """Let a validator from outside in: certify its TLS key and tell it where the others are. Prints what
    `icn validator join --admission` takes; nothing in it is secret.

    Look at the names that are shown: whoever has the certificate can be taken for these hosts. A seat is
    another matter: `icn validators change --add`.
    """
    from icn_kit.genesis import GenesisInvalid, load_genesis
    from icn_localnet.certificates import Authority, CertificateInvalid, read_request
    from icn_localnet.joined import Admission

    if (certificate is None) != (trust is None):
        raise UsageError("--certificate and --trust go together")
    if certificate is not None and authority is not None:
        raise UsageError("--authority: the certificate is made already; give one of the two")
    needs_platform = not places or genesis is None or (certificate is None and authority is None)
    directory = platform_directory(data) if needs_platform else Path()
    try:
        zone = load_genesis(directory / "genesis.json" if genesis is None else genesis)
        asked = read_request(read_file(request, PEM_BYTES_MAX))
    except (GenesisInvalid, OSError) as error:
        raise UsageError(f"--genesis: {error}") from None
    except CertificateInvalid as error:
        raise Refused(f"{request}: {error}", "REQUEST_INVALID") from None
    told = _told(places, zone) if places else _of_platform(directory)
    check_names(asked, str(request), [one.consensus.rpartition(":")[0] for one in told])
    say(f"certified for {', '.join(asked.names)}")
    if certificate is not None and trust is not None:
        shown, trusted = read_file(certificate, PEM_BYTES_MAX), read_file(trust, PEM_BYTES_MAX)
    else:
        folder = authority if authority is not None else directory / "shared" / "authority"
        signer = Authority(folder)
        try:
            trusted = signer.certificate.read_bytes()
            shown = signer.certify(asked)
        except OSError as error:
            raise Refused(
                f"{error.filename}: {error.strerror}: --authority is the folder with authority.pem and "
                "authority.key",
                "FILE_UNREADABLE",
            ) from None
    print_json(Admission(zone.hash, shown, trusted, told).document())


def check_names(asked: CertificateRequest, file: str, taken: Sequence[str]) -> None:
    """Return if a request asks for no name of another part of the zone. Raises Refused."""
    from icn_localnet.network import SERVICES

    parts = (*SERVICES, "gateway", "postgres", "nats", "client")
    for name in asked.names:
        first = name.partition(".")[0]
        if name in taken or any(first == part or first.endswith(f"-{part}") for part in parts):
            raise Refused(
                f"{file}: asks to be {name}, which is another part of the zone: have it made for hosts of "
                "its own (icn validator init --host)",
                "NAME_TAKEN",
            )


def _of_platform(directory: Path) -> list[ToldValidator]:
    """Where the validators of the platform on this machine are. Raises Refused."""
    from icn_localnet.joined import ToldValidator

    found = [
        ToldValidator(one.name, one.organization.hex(), one.consensus, one.ledger)
        for one in load_network(directory).validators
    ]
    if not found or not found[0].consensus:
        raise Refused(
            f"{directory} knows a gateway alone: say where the validators are with --at", "NO_PLATFORM"
        )
    for one in found:
        if LOOPBACK.fullmatch(one.consensus):
            raise Refused(
                f"the validators listen on {one.consensus}, which nobody reaches from outside: start the "
                f"platform with icn up --host ADDRESS, or say with --at where they are reached",
                "NOT_REACHABLE",
            )
    return found


def _told(places: list[str], zone: Any) -> list[ToldValidator]:
    """Of what ``--at`` says. Raises UsageError."""
    from icn_localnet.joined import ToldValidator

    seats = {seat.seat: seat for seat in zone.validators}
    found: dict[int, ToldValidator] = {}
    for place in places:
        matched = _PLACE.fullmatch(place) if len(place) <= HOST_CHARACTERS_MAX else None
        if matched is None:
            raise UsageError(f"--at: {place[:80]!r} is not SEAT=HOST or SEAT=HOST:PORT:PORT")
        number, host = int(matched[1]), matched[2]
        ports = (int(matched[3] or CONSENSUS_PORT), int(matched[4] or LEDGER_PORT))
        if number in found or not all(1 <= port <= PORT_MAX for port in ports):
            raise UsageError(f"--at: {place!r} names a seat twice, or a port that is not 1 to {PORT_MAX}")
        seat = seats.get(number)
        found[number] = ToldValidator(
            seat.name if seat else f"seat {number}",
            seat.organization.hex() if seat else NOT_KNOWN,
            f"{host}:{ports[0]}",
            f"{host}:{ports[1]}",
        )
    return [found[number] for number in sorted(found)]

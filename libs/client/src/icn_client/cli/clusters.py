"""`icn cluster`: what a Kubernetes cluster is given before the chart is installed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from icn_chain.protocols import FIRST_PROTOCOL, NEWEST_PROTOCOL

from icn_client.cli.common import JsonOption, command_group, duration_ms
from icn_client.cli.files import read_file
from icn_client.cli.output import Refused, Unreachable, UsageError, print_json, print_text
from icn_client.cli.platform import VALIDATORS_MAX, VALIDATORS_MIN, ValidatorsOption
from icn_client.cli.validator_joining import (
    AdmissionOption,
    GenesisOfFounderOption,
    admitted_network,
    check_names,
    key_never_used,
)

if TYPE_CHECKING:
    from icn_localnet.network import NetworkOptions

    from icn_client.founding import OfferedFounder
    from icn_client.preparing import Place, Prepared

OBJECTS_FILE: Final = "objects.json"
VALUES_FILE: Final = "values.yaml"
CERTIFICATES_FILE: Final = "certificates.json"
GENESIS_FILE: Final = "genesis.json"
FOUNDERS_MAX: Final = 16
"""As many as may be of the zone's authority."""
RELEASE_NAME: Final = re.compile(r"[a-z]([-a-z0-9]{0,37}[a-z0-9])?")
"""With what the chart appends, names of its objects are names of hosts."""
NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
EPOCH_MS_MIN: Final = 60_000
"""docs/spec/genesis.md."""
HOST: Final = re.compile(r"[0-9A-Za-z:]([-.:0-9A-Za-z]{0,251}[0-9A-Za-z])?")
"""A name of DNS or an address."""
CONSENSUS_METRICS_PORT: Final = 9101
METRICS_SECONDS_MAX: Final = 5.0
METRICS_BYTES_MAX: Final = 4 * 1024 * 1024

_EXAMPLES = """\b
Examples:
  icn cluster prepare federation --zone "Valley Federation"
"""
_PREPARE_EXAMPLES = """\b
Examples:
  icn cluster prepare federation --zone "Valley Federation"
  icn cluster prepare federation --validators 7 --release icn --namespace icn --no-certificates
  icn cluster prepare federation --founder bakery.json --founder mill.json --founder farm.json \\
    --founder press.json --validator bakery
  icn cluster prepare mill --validator seat --admission admission.json --namespace icn-mill
  kubectl create namespace icn && kubectl -n icn apply -f federation/objects.json
  helm install icn deploy/helm/icn -n icn -f federation/values.yaml
"""
_CERTIFICATES_EXAMPLES = """\b
Examples:
  icn cluster certificates federation
  icn cluster certificates federation --host validator-0=icn.mill.example
  icn cluster certificates federation --new-authority
"""
_PASSWORDS_EXAMPLES = """\b
Examples:
  icn cluster passwords federation
"""
_SEAT_EXAMPLES = """\b
Examples:
  icn validators key new --for PRINCIPAL --genesis federation/genesis.json --out key.json > offer.json
  icn cluster seat federation 4 key.json
  kubectl -n icn apply -f federation/seat-4.json
"""
_ROLL_EXAMPLES = """\b
Examples:
  icn cluster roll --release icn
"""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("What a Kubernetes cluster is given beside the chart.", _EXAMPLES)
    group.command("prepare", epilog=_PREPARE_EXAMPLES)(prepare)
    group.command("certificates", epilog=_CERTIFICATES_EXAMPLES)(certificates)
    group.command("passwords", epilog=_PASSWORDS_EXAMPLES)(passwords)
    group.command("seat", epilog=_SEAT_EXAMPLES)(seat)
    group.command("roll", epilog=_ROLL_EXAMPLES)(roll)
    app.add_typer(group, name="cluster")


def prepare(  # noqa: PLR0917 - one parameter per option
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A new folder, for everything that is made.", readable=False)
    ],
    zone: Annotated[
        str, typer.Option("--zone", metavar="NAME", help="Of the federation.")
    ] = "Local federation",
    validators: ValidatorsOption = VALIDATORS_MIN,
    release: Annotated[
        str, typer.Option("--release", metavar="NAME", help="Of the Helm release; every name begins with it.")
    ] = "icn",
    namespace: Annotated[str, typer.Option("--namespace", metavar="NAME")] = "icn",
    no_certificates: Annotated[
        bool, typer.Option("--no-certificates", help="Without: cert-manager or you will make them.")
    ] = False,
    epoch: Annotated[
        str,
        typer.Option(
            "--epoch",
            metavar="DURATION",
            help="Of the new zone, such as 1d, 36h, 90m or 30s: seats change at its edges, for ever so.",
        ),
    ] = "1d",
    protocol_version: Annotated[
        int,
        typer.Option(
            "--protocol-version",
            metavar="N",
            min=FIRST_PROTOCOL,
            max=NEWEST_PROTOCOL,
            help="That the new zone begins by: an older one where a validator's release knows no newer.",
        ),
    ] = NEWEST_PROTOCOL,
    organizations: Annotated[
        int | None,
        typer.Option(
            "--co-ops",
            metavar="N",
            max=FOUNDERS_MAX,
            help="Of an evaluation; without it one for each validator.",
        ),
    ] = None,
    founders: Annotated[
        list[Path] | None,
        typer.Option(
            "--founder",
            metavar="FILE",
            help="founder.json of `icn validator init`, one for each seat; without, all keys are made here.",
            readable=False,
        ),
    ] = None,
    own: Annotated[
        list[Path] | None,
        typer.Option(
            "--validator",
            metavar="DIR",
            help="What `icn validator init` made: the release runs this validator.",
            readable=False,
        ),
    ] = None,
    admission: AdmissionOption = None,
    genesis_of_founder: GenesisOfFounderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Found a zone for a cluster to run: its genesis, the secrets of every part, and values for the chart.

    The founding co-ops' keys are put into keystores under DIR/keystores, which stay with you: nothing of them
    goes into the cluster. Everything that does is in DIR/objects.json; keep that private, and out of any
    repository.

    With --founder every founder has made its own keys, and --validator names those of the seats that this
    release runs; the others get a file each under DIR/admissions. With --validator alone nothing is founded:
    the release runs one validator of a zone whose others are elsewhere. The keys of these validators go into
    DIR/objects.json and leave their folders, for two processes must never vote with one key.
    """
    from icn_localnet import files
    from icn_localnet.joined import give_key_away
    from icn_localnet.network import NetworkOptions

    from icn_client.cluster_files import Release
    from icn_client.preparing import Place

    check_release_names(release, namespace)
    epoch_ms = duration_ms(epoch, "--epoch")
    if epoch_ms < EPOCH_MS_MIN:
        raise UsageError(f"--epoch: {epoch} is less than a minute, the shortest that a zone can have")
    directory = directory.absolute()
    if directory.exists() and any(directory.iterdir()):
        raise Refused(f"{directory} is not empty: keys that are there must not be lost")
    validators_here = [one.absolute() for one in own or []]
    place = Place(directory, Release(release, namespace), with_certificates=not no_certificates)
    if (admission or genesis_of_founder) and (founders or not validators_here):
        raise UsageError("--admission and --genesis go with the --validator that joins, not with founding")
    if organizations is not None and (founders or validators_here):
        raise UsageError("--co-ops goes with an evaluation, whose keys are all made here")
    options = NetworkOptions(zone=zone, epoch_ms=epoch_ms, protocol_version=protocol_version)
    if founders:
        prepared = _prepare_founded(place, founders, validators_here, options)
    elif validators_here:
        prepared = _prepare_joining(place, validators_here, admission, genesis_of_founder)
    else:
        prepared = _prepare_evaluation(place, organizations or validators, validators, options)
    files.write_private(directory / OBJECTS_FILE, json.dumps(prepared.objects, indent=1).encode() + b"\n")
    files.write_atomically(directory / VALUES_FILE, prepared.values.encode())
    for one in validators_here:
        give_key_away(one)
    genesis = prepared.genesis
    if as_json:
        print_json(
            {
                "genesis_hash": genesis.hash.hex(),
                "objects": str(directory / OBJECTS_FILE),
                "values": str(directory / VALUES_FILE),
                "keystore": prepared.keystore,
                "admissions": prepared.admissions,
            }
        )
        return
    print_text(f"zone       {genesis.zone}, genesis {genesis.hash.hex()}, {genesis.trust_profile}")
    for path in prepared.admissions:
        print_text(f"send       {directory / GENESIS_FILE} and {path}")
    print_text(f"next       kubectl -n {namespace} apply -f {directory / OBJECTS_FILE}")
    print_text(
        f"           helm install {release} deploy/helm/icn -n {namespace} -f {directory / VALUES_FILE}"
    )


def check_release_names(release: str, namespace: str) -> None:
    """What Kubernetes and the chart take.

    Raises:
        UsageError: they do not.
    """
    if not RELEASE_NAME.fullmatch(release):
        raise UsageError(f"--release: 1 to 39 of a-z, 0-9 and -, a letter first and no - last, not {release}")
    if not NAMESPACE.fullmatch(namespace):
        raise UsageError(f"--namespace: 1 to 63 of a-z, 0-9 and -, no - first or last, not {namespace}")


def _prepare_evaluation(
    place: Place, organizations: int, validators: int, options: NetworkOptions
) -> Prepared:
    """All keys are made here. Raises UsageError and Refused."""
    from icn_kit.genesis import GenesisInvalid

    from icn_client import preparing

    if organizations < validators:
        raise UsageError(f"--co-ops: {validators} validators are of as many, not {organizations}")
    try:
        return preparing.evaluation(place, organizations, validators, options)
    except GenesisInvalid as error:
        raise Refused(f"genesis: {error}", "GENESIS_INVALID") from None


def _prepare_founded(
    place: Place, founders: list[Path], own: list[Path], options: NetworkOptions
) -> Prepared:
    """By founders who have made their own keys. Raises UsageError and Refused."""
    from icn_kit.genesis import GenesisInvalid

    from icn_client import preparing
    from icn_client.founding import FOUNDER_BYTES_MAX, FounderInvalid, read_founder

    if not VALIDATORS_MIN <= len(founders) <= VALIDATORS_MAX:
        raise UsageError(f"--founder: {len(founders)}, must be {VALIDATORS_MIN} to {VALIDATORS_MAX}")
    if not own:
        raise UsageError(
            "--validator: name the folder of at least one seat that this release runs, since services hear "
            "of the chain from a ledger of its"
        )
    offered = []
    for file in founders:
        try:
            offered.append(read_founder(read_file(file, FOUNDER_BYTES_MAX)))
        except FounderInvalid as error:
            raise Refused(f"{file}: {error}", "FOUNDER_INVALID") from None
        check_names(offered[-1].request, str(file), ())
    here = _seats_here(own, offered)
    try:
        return preparing.founded(place, offered, here, options)
    except GenesisInvalid as error:
        raise Refused(f"genesis: {error}", "GENESIS_INVALID") from None


def _seats_here(own: list[Path], offered: Sequence[OfferedFounder]) -> dict[int, bytes]:
    """Content of the key file of each seat that the release runs. Raises Refused."""
    seats = {
        key: seat for seat, one in enumerate(offered) for key in (one.founder.consensus_keys or {}).values()
    }
    here: dict[int, bytes] = {}
    for folder in own:
        key, content = key_never_used(folder)
        seat = seats.get(key)
        if seat is None or seat in here:
            raise Refused(f"{folder}: its key is that of no --founder, or was named twice", "KEY_OF_NOBODY")
        here[seat] = content
    return here


def _prepare_joining(place: Place, own: list[Path], admission: Path | None, genesis: Path | None) -> Prepared:
    """One validator, whose others are elsewhere. Raises UsageError and Refused."""
    from icn_client import preparing

    if len(own) > 1:
        raise UsageError("--validator: one, where no zone is founded (--founder)")
    (validator,) = own
    network = admitted_network(validator, admission, genesis)
    key_never_used(validator)
    return preparing.joining(place, network, validator)


PreparedArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="What `icn cluster prepare` has made.", readable=False)
]


def certificates(
    directory: PreparedArgument,
    host: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="PART=NAME", help="A further name of a part's; may be repeated."),
    ] = None,
    new_authority: Annotated[
        bool,
        typer.Option("--new-authority", help="Trust a new authority beside the old; renew nothing yet."),
    ] = False,
    forget_old: Annotated[
        bool, typer.Option("--forget-old-authorities", help="Trust the newest authority alone.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Renew every part's certificate, for the names of its last one, with the authority in DIR.

    Writes the Secrets to DIR/certificates.json, for `kubectl apply`, and to DIR/objects.json. A new authority
    takes three steps, each applied and read by all before the next: --new-authority, then without options,
    then --forget-old-authorities.
    """
    from icn_kit.genesis import GenesisInvalid, load_genesis
    from icn_localnet.certificates import AuthorityInvalid

    from icn_client import cluster_files

    if new_authority and forget_old:
        raise UsageError("--new-authority and --forget-old-authorities: one step at a time")
    hosts = _hosts(host or [])
    if hosts and (new_authority or forget_old):
        raise UsageError("--host names certificates, and an authority's step renews none")
    directory = directory.absolute()
    try:
        objects = cluster_files.read_objects(directory / OBJECTS_FILE)
        if new_authority:
            zone = load_genesis(directory / GENESIS_FILE).zone
            changed = cluster_files.replace_authority(objects, directory, zone)
        elif forget_old:
            changed = cluster_files.forget_old_authorities(objects, directory)
        else:
            changed = cluster_files.renew_certificates(objects, directory, hosts)
    except (cluster_files.ObjectsUnfit, AuthorityInvalid, GenesisInvalid, OSError) as error:
        raise Refused(str(error)) from None
    _write_changed(directory, CERTIFICATES_FILE, changed, objects, as_json=as_json)


def passwords(directory: PreparedArgument, as_json: JsonOption = False) -> None:
    """Make new passwords for every role of the databases and every user of the bus.

    Writes a patch for each Secret, DIR/passwords/NAME.json for `kubectl patch`, and all to DIR/objects.json.
    """
    from icn_localnet import files

    from icn_client import cluster_files

    directory = directory.absolute()
    try:
        objects = cluster_files.read_objects(directory / OBJECTS_FILE)
        patches = cluster_files.change_passwords(objects)
    except cluster_files.ObjectsUnfit as error:
        raise Refused(str(error)) from None
    folder = files.make_private_directory(directory / "passwords")
    for name, patch in patches.items():
        _write_json(folder / f"{name}.json", patch)
    _write_json(directory / OBJECTS_FILE, objects)
    if as_json:
        print_json({"patches": str(folder), "secrets": list(patches)})
        return
    print_text(f"changed    {len(patches)} Secrets: {', '.join(patches)}")
    print_text(f"next       for each: kubectl patch secret NAME --type=merge --patch-file {folder}/NAME.json")


def _hosts(given: list[str]) -> dict[str, list[str]]:
    """By part. Raises UsageError."""
    hosts: dict[str, list[str]] = {}
    for one in given:
        part, _, name = one.partition("=")
        if not part or not HOST.fullmatch(name):
            raise UsageError(f"--host: PART=NAME, as validator-0=icn.mill.example, not {one}")
        hosts.setdefault(part, []).append(name)
    return hosts


def seat(
    directory: PreparedArgument,
    number: Annotated[
        int,
        typer.Argument(
            metavar="N", min=0, max=VALIDATORS_MAX - 1, help="The seat, as the chart's values name it."
        ),
    ],
    key: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="What `icn validators key new` wrote.", readable=False),
    ],
    namespace: Annotated[str, typer.Option("--namespace", metavar="NAME")] = "icn",
    as_json: JsonOption = False,
) -> None:
    """Give a seat of a release a new consensus key; one more seat gets everything that it needs.

    Writes it to DIR/seat-N.json, for `kubectl apply`, and to DIR/objects.json.
    """
    from icn_client import cluster_files
    from icn_client.cli.files import read_file
    from icn_client.seats import KEY_FILE_BYTES_MAX, KeyFileInvalid, read_seeds

    content = read_file(key, KEY_FILE_BYTES_MAX)
    directory = directory.absolute()
    try:
        read_seeds(content)
        objects = cluster_files.read_objects(directory / OBJECTS_FILE)
        changed = cluster_files.put_key(objects, number, content, namespace, directory)
    except KeyFileInvalid as error:
        raise Refused(f"{key}: {error}", "KEY_FILE_INVALID") from None
    except (cluster_files.ObjectsUnfit, OSError) as error:
        raise Refused(str(error)) from None
    _write_changed(directory, f"seat-{number}.json", changed, objects, as_json=as_json)


def _write_changed(
    directory: Path, name: str, changed: dict[str, Any], objects: dict[str, Any], *, as_json: bool
) -> None:
    """Write down what is new, for the cluster and for the safe, and say what to do with it."""
    _write_json(directory / name, changed)
    _write_json(directory / OBJECTS_FILE, objects)
    named = [item["metadata"]["name"] for item in changed["items"]]
    if as_json:
        print_json({"objects": str(directory / name), "names": named})
        return
    print_text(f"changed    {', '.join(named)}")
    print_text(
        f"next       kubectl apply --server-side --field-manager=icn --force-conflicts -f {directory / name}"
    )


def _write_json(file: Path, content: dict[str, Any]) -> None:
    from icn_localnet import files

    files.write_private(file, json.dumps(content, indent=1).encode() + b"\n", may_replace=True)


def roll(
    release: Annotated[
        str,
        typer.Option("--release", metavar="NAME", help="Of the Helm release whose validators to restart."),
    ] = "icn",
) -> None:
    """Bring a release's validators to the version that was installed, one after the other.

    Runs in the cluster, after an upgrade and after a rollback; each validator takes part again, with all that
    the others have, before the next one goes.
    """
    from icn_kit.kubernetes import KubernetesApi, KubernetesRefused

    from icn_client import rolling

    selector = f"app.kubernetes.io/instance={release},icn.coop/kind=validator"
    try:
        for done in rolling.roll(KubernetesApi.of_this_pod(), selector, _is_in_step):
            what = f"restarted in {done.seconds:.0f} s" if done.seconds else "is of this version already"
            print_text(f"{done.name}   {what}")
    except rolling.NotRolled as error:
        raise Refused(str(error)) from None
    except KubernetesRefused as error:
        raise (Unreachable if error.status == 0 else Refused)(f"Kubernetes: {error}") from None


def _is_in_step(host: str) -> bool:
    """Whether consensus there has heard from others and is where they are."""
    import urllib.request

    from icn_client.rolling import follows_the_chain

    try:
        with urllib.request.urlopen(
            f"http://{host}:{CONSENSUS_METRICS_PORT}/metrics", timeout=METRICS_SECONDS_MAX
        ) as answer:
            return follows_the_chain(answer.read(METRICS_BYTES_MAX).decode("utf-8"))
    except (OSError, ValueError):
        return False

"""`icn cluster`: what a Kubernetes cluster is given before the chart is installed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from icn_client.cli.common import JsonOption, command_group, duration_ms
from icn_client.cli.output import Refused, Unreachable, UsageError, print_json, print_text
from icn_client.cli.platform import VALIDATORS_MIN, ValidatorsOption
from icn_client.cli.validator_joining import AdmissionOption, admitted_network

if TYPE_CHECKING:
    from icn_kit.genesis import Genesis

OBJECTS_FILE: Final = "objects.json"
VALUES_FILE: Final = "values.yaml"
DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
"""Part of the names of objects, which hold up to 63 characters."""
EPOCH_MS_MIN: Final = 60_000
"""docs/spec/genesis.md."""
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
  icn cluster prepare mill --validator seat --admission admission.json --namespace icn-mill
  kubectl create namespace icn && kubectl -n icn apply -f federation/objects.json
  helm install icn deploy/helm/icn -n icn -f federation/values.yaml
"""
_ROLL_EXAMPLES = """\b
Examples:
  icn cluster roll --release icn
"""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("What a Kubernetes cluster is given beside the chart.", _EXAMPLES)
    group.command("prepare", epilog=_PREPARE_EXAMPLES)(prepare)
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
    validator: Annotated[
        Path | None,
        typer.Option(
            "--validator",
            metavar="DIR",
            help="What `icn validator init` made: the release runs this validator of a zone that is there.",
            readable=False,
        ),
    ] = None,
    admission: AdmissionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Found a zone for a cluster to run: its genesis, the secrets of every part, and values for the chart.

    The founding co-ops' keys are put into keystores under DIR/keystores, which stay with you: nothing of them
    goes into the cluster. Everything that does is in DIR/objects.json; keep that private, and out of any
    repository.

    With --validator nothing is founded: the release runs one validator of a zone whose others are elsewhere.
    Its key goes into DIR/objects.json and leaves the folder, for two processes must never vote with one key.
    """
    from icn_kit.genesis import GenesisInvalid
    from icn_localnet import files
    from icn_localnet.joined import give_key_away
    from icn_localnet.network import Network, NetworkOptions, found_zone

    from icn_client import platforms
    from icn_client.cluster_files import Release, cluster_objects, validator_objects

    for option, name in (("--release", release), ("--namespace", namespace)):
        if not DNS_LABEL.fullmatch(name):
            raise UsageError(
                f"{option}: 1 to 40 of a-z, 0-9 and -, beginning and ending with neither -, not {name}"
            )
    epoch_ms = duration_ms(epoch, "--epoch")
    if epoch_ms < EPOCH_MS_MIN:
        raise UsageError(f"--epoch: {epoch} is less than a minute, the shortest that a zone can have")
    directory = directory.absolute()
    if directory.exists() and any(directory.iterdir()):
        raise Refused(f"{directory} is not empty: keys that are there must not be lost")
    made = Release(release, namespace)
    if validator is not None:
        seat, genesis, values = _validator_values(validator.absolute(), admission)
        files.make_private_directory(directory)
        objects = validator_objects(seat, validator.absolute(), made)
        keystore = None
    else:
        if admission is not None:
            raise UsageError("--admission: of which validator? Name it with --validator")
        options = NetworkOptions(zone=zone, epoch_ms=epoch_ms)
        files.make_private_directory(directory)
        try:
            founded = found_zone(platforms.make_founders(directory, validators), validators, options)
        except GenesisInvalid as error:
            raise Refused(f"genesis: {error}") from None
        genesis = founded.genesis
        objects = cluster_objects(founded, made, None if no_certificates else directory)
        values = _values(genesis.trust_profile, range(validators))
        keystore = str(platforms.founders_keystore(directory).folder)
        files.write_atomically(directory / "genesis.json", founded.text)
    files.write_private(directory / OBJECTS_FILE, json.dumps(objects, indent=1).encode() + b"\n")
    files.write_atomically(directory / VALUES_FILE, values.encode())
    if validator is not None:
        give_key_away(Network.load(validator.absolute()))
    if as_json:
        print_json(
            {
                "genesis_hash": genesis.hash.hex(),
                "objects": str(directory / OBJECTS_FILE),
                "values": str(directory / VALUES_FILE),
                "keystore": keystore,
            }
        )
        return
    print_text(f"zone       {genesis.zone}, genesis {genesis.hash.hex()}")
    print_text(f"next       kubectl -n {namespace} apply -f {directory / OBJECTS_FILE}")
    print_text(
        f"           helm install {release} deploy/helm/icn -n {namespace} -f {directory / VALUES_FILE}"
    )


def _validator_values(directory: Path, admission: Path | None) -> tuple[int, Genesis, str]:
    """The seat by which a release names an admitted validator, its zone, and values for the chart. Raises
    Refused."""
    from icn_localnet.joined import KeyGone, check_never_started

    network = admitted_network(directory, admission)
    try:
        check_never_started(network)
    except KeyGone as error:
        raise Refused(str(error), "CONSENSUS_KEY_USED") from None
    others = network.validators[1:]
    elsewhere: list[dict[str, str | int]] = [
        {
            "seat": position,
            "host": one.consensus.rpartition(":")[0],
            "consensusPort": int(one.consensus.rpartition(":")[2]),
            "ledgerPort": int(one.ledger.rpartition(":")[2]),
        }
        for position, one in enumerate(others)
    ]
    alone = (
        "services: {enabled: false}\npostgres: {bundled: false}\nnats: {bundled: false}\n"
        "# The numbers of seats are names here: those of the chain are told by the validators themselves.\n"
    )
    return (
        len(others),
        network.genesis,
        alone + _values(network.genesis.trust_profile, [len(others)], elsewhere),
    )


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


def _values(
    trust_profile: str, seats: Sequence[int], elsewhere: Sequence[Mapping[str, str | int]] = ()
) -> str:
    listed = "".join(f"    - {json.dumps(one)}\n" for one in elsewhere)
    return (
        "# Written by `icn cluster prepare`; deploy/helm/icn/values.yaml has every other value.\n"
        f"trustProfile: {trust_profile}\n"
        f"validators:\n  seats: [{', '.join(map(str, seats))}]\n"
        + (f"  elsewhere:\n{listed}" if listed else "")
    )

"""`icn cluster`: what a Kubernetes cluster is given before the chart is installed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from icn_client.cli.common import JsonOption, command_group
from icn_client.cli.output import Refused, Unreachable, UsageError, print_json, print_text
from icn_client.cli.platform import VALIDATORS_MIN, ValidatorsOption

OBJECTS_FILE: Final = "objects.json"
VALUES_FILE: Final = "values.yaml"
FOUNDERS_MAX: Final = 16
"""As many as may be of the zone's authority."""
EPOCH_MINUTES_MAX: Final = 527_040
"""Of genesis, 366 days."""
MINUTE_MS: Final = 60_000
SEATS_MAX: Final = 50
DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
"""Part of the names of objects, which hold up to 63 characters."""
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
  kubectl create namespace icn && kubectl -n icn apply -f federation/objects.json
  helm install icn deploy/helm/icn -n icn -f federation/values.yaml
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
    founders: Annotated[
        int | None,
        typer.Option(
            "--founders", metavar="N", max=FOUNDERS_MAX, help="Co-ops; without it one for each validator."
        ),
    ] = None,
    epoch_minutes: Annotated[
        int,
        typer.Option(
            "--epoch-minutes",
            metavar="N",
            min=1,
            max=EPOCH_MINUTES_MAX,
            help="How long seats stay as they are; a day without it.",
        ),
    ] = 1_440,
    as_json: JsonOption = False,
) -> None:
    """Found a zone for a cluster to run: its genesis, the secrets of every part, and values for the chart.

    The founding co-ops' keys are put into keystores under DIR/keystores, which stay with you: nothing of them
    goes into the cluster. Everything that does is in DIR/objects.json; keep that private, and out of any
    repository.
    """
    import json

    from icn_kit.genesis import GenesisInvalid
    from icn_localnet import files
    from icn_localnet.network import NetworkOptions, found_zone

    from icn_client import platforms
    from icn_client.cluster_files import Release, cluster_objects

    for option, name in (("--release", release), ("--namespace", namespace)):
        if not DNS_LABEL.fullmatch(name):
            raise UsageError(
                f"{option}: 1 to 40 of a-z, 0-9 and -, beginning and ending with neither -, not {name}"
            )
    if founders is not None and founders < validators:
        raise UsageError(f"--founders: {validators} validators are of as many co-ops, not {founders}")
    directory = directory.absolute()
    if directory.exists() and any(directory.iterdir()):
        raise Refused(f"{directory} is not empty: keys that are there must not be lost")
    files.make_private_directory(directory)
    try:
        founded = found_zone(
            platforms.make_founders(directory, founders or validators),
            validators,
            NetworkOptions(zone=zone, epoch_ms=epoch_minutes * MINUTE_MS),
        )
    except GenesisInvalid as error:
        raise Refused(f"genesis: {error}") from None
    made = Release(release, namespace)
    objects = cluster_objects(founded, made, None if no_certificates else directory)
    files.write_private(directory / OBJECTS_FILE, json.dumps(objects, indent=1).encode() + b"\n")
    files.write_atomically(directory / "genesis.json", founded.text)
    files.write_atomically(
        directory / VALUES_FILE, _values(founded.genesis.trust_profile, validators).encode()
    )
    if as_json:
        print_json(
            {
                "genesis_hash": founded.genesis.hash.hex(),
                "objects": str(directory / OBJECTS_FILE),
                "values": str(directory / VALUES_FILE),
                "keystore": str(platforms.founders_keystore(directory).folder),
            }
        )
        return
    print_text(f"zone       {zone}, genesis {founded.genesis.hash.hex()}")
    print_text(f"next       kubectl -n {namespace} apply -f {directory / OBJECTS_FILE}")
    print_text(
        f"           helm install {release} deploy/helm/icn -n {namespace} -f {directory / VALUES_FILE}"
    )


def seat(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="What `icn cluster prepare` has made.", readable=False)
    ],
    number: Annotated[
        int,
        typer.Argument(
            metavar="N", min=0, max=SEATS_MAX - 1, help="The seat, as the chart's values name it."
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
    import json

    from icn_localnet import files

    for file, content in ((name, changed), (OBJECTS_FILE, objects)):
        text = json.dumps(content, indent=1).encode() + b"\n"
        files.write_private(directory / file, text, may_replace=True)
    named = [item["metadata"]["name"] for item in changed["items"]]
    if as_json:
        print_json({"objects": str(directory / name), "names": named})
        return
    print_text(f"changed    {', '.join(named)}")
    print_text(f"next       kubectl apply -f {directory / name}")


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


def _values(trust_profile: str, validators: int) -> str:
    seats = ", ".join(map(str, range(validators)))
    return (
        "# Written by `icn cluster prepare`; deploy/helm/icn/values.yaml has every other value.\n"
        f"trustProfile: {trust_profile}\n"
        f"validators:\n  seats: [{seats}]\n"
    )

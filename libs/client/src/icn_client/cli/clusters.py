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
CERTIFICATES_FILE: Final = "certificates.json"
DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
"""Part of the names of objects, which hold up to 63 characters."""
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
    directory = directory.absolute()
    if directory.exists() and any(directory.iterdir()):
        raise Refused(f"{directory} is not empty: keys that are there must not be lost")
    files.make_private_directory(directory)
    try:
        founded = found_zone(
            platforms.make_founders(directory, validators), validators, NetworkOptions(zone=zone)
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
            zone = load_genesis(directory / "genesis.json").zone
            changed = cluster_files.replace_authority(objects, directory, zone)
        elif forget_old:
            changed = cluster_files.forget_old_authorities(objects, directory)
        else:
            changed = cluster_files.renew_certificates(objects, directory, hosts)
    except (cluster_files.ObjectsUnfit, AuthorityInvalid, GenesisInvalid, OSError) as error:
        raise Refused(str(error)) from None
    _write_json(directory / CERTIFICATES_FILE, changed)
    _write_json(directory / OBJECTS_FILE, objects)
    secrets = [item["metadata"]["name"] for item in changed["items"]]
    if as_json:
        print_json({"objects": str(directory / CERTIFICATES_FILE), "secrets": secrets})
        return
    print_text(f"changed    {len(secrets)} Secrets: {', '.join(secrets)}")
    print_text(
        "next       kubectl apply --server-side --field-manager=icn --force-conflicts "
        f"-f {directory / CERTIFICATES_FILE}"
    )


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


def _write_json(file: Path, content: dict[str, Any]) -> None:
    import json

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


def _values(trust_profile: str, validators: int) -> str:
    seats = ", ".join(map(str, range(validators)))
    return (
        "# Written by `icn cluster prepare`; deploy/helm/icn/values.yaml has every other value.\n"
        f"trustProfile: {trust_profile}\n"
        f"validators:\n  seats: [{seats}]\n"
    )

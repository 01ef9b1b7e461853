"""`icn doctor`: looks at an installation and says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli.clusters import check_release_names
from icn_client.cli.common import DataOption, JsonOption, platform_directory, run_async
from icn_client.cli.output import Refused, Unreachable, UsageError, print_json, print_text, say

if TYPE_CHECKING:
    from icn_client.doctor.finding import Finding
    from icn_client.doctor.support_bundle import Files

_EXAMPLES = """\b
Examples:
  icn doctor                                  the platform on this machine
  icn doctor --release icn --namespace icn    a release on Kubernetes, by your kubeconfig
  icn doctor --release icn --bundle help.tar.gz
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", epilog=_EXAMPLES)(doctor)


def doctor(
    data: DataOption = None,
    release: Annotated[
        str | None, typer.Option("--release", metavar="NAME", help="Of a Helm release on Kubernetes.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Of the release; icn without.")
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="FILE.tar.gz",
            help="Write logs, objects, metrics and findings, without secrets, for those who help.",
            readable=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at an installation and say what is wrong, with its numbers, and what to do.

    Of Secrets only the names of their keys are read, and of those of certificates what everybody sees who
    connects. Exit 1 where there is a problem, 0 where there are warnings only.
    """
    if bundle is not None and bundle.exists():
        raise Refused(f"--bundle: {bundle} exists: name a file that does not", "FILE_EXISTS")
    if release is None and namespace is None:
        findings, files = _look_at_platform(data)
    elif data is not None:
        raise UsageError(
            "--data is of a platform on this machine, --release and --namespace of one on Kubernetes"
        )
    else:
        findings, files = _look_at_release(release or "icn", namespace or "icn")
    _tell(findings, as_json)
    if bundle is not None:
        from icn_client.doctor.support_bundle import write_bundle

        try:
            count = write_bundle(bundle, files)
        except OSError as error:
            raise Refused(f"{bundle}: {error.strerror or error}", "FILE_UNWRITABLE") from None
        say(f"{bundle}: {count} files; look through it before you send it on")
    problems = sum(finding.severity == "problem" for finding in findings)
    if problems:
        raise Refused(
            f"{problems} problem{'s' if problems > 1 else ''}; docs/operating/doctor.md", "PROBLEMS"
        )


def _look_at_release(release: str, namespace: str) -> tuple[list[Finding], Files]:
    from icn_client.doctor.kubectl import Kubectl, KubectlUnreachable
    from icn_client.doctor.release_checks import check_release
    from icn_client.doctor.release_state import read_release
    from icn_client.doctor.support_bundle import release_files

    check_release_names(release, namespace)
    kubectl = Kubectl(namespace)
    try:
        state = read_release(kubectl, release)
    except KubectlUnreachable as error:
        raise Unreachable(f"Kubernetes: {error}", "NO_CLUSTER") from None
    is_read = not {"statefulsets", "deployments"} & state.faults.keys()
    if is_read and not state.of("statefulsets") and not state.of("deployments"):
        raise Refused(
            f"namespace {namespace} has no release {release}: helm list -A shows those there are",
            "NO_RELEASE",
        )
    findings = check_release(state)
    return findings, release_files(kubectl, state, findings)


def _look_at_platform(data: Path | None) -> tuple[list[Finding], Files]:
    from icn_localnet.network import Network, NetworkInvalid

    from icn_client.cli.common import load_network
    from icn_client.doctor.platform_checks import check_platform
    from icn_client.doctor.support_bundle import platform_files
    from icn_client.platforms import is_running
    from icn_client.status import read_status

    directory = data if data is not None else platform_directory(None)
    try:
        network = Network.load(directory)
    except FileNotFoundError:
        raise Unreachable(
            f"{directory} holds no platform of this machine; one on Kubernetes: icn doctor --release NAME",
            "NO_PLATFORM",
        ) from None
    except NetworkInvalid as error:
        raise Refused(f"{directory}: {error}", "DIRECTORY_UNUSABLE") from None
    status = run_async(read_status(load_network(directory))) if is_running(directory) else None
    findings = check_platform(network, status)
    return findings, platform_files(network, findings)


def _tell(findings: list[Finding], as_json: bool) -> None:
    from icn_client.doctor.finding import by_severity

    found = by_severity(findings)
    if as_json:
        counts: dict[str, Any] = {"problem": 0, "warning": 0, "unknown": 0, "fine": 0}
        for finding in found:
            counts[finding.severity] += 1
        print_json({**counts, "findings": [finding.to_dict() for finding in found]})
        return
    for finding in found:
        print_text(f"{finding.severity:<8} {finding.check}: {finding.found}")
        if finding.advice:
            print_text(f"{'':<8} → {finding.advice}" + (f" ({finding.page})" if finding.page else ""))

"""The commands of every runbook, run as written: all that look, then all that mend."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from e2e.pages import blocks_in
from scripts.cluster_test.release import CHART, RELEASE, ROOT, SEATS, Cluster, say, values

RUNBOOKS = ROOT / "docs" / "operating" / "runbooks"
BLOCK_SECONDS_MAX = 600.0
PRELUDE = """
fault() { echo "fault: $*" >&2; }
curl() {
    command curl --fail --show-error --retry 5 --retry-connrefused "$@" || fault "curl $* ended with $?"
}
helm() { command helm "$@" || fault "helm $* ended with $?"; }
icn() { command icn "$@" || fault "icn $* ended with $?"; }
kubectl() {
    case " $* " in
    *' port-forward '*) exec kubectl "$@" ;;
    *' -w '* | *' -f ')
        timeout 10 kubectl "$@" || [ $? = 124 ] || fault "kubectl $* ended with $?" ;;
    *)
        command kubectl "$@" || fault "kubectl $* ended with $?" ;;
    esac
}
"""
"""A forwarded port is a process of its own, which `kill $!` ends, and is waited for. A failure is told where
it happens in a pipe; a grep that finds nothing is none. What would go on for ever ends after ten seconds."""
OF_THE_CLUSTER = "the storageclass that provisions the pvc must support resize"
"""What a command says that is right, and cannot be done on a StorageClass of fixed volumes."""


def run_runbooks(cluster: Cluster) -> None:
    """Every command of every runbook does something on the release, and none leaves it broken."""
    commands = faults = 0
    for heading in ("Diagnosis", "Mitigation"):
        for path in sorted(RUNBOOKS.glob("*.md")):
            for block in _blocks(path, heading):
                commands += sum(bool(line.strip()) for line in block.splitlines())
                for fault in _run(cluster, block):
                    faults += 1
                    say(f"{heading} of {path.stem}: {fault}")
            if heading == "Mitigation":
                _put_back(cluster)
    cluster.helm("upgrade", RELEASE, str(CHART), *values(cluster), "--wait", "--timeout", "15m")
    cluster.wait_until_ready()
    cluster.note(
        "runbooks: lines of commands run as written, all that look and all that mend",
        "none fails",
        f"{commands} run, {faults} failed",
        not faults,
    )


def _blocks(path: Path, heading: str) -> list[str]:
    """The commands under a heading."""
    section = path.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return blocks_in(section)


def _run(cluster: Cluster, block: str) -> list[str]:
    """What failed of it."""
    node = cluster.run("kubectl", "get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    written = block.replace("-n icn", f"-n {cluster.namespace}").replace("NODE", node)
    environment = {**os.environ, **cluster.environment}
    environment["PATH"] = f"{ROOT / '.venv' / 'bin'}:{environment['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        _lay_out(cluster, Path(folder))
        done = subprocess.run(
            ["bash", "-c", PRELUDE + written],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=BLOCK_SECONDS_MAX,
            check=False,
        )  # fmt: skip
    if OF_THE_CLUSTER in done.stderr:
        return []
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return [f"{lines[at - 1] if at else ''} {line}" for at, line in enumerate(lines) if "fault: " in line]


def _lay_out(cluster: Cluster, folder: Path) -> None:
    """Where the commands are run there is the chart, and a certificate that somebody has made."""
    (folder / "deploy").symlink_to(ROOT / "deploy")
    for name in ("tls.crt", "tls.key", "ca.crt"):
        shown = f'go-template={{{{index .data "{name}" | base64decode}}}}'
        text = cluster.kubectl("get", "secret", f"{RELEASE}-identity-tls", "-o", shown)
        (folder / name).write_text(text, "utf-8")


def _put_back(cluster: Cluster) -> None:
    """What a runbook leaves to the reader: nodes that are back, parts that run as before."""
    for node in cluster.run("kubectl", "get", "nodes", "-o", "name").split():
        cluster.run("kubectl", "uncordon", node)
    for seat in SEATS:
        cluster.kubectl("scale", f"statefulset/{RELEASE}-validator-{seat}", "--replicas=1")
    cluster.kubectl("scale", f"deployment/{RELEASE}-gateway", "--replicas=2")
    cluster.wait_until_ready()

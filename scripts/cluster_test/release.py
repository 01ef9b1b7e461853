"""The release under test, and what every step says and asks."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "icn"
RELEASE = "icn"
SEATS = range(4)
COMMAND_SECONDS_MAX = 900.0
ROOT_AT = "SELECT encode(state_root, 'hex') FROM ledger.blocks WHERE height = {}"
EPOCH_SECONDS = 180
"""Of the zone under test: seats change at an epoch's edge, and a day is too long to wait."""


class Failed(Exception):
    """A command or a check; the message is what to show."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    figure: str
    bar: str
    measured: str
    is_met: bool


@dataclass
class Cluster:
    """The release under test, and how it is reached."""

    directory: Path
    """Of CLUSTER_DIR."""
    cache: Path
    """Its programs and definitions."""
    state: Path
    """Of the cluster."""
    work: Path
    """Where the zone's keys and files are."""
    tag: str
    namespace: str
    """Of the release; steps that need two make others."""
    environment: dict[str, str] = field(default_factory=dict)
    more_values: Path | None = None
    """What a node that has less room, or several releases, needs."""
    rows: list[Row] = field(default_factory=list)
    resources: ExitStack = field(default_factory=ExitStack)
    """What a step has started and a later one still needs; ends with the run."""
    prometheus: str = ""
    """Address of the one that reads the release."""

    @property
    def restored_namespace(self) -> str:
        """Where a backup of the release is restored."""
        return f"{self.namespace}-restored"

    # -- programs

    def run(self, *command: str, seconds: float = COMMAND_SECONDS_MAX, may_fail: bool = False) -> str:
        """What the command printed. Raises Failed."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode != 0 and not may_fail:
            raise Failed(f"{' '.join(command)[:200]} ended with {done.returncode}: {done.stderr[-3000:]}")
        return done.stdout

    def script(self, name: str, *arguments: str) -> str:
        """One of the cluster's own."""
        return self.run(str(self.directory / name), *arguments).strip()

    def forget(self, *namespaces: str) -> None:
        """Delete what an earlier run has left in them; its volumes are offered again."""
        self.run("kubectl", "delete", "namespace", *namespaces, "--ignore-not-found", "--wait=true")
        self.script("up")

    def kubectl(self, *arguments: str, **how: Any) -> str:
        """In the release's namespace."""
        return self.run("kubectl", "-n", self.namespace, *arguments, **how)

    def helm(self, *arguments: str, **how: Any) -> str:
        """In the release's namespace."""
        return self.run("helm", "-n", self.namespace, *arguments, **how)

    def refusal(self, *arguments: str) -> str:
        """Why helm does not do it; empty where it does."""
        try:
            self.helm(*arguments)
        except Failed as failed:
            return " ".join(str(failed).partition("Error: ")[2].split()) or "no sentence"
        return ""

    def icn(self, *arguments: str) -> Any:
        """The command as a person has it; its one JSON object."""
        return json.loads(self.icn_text(*arguments, "--json"))

    def icn_text(self, *arguments: str) -> str:
        """The same, as it prints it."""
        return self.run(str(ROOT / ".venv" / "bin" / "icn"), *arguments, seconds=120)

    # -- the release

    @property
    def gateway_url(self) -> str:
        """From this machine."""
        address = self.kubectl("get", "service", "icn-gateway", "-o", "jsonpath={.spec.clusterIP}")
        return f"http://{address}"

    @property
    def zone(self) -> Path:
        """What `icn connect` has noted."""
        return self.work / "zone"

    @property
    def federation(self) -> Path:
        """What `icn cluster prepare` has made."""
        return self.work / "federation"

    @property
    def whose_keys(self) -> dict[str, str]:
        """With this in its environment `icn` acts for the founders, on this release."""
        return {"ICN_DATA": str(self.zone), "ICN_KEYSTORE": str(self.federation / "keystores")}

    def in_namespace(self, namespace: str) -> Cluster:
        """The same cluster, with a release elsewhere."""
        return replace(self, namespace=namespace)

    def pods(self) -> list[dict[str, Any]]:
        """Those that should run."""
        found = json.loads(self.kubectl("get", "pods", "-l", "app.kubernetes.io/instance=icn", "-o", "json"))
        return [pod for pod in found["items"] if pod["metadata"]["labels"].get("job-name") is None]

    def logs(self, pod: str, container: str) -> str:
        """What a container has said; empty while there is none."""
        return self.kubectl("logs", pod, "-c", container, may_fail=True)

    def starts(self) -> dict[str, int]:
        """How often each container that should run was started again, by pod and name."""
        return {
            f"{pod['metadata']['name']}/{one['name']}": one["restartCount"]
            for pod in self.pods()
            for one in pod["status"].get("containerStatuses", [])
        }

    def wait_until_ready(self) -> None:
        """Every pod that should run."""
        for kind in ("deployment", "statefulset"):
            names = self.kubectl("get", kind, "-o", "name").split()
            for name in names:
                if "validator" in name:  # updated by hand, which `rollout status` does not know
                    self.kubectl(
                        "wait", "--for=condition=Ready", f"pod/{name.rpartition('/')[2]}-0", "--timeout=300s"
                    )
                else:
                    self.kubectl("rollout", "status", name, "--timeout=300s")

    def note(self, figure: str, bar: str, measured: str, is_met: bool) -> None:
        """A row, told at once."""
        measured = " ".join(measured.split())
        self.rows.append(Row(figure, bar, measured, is_met))
        say(f"{'met   ' if is_met else 'MISSED'} {figure}: {measured} (bar: {bar})")


def values(cluster: Cluster) -> tuple[str, ...]:
    """What every install and upgrade is given: a second gateway, so that the loss of one stops no client, and
    metrics for this machine."""
    chosen = ("--set", f"images.tag={cluster.tag}", "--set", "services.gateway.replicas=2")
    readers = json.dumps([{"ipBlock": {"cidr": f"{own_address(cluster)}/32"}}])
    metrics = ("--set-json", f"networkPolicies.metricsFrom={readers}")
    more = ("-f", str(cluster.more_values)) if cluster.more_values else ()
    return ("-f", str(cluster.federation / "values.yaml"), *more, *chosen, *metrics)


def own_address(cluster: Cluster) -> str:
    """Of this machine, as the node sees it."""
    shown = "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}"
    node = cluster.run("kubectl", "get", "nodes", "-o", shown)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as chosen:
        chosen.connect((node, 9))  # sends nothing: it chooses the route
        return str(chosen.getsockname()[0])


def create_unit(cluster: Cluster, code: str) -> int:
    """Height of the block that has it: a transaction that is final."""
    made = cluster.icn("unit", "create", code, "--as", "harvest-farm", "--scale", "0", "--floor=-1")
    return int(made["height"])


def load_into_node(cluster: Cluster, *images: str) -> None:
    """From the builder, so that pods can be of them."""
    save = f"/usr/bin/docker save {' '.join(images)} | {cluster.directory}/load-image -"
    cluster.run("bash", "-o", "pipefail", "-c", save)


def delete_at_once(cluster: Cluster, pod: str) -> None:
    """As a node that is gone."""
    cluster.kubectl("delete", "pod", pod, "--grace-period=0", "--force", may_fail=True)


def wait_for(is_so: Callable[[], bool], what: str, seconds_max: float = 180.0) -> None:
    """Return when it is so. Raises Failed."""
    deadline = time.monotonic() + seconds_max
    while not is_so():
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds_max:.0f} s for {what}")
        time.sleep(1)


def settled(cluster: Cluster) -> tuple[int, str]:
    """Height and state root that all validators stand at, with nobody writing."""
    found: set[tuple[Any, ...]] = set()

    def is_settled() -> bool:
        seats = cluster.icn("status")["validators"]
        found.clear()
        found.update((one["final_height"], one["executed_height"], one["state_root"]) for one in seats)
        return len(found) == 1 and len(seats) == len(SEATS)

    wait_for(is_settled, "the validators to come to one root")
    _, height, root = found.pop()
    return int(height), str(root)


def roots_at(cluster: Cluster, height: int) -> set[str]:
    """What the validators have as the root after a block: an edge of the epoch changes the newest one."""
    query = ROOT_AT.format(height)
    return {ask_postgres(cluster, f"icn-validator-{seat}-0", query) for seat in SEATS}


def ask_postgres(cluster: Cluster, pod: str, query: str) -> str:
    """One value of a database, as its administrator."""
    psql = ("sh", "/etc/postgresql/administrator.sh", "psql", "-qtAc", query)
    return cluster.kubectl("exec", pod, "-c", "postgres", "--", *psql).strip()


def say(text: str) -> None:
    """Progress, beside the table."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

"""Installs the chart on a real Kubernetes and holds it to what it must reach: ``make cluster-test``.

The cluster is that of ``CLUSTER_DIR`` (../shared/cluster where it is not set): one node on this machine,
started here if it does not run. Prints a table of bars and what was measured; exit status 1 where one is
missed. Single steps: ``python -m scripts.cluster_test --work DIR --only install --only policies``.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from icn_client import transactions
from icn_client.acting import Actor, now_ms
from icn_client.cluster_files import SHARED_ROLES
from icn_client.connection import NetworkFile, connect
from icn_client.platforms import open_founders
from icn_client.transactions import KeyPair, new_identifier
from icn_localnet.network import Founder
from icn_localnet.pytest_plugin import FounderKeys

from e2e.doors import RestDoor
from e2e.stories import founder_acting, tell
from scripts.images import images

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "helm" / "icn"
RELEASE = NAMESPACE = "icn"
SEATS = range(4)
INSTALL_SECONDS_BAR = 150.0
CHAIN_GAP_SECONDS_BAR = 5.0
MEMORY_BYTES_BAR = 4 * 1024**3
COMMAND_SECONDS_MAX = 900.0
TRANSFERS_AT_ONCE = 4
TRANSFER_PAUSE_SECONDS = 0.2
EXPIRY_MS = 600_000
LOAD_LANE = 14
"""Stories and people use others."""
LOAD_BEGINS_SECONDS_MAX = 60.0
START_AGAIN_SECONDS_MAX = 180.0


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
    environment: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

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

    def kubectl(self, *arguments: str, **how: Any) -> str:
        """In the release's namespace."""
        return self.run("kubectl", "-n", NAMESPACE, *arguments, **how)

    def helm(self, *arguments: str, **how: Any) -> str:
        """In the release's namespace."""
        return self.run("helm", "-n", NAMESPACE, *arguments, **how)

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


class ClusterUnderTest:
    """The release as the stories want a platform."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.directory = cluster.zone
        self.gateway_url = cluster.gateway_url
        self.founders = [
            FounderKeys(
                Founder(one.name, [dict(key.public_keys) for key in one.keys], one.threshold, one.principal),
                dict(one.keys[0].signing_keys),
            )
            for one in open_founders(cluster.federation)
        ]

    def kill_process(self, name: str) -> None:
        """A part as the stories name it; returns when it is back."""
        kind, _, seat = name.partition("-")
        if kind == "vm":  # one process of a validator's pod
            self._cluster.kubectl(
                "exec", f"icn-validator-{seat}-0", "-c", "vm", "--", "kill", "1", may_fail=True
            )
            time.sleep(3)
        elif kind == "validator":
            delete_at_once(self._cluster, f"icn-{name}-0")
        else:
            label = f"app.kubernetes.io/component={name}"
            self._cluster.kubectl("delete", "pod", "-l", label, "--grace-period=0", "--force")
        self._cluster.wait_until_ready()


def delete_at_once(cluster: Cluster, pod: str) -> None:
    """As a node that is gone."""
    cluster.kubectl("delete", "pod", pod, "--grace-period=0", "--force", may_fail=True)


# -- steps


def bring_up(cluster: Cluster) -> None:
    """Programs, base images and the cluster itself; what is there stays."""
    cluster.script("tools", "--metrics")
    cluster.script("base-image")
    cluster.environment["KUBECONFIG"] = cluster.script("up").splitlines()[-1]
    cluster.environment["DOCKER_HOST"] = cluster.script("builder").splitlines()[-1]


def load_images(cluster: Cluster) -> None:
    """Build all and load them into the node."""
    cluster.run(
        sys.executable, "-m", "scripts.images", "--docker", "/usr/bin/docker", "--tag", cluster.tag,
        seconds=1800,
    )  # fmt: skip
    names = " ".join(f"icn/{name}:{cluster.tag}" for name in images())
    cluster.run(
        "bash", "-o", "pipefail", "-c", f"/usr/bin/docker save {names} | {cluster.directory}/load-image -"
    )


def validate(cluster: Cluster) -> None:
    """The API server takes every object of the examples and overlays, strictly, and no misspelt one."""
    namespace = "icn-validate"
    definitions = cluster.cache / "definitions"
    for folder in sorted(definitions.iterdir()):
        cluster.run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", str(folder))
    cluster.run("kubectl", "delete", "namespace", namespace, "--ignore-not-found", "--wait=true")
    cluster.run("kubectl", "create", "namespace", namespace)
    environment = {**cluster.environment, "ICN_VALIDATE_NAMESPACE": namespace}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "deploy/tests"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    cluster.run("kubectl", "delete", "namespace", namespace, "--wait=false")
    said = done.stdout.strip().rpartition("\n")[2].strip("= ")
    is_met = done.returncode == 0 and "skipped" not in said
    if not is_met:
        say(done.stdout[-3000:])
    cluster.note(
        "objects of 6 examples and 3 overlays, CRDs included, held to the API server",
        "0 errors",
        said,
        is_met,
    )


def install(cluster: Cluster) -> None:
    """From an empty namespace to a green `helm test`."""
    cluster.run("kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=true")
    cluster.script("up")  # offers the volumes again that a release before has left
    shutil.rmtree(cluster.federation, ignore_errors=True)
    shutil.rmtree(cluster.zone, ignore_errors=True)
    cluster.icn("cluster", "prepare", str(cluster.federation), "--zone", "Federation on a cluster")
    cluster.run("kubectl", "create", "namespace", NAMESPACE)
    cluster.run("kubectl", "label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    cluster.kubectl("apply", "-f", str(cluster.federation / "objects.json"))
    began = time.monotonic()
    cluster.helm("install", RELEASE, str(CHART), *values(cluster), "--wait", "--timeout", "5m")
    came_up = time.monotonic() - began
    make_tester(cluster)
    cluster.helm("test", RELEASE, "--timeout", "3m")
    seconds = time.monotonic() - began
    cluster.note(
        "install to `helm test` green, 4 validators",
        f"≤ {INSTALL_SECONDS_BAR:.0f} s",
        f"{seconds:.0f} s (all pods ready after {came_up:.0f} s)",
        seconds <= INSTALL_SECONDS_BAR,
    )


def values(cluster: Cluster) -> tuple[str, ...]:
    """What every install and upgrade is given: a second gateway, so that the loss of one stops no client."""
    chosen = ("--set", f"images.tag={cluster.tag}", "--set", "services.gateway.replicas=2")
    return ("-f", str(cluster.federation / "values.yaml"), *chosen)


def make_tester(cluster: Cluster) -> None:
    """A member for `helm test`, as docs/operating/install.md shows."""
    cluster.environment |= cluster.whose_keys
    cluster.icn("connect", cluster.gateway_url, "--genesis", str(cluster.federation / "genesis.json"))
    keystore = cluster.work / "tester"
    shutil.rmtree(keystore, ignore_errors=True)
    keystore.mkdir(mode=0o700)
    (keystore / "passphrase").write_text(secrets.token_urlsafe(), "ascii")
    own = ("--keystore", str(keystore))
    cluster.icn("keys", "new", "tester", *own)
    public = keystore / "public.json"
    public.write_text(cluster.icn_text("keys", "export", "tester", *own), "utf-8")
    cluster.icn("account", "admit", str(public), "--as", "sunrise-bakery")
    unit = cluster.icn("unit", "create", "TEST", "--as", "sunrise-bakery", "--scale", "2", "--floor=-1")[
        "unit"
    ]
    opened = [cluster.icn("account", "open", "--unit", unit, "--as", "tester", *own) for _ in range(2)]
    cluster.kubectl(
        "create", "secret", "generic", "icn-tester",
        f"--from-file=tester.json={keystore / 'tester.json'}",
        f"--from-file=passphrase={keystore / 'passphrase'}",
        f"--from-literal=first={opened[0]['account']}",
        f"--from-literal=second={opened[1]['account']}",
    )  # fmt: skip


def check_requests(cluster: Cluster) -> None:
    """What the evaluation profile asks of a node."""
    total = 0
    for pod in cluster.pods():
        spec = pod["spec"]
        sidecars = [one for one in spec.get("initContainers", []) if one.get("restartPolicy") == "Always"]
        for container in (*spec["containers"], *sidecars):
            total += in_bytes(container["resources"]["requests"]["memory"])
    cluster.note(
        "memory requested by the evaluation profile",
        f"≤ {MEMORY_BYTES_BAR / 1024**3:.0f} GiB",
        f"{total / 1024**2:,.0f} MiB",
        total <= MEMORY_BYTES_BAR,
    )


def in_bytes(quantity: str) -> int:
    """Of a quantity with a binary suffix."""
    units = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}
    return int(quantity[:-2]) * units[quantity[-2:]] if quantity[-2:] in units else int(quantity)


PROBE = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def reaches(target):
    try:
        socket.create_connection(target, timeout=2).close()
        return True
    except OSError:
        return False
targets = [tuple(one) for one in json.loads(sys.argv[1])]
with ThreadPoolExecutor(64) as pool:
    print(json.dumps(list(pool.map(reaches, targets))))
"""


def check_policies(cluster: Cluster) -> None:
    """Every pod tries every port of every other; the answers are those of the list of calls."""
    pods = {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod for pod in cluster.pods()}
    ports = {"gateway": [8080, 9100], "postgres": [5432], "nats": [4222, 8222]}
    ports |= {f"validator-{seat}": [7001, 7002, 9101, 9102, 9103] for seat in SEATS}
    targets = [(name, port) for name in pods for port in ports.get(name, [7100, 9100])]
    tried = wrong = 0
    for caller, pod in pods.items():
        asked = [(name, port) for name, port in targets if name != caller]
        addresses = [(pods[name]["status"]["podIP"], port) for name, port in asked]
        answers = json.loads(
            cluster.kubectl(
                "exec",
                pod["metadata"]["name"],
                "-c",
                pod["spec"]["containers"][0]["name"],
                "--",
                "python3",
                "-c",
                PROBE,
                json.dumps(addresses),
            )
        )
        for (name, port), reaches in zip(asked, answers, strict=True):
            tried += 1
            if reaches != may_call(caller, name, port):
                wrong += 1
                say(f"{caller} {'reaches' if reaches else 'does not reach'} {name}:{port}")
    cluster.note(
        "network policies, every pair of pods", "all as listed", f"{tried - wrong} of {tried}", not wrong
    )


BUS_PROBE = """
import asyncio, json, os, sys
from pathlib import Path
from icn_kit.bus import _tls_context
from icn_kit.tls import TlsFiles
import nats
told = {name.removeprefix("ICN_IDENTITY_"): value for name, value in os.environ.items()}
refused = []
async def main():
    async def on_error(error):
        refused.append(str(error))
    names = ("TLS_CERTIFICATE", "TLS_KEY", "TLS_AUTHORITY")
    bus = await nats.connect(
        told["NATS_URL"], user=told["NATS_USER"], password=told["NATS_PASSWORD"], error_cb=on_error,
        tls=_tls_context(TlsFiles(*(Path(told[name]) for name in names))), allow_reconnect=False,
    )
    answers = {}
    for subject in json.loads(sys.argv[1]):
        refused.clear()
        await bus.publish(subject, b"{}")
        await bus.flush()
        await asyncio.sleep(0.2)
        answers[subject] = any("permissions violation" in one.lower() for one in refused)
    await bus.close()
    print(json.dumps(answers))
asyncio.run(main())
"""
BUS_REFUSED = {
    "icn.ledger.v1.transfer_committed": True,
    "$JS.API.STREAM.DELETE.ICN_LEDGER": True,
    "$JS.API.STREAM.PURGE.ICN_IDENTITY": True,
    "$JS.API.STREAM.CREATE.ANYTHING": True,
    "$SYS.REQ.SERVER.PING": True,
    "$JS.API.INFO": False,
    "$JS.API.STREAM.INFO.ICN_LEDGER": False,
}
"""What the bus refuses to identity's user."""


def check_bus(cluster: Cluster) -> None:
    """A service writes its own subjects, and no other's."""
    text = cluster.kubectl(
        "exec", "deploy/icn-identity", "-c", "identity", "--", "/opt/icn/venv/bin/python", "-c", BUS_PROBE,
        json.dumps(list(BUS_REFUSED)),
    )  # fmt: skip
    found = json.loads(text.splitlines()[-1])
    wrong = {subject: refused for subject, refused in found.items() if refused != BUS_REFUSED[subject]}
    cluster.note(
        "what the bus allows identity",
        "its own",
        f"{len(found) - len(wrong)} of {len(found)} as listed {wrong or ''}",
        not wrong,
    )


def may_call(caller: str, called: str, port: int) -> bool:
    """The rules of the platform, said independently of the chart."""
    kind, called_kind = caller.partition("-")[0], called.partition("-")[0]
    is_service = kind in ("gateway", "identity", "governance", "marketplace", "reputation")
    if called_kind == "gateway":
        return False  # members come from outside; no part calls it
    if called_kind == "validator":
        return (kind == "validator" and port == 7001) or (is_service and port in (7001, 7002))
    if called_kind == "nats":
        return port == 4222 and (is_service or kind == "validator")
    if called_kind == "postgres":
        return port == 5432 and is_service
    return kind == "gateway" and port == 7100


def tell_stories(cluster: Cluster) -> None:
    """Through the gateway, and again while each part is deleted once."""
    from e2e.test_credit import LANE as CREDIT_LANE
    from e2e.test_credit import credit
    from e2e.test_delegates import LANE as DELEGATES_LANE
    from e2e.test_delegates import elect

    platform = ClusterUnderTest(cluster)
    for name, lane, story in (("credit", CREDIT_LANE, credit), ("delegates", DELEGATES_LANE, elect)):
        began = time.monotonic()
        tell(platform, lane, story)
        cluster.note(
            f"story {name}, with each part deleted once",
            "same numbers",
            f"{time.monotonic() - began:.0f} s",
            True,
        )


@dataclass
class Load:
    """Transfers one after the other on a few lanes, each until it is final."""

    committed: list[float] = field(default_factory=list)
    """When each was known to be final, in seconds of the machine's clock."""
    transactions: list[bytes] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def longest_gap_seconds(self) -> float:
        """Between two that became final."""
        times = sorted(self.committed)
        return max((later - earlier for earlier, later in pairwise(times)), default=float("inf"))


@contextmanager
def steady_load(cluster: Cluster) -> Iterator[Load]:
    """As long as the block lasts."""
    load, stop = Load(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_load(cluster, load, stop)))
    thread.start()
    try:
        deadline = time.monotonic() + LOAD_BEGINS_SECONDS_MAX
        while len(load.committed) < 10 * TRANSFERS_AT_ONCE:
            if time.monotonic() > deadline or not thread.is_alive():
                raise Failed(f"there was no load: {load.failures}")
            time.sleep(TRANSFER_PAUSE_SECONDS)
        yield load
    finally:
        stop.set()
        thread.join()
    if load.failures:
        say(f"under load: {load.failures[:3]}")


async def _load(cluster: Cluster, load: Load, stop: threading.Event) -> None:
    platform = ClusterUnderTest(cluster)
    network = NetworkFile.load(platform.directory)
    async with RestDoor(platform.gateway_url) as door, connect(network) as connection:
        sponsor = await founder_acting(connection, platform.founders[0], LOAD_LANE)

        async def send(actor: Actor, *messages: Any) -> Any:
            expire = now_ms() + EXPIRY_MS
            signed = actor.sign(messages, expire)
            ended = await door.transact(signed, expire)
            load.transactions.append(signed.transaction_id)
            load.committed.append(time.monotonic())
            return ended

        unit = new_identifier()
        await send(sponsor, transactions.create_unit(unit, "LOAD", 2, -1_000_000_00))

        async def one(_number: int) -> None:
            key, who = KeyPair.generate(), new_identifier()
            opening = transactions.open_controller(who, 1, [transactions.controller_key(key.public_keys)])
            async with turn:
                await send(sponsor, opening)
            actor = Actor(network.genesis.hash, who, sponsor.principal, [key])
            mine, other = new_identifier(), new_identifier()
            await send(actor, transactions.open_account(mine, unit))
            await send(actor, transactions.open_account(other, unit))
            while not stop.is_set():
                try:
                    ended = await send(actor, transactions.transfer(mine, other, 1))
                    if ended.status != "applied":
                        load.failures.append(f"{ended.status} {ended.reason}")
                        return
                except Exception as error:  # noqa: BLE001 - counted, and told with the row
                    load.failures.append(repr(error)[:300])
                    return
                await asyncio.sleep(TRANSFER_PAUSE_SECONDS)

        turn = asyncio.Lock()
        await asyncio.gather(*(one(number) for number in range(TRANSFERS_AT_ONCE)))


def roll_under_load(cluster: Cluster) -> None:
    """An upgrade, a rollback, and each pod deleted in turn, while transfers go on."""
    gaps: dict[str, float] = {}
    sent: list[bytes] = []
    failures: list[str] = []

    def during(name: str, work: Callable[[], object]) -> None:
        with steady_load(cluster) as load:
            work()
        gaps[name] = load.longest_gap_seconds
        sent.extend(load.transactions)
        failures.extend(load.failures)
        say(f"{name}: {len(load.committed)} transfers, longest gap {load.longest_gap_seconds:.1f} s")

    def upgrade() -> None:
        cluster.helm(
            "upgrade", RELEASE, str(CHART), *values(cluster), "--wait", "--timeout", "15m",
            "--set-string", "validators.environment.ICN_TEST_REVISION=2",
            *(f"--set-string=services.{name}.environment.ICN_TEST_REVISION=2" for name in SHARED_ROLES),
        )  # fmt: skip
        cluster.wait_until_ready()

    def rollback() -> None:
        cluster.helm("rollback", RELEASE, "--wait", "--timeout", "15m")
        cluster.wait_until_ready()

    def delete_each() -> None:
        for pod in cluster.pods():
            delete_at_once(cluster, pod["metadata"]["name"])
            time.sleep(1)
            cluster.wait_until_ready()
            time.sleep(3)

    during("rolling upgrade", upgrade)
    during("rollback", rollback)
    during("forced deletion of each pod in turn", delete_each)
    lost = asyncio.run(_missing(cluster, sent))
    cluster.note(
        "upgrade, rollback, forced deletions under load: calls that failed after retry",
        "0",
        f"{len(failures)} of {len(sent)}",
        not failures,
    )
    cluster.note("the same: acknowledged and lost", "0", str(lost), not lost)
    longest = max(gaps.values())
    cluster.note(
        "the same: longest time without a final transfer",
        f"≤ {CHAIN_GAP_SECONDS_BAR:.0f} s",
        "; ".join(f"{name} {seconds:.1f} s" for name, seconds in gaps.items()),
        longest <= CHAIN_GAP_SECONDS_BAR,
    )


async def _missing(cluster: Cluster, identifiers: Sequence[bytes]) -> int:
    """How many of them the platform does not know as committed."""
    missing = 0
    async with RestDoor(cluster.gateway_url) as door:
        for identifier in identifiers:
            try:
                await door.transaction(identifier)
            except Exception:  # noqa: BLE001 - whatever the answer is, it is not there
                missing += 1
    return missing


def kill_everything(cluster: Cluster) -> None:
    """SIGKILL to every process of the release at once, as a power cut; all starts again by itself."""
    with steady_load(cluster) as load:
        time.sleep(5)
    root = settled_root(cluster)
    ctr = ("ctr", "--address", str(cluster.state / "run" / "containerd.sock"), "--namespace", "k8s.io")
    named = f'labels."io.kubernetes.pod.namespace"=={NAMESPACE},labels."io.cri-containerd.kind"==container'
    containers = cluster.run(*ctr, "containers", "ls", "-q", named).split()
    before = cluster.starts()
    began = time.monotonic()
    with ThreadPoolExecutor(len(containers)) as pool:
        kill = (*ctr, "tasks", "kill", "--signal", "SIGKILL")
        list(pool.map(lambda one: cluster.run(*kill, one, may_fail=True), containers))
    while not all(count > before.get(pod, 0) for pod, count in cluster.starts().items()):
        if time.monotonic() - began > START_AGAIN_SECONDS_MAX:
            raise Failed(f"not everything was killed: {before} then {cluster.starts()}")
        time.sleep(0.5)
    cluster.wait_until_ready()
    after = settled_root(cluster)
    lost = asyncio.run(_missing(cluster, load.transactions))
    cluster.note(
        "kill -9 of everything: the same root",
        "yes",
        f"{'yes' if after == root else f'{root} then {after}'}, back after {time.monotonic() - began:.0f} s",
        after == root,
    )
    cluster.note("the same: acknowledged and lost", "0", f"{lost} of {len(load.transactions)}", not lost)


def settled_root(cluster: Cluster) -> str:
    """The state root that all validators stand at, with nobody writing."""
    found: set[tuple[Any, ...]] = set()

    def is_settled() -> bool:
        seats = cluster.icn("status")["validators"]
        found.clear()
        found.update((one["final_height"], one["executed_height"], one["state_root"]) for one in seats)
        return len(found) == 1 and len(seats) == len(SEATS)

    wait_for(is_settled, "the validators to come to one root")
    return str(found.pop()[2])


STREAMS_PROBE = """
import json, urllib.request
shown = json.load(urllib.request.urlopen("http://127.0.0.1:8222/jsz?accounts=true&streams=true", timeout=5))
details = [one for account in shown["account_details"] for one in account.get("stream_detail", [])]
print(json.dumps({one["name"]: one["state"]["messages"] for one in details}))
"""


def events_on_the_bus(cluster: Cluster) -> dict[str, int]:
    """Messages per stream of a service."""
    text = cluster.kubectl("exec", "icn-nats-0", "--", "python3", "-c", STREAMS_PROBE)
    return {name: count for name, count in json.loads(text).items() if name.startswith("ICN_")}


def wipe_events(cluster: Cluster) -> None:
    """The bus loses its volume while transfers go on; every stream is made again from Postgres."""
    with steady_load(cluster) as load:
        before = events_on_the_bus(cluster)
        cluster.kubectl("exec", "icn-nats-0", "--", "sh", "-c", "rm -rf /var/lib/nats/*")
        delete_at_once(cluster, "icn-nats-0")
        time.sleep(1)
        cluster.wait_until_ready()
        began = time.monotonic()
        after: dict[str, int] = {}
        while any(after.get(name, 0) < count for name, count in before.items()):
            if time.monotonic() - began > COMMAND_SECONDS_MAX:
                break
            time.sleep(1)
            after = events_on_the_bus(cluster)
    missing = {
        name: count - after.get(name, 0) for name, count in before.items() if after.get(name, 0) < count
    }
    lost = asyncio.run(_missing(cluster, load.transactions))
    cluster.note(
        "NATS volume wiped under load: events missing in the streams made again",
        "0",
        f"{sum(missing.values())} of {sum(before.values())}, after {time.monotonic() - began:.0f} s",
        not missing,
    )
    cluster.note(
        "the same: calls failed after retry; acknowledged and lost",
        "0; 0",
        f"{len(load.failures)}; {lost} of {len(load.transactions)}",
        not load.failures and not lost,
    )


def lose_volumes(cluster: Cluster) -> None:
    """A seat loses its database and its record: it must not vote anew, and follows with a new key."""
    pod = "icn-validator-3-0"
    claims = ("record-icn-validator-3-0", "postgres-icn-validator-3-0")
    cluster.kubectl("delete", "pvc", *claims, "--wait=false")
    delete_at_once(cluster, pod)
    wait_for(lambda: "this validator must not vote" in cluster.logs(pod, "bring-key"), "the seat to refuse")
    why = cluster.logs(pod, "bring-key")
    cluster.note(
        "a seat that lost both volumes does not vote anew, and says why",
        "refused",
        "refused" if "has to sign a new consensus key" in why else why[-200:],
        "has to sign a new consensus key" in why,
    )
    status = cluster.icn("status")
    organization = next(
        one for one in open_founders(cluster.federation) if one.name == "wheelwright-workshop"
    )
    key, offer = cluster.work / "consensus.json", cluster.work / "offer.json"
    key.unlink(missing_ok=True)
    made = cluster.icn_text(
        "validators", "key", "new", "--for", organization.principal.hex(), "--out", str(key)
    )
    offer.write_text(made, "utf-8")
    encoded = base64.b64encode(key.read_bytes()).decode("ascii")
    patch = json.dumps({"data": {"consensus.json": encoded}})
    cluster.kubectl("patch", "secret", "icn-validator-3", "--type=merge", "-p", patch)
    cluster.icn("validators", "rekey", "--as", organization.name, "--offer", str(offer))
    delete_at_once(cluster, pod)
    cluster.wait_until_ready()
    height = max(one["final_height"] for one in status["validators"] if "final_height" in one)

    def follows() -> bool:
        shown = {one["seat"]: one for one in cluster.icn("status")["validators"]}
        return int(shown[3].get("executed_height", 0)) >= int(height)

    wait_for(follows, "the seat to follow with its new key")
    cluster.note(
        "the same seat with a new key", "follows", "follows, and votes from the epoch that names it", True
    )


def wait_for(is_so: Callable[[], bool], what: str, seconds_max: float = 180.0) -> None:
    """Return when it is so. Raises Failed."""
    deadline = time.monotonic() + seconds_max
    while not is_so():
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds_max:.0f} s for {what}")
        time.sleep(1)


def keep(cluster: Cluster) -> None:
    """Upgrades that are told nothing change nothing; what is installed anew on kept volumes goes on."""
    before = {pod["metadata"]["uid"] for pod in cluster.pods()}
    for _ in range(3):
        cluster.helm("upgrade", RELEASE, str(CHART), "--wait", "--timeout", "10m")
    after = {pod["metadata"]["uid"] for pod in cluster.pods()}
    cluster.note(
        "`helm upgrade` without flags, three times",
        "0 pods restarted",
        str(len(after - before)),
        before == after,
    )
    root = settled_root(cluster)
    cluster.helm("uninstall", RELEASE, "--wait", "--timeout", "5m")
    cluster.helm("install", RELEASE, str(CHART), *values(cluster), "--wait", "--timeout", "5m")
    cluster.icn("connect", cluster.gateway_url, "--genesis", str(cluster.federation / "genesis.json"))
    found = settled_root(cluster)
    cluster.note(
        "installed anew on kept volumes", "the same root", "yes" if found == root else found, found == root
    )


SENTENCE_CHARACTERS = 200
"""Of a refusal, shown in the table."""
REFUSALS: dict[str, tuple[tuple[str, ...], str]] = {
    "fewer than 4 validators": (
        ("--set", "validators.seats={0,1,2}"),
        "fewer than 4 cannot bear that one fails",
    ),
    "images of no version": (("--set", "images.tag=latest"), "images.tag"),
    "an unknown value": (("--set", "validators.seat=1"), "seat"),
    "a missing Secret": (
        ("--set", "secrets.gateway=nowhere"),
        "does not have what the pods need: Secret nowhere",
    ),
}


def refuse(cluster: Cluster) -> None:
    """What cannot work is refused by a sentence before anything is changed."""
    history = cluster.helm("history", RELEASE, "-o", "json")
    for name, (flags, sentence) in REFUSALS.items():
        said = cluster.refusal("upgrade", RELEASE, str(CHART), *values(cluster), *flags)
        cluster.note(
            f"refused: {name}", "a sentence", said[-SENTENCE_CHARACTERS:] or "accepted", sentence in said
        )
    said = cluster.refusal("install", "second", str(CHART), *values(cluster))
    sentence = f"namespace {NAMESPACE} has the release {RELEASE} already"
    cluster.note(
        "refused: a second release in the namespace",
        "a sentence",
        said[:SENTENCE_CHARACTERS] or "accepted",
        sentence in said,
    )
    same = cluster.helm("history", RELEASE, "-o", "json") == history
    cluster.note("the same: what they changed", "nothing", "nothing" if same else "the history", same)


def uninstall(cluster: Cluster) -> None:
    """Nothing of the release is left but its volumes and what it was given."""
    cluster.helm("uninstall", RELEASE, "--wait", "--timeout", "5m")
    wait_for(lambda: not left_over(cluster), "the pods to end", 90)
    cluster.note("objects left by uninstall", "none", left_over(cluster) or "none", not left_over(cluster))


def left_over(cluster: Cluster) -> str:
    """Names of the objects of the release that are there."""
    return " ".join(
        cluster.kubectl("get", "all", "-l", "app.kubernetes.io/instance=icn", "-o", "name").split()
    )


STEPS: dict[str, Callable[[Cluster], None]] = {
    "up": bring_up,
    "images": load_images,
    "validate": validate,
    "install": install,
    "requests": check_requests,
    "policies": check_policies,
    "bus": check_bus,
    "stories": tell_stories,
    "rolling": roll_under_load,
    "killed": kill_everything,
    "events": wipe_events,
    "lost": lose_volumes,
    "kept": keep,
    "refused": refuse,
    "uninstall": uninstall,
}


def main() -> None:
    """Run the steps; a plain closing line tells how many bars were met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", choices=list(STEPS), help="these steps, on what is there")
    parser.add_argument("--tag", default="dev", help="of the images")
    parser.add_argument("--work", type=Path, help="where the zone's files are, with --only")
    options = parser.parse_args()
    directory = Path(os.environ.get("CLUSTER_DIR", ROOT.parent / "shared" / "cluster"))
    if not directory.is_dir():
        print(f"cluster tests skipped: no {directory}; set CLUSTER_DIR")
        return
    cache = Path(os.environ.get("CLUSTER_CACHE", Path.home() / ".cache" / "icn-cluster"))
    work = options.work or Path(tempfile.mkdtemp(prefix="icn-cluster-"))
    work.mkdir(exist_ok=True)
    environment = {**os.environ, "PATH": f"{cache / 'bin'}:{os.environ['PATH']}"}
    state = Path(os.environ.get("CLUSTER_STATE", "/var/lib/icn-cluster"))
    environment.setdefault("KUBECONFIG", str(state / "admin.kubeconfig"))
    environment.setdefault("DOCKER_HOST", f"unix://{state / 'run' / 'docker.sock'}")
    cluster = Cluster(directory, cache, state, work, options.tag, environment)
    cluster.environment |= cluster.whose_keys
    failed = 0
    for name in options.only or STEPS:
        say(f"-- {name}")
        try:
            STEPS[name](cluster)
        except (Failed, AssertionError, subprocess.TimeoutExpired) as error:
            failed += 1
            say(f"{name} failed: {error}")
            break
    print("\n| figure | bar | measured | |\n|---|---|---|---|")
    for row in cluster.rows:
        print(f"| {row.figure} | {row.bar} | {row.measured} | {'met' if row.is_met else '**missed**'} |")
    missed = failed + sum(not row.is_met for row in cluster.rows)
    print(f"\n{len(cluster.rows) - missed + failed} passed, {missed} failed")
    raise SystemExit(1 if missed else 0)


def say(text: str) -> None:
    """Progress, beside the table."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

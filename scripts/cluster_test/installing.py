"""From nothing to a green `helm test`, and back to nothing."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
import time
from collections import defaultdict

from icn_chain.protocols import FIRST_PROTOCOL

from scripts.cluster_test.release import (
    CHART,
    EPOCH_SECONDS,
    RELEASE,
    ROOT,
    Cluster,
    load_into_node,
    say,
    values,
    wait_for,
)
from scripts.images import images

INSTALL_SECONDS_BAR = 150.0
MEMORY_BYTES_BAR = 4 * 1024**3
KINDS = (
    "configmap", "secret", "serviceaccount", "role", "rolebinding", "networkpolicy", "poddisruptionbudget",
    "ingress",
)  # fmt: skip
"""Of the chart's objects, those that `kubectl get all` leaves out."""
INSTEAD_OF_A_CLUSTER = (
    "test_every_object_of_every",
    "test_a_misspelt_field_is_caught",
    "test_a_field_that_is_there_twice",
    "test_a_kind_without_a_schema",
)
"""Tests that ask kubeconform what the API server is asked here; the dashboards have a step of their own."""
OF_A_CLUSTER = f"not ({' or '.join(('test_dashboards', *INSTEAD_OF_A_CLUSTER))})"


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
    load_into_node(cluster, *(f"icn/{name}:{cluster.tag}" for name in images()))


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
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "deploy/tests", "-k", OF_A_CLUSTER],
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
    cluster.forget(cluster.namespace, cluster.restored_namespace)
    shutil.rmtree(cluster.federation, ignore_errors=True)
    shutil.rmtree(cluster.zone, ignore_errors=True)
    named = ("--zone", "Federation on a cluster", "--namespace", cluster.namespace)
    founded = ("--co-ops", "5", "--epoch", f"{EPOCH_SECONDS}s", "--protocol-version", f"{FIRST_PROTOCOL}")
    cluster.icn("cluster", "prepare", str(cluster.federation), *named, *founded)
    cluster.run("kubectl", "create", "namespace", cluster.namespace)
    cluster.run(
        "kubectl", "label", "namespace", cluster.namespace, "pod-security.kubernetes.io/enforce=restricted"
    )
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
    total = sum(requested_bytes(cluster).values())
    cluster.note(
        "memory requested by the evaluation profile",
        f"≤ {MEMORY_BYTES_BAR / 1024**3:.0f} GiB",
        f"{total / 1024**2:,.0f} MiB",
        total <= MEMORY_BYTES_BAR,
    )


def requested_bytes(cluster: Cluster) -> dict[str, int]:
    """Of memory, by container; those of all seats, and of all pods of a service, together."""
    found: dict[str, int] = defaultdict(int)
    for pod in cluster.pods():
        spec = pod["spec"]
        sidecars = [one for one in spec.get("initContainers", []) if one.get("restartPolicy") == "Always"]
        for container in (*spec["containers"], *sidecars):
            name = container_name(pod["metadata"]["name"], container["name"])
            found[name] += in_bytes(container["resources"]["requests"]["memory"])
    return dict(found)


def container_name(pod: str, container: str) -> str:
    """As a table shows it."""
    return f"validator {container}" if "validator" in pod else container


def in_bytes(quantity: str) -> int:
    """Of a quantity with a binary suffix."""
    units = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}
    return int(quantity[:-2]) * units[quantity[-2:]] if quantity[-2:] in units else int(quantity)


def uninstall(cluster: Cluster) -> None:
    """Nothing of the release is left but its volumes and what it was given."""
    cluster.helm("uninstall", RELEASE, "--wait", "--timeout", "5m")
    wait_for(lambda: not left_over(cluster), "the pods to end", 90)
    cluster.note("objects left by uninstall", "none", left_over(cluster) or "none", not left_over(cluster))


def left_over(cluster: Cluster) -> str:
    """Names of the objects of the release that are there."""
    of_the_release = "app.kubernetes.io/instance=icn"
    return " ".join(
        cluster.kubectl("get", ",".join(("all", *KINDS)), "-l", of_the_release, "-o", "name").split()
    )

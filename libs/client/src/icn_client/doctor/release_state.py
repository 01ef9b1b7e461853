"""What Kubernetes and the pods tell of a release, gathered before anything is judged."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from icn_client.doctor.kubectl import KubectlFailed, KubectlUnreachable
from icn_client.doctor.running import ProcessAnswer, parse_samples

NAME_LABEL: Final = "app.kubernetes.io/name"
INSTANCE_LABEL: Final = "app.kubernetes.io/instance"
COMPONENT_LABEL: Final = "app.kubernetes.io/component"
KIND_LABEL: Final = "icn.coop/kind"
KINDS: Final = (
    "pods",
    "statefulsets",
    "deployments",
    "jobs",
    "services",
    "persistentvolumeclaims",
    "configmaps",
    "networkpolicies",
    "poddisruptionbudgets",
    "horizontalpodautoscalers",
)
"""Of the release's own, by its labels."""
ALERTS_KIND: Final = "prometheusrules.monitoring.coreos.com"
LOG_LINES: Final = 40
LOGS_MAX: Final = 40
"""Containers that are not ready of which the end of the log is read."""
PROBES_AT_ONCE: Final = 6
CLOCK_CALL_SECONDS_MAX: Final = 1.0
"""A clock is known to half of the time that asking for it took."""
METRICS_PORTS: Final = {"consensus": 9101, "ledger": 9102, "vm": 9103}
"""Of a validator's containers; every service has 9100."""
SERVICE_METRICS_PORT: Final = 9100
PACKAGED: Final = frozenset(
    ("consensus", "ledger", "vm", "identity", "governance", "marketplace", "reputation", "gateway")
)
"""Containers that hold the service of their name."""
STREAMS_URL: Final = "http://127.0.0.1:8222/jsz?streams=true"
VALIDATORS_URL: Final = "http://127.0.0.1:8080/v1/validators"
GATEWAY_PORT: Final = 8080


class Asked(Protocol):
    """What is asked of Kubernetes; see `icn_client.doctor.kubectl.Kubectl`."""

    namespace: str

    def version(self) -> str:
        """Of the server, as ``1.34``."""
        ...

    def objects(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """By name."""
        ...

    def secret_keys(self) -> dict[str, frozenset[str]]:
        """By name of the Secret."""
        ...

    def certificates(self) -> dict[str, tuple[bytes, bytes]]:
        """Certificate and authorities, by name of the Secret."""
        ...

    def logs(self, pod: str, container: str, lines: int, *, is_previous: bool = False) -> str:
        """The last lines."""
        ...

    def probe(self, pod: str, container: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """See `icn_client.doctor.probe`."""
        ...


@dataclass(slots=True)
class ReleaseState:
    """Everything that was told; what was not is in ``faults``."""

    release: str
    namespace: str
    version: str = ""
    """Of Kubernetes."""
    objects: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By kind, as the API has them."""
    secret_keys: dict[str, frozenset[str]] = field(default_factory=dict)
    certificates: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    last_lines: dict[tuple[str, str], str] = field(default_factory=dict)
    """Of the logs of containers that are not ready, by pod and container."""
    answers: list[ProcessAnswer] = field(default_factory=list)
    metrics: dict[str, str] = field(default_factory=dict)
    """By pod and container, as Prometheus would read them."""
    validators: dict[str, Any] = field(default_factory=dict)
    """What a gateway says of the seats."""
    streams: dict[str, int] = field(default_factory=dict)
    """Messages of each stream of a bundled NATS."""
    has_fence: bool | None = None
    """Whether a call that the policies forbid failed; None where it could not be tried."""
    faults: dict[str, str] = field(default_factory=dict)
    """What could not be asked, and why."""

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The objects of a kind that could be read."""
        return self.objects.get(kind, [])

    @property
    def is_of_validators_alone(self) -> bool:
        """Whether the services are elsewhere (``services.enabled``)."""
        return "deployments" not in self.faults and not self.of("deployments")

    @property
    def validator_sets(self) -> list[dict[str, Any]]:
        """StatefulSets of seats."""
        return [
            one
            for one in self.of("statefulsets")
            if one["metadata"].get("labels", {}).get(KIND_LABEL) == "validator"
        ]


def read_release(asked: Asked, release: str) -> ReleaseState:
    """Ask for everything; what is refused is noted.

    Raises:
        KubectlUnreachable: there is no kubectl, or no cluster answers.
    """
    state = ReleaseState(release, asked.namespace)
    state.version = asked.version()
    selector = f"{NAME_LABEL}=icn,{INSTANCE_LABEL}={release}"
    for kind in KINDS:
        _note(state, kind, lambda kind=kind: state.objects.__setitem__(kind, asked.objects(kind, selector)))
    for kind in ("events", "storageclasses", ALERTS_KIND):
        _note(state, kind, lambda kind=kind: state.objects.__setitem__(kind, asked.objects(kind)))
    _note(state, "secrets", lambda: state.secret_keys.update(asked.secret_keys()))
    _note(state, "certificates", lambda: state.certificates.update(asked.certificates()))
    for pod, container in list(_not_ready(state))[:LOGS_MAX]:
        with_log = f"log of {pod}/{container}"
        _note(
            state,
            with_log,
            lambda pod=pod, container=container: state.last_lines.__setitem__(
                (pod, container), asked.logs(pod, container, LOG_LINES)
            ),
        )
        state.faults.pop(with_log, None)  # a container that never ran has none
    _probe_all(asked, state)
    return state


def _note(state: ReleaseState, what: str, read: Any) -> None:
    try:
        read()
    except KubectlUnreachable:
        raise
    except KubectlFailed as failed:
        state.faults[what] = str(failed)


def _not_ready(state: ReleaseState) -> Iterator[tuple[str, str]]:
    for pod in state.of("pods"):
        status = pod["status"]
        for one in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            if not one.get("ready") and "waiting" not in one.get("state", {}):
                yield pod["metadata"]["name"], one["name"]


def _probe_all(asked: Asked, state: ReleaseState) -> None:
    """Ask every container that runs, some at once."""
    wanted = []
    for pod in state.of("pods"):
        spec, status = pod["spec"], pod["status"]
        running = {
            one["name"]
            for one in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
            if "running" in one.get("state", {})
        }
        claimed = {volume["name"] for volume in spec.get("volumes", ()) if "persistentVolumeClaim" in volume}
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            name = container["name"]
            what = _asked_of(state, name, container, claimed)
            if name in running and what:
                wanted.append((pod["metadata"]["name"], name, what))
    with ThreadPoolExecutor(PROBES_AT_ONCE) as pool:
        for (pod_name, name, _), told in zip(
            wanted, pool.map(lambda one: _probe(asked, *one), wanted), strict=True
        ):
            _take(state, pod_name, name, told)


def _asked_of(
    state: ReleaseState, name: str, container: Mapping[str, Any], claimed: set[str]
) -> dict[str, Any]:
    what: dict[str, Any] = {}
    paths = [mount["mountPath"] for mount in container.get("volumeMounts", ()) if mount["name"] in claimed]
    if paths and name != "bring-key":
        what["paths"] = paths
    if name in PACKAGED:
        port = METRICS_PORTS.get(name, SERVICE_METRICS_PORT)
        what |= {"package": f"icn_{name}", "urls": [f"http://127.0.0.1:{port}/metrics"]}
    if name == "gateway":
        what["urls"].append(VALIDATORS_URL)
    if name == "nats":
        what["urls"] = [STREAMS_URL]
    if name == "reputation" and (gateway := _gateway_address(state)):
        what["connect"] = gateway
    return what


def _gateway_address(state: ReleaseState) -> str:
    """Which reputation must not reach: of one that is ready, so that nothing but a policy is in between."""
    for pod in state.of("pods"):
        conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", ())}
        is_ready = conditions.get("Ready") == "True"
        if pod["metadata"]["labels"].get(COMPONENT_LABEL) == "gateway" and is_ready:
            return f"{pod['status']['podIP']}:{GATEWAY_PORT}"
    return ""


def _probe(asked: Asked, pod: str, container: str, what: Mapping[str, Any]) -> dict[str, Any] | str:
    began = time.time()
    try:
        told = asked.probe(pod, container, what)
    except (KubectlFailed, ValueError) as failed:
        return str(failed)
    seconds = time.time() - began - (told.get("seconds") or 0)
    is_close = seconds <= CLOCK_CALL_SECONDS_MAX
    told["clock_seconds"] = told["time_seconds"] - began - seconds / 2 if is_close else None
    return told


def _take(state: ReleaseState, pod: str, container: str, told: dict[str, Any] | str) -> None:
    name = f"{pod}/{container}"
    if isinstance(told, str):
        state.faults[name] = told
        return
    bodies = told["bodies"]
    metrics = next((body for url, body in bodies.items() if url.endswith("/metrics") and body), "")
    if metrics:
        state.metrics[name] = metrics
    state.answers.append(
        ProcessAnswer(
            name,
            parse_samples(metrics),
            told["clock_seconds"],
            told["schema"] or {},
            {path: (size, free) for path, (size, free) in told["volumes"].items()},
        )
    )
    if told["connected"] is not None:
        state.has_fence = not told["connected"]
    if bodies.get(VALIDATORS_URL):
        document = _parsed(bodies[VALIDATORS_URL])
        if "validators" in document:
            state.validators = document
    for account in _parsed(bodies.get(STREAMS_URL)).get("account_details") or ():
        for stream in account.get("stream_detail") or ():
            state.streams[stream["name"]] = int(stream["state"]["messages"])


def _parsed(body: str | None) -> dict[str, Any]:
    try:
        found = json.loads(body or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

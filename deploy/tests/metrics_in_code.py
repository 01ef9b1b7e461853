"""Which metrics there are, with their labels, and which of them a query in PromQL asks for."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUFFIXES = {
    "Counter": ("",),
    "Gauge": ("",),
    "GaugeMetricFamily": ("",),
    "Histogram": ("_bucket", "_sum", "_count"),
}
OF_TARGETS = frozenset({"namespace", "pod", "container", "component", "job"})
"""Labels that Prometheus adds to whatever it reads by a PodMonitor of the chart."""
OF_KUBERNETES = {
    "up": OF_TARGETS,
    "kube_deployment_status_replicas_available": frozenset({"namespace", "deployment"}),
    "kube_pod_container_status_ready": frozenset({"namespace", "pod", "container"}),
    "kube_pod_container_status_restarts_total": frozenset({"namespace", "pod", "container"}),
    "kube_pod_container_status_waiting_reason": frozenset({"namespace", "pod", "container", "reason"}),
    "kube_pod_init_container_status_ready": frozenset({"namespace", "pod", "container"}),
    "kubelet_volume_stats_available_bytes": frozenset({"namespace", "persistentvolumeclaim"}),
    "kubelet_volume_stats_capacity_bytes": frozenset({"namespace", "persistentvolumeclaim"}),
    "process_cpu_seconds_total": OF_TARGETS,
    "process_resident_memory_bytes": OF_TARGETS,
}
"""What others export: Prometheus, kube-state-metrics, kubelets, prometheus_client; as they document it."""

_ASKED = re.compile(r"\b((?:icn|kube|kubelet|process)_\w+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\b(?:by|on|ignoring|without)\s*\(([^)]*)\)")


@functools.cache
def exported() -> dict[str, frozenset[str]]:
    """Labels by the name of each sample that the source of libraries and services makes."""
    found = dict(OF_KUBERNETES)
    for pattern in ("libs/*/src/**/*.py", "services/*/src/**/*.py"):
        for kind, name, labels in _made(pattern):
            for suffix in SUFFIXES[kind]:
                found[name + suffix] = labels | OF_TARGETS | ({"le"} if suffix == "_bucket" else set())
    return found


def families(library: str) -> dict[str, frozenset[str]]:
    """Labels by the name of each metric that the source of a library makes."""
    return {name: labels for _, name, labels in _made(f"libs/{library}/src/**/*.py")}


def _made(pattern: str) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Kind, name and labels of the metrics that source files make."""
    for path in sorted(ROOT.glob(pattern)):
        yield from _made_by(ast.parse(path.read_text("utf-8")))


def _made_by(tree: ast.AST) -> Iterator[tuple[str, str, frozenset[str]]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        kind, name = getattr(node.func, "id", ""), getattr(node.args[0], "value", None)
        if kind not in SUFFIXES or not isinstance(name, str) or not name.startswith("icn_"):
            continue  # the standard library has another Counter
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        given = node.args[2] if len(node.args) > 2 else named.get("labels")
        labels = frozenset(ast.literal_eval(given)) if given is not None else frozenset()
        yield kind, name, labels


def asked(query: str) -> Iterator[tuple[str, str]]:
    """Name and matchers of each metric that a query selects."""
    text = _GROUPED.sub("", re.sub(r'"[^"]*"', '""', query))
    yield from _ASKED.findall(text)


def unknown(query: str, known: dict[str, frozenset[str]]) -> list[str]:
    """Metrics of a query that there are not, and labels that none of its metrics has."""
    wrong = []
    labels: set[str] = set()
    for name, matchers in asked(query):
        if name not in known:
            wrong.append(name)
            continue
        labels |= known[name]
        wrong += [f"{name}{{{label}}}" for label in _MATCHER.findall(matchers) if label not in known[name]]
    grouped = {label.strip() for group in _GROUPED.findall(query) for label in group.split(",")}
    return wrong + sorted(grouped - labels - {""})

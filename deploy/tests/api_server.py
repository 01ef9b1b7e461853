"""The little of a Kubernetes API server that `helm install --dry-run=server` asks, where no real one is.

It knows which kinds there are and answers with the objects that it was given; all else is not found.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

KINDS = {
    "v1": ("ConfigMap", "Secret", "Service", "ServiceAccount", "Namespace"),
    "apps/v1": ("Deployment", "StatefulSet"),
    "batch/v1": ("Job",),
    "policy/v1": ("PodDisruptionBudget",),
    "autoscaling/v2": ("HorizontalPodAutoscaler",),
    "networking.k8s.io/v1": ("NetworkPolicy", "Ingress"),
    "rbac.authorization.k8s.io/v1": ("Role", "RoleBinding"),
    "cert-manager.io/v1": ("Certificate",),
    "monitoring.coreos.com/v1": ("ServiceMonitor", "PodMonitor", "PrometheusRule"),
    "apiregistration.k8s.io/v1": ("APIService",),
}
NOT_IN_NAMESPACES = ("Namespace", "APIService")


def plural(kind: str) -> str:
    """As it stands in a path."""
    if kind.endswith("y"):
        return f"{kind[:-1].lower()}ies"
    return f"{kind.lower()}es" if kind.endswith("s") else f"{kind.lower()}s"


def object_of(kind: str, name: str, namespace: str = "", **fields: Any) -> dict[str, Any]:
    """An object as the server keeps it."""
    version = next(version for version, kinds in KINDS.items() if kind in kinds)
    described = {key: fields.pop(key) for key in ("labels", "annotations") if key in fields}
    metadata = {"name": name, "namespace": namespace, **described}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}


@contextmanager
def serving(objects: list[dict[str, Any]], *, forbidden: tuple[str, ...] = ()) -> Iterator[str]:
    """Address of a server that has ``objects``; the ``forbidden`` kinds are refused to whoever asks."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(urlsplit(self.path).path, objects, forbidden)
            payload = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(
    path: str, objects: list[dict[str, Any]], forbidden: tuple[str, ...]
) -> tuple[int, dict[str, Any]]:
    """Status and body of a GET."""
    parts = path.strip("/").split("/")
    discovered = discovery(path)
    if discovered is not None:
        return 200, discovered
    version, rest = ("v1", parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    kind = next((kind for kind in KINDS.get(version, ()) if rest and plural(kind) == rest[0]), None)
    if kind is None:
        return 404, failure(404, "NotFound", path)
    if kind in forbidden:
        return 403, failure(403, "Forbidden", f"{kind} is forbidden")
    found = [one for one in objects if (one["kind"], one["metadata"]["namespace"]) == (kind, namespace)]
    if len(rest) == 1:
        return 200, {"apiVersion": version, "kind": f"{kind}List", "metadata": {}, "items": found}
    named = [one for one in found if one["metadata"]["name"] == rest[1]]
    return (200, named[0]) if named else (404, failure(404, "NotFound", f"{kind} {rest[1]} not found"))


def discovery(path: str) -> dict[str, Any] | None:
    """What there is at all; None where the path is of objects."""
    if path == "/version":
        return {"major": "1", "minor": "34", "gitVersion": "v1.34.4"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups = [
            {"name": version.split("/")[0], "versions": [of], "preferredVersion": of}
            for version in KINDS
            if "/" in version
            for of in [{"groupVersion": version, "version": version.split("/")[1]}]
        ]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    version = path.removeprefix("/apis/").removeprefix("/api/")
    if version not in KINDS:
        return None
    resources = [
        {
            "name": plural(kind),
            "singularName": kind.lower(),
            "kind": kind,
            "namespaced": kind not in NOT_IN_NAMESPACES,
            "verbs": ["create", "delete", "get", "list", "patch", "update"],
        }
        for kind in KINDS[version]
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


def failure(code: int, reason: str, message: str) -> dict[str, Any]:
    """A Status, as the API answers when it refuses."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }

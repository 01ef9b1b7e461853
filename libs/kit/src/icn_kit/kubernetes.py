"""The few calls of the Kubernetes API that looking after a release takes, from within the cluster."""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts the credentials of a pod's account."""
CALL_SECONDS_MAX: Final = 15.0
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024


class KubernetesRefused(Exception):
    """The API said no, or nothing; the message says to what and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        """Of HTTP; 0 where nobody answered."""


class KubernetesApi:
    """Calls in one namespace. Each blocks for up to CALL_SECONDS_MAX and raises KubernetesRefused."""

    def __init__(self, url: str, namespace: str, token_file: Path, authority: Path | None) -> None:
        self._url = url
        self.namespace = namespace
        self._token_file = token_file
        self._context = None if authority is None else ssl.create_default_context(cafile=str(authority))

    @classmethod
    def of_this_pod(
        cls, environment: Mapping[str, str] = os.environ, account: Path = ACCOUNT
    ) -> KubernetesApi:
        """As the pod's account.

        Raises:
            KubernetesRefused: this is no pod, or one without an account.
        """
        try:
            host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
            namespace = (account / "namespace").read_text("utf-8").strip()
        except (KeyError, OSError):
            raise KubernetesRefused(0, "this runs in no pod that has a service account") from None
        host = f"[{host}]" if ":" in host else host
        return cls(f"https://{host}:{port}", namespace, account / "token", account / "ca.crt")

    def stateful_sets(self, selector: str) -> list[dict[str, Any]]:
        """Those that have these labels, by name."""
        answer = self._call("GET", "/apis/apps/v1", "statefulsets", labelSelector=selector)
        return sorted(answer["items"], key=lambda one: str(one["metadata"]["name"]))

    def pod(self, name: str) -> dict[str, Any] | None:
        """The pod, None where there is none."""
        try:
            return self._call("GET", "/api/v1", f"pods/{name}")
        except KubernetesRefused as refusal:
            if refusal.status == 404:
                return None
            raise

    def delete_pod(self, name: str, uid: str) -> None:
        """Ask the pod to end, if it is still this one."""
        self._call("DELETE", "/api/v1", f"pods/{name}", {"preconditions": {"uid": uid}})

    def config_map(self, name: str) -> dict[str, str]:
        """What the ConfigMap holds."""
        answer = self._call("GET", "/api/v1", f"configmaps/{name}")
        return dict(answer.get("data") or {})

    def add_to_config_map(self, name: str, values: Mapping[str, str]) -> None:
        """Put these beside what the ConfigMap holds, in place of what has the same names."""
        kind = "application/merge-patch+json"
        self._call("PATCH", "/api/v1", f"configmaps/{name}", {"data": dict(values)}, content_type=kind)

    def _call(
        self,
        method: str,
        group: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content_type: str = "application/json",
        **query: str,
    ) -> dict[str, Any]:
        what = f"{method} {path}"
        url = f"{self._url}{group}/namespaces/{self.namespace}/{path}"
        if query:
            url += f"?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(  # noqa: S310 - the scheme is ours
            url,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                # Read each time: Kubernetes renews it.
                "Authorization": f"Bearer {self._token_file.read_text('ascii').strip()}",
                "Content-Type": content_type,
            },
        )
        try:
            with urllib.request.urlopen(  # noqa: S310 - as above
                request, timeout=CALL_SECONDS_MAX, context=self._context
            ) as answer:
                document: dict[str, Any] = json.loads(answer.read(ANSWER_BYTES_MAX))
                return document
        except urllib.error.HTTPError as error:
            raise KubernetesRefused(error.code, f"{what}: {_reason(error)}") from None
        except (OSError, ValueError) as error:
            raise KubernetesRefused(0, f"{what}: {error}") from None


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(ANSWER_BYTES_MAX))["message"])
    except (ValueError, KeyError, OSError):
        return f"{error.code} {error.reason}"

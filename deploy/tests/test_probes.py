"""Probes: who is restarted, who only gets no calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SERVICES = ("Deployment", "StatefulSet")
OTHERS_PROGRAMS = ("nats", "postgres")
"""Containers that do not answer at our paths."""


def test_what_starts_slowly_or_has_stopped_and_says_why_is_not_restarted(render: Callable[..., Any]) -> None:
    pods = [one["spec"]["template"]["spec"] for (kind, _), one in render().items() if kind in SERVICES]
    containers = [one for pod in pods for one in pod["containers"] if one["name"] not in OTHERS_PROGRAMS]
    assert {one["name"] for one in containers} >= {"consensus", "ledger", "gateway", "identity"}
    for container in containers:
        assert container["startupProbe"]["httpGet"]["path"] == "/livez"
        assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
        assert container["readinessProbe"]["httpGet"]["path"] == "/healthz"

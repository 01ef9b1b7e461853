"""Who is told of a collector may also reach it, and nobody is where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

ENDPOINT = "https://collector.monitoring.svc:4319"
PARTS = {"validator-0", "validator-1", "validator-2", "validator-3"}
PARTS |= {"gateway", "identity", "governance", "marketplace", "reputation"}

Objects = dict[tuple[str, str], dict[str, Any]]


def told(objects: Objects, variable: str) -> Iterator[tuple[str, str, str]]:
    """Object, container and value of a variable."""
    for (kind, name), one in objects.items():
        if kind in ("Deployment", "StatefulSet", "Job", "Pod"):
            pod = one["spec"] if kind == "Pod" else one["spec"]["template"]["spec"]
            for container in pod["containers"]:
                for entry in container.get("env", ()):
                    if entry["name"] == variable:
                        yield name, container["name"], entry["value"]


def reaching(objects: Objects, port: int) -> set[str]:
    """Policies that let their pods call a port anywhere."""
    return {
        name
        for (kind, name), one in objects.items()
        if kind == "NetworkPolicy"
        and any(
            {"port": port} in rule["ports"] and "to" not in rule for rule in (one["spec"].get("egress") or ())
        )
    }


def test_every_process_of_ours_sends_its_spans_and_its_policy_lets_it(render: Callable[..., Objects]) -> None:
    objects = render({"tracing": {"endpoint": ENDPOINT, "ratio": 0.25}})
    sending = list(told(objects, "OTEL_EXPORTER_OTLP_ENDPOINT"))
    assert {name for name, _, _ in sending} == {f"icn-{part}" for part in PARTS}
    assert {value for _, _, value in sending} == {ENDPOINT}
    of_validator = {container for name, container, _ in sending if name == "icn-validator-0"}
    assert of_validator == {"consensus", "ledger", "vm"}
    assert list(told(objects, "ICN_GATEWAY_TRACE_RATIO")) == [("icn-gateway", "gateway", "0.25")]
    assert reaching(objects, 4319) == {
        "icn-validator",
        *(f"icn-{part}" for part in PARTS if not part.startswith("validator")),
    }


@pytest.mark.parametrize("values", [{}, {"tracing": {"endpoint": "", "ratio": 1}}])
def test_without_a_collector_nobody_is_told_of_one(
    values: dict[str, Any], render: Callable[..., Objects]
) -> None:
    objects = render(values)
    for variable in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_RESOURCE_ATTRIBUTES", "ICN_GATEWAY_TRACE_RATIO"):
        assert list(told(objects, variable)) == []
    assert reaching(objects, 4318) == set()

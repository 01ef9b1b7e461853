"""A release that runs one validator of a zone whose others, and its services, are elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

ALONE = {
    "services": {"enabled": False},
    "postgres": {"bundled": False},
    "nats": {"bundled": False},
    "monitoring": {"monitors": True, "prometheusRules": True},
    "validators": {
        "seats": [4],
        "elsewhere": [
            {"seat": seat, "host": f"icn.coop-{seat}.example", "consensusPort": 7001, "ledgerPort": 7002}
            for seat in range(4)
        ],
    },
}

Objects = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture
def objects(render: Callable[..., Objects]) -> Objects:
    return render(ALONE)


def test_nothing_of_the_services_is_there(objects: Objects) -> None:
    assert not [
        name for kind, name in objects if kind in ("Deployment", "HorizontalPodAutoscaler", "Ingress")
    ]
    assert [name for kind, name in objects if kind == "StatefulSet"] == ["icn-validator-4"]
    assert [name for kind, name in objects if kind == "Job"] == ["icn-roll"]
    assert [name for kind, name in objects if kind == "PodMonitor"] == ["icn-validators"]
    assert {name for kind, name in objects if kind == "NetworkPolicy"} == {
        "icn-deny",
        "icn-operator",
        "icn-validator",
    }


def test_the_validator_calls_the_others_and_no_bus(objects: Objects) -> None:
    pod = objects["StatefulSet", "icn-validator-4"]["spec"]["template"]["spec"]
    told = {
        one["name"]: one.get("value") for container in pod["containers"] for one in container.get("env", [])
    }
    assert json.loads(told["ICN_CONSENSUS_PEERS"]) == [f"icn.coop-{seat}.example:7001" for seat in range(4)]
    assert not [name for name in told if "NATS" in name]


def test_others_reach_it_and_it_reaches_them(objects: Objects) -> None:
    spec = objects["NetworkPolicy", "icn-validator"]["spec"]
    assert {"ports": [{"port": 7001}, {"port": 7002}]} in spec["ingress"]
    assert {"ports": [{"port": 7001}]} in spec["egress"]
    assert not [rule for rule in spec["egress"] if {"port": 4222} in rule["ports"]]


def test_who_reaches_it_can_be_narrowed(render: Callable[..., Objects]) -> None:
    peers = [{"ipBlock": {"cidr": "192.0.2.0/28"}}, {"ipBlock": {"cidr": "198.51.100.7/32"}}]
    narrowed = render({**ALONE, "networkPolicies": {"elsewhereFrom": peers}})
    rules = narrowed["NetworkPolicy", "icn-validator"]["spec"]["ingress"]
    (outer,) = [rule for rule in rules if {"port": 7002} in rule["ports"]]
    assert outer == {"ports": [{"port": 7001}, {"port": 7002}], "from": peers}
    assert all("from" in rule for rule in rules)


def test_a_drain_takes_one_at_a_time(objects: Objects) -> None:
    assert objects["PodDisruptionBudget", "icn-validator"]["spec"]["maxUnavailable"] == 1


def test_a_bus_that_is_named_is_used(render: Callable[..., Objects]) -> None:
    pod = render({**ALONE, "nats": {"bundled": False, "url": "tls://bus.example:4222"}})[
        "StatefulSet", "icn-validator-4"
    ]["spec"]["template"]["spec"]
    told = {one["name"]: one.get("value") for container in pod["containers"] for one in container["env"]}
    assert told["ICN_LEDGER_NATS_URL"] == "tls://bus.example:4222"

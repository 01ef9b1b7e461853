"""NetworkPolicies: what they let through besides the parts of the release."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Objects = dict[tuple[str, str], dict[str, Any]]


def test_policies_let_through_the_ports_that_are_named(render: Callable[..., Objects]) -> None:
    objects = render(
        {
            "postgres": {"bundled": False, "port": 25060},
            "validators": {"postgres": {"bundled": False, "port": 6432}},
            "nats": {"bundled": False, "url": "tls://bus.example:6222"},
        }
    )

    def called(part: str) -> set[int]:
        rules = objects["NetworkPolicy", f"icn-{part}"]["spec"]["egress"]
        return {port["port"] for rule in rules for port in rule["ports"] if "to" not in rule}

    assert called("identity") == called("gateway") == {6222, 25060}
    assert called("validator") == {6222, 6432, 443, 6443}


def test_where_the_api_of_kubernetes_is_can_be_narrowed(render: Callable[..., Objects]) -> None:
    peers = [{"ipBlock": {"cidr": "192.0.2.10/32"}}]
    narrowed = render({"networkPolicies": {"kubernetesTo": peers}})
    for part in ("validator", "operator"):
        rules = narrowed["NetworkPolicy", f"icn-{part}"]["spec"]["egress"]
        (api,) = [rule for rule in rules if {"port": 6443} in rule["ports"]]
        assert api["to"] == peers

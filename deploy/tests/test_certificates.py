"""cert-manager makes the certificates that `icn cluster prepare` would have made; the gateway's ingress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from icn_client.cluster_files import Release, parts_with_certificates

CERT_MANAGER = {"tls": {"certManager": {"enabled": True, "issuer": {"name": "ours"}}}}
Objects = dict[tuple[str, str], dict[str, Any]]


def certificates(objects: Objects) -> dict[str, dict[str, Any]]:
    """Their specs by name."""
    return {name: one["spec"] for (kind, name), one in objects.items() if kind == "Certificate"}


def mounted(objects: Objects) -> set[str]:
    """Secrets that pods mount at /run/tls."""
    found = set()
    for one in objects.values():
        pod = one.get("spec", {}).get("template", {}).get("spec", {})
        found |= {v["secret"]["secretName"] for v in pod.get("volumes", []) if v["name"] == "tls"}
    return found


def test_without_cert_manager_there_is_no_certificate(render: Callable[..., Objects]) -> None:
    assert certificates(render()) == {}


def test_every_part_has_a_certificate_with_the_names_that_prepare_gives(
    render: Callable[..., Objects],
) -> None:
    objects = render(CERT_MANAGER)
    made = certificates(objects)
    release = Release("icn", "icn")
    parts = parts_with_certificates(range(4))
    assert set(made) == {f"icn-{part}" for part in parts}
    for part in parts:
        spec = made[f"icn-{part}"]
        assert spec["secretName"] == f"icn-{part}-tls"
        assert spec["dnsNames"] == [*release.hosts(part), "localhost"]
    assert mounted(objects) <= {spec["secretName"] for spec in made.values()}


def test_parts_called_from_outside_have_those_names_too(render: Callable[..., Objects]) -> None:
    hosts = {"validator-1": ["icn.mill.example", "192.0.2.7"], "nats": ["bus.example"]}
    values = {"tls": {"certManager": {**CERT_MANAGER["tls"]["certManager"], "hosts": hosts}}}
    plain, named = certificates(render(CERT_MANAGER)), certificates(render(values))
    assert named["icn-validator-1"]["dnsNames"] == [*plain["icn-validator-1"]["dnsNames"], "icn.mill.example"]
    assert named["icn-validator-1"]["ipAddresses"] == ["192.0.2.7"]
    assert named["icn-nats"]["dnsNames"] == [*plain["icn-nats"]["dnsNames"], "bus.example"]
    unnamed = set(plain) - {"icn-validator-1", "icn-nats"}
    assert {name: named[name] for name in unnamed} == {name: plain[name] for name in unnamed}


def test_a_certificate_serves_and_calls_with_a_fresh_key_each_time(render: Callable[..., Objects]) -> None:
    for spec in certificates(render(CERT_MANAGER)).values():
        assert {"server auth", "client auth"} <= set(spec["usages"])
        key = {"algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always"}
        assert spec["privateKey"] == key
        assert spec["issuerRef"] == {"group": "cert-manager.io", "kind": "Issuer", "name": "ours"}
        assert (spec["duration"], spec["renewBefore"]) == ("2160h", "720h")


def test_a_secret_of_another_name_is_the_one_that_is_made(render: Callable[..., Objects]) -> None:
    values = {"tls": {**CERT_MANAGER["tls"], "secrets": {"validator-2": "our-seat-tls"}}}
    objects = render(values)
    assert certificates(objects)["icn-validator-2"]["secretName"] == "our-seat-tls"
    assert "our-seat-tls" in mounted(objects)


def test_seats_elsewhere_and_servers_that_are_not_bundled_have_none(render: Callable[..., Objects]) -> None:
    elsewhere = [
        {"seat": seat, "host": f"seat-{seat}.example", "consensusPort": 7001, "ledgerPort": 7002}
        for seat in (1, 2, 3)
    ]
    values = {
        **CERT_MANAGER,
        "validators": {"seats": [0], "elsewhere": elsewhere},
        "postgres": {"bundled": False},
        "nats": {"bundled": False, "url": "tls://nats.example:4222"},
    }
    services = {"icn-identity", "icn-governance", "icn-marketplace", "icn-reputation", "icn-gateway"}
    assert set(certificates(render(values))) == {"icn-validator-0", "icn-client"} | services


@pytest.mark.parametrize("tls_secret", ["", "icn-example-tls"])
def test_an_ingress_leads_its_host_to_the_gateway(render: Callable[..., Objects], tls_secret: str) -> None:
    ingress = {"enabled": True, "className": "nginx", "host": "icn.example", "tlsSecret": tls_secret}
    made = render({"services": {"gateway": {"ingress": ingress}}})
    spec = made["Ingress", "icn-gateway"]["spec"]
    assert spec["ingressClassName"] == "nginx"
    (rule,) = spec["rules"]
    assert rule["host"] == "icn.example"
    backend = {"service": {"name": "icn-gateway", "port": {"name": "http"}}}
    assert rule["http"]["paths"] == [{"path": "/", "pathType": "Prefix", "backend": backend}]
    ports = made["Service", "icn-gateway"]["spec"]["ports"]
    assert [port["name"] for port in ports] == ["http"]
    wanted = [{"hosts": ["icn.example"], "secretName": tls_secret}] if tls_secret else None
    assert spec.get("tls") == wanted


def test_without_ingress_there_is_none(render: Callable[..., Objects]) -> None:
    assert ("Ingress", "icn-gateway") not in render()

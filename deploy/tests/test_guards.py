"""What the schema cannot refuse is refused by a sentence that says what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).resolve().parents[1] / "helm" / "icn"
MILL = {"seat": 3, "host": "icn.mill.example", "consensusPort": 7001, "ledgerPort": 7002}

REFUSED = {
    "the tag latest": ({"images": {"tag": "latest"}}, "images.tag is latest", "name a version"),
    "three seats in all": (
        {"validators": {"seats": [0, 1, 2]}},
        "validators.seats and validators.elsewhere have 3",
        "`icn cluster prepare --validators 4`",
    ),
    "a seat here and elsewhere": (
        {"validators": {"seats": [0, 1, 2, 3], "elsewhere": [MILL]}},
        "validators.elsewhere: seat 3 is listed twice",
        "each once",
    ),
    "a seat twice elsewhere": (
        {"validators": {"seats": [0, 1, 2], "elsewhere": [MILL, {**MILL, "host": "other.example"}]}},
        "validators.elsewhere: seat 3 is listed twice",
        "each once",
    ),
    "restoring a seat of others": (
        {"validators": {"postgres": {"restore": [0, 4]}}},
        "validators.postgres.restore: seat 4 does not run here",
        "name seats of validators.seats",
    ),
    "restoring another's Postgres": (
        {"postgres": {"bundled": False, "restore": True}},
        "restored by its own means before the release is installed",
        "leave out postgres.restore",
    ),
    "fewer pods at most than at least": (
        {"services": {"marketplace": {"replicas": 5, "autoscaling": {"enabled": True}}}},
        "services.marketplace.autoscaling.replicasMax is 3 and replicas, from which it grows, 5",
        "raise replicasMax or lower replicas",
    ),
    "an ingress without host": (
        {"services": {"gateway": {"ingress": {"enabled": True}}}},
        "services.gateway.ingress.host is empty",
        "name the host",
    ),
    "a bus and nobody who uses it": (
        {"services": {"enabled": False}, "postgres": {"bundled": False}},
        "services.enabled is false, and postgres.bundled or nats.bundled is true",
        "set both to false",
    ),
    "no event bus": ({"nats": {"bundled": False}}, "nats.url: where the event bus is", "tls://host:port"),
    "renewal before the beginning": (
        {"tls": {"certManager": {"enabled": True, "issuer": {"name": "a"}, "renewBefore": "129600m"}}},
        "tls.certManager.renewBefore is 129600m and duration 2160h",
        "renew a third of the duration before its end",
    ),
    "no issuer": (
        {"tls": {"certManager": {"enabled": True}}},
        "tls.certManager.issuer.name is empty",
        "name the Issuer or ClusterIssuer",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_values_that_contradict_are_refused_with_what_to_do(refusal: Callable[..., str], what: str) -> None:
    values, says, advice = REFUSED[what]
    said = refusal(values)
    assert says in said
    assert advice in said


def test_guards_hold_where_the_schema_is_skipped(refusal: Callable[..., str]) -> None:
    said = refusal({"validators": {"seats": [0, 1, 2, 2]}}, "--skip-schema-validation")
    assert "validators.seats: seat 2 is listed twice" in said


def test_values_at_the_border_are_accepted(render: Callable[..., Any]) -> None:
    values = {
        "validators": {"seats": [0, 1, 2], "elsewhere": [MILL]},
        "services": {"marketplace": {"replicas": 3, "autoscaling": {"enabled": True}}},
        "tls": {"certManager": {"enabled": True, "issuer": {"name": "a"}, "renewBefore": "129599m"}},
    }
    assert ("StatefulSet", "icn-validator-2") in render(values)


@pytest.fixture
def later_chart(tmp_path: Path) -> Path:
    """A later version of the chart, where ``validators.storage.size`` and ``debug`` have been removed."""
    chart = tmp_path / "icn"
    shutil.copytree(CHART, chart)
    entries = [
        {"key": "validators.storage.size", "removedIn": "9.0.0", "instead": "set validators.postgres.size"},
        {"key": "debug", "removedIn": "9.1.0", "instead": "leave it out"},
    ]
    (chart / "files" / "removed-keys.yaml").write_text(yaml.safe_dump(entries), "utf-8")
    schema = yaml.safe_load((chart / "values.schema.json").read_text("utf-8"))
    schema["properties"]["debug"] = {}
    schema["properties"]["validators"]["properties"]["storage"] = {}
    (chart / "values.schema.json").write_text(json.dumps(schema), "utf-8")
    return chart


@pytest.mark.parametrize("value", ["8Gi", "", False, {}, 0], ids=repr)
def test_a_removed_key_is_refused_with_what_replaces_it(
    refusal: Callable[..., str], later_chart: Path, value: Any
) -> None:
    said = refusal({"validators": {"storage": {"size": value}}}, chart=later_chart)
    assert "validators.storage.size was removed in 9.0.0: set validators.postgres.size" in said
    assert "UPGRADING.md" in said


def test_only_keys_that_are_set_are_refused_as_removed(
    refusal: Callable[..., str], render: Callable[..., Any], later_chart: Path
) -> None:
    assert "debug was removed in 9.1.0" in refusal({"debug": False}, chart=later_chart)
    assert render({"validators": {"storage": "none"}}, chart=later_chart)
    assert render({}, chart=later_chart)


def test_removed_keys_stay_in_the_schema_so_that_the_guard_is_reached() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text("utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    for entry in yaml.safe_load((CHART / "files" / "removed-keys.yaml").read_text("utf-8")):
        assert set(entry) == {"key", "removedIn", "instead"}
        node, value = schema, values
        for name in entry["key"].split("."):
            node = node["properties"][name]
            value = value.get(name) if isinstance(value, dict) else None
        assert value is None, f"{entry['key']} is in values.yaml again"


@pytest.mark.parametrize("name", ["7co", "my.icn", "a." + "b" * 20, "7"])
def test_a_release_whose_name_no_host_may_have_is_refused(
    refusal: Callable[..., str], render: Callable[..., Any], name: str
) -> None:
    assert f"the release is called {name}" in refusal({}, release=name)
    assert ("Service", "valley-gateway") in render({"fullnameOverride": "valley"}, release=name)


@pytest.mark.parametrize("name", ["true", "on", "null", "e10", "y"])
def test_a_release_may_be_called_what_yaml_takes_for_something_else(
    render: Callable[..., Any], name: str
) -> None:
    for one in render({}, release=name).values():
        assert one["metadata"]["labels"]["app.kubernetes.io/instance"] == name


def test_names_that_yaml_takes_for_numbers_stay_names(render: Callable[..., Any]) -> None:
    objects = render(
        {
            "priorityClassName": "123",
            "images": {"pullSecrets": ["456"]},
            "secrets": {"gateway": "11", "validator-0": "7"},
            "tls": {"secrets": {"gateway": "8", "nats": "9"}},
            "genesis": {"configMap": "10"},
        }
    )
    for (kind, name), one in objects.items():
        if kind in ("Deployment", "StatefulSet"):
            spec = one["spec"]["template"]["spec"]
            assert (spec["priorityClassName"], spec["imagePullSecrets"]) == ("123", [{"name": "456"}]), name
            for volume in spec["volumes"]:
                assert isinstance(volume.get("secret", {}).get("secretName", ""), str), name
                assert isinstance(volume.get("configMap", {}).get("name", ""), str), name
            for container in (*spec.get("initContainers", []), *spec["containers"]):
                for variable in container.get("env", []):
                    wanted = variable.get("valueFrom", {}).get("secretKeyRef", {})
                    assert isinstance(wanted.get("name", ""), str), name
    gateway = objects["Deployment", "icn-gateway"]["spec"]["template"]["spec"]
    assert {"secretName": "8", "defaultMode": 0o440} in [one.get("secret") for one in gateway["volumes"]]


def test_names_of_pods_and_of_their_revisions_are_short_enough(render: Callable[..., Any]) -> None:
    objects = render({"validators": {"seats": [0, 1, 2, 49]}}, release="v" * 53)
    longest = max(len(name) for kind, name in objects if kind == "StatefulSet")
    assert longest + len("-5bf9f4dc9c") <= 63, "the label controller-revision-hash"

"""Values that are wrong are refused, with the key's path; every example is accepted.

Helm names everything that the schema refuses at once, so that bad values that do not touch each other are
given to it together: a dozen processes for all of them.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

BAD_VALUES_MIN = 100
LINES_MAX = 500
EXAMPLE_LINES_MAX = 60
CHART = Path(__file__).resolve().parents[1] / "helm" / "icn"
SERVICES = ("gateway", "identity", "governance", "marketplace", "reputation")
ABOVE = "/.."
"""Where Helm puts the fault of an unknown or missing key: what it would belong to."""
ELSEWHERE = {"seat": 4, "host": "icn.mill.example", "consensusPort": 7001, "ledgerPort": 7002}


@dataclass(frozen=True, slots=True)
class Bad:
    """A value that must be refused."""

    what: str
    """Is wrong with it."""
    key: str
    """Where it is set: names with a dot between."""
    value: Any
    says: str
    """Part of what Helm says."""
    below: str = ""
    """Where below the key the fault is, if not at the key itself."""

    @property
    def at(self) -> str:
        """The path that Helm's message must have."""
        path = "/" + self.key.replace(".", "/")
        return path.rpartition("/")[0] if self.below == ABOVE else path + self.below

    def __str__(self) -> str:
        return f"{self.key}{self.below.removesuffix(ABOVE)} {self.what}"


UNKNOWN = "additional properties"
PATTERN = "does not match pattern"


def kinds() -> Iterator[Bad]:
    """Values of another kind than the key's."""
    for key in ("images", "genesis", "secrets", "tls", "validators", "services", "postgres", "nats"):
        yield Bad("is no map", key, "yes", "got string, want object")
    for key in ("operator", "networkPolicies", "tls.secrets", "tls.certManager", "tls.certManager.issuer"):
        yield Bad("is no map", key, 1, "got number, want object")
    for key in ("validators.record", "validators.postgres", "validators.consensus", "validators.environment"):
        yield Bad("is no map", key, [], "got array, want object")
    for key in ("postgres.bundled", "nats.bundled", "validators.postgres.bundled", "networkPolicies.enabled"):
        yield Bad("is a word and not true or false", key, "yes", "got string, want boolean")
    for key in (
        "joinsAnotherRelease",
        "services.enabled",
        "tls.certManager.enabled",
        "services.gateway.ingress.enabled",
    ):
        yield Bad("is a number and not true or false", key, 1, "got number, want boolean")
    for key in ("fullnameOverride", "priorityClassName", "images.tag", "nats.url", "genesis.configMap"):
        yield Bad("is a number", key, 1.5, "got number, want string")
    for key in ("images.pullSecrets", "validators.tolerations", "services.gateway.origins"):
        yield Bad("is no list", key, "one", "got string, want array")


def unknown_keys() -> Iterator[Bad]:
    """Keys that there are not, at every level."""
    yield Bad("is misspelt at the top", "trustprofile", "hosted", f"{UNKNOWN} 'trustprofile'", ABOVE)
    levels = ["images", "genesis", "tls", "tls.certManager", "tls.certManager.issuer", "validators"]
    levels += ["validators.record", "validators.postgres", "validators.consensus", "validators.ledger"]
    levels += ["validators.vm", "services", "postgres", "nats", "operator", "networkPolicies", "tracing"]
    levels += ["services.gateway.ingress", "services.gateway.service", "validators.vm.resources"]
    levels += ["validators.vm.resources.limits"]
    levels += [f"services.{name}" for name in SERVICES] + [
        f"services.{name}.autoscaling" for name in SERVICES
    ]
    for level in levels:
        yield Bad("has an unknown key", f"{level}.sizee", 1, "'sizee'", ABOVE)
    yield Bad("has a domain, which is identity's", "services.governance.domain", "a", "'domain'", ABOVE)
    yield Bad("has origins, which are the gateway's", "services.identity.origins", [], "'origins'", ABOVE)
    yield Bad("names a seat past 49", "secrets.validator-50", "a", UNKNOWN, ABOVE)
    yield Bad("names a part that has no Secret", "secrets.nats", "a", UNKNOWN, ABOVE)
    yield Bad("names a part that has no certificate", "tls.secrets.operator", "a", UNKNOWN, ABOVE)


def names() -> Iterator[Bad]:
    """Names that Kubernetes would refuse later."""
    yield Bad("has capitals", "fullnameOverride", "ICN", PATTERN)
    yield Bad("begins with a digit, as no Service may", "fullnameOverride", "1icn", PATTERN)
    yield Bad("ends with a hyphen", "fullnameOverride", "icn-", PATTERN)
    yield Bad("is longer than 40", "fullnameOverride", "a" * 41, PATTERN)
    for key in ("validators.record.storageClass", "postgres.storageClass", "genesis.configMap"):
        yield Bad("has an underscore", key, "fast_ssd", PATTERN)
    for key in ("services.gateway.ingress.tlsSecret", "services.gateway.ingress.className"):
        yield Bad("has capitals", key, "Nginx", PATTERN)
    yield Bad("is longer than 253", "tls.certManager.issuer.name", "a" * 254, "maxLength")
    yield Bad("is empty", "secrets.gateway", "", PATTERN)
    yield Bad("has a slash", "tls.secrets.client", "a/b", PATTERN)
    yield Bad("is empty", "images.pullSecrets", [""], PATTERN, "/0")
    yield Bad("is there twice", "images.pullSecrets", ["a", "a"], "are equal")
    yield Bad("has a space", "priorityClassName", "very high", PATTERN)
    yield Bad("is no label", "validators.topologyKey", "zone of the cloud", PATTERN)
    yield Bad("is empty", "validators.topologyKey", "", PATTERN)


def images() -> Iterator[Bad]:
    """Where images come from."""
    yield Bad("ends with a slash", "images.repository", "icn/", PATTERN)
    yield Bad("has capitals", "images.repository", "ICN", PATTERN)
    yield Bad("has a scheme", "images.repository", "https://mirror.example/icn?", PATTERN)
    yield Bad("is empty", "images.repository", "", PATTERN)
    yield Bad("has a digest's sign", "images.tag", "0.1.0@sha256", PATTERN)
    yield Bad("begins with a dot", "images.tag", ".1", PATTERN)
    yield Bad("is longer than 128", "images.tag", "a" * 129, PATTERN)
    yield Bad("is no policy", "images.pullPolicy", "Sometimes", "must be one of")
    yield Bad("is in small letters", "images.pullPolicy", "always", "must be one of")


def seats() -> Iterator[Bad]:
    """Seats here and elsewhere."""
    key = "validators.seats"
    yield Bad("is there twice", key, [0, 1, 2, 2], "items at 2 and 3 are equal")
    yield Bad("is past 49", key, [0, 1, 2, 50], "maximum: got 50, want 49", "/3")
    yield Bad("is negative", key, [-1, 1, 2, 3], "minimum: got -1, want 0", "/0")
    yield Bad("is no whole number", key, [0.5, 1, 2, 3], "got number, want integer", "/0")
    yield Bad("is a word", key, ["0", 1, 2, 3], "got string, want integer", "/0")
    yield Bad("has no seat", key, [], "minItems: got 0, want 1")
    yield Bad("is a number of seats", key, 4, "got number, want array")
    key = "validators.elsewhere"
    for name in ELSEWHERE:
        without = {other: value for other, value in ELSEWHERE.items() if other != name}
        yield Bad(f"has no {name}", key, [without], f"missing property '{name}'", "/0")
    yield Bad("is past 49", key, [{**ELSEWHERE, "seat": 50}], "maximum", "/0/seat")
    yield Bad("has a scheme", key, [{**ELSEWHERE, "host": "tls://mill.example"}], PATTERN, "/0/host")
    yield Bad("has its port twice", key, [{**ELSEWHERE, "host": "mill.example:7001"}], PATTERN, "/0/host")
    yield Bad("is empty", key, [{**ELSEWHERE, "host": ""}], PATTERN, "/0/host")
    yield Bad("is no port", key, [{**ELSEWHERE, "consensusPort": 0}], "minimum", "/0/consensusPort")
    yield Bad("is past the last port", key, [{**ELSEWHERE, "ledgerPort": 65_536}], "maximum", "/0/ledgerPort")
    yield Bad("has an unknown key", key, [{**ELSEWHERE, "vmPort": 7003}], f"{UNKNOWN} 'vmPort'", "/0")
    yield Bad("is there twice", key, [ELSEWHERE, ELSEWHERE], "items at 0 and 1 are equal")
    yield Bad("is an address", key, ["icn.mill.example:7001"], "got string, want object", "/0")
    key = "validators.postgres.restore"
    yield Bad("is a seat's name", key, ["validator-0"], "got string, want integer", "/0")
    yield Bad("is true", key, True, "got boolean, want array")
    yield Bad("is there twice", key, [1, 1], "items at 0 and 1 are equal")
    yield Bad("is a list of seats", "postgres.restore", [0], "got array, want boolean")
    yield Bad("is a number of pods", "operator.toolbox", 1, "got number, want boolean")
    yield Bad("is no profile", "trustProfile", "trusted", "must be one of 'hosted', 'independent'")
    yield Bad("has a capital", "trustProfile", "Hosted", "must be one of")
    yield Bad("is empty", "trustProfile", "", "must be one of")


def amounts() -> Iterator[Bad]:
    """Sizes, resources, counts and times."""
    for key in ("validators.record.size", "validators.postgres.size", "postgres.size"):
        yield Bad("has no unit that Kubernetes knows", key, "8GB", PATTERN)
        yield Bad("is a number of bytes", key, 8_589_934_592, "got number, want string")
        yield Bad("is nothing", key, "0Gi", PATTERN)
        yield Bad("is negative", key, "-8Gi", PATTERN)
    yield Bad("has a fraction", "postgres.size", "1.5Gi", PATTERN)
    yield Bad("is less than what the bundled NATS may store", "nats.size", "3Gi", PATTERN)
    key = "validators.ledger.resources"
    yield Bad("is a number of bytes", f"{key}.limits.memory", 1_073_741_824, "got number, want string")
    yield Bad("has no unit", f"{key}.limits.memory", "512", PATTERN)
    yield Bad("has the unit of millionths of a byte", f"{key}.requests.memory", "512m", PATTERN)
    yield Bad("is nothing", f"{key}.requests.cpu", 0, "exclusiveMinimum")
    yield Bad("is no amount", f"{key}.requests.cpu", "half", PATTERN)
    yield Bad("has no limits", f"{key}.limits", None, "missing property 'limits'", ABOVE)
    yield Bad("is another resource", "operator.resources.limits.gpu", 1, f"{UNKNOWN} 'gpu'", ABOVE)
    for name in SERVICES:
        yield Bad("is nobody", f"services.{name}.replicas", 0, "minimum: got 0, want 1")
    yield Bad("is past 20", "services.gateway.replicas", 21, "maximum: got 21, want 20")
    yield Bad("is a word", "services.gateway.replicas", "2", "got string, want integer")
    yield Bad("is half a pod", "services.gateway.replicas", 1.5, "got number, want integer")
    yield Bad("is past 20", "services.identity.autoscaling.replicasMax", 100, "maximum")
    yield Bad("is past the whole", "services.identity.autoscaling.cpuPercent", 250, "maximum")
    yield Bad("is too little to measure", "services.identity.autoscaling.cpuPercent", 1, "minimum")
    yield Bad("is a number of seconds", "tls.certManager.duration", 7_776_000, "got number, want string")
    yield Bad("is in days, which cert-manager does not know", "tls.certManager.duration", "90d", PATTERN)
    yield Bad("is no time", "tls.certManager.renewBefore", "0h", PATTERN)
    hosts = "tls.certManager.hosts"
    yield Bad("is of no part", hosts, {"validator-50": ["icn.example"]}, f"{UNKNOWN} 'validator-50'")
    yield Bad("is one name", hosts, {"gateway": "icn.example"}, "want array", "/gateway")
    yield Bad("has a port", hosts, {"validator-0": ["icn.example:7001"]}, PATTERN, "/validator-0/0")
    yield Bad("is no kind of issuer", "tls.certManager.issuer.kind", "issuer", "must be one of")


def networks() -> Iterator[Bad]:
    """Addresses and peers."""
    key = "services.gateway.origins"
    yield Bad("has a slash at its end", key, ["https://icn.example/"], PATTERN, "/0")
    yield Bad("has capitals", key, ["https://ICN.example"], PATTERN, "/0")
    yield Bad("has no scheme", key, ["icn.example"], PATTERN, "/0")
    yield Bad("is there twice", key, ["https://icn.example", "https://icn.example"], "are equal")
    key = "tracing.endpoint"
    yield Bad("has no port", key, "http://collector.monitoring.svc", PATTERN)
    yield Bad("is OTLP over gRPC", key, "grpc://collector.monitoring.svc:4317", PATTERN)
    yield Bad("has a path, which is the standard's", key, "http://collector:4318/v1/traces", PATTERN)
    yield Bad("is no share", "tracing.ratio", 1.5, "maximum: got 1.5, want 1")
    yield Bad("is negative", "tracing.ratio", -0.1, "minimum")
    key = "services.gateway.trustedProxyHops"
    yield Bad("is negative", key, -1, "minimum")
    yield Bad("is more than the gateway believes", key, 9, "maximum")
    key = "services.gateway.service"
    yield Bad("is no type", f"{key}.type", "ExternalName", "must be one of")
    yield Bad("is no port", f"{key}.port", 0, "minimum")
    yield Bad("is a word", f"{key}.port", "http", "got string, want integer")
    key = "services.gateway.ingress"
    yield Bad("has a scheme", f"{key}.host", "https://icn.example", PATTERN)
    yield Bad("is no text", f"{key}.annotations", {"a.example/on": True}, "want string", "/a.example~1on")
    yield Bad("has a space", f"{key}.annotations", {"a b": "c"}, f"{UNKNOWN} 'a b'")
    key = "services.identity.domain"
    yield Bad("has a bare port", key, "icn.example:8080", PATTERN)
    yield Bad("is empty", key, "", PATTERN)
    key = "nats.url"
    yield Bad("is plain text", key, "nats://nats:4222", PATTERN)
    yield Bad("has no port", key, "tls://nats", PATTERN)
    yield Bad("has a password in it", key, "tls://user:password@nats:4222", PATTERN)
    for key in (
        "services.gateway.allowedFrom",
        "networkPolicies.metricsFrom",
        "networkPolicies.elsewhereFrom",
    ):
        yield Bad("names nobody, that is everybody", key, [{}], "minProperties", "/0")
        yield Bad("is misspelt", key, [{"podselector": {}}], f"{UNKNOWN} 'podselector'", "/0")
        yield Bad("has no mask", key, [{"ipBlock": {"cidr": "192.0.2.1"}}], PATTERN, "/0/ipBlock/cidr")
        yield Bad("has no cidr", key, [{"ipBlock": {}}], "missing property 'cidr'", "/0/ipBlock")


def pods() -> Iterator[Bad]:
    """Environments and where pods may run."""
    key = "validators.environment"
    yield Bad("is a number", key, {"ICN_CONSENSUS_POOL": 5}, "want string", "/ICN_CONSENSUS_POOL")
    yield Bad("is no variable", key, {"pool": "5"}, f"{UNKNOWN} 'pool'")
    yield Bad("is a list", key, [{"name": "A", "value": "1"}], "got array, want object")
    for variable in ("ICN_LEDGER_DATABASE_URL", "ICN_LEDGER_NATS_PASSWORD", "ICN_SECRET"):
        yield Bad("is a credential", key, {variable: "a"}, "false schema", f"/{variable}")
    for key in ("validators", "postgres", "nats", "operator", "services.reputation"):
        yield Bad("is no text", f"{key}.nodeSelector", {"ssd": True}, "got boolean, want string", "/ssd")
        yield Bad("is no effect", f"{key}.tolerations", [{"effect": "NoRun"}], "one of", "/0/effect")
        yield Bad("is no operator", f"{key}.tolerations", [{"operator": "exists"}], "one of", "/0/operator")
        yield Bad("has an unknown key", f"{key}.tolerations", [{"keys": "a"}], f"{UNKNOWN} 'keys'", "/0")


SOURCES = (kinds, unknown_keys, names, images, seats, amounts, networks, pods)
BAD = [bad for source in SOURCES for bad in source()]


def batches(cases: list[Bad]) -> list[list[Bad]]:
    """Cases that do not touch each other together: none's key is another's or above it."""
    made: list[list[Bad]] = []
    for case in cases:
        for batch in made:
            if not any(touch(case.key, one.key) for one in batch):
                batch.append(case)
                break
        else:
            made.append([case])
    return made


def touch(key: str, other: str) -> bool:
    """Whether one is the other or above it."""
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")


def put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a key by its path."""
    *path, last = key.split(".")
    for name in path:
        values = values.setdefault(name, {})
    values[last] = value


@pytest.fixture(scope="module")
def said(helm: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What Helm says about each case by its name, at the case's path alone."""
    found = {}
    for number, batch in enumerate(batches(BAD)):
        values: dict[str, Any] = {}
        for case in batch:
            put(values, case.key, case.value)
        file = tmp_path_factory.mktemp("values") / f"{number}.json"
        file.write_text(json.dumps(values), "utf-8")
        command = [helm, "template", "icn", str(CHART), "--kube-version", "1.34.4", "--values", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        lines = re.findall(r"^ *- at '([^']*)': (.*)$", done.stderr, flags=re.MULTILINE)
        for case in batch:
            found[str(case)] = "\n".join(text for path, text in lines if path == case.at)
    return found


@pytest.mark.parametrize("case", BAD, ids=str)
def test_a_bad_value_is_refused_with_its_path(said: dict[str, str], case: Bad) -> None:
    assert case.says in said[str(case)]


def test_there_are_enough_bad_values_and_each_is_another() -> None:
    assert len(BAD) >= BAD_VALUES_MIN
    assert len({str(case) for case in BAD}) == len(BAD)


def test_every_object_of_the_schema_refuses_what_it_does_not_know() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))

    def open_ones(node: Any, path: str) -> Iterator[str]:
        if isinstance(node, dict):
            if node.get("type") == "object" and node.get("additionalProperties") is not False:
                yield path
            for key, value in node.items():
                yield from open_ones(value, f"{path}/{key}")

    assert list(open_ones(schema, "")) == []


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    removed = yaml.safe_load((CHART / "files" / "removed-keys.yaml").read_text("utf-8"))

    def keys(node: dict[str, Any], path: str = "") -> Iterator[str]:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        for name, below in node.get("properties", {}).items():
            yield f"{path}{name}"
            yield from keys(below, f"{path}{name}.")

    def there(node: Any, path: str = "") -> Iterator[str]:
        if isinstance(node, dict):
            for name, below in node.items():
                yield f"{path}{name}"
                yield from there(below, f"{path}{name}.")

    optional = re.compile(r"\.(limits|requests)\.(cpu|memory|ephemeral-storage)$")
    gone = {entry["key"] for entry in removed}
    known = {key for key in keys(schema) if not optional.search(key)} - gone
    assert known == {key for key in there(values) if not optional.search(key)}


def test_values_are_few_and_each_is_explained(chart_readme: Any) -> None:
    text = (CHART / "values.yaml").read_text("utf-8")
    assert len(text.splitlines()) <= LINES_MAX
    assert [value.key for value in chart_readme.values(text) if not value.meaning] == []


def test_the_readme_is_of_these_values(chart_readme: Any) -> None:
    made = chart_readme.readme((CHART / "values.yaml").read_text("utf-8"))
    assert (CHART / "README.md").read_text("utf-8") == made, "run python -m scripts.chart_readme"


def test_every_example_is_short_and_renders(example: Path, render: Callable[..., Any]) -> None:
    assert len(example.read_text("utf-8").splitlines()) <= EXAMPLE_LINES_MAX
    assert any(kind == "StatefulSet" for kind, _ in render(example))

"""An installation into a cluster that is not ready for it is refused before anything is made."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from icn_client.cluster_files import Release, cluster_objects

from deploy.tests.api_server import object_of, serving

CHART = Path(__file__).resolve().parents[1] / "helm" / "icn"
SEATS = range(4)
SERVICES = ("identity", "governance", "marketplace", "reputation", "gateway")
ROLES = ("consensus", "ledger", "vm")
NAMESPACE = "valley"

Object = dict[str, Any]
Install = Callable[..., subprocess.CompletedProcess[str]]


def secret(name: str, *keys: str) -> Object:
    """A Secret with something in each of its keys."""
    return object_of(
        "Secret", name, NAMESPACE, data={key: base64.b64encode(b"something").decode() for key in keys}
    )


def namespace() -> list[Object]:
    """What every namespace has."""
    return [
        object_of("Namespace", "kube-system"),
        object_of("Namespace", NAMESPACE),
        object_of("ConfigMap", "kube-root-ca.crt", NAMESPACE, data={"ca.crt": "a certificate"}),
    ]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """All that `icn cluster prepare` makes, in its namespace."""
    zone: Any = SimpleNamespace(text=b"{}", genesis=SimpleNamespace(zone="Valley"))
    keys = dict.fromkeys(SEATS, b"{}")
    made = cluster_objects(zone, Release("icn", NAMESPACE), tmp_path_factory.mktemp("prepared"), keys)[
        "items"
    ]
    return [{**one, "metadata": {**one["metadata"], "namespace": NAMESPACE}} for one in made]


def release_there(name: str) -> list[Object]:
    """A release that runs."""
    labels = {"app.kubernetes.io/name": "icn", "app.kubernetes.io/instance": name}
    labels["app.kubernetes.io/managed-by"] = "Helm"
    owner = {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": NAMESPACE}
    return [object_of("StatefulSet", f"{name}-validator-0", NAMESPACE, labels=labels, annotations=owner)]


@pytest.fixture
def install(helm: str, tmp_path: Path) -> Install:
    """What `helm install` would do with a cluster that has these objects."""
    nobody = tmp_path / "kubeconfig"
    nobody.write_text("{apiVersion: v1, kind: Config}", "utf-8")

    def run(
        objects: list[Object],
        *arguments: str,
        values: dict[str, Any] | None = None,
        forbidden: tuple[str, ...] = (),
        mode: str = "server",
    ) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(values or {}), "utf-8")
        with serving(objects, forbidden=forbidden) as address:
            command = [helm, "install", "icn", str(CHART), "--namespace", NAMESPACE, f"--dry-run={mode}"]
            command += ["--kubeconfig", str(nobody), "--kube-apiserver", address]
            command += ["--disable-openapi-validation", "--values", str(file), *arguments]
            return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


def test_a_prepared_namespace_is_installed_into(install: Install, prepared: list[Object]) -> None:
    done = install([*namespace(), *prepared])
    assert done.returncode == 0, done.stderr
    assert "Trust       hosted" in done.stdout


def test_all_that_is_missing_is_named_at_once_with_what_makes_it(
    install: Install, prepared: list[Object]
) -> None:
    there = [one for one in prepared if one["metadata"]["name"] not in ("icn-validator-2", "icn-nats-tls")]
    done = install([*namespace(), *there])
    assert done.returncode != 0
    assert "does not have what the pods need: Secret icn-validator-2, Secret icn-nats-tls. " in done.stderr
    assert f"`icn cluster prepare DIR --release icn --namespace {NAMESPACE}`" in done.stderr


def test_a_secret_without_a_key_is_named_with_the_key(install: Install, prepared: list[Object]) -> None:
    others = [one for one in prepared if one["metadata"]["name"] != "icn-gateway"]
    done = install([*namespace(), *others, secret("icn-gateway", "database-url", "database-password")])
    assert "need: nats-password in Secret icn-gateway. " in done.stderr


def test_a_namespace_that_is_not_there_yet_has_nothing_of_it(install: Install) -> None:
    done = install([object_of("Namespace", "kube-system")], "--create-namespace")
    assert done.returncode != 0
    assert "ConfigMap icn-genesis, Secret icn-validator-0" in done.stderr


def test_what_is_not_bundled_and_what_cert_manager_makes_is_not_asked_for(install: Install) -> None:
    values = {
        "tls": {"certManager": {"enabled": True, "issuer": {"name": "ours"}}},
        "postgres": {"bundled": False},
        "validators": {"postgres": {"bundled": False}},
        "nats": {"bundled": False, "url": "tls://nats.example:4222"},
    }
    there = [object_of("ConfigMap", "icn-genesis", NAMESPACE, data={"genesis.json": "{}"})]
    urls = [f"{role}-database-url" for role in ROLES]
    there += [secret(f"icn-validator-{seat}", "consensus.json", "nats-password", *urls) for seat in SEATS]
    there += [object_of("ConfigMap", f"icn-validator-{seat}-record", NAMESPACE) for seat in SEATS]
    there += [secret(f"icn-{name}", "database-url", "nats-password", "sealing.key") for name in SERVICES]
    assert install([*namespace(), *there], values=values).returncode == 0


def test_whoever_may_see_the_namespace_alone_can_install(install: Install, prepared: list[Object]) -> None:
    done = install([*namespace(), *prepared], forbidden=("Namespace",))
    assert done.returncode == 0, done.stderr
    refused = install(namespace(), forbidden=("Namespace",))
    assert "Secret icn-validator-0" in refused.stderr


def test_a_second_release_in_the_namespace_is_refused(install: Install, prepared: list[Object]) -> None:
    there = [*namespace(), *prepared, *release_there("first")]
    done = install(there)
    assert done.returncode != 0
    assert f"namespace {NAMESPACE} has the release first already" in done.stderr
    assert "Install into a namespace of its own; or set joinsAnotherRelease" in done.stderr
    assert install(there, values={"joinsAnotherRelease": True}).returncode == 0


def test_other_software_and_the_release_itself_are_no_second_one(
    install: Install, prepared: list[Object]
) -> None:
    labels = {"app.kubernetes.io/name": "wiki", "app.kubernetes.io/instance": "wiki"}
    others = [object_of("StatefulSet", "wiki", NAMESPACE, labels=labels)]
    others += [object_of("StatefulSet", "bare", NAMESPACE)]
    assert install([*namespace(), *prepared, *others, *release_there("icn")]).returncode == 0


def claiming(size: str, storage_class: str = "") -> Object:
    """A validator of the release, as its StatefulSet was made."""
    (found,) = release_there("icn")
    claims = {"record": "1Gi", "postgres": size}
    found["spec"] = {
        "volumeClaimTemplates": [
            {
                "metadata": {"name": name},
                "spec": {"resources": {"requests": {"storage": one}}}
                | ({"storageClassName": storage_class} if storage_class else {}),
            }
            for name, one in claims.items()
        ]
    }
    return found


@pytest.mark.parametrize(
    ("there", "values", "says"),
    [
        (claiming("8Gi"), {}, ""),
        (claiming("8Gi"), {"size": "8192Mi"}, ""),
        (claiming("8Gi"), {"size": "20Gi"}, 'asks for 20Gi of class "", and the StatefulSet icn-valid'),
        (claiming("20Gi"), {}, "was made with 20Gi of class"),
        (claiming("1Ti"), {"size": "1024Gi"}, ""),
        (claiming("8Gi", "fast"), {}, 'was made with 1Gi of class "fast"'),
    ],
)
def test_what_a_statefulset_claims_is_not_changed_without_a_way_out(
    install: Install, prepared: list[Object], there: Object, values: dict[str, str], says: str
) -> None:
    done = install([*namespace(), *prepared, there], values={"validators": {"postgres": values}})
    assert (done.returncode == 0) is not bool(says), done.stderr
    assert says in done.stderr
    if says:
        assert "delete statefulset icn-validator-0 --cascade=orphan" in done.stderr


def test_who_scales_by_itself_keeps_its_pods_when_values_change(
    install: Install, prepared: list[Object]
) -> None:
    (labelled,) = release_there("icn")
    there = {**object_of("Deployment", "icn-gateway", NAMESPACE), "spec": {"replicas": 3}}
    there["metadata"] = {**labelled["metadata"], "name": "icn-gateway"}
    values = {"services": {"gateway": {"autoscaling": {"enabled": True}}}}
    done = install([*namespace(), *prepared, there], values=values)
    assert done.returncode == 0, done.stderr
    (found,) = [
        one
        for one in yaml.safe_load_all(done.stdout.partition("MANIFEST:\n")[2].partition("\nNOTES:")[0])
        if one and (one["kind"], one["metadata"]["name"]) == ("Deployment", "icn-gateway")
    ]
    assert found["spec"]["replicas"] == 3


def test_where_nobody_is_asked_nothing_is_missing(install: Install) -> None:
    assert install([], mode="client").returncode == 0


def test_what_the_guard_asks_for_is_what_pods_use(install: Install, render: Callable[..., Any]) -> None:
    """Every Secret and ConfigMap that a pod needs and the chart does not make is asked for, and no other."""
    objects = render()
    # The init container reads this one from Kubernetes' API; the others are mounted or in variables.
    used = {("ConfigMap", f"icn-validator-{seat}-record") for seat in SEATS}

    def walk(node: Any) -> None:
        if isinstance(node, list):
            for one in node:
                walk(one)
        if isinstance(node, dict) and not node.get("optional"):
            for key, kind in (("secret", "Secret"), ("configMap", "ConfigMap"), ("secretKeyRef", "Secret")):
                named = node.get(key)
                if isinstance(named, dict) and not named.get("optional"):
                    used.add((kind, named.get("secretName") or named["name"]))
            for value in node.values():
                walk(value)

    walk(list(objects.values()))
    wanted = used - set(objects) - {("ConfigMap", "kube-root-ca.crt")}
    said = install(namespace()).stderr.partition("need: ")[2].partition(". `icn")[0]
    assert {tuple(one.split(" ")) for one in said.split(", ")} == wanted


def test_notes_say_what_is_true_of_the_release(install: Install, prepared: list[Object]) -> None:
    there = [*namespace(), *prepared]
    notes = install(there).stdout.partition("NOTES:")[2]
    assert "4 here, 0 elsewhere; 1 may fail" in notes
    assert notes.count("WARNING") == 3
    for command in (
        f"kubectl -n {NAMESPACE} rollout status deployment/icn-gateway",
        f"kubectl -n {NAMESPACE} port-forward service/icn-gateway 8080:80",
        "icn connect http://127.0.0.1:8080 --genesis genesis.json",
        f"helm test icn -n {NAMESPACE}",
    ):
        assert command in notes
    values = {
        "trustProfile": "independent",
        "postgres": {"bundled": False},
        "validators": {"postgres": {"bundled": False}},
        "nats": {"bundled": False, "url": "tls://nats.example:4222"},
        "services": {"gateway": {"origins": ["https://icn.example"]}},
    }
    notes = install(there, values=values).stdout.partition("NOTES:")[2]
    assert "independent: no host holds a quorum" in notes
    assert "WARNING" not in notes
    assert "icn connect https://icn.example" in notes

"""Every object is one that Kubernetes takes, field by field; and deploy/k8s is what the chart renders.

Without a cluster, kubeconform holds the objects to Kubernetes' own schemas. With ICN_VALIDATE_NAMESPACE, an
existing namespace of the cluster of KUBECONFIG, its API server is asked, too; it makes nothing but custom
resource definitions.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from deploy.tests import kubernetes_schemas

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "deploy" / "k8s" / "base"
KUBERNETES_VERSION = "1.34.4"
KINDS = [
    *(("v1", kind) for kind in ("ConfigMap", "Service", "ServiceAccount")),
    *(("apps/v1", kind) for kind in ("Deployment", "StatefulSet")),
    *(("rbac.authorization.k8s.io/v1", kind) for kind in ("Role", "RoleBinding")),
    *(("networking.k8s.io/v1", kind) for kind in ("NetworkPolicy", "Ingress")),
    *(("monitoring.coreos.com/v1", kind) for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule")),
    ("batch/v1", "Job"),
    ("policy/v1", "PodDisruptionBudget"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("cert-manager.io/v1", "Certificate"),
]
CUSTOM = ("cert-manager.io_certificates", "servicemonitors", "podmonitors", "prometheusrules")

Validate = Callable[[str], str]


@pytest.fixture(scope="session")
def validate(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Validate:
    """What kubeconform says against objects; empty where nothing is wrong."""
    kubeconform = program("kubeconform")
    openapi = kubernetes_schemas.openapi_file(KUBERNETES_VERSION)
    definitions = kubernetes_schemas.definitions_folder()
    if openapi is None or not definitions.is_dir():
        pytest.skip(
            "there are no schemas: name Kubernetes' swagger.json in KUBERNETES_OPENAPI and a folder with "
            f"definitions/PROJECT/*.yaml in CLUSTER_CACHE ({definitions} is looked at)"
        )
    folder = tmp_path_factory.mktemp("schemas")
    kubernetes_schemas.write_schemas(folder, KINDS, openapi, definitions)

    def said(text: str) -> str:
        command = [kubeconform, "-strict", "-schema-location", f"{folder}/{kubernetes_schemas.LOCATION}", "-"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    return said


@pytest.fixture(scope="session")
def ask_the_server(program: Callable[[str], str]) -> Validate:
    """What a real API server says against objects, warnings included; nothing is made."""
    namespace = os.environ.get("ICN_VALIDATE_NAMESPACE")
    if not namespace:
        pytest.skip("no cluster to ask: name an existing namespace of it in ICN_VALIDATE_NAMESPACE")
    kubectl = program("kubectl")
    files = [
        file
        for file in kubernetes_schemas.definitions_folder().glob("*/*.yaml")
        if file.stem.endswith(CUSTOM)
    ]
    for file in files:
        command = [kubectl, "apply", "--server-side", "--force-conflicts", "-f", str(file)]
        subprocess.run(command, capture_output=True, check=True)
        wait = [kubectl, "wait", "--for", "condition=Established", "--timeout", "30s", "-f", str(file)]
        subprocess.run(wait, capture_output=True, check=True)

    def said(text: str) -> str:
        objects = [one for one in yaml.load_all(text, yaml.CSafeLoader) if one]
        for one in objects:
            one["metadata"].pop("namespace", None)
        command = [kubectl, "apply", "-n", str(namespace), "--dry-run=server", "--validate=strict", "-f", "-"]
        done = subprocess.run(
            command, input=yaml.safe_dump_all(objects), capture_output=True, text=True, check=False
        )
        return done.stderr

    return said


@pytest.fixture
def overlay_text(program: Callable[[str], str], overlay: Path) -> str:
    """What kustomize makes of an overlay."""
    command = [program("kubectl"), "kustomize", str(overlay)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def example_text(helm: str, render_k8s: ModuleType, example: Path) -> str:
    """What Helm makes of an example."""
    return str(render_k8s.template(helm, "--values", str(example)))


def test_every_object_of_every_example_is_valid(validate: Validate, example_text: str) -> None:
    assert validate(example_text) == ""


def test_every_object_of_every_overlay_is_valid(validate: Validate, overlay_text: str) -> None:
    assert validate(overlay_text) == ""


def test_the_server_takes_every_example(ask_the_server: Validate, example_text: str) -> None:
    assert ask_the_server(example_text) == ""


def test_the_server_takes_every_overlay(ask_the_server: Validate, overlay_text: str) -> None:
    assert ask_the_server(overlay_text) == ""


MISSPELT = {
    "in a container": ("readOnlyRootFilesystem:", "readOnlyRootFileSystem:", "readOnlyRootFileSystem"),
    "in a pod": ("terminationGracePeriodSeconds:", "terminationGracePeriod:", "terminationGracePeriod"),
    "in a budget": ("maxUnavailable: 1\n  selector", "maxUnavailible: 1\n  selector", "maxUnavailible"),
    "in a policy": ("policyTypes:", "policyType:", "policyType"),
    "in a scaler": ("maxReplicas:", "replicasMax:", "replicasMax"),
    "in a certificate": ("rotationPolicy:", "rotationPolice:", "rotationPolice"),
    "in an ingress": ("ingressClassName:", "ingressClass:", "ingressClass"),
    "of another kind": ("pathType: Prefix", "pathType: 1", "pathType"),
}


def misspell(text: str, what: str) -> tuple[str, str]:
    """The objects with one mistake, and the field that must be named."""
    right, wrong, named = MISSPELT[what]
    assert right in text
    return text.replace(right, wrong, 1), named


@pytest.fixture
def everything(helm: str, render_k8s: ModuleType) -> str:
    """Every optional part."""
    return str(
        render_k8s.template(helm, "--values", str(render_k8s.CHART / "examples" / "everything-on.yaml"))
    )


@pytest.mark.parametrize("what", MISSPELT)
def test_a_misspelt_field_is_caught(validate: Validate, everything: str, what: str) -> None:
    text, named = misspell(everything, what)
    assert named in validate(text)


@pytest.mark.parametrize("what", MISSPELT)
def test_the_server_catches_a_misspelt_field(ask_the_server: Validate, everything: str, what: str) -> None:
    text, named = misspell(everything, what)
    assert named in ask_the_server(text)


def test_a_field_that_is_there_twice_is_caught(validate: Validate, everything: str) -> None:
    assert validate(everything.replace("spec:\n", "spec:\n  replicas: 1\n  replicas: 2\n", 1)) != ""


def test_a_kind_without_a_schema_is_not_passed_over(validate: Validate) -> None:
    text = "apiVersion: apps/v1\nkind: Deploymnt\nmetadata: {name: a}\n"
    assert "could not find schema for Deploymnt" in validate(text)


def test_the_base_is_what_the_chart_renders(helm: str, render_k8s: ModuleType) -> None:
    assert render_k8s.differences(render_k8s.base(helm), BASE) == [], "run python -m scripts.render_k8s"


def test_the_base_has_every_object_of_the_chart_but_what_only_helm_runs(
    helm: str, render_k8s: ModuleType, render: Callable[..., Any]
) -> None:
    left_out = render_k8s.by_template(render_k8s.template(helm, "--values", str(render_k8s.VALUES)))
    hidden = {
        (one["kind"], one["metadata"]["name"])
        for name in render_k8s.LEFT_OUT
        for one in yaml.load_all(left_out[name], yaml.CSafeLoader)
    }
    rendered = render(render_k8s.VALUES)
    assert hidden <= set(rendered)
    kustomization = yaml.safe_load((BASE / "kustomization.yaml").read_text("utf-8"))
    there = {
        (one["kind"], one["metadata"]["name"])
        for name in kustomization["resources"]
        for one in yaml.load_all((BASE / name).read_text("utf-8"), yaml.CSafeLoader)
    }
    assert there == set(rendered) - hidden


def test_a_change_of_the_chart_that_the_base_lacks_is_found(
    helm: str, render_k8s: ModuleType, tmp_path: Path
) -> None:
    made = render_k8s.base(helm)
    for name, text in made.items():
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "gateway.yaml").write_text(made["gateway.yaml"].replace("8080", "8081", 1), "utf-8")
    (tmp_path / "nats.yaml").unlink()
    (tmp_path / "old.yaml").write_text("", "utf-8")
    assert render_k8s.differences(made, tmp_path) == ["gateway.yaml", "nats.yaml", "old.yaml"]


def test_no_manifest_claims_to_be_of_helm() -> None:
    for file in BASE.glob("*.yaml"):
        assert "managed-by: Helm" not in file.read_text("utf-8"), file.name


@pytest.mark.parametrize("variable", ["HELM", "PATH", "CLUSTER_CACHE"])
def test_a_program_is_found_by_variable_path_and_cache(
    render_k8s: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("HELM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setenv("CLUSTER_CACHE", str(tmp_path / "nothing"))
    assert render_k8s.find_program("helm") is None
    there = tmp_path / "bin" / "helm"
    there.parent.mkdir()
    there.write_text("#!/bin/sh\n", "ascii")
    there.chmod(0o755)
    names = {"HELM": there, "PATH": there.parent, "CLUSTER_CACHE": tmp_path}
    monkeypatch.setenv(variable, str(names[variable]))
    assert render_k8s.find_program("helm") == str(there)

"""The chart as Helm renders it, without a cluster."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "icn"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
OVERLAYS = sorted(path.parent for path in (ROOT / "deploy" / "k8s" / "overlays").glob("*/kustomization.yaml"))


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"scripts_{name}", ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def render_k8s() -> ModuleType:
    """scripts/render_k8s.py."""
    return _script("render_k8s")


@pytest.fixture(scope="session")
def chart_readme() -> ModuleType:
    """scripts/chart_readme.py."""
    return _script("chart_readme")


@pytest.fixture(scope="session")
def sbom() -> ModuleType:
    """scripts/sbom.py."""
    return _script("sbom")


@pytest.fixture(scope="session")
def program(render_k8s: ModuleType) -> Callable[[str], str]:
    """Path of helm, kubectl or kubeconform; skips where this machine has none."""

    def find(name: str) -> str:
        found = render_k8s.find_program(name)
        if found is None:
            pytest.skip(f"there is no {name} on this machine; put it on PATH or name it in {name.upper()}")
        return str(found)

    return find


@pytest.fixture(scope="session")
def helm(program: Callable[[str], str]) -> str:
    """Path of Helm."""
    return program("helm")


@pytest.fixture
def render(
    helm: str, render_k8s: ModuleType, tmp_path: Path
) -> Callable[..., dict[tuple[str, str], dict[str, Any]]]:
    """Objects by kind and name that the chart makes of values; raises Refused with what Helm said."""

    def objects(
        values: dict[str, Any] | Path | None = None,
        *arguments: str,
        chart: Path = CHART,
        release: str = "icn",
    ) -> dict[tuple[str, str], dict[str, Any]]:
        file = values if isinstance(values, Path) else tmp_path / "values.yaml"
        if not isinstance(values, Path):
            file.write_text(yaml.safe_dump(values or {}), "utf-8")
        text = render_k8s.template(helm, "--values", str(file), *arguments, chart=chart, release=release)
        found = [one for one in yaml.load_all(text, yaml.CSafeLoader) if one]
        named = {(one["kind"], one["metadata"]["name"]): one for one in found}
        assert len(named) == len(found), "two objects with one name"
        return named

    return objects


@pytest.fixture
def refusal(render: Callable[..., Any], render_k8s: ModuleType) -> Callable[..., str]:
    """What Helm says against values."""

    def said(values: dict[str, Any], *arguments: str, chart: Path = CHART, release: str = "icn") -> str:
        with pytest.raises(render_k8s.Refused) as refused:
            render(values, *arguments, chart=chart, release=release)
        return str(refused.value)

    return said


@pytest.fixture(params=EXAMPLES, ids=lambda path: path.stem)
def example(request: pytest.FixtureRequest) -> Path:
    """Each of the example values files."""
    return Path(request.param)


@pytest.fixture(params=OVERLAYS, ids=lambda path: path.name)
def overlay(request: pytest.FixtureRequest) -> Path:
    """Each of the overlays of deploy/k8s."""
    return Path(request.param)

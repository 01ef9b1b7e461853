"""Every package is complete and known to the tools."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

PACKAGES = sorted(
    path.parent
    for pattern in ("libs/*/pyproject.toml", "services/*/pyproject.toml")
    for path in (Path(__file__).resolve().parent.parent).glob(pattern)
)


def module_of(package: Path) -> str:
    return f"icn_{package.name}"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_package_is_typed_tested_and_described(package: Path) -> None:
    module = package / "src" / module_of(package)
    assert (module / "__init__.py").read_text().startswith('"""'), "say what the package is for"
    assert (module / "py.typed").exists()
    assert any((package / "tests").rglob("test_*.py")), "a package without tests"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_package_declares_the_workspace_packages_it_imports(package: Path) -> None:
    declared = set(tomllib.loads((package / "pyproject.toml").read_text())["project"]["dependencies"])
    source = "\n".join(path.read_text() for path in (package / "src").rglob("*.py"))
    used = {
        f"icn-{other.name}"
        for other in PACKAGES
        if other != package
        and (f"from {module_of(other)}" in source or f"import {module_of(other)}" in source)
    }
    assert used <= declared


def test_the_import_rules_cover_every_package(root: Path) -> None:
    rules = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    contracts = {contract["id"]: contract for contract in rules["contracts"]}
    modules = sorted(module_of(package) for package in PACKAGES)
    services = [module_of(package) for package in PACKAGES if package.parent.name == "services"]
    assert rules["root_packages"] == modules
    assert contracts["rooms"]["containers"] == services
    assert contracts["services"]["modules"] == services
    layered = {name for layer in contracts["libraries"]["layers"] for name in layer.split(" | ")}
    assert layered == set(modules)

"""skaffold.yaml adds nothing of its own: it builds as make does and installs the chart."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from .conftest import CHART, ROOT

LINES_MAX = 40


@pytest.fixture
def skaffold() -> Any:
    return yaml.safe_load((ROOT / "skaffold.yaml").read_text("utf-8"))


def test_it_builds_by_make_and_from_what_is_there(skaffold: Any) -> None:
    (artifact,) = skaffold["build"]["artifacts"]
    command = artifact["custom"]["buildCommand"]
    assert command.startswith("make images TAG=")
    assert "\nimages:" in (ROOT / "Makefile").read_text("utf-8")
    for path in artifact["custom"]["dependencies"]["paths"]:
        assert (ROOT / path).exists(), path


def test_it_installs_the_chart_with_values_that_there_are(skaffold: Any) -> None:
    (release,) = skaffold["deploy"]["helm"]["releases"]
    assert (ROOT / release["chartPath"]).samefile(CHART)
    assert all((ROOT / path).is_file() for path in release["valuesFiles"])
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    for key in release["setValueTemplates"]:
        found = values
        for name in key.split("."):
            found = found[name]


def test_it_stays_thin() -> None:
    assert len((ROOT / "skaffold.yaml").read_text("utf-8").splitlines()) <= LINES_MAX

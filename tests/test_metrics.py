"""Metrics: what a service exports its README lists, with the same labels, and nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[1] / "services"
CONSTRUCTORS = ("Counter", "Gauge", "Histogram", "GaugeMetricFamily")
ROW = re.compile(r"^\| `(icn_\w+)(?:\{([\w,]+)\})?` \|", re.MULTILINE)
NAME = re.compile(r"icn_[a-z]+(_[a-z]+)+")
IDENTIFYING = {"did", "principal", "account", "organization", "transaction", "block", "peer", "key"}
"""Labels that would name somebody, or have no end of values."""


def exported(service: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Name and labels of each metric that a service's source makes."""
    for path in sorted((SERVICES / service / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (
                isinstance(node, ast.Call) and getattr(node.func, "id", "") in CONSTRUCTORS and node.args
            ):
                continue  # what is left out has another Counter, that of the standard library
            named = {keyword.arg: keyword.value for keyword in node.keywords}
            labels = node.args[2] if len(node.args) > 2 else named.get("labels")
            yield (
                ast.literal_eval(node.args[0]),
                tuple(ast.literal_eval(labels)) if labels is not None else (),
            )


def documented(service: str) -> dict[str, tuple[str, ...]]:
    """Name and labels of each metric in the tables of a service's README."""
    rows = ROW.findall((SERVICES / service / "README.md").read_text("utf-8"))
    return {name: tuple(labels.split(",")) if labels else () for name, labels in rows}


@pytest.mark.parametrize("service", sorted(path.name for path in SERVICES.iterdir() if path.is_dir()))
def test_a_service_documents_the_metrics_that_it_exports(service: str) -> None:
    made = list(exported(service))
    assert dict(made) == documented(service)
    assert len(made) == len(dict(made)), "each is made once"
    for name, labels in made:
        assert NAME.fullmatch(name)
        assert name.startswith(f"icn_{service}_")
        assert not IDENTIFYING & set(labels), name

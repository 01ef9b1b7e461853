"""Writes the README.md of the chart from values.yaml: ``python -m scripts.chart_readme`` (or ``--check``).

A value's meaning is the comment above it; where it has none, what its name means everywhere, or the comment
above what it belongs to.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "helm" / "icn"
README = CHART / "README.md"
WHOLE = ("resources",)
"""Blocks that are one value to whoever sets them."""

USUAL = {
    "autoscaling": (
        "More pods while they use more than cpuPercent of the processor time that they request; "
        "needs the metrics server."
    ),
    "environment": "Further settings, as the environment of its process; no credentials.",
    "nodeSelector": "Labels of the nodes that it may run on.",
    "replicas": "Pods; where autoscaling is enabled, the fewest.",
    "resources": "Requests and limits of its containers.",
    "size": "Of its volume, which Kubernetes cannot make smaller.",
    "storageClass": "Of its volume; empty: the cluster's own.",
    "tolerations": "Taints of nodes that it may run on all the same.",
}
"""Names that mean the same wherever they are, so that values.yaml need not say it each time."""

HEAD = """\
# The chart icn

The shared platform of a federation of cooperatives: validators, services, gateway. It makes no secret:
what pods need beside it is there before, as `icn cluster prepare` writes it.

```sh
icn cluster prepare federation --zone "Valley Federation"
kubectl create namespace icn && kubectl -n icn apply -f federation/objects.json
helm install icn deploy/helm/icn -n icn -f federation/values.yaml
```

| example | for |
|---|---|
| [minimal](examples/minimal.yaml) | the least that must be said |
| [evaluation](examples/evaluation.yaml) | everything on one small cluster |
| [production](examples/production.yaml) | what people live on |
| [external-postgres](examples/external-postgres.yaml) | CloudNativePG and NATS of your own |
| [cert-manager](examples/cert-manager.yaml) | certificates that renew themselves |
| [everything-on](examples/everything-on.yaml) | every optional part, to copy from |

From a version to the next: [UPGRADING.md](UPGRADING.md). Without Helm: `deploy/k8s/`.

## Values

Written by `python -m scripts.chart_readme` from [values.yaml](values.yaml). What is not here is refused.

| key | default | meaning |
|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Value:
    """A line of the table."""

    key: str
    default: str
    meaning: str


def comment_above(lines: list[str], number: int, column: int) -> str:
    """The comment that ends just above a line (from 0), in the same column; empty where there is none."""
    found: list[str] = []
    prefix = " " * column + "#"
    while number > 0 and lines[number - 1].startswith(prefix):
        number -= 1
        found.insert(0, lines[number].strip().removeprefix("#").strip())
    return " ".join(found)


def values(text: str) -> list[Value]:
    """Every leaf of values.yaml, in its order."""
    lines = text.splitlines()

    def walk(node: yaml.MappingNode, path: str, inherited: str) -> Iterator[Value]:
        for key, value in node.value:
            name = f"{path}{key.value}"
            own = comment_above(lines, key.start_mark.line, key.start_mark.column)
            is_block = isinstance(value, yaml.MappingNode) and not value.flow_style
            if is_block and key.value not in WHOLE:
                yield from walk(value, f"{name}.", own or inherited)
                continue
            meaning = own or USUAL.get(key.value) or inherited
            pairs = value.value if is_block else [(value, value)]
            shown = ", ".join(text[one.start_mark.index : last.end_mark.index].strip() for one, last in pairs)
            yield Value(name, f"{{{shown}}}" if is_block else shown, meaning)

    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode), "values.yaml is a map"
    return list(walk(root, "", ""))


def readme(text: str) -> str:
    """The whole file."""
    rows = []
    for value in values(text):
        meaning = value.meaning.replace("|", "\\|")
        rows.append(f"| `{value.key}` | `{value.default}` | {meaning} |\n")
    return HEAD + "".join(rows)


def main() -> None:
    """Write or check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    made = readme((CHART / "values.yaml").read_text("utf-8"))
    if not options.check:
        README.write_text(made, "utf-8")
    elif not README.is_file() or README.read_text("utf-8") != made:
        sys.exit("deploy/helm/icn/README.md is not of these values: run python -m scripts.chart_readme")


if __name__ == "__main__":
    main()

"""JSON schemas for kubeconform, made on this machine: of Kubernetes' OpenAPI file and of custom definitions.

Stricter than what they are made of: an object with named properties takes no others, which is how a misspelt
field is found.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

Schema = dict[str, Any]
Kind = tuple[str, str]
"""apiVersion and kind."""

LOCATION = "{{.ResourceKind}}-{{.Group}}-{{.ResourceAPIVersion}}.json"
"""As kubeconform fills it in: where there is no group, it takes the version."""
INT_OR_STRING = {"oneOf": [{"type": "string"}, {"type": "integer"}]}
SPECIAL = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": INT_OR_STRING,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
}
NAMED = ("properties", "definitions")
"""What is below them are names, not words of a schema."""
DEFINITIONS = "#/definitions/"


def openapi_file(version: str) -> Path | None:
    """Kubernetes' own: KUBERNETES_OPENAPI, or in the module cache of Go, where its sources were fetched."""
    if given := os.environ.get("KUBERNETES_OPENAPI"):
        return Path(given)
    go = Path(os.environ.get("GOPATH") or Path.home() / "go")
    modules = Path(os.environ.get("GOMODCACHE") or go / "pkg" / "mod")
    file = modules / "k8s.io" / f"kubernetes@v{version}" / "api" / "openapi-spec" / "swagger.json"
    return file if file.is_file() else None


def definitions_folder() -> Path:
    """Where the cluster's tools keep the custom resource definitions of others."""
    cache = Path(os.environ.get("CLUSTER_CACHE") or Path.home() / ".cache" / "icn-cluster")
    return cache / "definitions"


def write_schemas(folder: Path, kinds: Iterable[Kind], openapi: Path, definitions: Path) -> None:
    """Write the schema of each kind that is known; kubeconform says which are not."""
    built_in = json.loads(openapi.read_text("utf-8"))["definitions"]
    wanted = set(kinds)
    found: dict[Kind, Schema] = {}
    for name, definition in built_in.items():
        for one in definition.get("x-kubernetes-group-version-kind", ()):
            version = f"{one['group']}/{one['version']}".removeprefix("/")
            if (kind := (version, one["kind"])) in wanted:
                found[kind] = with_definitions(name, built_in)
    for file in sorted(definitions.glob("*/*.yaml")):
        group, _, resource = file.stem.partition("_")
        if any(
            version.startswith(f"{group}/") and resource.startswith(kind.lower()) for version, kind in wanted
        ):
            found.update(of_definition(yaml.load(file.read_text("utf-8"), yaml.CSafeLoader)))
    for (version, kind), schema in found.items():
        group, _, plain = version.rpartition("/")
        (folder / f"{kind.lower()}-{group or plain}-{plain}.json").write_text(json.dumps(schema), "utf-8")


def with_definitions(name: str, built_in: dict[str, Schema]) -> Schema:
    """A definition with all that it needs."""
    needed: dict[str, Schema] = {}
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one not in needed:
            needed[one] = SPECIAL.get(one) or strict(built_in[one])
            waiting += references(needed[one])
    return {"$ref": DEFINITIONS + name, "definitions": needed}


def references(node: Any) -> Iterator[str]:
    """Names of the definitions that a schema refers to."""
    if isinstance(node, dict):
        if isinstance(target := node.get("$ref"), str):
            yield target.removeprefix(DEFINITIONS)
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def of_definition(definition: dict[str, Any]) -> dict[Kind, Schema]:
    """Schemas of a CustomResourceDefinition's versions."""
    spec = definition["spec"]
    made = {}
    for version in spec["versions"]:
        schema = strict(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"type": "object"}
        made[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return made


def strict(node: Any) -> Any:
    """The same with every object closed."""
    if isinstance(node, list):
        return [strict(one) for one in node]
    if not isinstance(node, dict):
        return node
    if node.get("x-kubernetes-int-or-string") is True:
        return INT_OR_STRING
    made = {key: strict(value) for key, value in node.items() if key not in (*NAMED, "format", "default")}
    for key in NAMED:
        if isinstance(node.get(key), dict):
            made[key] = {name: strict(value) for name, value in node[key].items()}
    properties = made.get("properties", {})
    if properties and "additionalProperties" not in node:
        made["additionalProperties"] = node.get("x-kubernetes-preserve-unknown-fields") is True
    for name in set(properties) - set(node.get("required", ())):
        # Null in an optional field is what an API server takes as absent.
        if properties[name].get("type") in ("array", "object"):
            properties[name]["type"] = [properties[name]["type"], "null"]
    return made

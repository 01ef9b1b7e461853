from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from icn_gateway.api import reads
from icn_gateway.api.application import API_ROUTES
from icn_gateway.api.document import openapi_document
from icn_gateway.usecases.contracts import LEDGER
from icn_kit.min_height import MIN_HEIGHT_KEY

DOCUMENT: dict[str, Any] = json.loads(openapi_document(API_ROUTES))


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


async def test_the_document_is_served_where_tools_look_for_it(client: httpx.AsyncClient) -> None:
    answer = await client.get("/openapi.json")
    assert answer.json() == DOCUMENT
    assert DOCUMENT["openapi"].startswith("3.1")


@pytest.mark.parametrize(("name", "operation"), list(operations()))
def test_every_operation_says_what_it_does_and_how_it_fails(name: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"]
    assert {"429", "500", "503"} <= set(operation["responses"])
    for status, response in operation["responses"].items():
        assert response["description"]
        media_types = set(response["content"])
        assert (media_types == {"application/problem+json"}) is (int(status) >= 400), (name, status)


@pytest.mark.parametrize(("name", "operation"), list(operations()))
def test_every_parameter_is_described_and_bounded(name: str, operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        assert parameter["description"], (name, parameter["name"])
        schema = parameter["schema"]
        is_bounded = (
            "maximum" in schema or "maxLength" in schema or "allOf" in schema or schema["type"] == "boolean"
        )
        assert is_bounded, (name, parameter["name"])


@pytest.mark.parametrize("view", list(DOCUMENT["components"]["schemas"]))
def test_every_field_of_every_document_is_described(view: str) -> None:
    schema = DOCUMENT["components"]["schemas"][view]
    assert schema.get("description") or "enum" in schema
    for name, field in schema.get("properties", {}).items():
        described = (
            field.get("description") or "$ref" in field or any("$ref" in str(part) for part in field.values())
        )
        if not described and "anyOf" in field:
            described = any("description" in option for option in field["anyOf"])
        assert described, (view, name)


def test_money_is_never_a_json_number() -> None:
    for view, schema in DOCUMENT["components"]["schemas"].items():
        for name, field in schema.get("properties", {}).items():
            if name.endswith("_minor"):
                assert field["type"] == "string", (view, name)


def test_every_reference_points_to_something() -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for item in value.values():
                yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    for reference in references(DOCUMENT):
        assert reference.removeprefix("#/components/schemas/") in DOCUMENT["components"]["schemas"]


def test_the_reads_of_the_ledger_and_no_others_take_a_height() -> None:
    taking = {
        name
        for name, operation in operations()
        if any(one["name"] == MIN_HEIGHT_KEY for one in operation.get("parameters", ()))
    }
    assert {name for name in taking if name.startswith("post")} == {
        "post /v1/calls",
        "post /v1/contracts/{contract_id}:query",
    }
    assert {"get /v1/accounts/{account_id}", "get /v1/accounts/{account_id}/entries"} < taking
    assert not [name for name in taking if "offers" in name or "scores" in name or "/v1/events" in name]
    for read in reads.ALL:
        assert (f"get {read.openapi_path}" in taking) is (read.method.service == LEDGER), read.openapi_path

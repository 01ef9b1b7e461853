"""Whatever the OpenAPI document allows or forbids, the gateway answers as it says (schemathesis)."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from icn_gateway.api.account_streams import WATCH_PATH
from icn_gateway.api.application import API_ROUTES
from icn_gateway.api.document import openapi_document
from icn_gateway.api.fields import EXAMPLE_DIGEST, EXAMPLE_ID
from icn_gateway.api.server import HttpServer
from icn_gateway.domain.rate_limit import RateLimit
from icn_localnet.files import free_port
from schemathesis import GenerationMode

EXAMPLES_MAX = 25
"""Per operation and kind of input: enough to meet every rule of the document, little enough for every run."""
CHECKS = [
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_schema_conformance,
]
WITHOUT_EXAMPLE = ("/v1/sessions", "/v1/calls")
"""No example of the document can hold a signature, or bytes that are a message: whether some that are drawn
are one is luck. tests/unit/api/test_sessions.py signs, and test_forwarding.py calls."""
NO_LIMIT = RateLimit(per_second=1e6, burst=1e6)

schema = schemathesis.openapi.from_dict(json.loads(openapi_document(API_ROUTES)))
schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
operations = schema.exclude(path=["/v1/events", WATCH_PATH])
"""Without those whose answer has no end: tests/integration/test_server.py and test_account_streams.py."""


def add_examples(zone: Any) -> None:
    """Give the zone what the document's examples name, so that every operation also succeeds."""
    example, digest = bytes.fromhex(EXAMPLE_ID), bytes.fromhex(EXAMPLE_DIGEST)
    for table in (
        zone.units,
        zone.accounts,
        zone.controllers,
        zone.holds,
        zone.allowances,
        zone.recoveries,
        zone.transactions,
    ):
        table[digest if table is zone.transactions else example] = next(iter(table.values()))
    zone.proofs[f"accounts/{EXAMPLE_ID}"] = next(iter(zone.proofs.values()))


@pytest.fixture(scope="module")
def gateway_url(make: Any, genesis_path: Path) -> Iterator[str]:
    """A gateway over a zone in memory, in a thread of its own."""
    port = free_port()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    zone = make.zone(genesis_path)
    add_examples(zone)

    async def start() -> HttpServer:
        server = HttpServer(make.edge(make.context(zone), rate_limit=NO_LIMIT), "127.0.0.1", port)
        await server.start()
        return server

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    yield f"http://127.0.0.1:{port}"
    asyncio.run_coroutine_threadsafe(server.drain(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(20)
    loop.close()


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, set[int]]]:
    """Which statuses each operation answered with; at the end every one must have succeeded and refused."""
    statuses: dict[str, set[int]] = {}
    yield statuses
    never_succeeded = [
        name
        for name, found in statuses.items()
        if not {200, 202} & found and not name.endswith(WITHOUT_EXAMPLE)
    ]
    assert not never_succeeded, f"the examples of {never_succeeded} lead nowhere"


@operations.parametrize()
@settings(max_examples=EXAMPLES_MAX, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_document_declares(
    case: schemathesis.Case, gateway_url: str, seen: dict[str, set[int]]
) -> None:
    answer = case.call_and_validate(base_url=gateway_url, checks=CHECKS)
    seen.setdefault(case.operation.label, set()).add(answer.status_code)

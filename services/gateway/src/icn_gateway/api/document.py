"""The OpenAPI 3.1 document, made from the routes and views themselves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec
from icn_kit.min_height import MIN_HEIGHT_KEY, MIN_HEIGHT_MAX
from litestar import Litestar
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import License, Tag

from icn_gateway.api import account_streams, asking, reads, views
from icn_gateway.api.reads import described
from icn_gateway.usecases.contracts import LEDGER

API_VERSION = "1.0.0"

_DESCRIPTION = """\
The only public door of an ICN zone. It holds no key of a member: it carries signed bytes to the validators
and services, and reads what they know. Ids are lower-case hex. Amounts are decimal strings of minor units
beside the unit's `scale`. Lists have cursors: `page_size`, `page_token`, `next_page_token`. Refusals are
`application/problem+json` (RFC 9457) with a stable `reason` and the `figures` that were compared. Whatever
moves credit is a transaction that its owner signed, every other change a command that its member signed.
"""

_TAGS = {
    "Transactions": "Signed bytes in, receipts out.",
    "Commands": "What a member asks of a service, signed.",
    "Accounts": "Balances, entries and holds.",
    "Units": "Units of account.",
    "Principals": "Who may sign, and what an organization's transactions may use.",
    "Authorities": "Organizations that act by their members' countersignatures, and what seats did.",
    "Memberships": "Who belongs where, as the ledger has it.",
    "Polls": "Ballots as commitments, and decisions in force.",
    "Contracts": "What contracts hold and answer.",
    "Identity": "DIDs, credentials and who may do what.",
    "Organizations": "Who the organizations and their members are.",
    "Governance": "Proposals, results, decisions under way.",
    "Marketplace": "Resources and bookings, offers and agreements.",
    "Reputation": "Scores and what they are the sum of.",
    "Blocks": "What was made final, in order.",
    "Proofs": "State that can be checked offline.",
    "Zone": "Validators and genesis.",
    "Events": "What happens, as it happens.",
    "Sessions": "Signing in by signature, to read what is one's own.",
    "Operations": "For those who run it.",
}

_LEDGER_TAGS = frozenset({"Transactions", "Accounts", "Units", "Principals", "Blocks", "Proofs"})
"""Of the routes that are more than one call; they have no other reads."""
_LEDGER_QUESTIONS = frozenset({"/v1/calls", "/v1/contracts/{contract_id}:query"})
"""POST, and reads of the ledger."""
_MIN_HEIGHT = {
    "name": MIN_HEIGHT_KEY,
    "in": "header",
    "required": False,
    "description": "The answer is of a state at or above this height, such as that of the block with one's "
    "own transaction; absent: of the newest that the validator asked has. 503 with reason STATE_BEHIND where "
    "none gets there in time, 400 with reason MIN_HEIGHT_MALFORMED.",
    "schema": {"type": "integer", "minimum": 0, "maximum": MIN_HEIGHT_MAX},
    "example": 12,
}


@cache
def openapi_document(routes: tuple[Any, ...]) -> bytes:
    """The document of ``routes`` as JSON.

    Litestar describes paths, parameters and responses; the schemas of the documents come from msgspec,
    which also encodes them, so that what is described is what is sent.
    """
    application = Litestar(
        route_handlers=routes,
        dependencies={
            "context": Provide(lambda: None, sync_to_thread=False)
        },  # else it would look like a parameter
        openapi_config=OpenAPIConfig(
            title="ICN gateway",
            version=API_VERSION,
            description=_DESCRIPTION,
            license=License(name="Apache-2.0", identifier="Apache-2.0"),
            use_handler_docstrings=True,
            operation_id_creator=lambda handler, _method, _path: handler.handler_name,
            tags=[Tag(name=name, description=description) for name, description in _TAGS.items()],
        ),
    )
    document: dict[str, Any] = application.openapi_schema.to_schema()
    documents = [
        view for view in vars(views).values() if isinstance(view, type) and issubclass(view, views.View)
    ]
    _, schemas = msgspec.json.schema_components(
        [view for view in documents if view is not views.View], ref_template="#/components/schemas/{name}"
    )
    document["components"]["schemas"].update(schemas)
    document["components"]["schemas"].update(
        described.schemas(read.method.descriptor.output_type for read in reads.ALL if read.content is None)
    )
    for path in document["paths"].values():
        for operation in path.values():
            words = " ".join(operation["description"].split())
            operation["summary"] = words.partition(". ")[0].rstrip(".")
            operation["description"] = words
            done = operation["responses"]["200"]
            if done["description"] == HTTPStatus.OK.description:
                done["description"] = operation["summary"]
    for read in reads.ALL:
        document["paths"].setdefault(read.openapi_path, {})["get"] = described.operation(read)
    document["paths"]["/v1/contracts/{contract_id}:query"] = {"post": asking.query_operation()}
    for operation in _reads_of_ledger(document):
        operation.setdefault("parameters", []).append(_MIN_HEIGHT)
    for path in ("/v1/events", account_streams.STATEMENT_PATH, account_streams.WATCH_PATH):
        for content in document["paths"][path]["get"]["responses"]["200"]["content"].values():
            content["schema"] = {"type": "string"}
    return msgspec.json.encode(_whole_numbers(document))


def _reads_of_ledger(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    services = {read.openapi_path: read.method.service for read in reads.ALL}
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            if path in services:
                is_read = services[path] == LEDGER
            else:
                is_read = verb == "get" and not _LEDGER_TAGS.isdisjoint(operation["tags"])
            if is_read or path in _LEDGER_QUESTIONS:
                yield operation


def _whole_numbers(value: Any) -> Any:
    """Litestar writes integer bounds as ``500.0``, which some generators take for a type."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _whole_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    return value

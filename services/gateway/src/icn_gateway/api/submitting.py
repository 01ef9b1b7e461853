"""Routes that take signed bytes to the validators. Nothing here can sign, or change what was signed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.openapi.spec import (
    Example,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Reference,
    RequestBody,
    Schema,
)
from litestar.params import QueryParameter

from icn_gateway.api import translate, views
from icn_gateway.api.bodies import JSON, OCTET_STREAM, decode_json, media_type, read_body, read_bytes_or_json
from icn_gateway.api.context import Context
from icn_gateway.api.declared import PROBLEMS_OF_BATCHES, PROBLEMS_OF_SUBMISSION
from icn_gateway.api.fields import EXAMPLE_TRANSACTION
from icn_gateway.api.idempotency import IdempotencyKey, check_idempotency_key
from icn_gateway.api.problems import AnyRequest, HttpProblem, status_of_refusal
from icn_gateway.domain.outcome import (
    BATCH_TRANSACTIONS_MAX,
    TRANSACTION_BYTES_MAX,
    WAIT_MS_MAX,
    Outcome,
    OutcomeState,
)
from icn_gateway.usecases.submit_transactions import submit_transactions, transaction_id

BODY_BYTES_MAX = 128 * 1024
"""The largest transaction in base64, with the JSON around it."""
BATCH_BODY_BYTES_MAX = 8 * 1024 * 1024
"""Decoded it fits one message to a validator (8 MiB); a thousand transfers with one signature need 0.4 MB."""

_TRANSACTION_BYTES = f"Canonical bytes of a signed `icn.ledger.v1.Transaction`, 1 to {TRANSACTION_BYTES_MAX}"
_TRANSACTION = Schema(
    type=OpenAPIType.STRING,
    content_encoding="base64",
    description=f"{_TRANSACTION_BYTES}, in base64.",
    min_length=4,
    max_length=(TRANSACTION_BYTES_MAX + 2) // 3 * 4,
    examples=[EXAMPLE_TRANSACTION],
)


def _object(**properties: Schema | Reference) -> Schema:
    return Schema(
        type=OpenAPIType.OBJECT, properties=properties, required=list(properties), additional_properties=False
    )


_SINGLE_BODY = RequestBody(
    required=True,
    description="The signed transaction, as bytes or as JSON.",
    content={
        OCTET_STREAM: OpenAPIMediaType(
            schema=Schema(
                type=OpenAPIType.STRING,
                format=OpenAPIFormat.BINARY,
                description=f"{_TRANSACTION_BYTES}.",
            )
        ),
        JSON: OpenAPIMediaType(schema=_object(transaction=_TRANSACTION)),
    },
)
_BATCH_BODY = RequestBody(
    required=True,
    description=f"1 to {BATCH_TRANSACTIONS_MAX} signed transactions, {BATCH_BODY_BYTES_MAX} bytes in all.",
    content={
        JSON: OpenAPIMediaType(
            schema=_object(
                transactions=Schema(
                    type=OpenAPIType.ARRAY,
                    items=_TRANSACTION,
                    min_items=1,
                    max_items=BATCH_TRANSACTIONS_MAX,
                    description="In the order they are to be tried; those of one lane ascending by sequence.",
                )
            )
        )
    },
)


@dataclass
class SubmissionOperation(Operation):
    """Declares the two forms of a body that the handler reads itself."""

    def __post_init__(self) -> None:
        self.request_body = _SINGLE_BODY


@dataclass
class BatchOperation(Operation):
    """Declares the body of a batch, which the handler reads itself."""

    def __post_init__(self) -> None:
        self.request_body = _BATCH_BODY


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    transactions: Annotated[list[bytes], msgspec.Meta(min_length=1, max_length=BATCH_TRANSACTIONS_MAX)]


WaitMs = Annotated[
    int,
    QueryParameter(
        name="wait_ms",
        description=(
            f"How long to wait for the end, 0 to {WAIT_MS_MAX} ms; 0 answers once a pool has taken it."
        ),
        ge=0,
        le=WAIT_MS_MAX,
        examples=[Example(value=5_000)],
    ),
]


@post(
    "/v1/transactions",
    status_code=200,
    responses=PROBLEMS_OF_SUBMISSION,
    request_max_body_size=BODY_BYTES_MAX,
    operation_class=SubmissionOperation,
    response_description="A final block includes the transaction.",
    tags=["Transactions"],
)
async def submit_transaction(
    request: AnyRequest,
    context: NamedDependency[Context],
    wait_ms: WaitMs = 0,
    idempotency_key: IdempotencyKey = "",
) -> Response[views.Committed]:
    """Submit one signed transaction.

    Idempotent by transaction id: sending the same bytes again is safe and gives the first answer. 200: a
    final block includes it and `receipt.status` tells whether it took effect. 202: open, ask at `poll`.
    Anything else had no effect, save 503 and 504, after which the outcome is unknown and `transaction_id`
    says what to ask for. An Idempotency-Key is not needed; one that is not the transaction's id is refused
    with 422, for its sender believes to repeat something else.
    """
    transaction = await read_bytes_or_json(request, "transaction")
    check_idempotency_key(idempotency_key, transaction_id(transaction, context.genesis.hash))
    (outcome,) = await submit_transactions(
        [transaction], wait_ms, context.genesis.hash, context.pool, context.ledger
    )
    return _answer(outcome)


@post(
    "/v1/transactions:batch",
    status_code=200,
    responses=PROBLEMS_OF_BATCHES,
    request_max_body_size=BATCH_BODY_BYTES_MAX,
    operation_class=BatchOperation,
    response_description="One outcome per transaction.",
    tags=["Transactions"],
)
async def submit_batch(
    request: AnyRequest, context: NamedDependency[Context], wait_ms: WaitMs = 0
) -> views.BatchOutcomes:
    """Submit up to 1,000 signed transactions; each gets an outcome of its own.

    Idempotent by transaction id, one by one. They do not stand or fall together.
    """
    if media_type(request) != JSON:
        raise HttpProblem(415, "MEDIA_TYPE_NOT_SUPPORTED", f"the body must be {JSON}")
    batch = decode_json(await read_body(request), _Batch)
    outcomes = await submit_transactions(
        batch.transactions, wait_ms, context.genesis.hash, context.pool, context.ledger
    )
    return views.BatchOutcomes(
        outcomes=[translate.batch_outcome(position, outcome) for position, outcome in enumerate(outcomes)]
    )


def _answer(outcome: Outcome) -> Response[Any]:
    identifier = outcome.transaction_id.hex()
    match outcome.state:
        case OutcomeState.COMMITTED:
            return Response(
                views.Committed(
                    transaction_id=identifier,
                    state="committed",
                    height=outcome.height,
                    receipt=translate.parse_receipt(outcome.receipt),
                )
            )
        case OutcomeState.PENDING | OutcomeState.UNKNOWN:
            poll = f"/v1/transactions/{identifier}"
            return Response(
                views.Pending(
                    transaction_id=identifier,
                    state="pending" if outcome.state is OutcomeState.PENDING else "unknown",
                    poll=poll,
                ),
                status_code=202,
                headers={"location": poll},
            )
        case OutcomeState.REFUSED | OutcomeState.EXPIRED:
            reason = outcome.reason or outcome.state.upper()
            raise HttpProblem(
                status_of_refusal(reason, outcome.retry_after_ms),
                reason,
                outcome.message or "no validator's pool took the transaction",
                transaction_id=identifier,
                retry_after_seconds=outcome.retry_after_ms / 1_000,
            )

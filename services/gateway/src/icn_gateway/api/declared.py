"""Which problems a route may answer with, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping

from litestar.openapi.datastructures import ResponseSpec

from icn_gateway.api.problems import PROBLEM_MEDIA_TYPE
from icn_gateway.api.views import Pending, Problem

PROBLEM_DESCRIPTIONS = {
    400: "The request is wrong whatever the state: `reason` and `detail` say what.",
    401: "Whoever asks did not show who it is: signature, key or session.",
    403: "Not authorized: signature, key, scope, threshold, payer, membership.",
    404: "There is no such thing.",
    408: "The body arrived too slowly.",
    409: "The state does not allow it: `reason` says why.",
    413: "The body is larger than allowed.",
    415: "The body's media type is none of those offered.",
    422: "Refused by a validator, or the Idempotency-Key is of something else; `reason` says why.",
    429: "Too many requests from this address, or a pool or an allowance is full; see Retry-After.",
    500: "A fault of the gateway, found by the trace id.",
    502: "A validator or service could not answer.",
    503: "No validator or not the service is reachable, or this process is stopping; see Retry-After.",
    504: "No answer in time.",
}
_ALWAYS = (400, 429, 500, 502, 503, 504)


def problems(*statuses: int) -> Mapping[int, ResponseSpec]:
    """The responses of a route that answers with these problems."""
    return {
        status: ResponseSpec(
            Problem,
            description=PROBLEM_DESCRIPTIONS[status],
            media_type=PROBLEM_MEDIA_TYPE,
            generate_examples=False,
        )
        for status in sorted(statuses)
    }


PROBLEMS_OF_LISTS = problems(*_ALWAYS)
PROBLEMS_OF_READS = problems(*_ALWAYS, 404)
PROBLEMS_OF_STREAMS = problems(*_ALWAYS)
PROBLEMS_OF_SUBMISSION = {
    202: ResponseSpec(
        Pending,
        description="The outcome is open: ask at `poll`.",
        media_type="application/json",
        generate_examples=False,
    ),
    **problems(*_ALWAYS, 403, 408, 409, 413, 415, 422),
}
PROBLEMS_OF_COMMANDS = problems(*_ALWAYS, 401, 403, 404, 408, 409, 413, 415, 422)
PROBLEMS_OF_BATCHES = problems(*_ALWAYS, 408, 413, 415)

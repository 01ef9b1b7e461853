"""Refusals as application/problem+json (RFC 9457): which status, which reason, and nothing of our insides."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from icn_kit.errors import DomainError, ErrorKind
from icn_kit.trace import Trace, current_trace
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from icn_gateway.api.views import Problem
from icn_gateway.usecases.send_command import CommandFailed
from icn_gateway.usecases.submit_transactions import SubmissionFailed

PROBLEM_MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1
"""A validator restarts, or a leader changes, in about this time."""
DETAIL_CHARACTERS_MAX = 512

_STATUS_OF_KIND = {
    ErrorKind.INVALID_ARGUMENT: 400,
    ErrorKind.OUT_OF_RANGE: 400,
    ErrorKind.UNAUTHENTICATED: 401,
    ErrorKind.PERMISSION_DENIED: 403,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.ALREADY_EXISTS: 409,
    ErrorKind.ABORTED: 409,
    ErrorKind.FAILED_PRECONDITION: 409,
    ErrorKind.RESOURCE_EXHAUSTED: 429,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.DEADLINE_EXCEEDED: 504,
}
"""Everything else is a fault of a validator: 502."""
_BAD_GATEWAY = 502
_STATUS_OF_REASON = {"HEIGHT_NOT_REACHED": 409}
"""A question about a height that is yet to come is no outage."""

_STATUS_OF_REFUSAL = {
    "MALFORMED_TRANSACTION": 400,
    "CONTROLLER_UNKNOWN": 403,
    "PAYER_NOT_ALLOWED": 403,
    "KEY_UNKNOWN": 403,
    "KEY_SCOPE_EXCEEDED": 403,
    "THRESHOLD_NOT_MET": 403,
    "SIGNATURE_INVALID": 403,
    "SEQUENCE_USED": 409,
    "SEQUENCE_GAP": 409,
    "EXPIRED": 409,
    "EXPIRY_TOO_FAR": 400,
    "ALLOWANCE_EXCEEDED": 429,
}
_STATUS_OF_OTHER_REFUSALS = 422

_REASON_OF_HTTP_STATUS = {
    400: "INVALID_ARGUMENT",
    404: "ROUTE_UNKNOWN",
    405: "METHOD_NOT_ALLOWED",
    413: "BODY_TOO_LARGE",
    415: "MEDIA_TYPE_NOT_SUPPORTED",
    422: "INVALID_ARGUMENT",
    429: "TOO_MANY_REQUESTS",
}

_log = structlog.get_logger(__name__)

AnyRequest = Request[Any, Any, Any]


class HttpProblem(Exception):
    """A refusal that the edge makes itself, with the status it wants."""

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        *,
        figures: dict[str, object] | None = None,
        transaction_id: str = "",
        command_id: str = "",
        retry_after_seconds: float = 0.0,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.figures = figures or {}
        self.transaction_id = transaction_id
        self.command_id = command_id
        self.retry_after_seconds = retry_after_seconds


def status_of_refusal(reason: str, retry_after_ms: int) -> int:
    """The status for a transaction that a pool refused (docs/spec/transaction.md, "Validity")."""
    if retry_after_ms:
        return 429
    return _STATUS_OF_REFUSAL.get(reason, _STATUS_OF_OTHER_REFUSALS)


def as_problem(error: Exception) -> HttpProblem:  # noqa: PLR0911 - one per kind of error
    """What a client is told of ``error``. An error nobody expected is logged here, once, with its trace
    id."""
    match error:
        case HttpProblem():
            return error
        case SubmissionFailed():
            return _submission_problem(error)
        case CommandFailed():
            return _command_problem(error)
        case DomainError():
            return _domain_problem(error)
        case HTTPException() if error.status_code < 500:
            return HttpProblem(
                error.status_code,
                _REASON_OF_HTTP_STATUS.get(error.status_code, "INVALID_ARGUMENT"),
                _http_detail(error),
            )
        case msgspec.ValidationError() | msgspec.DecodeError():
            return HttpProblem(400, "INVALID_ARGUMENT", str(error))
        case _:
            _log.error("request failed", exc_info=error)
            return HttpProblem(
                500, "INTERNAL", "the gateway failed; the trace id finds the cause in its logs"
            )


def render_problem(problem: HttpProblem, path: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, for use inside and outside of the router."""
    document = Problem(
        type="about:blank",
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        reason=problem.reason,
        detail=problem.detail[:DETAIL_CHARACTERS_MAX],
        instance=path[:DETAIL_CHARACTERS_MAX],
        trace_id=(current_trace.get() or Trace()).trace_id,
        figures={name: str(value) for name, value in problem.figures.items()},
        transaction_id=problem.transaction_id or msgspec.UNSET,
        command_id=problem.command_id or msgspec.UNSET,
    )
    headers = {"cache-control": "no-store"}
    retry_after = problem.retry_after_seconds or (RETRY_AFTER_SECONDS if problem.status == 503 else 0)
    if retry_after:
        headers["retry-after"] = str(max(1, math.ceil(retry_after)))
    return problem.status, headers, msgspec.json.encode(document)


def answer_with_problem(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Litestar's handler for every exception that leaves a route."""
    status, headers, body = render_problem(as_problem(error), request.scope["path"])
    return Response(content=body, status_code=status, headers=headers, media_type=PROBLEM_MEDIA_TYPE)


def _domain_problem(error: DomainError) -> HttpProblem:
    status = _STATUS_OF_REASON.get(error.reason) or _STATUS_OF_KIND.get(error.kind, _BAD_GATEWAY)
    if status == _BAD_GATEWAY:
        _log.error("call failed", kind=error.kind.name, reason=error.reason, message=error.message)
        return HttpProblem(status, error.reason, "a validator or service could not answer")
    return HttpProblem(
        status,
        error.reason,
        error.message or HTTPStatus(status).phrase,
        figures=error.metadata,
        retry_after_seconds=error.retry_after_ms / 1_000,
    )


def _submission_problem(error: SubmissionFailed) -> HttpProblem:
    problem = _domain_problem(error.cause)
    identifiers = [identifier.hex() for identifier in error.transaction_ids]
    return HttpProblem(
        problem.status,
        problem.reason,
        "the outcome is unknown: ask by transaction id, or send the same bytes again, which is safe",
        figures=problem.figures,
        transaction_id=identifiers[0] if len(identifiers) == 1 else "",
    )


def _command_problem(error: CommandFailed) -> HttpProblem:
    problem = _domain_problem(error.cause)
    return HttpProblem(
        problem.status,
        problem.reason,
        "the outcome is unknown: send the same bytes again, which is safe",
        figures=problem.figures,
        command_id=error.command_id.hex(),
    )


def _http_detail(error: HTTPException) -> str:
    """Litestar keeps which parameter was wrong, and why, beside the message."""
    if not isinstance(error, ValidationException) or not isinstance(error.extra, list):
        return error.detail or HTTPStatus(error.status_code).phrase
    faults = [f"{fault.get('key', 'request')}: {fault.get('message', '')}" for fault in error.extra]
    return "; ".join(faults) or error.detail

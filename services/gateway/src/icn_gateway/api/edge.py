"""The layer around every request: trace, rate limit, security headers, metrics, draining. One ASGI
callable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from time import monotonic, perf_counter
from typing import Any

import structlog
from icn_kit.min_height import MIN_HEIGHT_KEY, min_height, parse_min_height
from icn_kit.spans import record_span
from icn_kit.trace import TRACEPARENT_KEY, begin_trace, current_trace
from prometheus_client import Counter, Gauge, Histogram

from icn_gateway.api.problems import PROBLEM_MEDIA_TYPE, HttpProblem, as_problem, render_problem
from icn_gateway.domain.rate_limit import RateLimit, client_address

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application; Litestar's own types are narrower than the protocol's."""

REQUESTS_AT_ONCE_MAX = 512
"""Streams of events count too, and have a smaller bound of their own. Beyond it an answer is 503 at once,
which is better than a queue nobody can see."""
CLIENT_ADDRESS = "icn.client_address"
"""Key of the scope under which routes find the address that limits are counted under."""
UNMATCHED = "unmatched"
"""Metric label of everything that no route answers: paths that somebody made up must not become labels."""

REQUEST_SECONDS = Histogram(
    "icn_gateway_request_seconds",
    "Time from the request's arrival to the end of the answer, per route.",
    ["method", "route"],
    buckets=(0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0),
)
REQUESTS = Counter(
    "icn_gateway_requests_total", "Requests answered, per route and status.", ["method", "route", "status"]
)
UNDER_WAY = Gauge("icn_gateway_requests_under_way", "Requests being answered now, streams included.")
TOO_MANY = Counter("icn_gateway_requests_limited_total", "Requests refused by the rate limit.")

_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"})

_SECURITY_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"x-frame-options", b"DENY"),
]

_log = structlog.get_logger(__name__)


class Edge:
    """Wraps the application.

    Args:
        application: what answers.
        rate_limit: tokens per client address.
        trusted_hops: proxies of ours in front, see `client_address`.
        requests_at_once_max: requests under way before new ones are turned away.
        trace_ratio: share of the requests, of those that no caller traces, that are traced.
    """

    def __init__(
        self,
        application: Application,
        rate_limit: RateLimit,
        trusted_hops: int = 0,
        requests_at_once_max: int = REQUESTS_AT_ONCE_MAX,
        trace_ratio: float = 0.0,
    ) -> None:
        self._application = application
        self._rate_limit = rate_limit
        self._trusted_hops = trusted_hops
        self._requests_at_once_max = requests_at_once_max
        self._trace_ratio = trace_ratio
        self._under_way = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._is_draining = False

    def drain(self) -> None:
        """Turn new requests away from now on."""
        self._is_draining = True

    async def wait_until_idle(self, seconds: float) -> bool:
        """Wait for requests under way to end; False when some are left after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self._is_idle.wait()
        except TimeoutError:
            return False
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; anything but HTTP goes to the application as it is."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = dict(scope["headers"])
        client = scope.get("client")
        forwarded_for = headers.get(b"x-forwarded-for", b"").decode("latin-1")
        scope[CLIENT_ADDRESS] = client_address(client[0] if client else "", forwarded_for, self._trusted_hops)
        trace = begin_trace(headers.get(TRACEPARENT_KEY.encode()), self._trace_ratio)
        token = current_trace.set(trace)
        height_token = min_height.set(0)
        answer = _Answer(send, trace.trace_id)
        self._under_way += 1
        self._is_idle.clear()
        UNDER_WAY.inc()
        started_at = perf_counter()
        try:
            problem = self._turn_away(scope)
            if problem is None:
                # Only reads of the ledger look at it (docs/spec/gateway.md, "Reading what one wrote").
                min_height.set(parse_min_height(headers.get(MIN_HEIGHT_KEY.encode(), b"0")))
                await self._application(scope, receive, answer.send)
            else:
                await answer.refuse(problem, scope["path"])
        except Exception as error:
            if not answer.has_started:
                await answer.refuse(as_problem(error), scope["path"])
            else:
                _log.error("answer broke off", exc_info=error)
                raise
        finally:
            min_height.reset(height_token)
            current_trace.reset(token)
            self._under_way -= 1
            UNDER_WAY.dec()
            if self._under_way == 0:
                self._is_idle.set()
            route = scope.get("path_template") or UNMATCHED
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            seconds = perf_counter() - started_at
            REQUEST_SECONDS.labels(method, route).observe(seconds)
            record_span(trace, f"{method} {route}", seconds, kind="server", status=answer.status)
            REQUESTS.labels(method, route, answer.status).inc()

    def _turn_away(self, scope: Scope) -> HttpProblem | None:
        if self._is_draining:
            return HttpProblem(503, "DRAINING", "this process is stopping; another one answers")
        if self._under_way > self._requests_at_once_max:
            return HttpProblem(503, "OVERLOADED", "too many requests at once")
        wait_seconds = self._rate_limit.take(scope[CLIENT_ADDRESS], monotonic())
        if wait_seconds:
            TOO_MANY.inc()
            return HttpProblem(
                429, "TOO_MANY_REQUESTS", "this address asks too often", retry_after_seconds=wait_seconds
            )
        return None


class _Answer:
    """Adds what every answer carries, and remembers its status."""

    def __init__(self, send: Send, trace_id: str) -> None:
        self._send = send
        self._trace_id = trace_id
        self.status = "none"
        self.has_started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            self.status = str(message["status"])
            message["headers"] = [
                *message.get("headers", ()),
                *_SECURITY_HEADERS,
                (b"trace-id", self._trace_id.encode()),
            ]
        await self._send(message)

    async def refuse(self, problem: HttpProblem, path: str) -> None:
        status, headers, body = render_problem(problem, path)
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        fields += [
            (b"content-type", PROBLEM_MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        await self.send({"type": "http.response.start", "status": status, "headers": fields})
        await self.send({"type": "http.response.body", "body": body})

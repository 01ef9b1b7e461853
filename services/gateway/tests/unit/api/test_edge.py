from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from icn_gateway.api.edge import Edge
from icn_gateway.domain.rate_limit import RateLimit
from icn_kit.min_height import MIN_HEIGHT_KEY, min_height
from structlog.testing import capture_logs


@pytest.mark.parametrize("path", ["/", "/v1/units", "/v1/nothing", "/nothing", "/static/style.css"])
async def test_every_answer_carries_the_security_headers(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


async def test_an_address_that_asks_too_often_is_told_when_to_come_back(
    zone: Any, make: Any, open_client: Any
) -> None:
    edge = make.edge(make.context(zone), rate_limit=RateLimit(per_second=0.1, burst=2))
    async with open_client(edge, "192.0.2.1") as client:
        assert [(await client.get("/v1/units")).status_code for _ in range(3)] == [200, 200, 429]
        answer = await client.get("/v1/units")
        assert answer.json()["reason"] == "TOO_MANY_REQUESTS"
        assert 1 <= int(answer.headers["retry-after"]) <= 10
    async with open_client(edge, "192.0.2.2") as client:
        assert (await client.get("/v1/units")).status_code == 200


async def test_a_forwarded_address_is_believed_only_from_our_own_proxy(
    zone: Any, make: Any, open_client: Any
) -> None:
    for hops, second_status in ((0, 429), (1, 200)):
        edge = make.edge(make.context(zone), rate_limit=RateLimit(per_second=0.1, burst=1), trusted_hops=hops)
        async with open_client(edge) as client:
            statuses = [
                (await client.get("/v1/units", headers={"x-forwarded-for": address})).status_code
                for address in ("192.0.2.1", "192.0.2.2")
            ]
        assert statuses == [200, second_status]


async def test_a_trace_begun_elsewhere_goes_on_here(client: httpx.AsyncClient) -> None:
    traceparent = f"00-{'ab' * 16}-{'cd' * 8}-01"
    answer = await client.get("/v1/nothing", headers={"traceparent": traceparent})
    assert answer.headers["trace-id"] == answer.json()["trace_id"] == "ab" * 16


@pytest.mark.parametrize(
    "traceparent", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-00", "ff" * 500]
)
async def test_a_trace_that_is_none_is_replaced(client: httpx.AsyncClient, traceparent: str) -> None:
    answer = await client.get("/v1/units", headers={"traceparent": traceparent})
    assert answer.status_code == 200
    assert len(answer.headers["trace-id"]) == 32


async def test_metrics_answer_this_machine_only(zone: Any, make: Any, open_client: Any) -> None:
    edge = make.edge(make.context(zone))
    async with open_client(edge, "127.0.0.1") as client:
        answer = await client.get("/metrics")
        assert answer.status_code == 200
        assert "icn_gateway_requests_total" in answer.text
        forwarded = await client.get("/metrics", headers={"x-forwarded-for": "127.0.0.1"})
        assert forwarded.status_code == 404
    async with open_client(edge, "192.0.2.1") as client:
        assert (await client.get("/metrics")).status_code == 404


async def test_paths_that_somebody_made_up_do_not_become_metrics(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await client.get(f"/made/up/{number}")
        await client.get(f"/v1/accounts/{number:032x}")
    text = (await client.get("/metrics")).text
    assert 'route="unmatched"' in text
    assert 'route="/v1/accounts/{account_id}"' in text
    assert "/made/up" not in text


async def held_application(scope: Any, receive: Any, send: Any) -> None:
    await scope["state"]["may_end"].wait()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def scope_of(may_end: asyncio.Event) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "state": {"may_end": may_end},
    }


async def call(edge: Edge, may_end: asyncio.Event) -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    await edge(scope_of(may_end), receive, send)
    status: int = sent[0]["status"]
    return status


async def test_more_requests_at_once_than_the_bound_are_turned_away_at_once() -> None:
    edge = Edge(held_application, RateLimit(), requests_at_once_max=2)
    may_end = asyncio.Event()
    under_way = [asyncio.create_task(call(edge, may_end)) for _ in range(2)]
    await asyncio.sleep(0)
    assert await call(edge, may_end) == 503
    may_end.set()
    assert await asyncio.gather(*under_way) == [200, 200]
    assert await call(edge, may_end) == 200


async def test_a_drain_finishes_what_is_under_way_and_takes_nothing_new() -> None:
    edge = Edge(held_application, RateLimit())
    may_end = asyncio.Event()
    under_way = asyncio.create_task(call(edge, may_end))
    await asyncio.sleep(0)
    edge.drain()
    assert await call(edge, may_end) == 503
    assert not await edge.wait_until_idle(0.01)
    may_end.set()
    assert await edge.wait_until_idle(5)
    assert await under_way == 200


async def test_an_application_that_fails_before_it_answers_gives_a_500_without_internals() -> None:
    async def broken(_scope: Any, _receive: Any, _send: Any) -> None:
        raise RuntimeError("secret detail")

    transport = httpx.ASGITransport(app=Edge(broken, RateLimit()))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        with capture_logs() as logs:
            answer = await client.get("/")
    assert answer.status_code == 500
    assert len(logs) == 1
    assert answer.json()["reason"] == "INTERNAL"
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("ratio", "asked", "spans"), [(0.0, "", 0), (1.0, "", 1), (1.0, "00", 0), (0.0, "01", 1)]
)
async def test_the_share_of_traced_requests_counts_where_the_caller_has_not_decided(
    ratio: float, asked: str, spans: int
) -> None:
    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    transport = httpx.ASGITransport(app=Edge(application, RateLimit(), trace_ratio=ratio))
    headers = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-{asked}"} if asked else {}
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        with capture_logs() as logs:
            answer = await client.get("/", headers=headers)
    assert [line["trace_id"] for line in logs if line["event"] == "span"] == [
        answer.headers["trace-id"]
    ] * spans


async def test_the_height_that_a_client_asks_for_goes_on_to_whoever_reads_for_it(
    zone: Any, make: Any, open_client: Any
) -> None:
    seen: list[int] = []

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        seen.append(min_height.get())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    edge = Edge(application, RateLimit(per_second=100, burst=100))
    async with open_client(edge) as client:
        for headers in ({}, {MIN_HEIGHT_KEY: "7"}, {MIN_HEIGHT_KEY: "0"}, {MIN_HEIGHT_KEY: str(2**62)}):
            assert (await client.get("/v1/units", headers=headers)).status_code == 200
        assert seen == [0, 7, 0, 2**62] and min_height.get() == 0
        for value in ("", "-1", "x", str(2**62 + 1)):
            answer = await client.get("/v1/units", headers={MIN_HEIGHT_KEY: value})
            assert (answer.status_code, answer.json()["reason"]) == (400, "MIN_HEIGHT_MALFORMED")
        assert len(seen) == 4

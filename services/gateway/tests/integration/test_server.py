"""The gateway on a real socket, over real gRPC: streams, limits of the server, draining."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1 import events_pb2
from icn_gateway.api.edge import UNDER_WAY
from icn_gateway.api.server import HttpServer
from icn_gateway.events.feed import CLIENTS, Feed


def envelope(number: int) -> EventEnvelope:
    return EventEnvelope(
        id=number.to_bytes(16, "big"),
        height=number,
        subject="icn.ledger.v1.transfer_committed",
        aggregate="accounts/" + "0a" * 16,
        payload=events_pb2.TransferCommitted(height=number, amount_minor=number).SerializeToString(),
    )


class QueueSource:
    def __init__(self) -> None:
        self.queue: asyncio.Queue[EventEnvelope] = asyncio.Queue()

    async def read(self, tail_max: int) -> AsyncIterator[EventEnvelope]:
        while True:
            yield await self.queue.get()
            self.queue.task_done()


@pytest.fixture
async def told() -> AsyncIterator[tuple[Feed, QueueSource]]:
    source = QueueSource()
    feed = Feed({"ledger": source}, heartbeat_seconds=0.2)
    task = asyncio.create_task(feed.run())
    yield feed, source
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def read_events(answer: httpx.Response, count: int) -> list[dict[str, Any]]:
    """The next ``count`` events as dictionaries of their fields."""
    events: list[dict[str, Any]] = []
    current: dict[str, Any] = {}
    async with asyncio.timeout(10):
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if line and name in {"id", "event", "data"}:
                current[name] = value
            elif not line and "data" in current:
                events.append(current)
                current = {}
                if len(events) == count:
                    break
    return events


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - a gauge cannot be awaited
            await asyncio.sleep(0.01)


async def test_a_client_reads_accounts_over_http_and_grpc(serve: Any, validators: Any, zone: Any) -> None:
    async with serve(ports=validators) as (client, _):
        page = (await client.get("/v1/accounts")).json()
        assert len(page["accounts"]) == len(zone.accounts)
        assert (await client.get(f"/v1/accounts/{999:032x}")).json()["reason"] == "ACCOUNT_UNKNOWN"
        assert (await client.get("/healthz")).json()["validators_reachable"] == 4
        assert "Mill Street Bakery" in (await client.get("/")).text


async def test_a_submission_travels_to_a_validator_and_its_receipt_back(
    serve: Any, validators: Any, zone: Any
) -> None:
    submitted, outcome = next(iter(zone.outcomes.items()))
    async with serve(ports=validators) as (client, _):
        answer = await client.post(
            "/v1/transactions", content=submitted, headers={"content-type": "application/octet-stream"}
        )
    assert answer.status_code == 200
    assert answer.json()["height"] == outcome.height


async def test_events_arrive_as_they_are_committed(serve: Any, told: Any) -> None:
    feed, source = told
    async with serve(feed=feed) as (client, _), client.stream("GET", "/v1/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        await until(lambda: CLIENTS._value.get() > 0)
        source.queue.put_nowait(envelope(7))
        source.queue.put_nowait(envelope(8))
        first, second = await read_events(answer, 2)
    assert first["id"] == f"7-{7:032x}"
    assert json.loads(second["data"])["payload"]["amount_minor"] == "8"


async def test_a_browser_that_comes_back_gets_what_it_missed(serve: Any, told: Any) -> None:
    feed, source = told
    for number in range(1, 6):
        source.queue.put_nowait(envelope(number))
    await source.queue.join()
    async with serve(feed=feed) as (client, _):
        headers = {"last-event-id": f"3-{3:032x}"}
        async with client.stream("GET", "/v1/events", headers=headers) as answer:
            assert [event["id"] for event in await read_events(answer, 2)] == [
                f"{n}-{n:032x}" for n in (4, 5)
            ]


async def test_a_stream_can_be_narrowed_to_a_subject(serve: Any, told: Any) -> None:
    feed, source = told
    source.queue.put_nowait(envelope(1))
    other = envelope(2)
    other.subject = "icn.ledger.v1.hold_placed"
    other.payload = b""
    source.queue.put_nowait(other)
    await source.queue.join()
    async with serve(feed=feed) as (client, _):
        request = client.stream(
            "GET",
            "/v1/events",
            params={"subject": "icn.ledger.v1.hold_placed"},
            headers={"last-event-id": f"0-{9:032x}"},
        )
        async with request as answer:
            (event,) = await read_events(answer, 1)
    assert json.loads(event["data"])["subject"] == "icn.ledger.v1.hold_placed"


async def test_a_quiet_stream_carries_heartbeats_as_comments(serve: Any, told: Any) -> None:
    feed, _ = told
    async with serve(feed=feed) as (client, _), client.stream("GET", "/v1/events") as answer:
        async with asyncio.timeout(10):
            async for line in answer.aiter_lines():
                if line.startswith(":"):
                    break
        assert line == ": still here"


async def test_a_client_that_leaves_is_forgotten(serve: Any, told: Any) -> None:
    feed, _ = told
    before = CLIENTS._value.get()
    async with serve(feed=feed) as (client, _):
        async with client.stream("GET", "/v1/events"):
            await until(lambda: CLIENTS._value.get() > before)
        await until(lambda: CLIENTS._value.get() == before)


async def test_a_last_event_id_that_is_none_of_ours_is_refused(serve: Any, told: Any) -> None:
    feed, _ = told
    async with serve(feed=feed) as (client, _):
        answer = await client.get("/v1/events", headers={"last-event-id": "yesterday"})
    assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_ARGUMENT")


async def test_a_drain_ends_streams_and_finishes_requests(
    serve: Any, told: Any, validators: Any, fake_validators: Any
) -> None:
    feed, _ = told
    for validator in fake_validators:
        validator.delay_seconds = 1.0
    async with serve(feed=feed, ports=validators) as (client, server):
        stream = await client.send(client.build_request("GET", "/v1/events"), stream=True)
        reading = asyncio.create_task(client.get("/v1/units"))
        await until(lambda: UNDER_WAY._value.get() >= 2)
        feed.drain()
        await server.drain()
        assert (await reading).status_code == 200
        async with asyncio.timeout(10):
            assert "retry: 2000" in (await stream.aread()).decode()


async def test_a_port_that_is_taken_is_said_at_once(zone: Any, make: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = HttpServer(make.edge(make.context(zone)), "127.0.0.1", taken.getsockname()[1])
        with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
            await server.start()


async def test_a_body_that_dribbles_is_given_up(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icn_gateway.api.bodies.BODY_SECONDS_MAX", 0.2)
    async with serve() as (client, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(
            b"POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
            b"Content-Length: 1000\r\n\r\nabc"
        )
        async with asyncio.timeout(15):
            answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408")


GARBAGE = [
    b"\x00\x01\x02\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n"
    + b"".join(b"h%d: %s\r\n" % (n, b"v" * 200) for n in range(500))
    + b"\r\n",
    b"POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/transactions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
    b"Content-Length: 10\r\n\r\nabc",
    b"POST /v1/transactions:batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"GET /v1/accounts/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"BREW / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET /v1/accounts?page_size=%zz&%&=&owner[]=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
]


def send_raw(port: int, garbage: bytes) -> bytes:
    """What the server says before it hangs up; nothing when it hangs up without a word."""
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        try:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(4_096)
        except OSError:  # reset, or closed before our side was
            return b""


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage_on_the_socket_is_answered_below_500_or_hung_up_on(serve: Any, garbage: bytes) -> None:
    async with serve() as (client, _):
        answer = await asyncio.to_thread(send_raw, client.base_url.port, garbage)
        if answer:
            assert int(answer.split(b" ")[1]) < 500, answer
        assert (await client.get("/v1/units")).status_code == 200

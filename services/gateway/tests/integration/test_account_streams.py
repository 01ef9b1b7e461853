"""Statements and watched accounts over real sockets on both sides."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from icn.ledger.v1 import service_pb2 as ledger
from icn_gateway.usecases.watched_accounts import WatchedAccounts
from icn_kit import validators as module
from icn_kit.errors import DeadlineExceeded, NotFound, Unavailable

ID = f"{10:032x}"
ACCOUNT = f"accounts/{ID}"
WATCH = f"/v1/accounts/{ID}/watch"
STATEMENT = f"/v1/accounts/{ID}/statement"
UNKNOWN = "ab" * 16


def entries_of(zone: Any) -> list[Any]:
    found: list[Any] = zone.entries[bytes.fromhex(ID)]
    return found


def statement(zone: Any, count_per_part: int) -> Any:
    """What a ledger answers, some entries per call."""

    def answer(request: ledger.GetStatementRequest) -> ledger.GetStatementResponse:
        left = [one for one in entries_of(zone) if one.height >= request.from_height]
        some = left[:count_per_part]
        closing = ledger.StatementEdge(balance_minor=left[-1].posting.balance_minor if left else 0, height=9)
        return ledger.GetStatementResponse(
            entries=some,
            opening=ledger.StatementEdge(height=max(request.from_height - 1, 0)),
            closing=closing if len(some) == len(left) else None,
        )

    return answer


async def read_lines(client: Any, **span: int) -> list[Any]:
    answer = await client.get(STATEMENT, params=span)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/jsonl")
    return [json.loads(one) for one in answer.text.splitlines()]


@pytest.mark.parametrize("count_per_part", [1, 2, 100])
async def test_a_statement_is_whole_however_many_calls_it_takes(
    serve: Any, zone: Any, count_per_part: int
) -> None:
    zone.services.answers["GetStatement"] = statement(zone, count_per_part)
    async with serve() as (client, _):
        first, *told, last = await read_lines(client)
        listed = (await client.get(f"/v1/accounts/{ID}/entries")).json()
    assert first == {
        "unit": {"id": f"{100:032x}", "code": "HOURS", "scale": 2},
        "opening": {"balance_minor": "0", "entries": 0, "height": 0},
    }
    assert told == list(reversed(listed["entries"]))
    assert last["closing"]["balance_minor"] == told[-1]["balance_minor"]


async def test_a_span_is_asked_for_by_height_or_time(serve: Any, zone: Any) -> None:
    zone.services.answers["GetStatement"] = statement(zone, 100)
    async with serve() as (client, _):
        for span in (
            {"from_height": 2, "until_height": 4},
            {"from_time_ms": 5, "until_time_ms": 7},
            {"from_height": 0},
        ):
            await read_lines(client, **span)
            (_, asked) = zone.services.asked[-1]
            assert {field.name: value for field, value in asked.ListFields()} == {
                "name": ACCOUNT,
                **span,
            }


@pytest.mark.parametrize(
    ("span", "status", "reason"),
    [
        ({"from_height": 1, "from_time_ms": 1}, 400, "INVALID_ARGUMENT"),
        ({"until_height": 1, "until_time_ms": 1}, 400, "INVALID_ARGUMENT"),
        ({"from_height": -1}, 400, "INVALID_ARGUMENT"),
        ({"from_height": 2**53}, 400, "INVALID_ARGUMENT"),
        ({"from_height": "x"}, 400, "INVALID_ARGUMENT"),
    ],
)
async def test_a_span_that_is_none_is_refused(serve: Any, span: Any, status: int, reason: str) -> None:
    async with serve() as (client, _):
        answer = await client.get(STATEMENT, params=span)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


async def test_refusals_of_a_statement_are_problems_and_no_lines(serve: Any, zone: Any) -> None:
    async with serve() as (client, _):
        for path in (f"/v1/accounts/{UNKNOWN}/statement", f"/v1/accounts/{UNKNOWN}/watch"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["reason"]) == (404, "ACCOUNT_UNKNOWN")
        zone.services.answers["GetStatement"] = Unavailable("STATE_BEHIND", "not yet", height=9)
        answer = await client.get(STATEMENT)
        assert (answer.status_code, answer.json()["figures"]) == (503, {"height": "9"})


async def test_a_statement_that_breaks_off_has_no_closing(serve: Any, zone: Any) -> None:
    whole = statement(zone, 1)

    def breaks(request: ledger.GetStatementRequest) -> ledger.GetStatementResponse:
        if request.from_height:
            raise Unavailable("NO_VALIDATOR_REACHABLE", "gone")
        return whole(request)

    zone.services.answers["GetStatement"] = breaks
    async with serve() as (client, _):
        told = await read_lines(client)
    assert len(told) == 2 and "closing" not in told[-1]


async def frames(answer: Any, count: int) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    current: dict[str, str] = {}
    async with asyncio.timeout(10):
        async for line in answer.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                current[name] = value
                continue
            found.append(current)
            current = {}
            if len(found) == count:
                return found
    raise AssertionError(f"the stream ended after {found}")


def told(zone: Any, height: int, entries: Any = (), **fields: Any) -> ledger.WatchAccountResponse:
    leaf = zone.accounts[bytes.fromhex(ID)]
    return ledger.WatchAccountResponse(
        account=ledger.Account(name=ACCOUNT, leaf=leaf, height=height), entries=entries, **fields
    )


async def test_an_account_is_watched_as_it_changes(
    serve: Any, zone: Any, validators: Any, fake_validators: Any
) -> None:
    async with serve(ports=validators) as (client, _), client.stream("GET", WATCH) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        fake_validators[0].news.put_nowait(told(zone, 8, entries_of(zone), has_skipped=True))
        first, second = await frames(answer, 2)
    assert (first["retry"], first["id"], second["id"]) == ("2000", str(zone.height), "8")
    account = json.loads(first["data"])["account"]
    assert (account["id"], account["unit"]["code"], account["credit"] is not None) == (ID, "HOURS", True)
    news = json.loads(second["data"])
    assert [one["number"] for one in news["entries"]] == [one.number for one in entries_of(zone)]
    assert news["has_skipped"] is True
    await asyncio.wait_for(fake_validators[0].unwatched.wait(), 10)


@pytest.mark.parametrize(
    ("headers", "params", "from_height"),
    [
        ({}, {}, 0),
        ({}, {"from_height": 3}, 3),
        ({"last-event-id": "7"}, {}, 8),
        ({"last-event-id": "7"}, {"from_height": 3}, 8),
        ({"last-event-id": ""}, {"from_height": 3}, 3),
    ],
)
async def test_a_client_that_comes_back_goes_on_behind_what_it_saw(
    serve: Any, validators: Any, fake_validators: Any, headers: Any, params: Any, from_height: int
) -> None:
    async with (
        serve(ports=validators) as (client, _),
        client.stream("GET", WATCH, headers=headers, params=params) as answer,
    ):
        await frames(answer, 1)
    (asked,) = fake_validators[0].watched
    assert (asked.name, asked.from_height) == (ACCOUNT, from_height)


async def test_where_a_client_stands_is_a_height_or_refused(serve: Any, validators: Any) -> None:
    async with serve(ports=validators) as (client, _):
        for value in ("x", "-1", "1.5", "9" * 16, f"7-{7:032x}"):
            answer = await client.get(WATCH, headers={"last-event-id": value})
            assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_ARGUMENT"), value


async def test_the_stream_ends_with_the_validators_and_when_the_gateway_stops(
    serve: Any, validators: Any, fake_validators: Any
) -> None:
    watched = WatchedAccounts(validators, heartbeat_seconds=0.05)
    async with serve(ports=validators, watched=watched) as (client, _):
        async with client.stream("GET", WATCH) as answer:
            fake_validators[0].news.put_nowait(None)
            async with asyncio.timeout(10):
                assert b"retry: 2000" in await answer.aread()
        async with client.stream("GET", WATCH) as answer:
            lines = answer.aiter_lines()
            async with asyncio.timeout(10):
                while (await anext(lines)) != ": still here":
                    pass
                watched.drain()
                async for line in lines:
                    assert line in {"", ": still here"}
        answer = await client.get(WATCH)
        assert (answer.status_code, answer.json()["reason"]) == (503, "DRAINING")


async def test_a_watch_begins_at_the_next_validator_where_one_is_gone_or_hangs(
    validators: Any, fake_validators: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ATTEMPT_SECONDS_MAX", 0.2)
    await fake_validators[0].stop()
    fake_validators[1].delay_seconds = 5
    watching = validators.watch_account(ledger.WatchAccountRequest(name=ACCOUNT))
    assert (await anext(watching)).account.name == ACCOUNT
    await watching.aclose()
    assert [one.calls for one in fake_validators[:3]] == [0, 1, 1]
    for validator in fake_validators:
        validator.delay_seconds = 5
    monkeypatch.setattr(module, "READ_SECONDS_MAX", 0.5)
    with pytest.raises(DeadlineExceeded):
        await anext(validators.watch_account(ledger.WatchAccountRequest(name=ACCOUNT)))


async def test_whoever_has_no_streams_is_told_the_account_as_it_stands_and_holds_nothing(
    validators: Any, fake_validators: Any
) -> None:
    found = await validators.ask(ledger.WatchAccountRequest(name=ACCOUNT, from_height=4))
    assert (found.account.name, fake_validators[0].watched[0].from_height) == (ACCOUNT, 4)
    await asyncio.wait_for(fake_validators[0].unwatched.wait(), 10)


async def test_a_watch_that_is_refused_goes_nowhere_else_and_one_that_breaks_off_says_so(
    validators: Any, fake_validators: Any
) -> None:
    with pytest.raises(NotFound) as refusal:
        await anext(validators.watch_account(ledger.WatchAccountRequest(name=f"accounts/{UNKNOWN}")))
    assert refusal.value.reason == "ACCOUNT_UNKNOWN"
    assert [one.calls for one in fake_validators] == [1, 0, 0, 0]
    watching = validators.watch_account(ledger.WatchAccountRequest(name=ACCOUNT))
    await anext(watching)
    await fake_validators[0].stop()
    with pytest.raises(Unavailable):
        await anext(watching)

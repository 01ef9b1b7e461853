"""The gateway while parts of the platform are gone: each validator in turn, NATS, and the gateway itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from e2e.waiting import until


@pytest.fixture
def account(answer: Any) -> str:
    """An account of the farm in a unit of its own."""
    unit = answer("unit", "create", "SEED", "--scale", "0", "--floor", "-1000", "--as", "farm")["unit"]
    return str(answer("account", "open", "--unit", unit, "--as", "farm")["account"])


@pytest.fixture
def pay(answer: Any, account: str) -> Callable[[], str]:
    """Pay 1 from the farm's account to the housing co-op's in the same unit; returns the transaction's id."""
    unit = answer("account", "show", account)["unit"]
    other = answer("account", "open", "--unit", unit, "--as", "housing")["account"]

    def run() -> str:
        return str(answer("pay", other, "1", "--as", "farm", "--from", account)["transaction"])

    return run


@pytest.mark.parametrize("seat", range(4))
def test_reads_go_on_while_any_one_validator_is_gone(federation: Any, account: str, seat: int) -> None:
    with httpx.Client(base_url=federation.gateway_url, timeout=30) as client:
        federation.kill(seat)
        try:
            for _ in range(5):
                assert client.get(f"/v1/accounts/{account}").status_code == 200
            shown = client.get("/v1/validators").json()["validators"]
            assert [found["seat"] for found in shown if not found["is_reachable"]] == [seat]
            assert "not reachable" in client.get("/").text
        finally:
            federation.start(seat)

        def is_back() -> bool:
            status = client.get("/v1/validators").json()["validators"][seat]["status"]
            return status is not None and not status["is_catching_up"]

        assert until(is_back)


def test_events_published_while_nats_lost_everything_reach_a_client_that_comes_back(
    federation: Any, account: str, pay: Callable[[], str]
) -> None:
    subject = {"subject": "icn.ledger.v1.transfer_committed"}
    with httpx.Client(base_url=federation.gateway_url, timeout=60) as client:
        with client.stream("GET", "/v1/events", params=subject) as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("retry:")
            first = pay()
            last_event_id = ""
            for line in lines:
                if line.startswith("id: "):
                    last_event_id = line.removeprefix("id: ")
                if line.startswith("data: ") and transaction_of(line) == first:
                    break
        federation.wipe_events()
        second = pay()
        seen = []
        resumed = {"last-event-id": last_event_id}
        with client.stream("GET", "/v1/events", params=subject, headers=resumed) as stream:
            for line in stream.iter_lines():
                if line.startswith('data: {"id"'):
                    seen.append(transaction_of(line))
                    if seen[-1] == second:
                        break
    assert first not in seen, "it was seen before"
    assert seen.count(second) == 1


def transaction_of(line: str) -> str:
    return str(json.loads(line.removeprefix("data: "))["payload"]["transaction_id"])


def test_a_killed_gateway_comes_back_at_its_address_and_has_lost_nothing(
    federation: Any, account: str, pay: Callable[[], str]
) -> None:
    transaction = pay()
    federation.kill_process("gateway")
    with httpx.Client(base_url=federation.gateway_url, timeout=30) as client:
        found = client.get(f"/v1/transactions/{transaction}")
        assert found.status_code == 200
        assert found.json()["receipt"]["status"] == "applied"
        (entry,) = client.get(f"/v1/accounts/{account}/entries").json()["entries"]
        assert entry["transaction_id"] == transaction

"""One trace from a REST call through gRPC, consensus, the block and the event to those who follow it."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from typing import Any

from icn_client.acting import find_actor, now_ms
from icn_client.connection import Connection, NetworkFile
from icn_client.transactions import KeyPair, apply_for_membership
from icn_kit.otlp import SEND_EVERY_SECONDS
from icn_localnet.span_collector import CollectedSpan, SpanCollector

TRACE = "5eed" * 8
CALLER = "c0ffee0000000001"
SUBMIT = "/icn.consensus.v1.ConsensusService/SubmitTransactions"
VALIDATORS = {f"icn-validator-{seat}" for seat in range(4)}
FOLLOWERS = {"icn-identity", "icn-governance", "icn-reputation"}
EVENT = "icn.ledger.v1.membership_changed"


def submit(url: str, data: bytes) -> Any:
    request = urllib.request.Request(
        f"{url}/v1/transactions?wait_ms=20000",
        data=data,
        headers={
            "content-type": "application/octet-stream",
            "traceparent": f"00-{TRACE}-{CALLER}-01",
        },
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


async def test_one_trace_goes_from_the_rest_call_to_whoever_follows_the_event(
    federation: Any, span_collector: SpanCollector
) -> None:
    organization, applicant = federation.founders[2], federation.founders[3]
    async with Connection(NetworkFile.load(federation.directory)) as connection:
        keys = [KeyPair(applicant.keys.values())]
        actor = await find_actor(connection, applicant.founder.principal, keys, lane=13)
        signed = actor.sign([apply_for_membership(organization.founder.principal)], now_ms() + 600_000)
    committed = submit(federation.gateway_url, signed.data)
    assert committed["receipt"]["status"] == "applied", committed

    deadline = time.monotonic() + 60
    seen: list[CollectedSpan] = []
    while not {span.service for span in seen} >= {"icn-gateway", *FOLLOWERS} and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        seen = span_collector.of_trace(TRACE)
    await asyncio.sleep(SEND_EVERY_SECONDS)  # every process has sent what it had by then
    seen = span_collector.of_trace(TRACE)
    by_name = {span.name: span for span in seen}
    blocks = [span for span in seen if span.name == "ledger: block"]
    followers = [span for span in seen if span.name.endswith(EVENT)]

    rest = by_name["POST /v1/transactions"]
    assert (rest.service, rest.kind, rest.parent_span_id) == ("icn-gateway", "server", CALLER)
    assert rest.fields == {"status": "200"}
    rpc = by_name[SUBMIT]
    assert rpc.service in VALIDATORS and (rpc.kind, rpc.parent_span_id) == ("server", rest.span_id)
    assert 0 < rpc.nanoseconds <= rest.nanoseconds
    assert blocks and {span.parent_span_id for span in blocks} == {rpc.span_id}
    assert {span.fields["height"] for span in blocks} == {int(committed["height"])}
    assert {span.service for span in blocks} <= VALIDATORS
    assert {span.service for span in followers} >= FOLLOWERS
    assert {span.parent_span_id for span in followers} <= {span.span_id for span in blocks}
    assert span_collector.faults == []

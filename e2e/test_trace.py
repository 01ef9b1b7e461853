"""One trace from a REST call through gRPC, consensus, the block and the event to those who follow it."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from pathlib import Path
from typing import Any

from icn_client.acting import find_actor, now_ms
from icn_client.connection import Connection, NetworkFile
from icn_client.transactions import KeyPair, apply_for_membership

TRACE = "5eed" * 8
CALLER = "c0ffee0000000001"
SUBMIT = "/icn.consensus.v1.ConsensusService/SubmitTransactions"
FOLLOWERS = {"identity", "governance", "reputation"}
EVENT = "icn.ledger.v1.membership_changed"


def spans(directory: Path) -> list[dict[str, Any]]:
    """The lines about our trace in the logs of all processes, with the log's name."""
    found = []
    for log in sorted(directory.rglob("*.log")):
        for line in log.read_text("utf-8", errors="replace").splitlines():
            if '"span"' in line and TRACE in line:
                found.append({**json.loads(line), "log": log.stem})
    return [line for line in found if line["event"] == "span" and line["trace_id"] == TRACE]


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


async def test_one_trace_goes_from_the_rest_call_to_whoever_follows_the_event(federation: Any) -> None:
    organization, applicant = federation.founders[2], federation.founders[3]
    async with Connection(NetworkFile.load(federation.directory)) as connection:
        keys = [KeyPair(applicant.keys.values())]
        actor = await find_actor(connection, applicant.founder.principal, keys, lane=13)
        signed = actor.sign([apply_for_membership(organization.founder.principal)], now_ms() + 600_000)
    committed = submit(federation.gateway_url, signed.data)
    assert committed["receipt"]["status"] == "applied", committed

    followers: list[dict[str, Any]] = []
    deadline = time.monotonic() + 60
    while not {line["log"] for line in followers} >= FOLLOWERS and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        followers = [line for line in spans(federation.directory) if line["name"].endswith(EVENT)]
    seen = spans(federation.directory)
    by_name = {line["name"]: line for line in seen}
    blocks = [line for line in seen if line["name"] == "ledger: block"]

    rest = by_name["POST /v1/transactions"]
    assert (rest["log"], rest["parent_span_id"]) == ("gateway", CALLER)
    rpc = by_name[SUBMIT]
    assert (rpc["log"], rpc["parent_span_id"]) == ("validator", rest["span_id"])
    assert blocks and {line["parent_span_id"] for line in blocks} == {rpc["span_id"]}
    assert {line["height"] for line in blocks} == {int(committed["height"])}
    assert {line["log"] for line in followers} >= FOLLOWERS
    assert {line["parent_span_id"] for line in followers} <= {line["span_id"] for line in blocks}

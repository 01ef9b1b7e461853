"""A trace of a payment, from the gateway to the ledger, at a collector outside of the cluster; the logs."""

from __future__ import annotations

import json
from collections import Counter

from icn_localnet.span_collector import CollectedSpan, SpanCollector, collecting_spans

from scripts.cluster_test.load import steady_load
from scripts.cluster_test.release import CHART, RELEASE, Cluster, own_address, say, values, wait_for

ROUTE = "POST /v1/transactions"
PASSED = {"icn-gateway", "icn-consensus", "icn-ledger"}
"""Services that a payment's trace goes through."""
OURS = {"consensus", "ledger", "vm", "gateway", "identity", "governance", "marketplace", "reputation"}
"""Containers that log as we do."""
LINE_KEYS = {"time", "level", "service", "event"}


def follow_traces(cluster: Cluster) -> None:
    """Half of the requests are traced; a payment's spans come together, and every line of a log is read."""
    with collecting_spans(own_address(cluster)) as collector:
        traced = ("--set", f"tracing.endpoint={collector.address}", "--set-json", "tracing.ratio=0.5")
        cluster.helm("upgrade", RELEASE, str(CHART), *values(cluster), *traced, "--wait", "--timeout", "15m")
        cluster.wait_until_ready()
        with steady_load(cluster) as load:
            wait_for(lambda: bool(whole_traces(collector)), "the spans of a payment", 60)
        cluster.note(
            "payments traced from gateway through consensus to ledger; calls failed meanwhile",
            "some; 0",
            f"{len(whole_traces(collector))}; {len(load.failures)}",
            not load.failures and not collector.faults,
        )
        broken = [line for line in log_lines(cluster) if not is_ours(line)]
        for line in broken[:10]:
            say(f"no line of ours: {line[:300]}")
        cluster.note(
            "lines of our containers' logs that are no JSON, or lack a key",
            "0",
            str(len(broken)),
            not broken,
        )
        cluster.helm("upgrade", RELEASE, str(CHART), *values(cluster), "--wait", "--timeout", "15m")
        cluster.wait_until_ready()


def whole_traces(collector: SpanCollector) -> list[str]:
    """Ids of the traces whose spans hang together from a payment's request to the block that has it."""
    return [trace for trace in collector.traces() if is_whole(collector.of_trace(trace))]


def is_whole(spans: list[CollectedSpan]) -> bool:
    """Whether a ledger's span is below a validator's, which is below the gateway's."""
    if not {span.service for span in spans} >= PASSED:
        return False
    by_id = {span.span_id: span for span in spans}
    for block in (span for span in spans if span.service == "icn-ledger"):
        rpc = by_id.get(block.parent_span_id)
        request = by_id.get(rpc.parent_span_id) if rpc else None
        if rpc and request and (rpc.service, request.service) == ("icn-consensus", "icn-gateway"):
            return request.name == ROUTE and not request.parent_span_id
    return False


def log_lines(cluster: Cluster) -> list[str]:
    """What our containers have said."""
    lines: list[str] = []
    said: Counter[str] = Counter()
    for pod in cluster.pods():
        for container in pod["spec"]["containers"]:
            if container["name"] in OURS:
                found = cluster.logs(pod["metadata"]["name"], container["name"]).splitlines()
                said[container["name"]] += len(found)
                lines += found
    assert set(said) == OURS and all(said.values()), f"a part logged nothing: {said}"
    return lines


def is_ours(line: str) -> bool:
    """Whether it is a JSON object with what each has, and a span where it has a trace."""
    try:
        told = json.loads(line)
    except ValueError:
        return False
    return isinstance(told, dict) and set(told) >= LINE_KEYS and ("trace_id" in told) == ("span_id" in told)

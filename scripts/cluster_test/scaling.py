"""The gateway grows under load, and no call fails."""

from __future__ import annotations

import asyncio
import json
import time

from scripts.cluster_test.load import count_missing, steady_load
from scripts.cluster_test.release import CHART, RELEASE, Cluster, Failed, say, values, wait_for

GATEWAYS_MAX = 2
SCALED_SECONDS_MAX = 240.0
"""The metrics server looks every 15 s and the autoscaler every 15 s; the new pod needs some 10 s."""
AUTOSCALED = (
    # Percents are of the request: 7.5 thousandths of a core, where an idle gateway uses 4 and one under the
    # steady load 12 on a node that other work keeps busy.
    *("--set", "services.gateway.resources.requests.cpu=50m"),
    *("--set", "services.gateway.autoscaling.cpuPercent=15"),
    *("--set", "services.gateway.replicas=1", "--set", "services.gateway.autoscaling.enabled=true"),
    *("--set", f"services.gateway.autoscaling.replicasMax={GATEWAYS_MAX}"),
)


def scale_under_load(cluster: Cluster) -> None:
    """From one gateway to two."""
    wait_for(lambda: has_metrics(cluster), "the metrics server to know the gateway")
    cluster.kubectl("scale", "deployment", "icn-gateway", "--replicas=1")
    cluster.helm("upgrade", RELEASE, str(CHART), *values(cluster), *AUTOSCALED, "--wait", "--timeout", "10m")
    wait_for(lambda: ready_gateways(cluster) == 1, "one gateway to be left")
    began = time.monotonic()
    with steady_load(cluster) as load:
        try:
            wait_for(lambda: ready_gateways(cluster) == GATEWAYS_MAX, "a second gateway", SCALED_SECONDS_MAX)
        except Failed:
            say(cluster.kubectl("describe", "horizontalpodautoscaler", "icn-gateway"))
            raise
        seconds = time.monotonic() - began
        time.sleep(10)  # with both
    missing = asyncio.run(count_missing(cluster, load.transactions))
    cluster.note(
        "gateway under load, by its HorizontalPodAutoscaler: from one pod to two",
        "0 calls failed after retry, 0 lost",
        f"second pod ready after {seconds:.0f} s; {len(load.failures)} failed, {missing} of "
        f"{len(load.transactions)} lost",
        not load.failures and not missing,
    )
    cluster.helm("upgrade", RELEASE, str(CHART), *values(cluster), "--wait", "--timeout", "10m")
    cluster.wait_until_ready()


def has_metrics(cluster: Cluster) -> bool:
    """Whether an autoscaler could know what the gateway uses."""
    return "icn-gateway" in cluster.kubectl("top", "pods", "--no-headers", may_fail=True)


def ready_gateways(cluster: Cluster) -> int:
    """Pods of the gateway that take calls."""
    shown = json.loads(cluster.kubectl("get", "deployment", "icn-gateway", "-o", "json"))["status"]
    # One that ends is still a call's way until it is gone.
    return int(shown.get("readyReplicas", 0)) if shown.get("replicas") == shown.get("readyReplicas") else 0

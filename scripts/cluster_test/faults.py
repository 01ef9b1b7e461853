"""Parts that are replaced, deleted and killed while members trade."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from icn_client.cluster_files import SHARED_ROLES

from e2e.stories import tell
from scripts.cluster_test.load import count_missing, steady_load
from scripts.cluster_test.monitoring import watching
from scripts.cluster_test.platform import ClusterUnderTest
from scripts.cluster_test.release import (
    CHART,
    RELEASE,
    Cluster,
    Failed,
    delete_at_once,
    roots_at,
    say,
    settled,
    values,
    wait_for,
)

CHAIN_GAP_SECONDS_BAR = 5.0
START_AGAIN_SECONDS_MAX = 180.0
REFILL_SECONDS_MAX = 45.0
"""Of a wiped bus: thousands of events a second, and half a minute where who relays lacks the first ones. New
events would make up for lost ones in the count if it took minutes."""


def tell_stories(cluster: Cluster) -> None:
    """Through the gateway, and again while each part is deleted once."""
    from e2e.test_credit import LANE as CREDIT_LANE
    from e2e.test_credit import credit
    from e2e.test_delegates import LANE as DELEGATES_LANE
    from e2e.test_delegates import elect

    platform = ClusterUnderTest(cluster)
    for name, lane, story in (("credit", CREDIT_LANE, credit), ("delegates", DELEGATES_LANE, elect)):
        began = time.monotonic()
        tell(platform, lane, story)
        cluster.note(
            f"story {name}, with each part deleted once",
            "same numbers",
            f"{time.monotonic() - began:.0f} s",
            True,
        )


def roll_under_load(cluster: Cluster) -> None:
    """An upgrade, a rollback, and each pod deleted in turn, while transfers go on."""
    gaps: dict[str, float] = {}
    sent: list[bytes] = []
    failures: list[str] = []

    def during(name: str, work: Callable[[], object]) -> None:
        with steady_load(cluster) as load:
            work()
        gaps[name] = load.longest_gap_seconds
        sent.extend(load.transactions)
        failures.extend(load.failures)
        say(f"{name}: {len(load.committed)} transfers, longest gap {load.longest_gap_seconds:.1f} s")

    def upgrade() -> None:
        cluster.helm(
            "upgrade", RELEASE, str(CHART), *values(cluster), "--wait", "--timeout", "15m",
            "--set-string", "validators.environment.ICN_TEST_REVISION=2",
            *(f"--set-string=services.{name}.environment.ICN_TEST_REVISION=2" for name in SHARED_ROLES),
        )  # fmt: skip
        cluster.wait_until_ready()

    def rollback() -> None:
        cluster.helm("rollback", RELEASE, "--wait", "--timeout", "15m")
        cluster.wait_until_ready()

    def delete_each() -> None:
        for pod in cluster.pods():
            delete_at_once(cluster, pod["metadata"]["name"])
            time.sleep(1)
            cluster.wait_until_ready()
            time.sleep(3)

    during("rolling upgrade", upgrade)
    during("rollback", rollback)
    during("forced deletion of each pod in turn", delete_each)
    lost = asyncio.run(count_missing(cluster, sent))
    cluster.note(
        "upgrade, rollback, forced deletions under load: calls that failed after retry",
        "0",
        f"{len(failures)} of {len(sent)}",
        not failures,
    )
    cluster.note("the same: acknowledged and lost", "0", str(lost), not lost)
    longest = max(gaps.values())
    cluster.note(
        "the same: longest time without a final transfer",
        f"≤ {CHAIN_GAP_SECONDS_BAR:.0f} s",
        "; ".join(f"{name} {seconds:.1f} s" for name, seconds in gaps.items()),
        longest <= CHAIN_GAP_SECONDS_BAR,
    )


def kill_everything(cluster: Cluster) -> None:
    """SIGKILL to every process of the release at once, as a power cut; all starts again by itself."""
    with steady_load(cluster) as load:
        time.sleep(5)
    height, root = settled(cluster)
    ctr = ("ctr", "--address", str(cluster.state / "run" / "containerd.sock"), "--namespace", "k8s.io")
    is_ours = f'labels."io.kubernetes.pod.namespace"=={cluster.namespace}'
    named = f'{is_ours},labels."io.cri-containerd.kind"==container'
    containers = cluster.run(*ctr, "containers", "ls", "-q", named).split()
    before = cluster.starts()
    began = time.monotonic()
    with ThreadPoolExecutor(len(containers)) as pool:
        kill = (*ctr, "tasks", "kill", "--signal", "SIGKILL")
        list(pool.map(lambda one: cluster.run(*kill, one, may_fail=True), containers))
    while not all(count > before.get(pod, 0) for pod, count in cluster.starts().items()):
        if time.monotonic() - began > START_AGAIN_SECONDS_MAX:
            raise Failed(f"not everything was killed: {before} then {cluster.starts()}")
        time.sleep(0.5)
    cluster.wait_until_ready()
    settled(cluster)
    seconds = time.monotonic() - began
    after = roots_at(cluster, height)
    lost = asyncio.run(count_missing(cluster, load.transactions))
    cluster.note(
        "kill -9 of everything: the same root",
        "yes",
        f"{'yes' if after == {root} else f'{root} then {after}'}, back after {seconds:.0f} s",
        after == {root},
    )
    cluster.note("the same: acknowledged and lost", "0", f"{lost} of {len(load.transactions)}", not lost)


STREAMS_PROBE = """
import json, urllib.request
shown = json.load(urllib.request.urlopen("http://127.0.0.1:8222/jsz?accounts=true&streams=true", timeout=5))
details = [one for account in shown["account_details"] for one in account.get("stream_detail", [])]
print(json.dumps({one["name"]: one["state"]["messages"] for one in details}))
"""


def events_on_the_bus(cluster: Cluster) -> dict[str, int]:
    """Messages per stream of a service."""
    text = cluster.kubectl("exec", "icn-nats-0", "--", "python3", "-c", STREAMS_PROBE)
    return {name: count for name, count in json.loads(text).items() if name.startswith("ICN_")}


def wipe_events(cluster: Cluster) -> None:
    """The bus loses its volume while transfers go on; every stream is made again from Postgres."""
    prometheus = watching(cluster)
    was_silent = "IcnStreamRewound" not in prometheus.firing()
    with steady_load(cluster) as load:
        before = events_on_the_bus(cluster)
        cluster.kubectl("exec", "icn-nats-0", "--", "sh", "-c", "rm -rf /var/lib/nats/*")
        delete_at_once(cluster, "icn-nats-0")
        time.sleep(1)
        cluster.wait_until_ready()
        began = time.monotonic()
        after: dict[str, int] = {}
        while any(after.get(name, 0) < count for name, count in before.items()):
            if time.monotonic() - began > REFILL_SECONDS_MAX:
                break
            time.sleep(1)
            after = events_on_the_bus(cluster)
        wait_for(lambda: "IcnStreamRewound" in prometheus.firing(), "the alert IcnStreamRewound")
        fired = time.monotonic()
    missing = {
        name: count - after.get(name, 0) for name, count in before.items() if after.get(name, 0) < count
    }
    lost = asyncio.run(count_missing(cluster, load.transactions))
    cluster.note(
        "NATS volume wiped under load: events missing in the streams made again",
        "0",
        f"{sum(missing.values())} of {sum(before.values())}, after {time.monotonic() - began:.0f} s",
        not missing,
    )
    cluster.note(
        "the same: calls failed after retry; acknowledged and lost",
        "0; 0",
        f"{len(load.failures)}; {lost} of {len(load.transactions)}",
        not load.failures and not lost,
    )
    told = f"fired within {fired - began:.0f} s" if was_silent else "fired before, too"
    cluster.note("the same: the alert IcnStreamRewound", "fired", told, was_silent)

"""Parts that are replaced, deleted and killed while members trade."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from icn_client.cluster_files import SHARED_ROLES

from e2e.stories import tell
from scripts.cluster_test.load import Load, count_missing, steady_load
from scripts.cluster_test.monitoring import watching
from scripts.cluster_test.platform import ClusterUnderTest
from scripts.cluster_test.release import (
    CHART,
    RELEASE,
    SEATS,
    Cluster,
    Failed,
    ask_postgres,
    delete_at_once,
    roots_at,
    say,
    settled,
    values,
    wait_for,
)

CHAIN_GAP_SECONDS_BAR = 5.0
START_AGAIN_SECONDS_MAX = 180.0
REFILL_SECONDS_MAX = 120.0
LEDGER_EVENTS_PROBE = """
import os, psycopg
from icn_kit.outbox import events_of_row
with psycopg.connect(os.environ["ICN_LEDGER_DATABASE_URL"]) as connection:
    rows = connection.execute("SELECT subject, envelope FROM ledger.outbox")
    print(sum(len(events_of_row(*row)) for row in rows))
"""
"""How many events a validator's Postgres holds, several to a row."""


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
            cluster.wait_until_ready()  # and no longer: a drain takes the next one then

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
    """SIGKILL to every process of the release at once, as a power cut, while transfers are under way; all
    starts again by itself."""
    with steady_load(cluster) as load:
        time.sleep(5)
        height = min(int(one["executed_height"]) for one in cluster.icn("status")["validators"])
        roots = roots_at(cluster, height)
        acknowledged, seconds = _kill(cluster, load)
    settled(cluster)
    after = roots_at(cluster, height)
    lost = asyncio.run(count_missing(cluster, load.transactions))
    cluster.note(
        "kill -9 of everything under load: the same root",
        "yes",
        f"{'yes' if after == roots else f'{roots} then {after}'}, back after {seconds:.0f} s",
        after == roots and len(roots) == 1,
    )
    cluster.note(
        "the same: acknowledged and lost",
        "0",
        f"{lost} of {len(load.transactions)}, {acknowledged} of them before the kill",
        not lost,
    )


def _kill(cluster: Cluster, load: Load) -> tuple[int, float]:
    """How many transfers had been acknowledged when all was killed, and how long it took to come back."""
    ctr = ("ctr", "--address", str(cluster.state / "run" / "containerd.sock"), "--namespace", "k8s.io")
    is_ours = f'labels."io.kubernetes.pod.namespace"=={cluster.namespace}'
    named = f'{is_ours},labels."io.cri-containerd.kind"==container'
    containers = cluster.run(*ctr, "containers", "ls", "-q", named).split()
    before = cluster.starts()
    acknowledged = len(load.transactions)
    began = time.monotonic()
    with ThreadPoolExecutor(len(containers)) as pool:
        kill = (*ctr, "tasks", "kill", "--signal", "SIGKILL")
        list(pool.map(lambda one: cluster.run(*kill, one, may_fail=True), containers))
    while not all(count > before.get(pod, 0) for pod, count in cluster.starts().items()):
        if time.monotonic() - began > START_AGAIN_SECONDS_MAX:
            raise Failed(f"not everything was killed: {before} then {cluster.starts()}")
        time.sleep(0.5)
    cluster.wait_until_ready()
    return acknowledged, time.monotonic() - began


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


def missing_events(cluster: Cluster) -> tuple[dict[str, int], int]:
    """How many events each stream lacks of those that Postgres holds, and how many these are in all; with
    nobody writing."""
    held = {
        f"ICN_{role.upper()}": int(
            ask_postgres(cluster, "icn-postgres-0", f"SELECT count(*) FROM {role}.outbox")  # noqa: S608
        )
        for role in SHARED_ROLES
        if role != "gateway"
    }
    python = ("--", "/opt/icn/venv/bin/python", "-c", LEDGER_EVENTS_PROBE)
    held["ICN_LEDGER"] = max(
        int(cluster.kubectl("exec", f"icn-validator-{seat}-0", "-c", "ledger", *python)) for seat in SEATS
    )  # one that began with a snapshot has no events from before it
    streams = events_on_the_bus(cluster)
    lacking = {name: count - streams.get(name, 0) for name, count in held.items()}
    return {name: count for name, count in lacking.items() if count > 0}, sum(held.values())


def wipe_events(cluster: Cluster) -> None:
    """The bus loses its volume while transfers go on; every stream is made again from Postgres."""
    prometheus = watching(cluster)
    was_silent = "IcnStreamRewound" not in prometheus.firing()
    with steady_load(cluster) as load:
        cluster.kubectl("exec", "icn-nats-0", "--", "sh", "-c", "rm -rf /var/lib/nats/*")
        delete_at_once(cluster, "icn-nats-0")
        time.sleep(1)
        cluster.wait_until_ready()
        began = time.monotonic()
        wait_for(lambda: "IcnStreamRewound" in prometheus.firing(), "the alert IcnStreamRewound")
        fired = time.monotonic() - began
    settled(cluster)
    missing, held = missing_events(cluster)
    while missing and time.monotonic() - began < REFILL_SECONDS_MAX:
        time.sleep(1)
        missing, held = missing_events(cluster)
    cluster.note(
        "NATS volume wiped under load: events of Postgres that are in no stream afterwards",
        "0",
        f"{sum(missing.values())} of {held}, looked at {time.monotonic() - began:.0f} s after it was back",
        not missing,
    )
    lost = asyncio.run(count_missing(cluster, load.transactions))
    cluster.note(
        "the same: calls failed after retry; acknowledged and lost",
        "0; 0",
        f"{len(load.failures)}; {lost} of {len(load.transactions)}",
        not load.failures and not lost,
    )
    told = f"fired within {fired:.0f} s" if was_silent else "fired before, too"
    cluster.note("the same: the alert IcnStreamRewound", "fired", told, was_silent)

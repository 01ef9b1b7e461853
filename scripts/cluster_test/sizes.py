"""What the release uses at rest and under a steady load: the figures of docs/operating/sizing.md."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass

from scripts.cluster_test.installing import container_name, in_bytes, requested_bytes
from scripts.cluster_test.load import steady_load
from scripts.cluster_test.pages import Page
from scripts.cluster_test.release import Cluster, ask_postgres, say

REST_SECONDS = 90.0
"""Longer than the metrics server's window, so that what ran before has left it."""
LOAD_SECONDS = 120.0
MIB = 1024**2
DATABASE_BYTES = "SELECT pg_database_size('icn'), (SELECT count(*) FROM ledger.blocks)"


@dataclass
class Use:
    """Of one container, or of several of the same name together."""

    cpu_millicores: int = 0
    memory_bytes: int = 0


def measure(cluster: Cluster) -> None:
    """Memory and CPU of each container, and what transfers and empty blocks add to a validator's database."""
    page = Page(cluster, "sizing.md")
    page.run_next()  # memory and CPU
    page.run_next()  # disk
    page.end()
    time.sleep(REST_SECONDS)
    before = _database(cluster)
    time.sleep(REST_SECONDS)
    at_rest, rested = _use(cluster), _database(cluster)
    began = time.monotonic()
    with steady_load(cluster) as load:
        time.sleep(LOAD_SECONDS)
        under_load = _use(cluster)
    rate = len(load.committed) / (time.monotonic() - began)
    after = _database(cluster)
    for name in sorted(at_rest):
        rest, busy = at_rest[name], under_load.get(name, Use())
        say(
            f"{name}: at rest {rest.memory_bytes / MIB:.0f} MiB, {rest.cpu_millicores} m; "
            f"at {rate:.0f} transfers/s {busy.memory_bytes / MIB:.0f} MiB, {busy.cpu_millicores} m"
        )
    requested = requested_bytes(cluster)
    for when, use in (("at rest", at_rest), (f"at {rate:.0f} transfers a second", under_load)):
        above = {
            name: f"{one.memory_bytes / MIB:.0f} of {requested[name] / MIB:.0f} MiB"
            for name, one in use.items()
            if one.memory_bytes > requested[name]
        }
        used = sum(one.memory_bytes for one in use.values())
        cpu = sum(one.cpu_millicores for one in use.values())
        cluster.note(
            f"memory that is used {when}, by container",
            "≤ what it requests",
            f"{used / MIB:,.0f} of {sum(requested.values()) / MIB:,.0f} MiB, {cpu} m of a core {above or ''}",
            not above,
        )
    say(f"a validator's database: {_growth(before, rested)} at rest, {_growth(rested, after)} under load")
    say(f"{len(load.committed)} transfers")


def _use(cluster: Cluster) -> dict[str, Use]:
    """By part and container, as the metrics server saw it last."""
    found: dict[str, Use] = defaultdict(Use)
    shown = cluster.kubectl("top", "pods", "--containers", "--no-headers", "-l", "app.kubernetes.io/name=icn")
    for line in shown.splitlines():
        pod, container, cpu, memory = line.split()
        one = found[container_name(pod, container)]
        one.cpu_millicores += int(cpu.removesuffix("m"))
        one.memory_bytes += in_bytes(memory)
    return dict(found)


def _database(cluster: Cluster) -> tuple[int, int]:
    """Bytes and blocks of a validator's database."""
    size, blocks = ask_postgres(cluster, "icn-validator-0-0", DATABASE_BYTES).split("|")
    return int(size), int(blocks)


def _growth(earlier: tuple[int, int], later: tuple[int, int]) -> str:
    return f"{(later[0] - earlier[0]) / MIB:.1f} MiB in {later[1] - earlier[1]} blocks"

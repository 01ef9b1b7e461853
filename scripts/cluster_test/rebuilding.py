"""The event bus gets a new volume, by docs/operating/rebuild-nats.md."""

from __future__ import annotations

import time

from scripts.cluster_test.pages import Page
from scripts.cluster_test.release import Cluster, wait_for


def rebuild_events(cluster: Cluster) -> None:
    """Every stream is filled again, and what the page shows of Postgres and of the bus is the same."""
    page = Page(cluster, "rebuild-nats.md")
    show_streams = page.next()
    before = _counts(page.run(show_streams))
    page.run_next()  # a new volume
    began = time.monotonic()

    def now() -> dict[str, int]:
        return _counts(page.run(show_streams))

    wait_for(
        lambda: all(now().get(name, 0) >= count for name, count in before.items()), f"the streams {before}"
    )
    seconds = time.monotonic() - began
    told = _counts(page.run_next())
    page.end()
    after = now()
    missing = {
        name: count - after[f"ICN_{name.upper()}"]
        for name, count in told.items()
        if after.get(f"ICN_{name.upper()}", 0) < count
    }
    cluster.note(
        "NATS with a new volume: events of Postgres that are in no stream",
        "0",
        f"{sum(missing.values())} of {sum(told.values())}, and the ledger's; {seconds:.0f} s",
        not missing and bool(told),
    )


def _counts(shown: str) -> dict[str, int]:
    """Lines of a name and a number."""
    words = (line.split() for line in shown.splitlines())
    return {line[0]: int(line[1]) for line in words if not line[0].startswith("KV_")}

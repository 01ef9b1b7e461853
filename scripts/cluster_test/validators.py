"""Seats that are added and removed, by docs/operating/validators.md."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

from scripts.cluster_test.pages import Page
from scripts.cluster_test.release import EPOCH_SECONDS, SEATS, Cluster, create_unit, settled, wait_for

EDGE_SECONDS_MAX = EPOCH_SECONDS + 60.0
"""Until a block is there whose time lies behind the edge."""
ADDED = "icn-validator-4-0"


def change_seats(cluster: Cluster) -> None:
    """A fifth validator follows, is seated and needed, leaves its seat and is stopped."""
    for left in ("key-4.json", "offer-4.json"):
        (cluster.work / left).unlink(missing_ok=True)
    page = Page(cluster, "validators.md")
    page.run_next()  # its Secrets
    page.run_next()  # it runs
    offer = json.loads((cluster.work / "offer-4.json").read_text("utf-8"))
    organization = offer["organization"]
    page.run_next()  # seated from the next edge on
    began = time.monotonic()
    wait_for(lambda: organization in seated(cluster), "an epoch's edge with the fifth seat", EDGE_SECONDS_MAX)
    after = time.monotonic() - began
    wait_for(lambda: standing(cluster, organization) is not None, "the gateway to ask the fifth validator")
    height = block_without_seat_0(cluster, "FIVE")
    cluster.note(
        "a validator added to a release: its vote is one of the four that five seats need",
        "blocks with one of the others stopped",
        f"seated {after:.0f} s after it was decided; block {height} without seat 0",
        True,
    )
    page.run_next()  # unseated from the next edge on
    wait_for(
        lambda: organization not in seated(cluster),
        "an epoch's edge without the fifth seat",
        EDGE_SECONDS_MAX,
    )
    page.run_next()  # stopped
    page.end()
    cluster.wait_until_ready()
    _, root = settled(cluster)
    left = cluster.kubectl("get", "pod", ADDED, "--ignore-not-found", "-o", "name").strip()
    cluster.note(
        "the same, removed again: the other four go on at one root",
        "four seats, no pod",
        f"{len(seated(cluster))} seats, root {root[:16]} {left}",
        len(seated(cluster)) == len(SEATS) and not left,
    )


def block_without_seat_0(cluster: Cluster, code: str) -> int:
    """Height of a block that needed the votes of all others; it creates a unit of this code."""
    cluster.kubectl("scale", "statefulset/icn-validator-0", "--replicas=0")
    cluster.kubectl("wait", "pod/icn-validator-0-0", "--for=delete", "--timeout=120s")
    height = create_unit(cluster, code)
    cluster.kubectl("scale", "statefulset/icn-validator-0", "--replicas=1")
    cluster.wait_until_ready()
    return height


def is_named(cluster: Cluster, offer: Path, which: str) -> bool:
    """Whether the keys of an offer are those of a seat ``in_force``, or of the ``next`` epoch."""
    keys = json.loads(offer.read_text("utf-8"))["public_keys"]
    seats = cluster.icn("validators", "show")[which]["seats"]
    return keys in [seat["public_keys"] for seat in seats]


def seated(cluster: Cluster) -> list[str]:
    """Organizations of the seats in force."""
    shown = cluster.icn("validators", "show")
    return [one["organization"] for one in shown["in_force"]["seats"]]


def standing(cluster: Cluster, organization: str) -> Any:
    """Where the gateway says that an organization's validator stands; None where it does not answer."""
    with urllib.request.urlopen(f"{cluster.gateway_url}/v1/validators", timeout=20) as answer:  # noqa: S310 - the gateway under test
        shown = json.load(answer)
    return next((one["status"] for one in shown["validators"] if one["organization"] == organization), None)

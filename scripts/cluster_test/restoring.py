"""A federation that is backed up and restored into another namespace, by docs/operating/backup-and-restore.md."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

from scripts.cluster_test.faults import events_on_the_bus
from scripts.cluster_test.pages import Page
from scripts.cluster_test.release import SEATS, Cluster, Failed, wait_for
from scripts.cluster_test.release import values as values_given

ROOTS = "SELECT json_object_agg(height, encode(state_root, 'hex')) FROM ledger.blocks"
ORGANIZATIONS = "SELECT count(*) FROM identity.organizations"


def ask_postgres(cluster: Cluster, pod: str, query: str) -> str:
    """One value of a database, as its administrator."""
    psql = ("sh", "/etc/postgresql/administrator.sh", "psql", "-qtAc", query)
    return cluster.kubectl("exec", pod, "-c", "postgres", "--", *psql).strip()


def restore(cluster: Cluster) -> None:
    """All validators, services and streams come back in an empty namespace with what the backup had, and go on."""
    for left in ("backup", "restored"):
        shutil.rmtree(cluster.work / left, ignore_errors=True)
    write_values(cluster)
    unit, accounts = open_accounts(cluster)

    def pay(amount: str) -> None:
        cluster.icn("pay", accounts[1], amount, "--from", accounts[0], "--as", "sunrise-bakery")

    cluster.icn("org", "register", "Sunrise Bakery", "--kind", "cooperative", "--as", "sunrise-bakery")
    pay("5")
    page = Page(cluster, "backup-and-restore.md")
    page.run_next()
    streams = events_on_the_bus(cluster)
    pay("7")
    roots = json.loads(ask_postgres(cluster, "icn-validator-0-0", ROOTS))
    organizations = ask_postgres(cluster, "icn-postgres-0", ORGANIZATIONS)
    for _ in ("the old one ends", "new keys", "restored databases"):
        page.run_next()
    other = replace(cluster, namespace=f"{cluster.namespace}-restored")
    page.run_next()  # the terms
    terms = json.loads((cluster.work / "restored" / "recovery.json").read_text("utf-8"))
    shown = cluster.icn(
        "validators", "recovery", "show", str(cluster.work / "restored" / "recovery.json"),
        "--genesis", str(cluster.federation / "genesis.json"),
    )  # fmt: skip
    height, root = shown["height"], shown["state_root"]
    is_same = roots.get(height) == root
    cluster.note(
        "restored into a new namespace: the state root at the height that all have",
        "the original's",
        f"the same at height {height}" if is_same else f"{root} at {height}, was {roots.get(height)}",
        is_same,
    )
    assert terms["format"], "a recovery file"
    page.run_next()  # signed
    page.run_next()  # handed in
    cluster.icn("connect", other.gateway_url, "--genesis", str(cluster.federation / "genesis.json"))
    balance = cluster.icn("account", "show", accounts[0])["balance_minor"]
    cluster.note(
        "the same: what was paid before the backup, and after it", "-5; lost", f"{balance}", balance == "-5"
    )
    pay("11")
    again = cluster.icn("account", "show", accounts[0])["balance_minor"]
    cluster.note("the same: it takes payments", "-16", again, again == "-16")
    kept = ask_postgres(other, "icn-postgres-0", ORGANIZATIONS)
    cluster.note("the same: organizations that identity knows", organizations, kept, kept == organizations)
    filled: dict[str, int] = {}

    def are_filled() -> bool:
        filled.update(events_on_the_bus(other))
        return all(filled.get(name, 0) >= count for name, count in streams.items())

    wait_for(are_filled, f"the streams to hold {streams}, and they hold {filled}")
    cluster.note(
        "the same: events on the new bus", f"≥ {sum(streams.values())}", str(sum(filled.values())), True
    )
    page.run_next()  # back to normal
    page.end()
    seats = cluster.icn("status")["validators"]
    taking_part = sum(one["state"] == "ok" for one in seats)
    cluster.note(
        "the same: validators that take part after the next upgrade", str(len(SEATS)), str(taking_part),
        taking_part == len(SEATS),
    )  # fmt: skip
    if not unit:
        raise Failed("there was no unit")


def open_accounts(cluster: Cluster) -> tuple[str, list[str]]:
    """A unit of the bakery's, and two accounts in it."""
    unit = cluster.icn("unit", "create", "KEPT", "--as", "sunrise-bakery", "--scale", "0", "--floor=-1000")[
        "unit"
    ]
    names = ("sunrise-bakery", "harvest-farm")
    return unit, [cluster.icn("account", "open", "--unit", unit, "--as", name)["account"] for name in names]


def write_values(cluster: Cluster) -> None:
    """Add to the prepared values what every install of the test is given, as an operator has it in the file."""
    file = cluster.federation / "values.yaml"
    given = values_given(cluster)
    ...

"""A federation that is backed up and restored elsewhere, by docs/operating/backup-and-restore.md."""

from __future__ import annotations

import json
import shutil
import time

from scripts.cluster_test.faults import events_on_the_bus
from scripts.cluster_test.pages import Page
from scripts.cluster_test.release import SEATS, Cluster, ask_postgres, wait_for

ROOTS = "SELECT json_object_agg(height, encode(state_root, 'hex')) FROM ledger.blocks"
EVENTS = "SELECT count(*) FROM identity.outbox"
FIRST_EVENTS = (
    "SELECT md5(string_agg(id::text, '' ORDER BY fence, position)) "
    "FROM (SELECT * FROM identity.outbox ORDER BY fence, position LIMIT {}) AS first"
)
PAYER, PAYEE = "sunrise-bakery", "harvest-farm"


def restore(cluster: Cluster) -> None:
    """Validators, services and streams come back in a new namespace as the backup has them, and go on."""
    for left in ("backup", "restored"):
        shutil.rmtree(cluster.work / left, ignore_errors=True)
    cluster.forget(cluster.restored_namespace)
    page = Page(cluster, "backup-and-restore.md")
    unit = cluster.icn("unit", "create", "KEPT", "--as", PAYER, "--scale", "0", "--floor=-1000")["unit"]
    account, other = (
        cluster.icn("account", "open", "--unit", unit, "--as", name)["account"] for name in (PAYER, PAYEE)
    )

    def pay(amount: int) -> None:
        cluster.icn("pay", other, str(amount), "--from", account, "--as", PAYER)

    def balance() -> str:
        return str(cluster.icn("account", "show", account)["balance_minor"])

    cluster.icn("org", "register", "Sunrise Bakery", "--kind", "cooperative", "--as", PAYER)
    pay(5)
    events = ask_postgres(cluster, "icn-postgres-0", EVENTS)
    first = ask_postgres(cluster, "icn-postgres-0", FIRST_EVENTS.format(events))
    page.run_next()
    streams = events_on_the_bus(cluster)
    pay(7)
    roots = json.loads(ask_postgres(cluster, "icn-validator-0-0", ROOTS))
    page.run_next()  # the old one ends
    began = time.monotonic()
    page.run_next()  # new keys
    page.run_next()  # databases
    page.run_next()  # terms
    genesis = ("--genesis", str(cluster.federation / "genesis.json"))
    terms = str(cluster.work / "restored" / "recovery.json")
    shown = cluster.icn("validators", "recovery", "show", terms, *genesis)
    height, root = shown["height"], shown["state_root"]
    cluster.note(
        "restored into a new namespace: the state root after the backup's last block",
        f"the original's, {roots.get(height, '')[:16]}",
        f"{root[:16]} at height {height}; the original holds {len(roots):,} roots",
        roots.get(height) == root,
    )
    page.run_next()  # signed
    page.run_next()  # handed in
    cluster.namespace = cluster.restored_namespace  # the release under test from now on
    cluster.icn("connect", cluster.gateway_url, *genesis)
    found = balance()
    pay(11)
    seconds = time.monotonic() - began
    cluster.note(
        "the same: paid before the backup, after it, and once it is back",
        "kept, lost, takes payments",
        f"{found} of -5 and -12, then {balance()}, {seconds:.0f} s after the begin",
        (found, balance()) == ("-5", "-16"),
    )
    kept = ask_postgres(cluster, "icn-postgres-0", FIRST_EVENTS.format(events))
    cluster.note(
        "the same: what identity has told before the backup",
        f"the same {events} events",
        "the same" if kept == first else "others",
        kept == first and events != "0",
    )
    filled: dict[str, int] = {}

    def are_filled() -> bool:
        filled.update(events_on_the_bus(cluster))
        return all(filled.get(name, 0) >= count for name, count in streams.items())

    wait_for(are_filled, f"the streams to hold {streams}; they hold {filled}")
    cluster.note(
        "the same: events on a new bus",
        f"≥ {sum(streams.values())} as at the backup",
        str(sum(filled.values())),
        True,
    )
    page.run_next()  # back to normal
    page.end()
    seats = cluster.icn("status")["validators"]
    ok = sum(one["state"] == "ok" for one in seats)
    cluster.note("the same: validators that take part", f"{len(SEATS)}", f"{ok}", ok == len(SEATS))

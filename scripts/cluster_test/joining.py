"""A second release, in a namespace of its own, runs a fifth seat: docs/operating/join.md, "In a cluster"."""

from __future__ import annotations

import json
import shutil
import time
from typing import Any

from scripts.cluster_test.release import CHART, EPOCH_SECONDS, RELEASE, SEATS, Cluster, wait_for

COOP = "mill"
SPONSOR = "sunrise-bakery"
SEAT = len(SEATS)
METRICS = """
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:9101/metrics", timeout=5).read().decode())
"""


def join_from_outside(cluster: Cluster) -> None:
    """A cooperative's own release joins the zone, is given a seat, and its vote is needed."""
    namespace = f"{cluster.namespace}-{COOP}"
    host = f"{RELEASE}-validator-{SEAT}.{namespace}"
    began = time.monotonic()
    principal = make_cooperative(cluster)
    seat, mill = cluster.work / "seat", cluster.work / COOP
    for folder in (seat, mill):
        shutil.rmtree(folder, ignore_errors=True)
    genesis = str(cluster.federation / "genesis.json")
    cluster.icn("validator", "init", str(seat), "--genesis", genesis, "--for", principal, "--host", host)
    elsewhere = [{"seat": SEAT, "host": host, "consensusPort": 7001, "ledgerPort": 7002}]
    caller = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}]
    tell_where(cluster, elsewhere, caller)
    places = [f"--at={number}={RELEASE}-validator-{number}.{cluster.namespace}" for number in SEATS]
    admission = cluster.work / "admission.json"
    admission.write_text(
        cluster.icn_text(
            "validators", "admit", str(seat / "request.pem"), "--genesis", genesis,
            "--authority", str(cluster.federation / "authority"), *places,
        ),
        "utf-8",
    )  # fmt: skip
    named = ("--release", RELEASE, "--namespace", namespace)
    cluster.icn(
        "cluster", "prepare", str(mill), "--validator", str(seat), "--admission", str(admission), *named
    )
    outside = cluster.in_namespace(namespace)
    cluster.run("kubectl", "delete", "namespace", namespace, "--ignore-not-found", "--wait=true")
    cluster.run("kubectl", "create", "namespace", namespace)
    cluster.run("kubectl", "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    outside.kubectl("apply", "-f", str(mill / "objects.json"))
    outside.helm(
        "install", RELEASE, str(CHART), "-f", str(mill / "values.yaml"),
        "--set", f"images.tag={cluster.tag}", "--wait", "--timeout", "5m",
    )  # fmt: skip
    wait_for(lambda: follows(outside), "the fifth validator to follow")
    followed = time.monotonic() - began
    cluster.icn("validators", "change", "--add", str(seat / "offer.json"))
    wait_for(lambda: seats_in_force(cluster) == SEAT + 1, "the epoch of five seats", 3 * EPOCH_SECONDS)
    # With one of the others away the quorum of five, which is four, needs the fifth's vote.
    lost = f"statefulset/{RELEASE}-validator-{SEAT - 1}"
    cluster.kubectl("scale", lost, "--replicas=0")
    cluster.kubectl("wait", "--for=delete", f"pod/{RELEASE}-validator-{SEAT - 1}-0", "--timeout=120s")
    made = cluster.icn("unit", "create", "OUTSIDE", "--as", SPONSOR)
    # A pod that is gone at once starts again with the same key, and votes.
    outside.kubectl("delete", "pod", f"{RELEASE}-validator-{SEAT}-0", "--grace-period=0", "--force")
    outside.wait_until_ready()
    again = cluster.icn("unit", "create", "AGAIN", "--as", SPONSOR)
    cluster.kubectl("scale", lost, "--replicas=1")
    cluster.wait_until_ready()
    cluster.note(
        "a second release runs a fifth seat, with keys of its own",
        "its vote makes the quorum",
        f"followed after {followed:.0f} s, voted at heights {made['height']} and {again['height']}",
        int(again["height"]) > int(made["height"]),
    )


def leave_outside(cluster: Cluster) -> None:
    """The seat is given up from an edge on, then the second release goes; what it leaves is its volumes."""
    offer = json.loads((cluster.work / "seat" / "offer.json").read_text("utf-8"))
    cluster.icn("validators", "change", "--remove", offer["organization"])
    wait_for(lambda: seats_in_force(cluster) == len(SEATS), "the epoch of four seats", 3 * EPOCH_SECONDS)
    outside = cluster.in_namespace(f"{cluster.namespace}-{COOP}")
    outside.helm("uninstall", RELEASE, "--wait", "--timeout", "5m")
    cluster.run("kubectl", "delete", "namespace", outside.namespace, "--wait=true")
    tell_where(cluster, [], [])


def tell_where(cluster: Cluster, elsewhere: list[Any], callers: list[Any]) -> None:
    """The zone's release, where the seats of others are and from where they call, as join.md shows it."""
    cluster.helm(
        "upgrade", RELEASE, str(CHART), "--reset-then-reuse-values", "--wait", "--timeout", "15m",
        "--set-json", f"validators.elsewhere={json.dumps(elsewhere)}",
        "--set-json", f"networkPolicies.elsewhereFrom={json.dumps(callers)}",
    )  # fmt: skip


def make_cooperative(cluster: Cluster) -> str:
    """A cooperative that the zone knows and that pays for itself; its principal."""
    keystore = cluster.work / f"{COOP}-keys"
    shutil.rmtree(keystore, ignore_errors=True)
    keystore.mkdir(mode=0o700)
    (keystore / "passphrase").write_text("of the mill alone", "ascii")
    own = ("--keystore", str(keystore))
    cluster.icn("keys", "new", COOP, "--post-quantum", *own)
    public = keystore / "public.json"
    public.write_text(cluster.icn_text("keys", "export", COOP, *own), "utf-8")
    principal = str(json.loads(public.read_text("utf-8"))["principal"])
    cluster.icn("account", "admit", str(public), "--as", SPONSOR)
    cluster.icn("org", "allow", principal)
    return principal


def follows(outside: Cluster) -> bool:
    """Whether the validator there has what others told it of."""
    from icn_client.rolling import follows_the_chain

    pod = f"{RELEASE}-validator-{SEAT}-0"
    text = outside.kubectl("exec", pod, "-c", "consensus", "--", "python3", "-c", METRICS, may_fail=True)
    return bool(text) and follows_the_chain(text)


def seats_in_force(cluster: Cluster) -> int:
    """How many seats the epoch has that is."""
    shown: dict[str, Any] = cluster.icn("validators", "show")
    return len(shown["in_force"]["seats"])

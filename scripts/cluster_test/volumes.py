"""Volumes that are lost, and such that are kept."""

from __future__ import annotations

import base64
import json

from icn_client.platforms import open_founders

from scripts.cluster_test.release import (
    CHART,
    RELEASE,
    Cluster,
    delete_at_once,
    roots_at,
    settled,
    values,
    wait_for,
)
from scripts.cluster_test.validators import EDGE_SECONDS_MAX, block_without_seat_0, is_named


def lose_volumes(cluster: Cluster) -> None:
    """A seat loses its database and its record: it must not vote anew, and follows with a new key."""
    pod = "icn-validator-3-0"
    claims = ("record-icn-validator-3-0", "postgres-icn-validator-3-0")
    cluster.kubectl("delete", "pvc", *claims, "--wait=false")
    delete_at_once(cluster, pod)
    wait_for(lambda: "this validator must not vote" in cluster.logs(pod, "bring-key"), "the seat to refuse")
    why = cluster.logs(pod, "bring-key")
    cluster.note(
        "a seat that lost both volumes does not vote anew, and says why",
        "refused",
        "refused" if "has to sign a new consensus key" in why else why[-200:],
        "has to sign a new consensus key" in why,
    )
    status = cluster.icn("status")
    organization = next(
        one for one in open_founders(cluster.federation) if one.name == "wheelwright-workshop"
    )
    key, offer = cluster.work / "consensus.json", cluster.work / "offer.json"
    key.unlink(missing_ok=True)
    made = cluster.icn_text(
        "validators", "key", "new", "--for", organization.principal.hex(), "--out", str(key)
    )
    offer.write_text(made, "utf-8")
    encoded = base64.b64encode(key.read_bytes()).decode("ascii")
    patch = json.dumps({"data": {"consensus.json": encoded}})
    cluster.kubectl("patch", "secret", "icn-validator-3", "--type=merge", "-p", patch)
    cluster.icn("validators", "rekey", "--as", organization.name, "--offer", str(offer))
    delete_at_once(cluster, pod)
    cluster.wait_until_ready()
    height = max(one["final_height"] for one in status["validators"] if "final_height" in one)

    def follows() -> bool:
        shown = {one["seat"]: one for one in cluster.icn("status")["validators"]}
        return int(shown[3].get("executed_height", 0)) >= int(height)

    wait_for(follows, "the seat to follow with its new key")
    wait_for(lambda: is_named(cluster, offer, "in_force"), "the edge with the new key", EDGE_SECONDS_MAX)
    cluster.note(
        "the same seat with a new key",
        "follows, and votes from the epoch that names it",
        f"block {block_without_seat_0(cluster, 'FOUND')} without seat 0",
        True,
    )


def keep(cluster: Cluster) -> None:
    """Upgrades that are told nothing change nothing; what is installed anew on kept volumes goes on."""
    before = {pod["metadata"]["uid"] for pod in cluster.pods()}
    for _ in range(3):
        cluster.helm("upgrade", RELEASE, str(CHART), "--wait", "--timeout", "10m")
    after = {pod["metadata"]["uid"] for pod in cluster.pods()}
    cluster.note(
        "`helm upgrade` without flags, three times",
        "0 pods restarted",
        str(len(after - before)),
        before == after,
    )
    height, root = settled(cluster)
    cluster.helm("uninstall", RELEASE, "--wait", "--timeout", "5m")
    cluster.helm("install", RELEASE, str(CHART), *values(cluster), "--wait", "--timeout", "5m")
    cluster.icn("connect", cluster.gateway_url, "--genesis", str(cluster.federation / "genesis.json"))
    settled(cluster)
    found = roots_at(cluster, height)
    cluster.note(
        "installed anew on kept volumes",
        "the same root",
        "yes" if found == {root} else f"{root} then {found}",
        found == {root},
    )

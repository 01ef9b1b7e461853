"""A protocol version is activated while one validator is of an older release: docs/operating/upgrade.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from icn_chain.protocols import FIRST_PROTOCOL, NEWEST_PROTOCOL

from scripts.cluster_test.monitoring import watching
from scripts.cluster_test.release import (
    EPOCH_SECONDS,
    ROOT,
    SEATS,
    Cluster,
    Failed,
    ask_postgres,
    create_unit,
    delete_at_once,
    load_into_node,
    settled,
    wait_for,
)

SEAT = 3
POD = f"icn-validator-{SEAT}-0"
ALERT = "IcnProtocolUnknown"
EDGE_SECONDS_MAX = 2.0 * EPOCH_SECONDS
OLDER_RELEASE = f"""
from icn_chain import protocols

for version in range({FIRST_PROTOCOL + 1}, {NEWEST_PROTOCOL + 1}):
    del protocols.KNOWN_PROTOCOLS[version]
protocols.NEWEST_PROTOCOL = {FIRST_PROTOCOL}
"""
"""What makes the image of this commit one of a release that knows the first version alone."""
NEWEST_BLOCK = "SELECT max(height) FROM consensus.final_blocks"
PAGE = ROOT / "docs" / "operating" / "upgrade.md"


def activate(cluster: Cluster) -> None:
    """The older release takes part until the edge, stops there, does not start behind it, and catches up."""
    version = FIRST_PROTOCOL + 1
    commands = (("protocol", "status"), ("protocol", "activate", str(version)))
    shown = PAGE.read_text("utf-8")
    if not all(f"\nicn {' '.join(command)}\n" in shown for command in commands):
        raise Failed(f"{PAGE.name} shows other commands than {commands}")
    older = make_older(cluster)
    delete_at_once(cluster, POD)  # a run before may have left it of that image
    cluster.wait_until_ready()
    go_back(cluster, older)
    cluster.wait_until_ready()
    wait_for(lambda: standing(cluster)["state"] == "ok", "the older release to take part")
    old = [one["seat"] for one in cluster.icn(*commands[0])["seats"] if one["newest"] == FIRST_PROTOCOL]
    refusal = refusal_of(cluster, *commands[1])
    cluster.note(
        f"activation of version {version} while seat {SEAT} knows {FIRST_PROTOCOL}",
        "refused: the seat is named",
        refusal.strip()[-200:],
        len(old) == 1 and f"seat {old[0]} ({FIRST_PROTOCOL})" in refusal,
    )
    prometheus = watching(cluster)
    was_silent = ALERT not in prometheus.firing()
    cluster.icn(*commands[1], "--force")
    wait_for(
        lambda: standing(cluster)["state"] == "halted",
        "the older release to stop at the edge",
        EDGE_SECONDS_MAX,
    )
    height = standing(cluster)["final_height"]
    sentence = (
        f"protocol version {version} is in force from height {height + 1} on; "
        f"this release knows {FIRST_PROTOCOL}: upgrade icn"
    )
    paid = create_unit(cluster, "EDGE")
    held = standing(cluster)
    cluster.note(
        "the same, forced: the older release at the edge, the others behind it",
        "stops and says why; the chain goes on",
        f"{held['halted']}; block {paid} is final without it",
        (held["halted"], held["final_height"]) == (sentence, height) and paid > height,
    )
    wait_for(lambda: ALERT in prometheus.firing(), f"the alert {ALERT}")
    delete_at_once(cluster, POD)  # the release's own image again
    cluster.wait_until_ready()
    wait_for(lambda: standing(cluster).get("final_height", 0) >= paid, "the upgraded validator to catch up")
    _, root = settled(cluster)
    wait_for(lambda: ALERT not in prometheus.firing(), f"the alert {ALERT} to clear")
    cluster.note(
        "the same, upgraded: catches up from its data; the alert",
        "one root; fired and cleared",
        f"root {root[:16]} on all {len(SEATS)}; {'both' if was_silent else 'it fired before, too'}",
        was_silent,
    )
    refuse_to_go_back(cluster, older, version)


def refuse_to_go_back(cluster: Cluster, older: str, version: int) -> None:
    """The older release is started on data from behind the edge."""
    go_back(cluster, older)
    refused = f"of protocol version {version}; this release knows {FIRST_PROTOCOL}: upgrade icn"
    wait_for(lambda: refused in said(cluster), "the older release to refuse data from behind the edge")
    paid = create_unit(cluster, "BEYOND")
    height = int(ask_postgres(cluster, POD, NEWEST_BLOCK))
    delete_at_once(cluster, POD)
    cluster.wait_until_ready()
    wait_for(lambda: standing(cluster).get("final_height", 0) >= paid, "the validator to catch up once more")
    settled(cluster)
    cluster.note(
        "a downgrade across an activation: the validator does not start, says why and changes nothing",
        "a sentence; the chain goes on",
        f"…{refused}; stood at {height}, block {paid} was final without it, back at one root",
        height < paid,
    )


def make_older(cluster: Cluster) -> str:
    """An image of consensus as an older release would have it, known to the node."""
    folder: Path = cluster.work / "older"
    folder.mkdir(exist_ok=True)
    name = f"icn/consensus:{cluster.tag}-older"
    (folder / "Dockerfile").write_text(
        f"FROM icn/consensus:{cluster.tag}\nCOPY sitecustomize.py /opt/icn/app/sitecustomize.py\n", "utf-8"
    )
    (folder / "sitecustomize.py").write_text(OLDER_RELEASE, "utf-8")
    cluster.run("/usr/bin/docker", "build", "--quiet", "--network", "none", "--tag", name, str(folder))
    load_into_node(cluster, name)
    return name


def go_back(cluster: Cluster, image: str) -> None:
    """The validator's process of consensus starts again, of that image, until its pod is made anew."""
    before = cluster.starts()[f"{POD}/consensus"]
    cluster.kubectl("set", "image", f"pod/{POD}", f"consensus={image}")
    wait_for(lambda: cluster.starts().get(f"{POD}/consensus", 0) > before, f"{POD} to start {image}")


def said(cluster: Cluster) -> str:
    """By the container, now and at its last start."""
    before = cluster.kubectl("logs", POD, "-c", "consensus", "--previous", may_fail=True)
    return before + cluster.logs(POD, "consensus")


def standing(cluster: Cluster) -> Any:
    """Of the seat, as `icn status` has it."""
    return cluster.icn("status")["validators"][SEAT]


def refusal_of(cluster: Cluster, *command: str) -> str:
    """What the command says that it does not do. Raises Failed."""
    try:
        cluster.icn(*command)
    except Failed as failed:
        return str(failed)
    raise Failed(f"icn {' '.join(command)} was not refused")

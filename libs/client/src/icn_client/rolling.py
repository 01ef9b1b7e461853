"""Brings the validators of a release to a new version, one after the other.

Each validator is a StatefulSet of its own, so Kubernetes would take all of them down at once, and the chain
would stop. Source: docs/adr/0046-kubernetes.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

READY_SECONDS_MAX: Final = 600.0
"""Who was away for long catches up for minutes; who takes longer is somebody's to look at."""
HEIGHTS_BEHIND_MAX: Final = 8
"""Under load a validator executes a few blocks behind what the others have told of."""
POLL_SECONDS: Final = 1.0
REVISION_LABEL: Final = "controller-revision-hash"


class NotRolled(Exception):
    """A validator does not come up, or the others are not there; the message says which."""


class Cluster(Protocol):
    """What Kubernetes is asked."""

    def stateful_sets(self, selector: str) -> list[dict[str, Any]]:
        """By name."""
        ...

    def pod(self, name: str) -> dict[str, Any] | None:
        """None where there is none."""
        ...

    def delete_pod(self, name: str, uid: str) -> None:
        """If it is still this one."""
        ...


@dataclass(frozen=True, slots=True)
class Clock:
    """How time passes."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Rolled:
    """What became of one validator."""

    name: str
    seconds: float
    """From the end of the old one until the new one took part; 0 where it was of this version already."""


def roll(
    cluster: Cluster, selector: str, is_in_step: Callable[[str], bool], clock: Clock = Clock()
) -> Iterator[Rolled]:
    """Restart each validator that is of another version than its StatefulSet says, when all others take part.

    Args:
        cluster: see `Cluster`.
        selector: labels of the validators' StatefulSets.
        is_in_step: whether the validator whose pod has this address has caught up with the chain.
        clock: the machine's where left out.

    Raises:
        NotRolled: see there. What was restarted until then stays so.
        KubernetesRefused: the API said no.
    """
    names = [str(one["metadata"]["name"]) for one in cluster.stateful_sets(selector)]
    if not names:
        raise NotRolled(f"no StatefulSet has the labels {selector}: nothing to do here")

    def takes_part(name: str, revision: str = "") -> bool:
        """Whether it does, and with this revision if one is asked for."""
        pod = cluster.pod(f"{name}-0")
        if pod is None or not _is_ready(pod) or (revision and not _is_of(pod, revision)):
            return False
        return is_in_step(str(pod["status"].get("podIP", "")))

    for name in names:
        wanted = _revision(cluster, selector, name, clock)
        begun_at = clock.now()
        pod = cluster.pod(f"{name}-0")
        is_rolled = pod is None or not _is_of(pod, wanted)
        if pod is not None and is_rolled:
            if takes_part(name):
                others = [other for other in names if other != name]
                _wait(lambda: all(map(takes_part, others)), f"all but {name} take part", clock)  # noqa: B023
            begun_at = clock.now()
            cluster.delete_pod(f"{name}-0", str(pod["metadata"]["uid"]))
        _wait(partial(takes_part, name, wanted), f"{name} takes part{' again' if is_rolled else ''}", clock)
        yield Rolled(name, clock.now() - begun_at if is_rolled else 0.0)


def follows_the_chain(metrics: str) -> bool:
    """Whether a validator whose consensus shows these metrics has heard from others and is where they are.

    Raises:
        ValueError: they are none.
    """
    from prometheus_client.parser import text_string_to_metric_families

    heights: dict[str, float] = {}
    is_catching_up = True
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == "icn_consensus_height_blocks":
                heights[sample.labels["which"]] = sample.value
            elif sample.name == "icn_consensus_catching_up_bool":
                is_catching_up = sample.value != 0
    told = heights.get("told", 0)
    return not is_catching_up and told > 0 and heights.get("executed", 0) >= told - HEIGHTS_BEHIND_MAX


def _revision(cluster: Cluster, selector: str, name: str, clock: Clock) -> str:
    """The version that the StatefulSet asks for, once its controller has seen the newest change."""
    found = ""

    def is_known() -> bool:
        nonlocal found
        for one in cluster.stateful_sets(selector):
            if one["metadata"]["name"] == name:
                status = one.get("status", {})
                found = str(status.get("updateRevision", ""))
                return bool(found) and status.get("observedGeneration", 0) >= one["metadata"]["generation"]
        return False

    _wait(is_known, f"Kubernetes says which version {name} should have", clock)
    return found


def _is_of(pod: dict[str, Any], revision: str) -> bool:
    return bool(pod["metadata"]["labels"].get(REVISION_LABEL) == revision)


def _is_ready(pod: dict[str, Any]) -> bool:
    if "deletionTimestamp" in pod["metadata"]:
        return False
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _wait(is_so: Callable[[], bool], what: str, clock: Clock) -> None:
    deadline = clock.now() + READY_SECONDS_MAX
    while not is_so():
        if clock.now() > deadline:
            raise NotRolled(
                f"waited {READY_SECONDS_MAX:.0f} s until {what}: the validators behind it stay as they are. "
                "Look at kubectl describe pod and its logs, mend it, and run the upgrade again"
            )
        clock.sleep(POLL_SECONDS)

from __future__ import annotations

from typing import Any

import pytest
from icn_client.rolling import READY_SECONDS_MAX, Clock, NotRolled, Rolled, follows_the_chain, roll

SELECTOR = "app.kubernetes.io/instance=icn,icn.coop/kind=validator"


class FakeCluster:
    """Four validators, of which some are of the old version; one that is deleted comes back after a while."""

    def __init__(self, old: int, *, comes_back: bool = True) -> None:
        self.seconds = 0.0
        self.deleted: list[str] = []
        self.away_most = 0
        self._comes_back = comes_back
        self._revision = {f"icn-validator-{seat}": "old" if seat < old else "new" for seat in range(4)}
        self._ready_at = dict.fromkeys(self._revision, 0.0)

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.seconds, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def stateful_sets(self, selector: str) -> list[dict[str, Any]]:
        assert selector == SELECTOR
        status = {"updateRevision": "new", "observedGeneration": 2}
        return [{"metadata": {"name": name, "generation": 2}, "status": status} for name in self._revision]

    def pod(self, name: str) -> dict[str, Any] | None:
        name = name.removesuffix("-0")
        ready = self.seconds >= self._ready_at[name]
        return {
            "metadata": {"uid": f"{name}-uid", "labels": {"controller-revision-hash": self._revision[name]}},
            "status": {
                "podIP": name,
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            },
        }

    def delete_pod(self, name: str, uid: str) -> None:
        name = name.removesuffix("-0")
        assert uid == f"{name}-uid"
        self.deleted.append(name)
        self._revision[name] = "new"
        self._ready_at[name] = self.seconds + 10 if self._comes_back else float("inf")
        away = [one for one, ready_at in self._ready_at.items() if ready_at > self.seconds]
        self.away_most = max(self.away_most, len(away))

    def break_down(self, seat: int) -> None:
        self._ready_at[f"icn-validator-{seat}"] = float("inf")


def rolled(cluster: FakeCluster, in_step_after: float = 0.0) -> list[Rolled]:
    def is_in_step(host: str) -> bool:
        return cluster.seconds >= cluster._ready_at[host] + in_step_after

    return list(roll(cluster, SELECTOR, is_in_step, cluster.clock))


def test_validators_are_restarted_one_by_one_and_the_next_waits_until_the_last_has_caught_up() -> None:
    cluster = FakeCluster(old=4)
    done = rolled(cluster, in_step_after=25)
    assert cluster.deleted == [f"icn-validator-{seat}" for seat in range(4)]
    assert cluster.away_most == 1
    assert all(one.seconds >= 35 for one in done)


def test_those_of_the_new_version_are_left_alone() -> None:
    cluster = FakeCluster(old=1)
    assert [one.seconds > 0 for one in rolled(cluster)] == [True, False, False, False]
    assert cluster.deleted == ["icn-validator-0"]


def test_nobody_goes_while_another_is_away() -> None:
    cluster = FakeCluster(old=4)
    cluster.break_down(2)
    with pytest.raises(NotRolled, match=f"waited {READY_SECONDS_MAX:.0f} s until all but icn-validator-0"):
        rolled(cluster)
    assert cluster.deleted == []


def test_one_that_is_away_already_is_restarted_without_waiting_for_it() -> None:
    cluster = FakeCluster(old=1)
    cluster.break_down(0)
    assert [one.name for one in rolled(cluster) if one.seconds] == ["icn-validator-0"]


def test_a_new_version_that_does_not_come_up_takes_one_validator_and_no_more() -> None:
    cluster = FakeCluster(old=4, comes_back=False)
    with pytest.raises(NotRolled, match="icn-validator-0 takes part again: the validators behind it stay"):
        rolled(cluster)
    assert cluster.deleted == ["icn-validator-0"]


METRICS = """# TYPE icn_consensus_height_blocks gauge
icn_consensus_height_blocks{{seat="0",which="final"}} {executed}
icn_consensus_height_blocks{{seat="0",which="executed"}} {executed}
icn_consensus_height_blocks{{seat="0",which="told"}} {told}
# TYPE icn_consensus_catching_up_bool gauge
icn_consensus_catching_up_bool{{seat="0"}} {catching_up}
"""


@pytest.mark.parametrize(
    ("executed", "told", "catching_up", "follows"),
    [(100, 100, 0, True), (92, 100, 0, True), (91, 100, 0, False), (100, 0, 0, False), (100, 100, 1, False)],
)
def test_who_follows_the_chain_has_heard_of_it_and_is_near_its_end(
    executed: int, told: int, catching_up: int, follows: bool
) -> None:
    text = METRICS.format(executed=executed, told=told, catching_up=catching_up)
    assert follows_the_chain(text) == follows


def test_metrics_of_something_else_say_that_it_does_not_follow() -> None:
    assert not follows_the_chain("up 1\n")

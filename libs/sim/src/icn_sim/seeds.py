"""What one seed plays: a swarm's choice of faults, chaos, then healing. Source: docs/spec/simulator.md.

Everything that a run does follows from its seed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from icn_consensus.domain.actions import ReportKind

from icn_sim.application import EXPIRING
from icn_sim.byzantine import LIARS, Forger
from icn_sim.tally import Fault, Reached, Tally
from icn_sim.world import Conditions, Network
from icn_sim.zone import InvariantBroken

RESUMES_WITHIN_MS: Final = 30_000
"""Promise P4."""
RESUMES_WITHIN_VIEWS: Final = 60
"""Views between the heal and the block that everybody waits for."""
SETTLES_WITHIN_MS: Final = 500
"""Fetching the body of a newest block takes a moment."""
LAST: Final = b"after the heal"
LIARS_PERCENT: Final = 40
BAD_DISK_PERCENT: Final = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a seed ended."""

    digest: str
    """Of every event of the run: equal wherever and whenever it is played."""
    tally: Tally
    violation: str
    """Which promise was broken, and how; empty when none was."""
    views_to_resume: int


def play(seed: int) -> Outcome:
    """Chaos, then healing."""
    choose = random.Random(seed)  # noqa: S311 - a simulation, not a secret
    network = network_of(choose, seed)
    violation, views = "", 0
    try:
        network.start()
        disturb(network, choose, choose.randint(4, 10))
        views = _check_resumes(network)
        _check_accusations(network)
    except InvariantBroken as broken:
        violation = str(broken)
    except Exception as error:  # noqa: BLE001 - the core raised: a node would have stopped
        violation = f"{type(error).__name__}: {error}"
    return Outcome(network.digest(), network.tally, violation, views)


def network_of(choose: random.Random, seed: int) -> Network:
    """Each seed has some of the faults only: a fault that is always there hides what others would show."""

    def sometimes(percent: int, values: tuple[int, ...]) -> int:
        return choose.choice(values) if choose.randrange(100) < percent else 0

    seats = choose.choice([4, 4, 4, 5, 7])
    liars = {}
    if choose.randrange(100) < LIARS_PERCENT:
        for seat in choose.sample(range(seats), (seats - 1) // 3):
            liars[seat] = choose.choice(sorted(LIARS))
    skew_ms = sometimes(50, (20, 100, 1_000))
    conditions = Conditions(
        delay_ms=(1, choose.choice([1, 10, 40, 120, 300])),
        loss_percent=sometimes(50, (1, 3, 10)),
        duplicate_percent=sometimes(40, (2, 20)),
        reorder_percent=sometimes(40, (10, 50)),
        prepare_ms=(0, sometimes(50, (5, 50))),
        judge_ms=(0, sometimes(50, (5, 300))),
        execute_ms=(0, sometimes(60, (2, 20, 60))),
        crash_permille=sometimes(50, (1, 4, 10)),
        clock_offset_ms=skew_ms,
    )
    network = Network(
        seats,
        seed,
        conditions,
        epoch_ms=choose.choice([86_400_000, 3_000, 3_000, 60_000]),
        heartbeat_ms=choose.choice([2_000, 30_000]),
        block_transactions_max=5,
        node_classes={seat: LIARS[name] for seat, name in liars.items()},
    )
    network.tally.faults.update(liars.values())
    network.tally.reached[Reached.BYZANTINE_SEED] += bool(liars)
    network.tally.faults[Fault.CLOCK_SKEW] += bool(skew_ms)
    if not liars and choose.randrange(100) < BAD_DISK_PERCENT:
        network.bad_disk_seat = choose.randrange(seats)
    return network


def disturb(network: Network, choose: random.Random, steps: int) -> None:
    """Submit, crash, restart, cut and heal at random."""
    seats = len(network.nodes)
    count = 0
    for _ in range(steps):
        for _ in range(choose.randrange(5)):
            count += 1
            body = b"transaction %d" % count
            if not choose.randrange(5):
                body = EXPIRING + b"%d %d" % (network.now_ms + choose.randint(100, 5_000), count)
            network.submit(body, [choose.randrange(seats)] if choose.randrange(2) else None)
        dice = choose.randrange(100)
        if dice < 20:
            choose.choice(network.nodes).crash()
        elif dice < 45:
            for node in network.nodes:
                node.start_again()
        elif dice < 58:
            order = choose.sample(range(seats), seats)
            cut = choose.randint(1, seats - 1)
            network.partition(order[:cut], order[cut:])
        elif dice < 68:
            sender, receiver = choose.sample(range(seats), 2)
            network.cut_one_way(sender, receiver)
        elif dice < 85:
            network.heal()
        network.run_for(choose.randint(1, choose.choice([50, 1_000, 4_000])))


def _check_resumes(network: Network) -> int:
    """All links and seats are back: everybody executes a new transaction in time, to the same state.

    Returns: in how many views.
    """
    network.conditions = Conditions(delay_ms=network.conditions.delay_ms)
    network.heal()
    for node in network.nodes:
        node.start_again()
    followers = [node for node in network.honest if node.is_up]
    begun = max(node.replica.status().view for node in followers)
    network.submit(LAST)

    def is_everywhere() -> bool:
        return all(LAST in node.application.transactions for node in followers)

    if not network.run_for(RESUMES_WITHIN_MS, until=is_everywhere):
        standing = [node.replica.status() for node in network.nodes]
        raise InvariantBroken(f"nothing final {RESUMES_WITHIN_MS} ms after the heal: {standing}")
    views = max(node.replica.status().view for node in followers) - begun
    if views > RESUMES_WITHIN_VIEWS:
        raise InvariantBroken(f"{views} views from the heal to a final block")
    network.run_for(2_000)
    if not network.run_for(
        SETTLES_WITHIN_MS, until=lambda: max(network.heights()) - min(network.heights()) <= 1
    ):
        raise InvariantBroken(f"final heights {network.heights()}")
    roots = {node.application.height: node.application.state_root() for node in followers}
    executed = {node.application.height: set(node.application.transactions) for node in followers}
    for node in followers:
        if node.application.state_root() != roots[node.application.height]:
            raise InvariantBroken(f"two state roots at height {node.application.height}")
    if lost := network.acknowledged - executed[max(executed)]:
        raise InvariantBroken(f"acknowledged and lost: {sorted(lost)}")
    return views


def _check_accusations(network: Network) -> None:
    """Evidence is about who contradicted itself, and about nobody else."""
    accused = {
        report.seat
        for node in network.honest
        for report in node.reports
        if report.kind == ReportKind.EQUIVOCATION
    }
    contradict = {seat for seat in network.faulty if isinstance(network.nodes[seat], Forger)}
    if network.bad_disk_seat is not None:
        contradict.add(network.bad_disk_seat)
    if not accused <= contradict:
        raise InvariantBroken(f"seats {sorted(accused - contradict)} are accused wrongly")

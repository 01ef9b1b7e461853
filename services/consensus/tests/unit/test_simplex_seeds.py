"""Many short runs, each from a seed: delays, losses, partitions, crashes at any action, and seats that lie.

The simulation refuses at once what must never happen: two final blocks of a height, a seat that contradicts
itself, a vote that is not on disk, a transaction executed twice. Here the federation must also resume.
"""

from __future__ import annotations

import random

import pytest
from icn_consensus.domain.actions import Persist, ReportKind
from icn_consensus.domain.byzantine import Babbler, Equivocator, MuteLeader
from icn_consensus.domain.simulation import Conditions, InvariantBroken, Network, Node

RESUMES_WITHIN_MS = 30_000
"""Promise P4."""
FETCHES_WITHIN_MS = 500
HONEST_SEEDS = 120
FAULTY_SEEDS = 60


def disturb(network: Network, choose: random.Random, steps: int) -> None:
    """Submit, crash, restart, cut and heal at random."""
    seats = len(network.nodes)
    count = 0
    for _ in range(steps):
        for _ in range(choose.randrange(5)):
            count += 1
            body = b"transaction %d" % count
            if not choose.randrange(5):
                body = b"expires at %d %d" % (network.now_ms + choose.randint(100, 5_000), count)
            network.submit(body, [choose.randrange(seats)] if choose.randrange(2) else None)
        dice = choose.randrange(100)
        if dice < 20:
            choose.choice(network.nodes).crash()
        elif dice < 45:
            for node in network.nodes:
                node.start_again()
        elif dice < 60:
            order = choose.sample(range(seats), seats)
            cut = choose.randint(1, seats - 1)
            network.partition(order[:cut], order[cut:])
        elif dice < 80:
            network.heal()
        network.run_for(choose.randint(1, choose.choice([50, 1_000, 4_000])))


def assert_resumes(network: Network) -> None:
    """All links and seats are back: everybody executes a new transaction in time, to the same state."""
    network.conditions = Conditions(delay_ms=network.conditions.delay_ms)
    network.heal()
    for node in network.nodes:
        node.start_again()
    network.submit(b"after the heal")
    assert network.run_for(
        RESUMES_WITHIN_MS,
        until=lambda: all(b"after the heal" in node.application.transactions for node in network.honest),
    ), [node.replica.status() for node in network.nodes]
    network.run_for(2_000)
    roots = {node.application.height: node.application.state_root() for node in network.honest}
    for node in network.honest:
        assert node.application.state_root() == roots[node.application.height]
    # At once, or within the moment that fetching the body of a newest block takes.
    assert network.run_for(
        FETCHES_WITHIN_MS, until=lambda: max(network.heights()) - min(network.heights()) <= 1
    ), network.heights()


@pytest.mark.parametrize("seed", range(HONEST_SEEDS))
def test_honest_seats_agree_and_resume(seed: int) -> None:
    choose = random.Random(seed)
    conditions = Conditions(
        delay_ms=(1, choose.choice([10, 40, 120])),
        loss_percent=choose.choice([0, 0, 2, 10]),
        prepare_ms=(0, 5),
        judge_ms=(0, choose.choice([5, 5, 300])),
        execute_ms=(0, choose.choice([2, 20, 60])),
        crash_permille=choose.choice([0, 0, 1, 4]),
        clock_offset_ms=choose.choice([0, 20, 100]),
    )
    network = Network(
        choose.choice([4, 4, 5, 7]),
        seed,
        conditions,
        epoch_ms=choose.choice([86_400_000, 3_000, 60_000]),
        heartbeat_ms=choose.choice([2_000, 30_000]),
        block_transactions_max=5,
    )
    network.start()
    disturb(network, choose, choose.randint(4, 10))
    assert_resumes(network)


@pytest.mark.parametrize("seed", range(FAULTY_SEEDS))
def test_honest_seats_agree_and_resume_though_f_seats_lie(seed: int) -> None:
    choose = random.Random(1_000_000 + seed)
    seats = choose.choice([4, 4, 7])
    faulty = choose.sample(range(seats), (seats - 1) // 3)
    conditions = Conditions(
        delay_ms=(1, choose.choice([10, 40, 100])),
        loss_percent=choose.choice([0, 0, 3]),
        execute_ms=(0, choose.choice([2, 30])),
        crash_permille=choose.choice([0, 0, 2]),
    )
    network = Network(
        seats,
        seed,
        conditions,
        epoch_ms=choose.choice([2_000, 86_400_000]),
        block_transactions_max=5,
        node_classes={seat: choose.choice([MuteLeader, Equivocator, Babbler]) for seat in faulty},
    )
    network.start()
    disturb(network, choose, choose.randint(4, 8))
    assert_resumes(network)
    accused = {
        report.seat
        for node in network.honest
        for report in node.reports
        if report.kind == ReportKind.EQUIVOCATION
    }
    assert accused <= {seat for seat in faulty if isinstance(network.nodes[seat], Equivocator)}


def test_an_equivocating_leader_is_reported_by_the_honest() -> None:
    network = Network(4, 3, Conditions(delay_ms=(1, 20)), node_classes={1: Equivocator})
    network.start()
    for number in range(40):
        network.submit(b"transaction %d" % number)
        network.run_for(50)
    evidence = {
        report.evidence
        for node in network.honest
        for report in node.reports
        if report.kind == ReportKind.EQUIVOCATION and report.seat == 1
    }
    kinds = {(item[4], item[4 + 1 + 4 + int.from_bytes(item[5:9], "big") + 64]) for item in evidence}
    assert (0, 0) in kinds, "two proposals"
    assert (1, 1) in kinds, "two notarizes"
    assert {(2, 3), (3, 2)} & kinds, "a nullify and a finalize"


class Forgetful(Node):
    """Starts with an empty log."""

    def start(self) -> None:
        self.disk.records.clear()
        self.disk.synced = 0
        super().start()


class Hasty(Node):
    """Sends before it writes."""

    def perform_one(self, action: object) -> None:
        if isinstance(action, Persist):
            self.network.schedule(1, lambda: Node.perform_one(self, action))
        else:
            Node.perform_one(self, action)  # type: ignore[arg-type]


@pytest.mark.parametrize("node_class", [Forgetful, Hasty])
def test_the_simulation_catches_who_breaks_the_log(node_class: type[Node]) -> None:
    with pytest.raises(InvariantBroken):
        for seed in range(20):
            network = Network(
                4,
                seed,
                Conditions(delay_ms=(1, 40), loss_percent=5, crash_permille=10),
                node_class=node_class,
            )
            network.start()
            disturb(network, random.Random(seed), 10)

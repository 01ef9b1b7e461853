"""What one seed plays: a swarm's choice of faults, chaos, then healing. Source: docs/spec/simulator.md.

Everything that a run does follows from its seed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from typing import Final

from icn_chain.protocols import FIRST_PROTOCOL, NEWEST_PROTOCOL
from icn_chain.quorum import SEATS_MIN, faults_of

from icn_sim.byzantine import LIARS, CarefulEquivocator, Forger
from icn_sim.ledger import LedgerApplication, founder, genesis_of
from icn_sim.restoring import is_recoverable, lose_logs
from icn_sim.tally import Fault, Reached, Tally
from icn_sim.traders import Traders
from icn_sim.world import Conditions, Network
from icn_sim.zone import PromiseBroken, renewed_key

RESUMES_WITHIN_MS: Final = 30_000
"""Promise P4."""
RESUMES_WITHIN_VIEWS: Final = 60
"""Views between the heal and the block that everybody waits for."""
SETTLES_WITHIN_MS: Final = 2_000
"""Who has no seat hears of a block, asks for it and is answered, up to 300 ms each, at every edge anew."""
LEDGER_PERCENT: Final = 50
"""Seeds whose application is the ledger; of the others it is a digest, which says more of consensus alone."""
CHANGES_SEATS_PERCENT: Final = 60
"""Of the seeds without the ledger."""
SPARES: Final = 3
"""Nodes that may come to hold seats."""
SYNCS_WITHIN_MS: Final = 30_000
"""A question that was lost before the heal is given up after 10 s."""
HANDS_IN_AGAIN_MS: Final = 500
LOSES_LOGS_PERCENT: Final = 60
"""Of the seeds with the ledger and without a bad disk."""
LIARS_PERCENT: Final = 40
BLOCK_TRANSACTIONS_MAX: Final = 5
BAD_DISK_PERCENT: Final = 10
WRONG_CLOCK_PERCENT: Final = 15
"""Of the seeds that have fewer than f seats of other faults."""
WRONG_CLOCK_MS: Final = (5_000, 20_000, 3_600_000)
"""All beyond what voters take."""
LOSES_EVERYTHING_PERCENT: Final = 30
"""Of the seeds with the ledger and short epochs in which fewer than f seats lie or have a wrong clock."""
ACTIVATES_PERCENT: Final = 50
"""Of the seeds without the ledger and with short epochs: another protocol version comes in force."""
ACTIVATES_WITHIN_MS: Final = 6_000
OUTDATED_PERCENT: Final = 60
"""Of these: seats that a quorum can do without are of an older release, and upgraded only when all heals."""
EPOCH_MS_MAX: Final = 3_000
EPOCHS_UNTIL_SNAPSHOT: Final = 3
"""One that ends, one whose first state is named, and one more for those that were behind."""


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
        plan_activation(network, random.Random(-seed - 1_000_003))  # noqa: S311 - a simulation, not a secret
        network.start()
        disturb(network, choose, choose.randint(4, 10))
        if _may_lose_everything(network) and choose.randrange(100) < LOSES_EVERYTHING_PERCENT:
            _lose_everything(network, choose)
            disturb(network, choose, choose.randint(1, 4))
        elif is_recoverable(network) and choose.randrange(100) < LOSES_LOGS_PERCENT:
            lose_logs(network, choose)
            disturb(network, choose, choose.randint(1, 4))
        views = _check_resumes(network, choose)
        for node in network.honest:
            node.application.check_promises()
        _check_accusations(network)
    except PromiseBroken as broken:
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
        for seat in choose.sample(range(seats), choose.randint(1, faults_of(seats))):
            liars[seat] = choose.choice(sorted(LIARS))
    skew_ms = sometimes(50, (20, 100, 1_000))
    conditions = Conditions(
        delay_ms=(1, choose.choice([1, 10, 40, 120, 200, 300])),
        loss_percent=sometimes(50, (1, 3, 10)),
        duplicate_percent=sometimes(40, (2, 20)),
        reorder_percent=sometimes(40, (10, 50)),
        prepare_ms=(0, sometimes(50, (5, 50))),
        judge_ms=(0, sometimes(50, (5, 300))),
        execute_ms=(0, sometimes(60, (2, 20, 60))),
        crash_permille=sometimes(50, (1, 4, 10)),
        clock_offset_ms=skew_ms,
    )
    heartbeat_ms = choose.choice([2_000, 30_000])
    has_ledger = choose.randrange(100) < LEDGER_PERCENT
    changes_seats = not has_ledger and choose.randrange(100) < CHANGES_SEATS_PERCENT
    epoch_ms = choose.choice([1_000, 3_000] if changes_seats else [86_400_000, 3_000, 3_000, 60_000])
    genesis = genesis_of(seats, epoch_ms, heartbeat_ms, BLOCK_TRANSACTIONS_MAX)
    network = Network(
        seats,
        seed,
        conditions,
        epoch_ms=epoch_ms,
        heartbeat_ms=heartbeat_ms,
        block_transactions_max=BLOCK_TRANSACTIONS_MAX,
        node_classes={seat: LIARS[name] for seat, name in liars.items()},
        application_of=partial(LedgerApplication, genesis) if has_ledger else None,
        clients=Traders(founder()) if has_ledger else None,
        spares=SPARES if changes_seats else 0,
    )
    network.tally.reached[Reached.LEDGER_SEED] += has_ledger
    network.tally.faults.update(liars.values())
    network.tally.reached[Reached.BYZANTINE_SEED] += bool(liars)
    network.tally.faults[Fault.CLOCK_SKEW] += bool(skew_ms)
    if not liars and choose.randrange(100) < BAD_DISK_PERCENT:
        network.bad_disk_seat = choose.randrange(seats)
    _set_clocks_wrong(network, random.Random(~seed))  # noqa: S311 - a simulation, not a secret
    return network


def _set_clocks_wrong(network: Network, choose: random.Random) -> None:
    """Give some of those that a quorum can do without another clock. Drawn apart, so that seeds without one
    play what they played before there were wrong clocks."""
    sound = sorted(set(network.genesis_seats) - network.hampered)
    room = faults_of(len(network.genesis_seats)) - len(network.hampered)
    if room > 0 and choose.randrange(100) < WRONG_CLOCK_PERCENT:
        for seat in choose.sample(sound, choose.randint(1, room)):
            network.nodes[seat].clock_offset_ms = choose.choice((-1, 1)) * choose.choice(WRONG_CLOCK_MS)
            network.tally.faults[Fault.WRONG_CLOCK] += 1


def plan_activation(network: Network, choose: random.Random) -> None:
    """Have the next protocol version named in the midst of it all. Drawn apart, so that seeds without it play
    what they played before there was another version."""
    if (
        isinstance(network.nodes[0].application, LedgerApplication)
        or network.config(0).epoch_ms > EPOCH_MS_MAX
    ):
        return
    if choose.randrange(100) >= ACTIVATES_PERCENT:
        return
    room = faults_of(len(network.genesis_seats)) - len(network.hampered)
    if room > 0 and choose.randrange(100) < OUTDATED_PERCENT:
        sound = sorted(set(network.genesis_seats) - network.hampered)
        for seat in choose.sample(sound, choose.randint(1, room)):
            network.nodes[seat].protocol_newest = FIRST_PROTOCOL
    delay_ms = choose.randint(0, ACTIVATES_WITHIN_MS)
    network.schedule(delay_ms, lambda: network.hand_in_protocol(FIRST_PROTOCOL + 1))


def _upgrade(network: Network) -> None:
    """Start who is of an older release again with the newest."""
    for seat in sorted(network.outdated):
        node = network.nodes[seat]
        node.crash()
        node.protocol_newest = NEWEST_PROTOCOL


def disturb(network: Network, choose: random.Random, steps: int) -> None:
    """Submit, crash, restart, cut and heal at random."""
    seats = len(network.nodes)
    for _ in range(steps):
        network.hand_in_again(lambda: [choose.randrange(seats)])
        for _ in range(choose.randrange(8)):
            network.hand_in(choose, [choose.randrange(seats)] if choose.randrange(2) else None)
        if seats > len(network.genesis_seats) and choose.randrange(2):
            _change_seats(network, choose)
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


def _change_seats(network: Network, choose: random.Random) -> None:
    """Hand in who shall decide from the next epoch on: one comes, goes or takes another's place.

    At most f of those who decide may lie, also then.
    """
    nodes = list(network.seats_wanted)
    spare = choose.choice([node.seat for node in network.nodes if node.seat not in nodes] or [nodes[0]])
    dice = choose.randrange(3)
    if dice < 2:
        nodes.pop(choose.randrange(len(nodes)))
    if dice > 0 and spare not in nodes:
        nodes.insert(choose.randint(0, len(nodes)), spare)
    hampered = network.hampered & set(nodes)
    if len(nodes) >= SEATS_MIN and len(hampered) <= faults_of(len(nodes)):
        network.hand_in_seats(nodes)


def _may_lose_everything(network: Network) -> bool:
    """Whether a seat may be lost beside those that lie, and epochs are so short that there are snapshots."""
    return (
        isinstance(network.nodes[0].application, LedgerApplication)
        and len(network.hampered) < faults_of(len(network.nodes))
        and network.bad_disk_seat is None
        and network.config(0).epoch_ms <= EPOCH_MS_MAX
    )


def _lose_everything(network: Network, choose: random.Random) -> None:
    """A node loses key and databases, and takes the state from the others, one of whom may forge it."""
    network.heal()
    for node in network.nodes:
        node.start_again()
    for _ in range(2 * EPOCHS_UNTIL_SNAPSHOT):
        network.hand_in(choose)
        network.run_for(network.config(0).epoch_ms // 2)
    lost = choose.choice(network.honest)
    if choose.randrange(2):
        network.forges_snapshots = choose.choice([node.seat for node in network.nodes if node is not lost])
    lost.crash()
    network.lose_everything(lost, renewed_key(lost.seat, 0).public_key)
    lost.start_again()


def _check_resumes(network: Network, choose: random.Random) -> int:
    """All links and seats are back: everybody executes a new transaction in time, to the same state.

    Returns: in how many views.
    """
    network.conditions = Conditions(delay_ms=network.conditions.delay_ms)
    network.heal()
    _upgrade(network)
    for node in network.nodes:
        node.start_again()
    if not network.run_for(SYNCS_WITHIN_MS, until=lambda: not any(node.is_syncing for node in network.nodes)):
        raise PromiseBroken(f"a state is not taken from the others {SYNCS_WITHIN_MS} ms after the heal")
    followers = [node for node in network.honest if node.is_up]
    begun = max(node.replica.status().view for node in followers)
    last = network.hand_in(choose)

    def is_everywhere() -> bool:
        return all(last in node.application.transactions for node in followers)

    for _ in range(RESUMES_WITHIN_MS // HANDS_IN_AGAIN_MS):
        network.hand_in_again(lambda: None)
        if network.run_for(HANDS_IN_AGAIN_MS, until=is_everywhere):
            break
    else:
        standing = [node.replica.status() for node in network.nodes]
        raise PromiseBroken(f"nothing final {RESUMES_WITHIN_MS} ms after the heal: {standing}")
    views = max(node.replica.status().view for node in followers) - begun
    if views > RESUMES_WITHIN_VIEWS:
        raise PromiseBroken(f"{views} views from the heal to a final block")
    network.run_for(2_000)
    if not network.run_for(
        SETTLES_WITHIN_MS, until=lambda: max(network.heights()) - min(network.heights()) <= 1
    ):
        raise PromiseBroken(f"final heights {network.heights()}")
    states = [node.application.state() for node in followers]
    roots = {state.executed_height: (state.state_root, state.receipts_root) for state in states}
    for state in states:
        if (state.state_root, state.receipts_root) != roots[state.executed_height]:
            raise PromiseBroken(f"two states at height {state.executed_height}")
    executed = {
        state.executed_height: set(node.application.transactions)
        for state, node in zip(states, followers, strict=True)
        if node.disk.first_height == 1  # who began with a snapshot does not know what was executed before
    }
    if lost := network.acknowledged - executed[max(executed)]:
        raise PromiseBroken(f"acknowledged and lost: {sorted(lost)}")
    return views


def _check_accusations(network: Network) -> None:
    """Evidence is about who broke the rules, and about nobody else."""
    accused = network.accused
    contradict = {
        seat
        for seat in network.faulty
        if isinstance(network.nodes[seat], Forger) or seat == network.bad_disk_seat
    }
    if not accused <= contradict:
        raise PromiseBroken(f"nodes {sorted(accused - contradict)} are accused wrongly")
    proven = [seat for seat in accused if isinstance(network.nodes[seat], CarefulEquivocator)]
    network.tally.reached[Reached.CAREFUL_PROVEN] += len(proven)

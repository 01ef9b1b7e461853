"""What a view costs a seat: counted, so that it grows noticed; CPU time is printed (`-s`)."""

from __future__ import annotations

import time

from icn_consensus.domain import actions as act
from icn_consensus.domain.events import Event
from icn_sim.node import Node
from icn_sim.world import Network

SEATS = 4


class Metered(Node):
    """Counts steps and the CPU time of the core alone."""

    steps = 0
    cpu_ns = 0
    syncs = 0

    def handle(self, event: Event) -> None:
        if self.is_up:
            started = time.thread_time_ns()
            actions = self.replica.step(event, self.now_ms())
            type(self).cpu_ns += time.thread_time_ns() - started
            type(self).steps += 1
            type(self).syncs += sum(isinstance(item, act.Persist) and item.is_synced for item in actions)
            self.perform(actions)


def test_a_view_under_load_costs_a_seat_few_messages_verifications_and_writes() -> None:
    network = Network(SEATS, 1, node_class=Metered)
    network.start()
    count = 0

    def feed() -> None:
        nonlocal count
        count += 1
        network.submit(b"transaction %d" % count)
        network.schedule(20, feed)

    feed()
    network.run_for(500)
    verified = sum(node.crypto.verified for node in network.nodes)
    height, messages = len(network.headers()), network.messages
    Metered.steps = Metered.cpu_ns = Metered.syncs = 0
    network.run_for(2_000)
    views = len(network.headers()) - height
    seat_views = SEATS * views
    verified = sum(node.crypto.verified for node in network.nodes) - verified
    cpu_us = Metered.cpu_ns / seat_views / 1_000
    print(f"\n{cpu_us:.0f} CPU-µs per view and seat in {Metered.steps / seat_views:.1f} steps")
    assert views == 100
    # One proposal to each other seat; from each seat two votes and their two certificates to each other.
    assert (network.messages - messages) / views <= (SEATS - 1) + 4 * SEATS * (SEATS - 1) + 1
    # Two others' votes of each kind, the proposal, and at most one late vote in each of its certificates.
    assert verified / seat_views <= 2 + 2 + 1 + 2
    # Notarize (with the own proposal, when leading) and finalize.
    assert Metered.syncs / seat_views <= 2.05

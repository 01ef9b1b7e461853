"""Transactions of one member that no block can include, beside another's: production pool and ledger."""

from __future__ import annotations

import random
from functools import partial

from icn.ledger.v1 import transaction_pb2 as pb
from icn_consensus.usecases.pool import LANE_GAPPED_MAX
from icn_sim.ledger import LedgerApplication, founder, genesis_of
from icn_sim.traders import Principal, Traders
from icn_sim.world import Conditions, Network

LANES = 16
PER_LANE = LANE_GAPPED_MAX + 16


def _trading(transfers: int) -> tuple[Network, Traders, random.Random]:
    """A zone of four seats in which everything is opened."""
    traders, choose = Traders(founder()), random.Random(1)
    genesis = genesis_of(4, 86_400_000, 30_000, 700)
    network = Network(
        4,
        1,
        Conditions(delay_ms=(5, 10)),
        block_transactions_max=700,
        application_of=partial(LedgerApplication, genesis),
        clients=traders,
    )
    network.start()
    for _ in range(transfers):
        network.hand_in(choose)
        network.run_for(200)
    return network, traders, choose


def _latencies_ms(network: Network, choose: random.Random, count: int) -> list[int]:
    """From handing a transaction in until the first seat has executed it."""
    found = []
    for _ in range(count):
        transaction, began_ms = network.hand_in(choose), network.now_ms
        assert network.run_for(30_000, until=partial(_is_executed, network, transaction))
        found.append(network.now_ms - began_ms)
        network.run_for(200)
    return found


def _is_executed(network: Network, transaction: bytes) -> bool:
    return transaction in network.nodes[0].application.transactions


def _flood(network: Network, member: Principal) -> None:
    """Fill every lane of a member behind a gap."""
    nothing = pb.Message(void_hold=pb.VoidHold(hold=bytes(16)))
    for lane in range(LANES):
        for sequence in range(5_000, 5_000 + PER_LANE):
            network.submit(member.sign_at(lane, sequence, nothing, now_ms=network.now_ms))


def test_a_transfer_takes_at_most_twice_as_long_beside_all_that_another_member_may_keep_waiting() -> None:
    network, _, choose = _trading(20)
    quiet = sorted(_latencies_ms(network, choose, 9))
    network, traders, choose = _trading(20)
    _flood(network, traders.members[0])
    assert {len(node.pool) for node in network.nodes} == {LANES * LANE_GAPPED_MAX}
    flooded = sorted(_latencies_ms(network, choose, 9))
    assert flooded[4] <= 2 * quiet[4]
    assert flooded[-1] <= 2 * quiet[-1]

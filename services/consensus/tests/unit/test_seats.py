"""Seats that change hands at the edge of an epoch: who leaves stops, who comes votes, the rest go on."""

from __future__ import annotations

import pytest
from icn_chain.certificate import VOTE_TAGS, VoteKind, build_certificate, vote_body
from icn_chain.validator_set import NO_SEAT
from icn_consensus.domain.actions import MessageKind
from icn_consensus.domain.events import CertificateReceived
from icn_sim.node import Node
from icn_sim.world import Conditions, Network

from .test_simplex import submit_every

EPOCH_MS = 1_000


def started(spares: int = 1, conditions: Conditions | None = None, seats: int = 4) -> Network:
    network = Network(seats, 1, conditions, epoch_ms=EPOCH_MS, spares=spares)
    network.start()
    submit_every(network, 20)
    return network


def seats_of(network: Network) -> list[int]:
    """Seat of each node, as it knows."""
    return [node.replica.status().seat for node in network.nodes]


def change(network: Network, *nodes: int) -> None:
    """Name these, and let the epoch end in which they do not decide yet."""
    network.hand_in_seats(nodes)
    wanted = {node: seat for seat, node in enumerate(nodes)}
    expected = [wanted.get(node.seat, NO_SEAT) for node in network.nodes]
    reached = network.run_for(
        4 * EPOCH_MS,
        until=lambda: all(
            not node.is_up or node.replica.status().seat == expected[node.seat] for node in network.nodes
        ),
    )
    assert reached, seats_of(network)


def goes_on(network: Network) -> bool:
    """Whether everybody who is up gets further."""
    up = [node for node in network.nodes if node.is_up]
    height = max(network.heights()) + 5
    return network.run_for(5_000, until=lambda: all(len(node.disk.blocks) >= height for node in up))


def test_who_replaces_another_votes_in_its_place_and_who_left_follows() -> None:
    network = started()
    assert seats_of(network) == [0, 1, 2, 3, NO_SEAT]
    change(network, 0, 1, 4, 3)
    votes = network.nodes[2].sent[MessageKind.VOTE]
    network.nodes[0].crash()
    assert goes_on(network), "of four seats three are up, one of them the new one's"
    assert network.nodes[2].sent[MessageKind.VOTE] == votes


def test_without_a_quorum_of_the_new_seats_the_old_ones_decide_nothing() -> None:
    network = started()
    change(network, 0, 1, 4, 3)
    network.nodes[4].crash()
    network.nodes[0].crash()
    assert not goes_on(network)
    network.nodes[0].start()
    assert goes_on(network)


def test_seats_are_added_and_given_up() -> None:
    network = started(spares=3)
    for nodes in ((0, 1, 2, 3, 4), (0, 1, 2, 3, 4, 5), (0, 1, 2, 3, 4, 5, 6), (6, 5, 4, 3, 2), (2, 3, 4, 5)):
        change(network, *nodes)
        assert goes_on(network)
    assert seats_of(network) == [NO_SEAT, NO_SEAT, 0, 1, 2, 3, NO_SEAT]


@pytest.mark.parametrize("behind", [0, 3, 4])
def test_who_missed_several_changes_walks_from_edge_to_edge(behind: int) -> None:
    """One that stays, one that leaves, and one that comes meanwhile."""
    network = started(spares=2)
    others = [node.seat for node in network.nodes if node.seat != behind]
    network.run_for(300)
    network.partition([behind], others)
    for nodes in ((0, 1, 2, 4), (0, 1, 5, 4), (5, 1, 2, 4)):
        network.hand_in_seats(nodes)
        assert network.run_for(
            6 * EPOCH_MS,
            until=lambda nodes=nodes: (
                network.nodes[1].replica.status().seat == nodes.index(1)
                and network.seats_in(network.nodes[1].replica.status().epoch).public_keys
                == tuple(network.nodes[number].public_key for number in nodes)
            ),
        )
    network.heal()
    late = network.nodes[behind]
    assert network.run_for(
        5_000, until=lambda: late.replica.status().epoch == network.nodes[1].replica.status().epoch
    )
    assert late.replica.status().seat == {0: NO_SEAT, 3: NO_SEAT, 4: 3}[behind]
    assert goes_on(network)


def test_an_edge_is_passed_after_a_restart_of_everybody() -> None:
    network = started()
    network.hand_in_seats([0, 1, 4, 3])
    network.run_for(300)
    for _ in range(12):
        for node in network.nodes:
            node.crash()
        for node in network.nodes:
            node.start()
        network.run_for(180)
    assert network.run_for(5_000, until=lambda: seats_of(network) == [0, 1, NO_SEAT, 3, 2])
    assert goes_on(network)


def test_who_has_not_executed_what_names_the_seats_waits_before_the_next_epoch() -> None:
    network = started(conditions=Conditions(execute_ms=(40, 120)))
    change(network, 0, 1, 4, 3)
    assert goes_on(network)


@pytest.mark.parametrize("signers", [(0, 1, 2), (0, 2, 3)])
def test_a_certificate_of_the_old_seats_counts_for_nothing_in_the_new_epoch(signers: tuple[int, ...]) -> None:
    network = started()
    change(network, 0, 1, 4, 3)
    node = network.nodes[0]
    status = node.replica.status()
    view = status.view + 3
    body = vote_body(1, status.epoch, view, 0, b"")

    def certificate(keys: list[Node]) -> bytes:
        return build_certificate(
            VoteKind.NULLIFY,
            protocol_version=1,
            epoch=status.epoch,
            view=view,
            height=0,
            block_hash=b"",
            signatures={seat: keys[seat].crypto.sign(VOTE_TAGS[VoteKind.NULLIFY], body) for seat in signers},
        ).data

    peer = network.nodes[1].public_key
    node.replica.step(CertificateReceived(peer, certificate(network.nodes[:4])), node.now_ms())
    assert node.replica.status().view == status.view
    new = [network.nodes[number] for number in (0, 1, 4, 3)]
    node.replica.step(CertificateReceived(peer, certificate(new)), node.now_ms())
    assert node.replica.status().view == view + 1

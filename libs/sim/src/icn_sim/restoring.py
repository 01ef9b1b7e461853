"""Every log is lost at once: older copies of the databases, new keys, a certificate to start the chain again.

Source: docs/spec/consensus.md, "Recovery".
"""

from __future__ import annotations

import random
from typing import Final

from icn_chain.header import BlockHeader
from icn_chain.recovery import (
    RecoveryCertificate,
    RecoverySignature,
    build_body,
    build_certificate,
    recovery_preimage,
)
from icn_chain.validator_set import Validator, ValidatorSet
from icn_consensus.domain.actions import ReportKind
from icn_consensus.domain.events import RecoveryReceived
from icn_crypto.possession import prove_possession
from icn_crypto.suites import Suite, key_id
from icn_machine.records import Namespace

from icn_sim.ledger import LedgerApplication
from icn_sim.node import Node
from icn_sim.tally import Reached
from icn_sim.world import Network
from icn_sim.zone import GENESIS_HASH, PromiseBroken, organization_key, organization_of, renewed_key

HEIGHTS_LOST_MAX: Final = 6
PASSED_ON_WITHIN_MS: Final = 1_000
"""Then the operators hand the certificate to every validator."""
BEGINS_WITHIN_MS: Final = 10_000
HANDS_IN_AGAIN_MS: Final = 500


def is_recoverable(network: Network) -> bool:
    """Whether organizations with keys run the nodes, and there is something to go on from."""
    return (
        isinstance(network.nodes[0].application, LedgerApplication)
        and network.bad_disk_seat is None
        and all(node.disk.blocks for node in network.nodes)
    )


def lose_logs(network: Network, choose: random.Random) -> None:
    """Restore all nodes to somewhere below where they are, have it signed, go on from the highest.

    An honest one has that: what only a liar has, nobody may get, or those who do then stand above it.

    Raises:
        PromiseBroken: a certificate that is none begins an epoch, or the real one does not everywhere.
    """
    times = network.tally.reached[Reached.RECOVERY]
    network.heal()
    for node in network.nodes:
        node.crash()
    network.drop_all()  # days may pass
    heights = [len(node.disk.blocks) for node in network.nodes]
    heights = [height - choose.randint(0, min(HEIGHTS_LOST_MAX, height - 1)) for height in heights]
    top = max(heights[node.seat] for node in network.honest)
    for node, height in zip(network.nodes, heights, strict=True):
        network.restore(node, min(height, top), renewed_key(node.seat, times).public_key)
    for node in network.nodes:
        node.start_again()
    highest = max(network.honest, key=lambda node: len(node.disk.blocks))
    header = highest.disk.blocks[-1].block.header
    certificate = certificate_of(network, highest, header, times)
    _hand_in_forgeries(network, highest, header, times)
    network.go_back(header, highest.application.transactions, certificate.epoch, certificate.validators.data)
    _hand_in(choose.sample(network.nodes, choose.randint(1, len(network.nodes))), certificate)
    network.run_for(PASSED_ON_WITHIN_MS)

    def behind() -> list[Node]:
        return [node for node in network.honest if node.replica.status().epoch < certificate.epoch]

    for _ in range(BEGINS_WITHIN_MS // HANDS_IN_AGAIN_MS):
        if not (waiting := behind()):
            break
        _hand_in(waiting, certificate)
        network.run_for(HANDS_IN_AGAIN_MS, until=lambda: not behind())
    else:
        standing = [node.replica.status() for node in behind()]
        raise PromiseBroken(f"a recovery begins not everywhere: {standing}")
    network.tally.reached[Reached.RECOVERY] += 1


def certificate_of(
    network: Network,
    node: Node,
    header: BlockHeader,
    times: int,
    *,
    state_root: bytes = b"",
    signers: int | None = None,
) -> RecoveryCertificate:
    """What the organizations sign to go on after a final block that this node has executed.

    Args:
        times: how often the keys were renewed before.
        state_root: another than the node's.
        signers: how many organizations sign; by default all.
    """
    config = network.config(0)
    keys = [renewed_key(other.seat, times) for other in network.nodes]
    organizations = [organization_of(other.seat) for other in network.nodes]
    validators = ValidatorSet.of(
        (
            Validator(organization, ((int(Suite.ED25519), key.public_key),))
            for organization, key in zip(organizations, keys, strict=True)
        ),
        header.protocol_version,
    )
    body = build_body(
        protocol_version=header.protocol_version,
        epoch=max(header.epoch, config.epoch_of(header.time_ms), config.epoch_of(network.now_ms)) + 1,
        height=header.height,
        block_hash=header.hash,
        state_root=state_root or node.application.state().state_root,
        validator_set=validators.data,
        possessions=[
            prove_possession(key, GENESIS_HASH, organization)
            for organization, key in zip(organizations, keys, strict=True)
        ],
    )
    seats = sorted((other.seat for other in network.nodes[:signers]), key=organization_of)
    return build_certificate(body, [_endorsement(node, header, seat, body) for seat in seats])


def _endorsement(
    node: Node, header: BlockHeader, seat: int, body: bytes
) -> tuple[bytes, str, list[RecoverySignature]]:
    application = node.application
    assert isinstance(application, LedgerApplication), "only there organizations have keys"
    organization = organization_of(seat)
    controller, proof = application.prove(Namespace.CONTROLLER, organization, header.executed_height)
    key = organization_key(seat)
    signature = key.sign(recovery_preimage(GENESIS_HASH, body))
    name = key_id({Suite.ED25519: key.public_key})
    return controller, proof, [RecoverySignature(name, int(Suite.ED25519), signature)]


def _hand_in(nodes: list[Node], certificate: RecoveryCertificate) -> None:
    """Each operator hands it to its own validator."""
    for node in nodes:
        node.handle(RecoveryReceived(node.public_key, certificate.data))


def _hand_in_forgeries(network: Network, node: Node, header: BlockHeader, times: int) -> None:
    """Certificates of too few organizations, and for another root, begin nothing."""
    if not node.is_up:
        return
    quorum = network.seats_in(header.epoch).quorum
    for forged in (
        certificate_of(network, node, header, times, signers=quorum - 1),
        certificate_of(network, node, header, times, state_root=bytes(32)),
    ):
        refused = len(node.reports)
        _hand_in([node], forged)
        if node.replica.status().epoch >= forged.epoch:
            raise PromiseBroken(f"an invalid recovery begins epoch {forged.epoch} at node {node.seat}")
        kinds = {report.kind for report in node.reports[refused:]}
        network.tally.reached[Reached.RECOVERY_REFUSED] += ReportKind.RECOVERY_REFUSED in kinds

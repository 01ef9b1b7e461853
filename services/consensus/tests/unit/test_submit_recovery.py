"""What an operator is told who hands over a recovery certificate."""

from __future__ import annotations

from dataclasses import replace

from icn_chain.recovery import BLOCK_ROOM_BYTES, RecoveryCertificate
from icn_consensus.usecases.ports import Application
from icn_consensus.usecases.submit_recovery import submit_recovery
from icn_kit.errors import DomainError, ErrorKind, InvalidArgument
from icn_sim.application import at_once
from icn_sim.node import Node
from icn_sim.restoring import certificate_of

from .fakes import FakeApplication
from .test_recovering import Federation


def told(
    node: Node, data: bytes, application: Application | None = None
) -> tuple[bool, int, int] | tuple[ErrorKind, str, dict[str, object]]:
    """Whether the epoch has begun, epoch and height; or the refusal."""
    try:
        work = submit_recovery(
            data, node.replica, application or node.application, node.handle, node.public_key
        )
        has_begun, status = at_once(work)
    except DomainError as error:
        return error.kind, error.reason, error.metadata
    return has_begun, status.epoch, status.final_height


def of_newest(network: Federation, node: Node, **changes: object) -> RecoveryCertificate:
    header = node.disk.blocks[-1].block.header
    return certificate_of(network, node, header, 0, **changes)  # type: ignore[arg-type]


def test_it_begins_at_once_where_nothing_is_missing_and_may_be_handed_over_again() -> None:
    network = Federation()
    network.trade()
    network.lose(0, 0, 0, 0)
    node = network.nodes[0]
    certificate = of_newest(network, node)
    begun = (True, certificate.epoch, certificate.height)
    assert told(node, certificate.data) == begun
    assert told(node, certificate.data) == begun
    older = certificate_of(network, node, node.disk.blocks[-1].block.header, 1)
    assert older.epoch == certificate.epoch and older.validators != certificate.validators
    kind, reason, _ = told(node, older.data)
    assert (kind, reason) == (ErrorKind.FAILED_PRECONDITION, "RECOVERY_EPOCH_PASSED")


def test_a_refusal_says_which_rule_and_which_numbers() -> None:
    network = Federation()
    network.trade()
    network.lose(0, 2, 0, 0)
    ahead, chosen = network.nodes[0], network.nodes[1]
    certificate = of_newest(network, chosen)
    kind, reason, figures = told(ahead, certificate.data)
    assert (kind, reason) == (ErrorKind.FAILED_PRECONDITION, "RECOVERY_OTHER_CHAIN")
    assert figures == {"height": certificate.height, "final_height": len(ahead.disk.blocks)}
    for changes, expected in (
        ({"signers": 2}, (ErrorKind.INVALID_ARGUMENT, "RECOVERY_QUORUM_NOT_MET", {"signed": 2, "quorum": 3})),
        (
            {"state_root": bytes(32)},
            (ErrorKind.FAILED_PRECONDITION, "RECOVERY_OTHER_ROOT", {"height": certificate.height}),
        ),
    ):
        assert told(chosen, of_newest(network, chosen, **changes).data) == expected
    for data in (b"", b"\xff", certificate.data[:-1], certificate.data + b"\x00", bytes(800_000)):
        assert (told(chosen, data))[:2] == (ErrorKind.INVALID_ARGUMENT, "MALFORMED_RECOVERY")


def test_where_blocks_are_missing_they_come_first() -> None:
    network = Federation()
    network.trade()
    network.lose(2, 0, 0, 0)
    behind, full = network.nodes[0], network.nodes[1]
    network.partition([0], [1, 2, 3])
    certificate = of_newest(network, full)
    has_begun, epoch, height = told(behind, certificate.data)
    assert not has_begun and (epoch, height) == (0, certificate.height - 2)
    network.agree(full, certificate)
    network.heal()
    assert (told(full, certificate.data))[0]
    network.run_for(3_000)
    assert behind.replica.status().epoch == certificate.epoch


def test_one_that_no_block_takes_begins_nothing() -> None:
    network = Federation()
    network.trade(2)
    network.lose(0, 0, 0, 0)
    node = network.nodes[0]
    certificate = of_newest(network, node)
    size_bytes = len(certificate.data)
    state = node.replica._state
    state.config = replace(state.config, block_bytes_max=size_bytes + BLOCK_ROOM_BYTES - 1)
    kind, reason, figures = told(node, certificate.data)
    assert (kind, reason) == (ErrorKind.FAILED_PRECONDITION, "RECOVERY_TOO_LARGE")
    assert figures == {"size_bytes": size_bytes, "size_bytes_max": size_bytes - 1}
    state.config = replace(state.config, block_bytes_max=size_bytes + BLOCK_ROOM_BYTES)
    assert told(node, certificate.data)[0] is True


def test_a_certificate_whose_blocks_the_application_will_not_take_begins_nothing() -> None:
    network = Federation()
    network.trade()
    network.lose(0, 0, 0, 0)
    node = network.nodes[0]
    certificate = of_newest(network, node)
    asked = []

    class Refusing(FakeApplication):
        async def check_recovery(self, certificate: bytes) -> None:
            asked.append(certificate)
            raise InvalidArgument("CONSENSUS_KEY_USED", "a key was named in epoch 0")

    assert told(node, certificate.data, Refusing())[:2] == (ErrorKind.INVALID_ARGUMENT, "CONSENSUS_KEY_USED")
    assert asked == [certificate.data]
    assert node.replica.status().epoch < certificate.epoch
    assert told(node, certificate.data)[0] is True

"""Proofs that begin at a block which was checked before."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_chain.checkpoint import Checkpoint, CheckpointMalformed, parse_checkpoint
from icn_chain.epochs import Handover, ProofInvalid
from icn_client.light.proof_file import ProofFile
from icn_client.light.verify import TRUSTING_PERIOD_MS, checkpoint_of, verdict, verify_proof
from icn_crypto.state_tree import state_key

from libs.client.tests.conftest import ACCOUNT_NAMESPACE, Chain, account_leaf, make_tree

ACCOUNT = bytes([5]) * 16


@pytest.fixture
def begun(handed_over: ProofFile, zone: Any) -> Checkpoint:
    return checkpoint_of(verify_proof(handed_over, zone.genesis), zone.genesis)


def reason_of(proof: ProofFile, zone: Any, checkpoint: Checkpoint) -> str:
    with pytest.raises(ProofInvalid) as refused:
        verify_proof(proof, zone.genesis, checkpoint)
    return refused.value.reason


def test_a_proof_without_earlier_epochs_holds_from_a_checkpoint_and_not_from_genesis(
    handed_over: ProofFile, zone: Any, begun: Checkpoint
) -> None:
    short = replace(handed_over, epochs=())
    now_ms = begun.time_ms + 5_000
    found = verdict(short.to_bytes(), zone.genesis, now_ms, checkpoint=begun.to_bytes())
    assert found["valid"] and (found["trust"], found["epochs"]) == ("checkpoint", 0)
    from_genesis = verdict(short.to_bytes(), zone.genesis, now_ms)
    assert (from_genesis["valid"], from_genesis["trust"]) == (False, "genesis")


def test_steps_before_the_checkpoint_are_passed_over_and_those_after_it_are_walked(
    handed_over: ProofFile, zone: Any, begun: Checkpoint
) -> None:
    assert verify_proof(handed_over, zone.genesis, begun).epochs == 0
    second = verify_proof(handed_over, zone.genesis).sets[1]
    earlier = replace(
        begun,
        epoch=second.epoch,
        height=1,
        block_hash=zone_hash(handed_over, zone),
        validator_set=second.validators.data,
    )
    shown = verify_proof(handed_over, zone.genesis, earlier)
    assert shown.epochs == 1 and [one.epoch for one in shown.sets] == [1, 4]


def zone_hash(proof: ProofFile, zone: Any) -> bytes:
    """Of the block at height 1, as no header of the proof has that height."""
    assert proof.genesis == zone.genesis.hash
    return b"1" * 32


def test_another_set_in_the_checkpoint_is_what_is_believed(
    handed_over: ProofFile, zone: Any, begun: Checkpoint
) -> None:
    others = verify_proof(handed_over, zone.genesis).sets[0].validators.data
    assert reason_of(handed_over, zone, replace(begun, validator_set=others)) == "HEADER_CHAIN_INVALID"


def test_a_fork_at_the_checkpoint_is_named(handed_over: ProofFile, zone: Any, begun: Checkpoint) -> None:
    assert reason_of(handed_over, zone, replace(begun, block_hash=bytes(32))) == "CHECKPOINT_CONFLICT"


def test_a_proof_older_than_the_checkpoint_is_for_genesis(
    handed_over: ProofFile, zone: Any, begun: Checkpoint
) -> None:
    later = replace(begun, epoch=begun.epoch + 1, height=begun.height + 100)
    assert reason_of(handed_over, zone, later) == "CHECKPOINT_LATER"


def test_a_checkpoint_of_another_zone_is_refused(
    handed_over: ProofFile, zone: Any, begun: Checkpoint
) -> None:
    assert reason_of(handed_over, zone, replace(begun, genesis=bytes(32))) == "WRONG_ZONE"


def test_a_checkpoint_is_believed_for_the_trusting_period(
    handed_over: ProofFile, zone: Any, begun: Checkpoint
) -> None:
    for late_ms, expected in ((0, None), (1, "CHECKPOINT_EXPIRED")):
        now_ms = begun.time_ms + TRUSTING_PERIOD_MS + late_ms
        found = verdict(handed_over.to_bytes(), zone.genesis, now_ms, checkpoint=begun.to_bytes())
        assert found.get("reason") == expected
    shorter = verdict(
        handed_over.to_bytes(),
        zone.genesis,
        begun.time_ms + 2,
        checkpoint=begun.to_bytes(),
        trusting_period_ms=1,
    )
    assert shorter["reason"] == "CHECKPOINT_EXPIRED"


def test_a_checkpoint_file_is_read_back(begun: Checkpoint) -> None:
    assert parse_checkpoint(begun.to_bytes()) == begun


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("format", "icn/checkpoint/v2"),
        ("genesis", "00"),
        ("block_hash", "AA" * 32),
        ("epoch", -1),
        ("height", True),
        ("height", "7"),
        ("time_ms", 2**63),
        ("validator_set", "00"),
        ("validator_set", ""),
        ("more", 1),
    ],
)
def test_a_checkpoint_of_another_form_is_refused(
    handed_over: ProofFile, zone: Any, begun: Checkpoint, member: str, value: object
) -> None:
    document = json.loads(begun.to_bytes()) | {member: value}
    content = json.dumps(document).encode()
    with pytest.raises(CheckpointMalformed):
        parse_checkpoint(content)
    found = verdict(handed_over.to_bytes(), zone.genesis, begun.time_ms, checkpoint=content)
    assert (found["valid"], found["reason"]) == (False, "CHECKPOINT_MALFORMED")


@given(content=st.one_of(st.binary(max_size=200), st.just(b"[" * 100_000), st.just(b"[]"), st.just(b"{}")))
def test_no_bytes_do_more_than_be_refused(content: bytes) -> None:
    with pytest.raises(CheckpointMalformed):
        parse_checkpoint(content)


class Crossing:
    """A chain that leaves epoch 0 after a few blocks, and goes on in the next with the same set.

    The edge block is final by its successor, which is no part of the chain: the next epoch's first block has
    its height.
    """

    def __init__(self, zone: Any, blocks_before: int = 1) -> None:
        self._zone = zone
        self._root, self._tree = make_tree()
        chain = Chain(zone)
        self.before = [chain.add(state_root=self._root) for _ in range(blocks_before)]
        self.edge = chain.add_edge()
        begin = (chain.height, chain.view + 2, chain.parent, chain.time_ms)
        self.outside = chain.add(state_root=self._root)
        chain.height, chain.view, chain.parent, chain.time_ms = begin
        chain.next_epoch(chain.current_set)
        self.first, self.second = (chain.add(state_root=self._root) for _ in range(2))
        self.step = Handover(self.edge, (self.outside,), zone.certificate(self.outside), b"")

    def proof(self, *headers: bytes, steps: tuple[Handover, ...] = ()) -> ProofFile:
        return ProofFile(
            genesis=self._zone.genesis.hash,
            namespace=ACCOUNT_NAMESPACE,
            identifier=ACCOUNT,
            value=account_leaf(ACCOUNT, 500),
            state_proof=self._tree.prove(state_key(ACCOUNT_NAMESPACE, ACCOUNT)),
            header=headers[0],
            descendant_headers=headers[1:],
            finalization=self._zone.certificate(headers[-1]),
            epochs=steps,
        )

    def checkpoint(self, *headers: bytes, steps: tuple[Handover, ...] = ()) -> Checkpoint:
        shown = verify_proof(self.proof(*headers, steps=steps), self._zone.genesis)
        return checkpoint_of(shown, self._zone.genesis)


def test_a_block_beside_the_chain_is_no_fork_of_an_epoch_s_first_block(zone: Any) -> None:
    chain = Crossing(zone)
    begun = chain.checkpoint(chain.first, steps=(chain.step,))
    assert (begun.epoch, begun.height) == (1, 3)
    assert verify_proof(chain.proof(chain.second, steps=(chain.step,)), zone.genesis, begun).epochs == 0


def test_a_checkpoint_is_a_block_of_the_chain_for_certain(zone: Any) -> None:
    chain = Crossing(zone)
    begun = chain.checkpoint(*chain.before, chain.edge, chain.outside)
    assert (begun.epoch, begun.height) == (0, 2)
    assert verify_proof(chain.proof(chain.first, steps=(chain.step,)), zone.genesis, begun).epochs == 1
    assert chain.checkpoint(*chain.before, chain.edge, chain.first, steps=(chain.step,)).height == 3
    with pytest.raises(ProofInvalid) as refused:
        chain.checkpoint(chain.outside)
    assert refused.value.reason == "CHECKPOINT_UNCERTAIN"


def test_what_may_lie_beside_the_chain_says_nothing_of_a_fork(zone: Any) -> None:
    chain = Crossing(zone)
    begun = chain.checkpoint(chain.first, steps=(chain.step,))
    assert reason_of(chain.proof(chain.outside), zone, begun) == "CHECKPOINT_LATER"


@pytest.mark.parametrize("blocks_before", [1, 7])
def test_a_history_that_leaves_the_checkpoint_s_epoch_before_it_is_not_believed(
    zone: Any, blocks_before: int
) -> None:
    believed, other = Crossing(zone, 9), Crossing(zone, blocks_before)
    begun = believed.checkpoint(*believed.before)
    assert (begun.epoch, begun.height) == (0, 9)
    assert reason_of(other.proof(other.second, steps=(other.step,)), zone, begun) == "CHECKPOINT_CONFLICT"


def test_a_history_that_leaves_the_checkpoint_s_epoch_after_it_goes_on_from_it(zone: Any) -> None:
    chain = Crossing(zone, 9)
    begun = chain.checkpoint(*chain.before)
    assert verify_proof(chain.proof(chain.second, steps=(chain.step,)), zone.genesis, begun).epochs == 1

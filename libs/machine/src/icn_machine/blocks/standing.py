"""Who validates when a final block begins: their duty, and what the end of an epoch leaves to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from icn.consensus.v1 import block_pb2
from icn_chain.epochs import closes_epoch
from icn_chain.recovery import RecoveryCertificate, RecoveryInvalid, recovery_digest
from icn_chain.validator_set import ValidatorSet, parse_validator_set
from icn_kit.errors import InvalidArgument
from icn_kit.genesis import Genesis

from icn_machine.blocks.check_recovery import read_recovery
from icn_machine.blocks.final_block import FinalBlock
from icn_machine.blocks.ports import EpochEdge, ExecutedBlock, State
from icn_machine.duty import DutyCounts, seats_after
from icn_machine.records import VALIDATORS_IDENTIFIER, Validators
from icn_machine.refusals import InvariantBroken
from icn_machine.touched import RecordNames


class Standing(NamedTuple):
    """Who validates when a block begins."""

    before: ValidatorSet
    """Of the block's parent."""
    validators: Validators
    """What the state says, the block's own set in force."""
    sets: Mapping[bytes, ValidatorSet]
    """Those that it names, and the parent's, by hash."""
    recovery: RecoveryCertificate | None
    """What put the set in force, where no edge block did."""
    duty: DutyCounts
    """The counts up to the parent, those of an earlier epoch when the block begins one."""

    @property
    def in_force(self) -> ValidatorSet:
        """The set of the block's epoch."""
        return self.sets[self.validators.set_hash]


async def find_recovery(
    final: FinalBlock, header: block_pb2.BlockHeader, genesis: Genesis, state: State
) -> RecoveryCertificate | None:
    """What begins the block's epoch, where that is no edge block.

    Raises:
        InvalidArgument: RECOVERY_MISMATCH: the header names another.
        InvariantBroken: a quorum made a block final that begins an epoch which nobody may begin.
    """
    if not final.recovery:
        return None
    if recovery_digest(genesis.hash, final.recovery) != header.finalization_digest:
        raise InvalidArgument(
            "RECOVERY_MISMATCH", "this is not the recovery certificate that the header names"
        )
    try:
        return await read_recovery(final.recovery, state.newest, header.epoch, genesis, state)
    except RecoveryInvalid as fault:
        raise InvariantBroken(
            f"final block {header.height} carries a recovery certificate that is none: {fault}"
        ) from fault


async def find_standing(
    header: block_pb2.BlockHeader, recovery: RecoveryCertificate | None, state: State
) -> Standing:
    """Who validates when the block begins.

    Raises:
        InvariantBroken: its parent named a set that our state did not.
    """
    loaded = await state.load(RecordNames(validators={VALIDATORS_IDENTIFIER}))
    before = loaded.validators[VALIDATORS_IDENTIFIER]
    assert before is not None, "the leaf is there from genesis on"
    if recovery is None:
        validators = before.enter(header.validator_set_hash, header.epoch)
    else:
        validators = before.begin_again(recovery.validators.hash, header.epoch)
    if validators is None:
        raise InvariantBroken(
            f"final block {header.height} is of validators that our state does not name: "
            f"{header.validator_set_hash.hex()}"
        )
    hashes = before.set_hashes
    data = await state.load_validator_sets(hashes)
    sets = {set_hash: parse_validator_set(data[set_hash]) for set_hash in hashes}
    if recovery is not None:
        sets[recovery.validators.hash] = recovery.validators
    duty = state.duty
    assert duty.seats == len(sets[before.set_hash].validators), "they count the seats of their epoch"
    assert duty.epoch <= header.epoch, "epochs never go back"
    return Standing(sets[before.set_hash], validators, sets, recovery, duty)


def find_edge(
    header: block_pb2.BlockHeader, final: FinalBlock, standing: Standing, genesis: Genesis
) -> EpochEdge | None:
    """The epoch's last block in the chain is the one whose time lies in a later epoch (E1 and E2).

    Raises:
        InvariantBroken: it names other validators for the next epoch than our state does.
    """
    if not closes_epoch(header, genesis):
        return None
    following = standing.validators.next_hash_at(header.executed_height)
    if header.next_validator_set_hash != following:
        raise InvariantBroken(
            f"final block {header.height} names validators {header.next_validator_set_hash.hex()}, our "
            f"state after {header.executed_height} names {following.hex()}"
        )
    is_same = following == standing.validators.set_hash
    return EpochEdge(
        epoch=header.epoch,
        height=header.height,
        executed_height=header.executed_height,
        header=final.header,
        descendant_headers=final.descendant_headers,
        finalization=final.finalization,
        next_validator_set=b"" if is_same else standing.sets[following].data,
    )


def edge_by_recovery(parent: ExecutedBlock, recovery: RecoveryCertificate) -> EpochEdge:
    """How the parent's epoch ended by a certificate."""
    header = block_pb2.BlockHeader.FromString(parent.header)
    return EpochEdge(
        epoch=parent.epoch,
        height=parent.height,
        executed_height=header.executed_height,
        header=parent.header,
        descendant_headers=(),
        finalization=parent.finalization,
        next_validator_set=recovery.validators.data,
        recovery=recovery.data,
    )


def duty_with(header: block_pb2.BlockHeader, standing: Standing, signers: Sequence[int]) -> DutyCounts:
    """The counts of the block's epoch, with the block.

    Args:
        signers: seats that certified the parent, as its epoch numbers them.
    """
    counts = standing.duty
    if counts.epoch != header.epoch:
        in_force = standing.in_force
        counts = DutyCounts.start(header.epoch, len(in_force.validators))
        signers = seats_after(signers, standing.before.organizations, in_force.organizations)
    return counts.with_block(header.view, signers)

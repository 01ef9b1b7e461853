"""Recovery certificates: what tests start a chain again with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from icn.consensus.v1.block_pb2 import BlockHeader
from icn_chain.recovery import (
    RecoveryCertificate,
    RecoverySignature,
    build_body,
    build_certificate,
    recovery_preimage,
)
from icn_chain.validator_set import Validator, ValidatorSet
from icn_crypto.possession import prove_possession
from icn_crypto.state_tree import StateTree, state_key
from icn_crypto.suites import Suite
from icn_machine.blocks.ports import ExecutedBlock
from icn_machine.leaves import encode_leaf
from icn_machine.records import Namespace
from icn_sim.memory_state import MemoryState

from libs.machine.tests.seats import seat_key
from libs.machine.tests.zone import Member, Zone

Prove = Callable[[bytes], tuple[bytes, str]]
"""The controller of a principal, and the proof of it."""


def new_keys(zone: Zone) -> list[str]:
    """Names of consensus keys that nobody has named."""
    return [f"recovered seat {number}" for number in range(len(zone.organizations))]


def prove_in(state: MemoryState, height: int) -> Prove:
    """Proofs in the state after a height."""
    leaves = {
        state_key(kind, name): encode_leaf(kind, record)
        for kind, name, record in state.records_at(height)
        if record is not None
    }
    tree = StateTree(StateTree({}).update(leaves).pages)

    def prove(principal: bytes) -> tuple[bytes, str]:
        key = state_key(Namespace.CONTROLLER, principal)
        return leaves[key], json.dumps(tree.prove(key).to_dict())

    return prove


def endorsement(
    zone: Zone, member: Member, body: bytes, prove: Prove, suite: Suite = Suite.ED25519
) -> tuple[bytes, str, Sequence[RecoverySignature]]:
    """By all keys of the organization."""
    signed = recovery_preimage(zone.genesis.hash, body)
    signatures = [
        RecoverySignature(key.key_id, int(suite), key.signing[suite].sign(signed))
        for key in sorted(member.keys, key=lambda key: key.key_id)
    ]
    return (*prove(member.principal), signatures)


def recovery(
    zone: Zone,
    parent: ExecutedBlock,
    prove: Prove,
    *,
    signers: Sequence[Member] | None = None,
    keys: Sequence[str] | None = None,
    **changes: Any,
) -> RecoveryCertificate:
    """A certificate to go on after a block; ``changes`` are of its body."""
    members = zone.organizations if signers is None else list(signers)
    names = new_keys(zone) if keys is None else keys
    seats = [
        (organization.principal, seat_key(name))
        for organization, name in zip(zone.organizations, names, strict=True)
    ]
    validators = ValidatorSet.of(
        Validator(
            organization,
            tuple((int(suite), public_key) for suite, public_key in sorted(key.public.items())),
        )
        for organization, key in seats
    )
    fields: dict[str, Any] = {
        "protocol_version": 1,
        "epoch": max(parent.epoch, zone.genesis.epoch_of(parent.time_ms)) + 1,
        "height": parent.height,
        "block_hash": parent.hash,
        "state_root": parent.state_root,
        "validator_set": validators.data,
        "possessions": [
            prove_possession(key.signing[suite], zone.genesis.hash, organization)
            for organization, key in seats
            for suite in sorted(key.public)
        ],
    }
    body = build_body(**{**fields, **changes})
    ascending = sorted(members, key=lambda member: member.principal)
    return build_certificate(body, [endorsement(zone, member, body, prove) for member in ascending])


def executed_height(block: ExecutedBlock) -> int:
    """Height whose state a block's header names."""
    return BlockHeader.FromString(block.header).executed_height

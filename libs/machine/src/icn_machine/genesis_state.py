"""The state at height 0 and the header that names it.

Source: docs/spec/genesis.md, "State at height 0"; docs/spec/block.md, "Genesis block".
"""

from __future__ import annotations

from collections.abc import Sequence

from icn.ledger.v1 import state_pb2, transaction_pb2
from icn_chain.header import genesis_header
from icn_crypto.suites import Suite
from icn_kit import genesis as genesis_file

from icn_machine.leaves import controller_head
from icn_machine.records import (
    VALIDATORS_IDENTIFIER,
    ZONE_IDENTIFIER,
    Allowance,
    AllowanceLimits,
    ConsensusKey,
    Controller,
    ControllerKey,
    RecordTables,
    Validators,
    Zone,
)


def genesis_records(genesis: genesis_file.Genesis) -> RecordTables:
    """Controllers and allowances of the founders and the zone's authority, the zone leaf, who validates."""
    records = RecordTables()
    for organization in genesis.organizations:
        principal = organization.principal
        records.controllers[principal] = _controller(principal, organization.threshold, organization.keys)
        records.allowances[principal] = _allowance(principal, organization.allowance)
    authority = genesis.zone_authority
    records.controllers[authority.principal] = _controller(
        authority.principal, authority.threshold, authority.keys
    )
    records.allowances[authority.principal] = _allowance(authority.principal, authority.allowance)
    records.zones[ZONE_IDENTIFIER] = Zone(
        authority.principal, genesis.protocol_version, genesis.validator_set_hash
    )
    records.validators[VALIDATORS_IDENTIFIER] = Validators(genesis.validator_set_hash, 0, 0, ())
    for seat in genesis.validators:
        records.consensus_keys[seat.public_keys[Suite.ED25519]] = ConsensusKey(seat.organization, 0, 0)
    return records


def first_header(genesis: genesis_file.Genesis, state_root: bytes) -> bytes:
    """Canonical bytes of the header at height 0."""
    return genesis_header(
        genesis.hash,
        protocol_version=genesis.protocol_version,
        time_ms=genesis.time_ms,
        state_root=state_root,
        validator_set_hash=genesis.validator_set_hash,
    ).data


def _controller(principal: bytes, threshold: int, keys: Sequence[genesis_file.Key]) -> Controller:
    leaf = state_pb2.ControllerLeaf(
        principal=principal,
        threshold=threshold,
        keys=[
            transaction_pb2.ControllerKey(
                public_keys=[
                    transaction_pb2.PublicKey(suite=int(suite), public_key=public_key)
                    for suite, public_key in sorted(key.public_keys.items())
                ]
            )
            for key in keys
        ],
    )
    values = tuple(
        ControllerKey(
            key.key_id,
            tuple((int(suite), public_key) for suite, public_key in sorted(key.public_keys.items())),
            None,
        )
        for key in keys
    )
    return Controller(principal, threshold, values, None, False, b"", (), controller_head(leaf))


def _allowance(organization: bytes, allowance: genesis_file.Allowance) -> Allowance:
    bounds = AllowanceLimits(
        allowance.bytes_per_epoch,
        allowance.signatures_per_epoch,
        allowance.state_leaves,
        allowance.fuel_per_epoch,
    )
    return Allowance(organization, bounds, 0, 0, 0, 0)

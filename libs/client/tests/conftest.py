"""A zone made up for the tests: genesis, a chain of headers with real certificates, a state tree with real
leaves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import pytest
from icn.consensus.v1.block_pb2 import (
    VOTE_KIND_FINALIZE,
    BlockHeader,
    Certificate,
    ConsensusKey,
    SeatSignature,
    Validator,
    ValidatorSet,
)
from icn.ledger.v1.state_pb2 import AccountLeaf
from icn_chain.certificate import vote_body
from icn_chain.epochs import Handover
from icn_client.light.proof_file import ProofFile
from icn_crypto import tags
from icn_crypto.hashing import NO_GENESIS, domain_hash, preimage
from icn_crypto.state_tree import StateTree, build, state_key
from icn_crypto.suites import SigningKey, Suite, key_id
from icn_kit.genesis import Genesis, parse_genesis, public_keys_document

ACCOUNT_NAMESPACE = 3
GENESIS_TIME_MS = 1_700_000_000_000
EPOCH_MS = 86_400_000
SUITES = (Suite.ED25519, Suite.ML_DSA_65)


@dataclass
class Zone:
    """A federation of four whose keys the tests hold."""

    document: dict[str, Any]
    genesis: Genesis
    consensus_keys: Sequence[Mapping[Suite, SigningKey]]
    organization_keys: Sequence[Mapping[Suite, SigningKey]]
    """One key of each seat's organization, which its controller has."""

    @property
    def genesis_bytes(self) -> bytes:
        return json.dumps(self.document).encode()

    @property
    def validator_set(self) -> bytes:
        return self.genesis.validator_set

    def certificate(
        self,
        header: bytes,
        *,
        seats: Sequence[int] = (0, 1, 2),
        keys: Sequence[Mapping[Suite, SigningKey]] | None = None,
        **changes: Any,
    ) -> bytes:
        """A finalization of the header, signed by the seats."""
        fields = BlockHeader.FromString(header)
        block_hash = domain_hash(tags.BLOCK, self.genesis.hash, header)
        keys = keys or self.consensus_keys
        signed = preimage(
            tags.FINALIZE,
            self.genesis.hash,
            vote_body(fields.protocol_version, fields.epoch, fields.view, fields.height, block_hash),
        )
        values = {
            "kind": VOTE_KIND_FINALIZE,
            "protocol_version": fields.protocol_version,
            "epoch": fields.epoch,
            "view": fields.view,
            "height": fields.height,
            "block_hash": block_hash,
            "scheme": 1,
            "signatures": [
                SeatSignature(seat=seat, signature=keys[seat][Suite.ED25519].sign(signed)) for seat in seats
            ],
        }
        return Certificate(**(values | changes)).SerializeToString(deterministic=True)


@dataclass
class Chain:
    """Headers on top of each other."""

    zone: Zone
    height: int = 0
    view: int = 0
    epoch: int = 0
    parent: bytes = bytes(32)
    time_ms: int = GENESIS_TIME_MS
    current_set: bytes = b""
    headers: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.current_set = self.current_set or self.zone.genesis.validator_set_hash

    def add(self, *, state_root: bytes = bytes(32), next_set: bytes | None = None, **changes: Any) -> bytes:
        self.height += 1
        self.view += 2
        self.time_ms += 1000
        values: dict[str, Any] = {
            "protocol_version": 1,
            "height": self.height,
            "view": self.view,
            "parent": self.parent,
            "time_ms": self.time_ms,
            "transactions_root": bytes(32),
            "executed_height": max(0, self.height - 1),
            "state_root": state_root,
            "receipts_root": bytes(32),
            "log_root": bytes(32),
            "parent_certificate_digest": bytes(32),
            "finalization_digest": bytes(32),
            "epoch": self.epoch,
            "validator_set_hash": self.current_set,
            "next_validator_set_hash": next_set or self.current_set,
        }
        header = BlockHeader(**(values | changes)).SerializeToString(deterministic=True)
        self.parent = domain_hash(tags.BLOCK, self.zone.genesis.hash, header)
        self.headers.append(header)
        return header

    def add_edge(self, next_set: bytes | None = None, epochs: int = 1, **changes: Any) -> bytes:
        """The last block of an epoch: its time lies in a later one."""
        self.time_ms = GENESIS_TIME_MS + (self.epoch + epochs) * EPOCH_MS
        return self.add(next_set=next_set, **changes)

    def next_epoch(self, set_hash: bytes) -> None:
        self.epoch = (self.time_ms - GENESIS_TIME_MS) // EPOCH_MS
        self.current_set = set_hash


class Pages(dict[bytes, bytes]):
    """A state tree's pages in memory."""


def make_keys(count: int, name: str = "") -> list[dict[Suite, SigningKey]]:
    """New keys; those of a name are always the same."""
    return [
        {
            suite: SigningKey(suite, sha256(f"{name} {number}".encode()).digest())
            if name
            else SigningKey.generate(suite)
            for suite in SUITES
        }
        for number in range(count)
    ]


def make_zone(name: str = "") -> Zone:
    """A zone; one with a name always has the same keys."""
    organization_keys = make_keys(4, name and f"{name} organization")
    consensus_keys = make_keys(4, name and f"{name} seat")
    allowance = {
        "bytes_per_epoch": 10**9,
        "signatures_per_epoch": 10**6,
        "state_leaves": 10**6,
        "fuel_per_epoch": 10**9,
    }
    principals = [bytes([seat + 1]) * 16 for seat in range(4)]
    public = [{suite: key.public_key for suite, key in keys.items()} for keys in organization_keys]
    document = {
        "zone": "Test federation",
        "trust_profile": "hosted",
        "protocol_version": 1,
        "genesis_time_ms": GENESIS_TIME_MS,
        "epoch_ms": EPOCH_MS,
        "heartbeat_ms": 30_000,
        "recovery_delay_ms_min": 1_000,
        "block_time_distance_ms_max": 3_000,
        "limits": {"block_bytes_max": 1_048_576, "block_transactions_max": 4_000},
        "validators": [
            {
                "seat": seat,
                "organization": principals[seat].hex(),
                "name": f"Co-op {seat}",
                "consensus_public_keys": public_keys_document(
                    {suite: key.public_key for suite, key in keys.items()}
                ),
            }
            for seat, keys in enumerate(consensus_keys)
        ],
        "organizations": [
            {
                "principal": principals[seat].hex(),
                "name": f"Co-op {seat}",
                "controller": {
                    "threshold": 1,
                    "keys": [
                        {
                            "key_id": key_id(public[seat]).hex(),
                            "public_keys": public_keys_document(public[seat]),
                        }
                    ],
                },
                "allowance": allowance,
            }
            for seat in range(4)
        ],
        "zone_authority": {
            "principal": "aa" * 16,
            "threshold": 3,
            "key_ids": sorted(key_id(keys).hex() for keys in public),
            "allowance": allowance,
        },
    }
    genesis = parse_genesis(json.dumps(document).encode())
    return Zone(document, genesis, consensus_keys, organization_keys)


def account_leaf(account: bytes, balance_minor: int = -12_000) -> bytes:
    return AccountLeaf(
        account=account,
        owner=b"o" * 16,
        unit=b"u" * 16,
        balance_minor=balance_minor,
        held_minor=0,
        floor_minor=-50_000,
    ).SerializeToString(deterministic=True)


def make_tree() -> tuple[bytes, StateTree]:
    """A tree with nine accounts; returns its root and the tree."""
    leaves = {
        state_key(ACCOUNT_NAMESPACE, bytes([number]) * 16): account_leaf(bytes([number]) * 16, number * 100)
        for number in range(9)
    }
    update = build(leaves)
    pages = Pages({prefix: page for prefix, page in update.pages.items() if page is not None})
    return update.root, StateTree(pages)


@pytest.fixture(scope="session")
def zone() -> Zone:
    return make_zone()


@pytest.fixture(scope="session")
def handed_over(zone: Zone) -> ProofFile:
    """A proof of account 5 over two epoch steps, the second to another set, with descendants everywhere."""
    return make_proof(zone, bytes([5]) * 16)


@pytest.fixture(scope="session")
def proof_of(zone: Zone) -> Callable[[bytes], ProofFile]:
    return lambda account: make_proof(zone, account)


def make_proof(zone: Zone, account: bytes, name: str = "") -> ProofFile:
    """Over two epoch steps, the second to another set, whose new key is of the name."""
    root, tree = make_tree()
    key = state_key(ACCOUNT_NAMESPACE, account)
    number = account[0]
    value = account_leaf(account, number * 100) if number < 9 and account == bytes([number]) * 16 else b""
    chain = Chain(zone)
    chain.add()
    # Epoch 0 hands over to itself.
    edge_0 = chain.add_edge()
    after_0 = chain.add()
    step_0 = Handover(edge_0, (after_0,), zone.certificate(after_0), b"")
    chain.next_epoch(chain.current_set)
    chain.add()
    # Epoch 1 hands over to a set in which seat 0 has a new key, after an outage of two epochs.
    new_keys = [make_keys(1, name)[0], *zone.consensus_keys[1:]]
    new_set = ValidatorSet(
        validators=[
            Validator(
                organization=bytes([seat + 1]) * 16,
                keys=[ConsensusKey(suite=int(suite), public_key=keys[suite].public_key) for suite in SUITES],
            )
            for seat, keys in enumerate(new_keys)
        ]
    ).SerializeToString(deterministic=True)
    new_hash = domain_hash(tags.VALIDATOR_SET, NO_GENESIS, new_set)
    edge_1 = chain.add_edge(new_hash, epochs=3)
    step_1 = Handover(edge_1, (), zone.certificate(edge_1, seats=(1, 2, 3)), new_set)
    chain.next_epoch(new_hash)
    header = chain.add(state_root=root)
    descendants = (chain.add(), chain.add())
    return ProofFile(
        genesis=zone.genesis.hash,
        namespace=ACCOUNT_NAMESPACE,
        identifier=account,
        value=value,
        state_proof=tree.prove(key),
        header=header,
        descendant_headers=descendants,
        finalization=zone.certificate(descendants[-1], keys=new_keys),
        epochs=(step_0, step_1),
    )


__all__ = ["Chain", "Zone", "replace"]

"""Blocks, validators and proofs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from icn_gateway.api.fields import (
    EXAMPLE_DIGEST,
    EXAMPLE_ID,
    HEX_32,
    Digest,
    Height,
    Hex,
    NextPageToken,
    TimeMs,
    TransactionId,
)
from icn_gateway.api.views.common import View


class BlockHeader(View):
    """What validators agreed on (docs/spec/block.md)."""

    protocol_version: Annotated[int, Meta(ge=0, description="Rules it was made under.", examples=[1])]
    height: Height
    view: Annotated[int, Meta(ge=0, description="View it was proposed in.", examples=[1850])]
    parent: Annotated[Digest, Meta(description="Hash of the parent's header.")]
    time_ms: TimeMs
    transactions_root: Annotated[Digest, Meta(description="RFC 9162 root over its transactions.")]
    executed_height: Annotated[Height, Meta(description="Height that the three roots below speak of.")]
    state_root: Annotated[Digest, Meta(description="Root of the state tree after `executed_height`.")]
    receipts_root: Annotated[
        Digest, Meta(description="Over the receipts of `executed_height` and of all before it.")
    ]
    log_root: Annotated[
        Digest, Meta(description="RFC 9162 root over the hashes of headers 0 to `executed_height`.")
    ]
    parent_certificate_digest: Annotated[
        Digest, Meta(description="Of the certificate that notarized the parent.")
    ]
    finalization_digest: Annotated[
        Digest, Meta(description="Of the finalization in the body; zeros when there is none.")
    ]
    epoch: Annotated[int, Meta(ge=0, description="Epoch whose validators decided.", examples=[0])]
    validator_set_hash: Digest
    next_validator_set_hash: Digest


class BlockSummary(View):
    """An executed block without its transactions."""

    height: Height
    hash: Annotated[Digest, Meta(description="Hash of its header.")]
    time_ms: TimeMs
    transactions: Annotated[int, Meta(ge=0, description="How many transactions it holds.", examples=[12])]
    state_root: Annotated[Digest, Meta(description="Root of the state tree after executing this block.")]


class Block(View):
    """An executed block."""

    height: Height
    hash: Annotated[Digest, Meta(description="Hash of its header.")]
    time_ms: TimeMs
    transactions: Annotated[int, Meta(ge=0, description="How many transactions it holds.", examples=[12])]
    state_root: Annotated[Digest, Meta(description="Root of the state tree after executing this block.")]
    transaction_ids: Annotated[list[TransactionId], Meta(description="In the order they were executed.")]
    header: BlockHeader
    header_bytes: Annotated[Hex, Meta(description="Canonical bytes of the header: what the hash is of.")]


class BlockPage(View):
    """Executed blocks, newest first."""

    blocks: list[BlockSummary]
    next_page_token: NextPageToken


class PeerConnection(View):
    """What one validator knows of another."""

    seat: Annotated[int, Meta(ge=0, description="The other's seat.", examples=[2])]
    is_connected: Annotated[
        bool, Meta(description="Whether a stream between the two is open.", examples=[True])
    ]
    final_height: Annotated[Height, Meta(description="Highest final block it has told of.")]
    protocol_newest: Annotated[
        int,
        Meta(
            ge=0,
            description="Newest protocol version that it said it can decide by; 0 where it was not heard.",
            examples=[2],
        ),
    ]


class ValidatorStatus(View):
    """Where a validator stands, in its own words."""

    epoch: Annotated[int, Meta(ge=0, description="Epoch it is in.", examples=[0])]
    view: Annotated[int, Meta(ge=0, description="View it is in.", examples=[1851])]
    final_height: Annotated[Height, Meta(description="Newest final block it knows.")]
    executed_height: Annotated[Height, Meta(description="Height it has executed.")]
    state_root: Annotated[
        Hex, Meta(description="State root after `executed_height`.", examples=[EXAMPLE_DIGEST])
    ]
    block_time_ms: Annotated[TimeMs, Meta(description="Block time of `executed_height`.")]
    pool_transactions: Annotated[
        int, Meta(ge=0, description="Transactions waiting in its pool.", examples=[0])
    ]
    is_catching_up: Annotated[bool, Meta(description="Whether it still fetches blocks.", examples=[False])]
    protocol_version: Annotated[
        int, Meta(ge=0, description="Protocol version in force in `epoch`.", examples=[2])
    ]
    protocol_newest: Annotated[
        int, Meta(ge=0, description="Newest one that its release can decide by.", examples=[2])
    ]
    protocol_next: Annotated[
        int,
        Meta(
            ge=0,
            description="That of the next epoch: the same, unless another was activated.",
            examples=[2],
        ),
    ]
    halted: Annotated[
        str,
        Meta(
            description="Why it takes no part, and what to do; empty while it does.",
            examples=[""],
        ),
    ]
    peers: Annotated[list[PeerConnection], Meta(description="The other validators, by seat.")]


class Validator(View):
    """One seat."""

    seat: Annotated[int, Meta(ge=0, le=49, description="Index in the validator set.", examples=[0])]
    organization: Annotated[
        str, Meta(pattern=HEX_32, description="Who holds the seat.", examples=[EXAMPLE_ID])
    ]
    name: Annotated[
        str,
        Meta(
            description="Name of the organization in the genesis file; empty where that has none.",
            examples=["Mill Street Bakery"],
        ),
    ]
    is_reachable: Annotated[bool, Meta(description="Whether it answered just now.", examples=[True])]
    status: Annotated[ValidatorStatus | None, Meta(description="Null when it is not reachable.")]


class ValidatorList(View):
    """Every seat in force, with what it takes to decide."""

    zone: Annotated[str, Meta(description="Name of the zone.", examples=["Riverside"])]
    genesis_hash: Annotated[Digest, Meta(description="What every signature of the zone is bound to.")]
    trust_profile: Annotated[
        Literal["hosted", "independent"],
        Meta(
            description=(
                "`hosted`: one host holds a quorum of the consensus keys and could fork or roll back. "
                "`independent`: no operator or host does."
            ),
            examples=["hosted"],
        ),
    ]
    quorum: Annotated[int, Meta(ge=3, description="Votes that decide: ⌊2n/3⌋ + 1.", examples=[3])]
    validators: Annotated[list[Validator], Meta(description="By seat.")]


class ProofEpoch(View):
    """How one epoch handed over to the next."""

    edge_header: Annotated[Hex, Meta(description="Header that fixes the next set.")]
    descendant_headers: Annotated[
        list[Hex], Meta(description="Headers from its child to the finalized block.")
    ]
    finalization: Annotated[Hex, Meta(description="Finalization by the epoch's own set.")]
    next_validator_set: (
        Annotated[
            Hex,
            Meta(description="The next set, empty when it is the epoch's own; not beside `recovery`."),
        ]
        | UnsetType
    ) = UNSET
    recovery: (
        Annotated[
            Hex,
            Meta(
                description="Certificate by which the seated organizations ended the epoch behind the header."
            ),
        ]
        | UnsetType
    ) = UNSET


class ProofFile(View):
    """A proof that `icn proof verify` checks with nothing but the genesis file (docs/spec/proof.md)."""

    format: Annotated[Literal["icn/proof/v1"], Meta(description="What this is.", examples=["icn/proof/v1"])]
    genesis: Annotated[Digest, Meta(description="Genesis hash of the zone it is of.")]
    namespace: Annotated[int, Meta(ge=1, le=8, description="Namespace of the leaf.", examples=[3])]
    identifier: Annotated[Hex, Meta(description="Key of the leaf in it.")]
    value: Annotated[Hex, Meta(description="The leaf; empty: it is proven that there is none.")]
    state_proof: Annotated[
        dict[str, Any], Meta(description="Path from the leaf to the state root (docs/spec/state-tree.md).")
    ]
    header: Annotated[Hex, Meta(description="The header that names the state root.")]
    descendant_headers: Annotated[
        list[Hex], Meta(description="Headers from its child to the finalized block.")
    ]
    finalization: Annotated[Hex, Meta(description="Finalization certificate of the last header.")]
    epochs: Annotated[list[ProofEpoch], Meta(description="One step per epoch left behind since genesis.")]

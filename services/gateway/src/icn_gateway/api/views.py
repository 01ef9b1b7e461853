"""What REST answers with. Field comments end up in the OpenAPI document; `icn_gateway.api.translate` fills
them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from icn_gateway.api.fields import (
    EXAMPLE_DIGEST,
    EXAMPLE_ID,
    HEX_32,
    HEX_64,
    AccountId,
    Digest,
    Height,
    Hex,
    HoldId,
    KeyId,
    MinorUnits,
    NextPageToken,
    PrincipalId,
    TimeMs,
    TransactionId,
    UnitId,
)

Count = Annotated[int, Meta(ge=0, description="A count.", examples=[3])]


class View(msgspec.Struct):
    """Base of every document."""


class Problem(View):
    """Why a request was not done, as application/problem+json (RFC 9457)."""

    type: Annotated[
        str, Meta(description="Always `about:blank`: `reason` says which problem.", examples=["about:blank"])
    ]
    title: Annotated[str, Meta(description="The HTTP status in words.", examples=["Not Found"])]
    status: Annotated[int, Meta(ge=400, le=599, description="The HTTP status.", examples=[404])]
    reason: Annotated[
        str,
        Meta(
            pattern="^[A-Z][A-Z0-9_]*$",
            description="Stable reason, upper snake case: match on this, never on `detail`.",
            examples=["ACCOUNT_UNKNOWN"],
        ),
    ]
    detail: Annotated[str, Meta(description="For people.", examples=["no such account"])]
    instance: Annotated[
        str, Meta(description="Path of the request.", examples=[f"/v1/accounts/{EXAMPLE_ID}"])
    ]
    trace_id: Annotated[
        str, Meta(pattern=HEX_32, description="Finds this request in the logs.", examples=[EXAMPLE_ID])
    ]
    figures: Annotated[
        dict[str, str],
        Meta(description="The values that were compared, by name.", examples=[{"floor_minor": "-500"}]),
    ] = {}
    transaction_id: (
        Annotated[
            str,
            Meta(
                pattern=HEX_64,
                description="The transaction the problem is about; ask for it at `/v1/transactions/{id}`.",
                examples=[EXAMPLE_DIGEST],
            ),
        ]
        | UnsetType
    ) = UNSET


class UnitReference(View):
    """What is needed to read amounts of a unit."""

    id: UnitId
    code: Annotated[str, Meta(description="Shown to people; not unique.", examples=["HOURS"])]
    scale: Annotated[
        int,
        Meta(
            ge=0,
            le=9,
            description="Decimal places of one whole unit: minor units are 10^−scale.",
            examples=[2],
        ),
    ]


class Unit(View):
    """A unit of account."""

    id: UnitId
    code: Annotated[str, Meta(description="Shown to people; not unique.", examples=["HOURS"])]
    scale: Annotated[
        int,
        Meta(
            ge=0,
            le=9,
            description="Decimal places of one whole unit: minor units are 10^−scale.",
            examples=[2],
        ),
    ]
    issuer: Annotated[
        str, Meta(pattern=HEX_32, description="Principal that created it.", examples=[EXAMPLE_ID])
    ]
    authority: Annotated[
        str, Meta(pattern=HEX_32, description="Principal that sets floors.", examples=[EXAMPLE_ID])
    ]
    default_floor_minor: Annotated[
        MinorUnits,
        Meta(description="Floor of new accounts, zero or negative; −4611686018427387904 (−2^62) means none."),
    ]


class UnitPage(View):
    """Units, ascending by id."""

    units: list[Unit]
    next_page_token: NextPageToken


class Account(View):
    """An account of mutual credit."""

    id: AccountId
    owner: Annotated[str, Meta(pattern=HEX_32, description="Principal that owns it.", examples=[EXAMPLE_ID])]
    unit: UnitReference
    balance_minor: Annotated[MinorUnits, Meta(description="Minor units; negative when the owner owes.")]
    held_minor: Annotated[MinorUnits, Meta(description="Sum of its open holds, minor units, not negative.")]
    floor_minor: Annotated[
        MinorUnits,
        Meta(
            description=(
                "Lowest balance − held that a voluntary debit may leave, minor units, zero or negative; "
                "−4611686018427387904 (−2^62) means none."
            )
        ),
    ]
    headroom_minor: Annotated[
        MinorUnits,
        Meta(
            description=(
                "balance − held − floor: what may still be spent, minor units. Negative after a raised floor; "
                "the balance may then only rise."
            )
        ),
    ]
    height: Annotated[Height, Meta(description="Height the answer was read at.")]


class AccountPage(View):
    """Accounts, ascending by id."""

    accounts: list[Account]
    next_page_token: NextPageToken


class Entry(View):
    """One change of an account's balance."""

    height: Annotated[Height, Meta(description="Block that made it.")]
    index: Annotated[int, Meta(ge=0, description="Position among the block's entries, from 0.", examples=[0])]
    transaction_id: TransactionId
    account: AccountId
    counter_account: Annotated[
        str, Meta(pattern=HEX_32, description="The other side.", examples=[EXAMPLE_ID])
    ]
    amount_minor: Annotated[MinorUnits, Meta(description="Added to the balance; negative for a debit.")]
    balance_minor: Annotated[MinorUnits, Meta(description="Balance after it.")]
    memo_hash: (
        Annotated[
            str,
            Meta(
                pattern=HEX_64,
                description="Salted hash of the memo, which is kept elsewhere.",
                examples=[EXAMPLE_DIGEST],
            ),
        ]
        | None
    )
    block_time_ms: TimeMs


class EntryPage(View):
    """Entries of one account, newest first."""

    unit: Annotated[UnitReference, Meta(description="The unit of every amount of the page.")]
    entries: list[Entry]
    next_page_token: NextPageToken


class PublicKey(View):
    """A public key of one signature suite."""

    suite: Annotated[int, Meta(ge=1, description="Signature suite: 1 Ed25519, 2 ML-DSA-65.", examples=[1])]
    public_key: Hex


class KeyScope(View):
    """What a scoped key may sign."""

    message_kinds: Annotated[
        list[int], Meta(description="Field numbers of `Message.kind` it may sign, ascending.", examples=[[6]])
    ]
    amount_minor_max: Annotated[MinorUnits, Meta(description="Most it may move at once; 0 means no limit.")]
    accounts: Annotated[list[AccountId], Meta(description="Accounts it may debit; none means all.")]
    expire_time_ms: Annotated[TimeMs, Meta(description="Last block time it may sign for; 0 means no end.")]


class Key(View):
    """A key that may sign for a principal."""

    key_id: KeyId
    public_keys: Annotated[list[PublicKey], Meta(description="One per suite, ascending.")]
    scope: Annotated[
        KeyScope | None,
        Meta(description="Null: counts towards the threshold. Else: acts alone, within the scope."),
    ]


class Lane(View):
    """How far one of the principal's devices has come."""

    lane: Annotated[int, Meta(ge=0, le=15, description="Number of the lane.", examples=[0])]
    last_sequence: Annotated[
        int, Meta(ge=0, description="The last sequence consumed; the next is one more.", examples=[41])
    ]


class Principal(View):
    """Who may act, with the keys behind it."""

    id: PrincipalId
    name: (
        Annotated[
            str,
            Meta(
                description="Name in the genesis file; null for everybody else.",
                examples=["Mill Street Bakery"],
            ),
        ]
        | None
    )
    threshold: Annotated[int, Meta(ge=1, description="How many unscoped keys must sign.", examples=[2])]
    keys: Annotated[list[Key], Meta(description="Ascending by key id.")]
    sponsor: (
        Annotated[
            str,
            Meta(
                pattern=HEX_32,
                description="Principal whose allowance pays; null for those of genesis.",
                examples=[EXAMPLE_ID],
            ),
        ]
        | None
    )
    lanes: Annotated[list[Lane], Meta(description="Lanes used so far, ascending.")]


class Hold(View):
    """Credit reserved for a payee."""

    id: HoldId
    source: Annotated[
        str, Meta(pattern=HEX_32, description="Account that will be debited.", examples=[EXAMPLE_ID])
    ]
    destination: Annotated[
        str, Meta(pattern=HEX_32, description="Account that may capture.", examples=[EXAMPLE_ID])
    ]
    unit: UnitReference
    remaining_minor: Annotated[MinorUnits, Meta(description="What is left of it, minor units, at least 1.")]
    expire_time_ms: Annotated[TimeMs, Meta(description="First block time at which what is left is released.")]
    payer: Annotated[
        str,
        Meta(
            pattern=HEX_32,
            description="Organization whose allowance its leaf occupies.",
            examples=[EXAMPLE_ID],
        ),
    ]


class Allowance(View):
    """What an organization's transactions may use, and have used in the epoch."""

    organization: PrincipalId
    epoch: Annotated[
        int,
        Meta(ge=0, description="Epoch the counts belong to; in a later one they start at 0.", examples=[3]),
    ]
    bytes_per_epoch: Annotated[
        int, Meta(ge=0, le=2**40, description="Bytes of transactions.", examples=[1_048_576])
    ]
    signatures_per_epoch: Annotated[int, Meta(ge=0, le=2**40, description="Signatures.", examples=[10_000])]
    state_leaves: Annotated[
        int, Meta(ge=0, le=2**40, description="State leaves it may occupy at a time.", examples=[1_000])
    ]
    used_bytes: Annotated[int, Meta(ge=0, description="Bytes used in the epoch.", examples=[4_096])]
    used_signatures: Annotated[int, Meta(ge=0, description="Signatures used in the epoch.", examples=[12])]
    used_state_leaves: Annotated[int, Meta(ge=0, description="State leaves occupied now.", examples=[7])]


class Posting(View):
    """One change of one account's balance, in minor units of the account's unit."""

    account: AccountId
    counter_account: Annotated[
        str, Meta(pattern=HEX_32, description="The other side.", examples=[EXAMPLE_ID])
    ]
    amount_minor: Annotated[MinorUnits, Meta(description="Added to the balance; negative for a debit.")]
    balance_minor: Annotated[MinorUnits, Meta(description="Balance after it.")]


class Receipt(View):
    """What became of a transaction that a final block includes."""

    transaction_id: TransactionId
    status: Annotated[
        Literal["applied", "refused"],
        Meta(description="`applied`: every message took effect. `refused`: none did.", examples=["applied"]),
    ]
    reason: (
        Annotated[
            str,
            Meta(
                description="Stable reason of a refusal; null when applied.",
                examples=["CREDIT_LIMIT_EXCEEDED"],
            ),
        ]
        | None
    )
    message_index: Annotated[int, Meta(ge=0, description="Which message was refused, from 0.", examples=[0])]
    figures: Annotated[
        dict[str, str],
        Meta(
            description="The numbers a refusal compared, by name, as decimal strings.",
            examples=[{"floor_minor": "-500"}],
        ),
    ]
    postings: Annotated[list[Posting], Meta(description="In order; none when refused.")]


class Transaction(View):
    """A transaction that an executed block includes."""

    transaction_id: TransactionId
    height: Annotated[Height, Meta(description="Block that includes it.")]
    index: Annotated[int, Meta(ge=0, description="Position in the block, from 0.", examples=[0])]
    block_time_ms: TimeMs
    receipt: Receipt


class Committed(View):
    """A final block includes the transaction; `receipt.status` tells whether it had an effect."""

    transaction_id: TransactionId
    state: Annotated[Literal["committed"], Meta(description="Always `committed`.", examples=["committed"])]
    height: Annotated[Height, Meta(description="Block that includes it.")]
    receipt: Receipt


class Pending(View):
    """The outcome is open: ask at `poll`, or send the same bytes again (that is safe)."""

    transaction_id: TransactionId
    state: Annotated[
        Literal["pending", "unknown"],
        Meta(
            description="`pending`: in a validator's pool. `unknown`: the validator could not tell.",
            examples=["pending"],
        ),
    ]
    poll: Annotated[str, Meta(description="Where to ask.", examples=[f"/v1/transactions/{EXAMPLE_DIGEST}"])]


class BatchOutcome(View):
    """What is known of one transaction of a batch."""

    position: Annotated[int, Meta(ge=0, le=999, description="Position in the request, from 0.", examples=[0])]
    transaction_id: (
        Annotated[
            str,
            Meta(
                pattern=HEX_64, description="Null when the bytes were malformed.", examples=[EXAMPLE_DIGEST]
            ),
        ]
        | None
    )
    state: Annotated[
        Literal["committed", "pending", "refused", "expired", "unknown"],
        Meta(
            description=(
                "`committed`: a final block includes it, see `receipt`. `pending`: in a pool. `refused`: no effect. "
                "`expired`: never will have one. `unknown`: ask by id."
            ),
            examples=["committed"],
        ),
    ]
    reason: Annotated[str, Meta(description="Stable reason when refused.", examples=["SEQUENCE_GAP"])] | None
    detail: (
        Annotated[str, Meta(description="For people.", examples=["the lane's next sequence is 42"])] | None
    )
    height: Annotated[Height, Meta(description="Block that includes it.")] | None
    receipt: Receipt | None
    retry_after_ms: (
        Annotated[int, Meta(ge=0, description="When the pool was full: how long to wait.", examples=[250])]
        | None
    )


class BatchOutcomes(View):
    """One outcome per transaction, in the order of the request."""

    outcomes: list[BatchOutcome]


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
        Digest, Meta(description="RFC 9162 root over the receipts of `executed_height`.")
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
    peers: Annotated[list[PeerConnection], Meta(description="The other validators, by seat.")]


class Validator(View):
    """One seat."""

    seat: Annotated[int, Meta(ge=0, le=49, description="Index in the validator set.", examples=[0])]
    organization: Annotated[
        str, Meta(pattern=HEX_32, description="Who holds the seat.", examples=[EXAMPLE_ID])
    ]
    name: Annotated[
        str, Meta(description="Name of the seat in the genesis file.", examples=["Mill Street Bakery"])
    ]
    is_reachable: Annotated[bool, Meta(description="Whether it answered just now.", examples=[True])]
    status: Annotated[ValidatorStatus | None, Meta(description="Null when it is not reachable.")]


class ValidatorList(View):
    """Every seat of the zone, with what it takes to decide."""

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
    next_validator_set: Annotated[Hex, Meta(description="The next set; empty when it is the epoch's own.")]


class ProofFile(View):
    """A proof that `icn proof verify` checks with nothing but the genesis file (docs/spec/proof.md)."""

    format: Annotated[Literal["icn/proof/v1"], Meta(description="What this is.", examples=["icn/proof/v1"])]
    genesis: Annotated[Digest, Meta(description="Genesis hash of the zone it is of.")]
    namespace: Annotated[int, Meta(ge=1, le=7, description="Namespace of the leaf.", examples=[3])]
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


class Health(View):
    """Whether this process can do its work."""

    status: Annotated[
        Literal["ok"], Meta(description="Always `ok`; a problem is answered with 503.", examples=["ok"])
    ]
    validators_reachable: Annotated[int, Meta(ge=1, description="How many validators answer.", examples=[4])]

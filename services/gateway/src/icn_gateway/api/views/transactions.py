"""What became of submitted transactions."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from icn_gateway.api.fields import (
    EXAMPLE_DIGEST,
    EXAMPLE_ID,
    HEX_32,
    HEX_64,
    AccountId,
    Height,
    MinorUnits,
    TimeMs,
    TransactionId,
)
from icn_gateway.api.views.common import View


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
    """The outcome is open: ask at `poll`, or send the same bytes again (that is safe).

    After `unknown` it stays open whatever else refuses them, until they are `committed` or block time is past
    their expiry: sign a payment anew only then.
    """

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
                "`committed`: a final block includes it, see `receipt`. `pending`: in a pool. "
                "`refused`: had no effect. "
                "`expired`: never will have one. `unknown`: ask by id; a later `refused` is then no end."
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

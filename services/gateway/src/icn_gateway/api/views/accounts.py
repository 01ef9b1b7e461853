"""Units, accounts, entries and holds."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from icn_gateway.api.fields import (
    EXAMPLE_DIGEST,
    EXAMPLE_ID,
    HEX,
    HEX_32,
    HEX_64,
    AccountId,
    Height,
    HoldId,
    MinorUnits,
    NextPageToken,
    TimeMs,
    TransactionId,
    UnitId,
)
from icn_gateway.api.views.common import UnitReference, View


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


class Credit(View):
    """How far an account's owner may go now, by the unit's policy."""

    limit_minor: Annotated[
        MinorUnits, Meta(description="Lowest balance − held that a voluntary debit may leave, minor units.")
    ]
    growth_minor: Annotated[
        MinorUnits, Meta(description="By how much trade lowers it below the floor, minor units.")
    ]
    soft_limit_minor: Annotated[
        MinorUnits, Meta(description="Below which it is told that the limit is near; else the limit.")
    ]
    spendable_minor: Annotated[
        MinorUnits, Meta(description="What may be spent now; 0 while frozen, closed or not confirmed.")
    ]
    is_main: Annotated[bool, Meta(description="Whether it is the owner's first account in the unit.")]


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
                "Lowest balance − held that a voluntary debit may leave where trade has not lowered it, "
                "minor units, zero or negative; −4611686018427387904 (−2^62) means none."
            )
        ),
    ]
    headroom_minor: Annotated[
        MinorUnits,
        Meta(
            description=(
                "balance − held − floor. Negative under a raised floor; the balance may then only rise. "
                "`credit` of a single account says what may be spent under its unit's policy."
            )
        ),
    ]
    height: Annotated[Height, Meta(description="Height the answer was read at.")]
    is_closed: Annotated[bool, Meta(description="Whether it is closed for ever.")]
    frozen_until_ms: Annotated[
        int,
        Meta(
            ge=0,
            description="Block time before which it cannot pay, unix milliseconds; 0: free.",
            examples=[0],
        ),
    ]
    credit: Annotated[Credit, Meta(description="Of a single account; null in lists.")] | None


class AccountPage(View):
    """Accounts, ascending by id."""

    accounts: list[Account]
    next_page_token: NextPageToken


PostingKind = Literal[
    "transfer", "capture", "standing", "exchange", "fee", "demurrage", "write_off", "opening"
]
"""What made an entry (docs/spec/ledger.md, "Postings")."""


class Entry(View):
    """One change of an account's balance."""

    height: Annotated[Height, Meta(description="Block that made it.")]
    index: Annotated[int, Meta(ge=0, description="Position among the block's entries, from 0.", examples=[0])]
    transaction_id: TransactionId | None
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
                description="SHA-256 of the sealed memo: `/v1/memos/{sha256}` has it.",
                examples=[EXAMPLE_DIGEST],
            ),
        ]
        | None
    )
    block_time_ms: TimeMs
    number: Annotated[int, Meta(ge=1, description="Among the account's entries, from 1.", examples=[1])]
    kind: Annotated[PostingKind, Meta(description="What made it.")]
    reference: (
        Annotated[
            str,
            Meta(
                pattern=HEX,
                description="What the payer said of it, such as the id of a transaction that it gives back.",
                examples=[EXAMPLE_DIGEST],
            ),
        ]
        | None
    )
    hold: (
        Annotated[
            str,
            Meta(
                pattern=HEX_32, description="The hold that was captured, or the order.", examples=[EXAMPLE_ID]
            ),
        ]
        | None
    )


class EntryPage(View):
    """Entries of one account, newest first."""

    unit: Annotated[UnitReference, Meta(description="The unit of every amount of the page.")]
    entries: list[Entry]
    next_page_token: NextPageToken


class StatementEdge(View):
    """Where an account stood at one end of a span."""

    balance_minor: Annotated[MinorUnits, Meta(description="Minor units.")]
    entries: Annotated[int, Meta(ge=0, description="Number of its newest entry then.", examples=[0])]
    height: Annotated[Height, Meta(description="Of the block that it is that after.")]


class StatementOpening(View):
    """The first line of a statement."""

    unit: Annotated[UnitReference, Meta(description="The unit of every amount.")]
    opening: StatementEdge


class StatementClosing(View):
    """The last line of a statement that is whole."""

    closing: StatementEdge


class AccountNews(View):
    """An account as it stands, and what was booked on it since the news before."""

    account: Account
    entries: Annotated[list[Entry], Meta(description="Oldest first, at most 500.")]
    has_skipped: Annotated[bool, Meta(description="Whether older ones since then were left out.")]


class Price(View):
    """What an offer of exchange asks for."""

    take_account: Annotated[
        str, Meta(pattern=HEX_32, description="Account that is paid.", examples=[EXAMPLE_ID])
    ]
    offered_give_minor: Annotated[MinorUnits, Meta(description="What was offered at first, minor units.")]
    offered_take_minor: Annotated[
        MinorUnits, Meta(description="What all of that costs, minor units of the other unit.")
    ]
    taker: Annotated[str, Meta(pattern=HEX_32, description="Who may take it.", examples=[EXAMPLE_ID])] | None


class Hold(View):
    """Credit reserved for a payee, or offered for credit of another unit."""

    id: HoldId
    source: Annotated[
        str, Meta(pattern=HEX_32, description="Account that will be debited.", examples=[EXAMPLE_ID])
    ]
    destination: (
        Annotated[str, Meta(pattern=HEX_32, description="Account that may capture.", examples=[EXAMPLE_ID])]
        | None
    )
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
    price: Annotated[Price, Meta(description="Of an offer of exchange.")] | None

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
                "balance − held − floor: what may still be spent. Negative under a raised floor; "
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
    number: Annotated[int, Meta(ge=1, description="Among the account's entries, from 1.", examples=[1])]
    kind: Annotated[Literal["transfer", "capture"], Meta(description="What made it.")]
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
        Annotated[str, Meta(pattern=HEX_32, description="The hold that was captured.", examples=[EXAMPLE_ID])]
        | None
    )


class EntryPage(View):
    """Entries of one account, newest first."""

    unit: Annotated[UnitReference, Meta(description="The unit of every amount of the page.")]
    entries: list[Entry]
    next_page_token: NextPageToken


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

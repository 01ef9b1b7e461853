"""Who may sign, and what an organization's transactions may use."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from icn_gateway.api.fields import EXAMPLE_ID, HEX_32, AccountId, Hex, KeyId, MinorUnits, PrincipalId, TimeMs
from icn_gateway.api.views.common import View


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


class RecoveryPolicy(View):
    """Who may replace a principal's keys when they are lost."""

    guardian: Annotated[PrincipalId, Meta(description="Another principal.")]
    delay_ms: Annotated[
        int,
        Meta(
            ge=1,
            le=31_622_400_000,
            description="Milliseconds between announcing new keys and putting them in force.",
            examples=[1_209_600_000],
        ),
    ]


class Recovery(View):
    """New keys that a guardian has announced and that are not yet in force."""

    principal: Annotated[PrincipalId, Meta(description="Whose keys will be replaced.")]
    guardian: Annotated[PrincipalId, Meta(description="Who announced them.")]
    threshold: Annotated[
        int, Meta(ge=1, description="How many of the new unscoped keys must sign.", examples=[1])
    ]
    keys: Annotated[list[Key], Meta(description="The new keys, ascending by key id.")]
    ready_time_ms: Annotated[
        TimeMs,
        Meta(description="First block time at which they may be put in force; the last is 30 days later."),
    ]
    payer: Annotated[PrincipalId, Meta(description="Organization whose allowance it occupies.")]


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
    recovery: Annotated[RecoveryPolicy | None, Meta(description="Null: nobody can recover it.")]


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
    fuel_per_epoch: Annotated[
        int, Meta(ge=0, le=2**50, description="Fuel of contract calls.", examples=[1_000_000_000])
    ]
    new_leaves_per_epoch: Annotated[
        int,
        Meta(
            ge=0,
            le=2**40,
            description="State leaves it may make, given back or not; 0: as many as `state_leaves`.",
            examples=[5_000],
        ),
    ]
    used_bytes: Annotated[int, Meta(ge=0, description="Bytes used in the epoch.", examples=[4_096])]
    used_signatures: Annotated[int, Meta(ge=0, description="Signatures used in the epoch.", examples=[12])]
    used_state_leaves: Annotated[int, Meta(ge=0, description="State leaves occupied now.", examples=[7])]
    used_fuel: Annotated[int, Meta(ge=0, description="Fuel charged in the epoch.", examples=[100_000_000])]
    used_new_leaves: Annotated[
        int, Meta(ge=0, description="State leaves made in the epoch, still there or not.", examples=[9])
    ]

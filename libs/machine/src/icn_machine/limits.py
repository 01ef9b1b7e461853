"""Bounds of transactions, records and blocks. Source: docs/spec/transaction.md, "Bytes"."""

from typing import Final

from icn_chain.quorum import SEATS_MAX

IDENTIFIER_BYTES: Final = 16
DIGEST_BYTES: Final = 32
CONTROLLER_KEYS_MAX: Final = 16
SCOPE_ACCOUNTS_MAX: Final = 64
SCALE_MAX: Final = 9

EXPIRY_AHEAD_MS_MAX: Final = 86_400_000
"""How far ahead of block time a transaction may expire: 24 h."""
HOLD_AHEAD_MS_MAX: Final = 31_622_400_000
"""How far ahead of block time a hold may expire: 366 days."""
RECOVERY_DELAY_MS_MAX: Final = 31_622_400_000
"""Longest time to object to a recovery: 366 days."""
RECOVERY_LAPSE_MS: Final = 2_592_000_000
"""How long after its ready time a recovery may be completed: 30 days."""
QUANTITY_MAX: Final = 2**62
"""Largest amount, absolute balance, held, time and sequence: a sum of two stays inside signed 64 bits."""
NO_FLOOR: Final = -QUANTITY_MAX
"""The floor that no balance can pass."""
ALLOWANCE_MAX: Final = 2**40
REFERENCE_BYTES_MAX: Final = 32

LEGS_MAX: Final = 64
"""As many as fit twice into a transaction with a memo each."""
ORDER_AHEAD_MS_MAX: Final = 31_622_400_000
"""How far ahead of block time an order's first time may lie: 366 days."""
ORDER_DAYS_MAX: Final = 366
ORDER_MONTHS_MAX: Final = 12
ORDER_TIMES_MAX: Final = 1_200
"""A hundred years of months."""
ORDER_MISSED_MAX: Final = 3
"""So many missed in a row end an order: it would only use up its payer's allowance."""
ORDER_BYTES_CHARGED: Final = 256
"""What a transfer of an order costs its payer's allowance: a signed one of its size."""
FREEZE_AHEAD_MS_MAX: Final = 2_592_000_000
"""How far ahead of block time an account may be frozen: 30 days, then it takes another decision."""
OPENINGS_MAX: Final = 512
"""Members of a large cooperative; more begin in groups that each add up to 0."""
OPENING_MINOR_MAX: Final = 2**53
"""So that all of them together stay inside 2^62."""
DEMURRAGE_ACCOUNTS_MAX: Final = 64
DEMURRAGE_EDGES_MAX: Final = 2**20
"""Edges that are taken at once: more than any balance outlasts, and the product stays inside 128 bits."""
PPM: Final = 1_000_000
DAY_MS: Final = 86_400_000
POLICY_HIGHEST: Final = {
    "growth_ppm": PPM,
    "growth_max_minor": QUANTITY_MAX,
    "counterparty_max_minor": QUANTITY_MAX,
    "soft_ppm": PPM - 1,
    "fee_fixed_minor": QUANTITY_MAX,
    "fee_ppm": 100_000,
    "fee_max_minor": QUANTITY_MAX,
    "demurrage_ppm": 100_000,
    "demurrage_days": 366,
    "demurrage_free_minor": QUANTITY_MAX,
}
"""Of a unit's policy."""

DECISION_BYTES_MAX: Final = 16_384
"""Every member's program reads it in full; with all countersignatures it fits a transaction."""
DECISION_ACTIONS_MAX: Final = 16
AUTHORITY_MEMBERS_MAX: Final = 64
"""All of them can countersign in one transaction, with Ed25519 keys."""
COUNTERSIGNATURES_MAX: Final = AUTHORITY_MEMBERS_MAX
VOUCHES_MAX: Final = 16
POLL_AHEAD_MS_MAX: Final = 31_622_400_000
"""How far ahead of block time a poll may close: 366 days."""
POLL_MS_MIN_DEFAULT: Final = 259_200_000
"""How long an authority's poll is open at least, where its rules say nothing: 72 h."""
POLL_MS_MIN_MAX: Final = 7_776_000_000
"""The most that an authority's rules may ask for, 90 days: longer ones would keep it from deciding."""
SHARE_DENOMINATOR_MAX: Final = 1_000
"""More parts than twice the members of the largest authority say nothing new."""
FUEL_ALLOWANCE_MAX: Final = 2**50
SEAT_CHANGES_MAX: Final = SEATS_MAX

COFACTORED_ONLY_PER_BLOCK_MAX: Final = 8
"""Each such signature costs 2 ms without the native module."""
FUEL_PER_BLOCK_MAX: Final = 1_000_000_000
"""Of the limits that a block's contract calls set: at most about a second of one core."""
HOLDS_RELEASED_PER_BLOCK_MAX: Final = 1_000
"""Due holds that one block releases; the rest follow in the next, so that a block stays short."""
POLLS_CLOSED_PER_BLOCK_MAX: Final = 100
"""Due polls that one block closes; the rest follow in the next."""
ORDERS_PER_BLOCK_MAX: Final = 500
"""Due orders that one block carries out; the rest follow in the next."""
SEQUENCE_AHEAD_MAX: Final = 10_000
"""How far ahead of its lane a transaction may wait in a pool."""
VERSIONED_HEIGHTS: Final = 256
"""How many heights back records, pages and roots can be read."""

"""Bounds and prices of contract transactions. All are protocol.

Source: docs/spec/vm.md, "In a block".
"""

from __future__ import annotations

from typing import Final

ENGINE: Final = "wasmtime 50.0.1"
"""Fuel is counted by it: another engine is another protocol version."""
CODE_BYTES_MAX: Final = 61_440
MESSAGE_BYTES_MAX: Final = 16_384
FUEL_LIMIT_MAX: Final = 1_000_000_000
FUNDS_MAX: Final = 8
ACCOUNTS_OPENED_MAX: Final = 8
DECLARED_MAX: Final = 16
PAYMENTS_MAX: Final = 16
DATA_BYTES_MAX: Final = 4_096
"""Receipts of a block fit one message to consensus."""
EVENTS_BYTES_MAX: Final = 65_536
"""Of a call's events, as they are hashed: a quarter of an envelope, so that every consumer can read them."""
TEXT_BYTES_MAX: Final = 1_024
"""Of what a contract says when it stops."""
ENTRIES_MAX: Final = 4_096
STORAGE_BYTES_MAX: Final = 1_048_576
"""Keys and values of one contract, sent whole to the vm."""
ENTRIES_ADDED_MAX: Final = 64
"""By one call; so many leaves its payer's allowance has to cover."""
KEY_BYTES_MAX: Final = 1_024
VALUE_BYTES_MAX: Final = 65_536

STORE_FUEL: Final = 10_000_000
STORE_FUEL_PER_BYTE: Final = 10_000
"""Four times what ordinary code costs."""
CALL_FUEL: Final = 500_000
"""The ledger's part of a call: a round trip to the vm and the records around it."""
ENTRY_FUEL: Final = 2_000
STORAGE_FUEL_PER_BYTE: Final = 10
"""Loading the contract's storage and sending it."""
CODE_FUEL_PER_BYTE: Final = 200
"""A vm keeps the compiled modules used last. Whoever calls many contracts in turn makes it compile them
again, at about 2,500 a byte; a call that finds its module pays a little for those that do not."""


def store_fuel_limit(code_bytes: int) -> int:
    """Where checking code of this size is stopped."""
    return STORE_FUEL + STORE_FUEL_PER_BYTE * code_bytes


def ledger_fuel(entries: int, storage_bytes: int, code_bytes: int) -> int:
    """What a call of a contract with this much storage and code uses before it runs."""
    storage_fuel = ENTRY_FUEL * entries + STORAGE_FUEL_PER_BYTE * storage_bytes
    return CALL_FUEL + storage_fuel + CODE_FUEL_PER_BYTE * code_bytes

"""What is known of a submitted transaction, and what may still turn out differently."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

TRANSACTION_BYTES_MAX = 65_536
"""docs/spec/transaction.md, "Bytes"."""
BATCH_TRANSACTIONS_MAX = 1_000
"""The same bound as ``SubmitTransactionsRequest``."""
WAIT_MS_MAX = 30_000

MALFORMED_TRANSACTION = "MALFORMED_TRANSACTION"
REASONS_OF_A_REPEAT = frozenset({"SEQUENCE_USED", "EXPIRED"})
"""Why a pool refuses a transaction that a block already includes: the ledger is asked by id before
believing it."""


class OutcomeState(StrEnum):
    """What became of a transaction, as REST names it."""

    COMMITTED = "committed"
    """A final block includes it: the receipt tells its effect."""
    PENDING = "pending"
    """In a validator's pool."""
    REFUSED = "refused"
    """No pool took it; it had no effect."""
    EXPIRED = "expired"
    """Its expiry passed without inclusion; it never will have an effect."""
    UNKNOWN = "unknown"
    """Nobody could tell; ask by id, or send the same bytes again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of one transaction."""

    transaction_id: bytes
    """32 bytes; empty when the bytes were malformed."""
    state: OutcomeState
    reason: str = ""
    """Stable; set when refused, expired or unknown."""
    message: str = ""
    height: int = 0
    """Block that includes it, when committed."""
    receipt: bytes = b""
    """Canonical bytes of the ledger's receipt, when committed."""
    retry_after_ms: int = 0
    """When the pool was full: how long to wait."""

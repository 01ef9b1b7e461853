"""The digest of a unit's books that closes a period. Source: docs/spec/ledger.md, "Closing a period"."""

from __future__ import annotations

from collections.abc import Mapping

from icn_crypto import tags
from icn_crypto.hashing import domain_hash


def trial_balance_digest(genesis_hash: bytes, balances: Mapping[bytes, int]) -> bytes:
    """Digest of a unit's balances, minor units, by account, of its accounts with entries; 32 bytes."""
    body = b"".join(
        account + balance_minor.to_bytes(8, "big", signed=True)
        for account, balance_minor in sorted(balances.items())
    )
    return domain_hash(tags.TRIAL_BALANCE, genesis_hash, body)

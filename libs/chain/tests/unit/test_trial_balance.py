"""The digest of a unit's books."""

from __future__ import annotations

from icn_chain.trial_balance import trial_balance_digest
from icn_crypto import tags
from icn_crypto.hashing import domain_hash

GENESIS_HASH = b"g" * 32


def test_the_trial_balance_does_not_depend_on_the_order_of_the_accounts() -> None:
    one, other = b"a" * 16, b"b" * 16
    expected = domain_hash(
        tags.TRIAL_BALANCE,
        GENESIS_HASH,
        one + (-7).to_bytes(8, "big", signed=True) + other + b"\0" * 7 + b"\7",
    )
    assert trial_balance_digest(GENESIS_HASH, {other: 7, one: -7}) == expected
    assert trial_balance_digest(GENESIS_HASH, {}) == domain_hash(tags.TRIAL_BALANCE, GENESIS_HASH, b"")

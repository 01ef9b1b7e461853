"""What a block posted, as the entries of both accounts; worked out apart from the code that chains them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from icn_machine.entries import Entry
from icn_machine.events import NO_TRANSACTION


def entries_of(commit: Any, counts: dict[bytes, int]) -> Iterator[tuple[bytes, Entry]]:
    """Account and entry, in order; ``counts`` are the entries of each account so far, and go on with it."""
    for posted in commit.posted:
        one = posted.movement
        by_itself = one.transaction_index == NO_TRANSACTION
        transaction_id = b"" if by_itself else commit.transaction_ids[one.transaction_index]
        for account, other, amount, balance in (
            (one.source, one.destination, -one.amount_minor, one.source_balance_minor),
            (one.destination, one.source, one.amount_minor, one.destination_balance_minor),
        ):
            counts[account] = counts.get(account, 0) + 1
            yield (
                account,
                Entry(
                    counts[account],
                    commit.block.height,
                    commit.block.time_ms,
                    transaction_id,
                    one.kind,
                    amount,
                    balance,
                    other,
                    one.memo_hash,
                    one.reference,
                    one.hold,
                ),
            )

"""Reads of the ledger, each as f + 1 validators have it: goods are given up and money counts by them."""

from __future__ import annotations

from collections.abc import Mapping

from icn.ledger.v1.state_pb2 import RECEIPT_STATUS_APPLIED
from icn_kit.block_clock import BlockClock
from icn_kit.errors import NotFound
from icn_kit.ledger_reads import LedgerReads

from icn_marketplace.usecases.ports import AccountSeen, PaymentSeen, PostingSeen

PAGE_SIZE = 500
"""Of entries; a block has some thousands at most."""


class ValidatorsLedger:
    """Implements `usecases.ports.Ledger` and `PaymentMemos`."""

    def __init__(self, ledger: LedgerReads) -> None:
        self._ledger = ledger

    async def account(self, account: bytes) -> AccountSeen:
        """See `Ledger`."""
        leaf = (await self._ledger.get_account(f"accounts/{account.hex()}")).account.leaf
        return AccountSeen(leaf.owner, leaf.unit)

    async def held_at(self, hold: bytes) -> int | None:
        """See `Ledger`."""
        try:
            return (await self._ledger.get_hold(f"holds/{hold.hex()}")).height
        except NotFound:
            return None

    async def postings(self, transaction_id: bytes) -> list[PostingSeen]:
        """See `Ledger`."""
        found = await self._ledger.get_transaction(f"transactions/{transaction_id.hex()}")
        if found.receipt.status != RECEIPT_STATUS_APPLIED:
            raise NotFound(
                "TRANSACTION_UNKNOWN",
                f"transaction {transaction_id.hex()} had no effect: {found.receipt.reason}",
                name=transaction_id.hex(),
            )
        return [
            PostingSeen(posting.account, posting.counter_account, posting.amount_minor)
            for posting in found.receipt.postings
        ]

    async def memos_of_entries(self, account: bytes, height: int) -> Mapping[bytes, PaymentSeen]:
        """See `PaymentMemos`."""
        seen: dict[bytes, PaymentSeen] = {}
        token = ""
        while True:
            page = await self._ledger.list_entries(f"accounts/{account.hex()}", PAGE_SIZE, token, height)
            for entry in page.entries:
                if entry.memo_hash:
                    is_debit = entry.posting.amount_minor < 0
                    source = account if is_debit else entry.posting.counter_account
                    seen[entry.memo_hash] = PaymentSeen(source, entry.block_time_ms)
            token = page.next_page_token
            if not token:
                return seen

    async def memo_of_order(self, order: bytes) -> bytes:
        """See `PaymentMemos`."""
        return (await self._ledger.get_order(f"orders/{order.hex()}")).order.ordered.memo_hash


class ClockOfBlocks:
    """Implements `usecases.ports.BlockTime`."""

    def __init__(self, clock: BlockClock) -> None:
        self._clock = clock

    async def now_ms(self) -> int:
        """See `BlockTime`."""
        return (await self._clock.now()).time_ms

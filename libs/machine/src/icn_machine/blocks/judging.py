"""Judging transactions whose signatures may not be verified yet.

A first round takes unverified signatures for good and notes them; then they are verified in one batch. Only
where one of them is not plainly valid does it take a second round. So the reason is always that of the first
rule that fails, and nothing is verified that an earlier rule refuses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from icn_machine.blocks.transaction_cache import TransactionCache
from icn_machine.messages import PLAINLY_VALID, SignatureVerdict, Transaction

Judged = TypeVar("Judged")


async def judged(cache: TransactionCache, judge: Callable[[Signatures], Awaitable[Judged]]) -> Judged:
    """What judging comes to: of the round whose signatures were all what it took them for."""
    signatures = Signatures(cache)
    while True:
        found = await judge(signatures)
        if await signatures.settle():
            return found


class Signatures:
    """The verdicts one request works with."""

    def __init__(self, cache: TransactionCache) -> None:
        self._cache = cache
        self._pending: list[tuple[Transaction, tuple[bytes, ...]]] = []

    def verdict_of(self, transaction: Transaction, keys: tuple[bytes, ...]) -> SignatureVerdict:
        """What `validity.judge` asks."""
        verdict = transaction.verdict_with(keys)
        if verdict is None:
            self._pending.append((transaction, keys))
            return PLAINLY_VALID
        return verdict

    async def settle(self) -> bool:
        """Verify what was taken for good; whether all of it was, so that what was judged stands.

        After False another round is due. It asks for no verdict that this one has reached, so rounds end.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return True
        await self._cache.verify_all(pending)
        return all(one.verdict_with(keys) == PLAINLY_VALID for one, keys in pending)

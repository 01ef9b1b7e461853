"""Judging transactions whose signatures may not be verified yet.

A first round takes unverified signatures for good and notes them; then they are verified in one batch. Only
where one of them is not plainly valid does it take a second round. So the reason is always that of the first
rule that fails, and nothing is verified that an earlier rule refuses.
"""

from __future__ import annotations

from collections.abc import Callable

from icn_ledger.domain.authority import public_keys
from icn_ledger.domain.messages import Transaction
from icn_ledger.domain.records import Controller
from icn_ledger.domain.validity import SignatureVerdict
from icn_ledger.usecases.transaction_cache import KnownTransaction, TransactionCache

PLAINLY_VALID = SignatureVerdict(True, 0)


class Signatures:
    """The verdicts one request works with."""

    def __init__(self, cache: TransactionCache) -> None:
        self._cache = cache
        self._pending: list[tuple[KnownTransaction, tuple[bytes, ...]]] = []

    def verdict_for(self, known: KnownTransaction) -> Callable[[Transaction, Controller], SignatureVerdict]:
        """How `validity.judge` asks about this transaction."""

        def verdict_of(transaction: Transaction, controller: Controller) -> SignatureVerdict:
            keys = public_keys(transaction, controller)
            verdict = known.verdict_with(keys)
            if verdict is None:
                self._pending.append((known, keys))
                return PLAINLY_VALID
            return verdict

        return verdict_of

    async def settle(self) -> bool:
        """Verify what was taken for good; whether all of it was, so that what was judged stands.

        After False another round is due. It asks for no verdict that this one has reached, so rounds end.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return True
        await self._cache.verify_all(pending)
        return all(known.verdict_with(keys) == PLAINLY_VALID for known, keys in pending)

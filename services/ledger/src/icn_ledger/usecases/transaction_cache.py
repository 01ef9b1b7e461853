"""Transactions that were read before: parsed once and their signatures verified once per node.

The same bytes come by up to four times: to the pool, into a proposal, to be validated, to be executed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from icn_chain.envelope import TRANSACTION_BYTES_MAX
from icn_crypto.ed25519 import Verdict
from icn_crypto.native import accelerator
from icn_crypto.suites import SignedItem, verdict_batch

from icn_ledger.domain.messages import Transaction
from icn_ledger.domain.parsing import parse_transaction
from icn_ledger.domain.refusals import Malformed
from icn_ledger.domain.validity import SignatureVerdict

TRANSACTIONS_MAX = 65_536
"""What a busy zone commits in half a minute."""
CACHED_BYTES_MAX = 64 * 1024 * 1024
"""Of transactions as received; with what was parsed of them they take about five times as much."""
SIGNATURES_PER_BATCH_MAX = 1_024
"""About 12 ms on a thread with the native module."""
SIGNATURES_PER_SLICE = 16
"""About 1 ms between two turns of the event loop without it."""

Verifier = Callable[[Sequence[SignedItem]], Awaitable[list[Verdict]]]


async def verify_signatures(items: Sequence[SignedItem]) -> list[Verdict]:
    """Verify signatures without holding up the event loop.

    The native module verifies a batch on a thread with the interpreter free. PyNaCl frees it once per
    signature and then waits up to a switch interval (5 ms) to get it back from a busy loop: slices on the
    loop itself are faster.
    """
    verdicts: list[Verdict] = []
    if accelerator is not None:
        for start in range(0, len(items), SIGNATURES_PER_BATCH_MAX):
            verdicts += await asyncio.to_thread(
                verdict_batch, items[start : start + SIGNATURES_PER_BATCH_MAX]
            )
        return verdicts
    for start in range(0, len(items), SIGNATURES_PER_SLICE):
        verdicts += verdict_batch(items[start : start + SIGNATURES_PER_SLICE])
        await asyncio.sleep(0)
    return verdicts


@dataclass(slots=True, eq=False)
class KnownTransaction:
    """A parsed transaction and what verification said of its signatures."""

    transaction: Transaction
    verdict: SignatureVerdict | None = None
    verified_with: tuple[bytes, ...] = ()
    """Public keys behind the verdict. A key id is a short hash, so the verdict speaks of these keys only."""

    def verdict_with(self, keys: tuple[bytes, ...]) -> SignatureVerdict | None:
        """The verdict with these public keys, None when it was not reached yet."""
        return self.verdict if self.verified_with == keys else None


@dataclass(slots=True)
class TransactionCache:
    """Parsed transactions by their bytes, the least recently used forgotten first."""

    genesis_hash: bytes
    verify: Verifier = verify_signatures
    transactions_max: int = TRANSACTIONS_MAX
    bytes_max: int = CACHED_BYTES_MAX
    _entries: dict[bytes, KnownTransaction] = field(default_factory=dict)
    _size_bytes: int = 0
    _under_way: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    """Verification by the identity of the known transaction, so that two requests do not verify the same."""

    def read(self, data: bytes) -> KnownTransaction:
        """The transaction of these bytes.

        Raises:
            Malformed: validity rule 1; nothing is remembered of such bytes.
        """
        if len(data) > TRANSACTION_BYTES_MAX:
            raise Malformed(f"a transaction of {len(data)} bytes, at most {TRANSACTION_BYTES_MAX}")
        known = self._entries.pop(data, None)
        if known is None:
            known = KnownTransaction(parse_transaction(data, self.genesis_hash))
            self._size_bytes += len(data)
            self._entries[data] = known
            while len(self._entries) > self.transactions_max or self._size_bytes > self.bytes_max:
                oldest = next(iter(self._entries))
                del self._entries[oldest]
                self._size_bytes -= len(oldest)
        else:
            self._entries[data] = known
        return known

    async def verify_all(self, wanted: Sequence[tuple[KnownTransaction, tuple[bytes, ...]]]) -> None:
        """Reach a verdict on each transaction with these public keys, one per signature.

        Waits for those under way elsewhere, which might be with other keys: then no verdict was reached here.
        """
        fresh: dict[int, tuple[KnownTransaction, tuple[bytes, ...]]] = {}
        awaited: set[asyncio.Task[None]] = set()
        for known, keys in wanted:
            if known.verdict_with(keys) is not None:
                continue
            task = self._under_way.get(id(known))
            if task is None:
                fresh[id(known)] = (known, keys)
            else:
                awaited.add(task)
        if fresh:
            task = asyncio.create_task(self._verify(list(fresh.values())))
            for identity in fresh:
                self._under_way[identity] = task
            awaited.add(task)
        for task in awaited:
            await asyncio.shield(task)  # a caller that gives up must not stop it for the others

    async def _verify(self, wanted: Sequence[tuple[KnownTransaction, tuple[bytes, ...]]]) -> None:
        try:
            items: list[SignedItem] = []
            for known, keys in wanted:
                transaction = known.transaction
                preimage = transaction.signing_preimage(self.genesis_hash)
                for signature, public_key in zip(transaction.signatures, keys, strict=True):
                    items.append((signature.suite, public_key, preimage, signature.signature))
            verdicts = await self.verify(items)
            position = 0
            for known, keys in wanted:
                mine = verdicts[position : position + len(keys)]
                position += len(keys)
                known.verdict = SignatureVerdict(
                    Verdict.INVALID not in mine, mine.count(Verdict.COFACTORED_ONLY)
                )
                known.verified_with = keys
        finally:
            for known, _ in wanted:
                self._under_way.pop(id(known), None)

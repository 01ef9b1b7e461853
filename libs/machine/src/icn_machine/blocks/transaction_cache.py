"""Transactions that were read before: parsed once and their signatures verified once per node.

The same bytes come by up to four times: to the pool, into a proposal, to be validated, to be executed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from icn_chain.envelope import TRANSACTION_BYTES_MAX
from icn_crypto.ed25519 import Verdict
from icn_crypto.native import accelerator
from icn_crypto.suites import SignedItem, verdict_batch

from icn_machine.messages import PLAINLY_VALID, SignatureVerdict, Transaction
from icn_machine.parsing import parse_transaction
from icn_machine.refusals import Malformed

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


@dataclass(slots=True)
class TransactionCache:
    """Parsed transactions by their bytes, the least recently used forgotten first."""

    genesis_hash: bytes
    verify: Verifier = verify_signatures
    transactions_max: int = TRANSACTIONS_MAX
    bytes_max: int = CACHED_BYTES_MAX
    _entries: dict[bytes, Transaction] = field(default_factory=dict)
    _size_bytes: int = 0
    _under_way: dict[Transaction, asyncio.Task[None]] = field(default_factory=dict)
    """So that two requests do not verify the same."""

    def read(self, data: bytes) -> Transaction:
        """The transaction of these bytes.

        Raises:
            Malformed: validity rule 1; nothing is remembered of such bytes.
        """
        if len(data) > TRANSACTION_BYTES_MAX:
            raise Malformed(f"a transaction of {len(data)} bytes, at most {TRANSACTION_BYTES_MAX}")
        known = self._entries.pop(data, None)
        if known is None:
            known = parse_transaction(data, self.genesis_hash)
            self._size_bytes += len(data)
            self._entries[data] = known
            while len(self._entries) > self.transactions_max or self._size_bytes > self.bytes_max:
                oldest = next(iter(self._entries))
                del self._entries[oldest]
                self._size_bytes -= len(oldest)
        else:
            self._entries[data] = known
        return known

    async def verify_all(self, wanted: Sequence[tuple[Transaction, tuple[bytes, ...]]]) -> None:
        """Reach a verdict on each transaction with these public keys, one per signature.

        Waits for those under way elsewhere, which might be with other keys: then no verdict was reached here.
        """
        fresh: dict[Transaction, tuple[bytes, ...]] = {}
        awaited: set[asyncio.Task[None]] = set()
        for transaction, keys in wanted:
            if transaction.verdict_with(keys) is not None:
                continue
            task = self._under_way.get(transaction)
            if task is None:
                fresh[transaction] = keys
            else:
                awaited.add(task)
        if fresh:
            task = asyncio.create_task(self._verify(fresh))
            self._under_way.update(dict.fromkeys(fresh, task))
            awaited.add(task)
        for task in awaited:
            await asyncio.shield(task)  # a caller that gives up must not stop it for the others

    async def _verify(self, wanted: Mapping[Transaction, tuple[bytes, ...]]) -> None:
        try:
            items: list[SignedItem] = []
            for transaction, keys in wanted.items():
                preimage = transaction.signing_preimage(self.genesis_hash)
                for (suite, _, signature), key in zip(transaction.signatures, keys, strict=True):
                    items.append((suite, key, preimage, signature))
            verdicts = await self.verify(items)
            if verdicts.count(Verdict.VALID) == len(items):
                for transaction, keys in wanted.items():
                    transaction.verdict = PLAINLY_VALID
                    transaction.verified_with = keys
                return
            position = 0
            for transaction, keys in wanted.items():
                mine = verdicts[position : position + len(keys)]
                position += len(keys)
                transaction.verdict = _verdict_on_all(mine)
                transaction.verified_with = keys
        finally:
            for transaction in wanted:
                self._under_way.pop(transaction, None)


def _verdict_on_all(verdicts: Sequence[Verdict]) -> SignatureVerdict:
    if verdicts.count(Verdict.VALID) == len(verdicts):
        return PLAINLY_VALID
    return SignatureVerdict(Verdict.INVALID not in verdicts, verdicts.count(Verdict.COFACTORED_ONLY))

"""Sealed memos of payments.

To bring one needs no signature: the ledger has its hash, so that nobody can bring another one, or one that no
payment has. Source: docs/spec/memo.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from icn_crypto.sealed_memo import MEDIA_TYPE, MemoBroken, memo_key_ids
from icn_kit.blobs import BlobStore
from icn_kit.errors import InvalidArgument, NotFound

from icn_marketplace.usecases.ports import PaymentMemos


@dataclass(frozen=True, slots=True)
class Memos:
    """The memos that are kept here."""

    ledger: PaymentMemos
    blobs: BlobStore

    async def keep_of_entry(self, account: bytes, height: int, content: bytes) -> str:
        """Keep the memo of an entry of an account in a block; its name, the SHA-256 in hex.

        Raises:
            InvalidArgument: MEMO_MALFORMED.
            NotFound: ACCOUNT_UNKNOWN; PAYMENT_UNKNOWN, none there has this memo.
            ResourceExhausted: BLOB_QUOTA_EXCEEDED, of the account that pays in the month of the payment.
            Unavailable: too few validators have executed the block, or answer alike.
        """
        digest = _digest(content)
        if await self.get(digest) is not None:
            return digest.hex()
        seen = (await self.ledger.memos_of_entries(account, height)).get(digest)
        if seen is None:
            raise _no_payment(f"accounts/{account.hex()} at height {height}", digest)
        month = datetime.fromtimestamp(seen.block_time_ms / 1_000, UTC).strftime("%Y-%m")
        return await self._keep(f"accounts/{seen.source.hex()}/memos/{month}", content)

    async def keep_of_order(self, order: bytes, content: bytes) -> str:
        """Keep the memo of an open order, which its payments will have; its name, the SHA-256 in hex.

        Raises:
            as `keep_of_entry`; NotFound: ORDER_UNKNOWN.
        """
        digest = _digest(content)
        if await self.get(digest) is not None:
            return digest.hex()
        name = f"orders/{order.hex()}"
        if digest != await self.ledger.memo_of_order(order):
            raise _no_payment(name, digest)
        return await self._keep(name, content)

    async def get(self, digest: bytes) -> bytes | None:
        """A sealed memo by its SHA-256; None where it is not there, or was forgotten."""
        return (await self.blobs.get_several([digest], MEDIA_TYPE)).get(digest)

    async def list(self, digests: Sequence[bytes]) -> list[bytes]:
        """Those of the memos that are there, in order."""
        found = await self.blobs.get_several(digests, MEDIA_TYPE)
        return [found[digest] for digest in digests if digest in found]

    async def _keep(self, subject: str, content: bytes) -> str:
        """Each month of an account, and each order, is sealed apart, so that it can be forgotten."""
        return await self.blobs.put(content, MEDIA_TYPE, subject)


def _digest(content: bytes) -> bytes:
    try:
        memo_key_ids(content)
    except MemoBroken as error:
        raise InvalidArgument("MEMO_MALFORMED", str(error)) from None
    return sha256(content).digest()


def _no_payment(where: str, digest: bytes) -> NotFound:
    return NotFound("PAYMENT_UNKNOWN", f"{where}: no payment has the memo {digest.hex()}", memo=digest.hex())

"""A lease on NATS: one of several processes does something, and another goes on when it dies.

It saves work, it does not keep anybody out: a process that was asleep may believe for a moment that it
still holds it. What must not happen twice needs a fence of its own (the relay's is the sequence that each
batch must follow).
Source: docs/spec/events.md, "Streams"; docs/adr/0005.
"""

from __future__ import annotations

import asyncio
import contextlib

from nats.js import api
from nats.js.errors import (
    BucketNotFoundError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    NoStreamResponseError,
)
from nats.js.kv import KeyValue

from icn_kit.bus import BUS_FAILURES, Bus, check_not_cancelled

LEASE_SECONDS = 4.0
"""How long a lease outlives its holder."""
RENEW_SECONDS = 1.25
"""Two renewals may get lost."""
RETRY_SECONDS = 1.0
"""With LEASE_SECONDS: somebody else has it within five seconds."""

_BUCKET = "icn_leases"


class LeaseLost(Exception):
    """Somebody else may hold the lease by now."""


class Lease:
    """One holder's view of the lease ``name`` (letters, digits, ``.``, ``_``, ``-``); its entry shows the
    name of the bus' process."""

    def __init__(self, bus: Bus, name: str) -> None:
        self._bus = bus
        self._name = name
        self._bucket: KeyValue | None = None
        self._revision = 0
        self._renewed_at = 0.0

    async def acquire(self) -> bool:
        """Take the lease if nobody holds it.

        Raises:
            BUS_FAILURES, Unavailable: NATS does not answer.
        """
        asked_at = asyncio.get_running_loop().time()
        try:
            self._revision = await (await self._open()).create(self._name, self._bus.name.encode())
        except (KeyWrongLastSequenceError, KeyNotFoundError):
            return False  # not found: it ran out while the client looked who has it
        except NoStreamResponseError:
            self._bucket = None  # wiped: made anew by the next try
            return False
        self._renewed_at = asked_at
        return True

    async def renew_if_due(self) -> None:
        """Keep the lease; cheap unless RENEW_SECONDS have passed since the last renewal. Without one nothing
        is done.

        Raises:
            LeaseLost: somebody else has it, or NATS did not answer for LEASE_SECONDS.
        """
        if self._revision and asyncio.get_running_loop().time() - self._renewed_at >= RENEW_SECONDS:
            await self.renew()

    async def renew(self) -> None:
        """Keep the lease that was acquired. Raises as `renew_if_due`."""
        assert self._bucket is not None, "acquired first"
        now = asyncio.get_running_loop().time()
        try:
            self._revision = await self._bucket.update(
                self._name, self._bus.name.encode(), last=self._revision
            )
        except (KeyWrongLastSequenceError, NoStreamResponseError) as error:
            raise LeaseLost(self._name) from error
        except BUS_FAILURES as error:
            check_not_cancelled()
            if asyncio.get_running_loop().time() - self._renewed_at >= LEASE_SECONDS:
                raise LeaseLost(self._name) from error
            return
        self._renewed_at = now

    async def release(self) -> None:
        """Give it back, so that nobody has to wait until it runs out. Does nothing where it is lost
        already."""
        revision, self._revision = self._revision, 0
        if self._bucket is None or not self._bus.is_connected:
            return
        with contextlib.suppress(*BUS_FAILURES):
            await self._bucket.delete(self._name, last=revision)

    async def _open(self) -> KeyValue:
        if self._bucket is None:
            try:
                self._bucket = await self._bus.streams.key_value(_BUCKET)
            except BucketNotFoundError:
                self._bucket = await self._bus.streams.create_key_value(
                    api.KeyValueConfig(bucket=_BUCKET, ttl=LEASE_SECONDS, storage=api.StorageType.MEMORY)
                )
        return self._bucket

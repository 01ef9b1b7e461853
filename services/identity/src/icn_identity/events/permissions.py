"""The service's own memory of the tuples, and the checkpoints that let everybody answer for a height.

Source: docs/spec/identity.md, "Permission tuples".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from icn_kit.block_clock import BlockClock, BlockMoment
from icn_kit.bus import BUS_FAILURES, Bus, check_not_cancelled
from icn_kit.database import Database
from icn_kit.errors import DomainError
from icn_kit.inbox import is_level
from icn_kit.permission_projection import Permissions
from icn_kit.permissions import Verdict
from nats.js.errors import Error as JetStreamError

from icn_identity.metrics import CHECKPOINT_HEIGHT
from icn_identity.usecases.ports import Outboxes, UnitOfWork

CHECKPOINT_SECONDS: Final = 0.5
"""Between checkpoints while nothing changes and blocks come: a judgement elsewhere may have to wait as long.
One costs about 10 ms of CPU over all services."""
LOOK_SECONDS: Final = 0.05
"""Between two looks whether what the ledgers have is on the bus; their relay needs milliseconds."""
PUBLISHED_SECONDS_MAX: Final = 10.0
"""Then the ledgers are asked anew: one of them may have said what never comes."""
RETRY_SECONDS: Final = 0.5
REPORT_EVERY: Final = 120
"""About once a minute, as long as it lasts."""

LEDGER: Final = "ledger"
"""Whose events."""

_log = structlog.get_logger(__name__)


class OwnPermissions:
    """Implements `icn_identity.usecases.ports.PermissionMemory`."""

    def __init__(self, database: Database) -> None:
        self._permissions = Permissions(database)
        self._changed = asyncio.Event()

    @property
    def height(self) -> int:
        """See the port."""
        return self._permissions.replica.height

    @property
    def is_changed(self) -> bool:
        """Whether a tuple may have changed since `settle`."""
        return self._changed.is_set()

    def check(self, subject: str, relation: str, object_: str, height: int) -> Verdict:
        """See the port."""
        return self._permissions.replica.check(subject, relation, object_, height)

    async def take_in(self) -> None:
        """See the port."""
        await self.load()
        self._changed.set()

    async def load(self) -> None:
        """Take in what was committed."""
        await self._permissions.load()

    def settle(self) -> None:
        """What was taken in so far is covered by the checkpoint to come."""
        self._changed.clear()

    async def wait_for_change(self, seconds: float) -> None:
        """Return when a tuple has changed, or after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return


class Checkpoints:
    """Publishes checkpoints as blocks come, each for a height of which all events are known to be handled."""

    def __init__(
        self,
        unit_of_work: Callable[[], UnitOfWork],
        bus: Bus,
        blocks: BlockClock,
        permissions: OwnPermissions,
        outboxes: Outboxes,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._bus = bus
        self._blocks = blocks
        self._permissions = permissions
        self._outboxes = outboxes

    async def run(self, consumer: str) -> None:
        """For ever; ``consumer`` is what takes the memberships."""
        reached = self._permissions.height
        failures = 0
        while True:
            # What changes from here on is told by another checkpoint, without the wait below.
            self._permissions.settle()
            moment = await self._blocks.wait_for_height(reached + 1)
            try:
                if await self._is_published(moment.height) and await is_level(self._bus, LEDGER, consumer):
                    reached = await self._publish(moment)
                    failures = 0
                    await self._permissions.wait_for_change(CHECKPOINT_SECONDS)
                    continue
            except (DomainError, JetStreamError, *BUS_FAILURES) as error:
                check_not_cancelled()
                failures += 1
                if failures % REPORT_EVERY == 1:
                    _log.info("no checkpoint", height=moment.height, error=str(error))
            await asyncio.sleep(RETRY_SECONDS)

    async def _is_published(self, height: int) -> bool:
        """Wait until the stream has every event up to ``height`` that f + 1 validators have: one of them is
        honest. False when it does not come in time, or too few answer."""
        ends = [end for end in await self._outboxes.ends() if end.height >= height]
        looking_until = asyncio.get_running_loop().time() + PUBLISHED_SECONDS_MAX
        while len(ends) >= self._outboxes.needed:
            newest = await self._bus.newest_event(LEDGER)
            if sum(end.is_passed(newest) for end in ends) >= self._outboxes.needed:
                return True
            if asyncio.get_running_loop().time() >= looking_until:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return False

    async def _publish(self, moment: BlockMoment) -> int:
        """Settle the offices and publish the checkpoint; the height reached."""
        uow = self._unit_of_work()
        async with uow:
            reached = await uow.tuples.lock()
            if moment.height > reached:
                await uow.tuples.settle_offices(moment.time_ms, moment.height)
                await uow.tuples.reach(moment.height)
                await uow.commit()
        await self._permissions.load()
        CHECKPOINT_HEIGHT.set(self._permissions.height)
        return self._permissions.height

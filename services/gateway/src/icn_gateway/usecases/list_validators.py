"""Where every validator stands, asked at most once in a while however many pages watch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic

from icn_kit.validators import ValidatorReport

from icn_gateway.usecases.ports import ValidatorStatuses

STATUS_SECONDS = 0.5
"""How old an answer may be that is given to several askers; a block takes about as long."""


class ValidatorWatch:
    """Shares one round of questions among everybody who asks meanwhile."""

    def __init__(self, statuses: ValidatorStatuses, clock: Callable[[], float] = monotonic) -> None:
        self._statuses = statuses
        self._clock = clock
        self._reports: Sequence[ValidatorReport] = ()
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[Sequence[ValidatorReport]] | None = None

    async def list_validators(self) -> Sequence[ValidatorReport]:
        """One report per validator, by seat, not older than STATUS_SECONDS."""
        if self._clock() - self._asked_at < STATUS_SECONDS:
            return self._reports
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(), name="validator statuses")
        # An asker that leaves must not take the answer away from the others.
        return await asyncio.shield(self._asking)

    async def _ask(self) -> Sequence[ValidatorReport]:
        try:
            self._reports = await self._statuses.read_statuses()
            self._asked_at = self._clock()
            return self._reports
        finally:
            self._asking = None

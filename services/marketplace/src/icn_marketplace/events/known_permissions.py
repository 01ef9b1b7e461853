"""Who is what, from this service's copy of the permission tuples."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from icn_kit.block_clock import BlockClock
from icn_kit.permission_projection import Permissions as Projection
from icn_kit.permissions import HeightNotReached

CATCH_UP_SECONDS = 3.0
"""How long a refusal waits for tuples of blocks that were executed before it: events take well under a
second."""


class KnownPermissions:
    """Implements `usecases.ports.Permissions`."""

    def __init__(self, projection: Projection, clock: BlockClock) -> None:
        self._projection = projection
        self._clock = clock

    def is_related(self, principal: bytes, relations: Sequence[str], organization: bytes) -> bool:
        """See `Permissions`."""
        replica = self._projection.replica
        subject, object_ = f"principals/{principal.hex()}", f"organizations/{organization.hex()}"
        return any(
            replica.check(subject, relation, object_, replica.height).is_allowed for relation in relations
        )

    async def catch_up(self) -> bool:
        """See `Permissions`."""
        newest, reached = self._clock.newest, self._projection.replica.height
        if newest is None or newest.height <= reached:
            return False
        with contextlib.suppress(HeightNotReached):
            await self._projection.wait_for(newest.height, CATCH_UP_SECONDS)
        return self._projection.replica.height > reached

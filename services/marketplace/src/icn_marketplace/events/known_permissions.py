"""Who is what, from this service's copy of the permission tuples."""

from __future__ import annotations

from collections.abc import Sequence

from icn_kit.block_clock import BlockClock
from icn_kit.permission_projection import Permissions as Projection

CATCH_UP_SECONDS = 3.0
"""How long a judgement waits for the tuples of blocks that were executed before it: checkpoints come within a
second (docs/spec/identity.md)."""


class KnownPermissions:
    """Implements `usecases.ports.Permissions`."""

    def __init__(self, projection: Projection, clock: BlockClock) -> None:
        self._projection = projection
        self._clock = clock

    def newest_height(self) -> int:
        """See `Permissions`."""
        newest, reached = self._clock.newest, self._projection.replica.height
        return reached + 1 if newest is None else max(newest.height, reached)

    def is_related(
        self, principal: bytes, relations: Sequence[str], organization: bytes, height: int
    ) -> bool:
        """See `Permissions`."""
        subject, object_ = f"principals/{principal.hex()}", f"organizations/{organization.hex()}"
        return any(
            self._projection.replica.check(subject, relation, object_, height).is_allowed
            for relation in relations
        )

    async def wait_for(self, height: int) -> None:
        """See `Permissions`."""
        await self._projection.wait_for(height, CATCH_UP_SECONDS)

"""A refusal waits until what may allow it is known here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from icn_kit.errors import PermissionDenied

from icn_marketplace.usecases.ports import Permissions

T = TypeVar("T")


async def with_newest_permissions(work: Callable[[], Awaitable[T]], permissions: Permissions) -> T:
    """Do ``work``; if somebody may not, do it once more when tuples of blocks already executed have arrived.

    Raises:
        PermissionDenied: of the second try, or of the first when nothing more came to be known.
    """
    try:
        return await work()
    except PermissionDenied:
        if not await permissions.catch_up():
            raise
    return await work()

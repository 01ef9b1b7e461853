"""A command is judged by the permissions of the newest block, and waits for them within reason.

Source: docs/spec/marketplace.md, "Who may"; docs/spec/permissions.md, "Evaluation".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from icn_kit.errors import PermissionDenied
from icn_kit.permissions import HeightNotReached

from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.permissions import PermissionsAt

T = TypeVar("T")

REFUSAL_SECONDS = 0.25
"""How long a refusal waits for another block: a validator that is ahead may have told of it already."""


async def with_newest_permissions(work: Callable[[Context], Awaitable[T]], context: Context) -> T:
    """Do ``work`` with the permissions of the newest block known; who may not by them is judged again when
    a block comes meanwhile.

    Raises:
        HeightNotReached: something had to be judged, and the permissions of that block did not come in time.
        PermissionDenied: of the last try.
    """
    source = context.permissions.source
    first = PermissionsAt(source, source.newest_height())
    try:
        return await _patiently(first, work, context)
    except PermissionDenied:
        if first.judged_at is None:
            raise
        await asyncio.sleep(REFUSAL_SECONDS)
        second = PermissionsAt(source, source.newest_height())
        if second.height == first.height:
            raise
    return await _patiently(second, work, context)


async def _patiently(
    permissions: PermissionsAt, work: Callable[[Context], Awaitable[T]], context: Context
) -> T:
    judged = replace(context, permissions=permissions)
    try:
        return await work(judged)
    except HeightNotReached:
        # Outside of the transaction, which holds locks that others wait for.
        await permissions.source.wait_for(permissions.height)
    return await work(judged)

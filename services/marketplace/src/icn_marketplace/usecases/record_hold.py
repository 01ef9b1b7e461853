"""What events of the ledger say of holds, each in the transaction that remembers the event."""

from __future__ import annotations

from icn_marketplace.domain.agreement import Hold
from icn_marketplace.usecases.announce import Announcer
from icn_marketplace.usecases.ports import UnitOfWork
from icn_marketplace.usecases.record_progress import record_observation


async def record_hold_placed(uow: UnitOfWork, hold: Hold) -> None:
    """A hold was placed; nothing follows yet, the agreement may even come later."""
    await uow.holds.place(hold)


async def record_hold_captured(
    uow: UnitOfWork, hold: bytes, amount_minor: int, block_time_ms: int, announcer: Announcer
) -> None:
    """Part or all of a hold was captured."""
    if await uow.holds.capture(hold, amount_minor, block_time_ms):
        await _look(uow, hold, block_time_ms, announcer)


async def record_hold_released(
    uow: UnitOfWork, hold: bytes, block_time_ms: int, announcer: Announcer, *, is_expired: bool
) -> None:
    """A hold ended with something left; at ``block_time_ms`` at the earliest."""
    if await uow.holds.release(hold, is_expired):
        await _look(uow, hold, block_time_ms, announcer)


async def _look(uow: UnitOfWork, payment: bytes, block_time_ms: int, announcer: Announcer) -> None:
    seen = await uow.agreements.lock_by_payment(payment)
    if seen is not None:  # else the receiver's command comes later, or never: then the hold pays for nothing
        await record_observation(uow, seen.agreement, seen.hold, block_time_ms, announcer)

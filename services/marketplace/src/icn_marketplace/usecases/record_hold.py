"""What events of the ledger say of holds, each in the transaction that remembers the event."""

from __future__ import annotations

from icn_marketplace.domain.agreement import AgreementState, Hold, next_look_ms
from icn_marketplace.usecases.announce import Announcer
from icn_marketplace.usecases.ports import UnitOfWork
from icn_marketplace.usecases.record_progress import record_observation


async def record_hold_placed(uow: UnitOfWork, hold: Hold) -> None:
    """A hold was placed; nothing follows but that it is not awaited any more. The agreement may even come
    later."""
    if await uow.holds.place(hold):
        await _look_later(uow, hold.hold)


async def record_hold_captured(
    uow: UnitOfWork, hold: bytes, amount_minor: int, block_time_ms: int, announcer: Announcer
) -> None:
    """Part or all of a hold was captured."""
    if await uow.holds.capture(hold, amount_minor, block_time_ms):
        await _look(uow, hold, block_time_ms, announcer)


async def record_hold_released(
    uow: UnitOfWork, hold: bytes, block_time_ms: int, announcer: Announcer, *, is_expired: bool
) -> None:
    """A hold ended with something left; at ``block_time_ms`` at the earliest. A void says nothing of the
    time: what follows from it is left to the next look at what is due."""
    if not await uow.holds.release(hold, is_expired):
        return
    if is_expired:
        await _look(uow, hold, block_time_ms, announcer)
    else:
        await _look_later(uow, hold)


async def _look_later(uow: UnitOfWork, payment: bytes) -> None:
    seen = await uow.agreements.lock_by_payment(payment)
    if seen is not None and seen.agreement.state is AgreementState.OPEN:
        await uow.agreements.look_at(seen.agreement.agreement, next_look_ms(*seen))


async def _look(uow: UnitOfWork, payment: bytes, block_time_ms: int, announcer: Announcer) -> None:
    seen = await uow.agreements.lock_by_payment(payment)
    if seen is not None:  # else the receiver's command comes later, or never: then the hold pays for nothing
        await record_observation(uow, seen.agreement, seen.hold, block_time_ms, announcer)

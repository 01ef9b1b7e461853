"""Moves an agreement by what was seen of its hold and of block time, with everything that follows from it."""

from __future__ import annotations

from icn_marketplace.domain.agreement import (
    Agreement,
    AgreementState,
    Evidence,
    Hold,
    Progress,
    next_look_ms,
    observe,
)
from icn_marketplace.usecases.announce import Announcer
from icn_marketplace.usecases.ports import UnitOfWork


async def record_observation(
    uow: UnitOfWork,
    agreement: Agreement,
    hold: Hold | None,
    block_time_ms: int,
    announcer: Announcer,
    *,
    is_absence_certain: bool = False,
    before: Agreement | None = None,
    told: tuple[Evidence, ...] = (),
) -> Agreement:
    """The agreement as it stands after the look, kept and told.

    Args:
        before: as it is stored, where the caller has changed ``agreement`` itself; by default ``agreement``.
        told: evidence that follows from the caller's change.
    """
    stored = before or agreement
    progress = observe(agreement, hold, block_time_ms, is_absence_certain=is_absence_certain)
    if progress.agreement != stored:
        await keep_progress(uow, progress, stored, announcer, told)
        if progress.agreement.state is AgreementState.OPEN:
            look_ms = next_look_ms(progress.agreement, hold)
            await uow.agreements.look_at(progress.agreement.agreement, look_ms)
    return progress.agreement


async def keep_progress(
    uow: UnitOfWork,
    progress: Progress,
    stored: Agreement,
    announcer: Announcer,
    told: tuple[Evidence, ...] = (),
) -> None:
    """Keep what changed and tell it."""
    after = progress.agreement
    await uow.agreements.change(after)
    if progress.quantity_back:
        await uow.offers.give_back(after.offer, progress.quantity_back)
    await uow.outbox.add(
        *(announcer.commitment_ended(after, evidence) for evidence in (*told, *progress.evidence))
    )
    if (after.state, after.return_owed_minor) != (stored.state, stored.return_owed_minor):
        await uow.outbox.add(announcer.agreement_ended(after))

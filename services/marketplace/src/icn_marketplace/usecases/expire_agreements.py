"""Moves agreements whose time is up in block time.

Source: docs/spec/marketplace.md, "Agreement".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from icn_marketplace.domain.agreement import Agreement, Hold, is_another, needs_certainty, observe
from icn_marketplace.usecases.announce import Announcer
from icn_marketplace.usecases.ports import Ledger, LedgerEvents, UnitsOfWork
from icn_marketplace.usecases.record_progress import record_observation

DUE_MAX = 200
"""Agreements moved at once; the rest follow at once after them."""


class DueAgreements(Protocol):
    """Where agreements are found whose time is up."""

    async def due(
        self, block_time_ms: int, after: bytes, limit: int
    ) -> Sequence[tuple[Agreement, Hold | None]]:
        """Open agreements that block time has made due for a look, ascending by id, from behind ``after``."""
        ...


async def expire_agreements(
    block_time_ms: int,
    source: DueAgreements,
    units: UnitsOfWork,
    *,
    ledger: Ledger,
    events: LedgerEvents,
    announcer: Announcer,
) -> int:
    """Look at every agreement that is due; how many moved.

    Raises:
        DomainError: the ledger or the bus cannot be asked now; what moved before has moved.
    """
    moved = 0
    after = b""
    while page := await source.due(block_time_ms, after, DUE_MAX):
        after = page[-1][0].agreement
        doubtful = [seen for seen in page if needs_certainty(*seen, block_time_ms)]
        certain = await certainly_absent(doubtful, ledger, events)
        for agreement, hold in page:
            is_certain = agreement.payment in certain
            if observe(agreement, hold, block_time_ms, is_absence_certain=is_certain).agreement != agreement:
                moved += await _expire(agreement.agreement, block_time_ms, units, announcer, is_certain)
    return moved


async def certainly_absent(
    agreements: Sequence[tuple[Agreement, Hold | None]], ledger: Ledger, events: LedgerEvents
) -> set[bytes]:
    """Payments whose hold is not on the ledger, as far as events tell after the ledger was asked. A hold
    that differs is none, so that nobody keeps an agreement open by taking its id."""
    absent = {
        agreement.payment
        for agreement, hold in agreements
        if is_another(agreement, hold) or await ledger.held_at(agreement.payment) is None
    }
    return absent if absent and await events.is_level() else set()


async def _expire(
    identifier: bytes, block_time_ms: int, units: UnitsOfWork, announcer: Announcer, is_absence_certain: bool
) -> bool:
    async with units() as uow:
        seen = await uow.agreements.lock(identifier)
        assert seen is not None, "agreements never go"
        agreement, hold = seen
        after = await record_observation(
            uow,
            agreement,
            hold,
            block_time_ms,
            announcer,
            # An event that came since we asked says more than the absence.
            is_absence_certain=is_absence_certain and needs_certainty(agreement, hold, block_time_ms),
        )
        await uow.commit()
    return after != agreement

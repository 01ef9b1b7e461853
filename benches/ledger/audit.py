"""Verifying an archive, as `benches/audit.py` does it: transfers per CPU-second."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benches.audit import make, verify
from benches.ledger.worker import Figures, Measure
from libs.machine.tests.zone import make_zone

BLOCKS, TRANSFERS_PER_BLOCK, MEMBERS = 10, 1_000, 2_000


@asynccontextmanager
async def measuring() -> AsyncIterator[Measure]:
    """Figures of one verification."""
    zone = make_zone()
    archive = await make(zone, BLOCKS, TRANSFERS_PER_BLOCK, MEMBERS)

    async def measure() -> Figures:
        report, seconds = await verify(archive, zone)
        return {"rate": report.transfers / seconds}

    yield measure

"""Computes scores when evidence or seeds have changed, and keeps the newest of each dimension at hand.

Source: docs/spec/reputation.md, "Computation".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import structlog
from icn_kit.errors import ResourceExhausted, Unavailable
from icn_kit.trace import Trace, current_trace

from icn_reputation.domain.computation import PAIRS_MAX, Basis, Computed, compute
from icn_reputation.domain.dimensions import DIMENSIONS
from icn_reputation.metrics import COMPUTATION_SECONDS, COMPUTATIONS
from icn_reputation.usecases.ports import ComputationRow, ScoreReader, ScoreWriter

DEBOUNCE_SECONDS = 0.25
"""A settled order makes two pieces within this; both enter one computation."""
REST_FACTOR = 4
"""So many times its length passes after a computation before the next: it takes a fifth of a core at most."""
REST_SECONDS_MAX = 60.0
CHANGES_NAMED_MAX = 500
"""In an event: 500 of about 60 bytes stay far below an envelope's size."""
UNSEEN_SECONDS = (0.1, 0.5, 2.0, 5.0, 15.0, 40.0)
"""Looks again for a piece whose transaction was not committed when it was noticed; longer than an idle
transaction lives. What is not there then was rolled back, and its event comes again."""
RETRY_SECONDS = 2.0
"""When the database is away."""

_log = structlog.get_logger(__name__)


class ScoreStore(ScoreReader, ScoreWriter, Protocol):
    """Both sides of the store."""


class ScoreBook:
    """The newest computation of each dimension in memory, for explanations; made again from the evidence when
    it is not there or another one was stored since."""

    def __init__(self, reader: ScoreReader) -> None:
        self._reader = reader
        self._kept: dict[str, Computed] = {}
        self._computing = asyncio.Lock()
        """One at a time: each may take much memory."""

    async def computed(self, basis: Basis) -> Computed:
        """The computation of this basis.

        Raises:
            ResourceExhausted: EVIDENCE_TOO_LARGE, more than PAIRS_MAX pairs.
        """
        kept = self._kept.get(basis.dimension)
        if kept is not None and kept.basis == basis:
            return kept
        async with self._computing:
            kept = self._kept.get(basis.dimension)
            if kept is not None and kept.basis == basis:
                return kept
            begun_at = time.perf_counter()
            sums = await self._reader.pair_sums(basis, PAIRS_MAX + 1)
            if len(sums) > PAIRS_MAX:
                raise ResourceExhausted(
                    "EVIDENCE_TOO_LARGE",
                    f"{basis.dimension} has more than {PAIRS_MAX} pairs",
                    pairs_max=PAIRS_MAX,
                )
            found = await asyncio.to_thread(compute, basis, sums)
            COMPUTATION_SECONDS.labels(basis.dimension).observe(time.perf_counter() - begun_at)
            if kept is None or not basis.is_behind(kept.basis):
                self._kept[basis.dimension] = found
            return found


class Scorer:
    """Waits for changes, lets them gather, computes. Nothing changed: it sleeps.

    Args:
        configured: the settings' seeds, where there are some. founders: genesis' organizations.
    """

    def __init__(
        self, store: ScoreStore, book: ScoreBook, configured: Sequence[bytes], founders: Sequence[bytes]
    ) -> None:
        self._store = store
        self._book = book
        self._configured = configured
        self._founders = founders
        self._wanted: dict[str, int] = dict.fromkeys(DIMENSIONS, 0)
        """Dimension → the piece that a computation must have seen. All are looked at once after a start."""
        self._wanted_height = 0
        """Block of the newest change of a membership that seeds must have seen."""
        self._trace: Trace | None = None
        """Of the newest change, which the event of a computation continues."""
        self._changed = asyncio.Event()
        self._changed.set()

    def evidence_added(self, dimension: str, number: int) -> None:
        """A piece was written, by a transaction that may not be committed yet."""
        self._wanted[dimension] = max(number, self._wanted.get(dimension, 0))
        self._trace = current_trace.get()
        self._changed.set()

    def membership_changed(self, height: int) -> None:
        """Seeds may be others; as above."""
        self._wanted_height = max(height, self._wanted_height)
        for dimension in DIMENSIONS:
            self._wanted.setdefault(dimension, 0)
        self._trace = current_trace.get()
        self._changed.set()

    async def run(self) -> None:
        """Compute for ever, whatever happens to the database."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(DEBOUNCE_SECONDS)
            self._changed.clear()
            wanted, self._wanted = self._wanted, {}
            current_trace.set(self._trace)
            begun_at = time.perf_counter()
            for dimension, number in sorted(wanted.items()):
                try:
                    await self.compute(dimension, number)
                except Unavailable as error:
                    _log.warning("scores wait", dimension=dimension, error=str(error))
                    self.evidence_added(dimension, number)
                    await asyncio.sleep(RETRY_SECONDS)
                except ResourceExhausted as error:
                    COMPUTATIONS.labels(dimension, "refused").inc()
                    _log.critical("scores stay as they are", dimension=dimension, error=str(error))
            took_seconds = time.perf_counter() - begun_at
            await asyncio.sleep(min(REST_FACTOR * took_seconds, REST_SECONDS_MAX))

    async def compute(self, dimension: str, number: int) -> None:
        """Bring one dimension's scores up to its evidence and seeds, where they are not.

        Raises:
            Unavailable: the database is away.
            ResourceExhausted: EVIDENCE_TOO_LARGE.
        """
        basis = await self._basis(dimension, number)
        known = await self._store.dimension(dimension)
        if known is not None and known.computation is not None and not basis.adds_to(known.computation.basis):
            COMPUTATIONS.labels(dimension, "unneeded").inc()
            return
        computed = await self._book.computed(basis)
        row = ComputationRow(basis, computed.members, computed.pairs)
        rounded = await asyncio.to_thread(computed.rounded)
        changes = await self._store.store(row, rounded, CHANGES_NAMED_MAX)
        COMPUTATIONS.labels(dimension, "overtaken" if changes is None else "stored").inc()

    async def _basis(self, dimension: str, number: int) -> Basis:
        """With the piece of that number and all memberships, unless they were rolled back."""
        for wait_seconds in (*UNSEEN_SECONDS, None):
            has_seeds = await self._store.memberships_height() >= self._wanted_height
            basis = await self._store.basis(dimension, self._configured, self._founders)
            if (has_seeds and basis.evidence_count >= number) or wait_seconds is None:
                return basis
            await asyncio.sleep(wait_seconds)
        raise AssertionError("the last round returns")

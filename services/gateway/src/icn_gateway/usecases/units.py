"""Units by id: amounts are shown with the scale and code of theirs."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from icn.ledger.v1.state_pb2 import UnitLeaf

from icn_gateway.usecases.ports import LedgerReader

UNITS_KEPT_MAX = 4_096
"""Under 1 MB. What is shown of a unit never changes (docs/spec/transaction.md has no message that could)."""


class UnitCatalog:
    """Asks the ledger for each unit once."""

    def __init__(self, ledger: LedgerReader, kept_max: int = UNITS_KEPT_MAX) -> None:
        self._ledger = ledger
        self._kept_max = kept_max
        self._units: OrderedDict[bytes, UnitLeaf] = OrderedDict()

    async def get(self, unit: bytes) -> UnitLeaf:
        """One unit.

        Raises:
            DomainError: as the ledger refuses.
        """
        known = self._units.get(unit)
        if known is not None:
            self._units.move_to_end(unit)
            return known
        response = await self._ledger.get_unit(f"units/{unit.hex()}")
        self._units[unit] = response.unit
        if len(self._units) > self._kept_max:
            self._units.popitem(last=False)
        return response.unit

    async def get_many(self, units: Iterable[bytes]) -> Mapping[bytes, UnitLeaf]:
        """Each of ``units``; a page of accounts has at most as many as it has rows."""
        distinct = sorted(set(units))
        found = await asyncio.gather(*(self.get(unit) for unit in distinct))
        return dict(zip(distinct, found, strict=True))

"""What the front page shows, as far as it can be read now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from icn.ledger.v1.service_pb2 import BlockSummary
from icn.ledger.v1.state_pb2 import UnitLeaf
from icn_kit.errors import DomainError
from icn_kit.validators import ValidatorReport

from icn_gateway.usecases.list_validators import ValidatorWatch
from icn_gateway.usecases.ports import LedgerReader
from icn_gateway.usecases.read_accounts import AccountPage, list_accounts
from icn_gateway.usecases.units import UnitCatalog

ACCOUNTS_SHOWN = 50
UNITS_SHOWN = 50
BLOCKS_SHOWN = 8
"""Together they fit a phone without tiring it."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The zone at a glance."""

    validators: Sequence[ValidatorReport]
    accounts: AccountPage | None
    units: Sequence[UnitLeaf]
    blocks: Sequence[BlockSummary]
    fault: DomainError | None
    """Why the ledger could not be read; the page then shows the validators only."""

    @property
    def final_height(self) -> int:
        """The highest final block that any validator tells of."""
        return max((report.status.final_height for report in self.validators if report.status), default=0)

    @property
    def reachable(self) -> int:
        """How many validators answered."""
        return sum(report.status is not None for report in self.validators)


async def get_overview(
    page_token: str, ledger: LedgerReader, units: UnitCatalog, validators: ValidatorWatch
) -> Overview:
    """Ask for everything at once. ``page_token`` turns the page of accounts.

    Raises:
        InvalidArgument: the page token is none of the ledger's.
    """
    reports = await validators.list_validators()
    try:
        accounts, unit_page, block_page = await asyncio.gather(
            list_accounts("", ACCOUNTS_SHOWN, page_token, ledger, units),
            ledger.list_units(UNITS_SHOWN, ""),
            ledger.list_blocks(BLOCKS_SHOWN, ""),
        )
    except DomainError as fault:
        if fault.kind.name == "INVALID_ARGUMENT":
            raise
        return Overview(reports, None, (), (), fault)
    return Overview(reports, accounts, unit_page.units, block_page.blocks, None)

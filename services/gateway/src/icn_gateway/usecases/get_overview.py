"""What the front page shows of the chain itself, as far as it can be read now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from icn.ledger.v1.service_pb2 import BlockSummary
from icn_kit.errors import DomainError
from icn_kit.validators import ValidatorReport

from icn_gateway.usecases.list_validators import ValidatorWatch
from icn_gateway.usecases.ports import LedgerReader

BLOCKS_SHOWN = 6
"""They fit a phone without tiring it."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The zone at a glance."""

    validators: Sequence[ValidatorReport]
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


async def get_overview(ledger: LedgerReader, validators: ValidatorWatch) -> Overview:
    """Validators and the newest blocks."""
    reports = await validators.list_validators()
    try:
        page = await ledger.list_blocks(BLOCKS_SHOWN, "")
    except DomainError as fault:
        return Overview(reports, (), fault)
    return Overview(reports, page.blocks, None)

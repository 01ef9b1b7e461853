"""The golden chain over a real Postgres."""

from __future__ import annotations

import pytest
from icn_audit.contracts import InProcessContracts

from libs.machine.tests.golden_chain import (
    STORIES,
    committed_blocks,
    committed_roots,
    committed_zone,
    roots_line,
)
from libs.machine.tests.zone import Zone
from services.ledger.tests.conftest import OpenLedger


@pytest.mark.parametrize("name", STORIES)
async def test_postgres_comes_to_the_committed_roots(
    name: str, zone: Zone, open_ledger: OpenLedger, dsn: str
) -> None:
    assert zone.genesis.hash == committed_zone(name).genesis.hash
    committed = committed_roots(name).splitlines()
    async with open_ledger(dsn, InProcessContracts(zone.genesis.hash)) as ledger:
        for block, line in zip(committed_blocks(name), committed, strict=True):
            assert roots_line(await block.play(ledger)) == line
        assert ledger.halts == []

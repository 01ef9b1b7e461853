"""The golden chain over a real Postgres."""

from __future__ import annotations

from icn_audit.contracts import InProcessContracts

from libs.machine.tests.golden_chain import ROOTS, committed_blocks, committed_zone, roots_line
from libs.machine.tests.zone import Zone
from services.ledger.tests.conftest import OpenLedger


async def test_postgres_comes_to_the_committed_roots(zone: Zone, open_ledger: OpenLedger, dsn: str) -> None:
    assert zone.genesis.hash == committed_zone().genesis.hash
    committed = ROOTS.read_text("utf-8").splitlines()
    async with open_ledger(dsn, InProcessContracts(zone.genesis.hash)) as ledger:
        for block, line in zip(committed_blocks(), committed, strict=True):
            assert roots_line(await block.play(ledger)) == line
        assert ledger.halts == []

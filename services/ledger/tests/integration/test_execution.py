"""Executing blocks over a real Postgres: exactly once, whatever happens in between."""

from __future__ import annotations

from icn.ledger.v1.state_pb2 import RECEIPT_STATUS_APPLIED, Receipt

from services.ledger.tests.conftest import (
    OpenLedger,
    Zone,
    create_unit,
    identifier,
    open_account,
    open_controller,
    transfer,
)

UNIT = identifier("unit")
ANA, BEN = identifier("account of ana"), identifier("account of ben")


async def test_a_sale_on_credit_moves_both_balances(
    zone: Zone, open_ledger: OpenLedger, database_for
) -> None:
    shop = zone.organizations[0]
    ana, ben = zone.member("ana", shop), zone.member("ben", shop)
    async with open_ledger(database_for("icn_ledger")) as ledger:
        await ledger.execute(
            zone.transaction(shop, open_controller(ana), open_controller(ben)),
            zone.transaction(shop, create_unit(UNIT, floor_minor=-100)),
        )
        await ledger.execute(
            zone.transaction(ana, open_account(ANA, UNIT)), zone.transaction(ben, open_account(BEN, UNIT))
        )
        execution = await ledger.execute(zone.transaction(ana, transfer(ANA, BEN, 100)))
        receipt = Receipt.FromString(execution.outcomes[0][1])
        assert receipt.status == RECEIPT_STATUS_APPLIED
        assert [posting.balance_minor for posting in receipt.postings] == [-100, 100]
        assert ledger.halts == []

"""A shop and two members who trade, a block per transaction: what tests of execution start from."""

from __future__ import annotations

from typing import Any

from icn.ledger.v1 import transaction_pb2 as pb
from icn.ledger.v1.state_pb2 import RECEIPT_STATUS_APPLIED, RECEIPT_STATUS_REFUSED, Receipt
from icn_machine.events import Event
from icn_machine.records import TABLES, Account

from libs.machine.tests.zone import (
    Ledger,
    Member,
    Zone,
    create_unit,
    identifier,
    memory_ledger,
    open_account,
    open_controller,
)

UNIT, OTHER_UNIT = identifier("unit"), identifier("other unit")
ANA, BEN, OUT = identifier("account of ana"), identifier("account of ben"), identifier("outside")
HOLD = identifier("hold")


class Scene:
    """A shop, two members with an account each at a floor of −100, and blocks a second apart."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.ledger: Ledger = memory_ledger(zone)
        self.shop = zone.organizations[0]
        self.ana, self.ben = zone.member("ana", self.shop), zone.member("ben", self.shop)

    async def set_up(self) -> Scene:
        shop, ana, ben = self.shop, self.ana, self.ben
        await self.applied(shop, create_unit(UNIT, floor_minor=-100), create_unit(OTHER_UNIT))
        await self.applied(shop, open_controller(ana), open_controller(ben))
        await self.applied(ana, open_account(ANA, UNIT))
        await self.applied(ben, open_account(BEN, UNIT), open_account(OUT, OTHER_UNIT))
        return self

    @property
    def now_ms(self) -> int:
        """Block time of the next block."""
        return self.ledger.state.newest.time_ms + 1_000

    async def run(self, actor: Member, *messages: pb.Message, **changes: Any) -> Receipt:
        """A block of one transaction."""
        after_ms = changes.pop("after_ms", 1_000)
        time_ms = self.ledger.state.newest.time_ms + after_ms
        data = self.zone.transaction(actor, *messages, time_ms=time_ms, **changes)
        execution = await self.ledger.execute(data, after_ms=after_ms)
        return Receipt.FromString(execution.outcomes[0][1])

    async def applied(self, actor: Member, *messages: pb.Message, **changes: Any) -> Receipt:
        receipt = await self.run(actor, *messages, **changes)
        assert receipt.status == RECEIPT_STATUS_APPLIED, receipt
        assert (receipt.reason, receipt.message_index, list(receipt.figures)) == ("", 0, [])
        return receipt

    async def refused(
        self, reason: str, actor: Member, *messages: pb.Message, **changes: Any
    ) -> dict[str, int]:
        """The figures of a refusal, which must leave no trace but the sequence and the charge."""
        before = self.ledger.state.records[-1]
        receipt = await self.run(actor, *messages, **changes)
        after = self.ledger.state.records[-1]
        assert (receipt.status, receipt.reason) == (RECEIPT_STATUS_REFUSED, reason)
        assert not receipt.postings
        for table in TABLES.values():
            if table in ("controllers", "allowances"):
                continue
            now = {key: value for key, value in getattr(after, table).items() if value is not None}
            assert now == {key: value for key, value in getattr(before, table).items() if value is not None}
        return {figure.name: figure.value for figure in receipt.figures}

    async def block(self, *transactions: tuple[Member, list[pb.Message]], after_ms: int = 1_000) -> list[str]:
        """A block of several transactions, and the reason of each, empty where it took effect."""
        time_ms = self.ledger.state.newest.time_ms + after_ms
        signed = [self.zone.transaction(actor, *sent, time_ms=time_ms) for actor, sent in transactions]
        execution = await self.ledger.execute(*signed, after_ms=after_ms)
        return [Receipt.FromString(receipt).reason for _, receipt in execution.outcomes]

    def events(self) -> list[Event]:
        """What the newest block did."""
        return list(self.ledger.state.commits[-1].events)

    def account(self, account: bytes) -> Account:
        return self.ledger.state.records[-1].accounts[account]

    def balances(self) -> tuple[int, int]:
        return self.account(ANA).balance_minor, self.account(BEN).balance_minor

    def leaves_used(self) -> int:
        return self.ledger.state.records[-1].allowances[self.shop.principal].used_state_leaves

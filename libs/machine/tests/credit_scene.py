"""The scene of mutual credit: a mint, a fund, a third member, and what the newest block told and posted."""

from __future__ import annotations

from typing import Any, TypeVar

from icn_machine.entries import PostingKind
from icn_machine.events import Movement
from icn_machine.limits import NO_FLOOR
from icn_machine.records import AccountTerms, StandingOrder

from libs.machine.tests.credit_messages import set_unit_policy
from libs.machine.tests.scene import UNIT, Scene
from libs.machine.tests.zone import (
    identifier,
    make_zone,
    open_account,
    open_controller,
    set_floor,
    transfer,
)

MINT, FUND = identifier("mint"), identifier("account that may be a fund")
SAVINGS, CAY = identifier("further account of ana"), identifier("account of cay")
DAY_MS = 86_400_000
Told = TypeVar("Told")


class CreditScene(Scene):
    """The shop has a mint (its main account, without a floor) and a further account that may be a fund; Ana
    has a further account, Cay a main one."""

    async def set_up(self) -> CreditScene:
        await super().set_up()
        self.cay = self.zone.member("cay", self.shop)
        await self.applied(self.shop, open_account(MINT, UNIT), open_account(FUND, UNIT))
        await self.applied(self.shop, open_controller(self.cay), set_floor(MINT, NO_FLOOR))
        await self.applied(self.ana, open_account(SAVINGS, UNIT))
        await self.applied(self.cay, open_account(CAY, UNIT))
        return self

    async def give(self, account: bytes, amount_minor: int) -> None:
        """Let an account of the unit have something to spend."""
        await self.applied(self.shop, transfer(MINT, account, amount_minor))

    async def govern(self, **policy: Any) -> int:
        """Set the unit's policy; block time of that."""
        await self.applied(self.shop, set_unit_policy(UNIT, **policy))
        return self.time_ms

    async def until(self, time_ms: int) -> None:
        """An empty block of that time."""
        await self.ledger.execute(after_ms=time_ms - self.time_ms)

    @property
    def time_ms(self) -> int:
        """Block time of the newest block."""
        return self.ledger.state.newest.time_ms

    def told(self, kind: type[Told]) -> list[Told]:
        """Events of one kind of the newest block."""
        return [event for event in self.events() if isinstance(event, kind)]

    def posted(self) -> list[tuple[PostingKind, bytes, bytes, int]]:
        """Kind, source, destination and amount of what the newest block posted."""
        return [(one.kind, one.source, one.destination, one.amount_minor) for one in self.told(Movement)]

    def balance(self, account: bytes) -> int:
        return self.account(account).balance_minor

    def terms(self, account: bytes) -> AccountTerms:
        return self.account(account).known_terms

    def order(self, order: bytes) -> StandingOrder | None:
        return self.ledger.state.records[-1].orders.get(order)


async def credit_scene() -> CreditScene:
    """The scene in a zone of its own."""
    return await CreditScene(make_zone()).set_up()

"""Policies, orders and limits over a real database: what lists show, what falls due, what is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from icn.consensus.v1 import application_pb2 as app
from icn.ledger.v1 import events_pb2
from icn.ledger.v1 import service_pb2 as pb
from icn.ledger.v1.state_pb2 import POSTING_KIND_FEE, POSTING_KIND_STANDING
from icn_crypto import tags
from icn_crypto.hashing import domain_hash
from icn_kit.outbox import events_of_row

from libs.machine.tests.credit_messages import (
    DAY_MS,
    cancel_order,
    close_account,
    close_period,
    freeze_account,
    offer_exchange,
    open_with,
    order_transfers,
    set_unit_policy,
    take_exchange,
    void_exchange,
)
from libs.machine.tests.zone import (
    Member,
    capture_hold,
    create_unit,
    identifier,
    open_account,
    open_controller,
    place_hold,
    set_floor,
    transfer,
)
from services.ledger.tests.integration.conftest import ANA, BEN, UNIT, Query, Running, pages, refuse

FUND, ORDER = identifier("fund"), identifier("order")
POLICY: dict[str, Any] = {
    "growth_ppm": 500_000,
    "growth_max_minor": 50,
    "counterparty_max_minor": 40,
    "soft_ppm": 500_000,
    "fee_fixed_minor": 1,
    "fund": FUND,
}


class Cooperative:
    """A shop with a fund, and two members who trade."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.shop = running.zone.organizations[0]
        self.ana, self.ben = (running.zone.member(name, self.shop) for name in ("ana", "ben"))
        self.after_ms = 1_000

    async def block(self, *transactions: tuple[Member, list[Any]], after_ms: int = 1_000) -> Any:
        state = (await self.running.application.GetInfo(app.GetInfoRequest())).state
        time_ms = state.time_ms + after_ms
        signed = [
            self.running.zone.transaction(actor, *sent, time_ms=time_ms) for actor, sent in transactions
        ]
        header = await self.running.header(signed, time_ms=time_ms)
        return await self.running.execute_block(header, *signed)

    async def begin(self) -> Cooperative:
        """The members, without accounts."""
        await self.block((self.shop, [create_unit(UNIT, floor_minor=-100), open_account(FUND, UNIT)]))
        await self.block((self.shop, [open_controller(self.ana), open_controller(self.ben)]))
        return self

    async def set_up(self) -> Cooperative:
        await self.begin()
        await self.block((self.ana, [open_account(ANA, UNIT)]), (self.ben, [open_account(BEN, UNIT)]))
        return self

    async def now_ms(self) -> int:
        return (await self.running.application.GetInfo(app.GetInfoRequest())).state.time_ms

    async def account(self, account: bytes) -> Any:
        return await self.running.ledger.GetAccount(pb.GetAccountRequest(name=f"accounts/{account.hex()}"))

    async def orders(self, account: bytes, **page: Any) -> list[Any]:
        request = {"account": f"accounts/{account.hex()}", "page_size": 1, **page}
        return await pages(
            lambda token: self.running.ledger.ListOrders(pb.ListOrdersRequest(**request, page_token=token)),
            "orders",
        )

    async def holds(self, account: bytes = b"") -> list[bytes]:
        """Ids of the holds of an account, or of all offers of exchange."""
        name = f"accounts/{account.hex()}" if account else ""
        found = await pages(
            lambda token: self.running.ledger.ListHolds(
                pb.ListHoldsRequest(account=name, page_size=1, page_token=token)
            ),
            "holds",
        )
        return [hold.hold for hold in found]

    async def limit_changes(self, name: str) -> list[Any]:
        return await pages(
            lambda token: self.running.ledger.ListLimitChanges(
                pb.ListLimitChangesRequest(name=name, page_size=1, page_token=token)
            ),
            "changes",
        )


async def test_a_unit_is_read_with_its_policy_and_its_closed_period(running: Running) -> None:
    coop = await Cooperative(running).set_up()
    name = f"units/{UNIT.hex()}"
    plain = await running.ledger.GetUnit(pb.GetUnitRequest(name=name))
    assert not plain.HasField("policy") and not plain.HasField("period")
    await coop.block((coop.shop, [set_unit_policy(UNIT, **POLICY), close_period(UNIT, 7)]))
    found = await running.ledger.GetUnit(pb.GetUnitRequest(name=name))
    assert (found.policy.policy.fund, found.policy.set_time_ms) == (FUND, await coop.now_ms())
    assert (found.period.end_time_ms, found.period.closed_by) == (7, coop.shop.principal)
    nowhere = pb.GetUnitRequest(name=f"units/{ANA.hex()}")
    assert await refuse(running.ledger.GetUnit(nowhere), grpc.StatusCode.NOT_FOUND) == "UNIT_UNKNOWN"


async def test_an_account_is_read_with_how_far_its_owner_may_go(running: Running) -> None:
    coop = await Cooperative(running).set_up()
    await coop.block((coop.shop, [set_unit_policy(UNIT, **POLICY)]))
    await coop.block((coop.ana, [transfer(ANA, BEN, 30)]), (coop.ben, [transfer(BEN, ANA, 20)]))
    found = await coop.account(ANA)
    assert found.account.leaf.balance_minor == -30 + 20 - 1
    credit = found.credit
    assert (credit.earned_minor, credit.spent_minor, credit.growth_minor, credit.is_main) == (
        20,
        30,
        10,
        True,
    )
    assert (credit.limit_minor, credit.soft_limit_minor) == (-110, -55)
    assert credit.spendable_minor == 110 - 11
    await coop.block((coop.shop, [freeze_account(ANA, await coop.now_ms() + DAY_MS)]))
    assert (await coop.account(ANA)).credit.spendable_minor == 0


async def test_orders_fall_due_also_where_the_ledger_started_anew(
    running: Running, start: Callable[..., Awaitable[Running]]
) -> None:
    coop = await Cooperative(running).set_up()
    first_ms = await coop.now_ms() + 10_000
    monthly = order_transfers(ORDER, ANA, BEN, 5, first_ms, every_days=1, times=2)
    await coop.block((coop.ana, [monthly]))
    info = (await running.application.GetInfo(app.GetInfoRequest())).state
    assert info.next_expiry_time_ms == first_ms, "an idle chain makes a block for it"
    await running.service.drain()
    coop.running = await start()
    await coop.block(after_ms=9_999 - 1_000 + 1)
    assert (await coop.account(ANA)).account.leaf.balance_minor == -5
    info = (await coop.running.application.GetInfo(app.GetInfoRequest())).state
    assert info.next_expiry_time_ms == first_ms + DAY_MS
    entries = await coop.running.ledger.ListEntries(pb.ListEntriesRequest(account=f"accounts/{BEN.hex()}"))
    (entry,) = entries.entries
    assert (entry.transaction_id, entry.hold, entry.posting.kind) == (b"", ORDER, POSTING_KIND_STANDING)
    await coop.block(after_ms=DAY_MS)
    assert (await coop.account(ANA)).account.leaf.balance_minor == -10
    assert await coop.orders(ANA) == []
    assert (await coop.running.application.GetInfo(app.GetInfoRequest())).state.next_expiry_time_ms == 0


async def test_orders_are_listed_of_either_side(running: Running) -> None:
    coop = await Cooperative(running).set_up()
    first_ms = await coop.now_ms() + DAY_MS
    others = [identifier(f"order {number}") for number in range(3)]
    await coop.block(
        (coop.ana, [order_transfers(other, ANA, BEN, 5, first_ms) for other in others]),
        (coop.ben, [order_transfers(ORDER, BEN, FUND, 5, first_ms)]),
    )
    assert [order.ordered.order for order in await coop.orders(ANA)] == sorted(others)
    assert [order.ordered.order for order in await coop.orders(BEN)] == sorted([*others, ORDER])
    found = await running.ledger.GetOrder(pb.GetOrderRequest(name=f"orders/{ORDER.hex()}"))
    assert [found.order] == await coop.orders(FUND)
    await coop.block((coop.ben, [cancel_order(others[0])]))
    assert [order.ordered.order for order in await coop.orders(ANA)] == sorted(others[1:])
    nowhere = running.ledger.ListOrders(pb.ListOrdersRequest(account=f"accounts/{UNIT.hex()}"))
    assert await refuse(nowhere, grpc.StatusCode.NOT_FOUND) == "ACCOUNT_UNKNOWN"


async def test_holds_are_listed_of_either_side_and_offers_for_all(
    running: Running, start: Callable[..., Awaitable[Running]]
) -> None:
    coop = await Cooperative(running).set_up()
    loaves, of_ana = identifier("loaves"), identifier("loaves of ana")
    of_ben, expire_ms = identifier("loaves of ben"), await coop.now_ms() + DAY_MS
    holds = sorted(identifier(f"hold {number}") for number in range(3))
    offer, other = identifier("offer"), identifier("other offer")
    await coop.block(
        (coop.shop, [create_unit(loaves, -100)]),
        (coop.ana, [open_account(of_ana, loaves)]),
        (coop.ben, [open_account(of_ben, loaves)]),
    )
    await coop.block(
        (coop.ana, [place_hold(hold, ANA, BEN, 5, expire_ms) for hold in holds]),
        (coop.ana, [offer_exchange(offer, (ANA, 6), (of_ana, 3), expire_ms)]),
        (coop.ben, [offer_exchange(other, (of_ben, 3), (BEN, 6), expire_ms)]),
    )
    assert await coop.holds(ANA) == sorted([*holds, offer])
    assert await coop.holds(BEN) == sorted([*holds, other])
    assert await coop.holds(of_ana) == [offer]
    assert await coop.holds() == sorted([offer, other])
    assert await coop.holds(FUND) == []
    await coop.block(
        (coop.ben, [capture_hold(holds[0], 5), capture_hold(holds[1], 2)]),
        (coop.ben, [take_exchange(offer, (of_ben, of_ana, 1), (ANA, BEN, 2)), void_exchange(other)]),
    )
    assert await coop.holds(ANA) == sorted([*holds[1:], offer])
    assert await coop.holds() == [offer]
    await running.service.drain()
    coop.running = await start()
    assert await coop.holds(BEN) == holds[1:]
    await coop.block(after_ms=DAY_MS)
    assert (await coop.holds(), await coop.holds(ANA)) == ([], [])
    nowhere = coop.running.ledger.ListHolds(pb.ListHoldsRequest(account=f"accounts/{UNIT.hex()}"))
    assert await refuse(nowhere, grpc.StatusCode.NOT_FOUND) == "ACCOUNT_UNKNOWN"


async def test_what_was_changed_of_limits_stays_to_be_read(running: Running) -> None:
    coop = await Cooperative(running).set_up()
    await coop.block((coop.shop, [set_floor(ANA, -7), set_unit_policy(UNIT, soft_ppm=1), set_floor(BEN, -8)]))
    await coop.block((coop.shop, [set_floor(ANA, -9)]))
    of_ana = await coop.limit_changes(f"accounts/{ANA.hex()}")
    assert [(one.floor.previous_floor_minor, one.floor.floor_minor) for one in of_ana] == [
        (-7, -9),
        (-100, -7),
    ]
    assert {one.set_by for one in of_ana} == {coop.shop.principal}
    found = await running.ledger.GetTransaction(
        pb.GetTransactionRequest(name=f"transactions/{of_ana[0].transaction_id.hex()}")
    )
    assert (found.height, found.block_time_ms) == (of_ana[0].height, of_ana[0].block_time_ms)
    of_unit = await coop.limit_changes(f"units/{UNIT.hex()}")
    assert [(one.height - of_ana[1].height, one.index) for one in of_unit] == [(1, 0), (0, 2), (0, 1), (0, 0)]
    assert of_unit[2].policy.policy.soft_ppm == 1 and not of_unit[2].policy.HasField("previous")
    assert await coop.limit_changes(f"accounts/{FUND.hex()}") == []
    nowhere = running.ledger.ListLimitChanges(pb.ListLimitChangesRequest(name=f"accounts/{UNIT.hex()}"))
    assert await refuse(nowhere, grpc.StatusCode.NOT_FOUND) == "ACCOUNT_UNKNOWN"


async def test_every_step_is_told_on_the_bus(running: Running, query: Query) -> None:
    coop = await Cooperative(running).set_up()
    now_ms = await coop.now_ms()
    spare = identifier("spare")
    await coop.block((coop.shop, [set_unit_policy(UNIT, **POLICY)]), (coop.ana, [open_account(spare, UNIT)]))
    await coop.block(
        (coop.ana, [transfer(ANA, BEN, 60), close_account(spare)]),
        (coop.ben, [order_transfers(ORDER, BEN, ANA, 1_000, now_ms + 4_000)]),
        (coop.shop, [freeze_account(ANA, now_ms + DAY_MS), close_period(UNIT, now_ms)]),
    )
    await coop.block(after_ms=10_000)
    told = [
        event
        for _, subject, envelope in query("SELECT id, subject, envelope FROM outbox ORDER BY position")
        for event in events_of_row(str(subject), bytes(envelope))  # type: ignore[arg-type]
    ]
    by_name: dict[str, list[bytes]] = {}
    for event in told:
        by_name.setdefault(event.subject.removeprefix("icn.ledger.v1."), []).append(event.payload)
    (policy,) = by_name["unit_policy_set"]
    assert events_pb2.UnitPolicySet.FromString(policy).policy.fund == FUND
    (passed,) = by_name["soft_limit_passed"]
    assert events_pb2.SoftLimitPassed.FromString(passed).balance_minor == -60
    kinds = [
        events_pb2.TransferCommitted.FromString(payload).kind for payload in by_name["transfer_committed"]
    ]
    assert kinds[1] == POSTING_KIND_FEE
    (closed,) = by_name["account_closed"]
    assert events_pb2.AccountClosed.FromString(closed).account.account == spare
    (frozen,) = by_name["account_frozen"]
    assert events_pb2.AccountFrozen.FromString(frozen).frozen_by == coop.shop.principal
    (placed,) = by_name["order_placed"]
    assert events_pb2.OrderPlaced.FromString(placed).order.ordered.order == ORDER
    (missed,) = by_name["standing_order_missed"]
    assert events_pb2.StandingOrderMissed.FromString(missed).reason == "CREDIT_LIMIT_EXCEEDED"
    (ended,) = by_name["standing_order_ended"]
    assert events_pb2.StandingOrderEnded.FromString(ended).reason == "COMPLETED"
    (period,) = by_name["period_closed"]
    assert events_pb2.PeriodClosed.FromString(period).period.end_time_ms == now_ms


async def sub_accounts(running: Running, size: int) -> list[bytes]:
    listed = await pages(
        lambda token: running.ledger.ListAccounts(
            pb.ListAccountsRequest(parent=f"accounts/{ANA.hex()}", page_size=size, page_token=token)
        ),
        "accounts",
    )
    return [one.leaf.account for one in listed]


async def test_sub_accounts_are_listed_as_they_were_opened_closed_ones_too(running: Running) -> None:
    """Ids descend, so that an order by id would be another one; some come in one block with their parent."""
    ids = [bytes([255 - number]) * 16 for number in range(7)]
    bens = identifier("of ben")

    def under(account: bytes, parent: bytes = ANA) -> Any:
        return open_with(account, UNIT, parent=parent)

    place = await Cooperative(running).begin()
    await place.block((place.ana, [open_account(ANA, UNIT), under(ids[0]), under(ids[1])]))
    assert await sub_accounts(running, 500) == ids[:2]
    await place.block(
        (place.ana, [close_account(ids[0]), under(ids[2])]),
        (place.ben, [open_account(BEN, UNIT), under(bens, BEN)]),
        (place.ana, [under(ids[3]), close_account(ids[3])]),
    )
    for one in ids[4:]:
        await place.block((place.ana, [under(one)]))
    for size in (1, 2, 6, 7, 500):
        assert await sub_accounts(running, size) == ids
    leaf = (await place.account(ANA)).account.leaf
    end = bytes(32)
    for one in ids:
        end = domain_hash(tags.SUB_ACCOUNTS, running.zone.genesis.hash, end + one)
    assert (leaf.terms.sub_accounts, leaf.terms.sub_accounts_hash) == (7, end)


async def test_what_has_no_sub_accounts_lists_none_and_what_is_not_there_is_refused(running: Running) -> None:
    await Cooperative(running).set_up()

    def listed(**request: Any) -> Any:
        return running.ledger.ListAccounts(pb.ListAccountsRequest(**request))

    ana = f"accounts/{ANA.hex()}"
    assert not (await listed(parent=ana)).accounts
    unknown = f"accounts/{identifier('nobody').hex()}"
    assert await refuse(listed(parent=unknown), grpc.StatusCode.NOT_FOUND) == "ACCOUNT_UNKNOWN"
    for wrong in ({"parent": "accounts/x"}, {"parent": f"principals/{ANA.hex()}"}):
        assert await refuse(listed(**wrong), grpc.StatusCode.INVALID_ARGUMENT) == "MALFORMED_NAME"
    both = listed(parent=ana, owner=f"principals/{ANA.hex()}")
    assert await refuse(both, grpc.StatusCode.INVALID_ARGUMENT) == "INVALID_ARGUMENT"

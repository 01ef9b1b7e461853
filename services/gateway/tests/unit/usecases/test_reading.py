from __future__ import annotations

import asyncio
from typing import Any

import pytest
from icn_gateway.usecases.get_overview import get_overview
from icn_gateway.usecases.list_validators import STATUS_SECONDS, ValidatorWatch
from icn_gateway.usecases.read_accounts import get_hold, list_accounts, list_entries
from icn_gateway.usecases.units import UnitCatalog
from icn_kit.errors import NotFound, Unavailable


async def test_the_ledger_is_asked_for_a_unit_once(zone: Any, make: Any) -> None:
    units = UnitCatalog(zone)
    for _ in range(3):
        assert (await units.get(make.identifier(100))).code == "HOURS"
    assert zone.calls == ["get_unit"]


async def test_only_so_many_units_are_remembered(zone: Any, make: Any) -> None:
    units = UnitCatalog(zone, kept_max=1)
    await units.get_many([make.identifier(100), make.identifier(101)])
    await units.get(make.identifier(101))
    assert zone.calls.count("get_unit") == 2
    await units.get(make.identifier(100))
    assert zone.calls.count("get_unit") == 3


async def test_an_unknown_unit_is_not_remembered_as_known(zone: Any, make: Any) -> None:
    units = UnitCatalog(zone)
    with pytest.raises(NotFound):
        await units.get(make.identifier(500))
    zone.add_unit(500, "LATE")
    assert (await units.get(make.identifier(500))).code == "LATE"


async def test_a_page_of_accounts_comes_with_each_unit_it_needs(zone: Any, make: Any) -> None:
    page = await list_accounts("", 500, "", zone, UnitCatalog(zone))
    assert {account.leaf.unit for account in page.accounts} == set(page.units)


async def test_entries_of_an_unknown_account_are_not_an_empty_list(zone: Any, make: Any) -> None:
    with pytest.raises(NotFound) as refusal:
        await list_entries(make.identifier(999).hex(), 50, "", zone, UnitCatalog(zone))
    assert refusal.value.reason == "ACCOUNT_UNKNOWN"


async def test_a_hold_is_in_the_unit_of_its_source(zone: Any, make: Any) -> None:
    hold, unit = await get_hold(make.identifier(40).hex(), zone, UnitCatalog(zone))
    assert (hold.remaining_minor, unit.code) == (700, "HOURS")


class CountingStatuses:
    def __init__(self) -> None:
        self.rounds = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def read_statuses(self) -> list[Any]:
        self.rounds += 1
        await self.may_answer.wait()
        return [self.rounds]


async def test_askers_at_one_time_share_one_round_of_questions() -> None:
    statuses = CountingStatuses()
    statuses.may_answer.clear()
    watch = ValidatorWatch(statuses)
    asking = [asyncio.create_task(watch.list_validators()) for _ in range(5)]
    await asyncio.sleep(0)
    statuses.may_answer.set()
    assert await asyncio.gather(*asking) == [[1]] * 5


async def test_an_answer_is_given_again_only_while_it_is_fresh() -> None:
    now = 0.0
    watch = ValidatorWatch(CountingStatuses(), clock=lambda: now)
    assert await watch.list_validators() == [1]
    now = STATUS_SECONDS * 0.99
    assert await watch.list_validators() == [1]
    now = STATUS_SECONDS
    assert await watch.list_validators() == [2]


async def test_an_asker_that_leaves_does_not_take_the_answer_from_the_others() -> None:
    statuses = CountingStatuses()
    statuses.may_answer.clear()
    watch = ValidatorWatch(statuses)
    leaving = asyncio.create_task(watch.list_validators())
    staying = asyncio.create_task(watch.list_validators())
    await asyncio.sleep(0)
    leaving.cancel()
    statuses.may_answer.set()
    assert await staying == [1]


async def test_the_overview_shows_validators_when_the_ledger_cannot_be_read(zone: Any) -> None:
    zone.fault = Unavailable("NO_VALIDATOR_REACHABLE", "none")
    zone.unreachable = {0, 1}
    overview = await get_overview(zone, ValidatorWatch(zone))
    assert overview.fault is zone.fault
    assert overview.reachable == 2
    assert overview.blocks == ()


async def test_the_overview_names_the_highest_final_height_that_any_validator_tells_of(zone: Any) -> None:
    overview = await get_overview(zone, ValidatorWatch(zone))
    assert overview.final_height == zone.height + 1

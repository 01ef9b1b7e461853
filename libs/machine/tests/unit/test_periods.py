"""Periods: the authority's word that a unit's books up to a time were looked at."""

from __future__ import annotations

import pytest
from icn_machine.events import PeriodClosed
from icn_machine.records import Period

from libs.machine.tests.credit_messages import close_period
from libs.machine.tests.credit_scene import CreditScene, credit_scene
from libs.machine.tests.scene import UNIT
from libs.machine.tests.zone import identifier

DIGEST, OTHER = bytes([5]) * 32, bytes([6]) * 32


@pytest.fixture
async def scene() -> CreditScene:
    return await credit_scene()


async def test_a_period_is_kept_with_who_closed_it_and_when(scene: CreditScene) -> None:
    leaves = scene.leaves_used()
    end_ms = scene.time_ms
    await scene.applied(scene.shop, close_period(UNIT, end_ms, DIGEST))
    newest = scene.ledger.state.newest
    kept = Period(end_ms, DIGEST, newest.height, newest.time_ms, scene.shop.principal)
    assert scene.ledger.state.records[-1].periods[UNIT] == kept
    (told,) = scene.told(PeriodClosed)
    assert tuple(told) == (scene.shop.principal, UNIT, kept)
    assert scene.leaves_used() == leaves + 1
    await scene.applied(scene.shop, close_period(UNIT, end_ms + 1, DIGEST))
    assert scene.leaves_used() == leaves + 1, "the newest takes the place of the one before"


async def test_a_period_that_is_not_over_is_not_closed(scene: CreditScene) -> None:
    end_ms = scene.now_ms + 1
    figures = await scene.refused("PERIOD_NOT_OVER", scene.shop, close_period(UNIT, end_ms, DIGEST))
    assert list(figures.items()) == [("end_time_ms", end_ms), ("block_time_ms", end_ms - 1)]
    await scene.applied(scene.shop, close_period(UNIT, scene.now_ms, DIGEST))


async def test_no_earlier_period_is_closed_and_the_same_one_again_with_another_digest(
    scene: CreditScene,
) -> None:
    end_ms = scene.time_ms
    await scene.applied(scene.shop, close_period(UNIT, end_ms, DIGEST))
    figures = await scene.refused("PERIOD_CLOSED", scene.shop, close_period(UNIT, end_ms - 1, DIGEST))
    assert list(figures.items()) == [("end_time_ms", end_ms - 1), ("closed_until_ms", end_ms)]
    await scene.applied(scene.shop, close_period(UNIT, end_ms, OTHER))
    assert scene.ledger.state.records[-1].periods[UNIT].digest == OTHER
    assert len(scene.told(PeriodClosed)) == 1


async def test_only_the_units_authority_closes_its_periods(scene: CreditScene) -> None:
    await scene.refused("UNIT_UNKNOWN", scene.shop, close_period(identifier("no unit"), 0, DIGEST))
    await scene.refused("NOT_UNIT_AUTHORITY", scene.ana, close_period(UNIT, 0, DIGEST))

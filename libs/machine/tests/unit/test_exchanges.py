"""Exchanges of two units: offered, taken in parts at a price that rounds up, both postings or none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_machine.entries import PostingKind
from icn_machine.events import HoldReleased
from icn_machine.limits import QUANTITY_MAX
from icn_machine.records import ExchangePrice, Hold

from libs.machine.tests.credit_messages import (
    close_account,
    freeze_account,
    offer_exchange,
    open_bringing,
    take_exchange,
    void_exchange,
)
from libs.machine.tests.credit_scene import CAY, DAY_MS, FUND, SAVINGS, CreditScene, credit_scene
from libs.machine.tests.scene import ANA, BEN, HOLD, OTHER_UNIT, OUT, UNIT
from libs.machine.tests.zone import (
    capture_hold,
    identifier,
    open_account,
    place_hold,
    set_floor,
    transfer,
    void_hold,
)

EXCHANGE, FEE = PostingKind.EXCHANGE, PostingKind.FEE
ANA_OUT, NOWHERE = identifier("account of ana in the other unit"), identifier("nowhere")
BRINGING, BRINGING_OUT = identifier("waits"), identifier("waits in the other unit")
LATER_MS = 60_000


@pytest.fixture
async def scene() -> CreditScene:
    """Ana gives of one unit what Ben pays in the other."""
    scene = await credit_scene()
    await scene.applied(scene.ana, open_account(ANA_OUT, OTHER_UNIT))
    await scene.applied(scene.shop, set_floor(OUT, -1_000))
    return scene


async def offered(scene: CreditScene, taker: bytes = b"", give: int = 50, take: int = 75) -> int:
    """An offer of Ana's; when it ends."""
    expire_ms = scene.now_ms + LATER_MS
    await scene.applied(scene.ana, offer_exchange(HOLD, (ANA, give), (ANA_OUT, take), expire_ms, taker))
    return expire_ms


def taken(pay: int, get: int, **changed: bytes) -> Any:
    """Ben takes of it."""
    message = take_exchange(HOLD, (OUT, ANA_OUT, pay), (ANA, BEN, get))
    for name, value in changed.items():
        setattr(message.take_exchange, name, value)
    return message


async def test_an_offer_is_a_hold_without_destination_that_has_a_price(scene: CreditScene) -> None:
    leaves = scene.leaves_used()
    expire_ms = await offered(scene, scene.ben.principal)
    assert scene.ledger.state.records[-1].holds[HOLD] == Hold(
        HOLD,
        ANA,
        b"",
        50,
        expire_ms,
        scene.shop.principal,
        ExchangePrice(ANA_OUT, 50, 75, scene.ben.principal),
    )
    assert scene.account(ANA).held_minor == 50
    assert scene.leaves_used() == leaves + 1
    assert scene.posted() == []


async def test_who_takes_all_of_it_pays_first_and_then_gets(scene: CreditScene) -> None:
    leaves = scene.leaves_used()
    await offered(scene)
    await scene.applied(scene.ben, taken(75, 50))
    assert scene.posted() == [(EXCHANGE, OUT, ANA_OUT, 75), (EXCHANGE, ANA, BEN, 50)]
    assert scene.account(ANA).held_minor == 0
    assert scene.leaves_used() == leaves, "at 0 left the hold ends"
    await scene.refused("HOLD_UNKNOWN", scene.ben, taken(75, 1))


async def test_a_part_costs_its_share_rounded_up_and_no_more(scene: CreditScene) -> None:
    await offered(scene)
    figures = await scene.refused("PRICE_EXCEEDED", scene.ben, taken(1, 1))
    assert list(figures.items()) == [("price_minor", 2), ("pay_minor", 1)]
    await scene.applied(scene.ben, taken(1_000, 1))
    assert scene.posted() == [(EXCHANGE, OUT, ANA_OUT, 2), (EXCHANGE, ANA, BEN, 1)]
    assert scene.ledger.state.records[-1].holds[HOLD].remaining_minor == 49
    figures = await scene.refused("HOLD_AMOUNT_EXCEEDED", scene.ben, taken(1_000, 50))
    assert list(figures.items()) == [("remaining_minor", 49), ("amount_minor", 50)]
    await scene.applied(scene.ben, taken(74, 49))
    assert scene.balance(ANA_OUT) == 2 + 74, "of what was offered at first: ⌈49 × 75 / 50⌉"


@given(st.integers(1, QUANTITY_MAX), st.integers(1, QUANTITY_MAX), st.data())
def test_a_price_is_the_least_whole_amount_that_is_not_below_its_share(
    give: int, take: int, data: st.DataObject
) -> None:
    part = data.draw(st.integers(1, give))
    price = ExchangePrice(b"", give, take, b"").of(part)
    assert (price - 1) * give < part * take <= price * give
    assert 1 <= price <= take


@pytest.mark.parametrize(
    ("give", "take", "reason"),
    [
        (NOWHERE, ANA_OUT, "ACCOUNT_UNKNOWN"),
        (ANA, NOWHERE, "ACCOUNT_UNKNOWN"),
        (BEN, ANA_OUT, "NOT_ACCOUNT_OWNER"),
        (ANA, OUT, "NOT_ACCOUNT_OWNER"),
        (ANA, SAVINGS, "SAME_UNIT"),
        (BRINGING, ANA_OUT, "OPENING_PENDING"),
        (ANA, BRINGING_OUT, "OPENING_PENDING"),
    ],
)
async def test_who_offers_owns_two_accounts_of_two_units_that_are_open(
    scene: CreditScene, give: bytes, take: bytes, reason: str
) -> None:
    await scene.applied(
        scene.ana, open_bringing(BRINGING, UNIT, 1), open_bringing(BRINGING_OUT, OTHER_UNIT, 1)
    )
    message = offer_exchange(HOLD, (give, 1), (take, 1), scene.now_ms + LATER_MS)
    await scene.refused(reason, scene.ana, message)


@pytest.mark.parametrize("closed", [SAVINGS, ANA_OUT])
async def test_nothing_is_offered_from_or_for_a_closed_account(scene: CreditScene, closed: bytes) -> None:
    await scene.applied(scene.ana, close_account(closed))
    message = offer_exchange(HOLD, (SAVINGS, 1), (ANA_OUT, 1), scene.now_ms + LATER_MS)
    await scene.refused("ACCOUNT_CLOSED", scene.ana, message)


async def test_nothing_is_offered_from_a_frozen_account(scene: CreditScene) -> None:
    until_ms = scene.now_ms + LATER_MS
    await scene.applied(scene.shop, freeze_account(ANA, until_ms))
    message = offer_exchange(HOLD, (ANA, 1), (ANA_OUT, 1), until_ms + 1)
    figures = await scene.refused("ACCOUNT_FROZEN", scene.ana, message)
    assert figures == {"frozen_until_ms": until_ms, "block_time_ms": scene.time_ms}


async def test_an_offer_reaches_the_limit_and_not_past_it(scene: CreditScene) -> None:
    message = offer_exchange(HOLD, (ANA, 101), (ANA_OUT, 1), scene.now_ms + LATER_MS)
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, message)
    assert figures == {"balance_minor": 0, "held_minor": 0, "amount_minor": 101, "floor_minor": -100}
    await offered(scene, give=100)
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, transfer(ANA, BEN, 1))
    assert figures["held_minor"] == 100


async def test_what_is_held_stays_in_its_range(scene: CreditScene) -> None:
    await scene.give(ANA, QUANTITY_MAX)
    await offered(scene, give=QUANTITY_MAX)
    other = offer_exchange(identifier("more"), (ANA, 1), (ANA_OUT, 1), scene.now_ms + LATER_MS)
    figures = await scene.refused("BALANCE_OUT_OF_RANGE", scene.ana, other)
    assert figures == {"held_minor": QUANTITY_MAX, "amount_minor": 1}


async def test_an_offer_ends_within_366_days_and_takes_no_id_that_is_used(scene: CreditScene) -> None:
    def ending(after_ms: int) -> Any:
        return offer_exchange(HOLD, (ANA, 1), (ANA_OUT, 1), scene.now_ms + after_ms)

    figures = await scene.refused("HOLD_EXPIRY_OUT_OF_RANGE", scene.ana, ending(0))
    assert figures == {"expire_time_ms": scene.time_ms, "block_time_ms": scene.time_ms}
    await scene.refused("HOLD_EXPIRY_OUT_OF_RANGE", scene.ana, ending(366 * DAY_MS + 1))
    await scene.applied(scene.ana, ending(366 * DAY_MS))
    await scene.refused("HOLD_EXISTS", scene.ana, ending(LATER_MS))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"hold": NOWHERE}, "HOLD_UNKNOWN"),
        ({"give_account": SAVINGS}, "EXCHANGE_MISMATCH"),
        ({"take_account": NOWHERE}, "EXCHANGE_MISMATCH"),
        ({"source": NOWHERE}, "ACCOUNT_UNKNOWN"),
        ({"destination": NOWHERE}, "ACCOUNT_UNKNOWN"),
        ({"destination": CAY}, "NOT_ACCOUNT_OWNER"),
        ({"source": ANA}, "NOT_ACCOUNT_OWNER"),
        ({"source": BEN, "destination": OUT}, "UNIT_MISMATCH"),
        ({"source": BEN}, "UNIT_MISMATCH"),
        ({"destination": OUT}, "UNIT_MISMATCH"),
        ({"destination": BRINGING}, "OPENING_PENDING"),
        ({"source": BRINGING_OUT}, "OPENING_PENDING"),
    ],
)
async def test_who_takes_names_the_offers_accounts_and_its_own(
    scene: CreditScene, changed: dict[str, bytes], reason: str
) -> None:
    await offered(scene)
    await scene.applied(
        scene.ben, open_bringing(BRINGING, UNIT, 1), open_bringing(BRINGING_OUT, OTHER_UNIT, 1)
    )
    await scene.refused(reason, scene.ben, taken(75, 50, **changed))


async def test_only_who_is_named_takes_an_offer_to_somebody(scene: CreditScene) -> None:
    await offered(scene, scene.cay.principal)
    await scene.refused("NOT_TAKER", scene.ben, taken(75, 50))


@pytest.mark.parametrize("closed", [OUT, ANA_OUT, BEN])
async def test_no_closed_account_takes_part(scene: CreditScene, closed: bytes) -> None:
    await offered(scene)
    await scene.applied(scene.ana if closed == ANA_OUT else scene.ben, close_account(closed))
    await scene.refused("ACCOUNT_CLOSED", scene.ben, taken(75, 50))


async def test_a_plain_hold_is_no_exchange_and_an_exchange_no_plain_hold(scene: CreditScene) -> None:
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 5, scene.now_ms + LATER_MS))
    await scene.refused("EXCHANGE_MISMATCH", scene.ben, taken(75, 5))
    await scene.refused("EXCHANGE_MISMATCH", scene.ana, void_exchange(HOLD))
    await scene.applied(scene.ben, void_hold(HOLD))
    await offered(scene)
    for who in (scene.ana, scene.ben):
        await scene.refused("EXCHANGE_MISMATCH", who, capture_hold(HOLD, 1))
        await scene.refused("EXCHANGE_MISMATCH", who, void_hold(HOLD))


async def test_a_frozen_account_gives_only_to_whom_it_was_promised(scene: CreditScene) -> None:
    await offered(scene)
    until_ms = scene.now_ms + LATER_MS
    await scene.applied(scene.shop, freeze_account(ANA, until_ms))
    figures = await scene.refused("ACCOUNT_FROZEN", scene.ben, taken(75, 50))
    assert figures == {"frozen_until_ms": until_ms, "block_time_ms": scene.time_ms}
    await scene.applied(scene.shop, freeze_account(ANA, 0))
    await scene.applied(scene.ana, void_exchange(HOLD))
    await offered(scene, scene.ben.principal)
    await scene.applied(scene.shop, freeze_account(ANA, scene.now_ms + LATER_MS))
    await scene.applied(scene.ben, taken(75, 50))


async def test_who_pays_pays_by_the_debit_rules(scene: CreditScene) -> None:
    await offered(scene)
    await scene.applied(scene.shop, set_floor(OUT, -74))
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ben, taken(75, 50))
    assert figures == {"balance_minor": 0, "held_minor": 0, "amount_minor": 75, "floor_minor": -74}
    await scene.applied(scene.shop, set_floor(OUT, -75), freeze_account(OUT, scene.now_ms + LATER_MS))
    await scene.refused("ACCOUNT_FROZEN", scene.ben, taken(75, 50))
    await scene.applied(scene.shop, freeze_account(OUT, 0))
    await scene.applied(scene.ben, taken(75, 50))


async def test_neither_side_passes_the_largest_balance(scene: CreditScene) -> None:
    await scene.give(BEN, QUANTITY_MAX - 10)
    await offered(scene)
    figures = await scene.refused("BALANCE_OUT_OF_RANGE", scene.ben, taken(75, 11))
    assert figures == {"balance_minor": QUANTITY_MAX - 10, "amount_minor": 11}
    await scene.applied(scene.ben, taken(75, 10))


async def test_only_who_offered_takes_it_back(scene: CreditScene) -> None:
    leaves = scene.leaves_used()
    await offered(scene)
    await scene.refused("HOLD_UNKNOWN", scene.ana, void_exchange(NOWHERE))
    await scene.refused("NOT_ACCOUNT_OWNER", scene.ben, void_exchange(HOLD))
    await scene.applied(scene.ana, void_exchange(HOLD))
    (released,) = scene.told(HoldReleased)
    assert not released.is_expired
    assert (scene.account(ANA).held_minor, scene.leaves_used()) == (0, leaves)


async def test_an_offer_ends_at_its_time(scene: CreditScene) -> None:
    expire_ms = await offered(scene)
    await scene.until(expire_ms - 2)
    await scene.applied(scene.ben, taken(75, 1), after_ms=1)
    await scene.until(expire_ms)
    (released,) = scene.told(HoldReleased)
    assert released.is_expired and scene.account(ANA).held_minor == 0
    await scene.refused("HOLD_UNKNOWN", scene.ben, taken(75, 1))


async def test_an_exchange_is_trade_of_both_and_pays_the_fees_of_its_units(scene: CreditScene) -> None:
    growth = {"growth_ppm": 1, "growth_max_minor": 1, "counterparty_max_minor": 1_000}
    await scene.govern(fee_fixed_minor=3, fund=FUND, **growth)
    await offered(scene)
    await scene.applied(scene.ben, taken(75, 50))
    assert scene.posted() == [
        (EXCHANGE, OUT, ANA_OUT, 75),
        (EXCHANGE, ANA, BEN, 50),
        (FEE, BEN, FUND, 3),
    ]
    lines = scene.ledger.state.records[-1].credit_lines
    assert lines[UNIT + scene.ana.principal].spent_minor == 50
    assert lines[UNIT + scene.ben.principal].earned_minor == 50

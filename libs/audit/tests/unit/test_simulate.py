"""History under another policy: what would have been refused, and what would not."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from icn.ledger.v1 import transaction_pb2 as pb
from icn_audit.divergence import Diverged
from icn_audit.simulate import (
    Difference,
    Simulation,
    Supposition,
    SuppositionImpossible,
    simulate_archive,
)
from icn_machine.credit_messages import UnitPolicy

from libs.audit.tests.chain import Chain
from libs.machine.tests.credit_messages import (
    close_account,
    confirm_openings,
    open_bringing,
    pledge_account,
    set_unit_policy,
)
from libs.machine.tests.zone import (
    Member,
    Zone,
    capture_hold,
    create_unit,
    identifier,
    make_zone,
    open_account,
    open_controller,
    place_hold,
    transfer,
)

UNIT, FUND = identifier("unit"), identifier("fund")
ANA, BEN = identifier("account of ana"), identifier("account of ben")
HOLD = identifier("hold")


class History:
    """A shop with a fund, and two members who trade."""

    def __init__(self, zone: Zone) -> None:
        self.zone, self.chain = zone, Chain(zone)
        self.shop = zone.organizations[0]
        self.ana, self.ben = (zone.member(name, self.shop) for name in ("ana", "ben"))

    async def add(self, actor: Member, *messages: pb.Message) -> None:
        time_ms = self.chain.ledger.state.newest.time_ms + 1_000
        await self.chain.add(self.zone.transaction(actor, *messages, time_ms=time_ms))

    async def begin(self) -> History:
        await self.add(self.shop, create_unit(UNIT, floor_minor=-100), open_account(FUND, UNIT))
        await self.add(self.shop, open_controller(self.ana), open_controller(self.ben))
        await self.add(self.ana, open_account(ANA, UNIT))
        await self.add(self.ben, open_account(BEN, UNIT))
        return self

    async def simulate(self, **supposed: Any) -> tuple[Simulation, list[Difference]]:
        differences: list[Difference] = []
        floor = supposed.pop("default_floor_minor", None)
        simulation = await simulate_archive(
            BytesIO(self.chain.archive()),
            self.zone.genesis,
            Supposition(UNIT, UnitPolicy(**supposed), floor),
            on_difference=differences.append,
        )
        return simulation, differences

    async def refusal(self, **supposed: Any) -> str:
        """Why a policy cannot be simulated."""
        with pytest.raises(SuppositionImpossible) as impossible:
            await self.simulate(**supposed)
        return impossible.value.reason


@pytest.fixture
async def history() -> History:
    return await History(make_zone()).begin()


async def test_the_policy_of_history_changes_nothing(history: History) -> None:
    await history.add(history.ana, transfer(ANA, BEN, 60))
    await history.add(history.ana, transfer(ANA, BEN, 60))
    simulation, differences = await history.simulate()
    assert differences == []
    assert (simulation.transactions, simulation.refused, simulation.would_be_refused) == (6, 1, 1)


async def test_a_lower_credit_refuses_and_what_follows_fails_with_it(history: History) -> None:
    await history.add(history.ana, transfer(ANA, BEN, 60))
    await history.add(history.ben, transfer(BEN, ANA, 70))
    simulation, differences = await history.simulate(default_floor_minor=-20)
    assert [(one.principal, one.was, one.would_be) for one in differences] == [
        (history.ana.principal, "", "CREDIT_LIMIT_EXCEEDED"),
        (history.ben.principal, "", "CREDIT_LIMIT_EXCEEDED"),
    ]
    assert differences[1].figures == (
        ("balance_minor", 0),
        ("held_minor", 0),
        ("amount_minor", 70),
        ("floor_minor", -20),
    ), "what was refused to ana never came to ben"
    assert (simulation.refused, simulation.would_be_refused) == (0, 2)


async def test_captures_of_holds_that_would_not_be_there_are_counted(history: History) -> None:
    expire_ms = history.chain.ledger.state.newest.time_ms + 60_000
    await history.add(history.ana, place_hold(HOLD, ANA, BEN, 60, expire_ms))
    await history.add(history.ben, capture_hold(HOLD, 50))
    _, differences = await history.simulate(default_floor_minor=-20)
    assert [one.would_be for one in differences] == ["CREDIT_LIMIT_EXCEEDED", "HOLD_UNKNOWN"]


async def test_growth_accepts_what_was_refused(history: History) -> None:
    await history.add(history.ana, transfer(ANA, BEN, 80))
    await history.add(history.ben, transfer(BEN, ANA, 80))
    await history.add(history.ana, transfer(ANA, BEN, 120))
    growth = {"growth_ppm": 500_000, "growth_max_minor": 100, "counterparty_max_minor": 100}
    simulation, differences = await history.simulate(**growth)
    assert [(one.was, one.would_be) for one in differences] == [("CREDIT_LIMIT_EXCEEDED", "")]
    assert dict(differences[0].figures)["floor_minor"] == -100, "as it was compared in history"
    assert simulation.since_height == 2


async def test_what_the_authority_set_in_history_gives_way(history: History) -> None:
    await history.add(
        history.shop, pledge_account(FUND, 10), set_unit_policy(UNIT, fee_ppm=100_000, fund=FUND)
    )
    await history.add(history.ana, transfer(ANA, BEN, 100))
    await history.add(history.ben, transfer(BEN, ANA, 195))
    _, differences = await history.simulate()
    assert [(one.was, one.would_be) for one in differences] == [("CREDIT_LIMIT_EXCEEDED", "")]


async def test_a_policy_with_a_fund_acts_once_the_fund_is_there(history: History) -> None:
    await history.add(history.ana, transfer(ANA, BEN, 100))
    await history.add(history.ben, transfer(BEN, ANA, 195))
    simulation, differences = await history.simulate(fee_ppm=100_000, fund=FUND)
    assert [(one.was, one.would_be) for one in differences] == [("", "CREDIT_LIMIT_EXCEEDED")]
    assert simulation.since_height == 2


async def test_a_fund_that_waits_for_its_opening_takes_fees_from_when_it_is_confirmed(
    history: History,
) -> None:
    other, beside = identifier("other fund"), identifier("beside it")
    opened = open_bringing(other, UNIT, 5), open_bringing(beside, UNIT, -5)
    await history.add(history.shop, *opened)
    await history.add(history.ana, transfer(ANA, BEN, 60))
    await history.add(history.shop, confirm_openings(UNIT, *sorted((other, beside))))
    await history.add(history.ben, transfer(BEN, ANA, 160))
    await history.add(history.ana, transfer(ANA, BEN, 200))
    simulation, differences = await history.simulate(fee_ppm=100_000, fund=other)
    assert simulation.since_height == 8
    assert [(one.height, one.would_be) for one in differences] == [(9, "CREDIT_LIMIT_EXCEEDED")]


async def test_a_fund_that_waits_until_the_archive_ends_never_takes_any(history: History) -> None:
    other = identifier("other fund")
    await history.add(history.shop, open_bringing(other, UNIT, 0))
    await history.add(history.ana, transfer(ANA, BEN, 60))
    assert await history.refusal(fund=other, fee_ppm=100_000) == "OPENING_PENDING"


async def test_what_could_never_be_the_fund_of_the_unit_is_refused(history: History) -> None:
    elsewhere, closed, unit = identifier("elsewhere"), identifier("closed"), identifier("other unit")
    await history.add(history.shop, create_unit(unit, floor_minor=-100), open_account(elsewhere, unit))
    await history.add(history.shop, open_account(closed, UNIT), close_account(closed))
    await history.add(history.ana, transfer(ANA, BEN, 60))
    for fund, reason in ((elsewhere, "UNIT_MISMATCH"), (closed, "ACCOUNT_CLOSED"), (unit, "FUND_UNKNOWN")):
        assert await history.refusal(fund=fund, fee_ppm=100_000) == reason
    with pytest.raises(SuppositionImpossible) as impossible:
        await simulate_archive(
            BytesIO(history.chain.archive()),
            history.zone.genesis,
            Supposition(FUND, UnitPolicy()),
            on_difference=print,
        )
    assert impossible.value.reason == "UNIT_UNKNOWN"


async def test_a_fund_that_was_closed_later_in_history_is_kept_open(history: History) -> None:
    other = identifier("other fund")
    await history.add(history.shop, open_account(other, UNIT))
    await history.add(history.shop, pledge_account(FUND, 5), set_unit_policy(UNIT, fee_ppm=1, fund=FUND))
    await history.add(history.shop, close_account(other))
    _, differences = await history.simulate(fee_ppm=100_000, fund=other)
    assert [(one.was, one.would_be) for one in differences] == [("", "ACCOUNT_IN_USE")]


async def test_an_archive_that_was_tampered_with_is_not_simulated(history: History) -> None:
    archive = bytearray(history.chain.archive())
    archive[len(archive) // 2] ^= 1
    with pytest.raises(Diverged):
        await simulate_archive(
            BytesIO(bytes(archive)),
            history.zone.genesis,
            Supposition(UNIT, UnitPolicy()),
            on_difference=lambda _difference: None,
        )

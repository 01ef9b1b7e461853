"""What authority rests on is said by f + 1 validators alike; fewer cannot make anybody believe anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from google.protobuf.message import Message
from icn.ledger.v1 import service_pb2 as ledger
from icn.ledger.v1.state_pb2 import (
    AccountLeaf,
    ControllerLeaf,
    Lane,
    MembershipLeaf,
    PollLeaf,
    StandingOrderLeaf,
)
from icn.ledger.v1.transaction_pb2 import OrderTransfers
from icn_chain.quorum import faults_of
from icn_kit import agreement
from icn_kit.agreement import AgreedReads
from icn_kit.errors import NotFound, Unavailable
from icn_kit.preference import HEIGHTS_BEHIND_MAX, Standing

ANA = "principals/" + b"a".hex() * 16
Answer = Callable[[], Message]


def controller(threshold: int = 1, lane: int = 0) -> ledger.GetControllerResponse:
    leaf = ControllerLeaf(
        principal=b"a" * 16, threshold=threshold, lanes=[Lane(lane=0, last_sequence=lane)] if lane else []
    )
    return ledger.GetControllerResponse(controller=leaf)


def membership(status: Any, height: int) -> ledger.GetMembershipResponse:
    return ledger.GetMembershipResponse(membership=MembershipLeaf(status=status), height=height)


class Panel:
    """Validators that say what the test has them say; implements `icn_kit.agreement.Panel`."""

    def __init__(self, *answers: Answer | Message | Exception | None, newest: int = 100) -> None:
        self.answers = list(answers)
        self.standings = [Standing(seat) for seat in range(len(answers))]
        self.newest = newest
        self.calls: list[int] = []

    @property
    def size(self) -> int:
        return len(self.answers)

    @property
    def faulty_max(self) -> int:
        return faults_of(len(self.answers))

    async def eligible(self, needed: int) -> tuple[Sequence[Standing], int]:
        return self.standings, self.newest

    async def ask_one(self, standing: Standing, request: Message, seconds: float) -> Message:
        self.calls.append(standing.seat)
        await asyncio.sleep(0)
        answer = self.answers[standing.seat]
        if answer is None:
            await asyncio.sleep(seconds)
            raise Unavailable("GONE", "does not answer")
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Message) else answer()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "AGREED_SECONDS_MAX", 0.5)
    monkeypatch.setattr(agreement, "ATTEMPT_SECONDS_MAX", 0.2)
    monkeypatch.setattr(agreement, "HEDGE_SECONDS", 0.02)
    monkeypatch.setattr(agreement, "DISSENT_SECONDS", 0.1)
    monkeypatch.setattr(agreement, "PAUSE_SECONDS", 0.01)


async def test_two_of_four_are_asked_and_no_more_when_they_agree() -> None:
    panel = Panel(controller(), controller(), controller(), controller())
    assert await AgreedReads(panel).get_controller(ANA) == controller()
    assert panel.calls == [0, 1]


async def test_of_fewer_than_four_one_is_enough() -> None:
    panel = Panel(controller(), controller(2), controller(3))
    assert await AgreedReads(panel).get_controller(ANA) == controller()
    assert panel.calls == [0]


@pytest.mark.parametrize("liar", range(4))
async def test_one_lying_validator_of_four_is_not_believed_wherever_it_sits(liar: int) -> None:
    panel = Panel(*(controller(threshold=9 if seat == liar else 1) for seat in range(4)))
    assert await AgreedReads(panel).get_controller(ANA) == controller()


@pytest.mark.parametrize("refusal", [NotFound("CONTROLLER_UNKNOWN", "no such controller"), None])
async def test_one_that_denies_or_is_silent_does_not_hide_what_the_others_have(
    refusal: Exception | None,
) -> None:
    panel = Panel(refusal, controller(), controller(), controller())
    assert await AgreedReads(panel).get_controller(ANA) == controller()


async def test_a_refusal_needs_as_many() -> None:
    unknown = NotFound("CONTROLLER_UNKNOWN", "no such controller")
    with pytest.raises(NotFound):
        await AgreedReads(Panel(unknown, unknown, unknown, unknown)).get_controller(ANA)


async def test_when_nobody_agrees_the_answer_says_how_many_did_and_how_many_must() -> None:
    panel = Panel(controller(1), controller(2), controller(3), controller(4))
    with pytest.raises(Unavailable) as refusal:
        await AgreedReads(panel).get_controller(ANA)
    assert refusal.value.reason == "TOO_FEW_VALIDATORS_AGREE"
    assert refusal.value.metadata == {"agreed": 1, "validators": 4, "needed": 2}
    assert refusal.value.message == "1 of 4 validators gave the same answer, 2 must"


async def test_when_too_few_answer_it_is_said_at_once() -> None:
    gone = Unavailable("GONE", "down")
    panel = Panel(gone, controller(), gone, gone)
    with pytest.raises(Unavailable) as refusal:
        await AgreedReads(panel).get_controller(ANA)
    assert refusal.value.metadata == {"agreed": 1, "validators": 4, "needed": 2}
    assert sorted(panel.calls) == [0, 1, 2, 3]


async def test_of_seven_three_must_agree_and_two_liars_with_one_story_are_not_enough() -> None:
    panel = Panel(controller(9), controller(9), *(controller() for _ in range(5)))
    assert await AgreedReads(panel).get_controller(ANA) == controller()
    panel = Panel(controller(9), controller(9), controller(), None, None, None, None)
    with pytest.raises(Unavailable) as refusal:
        await AgreedReads(panel).get_controller(ANA)
    assert refusal.value.metadata["needed"] == 3


async def test_what_changes_with_every_transaction_divides_nobody() -> None:
    panel = Panel(controller(lane=5), controller(lane=6), controller(lane=7), controller())
    assert await AgreedReads(panel).get_controller(ANA) == controller()
    assert panel.calls == [0, 1]
    accounts = [
        ledger.GetAccountResponse(
            account=ledger.Account(leaf=AccountLeaf(owner=b"o" * 16, balance_minor=b), height=100 + b)
        )
        for b in range(4)
    ]
    answer = await AgreedReads(Panel(*accounts)).get_account("accounts/x")
    assert answer.account == ledger.Account(leaf=AccountLeaf(owner=b"o" * 16), height=100)
    ordered = OrderTransfers(order=b"o" * 16, memo_hash=b"m" * 32)
    orders = [
        ledger.GetOrderResponse(order=StandingOrderLeaf(ordered=ordered, times_passed=passed))
        for passed in range(4)
    ]
    found = (await AgreedReads(Panel(*orders)).get_order("orders/x")).order
    assert found == StandingOrderLeaf(ordered=ordered)


async def test_a_change_that_has_reached_only_some_is_waited_for() -> None:
    said: list[Message] = [controller(1), controller(1), controller(2)]

    def slow() -> Message:
        return said.pop(0) if len(said) > 1 else said[0]

    panel = Panel(controller(2), slow, slow, slow)
    assert await AgreedReads(panel).get_controller(ANA) == controller(2)


async def test_who_contradicts_the_others_is_asked_last_for_a_while_and_longer_each_time() -> None:
    panel = Panel(controller(9), controller(), controller(), controller())
    reads = AgreedReads(panel)
    await reads.get_controller(ANA)
    liar = panel.standings[0]
    first = liar.dissents
    assert first == 1 and liar.doubted_until > 0
    await reads.get_controller(ANA)
    assert liar.dissents == 2
    liar.agreed()
    assert (liar.dissents, liar.doubted_until) == (0, 0.0)


async def test_an_answer_older_than_the_lag_allows_does_not_count_at_the_exact_border() -> None:
    oldest = 100 - HEIGHTS_BEHIND_MAX
    old, new = membership(2, oldest), membership(2, 101)
    answer = await AgreedReads(Panel(old, new, new, new)).get_membership("memberships/x/y")
    assert (answer.membership.status, answer.height) == (2, oldest)
    too_old, ended = membership(2, oldest - 1), membership(3, 100)
    panel = Panel(too_old, too_old, ended, ended)  # the liar repeats what a laggard says
    answer = await AgreedReads(panel).get_membership("memberships/x/y")
    assert answer.membership.status == 3


async def test_no_validator_can_hold_back_the_time_at_which_a_poll_was_read() -> None:
    def poll(time_ms: int) -> ledger.GetPollResponse:
        return ledger.GetPollResponse(poll=PollLeaf(ballots=3), height=100, block_time_ms=time_ms)

    for liar_ms in (0, 2**60):
        panel = Panel(poll(liar_ms), poll(5_000), poll(5_001), poll(5_001))
        answer = await AgreedReads(panel).get_poll("polls/x")
        assert answer.block_time_ms in (5_000, 5_001)
        assert panel.calls == [0, 1, 2]


async def test_a_slow_validator_is_not_waited_for_when_the_others_agree() -> None:
    panel = Panel(None, controller(), controller(), controller())
    async with asyncio.timeout(0.15):
        assert await AgreedReads(panel).get_controller(ANA) == controller()

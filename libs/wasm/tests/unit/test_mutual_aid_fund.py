"""The mutual-aid fund: paid in, asked, approved by enough others, paid out once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from icn_wasm.assembly import contract
from icn_wasm.messages import Coin
from icn_wasm.refusals import StopReason

from libs.wasm.tests.conftest import GAS

START = b'{"unit":"hours","approvals":"2","members":"anna,ben,cara,principals/d4"}'


@pytest.fixture
def fund(deploy: Any) -> Any:
    deployed = deploy(contract("mutual_aid_fund"))
    assert deployed.instantiate(START).stopped is None
    return deployed


def tell(fund: Any, sender: str, /, **message: object) -> Any:
    return fund.execute(json.dumps(message, separators=(",", ":")).encode(), sender)


def pay_in(fund: Any, sender: str, amount: int, unit: str = "hours", *more: Coin) -> Any:
    return fund.execute(b'{"pay_in":{}}', sender, GAS, Coin(unit, amount), *more)


def ask(fund: Any, /, **message: object) -> Any:
    return json.loads(fund.query(json.dumps(message, separators=(",", ":")).encode()).response.data)


def refusal(outcome: Any) -> str:
    assert outcome.stopped.reason == StopReason.CONTRACT_ERROR
    return outcome.stopped.message


def test_an_ask_is_paid_out_with_the_last_approval_needed(fund: Any) -> None:
    assert pay_in(fund, "anna", 500).stopped is None
    assert pay_in(fund, "cara", 40).stopped is None
    asked = tell(fund, "ben", ask={"amount": "240"})
    assert [attribute.value for attribute in asked.response.events[0].attributes][1:] == ["1"]
    assert ask(fund, ask={"ask": "1"}) == {
        "member": "ben",
        "amount": "240",
        "approvals": "0",
        "is_paid": False,
    }
    first = tell(fund, "anna", approve={"ask": "1"})
    assert first.response.messages == ()
    last = tell(fund, "principals/d4", approve={"ask": "1"})
    assert last.response.messages == (
        {"bank": {"send": {"to_address": "ben", "amount": [{"denom": "hours", "amount": "240"}]}}},
    )
    assert ask(fund, fund={}) == {"pool": "300", "asks": "1"}
    assert ask(fund, ask={"ask": "1"}) == {
        "member": "ben",
        "amount": "240",
        "approvals": "2",
        "is_paid": True,
    }
    assert refusal(tell(fund, "cara", approve={"ask": "1"})) == "paid out already"


def test_what_the_rules_forbid_is_refused_without_effect(fund: Any) -> None:
    pay_in(fund, "anna", 100)
    tell(fund, "ben", ask={"amount": "101"})
    before = dict(fund.storage)
    assert refusal(pay_in(fund, "dora", 1)) == "not a member"
    assert refusal(pay_in(fund, "anna", 0)) == "an amount is more than zero"
    assert refusal(tell(fund, "anna", ask={"amount": "0"})) == "an amount is more than zero"
    assert refusal(tell(fund, "ben", approve={"ask": "1"})) == "nobody approves an ask of their own"
    assert refusal(tell(fund, "anna", approve={"ask": "2"})) == "no such ask"
    assert dict(fund.storage) == before
    tell(fund, "anna", approve={"ask": "1"})
    assert refusal(tell(fund, "anna", approve={"ask": "1"})) == "approved already"
    assert refusal(tell(fund, "cara", approve={"ask": "1"})) == "the pool holds less"
    pay_in(fund, "cara", 1)
    assert tell(fund, "cara", approve={"ask": "1"}).response.messages != ()
    assert ask(fund, fund={}) == {"pool": "0", "asks": "1"}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b'{"unit":"hours","approvals":"0","members":"anna,ben"}', "at least one approval is needed"),
        (b'{"unit":"hours","approvals":"2","members":"anna,ben"}', "more approvals than other members"),
        (b'{"unit":"hours","approvals":"1","members":"anna,anna"}', "a member stands twice"),
    ],
)
def test_a_fund_that_could_never_pay_is_not_made(message: bytes, said: str, deploy: Any) -> None:
    assert refusal(deploy(contract("mutual_aid_fund")).instantiate(message)) == said


@pytest.mark.parametrize(
    "message",
    [
        b"{}",
        b'{"ask":{"amount":"01"}}',
        b'{"ask":{"amount":"-1"}}',
        b'{"ask":{"amount":1}}',
        b'{"ask":{"amount":"1000000000000000000"}}',
        b'{"ask": {"amount":"1"}}',
        b'{"pay_in":{},"ask":{"amount":"1"}}',
        b'{"pay_in":{"amount":"1"}}',
    ],
)
def test_a_message_in_another_form_is_not_understood(message: bytes, fund: Any) -> None:
    stopped = fund.execute(message, "anna").stopped
    assert (stopped.reason, stopped.message) == (StopReason.CONTRACT_ABORTED, "message not understood")


def test_a_full_pool_takes_no_more(fund: Any) -> None:
    assert pay_in(fund, "anna", 999999999999999999).stopped is None
    assert refusal(pay_in(fund, "anna", 1)) == "the pool is full"


def test_only_the_unit_of_the_fund_is_paid_in_and_only_with_pay_in(fund: Any) -> None:
    before = dict(fund.storage)
    assert refusal(pay_in(fund, "anna", 5, "kwh")) == "the fund takes its own unit only"
    assert refusal(pay_in(fund, "anna", 5, "hours", Coin("kwh", 1))) == "the fund takes its own unit only"
    assert refusal(fund.execute(b'{"pay_in":{}}', "anna")) == "an amount is more than zero"
    other = fund.execute(b'{"ask":{"amount":"1"}}', "anna", GAS, Coin("hours", 1))
    assert refusal(other) == "nothing is paid with this"
    assert dict(fund.storage) == before


def test_a_fund_is_made_with_nothing_paid(deploy: Any) -> None:
    outcome = deploy(contract("mutual_aid_fund")).instantiate(START, "anna", GAS, Coin("hours", 1))
    assert outcome.stopped.reason == StopReason.CONTRACT_ABORTED

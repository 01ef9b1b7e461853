"""What decisions do to units and accounts: told in words and amounts, refused outside their limits."""

from __future__ import annotations

from typing import Any

import pytest
from icn.ledger.v1.transaction_pb2 import DecisionAction, FreezeAccount
from icn_tally.polls.actions import describe_action, read_actions
from icn_tally.polls.credit_actions import QUANTITY_MAX, percent
from icn_tally.polls.forms import InvalidDocument

from .credit_samples import (
    ACCOUNT,
    CREDIT_ACTIONS,
    FREEZE,
    FUND,
    NO_POLICY,
    OPENINGS,
    POLICY,
    SET_POLICY,
    UNIT,
)
from .credit_samples import WRITE_OFF as WRITE


def test_whoever_countersigns_reads_what_is_done_and_how_much() -> None:
    told = [describe_action(action) for action in read_actions(CREDIT_ACTIONS, "actions")]
    policy, without, freeze, lift, written, closed, openings, period = told
    for part in (
        f"set the policy of units/{UNIT}",
        "limits grow by 50% of cleared trade, at most by 4000, at most 300 counting",
        "a payment costs 5 and 0.25%",
        "1% of a balance is taken each 30 days, 100 free",
        f"the fund is accounts/{FUND}",
        "the authority may freeze accounts",
    ):
        assert part in policy
    assert "soft limit" not in policy
    assert without.endswith(
        "limits do not grow; there is no fund; the authority may freeze accounts (amounts in minor units)"
    )
    assert freeze == f"freeze accounts/{ACCOUNT} until 2027-01-15 08:00:00.000+00:00"
    assert lift == f"lift the freeze of accounts/{ACCOUNT}"
    assert written.startswith(f"write off 1250 minor units of the debt of accounts/{ACCOUNT}")
    assert closed == f"close accounts/{ACCOUNT} for ever"
    assert openings == f"confirm what 2 accounts of units/{UNIT} bring: accounts/{ACCOUNT}, accounts/{FUND}"
    assert period.endswith(f"up to 2026-09-21 14:13:20.000+00:00 with the trial balance {'55' * 32}")


def test_a_time_past_every_calendar_is_told_too() -> None:
    action = DecisionAction(freeze_account=FreezeAccount(account=b"a" * 16, until_time_ms=2**64 - 1))
    assert describe_action(action).endswith(f"until {2**64 - 1} ms after 1970")


@pytest.mark.parametrize(
    ("ppm", "told"), [(0, "0%"), (1, "0.0001%"), (2_500, "0.25%"), (100_000, "10%"), (1_000_000, "100%")]
)
def test_shares_are_told_exactly(ppm: int, told: str) -> None:
    assert percent(ppm) == told


@pytest.mark.parametrize(
    ("action", "place"),
    [
        *(
            ({**SET_POLICY, "policy": {**POLICY, name: value}}, f"policy.{name}")
            for name, value in (
                ("growth_ppm", 1_000_001),
                ("soft_ppm", 1_000_000),
                ("fee_ppm", 100_001),
                ("demurrage_ppm", 100_001),
                ("demurrage_days", 367),
                ("demurrage_days", 0),
                ("fee_max_minor", str(QUANTITY_MAX + 1)),
                ("fee_max_minor", 5),
                ("fund", ""),
                ("fund", "33"),
                ("freezer", None),
            )
        ),
        ({**SET_POLICY, "policy": {**POLICY, "growth_max_minor": "0"}}, "policy.growth_ppm"),
        ({**SET_POLICY, "policy": {**NO_POLICY, "demurrage_days": 1}}, "policy.demurrage_days"),
        ({**SET_POLICY, "policy": None}, "policy"),
        ({**FREEZE, "until_time_ms": -1}, "until_time_ms"),
        ({**WRITE, "amount_minor": "0"}, "amount_minor"),
        ({**WRITE, "memo_hash": "44"}, "memo_hash"),
        ({**OPENINGS, "accounts": [ACCOUNT]}, "accounts"),
        ({**OPENINGS, "accounts": [FUND, ACCOUNT]}, "accounts"),
        ({**OPENINGS, "accounts": [ACCOUNT, ACCOUNT]}, "accounts"),
        ({**OPENINGS, "accounts": [ACCOUNT, "33"]}, "accounts[1]"),
        ({"kind": "close-account", "account": ACCOUNT, "remainder_to": FUND}, "remainder_to"),
    ],
)
def test_an_action_outside_its_limits_is_refused_at_its_place(action: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidDocument) as refusal:
        read_actions([action], "actions")
    assert refusal.value.place == f"actions[0].{place}"


def test_the_highest_of_everything_is_taken() -> None:
    highest = {
        **POLICY,
        "growth_ppm": 1_000_000,
        "soft_ppm": 999_999,
        "fee_ppm": 100_000,
        "demurrage_ppm": 100_000,
        "demurrage_days": 366,
        "fee_max_minor": str(QUANTITY_MAX),
    }
    (action,) = read_actions([{**SET_POLICY, "policy": highest}], "actions")
    assert action.set_unit_policy.policy.fee_max_minor == QUANTITY_MAX

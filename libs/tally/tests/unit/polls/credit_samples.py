"""Actions about units and accounts that the tests share."""

from __future__ import annotations

from typing import Any

UNIT, ACCOUNT, FUND = "11" * 16, "22" * 16, "33" * 16
POLICY: dict[str, Any] = {
    "growth_ppm": 500_000,
    "soft_ppm": 0,
    "fee_ppm": 2_500,
    "demurrage_ppm": 10_000,
    "growth_max_minor": "4000",
    "counterparty_max_minor": "300",
    "fee_fixed_minor": "5",
    "fee_max_minor": "0",
    "demurrage_free_minor": "100",
    "demurrage_days": 30,
    "fund": FUND,
    "freezer": "",
}
NO_POLICY: dict[str, Any] = {
    name: 0 if isinstance(value, int) else "0" if value.isdecimal() and len(value) < 5 else ""
    for name, value in POLICY.items()
}
SET_POLICY: dict[str, Any] = {"kind": "set-unit-policy", "unit": UNIT, "policy": POLICY}
FREEZE: dict[str, Any] = {"kind": "freeze-account", "account": ACCOUNT, "until_time_ms": 1_800_000_000_000}
WRITE_OFF: dict[str, Any] = {
    "kind": "write-off",
    "account": ACCOUNT,
    "amount_minor": "1250",
    "memo_hash": "44" * 32,
}
OPENINGS: dict[str, Any] = {"kind": "confirm-openings", "unit": UNIT, "accounts": [ACCOUNT, FUND]}
CREDIT_ACTIONS = [
    SET_POLICY,
    {**SET_POLICY, "policy": NO_POLICY},
    FREEZE,
    {**FREEZE, "until_time_ms": 0},
    WRITE_OFF,
    {"kind": "close-account", "account": ACCOUNT},
    OPENINGS,
    {"kind": "close-period", "unit": UNIT, "end_time_ms": 1_790_000_000_000, "digest": "55" * 32},
]

"""Actions of a decision about units and accounts, as documents write them and as people read them.

Source: docs/spec/governance.md, "Draft"; docs/spec/ledger.md, "Messages".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

from icn.ledger.v1.transaction_pb2 import (
    CloseAccount,
    ClosePeriod,
    ConfirmOpenings,
    DecisionAction,
    FreezeAccount,
    SetUnitPolicy,
    UnitPolicy,
    WriteOff,
)
from icn_crypto.jcs import JsonValue

from icn_tally.polls.forms import HASH_BYTES, IDENTIFIER_BYTES, Form, InvalidDocument, hex_bytes

QUANTITY_MAX: Final = 2**62
OPENINGS_MAX: Final = 512
PPM: Final = 1_000_000
CALENDAR_MS_MAX: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""
_SHARES: Final = {"growth_ppm": PPM, "soft_ppm": PPM - 1, "fee_ppm": 100_000, "demurrage_ppm": 100_000}
_AMOUNTS: Final = (
    *("growth_max_minor", "counterparty_max_minor", "fee_fixed_minor", "fee_max_minor"),
    "demurrage_free_minor",
)
_DAYS_MAX: Final = 366
POLICY_MEMBERS: Final = (*_SHARES, *_AMOUNTS, "demurrage_days", "fund", "freezer")
MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "set-unit-policy": ("unit", "policy"),
    "freeze-account": ("account", "until_time_ms"),
    "write-off": ("account", "amount_minor", "memo_hash"),
    "close-account": ("account",),
    "confirm-openings": ("unit", "accounts"),
    "close-period": ("unit", "end_time_ms", "digest"),
}
"""Members beside ``kind``, by kind."""


def read_credit_action(kind: str, form: Form) -> DecisionAction:
    """An action of one of the kinds in MEMBERS. Raises InvalidDocument."""
    return _READERS[kind](form)


def write_credit_action(action: DecisionAction) -> dict[str, JsonValue]:
    """An action of one of these kinds as a document has it."""
    match action.WhichOneof("kind"):
        case "set_unit_policy":
            policy = action.set_unit_policy
            return {
                "kind": "set-unit-policy",
                "unit": policy.unit.hex(),
                "policy": write_policy(policy.policy),
            }
        case "freeze_account":
            freeze = action.freeze_account
            return {
                "kind": "freeze-account",
                "account": freeze.account.hex(),
                "until_time_ms": freeze.until_time_ms,
            }
        case "write_off":
            written = action.write_off
            return {
                "kind": "write-off",
                "account": written.account.hex(),
                "amount_minor": str(written.amount_minor),
                "memo_hash": written.memo_hash.hex(),
            }
        case "close_account":
            assert not action.close_account.remainder_to, "only an owner passes on what is left"
            return {"kind": "close-account", "account": action.close_account.account.hex()}
        case "confirm_openings":
            openings = action.confirm_openings
            accounts: list[JsonValue] = [account.hex() for account in openings.accounts]
            return {"kind": "confirm-openings", "unit": openings.unit.hex(), "accounts": accounts}
        case other:
            assert other == "close_period", "documents hold no other action"
            period = action.close_period
            return {
                "kind": "close-period",
                "unit": period.unit.hex(),
                "end_time_ms": period.end_time_ms,
                "digest": period.digest.hex(),
            }


def write_policy(policy: UnitPolicy) -> dict[str, JsonValue]:
    """A policy as documents and `icn unit` show it: shares in millionths, amounts as decimal strings."""
    return {
        **{name: getattr(policy, name) for name in _SHARES},
        **{name: str(getattr(policy, name)) for name in _AMOUNTS},
        "demurrage_days": policy.demurrage_days,
        "fund": policy.fund.hex(),
        "freezer": policy.freezer.hex(),
    }


def describe_credit_action(action: DecisionAction) -> str | None:
    """An action of one of these kinds in a line for people; None for others."""
    kind = action.WhichOneof("kind") or ""
    return _TOLD[kind](getattr(action, kind)) if kind in _TOLD else None


def _tell_policy(done: SetUnitPolicy) -> str:
    return f"set the policy of units/{done.unit.hex()}: {policy_text(done.policy)}"


def _tell_freeze(done: FreezeAccount) -> str:
    if not done.until_time_ms:
        return f"lift the freeze of accounts/{done.account.hex()}"
    return f"freeze accounts/{done.account.hex()} until {_moment(done.until_time_ms)}"


def _tell_write_off(done: WriteOff) -> str:
    return (
        f"write off {done.amount_minor} minor units of the debt of accounts/{done.account.hex()}, paid from "
        "the unit's fund; its floor is 0 from then on"
    )


def _tell_close(done: CloseAccount) -> str:
    rest = f", what is left goes to accounts/{done.remainder_to.hex()}" if done.remainder_to else ""
    return f"close accounts/{done.account.hex()} for ever{rest}"


def _tell_openings(done: ConfirmOpenings) -> str:
    named = ", ".join(f"accounts/{account.hex()}" for account in done.accounts)
    return f"confirm what {len(done.accounts)} accounts of units/{done.unit.hex()} bring: {named}"


def _tell_period(done: ClosePeriod) -> str:
    return (
        f"close the books of units/{done.unit.hex()} up to {_moment(done.end_time_ms)} with the trial "
        f"balance {done.digest.hex()}"
    )


_TOLD: Final[Mapping[str, Callable[[Any], str]]] = {
    "set_unit_policy": _tell_policy,
    "freeze_account": _tell_freeze,
    "write_off": _tell_write_off,
    "close_account": _tell_close,
    "confirm_openings": _tell_openings,
    "close_period": _tell_period,
}


def policy_text(policy: UnitPolicy) -> str:
    """A policy in one line for people, amounts in minor units."""
    parts = []
    if policy.growth_ppm:
        parts.append(
            f"limits grow by {percent(policy.growth_ppm)} of cleared trade, at most by "
            f"{policy.growth_max_minor}, at most {policy.counterparty_max_minor} counting of what one owner "
            "pays another"
        )
    else:
        parts.append("limits do not grow")
    if policy.soft_ppm:
        parts.append(f"the soft limit is {percent(policy.soft_ppm)} of the limit")
    if policy.fee_fixed_minor or policy.fee_ppm:
        most = f", at most {policy.fee_max_minor}" if policy.fee_max_minor else ""
        parts.append(f"a payment costs {policy.fee_fixed_minor} and {percent(policy.fee_ppm)}{most}")
    if policy.demurrage_ppm:
        parts.append(
            f"{percent(policy.demurrage_ppm)} of a balance is taken each {policy.demurrage_days} days, "
            f"{policy.demurrage_free_minor} free"
        )
    parts.append(f"the fund is accounts/{policy.fund.hex()}" if policy.fund else "there is no fund")
    parts.append(f"{policy.freezer.hex() or 'the authority'} may freeze accounts")
    return "; ".join(parts) + " (amounts in minor units)"


def percent(ppm: int) -> str:
    """Millionths as a percentage, exactly: 2500 is ``0.25%``."""
    whole, rest = divmod(ppm, PPM // 100)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".") + "%"


def _moment(time_ms: int) -> str:
    """A block time for people, exactly; also one that is past every calendar."""
    if time_ms > CALENDAR_MS_MAX:
        return f"{time_ms} ms after 1970"
    moment = datetime.fromtimestamp(time_ms // 1_000, UTC).replace(microsecond=time_ms % 1_000 * 1_000)
    return moment.isoformat(" ", "milliseconds")


def _policy(value: Any, place: str) -> UnitPolicy:
    form = Form(value, place, POLICY_MEMBERS)
    policy = UnitPolicy(
        **{name: form.integer(name, 0, highest) for name, highest in _SHARES.items()},
        **{name: form.decimal(name, 0, QUANTITY_MAX) for name in _AMOUNTS},
        demurrage_days=form.integer("demurrage_days", 0, _DAYS_MAX),
        fund=_perhaps(form, "fund", IDENTIFIER_BYTES),
        freezer=_perhaps(form, "freezer", IDENTIFIER_BYTES),
    )
    if policy.growth_ppm and not (policy.growth_max_minor and policy.counterparty_max_minor):
        raise InvalidDocument(
            form.place("growth_ppm"), "growth asks for growth_max_minor and counterparty_max_minor above 0"
        )
    if bool(policy.demurrage_ppm) != bool(policy.demurrage_days):
        raise InvalidDocument(
            form.place("demurrage_days"), "1 to 366 with demurrage_ppm above 0, 0 without, is expected"
        )
    if (policy.fee_fixed_minor or policy.fee_ppm or policy.demurrage_ppm) and not policy.fund:
        raise InvalidDocument(form.place("fund"), "an account is expected where there are fees or demurrage")
    return policy


def _perhaps(form: Form, name: str, length_bytes: int) -> bytes:
    return form.hex(name, length_bytes) if form.raw(name) else form.hex(name, 0)


def _set_unit_policy(form: Form) -> DecisionAction:
    unit = form.hex("unit", IDENTIFIER_BYTES)
    policy = _policy(form.raw("policy"), form.place("policy"))
    return DecisionAction(set_unit_policy=SetUnitPolicy(unit=unit, policy=policy))


def _freeze_account(form: Form) -> DecisionAction:
    account = form.hex("account", IDENTIFIER_BYTES)
    until_time_ms = form.integer("until_time_ms", 0, 2**53 - 1)
    return DecisionAction(freeze_account=FreezeAccount(account=account, until_time_ms=until_time_ms))


def _write_off(form: Form) -> DecisionAction:
    return DecisionAction(
        write_off=WriteOff(
            account=form.hex("account", IDENTIFIER_BYTES),
            amount_minor=form.decimal("amount_minor", 1, QUANTITY_MAX),
            memo_hash=_perhaps(form, "memo_hash", HASH_BYTES),
        )
    )


def _close_account(form: Form) -> DecisionAction:
    return DecisionAction(close_account=CloseAccount(account=form.hex("account", IDENTIFIER_BYTES)))


def _confirm_openings(form: Form) -> DecisionAction:
    accounts = [
        hex_bytes(account, f"{form.place('accounts')}[{number}]", IDENTIFIER_BYTES)
        for number, account in enumerate(form.list("accounts", 2, OPENINGS_MAX))
    ]
    if any(earlier >= later for earlier, later in pairwise(accounts)):
        raise InvalidDocument(form.place("accounts"), "not ascending, or one is there twice")
    unit = form.hex("unit", IDENTIFIER_BYTES)
    return DecisionAction(confirm_openings=ConfirmOpenings(unit=unit, accounts=accounts))


def _close_period(form: Form) -> DecisionAction:
    return DecisionAction(
        close_period=ClosePeriod(
            unit=form.hex("unit", IDENTIFIER_BYTES),
            end_time_ms=form.integer("end_time_ms", 1, 2**53 - 1),
            digest=form.hex("digest", HASH_BYTES),
        )
    )


_READERS: Final[Mapping[str, Callable[[Form], DecisionAction]]] = {
    "set-unit-policy": _set_unit_policy,
    "freeze-account": _freeze_account,
    "write-off": _write_off,
    "close-account": _close_account,
    "confirm-openings": _confirm_openings,
    "close-period": _close_period,
}

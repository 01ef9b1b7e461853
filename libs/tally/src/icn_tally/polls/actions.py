"""What a decision does, as documents write it and as the ledger reads it.

Source: docs/spec/governance.md, "Draft".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from icn.ledger.v1.transaction_pb2 import (
    AdmitToAuthority,
    AllowanceLimits,
    AuthorityRules,
    DecisionAction,
    EndMembershipOfAuthority,
    SetAllowance,
    SetFloor,
)
from icn_crypto.jcs import JsonValue

from icn_tally.polls.forms import IDENTIFIER_BYTES, Form, InvalidDocument

ACTIONS_MAX: Final = 16
"""As many as a Decision may have."""
FLOOR_MINOR_MIN: Final = -(2**62)
QUANTITY_MAX: Final = 2**40
FUEL_MAX: Final = 2**50
MEMBERS_MAX: Final = 64
VOUCHES_MAX: Final = 16
_LIMITS: Final = ("bytes_per_epoch", "signatures_per_epoch", "state_leaves", "fuel_per_epoch")
_MEMBERS: Final = {
    "admit-member": ("member",),
    "end-membership": ("member",),
    "set-floor": ("account", "floor_minor"),
    "set-allowance": ("organization", *_LIMITS),
    "set-rules": ("threshold", "vouches_min"),
}


def read_actions(values: Iterable[object], place: str) -> tuple[DecisionAction, ...]:
    """The actions of a document.

    Raises:
        InvalidDocument: one is none.
    """
    return tuple(_read_action(value, f"{place}[{number}]") for number, value in enumerate(values))


def write_action(action: DecisionAction) -> dict[str, JsonValue]:
    """An action as a document has it; founding has no such form."""
    kind = action.WhichOneof("kind")
    if kind == "admit_member":
        return {"kind": "admit-member", "member": action.admit_member.member.hex()}
    if kind == "end_membership":
        return {"kind": "end-membership", "member": action.end_membership.member.hex()}
    if kind == "set_floor":
        floor = action.set_floor
        return {"kind": "set-floor", "account": floor.account.hex(), "floor_minor": str(floor.floor_minor)}
    if kind == "set_allowance":
        allowance = action.set_allowance
        limits: dict[str, JsonValue] = {name: str(getattr(allowance.limits, name)) for name in _LIMITS}
        return {"kind": "set-allowance", "organization": allowance.organization.hex(), **limits}
    assert kind == "set_rules", "documents hold no other action"
    rules = action.set_rules
    return {"kind": "set-rules", "threshold": rules.threshold, "vouches_min": rules.vouches_min}


def describe_action(action: DecisionAction) -> str:
    """An action in one line for people."""
    match action.WhichOneof("kind"):
        case "found_authority":
            founded = action.found_authority
            text = f"found the authority with {len(founded.members)} members, {_rules_text(founded.rules)}"
        case "admit_member":
            text = f"admit principals/{action.admit_member.member.hex()}"
        case "end_membership":
            text = f"end the membership of principals/{action.end_membership.member.hex()}"
        case "set_floor":
            floor = action.set_floor
            text = f"set the floor of accounts/{floor.account.hex()} to {floor.floor_minor} minor units"
        case "set_allowance":
            allowance = action.set_allowance
            limits = ", ".join(
                f"{name.replace('_', ' ')} {getattr(allowance.limits, name)}" for name in _LIMITS
            )
            text = f"set the allowance of principals/{allowance.organization.hex()}: {limits}"
        case "set_rules":
            text = f"set the rules: {_rules_text(action.set_rules)}"
        case _:
            text = "an action that this version does not know"
    return text


def _rules_text(rules: AuthorityRules) -> str:
    threshold = f"{rules.threshold} members" if rules.threshold else "more than two thirds"
    return f"{threshold} must countersign, {rules.vouches_min} vouch for an applicant"


def _read_action(value: object, place: str) -> DecisionAction:
    kind: Any = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _MEMBERS:
        raise InvalidDocument(f"{place}.kind", f"one of {', '.join(_MEMBERS)} is expected")
    form = Form(value, place, ("kind", *_MEMBERS[kind]))
    if kind == "admit-member":
        return DecisionAction(admit_member=AdmitToAuthority(member=form.hex("member", IDENTIFIER_BYTES)))
    if kind == "end-membership":
        member = form.hex("member", IDENTIFIER_BYTES)
        return DecisionAction(end_membership=EndMembershipOfAuthority(member=member))
    if kind == "set-floor":
        account = form.hex("account", IDENTIFIER_BYTES)
        floor_minor = form.decimal("floor_minor", FLOOR_MINOR_MIN, 0)
        return DecisionAction(set_floor=SetFloor(account=account, floor_minor=floor_minor))
    if kind == "set-allowance":
        organization = form.hex("organization", IDENTIFIER_BYTES)
        limits = AllowanceLimits(
            **{
                name: form.decimal(name, 0, FUEL_MAX if name == "fuel_per_epoch" else QUANTITY_MAX)
                for name in _LIMITS
            }
        )
        return DecisionAction(set_allowance=SetAllowance(organization=organization, limits=limits))
    return DecisionAction(
        set_rules=AuthorityRules(
            threshold=form.integer("threshold", 0, MEMBERS_MAX),
            vouches_min=form.integer("vouches_min", 0, VOUCHES_MAX),
        )
    )

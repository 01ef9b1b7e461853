"""What a decision does, as documents write it and as the ledger reads it.

Source: docs/spec/governance.md, "Draft".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from icn.ledger.v1.transaction_pb2 import (
    ActivateProtocol,
    AdmitToAuthority,
    AllowanceLimits,
    AuthorityRules,
    DecisionAction,
    EndMembershipOfAuthority,
    SetAllowance,
    SetFloor,
    Share,
)
from icn_crypto.jcs import JsonValue

from icn_tally.polls import credit_actions
from icn_tally.polls.forms import IDENTIFIER_BYTES, Form, InvalidDocument
from icn_tally.polls.rules import rules_text
from icn_tally.polls.seats import describe_seat_changes, read_seat_changes, write_seat_changes

ACTIONS_MAX: Final = 16
"""As many as a Decision may have."""
FLOOR_MINOR_MIN: Final = -(2**62)
QUANTITY_MAX: Final = 2**40
FUEL_MAX: Final = 2**50
MEMBERS_MAX: Final = 64
VOUCHES_MAX: Final = 16
POLL_MS_MIN_MAX: Final = 7_776_000_000
"""90 days, the ledger's."""
ACTIVATED_MIN: Final = 2
"""Nobody activates the first one."""
ACTIVATED_MAX: Final = 2**32 - 1
SHARE_DENOMINATOR_MAX: Final = 1_000
SHARES: Final = ("quorum", "majority", "constitutional_quorum", "constitutional_majority")
"""Members of the rules that are shares."""
_SHARE: Final = re.compile(r"(0|[1-9][0-9]{0,3})/([1-9][0-9]{0,3})")
_LIMITS: Final = (
    "bytes_per_epoch",
    "signatures_per_epoch",
    "state_leaves",
    "fuel_per_epoch",
    "new_leaves_per_epoch",
)
_MEMBERS: Final = {
    "admit-member": ("member",),
    "end-membership": ("member",),
    "set-floor": ("account", "floor_minor"),
    "set-allowance": ("organization", *_LIMITS),
    "change-validators": ("validator_set_hash", "changes"),
    "activate-protocol": ("protocol_version",),
    "set-rules": ("threshold", "vouches_min", "poll_ms_min", *SHARES),
    **credit_actions.MEMBERS,
}


def read_actions(values: Iterable[object], place: str) -> tuple[DecisionAction, ...]:
    """The actions of a document.

    Raises:
        InvalidDocument: one is none.
    """
    return tuple(_read_action(value, f"{place}[{number}]") for number, value in enumerate(values))


def write_action(action: DecisionAction) -> dict[str, JsonValue]:  # noqa: PLR0911 - one per kind
    """An action as a document has it; founding has no such form."""
    kind = action.WhichOneof("kind") or ""
    if kind in {"admit_member", "end_membership"}:
        return {"kind": kind.replace("_", "-"), "member": getattr(action, kind).member.hex()}
    if kind == "set_floor":
        floor = action.set_floor
        return {"kind": "set-floor", "account": floor.account.hex(), "floor_minor": str(floor.floor_minor)}
    if kind == "set_allowance":
        allowance = action.set_allowance
        limits: dict[str, JsonValue] = {name: str(getattr(allowance.limits, name)) for name in _LIMITS}
        return {"kind": "set-allowance", "organization": allowance.organization.hex(), **limits}
    if kind == "change_validators":
        return {"kind": "change-validators", **write_seat_changes(action.change_validators)}
    if kind == "activate_protocol":
        return {"kind": "activate-protocol", "protocol_version": action.activate_protocol.protocol_version}
    if kind == "set_rules":
        return _write_rules(action.set_rules)
    return credit_actions.write_credit_action(action)


def _write_rules(rules: AuthorityRules) -> dict[str, JsonValue]:
    return {
        "kind": "set-rules",
        "threshold": rules.threshold,
        "vouches_min": rules.vouches_min,
        "poll_ms_min": rules.poll_ms_min,
        **{name: write_share(rules, name) for name in SHARES},
    }


def write_share(rules: AuthorityRules, name: str) -> str:
    """One of SHARES as documents have it: ``2/3``, or empty where the rules leave it to the default."""
    if not rules.HasField(name):
        return ""
    share = getattr(rules, name)
    return f"{share.numerator}/{share.denominator}"


def read_share(value: object, name: str, place: str) -> Share | None:
    """A share of the rules from how documents have it; None for an empty text.

    Raises:
        InvalidDocument: it is none, or a majority of less than half.
    """
    if value == "":
        return None
    found = _SHARE.fullmatch(value) if isinstance(value, str) else None
    numerator, denominator = (int(found[1]), int(found[2])) if found else (1, 1)
    if not 0 <= numerator < denominator <= SHARE_DENOMINATOR_MAX:
        raise InvalidDocument(
            place, f"a share below 1 of at most {SHARE_DENOMINATOR_MAX} parts is expected, such as 2/3"
        )
    if name.endswith("majority") and 2 * numerator < denominator:
        raise InvalidDocument(place, "1/2 is the least majority")
    return Share(numerator=numerator, denominator=denominator)


def describe_action(action: DecisionAction) -> str:
    """An action in one line for people."""
    match action.WhichOneof("kind"):
        case "found_authority":
            founded = action.found_authority
            text = f"found the authority with {len(founded.members)} members: {rules_text(founded.rules)}"
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
        case "change_validators":
            text = f"change the validators: {describe_seat_changes(action.change_validators)}"
        case "activate_protocol":
            version = action.activate_protocol.protocol_version
            text = f"put protocol version {version} in force from the end of the epoch on"
        case "set_rules":
            text = f"set the rules: {rules_text(action.set_rules)}"
        case _:
            told = credit_actions.describe_credit_action(action)
            text = told or "an action that this version does not know"
    return text


def _read_action(value: object, place: str) -> DecisionAction:  # noqa: PLR0911 - one per kind
    kind: Any = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _MEMBERS:
        raise InvalidDocument(f"{place}.kind", f"one of {', '.join(_MEMBERS)} is expected")
    form = Form(value, place, ("kind", *_MEMBERS[kind]))
    if kind in {"admit-member", "end-membership"}:
        member = form.hex("member", IDENTIFIER_BYTES)
        return (
            DecisionAction(admit_member=AdmitToAuthority(member=member))
            if kind == "admit-member"
            else DecisionAction(end_membership=EndMembershipOfAuthority(member=member))
        )
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
    if kind == "change-validators":
        return DecisionAction(change_validators=read_seat_changes(form))
    if kind == "activate-protocol":
        version = form.integer("protocol_version", ACTIVATED_MIN, ACTIVATED_MAX)
        return DecisionAction(activate_protocol=ActivateProtocol(protocol_version=version))
    if kind == "set-rules":
        return DecisionAction(set_rules=_read_rules(form))
    return credit_actions.read_credit_action(kind, form)


def _read_rules(form: Form) -> AuthorityRules:
    return AuthorityRules(
        threshold=form.integer("threshold", 0, MEMBERS_MAX),
        vouches_min=form.integer("vouches_min", 0, VOUCHES_MAX),
        poll_ms_min=form.integer("poll_ms_min", 0, POLL_MS_MIN_MAX),
        **{name: read_share(form.raw(name), name, form.place(name)) for name in SHARES},
    )

"""Changes of a zone's validators, as documents write them and as the ledger reads them.

Source: docs/spec/governance.md, "Draft"; docs/spec/transaction.md, "Seats".
"""

from __future__ import annotations

from typing import Any, Final

from icn.ledger.v1.transaction_pb2 import ChangeValidators, OfferedKey, ReplaceSeat, SeatChange, SeatOffer
from icn_crypto.hashing import HASH_BYTES
from icn_crypto.jcs import JsonValue
from icn_crypto.suites import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SUITE_NAMES, Suite

from icn_tally.polls.forms import IDENTIFIER_BYTES, Form, InvalidDocument

CHANGES_MAX: Final = 16
"""f of fifty seats: more than that are never changed at once."""
_MEMBERS: Final = {
    "add": ("seat",),
    "remove": ("organization",),
    "replace": ("organization", "seat"),
}


def read_seat_changes(form: Form) -> ChangeValidators:
    """The members `validator_set_hash` and `changes` of an action.

    Raises:
        InvalidDocument: they are none.
    """
    return ChangeValidators(
        validator_set_hash=form.hex("validator_set_hash", HASH_BYTES),
        changes=[
            _read_change(value, f"{form.place('changes')}[{number}]")
            for number, value in enumerate(form.list("changes", 1, CHANGES_MAX))
        ],
    )


def write_seat_changes(message: ChangeValidators) -> dict[str, JsonValue]:
    """The same members of a message."""
    return {
        "validator_set_hash": message.validator_set_hash.hex(),
        "changes": [_write_change(change) for change in message.changes],
    }


def describe_seat_changes(message: ChangeValidators) -> str:
    """The changes in one line for people."""
    told = []
    for change in message.changes:
        match change.WhichOneof("kind"):
            case "add":
                told.append(f"add principals/{change.add.organization.hex()}")
            case "remove":
                told.append(f"remove principals/{change.remove.hex()}")
            case "replace":
                old, new = change.replace.organization.hex(), change.replace.seat.organization.hex()
                told.append(
                    f"give principals/{old} other keys"
                    if old == new
                    else f"put principals/{new} in the place of principals/{old}"
                )
    return "; ".join(told)


def _read_change(value: object, place: str) -> SeatChange:
    kind: Any = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _MEMBERS:
        raise InvalidDocument(f"{place}.kind", f"one of {', '.join(_MEMBERS)} is expected")
    form = Form(value, place, ("kind", *_MEMBERS[kind]))
    if kind == "add":
        return SeatChange(add=_read_offer(form))
    organization = form.hex("organization", IDENTIFIER_BYTES)
    if kind == "remove":
        return SeatChange(remove=organization)
    return SeatChange(replace=ReplaceSeat(organization=organization, seat=_read_offer(form)))


def _write_change(change: SeatChange) -> JsonValue:
    kind = change.WhichOneof("kind")
    if kind == "add":
        return {"kind": kind, "seat": _write_offer(change.add)}
    if kind == "remove":
        return {"kind": kind, "organization": change.remove.hex()}
    assert kind == "replace", "there is no other change"
    replaced = change.replace
    return {
        "kind": kind,
        "organization": replaced.organization.hex(),
        "seat": _write_offer(replaced.seat),
    }


def _read_offer(outer: Form) -> SeatOffer:
    form = Form(outer.raw("seat"), outer.place("seat"), ("organization", "public_keys", "possession"))
    names = tuple(SUITE_NAMES.values())
    public_keys = Form(form.raw("public_keys"), form.place("public_keys"), names)
    possession = Form(form.raw("possession"), form.place("possession"), names)
    return SeatOffer(
        organization=form.hex("organization", IDENTIFIER_BYTES),
        keys=[
            OfferedKey(
                suite=int(suite),
                public_key=public_keys.hex(SUITE_NAMES[suite], PUBLIC_KEY_BYTES[suite]),
                possession=possession.hex(SUITE_NAMES[suite], SIGNATURE_BYTES[suite]),
            )
            for suite in sorted(SUITE_NAMES)
        ],
    )


def _write_offer(offer: SeatOffer) -> JsonValue:
    return {
        "organization": offer.organization.hex(),
        "public_keys": {SUITE_NAMES[Suite(key.suite)]: key.public_key.hex() for key in offer.keys},
        "possession": {SUITE_NAMES[Suite(key.suite)]: key.possession.hex() for key in offer.keys},
    }

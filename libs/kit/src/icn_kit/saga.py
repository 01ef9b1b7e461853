"""The saga rule: when a service confirms, waits for, releases or undoes an intent whose effect is on the
ledger.

Pure. Source: docs/spec/events.md, "Saga rule".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Ours(Enum):
    """Our side of the intent."""

    RESERVED = "reserved"
    CONFIRMED = "confirmed"
    RELEASED = "released"


class Theirs(Enum):
    """The effect on the ledger."""

    ABSENT = "absent"
    """No hold of the intent's id, and none was captured."""
    HELD = "held"
    CAPTURED = "captured"


class Decision(Enum):
    """What to do now."""

    NOTHING = "nothing"
    WAIT = "wait"
    """Look again when block time has reached the hold's expiry, or when an event says more."""
    CONFIRM = "confirm"
    RELEASE = "release"
    VOID_HOLD = "void_hold"
    VOID_BY_TRANSFER_BACK = "void_by_transfer_back"
    """With an id made from the intent's, so that it happens once."""


@dataclass(frozen=True, slots=True)
class Observation:
    """The ledger as one final state shows it; both values must be of the same state."""

    effect: Theirs
    block_time_ms: int


def decide(ours: Ours, hold_expires_at_ms: int, seen: Observation) -> Decision:
    """The one next step for an intent with a hold that expires at ``hold_expires_at_ms`` in block time.

    The ledger neither places nor keeps a hold once block time has reached its expiry
    (docs/spec/transaction.md), so from that moment on absence is final.
    """
    match ours, seen.effect:
        case Ours.RESERVED, Theirs.CAPTURED:
            return Decision.CONFIRM
        case Ours.RESERVED, Theirs.ABSENT if seen.block_time_ms >= hold_expires_at_ms:
            return Decision.RELEASE
        case Ours.RESERVED, _:
            return Decision.WAIT
        case Ours.RELEASED, Theirs.HELD:
            return Decision.VOID_HOLD
        case Ours.RELEASED, Theirs.CAPTURED:
            return Decision.VOID_BY_TRANSFER_BACK
    return Decision.NOTHING

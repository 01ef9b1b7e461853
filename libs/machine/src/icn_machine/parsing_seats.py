"""Bytes of changes of the validator set become messages; a part of `parsing`.

Source: docs/spec/transaction.md, "Seats"; protos/icn/ledger/v1/transaction.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from icn.ledger.v1 import transaction_pb2
from icn_chain.protocols import FIRST_PROTOCOL
from icn_crypto.suites import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Suite

from icn_machine import limits
from icn_machine.messages import (
    ActivateProtocol,
    AddSeat,
    ChangeValidators,
    OfferedKey,
    RekeySeat,
    RemoveSeat,
    ReplaceSeat,
    SeatChange,
    SeatOffer,
)
from icn_machine.refusals import Malformed
from icn_machine.static_rules import check_digest, check_identifier

_SUITES = sorted(Suite)
_ACTIVATED_MIN = FIRST_PROTOCOL + 1
"""Nobody activates the first one."""


def read_change_validators(message: transaction_pb2.ChangeValidators) -> ChangeValidators:
    """Changes of the next set; no state is asked and no signature looked at."""
    if not 1 <= len(message.changes) <= limits.SEAT_CHANGES_MAX:
        raise Malformed(f"{len(message.changes)} changes, allowed 1 to {limits.SEAT_CHANGES_MAX}")
    set_hash = check_digest(message.validator_set_hash, "validator_set_hash")
    return ChangeValidators(set_hash, tuple(map(_change, message.changes)))


def read_activate_protocol(message: transaction_pb2.ActivateProtocol) -> ActivateProtocol:
    """A version; which one may be named says the state, not the release that reads it."""
    if message.protocol_version < _ACTIVATED_MIN:
        raise Malformed(
            f"protocol version {message.protocol_version}, the first to be activated is {_ACTIVATED_MIN}"
        )
    return ActivateProtocol(message.protocol_version)


def _change(change: transaction_pb2.SeatChange) -> SeatChange:
    match change.WhichOneof("kind"):
        case "add":
            return AddSeat(_offer(change.add))
        case "remove":
            return RemoveSeat(check_identifier(change.remove, "remove"))
        case "replace":
            organization = check_identifier(change.replace.organization, "organization")
            return ReplaceSeat(organization, _offer(change.replace.seat))
    raise Malformed("a change has no kind")


def _offer(offer: transaction_pb2.SeatOffer) -> SeatOffer:
    return SeatOffer(check_identifier(offer.organization, "organization"), _keys(offer.keys))


def _keys(keys: Sequence[transaction_pb2.OfferedKey]) -> tuple[OfferedKey, ...]:
    if [key.suite for key in keys] != _SUITES:
        raise Malformed("an offer has one key of every suite, ascending")
    for key in keys:
        suite = Suite(key.suite)
        if len(key.public_key) != PUBLIC_KEY_BYTES[suite]:
            raise Malformed(f"a public key of suite {key.suite} has {PUBLIC_KEY_BYTES[suite]} bytes")
        if len(key.possession) != SIGNATURE_BYTES[suite]:
            raise Malformed(f"a signature of suite {key.suite} has {SIGNATURE_BYTES[suite]} bytes")
    return tuple(OfferedKey(key.suite, key.public_key, key.possession) for key in keys)


def _rekey_seat(message: transaction_pb2.RekeySeat) -> RekeySeat:
    return RekeySeat(check_digest(message.validator_set_hash, "validator_set_hash"), _keys(message.keys))


READERS: dict[str, Callable[[Any], Any]] = {
    "change_validators": read_change_validators,
    "rekey_seat": _rekey_seat,
    "activate_protocol": read_activate_protocol,
}

"""Decisions and what members sign of them. Source: docs/spec/governance.md, docs/spec/transaction.md."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from icn.ledger.v1.state_pb2 import ControllerLeaf
from icn.ledger.v1.transaction_pb2 import ControllerKey, Countersignature, Decision
from icn_crypto.suites import Suite, key_id, verify_strictly
from icn_crypto.wire import MalformedBytes, NotCanonical, parse_canonical
from icn_kit.errors import FailedPrecondition, InvalidArgument, PermissionDenied, Unauthenticated
from icn_tally.polls.decisions import DECISION_BYTES_MAX, decision_preimage
from icn_tally.polls.documents import DecisionText, read_text
from icn_tally.polls.forms import InvalidDocument

from icn_governance.domain.errors import document_invalid

ENACT_DECISION: Final = 16
"""Kind of message that a steward's key may sign."""
COUNTERSIGNATURES_MAX: Final = 64
"""As many as an authority has members."""
ACTIONS_MAX: Final = 16


class DecisionState(IntEnum):
    """How far a decision has come; the numbers of the proto."""

    PROPOSED = 1
    ENACTED = 2
    LAPSED = 3


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A decision as stored."""

    decision_id: bytes
    body: bytes
    text: bytes
    """Empty for one with a poll."""
    create_time_ms: int
    enact_height: int = 0
    countersignatures: int = 0
    position: int = 0

    def read(self) -> Decision:
        """The decision, which was checked when it came."""
        return Decision.FromString(self.body)

    def state(self, block_time_ms: int) -> DecisionState:
        """As of a block time."""
        if self.enact_height:
            return DecisionState.ENACTED
        return DecisionState.LAPSED if block_time_ms > self.read().expire_time_ms else DecisionState.PROPOSED


def read_direct_decision(body: bytes, text: bytes, genesis_hash: bytes) -> tuple[Decision, DecisionText]:
    """A decision without a poll and its text, when they belong together.

    Raises:
        InvalidArgument: DECISION_INVALID, TEXT_INVALID.
    """
    try:
        decision = parse_canonical(Decision, body, DECISION_BYTES_MAX)
    except (MalformedBytes, NotCanonical) as error:
        raise InvalidArgument("DECISION_INVALID", str(error)) from None
    try:
        read = read_text(text)
    except InvalidDocument as error:
        raise document_invalid("TEXT_INVALID", error) from None
    kinds = [action.WhichOneof("kind") for action in decision.actions]
    for is_fault, fault in (
        (bool(decision.poll), "a decision of a poll follows from its result"),
        (len(decision.authority) != 16, "the authority has 16 bytes"),
        (read.authority != decision.authority, "the text is of another authority"),
        (decision.subject != read.digest(genesis_hash), "the subject is not the text's digest"),
        (
            len(kinds) > ACTIONS_MAX or None in kinds,
            f"there are up to {ACTIONS_MAX} actions, each of one kind",
        ),
        ("found_authority" in kinds[1:], "founding comes first"),
        (not decision.expire_time_ms, "it has no expiry"),
    ):
        if is_fault:
            raise InvalidArgument("DECISION_INVALID", fault)
    return decision, read


def founders_of(decision: Decision) -> frozenset[bytes] | None:
    """Who founds an authority by this decision; None where it is there already."""
    if decision.actions and decision.actions[0].WhichOneof("kind") == "found_authority":
        return frozenset(decision.actions[0].found_authority.members)
    return None


def check_countersignature(
    countersignature: Countersignature,
    body: bytes,
    controller: ControllerLeaf,
    genesis_hash: bytes,
    block_time_ms: int,
) -> None:
    """Refuse what the ledger would refuse: one bad countersignature makes an enactment void.

    Raises:
        PermissionDenied: KEY_UNKNOWN, KEY_NOT_ALLOWED.
        Unauthenticated: COUNTERSIGNATURE_INVALID.
    """
    key = _key_of(controller, countersignature.key_id)
    public_key = next(
        (
            entry.public_key
            for entry in (key.public_keys if key is not None else ())
            if entry.suite == countersignature.suite
        ),
        None,
    )
    if key is None or public_key is None:
        raise PermissionDenied(
            "KEY_UNKNOWN",
            f"the signer has no key {countersignature.key_id.hex()} of suite {countersignature.suite}",
            key_id=countersignature.key_id.hex(),
        )
    if not _may_countersign(key, controller.threshold, block_time_ms):
        raise PermissionDenied(
            "KEY_NOT_ALLOWED",
            f"key {countersignature.key_id.hex()} is neither a steward's nor one that acts alone",
            key_id=countersignature.key_id.hex(),
        )
    message = decision_preimage(genesis_hash, body)
    if not verify_strictly(countersignature.suite, public_key, message, countersignature.signature):
        raise Unauthenticated(
            "COUNTERSIGNATURE_INVALID",
            f"the signature of key {countersignature.key_id.hex()} does not hold for this decision",
        )


def check_not_lapsed(decision: Decision, block_time_ms: int) -> None:
    """Pass while the decision can be enacted.

    Raises:
        FailedPrecondition: DECISION_LAPSED.
    """
    if block_time_ms > decision.expire_time_ms:
        raise FailedPrecondition(
            "DECISION_LAPSED",
            f"it could be enacted until {decision.expire_time_ms}, block time is {block_time_ms}",
            expire_time_ms=decision.expire_time_ms,
            block_time_ms=block_time_ms,
        )


def _key_of(controller: ControllerLeaf, wanted: bytes) -> ControllerKey | None:
    for key in controller.keys:
        if key_id({Suite(entry.suite): entry.public_key for entry in key.public_keys}) == wanted:
            return key
    return None


def _may_countersign(key: ControllerKey, threshold: int, block_time_ms: int) -> bool:
    if not key.HasField("scope"):
        return threshold == 1
    scope = key.scope
    has_ended = bool(scope.expire_time_ms) and block_time_ms > scope.expire_time_ms
    return ENACT_DECISION in scope.message_kinds and not has_ended

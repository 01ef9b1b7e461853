"""Decisions of authorities: made, countersigned with a member's or a steward's key, judged.

Source: docs/spec/transaction.md, "Decisions"; docs/spec/governance.md, "Decision".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from icn.ledger.v1.state_pb2 import ControllerLeaf
from icn.ledger.v1.transaction_pb2 import (
    AdmitToAuthority,
    AuthorityRules,
    Countersignature,
    Decision,
    DecisionAction,
    EndMembershipOfAuthority,
    FoundAuthority,
    Message,
    SetFloor,
)
from icn_crypto.suites import Suite, verify_strictly
from icn_crypto.wire import MalformedBytes, NotCanonical, parse_canonical
from icn_tally.polls.decisions import DECISION_BYTES_MAX, decision_bytes, decision_id, decision_preimage
from icn_tally.polls.documents import DecisionText, read_text
from icn_tally.polls.forms import InvalidDocument

from icn_client.transactions import KeyPair, controller_key, controller_key_id, enact_decision, key_scope

STEWARD_KIND: Final = "enact_decision"
"""What makes a scoped key a steward's: it countersigns."""
STEWARD_SCOPE: Final = (STEWARD_KIND, "record_equivocation")
"""Kinds of message in the scope of a steward's key: it brings evidence to the ledger, too."""
DECIDED: Final = frozenset({"DECISION_EXISTS", "POLL_DECIDED"})
"""Refusals of an enactment that came second: what was wanted is done."""
GOVERNED: Final = frozenset(
    {
        *("set_floor", "set_unit_policy", "freeze_account", "write_off"),
        *("close_account", "confirm_openings", "close_period"),
    }
)
"""Messages about units and accounts that are actions of decisions as well."""

__all__ = ["decision_bytes", "decision_id", "decision_preimage", "enact_decision"]


class DecisionDiffers(Exception):
    """What is shown under a decision's id is not that decision; the message says in what."""


def build_decision(
    *,
    authority: bytes,
    subject: bytes,
    expire_time_ms: int,
    actions: Iterable[DecisionAction] = (),
    poll: bytes = b"",
) -> bytes:
    """Canonical bytes of a decision, ready to be countersigned.

    Args:
        authority: who decides, 16 bytes.
        subject: digest of the text or the result, 32 bytes.
        expire_time_ms: last block time at which it can be enacted, unix milliseconds.
        actions: carried out in order, all or nothing.
        poll: whose result it carries out, 16 bytes; empty for none.
    """
    return decision_bytes(
        Decision(
            authority=authority,
            poll=poll,
            subject=subject,
            expire_time_ms=expire_time_ms,
            actions=list(actions),
        )
    )


def found_authority(members: Iterable[bytes], rules: AuthorityRules | None = None) -> DecisionAction:
    """Founds the authority itself; every member named must countersign. They are put in order.

    Args:
        members: principals, 1 to 64.
        rules: by which it decides; the defaults where left out.
    """
    given = rules or AuthorityRules()
    return DecisionAction(found_authority=FoundAuthority(members=sorted(members), rules=given))


def admit(member: bytes) -> DecisionAction:
    """Makes an applicant a member."""
    return DecisionAction(admit_member=AdmitToAuthority(member=member))


def end_membership(member: bytes) -> DecisionAction:
    """Ends a membership."""
    return DecisionAction(end_membership=EndMembershipOfAuthority(member=member))


def set_floor(account: bytes, floor_minor: int) -> DecisionAction:
    """Sets a floor in a unit whose authority decides."""
    return DecisionAction(set_floor=SetFloor(account=account, floor_minor=floor_minor))


def decided(message: Message) -> DecisionAction:
    """The action of a decision that does what a message does: ``set_floor``, ``set_unit_policy``,
    ``freeze_account``, ``write_off``, ``close_account``, ``confirm_openings`` or ``close_period``
    (`icn_client.credit` makes them), where the authority that decides may.

    Raises:
        ValueError: no decision does what the message does.
    """
    kind = message.WhichOneof("kind")
    if kind not in GOVERNED:
        raise ValueError(f"no decision does what {kind} does")
    return DecisionAction(**{kind: getattr(message, kind)})


def founding_decision(
    genesis_hash: bytes,
    text: DecisionText,
    members: Iterable[bytes],
    expire_time_ms: int,
    rules: AuthorityRules | None = None,
) -> bytes:
    """Canonical bytes of the decision that founds ``text.authority``, with the default rules or others."""
    return build_decision(
        authority=text.authority,
        subject=text.digest(genesis_hash),
        expire_time_ms=expire_time_ms,
        actions=[found_authority(members, rules)],
    )


def countersign(genesis_hash: bytes, body: bytes, signer: bytes, key: KeyPair) -> Countersignature:
    """A member's agreement with a decision.

    Args:
        genesis_hash: of the zone.
        body: canonical bytes of the decision.
        signer: the member, 16 bytes.
        key: a steward's key of it, or its only one.
    """
    return Countersignature(
        signer=signer,
        key_id=key.key_id,
        suite=Suite.ED25519,
        signature=key.sign(decision_preimage(genesis_hash, body)),
    )


def is_countersigned(
    genesis_hash: bytes, body: bytes, countersignature: Countersignature, controller: ControllerLeaf
) -> bool:
    """Whether the ledger would take the countersignature, as the controller stands (its end apart)."""
    kind = Message.DESCRIPTOR.fields_by_name[STEWARD_KIND].number
    for key in controller.keys:
        if controller_key_id(key) != countersignature.key_id:
            continue
        is_allowed = kind in key.scope.message_kinds if key.HasField("scope") else controller.threshold == 1
        public_keys = [one.public_key for one in key.public_keys if one.suite == countersignature.suite]
        return (
            is_allowed
            and bool(public_keys)
            and verify_strictly(
                countersignature.suite,
                public_keys[0],
                decision_preimage(genesis_hash, body),
                countersignature.signature,
            )
        )
    return False


def read_decision(
    genesis_hash: bytes, identifier: bytes, body: bytes, text: bytes
) -> tuple[Decision, DecisionText | None]:
    """The decision of this id and, for one without a poll, what it says and why: for who is about to sign.

    Args:
        genesis_hash: of the zone.
        identifier: the decision's id, as whoever asks knows it, 32 bytes.
        body: the bytes that are shown for it.
        text: the text that is shown for it, empty for none.

    Raises:
        DecisionDiffers: bytes or text are of another one.
    """
    if decision_id(genesis_hash, body) != identifier:
        raise DecisionDiffers("the bytes shown are of another decision")
    try:
        decision = parse_canonical(Decision, body, DECISION_BYTES_MAX)
        words = read_text(text) if text else None
    except (MalformedBytes, NotCanonical, InvalidDocument) as error:
        raise DecisionDiffers(f"what is shown is no decision: {error}") from None
    if words is not None and words.digest(genesis_hash) != decision.subject:
        raise DecisionDiffers("the text shown is of another decision")
    if words is None and not decision.poll:
        raise DecisionDiffers("the text that says what is decided and why is missing")
    return decision, words


def with_steward_key(controller: ControllerLeaf, key: KeyPair) -> Sequence[Any]:
    """The controller's keys and a steward's beside them, for ``update_controller``."""
    steward = controller_key(key.public_keys, key_scope(STEWARD_SCOPE))
    others = [one for one in controller.keys if controller_key_id(one) != key.key_id]
    return [*others, steward]

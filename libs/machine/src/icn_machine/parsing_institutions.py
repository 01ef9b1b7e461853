"""Bytes of memberships, polls and decisions become messages; parts of `parsing`.

Source: docs/spec/transaction.md, "Bytes" and "Decisions"; protos/icn/ledger/v1/transaction.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from icn.ledger.v1 import transaction_pb2
from icn_crypto import tags
from icn_crypto.hashing import domain_hash, preimage
from icn_crypto.wire import MalformedBytes, NotCanonical, parse_canonical

from icn_machine import limits
from icn_machine.messages import (
    AdmitMember,
    AdmitToAuthority,
    ApplyForMembership,
    CastBallot,
    Countersignature,
    DecisionAction,
    EnactDecision,
    EndMembership,
    EndMembershipOfAuthority,
    FoundAuthority,
    OpenPoll,
    SetRules,
    SetZoneAuthority,
    VouchForApplicant,
)
from icn_machine.records import AUTHORITY_SHARES, AuthorityRules, Electorate, Share
from icn_machine.refusals import Malformed
from icn_machine.static_rules import check_digest, check_identifier, check_signature, check_time

_ELECTORATES = frozenset(int(electorate) for electorate in Electorate)

ActionReaders = Mapping[str, Callable[[Any], DecisionAction]]


def read_enact_decision(
    message: transaction_pb2.EnactDecision, genesis_hash: bytes, common: ActionReaders
) -> EnactDecision:
    """A decision with its countersignatures.

    Args:
        message: as parsed.
        genesis_hash: of the zone, part of the decision's id and of what is countersigned.
        common: readers of the actions that are messages, too.

    Raises:
        Malformed: a static rule is broken.
    """
    body = message.decision
    try:
        decision = parse_canonical(transaction_pb2.Decision, body, limits.DECISION_BYTES_MAX)
    except (MalformedBytes, NotCanonical) as error:
        raise Malformed(f"decision: {error}") from error
    if decision.poll:
        check_identifier(decision.poll, "poll")
    if len(decision.actions) > limits.DECISION_ACTIONS_MAX:
        raise Malformed(f"{len(decision.actions)} actions, at most {limits.DECISION_ACTIONS_MAX}")
    actions = tuple([_action(action, common) for action in decision.actions])
    if any(type(action) is FoundAuthority for action in actions[1:]):
        raise Malformed("found_authority is the first action or none")
    if actions and type(actions[0]) is FoundAuthority and decision.poll:
        raise Malformed("an authority that is founded has no poll yet")
    return EnactDecision(
        id=domain_hash(tags.DECISION_ID, genesis_hash, body),
        body=body,
        signed=preimage(tags.DECISION, genesis_hash, body),
        authority=check_identifier(decision.authority, "authority"),
        poll=decision.poll,
        subject=check_digest(decision.subject, "subject"),
        expire_time_ms=check_time(decision.expire_time_ms, "expire_time_ms"),
        actions=actions,
        countersignatures=_countersignatures(message.countersignatures),
    )


def authority_rules(message: transaction_pb2.AuthorityRules) -> AuthorityRules:
    """Rules as a value; none is checked."""
    shares = {
        name: Share(share.numerator, share.denominator)
        for name in AUTHORITY_SHARES
        if message.HasField(name) and (share := getattr(message, name))
    }
    return AuthorityRules(message.threshold, message.vouches_min, message.poll_ms_min, **shares)


def _countersignatures(
    messages: Sequence[transaction_pb2.Countersignature],
) -> tuple[Countersignature, ...]:
    if not 1 <= len(messages) <= limits.COUNTERSIGNATURES_MAX:
        raise Malformed(f"{len(messages)} countersignatures, allowed 1 to {limits.COUNTERSIGNATURES_MAX}")
    values = []
    previous = b""
    for message in messages:
        value = Countersignature(message.signer, message.key_id, message.suite, message.signature)
        check_identifier(value.signer, "signer")
        check_identifier(value.key_id, "key_id")
        if value.signer <= previous:
            raise Malformed("countersignatures must ascend by signer, none twice")
        previous = value.signer
        check_signature(value.suite, value.signature)
        values.append(value)
    return tuple(values)


def _action(action: transaction_pb2.DecisionAction, common: ActionReaders) -> DecisionAction:
    kind = action.WhichOneof("kind")
    if kind is None:
        raise Malformed("an action has no kind")
    reader = common.get(kind) or _ACTION_READERS[kind]
    return reader(getattr(action, kind))


def _found_authority(message: transaction_pb2.FoundAuthority) -> FoundAuthority:
    members = tuple(message.members)
    if not 1 <= len(members) <= limits.AUTHORITY_MEMBERS_MAX:
        raise Malformed(f"{len(members)} founding members, allowed 1 to {limits.AUTHORITY_MEMBERS_MAX}")
    previous = b""
    for member in members:
        check_identifier(member, "member")
        if member <= previous:
            raise Malformed("members must ascend, none twice")
        previous = member
    if not message.HasField("rules"):
        raise Malformed("rules are missing")
    return FoundAuthority(members, _set_rules(message.rules).rules)


def _set_rules(message: transaction_pb2.AuthorityRules) -> SetRules:
    rules = authority_rules(message)
    if rules.threshold > limits.AUTHORITY_MEMBERS_MAX:
        raise Malformed(f"threshold {rules.threshold}, the highest is {limits.AUTHORITY_MEMBERS_MAX}")
    if rules.vouches_min > limits.VOUCHES_MAX:
        raise Malformed(f"vouches_min {rules.vouches_min}, the highest is {limits.VOUCHES_MAX}")
    if rules.poll_ms_min > limits.POLL_MS_MIN_MAX:
        raise Malformed(f"poll_ms_min {rules.poll_ms_min}, the highest is {limits.POLL_MS_MIN_MAX}")
    for name in AUTHORITY_SHARES:
        share: Share | None = getattr(rules, name)
        if share is not None:
            _check_share(share, name)
    return SetRules(rules)


def _check_share(share: Share, name: str) -> None:
    if not 1 <= share.denominator <= limits.SHARE_DENOMINATOR_MAX or share.numerator >= share.denominator:
        raise Malformed(
            f"{name} {share.numerator}/{share.denominator}, less than 1 of at most"
            f" {limits.SHARE_DENOMINATOR_MAX} parts is expected"
        )
    if name.endswith("majority") and 2 * share.numerator < share.denominator:
        raise Malformed(f"{name} {share.numerator}/{share.denominator}, the least is 1/2")


def _admit_to_authority(message: transaction_pb2.AdmitToAuthority) -> AdmitToAuthority:
    return AdmitToAuthority(check_identifier(message.member, "member"))


def _end_membership_of_authority(
    message: transaction_pb2.EndMembershipOfAuthority,
) -> EndMembershipOfAuthority:
    return EndMembershipOfAuthority(check_identifier(message.member, "member"))


def _apply_for_membership(message: transaction_pb2.ApplyForMembership) -> ApplyForMembership:
    return ApplyForMembership(check_identifier(message.organization, "organization"))


def _vouch_for_applicant(message: transaction_pb2.VouchForApplicant) -> VouchForApplicant:
    return VouchForApplicant(
        check_identifier(message.organization, "organization"),
        check_identifier(message.applicant, "applicant"),
    )


def _admit_member(message: transaction_pb2.AdmitMember) -> AdmitMember:
    return AdmitMember(check_identifier(message.applicant, "applicant"))


def _end_membership(message: transaction_pb2.EndMembership) -> EndMembership:
    return EndMembership(
        check_identifier(message.organization, "organization"), check_identifier(message.member, "member")
    )


def _open_poll(message: transaction_pb2.OpenPoll) -> OpenPoll:
    if message.electorate not in _ELECTORATES:
        raise Malformed(f"electorate {message.electorate} is not known")
    return OpenPoll(
        check_identifier(message.poll, "poll"),
        check_identifier(message.organization, "organization"),
        Electorate(message.electorate),
        check_digest(message.document, "document"),
        check_time(message.close_time_ms, "close_time_ms"),
    )


def _cast_ballot(message: transaction_pb2.CastBallot) -> CastBallot:
    if message.through:
        check_identifier(message.through, "through")
    return CastBallot(
        check_identifier(message.poll, "poll"),
        check_digest(message.commitment, "commitment"),
        message.through,
    )


def _set_zone_authority(message: transaction_pb2.SetZoneAuthority) -> SetZoneAuthority:
    return SetZoneAuthority(check_identifier(message.authority, "authority"))


_ACTION_READERS: ActionReaders = {
    "found_authority": _found_authority,
    "admit_member": _admit_to_authority,
    "end_membership": _end_membership_of_authority,
    "set_rules": _set_rules,
}

READERS: dict[str, Callable[[Any], Any]] = {
    "apply_for_membership": _apply_for_membership,
    "vouch_for_applicant": _vouch_for_applicant,
    "admit_member": _admit_member,
    "end_membership": _end_membership,
    "open_poll": _open_poll,
    "cast_ballot": _cast_ballot,
    "set_zone_authority": _set_zone_authority,
}

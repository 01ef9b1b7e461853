"""Decisions: what an authority's members countersigned takes effect, once.

Source: docs/spec/transaction.md, "Decisions".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from icn_crypto.suites import verify_strictly

from icn_machine import refusals
from icn_machine.accounts import close_account
from icn_machine.credit_messages import (
    CloseAccount,
    ClosePeriod,
    ConfirmOpenings,
    FreezeAccount,
    SetUnitPolicy,
    WriteOff,
)
from icn_machine.events import AuthorityFounded, DecisionEnacted
from icn_machine.governed import is_taken, set_allowance
from icn_machine.memberships import admit, end, find_application, is_member, put_membership
from icn_machine.messages import (
    KIND_NUMBERS,
    ActivateProtocol,
    AdmitToAuthority,
    ChangeValidators,
    Countersignature,
    DecisionAction,
    EnactDecision,
    EndMembershipOfAuthority,
    FoundAuthority,
    SetAllowance,
    SetFloor,
    SetRules,
    Transaction,
)
from icn_machine.posting import BlockContext, Cause, occupy
from icn_machine.records import (
    Authority,
    Controller,
    Decision,
    Membership,
    MembershipStatus,
    Poll,
)
from icn_machine.refusals import Refused
from icn_machine.seats import activate_protocol, change_validators
from icn_machine.unit_governance import (
    close_period,
    confirm_openings,
    freeze_account,
    set_floor,
    set_unit_policy,
    write_off,
)
from icn_machine.working_set import WorkingSet

_KIND = KIND_NUMBERS[EnactDecision]


class _Enactment(NamedTuple):
    """A decision while it takes effect."""

    working: WorkingSet
    authority: bytes
    cause: Cause

    @property
    def context(self) -> BlockContext:
        """The block."""
        return self.cause.context

    @property
    def payer(self) -> bytes:
        """Organization whose allowance pays."""
        return self.cause.payer


def enact_decision(
    working: WorkingSet,
    transaction: Transaction,
    message: EnactDecision,
    context: BlockContext,
    index: int,
) -> None:
    """Carry a decision out; whoever brings it only pays for it."""
    if context.time_ms > message.expire_time_ms:
        raise Refused(
            refusals.DECISION_EXPIRED,
            ("expire_time_ms", message.expire_time_ms),
            ("block_time_ms", context.time_ms),
        )
    decisions = working.now.decisions
    if (enacted := decisions[message.id]) is not None:
        raise Refused(refusals.DECISION_EXISTS, *context.since(enacted.height))
    members = _check_signers(working, message)
    poll = _find_poll(working, message, context) if message.poll else None
    _check_countersignatures(working, message, context)
    enactment = _Enactment(working, message.authority, Cause(transaction.payer, index, context))
    for position, action in enumerate(message.actions):
        try:
            _APPLY[type(action)](enactment, action)
        except Refused as refusal:
            raise Refused(refusal.reason, *refusal.figures, ("action", position)) from refusal
    signers = tuple(countersignature.signer for countersignature in message.countersignatures)
    decision = Decision(message.authority, message.poll, message.subject, signers, members, context.height)
    working.put(decisions, message.id, decision)
    occupy(working, transaction.payer, 1)
    if poll is not None:
        decided = poll._replace(result=message.subject, decision=message.id)
        working.put(working.now.polls, poll.poll, decided)
    working.events.append(DecisionEnacted(message.id, decision, message.body))


def _check_signers(working: WorkingSet, message: EnactDecision) -> int:
    """How many members the authority has, when those who signed suffice."""
    founded = message.founded
    if founded is not None:
        _check_foundable(working, message.authority, founded)
        members = needed = len(founded.members)
        may_sign = frozenset(founded.members).__contains__
    else:
        authority = working.now.authorities[message.authority]
        if authority is None:
            raise Refused(refusals.AUTHORITY_UNKNOWN)
        members, needed = authority.members, authority.quorum

        def may_sign(signer: object) -> bool:
            assert isinstance(signer, bytes), "signers are ids"
            return is_member(working, message.authority, signer)

    for position, countersignature in enumerate(message.countersignatures):
        if not may_sign(countersignature.signer):
            raise Refused(refusals.NOT_A_MEMBER, ("countersignature", position))
    signed = len(message.countersignatures)
    if signed < needed:
        raise Refused(refusals.QUORUM_NOT_MET, ("signed", signed), ("members", members), ("needed", needed))
    return members


def _check_foundable(working: WorkingSet, identifier: bytes, founded: FoundAuthority) -> None:
    now = working.now
    if now.authorities[identifier] is not None:
        raise Refused(refusals.AUTHORITY_EXISTS)
    if is_taken(working, identifier):
        raise Refused(refusals.PRINCIPAL_EXISTS)
    if any(now.controllers[member] is None for member in founded.members):
        raise Refused(refusals.CONTROLLER_UNKNOWN)


def _find_poll(working: WorkingSet, message: EnactDecision, context: BlockContext) -> Poll:
    """The closed poll of the authority whose result the decision records."""
    poll = working.now.polls[message.poll]
    if poll is None:
        raise Refused(refusals.POLL_UNKNOWN)
    if poll.organization != message.authority:
        raise Refused(refusals.POLL_OF_ANOTHER)
    if not poll.is_closed:
        raise Refused(
            refusals.POLL_OPEN, ("close_time_ms", poll.close_time_ms), ("block_time_ms", context.time_ms)
        )
    if poll.decision:
        raise Refused(refusals.POLL_DECIDED)
    return poll


def _check_countersignatures(working: WorkingSet, message: EnactDecision, context: BlockContext) -> None:
    """First everything that is cheap to see, then the signatures: at most 64, 0.05 ms each, good or bad."""
    keys = []
    for position, countersignature in enumerate(message.countersignatures):
        controller = working.now.controllers[countersignature.signer]
        assert controller is not None, "members have controllers, which never go"
        public_key = _public_key(controller, countersignature, context.time_ms, position)
        keys.append(public_key)
    for position, (countersignature, public_key) in enumerate(
        zip(message.countersignatures, keys, strict=True)
    ):
        if not verify_strictly(
            countersignature.suite, public_key, message.signed, countersignature.signature
        ):
            raise Refused(refusals.SIGNATURE_INVALID, ("countersignature", position))


def _public_key(
    controller: Controller, countersignature: Countersignature, time_ms: int, position: int
) -> bytes:
    """The key behind a countersignature, when it may countersign."""
    place = ("countersignature", position)
    key = controller.find_key(countersignature.key_id)
    public_key = None if key is None else key.public_key(countersignature.suite)
    if key is None or public_key is None:
        raise Refused(refusals.KEY_UNKNOWN, place)
    scope = key.scope
    if scope is None:
        is_enough = controller.threshold == 1
    else:
        has_ended = scope.expire_time_ms != 0 and time_ms > scope.expire_time_ms
        is_enough = _KIND in scope.message_kinds and not has_ended
    if not is_enough:
        raise Refused(refusals.KEY_SCOPE_EXCEEDED, place)
    return public_key


def _found_authority(enactment: _Enactment, action: FoundAuthority) -> None:
    working, time_ms = enactment.working, enactment.context.time_ms
    authority = Authority(enactment.authority, action.rules, len(action.members))
    working.put(working.now.authorities, enactment.authority, authority)
    occupy(working, enactment.payer, 1 + len(action.members))
    working.events.append(AuthorityFounded(authority))
    for member in action.members:
        put_membership(
            working,
            Membership(
                enactment.authority,
                member,
                MembershipStatus.ACTIVE,
                time_ms,
                time_ms,
                0,
                (),
                enactment.payer,
            ),
        )


def _admit(enactment: _Enactment, action: AdmitToAuthority) -> None:
    working = enactment.working
    application = find_application(working, enactment.authority, action.member)
    authority = _authority(enactment)
    if len(application.vouchers) < authority.rules.vouches_min:
        raise Refused(
            refusals.VOUCHES_NOT_MET,
            ("vouches", len(application.vouchers)),
            ("vouches_min", authority.rules.vouches_min),
        )
    admit(working, application, enactment.context)


def _end(enactment: _Enactment, action: EndMembershipOfAuthority) -> None:
    end(enactment.working, enactment.authority, action.member, enactment.context)


def _as_authority(
    act: Callable[[WorkingSet, bytes, Any, Cause], None],
) -> Callable[[_Enactment, Any], None]:
    """What an authority does as a principal does it by a transaction: by its id alone."""

    def apply(enactment: _Enactment, action: Any) -> None:
        act(enactment.working, enactment.authority, action, enactment.cause)

    return apply


def _set_rules(enactment: _Enactment, action: SetRules) -> None:
    authority = _authority(enactment)._replace(rules=action.rules)
    enactment.working.put(enactment.working.now.authorities, enactment.authority, authority)


def _authority(enactment: _Enactment) -> Authority:
    authority = enactment.working.now.authorities[enactment.authority]
    assert authority is not None, "it decides, and authorities never go"
    return authority


_APPLY: dict[type[DecisionAction], Callable[[_Enactment, Any], None]] = {
    FoundAuthority: _found_authority,
    AdmitToAuthority: _admit,
    EndMembershipOfAuthority: _end,
    SetFloor: _as_authority(set_floor),
    SetAllowance: _as_authority(set_allowance),
    SetRules: _set_rules,
    ChangeValidators: _as_authority(change_validators),
    ActivateProtocol: _as_authority(activate_protocol),
    SetUnitPolicy: _as_authority(set_unit_policy),
    FreezeAccount: _as_authority(freeze_account),
    WriteOff: _as_authority(write_off),
    CloseAccount: _as_authority(close_account),
    ConfirmOpenings: _as_authority(confirm_openings),
    ClosePeriod: _as_authority(close_period),
}

"""Bytes become a transaction, or are refused: validity rule 1, every static rule of the proto.

Source: docs/spec/transaction.md, "Bytes" and "Validity"; protos/icn/ledger/v1/transaction.proto.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from icn.ledger.v1 import state_pb2, transaction_pb2
from icn_chain import evidence
from icn_chain.envelope import read_envelope
from icn_chain.malformed import EvidenceInvalid, MalformedMessage
from icn_crypto import tags
from icn_crypto.hashing import domain_hash
from icn_crypto.suites import PUBLIC_KEY_BYTES, Suite, key_id

from icn_machine import contract_messages, limits, parsing_credit, parsing_institutions, parsing_seats
from icn_machine.contract_parsing import contract_readers, lone_contract_message
from icn_machine.messages import (
    KIND_NUMBERS,
    LEAVES_MADE,
    THRESHOLD_KINDS,
    ActivateProtocol,
    AnchorDigest,
    ApplyForMembership,
    CancelRecovery,
    CaptureHold,
    ChangeValidators,
    CompleteRecovery,
    CreateUnit,
    DecisionAction,
    EnactDecision,
    EndSponsorship,
    Message,
    OpenController,
    PlaceHold,
    RecordEquivocation,
    RekeySeat,
    SetAllowance,
    SetFloor,
    SetRecovery,
    Signature,
    StartRecovery,
    StartSponsorship,
    Transaction,
    Transfer,
    UpdateController,
    VoidHold,
)
from icn_machine.parsing_institutions import ActionReaders, read_enact_decision
from icn_machine.plain_transfer import read_plain_transfer
from icn_machine.records import AllowanceLimits, ControllerKey, KeyScope, RecoveryPolicy
from icn_machine.refusals import Malformed
from icn_machine.static_rules import (
    check_amount,
    check_digest,
    check_floor,
    check_identifier,
    check_memo_hash,
    check_reference,
    check_signature,
    check_time,
    check_two_accounts,
)

_UNIT_CODE = re.compile(r"[A-Z0-9-]{2,12}\Z")
_TOPIC = re.compile(r"[a-z0-9./-]{1,64}\Z")
_PUBLIC_KEY_BYTES: dict[int, int] = {int(suite): length for suite, length in PUBLIC_KEY_BYTES.items()}
_SCOPEABLE_KINDS = frozenset(KIND_NUMBERS.values()) - {KIND_NUMBERS[kind] for kind in THRESHOLD_KINDS}
SIGNATURES_PER_EQUIVOCATION = 16
"""Two are verified when it is executed, not ahead; a bad one takes up to ten times as long as a good one."""
SIGNATURES_PER_OFFER = 16
"""The same for the two proofs of possession of a seat that comes in."""
_LOOKED_AT_IN_PLACE = frozenset(
    {
        SetRecovery,
        ApplyForMembership,
        EnactDecision,
        RecordEquivocation,
        ChangeValidators,
        RekeySeat,
        ActivateProtocol,
    }
)
"""Kinds whose static rules, whose charge, or what a pool asks of them, need more than the kind."""

ProtoKeys = RepeatedCompositeFieldContainer[transaction_pb2.ControllerKey]
WithPolicy = transaction_pb2.OpenController | transaction_pb2.SetRecovery | state_pb2.ControllerLeaf


def parse_transaction(data: bytes, genesis_hash: bytes) -> Transaction:
    """Read the bytes of a transaction.

    Raises:
        Malformed: they break a rule that needs no state to see.
    """
    return read_plain_transfer(data, genesis_hash) or parse_any(data, genesis_hash)


def parse_any(data: bytes, genesis_hash: bytes) -> Transaction:
    """The same, whatever the transaction holds.

    Raises:
        Malformed: as `parse_transaction`.
    """
    try:
        envelope, body = read_envelope(data)
    except MalformedMessage as error:
        raise Malformed(str(error)) from error
    body_bytes = envelope.body
    messages = tuple([_message(message, genesis_hash) for message in body.messages])
    principal = check_identifier(body.principal, "principal")
    signatures = _signatures(envelope.signatures)
    leaves_made_max = sum([LEAVES_MADE.get(type(message), 0) for message in messages])
    signatures_charged = len(signatures)
    decision: EnactDecision | None = None
    activates = 0
    for message in messages:
        if type(message) not in _LOOKED_AT_IN_PLACE:
            continue
        if isinstance(message, SetRecovery):
            _check_guardian(message.recovery, principal)
        elif isinstance(message, ApplyForMembership):
            if message.organization == principal:
                raise Malformed("a principal is not its own member")
        elif isinstance(message, EnactDecision):
            if decision is not None:
                raise Malformed("a transaction carries one decision")
            decision = message
            activates = max([activates, *map(_activated, message.actions)])
        elif isinstance(message, ActivateProtocol):
            activates = max(activates, message.version)
        leaves, more_signatures = _own_costs(message)
        leaves_made_max += leaves
        signatures_charged += more_signatures
    contract_message = lone_contract_message(messages)
    if contract_message is not None:
        leaves_made_max = contract_messages.leaves_made_max(contract_message)
    return Transaction(
        id=domain_hash(tags.TRANSACTION_ID, genesis_hash, body_bytes),
        body=body_bytes,
        size_bytes=len(data),
        principal=principal,
        payer=check_identifier(body.payer, "payer"),
        lane=body.lane,
        sequence=body.sequence,
        expire_time_ms=check_time(body.expire_time_ms, "expire_time_ms"),
        messages=messages,
        signatures=signatures,
        signatures_charged=signatures_charged,
        leaves_made_max=leaves_made_max,
        organizations_set=_organizations_set(
            messages if decision is None else (*messages, *decision.actions)
        ),
        fuel_limit=0 if contract_message is None else contract_messages.fuel_limit(contract_message),
        activates=activates,
    )


def _own_costs(message: Message) -> tuple[int, int]:
    """Leaves beside that of its kind, and signatures beside its transaction's, that a message costs."""
    match message:
        case EnactDecision():
            signatures = len(message.countersignatures) + SIGNATURES_PER_OFFER * len(message.offers)
            return message.leaves_made_max, signatures
        case RecordEquivocation():
            return 0, SIGNATURES_PER_EQUIVOCATION
        case ChangeValidators():
            return len(message.offers), SIGNATURES_PER_OFFER * len(message.offers)
        case RekeySeat():
            return 0, SIGNATURES_PER_OFFER
    return 0, 0


def _activated(action: DecisionAction) -> int:
    return action.version if isinstance(action, ActivateProtocol) else 0


def _organizations_set(messages: Sequence[Message | DecisionAction]) -> tuple[bytes, ...]:
    named = [message.organization for message in messages if type(message) is SetAllowance]
    return tuple(dict.fromkeys(named)) if named else ()


def controller_keys(keys: ProtoKeys | Sequence[transaction_pb2.ControllerKey]) -> tuple[ControllerKey, ...]:
    """Keys as values, with their ids; no rule is checked."""
    return tuple(
        ControllerKey(
            key_id({Suite(public.suite): public.public_key for public in key.public_keys}),
            tuple((public.suite, public.public_key) for public in key.public_keys),
            _scope_value(key.scope) if key.HasField("scope") else None,
        )
        for key in keys
    )


def recovery_policy(message: WithPolicy) -> RecoveryPolicy | None:
    """The policy as a value; no rule is checked."""
    if not message.HasField("recovery"):
        return None
    return RecoveryPolicy(message.recovery.guardian, message.recovery.delay_ms)


def _signatures(
    signatures: RepeatedCompositeFieldContainer[transaction_pb2.Signature],
) -> tuple[Signature, ...]:
    values = []
    previous = b""
    for signature in signatures:
        value = Signature(signature.suite, signature.key_id, signature.signature)
        check_identifier(value.key_id, "key_id")
        if value.key_id <= previous:
            raise Malformed("signatures must ascend by key id, no key twice")
        previous = value.key_id
        check_signature(value.suite, value.signature)
        values.append(value)
    return tuple(values)


def _message(message: transaction_pb2.Message, genesis_hash: bytes) -> Message:
    kind = message.WhichOneof("kind")
    if kind is None:
        raise Malformed("a message has no kind")
    reader = _READERS.get(kind)
    if reader is None:
        if kind == "enact_decision":
            return read_enact_decision(message.enact_decision, genesis_hash, _ACTION_READERS)
        raise Malformed(f"{kind} is not in force at this protocol version")
    return reader(getattr(message, kind))


def _transfer(message: transaction_pb2.Transfer) -> Transfer:
    value = Transfer(
        message.source, message.destination, message.amount_minor, message.memo_hash, message.reference
    )
    check_two_accounts(value.source, value.destination)
    check_amount(value.amount_minor)
    check_memo_hash(value.memo_hash)
    check_reference(value.reference)
    return value


def _open_controller(message: transaction_pb2.OpenController) -> OpenController:
    principal = check_identifier(message.principal, "principal")
    keys, head = _announced(principal, message.threshold, message.keys)
    recovery = _checked_policy(message)
    _check_guardian(recovery, principal)
    return OpenController(principal, message.threshold, keys, recovery, head)


def _update_controller(message: transaction_pb2.UpdateController) -> UpdateController:
    keys = _checked_keys(message.threshold, message.keys)
    head = state_pb2.ControllerLeaf(threshold=message.threshold, keys=message.keys)
    return UpdateController(message.threshold, keys, head.SerializeToString(deterministic=True))


def _create_unit(message: transaction_pb2.CreateUnit) -> CreateUnit:
    check_identifier(message.unit, "unit")
    if _UNIT_CODE.match(message.code) is None:
        raise Malformed("code must be 2 to 12 characters A-Z, 0-9 or hyphen")
    if message.scale > limits.SCALE_MAX:
        raise Malformed(f"scale {message.scale}, the highest is {limits.SCALE_MAX}")
    floor_minor = check_floor(message.default_floor_minor, "default_floor_minor")
    if message.authority:
        check_identifier(message.authority, "authority")
    return CreateUnit(message.unit, message.code, message.scale, floor_minor, message.authority)


def _set_floor(message: transaction_pb2.SetFloor) -> SetFloor:
    return SetFloor(
        check_identifier(message.account, "account"), check_floor(message.floor_minor, "floor_minor")
    )


def _place_hold(message: transaction_pb2.PlaceHold) -> PlaceHold:
    check_identifier(message.hold, "hold")
    check_two_accounts(message.source, message.destination)
    return PlaceHold(
        message.hold,
        message.source,
        message.destination,
        check_amount(message.amount_minor),
        check_time(message.expire_time_ms, "expire_time_ms"),
    )


def _capture_hold(message: transaction_pb2.CaptureHold) -> CaptureHold:
    return CaptureHold(check_identifier(message.hold, "hold"), check_amount(message.amount_minor))


def _void_hold(message: transaction_pb2.VoidHold) -> VoidHold:
    return VoidHold(check_identifier(message.hold, "hold"))


def _anchor(message: transaction_pb2.Anchor) -> AnchorDigest:
    check_digest(message.digest, "digest")
    if _TOPIC.match(message.topic) is None:
        raise Malformed("topic must be 1 to 64 characters a-z, 0-9, dot, slash or hyphen")
    return AnchorDigest(message.digest, message.topic)


def _record_equivocation(message: transaction_pb2.RecordEquivocation) -> RecordEquivocation:
    try:
        proof = evidence.parse(message.evidence)
    except EvidenceInvalid as error:
        raise Malformed(f"evidence: {error}") from error
    if max(proof.epoch, proof.view, proof.seat) > limits.QUANTITY_MAX:
        raise Malformed("evidence: its epoch or view is above 2^62")
    return RecordEquivocation(proof)


def _set_allowance(message: transaction_pb2.SetAllowance) -> SetAllowance:
    check_identifier(message.organization, "organization")
    if not message.HasField("limits"):
        raise Malformed("limits are missing")
    bounds = AllowanceLimits(
        message.limits.bytes_per_epoch,
        message.limits.signatures_per_epoch,
        message.limits.state_leaves,
        message.limits.fuel_per_epoch,
        message.limits.new_leaves_per_epoch,
    )
    highest = max(*bounds[:3], bounds.new_leaves_per_epoch)
    if highest > limits.ALLOWANCE_MAX:
        raise Malformed(f"a limit of {highest}, the highest is 2^40")
    if bounds.fuel_per_epoch > limits.FUEL_ALLOWANCE_MAX:
        raise Malformed(f"fuel_per_epoch {bounds.fuel_per_epoch}, the highest is 2^50")
    return SetAllowance(message.organization, bounds)


def _start_recovery(message: transaction_pb2.StartRecovery) -> StartRecovery:
    principal = check_identifier(message.principal, "principal")
    keys, head = _announced(principal, message.threshold, message.keys)
    return StartRecovery(principal, message.threshold, keys, head)


def _cancel_recovery(message: transaction_pb2.CancelRecovery) -> CancelRecovery:
    return CancelRecovery(check_identifier(message.principal, "principal"))


def _set_recovery(message: transaction_pb2.SetRecovery) -> SetRecovery:
    return SetRecovery(_checked_policy(message))


def _complete_recovery(message: transaction_pb2.CompleteRecovery) -> CompleteRecovery:
    return CompleteRecovery(check_identifier(message.principal, "principal"))


def _start_sponsorship(message: transaction_pb2.StartSponsorship) -> StartSponsorship:
    return StartSponsorship(check_identifier(message.principal, "principal"))


def _end_sponsorship(message: transaction_pb2.EndSponsorship) -> EndSponsorship:
    return EndSponsorship(check_identifier(message.principal, "principal"))


def _announced(principal: bytes, threshold: int, keys: ProtoKeys) -> tuple[tuple[ControllerKey, ...], bytes]:
    """Keys of a principal, with the canonical bytes of fields 1 to 3 of a leaf that holds them."""
    checked = _checked_keys(threshold, keys)
    head = state_pb2.ControllerLeaf(principal=principal, threshold=threshold, keys=keys)
    return checked, head.SerializeToString(deterministic=True)


def _checked_policy(message: WithPolicy) -> RecoveryPolicy | None:
    policy = recovery_policy(message)
    if policy is not None:
        check_identifier(policy.guardian, "guardian")
        if not 1 <= policy.delay_ms <= limits.RECOVERY_DELAY_MS_MAX:
            raise Malformed(f"delay_ms {policy.delay_ms}, allowed 1 to {limits.RECOVERY_DELAY_MS_MAX}")
    return policy


def _check_guardian(policy: RecoveryPolicy | None, principal: bytes) -> None:
    if policy is not None and policy.guardian == principal:
        raise Malformed("a principal is not its own guardian")


def _checked_keys(threshold: int, keys: ProtoKeys) -> tuple[ControllerKey, ...]:
    if not 1 <= len(keys) <= limits.CONTROLLER_KEYS_MAX:
        raise Malformed(f"{len(keys)} keys, allowed 1 to {limits.CONTROLLER_KEYS_MAX}")
    for key in keys:
        _check_public_keys(key)
        if key.HasField("scope"):
            _check_scope(key.scope)
    values = controller_keys(keys)
    if any(before.key_id >= after.key_id for before, after in pairwise(values)):
        raise Malformed("keys must ascend by key id, no key twice")
    public_keys = [public_key for key in values for public_key in key.public_keys]
    if len(set(public_keys)) != len(public_keys):
        raise Malformed("a public key stands in two keys")
    unscoped = sum(key.scope is None for key in values)
    if not 1 <= threshold <= unscoped:
        raise Malformed(f"threshold {threshold}, allowed 1 to the {unscoped} keys without a scope")
    return values


def _check_public_keys(key: transaction_pb2.ControllerKey) -> None:
    if not key.public_keys:
        raise Malformed("a key has no public key")
    previous = 0
    for public in key.public_keys:
        length = _PUBLIC_KEY_BYTES.get(public.suite)
        if length is None:
            raise Malformed(f"suite {public.suite} is not known")
        if public.suite <= previous:
            raise Malformed("public keys must ascend by suite, no suite twice")
        if len(public.public_key) != length:
            raise Malformed(f"a public key of suite {public.suite} has {length} bytes")
        previous = public.suite


def _check_scope(scope: transaction_pb2.KeyScope) -> None:
    kinds, accounts = list(scope.message_kinds), list(scope.accounts)
    if not kinds or any(kind not in _SCOPEABLE_KINDS for kind in kinds) or not _is_ascending(kinds):
        raise Malformed("message_kinds of a scope must be kinds a scoped key may sign, ascending")
    if len(accounts) > limits.SCOPE_ACCOUNTS_MAX or not _is_ascending(accounts):
        raise Malformed(f"accounts of a scope must ascend, at most {limits.SCOPE_ACCOUNTS_MAX}")
    for account in accounts:
        check_identifier(account, "account of a scope")
    if scope.amount_minor_max > limits.QUANTITY_MAX:
        raise Malformed("amount_minor_max is above 2^62")
    check_time(scope.expire_time_ms, "expire_time_ms of a scope")


def _is_ascending(values: Sequence[Any]) -> bool:
    return all(before < after for before, after in pairwise(values))


def _scope_value(scope: transaction_pb2.KeyScope) -> KeyScope:
    return KeyScope(
        tuple(scope.message_kinds), scope.amount_minor_max, tuple(scope.accounts), scope.expire_time_ms
    )


_ACTION_READERS: ActionReaders = {
    "set_floor": _set_floor,
    "set_allowance": _set_allowance,
    "change_validators": parsing_seats.read_change_validators,
    "activate_protocol": parsing_seats.read_activate_protocol,
    **parsing_credit.ACTION_READERS,
}

_READERS: dict[str, Callable[[Any], Message]] = {
    "open_controller": _open_controller,
    "update_controller": _update_controller,
    "create_unit": _create_unit,
    "open_account": parsing_credit.read_open_account,
    "set_floor": _set_floor,
    "transfer": _transfer,
    "place_hold": _place_hold,
    "capture_hold": _capture_hold,
    "void_hold": _void_hold,
    "anchor": _anchor,
    "record_equivocation": _record_equivocation,
    "set_allowance": _set_allowance,
    "start_recovery": _start_recovery,
    "cancel_recovery": _cancel_recovery,
    "complete_recovery": _complete_recovery,
    "set_recovery": _set_recovery,
    "start_sponsorship": _start_sponsorship,
    "end_sponsorship": _end_sponsorship,
    **parsing_institutions.READERS,
    **parsing_seats.READERS,
    **parsing_credit.credit_readers(_transfer),
    **contract_readers(_transfer),
}

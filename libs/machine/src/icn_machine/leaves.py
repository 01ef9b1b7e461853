"""Records as canonical leaf bytes and back. Source: protos/icn/ledger/v1/state.proto."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from icn.ledger.v1 import state_pb2, transaction_pb2

from icn_machine import leaves_credit
from icn_machine.parsing import controller_keys, recovery_policy
from icn_machine.parsing_institutions import authority_rules
from icn_machine.records import (
    AUTHORITY_SHARES,
    Account,
    AccountTerms,
    Allowance,
    AllowanceLimits,
    Anchor,
    Authority,
    AuthorityRules,
    Ballot,
    Code,
    ConsensusKey,
    Contract,
    ContractEntry,
    Controller,
    Decision,
    Duty,
    Electorate,
    ExchangePrice,
    Hold,
    Membership,
    MembershipStatus,
    Namespace,
    PendingSeats,
    Poll,
    Record,
    RecordedEquivocation,
    RecordTables,
    Recovery,
    Unit,
    Validators,
    Zone,
)
from icn_machine.wire import signed, unsigned


def encode_leaf(namespace: Namespace, record: Record) -> bytes:
    """Canonical bytes of the record's leaf."""
    return _ENCODERS[namespace](record)


def encode_leaves(changes: RecordTables) -> list[tuple[Namespace, bytes, bytes | None]]:
    """Namespace, identifier and canonical bytes of each record, None for one that went."""
    leaves: list[tuple[Namespace, bytes, bytes | None]] = []
    for namespace, records in changes.filled():
        encode = _ENCODERS[namespace]
        leaves += [
            (namespace, identifier, None if record is None else encode(record))
            for identifier, record in records.items()
        ]
    return leaves


def decode_leaf(namespace: Namespace, leaf: bytes) -> Record:
    """The record of a leaf that this ledger wrote."""
    return _DECODERS[namespace](leaf)


def controller_head(leaf_without_rest: state_pb2.ControllerLeaf) -> bytes:
    """What `Controller.head` holds: lanes and recovery are the last fields, so a leaf is its head, then
    these.
    """
    assert not leaf_without_rest.lanes, "the head has no lanes"
    assert not leaf_without_rest.HasField("recovery"), "nor a recovery policy"
    return leaf_without_rest.SerializeToString(deterministic=True)


def _encode_controller(controller: Controller) -> bytes:
    encoded = controller.head
    for lane, sequence in controller.lanes:
        entry = (b"\x08" + unsigned(lane) if lane else b"") + b"\x10" + unsigned(sequence)
        encoded += b"\x2a" + unsigned(len(entry)) + entry
    policy = controller.recovery
    if policy is None and not controller.is_being_recovered:
        return encoded
    rest = state_pb2.ControllerLeaf(
        recovery=policy
        and transaction_pb2.RecoveryPolicy(guardian=policy.guardian, delay_ms=policy.delay_ms),
        is_being_recovered=controller.is_being_recovered,
    )
    return encoded + rest.SerializeToString(deterministic=True)


def _decode_controller(leaf: bytes) -> Controller:
    message = state_pb2.ControllerLeaf.FromString(leaf)
    lanes = tuple((lane.lane, lane.last_sequence) for lane in message.lanes)
    policy = recovery_policy(message)
    message.ClearField("lanes")
    message.ClearField("recovery")
    is_being_recovered = message.is_being_recovered
    message.ClearField("is_being_recovered")
    return Controller(
        message.principal,
        message.threshold,
        controller_keys(message.keys),
        policy,
        is_being_recovered,
        message.sponsor,
        lanes,
        controller_head(message),
    )


def _encode_unit(unit: Unit) -> bytes:
    return state_pb2.UnitLeaf(
        unit=unit.unit,
        code=unit.code,
        scale=unit.scale,
        issuer=unit.issuer,
        authority=unit.authority,
        default_floor_minor=unit.default_floor_minor,
    ).SerializeToString(deterministic=True)


def _decode_unit(leaf: bytes) -> Unit:
    message = state_pb2.UnitLeaf.FromString(leaf)
    return Unit(
        message.unit,
        message.code,
        message.scale,
        message.issuer,
        message.authority,
        message.default_floor_minor,
    )


def _encode_account(account: Account) -> bytes:
    identifier, owner, unit, balance_minor, held_minor, floor_minor, given_minor = account[:7]
    entries, chain, payer, terms = account[7:]
    return b"".join(
        (
            b"\x0a\x10",
            identifier,
            b"\x12\x10",
            owner,
            b"\x1a\x10",
            unit,
            b"\x20" + signed(balance_minor) if balance_minor else b"",
            b"\x28" + unsigned(held_minor) if held_minor else b"",
            b"\x30" + signed(floor_minor) if floor_minor else b"",
            b"\x38" + unsigned(given_minor) if given_minor else b"",
            b"\x40" + unsigned(entries) + b"\x4a\x20" + chain if entries else b"",
            b"\x52\x10" + payer if payer else b"",
            _terms_field(terms) if terms is not None else b"",
        )
    )


def _terms_field(terms: AccountTerms) -> bytes:
    message = state_pb2.AccountTerms(**terms._asdict())
    return state_pb2.AccountLeaf(terms=message).SerializeToString(deterministic=True)


def _account_terms(message: state_pb2.AccountTerms) -> AccountTerms:
    return AccountTerms(
        message.parent,
        message.sub_accounts,
        message.sub_accounts_hash,
        message.is_opening,
        message.opening_minor,
        message.pledged_minor,
        message.frozen_until_ms,
        message.has_own_floor,
        message.demurrage_until_ms,
        message.bonds,
        message.is_closed,
        message.sub_account_number,
    )


def _decode_account(leaf: bytes) -> Account:
    message = state_pb2.AccountLeaf.FromString(leaf)
    return Account(
        message.account,
        message.owner,
        message.unit,
        message.balance_minor,
        message.held_minor,
        message.floor_minor,
        message.given_minor,
        message.entries,
        message.entries_hash,
        message.payer,
        _account_terms(message.terms) if message.HasField("terms") else None,
    )


def _encode_hold(hold: Hold) -> bytes:
    message = state_pb2.HoldLeaf(
        hold=hold.hold,
        source=hold.source,
        destination=hold.destination,
        remaining_minor=hold.remaining_minor,
        expire_time_ms=hold.expire_time_ms,
        payer=hold.payer,
    )
    if (price := hold.price) is not None:
        message.take_account = price.take_account
        message.offered_give_minor = price.give_minor
        message.offered_take_minor = price.take_minor
        message.taker = price.taker
    return message.SerializeToString(deterministic=True)


def _decode_hold(leaf: bytes) -> Hold:
    message = state_pb2.HoldLeaf.FromString(leaf)
    price = ExchangePrice(
        message.take_account, message.offered_give_minor, message.offered_take_minor, message.taker
    )
    return Hold(
        message.hold,
        message.source,
        message.destination,
        message.remaining_minor,
        message.expire_time_ms,
        message.payer,
        price if message.take_account else None,
    )


def _encode_anchor(anchor: Anchor) -> bytes:
    return state_pb2.AnchorLeaf(
        digest=anchor.digest,
        topic=anchor.topic,
        principal=anchor.principal,
        height=anchor.height,
        block_time_ms=anchor.block_time_ms,
    ).SerializeToString(deterministic=True)


def _decode_anchor(leaf: bytes) -> Anchor:
    message = state_pb2.AnchorLeaf.FromString(leaf)
    return Anchor(message.digest, message.topic, message.principal, message.height, message.block_time_ms)


def _encode_allowance(allowance: Allowance) -> bytes:
    return state_pb2.AllowanceLeaf(
        organization=allowance.organization,
        limits=transaction_pb2.AllowanceLimits(
            bytes_per_epoch=allowance.limits.bytes_per_epoch,
            signatures_per_epoch=allowance.limits.signatures_per_epoch,
            state_leaves=allowance.limits.state_leaves,
            fuel_per_epoch=allowance.limits.fuel_per_epoch,
            new_leaves_per_epoch=allowance.limits.new_leaves_per_epoch,
        ),
        epoch=allowance.epoch,
        used_bytes=allowance.used_bytes,
        used_signatures=allowance.used_signatures,
        used_state_leaves=allowance.used_state_leaves,
        used_fuel=allowance.used_fuel,
        used_new_leaves=allowance.used_new_leaves,
    ).SerializeToString(deterministic=True)


def _decode_allowance(leaf: bytes) -> Allowance:
    message = state_pb2.AllowanceLeaf.FromString(leaf)
    return Allowance(
        message.organization,
        AllowanceLimits(
            message.limits.bytes_per_epoch,
            message.limits.signatures_per_epoch,
            message.limits.state_leaves,
            message.limits.fuel_per_epoch,
            message.limits.new_leaves_per_epoch,
        ),
        message.epoch,
        message.used_bytes,
        message.used_signatures,
        message.used_state_leaves,
        message.used_fuel,
        message.used_new_leaves,
    )


def _encode_zone(zone: Zone) -> bytes:
    return state_pb2.ZoneLeaf(
        authority=zone.authority,
        protocol_version=zone.protocol_version,
        validator_set_hash=zone.validator_set_hash,
    ).SerializeToString(deterministic=True)


def _decode_zone(leaf: bytes) -> Zone:
    message = state_pb2.ZoneLeaf.FromString(leaf)
    return Zone(message.authority, message.protocol_version, message.validator_set_hash)


def _encode_recovery(recovery: Recovery) -> bytes:
    rest = state_pb2.RecoveryLeaf(
        guardian=recovery.guardian, ready_time_ms=recovery.ready_time_ms, payer=recovery.payer
    )
    return recovery.head + rest.SerializeToString(deterministic=True)


def _decode_recovery(leaf: bytes) -> Recovery:
    message = state_pb2.RecoveryLeaf.FromString(leaf)
    head = state_pb2.RecoveryLeaf(principal=message.principal, threshold=message.threshold, keys=message.keys)
    return Recovery(
        message.principal,
        message.threshold,
        controller_keys(message.keys),
        message.guardian,
        message.ready_time_ms,
        message.payer,
        head.SerializeToString(deterministic=True),
    )


def _encode_authority(authority: Authority) -> bytes:
    return state_pb2.AuthorityLeaf(
        authority=authority.authority,
        rules=_rules_message(authority.rules),
        members=authority.members,
    ).SerializeToString(deterministic=True)


def _rules_message(rules: AuthorityRules) -> transaction_pb2.AuthorityRules:
    shares = {
        name: transaction_pb2.Share(numerator=share.numerator, denominator=share.denominator)
        for name in AUTHORITY_SHARES
        if (share := getattr(rules, name)) is not None
    }
    return transaction_pb2.AuthorityRules(
        threshold=rules.threshold, vouches_min=rules.vouches_min, poll_ms_min=rules.poll_ms_min, **shares
    )


def _decode_authority(leaf: bytes) -> Authority:
    message = state_pb2.AuthorityLeaf.FromString(leaf)
    return Authority(message.authority, authority_rules(message.rules), message.members)


def _encode_membership(membership: Membership) -> bytes:
    return state_pb2.MembershipLeaf(
        organization=membership.organization,
        member=membership.member,
        status=int(membership.status),  # type: ignore[arg-type]  # the numbers are the proto's
        applied_time_ms=membership.applied_time_ms,
        since_time_ms=membership.since_time_ms,
        ended_time_ms=membership.ended_time_ms,
        vouchers=membership.vouchers,
        payer=membership.payer,
    ).SerializeToString(deterministic=True)


def _decode_membership(leaf: bytes) -> Membership:
    message = state_pb2.MembershipLeaf.FromString(leaf)
    return Membership(
        message.organization,
        message.member,
        MembershipStatus(message.status),
        message.applied_time_ms,
        message.since_time_ms,
        message.ended_time_ms,
        tuple(message.vouchers),
        message.payer,
    )


def _encode_poll(poll: Poll) -> bytes:
    return state_pb2.PollLeaf(
        poll=poll.poll,
        organization=poll.organization,
        electorate=int(poll.electorate),  # type: ignore[arg-type]  # the numbers are the proto's
        document=poll.document,
        opened_by=poll.opened_by,
        open_time_ms=poll.open_time_ms,
        close_time_ms=poll.close_time_ms,
        ballots=poll.ballots,
        result=poll.result,
        decision=poll.decision,
        is_closed=poll.is_closed,
    ).SerializeToString(deterministic=True)


def _decode_poll(leaf: bytes) -> Poll:
    message = state_pb2.PollLeaf.FromString(leaf)
    return Poll(
        message.poll,
        message.organization,
        Electorate(message.electorate),
        message.document,
        message.opened_by,
        message.open_time_ms,
        message.close_time_ms,
        message.ballots,
        message.result,
        message.decision,
        message.is_closed,
    )


def _encode_ballot(ballot: Ballot) -> bytes:
    return state_pb2.BallotLeaf(
        poll=ballot.poll,
        voter=ballot.voter,
        commitment=ballot.commitment,
        through=ballot.through,
        cast_time_ms=ballot.cast_time_ms,
        payer=ballot.payer,
    ).SerializeToString(deterministic=True)


def _decode_ballot(leaf: bytes) -> Ballot:
    message = state_pb2.BallotLeaf.FromString(leaf)
    return Ballot(
        message.poll,
        message.voter,
        message.commitment,
        message.through,
        message.cast_time_ms,
        message.payer,
    )


def _encode_decision(decision: Decision) -> bytes:
    return state_pb2.DecisionLeaf(
        authority=decision.authority,
        poll=decision.poll,
        subject=decision.subject,
        signers=decision.signers,
        members=decision.members,
        height=decision.height,
    ).SerializeToString(deterministic=True)


def _decode_decision(leaf: bytes) -> Decision:
    message = state_pb2.DecisionLeaf.FromString(leaf)
    return Decision(
        message.authority,
        message.poll,
        message.subject,
        tuple(message.signers),
        message.members,
        message.height,
    )


def _encode_duty(duty: Duty) -> bytes:
    return state_pb2.DutyLeaf(
        organization=duty.organization,
        epoch=duty.epoch,
        blocks=duty.blocks,
        proposed=duty.proposed,
        signed=duty.signed,
    ).SerializeToString(deterministic=True)


def _decode_duty(leaf: bytes) -> Duty:
    message = state_pb2.DutyLeaf.FromString(leaf)
    return Duty(message.organization, message.epoch, message.blocks, message.proposed, message.signed)


def _encode_equivocation(recorded: RecordedEquivocation) -> bytes:
    return state_pb2.EquivocationLeaf(
        epoch=recorded.epoch,
        seat=recorded.seat,
        organization=recorded.organization,
        view=recorded.view,
        evidence=recorded.evidence,
        recorded_by=recorded.recorded_by,
        height=recorded.height,
        block_time_ms=recorded.block_time_ms,
    ).SerializeToString(deterministic=True)


def _decode_equivocation(leaf: bytes) -> RecordedEquivocation:
    message = state_pb2.EquivocationLeaf.FromString(leaf)
    return RecordedEquivocation(
        message.epoch,
        message.seat,
        message.organization,
        message.view,
        message.evidence,
        message.recorded_by,
        message.height,
        message.block_time_ms,
    )


def _encode_validators(validators: Validators) -> bytes:
    return state_pb2.ValidatorsLeaf(
        validator_set_hash=validators.set_hash,
        since_epoch=validators.since_epoch,
        next_validator_set_hash=validators.next_hash,
        change_height=validators.change_height,
        pending=[
            state_pb2.PendingSeats(validator_set_hash=step.set_hash, height=step.height, seats=step.seats)
            for step in validators.pending
        ],
    ).SerializeToString(deterministic=True)


def _decode_validators(leaf: bytes) -> Validators:
    message = state_pb2.ValidatorsLeaf.FromString(leaf)
    return Validators(
        message.validator_set_hash,
        message.since_epoch,
        message.change_height,
        tuple(PendingSeats(step.validator_set_hash, step.height, step.seats) for step in message.pending),
    )


def _encode_consensus_key(key: ConsensusKey) -> bytes:
    return state_pb2.ConsensusKeyLeaf(
        organization=key.organization, height=key.height, epoch=key.epoch
    ).SerializeToString(deterministic=True)


def _decode_consensus_key(leaf: bytes) -> ConsensusKey:
    message = state_pb2.ConsensusKeyLeaf.FromString(leaf)
    return ConsensusKey(message.organization, message.height, message.epoch)


def _encode_code(code: Code) -> bytes:
    return state_pb2.CodeLeaf(code=code.code, stored_by=code.stored_by).SerializeToString(deterministic=True)


def _decode_code(leaf: bytes) -> Code:
    message = state_pb2.CodeLeaf.FromString(leaf)
    return Code(message.code, message.stored_by)


def _encode_contract(contract: Contract) -> bytes:
    return state_pb2.ContractLeaf(
        contract=contract.contract,
        code=contract.code,
        made_by=contract.made_by,
        storage_entries=contract.storage_entries,
        storage_bytes=contract.storage_bytes,
        code_bytes=contract.code_bytes,
    ).SerializeToString(deterministic=True)


def _decode_contract(leaf: bytes) -> Contract:
    message = state_pb2.ContractLeaf.FromString(leaf)
    return Contract(
        message.contract,
        message.code,
        message.made_by,
        message.storage_entries,
        message.storage_bytes,
        message.code_bytes,
    )


def _encode_contract_entry(entry: ContractEntry) -> bytes:
    leaf = state_pb2.ContractEntryLeaf(value=entry.value, payer=entry.payer)
    return leaf.SerializeToString(deterministic=True)


def _decode_contract_entry(leaf: bytes) -> ContractEntry:
    message = state_pb2.ContractEntryLeaf.FromString(leaf)
    return ContractEntry(message.value, message.payer)


_ENCODERS = cast(
    dict[Namespace, Callable[[Any], bytes]],
    {
        Namespace.CONTROLLER: _encode_controller,
        Namespace.UNIT: _encode_unit,
        Namespace.ACCOUNT: _encode_account,
        Namespace.HOLD: _encode_hold,
        Namespace.ANCHOR: _encode_anchor,
        Namespace.ALLOWANCE: _encode_allowance,
        Namespace.ZONE: _encode_zone,
        Namespace.RECOVERY: _encode_recovery,
        Namespace.AUTHORITY: _encode_authority,
        Namespace.MEMBERSHIP: _encode_membership,
        Namespace.POLL: _encode_poll,
        Namespace.BALLOT: _encode_ballot,
        Namespace.DECISION: _encode_decision,
        Namespace.DUTY: _encode_duty,
        Namespace.EQUIVOCATION: _encode_equivocation,
        Namespace.VALIDATORS: _encode_validators,
        Namespace.CONSENSUS_KEY: _encode_consensus_key,
        Namespace.CODE: _encode_code,
        Namespace.CONTRACT: _encode_contract,
        Namespace.CONTRACT_ENTRY: _encode_contract_entry,
        **leaves_credit.ENCODERS,
    },
)

_DECODERS: dict[Namespace, Callable[[bytes], Record]] = {
    Namespace.CONTROLLER: _decode_controller,
    Namespace.UNIT: _decode_unit,
    Namespace.ACCOUNT: _decode_account,
    Namespace.HOLD: _decode_hold,
    Namespace.ANCHOR: _decode_anchor,
    Namespace.ALLOWANCE: _decode_allowance,
    Namespace.ZONE: _decode_zone,
    Namespace.RECOVERY: _decode_recovery,
    Namespace.AUTHORITY: _decode_authority,
    Namespace.MEMBERSHIP: _decode_membership,
    Namespace.POLL: _decode_poll,
    Namespace.BALLOT: _decode_ballot,
    Namespace.DECISION: _decode_decision,
    Namespace.DUTY: _decode_duty,
    Namespace.EQUIVOCATION: _decode_equivocation,
    Namespace.VALIDATORS: _decode_validators,
    Namespace.CONSENSUS_KEY: _decode_consensus_key,
    Namespace.CODE: _decode_code,
    Namespace.CONTRACT: _decode_contract,
    Namespace.CONTRACT_ENTRY: _decode_contract_entry,
    **leaves_credit.DECODERS,
}

"""A block's events as envelopes. Source: protos/icn/ledger/v1/events.proto; docs/spec/events.md."""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Callable, Sequence
from typing import Any

from icn.ledger.v1 import events_pb2, state_pb2
from icn_kit.envelope import ENVELOPE_BYTES_MAX, ledger_event_id
from icn_kit.outbox import RUN_BYTES_MAX
from icn_machine.blocks.ports import BlockCommit
from icn_machine.contracts import event_message
from icn_machine.events import (
    NO_TRANSACTION,
    AccountClosed,
    AccountFrozen,
    AccountOpened,
    AuthorityFounded,
    BallotCast,
    ContractCalled,
    ControllerChanged,
    ControllerOpened,
    DecisionEnacted,
    EquivocationRecorded,
    Event,
    FloorChanged,
    HoldCaptured,
    HoldPlaced,
    HoldReleased,
    MembershipChanged,
    Movement,
    OrderPlaced,
    PeriodClosed,
    PollClosed,
    PollOpened,
    RecoveryCancelled,
    RecoveryCompleted,
    RecoveryStarted,
    SoftLimitPassed,
    StandingOrderEnded,
    StandingOrderMissed,
    TransactionRefused,
    UnitPolicySet,
)
from icn_machine.leaves import encode_leaf
from icn_machine.leaves_credit import unit_policy_message
from icn_machine.receipts import encode_receipt
from icn_machine.records import Namespace, Recovery, StandingOrder
from icn_machine.wire import unsigned

from icn_ledger.usecases.ports import EventRows, OutboxRow

SCHEMA_VERSION = 1
ZONE_BYTES = 16
"""Of the genesis hash, as the envelope names the zone."""
_TRANSFER_COMMITTED = b"icn.ledger.v1.transfer_committed"
_EVENT_BYTES_MAX = ENVELOPE_BYTES_MAX - 64
"""What an envelope has besides: id, zone, height and version."""


def make_event_rows(genesis_hash: bytes) -> EventRows:
    """The function that turns a block's events into outbox rows."""
    zone = genesis_hash[:ZONE_BYTES]

    def event_rows(commit: BlockCommit) -> Sequence[OutboxRow]:
        height = commit.block.height
        common = b"\x12\x10" + zone + b"\x18" + unsigned(height) + b"\x20" + unsigned(SCHEMA_VERSION)
        head = _text(b"\x0a", common)
        rows: list[OutboxRow] = []
        size_bytes, run = 0, [head]
        events = _encode_events(commit)
        for index, event in enumerate(events):
            assert len(event) <= _EVENT_BYTES_MAX, f"an event of {len(event)} bytes, too many to read"
            if size_bytes + len(event) > RUN_BYTES_MAX:
                rows.append(OutboxRow(ledger_event_id(zone, height, index - 1), b"".join(run)))
                size_bytes, run = 0, [head, b"\x10" + unsigned(index)]
            run += (b"\x1a", unsigned(len(event)), event)
            size_bytes += len(event)
        if events:
            rows.append(OutboxRow(ledger_event_id(zone, height, len(events) - 1), b"".join(run)))
        return rows

    return event_rows


def _encode_events(commit: BlockCommit) -> list[bytes]:
    """What of each event's envelope is its own, but for its id."""
    traces = {index: _text(b"\x32", trace.encode()) for index, trace in commit.traceparents.items()}
    ids, block = commit.transaction_ids, commit.block
    moment = b"\x10" + unsigned(block.height) + b"\x18" + unsigned(block.time_ms) + b"\x22\x10"
    encoded = []
    for index, event in enumerate(commit.events):
        if type(event) is Movement:
            origin, payer, source, destination, unit, amount_minor, _, _, memo_hash, hold, kind, word = event
            payload = b"".join(
                (
                    b"" if origin == NO_TRANSACTION else b"\x0a\x20" + ids[origin],
                    moment,
                    source,
                    b"\x2a\x10",
                    destination,
                    b"\x32\x10",
                    unit,
                    b"\x38",
                    unsigned(amount_minor),
                    b"\x42\x20" + memo_hash if memo_hash else b"",
                    b"\x4a\x10" + hold if hold else b"",
                    b"\x50",
                    unsigned(kind),
                    b"\x5a" + unsigned(len(word)) + word if word else b"",
                )
            )
            subject, tenant, aggregate = _TRANSFER_COMMITTED, payer, b"accounts/" + hexlify(source)
        else:
            subject, tenant, aggregate, payload = _WRITERS[type(event)](event, commit)
        encoded.append(
            b"".join(
                (
                    b"\x2a\x10" + tenant if tenant else b"",
                    traces.get(index, b"") if traces else b"",
                    b"\x3a",
                    unsigned(len(subject)),
                    subject,
                    b"\x42",
                    unsigned(len(aggregate)),
                    aggregate,
                    b"\x4a",
                    unsigned(len(payload)),
                    payload,
                )
            )
        )
    return encoded


_Written = tuple[bytes, bytes, bytes, bytes]
"""Subject, tenant, aggregate, payload."""


def _text(tag: bytes, value: bytes) -> bytes:
    return tag + unsigned(len(value)) + value


def _name(kind: bytes, identifier: bytes) -> bytes:
    return kind + b"/" + hexlify(identifier)


def _transaction_refused(event: TransactionRefused, commit: BlockCommit) -> _Written:
    message = events_pb2.TransactionRefused(
        height=commit.block.height,
        block_time_ms=commit.block.time_ms,
        receipt=state_pb2.Receipt.FromString(encode_receipt(event.receipt)),
        principal=event.principal,
    )
    return (
        b"icn.ledger.v1.transaction_refused",
        event.payer,
        _name(b"principals", event.principal),
        message.SerializeToString(),
    )


def _account_opened(event: AccountOpened, commit: BlockCommit) -> _Written:
    message = events_pb2.AccountOpened(
        height=commit.block.height,
        account=state_pb2.AccountLeaf.FromString(encode_leaf(Namespace.ACCOUNT, event.account)),
    )
    aggregate = _name(b"accounts", event.account.account)
    return b"icn.ledger.v1.account_opened", event.payer, aggregate, message.SerializeToString()


def _hold_placed(event: HoldPlaced, commit: BlockCommit) -> _Written:
    message = events_pb2.HoldPlaced(
        height=commit.block.height,
        hold=state_pb2.HoldLeaf.FromString(encode_leaf(Namespace.HOLD, event.hold)),
    )
    aggregate = _name(b"holds", event.hold.hold)
    return b"icn.ledger.v1.hold_placed", event.hold.payer, aggregate, message.SerializeToString()


def _hold_captured(event: HoldCaptured, commit: BlockCommit) -> _Written:
    hold = event.hold
    message = events_pb2.HoldCaptured(
        height=commit.block.height,
        block_time_ms=commit.block.time_ms,
        transaction_id=commit.transaction_ids[event.transaction_index],
        hold=hold.hold,
        source=hold.source,
        destination=event.destination,
        amount_minor=event.amount_minor,
        remaining_minor=hold.remaining_minor - event.amount_minor,
    )
    aggregate = _name(b"holds", hold.hold)
    return b"icn.ledger.v1.hold_captured", hold.payer, aggregate, message.SerializeToString()


def _hold_released(event: HoldReleased, commit: BlockCommit) -> _Written:
    message = events_pb2.HoldReleased(
        height=commit.block.height,
        hold=state_pb2.HoldLeaf.FromString(encode_leaf(Namespace.HOLD, event.hold)),
        is_expired=event.is_expired,
    )
    aggregate = _name(b"holds", event.hold.hold)
    return b"icn.ledger.v1.hold_released", event.hold.payer, aggregate, message.SerializeToString()


def _floor_changed(event: FloorChanged, commit: BlockCommit) -> _Written:
    message = events_pb2.FloorChanged(
        height=commit.block.height,
        account=event.account,
        previous_floor_minor=event.previous_floor_minor,
        floor_minor=event.floor_minor,
        set_by=event.set_by,
    )
    aggregate = _name(b"accounts", event.account)
    return b"icn.ledger.v1.floor_changed", event.payer, aggregate, message.SerializeToString()


def _recovery_started(event: RecoveryStarted, commit: BlockCommit) -> _Written:
    message = events_pb2.RecoveryStarted(height=commit.block.height, recovery=_recovery_leaf(event.recovery))
    return (
        b"icn.ledger.v1.recovery_started",
        event.tenant,
        _name(b"principals", event.recovery.principal),
        message.SerializeToString(),
    )


def _recovery_cancelled(event: RecoveryCancelled, commit: BlockCommit) -> _Written:
    message = events_pb2.RecoveryCancelled(
        height=commit.block.height,
        recovery=_recovery_leaf(event.recovery),
        cancelled_by=event.cancelled_by,
    )
    return (
        b"icn.ledger.v1.recovery_cancelled",
        event.tenant,
        _name(b"principals", event.recovery.principal),
        message.SerializeToString(),
    )


def _recovery_completed(event: RecoveryCompleted, commit: BlockCommit) -> _Written:
    message = events_pb2.RecoveryCompleted(
        height=commit.block.height, recovery=_recovery_leaf(event.recovery)
    )
    return (
        b"icn.ledger.v1.recovery_completed",
        event.tenant,
        _name(b"principals", event.recovery.principal),
        message.SerializeToString(),
    )


def _controller_opened(event: ControllerOpened, commit: BlockCommit) -> _Written:
    message = events_pb2.ControllerOpened(
        height=commit.block.height, principal=event.principal, sponsor=event.sponsor
    )
    aggregate = _name(b"principals", event.principal)
    return b"icn.ledger.v1.controller_opened", event.sponsor, aggregate, message.SerializeToString()


def _controller_changed(event: ControllerChanged, commit: BlockCommit) -> _Written:
    message = events_pb2.ControllerChanged(height=commit.block.height, principal=event.principal)
    aggregate = _name(b"principals", event.principal)
    return b"icn.ledger.v1.controller_changed", event.tenant, aggregate, message.SerializeToString()


def _authority_founded(event: AuthorityFounded, commit: BlockCommit) -> _Written:
    identifier = event.authority.authority
    message = events_pb2.AuthorityFounded(
        height=commit.block.height,
        authority=state_pb2.AuthorityLeaf.FromString(encode_leaf(Namespace.AUTHORITY, event.authority)),
    )
    aggregate = _name(b"authorities", identifier)
    return b"icn.ledger.v1.authority_founded", identifier, aggregate, message.SerializeToString()


def _membership_changed(event: MembershipChanged, commit: BlockCommit) -> _Written:
    membership = event.membership
    message = events_pb2.MembershipChanged(
        height=commit.block.height,
        block_time_ms=commit.block.time_ms,
        membership=state_pb2.MembershipLeaf.FromString(encode_leaf(Namespace.MEMBERSHIP, membership)),
    )
    return (
        b"icn.ledger.v1.membership_changed",
        membership.organization,
        _name(b"memberships", membership.organization) + b"/" + hexlify(membership.member),
        message.SerializeToString(),
    )


def _poll_opened(event: PollOpened, commit: BlockCommit) -> _Written:
    message = events_pb2.PollOpened(
        height=commit.block.height,
        poll=state_pb2.PollLeaf.FromString(encode_leaf(Namespace.POLL, event.poll)),
    )
    aggregate = _name(b"polls", event.poll.poll)
    return b"icn.ledger.v1.poll_opened", event.poll.organization, aggregate, message.SerializeToString()


def _poll_closed(event: PollClosed, commit: BlockCommit) -> _Written:
    message = events_pb2.PollClosed(
        height=commit.block.height,
        block_time_ms=commit.block.time_ms,
        poll=state_pb2.PollLeaf.FromString(encode_leaf(Namespace.POLL, event.poll)),
    )
    aggregate = _name(b"polls", event.poll.poll)
    return b"icn.ledger.v1.poll_closed", event.poll.organization, aggregate, message.SerializeToString()


def _ballot_cast(event: BallotCast, commit: BlockCommit) -> _Written:
    message = events_pb2.BallotCast(
        height=commit.block.height,
        ballot=state_pb2.BallotLeaf.FromString(encode_leaf(Namespace.BALLOT, event.ballot)),
        is_recast=event.is_recast,
    )
    aggregate = _name(b"polls", event.ballot.poll)
    return b"icn.ledger.v1.ballot_cast", event.organization, aggregate, message.SerializeToString()


def _decision_enacted(event: DecisionEnacted, commit: BlockCommit) -> _Written:
    authority = event.decision.authority
    message = events_pb2.DecisionEnacted(
        height=commit.block.height,
        block_time_ms=commit.block.time_ms,
        decision_id=event.decision_id,
        decision=state_pb2.DecisionLeaf.FromString(encode_leaf(Namespace.DECISION, event.decision)),
        body=event.body,
    )
    aggregate = _name(b"authorities", authority)
    return b"icn.ledger.v1.decision_enacted", authority, aggregate, message.SerializeToString()


def _equivocation_recorded(event: EquivocationRecorded, _commit: BlockCommit) -> _Written:
    recorded = event.equivocation
    leaf = state_pb2.EquivocationLeaf.FromString(encode_leaf(Namespace.EQUIVOCATION, recorded))
    message = events_pb2.EquivocationRecorded(equivocation=leaf)
    aggregate = _name(b"principals", recorded.organization)
    return (
        b"icn.ledger.v1.equivocation_recorded",
        recorded.organization,
        aggregate,
        message.SerializeToString(),
    )


def _contract_called(event: ContractCalled, commit: BlockCommit) -> _Written:
    message = events_pb2.ContractCalled(
        height=commit.block.height,
        transaction_id=commit.transaction_ids[event.transaction_index],
        contract=event.contract,
        sender=event.sender,
        fuel_used=event.fuel_used,
        events=[event_message(own) for own in event.events],
    )
    aggregate = _name(b"contracts", event.contract)
    return b"icn.ledger.v1.contract_called", event.payer, aggregate, message.SerializeToString()


def _unit_policy_set(event: UnitPolicySet, commit: BlockCommit) -> _Written:
    message = events_pb2.UnitPolicySet(
        height=commit.block.height,
        unit=event.unit,
        previous=event.previous and unit_policy_message(event.previous),
        policy=unit_policy_message(event.policy),
        set_by=event.set_by,
    )
    aggregate = _name(b"units", event.unit)
    return b"icn.ledger.v1.unit_policy_set", event.payer, aggregate, message.SerializeToString()


def _soft_limit_passed(event: SoftLimitPassed, commit: BlockCommit) -> _Written:
    message = events_pb2.SoftLimitPassed(
        height=commit.block.height,
        account=event.account,
        balance_minor=event.balance_minor,
        held_minor=event.held_minor,
        limit_minor=event.limit_minor,
        soft_limit_minor=event.soft_limit_minor,
    )
    aggregate = _name(b"accounts", event.account)
    return b"icn.ledger.v1.soft_limit_passed", event.payer, aggregate, message.SerializeToString()


def _account_frozen(event: AccountFrozen, commit: BlockCommit) -> _Written:
    message = events_pb2.AccountFrozen(
        height=commit.block.height,
        account=event.account,
        previous_until_ms=event.previous_until_ms,
        until_ms=event.until_ms,
        frozen_by=event.frozen_by,
    )
    aggregate = _name(b"accounts", event.account)
    return b"icn.ledger.v1.account_frozen", event.payer, aggregate, message.SerializeToString()


def _account_closed(event: AccountClosed, commit: BlockCommit) -> _Written:
    message = events_pb2.AccountClosed(
        height=commit.block.height,
        account=state_pb2.AccountLeaf.FromString(encode_leaf(Namespace.ACCOUNT, event.account)),
    )
    aggregate = _name(b"accounts", event.account.account)
    return b"icn.ledger.v1.account_closed", event.payer, aggregate, message.SerializeToString()


def _order_placed(event: OrderPlaced, commit: BlockCommit) -> _Written:
    message = events_pb2.OrderPlaced(height=commit.block.height, order=_order_leaf(event.order))
    return b"icn.ledger.v1.order_placed", *_of_order(event.order), message.SerializeToString()


def _standing_order_missed(event: StandingOrderMissed, commit: BlockCommit) -> _Written:
    message = events_pb2.StandingOrderMissed(
        height=commit.block.height,
        order=_order_leaf(event.order),
        reason=event.reason,
        figures=[state_pb2.Figure(name=name, value=value) for name, value in event.figures],
    )
    return b"icn.ledger.v1.standing_order_missed", *_of_order(event.order), message.SerializeToString()


def _standing_order_ended(event: StandingOrderEnded, commit: BlockCommit) -> _Written:
    message = events_pb2.StandingOrderEnded(
        height=commit.block.height, order=_order_leaf(event.order), reason=event.reason
    )
    return b"icn.ledger.v1.standing_order_ended", *_of_order(event.order), message.SerializeToString()


def _period_closed(event: PeriodClosed, commit: BlockCommit) -> _Written:
    message = events_pb2.PeriodClosed(
        height=commit.block.height,
        unit=event.unit,
        period=state_pb2.PeriodLeaf.FromString(encode_leaf(Namespace.PERIOD, event.period)),
    )
    aggregate = _name(b"units", event.unit)
    return b"icn.ledger.v1.period_closed", event.payer, aggregate, message.SerializeToString()


def _of_order(order: StandingOrder) -> tuple[bytes, bytes]:
    """Tenant and aggregate of what is told of an order."""
    return order.payer, _name(b"orders", order.ordered.order)


def _order_leaf(order: StandingOrder) -> state_pb2.StandingOrderLeaf:
    return state_pb2.StandingOrderLeaf.FromString(encode_leaf(Namespace.ORDER, order))


def _recovery_leaf(recovery: Recovery) -> state_pb2.RecoveryLeaf:
    return state_pb2.RecoveryLeaf.FromString(encode_leaf(Namespace.RECOVERY, recovery))


_WRITERS: dict[type[Event], Callable[[Any, BlockCommit], _Written]] = {
    TransactionRefused: _transaction_refused,
    AccountOpened: _account_opened,
    HoldPlaced: _hold_placed,
    HoldCaptured: _hold_captured,
    HoldReleased: _hold_released,
    FloorChanged: _floor_changed,
    RecoveryStarted: _recovery_started,
    RecoveryCancelled: _recovery_cancelled,
    RecoveryCompleted: _recovery_completed,
    ControllerOpened: _controller_opened,
    ControllerChanged: _controller_changed,
    AuthorityFounded: _authority_founded,
    MembershipChanged: _membership_changed,
    PollOpened: _poll_opened,
    PollClosed: _poll_closed,
    BallotCast: _ballot_cast,
    DecisionEnacted: _decision_enacted,
    EquivocationRecorded: _equivocation_recorded,
    ContractCalled: _contract_called,
    UnitPolicySet: _unit_policy_set,
    SoftLimitPassed: _soft_limit_passed,
    AccountFrozen: _account_frozen,
    AccountClosed: _account_closed,
    OrderPlaced: _order_placed,
    StandingOrderMissed: _standing_order_missed,
    StandingOrderEnded: _standing_order_ended,
    PeriodClosed: _period_closed,
}

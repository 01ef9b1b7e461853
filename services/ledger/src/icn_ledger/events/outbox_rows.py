"""A block's events as envelopes. Source: protos/icn/ledger/v1/events.proto; docs/spec/events.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1 import events_pb2, state_pb2
from icn_kit.envelope import ENVELOPE_BYTES_MAX, ledger_event_id

from icn_ledger.domain.contracts import event_message
from icn_ledger.domain.events import (
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
    PollClosed,
    PollOpened,
    RecoveryCancelled,
    RecoveryCompleted,
    RecoveryStarted,
    TransactionRefused,
)
from icn_ledger.domain.leaves import encode_leaf
from icn_ledger.domain.receipts import encode_receipt
from icn_ledger.domain.records import Namespace, Recovery
from icn_ledger.usecases.ports import BlockCommit, EventRows, OutboxRows

SCHEMA_VERSION = 1
ZONE_BYTES = 16
"""Of the genesis hash, as the envelope names the zone."""


def make_event_rows(genesis_hash: bytes) -> EventRows:
    """The function that turns a block's events into outbox rows."""
    zone = genesis_hash[:ZONE_BYTES]

    def event_rows(commit: BlockCommit) -> OutboxRows:
        height = commit.block.height
        rows = OutboxRows([], [], [])
        ids, subjects, envelopes = cast(tuple[list[bytes], list[bytes], list[bytes]], rows)
        for index, event in enumerate(commit.events):
            subject, tenant, aggregate, payload = _WRITERS[type(event)](event, commit)
            event_id = ledger_event_id(zone, height, index)
            envelope = EventEnvelope(
                id=event_id,
                zone=zone,
                height=height,
                schema_version=SCHEMA_VERSION,
                tenant=tenant,
                traceparent=commit.traceparents.get(index, ""),
                subject=subject,
                aggregate=aggregate,
                payload=payload,
            )
            ids.append(event_id)
            subjects.append(subject.encode())
            serialized = envelope.SerializeToString()
            assert len(serialized) <= ENVELOPE_BYTES_MAX, (
                f"{subject} of {len(serialized)} bytes, too many to read"
            )
            envelopes.append(serialized)
        return rows

    return event_rows


_Written = tuple[str, bytes, str, bytes]
"""Subject, tenant, aggregate, payload."""


def _movement(event: Movement, commit: BlockCommit) -> _Written:
    message = events_pb2.TransferCommitted(
        transaction_id=commit.transaction_ids[event.transaction_index],
        height=commit.block.height,
        block_time_ms=commit.block.time_ms,
        source=event.source,
        destination=event.destination,
        unit=event.unit,
        amount_minor=event.amount_minor,
        memo_hash=event.memo_hash,
        hold=event.hold,
    )
    return (
        "icn.ledger.v1.transfer_committed",
        event.payer,
        f"accounts/{event.source.hex()}",
        message.SerializeToString(),
    )


def _transaction_refused(event: TransactionRefused, commit: BlockCommit) -> _Written:
    message = events_pb2.TransactionRefused(
        height=commit.block.height,
        block_time_ms=commit.block.time_ms,
        receipt=state_pb2.Receipt.FromString(encode_receipt(event.receipt)),
        principal=event.principal,
    )
    return (
        "icn.ledger.v1.transaction_refused",
        event.payer,
        f"principals/{event.principal.hex()}",
        message.SerializeToString(),
    )


def _account_opened(event: AccountOpened, commit: BlockCommit) -> _Written:
    message = events_pb2.AccountOpened(
        height=commit.block.height,
        account=state_pb2.AccountLeaf.FromString(encode_leaf(Namespace.ACCOUNT, event.account)),
    )
    aggregate = f"accounts/{event.account.account.hex()}"
    return "icn.ledger.v1.account_opened", event.payer, aggregate, message.SerializeToString()


def _hold_placed(event: HoldPlaced, commit: BlockCommit) -> _Written:
    message = events_pb2.HoldPlaced(
        height=commit.block.height,
        hold=state_pb2.HoldLeaf.FromString(encode_leaf(Namespace.HOLD, event.hold)),
    )
    aggregate = f"holds/{event.hold.hold.hex()}"
    return "icn.ledger.v1.hold_placed", event.hold.payer, aggregate, message.SerializeToString()


def _hold_captured(event: HoldCaptured, commit: BlockCommit) -> _Written:
    hold = event.hold
    message = events_pb2.HoldCaptured(
        height=commit.block.height,
        block_time_ms=commit.block.time_ms,
        transaction_id=commit.transaction_ids[event.transaction_index],
        hold=hold.hold,
        source=hold.source,
        destination=hold.destination,
        amount_minor=event.amount_minor,
        remaining_minor=hold.remaining_minor - event.amount_minor,
    )
    aggregate = f"holds/{hold.hold.hex()}"
    return "icn.ledger.v1.hold_captured", hold.payer, aggregate, message.SerializeToString()


def _hold_released(event: HoldReleased, commit: BlockCommit) -> _Written:
    message = events_pb2.HoldReleased(
        height=commit.block.height,
        hold=state_pb2.HoldLeaf.FromString(encode_leaf(Namespace.HOLD, event.hold)),
        is_expired=event.is_expired,
    )
    aggregate = f"holds/{event.hold.hold.hex()}"
    return "icn.ledger.v1.hold_released", event.hold.payer, aggregate, message.SerializeToString()


def _floor_changed(event: FloorChanged, commit: BlockCommit) -> _Written:
    message = events_pb2.FloorChanged(
        height=commit.block.height,
        account=event.account,
        previous_floor_minor=event.previous_floor_minor,
        floor_minor=event.floor_minor,
    )
    aggregate = f"accounts/{event.account.hex()}"
    return "icn.ledger.v1.floor_changed", event.payer, aggregate, message.SerializeToString()


def _recovery_started(event: RecoveryStarted, commit: BlockCommit) -> _Written:
    message = events_pb2.RecoveryStarted(height=commit.block.height, recovery=_recovery_leaf(event.recovery))
    return (
        "icn.ledger.v1.recovery_started",
        event.tenant,
        f"principals/{event.recovery.principal.hex()}",
        message.SerializeToString(),
    )


def _recovery_cancelled(event: RecoveryCancelled, commit: BlockCommit) -> _Written:
    message = events_pb2.RecoveryCancelled(
        height=commit.block.height,
        recovery=_recovery_leaf(event.recovery),
        cancelled_by=event.cancelled_by,
    )
    return (
        "icn.ledger.v1.recovery_cancelled",
        event.tenant,
        f"principals/{event.recovery.principal.hex()}",
        message.SerializeToString(),
    )


def _recovery_completed(event: RecoveryCompleted, commit: BlockCommit) -> _Written:
    message = events_pb2.RecoveryCompleted(
        height=commit.block.height, recovery=_recovery_leaf(event.recovery)
    )
    return (
        "icn.ledger.v1.recovery_completed",
        event.tenant,
        f"principals/{event.recovery.principal.hex()}",
        message.SerializeToString(),
    )


def _controller_opened(event: ControllerOpened, commit: BlockCommit) -> _Written:
    message = events_pb2.ControllerOpened(
        height=commit.block.height, principal=event.principal, sponsor=event.sponsor
    )
    aggregate = f"principals/{event.principal.hex()}"
    return "icn.ledger.v1.controller_opened", event.sponsor, aggregate, message.SerializeToString()


def _controller_changed(event: ControllerChanged, commit: BlockCommit) -> _Written:
    message = events_pb2.ControllerChanged(height=commit.block.height, principal=event.principal)
    aggregate = f"principals/{event.principal.hex()}"
    return "icn.ledger.v1.controller_changed", event.tenant, aggregate, message.SerializeToString()


def _authority_founded(event: AuthorityFounded, commit: BlockCommit) -> _Written:
    identifier = event.authority.authority
    message = events_pb2.AuthorityFounded(
        height=commit.block.height,
        authority=state_pb2.AuthorityLeaf.FromString(encode_leaf(Namespace.AUTHORITY, event.authority)),
    )
    aggregate = f"authorities/{identifier.hex()}"
    return "icn.ledger.v1.authority_founded", identifier, aggregate, message.SerializeToString()


def _membership_changed(event: MembershipChanged, commit: BlockCommit) -> _Written:
    membership = event.membership
    message = events_pb2.MembershipChanged(
        height=commit.block.height,
        block_time_ms=commit.block.time_ms,
        membership=state_pb2.MembershipLeaf.FromString(encode_leaf(Namespace.MEMBERSHIP, membership)),
    )
    return (
        "icn.ledger.v1.membership_changed",
        membership.organization,
        f"memberships/{membership.organization.hex()}/{membership.member.hex()}",
        message.SerializeToString(),
    )


def _poll_opened(event: PollOpened, commit: BlockCommit) -> _Written:
    message = events_pb2.PollOpened(
        height=commit.block.height,
        poll=state_pb2.PollLeaf.FromString(encode_leaf(Namespace.POLL, event.poll)),
    )
    aggregate = f"polls/{event.poll.poll.hex()}"
    return "icn.ledger.v1.poll_opened", event.poll.organization, aggregate, message.SerializeToString()


def _poll_closed(event: PollClosed, commit: BlockCommit) -> _Written:
    message = events_pb2.PollClosed(
        height=commit.block.height,
        block_time_ms=commit.block.time_ms,
        poll=state_pb2.PollLeaf.FromString(encode_leaf(Namespace.POLL, event.poll)),
    )
    aggregate = f"polls/{event.poll.poll.hex()}"
    return "icn.ledger.v1.poll_closed", event.poll.organization, aggregate, message.SerializeToString()


def _ballot_cast(event: BallotCast, commit: BlockCommit) -> _Written:
    message = events_pb2.BallotCast(
        height=commit.block.height,
        ballot=state_pb2.BallotLeaf.FromString(encode_leaf(Namespace.BALLOT, event.ballot)),
        is_recast=event.is_recast,
    )
    aggregate = f"polls/{event.ballot.poll.hex()}"
    return "icn.ledger.v1.ballot_cast", event.organization, aggregate, message.SerializeToString()


def _decision_enacted(event: DecisionEnacted, commit: BlockCommit) -> _Written:
    authority = event.decision.authority
    message = events_pb2.DecisionEnacted(
        height=commit.block.height,
        block_time_ms=commit.block.time_ms,
        decision_id=event.decision_id,
        decision=state_pb2.DecisionLeaf.FromString(encode_leaf(Namespace.DECISION, event.decision)),
        body=event.body,
    )
    aggregate = f"authorities/{authority.hex()}"
    return "icn.ledger.v1.decision_enacted", authority, aggregate, message.SerializeToString()


def _equivocation_recorded(event: EquivocationRecorded, _commit: BlockCommit) -> _Written:
    recorded = event.equivocation
    leaf = state_pb2.EquivocationLeaf.FromString(encode_leaf(Namespace.EQUIVOCATION, recorded))
    message = events_pb2.EquivocationRecorded(equivocation=leaf)
    aggregate = f"principals/{recorded.organization.hex()}"
    return (
        "icn.ledger.v1.equivocation_recorded",
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
    aggregate = f"contracts/{event.contract.hex()}"
    return "icn.ledger.v1.contract_called", event.payer, aggregate, message.SerializeToString()


def _recovery_leaf(recovery: Recovery) -> state_pb2.RecoveryLeaf:
    return state_pb2.RecoveryLeaf.FromString(encode_leaf(Namespace.RECOVERY, recovery))


_WRITERS: dict[type[Event], Callable[[Any, BlockCommit], _Written]] = {
    Movement: _movement,
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
}

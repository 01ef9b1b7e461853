"""A block's events as envelopes. Source: protos/icn/ledger/v1/events.proto; docs/spec/events.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1 import events_pb2, state_pb2
from icn_kit.envelope import ledger_event_id

from icn_ledger.domain.contracts import event_message
from icn_ledger.domain.events import (
    AccountOpened,
    ContractCalled,
    Event,
    FloorChanged,
    HoldCaptured,
    HoldPlaced,
    HoldReleased,
    Movement,
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
                subject=subject,
                aggregate=aggregate,
                payload=payload,
            )
            ids.append(event_id)
            subjects.append(subject.encode())
            envelopes.append(envelope.SerializeToString())
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
    ContractCalled: _contract_called,
}

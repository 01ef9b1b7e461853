"""What the transactions of a final block do: one function per message over a working set.

Every function checks before it changes, and `BlockExecution` takes a transaction back when a later message
of it is refused: all or nothing. Source: docs/spec/transaction.md, "Execution".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from icn_chain.validator_set import ValidatorSet

from icn_machine import polls, refusals
from icn_machine.accounts import close_account, open_account, pledge_account
from icn_machine.authority import find_fault
from icn_machine.controllers import (
    cancel_recovery,
    complete_recovery,
    end_sponsorship,
    open_controller,
    set_recovery,
    start_recovery,
    start_sponsorship,
    update_controller,
)
from icn_machine.credit_messages import (
    CancelOrder,
    ChargeDemurrage,
    CloseAccount,
    ClosePeriod,
    ConfirmOpenings,
    FreezeAccount,
    OfferExchange,
    OrderTransfers,
    PledgeAccount,
    ReleaseOrder,
    SetUnitPolicy,
    TakeExchange,
    TransferLegs,
    VoidExchange,
    WriteOff,
)
from icn_machine.decisions import enact_decision
from icn_machine.demurrage import charge_demurrage
from icn_machine.duty import duty_identifier
from icn_machine.entries import EntryChain
from icn_machine.equivocations import record_equivocation
from icn_machine.events import Receipt, TransactionRefused
from icn_machine.exchanges import offer_exchange, take_exchange, void_exchange
from icn_machine.governed import find_zone, is_organization, set_allowance, set_zone_authority
from icn_machine.holds import capture_hold, place_hold, release, void_hold
from icn_machine.memberships import (
    admit_member,
    apply_for_membership,
    end_membership,
    vouch_for_applicant,
)
from icn_machine.messages import (
    ActivateProtocol,
    AdmitMember,
    AnchorDigest,
    ApplyForMembership,
    CancelRecovery,
    CaptureHold,
    CastBallot,
    ChangeValidators,
    CompleteRecovery,
    CreateUnit,
    EnactDecision,
    EndMembership,
    EndSponsorship,
    Message,
    OpenAccount,
    OpenController,
    OpenPoll,
    PlaceHold,
    RecordEquivocation,
    RekeySeat,
    SetAllowance,
    SetFloor,
    SetRecovery,
    SetZoneAuthority,
    StartRecovery,
    StartSponsorship,
    Transaction,
    Transfer,
    UpdateController,
    VoidHold,
    VouchForApplicant,
)
from icn_machine.orders import cancel_order, carry_out, order_transfers, release_order
from icn_machine.payments import transfer, transfer_legs
from icn_machine.posting import BlockContext, Cause, occupy
from icn_machine.records import (
    VALIDATORS_IDENTIFIER,
    ZONE_IDENTIFIER,
    Anchor,
    ConsensusKey,
    Controller,
    Due,
    Duty,
    RecordTables,
    Unit,
    new_tuple,
)
from icn_machine.refusals import Refused
from icn_machine.seats import activate_protocol, change_validators, find_validators, rekey_seat
from icn_machine.unit_governance import (
    close_period,
    confirm_openings,
    freeze_account,
    set_floor,
    set_unit_policy,
    write_off,
)
from icn_machine.working_set import WorkingSet


class BlockOutcome(NamedTuple):
    """What a block left."""

    context: BlockContext
    receipts: Sequence[Receipt]
    """One per transaction, in order."""
    working: WorkingSet
    """Its changes and events."""


class BlockExecution:
    """Executes one block, transaction by transaction, so that the caller may let others run in between."""

    def __init__(
        self,
        context: BlockContext,
        loaded: RecordTables,
        validator_sets: Mapping[bytes, ValidatorSet] | None = None,
    ) -> None:
        self._context = context
        self._working = WorkingSet(loaded, validator_sets)
        self._receipts: list[Receipt | None] = []
        self._deferred: list[tuple[int, Transaction]] = []

    @property
    def context(self) -> BlockContext:
        """The block."""
        return self._context

    @property
    def working(self) -> WorkingSet:
        """Its records as they are now."""
        return self._working

    @property
    def contract_transactions(self) -> Sequence[tuple[int, Transaction]]:
        """Those that run after all native ones, charged already, with their positions in the block."""
        return self._deferred

    def settle(self, index: int, receipt: Receipt) -> None:
        """Take the receipt of a contract transaction."""
        assert self._receipts[index] is None, "each is settled once"
        self._receipts[index] = receipt

    def record_duties(self, duties: Sequence[Duty]) -> None:
        """Record what the seats did in an epoch that has ended."""
        working = self._working
        working.begin()
        for duty in duties:
            working.put(working.now.duties, duty_identifier(duty.organization, duty.epoch), duty)

    def put_in_force(self, set_hash: bytes) -> None:
        """Begin an epoch with the set that the edge of the one before has named."""
        working = self._working
        before = find_validators(working)
        validators = before.enter(set_hash, self._context.epoch)
        assert validators is not None, "the edge named a set that the state named"
        if validators is not before:
            working.begin()
            working.put(working.now.validators, VALIDATORS_IDENTIFIER, validators)

    def begin_again(self, validators: ValidatorSet) -> None:
        """Begin an epoch with the new keys that a recovery certificate names; what was pending is void."""
        working, context = self._working, self._context
        working.begin()
        following = find_validators(working).begin_again(validators.hash, context.epoch)
        working.put(working.now.validators, VALIDATORS_IDENTIFIER, following)
        zone = find_zone(working)._replace(
            protocol_version=validators.protocol_version, validator_set_hash=validators.hash
        )
        working.put(working.now.zones, ZONE_IDENTIFIER, zone)
        for seat in validators.validators:
            named = ConsensusKey(seat.organization, context.height, context.epoch)
            working.put(working.now.consensus_keys, seat.public_key, named)

    def settle_due(self, due: Due) -> None:
        """Release the holds, carry out the orders and close the polls that are due, in the order given."""
        working, time_ms = self._working, self._context.time_ms
        for identifier in due.holds:
            hold = working.now.holds[identifier]
            assert hold is not None and hold.expire_time_ms <= time_ms, "the caller chose due holds"
            working.begin()
            release(working, hold, is_expired=True)
        for identifier in due.orders:
            order = working.now.orders[identifier]
            assert order is not None and order.next_time_ms <= time_ms, "the caller chose due orders"
            carry_out(working, order, self._context)
        for identifier in due.polls:
            poll = working.now.polls[identifier]
            assert poll is not None and not poll.is_closed and poll.close_time_ms <= time_ms, (
                "the caller chose due polls"
            )
            working.begin()
            polls.close(working, poll)

    def execute(self, transaction: Transaction) -> None:
        """Charge the transaction, then apply its messages or leave a refusal; one of contracts only waits."""
        working, now = self._working, self._working.now
        context = self._context
        index = len(self._receipts)
        controller = now.controllers[transaction.principal]
        allowance = now.allowances[transaction.payer]
        assert controller is not None and allowance is not None, "validity rules 3 and 4; neither ever goes"
        # The charge and the sequence stay whatever the messages do, so they come before `begin`.
        now.controllers[transaction.principal] = controller.consume(transaction.lane, transaction.sequence)
        now.allowances[transaction.payer] = allowance.charge(
            context.epoch,
            transaction.size_bytes,
            transaction.signatures_charged,
            transaction.fuel_limit,
        )
        if transaction.is_of_contracts:
            self._receipts.append(None)
            self._deferred.append((index, transaction))
            return
        working.begin(index)
        message_index = 0
        try:
            check_authority(transaction, controller, context.time_ms)
            for message_index, message in enumerate(transaction.messages):  # noqa: B007 - read by the refusal
                _APPLY[type(message)](working, transaction, message, context, index)
        except Refused as refusal:
            working.rollback()
            receipt = Receipt(transaction.id, refusal.reason, message_index, refusal.figures)
            working.events.append(TransactionRefused(transaction.payer, transaction.principal, receipt))
        else:
            receipt = new_tuple(Receipt, (transaction.id, "", 0, (), None))
        self._receipts.append(receipt)

    def finish(self) -> BlockOutcome:
        """What the block left."""
        receipts = [receipt for receipt in self._receipts if receipt is not None]
        assert len(receipts) == len(self._receipts), "every contract transaction was settled"
        context, working = self._context, self._working
        EntryChain(context.zone.genesis_hash).link(
            working.events,
            working.now.accounts,
            [receipt.transaction_id for receipt in receipts],
            context.height,
            context.time_ms,
        )
        return BlockOutcome(self._context, receipts, self._working)


def check_authority(transaction: Transaction, controller: Controller, time_ms: int) -> None:
    """Ask rules 6 and 7 of validity again, on the state of this moment."""
    fault = find_fault(transaction, controller, time_ms)
    if fault is not None:
        reason = refusals.KEY_REVOKED if fault.reason == refusals.KEY_UNKNOWN else fault.reason
        raise Refused(reason, *fault.figures)


def _create_unit(
    working: WorkingSet, transaction: Transaction, message: CreateUnit, _context: BlockContext, _index: int
) -> None:
    units = working.now.units
    if units[message.unit] is not None:
        raise Refused(refusals.UNIT_EXISTS)
    if message.authority and not is_organization(working, message.authority):
        raise Refused(refusals.AUTHORITY_UNKNOWN)
    unit = Unit(
        message.unit,
        message.code,
        message.scale,
        transaction.principal,
        message.authority or transaction.principal,
        message.default_floor_minor,
    )
    working.put(units, message.unit, unit)
    occupy(working, transaction.payer, 1)


def _anchor(
    working: WorkingSet, transaction: Transaction, message: AnchorDigest, context: BlockContext, _index: int
) -> None:
    anchors = working.now.anchors
    if (known := anchors[message.digest]) is not None:
        raise Refused(refusals.ANCHOR_EXISTS, *context.since(known.height))
    anchor = Anchor(message.digest, message.topic, transaction.principal, context.height, context.time_ms)
    working.put(anchors, message.digest, anchor)
    occupy(working, transaction.payer, 1)


def _by_transaction(
    act: Callable[[WorkingSet, bytes, Any, Cause], None],
) -> Callable[[WorkingSet, Transaction, Any, BlockContext, int], None]:
    """What a principal does as an authority does it by a decision: by its id alone."""

    def apply(
        working: WorkingSet, transaction: Transaction, message: Any, context: BlockContext, index: int
    ) -> None:
        act(working, transaction.principal, message, Cause(transaction.payer, index, context))

    return apply


_APPLY: dict[type[Message], Callable[[WorkingSet, Transaction, Any, BlockContext, int], None]] = {
    OpenController: open_controller,
    UpdateController: update_controller,
    CreateUnit: _create_unit,
    OpenAccount: open_account,
    SetFloor: _by_transaction(set_floor),
    Transfer: transfer,
    TransferLegs: transfer_legs,
    PlaceHold: place_hold,
    CaptureHold: capture_hold,
    VoidHold: void_hold,
    OfferExchange: offer_exchange,
    TakeExchange: take_exchange,
    VoidExchange: void_exchange,
    OrderTransfers: order_transfers,
    CancelOrder: cancel_order,
    ReleaseOrder: release_order,
    SetUnitPolicy: _by_transaction(set_unit_policy),
    FreezeAccount: _by_transaction(freeze_account),
    PledgeAccount: _by_transaction(pledge_account),
    WriteOff: _by_transaction(write_off),
    CloseAccount: _by_transaction(close_account),
    ConfirmOpenings: _by_transaction(confirm_openings),
    ClosePeriod: _by_transaction(close_period),
    ChargeDemurrage: _by_transaction(charge_demurrage),
    AnchorDigest: _anchor,
    RecordEquivocation: record_equivocation,
    SetAllowance: _by_transaction(set_allowance),
    StartRecovery: start_recovery,
    CancelRecovery: cancel_recovery,
    CompleteRecovery: complete_recovery,
    SetRecovery: set_recovery,
    StartSponsorship: start_sponsorship,
    EndSponsorship: end_sponsorship,
    EnactDecision: enact_decision,
    ApplyForMembership: apply_for_membership,
    VouchForApplicant: vouch_for_applicant,
    AdmitMember: admit_member,
    EndMembership: end_membership,
    OpenPoll: polls.open_poll,
    CastBallot: polls.cast_ballot,
    SetZoneAuthority: _by_transaction(set_zone_authority),
    ChangeValidators: _by_transaction(change_validators),
    RekeySeat: rekey_seat,
    ActivateProtocol: _by_transaction(activate_protocol),
}

"""Who may sign, and who pays: opened by a sponsor, updated by the principal, recovered by its guardian.

Source: docs/spec/transaction.md, "Execution" and "Recovery".
"""

from __future__ import annotations

from collections.abc import Sequence

from icn.ledger.v1 import state_pb2
from icn_crypto.suites import InvalidPublicKey, check_public_key

from icn_machine import refusals
from icn_machine.events import (
    ControllerChanged,
    ControllerOpened,
    RecoveryCancelled,
    RecoveryCompleted,
    RecoveryStarted,
)
from icn_machine.governed import is_taken
from icn_machine.messages import (
    CancelRecovery,
    CompleteRecovery,
    EndSponsorship,
    OpenController,
    SetRecovery,
    StartRecovery,
    StartSponsorship,
    Transaction,
    UpdateController,
)
from icn_machine.posting import BlockContext, occupy
from icn_machine.records import Controller, ControllerKey, Recovery, RecoveryPolicy
from icn_machine.refusals import Refused
from icn_machine.working_set import WorkingSet


def open_controller(
    working: WorkingSet,
    transaction: Transaction,
    message: OpenController,
    context: BlockContext,
    _index: int,
) -> None:
    """Create a principal that the acting one sponsors."""
    controllers = working.now.controllers
    if is_taken(working, message.principal):
        raise Refused(refusals.PRINCIPAL_EXISTS)
    _check_keys(message.keys)
    if working.now.allowances[transaction.principal] is None:
        raise Refused(refusals.SPONSOR_NOT_ORGANIZATION)
    _check_policy(working, message.recovery, context)
    sponsor = transaction.principal
    head = message.head + _sponsor_field(sponsor)
    opened = Controller(
        message.principal, message.threshold, message.keys, message.recovery, False, sponsor, (), head
    )
    working.put(controllers, message.principal, opened)
    occupy(working, transaction.payer, 1)
    working.events.append(ControllerOpened(opened.principal, sponsor))


def update_controller(
    working: WorkingSet,
    transaction: Transaction,
    message: UpdateController,
    _context: BlockContext,
    _index: int,
) -> None:
    """Replace the acting principal's keys; who can sign this needs no recovery."""
    controller = _unrecovered(working, transaction.principal)
    _check_keys(message.keys)
    principal = state_pb2.ControllerLeaf(principal=controller.principal).SerializeToString(deterministic=True)
    updated = controller._replace(
        threshold=message.threshold,
        keys=message.keys,
        head=principal + message.head + _sponsor_field(controller.sponsor),
    )
    working.put(working.now.controllers, controller.principal, updated)
    working.events.append(ControllerChanged(_tenant(controller), controller.principal))


def set_recovery(
    working: WorkingSet,
    transaction: Transaction,
    message: SetRecovery,
    context: BlockContext,
    _index: int,
) -> None:
    """Replace the acting principal's recovery policy."""
    controller = _unrecovered(working, transaction.principal)
    _check_policy(working, message.recovery, context)
    working.put(working.now.controllers, controller.principal, controller._replace(recovery=message.recovery))


def start_recovery(
    working: WorkingSet,
    transaction: Transaction,
    message: StartRecovery,
    context: BlockContext,
    _index: int,
) -> None:
    """Announce new keys for a principal that the acting one guards."""
    controller = working.now.controllers[message.principal]
    if controller is None:
        raise Refused(refusals.CONTROLLER_UNKNOWN)
    policy = controller.recovery
    if policy is None or policy.guardian != transaction.principal:
        raise Refused(refusals.NOT_GUARDIAN)
    if not controller.sponsor and working.now.allowances[message.principal] is None:
        raise Refused(refusals.NOT_SPONSORED)  # nobody would pay for its veto
    recoveries = working.now.recoveries
    before = recoveries[message.principal]
    if before is not None and context.time_ms <= before.lapse_time_ms:
        raise Refused(refusals.RECOVERY_PENDING, *_ready_and_now(before, context))
    _check_keys(message.keys)
    if before is not None:
        _cancel(working, before, transaction.principal)
    recovery = Recovery(
        message.principal,
        message.threshold,
        message.keys,
        policy.guardian,
        context.time_ms + policy.delay_ms,
        transaction.payer,
        message.head,
    )
    working.put(recoveries, message.principal, recovery)
    working.put(working.now.controllers, message.principal, controller._replace(is_being_recovered=True))
    occupy(working, transaction.payer, 1)
    working.events.append(RecoveryStarted(_tenant(controller), recovery))


def cancel_recovery(
    working: WorkingSet,
    transaction: Transaction,
    message: CancelRecovery,
    _context: BlockContext,
    _index: int,
) -> None:
    """End a recovery: the veto of the principal, or the guardian's change of mind."""
    recovery = _pending(working, message.principal)
    if transaction.principal not in (recovery.principal, recovery.guardian):
        raise Refused(refusals.NOT_GUARDIAN)
    _cancel(working, recovery, transaction.principal)


def complete_recovery(
    working: WorkingSet,
    transaction: Transaction,
    message: CompleteRecovery,
    context: BlockContext,
    _index: int,
) -> None:
    """Put announced keys in force, in the time allowed for it."""
    recovery = _pending(working, message.principal)
    if transaction.principal != recovery.guardian:
        raise Refused(refusals.NOT_GUARDIAN)
    if context.time_ms < recovery.ready_time_ms:
        raise Refused(refusals.RECOVERY_NOT_READY, *_ready_and_now(recovery, context))
    if context.time_ms > recovery.lapse_time_ms:
        raise Refused(
            refusals.RECOVERY_LAPSED,
            ("lapse_time_ms", recovery.lapse_time_ms),
            ("block_time_ms", context.time_ms),
        )
    controller = _end(working, recovery)
    recovered = controller._replace(
        threshold=recovery.threshold,
        keys=recovery.keys,
        head=recovery.head + _sponsor_field(controller.sponsor),
    )
    working.put(working.now.controllers, recovery.principal, recovered)
    working.events.append(RecoveryCompleted(_tenant(controller), recovery))
    working.events.append(ControllerChanged(_tenant(controller), recovery.principal))


def start_sponsorship(
    working: WorkingSet,
    transaction: Transaction,
    message: StartSponsorship,
    _context: BlockContext,
    _index: int,
) -> None:
    """Pay for a principal that nobody pays for."""
    controller, allowances = working.now.controllers[message.principal], working.now.allowances
    if controller is None:
        raise Refused(refusals.CONTROLLER_UNKNOWN)
    if allowances[transaction.principal] is None:
        raise Refused(refusals.SPONSOR_NOT_ORGANIZATION)
    if controller.sponsor:
        raise Refused(refusals.SPONSOR_EXISTS)
    if allowances[message.principal] is not None:
        raise Refused(refusals.PAYS_FOR_ITSELF)
    _put_sponsor(working, controller, transaction.principal)


def end_sponsorship(
    working: WorkingSet,
    transaction: Transaction,
    message: EndSponsorship,
    _context: BlockContext,
    _index: int,
) -> None:
    """Pay no longer for a principal, which signs nothing until another pays or it has an allowance; since it
    cannot object meanwhile, a recovery under way ends.
    """
    controller = working.now.controllers[message.principal]
    if controller is None:
        raise Refused(refusals.CONTROLLER_UNKNOWN)
    if not controller.sponsor or transaction.principal not in (controller.sponsor, controller.principal):
        raise Refused(refusals.NOT_SPONSOR)
    recovery = working.now.recoveries[message.principal]
    if recovery is not None:
        _cancel(working, recovery, transaction.principal)
    _put_sponsor(working, _controller(working, message.principal), b"")


def _put_sponsor(working: WorkingSet, controller: Controller, sponsor: bytes) -> None:
    keys = controller.head.removesuffix(_sponsor_field(controller.sponsor))
    changed = controller._replace(sponsor=sponsor, head=keys + _sponsor_field(sponsor))
    working.put(working.now.controllers, controller.principal, changed)
    tenant = sponsor or controller.sponsor
    working.events.append(ControllerChanged(tenant, controller.principal))


def _check_keys(keys: Sequence[ControllerKey]) -> None:
    try:
        for key in keys:
            for suite, public_key in key.public_keys:
                check_public_key(suite, public_key)
    except InvalidPublicKey as error:
        raise Refused(refusals.INVALID_KEY) from error


def _check_policy(working: WorkingSet, policy: RecoveryPolicy | None, context: BlockContext) -> None:
    """A guardian that is not there would be found out only when it is needed, a delay too short to object in
    only when it is over."""
    if policy is None:
        return
    if policy.delay_ms < context.recovery_delay_ms_min:
        raise Refused(
            refusals.RECOVERY_DELAY_TOO_SHORT,
            ("delay_ms", policy.delay_ms),
            ("delay_ms_min", context.recovery_delay_ms_min),
        )
    if working.now.controllers[policy.guardian] is None:
        raise Refused(refusals.CONTROLLER_UNKNOWN)


def _controller(working: WorkingSet, principal: bytes) -> Controller:
    controller = working.now.controllers[principal]
    assert controller is not None, "it acts or is being recovered, and controllers never go"
    return controller


def _unrecovered(working: WorkingSet, principal: bytes) -> Controller:
    """The acting principal's controller, after a recovery under way was cancelled."""
    recovery = working.now.recoveries[principal]
    if recovery is not None:
        _cancel(working, recovery, principal)
    return _controller(working, principal)


def _pending(working: WorkingSet, principal: bytes) -> Recovery:
    recovery = working.now.recoveries[principal]
    if recovery is None:
        raise Refused(refusals.RECOVERY_UNKNOWN)
    return recovery


def _cancel(working: WorkingSet, recovery: Recovery, cancelled_by: bytes) -> None:
    controller = _end(working, recovery)
    working.events.append(RecoveryCancelled(_tenant(controller), recovery, cancelled_by))


def _end(working: WorkingSet, recovery: Recovery) -> Controller:
    """Take a recovery away; the answer is the controller without it."""
    working.put(working.now.recoveries, recovery.principal, None)
    occupy(working, recovery.payer, -1)
    controller = _controller(working, recovery.principal)._replace(is_being_recovered=False)
    working.put(working.now.controllers, recovery.principal, controller)
    return controller


def _tenant(controller: Controller) -> bytes:
    """The organization where the principal is at home."""
    return controller.sponsor or controller.principal


def _sponsor_field(sponsor: bytes) -> bytes:
    """Canonical bytes of the leaf's field, which follows those of the keys."""
    return state_pb2.ControllerLeaf(sponsor=sponsor).SerializeToString(deterministic=True)


def _ready_and_now(recovery: Recovery, context: BlockContext) -> refusals.Figures:
    return ("ready_time_ms", recovery.ready_time_ms), ("block_time_ms", context.time_ms)

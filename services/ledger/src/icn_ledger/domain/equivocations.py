"""Equivocations of validators: proven by what they signed, recorded once per seat and epoch.

Source: docs/spec/transaction.md, "Equivocations"; docs/spec/consensus.md, "Evidence".
"""

from __future__ import annotations

from icn_crypto.equivocation import Equivocation

from icn_ledger.domain import refusals
from icn_ledger.domain.events import EquivocationRecorded
from icn_ledger.domain.messages import RecordEquivocation, Transaction
from icn_ledger.domain.posting import BlockContext, occupy
from icn_ledger.domain.records import RecordedEquivocation
from icn_ledger.domain.refusals import Refused
from icn_ledger.domain.working_set import WorkingSet


def equivocation_identifier(proof: Equivocation) -> bytes:
    """Under what the leaf is kept: u64be epoch ‖ u64be seat."""
    return proof.epoch.to_bytes(8, "big") + proof.seat.to_bytes(8, "big")


def record_equivocation(
    working: WorkingSet,
    transaction: Transaction,
    message: RecordEquivocation,
    context: BlockContext,
    _index: int,
) -> None:
    """Record a proof whose signatures are those of the seat.

    Raises:
        Refused: EPOCH_UNKNOWN, SEAT_UNKNOWN, EQUIVOCATION_RECORDED, EQUIVOCATION_UNPROVEN.
    """
    proof, zone = message.proof, context.zone
    assert zone.genesis_hash, "only a contract is asked without the zone's facts"
    if proof.epoch > context.epoch:
        raise Refused(refusals.EPOCH_UNKNOWN, ("epoch", proof.epoch), ("epoch_now", context.epoch))
    seats = zone.sets_of_epochs[proof.epoch].validators
    if proof.seat >= len(seats):
        raise Refused(refusals.SEAT_UNKNOWN, ("seat", proof.seat), ("seats", len(seats)))
    identifier = equivocation_identifier(proof)
    if working.now.equivocations[identifier] is not None:
        raise Refused(refusals.EQUIVOCATION_RECORDED)
    seat = seats[proof.seat]
    if not proof.is_signed(zone.genesis_hash, seat.public_key):
        raise Refused(refusals.EQUIVOCATION_UNPROVEN)
    recorded = RecordedEquivocation(
        proof.epoch,
        proof.seat,
        seat.organization,
        proof.view,
        proof.encode(),
        transaction.principal,
        context.height,
        context.time_ms,
    )
    working.put(working.now.equivocations, identifier, recorded)
    occupy(working, transaction.payer, 1)
    working.events.append(EquivocationRecorded(recorded))

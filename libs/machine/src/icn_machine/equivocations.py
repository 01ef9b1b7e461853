"""Evidence against validators: proven by what they signed, recorded once per seat and epoch.

Its leaves are called after its first sort, equivocations.

Source: docs/spec/transaction.md, "Equivocations"; docs/spec/consensus.md, "Evidence".
"""

from __future__ import annotations

from icn_chain.evidence import Evidence
from icn_chain.grounds import Grounds
from icn_chain.malformed import EvidenceInvalid

from icn_machine import refusals
from icn_machine.events import EquivocationRecorded
from icn_machine.messages import RecordEquivocation, Transaction
from icn_machine.posting import BlockContext, occupy
from icn_machine.records import RecordedEquivocation
from icn_machine.refusals import Refused
from icn_machine.working_set import WorkingSet


def equivocation_identifier(proof: Evidence) -> bytes:
    """Under what the leaf is kept: u64be epoch ‖ u64be seat."""
    return proof.epoch.to_bytes(8, "big") + proof.seat.to_bytes(8, "big")


def record_equivocation(
    working: WorkingSet,
    transaction: Transaction,
    message: RecordEquivocation,
    context: BlockContext,
    _index: int,
) -> None:
    """Record evidence that proves what it says of the seat.

    Raises:
        Refused: EPOCH_UNKNOWN, SEAT_UNKNOWN, EQUIVOCATION_RECORDED, EQUIVOCATION_UNPROVEN.
    """
    proof, zone = message.proof, context.zone
    assert zone.genesis is not None, "only a contract is asked without the zone's facts"
    if proof.epoch > context.epoch:
        raise Refused(refusals.EPOCH_UNKNOWN, ("epoch", proof.epoch), ("epoch_now", context.epoch))
    seats = zone.sets_of_epochs[proof.epoch]
    if proof.seat >= seats.seats:
        raise Refused(refusals.SEAT_UNKNOWN, ("seat", proof.seat), ("seats", seats.seats))
    identifier = equivocation_identifier(proof)
    if (known := working.now.equivocations[identifier]) is not None:
        raise Refused(refusals.EQUIVOCATION_RECORDED, *context.since(known.height))
    try:
        proof.check(Grounds(zone.genesis, seats))
    except EvidenceInvalid:
        raise Refused(refusals.EQUIVOCATION_UNPROVEN) from None
    recorded = RecordedEquivocation(
        proof.epoch,
        proof.seat,
        seats.validators[proof.seat].organization,
        proof.view,
        proof.encode(),
        transaction.principal,
        context.height,
        context.time_ms,
    )
    working.put(working.now.equivocations, identifier, recorded)
    occupy(working, transaction.payer, 1)
    working.events.append(EquivocationRecorded(recorded))

"""What must hold of validator sets, worked out from the sets themselves and apart from what changes them.

Source: docs/spec/transaction.md, "Execution", last paragraph, and "Seats".
"""

from __future__ import annotations

from collections.abc import Mapping

from icn_chain.protocols import is_protocol_step
from icn_chain.quorum import SEATS_MAX, SEATS_MIN
from icn_chain.validator_set import ValidatorSet

from icn_machine.records import VALIDATORS_IDENTIFIER, ZONE_IDENTIFIER, RecordTables
from icn_machine.refusals import InvariantBroken


def check_validators(
    before: RecordTables, changes: RecordTables, now: RecordTables, sets: Mapping[bytes, ValidatorSet]
) -> None:
    """Check what a block changed.

    Raises:
        InvariantBroken: the set in force and one that is pending, or two pending ones, lie farther apart than
            f keys of the former, a set has too few or too many seats, or two of one organization; the
            versions that they decide by go back, or further than to the next one; a key was named twice; the
            zone leaf names another next set or version.
    """
    for public_key, named in changes.consensus_keys.items():
        if named is None or before.consensus_keys[public_key] is not None:
            raise InvariantBroken(f"consensus key {public_key.hex()} was named again")
    if not changes.validators:
        return
    validators = changes.validators[VALIDATORS_IDENTIFIER]
    if validators is None:
        raise InvariantBroken("nobody validates")
    steps = [sets[validators.set_hash], *[sets[step.set_hash] for step in validators.pending]]
    for position, former in enumerate(steps):
        for later in steps[position + 1 :]:
            _check_distance(former, later)
    for named_set in steps:
        seats = len(named_set.validators)
        if not SEATS_MIN <= seats <= SEATS_MAX or len(set(named_set.organizations)) != seats:
            raise InvariantBroken(f"a set of {seats} seats of {len(set(named_set.organizations))}")
    versions = [named_set.protocol_version for named_set in steps]
    if versions != sorted(versions) or not is_protocol_step(versions[0], versions[-1]):
        raise InvariantBroken(f"sets decide by protocol versions {versions}, one after the other")
    if validators != before.validators[VALIDATORS_IDENTIFIER] and changes.zones:
        zone = now.zones[ZONE_IDENTIFIER]
        if zone is None or zone.validator_set_hash != validators.next_hash:
            raise InvariantBroken("the zone leaf names another next set")
        if zone.protocol_version != versions[-1]:
            raise InvariantBroken(
                f"the zone leaf names protocol version {zone.protocol_version}, the next set {versions[-1]}"
            )


def _check_distance(former: ValidatorSet, later: ValidatorSet) -> None:
    before = {seat.public_key for seat in former.validators}
    after = {seat.public_key for seat in later.validators}
    gone, come = before - after, after - before
    if max(len(gone), len(come)) > former.faults_max:
        raise InvariantBroken(
            f"{len(gone)} keys leave and {len(come)} come to {len(former.validators)} seats, more than f"
        )

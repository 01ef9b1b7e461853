"""What governs the zone: who sets allowances, and how an organization is known.

Source: docs/spec/transaction.md, "Execution" and "Decisions".
"""

from __future__ import annotations

from icn_machine import refusals
from icn_machine.messages import SetAllowance, SetZoneAuthority
from icn_machine.posting import Cause, occupy
from icn_machine.records import ZONE_IDENTIFIER, Allowance, Zone
from icn_machine.refusals import Refused
from icn_machine.working_set import WorkingSet


def is_organization(working: WorkingSet, identifier: bytes) -> bool:
    """Whether a principal or an authority has the id."""
    now = working.now
    return now.controllers[identifier] is not None or now.authorities[identifier] is not None


def is_taken(working: WorkingSet, identifier: bytes) -> bool:
    """Whether a principal, an authority or a contract has the id: then nobody else may have it."""
    return is_organization(working, identifier) or working.now.contracts[identifier] is not None


def set_allowance(working: WorkingSet, acting: bytes, message: SetAllowance, cause: Cause) -> None:
    """Set an allowance, where the acting principal or authority governs the zone."""
    if find_zone(working).authority != acting:
        raise Refused(refusals.NOT_ZONE_AUTHORITY)
    if working.now.controllers[message.organization] is None:
        raise Refused(refusals.CONTROLLER_UNKNOWN)
    allowances = working.now.allowances
    allowance = allowances[message.organization]
    if allowance is None:
        made = Allowance(message.organization, message.limits, cause.context.epoch, 0, 0, 0)
        working.put(allowances, message.organization, made)
        occupy(working, cause.payer, 1)
    else:
        working.put(allowances, message.organization, allowance._replace(limits=message.limits))


def set_zone_authority(working: WorkingSet, acting: bytes, message: SetZoneAuthority, _cause: Cause) -> None:
    """Hand the setting of allowances to another principal or an authority."""
    zone = find_zone(working)
    if zone.authority != acting:
        raise Refused(refusals.NOT_ZONE_AUTHORITY)
    # Nobody could ever act for an id that has neither.
    if not is_organization(working, message.authority):
        raise Refused(refusals.AUTHORITY_UNKNOWN)
    working.put(working.now.zones, ZONE_IDENTIFIER, zone._replace(authority=message.authority))


def find_zone(working: WorkingSet) -> Zone:
    """What governs the zone."""
    zone = working.now.zones[ZONE_IDENTIFIER]
    assert zone is not None, "the zone leaf is there from genesis on"
    return zone

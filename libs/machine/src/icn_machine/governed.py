"""What a principal or an authority governs: floors of a unit, allowances of the zone, and who does so.

Source: docs/spec/transaction.md, "Execution" and "Decisions".
"""

from __future__ import annotations

from icn_machine import refusals
from icn_machine.events import FloorChanged
from icn_machine.messages import SetAllowance, SetFloor, SetZoneAuthority, Transaction
from icn_machine.posting import BlockContext, occupy
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


def set_floor(working: WorkingSet, payer: bytes, acting: bytes, message: SetFloor) -> None:
    """Set a floor in a unit that the acting principal or authority governs."""
    accounts = working.now.accounts
    account = accounts[message.account]
    if account is None:
        raise Refused(refusals.ACCOUNT_UNKNOWN)
    unit = working.now.units[account.unit]
    assert unit is not None, "an account's unit never goes"
    if unit.authority != acting:
        raise Refused(refusals.NOT_UNIT_AUTHORITY)
    working.put(accounts, message.account, account._replace(floor_minor=message.floor_minor))
    working.events.append(FloorChanged(payer, message.account, account.floor_minor, message.floor_minor))


def set_allowance(
    working: WorkingSet, payer: bytes, acting: bytes, message: SetAllowance, context: BlockContext
) -> None:
    """Set an allowance, where the acting principal or authority governs the zone."""
    if find_zone(working).authority != acting:
        raise Refused(refusals.NOT_ZONE_AUTHORITY)
    if working.now.controllers[message.organization] is None:
        raise Refused(refusals.CONTROLLER_UNKNOWN)
    allowances = working.now.allowances
    allowance = allowances[message.organization]
    if allowance is None:
        made = Allowance(message.organization, message.limits, context.epoch, 0, 0, 0)
        working.put(allowances, message.organization, made)
        occupy(working, payer, 1)
    else:
        working.put(allowances, message.organization, allowance._replace(limits=message.limits))


def set_zone_authority(
    working: WorkingSet,
    transaction: Transaction,
    message: SetZoneAuthority,
    _context: BlockContext,
    _index: int,
) -> None:
    """Hand the setting of allowances to another principal or an authority."""
    zone = find_zone(working)
    if zone.authority != transaction.principal:
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

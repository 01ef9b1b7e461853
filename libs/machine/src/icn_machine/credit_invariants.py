"""What must hold of credit lines, bonds and closed accounts after every block, worked out from its changes.

Source: docs/spec/ledger.md, "Limit" and "Accounts".
"""

from __future__ import annotations

from collections import defaultdict
from itertools import chain

from icn_machine.limits import IDENTIFIER_BYTES, QUANTITY_MAX
from icn_machine.records import RecordTables
from icn_machine.refusals import InvariantBroken


def check_credit_lines(before: RecordTables, changes: RecordTables) -> None:
    """Check what a block changed of credit lines, and of what hangs on accounts.

    Raises:
        InvariantBroken: earned and spent trade of a unit did not grow alike, an account's bonds are not what
            binds it, or one that is closed or whose opening waits has a balance, something held or bonds.
    """
    _check_trade(before, changes)
    _check_bonds(before, changes)
    for identifier, account in changes.accounts.items():
        if account is None or account.terms is None:
            continue
        terms = account.terms
        is_idle = not (account.balance_minor or account.held_minor or terms.bonds)
        if (terms.is_closed or terms.is_opening) and not is_idle:
            raise InvariantBroken(f"{identifier.hex()} is closed, or waits for its opening, and is in use")
        if terms.is_closed and account.payer:
            raise InvariantBroken(f"{identifier.hex()} is closed and occupies a leaf")


def _check_trade(before: RecordTables, changes: RecordTables) -> None:
    grown: dict[bytes, int] = defaultdict(int)
    full: set[bytes] = set()
    for identifier, line in changes.credit_lines.items():
        if line is None:
            raise InvariantBroken(f"credit line {identifier.hex()} is gone")
        unit = identifier[:IDENTIFIER_BYTES]
        was = before.credit_lines[identifier]
        if QUANTITY_MAX in (line.earned_minor, line.spent_minor):
            full.add(unit)
        grown[unit] += line.earned_minor - line.spent_minor
        grown[unit] -= 0 if was is None else was.earned_minor - was.spent_minor
    for unit, difference in grown.items():
        if difference and unit not in full:
            raise InvariantBroken(f"earned and spent trade of unit {unit.hex()} differ by {difference} more")


def _check_bonds(before: RecordTables, changes: RecordTables) -> None:
    bound: dict[bytes, int] = defaultdict(int)
    for identifier, order in changes.orders.items():
        was = before.orders[identifier]
        if was is not None:
            bound[was.ordered.source] -= 1
        if order is not None:
            bound[order.ordered.source] += 1
    for unit, in_force in changes.unit_policies.items():
        previous = before.unit_policies[unit]
        for sign, policy in ((-1, previous), (1, in_force)):
            if policy is not None and policy.policy.fund:
                bound[policy.policy.fund] += sign
    bearing: list[bytes] = []
    """Accounts that have bonds or a parent, or had: few."""
    for identifier, account in changes.accounts.items():
        was_account = before.accounts[identifier]
        now = None if account is None else account.terms
        if now is not None or (was_account is not None and was_account.terms is not None):
            bearing.append(identifier)
        if now is not None and now.parent:
            was_open = was_account is not None and not was_account.known_terms.is_closed
            bound[now.parent] += (not now.is_closed) - was_open
    for identifier in chain(bound, bearing):
        account, was_account = changes.accounts.get(identifier), before.accounts.get(identifier)
        bonds = 0 if account is None else account.known_terms.bonds
        bonds -= 0 if was_account is None or account is None else was_account.known_terms.bonds
        if bonds != bound.get(identifier, 0):
            raise InvariantBroken(f"bonds of {identifier.hex()} grew by {bonds}, not by what binds it")

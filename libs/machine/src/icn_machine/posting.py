"""What moves credit: the checks of a voluntary debit, two postings, and the leaves a payer occupies.

Source: docs/spec/transaction.md, "Execution".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from icn_chain.epochs import GenesisFacts
from icn_chain.validator_set import ValidatorSet

from icn_machine import refusals
from icn_machine.entries import PostingKind
from icn_machine.events import Movement
from icn_machine.limits import QUANTITY_MAX
from icn_machine.messages import PlaceHold, Transaction, Transfer
from icn_machine.records import Account, new_tuple
from icn_machine.refusals import Refused
from icn_machine.working_set import WorkingSet


class ZoneFacts(NamedTuple):
    """What of the zone does not change any more."""

    genesis: GenesisFacts | None
    """None where only a contract is asked."""
    sets_of_epochs: Mapping[int, ValidatorSet]
    """Who validated in the epochs, up to the block's, that its transactions speak of."""

    @property
    def genesis_hash(self) -> bytes:
        """Of the zone, 32 bytes."""
        assert self.genesis is not None, "only a contract is asked without the zone's facts"
        return self.genesis.hash


class BlockContext(NamedTuple):
    """The block that is executed."""

    height: int
    epoch: int
    time_ms: int
    recovery_delay_ms_min: int = 0
    """Of genesis: the shortest time to object to a recovery. 0 where nothing but a contract is asked."""
    zone: ZoneFacts = ZoneFacts(None, {})
    """Empty where nothing but a contract is asked."""


def occupy(working: WorkingSet, payer: bytes, leaves: int) -> None:
    """Count ``leaves`` more (or fewer) leaves against the payer's allowance."""
    allowances = working.now.allowances
    allowance = allowances[payer]
    assert allowance is not None, "a leaf's payer has an allowance, which never goes"
    working.put(allowances, payer, allowance.occupy(leaves))


def check_debit(
    working: WorkingSet, transaction: Transaction, message: Transfer | PlaceHold
) -> tuple[Account, Account]:
    """Source and destination of a voluntary debit that the limit allows."""
    return check_debit_by(transaction.principal, working, message)


def check_debit_by(
    owner: bytes, working: WorkingSet, message: Transfer | PlaceHold
) -> tuple[Account, Account]:
    """The same where ``owner`` acts, a contract for instance."""
    accounts = working.now.accounts
    source, destination = accounts[message.source], accounts[message.destination]
    if source is None or destination is None:
        raise Refused(refusals.ACCOUNT_UNKNOWN)
    if source.owner != owner:
        raise Refused(refusals.NOT_ACCOUNT_OWNER)
    if source.unit != destination.unit:
        raise Refused(refusals.UNIT_MISMATCH)
    if source.balance_minor - source.held_minor - message.amount_minor < source.floor_minor:
        raise Refused(
            refusals.CREDIT_LIMIT_EXCEEDED,
            ("balance_minor", source.balance_minor),
            ("held_minor", source.held_minor),
            ("amount_minor", message.amount_minor),
            ("floor_minor", source.floor_minor),
        )
    return source, destination


def check_credit(destination: Account, amount_minor: int) -> None:
    """Refuse a credit that would pass the largest balance."""
    if destination.balance_minor + amount_minor > QUANTITY_MAX:
        raise Refused(
            refusals.BALANCE_OUT_OF_RANGE,
            ("balance_minor", destination.balance_minor),
            ("amount_minor", amount_minor),
        )


def post(
    working: WorkingSet,
    transaction: Transaction,
    index: int,
    *,
    source: Account,
    destination: Account,
    amount_minor: int,
    captured_minor: int = 0,
    memo_hash: bytes = b"",
    hold: bytes = b"",
    kind: PostingKind = PostingKind.TRANSFER,
    reference: bytes = b"",
) -> None:
    """Debit the source and credit the destination; of the debit ``captured_minor`` was held before."""
    accounts = working.now.accounts
    debtor, debtor_owner, unit, balance_minor, held_minor, floor_minor, given_minor, *chain = source
    creditor, creditor_owner, _, credited_minor, *creditor_rest = destination
    source_balance_minor = balance_minor - amount_minor
    destination_balance_minor = credited_minor + amount_minor
    assert source_balance_minor >= -QUANTITY_MAX, "no floor is below that, nor was it at the hold's placing"
    held_minor -= captured_minor
    given_minor += amount_minor
    if given_minor > QUANTITY_MAX:  # noqa: PLR1730 - min costs twice as much
        given_minor = QUANTITY_MAX
    debited = (debtor, debtor_owner, unit, source_balance_minor, held_minor, floor_minor, given_minor, *chain)
    credited = (creditor, creditor_owner, unit, destination_balance_minor, *creditor_rest)
    working.put(accounts, debtor, new_tuple(Account, debited))
    working.put(accounts, creditor, new_tuple(Account, credited))
    moved = (debtor, creditor, unit, amount_minor, source_balance_minor, destination_balance_minor)
    said = (memo_hash, hold, kind, reference)
    working.events.append(new_tuple(Movement, (index, transaction.payer, *moved, *said)))

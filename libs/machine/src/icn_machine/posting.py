"""What moves credit: two postings, what a unit's policy does with a payment, and the leaves a payer occupies.

Source: docs/spec/ledger.md, "Postings" and "Policy of a unit".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from icn_chain.epochs import GenesisFacts
from icn_chain.protocols import FIRST_PROTOCOL, KNOWN_PROTOCOLS, ProtocolRules
from icn_chain.validator_set import ValidatorSet

from icn_machine import refusals
from icn_machine.credit import count_trade
from icn_machine.entries import PostingKind
from icn_machine.events import Movement
from icn_machine.limits import PPM, QUANTITY_MAX
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
    protocol_version: int = FIRST_PROTOCOL
    """In force; known to this release. The first where nothing but a contract is asked."""

    @property
    def rules(self) -> ProtocolRules:
        """In what the version in force differs from others."""
        return KNOWN_PROTOCOLS[self.protocol_version]

    def since(self, height: int) -> tuple[tuple[str, int], ...]:
        """The figure of a refusal because something is in the state since ``height``, where the version in
        force has it."""
        return (("height", height),) if self.rules.tells_since_when else ()


class Cause(NamedTuple):
    """What makes the ledger change something."""

    payer: bytes
    """Organization whose allowance pays."""
    position: int
    """Of the transaction in the block, or NO_TRANSACTION."""
    context: BlockContext


def occupy(working: WorkingSet, payer: bytes, leaves: int) -> None:
    """Count ``leaves`` more (or fewer) leaves against the payer's allowance."""
    allowances = working.now.allowances
    allowance = allowances[payer]
    assert allowance is not None, "a leaf's payer has an allowance, which never goes"
    working.put(allowances, payer, allowance.occupy(leaves))


def known(working: WorkingSet, identifier: bytes) -> Account:
    """An account that is there."""
    account = working.now.accounts[identifier]
    assert account is not None, "it was looked at, and accounts never go"
    return account


def check_open(*accounts: Account) -> None:
    """Refuse what would post to, or hold on, an account that is closed or whose opening waits."""
    if any(account.known_terms.is_closed for account in accounts):
        raise Refused(refusals.ACCOUNT_CLOSED)
    if any(account.known_terms.is_opening for account in accounts):
        raise Refused(refusals.OPENING_PENDING)


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
    cause: Cause,
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
    debtor, debtor_owner, unit, balance_minor, held_minor, floor_minor, given_minor, *rest = source
    creditor, creditor_owner, credited_unit, credited_minor, *creditor_rest = destination
    assert credited_unit == unit, "callers refuse accounts of two units"
    source_balance_minor = balance_minor - amount_minor
    destination_balance_minor = credited_minor + amount_minor
    assert source_balance_minor >= -QUANTITY_MAX, "no limit is below that, nor was it at the hold's placing"
    held_minor -= captured_minor
    given_minor += amount_minor
    if given_minor > QUANTITY_MAX:  # noqa: PLR1730 - min costs twice as much
        given_minor = QUANTITY_MAX
    debited = (debtor, debtor_owner, unit, source_balance_minor, held_minor, floor_minor, given_minor, *rest)
    credited = (creditor, creditor_owner, unit, destination_balance_minor, *creditor_rest)
    working.put(accounts, debtor, new_tuple(Account, debited))
    working.put(accounts, creditor, new_tuple(Account, credited))
    moved = (debtor, creditor, unit, amount_minor, source_balance_minor, destination_balance_minor)
    said = (memo_hash, hold, kind, reference)
    working.events.append(new_tuple(Movement, (cause.position, cause.payer, *moved, *said)))
    if working.loaded.unit_policies[unit] is not None and not kind.is_marked:
        count_trade(working, cause.payer, source, destination, amount_minor)
        _take_fee(working, cause, source, destination, amount_minor)


def _take_fee(
    working: WorkingSet, cause: Cause, source: Account, destination: Account, amount_minor: int
) -> None:
    """Take from what arrived what the policy asks for a payment, so that nobody needs credit for it.

    A contract gets what was sent to it: it counts on that.
    """
    in_force = working.loaded.unit_policies[source.unit]
    if in_force is None or not in_force.policy.has_fee:
        return
    policy = in_force.policy
    if policy.fund in (source.account, destination.account):
        return
    if working.now.credit_lines[destination.unit + destination.owner] is None:
        return
    fund, credited = known(working, policy.fund), known(working, destination.account)
    asked_minor = policy.fee_fixed_minor + -(-amount_minor * policy.fee_ppm // PPM)
    fee_minor = min(amount_minor // 2, asked_minor, QUANTITY_MAX - fund.balance_minor)
    if policy.fee_max_minor:
        fee_minor = min(fee_minor, policy.fee_max_minor)
    if fee_minor > 0:
        post(working, cause, source=credited, destination=fund, amount_minor=fee_minor, kind=PostingKind.FEE)

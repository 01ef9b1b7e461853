"""What a contract transaction does before and after its contract runs.

The contract itself runs elsewhere (`usecases.run_contracts`): here is what must hold before, and what its
answer may change. Every function checks before it changes; a refusal takes back all of the transaction.

Source: docs/spec/vm.md, "In a block".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from icn.ledger.v1 import events_pb2
from icn_crypto import tags
from icn_crypto.hashing import domain_hash

from icn_machine import contract_limits as limits
from icn_machine import refusals
from icn_machine.accounts import put_new
from icn_machine.contract_limits import ledger_fuel
from icn_machine.contract_messages import ContractCall, ExecuteContract, InstantiateContract, StoreCode
from icn_machine.credit import limit_of, spendable_under
from icn_machine.demurrage import settle
from icn_machine.events import ContractCalled, ContractEvent
from icn_machine.governed import is_taken
from icn_machine.messages import Transaction, Transfer
from icn_machine.payments import pay
from icn_machine.posting import Cause, known, occupy
from icn_machine.records import Account, Code, Contract, ContractEntry, Namespace
from icn_machine.refusals import Refused
from icn_machine.working_set import WorkingSet


class Payment(NamedTuple):
    """Credit that a contract pays."""

    recipient: bytes
    """Owner of the account that gets it."""
    unit: bytes
    amount_minor: int


class CallDone(NamedTuple):
    """What a call that went well asks for."""

    data: bytes
    writes: tuple[tuple[bytes, bytes | None], ...]
    """Keys ascending with their new value, None for those that go."""
    payments: tuple[Payment, ...]
    events: tuple[ContractEvent, ...]


class CallOutcome(NamedTuple):
    """How a call ended in the vm."""

    fuel_used: int
    done: CallDone | None
    """None: it was stopped."""
    stopped: str = ""
    """Stable reason."""
    text: bytes = b""
    """What the contract itself said when it stopped."""


class PreparedCall(NamedTuple):
    """A call whose contract may run."""

    contract: Contract
    """As the call finds it."""
    is_new: bool
    call: ContractCall
    accounts: Mapping[tuple[bytes, bytes], bytes]
    """Account by owner and unit: those that the contract may see and pay from and to."""
    ledger_fuel: int
    """Used already, whatever comes."""

    @property
    def engine_fuel(self) -> int:
        """What is left for the contract; at least 1."""
        return self.call.fuel_limit - self.ledger_fuel


class FuelExhausted(Refused):
    """The ledger's own part of a call takes all of its limit; the vm is not asked."""

    def __init__(self) -> None:
        super().__init__(refusals.OUT_OF_GAS)


def check_new_code(working: WorkingSet, message: StoreCode) -> None:
    """Refuse code that is there already."""
    if working.now.codes[message.code_hash] is not None:
        raise Refused(refusals.CODE_EXISTS)


def store_code(working: WorkingSet, transaction: Transaction, message: StoreCode) -> None:
    """Keep code that the vm has accepted."""
    working.put(working.now.codes, message.code_hash, Code(message.code, transaction.principal))
    occupy(working, transaction.payer, 1)


def prepare_call(
    working: WorkingSet,
    transaction: Transaction,
    message: InstantiateContract | ExecuteContract,
    cause: Cause,
) -> PreparedCall:
    """Open accounts and move funds; after it the contract may run."""
    now = working.now
    contract = now.contracts[message.contract]
    opened: tuple[bytes, ...] = ()
    if isinstance(message, InstantiateContract):
        if is_taken(working, message.contract):
            raise Refused(refusals.PRINCIPAL_EXISTS)
        code = now.codes[message.code]
        if code is None:
            raise Refused(refusals.CODE_UNKNOWN)
        contract = Contract(message.contract, message.code, transaction.principal, 0, 0, len(code.code))
        _open_accounts(working, message, cause)
        opened = tuple(account.account for account in message.accounts)
    elif contract is None:
        raise Refused(refusals.CONTRACT_UNKNOWN)
    call = message.call
    accounts = _accounts_of_call(
        working, (*call.declared, *(transfer.destination for transfer in call.funds), *opened)
    )
    _move_funds(working, transaction, contract, call.funds, cause)
    for identifier in accounts.values():
        settle(working, cause, known(working, identifier))
    own_fuel = ledger_fuel(contract.storage_entries, contract.storage_bytes, contract.code_bytes)
    if own_fuel >= call.fuel_limit:
        raise FuelExhausted
    return PreparedCall(contract, isinstance(message, InstantiateContract), call, accounts, own_fuel)


def spendable(working: WorkingSet, prepared: PreparedCall, time_ms: int) -> list[tuple[bytes, bytes, int]]:
    """Owner, unit and what the owner could spend, of every account that the contract may see, in order."""
    found = []
    for (owner, unit), identifier in sorted(prepared.accounts.items()):
        account = known(working, identifier)
        found.append((owner, unit, spendable_under(account, limit_of(working, account), time_ms)))
    return found


def funds(working: WorkingSet, prepared: PreparedCall) -> list[tuple[bytes, int]]:
    """Unit and amount of what came along, ascending by unit."""
    return sorted(
        (known(working, transfer.destination).unit, transfer.amount_minor) for transfer in prepared.call.funds
    )


def finish_call(
    working: WorkingSet,
    transaction: Transaction,
    prepared: PreparedCall,
    done: CallDone,
    cause: Cause,
    *,
    fuel_used: int,
) -> None:
    """Apply what a call that went well asks for.

    Args:
        working: holds every entry of the contract's storage and the allowances of their payers.
        transaction: the call's.
        prepared: by `prepare_call`.
        done: the vm's answer.
        cause: the transaction, in its block.
        fuel_used: the ledger's part included.
    """
    if len(done.data) > limits.DATA_BYTES_MAX:
        raise Refused(
            refusals.DATA_TOO_LARGE, ("bytes", len(done.data)), ("bytes_max", limits.DATA_BYTES_MAX)
        )
    events_bytes = len(_events_content(done.events))
    if events_bytes > limits.EVENTS_BYTES_MAX:
        raise Refused(
            refusals.EVENTS_TOO_LARGE, ("bytes", events_bytes), ("bytes_max", limits.EVENTS_BYTES_MAX)
        )
    contract = _write(working, transaction, prepared, done.writes)
    for payment in done.payments:
        _pay_out(working, cause, prepared, payment)
    if prepared.is_new:
        occupy(working, transaction.payer, 1)
    if prepared.is_new or contract != prepared.contract:
        working.put(working.now.contracts, contract.contract, contract)
    working.events.append(
        ContractCalled(
            cause.position,
            transaction.payer,
            contract.contract,
            transaction.principal,
            fuel_used,
            done.events,
        )
    )


def events_digest(genesis_hash: bytes, events: Iterable[ContractEvent]) -> bytes:
    """Hash of a call's events, as its receipt names them; empty for none."""
    content = _events_content(events)
    return domain_hash(tags.CONTRACT_EVENTS, genesis_hash, content) if content else b""


def _events_content(events: Iterable[ContractEvent]) -> bytes:
    """Canonical bytes of a ContractCalled that has only its events; empty exactly where there are none."""
    message = events_pb2.ContractCalled(events=[event_message(event) for event in events])
    return message.SerializeToString(deterministic=True)


def event_message(event: ContractEvent) -> events_pb2.ContractEvent:
    """The event as others are told."""
    return events_pb2.ContractEvent(
        type=event.type,
        attributes=[events_pb2.ContractAttribute(key=key, value=value) for key, value in event.attributes],
    )


def _open_accounts(working: WorkingSet, message: InstantiateContract, cause: Cause) -> None:
    """With floor 0 whatever the unit's default: a contract owes nobody."""
    accounts = working.now.accounts
    for wanted in message.accounts:
        if accounts[wanted.account] is not None:
            raise Refused(refusals.ACCOUNT_EXISTS)
        if working.now.units[wanted.unit] is None:
            raise Refused(refusals.UNIT_UNKNOWN)
        account = Account(wanted.account, message.contract, wanted.unit, 0, 0, 0, payer=cause.payer)
        put_new(working, cause.context, account)


def _accounts_of_call(working: WorkingSet, identifiers: Iterable[bytes]) -> dict[tuple[bytes, bytes], bytes]:
    found: dict[tuple[bytes, bytes], bytes] = {}
    for identifier in identifiers:
        account = working.now.accounts[identifier]
        if account is None:
            raise Refused(refusals.ACCOUNT_UNKNOWN)
        if found.setdefault((account.owner, account.unit), identifier) != identifier:
            raise Refused(refusals.ACCOUNT_AMBIGUOUS)
    return found


def _move_funds(
    working: WorkingSet,
    transaction: Transaction,
    contract: Contract,
    transfers: Iterable[Transfer],
    cause: Cause,
) -> None:
    for transfer in transfers:
        if known(working, transfer.destination).owner != contract.contract:
            raise Refused(refusals.FUNDS_ELSEWHERE)
        pay(working, cause, transaction.principal, transfer)


def _write(
    working: WorkingSet,
    transaction: Transaction,
    prepared: PreparedCall,
    writes: Iterable[tuple[bytes, bytes | None]],
) -> Contract:
    """Change the storage; the contract as it stands then."""
    contract = prepared.contract
    entries = working.now.contract_entries
    count, size, added = contract.storage_entries, contract.storage_bytes, 0
    for key, value in writes:
        identifier = contract.contract + key
        if identifier not in entries:
            working.note_absent(Namespace.CONTRACT_ENTRY, identifier)
        before = entries[identifier]
        if before is not None:
            size -= len(key) + len(before.value)
        if value is None:
            if before is not None:
                count -= 1
                working.put(entries, identifier, None)
                occupy(working, before.payer, -1)
            continue
        size += len(key) + len(value)
        if before is None:
            count += 1
            added += 1
            working.put(entries, identifier, ContractEntry(value, transaction.payer))
            occupy(working, transaction.payer, 1)
        elif before.value != value:
            working.put(entries, identifier, before._replace(value=value))
    return _within_bounds(contract, count, size, added)


def _within_bounds(contract: Contract, entries: int, storage_bytes: int, added: int) -> Contract:
    if added > limits.ENTRIES_ADDED_MAX:
        raise Refused(
            refusals.ENTRIES_ADDED_EXCEEDED,
            ("entries_added", added),
            ("entries_added_max", limits.ENTRIES_ADDED_MAX),
        )
    if entries > limits.ENTRIES_MAX or storage_bytes > limits.STORAGE_BYTES_MAX:
        raise Refused(
            refusals.STORAGE_FULL,
            ("entries", entries),
            ("entries_max", limits.ENTRIES_MAX),
            ("bytes", storage_bytes),
            ("bytes_max", limits.STORAGE_BYTES_MAX),
        )
    return contract._replace(storage_entries=entries, storage_bytes=storage_bytes)


def _pay_out(working: WorkingSet, cause: Cause, prepared: PreparedCall, payment: Payment) -> None:
    contract = prepared.contract.contract
    source = prepared.accounts.get((contract, payment.unit))
    destination = prepared.accounts.get((payment.recipient, payment.unit))
    if source is None or destination is None:
        raise Refused(refusals.ACCOUNT_UNDECLARED)
    if source == destination:
        return  # to itself: nothing moves
    pay(working, cause, contract, Transfer(source, destination, payment.amount_minor, b""))

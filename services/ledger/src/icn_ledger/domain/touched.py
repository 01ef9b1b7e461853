"""Which records a block may read or write, so that they are loaded in one round before it is executed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from icn_ledger.domain.contract_messages import (
    ContractMessage,
    ExecuteContract,
    InstantiateContract,
    StoreCode,
)
from icn_ledger.domain.messages import (
    AnchorDigest,
    CancelRecovery,
    CaptureHold,
    CompleteRecovery,
    CreateUnit,
    OpenAccount,
    OpenController,
    PlaceHold,
    SetAllowance,
    SetFloor,
    SetRecovery,
    StartRecovery,
    Transaction,
    Transfer,
    UpdateController,
    VoidHold,
)
from icn_ledger.domain.records import TABLES, ZONE_IDENTIFIER, Namespace, RecordTables


@dataclass(slots=True)
class RecordNames:
    """Identifiers of records, one set per namespace."""

    controllers: set[bytes] = field(default_factory=set)
    units: set[bytes] = field(default_factory=set)
    accounts: set[bytes] = field(default_factory=set)
    holds: set[bytes] = field(default_factory=set)
    anchors: set[bytes] = field(default_factory=set)
    allowances: set[bytes] = field(default_factory=set)
    zones: set[bytes] = field(default_factory=set)
    recoveries: set[bytes] = field(default_factory=set)
    codes: set[bytes] = field(default_factory=set)
    contracts: set[bytes] = field(default_factory=set)
    contract_entries: set[bytes] = field(default_factory=set)

    def names(self, namespace: Namespace) -> set[bytes]:
        """The identifiers of one namespace."""
        names: set[bytes] = getattr(self, TABLES[namespace])
        return names


def touched_by_validity(transactions: Iterable[Transaction]) -> RecordNames:
    """What judging the transactions reads."""
    names = RecordNames()
    for transaction in transactions:
        names.controllers.add(transaction.principal)
        names.allowances.add(transaction.payer)
        names.allowances.update(transaction.organizations_set)
    return names


def touched_directly(transactions: Iterable[Transaction], due_holds: Iterable[bytes]) -> RecordNames:
    """What the transactions and the due holds name."""
    names = RecordNames(holds=set(due_holds))
    accounts = names.accounts
    for transaction in transactions:
        names.controllers.add(transaction.principal)
        names.allowances.add(transaction.payer)
        for message in transaction.messages:
            match message:
                case Transfer():
                    accounts.add(message.source)
                    accounts.add(message.destination)
                case PlaceHold():
                    accounts.add(message.source)
                    accounts.add(message.destination)
                    names.holds.add(message.hold)
                case CaptureHold() | VoidHold():
                    names.holds.add(message.hold)
                case OpenAccount():
                    accounts.add(message.account)
                    names.units.add(message.unit)
                case SetFloor():
                    accounts.add(message.account)
                case CreateUnit():
                    names.units.add(message.unit)
                case AnchorDigest():
                    names.anchors.add(message.digest)
                case SetAllowance():
                    names.controllers.add(message.organization)
                    names.allowances.add(message.organization)
                    names.zones.add(ZONE_IDENTIFIER)
                case StoreCode() | InstantiateContract() | ExecuteContract():
                    _add_of_contracts(names, message)
                case _:
                    _add_of_controllers(names, transaction.principal, message)
    return names


def _add_of_controllers(
    names: RecordNames,
    acting: bytes,
    message: OpenController
    | UpdateController
    | SetRecovery
    | StartRecovery
    | CancelRecovery
    | CompleteRecovery,
) -> None:
    """Add what a message about keys names; the controller of the acting principal is there already."""
    match message:
        case OpenController():
            names.controllers.add(message.principal)
            names.contracts.add(message.principal)
            names.allowances.add(acting)
        case UpdateController() | SetRecovery():
            names.recoveries.add(acting)
        case _:
            names.controllers.add(message.principal)
            names.recoveries.add(message.principal)
    if isinstance(message, OpenController | SetRecovery) and message.recovery is not None:
        names.controllers.add(message.recovery.guardian)


def _add_of_contracts(names: RecordNames, message: ContractMessage) -> None:
    """Add what a contract message names. Storage is loaded when the contract runs: only then is it known
    whether it will."""
    match message:
        case StoreCode():
            names.codes.add(message.code_hash)
            return
        case InstantiateContract():
            names.controllers.add(message.contract)
            names.codes.add(message.code)
            names.accounts.update(account.account for account in message.accounts)
            names.units.update(account.unit for account in message.accounts)
    names.contracts.add(message.contract)
    names.accounts.update(message.call.declared)
    for transfer in message.call.funds:
        names.accounts.update((transfer.source, transfer.destination))


def touched_behind(
    transactions: Iterable[Transaction], names: RecordNames, loaded: RecordTables
) -> RecordNames:
    """What only the records of `touched_directly` lead to: a hold's accounts and payer, an account's unit, a
    recovery's payer.
    """
    behind = RecordNames()
    for hold in loaded.holds.values():
        if hold is not None:
            behind.accounts.update((hold.source, hold.destination))
            behind.allowances.add(hold.payer)
    behind.allowances.update(
        recovery.payer for recovery in loaded.recoveries.values() if recovery is not None
    )
    if any(isinstance(message, SetFloor) for transaction in transactions for message in transaction.messages):
        behind.units.update(account.unit for account in loaded.accounts.values() if account is not None)
    for namespace in Namespace:
        behind.names(namespace).difference_update(names.names(namespace))
    return behind

"""Which records a block may read or write, so that they are loaded before it is executed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from icn_machine.contract_messages import (
    ContractMessage,
    ExecuteContract,
    InstantiateContract,
    StoreCode,
)
from icn_machine.credit import trade_identifier
from icn_machine.credit_messages import (
    CancelOrder,
    ChargeDemurrage,
    CloseAccount,
    ClosePeriod,
    ConfirmOpenings,
    FreezeAccount,
    OfferExchange,
    OrderTransfers,
    PledgeAccount,
    ReleaseOrder,
    SetUnitPolicy,
    TakeExchange,
    TransferLegs,
    VoidExchange,
    WriteOff,
)
from icn_machine.equivocations import equivocation_identifier
from icn_machine.messages import (
    ActivateProtocol,
    AdmitMember,
    AdmitToAuthority,
    AnchorDigest,
    ApplyForMembership,
    CancelRecovery,
    CaptureHold,
    CastBallot,
    ChangeValidators,
    CompleteRecovery,
    CreateUnit,
    EnactDecision,
    EndMembership,
    EndMembershipOfAuthority,
    EndSponsorship,
    FoundAuthority,
    Message,
    OpenAccount,
    OpenController,
    OpenPoll,
    PlaceHold,
    RecordEquivocation,
    RekeySeat,
    SetAllowance,
    SetFloor,
    SetRecovery,
    SetRules,
    SetZoneAuthority,
    StartRecovery,
    StartSponsorship,
    Transaction,
    Transfer,
    UpdateController,
    VoidHold,
    VouchForApplicant,
)
from icn_machine.records import (
    TABLES,
    VALIDATORS_IDENTIFIER,
    ZONE_IDENTIFIER,
    Due,
    Namespace,
    RecordTables,
)
from icn_machine.seats import keys_named

_OfUnit = SetFloor | SetUnitPolicy | FreezeAccount | WriteOff | CloseAccount | ConfirmOpenings | ClosePeriod
"""What a unit's authority does, or may."""


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
    authorities: set[bytes] = field(default_factory=set)
    memberships: set[bytes] = field(default_factory=set)
    polls: set[bytes] = field(default_factory=set)
    ballots: set[bytes] = field(default_factory=set)
    decisions: set[bytes] = field(default_factory=set)
    duties: set[bytes] = field(default_factory=set)
    equivocations: set[bytes] = field(default_factory=set)
    validators: set[bytes] = field(default_factory=set)
    consensus_keys: set[bytes] = field(default_factory=set)
    codes: set[bytes] = field(default_factory=set)
    contracts: set[bytes] = field(default_factory=set)
    contract_entries: set[bytes] = field(default_factory=set)
    unit_policies: set[bytes] = field(default_factory=set)
    credit_lines: set[bytes] = field(default_factory=set)
    trades: set[bytes] = field(default_factory=set)
    orders: set[bytes] = field(default_factory=set)
    periods: set[bytes] = field(default_factory=set)

    def filled(self) -> list[tuple[Namespace, set[bytes]]]:
        """The sets that name something, by ascending namespace."""
        return [(namespace, names) for namespace, name in TABLES.items() if (names := getattr(self, name))]

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


def touched_directly(transactions: Iterable[Transaction], due: Due) -> RecordNames:
    """What the transactions and what is due name, and who validates."""
    names = RecordNames(
        holds=set(due.holds),
        polls=set(due.polls),
        orders=set(due.orders),
        validators={VALIDATORS_IDENTIFIER},
    )
    accounts = names.accounts
    for transaction in transactions:
        names.controllers.add(transaction.principal)
        names.allowances.add(transaction.payer)
        for message in transaction.messages:
            match message:
                case Transfer():
                    accounts.add(message.source)
                    accounts.add(message.destination)
                case OpenAccount():
                    accounts.add(message.account)
                    names.units.add(message.unit)
                    names.credit_lines.add(message.unit + transaction.principal)
                    if message.parent:
                        accounts.add(message.parent)
                case (
                    PlaceHold()
                    | CaptureHold()
                    | VoidHold()
                    | TransferLegs()
                    | OfferExchange()
                    | TakeExchange()
                    | VoidExchange()
                    | OrderTransfers()
                    | CancelOrder()
                    | ReleaseOrder()
                    | PledgeAccount()
                    | ChargeDemurrage()
                ):
                    _add_of_credit(names, message)
                case (
                    SetFloor()
                    | SetUnitPolicy()
                    | FreezeAccount()
                    | WriteOff()
                    | CloseAccount()
                    | ConfirmOpenings()
                    | ClosePeriod()
                ):
                    _add_of_unit(names, message)
                case (
                    CreateUnit()
                    | AnchorDigest()
                    | RecordEquivocation()
                    | SetAllowance()
                    | SetZoneAuthority()
                    | ChangeValidators()
                    | RekeySeat()
                    | ActivateProtocol()
                ):
                    _add_of_single_records(names, transaction.principal, message)
                case (
                    OpenController()
                    | UpdateController()
                    | SetRecovery()
                    | StartRecovery()
                    | CancelRecovery()
                    | CompleteRecovery()
                    | StartSponsorship()
                    | EndSponsorship()
                ):
                    _add_of_controllers(names, transaction.principal, message)
                case StoreCode() | InstantiateContract() | ExecuteContract():
                    _add_of_contracts(names, message)
                case _:
                    _add_of_institutions(names, transaction.principal, message)
    return names


def _add_of_single_records(
    names: RecordNames,
    acting: bytes,
    message: CreateUnit
    | AnchorDigest
    | RecordEquivocation
    | SetAllowance
    | SetZoneAuthority
    | ChangeValidators
    | RekeySeat
    | ActivateProtocol,
) -> None:
    """Add what a message names that sets or makes one record."""
    match message:
        case CreateUnit():
            names.units.add(message.unit)
            if message.authority:
                _add_organization(names, message.authority)
        case AnchorDigest():
            names.anchors.add(message.digest)
        case RecordEquivocation():
            names.equivocations.add(equivocation_identifier(message.proof))
        case SetAllowance():
            _add_of_allowance(names, message)
        case SetZoneAuthority():
            names.zones.add(ZONE_IDENTIFIER)
            _add_organization(names, message.authority)
        case ChangeValidators():
            _add_of_seats(names, message)
        case RekeySeat():
            names.zones.add(ZONE_IDENTIFIER)
            names.consensus_keys.update(keys_named([message]))
            names.allowances.add(acting)
        case ActivateProtocol():
            names.zones.add(ZONE_IDENTIFIER)


def _add_of_credit(
    names: RecordNames,
    message: PlaceHold
    | CaptureHold
    | VoidHold
    | TransferLegs
    | OfferExchange
    | TakeExchange
    | VoidExchange
    | OrderTransfers
    | CancelOrder
    | ReleaseOrder
    | PledgeAccount
    | ChargeDemurrage,
) -> None:
    """Add what a message names that moves credit, or will."""
    match message:
        case TransferLegs():
            for leg in message.legs:
                names.accounts.update((leg.source, leg.destination))
        case OfferExchange():
            names.holds.add(message.hold)
            names.accounts.update((message.give_account, message.take_account))
        case TakeExchange():
            names.holds.add(message.hold)
            names.accounts.update((message.source, message.take_account))
            names.accounts.update((message.destination, message.give_account))
        case PlaceHold():
            names.holds.add(message.hold)
            names.accounts.update((message.source, message.destination))
        case CaptureHold() | VoidHold() | VoidExchange():
            names.holds.add(message.hold)
        case OrderTransfers() | ReleaseOrder():
            names.orders.add(message.order)
            names.accounts.update((message.source, message.destination))
        case CancelOrder():
            names.orders.add(message.order)
        case PledgeAccount():
            names.accounts.add(message.account)
        case ChargeDemurrage():
            names.accounts.update(message.accounts)


def _add_of_unit(names: RecordNames, message: _OfUnit) -> None:
    """Add what a unit's authority names, by its transaction or a decision."""
    match message:
        case SetUnitPolicy():
            names.units.add(message.unit)
            if message.policy.fund:
                names.accounts.add(message.policy.fund)
            if message.policy.freezer:
                _add_organization(names, message.policy.freezer)
        case ConfirmOpenings():
            names.units.add(message.unit)
            names.accounts.update(message.accounts)
        case ClosePeriod():
            names.units.add(message.unit)
            names.periods.add(message.unit)
        case CloseAccount():
            names.accounts.add(message.account)
            if message.remainder_to:
                names.accounts.add(message.remainder_to)
        case SetFloor() | FreezeAccount() | WriteOff():
            names.accounts.add(message.account)


def _add_of_controllers(
    names: RecordNames,
    acting: bytes,
    message: OpenController
    | UpdateController
    | SetRecovery
    | StartRecovery
    | CancelRecovery
    | CompleteRecovery
    | StartSponsorship
    | EndSponsorship,
) -> None:
    """Add what a message about keys names; the controller of the acting principal is there already."""
    match message:
        case OpenController():
            _add_organization(names, message.principal)
            names.contracts.add(message.principal)
            names.allowances.add(acting)
        case UpdateController() | SetRecovery():
            names.recoveries.add(acting)
        case StartSponsorship() | EndSponsorship():
            names.controllers.add(message.principal)
            names.allowances.update((acting, message.principal))
            names.recoveries.add(message.principal)
        case _:
            names.controllers.add(message.principal)
            names.allowances.add(message.principal)
            names.recoveries.add(message.principal)
    if isinstance(message, OpenController | SetRecovery) and message.recovery is not None:
        names.controllers.add(message.recovery.guardian)


def _add_organization(names: RecordNames, identifier: bytes) -> None:
    """Add what says whether a principal or an authority has the id."""
    names.controllers.add(identifier)
    names.authorities.add(identifier)


def _add_of_institutions(
    names: RecordNames,
    acting: bytes,
    message: EnactDecision
    | ApplyForMembership
    | VouchForApplicant
    | AdmitMember
    | EndMembership
    | OpenPoll
    | CastBallot,
) -> None:
    """Add what a message about memberships, polls or decisions names."""
    memberships = names.memberships
    match message:
        case ApplyForMembership():
            _add_organization(names, message.organization)
            memberships.add(message.organization + acting)
        case VouchForApplicant():
            memberships.add(message.organization + acting)
            memberships.add(message.organization + message.applicant)
        case AdmitMember():
            names.authorities.add(acting)
            memberships.add(acting + message.applicant)
        case EndMembership():
            names.authorities.add(message.organization)
            memberships.add(message.organization + message.member)
        case OpenPoll():
            names.polls.add(message.poll)
            _add_organization(names, message.organization)
            memberships.add(message.organization + acting)
        case CastBallot():
            names.polls.add(message.poll)
            names.ballots.add(message.poll + acting)
            if message.through:
                memberships.add(message.through + acting)
        case EnactDecision():
            _add_of_decision(names, message)


def _add_of_decision(names: RecordNames, message: EnactDecision) -> None:
    authority = message.authority
    names.decisions.add(message.id)
    _add_organization(names, authority)
    names.contracts.add(authority)
    if message.poll:
        names.polls.add(message.poll)
    concerned = [countersignature.signer for countersignature in message.countersignatures]
    names.controllers.update(concerned)
    for action in message.actions:
        match action:
            case FoundAuthority():
                names.controllers.update(action.members)
                concerned += action.members
            case AdmitToAuthority() | EndMembershipOfAuthority():
                concerned.append(action.member)
            case SetAllowance():
                _add_of_allowance(names, action)
            case SetRules():
                pass
            case ChangeValidators():
                _add_of_seats(names, action)
            case ActivateProtocol():
                names.zones.add(ZONE_IDENTIFIER)
            case _:
                _add_of_unit(names, action)
    names.memberships.update([authority + member for member in concerned])


def _add_of_allowance(names: RecordNames, message: SetAllowance) -> None:
    names.controllers.add(message.organization)
    names.allowances.add(message.organization)
    names.zones.add(ZONE_IDENTIFIER)


def _add_of_seats(names: RecordNames, message: ChangeValidators) -> None:
    names.zones.add(ZONE_IDENTIFIER)
    names.consensus_keys.update(keys_named([message]))
    names.allowances.update(offer.organization for offer in message.offers)


def _add_of_contracts(names: RecordNames, message: ContractMessage) -> None:
    """Add what a contract message names. Storage is loaded when the contract runs: only then is it known
    whether it will."""
    match message:
        case StoreCode():
            names.codes.add(message.code_hash)
            return
        case InstantiateContract():
            _add_organization(names, message.contract)
            names.codes.add(message.code)
            names.accounts.update(account.account for account in message.accounts)
            names.units.update(account.unit for account in message.accounts)
    names.contracts.add(message.contract)
    names.accounts.update(message.call.declared)
    for transfer in message.call.funds:
        names.accounts.update((transfer.source, transfer.destination))


def touched_behind(
    transactions: Sequence[Transaction], names: RecordNames, loaded: RecordTables
) -> RecordNames:
    """What the records loaded so far lead to, and is not among them: accounts and payers of holds, orders and
    recoveries, what accounts stand under, the memberships that a ballot needs.

    Asked again until it names nothing.
    """
    behind = RecordNames()
    for hold in loaded.holds.values():
        if hold is not None:
            behind.accounts.add(hold.source)
            behind.accounts.add(hold.destination if hold.price is None else hold.price.take_account)
            behind.allowances.add(hold.payer)
    for order in loaded.orders.values():
        if order is not None:
            behind.accounts.update((order.ordered.source, order.ordered.destination))
            behind.allowances.add(order.payer)
    behind.allowances.update(
        recovery.payer for recovery in loaded.recoveries.values() if recovery is not None
    )
    if names.ballots:
        behind.memberships.update(_memberships_of_voters(transactions, loaded))
    _add_of_accounts(behind, transactions, loaded)
    for namespace, found in behind.filled():
        found.difference_update(names.names(namespace))
    return behind


def _add_of_accounts(behind: RecordNames, transactions: Sequence[Transaction], loaded: RecordTables) -> None:
    """Add what accounts stand under: the policies of their units; where there are any, funds, the owners'
    credit lines and, where limits grow, what counts of the trade of two owners."""
    accounts = loaded.accounts
    behind.unit_policies.update({account.unit for account in accounts.values() if account is not None})
    behind.unit_policies.update(loaded.units)
    if any(_asks_of_accounts(message) for transaction in transactions for message in transaction.messages):
        for account in accounts.values():
            if account is not None:
                behind.units.add(account.unit)
                behind.credit_lines.add(account.unit + account.owner)
                behind.allowances.update({account.payer} - {b""})
                behind.accounts.update({account.known_terms.parent} - {b""})
    policies = {unit: found.policy for unit, found in loaded.unit_policies.items() if found is not None}
    behind.accounts.update(policy.fund for policy in policies.values() if policy.fund)
    if not policies:
        return
    owners = _owners(transactions, loaded)
    for found in owners.values():
        behind.credit_lines.update(unit + owner for unit, owner in found if unit in policies)
    growing = {unit for unit, policy in policies.items() if policy.growth_ppm}
    for source, destination in _payments(transactions, loaded):
        for unit, spender in owners.get(source, ()):
            for other_unit, earner in owners.get(destination, ()):
                if unit == other_unit and unit in growing and spender != earner:
                    behind.trades.add(trade_identifier(unit, spender, earner))


def _asks_of_accounts(message: Message) -> bool:
    """Whether the message needs unit, payer, parent or credit line of accounts that it names."""
    return isinstance(message, _OfUnit) or (
        isinstance(message, EnactDecision) and any(isinstance(action, _OfUnit) for action in message.actions)
    )


def _owners(
    transactions: Iterable[Transaction], loaded: RecordTables
) -> dict[bytes, set[tuple[bytes, bytes]]]:
    """(Unit, owner) of each account; of one that the block opens, those of every try."""
    owners = {
        identifier: {(account.unit, account.owner)}
        for identifier, account in loaded.accounts.items()
        if account is not None
    }
    for transaction in transactions:
        for message in transaction.messages:
            if isinstance(message, OpenAccount):
                owners.setdefault(message.account, set()).add((message.unit, transaction.principal))
            elif isinstance(message, InstantiateContract):
                for opened in message.accounts:
                    owners.setdefault(opened.account, set()).add((opened.unit, message.contract))
    return owners


def _payments(transactions: Iterable[Transaction], loaded: RecordTables) -> Iterator[tuple[bytes, bytes]]:
    """Source and destination of whatever may be paid between members."""
    for order in loaded.orders.values():
        if order is not None:
            yield order.ordered.source, order.ordered.destination
    for hold in loaded.holds.values():
        if hold is not None and hold.price is None:
            yield hold.source, hold.destination
    for transaction in transactions:
        for message in transaction.messages:
            match message:
                case Transfer() | PlaceHold() | OrderTransfers():
                    yield message.source, message.destination
                case TransferLegs():
                    for leg in message.legs:
                        yield leg.source, leg.destination
                case TakeExchange():
                    yield message.source, message.take_account
                    yield message.give_account, message.destination
                case CloseAccount():
                    yield message.account, message.remainder_to


def _memberships_of_voters(transactions: Iterable[Transaction], loaded: RecordTables) -> Iterator[bytes]:
    """Of the voters, or those they vote through, in the organizations of their polls. A poll may be opened in
    the same block."""
    organizations: dict[bytes, set[bytes]] = {
        identifier: {poll.organization} for identifier, poll in loaded.polls.items() if poll is not None
    }
    cast: list[tuple[bytes, bytes]] = []
    for transaction in transactions:
        for message in transaction.messages:
            if isinstance(message, OpenPoll):
                organizations.setdefault(message.poll, set()).add(message.organization)
            elif isinstance(message, CastBallot):
                cast.append((message.poll, message.through or transaction.principal))
    for poll, member in cast:
        for organization in organizations.get(poll, ()):
            yield organization + member

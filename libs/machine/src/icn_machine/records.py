"""What the state holds: one record per leaf of the state tree.

Records are named tuples, not frozen dataclasses: a block makes thousands of them and a tuple costs a third.

Source: protos/icn/ledger/v1/state.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from icn_machine.credit_messages import OrderTransfers, UnitPolicy
from icn_machine.limits import POLL_MS_MIN_DEFAULT, RECOVERY_LAPSE_MS


class Namespace(IntEnum):
    """Which kind of record a leaf is. Numbers are part of the state key."""

    CONTROLLER = 1
    UNIT = 2
    ACCOUNT = 3
    HOLD = 4
    ANCHOR = 5
    ALLOWANCE = 6
    ZONE = 7
    RECOVERY = 8
    AUTHORITY = 9
    MEMBERSHIP = 10
    POLL = 11
    BALLOT = 12
    DECISION = 13
    DUTY = 17
    EQUIVOCATION = 18
    VALIDATORS = 19
    CONSENSUS_KEY = 20
    CODE = 14
    CONTRACT = 15
    CONTRACT_ENTRY = 16
    UNIT_POLICY = 21
    CREDIT_LINE = 22
    TRADE = 23
    ORDER = 24
    PERIOD = 25

    __hash__ = int.__hash__  # an enum's own is a call into Python, and each state key looks one up


class KeyScope(NamedTuple):
    """What a key that acts alone may sign."""

    message_kinds: tuple[int, ...]
    """Field numbers of ``Message.kind``, ascending."""
    amount_minor_max: int
    """Most that one debit of a message may move; 0 means no limit."""
    accounts: tuple[bytes, ...]
    """Accounts that may be debited, ascending; empty means all of the principal's."""
    expire_time_ms: int
    """Last block time it may sign for; 0 means no end."""


Made = TypeVar("Made")


class _NewTuple(Protocol):
    def __call__(self, kind: type[Made], fields: tuple[Any, ...], /) -> Made: ...


new_tuple = cast(_NewTuple, tuple.__new__)
"""Makes a NamedTuple of all its fields at half the price of its constructor; each transfer makes seven."""


class ControllerKey(NamedTuple):
    """A key that may sign for a principal."""

    key_id: bytes
    public_keys: tuple[tuple[int, bytes], ...]
    """(suite, public key), ascending by suite."""
    scope: KeyScope | None
    """None: the key counts towards the threshold."""

    def public_key(self, suite: int) -> bytes | None:
        """The key's public key of a suite, None when it has none."""
        for known, public_key in self.public_keys:
            if known == suite:
                return public_key
        return None


class RecoveryPolicy(NamedTuple):
    """Who may replace a principal's keys when they are lost."""

    guardian: bytes
    """Another principal."""
    delay_ms: int
    """Block time between announcing new keys and putting them in force, in which the principal may object."""


class Controller(NamedTuple):
    """Who may sign for a principal, and how far its lanes have come."""

    principal: bytes
    threshold: int
    keys: tuple[ControllerKey, ...]
    """Ascending by key id."""
    recovery: RecoveryPolicy | None
    """None: nobody can recover it."""
    is_being_recovered: bool
    """Whether a recovery of it is announced."""
    sponsor: bytes
    """Principal whose allowance pays; empty for those of genesis."""
    lanes: tuple[tuple[int, int], ...]
    """(lane, last sequence consumed), ascending by lane."""
    head: bytes
    """Canonical bytes of the leaf up to its lanes, so that using a sequence does not encode keys again."""

    def last_sequence(self, lane: int) -> int:
        """The last number consumed in ``lane``; 0 when it was never used."""
        for number, sequence in self.lanes:
            if number == lane:
                return sequence
        return 0

    def consume(self, lane: int, sequence: int) -> Controller:
        """The controller after ``sequence`` was used in ``lane``."""
        principal, threshold, keys, recovery, is_being_recovered, sponsor, lanes, head = self
        if len(lanes) == 1 and lanes[0][0] == lane:
            lanes = ((lane, sequence),)
        else:
            lanes = tuple(sorted({**dict(lanes), lane: sequence}.items()))
        return new_tuple(
            Controller, (principal, threshold, keys, recovery, is_being_recovered, sponsor, lanes, head)
        )

    def is_guarded_by(self, principal: bytes) -> bool:
        """Whether the principal is its guardian."""
        return self.recovery is not None and self.recovery.guardian == principal

    def find_key(self, key_id: bytes) -> ControllerKey | None:
        """The key of that id; at most sixteen are compared."""
        for key in self.keys:
            if key.key_id == key_id:
                return key
        return None


class Unit(NamedTuple):
    """A unit of account."""

    unit: bytes
    code: str
    scale: int
    issuer: bytes
    authority: bytes
    """Principal that sets floors."""
    default_floor_minor: int


class AccountTerms(NamedTuple):
    """What few accounts have."""

    parent: bytes = b""
    """Empty: it is no sub-account."""
    sub_accounts: int = 0
    """How many it ever had."""
    sub_accounts_hash: bytes = b""
    """Chain over them; empty while there is none."""
    is_opening: bool = False
    """Waits for the unit's authority to confirm what the owner brings."""
    opening_minor: int = 0
    """What that is; a debt below 0."""
    pledged_minor: int = 0
    """What write-offs may still take."""
    frozen_until_ms: int = 0
    """Voluntary debits are refused before that block time."""
    has_own_floor: bool = False
    """Growth does not count for it."""
    demurrage_until_ms: int = 0
    """Block time up to which demurrage was taken."""
    bonds: int = 0
    """Orders that debit it, open sub-accounts, policies that name it as fund."""
    is_closed: bool = False
    sub_account_number: int = 0
    """Which of its parent's it is, from 1."""


NO_TERMS = AccountTerms()


class Account(NamedTuple):
    """What one owner has or owes in one unit; minor units."""

    account: bytes
    owner: bytes
    unit: bytes
    balance_minor: int
    """Negative when the owner owes."""
    held_minor: int
    """Sum of its open holds."""
    floor_minor: int
    """Lowest balance − held a voluntary debit may leave."""
    given_minor: int = 0
    """Sum of everything ever debited, at most 2^62."""
    entries: int = 0
    """How many it has had."""
    entries_hash: bytes = b""
    """Chain over all of them (`entries`); empty while there is none."""
    payer: bytes = b""
    """Organization whose allowance the leaf occupies; empty once it is closed."""
    terms: AccountTerms | None = None
    """None: all at their defaults."""

    @property
    def known_terms(self) -> AccountTerms:
        """Its terms, whether it has any."""
        return self.terms or NO_TERMS

    def with_terms(self, **changed: Any) -> Account:
        """The same with some of its terms changed."""
        terms = self.known_terms._replace(**changed)
        return self._replace(terms=None if terms == NO_TERMS else terms)


class ExchangePrice(NamedTuple):
    """What makes a hold an offer of exchange."""

    take_account: bytes
    """Account that is paid."""
    give_minor: int
    """What was offered at first."""
    take_minor: int
    """What all of that costs, in the other unit."""
    taker: bytes
    """Principal; empty: anybody may take it."""

    def of(self, give_minor: int) -> int:
        """What a part of it costs, rounded up."""
        return -(-give_minor * self.take_minor // self.give_minor)


class Hold(NamedTuple):
    """Credit reserved for a payee, or for whoever takes an exchange."""

    hold: bytes
    source: bytes
    destination: bytes
    """Empty for an exchange."""
    remaining_minor: int
    expire_time_ms: int
    """First block time at which what is left is released."""
    payer: bytes
    """Organization whose allowance the leaf occupies."""
    price: ExchangePrice | None = None
    """None: it is no exchange."""


class PolicyInForce(NamedTuple):
    """A unit's policy, in force from the block after the one that set it."""

    policy: UnitPolicy
    set_time_ms: int
    demurrage_set_time_ms: int
    """Since when its demurrage has been as it is; the edges are counted from it."""


class CreditLine(NamedTuple):
    """What an owner's limit in a unit grows by."""

    main_account: bytes
    """Its first there."""
    earned_minor: int
    """Trade that counts, as it was paid; at most 2^62."""
    spent_minor: int
    """As it paid, likewise."""


class Trade(NamedTuple):
    """What counts of the trade of two owners in a unit."""

    lower_paid_minor: int
    """What the lower of both ids paid the higher."""
    higher_paid_minor: int
    payer: bytes
    """Organization whose allowance the leaf occupies."""


class StandingOrder(NamedTuple):
    """Transfers that fall due in block time, or one that waits for its release."""

    ordered: OrderTransfers
    times_passed: int
    next_time_ms: int
    """When it falls due next; where it needs its release, when it ends."""
    missed: int
    """One after the other, up to now."""
    key_ids: tuple[bytes, ...]
    """That signed it, ascending; only where it needs its release."""
    payer: bytes
    """Organization whose allowance the leaf occupies, and what its transfers are charged to."""


class Period(NamedTuple):
    """The newest period of a unit that was closed."""

    end_time_ms: int
    digest: bytes
    height: int
    block_time_ms: int
    closed_by: bytes


class Anchor(NamedTuple):
    """A digest that was known at a height."""

    digest: bytes
    topic: str
    principal: bytes
    height: int
    block_time_ms: int


class AllowanceLimits(NamedTuple):
    """Bounds on what an organization's transactions use."""

    bytes_per_epoch: int
    signatures_per_epoch: int
    state_leaves: int
    fuel_per_epoch: int = 0
    new_leaves_per_epoch: int = 0
    """0: as many as ``state_leaves``."""

    @property
    def new_leaves_max(self) -> int:
        """Leaves that transactions of one epoch may make."""
        return self.new_leaves_per_epoch or self.state_leaves


class Allowance(NamedTuple):
    """What an organization may use and has used."""

    organization: bytes
    limits: AllowanceLimits
    epoch: int
    """Epoch of the counts of bytes, signatures, fuel and new leaves; in a later one they start at 0."""
    used_bytes: int
    used_signatures: int
    used_state_leaves: int
    """Leaves occupied now."""
    used_fuel: int = 0
    used_new_leaves: int = 0
    """Made in the epoch, whether they are still there or not."""

    def charge(self, epoch: int, size_bytes: int, signatures: int, fuel: int = 0) -> Allowance:
        """The allowance after a transaction was included in a block of ``epoch``."""
        organization, limits, counted, used_bytes, used_signatures, used_state_leaves, used_fuel, made = self
        if epoch != counted:
            used_bytes = used_signatures = used_fuel = made = 0
        used = (used_bytes + size_bytes, used_signatures + signatures, used_state_leaves)
        return new_tuple(Allowance, (organization, limits, epoch, *used, used_fuel + fuel, made))

    def occupy(self, leaves: int) -> Allowance:
        """The allowance, charged in this epoch, after ``leaves`` more (or fewer) are in the state for it."""
        return self._replace(
            used_state_leaves=self.used_state_leaves + leaves,
            used_new_leaves=self.used_new_leaves + max(leaves, 0),
        )


class Zone(NamedTuple):
    """What governs the zone."""

    authority: bytes
    """Principal that sets allowances."""
    protocol_version: int
    """Of the set for the next epoch."""
    validator_set_hash: bytes
    """Of the set for the next epoch."""


class Recovery(NamedTuple):
    """New keys for a principal, announced by its guardian and not yet in force."""

    principal: bytes
    threshold: int
    keys: tuple[ControllerKey, ...]
    """Ascending by key id."""
    guardian: bytes
    """Always the one that the controller names."""
    ready_time_ms: int
    """First block time at which the keys may be put in force."""
    payer: bytes
    """Organization whose allowance the leaf occupies."""
    head: bytes
    """Canonical bytes of fields 1 to 3, which are those of a controller's leaf too."""

    @property
    def lapse_time_ms(self) -> int:
        """Last block time at which the keys may be put in force."""
        return self.ready_time_ms + RECOVERY_LAPSE_MS


class Share(NamedTuple):
    """More than a fraction."""

    numerator: int
    denominator: int


class AuthorityRules(NamedTuple):
    """When an authority's members have decided.

    Shares are of all members. The ledger keeps them for whoever countersigns, and compares none: it knows no
    votes.
    """

    threshold: int
    """How many must countersign, where that is more than two thirds."""
    vouches_min: int
    """Members that must have vouched for an applicant."""
    poll_ms_min: int = 0
    """Shortest time a poll is open; 0: POLL_MS_MIN_DEFAULT."""
    quorum: Share | None = None
    """Must have voted; None: more than half."""
    majority: Share | None = None
    """Must have voted yes; None: more than half."""
    constitutional_quorum: Share | None = None
    """As ``quorum`` for what changes the authority itself; None: more than two thirds."""
    constitutional_majority: Share | None = None
    """As ``majority`` for the same."""

    @property
    def shortest_poll_ms(self) -> int:
        """How long a poll must be open at least."""
        return self.poll_ms_min or POLL_MS_MIN_DEFAULT


AUTHORITY_SHARES = ("quorum", "majority", "constitutional_quorum", "constitutional_majority")
"""Fields of the rules that are shares."""


class Authority(NamedTuple):
    """An organization that acts by its members' countersignatures."""

    authority: bytes
    rules: AuthorityRules
    members: int
    """Active ones."""

    @property
    def quorum(self) -> int:
        """How many members must countersign: more than two thirds, or the threshold where that is more."""
        return max(2 * self.members // 3 + 1, min(self.rules.threshold, self.members))


class MembershipStatus(IntEnum):
    """How a membership stands; the numbers of the proto."""

    APPLIED = 1
    ACTIVE = 2
    ENDED = 3


class Membership(NamedTuple):
    """Where somebody belongs."""

    organization: bytes
    """Principal or authority."""
    member: bytes
    status: MembershipStatus
    applied_time_ms: int
    since_time_ms: int
    """0 before it was active."""
    ended_time_ms: int
    """0 while it lasts."""
    vouchers: tuple[bytes, ...]
    """Ascending."""
    payer: bytes
    """Organization whose allowance the leaf occupies."""


class Electorate(IntEnum):
    """Whose ballots a poll takes; the numbers of the proto."""

    MEMBERS = 1
    MEMBERS_OF_MEMBERS = 2


class Poll(NamedTuple):
    """What is voted on among an organization's members."""

    poll: bytes
    organization: bytes
    electorate: Electorate
    document: bytes
    opened_by: bytes
    open_time_ms: int
    close_time_ms: int
    """First block time at which no ballot is taken any more."""
    ballots: int
    result: bytes
    """Empty until a decision records it."""
    decision: bytes
    is_closed: bool
    """Whether a block has passed the close."""


class Due(NamedTuple):
    """What falls due in a block, each by its time, then id."""

    holds: list[bytes]
    """Open ones that expire."""
    polls: list[bytes]
    """Open ones that close."""
    orders: list[bytes]


class Ballot(NamedTuple):
    """A voter's commitment, as cast last."""

    poll: bytes
    voter: bytes
    commitment: bytes
    through: bytes
    cast_time_ms: int
    payer: bytes
    """Organization whose allowance the leaf occupies."""


class Decision(NamedTuple):
    """A decision that took effect."""

    authority: bytes
    poll: bytes
    subject: bytes
    signers: tuple[bytes, ...]
    """Ascending."""
    members: int
    """How many the authority had."""
    height: int


class Duty(NamedTuple):
    """What an organization's seat did in an epoch that has ended."""

    organization: bytes
    epoch: int
    blocks: int
    proposed: int
    signed: int


class RecordedEquivocation(NamedTuple):
    """That a seat broke the rules in an epoch, as evidence shows."""

    epoch: int
    seat: int
    organization: bytes
    """Who held the seat."""
    view: int
    evidence: bytes
    """As `icn_chain.evidence` encodes it."""
    recorded_by: bytes
    height: int
    block_time_ms: int


class PendingSeats(NamedTuple):
    """What a block changed of the next validator set."""

    set_hash: bytes
    """Of the set that it left."""
    height: int
    seats: int
    """How many it changed."""


class Validators(NamedTuple):
    """Which validator set is in force, and what is to follow."""

    set_hash: bytes
    """Of the set in force."""
    since_epoch: int
    change_height: int
    """Block that changed the next set last; 0 for genesis."""
    pending: tuple[PendingSeats, ...]
    """Ascending by height, one per block."""

    @property
    def next_hash(self) -> bytes:
        """Of the set that follows when nothing else is changed."""
        return self.pending[-1].set_hash if self.pending else self.set_hash

    @property
    def set_hashes(self) -> set[bytes]:
        """Of every set that the state names."""
        return {self.set_hash, *(step.set_hash for step in self.pending)}

    @property
    def seats_changed(self) -> int:
        """Seats that were changed since the set in force."""
        return sum(step.seats for step in self.pending)

    def next_hash_at(self, height: int) -> bytes:
        """What `next_hash` was after ``height``, at which this set was in force already."""
        return next(
            (step.set_hash for step in reversed(self.pending) if step.height <= height), self.set_hash
        )

    def enter(self, set_hash: bytes, epoch: int) -> Validators | None:
        """The same with another set in force from ``epoch`` on; None where it is not one that is pending."""
        if set_hash == self.set_hash:
            return self
        for position, step in enumerate(self.pending):
            if step.set_hash == set_hash:
                return Validators(set_hash, epoch, self.change_height, self.pending[position + 1 :])
        return None

    def begin_again(self, set_hash: bytes, epoch: int) -> Validators:
        """The same after a recovery: its set is in force, and nothing is pending."""
        return Validators(set_hash, epoch, self.change_height, ())

    def change(self, set_hash: bytes, height: int, seats: int) -> Validators:
        """The same after a block, or one more transaction of it, changed ``seats`` of the next set."""
        before = self.pending
        if before and before[-1].height == height:
            seats += before[-1].seats
            before = before[:-1]
        step = PendingSeats(set_hash, height, seats)
        return Validators(self.set_hash, self.since_epoch, height, (*before, step))


class ConsensusKey(NamedTuple):
    """That a consensus key was named."""

    organization: bytes
    """For whose seat."""
    height: int
    """Block that named it; 0 for genesis."""
    epoch: int


class Code(NamedTuple):
    """The code of contracts."""

    code: bytes
    stored_by: bytes


class Contract(NamedTuple):
    """A contract: a principal without keys, which owns accounts."""

    contract: bytes
    code: bytes
    """SHA-256."""
    made_by: bytes
    storage_entries: int
    storage_bytes: int
    """Of keys and values."""
    code_bytes: int


class ContractEntry(NamedTuple):
    """One entry of a contract's storage; its identifier is contract ‖ key."""

    value: bytes
    payer: bytes
    """Organization whose allowance the leaf occupies."""


Record = (
    Controller
    | Unit
    | Account
    | Hold
    | Anchor
    | Allowance
    | Zone
    | Recovery
    | Authority
    | Membership
    | Poll
    | Ballot
    | Decision
    | Duty
    | RecordedEquivocation
    | Validators
    | ConsensusKey
    | Code
    | Contract
    | ContractEntry
    | PolicyInForce
    | CreditLine
    | Trade
    | StandingOrder
    | Period
)

Key = tuple[Namespace, bytes]
"""Names a record; the identifiers of the zone and of the validators are empty."""

ZONE_IDENTIFIER = b""
VALIDATORS_IDENTIFIER = b""

TABLES: dict[Namespace, str] = {
    Namespace.CONTROLLER: "controllers",
    Namespace.UNIT: "units",
    Namespace.ACCOUNT: "accounts",
    Namespace.HOLD: "holds",
    Namespace.ANCHOR: "anchors",
    Namespace.ALLOWANCE: "allowances",
    Namespace.ZONE: "zones",
    Namespace.RECOVERY: "recoveries",
    Namespace.AUTHORITY: "authorities",
    Namespace.MEMBERSHIP: "memberships",
    Namespace.POLL: "polls",
    Namespace.BALLOT: "ballots",
    Namespace.DECISION: "decisions",
    Namespace.DUTY: "duties",
    Namespace.EQUIVOCATION: "equivocations",
    Namespace.VALIDATORS: "validators",
    Namespace.CONSENSUS_KEY: "consensus_keys",
    Namespace.CODE: "codes",
    Namespace.CONTRACT: "contracts",
    Namespace.CONTRACT_ENTRY: "contract_entries",
    Namespace.UNIT_POLICY: "unit_policies",
    Namespace.CREDIT_LINE: "credit_lines",
    Namespace.TRADE: "trades",
    Namespace.ORDER: "orders",
    Namespace.PERIOD: "periods",
}
"""What the table of a namespace is called in `RecordTables` and in `touched.RecordNames`."""


@dataclass(slots=True)
class RecordTables:
    """Records by identifier, one table per namespace; None for a record known to be absent.

    One dictionary per namespace spares the hot path a tuple per look-up and keeps the types apart.
    """

    controllers: dict[bytes, Controller | None] = field(default_factory=dict)
    units: dict[bytes, Unit | None] = field(default_factory=dict)
    accounts: dict[bytes, Account | None] = field(default_factory=dict)
    holds: dict[bytes, Hold | None] = field(default_factory=dict)
    anchors: dict[bytes, Anchor | None] = field(default_factory=dict)
    allowances: dict[bytes, Allowance | None] = field(default_factory=dict)
    zones: dict[bytes, Zone | None] = field(default_factory=dict)
    recoveries: dict[bytes, Recovery | None] = field(default_factory=dict)
    authorities: dict[bytes, Authority | None] = field(default_factory=dict)
    memberships: dict[bytes, Membership | None] = field(default_factory=dict)
    """By organization ‖ member."""
    polls: dict[bytes, Poll | None] = field(default_factory=dict)
    ballots: dict[bytes, Ballot | None] = field(default_factory=dict)
    """By poll ‖ voter."""
    decisions: dict[bytes, Decision | None] = field(default_factory=dict)
    duties: dict[bytes, Duty | None] = field(default_factory=dict)
    """By organization ‖ epoch, 8 bytes."""
    equivocations: dict[bytes, RecordedEquivocation | None] = field(default_factory=dict)
    """By epoch ‖ seat, 8 bytes each."""
    validators: dict[bytes, Validators | None] = field(default_factory=dict)
    consensus_keys: dict[bytes, ConsensusKey | None] = field(default_factory=dict)
    """By Ed25519 key."""
    codes: dict[bytes, Code | None] = field(default_factory=dict)
    contracts: dict[bytes, Contract | None] = field(default_factory=dict)
    contract_entries: dict[bytes, ContractEntry | None] = field(default_factory=dict)
    unit_policies: dict[bytes, PolicyInForce | None] = field(default_factory=dict)
    credit_lines: dict[bytes, CreditLine | None] = field(default_factory=dict)
    """By unit ‖ owner."""
    trades: dict[bytes, Trade | None] = field(default_factory=dict)
    """By unit ‖ lower owner ‖ higher owner."""
    orders: dict[bytes, StandingOrder | None] = field(default_factory=dict)
    periods: dict[bytes, Period | None] = field(default_factory=dict)
    """By unit."""

    def table(self, namespace: Namespace) -> dict[bytes, Any]:
        """The table of one namespace."""
        table: dict[bytes, Any] = getattr(self, TABLES[namespace])
        return table

    def filled(self) -> list[tuple[Namespace, dict[bytes, Any]]]:
        """The tables that hold something, by ascending namespace: of most blocks four in twenty."""
        return [(namespace, table) for namespace, name in TABLES.items() if (table := getattr(self, name))]

    def copy(self) -> RecordTables:
        """Tables of their own with the same records."""
        return RecordTables(**{name: dict(getattr(self, name)) for name in TABLES.values()})

    def put(self, namespace: Namespace, identifier: bytes, record: Record | None) -> None:
        """Set one record, or its absence."""
        self.table(namespace)[identifier] = record

    def __iter__(self) -> Iterator[tuple[Namespace, bytes, Record | None]]:
        for namespace, table in self.filled():
            for identifier, record in table.items():
                yield namespace, identifier, record

    def __len__(self) -> int:
        return sum(len(table) for _, table in self.filled())

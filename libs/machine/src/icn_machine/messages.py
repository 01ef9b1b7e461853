"""A transaction as values; `parsing` makes them. Source: protos/icn/ledger/v1/transaction.proto."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from icn_chain.evidence import Evidence
from icn_crypto import tags
from icn_crypto.hashing import preimage

from icn_machine.contract_messages import ExecuteContract, InstantiateContract, StoreCode
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
from icn_machine.records import (
    AllowanceLimits,
    AuthorityRules,
    ControllerKey,
    Electorate,
    RecoveryPolicy,
)


class OpenController(NamedTuple):
    """Creates a principal with its keys."""

    principal: bytes
    threshold: int
    keys: tuple[ControllerKey, ...]
    recovery: RecoveryPolicy | None
    head: bytes
    """Canonical bytes of fields 1 to 3 of the leaf to be; the sponsor follows."""


class UpdateController(NamedTuple):
    """Replaces the acting principal's keys and threshold."""

    threshold: int
    keys: tuple[ControllerKey, ...]
    head: bytes
    """Canonical bytes of fields 2 and 3 of the leaf to be."""


class CreateUnit(NamedTuple):
    """Creates a unit; the acting principal is its issuer."""

    unit: bytes
    code: str
    scale: int
    default_floor_minor: int
    authority: bytes = b""
    """Who sets floors; empty: the issuer."""


class OpenAccount(NamedTuple):
    """Opens an account of the acting principal."""

    account: bytes
    unit: bytes
    parent: bytes = b""
    """Empty: it becomes no sub-account."""
    is_opening: bool = False
    """Waits for the unit's authority to confirm what the owner brings."""
    opening_minor: int = 0
    """What that is; a debt below 0."""


class SetFloor(NamedTuple):
    """Sets an account's floor."""

    account: bytes
    floor_minor: int


class Transfer(NamedTuple):
    """Moves credit."""

    source: bytes
    destination: bytes
    amount_minor: int
    memo_hash: bytes
    reference: bytes = b""
    """The signer's word; at most 32 bytes."""


class PlaceHold(NamedTuple):
    """Reserves credit."""

    hold: bytes
    source: bytes
    destination: bytes
    amount_minor: int
    expire_time_ms: int


class CaptureHold(NamedTuple):
    """Moves part of a hold."""

    hold: bytes
    amount_minor: int


class VoidHold(NamedTuple):
    """Releases what is left of a hold."""

    hold: bytes


class RecordEquivocation(NamedTuple):
    """See transaction.proto; evidence that nobody has checked."""

    proof: Evidence


class OfferedKey(NamedTuple):
    """A consensus key with the proof of its possession, which nobody has looked at."""

    suite: int
    public_key: bytes
    possession: bytes


class SeatOffer(NamedTuple):
    """A seat that an organization is ready to hold."""

    organization: bytes
    keys: tuple[OfferedKey, ...]
    """Of every suite, ascending."""


class AddSeat(NamedTuple):
    """Appends a seat."""

    seat: SeatOffer


class RemoveSeat(NamedTuple):
    """Drops a seat."""

    organization: bytes


class ReplaceSeat(NamedTuple):
    """Puts a seat in the place of another, or gives one other keys."""

    organization: bytes
    seat: SeatOffer


SeatChange = AddSeat | RemoveSeat | ReplaceSeat


class ChangeValidators(NamedTuple):
    """Changes the next validator set."""

    set_hash: bytes
    """Of the set that is next now."""
    changes: tuple[SeatChange, ...]

    @property
    def offers(self) -> tuple[SeatOffer, ...]:
        """Seats that come in."""
        return tuple(change.seat for change in self.changes if not isinstance(change, RemoveSeat))


class RekeySeat(NamedTuple):
    """Gives the acting organization's seat other keys."""

    set_hash: bytes
    """Of the set that is next now."""
    keys: tuple[OfferedKey, ...]


class ActivateProtocol(NamedTuple):
    """Names the protocol version of the next epoch."""

    version: int
    """The one in force and 1 more, else it is refused."""


class AnchorDigest(NamedTuple):
    """Records a digest."""

    digest: bytes
    topic: str


class SetAllowance(NamedTuple):
    """Sets what an organization may use."""

    organization: bytes
    limits: AllowanceLimits


class StartRecovery(NamedTuple):
    """Announces new keys for a principal."""

    principal: bytes
    threshold: int
    keys: tuple[ControllerKey, ...]
    head: bytes
    """Canonical bytes of fields 1 to 3 of the leaf to be."""


class CancelRecovery(NamedTuple):
    """Ends a recovery without effect."""

    principal: bytes


class CompleteRecovery(NamedTuple):
    """Puts announced keys in force."""

    principal: bytes


class SetRecovery(NamedTuple):
    """Replaces the acting principal's recovery policy."""

    recovery: RecoveryPolicy | None


class StartSponsorship(NamedTuple):
    """Makes the acting principal the sponsor of another."""

    principal: bytes


class EndSponsorship(NamedTuple):
    """Leaves a principal without a sponsor."""

    principal: bytes


class ApplyForMembership(NamedTuple):
    """Asks an organization for membership."""

    organization: bytes


class VouchForApplicant(NamedTuple):
    """Speaks for an applicant."""

    organization: bytes
    applicant: bytes


class AdmitMember(NamedTuple):
    """Makes an applicant a member of the acting principal."""

    applicant: bytes


class EndMembership(NamedTuple):
    """Ends a membership."""

    organization: bytes
    member: bytes


class OpenPoll(NamedTuple):
    """Opens a poll among an organization's members."""

    poll: bytes
    organization: bytes
    electorate: Electorate
    document: bytes
    close_time_ms: int


class CastBallot(NamedTuple):
    """Commits the acting principal to a ballot."""

    poll: bytes
    commitment: bytes
    through: bytes
    """Organization through which it votes; empty for a member itself."""


class SetZoneAuthority(NamedTuple):
    """Hands the setting of allowances over."""

    authority: bytes


class FoundAuthority(NamedTuple):
    """Action: founds the authority that decides."""

    members: tuple[bytes, ...]
    """Ascending."""
    rules: AuthorityRules


class AdmitToAuthority(NamedTuple):
    """Action: makes an applicant a member."""

    member: bytes


class EndMembershipOfAuthority(NamedTuple):
    """Action: ends a membership."""

    member: bytes


class SetRules(NamedTuple):
    """Action: replaces the authority's rules."""

    rules: AuthorityRules


DecisionAction = (
    FoundAuthority
    | AdmitToAuthority
    | EndMembershipOfAuthority
    | SetFloor
    | SetAllowance
    | SetRules
    | ChangeValidators
    | SetUnitPolicy
    | FreezeAccount
    | WriteOff
    | CloseAccount
    | ConfirmOpenings
    | ClosePeriod
    | ActivateProtocol
)


class Countersignature(NamedTuple):
    """One member's agreement with a decision."""

    signer: bytes
    key_id: bytes
    suite: int
    signature: bytes


class EnactDecision(NamedTuple):
    """Carries out what an authority's members have countersigned."""

    id: bytes
    """32 bytes, the hash of the body."""
    body: bytes
    """Canonical bytes of the decision."""
    signed: bytes
    """What each countersignature is over."""
    authority: bytes
    poll: bytes
    """Empty for none."""
    subject: bytes
    expire_time_ms: int
    actions: tuple[DecisionAction, ...]
    countersignatures: tuple[Countersignature, ...]
    """Ascending by signer."""

    @property
    def founded(self) -> FoundAuthority | None:
        """The action that founds the authority, where there is one."""
        first = self.actions[0] if self.actions else None
        return first if type(first) is FoundAuthority else None

    @property
    def leaves_made_max(self) -> int:
        """Leaves it may create, those of allowances left out: the decision's; an authority's and its
        memberships'; those of consensus keys; of units the first policy and the first period.
        """
        founding = 0 if self.founded is None else 1 + len(self.founded.members)
        first_of_units = sum(isinstance(action, SetUnitPolicy | ClosePeriod) for action in self.actions)
        return 1 + founding + len(self.offers) + first_of_units

    @property
    def offers(self) -> tuple[SeatOffer, ...]:
        """Seats that come in."""
        changes = [action for action in self.actions if isinstance(action, ChangeValidators)]
        return tuple(offer for change in changes for offer in change.offers)


Message = (
    OpenController
    | UpdateController
    | CreateUnit
    | OpenAccount
    | SetFloor
    | Transfer
    | PlaceHold
    | CaptureHold
    | VoidHold
    | AnchorDigest
    | SetAllowance
    | StartRecovery
    | CancelRecovery
    | CompleteRecovery
    | SetRecovery
    | EnactDecision
    | ApplyForMembership
    | VouchForApplicant
    | AdmitMember
    | EndMembership
    | OpenPoll
    | CastBallot
    | SetZoneAuthority
    | StoreCode
    | InstantiateContract
    | ExecuteContract
    | StartSponsorship
    | EndSponsorship
    | RecordEquivocation
    | ChangeValidators
    | RekeySeat
    | TransferLegs
    | OfferExchange
    | TakeExchange
    | VoidExchange
    | OrderTransfers
    | CancelOrder
    | ReleaseOrder
    | SetUnitPolicy
    | FreezeAccount
    | PledgeAccount
    | WriteOff
    | CloseAccount
    | ConfirmOpenings
    | ClosePeriod
    | ChargeDemurrage
    | ActivateProtocol
)

KIND_NUMBERS: dict[type[Message], int] = {
    OpenController: 1,
    UpdateController: 2,
    CreateUnit: 3,
    OpenAccount: 4,
    SetFloor: 5,
    Transfer: 6,
    PlaceHold: 7,
    CaptureHold: 8,
    VoidHold: 9,
    AnchorDigest: 10,
    SetAllowance: 11,
    StartRecovery: 12,
    CancelRecovery: 13,
    CompleteRecovery: 14,
    SetRecovery: 15,
    EnactDecision: 16,
    ApplyForMembership: 17,
    VouchForApplicant: 18,
    AdmitMember: 19,
    EndMembership: 20,
    OpenPoll: 21,
    CastBallot: 22,
    SetZoneAuthority: 23,
    StoreCode: 24,
    InstantiateContract: 25,
    ExecuteContract: 26,
    StartSponsorship: 27,
    EndSponsorship: 28,
    RecordEquivocation: 29,
    ChangeValidators: 30,
    RekeySeat: 31,
    TransferLegs: 32,
    OfferExchange: 33,
    TakeExchange: 34,
    VoidExchange: 35,
    OrderTransfers: 36,
    CancelOrder: 37,
    ReleaseOrder: 38,
    SetUnitPolicy: 39,
    FreezeAccount: 40,
    PledgeAccount: 41,
    WriteOff: 42,
    CloseAccount: 43,
    ConfirmOpenings: 44,
    ClosePeriod: 45,
    ChargeDemurrage: 46,
    ActivateProtocol: 47,
}
"""Field numbers of ``Message.kind``, as key scopes name them."""

LEAVES_MADE: dict[type[Message], int] = {
    OpenController: 1,
    CreateUnit: 1,
    OpenAccount: 2,  # its own, and the owner's credit line
    PlaceHold: 1,
    OfferExchange: 1,
    OrderTransfers: 1,
    SetUnitPolicy: 1,
    ClosePeriod: 1,
    AnchorDigest: 1,
    RecordEquivocation: 1,
    RekeySeat: 1,
    StartRecovery: 1,
    ApplyForMembership: 1,
    OpenPoll: 1,
    CastBallot: 1,
}
"""Kinds that may create leaves in any state, and how many; SetAllowance does so only for a new organization,
EnactDecision and ChangeValidators create as many as they say themselves."""

THRESHOLD_KINDS: frozenset[type[Message]] = frozenset(
    {
        UpdateController,
        StartRecovery,
        CompleteRecovery,
        SetRecovery,
        SetZoneAuthority,
        ChangeValidators,
        RekeySeat,
        ActivateProtocol,
    }
)
"""Kinds that replace keys, give the zone away, or say who validates and by which rules, and so are never in a
key's scope."""


class Signature(NamedTuple):
    """One key's agreement."""

    suite: int
    key_id: bytes
    signature: bytes


class SignatureVerdict(NamedTuple):
    """What verification said of all signatures of a transaction."""

    is_valid: bool
    """Every one verifies by ZIP-215 or its suite's own rule."""
    cofactored_only: int
    """How many do so only with the cofactor."""


PLAINLY_VALID = SignatureVerdict(True, 0)


@dataclass(slots=True, eq=False)
class Transaction:
    """A transaction whose bytes passed validity rule 1. What it says is not changed after it was made."""

    id: bytes
    """32 bytes, the hash of the body."""
    body: bytes
    """As signed."""
    size_bytes: int
    """Of the whole, signatures included; what the allowance is charged."""
    principal: bytes
    payer: bytes
    lane: int
    sequence: int
    expire_time_ms: int
    messages: tuple[Message, ...]
    signatures: tuple[Signature, ...]
    """Ascending by key id."""
    signatures_charged: int
    """Those, the countersignatures of its decision, and what proofs of equivocation and possession cost."""
    leaves_made_max: int
    """Leaves its messages may create, those of SetAllowance left out."""
    organizations_set: tuple[bytes, ...]
    """Organizations that its SetAllowance messages name, each once; for a new one another leaf is made."""
    fuel_limit: int = 0
    """Fuel its contract message may use, and is charged; 0 for all other transactions."""
    activates: int = 0
    """Newest protocol version that it activates, itself or by a decision; 0 for nearly all transactions."""
    granted_by: tuple[ControllerKey, ...] | None = None
    """Keys of a controller that `authority` found to suffice at any time, with the next two."""
    granted_threshold: int = 0
    public_keys: tuple[bytes, ...] = ()
    """Behind each signature."""
    verdict: SignatureVerdict | None = None
    """What verification said of them."""
    verified_with: tuple[bytes, ...] = ()
    """Public keys behind the verdict. A key id is a short hash, so the verdict speaks of these keys only."""

    @property
    def is_of_contracts(self) -> bool:
        """Whether it runs after all native transactions of its block."""
        return self.fuel_limit > 0

    @property
    def lane_name(self) -> bytes:
        """Its lane, told from those of other principals."""
        return self.principal + bytes((self.lane,))

    def verdict_with(self, keys: tuple[bytes, ...]) -> SignatureVerdict | None:
        """The verdict with these public keys, None when it was not reached yet."""
        return self.verdict if self.verified_with == keys else None

    def signing_preimage(self, genesis_hash: bytes) -> bytes:
        """What each signature is over."""
        return preimage(tags.TRANSACTION, genesis_hash, self.body)

"""A transaction as values; `parsing` makes them. Source: protos/icn/ledger/v1/transaction.proto."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from icn_crypto import tags
from icn_crypto.hashing import preimage

from icn_ledger.domain.contract_messages import ExecuteContract, InstantiateContract, StoreCode
from icn_ledger.domain.records import AllowanceLimits, ControllerKey, RecoveryPolicy


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
    """Creates a unit; the acting principal is issuer and authority."""

    unit: bytes
    code: str
    scale: int
    default_floor_minor: int


class OpenAccount(NamedTuple):
    """Opens an account of the acting principal."""

    account: bytes
    unit: bytes


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
    | StoreCode
    | InstantiateContract
    | ExecuteContract
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
    StoreCode: 24,
    InstantiateContract: 25,
    ExecuteContract: 26,
}
"""Field numbers of ``Message.kind``, as key scopes name them."""

LEAF_MAKERS: frozenset[type[Message]] = frozenset(
    {OpenController, CreateUnit, OpenAccount, PlaceHold, AnchorDigest, StartRecovery}
)
"""Kinds that may each create one leaf in any state; SetAllowance does so only for a new organization."""

THRESHOLD_KINDS: frozenset[type[Message]] = frozenset(
    {UpdateController, StartRecovery, CompleteRecovery, SetRecovery}
)
"""Kinds that replace keys, and so are never in a key's scope."""


class Signature(NamedTuple):
    """One key's agreement."""

    suite: int
    key_id: bytes
    signature: bytes


@dataclass(slots=True, eq=False)
class Transaction:
    """A transaction whose bytes passed validity rule 1. Not changed after it was made."""

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
    leaves_made_max: int
    """Leaves its messages may create, those of SetAllowance left out."""
    organizations_set: tuple[bytes, ...]
    """Organizations that its SetAllowance messages name, each once; for a new one another leaf is made."""
    fuel_limit: int = 0
    """Fuel its contract message may use, and is charged; 0 for all other transactions."""

    @property
    def is_of_contracts(self) -> bool:
        """Whether it runs after all native transactions of its block."""
        return self.fuel_limit > 0

    def signing_preimage(self, genesis_hash: bytes) -> bytes:
        """What each signature is over."""
        return preimage(tags.TRANSACTION, genesis_hash, self.body)

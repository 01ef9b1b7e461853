"""Transactions as a member or an organization makes them: messages, body, signatures, id.

Nothing here talks to anybody. Source: docs/spec/transaction.md.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from icn.ledger.v1.transaction_pb2 import (
    ActivateProtocol,
    AdmitMember,
    AllowanceLimits,
    Anchor,
    ApplyForMembership,
    CancelRecovery,
    CaptureHold,
    CastBallot,
    ChangeValidators,
    CompleteRecovery,
    ContractAccount,
    ContractCall,
    ControllerKey,
    Countersignature,
    CreateUnit,
    Electorate,
    EnactDecision,
    EndMembership,
    EndSponsorship,
    ExecuteContract,
    InstantiateContract,
    KeyScope,
    LeafName,
    Message,
    OpenAccount,
    OpenController,
    OpenPoll,
    PlaceHold,
    PublicKey,
    RecordEquivocation,
    RecoveryPolicy,
    RekeySeat,
    SeatChange,
    SeatOffer,
    SetAllowance,
    SetFloor,
    SetRecovery,
    SetZoneAuthority,
    Signature,
    StartRecovery,
    StartSponsorship,
    StoreCode,
    Transaction,
    TransactionBody,
    Transfer,
    UpdateController,
    VoidHold,
    VouchForApplicant,
)
from icn_crypto import tags
from icn_crypto.hashing import domain_hash, preimage
from icn_crypto.suites import SigningKey, Suite, key_id
from icn_machine.limits import IDENTIFIER_BYTES

EXPIRY_MS: Final = 10 * 60 * 1000
"""How far ahead a transaction expires unless told otherwise: long enough for any outage a client waits
out.
"""


class KeyPair:
    """One key of a controller with its secrets: an Ed25519 key, and an ML-DSA-65 key where it has one."""

    __slots__ = ("key_id", "public_keys", "signing_keys")

    key_id: bytes
    """16 bytes, names the key in signatures."""
    public_keys: Mapping[Suite, bytes]
    signing_keys: Mapping[Suite, SigningKey]

    def __init__(self, signing_keys: Iterable[SigningKey]) -> None:
        self.signing_keys = {key.suite: key for key in sorted(signing_keys, key=lambda key: key.suite)}
        self.public_keys = {suite: key.public_key for suite, key in self.signing_keys.items()}
        self.key_id = key_id(self.public_keys)

    @classmethod
    def generate(cls, suites: Iterable[Suite] = (Suite.ED25519,)) -> KeyPair:
        """A new key from the system's randomness. Organizations register all suites, people Ed25519."""
        return cls(SigningKey.generate(suite) for suite in suites)

    def sign(self, message: bytes, suite: Suite = Suite.ED25519) -> bytes:
        """The key's signature with one of its suites."""
        return self.signing_keys[suite].sign(message)

    def __repr__(self) -> str:
        """Names the key; a seed never reaches a log."""
        return f"KeyPair({self.key_id.hex()})"


@dataclass(frozen=True, slots=True)
class Signed:
    """A transaction that can be sent, and sent again: the same bytes have the same effect once."""

    transaction_id: bytes
    """32 bytes; does not depend on the signatures."""
    data: bytes
    """Canonical bytes of an ``icn.ledger.v1.Transaction``."""


def new_identifier() -> bytes:
    """A random id for a principal, account, unit or hold, 16 bytes."""
    return secrets.token_bytes(IDENTIFIER_BYTES)


def build_body(
    *,
    principal: bytes,
    payer: bytes,
    lane: int,
    sequence: int,
    expire_time_ms: int,
    messages: Sequence[Message],
) -> bytes:
    """Canonical bytes of a body, ready to be signed.

    Args:
        principal: who acts, 16 bytes.
        payer: whose allowance pays: the principal itself or its sponsor.
        lane: 0 to 15; each device uses one of its own.
        sequence: the lane's next number, from 1.
        expire_time_ms: last block time that may include it, unix milliseconds.
        messages: 1 to 16, applied in order, all or nothing.
    """
    body: bytes = TransactionBody(
        principal=principal,
        payer=payer,
        lane=lane,
        sequence=sequence,
        expire_time_ms=expire_time_ms,
        messages=messages,
    ).SerializeToString(deterministic=True)
    return body


def transaction_id(genesis_hash: bytes, body: bytes) -> bytes:
    """Id of the transaction with this body, 32 bytes."""
    return domain_hash(tags.TRANSACTION_ID, genesis_hash, body)


def sign(genesis_hash: bytes, body: bytes, keys: Iterable[KeyPair], suite: Suite = Suite.ED25519) -> Signed:
    """Sign a body for one zone with every key given, each once."""
    message = preimage(tags.TRANSACTION, genesis_hash, body)
    signatures = [
        Signature(suite=suite, key_id=key.key_id, signature=key.sign(message, suite))
        for key in sorted(keys, key=lambda key: key.key_id)
    ]
    data: bytes = Transaction(body=body, signatures=signatures).SerializeToString(deterministic=True)
    return Signed(transaction_id(genesis_hash, body), data)


def controller_key(public_keys: Mapping[Suite, bytes], scope: KeyScope | None = None) -> ControllerKey:
    """A key as a controller lists it; without a scope it counts towards the threshold."""
    return ControllerKey(
        public_keys=[
            PublicKey(suite=int(suite), public_key=public_key)
            for suite, public_key in sorted(public_keys.items())
        ],
        scope=scope,
    )


def key_scope(
    message_kinds: Iterable[str],
    *,
    amount_minor_max: int = 0,
    accounts: Iterable[bytes] = (),
    expire_time_ms: int = 0,
) -> KeyScope:
    """What a scoped key may sign.

    Args:
        message_kinds: names of ``Message.kind``, such as ``transfer``; never ``update_controller``,
            ``start_recovery``, ``complete_recovery``, ``set_recovery`` or ``set_zone_authority``.
        amount_minor_max: 0 means no limit.
        accounts: none means every account of the principal.
        expire_time_ms: last block time, unix milliseconds; 0 means no end.
    """
    fields = Message.DESCRIPTOR.fields_by_name
    return KeyScope(
        message_kinds=sorted(fields[kind].number for kind in message_kinds),
        amount_minor_max=amount_minor_max,
        accounts=sorted(accounts),
        expire_time_ms=expire_time_ms,
    )


def controller_key_id(key: ControllerKey) -> bytes:
    """Id of a key as a controller lists it, 16 bytes."""
    return key_id({Suite(entry.suite): entry.public_key for entry in key.public_keys})


def _ascending(keys: Iterable[ControllerKey]) -> list[ControllerKey]:
    return sorted(keys, key=controller_key_id)


def recovery_policy(guardian: bytes, delay_ms: int) -> RecoveryPolicy:
    """Another principal may replace lost keys, ``delay_ms`` (1 to 366 days) after announcing new ones."""
    return RecoveryPolicy(guardian=guardian, delay_ms=delay_ms)


def open_controller(
    principal: bytes, threshold: int, keys: Iterable[ControllerKey], recovery: RecoveryPolicy | None = None
) -> Message:
    """Creates a principal; the acting principal becomes its sponsor. Keys are put in order."""
    return Message(
        open_controller=OpenController(
            principal=principal, threshold=threshold, keys=_ascending(keys), recovery=recovery
        )
    )


def update_controller(threshold: int, keys: Iterable[ControllerKey]) -> Message:
    """Replaces the acting principal's keys and threshold, and cancels a recovery under way. Keys are put in
    order."""
    return Message(update_controller=UpdateController(threshold=threshold, keys=_ascending(keys)))


def set_recovery(recovery: RecoveryPolicy | None) -> Message:
    """Replaces the acting principal's recovery policy, and cancels a recovery under way; its keys stay."""
    return Message(set_recovery=SetRecovery(recovery=recovery))


def start_recovery(principal: bytes, threshold: int, keys: Iterable[ControllerKey]) -> Message:
    """Announces new keys for a principal; only its guardian may. Keys are put in order."""
    return Message(
        start_recovery=StartRecovery(principal=principal, threshold=threshold, keys=_ascending(keys))
    )


def cancel_recovery(principal: bytes) -> Message:
    """Ends a recovery without effect; the principal itself and its guardian may."""
    return Message(cancel_recovery=CancelRecovery(principal=principal))


def record_equivocation(evidence: bytes) -> Message:
    """Records that a validator contradicted itself; anybody may who has the proof."""
    return Message(record_equivocation=RecordEquivocation(evidence=evidence))


def complete_recovery(principal: bytes) -> Message:
    """Puts announced keys in force after the delay; only the guardian may."""
    return Message(complete_recovery=CompleteRecovery(principal=principal))


def start_sponsorship(principal: bytes) -> Message:
    """Takes on a principal that nobody pays for; the acting principal becomes its sponsor."""
    return Message(start_sponsorship=StartSponsorship(principal=principal))


def end_sponsorship(principal: bytes) -> Message:
    """Ends paying for a principal; its sponsor and the principal itself may."""
    return Message(end_sponsorship=EndSponsorship(principal=principal))


def create_unit(
    unit: bytes, code: str, scale: int, default_floor_minor: int = 0, authority: bytes = b""
) -> Message:
    """Creates a unit that the acting principal issues. Floors are set by ``authority``, a principal or an
    authority such as a federation; by the issuer where it is empty."""
    return Message(
        create_unit=CreateUnit(
            unit=unit,
            code=code,
            scale=scale,
            default_floor_minor=default_floor_minor,
            authority=authority,
        )
    )


def open_account(
    account: bytes, unit: bytes, *, parent: bytes = b"", opening_minor: int | None = None
) -> Message:
    """Opens an account of the acting principal.

    Args:
        account: `new_identifier`.
        unit: it is kept in.
        parent: another account of the same owner and unit, of which it is a sub-account; empty for none.
        opening_minor: what the owner brings, a debt below 0; then nothing can be done with the account until
            the unit's authority has confirmed it. None: it begins at 0, at once.
    """
    return Message(
        open_account=OpenAccount(
            account=account,
            unit=unit,
            parent=parent,
            opening_minor=opening_minor or 0,
            is_opening=opening_minor is not None,
        )
    )


def set_floor(account: bytes, floor_minor: int) -> Message:
    """Sets an account's floor; only the unit's authority may."""
    return Message(set_floor=SetFloor(account=account, floor_minor=floor_minor))


def transfer(
    source: bytes, destination: bytes, amount_minor: int, memo_hash: bytes = b"", reference: bytes = b""
) -> Message:
    """Moves credit; the acting principal owns the source. ``reference`` (at most 32 bytes) is the signer's
    word, such as the id of a transaction that this one gives back."""
    return Message(
        transfer=Transfer(
            source=source,
            destination=destination,
            amount_minor=amount_minor,
            memo_hash=memo_hash,
            reference=reference,
        )
    )


def place_hold(
    hold: bytes, source: bytes, destination: bytes, amount_minor: int, expire_time_ms: int
) -> Message:
    """Reserves credit until a block time; the acting principal owns the source."""
    return Message(
        place_hold=PlaceHold(
            hold=hold,
            source=source,
            destination=destination,
            amount_minor=amount_minor,
            expire_time_ms=expire_time_ms,
        )
    )


def capture_hold(hold: bytes, amount_minor: int) -> Message:
    """Takes part or all of a hold; the acting principal owns its destination."""
    return Message(capture_hold=CaptureHold(hold=hold, amount_minor=amount_minor))


def void_hold(hold: bytes) -> Message:
    """Releases what is left of a hold; the acting principal owns its destination."""
    return Message(void_hold=VoidHold(hold=hold))


def anchor(digest: bytes, topic: str) -> Message:
    """Records that a digest of 32 bytes was known."""
    return Message(anchor=Anchor(digest=digest, topic=topic))


def activate_protocol(version: int) -> Message:
    """Puts the protocol version that follows the one in force in force from a later epoch on."""
    return Message(activate_protocol=ActivateProtocol(protocol_version=version))


def change_validators(set_hash: bytes, changes: Iterable[SeatChange]) -> Message:
    """Changes the set of validators that is next now, named by its hash; only the zone authority may
    (`icn_client.seats` makes the changes)."""
    return Message(change_validators=ChangeValidators(validator_set_hash=set_hash, changes=changes))


def rekey_seat(set_hash: bytes, offer: SeatOffer) -> Message:
    """Gives the acting organization's seat the keys that it offers; ``set_hash`` as of
    `change_validators`."""
    return Message(rekey_seat=RekeySeat(validator_set_hash=set_hash, keys=offer.keys))


def set_allowance(
    organization: bytes,
    *,
    bytes_per_epoch: int,
    signatures_per_epoch: int,
    state_leaves: int,
    fuel_per_epoch: int = 0,
    new_leaves_per_epoch: int = 0,
) -> Message:
    """Sets what an organization may use; only the zone authority may. No ``new_leaves_per_epoch``: as many as
    ``state_leaves``."""
    return Message(
        set_allowance=SetAllowance(
            organization=organization,
            limits=AllowanceLimits(
                bytes_per_epoch=bytes_per_epoch,
                signatures_per_epoch=signatures_per_epoch,
                state_leaves=state_leaves,
                fuel_per_epoch=fuel_per_epoch,
                new_leaves_per_epoch=new_leaves_per_epoch,
            ),
        )
    )


def enact_decision(decision: bytes, countersignatures: Iterable[Countersignature]) -> Message:
    """Carries out a decision on the strength of its countersignatures, which are put in order
    (`icn_client.decisions` makes both)."""
    ordered: list[Countersignature] = sorted(countersignatures, key=attrgetter("signer"))
    return Message(enact_decision=EnactDecision(decision=decision, countersignatures=ordered))


def apply_for_membership(organization: bytes) -> Message:
    """Asks an organization, a principal or an authority, to take the acting principal in."""
    return Message(apply_for_membership=ApplyForMembership(organization=organization))


def vouch_for_applicant(organization: bytes, applicant: bytes) -> Message:
    """Speaks for an applicant; the acting principal is an active member of the organization."""
    return Message(vouch_for_applicant=VouchForApplicant(organization=organization, applicant=applicant))


def admit_member(applicant: bytes) -> Message:
    """Makes an applicant a member of the acting principal."""
    return Message(admit_member=AdmitMember(applicant=applicant))


def end_membership(organization: bytes, member: bytes) -> Message:
    """Ends a membership; the acting principal is the member or the organization."""
    return Message(end_membership=EndMembership(organization=organization, member=member))


def open_poll(
    poll: bytes,
    organization: bytes,
    document: bytes,
    close_time_ms: int,
    electorate: Electorate = Electorate.ELECTORATE_MEMBERS,
) -> Message:
    """Opens a poll among an organization's members.

    Args:
        poll: `new_identifier`.
        organization: a principal or an authority.
        document: digest of what is asked and how it is counted, 32 bytes.
        close_time_ms: first block time at which no ballot is taken any more, unix milliseconds.
        electorate: whose ballots are taken.
    """
    return Message(
        open_poll=OpenPoll(
            poll=poll,
            organization=organization,
            electorate=electorate,
            document=document,
            close_time_ms=close_time_ms,
        )
    )


def cast_ballot(poll: bytes, commitment: bytes, through: bytes = b"") -> Message:
    """Commits the acting principal to a ballot (32 bytes), or to this one instead of an earlier one.
    ``through`` names its organization where members of members vote."""
    return Message(cast_ballot=CastBallot(poll=poll, commitment=commitment, through=through))


def set_zone_authority(authority: bytes) -> Message:
    """Hands the setting of allowances to a principal or an authority; only the zone authority may."""
    return Message(set_zone_authority=SetZoneAuthority(authority=authority))


def store_code(code: bytes) -> Message:
    """Stores the WebAssembly of contracts; the transaction's only message."""
    return Message(store_code=StoreCode(code=code))


def contract_call(
    message: bytes,
    fuel_limit: int,
    *,
    funds: Iterable[Transfer] = (),
    declared: Iterable[LeafName] = (),
) -> ContractCall:
    """What is asked of a contract.

    Args:
        message: JSON that the contract reads.
        fuel_limit: where the call is stopped, and what it is charged.
        funds: moved to the contract before the call.
        declared: leaves it may see and accounts it may pay to.
    """
    return ContractCall(message=message, fuel_limit=fuel_limit, funds=funds, declared=declared)


def instantiate_contract(
    contract: bytes, code: bytes, call: ContractCall, accounts: Iterable[ContractAccount] = ()
) -> Message:
    """Makes a contract (`new_identifier`) from stored code, named by its SHA-256; the transaction's only
    message."""
    return Message(
        instantiate_contract=InstantiateContract(contract=contract, code=code, accounts=accounts, call=call)
    )


def execute_contract(contract: bytes, call: ContractCall) -> Message:
    """Calls a contract; the transaction's only message."""
    return Message(execute_contract=ExecuteContract(contract=contract, call=call))

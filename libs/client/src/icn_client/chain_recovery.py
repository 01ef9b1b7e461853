"""Starting a chain again whose validators lost their signing records: the file that the organizations sign.

It holds the terms, a proof of the block they name that reaches from genesis, the organizations' controllers
with their proofs, and the signatures so far. Whoever signs checks it with nothing but the genesis file.

Source: docs/spec/consensus.md, "Recovery".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from icn.ledger.v1.service_pb2 import GetProofRequest
from icn.ledger.v1.transaction_pb2 import SeatOffer
from icn_chain.epochs import ProofInvalid, read_header
from icn_chain.header import BlockHeader
from icn_chain.malformed import MalformedMessage
from icn_chain.recovery import (
    BLOCK_ROOM_BYTES,
    Endorsement,
    RecoveryCertificate,
    RecoveryInvalid,
    RecoverySignature,
    build_body,
    build_certificate,
    check_recovery,
    check_terms,
    recovery_preimage,
)
from icn_chain.validator_set import Validator, ValidatorSet
from icn_crypto import jcs
from icn_crypto.suites import verify
from icn_kit.errors import DomainError, FailedPrecondition, Unavailable
from icn_kit.genesis import Genesis

from icn_client.connection import ask
from icn_client.light.final_header import ProofMalformed
from icn_client.light.proof_file import ProofFile, from_response, parse_proof_file
from icn_client.light.verify import verify_proof

if TYPE_CHECKING:
    from icn_client.connection import Connection, ValidatorAddress
    from icn_client.keystore import Identity

FORMAT: Final = "icn/recovery/v1"
FILE_BYTES_MAX: Final = 64 * 1024 * 1024
"""As a proof file, which is the greater part of it."""
_MEMBERS: Final = {"format", "genesis", "proof", "body", "controllers", "signatures"}


class RecoveryFileInvalid(ValueError):
    """The bytes are no such file, or what it says does not hold; ``reason`` is stable."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RecoveryFile:
    """What the organizations hand around."""

    genesis: bytes
    """Hash of the zone's genesis."""
    proof: ProofFile
    """Of any leaf under the header of the block after which the chain goes on."""
    body: bytes
    """Canonical bytes of the RecoveryBody."""
    controllers: tuple[tuple[bytes, str], ...]
    """Leaf and proof of each seated organization's controller, ascending by organization."""
    signatures: Mapping[tuple[bytes, bytes], RecoverySignature]
    """By organization and key id."""

    def to_bytes(self) -> bytes:
        """The file's bytes, in the form of RFC 8785."""
        return jcs.canonicalize(
            {
                "format": FORMAT,
                "genesis": self.genesis.hex(),
                "proof": json.loads(self.proof.to_bytes()),
                "body": self.body.hex(),
                "controllers": [
                    {"controller": leaf.hex(), "state_proof": json.loads(proof)}
                    for leaf, proof in self.controllers
                ],
                "signatures": [
                    {
                        "organization": organization.hex(),
                        "key_id": one.key_id.hex(),
                        "suite": one.suite,
                        "signature": one.signature.hex(),
                    }
                    for (organization, _), one in sorted(self.signatures.items())
                ],
            }
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """A file that was checked: what is signed, and by whom so far."""

    file: RecoveryFile
    header: BlockHeader
    """Of the block after which the chain goes on."""
    seated: ValidatorSet
    """The set of the block."""
    certificate: RecoveryCertificate
    """With the signatures of the organizations whose threshold is met."""
    organizations: tuple[Endorsement, ...]
    """All seated ones, ascending, with the signatures so far."""

    @property
    def is_complete(self) -> bool:
        """Whether more than 2/3 of the organizations have signed."""
        return len(self.certificate.endorsements) >= self.seated.quorum


def read_recovery_file(content: bytes, genesis: Genesis) -> Terms:
    """Read a file and check all it says, signatures included, from genesis on.

    Raises:
        RecoveryFileInvalid: RECOVERY_FILE_MALFORMED, WRONG_ZONE, a reason of a proof or of the certificate.
    """
    return check_file(_parse(content), genesis)


def check_file(file: RecoveryFile, genesis: Genesis) -> Terms:
    """Check what a file says; see `read_recovery_file`."""
    try:
        shown = verify_proof(file.proof, genesis)
        header = read_header(genesis.hash, file.proof.header)
        deciding = shown.sets[-1]
        if file.genesis != genesis.hash or header.epoch != deciding.epoch:
            raise RecoveryFileInvalid("WRONG_ZONE", "the file is of another zone, or its proof of two epochs")
        everybody = _certificate(file, file.controllers)
        organizations = everybody.endorsements
        if {one.organization for one in organizations} != set(deciding.validators.organizations):
            raise RecoveryFileInvalid("NOT_SEATED", "the controllers are not the seated organizations'")
        signed = [one for one in organizations if len(one.signatures) >= one.threshold]
        controllers = [(one.controller, json.dumps(one.state_proof.to_dict())) for one in signed]
        certificate = _certificate(file, controllers)
        check_terms(certificate, header, deciding.validators, genesis.hash, genesis)
        if len(signed) >= deciding.validators.quorum:
            check_recovery(certificate, header, deciding.validators, genesis.hash, genesis)
    except (ProofInvalid, RecoveryInvalid) as fault:
        raise RecoveryFileInvalid(fault.reason, str(fault)) from fault
    except MalformedMessage as error:
        raise RecoveryFileInvalid("RECOVERY_FILE_MALFORMED", str(error)) from error
    for one in organizations:
        _check_signatures(one, recovery_preimage(genesis.hash, file.body))
    return Terms(file, header, deciding.validators, certificate, organizations)


def sign(terms: Terms, identity: Identity, genesis: Genesis) -> RecoveryFile:
    """The file with the signatures of an identity's keys that the organization's controller has.

    Raises:
        RecoveryFileInvalid: NOT_SEATED, KEY_UNKNOWN.
    """
    own = next((one for one in terms.organizations if one.organization == identity.principal), None)
    if own is None:
        raise RecoveryFileInvalid("NOT_SEATED", f"{identity.name} holds no seat at the block")
    known = [key for key in identity.keys if key.key_id in own.public_keys]
    if not known:
        raise RecoveryFileInvalid("KEY_UNKNOWN", f"the controller has no unscoped key of {identity.name}")
    signed = recovery_preimage(genesis.hash, terms.file.body)
    signatures = dict(terms.file.signatures)
    for key in known:
        suite = min(key.public_keys)
        signatures[own.organization, key.key_id] = RecoverySignature(
            key.key_id, int(suite), key.sign(signed, suite)
        )
    return replace(terms.file, signatures=signatures)


async def prepare(connection: Connection, offers: Mapping[bytes, SeatOffer], now_ms: int) -> RecoveryFile:
    """Terms to go on after the highest final block that any validator here has.

    Args:
        connection: to the restored validators, which follow.
        offers: of new keys, by organization.
        now_ms: of this machine's clock; the epoch begins after all that it may belong to.

    Raises:
        FailedPrecondition: RECOVERY_FORKED: two validators have different chains; OFFERS_MISMATCH: these are
            not the seated organizations' offers; CONSENSUS_KEY_USED; RECOVERY_TOO_LARGE.
        Unavailable: NO_VALIDATOR: none answers, or the highest has not executed all it has; CHAIN_MOVES.
        RecoveryFileInvalid: what the validators prove does not hold.
    """
    genesis = connection.genesis
    highest, final_height, state_root = await _find_highest(connection)
    ledger = connection.ledger(highest)
    answer = await ask(ledger.GetProof(GetProofRequest(name="validators/zone")))
    proof = from_response(answer, genesis.hash, genesis.validator_set)
    try:
        seated = verify_proof(proof, genesis).sets[-1].validators
    except ProofInvalid as fault:
        raise RecoveryFileInvalid(fault.reason, str(fault)) from fault
    header = read_header(genesis.hash, proof.header)
    if header.height != final_height:
        raise Unavailable("CHAIN_MOVES", "the validator executes blocks: its chain needs no recovery")
    if set(offers) != set(seated.organizations):
        missing = ", ".join(sorted(one.hex() for one in set(seated.organizations) - set(offers))) or "none"
        other = ", ".join(sorted(one.hex() for one in set(offers) - set(seated.organizations))) or "none"
        raise FailedPrecondition("OFFERS_MISMATCH", f"offers missing of {missing}; of no seat: {other}")
    ordered = [offers[organization] for organization in seated.organizations]
    for offer in ordered:
        await _check_new(ledger, offer)
    validators = ValidatorSet.of(
        (
            Validator(offer.organization, tuple((key.suite, key.public_key) for key in offer.keys))
            for offer in ordered
        ),
        header.protocol_version,
    )
    body = build_body(
        protocol_version=header.protocol_version,
        epoch=max(header.epoch, genesis.epoch_of(header.time_ms), genesis.epoch_of(now_ms)) + 1,
        height=header.height,
        block_hash=header.hash,
        state_root=state_root,
        validator_set=validators.data,
        possessions=[key.possession for offer in ordered for key in offer.keys],
    )
    controllers = []
    for organization in sorted(seated.organizations):
        proven = await ask(ledger.GetProof(GetProofRequest(name=f"principals/{organization.hex()}")))
        if proven.header != proof.header:
            raise Unavailable("CHAIN_MOVES", "the validator executes blocks: its chain needs no recovery")
        controllers.append((proven.value, proven.state_proof))
    file = RecoveryFile(genesis.hash, proof, body, tuple(controllers), {})
    check_fits(file, seated.quorum, genesis)
    return file


def check_fits(file: RecoveryFile, quorum: int, genesis: Genesis) -> None:
    """Pass when so many organizations' certificate, before they sign, fits into a block of the zone.

    Raises:
        FailedPrecondition: RECOVERY_TOO_LARGE: it cannot be signed small enough.
    """
    smallest = set(sorted(file.controllers, key=lambda pair: len(pair[0]) + len(pair[1]))[:quorum])
    certificate = _certificate(file, [pair for pair in file.controllers if pair in smallest])
    size_bytes, size_bytes_max = len(certificate.data), genesis.limits.bytes_max - BLOCK_ROOM_BYTES
    if size_bytes > size_bytes_max:
        raise FailedPrecondition(
            "RECOVERY_TOO_LARGE",
            f"it has {size_bytes} bytes without signatures, a block takes one of {size_bytes_max}",
            size_bytes=size_bytes,
            size_bytes_max=size_bytes_max,
        )


@dataclass(frozen=True, slots=True)
class Submitted:
    """What one validator said."""

    address: ValidatorAddress
    has_begun: bool
    epoch: int
    final_height: int
    refusal: DomainError | None


async def submit(connection: Connection, certificate: RecoveryCertificate) -> list[Submitted]:
    """Hand a certificate to every validator, one after the other; by seat."""
    from icn.consensus.v1.service_pb2 import SubmitRecoveryRequest

    request = SubmitRecoveryRequest(certificate=certificate.data)
    answers = []
    for address in connection.network.validators:
        try:
            answer = await ask(connection.consensus(address).SubmitRecovery(request))
            told = Submitted(address, answer.has_begun, answer.epoch, answer.final_height, None)
        except DomainError as error:
            told = Submitted(address, False, 0, 0, error)
        answers.append(told)
    return answers


async def _find_highest(connection: Connection) -> tuple[ValidatorAddress, int, bytes]:
    """The validator with the longest chain, whose beginnings all others' are, its height and state root."""
    standing = [
        (address, status)
        for address, status in zip(connection.network.validators, await connection.statuses(), strict=True)
        if status is not None
    ]
    if not standing:
        raise Unavailable("NO_VALIDATOR", "no validator answers")
    highest, status = max(standing, key=lambda pair: pair[1].final_height)
    if status.executed_height != status.final_height:
        raise Unavailable(
            "NO_VALIDATOR",
            f"{highest.name} has executed {status.executed_height} of {status.final_height} blocks",
        )
    for address, other in standing:
        own = await connection.block_at(address, other.executed_height)
        longest = await connection.block_at(highest, other.executed_height)
        if own is None or longest is None or own.hash != longest.hash:
            raise FailedPrecondition(
                "RECOVERY_FORKED",
                f"{address.name} and {highest.name} have different blocks at height {other.executed_height}",
                height=other.executed_height,
            )
    return highest, status.final_height, bytes(status.state_root)


async def _check_new(ledger: Any, offer: SeatOffer) -> None:
    from icn_crypto.suites import Suite

    for key in offer.keys:
        if key.suite == Suite.ED25519:
            name = f"consensus-keys/{key.public_key.hex()}"
            if (await ask(ledger.GetProof(GetProofRequest(name=name)))).value:
                raise FailedPrecondition("CONSENSUS_KEY_USED", f"{key.public_key.hex()} was named before")


def _certificate(file: RecoveryFile, controllers: Sequence[tuple[bytes, str]]) -> RecoveryCertificate:
    """A certificate with these controllers and what the file has of their signatures."""
    bare = build_certificate(file.body, [(leaf, proof, ()) for leaf, proof in controllers])
    signed = []
    for one, (leaf, proof) in zip(bare.endorsements, controllers, strict=True):
        own = sorted(
            (key, signature)
            for (organization, key), signature in file.signatures.items()
            if organization == one.organization
        )
        signed.append((leaf, proof, [signature for _, signature in own]))
    return build_certificate(file.body, signed)


def _check_signatures(one: Endorsement, signed: bytes) -> None:
    for signature in one.signatures:
        public_key = one.public_keys.get(signature.key_id, {}).get(signature.suite)
        if public_key is None:
            raise RecoveryFileInvalid(
                "KEY_UNKNOWN", f"{one.organization.hex()} has no key {signature.key_id.hex()} without a scope"
            )
        if not verify(signature.suite, public_key, signed, signature.signature):
            raise RecoveryFileInvalid(
                "SIGNATURE_INVALID", f"the signature of {one.organization.hex()} is not valid"
            )


def _parse(content: bytes) -> RecoveryFile:
    try:
        document = json.loads(content)
        if not isinstance(document, dict) or set(document) != _MEMBERS or document["format"] != FORMAT:
            raise RecoveryFileInvalid("RECOVERY_FILE_MALFORMED", f"not a file of the format {FORMAT}")
        return RecoveryFile(
            bytes.fromhex(document["genesis"]),
            parse_proof_file(json.dumps(document["proof"]).encode()),
            bytes.fromhex(document["body"]),
            tuple(
                (bytes.fromhex(one["controller"]), json.dumps(one["state_proof"]))
                for one in document["controllers"]
            ),
            {
                (bytes.fromhex(one["organization"]), bytes.fromhex(one["key_id"])): RecoverySignature(
                    bytes.fromhex(one["key_id"]), int(one["suite"]), bytes.fromhex(one["signature"])
                )
                for one in document["signatures"]
            },
        )
    except ProofMalformed as error:
        raise RecoveryFileInvalid("RECOVERY_FILE_MALFORMED", f"proof: {error}") from error
    except RecoveryFileInvalid:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RecoveryFileInvalid(
            "RECOVERY_FILE_MALFORMED", f"not a file of the format {FORMAT}: {type(error).__name__}"
        ) from None

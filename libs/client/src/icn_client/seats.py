"""Seats of validators: keys for one, the offer that proves their possession, and who holds seats now.

An offer is a file that an organization gives to whoever changes the validators. It holds no secret.
Source: docs/spec/transaction.md, "Seats".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from icn.ledger.v1.service_pb2 import GetValidatorsRequest, GetValidatorsResponse
from icn.ledger.v1.transaction_pb2 import OfferedKey, ReplaceSeat, SeatChange, SeatOffer
from icn_chain.epochs import EpochSet, ProofInvalid, first_set
from icn_crypto.possession import is_possessed, prove_possession
from icn_crypto.suites import SUITE_NAMES, InvalidPublicKey, SigningKey, Suite, check_public_key
from icn_kit.errors import FailedPrecondition

from icn_client.light.final_header import ProofMalformed
from icn_client.light.proof_file import from_response
from icn_client.light.verify import verify_proof

if TYPE_CHECKING:
    from icn_client.connection import Connection

FORMAT: Final = "icn/seat-offer/v1"
OFFER_BYTES_MAX: Final = 65_536
KEY_FILE_BYTES_MAX: Final = 1_024
ORGANIZATION_BYTES: Final = 16
VALIDATORS: Final = "validators/zone"
"""Name of the leaf that says who validates; its proof walks every epoch."""
_MEMBERS: Final = {"format", "genesis", "organization", "public_keys", "possession"}


class KeyFileInvalid(ValueError):
    """The bytes are no validator's key file; the message says why and tells nothing of them."""


class OfferInvalid(ValueError):
    """The bytes are no offer that the ledger could take; the message says why."""


def new_keys() -> list[SigningKey]:
    """Consensus keys for a seat, one of every suite, from the system's randomness."""
    return [SigningKey.generate(suite) for suite in SUITE_NAMES]


def seeds_document(keys: Sequence[SigningKey]) -> dict[str, str]:
    """What a validator's key file holds."""
    return {SUITE_NAMES[key.suite]: key.seed.hex() for key in keys}


def read_seeds(data: bytes) -> list[SigningKey]:
    """The keys in a validator's key file.

    Raises:
        KeyFileInvalid: it is none.
    """
    try:
        document = json.loads(data)
        names = {name: suite for suite, name in SUITE_NAMES.items()}
        if set(document) != set(names):
            raise KeyFileInvalid(f"a key file has keys of {', '.join(names)}")
        return [SigningKey.from_seed(names[name], bytes.fromhex(document[name])) for name in names]
    except (ValueError, TypeError, RecursionError) as error:
        raise KeyFileInvalid(f"not a key file: {type(error).__name__}") from None


def offer_document(keys: Sequence[SigningKey], genesis_hash: bytes, organization: bytes) -> dict[str, Any]:
    """An offer to hold a seat with these keys, as a file has it."""
    return {
        "format": FORMAT,
        "genesis": genesis_hash.hex(),
        "organization": organization.hex(),
        "public_keys": {SUITE_NAMES[key.suite]: key.public_key.hex() for key in keys},
        "possession": {
            SUITE_NAMES[key.suite]: prove_possession(key, genesis_hash, organization).hex() for key in keys
        },
    }


def read_offer(content: bytes, genesis_hash: bytes) -> SeatOffer:
    """The offer of a file, checked as the ledger will.

    Raises:
        OfferInvalid: it is none, of another zone, or a key in it is not one or not possessed.
    """
    try:
        document = json.loads(content)
        if set(document) != _MEMBERS or document["format"] != FORMAT:
            raise OfferInvalid(f"not an offer ({FORMAT})")
        if document["genesis"] != genesis_hash.hex():
            raise OfferInvalid("made for another zone")
        organization = bytes.fromhex(document["organization"])
        public_keys = _by_suite(document["public_keys"])
        possession = _by_suite(document["possession"])
    except OfferInvalid:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise OfferInvalid(f"not an offer ({FORMAT}): {type(error).__name__}") from None
    if len(organization) != ORGANIZATION_BYTES:
        raise OfferInvalid(f"organization has {len(organization)} bytes, must have {ORGANIZATION_BYTES}")
    for suite, public_key in public_keys.items():
        try:
            check_public_key(suite, public_key)
        except InvalidPublicKey as error:
            raise OfferInvalid(f"{SUITE_NAMES[suite]}: {error}") from None
        if not is_possessed(suite, public_key, possession[suite], genesis_hash, organization):
            raise OfferInvalid(f"{SUITE_NAMES[suite]}: not signed with the key that is offered")
    return SeatOffer(
        organization=organization,
        keys=[
            OfferedKey(suite=int(suite), public_key=public_keys[suite], possession=possession[suite])
            for suite in sorted(public_keys)
        ],
    )


def add(offer: SeatOffer) -> SeatChange:
    """A seat more."""
    return SeatChange(add=offer)


def remove(organization: bytes) -> SeatChange:
    """A seat less."""
    return SeatChange(remove=organization)


def replace(organization: bytes, offer: SeatOffer) -> SeatChange:
    """Another seat in the place of the organization's."""
    return SeatChange(replace=ReplaceSeat(organization=organization, seat=offer))


async def validators(connection: Connection) -> GetValidatorsResponse:
    """Who validates and who will, as one validator says; the leaf `validators/zone` can be proven.

    Raises:
        DomainError: nobody answers.
    """

    def ask(stub: Any) -> Any:
        return stub.GetValidators(GetValidatorsRequest())

    answer: GetValidatorsResponse = await connection.read(ask)
    return answer


async def proven_sets(connection: Connection) -> tuple[EpochSet, ...]:
    """The validators of every epoch so far, proven from genesis; only those of genesis before the first final
    block.

    Raises:
        DomainError: the ledger cannot be asked, or what it answers does not hold.
    """
    genesis = connection.genesis
    try:
        answer = await connection.proof(VALIDATORS)
    except FailedPrecondition:
        return (first_set(genesis.validator_set),)
    try:
        proof = from_response(answer, genesis.hash, genesis.validator_set)
        return verify_proof(proof, genesis).sets
    except (ProofInvalid, ProofMalformed) as error:
        raise FailedPrecondition("PROOF_INVALID", f"{VALIDATORS}: {error}") from error


def _by_suite(document: Mapping[str, str]) -> dict[Suite, bytes]:
    if set(document) != set(SUITE_NAMES.values()):
        raise OfferInvalid(f"keys must be of {', '.join(SUITE_NAMES.values())}")
    return {suite: bytes.fromhex(document[name]) for suite, name in SUITE_NAMES.items()}

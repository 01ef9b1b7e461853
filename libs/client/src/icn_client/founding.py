"""Founders with keys of their own: what each gives whoever writes the zone's genesis.

A founder's file holds no secret. Source: docs/operating/join.md, "A zone of founders with keys of their own".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from icn_crypto.possession import is_possessed, prove_possession
from icn_crypto.suites import SUITE_NAMES, InvalidPublicKey, SigningKey, check_public_key
from icn_kit.genesis import Genesis
from icn_localnet.certificates import CertificateInvalid, CertificateRequest, read_request
from icn_localnet.joined import ToldValidator
from icn_localnet.network import Founder

from icn_client.seats import ORGANIZATION_BYTES

FOUNDER_FORMAT: Final = "icn/founder/v1"
FOUNDER_BYTES_MAX: Final = 262_144
NO_GENESIS: Final = bytes(32)
"""A founder shows possession of its consensus keys before there is a genesis that the proof could name."""


class FounderInvalid(ValueError):
    """The bytes are no founder's file, or what is in it does not hold; the message says why."""


@dataclass(frozen=True, slots=True)
class OfferedFounder:
    """A founder's file, checked."""

    founder: Founder
    validator: ToldValidator
    request: CertificateRequest


def founder_document(
    name: str,
    public_part: Mapping[str, Any],
    keys: Sequence[SigningKey],
    addresses: tuple[str, str],
    request: bytes,
) -> dict[str, Any]:
    """A founder's file.

    Args:
        name: of the organization, as people call it.
        public_part: what `icn keys export` printed for it.
        keys: consensus keys of its validator.
        addresses: of its validator's consensus and ledger.
        request: for the validator's certificate, PEM.
    """
    organization = bytes.fromhex(public_part["principal"])
    consensus, ledger = addresses
    return {
        "format": FOUNDER_FORMAT,
        "name": name,
        "principal": public_part["principal"],
        "threshold": public_part["threshold"],
        "keys": [key["public_keys"] for key in public_part["keys"]],
        "consensus_public_keys": {SUITE_NAMES[key.suite]: key.public_key.hex() for key in keys},
        "possession": {
            SUITE_NAMES[key.suite]: prove_possession(key, NO_GENESIS, organization).hex() for key in keys
        },
        "consensus": consensus,
        "ledger": ledger,
        "request": request.decode("ascii"),
    }


def read_founder(content: bytes) -> OfferedFounder:
    """A founder of a file.

    Raises:
        FounderInvalid: it is none, or a key in it is not one or not possessed.
    """
    suites = {name: suite for suite, name in SUITE_NAMES.items()}
    try:
        document = json.loads(content)
        if document["format"] != FOUNDER_FORMAT:
            raise FounderInvalid(f"not a founder's file ({FOUNDER_FORMAT})")
        name, principal = document["name"], bytes.fromhex(document["principal"])
        keys = [
            {suites[suite]: bytes.fromhex(public) for suite, public in key.items()}
            for key in document["keys"]
        ]
        consensus = {
            suites[suite]: bytes.fromhex(key) for suite, key in document["consensus_public_keys"].items()
        }
        possession = {suites[suite]: bytes.fromhex(one) for suite, one in document["possession"].items()}
        threshold, request = int(document["threshold"]), read_request(document["request"].encode("ascii"))
        told = ToldValidator(name, principal.hex(), document["consensus"], document["ledger"])
        told.check()
    except FounderInvalid:
        raise
    except CertificateInvalid as error:
        raise FounderInvalid(str(error)) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FounderInvalid(f"not a founder's file ({FOUNDER_FORMAT}): {error!r}") from None
    if len(principal) != ORGANIZATION_BYTES:
        raise FounderInvalid(f"principal has {len(principal)} bytes, must have {ORGANIZATION_BYTES}")
    for what, held in (("consensus_public_keys", consensus), *(("keys", key) for key in keys)):
        if set(held) != set(SUITE_NAMES):
            raise FounderInvalid(
                f"{what} are of {', '.join(SUITE_NAMES[suite] for suite in held)}; an organization has keys "
                f"of {' and '.join(SUITE_NAMES.values())} (icn keys new --post-quantum)"
            )
    for suite, public_key in consensus.items():
        try:
            check_public_key(suite, public_key)
        except InvalidPublicKey as error:
            raise FounderInvalid(f"{SUITE_NAMES[suite]}: {error}") from None
        if not is_possessed(suite, public_key, possession.get(suite, b""), NO_GENESIS, principal):
            raise FounderInvalid(f"{SUITE_NAMES[suite]}: not signed with the key that is offered")
    founder = Founder(name, keys, threshold=threshold, principal=principal, consensus_keys=consensus)
    return OfferedFounder(founder, told, request)


def check_named(genesis: Genesis, organization: bytes, keys: Sequence[SigningKey]) -> None:
    """Return if genesis gives an organization a seat with these keys.

    Raises:
        FounderInvalid: it does not.
    """
    ours = {key.suite: key.public_key for key in keys}
    seat = next((one for one in genesis.validators if one.organization == organization), None)
    if seat is None:
        raise FounderInvalid(f"genesis gives no seat to {organization.hex()}")
    if dict(seat.public_keys) != ours:
        raise FounderInvalid(
            f"genesis gives seat {seat.seat} of {organization.hex()} to other keys than ours"
        )

"""The JSON file that carries a proof from one person to another.

Source: docs/spec/proof.md, "The file". What it says is judged by `icn_client.light.verify`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from icn_chain.certificate import CERTIFICATE_BYTES_MAX
from icn_chain.epochs import Handover
from icn_chain.header import HEADER_BYTES_MAX
from icn_chain.malformed import MalformedMessage
from icn_chain.recovery import RECOVERY_BYTES_MAX, parse_recovery
from icn_chain.validator_set import VALIDATOR_SET_BYTES_MAX
from icn_crypto import jcs
from icn_crypto.state_proof import InvalidProof, Proof

if TYPE_CHECKING:
    from icn.ledger.v1.service_pb2 import EpochStep, GetProofResponse

FORMAT: Final = "icn/proof/v1"
FILE_BYTES_MAX: Final = 64 * 1024 * 1024
"""4,096 epochs of a zone with 50 seats whose set never changes are 45 MB."""
VALUE_BYTES_MAX: Final = 66_560
"""The largest is an entry of a contract's storage: 65,536 bytes and who pays for it."""
"""No leaf is larger than the transaction that made it."""
EPOCHS_MAX: Final = 4_096
"""Eleven years of days; later ones start from a checkpoint."""
DESCENDANTS_MAX: Final = 10_000
"""In the whole file: a finalization covers two blocks under load, more only after an outage."""

_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*")
_IDENTIFIER_BYTES: Final = {
    **dict.fromkeys((1, 2, 3, 4, 6, 8, 9, 11, 15, 21, 24, 25), (16, 16)),
    **dict.fromkeys((5, 10, 12, 13, 14, 22), (32, 32)),
    7: (0, 0),
    16: (17, 1_040),
    17: (24, 24),
    18: (16, 16),
    19: (0, 0),
    20: (32, 32),
    23: (48, 48),
}
"""Fewest and most by namespace."""


class ProofMalformed(ValueError):
    """The bytes are no proof file; the message names the member."""

    reason: Final = "PROOF_MALFORMED"


@dataclass(frozen=True, slots=True)
class ProofFile:
    """A proof as it is handed over, well-formed and not yet judged."""

    genesis: bytes
    """Hash of the zone's genesis, 32 bytes."""
    namespace: int
    identifier: bytes
    value: bytes
    """The leaf; empty when the statement is that there is none."""
    state_proof: Proof
    header: bytes
    descendant_headers: tuple[bytes, ...]
    finalization: bytes
    epochs: tuple[Handover, ...]

    def to_bytes(self) -> bytes:
        """The file's bytes, in the form of RFC 8785."""
        document: dict[str, Any] = {
            "format": FORMAT,
            "genesis": self.genesis.hex(),
            "namespace": self.namespace,
            "identifier": self.identifier.hex(),
            "value": self.value.hex(),
            "state_proof": self.state_proof.to_dict(),
            "header": self.header.hex(),
            "descendant_headers": [header.hex() for header in self.descendant_headers],
            "finalization": self.finalization.hex(),
            "epochs": [
                {
                    "edge_header": step.edge_header.hex(),
                    "descendant_headers": [header.hex() for header in step.descendant_headers],
                    "finalization": step.finalization.hex(),
                    **_following(step),
                }
                for step in self.epochs
            ],
        }
        return jcs.canonicalize(document)


def _following(step: Handover) -> dict[str, str]:
    """The member that says who follows: a set, or what the organizations signed."""
    if step.recovery:
        return {"recovery": step.recovery.hex()}
    return {"next_validator_set": step.next_validator_set.hex()}


def from_response(response: GetProofResponse, genesis_hash: bytes, first_set: bytes) -> ProofFile:
    """The file of a ledger's answer.

    Args:
        response: a proof from genesis, or from the epoch of a checkpoint.
        genesis_hash: of the zone that was asked.
        first_set: validator set of that epoch, so that sets which stay the same are left out.

    Raises:
        ProofMalformed: the state proof is not one.
    """
    steps = []
    current = first_set
    for step in response.epochs:
        is_same = step.next_validator_set == current
        steps.append(
            Handover(
                step.edge_header,
                tuple(step.descendant_headers),
                step.finalization,
                b"" if is_same else step.next_validator_set,
                step.recovery,
            )
        )
        current = _set_after(step, current)
    try:
        state_proof = Proof.from_dict(json.loads(response.state_proof))
    except (InvalidProof, ValueError, RecursionError) as error:
        raise ProofMalformed(f"state_proof: {error}") from error
    return ProofFile(
        genesis=genesis_hash,
        namespace=response.namespace,
        identifier=response.identifier,
        value=response.value,
        state_proof=state_proof,
        header=response.header,
        descendant_headers=tuple(response.descendant_headers),
        finalization=response.finalization,
        epochs=tuple(steps),
    )


def _set_after(step: EpochStep, current: bytes) -> bytes:
    if not step.recovery:
        return step.next_validator_set or current
    try:
        return parse_recovery(step.recovery).validators.data
    except MalformedMessage as error:
        raise ProofMalformed(f"recovery: {error}") from error


def parse_proof_file(content: bytes) -> ProofFile:
    """Read a proof file.

    Raises:
        ProofMalformed: see docs/spec/proof.md, "The file".
    """
    if len(content) > FILE_BYTES_MAX:
        raise ProofMalformed(f"larger than {FILE_BYTES_MAX} bytes")
    try:
        document = json.loads(
            content.decode(),
            object_pairs_hook=_object,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except ProofMalformed:
        raise
    except (ValueError, RecursionError) as error:
        raise ProofMalformed(f"not JSON in UTF-8: {error}") from error
    members = _members(
        document,
        "",
        "format",
        "genesis",
        "namespace",
        "identifier",
        "value",
        "state_proof",
        "header",
        "descendant_headers",
        "finalization",
        "epochs",
    )
    if members["format"] != FORMAT:
        raise ProofMalformed(f"format: must be {FORMAT}")
    namespace = members["namespace"]
    if not isinstance(namespace, int) or isinstance(namespace, bool) or namespace not in _IDENTIFIER_BYTES:
        raise ProofMalformed("namespace: must be 1 to 25")
    try:
        state_proof = Proof.from_dict(members["state_proof"])
    except InvalidProof as error:
        raise ProofMalformed(f"state_proof: {error}") from error
    fewest, most = _IDENTIFIER_BYTES[namespace]
    budget = _Budget(DESCENDANTS_MAX)
    proof = ProofFile(
        genesis=_hex(members["genesis"], "genesis", 32, 32),
        namespace=namespace,
        identifier=_hex(members["identifier"], "identifier", fewest, most),
        value=_hex(members["value"], "value", 0, VALUE_BYTES_MAX),
        state_proof=state_proof,
        header=_hex(members["header"], "header", 1, HEADER_BYTES_MAX),
        descendant_headers=_headers(members["descendant_headers"], "descendant_headers", budget),
        finalization=_hex(members["finalization"], "finalization", 1, CERTIFICATE_BYTES_MAX),
        epochs=_epochs(members["epochs"], budget),
    )
    if proof.state_proof.to_dict() != members["state_proof"]:
        raise ProofMalformed("state_proof: not written in its one form")
    return proof


class _Budget:
    """What is left of a bound that several members share."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, count: int, place: str) -> None:
        self.left -= count
        if self.left < 0:
            raise ProofMalformed(f"{place}: more than {DESCENDANTS_MAX} descendant headers in the file")


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ProofMalformed(f"{name[:64]}: stands there twice")
        members[name] = value
    return members


def _refuse_number(text: str) -> object:
    raise ProofMalformed(f"{text[:40]}: only integers without fraction or exponent are allowed")


def _members(value: object, place: str, *names: str) -> Mapping[str, Any]:
    prefix = f"{place}." if place else ""
    if not isinstance(value, dict):
        raise ProofMalformed(f"{place or 'file'}: must be an object")
    for name in names:
        if name not in value:
            raise ProofMalformed(f"{prefix}{name}: is missing")
    for name in value:
        if name not in names:
            raise ProofMalformed(f"{prefix}{name[:64]}: is unknown")
    return value


def _hex(value: object, place: str, bytes_min: int, bytes_max: int) -> bytes:
    if not isinstance(value, str) or _HEX.fullmatch(value) is None:
        raise ProofMalformed(f"{place}: must be lower-case hex")
    if not bytes_min <= len(value) // 2 <= bytes_max:
        raise ProofMalformed(f"{place}: has {len(value) // 2} bytes, must have {bytes_min} to {bytes_max}")
    return bytes.fromhex(value)


def _headers(value: object, place: str, budget: _Budget) -> tuple[bytes, ...]:
    if not isinstance(value, list):
        raise ProofMalformed(f"{place}: must be an array")
    budget.take(len(value), place)
    return tuple(
        _hex(header, f"{place}[{position}]", 1, HEADER_BYTES_MAX) for position, header in enumerate(value)
    )


def _epochs(value: object, budget: _Budget) -> tuple[Handover, ...]:
    if not isinstance(value, list) or len(value) > EPOCHS_MAX:
        raise ProofMalformed(f"epochs: must be an array of at most {EPOCHS_MAX}")
    steps = []
    for position, item in enumerate(value):
        place = f"epochs[{position}]"
        is_recovery = isinstance(item, dict) and "recovery" in item
        following = "recovery" if is_recovery else "next_validator_set"
        members = _members(item, place, "edge_header", "descendant_headers", "finalization", following)
        bounds = (1, RECOVERY_BYTES_MAX) if is_recovery else (0, VALIDATOR_SET_BYTES_MAX)
        handed_over = _hex(members[following], f"{place}.{following}", *bounds)
        steps.append(
            Handover(
                _hex(members["edge_header"], f"{place}.edge_header", 1, HEADER_BYTES_MAX),
                _headers(members["descendant_headers"], f"{place}.descendant_headers", budget),
                _hex(members["finalization"], f"{place}.finalization", 1, CERTIFICATE_BYTES_MAX),
                b"" if is_recovery else handed_over,
                handed_over if is_recovery else b"",
            )
        )
    return tuple(steps)

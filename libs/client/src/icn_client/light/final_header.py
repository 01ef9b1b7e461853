"""What every proof file has in common: how it is written as JSON, and the header that it rests on.

Source: docs/spec/proof.md, "The file".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from icn_chain.certificate import CERTIFICATE_BYTES_MAX
from icn_chain.epochs import Handover
from icn_chain.header import HEADER_BYTES_MAX
from icn_chain.malformed import MalformedMessage
from icn_chain.recovery import RECOVERY_BYTES_MAX, parse_recovery
from icn_chain.validator_set import VALIDATOR_SET_BYTES_MAX

if TYPE_CHECKING:
    from icn.ledger.v1.service_pb2 import EpochStep

FILE_BYTES_MAX: Final = 64 * 1024 * 1024
"""4,096 epochs of a zone with 50 seats whose set never changes are 45 MB."""
EPOCHS_MAX: Final = 4_096
"""Eleven years of days; later ones start from a checkpoint."""
DESCENDANTS_MAX: Final = 10_000
"""In the whole file: a finalization covers two blocks under load, more only after an outage."""
FINAL_MEMBERS: Final = ("genesis", "header", "descendant_headers", "finalization", "epochs")
"""Members that every file has beside what it shows."""

_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*")


class ProofMalformed(ValueError):
    """The bytes are no proof file; the message names the member."""

    reason: Final = "PROOF_MALFORMED"


@dataclass(frozen=True, slots=True)
class FinalHeader:
    """A header as a file carries it, with what shows that it is final; not judged yet."""

    genesis: bytes
    """Hash of the zone's genesis, 32 bytes."""
    header: bytes
    descendant_headers: tuple[bytes, ...]
    finalization: bytes
    epochs: tuple[Handover, ...]

    def final_members(self) -> dict[str, Any]:
        """`FINAL_MEMBERS` as JSON has them."""
        return {
            "genesis": self.genesis.hex(),
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


def _following(step: Handover) -> dict[str, str]:
    """The member that says who follows: a set, or what the organizations signed."""
    if step.recovery:
        return {"recovery": step.recovery.hex()}
    return {"next_validator_set": step.next_validator_set.hex()}


class FinalityAnswer(Protocol):
    """The fields of a ledger's answer that say why a header is final."""

    @property
    def header(self) -> bytes:
        """Canonical bytes."""

    @property
    def descendant_headers(self) -> Iterable[bytes]:
        """From its child to the finalized one."""

    @property
    def finalization(self) -> bytes:
        """Certificate of the last one."""

    @property
    def epochs(self) -> Iterable[EpochStep]:
        """From where the caller's trust begins."""


def final_header_of(response: FinalityAnswer, genesis_hash: bytes, first_set: bytes) -> FinalHeader:
    """What a ledger's answer says of its header.

    Args:
        response: from genesis, or from the epoch of a checkpoint.
        genesis_hash: of the zone that was asked.
        first_set: validator set of that epoch, so that sets which stay the same are left out.

    Raises:
        ProofMalformed: a recovery certificate is none.
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
    return FinalHeader(
        genesis_hash,
        response.header,
        tuple(response.descendant_headers),
        response.finalization,
        tuple(steps),
    )


def _set_after(step: EpochStep, current: bytes) -> bytes:
    if not step.recovery:
        return step.next_validator_set or current
    try:
        return parse_recovery(step.recovery).validators.data
    except MalformedMessage as error:
        raise ProofMalformed(f"recovery: {error}") from error


def read_document(content: bytes) -> Any:
    """The JSON value of a file.

    Raises:
        ProofMalformed: too large, no JSON, a member twice, or a number that is no plain integer.
    """
    if len(content) > FILE_BYTES_MAX:
        raise ProofMalformed(f"larger than {FILE_BYTES_MAX} bytes")
    try:
        return json.loads(
            content.decode(),
            object_pairs_hook=_object,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except ProofMalformed:
        raise
    except (ValueError, RecursionError) as error:
        raise ProofMalformed(f"not JSON in UTF-8: {error}") from error


def read_final_header(members: Mapping[str, Any]) -> FinalHeader:
    """The members that `FINAL_MEMBERS` names. Raises ProofMalformed."""
    budget = _Budget(DESCENDANTS_MAX)
    return FinalHeader(
        genesis=read_hex(members["genesis"], "genesis", 32, 32),
        header=read_hex(members["header"], "header", 1, HEADER_BYTES_MAX),
        descendant_headers=_headers(members["descendant_headers"], "descendant_headers", budget),
        finalization=read_hex(members["finalization"], "finalization", 1, CERTIFICATE_BYTES_MAX),
        epochs=_epochs(members["epochs"], budget),
    )


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


def read_members(value: object, place: str, *names: str) -> Mapping[str, Any]:
    """The members of an object that has exactly these. Raises ProofMalformed."""
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


def read_hex(value: object, place: str, bytes_min: int, bytes_max: int) -> bytes:
    """The bytes of a member. Raises ProofMalformed."""
    if not isinstance(value, str) or _HEX.fullmatch(value) is None:
        raise ProofMalformed(f"{place}: must be lower-case hex")
    if not bytes_min <= len(value) // 2 <= bytes_max:
        raise ProofMalformed(f"{place}: has {len(value) // 2} bytes, must have {bytes_min} to {bytes_max}")
    return bytes.fromhex(value)


def read_integer(value: object, place: str, least: int, most: int) -> int:
    """A member that is a number. Raises ProofMalformed."""
    if type(value) is not int or not least <= value <= most:
        raise ProofMalformed(f"{place}: must be an integer from {least} to {most}")
    return value


def _headers(value: object, place: str, budget: _Budget) -> tuple[bytes, ...]:
    if not isinstance(value, list):
        raise ProofMalformed(f"{place}: must be an array")
    budget.take(len(value), place)
    return tuple(
        read_hex(header, f"{place}[{position}]", 1, HEADER_BYTES_MAX) for position, header in enumerate(value)
    )


def _epochs(value: object, budget: _Budget) -> tuple[Handover, ...]:
    if not isinstance(value, list) or len(value) > EPOCHS_MAX:
        raise ProofMalformed(f"epochs: must be an array of at most {EPOCHS_MAX}")
    steps = []
    for position, item in enumerate(value):
        place = f"epochs[{position}]"
        is_recovery = isinstance(item, dict) and "recovery" in item
        following = "recovery" if is_recovery else "next_validator_set"
        members = read_members(item, place, "edge_header", "descendant_headers", "finalization", following)
        bounds = (1, RECOVERY_BYTES_MAX) if is_recovery else (0, VALIDATOR_SET_BYTES_MAX)
        handed_over = read_hex(members[following], f"{place}.{following}", *bounds)
        steps.append(
            Handover(
                read_hex(members["edge_header"], f"{place}.edge_header", 1, HEADER_BYTES_MAX),
                _headers(members["descendant_headers"], f"{place}.descendant_headers", budget),
                read_hex(members["finalization"], f"{place}.finalization", 1, CERTIFICATE_BYTES_MAX),
                b"" if is_recovery else handed_over,
                handed_over if is_recovery else b"",
            )
        )
    return tuple(steps)

"""A final block that was checked before: where a light client may begin instead of at genesis, and what a
snapshot has to come by.

Source: docs/spec/proof.md, "Checkpoints".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from icn_crypto import jcs

from icn_chain.header import INTEGER_MAX
from icn_chain.malformed import MalformedMessage
from icn_chain.validator_set import VALIDATOR_SET_BYTES_MAX, ValidatorSet, parse_validator_set

FORMAT: Final = "icn/checkpoint/v1"
FILE_BYTES_MAX: Final = 1_048_576
"""The largest set is 524,288 digits."""
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*")
_NUMBERS: Final = ("epoch", "height", "time_ms")
_BYTES: Final = {
    "genesis": (32, 32),
    "block_hash": (32, 32),
    "validator_set": (1, VALIDATOR_SET_BYTES_MAX),
}


class CheckpointMalformed(ValueError):
    """The bytes are no checkpoint; the message names the member."""

    reason: Final = "CHECKPOINT_MALFORMED"


@dataclass(frozen=True)
class Checkpoint:
    """A final block and the validators of its epoch."""

    genesis: bytes
    """Hash of the zone's genesis, 32 bytes."""
    epoch: int
    height: int
    block_hash: bytes
    time_ms: int
    """Block time."""
    validator_set: bytes
    """Canonical bytes of the epoch's ``icn.consensus.v1.ValidatorSet``."""

    @cached_property
    def validators(self) -> ValidatorSet:
        """The seats of the epoch. Raises MalformedMessage."""
        return parse_validator_set(self.validator_set)

    def to_bytes(self) -> bytes:
        """The file's bytes, in the form of RFC 8785."""
        document = {"format": FORMAT} | {name: getattr(self, name) for name in _NUMBERS}
        return jcs.canonicalize(document | {name: getattr(self, name).hex() for name in _BYTES})


def parse_checkpoint(content: bytes) -> Checkpoint:
    """Read a checkpoint file.

    Raises:
        CheckpointMalformed: it is none.
    """
    if len(content) > FILE_BYTES_MAX:
        raise CheckpointMalformed(f"larger than {FILE_BYTES_MAX} bytes")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointMalformed(f"not JSON: {error}") from error
    if not isinstance(document, dict) or set(document) != {"format", *_NUMBERS, *_BYTES}:
        raise CheckpointMalformed(f"must have exactly the members format, {', '.join((*_NUMBERS, *_BYTES))}")
    if document["format"] != FORMAT:
        raise CheckpointMalformed(f"format: must be {FORMAT}")
    members: dict[str, Any] = {name: _number(document[name], name) for name in _NUMBERS}
    members |= {name: _bytes(document[name], name, *bounds) for name, bounds in _BYTES.items()}
    checkpoint = Checkpoint(**members)
    try:
        checkpoint.validators  # noqa: B018  # reads them
    except MalformedMessage as error:
        raise CheckpointMalformed(f"validator_set: {error}") from error
    return checkpoint


def _number(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= INTEGER_MAX:
        raise CheckpointMalformed(f"{name}: must be an integer from 0 to {INTEGER_MAX}")
    return value


def _bytes(value: object, name: str, bytes_min: int, bytes_max: int) -> bytes:
    if not isinstance(value, str) or _HEX.fullmatch(value) is None:
        raise CheckpointMalformed(f"{name}: must be lower-case hex")
    if not bytes_min <= len(value) // 2 <= bytes_max:
        raise CheckpointMalformed(
            f"{name}: has {len(value) // 2} bytes, must have {bytes_min} to {bytes_max}"
        )
    return bytes.fromhex(value)

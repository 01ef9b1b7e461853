"""Payloads of the write-ahead log: what this replica said and saw, so that it never contradicts itself.

Source: docs/spec/wal.md, "Payloads".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from icn_chain.malformed import MalformedMessage

PREFIX_BYTES: Final = 17
"""u8 kind ‖ u64be epoch ‖ u64be view."""


class RecordKind(IntEnum):
    """What a record holds; numbers as in docs/spec/wal.md."""

    PROPOSAL = 1
    NOTARIZE = 2
    NULLIFY = 3
    FINALIZE = 4
    CERTIFICATE = 5
    RECOVERY = 7


_KINDS: Final[Mapping[int, RecordKind]] = {int(kind): kind for kind in RecordKind}


@dataclass(frozen=True, slots=True)
class Record:
    """A decoded payload."""

    kind: RecordKind
    epoch: int
    view: int
    message: bytes
    """Canonical bytes of the Proposal, Vote, Certificate or RecoveryCertificate."""
    block: bytes = b""
    """With NOTARIZE: canonical bytes of the Block; empty when an own PROPOSAL record before it holds it."""


def encode_record(record: Record) -> bytes:
    """The payload: prefix ‖ u32be length of message ‖ message ‖ block."""
    return b"".join(
        (
            record.kind.to_bytes(1, "big"),
            record.epoch.to_bytes(8, "big"),
            record.view.to_bytes(8, "big"),
            len(record.message).to_bytes(4, "big"),
            record.message,
            record.block,
        )
    )


def decode_record(payload: bytes) -> Record:
    """Inverse of `encode_record`.

    Raises:
        MalformedMessage: too short, an unknown kind, or a block where none belongs.
    """
    if len(payload) < PREFIX_BYTES + 4:
        raise MalformedMessage(f"a record of {len(payload)} bytes")
    length = int.from_bytes(payload[PREFIX_BYTES : PREFIX_BYTES + 4], "big")
    start = PREFIX_BYTES + 4
    kind = _KINDS.get(payload[0])
    if kind is None or start + length > len(payload):
        raise MalformedMessage(f"a record of kind {payload[0]} and {len(payload)} bytes")
    block = payload[start + length :]
    if block and kind != RecordKind.NOTARIZE:
        raise MalformedMessage("only a notarize record holds a block")
    return Record(
        kind,
        int.from_bytes(payload[1:9], "big"),
        int.from_bytes(payload[9:17], "big"),
        payload[start : start + length],
        block,
    )

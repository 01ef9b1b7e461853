"""What the seats of the test zone sign."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from icn.consensus.v1.block_pb2 import VOTE_KIND_FINALIZE, BlockHeader, Certificate, SeatSignature
from icn_chain.certificate import vote_body
from icn_crypto import tags
from icn_crypto.hashing import preimage
from icn_crypto.suites import Suite

from libs.machine.tests.zone import SUITES, TestKey, Zone, block_hash

QUORUM = range(3)
GENESIS_KEYS: Final[Mapping[int, str]] = MappingProxyType({})


def certificate(
    zone: Zone,
    kind: int,
    header: bytes,
    seats: Sequence[int] = QUORUM,
    keys: Mapping[int, str] = GENESIS_KEYS,
) -> bytes:
    """What these seats have signed of a block; with the keys of genesis, but for ``keys``, by name."""
    fields = BlockHeader.FromString(header)
    version = fields.protocol_version
    body = vote_body(version, fields.epoch, fields.view, fields.height, block_hash(zone, header))
    tag = tags.FINALIZE if kind == VOTE_KIND_FINALIZE else tags.NOTARIZE
    signed = preimage(tag, zone.genesis.hash, body)
    return Certificate(
        kind=kind,  # type: ignore[arg-type]
        protocol_version=version,
        epoch=fields.epoch,
        view=fields.view,
        height=fields.height,
        block_hash=block_hash(zone, header),
        scheme=1,
        signatures=[
            SeatSignature(
                seat=seat,
                signature=TestKey(keys.get(seat, f"seat {seat}"), SUITES).signing[Suite.ED25519].sign(signed),
            )
            for seat in seats
        ],
    ).SerializeToString(deterministic=True)


def flips(data: bytes, *, every: int = 1, start: int = 0) -> Iterator[bytes]:
    """The same with one byte changed, for every so many bytes."""
    for at in range(start, len(data), every):
        yield data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]

"""Validators that said two things: proofs that tests bring to the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from icn.ledger.v1 import transaction_pb2 as pb
from icn_crypto import tags
from icn_crypto.equivocation import Statement, StatementKind, make
from icn_crypto.hashing import preimage
from icn_crypto.suites import Suite

from services.ledger.tests.conftest import SUITES, TestKey, Zone

SEAT = 2


def notarize(
    zone: Zone,
    name: str,
    *,
    seat: int = SEAT,
    epoch: int = 0,
    view: int = 9,
    key: TestKey | None = None,
) -> Statement:
    """A vote of the seat, signed with its key of genesis unless told otherwise."""
    body = (1).to_bytes(4, "big") + epoch.to_bytes(8, "big") + view.to_bytes(8, "big")
    body += (5).to_bytes(8, "big") + name.encode().ljust(32, b".")
    signing = (key or TestKey(f"seat {seat}", SUITES)).signing[Suite.ED25519]
    signature = signing.sign(preimage(tags.NOTARIZE, zone.genesis.hash, body))
    return Statement(StatementKind.NOTARIZE, body, signature)


def evidence(zone: Zone, *, claimed: int = SEAT, statements: Sequence[Statement] = (), **of: int) -> bytes:
    one, other = statements or [notarize(zone, name, **of) for name in ("one", "other")]
    return make(claimed, one, other).encode()


def record(data: bytes) -> pb.Message:
    return pb.Message(record_equivocation=pb.RecordEquivocation(evidence=data))

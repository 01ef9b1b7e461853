"""Validators that said two things, or proposed what is invalid: evidence that tests bring to the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from icn.ledger.v1 import transaction_pb2 as pb
from icn_chain.equivocation import Statement, make
from icn_crypto.suites import Suite
from icn_sim import lies

from libs.machine.tests.zone import SUITES, TestKey, Zone

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
    signing = (key or TestKey(f"seat {seat}", SUITES)).signing[Suite.ED25519]
    return lies.notarize(signing, zone.genesis.hash, name.encode().ljust(32, b"."), epoch=epoch, view=view)


def evidence(zone: Zone, *, claimed: int = SEAT, statements: Sequence[Statement] = (), **of: int) -> bytes:
    one, other = statements or [notarize(zone, name, **of) for name in ("one", "other")]
    return make(claimed, one, other).encode()


def record(data: bytes) -> pb.Message:
    return pb.Message(record_equivocation=pb.RecordEquivocation(evidence=data))


def invalid_proposal(zone: Zone, *, executed_height: int = 5, seat: int = SEAT, claimed: int = SEAT) -> bytes:
    """Of height 5: a proposal that says to have executed itself, unless told otherwise."""
    return lies.propose_executed(
        TestKey(f"seat {seat}", SUITES).signing[Suite.ED25519],
        zone.genesis,
        seat=claimed,
        view=4 * 3 + SEAT,
        parent_view=9,
        executed_height=executed_height,
    )

"""Validators that said two things, or proposed what is invalid: evidence that tests bring to the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from icn.ledger.v1 import transaction_pb2 as pb
from icn_chain.certificate import VoteKind
from icn_chain.equivocation import Statement, make
from icn_chain.header import build_header, proposal_body
from icn_chain.invalid_proposal import InvalidProposal, ProposalFault
from icn_chain.validator_set import parse_validator_set
from icn_crypto import tags
from icn_crypto.hashing import preimage
from icn_crypto.merkle_log import EMPTY_ROOT
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
    return Statement(VoteKind.NOTARIZE, body, signature)


def evidence(zone: Zone, *, claimed: int = SEAT, statements: Sequence[Statement] = (), **of: int) -> bytes:
    one, other = statements or [notarize(zone, name, **of) for name in ("one", "other")]
    return make(claimed, one, other).encode()


def record(data: bytes) -> pb.Message:
    return pb.Message(record_equivocation=pb.RecordEquivocation(evidence=data))


def invalid_proposal(zone: Zone, *, executed_height: int = 5, seat: int = SEAT, claimed: int = SEAT) -> bytes:
    """Of height 5: a proposal that says to have executed itself, unless told otherwise."""
    genesis = zone.genesis
    set_hash = parse_validator_set(genesis.validator_set).hash
    header = build_header(
        genesis.hash,
        protocol_version=1,
        height=5,
        view=4 * 3 + SEAT,
        parent=b"p" * 32,
        time_ms=genesis.time_ms + 500,
        transactions_root=EMPTY_ROOT,
        executed_height=executed_height,
        state_root=bytes(32),
        receipts_root=bytes(32),
        log_root=bytes(32),
        parent_certificate_digest=b"c" * 32,
        finalization_digest=b"f" * 32,
        epoch=0,
        validator_set_hash=set_hash,
        next_validator_set_hash=set_hash,
    )
    body = proposal_body(
        protocol_version=1, epoch=0, view=header.view, height=5, parent_view=9, block_hash=header.hash
    )
    signing = TestKey(f"seat {seat}", SUITES).signing[Suite.ED25519]
    signature = signing.sign(preimage(tags.PROPOSAL, genesis.hash, body))
    return InvalidProposal(
        claimed, ProposalFault.HEADER, 9, signature, header.data, (), 0, header.view
    ).encode()

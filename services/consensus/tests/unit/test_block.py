from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn.consensus.v1 import block_pb2
from icn_chain.block import Block, build_block, parse_block, transactions_root
from icn_chain.certificate import (
    CERTIFICATE_BYTES_MAX,
    VoteKind,
    build_certificate,
    certificate_digest,
    parse_certificate,
    peek_certificate,
)
from icn_chain.header import HEADER_BYTES_MAX, INTEGER_MAX, NO_HASH, BlockHeader, build_header, parse_header
from icn_chain.malformed import MalformedMessage
from icn_chain.recovery import finality_digest
from icn_consensus.domain.block import (
    VOTE_BYTES_MAX,
    body_of_vote,
    build_proposal,
    build_vote,
    parse_proposal,
    parse_vote,
)
from icn_crypto import tags
from icn_crypto.hashing import domain_hash, sha256
from icn_crypto.merkle_log import EMPTY_ROOT, leaf_hash, node_hash

GENESIS = sha256(b"genesis")
hashes = st.binary(min_size=32, max_size=32)
integers = st.integers(0, INTEGER_MAX)


def header(
    transactions: tuple[bytes, ...] = (), certificate: bytes = b"", finalization: bytes = b""
) -> BlockHeader:
    return build_header(
        GENESIS,
        protocol_version=1,
        height=7,
        view=9,
        parent=sha256(b"parent"),
        time_ms=1_800_000_000_000,
        transactions_root=transactions_root(transactions),
        executed_height=5,
        state_root=sha256(b"state"),
        receipts_root=EMPTY_ROOT,
        log_root=sha256(b"log"),
        parent_certificate_digest=certificate_digest(certificate),
        finalization_digest=certificate_digest(finalization),
        epoch=0,
        validator_set_hash=sha256(b"set"),
        next_validator_set_hash=sha256(b"set"),
    )


def block(transactions: tuple[bytes, ...] = (b"one", b"two")) -> Block:
    return build_block(header(transactions, b"certificate"), transactions, b"certificate", b"")


def parsed(data: bytes, bytes_max: int = 1 << 20, transactions_max: int = 100) -> Block:
    return parse_block(GENESIS, data, bytes_max=bytes_max, transactions_max=transactions_max)


def test_a_header_is_read_back_with_the_hash_of_its_bytes() -> None:
    original = header()
    assert parse_header(GENESIS, original.data) == original
    assert original.hash == domain_hash(tags.BLOCK, GENESIS, original.data)


def test_the_largest_header_fits_its_limit() -> None:
    largest = build_header(
        GENESIS,
        **{
            name: INTEGER_MAX
            if name in ("height", "view", "time_ms", "executed_height", "epoch")
            else sha256(b"x")
            for name in BlockHeader.__dataclass_fields__
            if name not in ("data", "hash", "protocol_version")
        },
        protocol_version=2**32 - 1,
    )
    assert len(largest.data) <= HEADER_BYTES_MAX
    assert parse_header(GENESIS, largest.data) == largest


@pytest.mark.parametrize("name", ["parent", "state_root", "finalization_digest", "next_validator_set_hash"])
@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_header_with_a_hash_of_another_length_is_refused(name: str, length: int) -> None:
    message = block_pb2.BlockHeader.FromString(header().data)
    setattr(message, name, bytes(length))
    with pytest.raises(MalformedMessage):
        parse_header(GENESIS, message.SerializeToString(deterministic=True))


def test_a_header_with_an_integer_beyond_63_bits_is_refused() -> None:
    message = block_pb2.BlockHeader.FromString(header().data)
    message.view = INTEGER_MAX + 1
    with pytest.raises(MalformedMessage):
        parse_header(GENESIS, message.SerializeToString(deterministic=True))


def test_a_block_is_read_back() -> None:
    original = block()
    assert parsed(original.data) == original
    assert original.header.transactions_root == node_hash(leaf_hash(b"one"), leaf_hash(b"two"))


def test_a_block_exactly_at_its_limits_is_read_and_one_beyond_is_not() -> None:
    original = block()
    assert parsed(original.data, bytes_max=len(original.data), transactions_max=2) == original
    with pytest.raises(MalformedMessage):
        parsed(original.data, bytes_max=len(original.data) - 1)
    with pytest.raises(MalformedMessage):
        parsed(original.data, transactions_max=1)


@pytest.mark.parametrize(
    "change",
    [
        lambda message: message.transactions.append(b"three"),
        lambda message: message.transactions.reverse(),
        lambda message: setattr(message, "parent_certificate", b"another"),
        lambda message: setattr(message, "finalization", b"another"),
        lambda message: setattr(message, "parent_certificate", b""),
    ],
)
def test_a_block_whose_body_is_not_its_headers_is_refused(change: Callable[[block_pb2.Block], None]) -> None:
    message = block_pb2.Block.FromString(block().data)
    change(message)
    with pytest.raises(MalformedMessage):
        parsed(message.SerializeToString(deterministic=True))


def test_a_block_with_a_certificate_beyond_its_limit_is_refused() -> None:
    for size, is_read in ((CERTIFICATE_BYTES_MAX, True), (CERTIFICATE_BYTES_MAX + 1, False)):
        certificate = bytes(size)
        data = build_block(header((), certificate), (), certificate, b"").data
        if is_read:
            assert parsed(data).parent_certificate == certificate
        else:
            with pytest.raises(MalformedMessage):
                parsed(data)


@given(
    kind=st.sampled_from(list(VoteKind)),
    epoch=integers,
    view=integers,
    height=st.integers(1, INTEGER_MAX),
    block_hash=hashes,
    seat=st.integers(0, 49),
)
def test_a_vote_is_read_back(
    kind: VoteKind, epoch: int, view: int, height: int, block_hash: bytes, seat: int
) -> None:
    names_block = kind != VoteKind.NULLIFY
    vote = build_vote(
        kind,
        protocol_version=1,
        epoch=epoch,
        view=view,
        height=height if names_block else 0,
        block_hash=block_hash if names_block else b"",
        seat=seat,
        signature=bytes(range(64)),
    )
    assert parse_vote(vote.data) == vote
    assert len(vote.data) <= VOTE_BYTES_MAX
    body = body_of_vote(vote)
    assert len(body) == 4 + 8 + 8 + 8 + 32
    assert body[-32:] == (block_hash if names_block else NO_HASH)


def vote_message(**changes: object) -> bytes:
    fields: dict[str, object] = {
        "kind": 1,
        "protocol_version": 1,
        "epoch": 1,
        "view": 2,
        "height": 3,
        "block_hash": bytes(31) + b"\1",
        "seat": 1,
        "signature": bytes(64),
    }
    return block_pb2.Vote(**{**fields, **changes}).SerializeToString(deterministic=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    [
        vote_message(kind=0),
        vote_message(kind=4),
        vote_message(kind=2),
        vote_message(kind=2, block_hash=b""),
        vote_message(height=0),
        vote_message(block_hash=bytes(31)),
        vote_message(block_hash=b""),
        vote_message(signature=bytes(63)),
        vote_message(signature=b""),
        vote_message(view=INTEGER_MAX + 1),
        vote_message() + b"\x7a\x00",
        vote_message()[:-1],
        vote_message() * 2,
        b"\xff",
        bytes(VOTE_BYTES_MAX + 1),
    ],
)
def test_a_malformed_vote_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_vote(data)


def certificate_message(seats: list[int], signature: bytes = bytes(64), **changes: object) -> bytes:
    fields: dict[str, object] = {
        "kind": 3,
        "protocol_version": 1,
        "view": 2,
        "height": 3,
        "block_hash": sha256(b"block"),
        "scheme": 1,
    }
    return block_pb2.Certificate(
        **{**fields, **changes},  # type: ignore[arg-type]
        signatures=[block_pb2.SeatSignature(seat=seat, signature=signature) for seat in seats],
    ).SerializeToString(deterministic=True)


def test_a_certificate_of_fifty_seats_is_read_back_and_fits() -> None:
    certificate = build_certificate(
        VoteKind.NOTARIZE,
        protocol_version=1,
        epoch=INTEGER_MAX,
        view=INTEGER_MAX,
        height=INTEGER_MAX,
        block_hash=sha256(b"block"),
        signatures={seat: bytes([seat]) * 64 for seat in reversed(range(50))},
    )
    assert parse_certificate(certificate.data) == certificate
    assert [seat for seat, _ in certificate.signatures] == list(range(50))
    assert len(certificate.data) <= CERTIFICATE_BYTES_MAX
    peek = peek_certificate(certificate.data)
    assert peek == (INTEGER_MAX, INTEGER_MAX, VoteKind.NOTARIZE, sha256(b"block"))


@pytest.mark.parametrize(
    "data",
    [
        certificate_message([0, 2, 1]),
        certificate_message([0, 1, 1]),
        certificate_message([0, 1, 2], signature=bytes(65)),
        certificate_message([0, 1, 2], scheme=2),
        certificate_message([0, 1, 2], scheme=0),
        certificate_message([0, 1, 2], kind=0),
        certificate_message([0, 1, 2], kind=2),
        certificate_message([0, 1, 2], height=INTEGER_MAX + 1),
        bytes(CERTIFICATE_BYTES_MAX + 1),
        b"\xff",
    ],
)
def test_a_malformed_certificate_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_certificate(data)


@pytest.mark.parametrize("data", [b"\xff", bytes(CERTIFICATE_BYTES_MAX + 1)])
def test_what_is_no_certificate_cannot_be_peeked_at(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        peek_certificate(data)


def test_a_proposal_is_read_back_and_needs_a_whole_signature() -> None:
    proposal = build_proposal(block(), 8, 1, bytes(64))
    bounds = {"bytes_max": len(proposal.block.data), "transactions_max": 2}
    assert parse_proposal(GENESIS, proposal.data, **bounds) == proposal
    with pytest.raises(MalformedMessage):
        parse_proposal(GENESIS, build_proposal(block(), 8, 1, bytes(63)).data, **bounds)
    with pytest.raises(MalformedMessage):
        parse_proposal(GENESIS, proposal.data[:-1], **bounds)


@given(data=st.binary(max_size=300))
def test_no_bytes_make_a_parser_raise_anything_else(data: bytes) -> None:
    for parse in (
        parse_vote,
        parse_certificate,
        peek_certificate,
        lambda item: parse_header(GENESIS, item),
        parsed,
        lambda item: parse_proposal(GENESIS, item, bytes_max=1_000, transactions_max=10),
    ):
        try:
            parse(data)
        except Exception as error:  # noqa: BLE001 - any other kind is what this test is about
            assert isinstance(error, MalformedMessage)


def test_a_block_is_read_back_with_the_recovery_certificate_that_begins_its_epoch() -> None:
    digest = finality_digest(GENESIS, b"", b"recovery")
    of_recovery = build_header(GENESIS, **{**fields_of(header()), "finalization_digest": digest})
    original = build_block(of_recovery, (), b"", b"", b"recovery")
    assert original.recovery == b"recovery"
    assert parsed(original.data) == original
    other = build_block(of_recovery, (), b"", b"", b"another")
    with pytest.raises(MalformedMessage, match=r"^the body is not the one that the header names$"):
        parsed(other.data)


@pytest.mark.parametrize(("certificate", "finalization"), [(b"certificate", b""), (b"", b"finalization")])
def test_what_ended_an_epoch_otherwise_has_no_place_beside_a_recovery(
    certificate: bytes, finalization: bytes
) -> None:
    digest = finality_digest(GENESIS, finalization, b"recovery")
    both = build_header(GENESIS, **{**fields_of(header((), certificate)), "finalization_digest": digest})
    data = build_block(both, (), certificate, finalization, b"recovery").data
    with pytest.raises(MalformedMessage, match=r"^a certificate of the epoch before beside what ended it$"):
        parsed(data)


def test_refusals_say_what_is_too_large() -> None:
    with pytest.raises(MalformedMessage, match=r"^2 transactions, at most 1$"):
        parsed(block().data, transactions_max=1)
    long = bytes(CERTIFICATE_BYTES_MAX + 1)
    with pytest.raises(MalformedMessage, match=f"^a certificate of more than {CERTIFICATE_BYTES_MAX} bytes$"):
        parsed(build_block(header((), long), (), long, b"").data)
    proposal = build_proposal(block(), INTEGER_MAX, 2, bytes(63))
    wrong = r"^a signature that is not of 64 bytes, or a parent view above 2\^63 - 1$"
    with pytest.raises(MalformedMessage, match=wrong):
        parse_proposal(GENESIS, proposal.data, bytes_max=1 << 20, transactions_max=100)
    highest = build_proposal(block(), INTEGER_MAX, 2, bytes(64))
    assert parse_proposal(GENESIS, highest.data, bytes_max=1 << 20, transactions_max=100) == highest


def fields_of(of: BlockHeader) -> dict[str, Any]:
    """What a header is built from."""
    return {item.name: getattr(of, item.name) for item in fields(of) if item.name not in ("data", "hash")}

"""Evidence of invalid proposals: each fault that can be shown, and nothing an honest leader signs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn.consensus.v1 import block_pb2
from icn.ledger.v1 import transaction_pb2 as pb
from icn_chain.certificate import VOTE_TAGS, VoteKind, build_certificate, certificate_digest, vote_body
from icn_chain.evidence import EVIDENCE_BYTES_MAX, parse
from icn_chain.grounds import Grounds
from icn_chain.header import BlockHeader, build_header, genesis_header, proposal_body
from icn_chain.invalid_proposal import InvalidProposal, ProposalFault, Proposed, find, leaf
from icn_chain.malformed import EvidenceInvalid
from icn_chain.validator_set import Validator, ValidatorSet
from icn_crypto import tags
from icn_crypto.hashing import domain_hash, preimage
from icn_crypto.merkle_log import EMPTY_ROOT, inclusion_proof, leaf_hash, tree_root
from icn_crypto.suites import SigningKey, Suite

EPOCH_MS = 1_000


@dataclass(frozen=True)
class Zone:
    """All that is asked of genesis here."""

    hash: bytes = b"g" * 32
    time_ms: int = 50_000

    def epoch_of(self, time_ms: int) -> int:
        return (time_ms - self.time_ms) // EPOCH_MS


ZONE = Zone()
KEYS = [SigningKey.from_seed(Suite.ED25519, bytes([seat]) * 32) for seat in range(9)]


def set_of(*keys: SigningKey) -> ValidatorSet:
    return ValidatorSet.of(
        Validator(key.public_key[:16], ((int(Suite.ED25519), key.public_key),)) for key in keys
    )


SETS = [set_of(*KEYS[:4]), set_of(*KEYS[1:5]), set_of(*KEYS[2:9])]
"""Any two have seats in common, in other places."""


def transaction(number: int, sequence: int = 1, size: int = 0) -> bytes:
    body = pb.TransactionBody(
        principal=number.to_bytes(16, "big"),
        sequence=sequence,
        messages=[pb.Message(anchor=pb.Anchor(digest=bytes(32), topic="a" * size))],
    )
    signed = pb.Transaction(
        body=body.SerializeToString(deterministic=True), signatures=[pb.Signature(suite=1, key_id=bytes(16))]
    )
    return signed.SerializeToString(deterministic=True)


def root_of(transactions: tuple[bytes, ...]) -> bytes:
    return tree_root([leaf_hash(one) for one in transactions]) if transactions else EMPTY_ROOT


@dataclass(frozen=True)
class Block:
    """A header with what it names, and what its leader signs beside it."""

    header: BlockHeader
    seats: ValidatorSet
    parent_view: int = 0
    parent_header: bytes = b""
    transactions: tuple[bytes, ...] = ()
    parent_certificate: bytes = b""
    finalization: bytes = b""

    def changed(self, **changes: Any) -> Block:
        """The same with other fields of block or header; digests and root follow."""
        own = {name: changes.pop(name) for name in ("parent_view", "seats") if name in changes}
        for name in ("transactions", "parent_certificate", "finalization"):
            if name in changes:
                own[name] = changes.pop(name)
        block = replace(self, **own)
        fields = {name: getattr(self.header, name) for name in HEADER_FIELDS}
        fields["transactions_root"] = root_of(block.transactions)
        fields["parent_certificate_digest"] = certificate_digest(block.parent_certificate)
        fields["finalization_digest"] = certificate_digest(block.finalization)
        return replace(block, header=build_header(ZONE.hash, **{**fields, **changes}))

    def proposed(self, seat: int | None = None, data: bytes | None = None) -> Proposed:
        """As its leader signs it."""
        header = self.header
        seat = self.seats.leader(header.view) if seat is None else seat
        block_hash = header.hash if data is None else domain_hash(tags.BLOCK, ZONE.hash, data)
        body = proposal_body(
            protocol_version=header.protocol_version,
            epoch=header.epoch,
            view=header.view,
            height=header.height,
            parent_view=self.parent_view,
            block_hash=block_hash,
        )
        signature = key_at(self.seats, seat).sign(preimage(tags.PROPOSAL, ZONE.hash, body))
        return Proposed(
            seat,
            self.parent_view,
            signature,
            data or header.data,
            self.transactions,
            self.parent_certificate,
            self.finalization,
            self.parent_header,
        )


HEADER_FIELDS = [name for name in BlockHeader.__dataclass_fields__ if name not in ("data", "hash")]


def key_at(seats: ValidatorSet, seat: int) -> SigningKey:
    return next(key for key in KEYS if key.public_key == seats.public_keys[seat])


def certify(kind: VoteKind, header: BlockHeader, seats: ValidatorSet, signers: int | None = None) -> bytes:
    body = vote_body(1, header.epoch, header.view, header.height, header.hash)
    signed = preimage(VOTE_TAGS[kind], ZONE.hash, body)
    count = seats.quorum if signers is None else signers
    return build_certificate(
        kind,
        protocol_version=1,
        epoch=header.epoch,
        view=header.view,
        height=header.height,
        block_hash=header.hash,
        signatures={seat: key_at(seats, seat).sign(signed) for seat in range(count)},
    ).data


GENESIS = genesis_header(
    ZONE.hash, protocol_version=1, time_ms=ZONE.time_ms, state_root=b"s" * 32, validator_set_hash=SETS[0].hash
)


@dataclass
class Chain:
    """Blocks as honest leaders make them, over epochs and changes of seats."""

    blocks: list[Block] = field(default_factory=lambda: [Block(GENESIS, SETS[0])])
    edge: Block | None = None

    def propose(self, draw: Callable[[int], int]) -> Block:
        """One more, on the newest; choices are drawn."""
        parent = self.blocks[-1]
        has_ended = self.edge is not None and draw(2) == 1
        if has_ended and self.edge is not None and self.edge is not parent:
            self.blocks[self.blocks.index(self.edge) + 1 :] = []  # what only carried votes is left behind
            finalized, parent = parent, self.edge
        else:
            finalized = parent
        header = parent.header
        time_ms = header.time_ms + 1 + draw(700)
        view = (finalized.header.view if has_ended else header.view) + 1 + draw(3)
        seats, epoch, executed, finalization = parent.seats, header.epoch, header.executed_height, b""
        if has_ended:
            seats = next(one for one in SETS if one.hash == header.next_validator_set_hash)
            epoch, executed = ZONE.epoch_of(header.time_ms), header.height
            finalization = certify(VoteKind.FINALIZE, finalized.header, parent.seats)
            self.edge = None
        elif header.height > header.executed_height and header.epoch == epoch and draw(2):
            at = header.executed_height + 1 + draw(header.height - header.executed_height)
            ancestor = next((one for one in self.blocks if one.header.height == at), None)
            if ancestor is not None and ancestor.header.epoch == epoch:
                executed = at
                finalization = certify(VoteKind.FINALIZE, ancestor.header, parent.seats)
        is_after_edge = self.edge is not None
        closes = ZONE.epoch_of(time_ms) > epoch
        following = header.next_validator_set_hash if is_after_edge else seats.hash
        if closes and not is_after_edge:
            following = SETS[draw(len(SETS))].hash
        transactions = tuple(transaction(number) for number in range(0 if is_after_edge else draw(6)))
        certificate = certify(VoteKind.NOTARIZE, header, parent.seats) if header.height else b""
        block = Block(header, seats, header.view, header.data).changed(
            transactions=transactions,
            parent_certificate=certificate,
            finalization=finalization,
            height=header.height + 1,
            view=view,
            parent=header.hash,
            time_ms=time_ms,
            executed_height=executed,
            epoch=epoch,
            validator_set_hash=seats.hash,
            next_validator_set_hash=following,
        )
        self.blocks.append(block)
        if closes and not is_after_edge:
            self.edge = block
        return block


@settings(max_examples=60)
@given(st.data())
def test_nothing_that_an_honest_leader_proposes_is_evidence(data: st.DataObject) -> None:
    chain = Chain()
    for _ in range(data.draw(st.integers(1, 12))):
        block = chain.propose(lambda below: data.draw(st.integers(0, below - 1)))
        proposed = block.proposed()
        for seats in SETS:  # who checks may know another set than the epoch's
            held = replace(proposed, seat=seats.seat_of(key_at(block.seats, proposed.seat).public_key))
            if held.seat >= 0:
                assert find(Grounds(ZONE, seats), held) is None, block.header


def two_transactions() -> Block:
    """Of view 6, on block 2, in epoch 0."""
    chain = Chain()
    for choices in ((100, 1, 0, 2), (100, 1, 0, 0), (100, 1, 1, 0, 2)):
        drawn = list(choices)
        chain.propose(lambda _, drawn=drawn: drawn.pop(0) if drawn else 0)
    block = chain.blocks[-1].changed(
        transactions=(transaction(1), transaction(2)), time_ms=chain.blocks[-1].header.time_ms
    )
    assert block.header.epoch == 0 and block.header.height == 3 and block.finalization
    return block


GOOD = two_transactions()


def with_wrong_signature(certificate: bytes) -> bytes:
    message = block_pb2.Certificate.FromString(certificate)
    message.signatures[1].signature = message.signatures[0].signature
    return message.SerializeToString(deterministic=True)


def with_few_signatures(certificate: bytes) -> bytes:
    message = block_pb2.Certificate.FromString(certificate)
    del message.signatures[2:]
    return message.SerializeToString(deterministic=True)


H = GOOD.header
INVALID: dict[str, tuple[Block, ProposalFault]] = {
    "height 0": (GOOD.changed(height=0), ProposalFault.HEADER),
    "view of the parent": (GOOD.changed(parent_view=H.view), ProposalFault.HEADER),
    "before genesis": (GOOD.changed(time_ms=ZONE.time_ms + 2), ProposalFault.HEADER),
    "executed itself": (GOOD.changed(executed_height=3), ProposalFault.HEADER),
    "another set next": (GOOD.changed(next_validator_set_hash=SETS[1].hash), ProposalFault.HEADER),
    "a parent view below its height": (GOOD.changed(parent_view=1), ProposalFault.HEADER),
    "height skipped": (GOOD.changed(height=4, parent_view=4, view=8), ProposalFault.PARENT),
    "time of the parent": (GOOD.changed(time_ms=H.time_ms - 101), ProposalFault.PARENT),
    "another set": (
        GOOD.changed(validator_set_hash=SETS[1].hash, next_validator_set_hash=SETS[1].hash),
        ProposalFault.PARENT,
    ),
    "another epoch": (GOOD.changed(epoch=1, time_ms=ZONE.time_ms + EPOCH_MS), ProposalFault.PARENT),
    "executed without finalization": (GOOD.changed(finalization=b""), ProposalFault.PARENT),
    "parent certificate with a wrong signature": (
        GOOD.changed(parent_certificate=with_wrong_signature(GOOD.parent_certificate)),
        ProposalFault.PARENT_CERTIFICATE,
    ),
    "parent certificate of two": (
        GOOD.changed(parent_certificate=with_few_signatures(GOOD.parent_certificate)),
        ProposalFault.PARENT_CERTIFICATE,
    ),
    "finalization as parent certificate": (
        GOOD.changed(parent_certificate=GOOD.finalization),
        ProposalFault.PARENT_CERTIFICATE,
    ),
    "garbage as parent certificate": (
        GOOD.changed(parent_certificate=b"\xff"),
        ProposalFault.PARENT_CERTIFICATE,
    ),
    "finalization with a wrong signature": (
        GOOD.changed(finalization=with_wrong_signature(GOOD.finalization)),
        ProposalFault.FINALIZATION,
    ),
    "notarization as finalization": (
        GOOD.changed(finalization=GOOD.parent_certificate),
        ProposalFault.FINALIZATION,
    ),
    "no transaction": (GOOD.changed(transactions=(*GOOD.transactions, b"none")), ProposalFault.TRANSACTION),
    "an unsigned transaction": (
        GOOD.changed(transactions=(pb.Transaction(body=pb.Transaction.FromString(transaction(3)).body)
                                   .SerializeToString(), transaction(1))),
        ProposalFault.TRANSACTION,
    ),
    "one transaction twice": (
        GOOD.changed(transactions=(*GOOD.transactions, transaction(1))),
        ProposalFault.ONE_SEQUENCE_TWICE,
    ),
    "one sequence twice": (
        GOOD.changed(transactions=(*GOOD.transactions, transaction(2, size=9))),
        ProposalFault.ONE_SEQUENCE_TWICE,
    ),
}  # fmt: skip


def held(block: Block, grounds: Grounds | None = None) -> InvalidProposal | None:
    return find(grounds or Grounds(ZONE, SETS[0]), block.proposed())


def test_the_proposal_that_the_others_are_made_of_is_honest() -> None:
    assert held(GOOD) is None


@pytest.mark.parametrize("name", INVALID)
def test_what_no_honest_leader_signs_is_shown_to_others_by(name: str) -> None:
    block, fault = INVALID[name]
    made = held(block)
    assert made is not None and made.fault is fault
    data = made.encode()
    proof = parse(data)
    assert proof == made and proof.encode() == data and len(data) <= EVIDENCE_BYTES_MAX
    assert (proof.epoch, proof.view, proof.seat) == (block.header.epoch, block.header.view, made.seat)
    assert proof.check(Grounds(ZONE, SETS[0]))


@pytest.mark.parametrize("name", INVALID)
def test_a_changed_byte_shows_nothing_else(name: str) -> None:
    block, fault = INVALID[name]
    made = held(block)
    assert made is not None
    data, grounds = made.encode(), Grounds(ZONE, SETS[0])
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        try:
            proof = parse(bytes(changed))
            proof.check(grounds)
        except EvidenceInvalid:
            continue
        # Which signature, or which place in a tree of what size, is all that may be said otherwise.
        assert isinstance(proof, InvalidProposal)
        assert (proof.seat, proof.signature, proof.header) == (made.seat, made.signature, made.header)
        assert proof.fault is fault, at
        assert at >= len(data) - sum(4 + len(exhibit) for exhibit in made.exhibits)


def test_only_the_seats_key_has_signed_and_only_for_this_zone() -> None:
    made = held(INVALID["executed itself"][0])
    assert made is not None
    others = set_of(KEYS[8], KEYS[7], KEYS[6], KEYS[5])
    for grounds in (Grounds(ZONE, others), Grounds(Zone(b"h" * 32), SETS[0])):
        with pytest.raises(EvidenceInvalid):
            made.check(grounds)
    with pytest.raises(EvidenceInvalid, match="seat 4 of 4"):
        replace(made, seat=4).check(Grounds(ZONE, SETS[0]))


def test_a_proposal_out_of_turn_is_shown_only_by_the_set_that_it_names() -> None:
    wrong = (GOOD.seats.leader(H.view) + 1) % 4
    made = find(Grounds(ZONE, SETS[0]), GOOD.proposed(wrong))
    assert made is not None and made.fault is ProposalFault.HEADER
    for seats in SETS[1:]:
        seat = seats.seat_of(key_at(SETS[0], wrong).public_key)
        if seat >= 0:
            with pytest.raises(EvidenceInvalid, match="names another set"):
                replace(made, seat=seat).check(Grounds(ZONE, seats))


def test_what_a_leader_signed_in_place_of_a_header() -> None:
    grounds = Grounds(ZONE, SETS[0])
    for data in (
        block_pb2.BlockHeader(**{**header_values(), "state_root": bytes(31)}).SerializeToString(),
        H.data + b"\x7a\x00",
        H.data + bytes([0xF8, 0x07]) + b"\x01",
        H.data[:-34] + b"",
    ):
        made = find(grounds, GOOD.proposed(data=data))
        assert made is not None and made.fault is ProposalFault.HEADER, data
        assert parse(made.encode()).check(grounds)
    unreadable = GOOD.proposed(data=b"\xff\xff")
    assert find(grounds, unreadable) is None, "nobody knows what was signed"


def header_values() -> dict[str, Any]:
    return {name: getattr(H, name) for name in HEADER_FIELDS}


def test_other_rules_are_judged_by_those_who_know_them() -> None:
    assert held(GOOD.changed(protocol_version=2, executed_height=3)) is None


def test_a_block_that_may_carry_a_recovery_is_held_to_nothing_but_its_header() -> None:
    first = GOOD.changed(parent_certificate=b"", finalization=b"of another sort", epoch=9, parent_view=0)
    assert held(first) is None
    made = held(first.changed(executed_height=3))
    assert made is not None and made.fault is ProposalFault.HEADER


def test_one_leaf_is_not_two_because_trees_of_two_sizes_have_it_in_two_places() -> None:
    block = GOOD.changed(transactions=tuple(transaction(number) for number in range(3)))
    proposed, last = block.proposed(), block.transactions[2]
    path = inclusion_proof([leaf_hash(one) for one in block.transactions], 2)
    assert len(path) == 1, "the last of three has the same way as the last of two"
    places = [index.to_bytes(4, "big") + size.to_bytes(4, "big") for index, size in ((1, 2), (2, 3))]
    exhibits = tuple(b"".join((place, b"\x01", *path, last)) for place in places)
    made = InvalidProposal(
        proposed.seat,
        ProposalFault.ONE_SEQUENCE_TWICE,
        proposed.parent_view,
        proposed.signature,
        proposed.header,
        exhibits,
        block.header.epoch,
        block.header.view,
    )
    with pytest.raises(EvidenceInvalid, match="not two places"):
        made.check(Grounds(ZONE, SETS[0]))
    for index in range(3):
        shown = replace(made, fault=ProposalFault.TRANSACTION, exhibits=(leaf(block.transactions, index),))
        with pytest.raises(EvidenceInvalid, match="an honest validator may"):
            shown.check(Grounds(ZONE, SETS[0]))


def test_what_is_too_large_to_be_shown_is_left_out_for_what_is_not() -> None:
    large = b"\xff" * 70_000
    assert held(GOOD.changed(transactions=(large,))) is None
    made = held(GOOD.changed(transactions=(large, b"\xff" * 9)))
    assert made is not None and made.exhibits[0].endswith(b"\xff" * 9)
    biggest = held(GOOD.changed(transactions=tuple(b"\xff" * 55_296 for _ in range(3))))
    assert biggest is not None and len(biggest.encode()) <= EVIDENCE_BYTES_MAX


def test_a_certificate_that_the_header_does_not_name_shows_nothing() -> None:
    made = held(INVALID["parent certificate of two"][0])
    assert made is not None
    for exhibit in (bytes(4) + GOOD.parent_certificate, bytes(4), b"", made.exhibits[0] + b"\0"):
        with pytest.raises(EvidenceInvalid):
            replace(made, exhibits=(exhibit,)).check(Grounds(ZONE, SETS[0]))


@given(st.binary(max_size=200), st.integers(0, 6))
def test_garbage_is_refused(data: bytes, fault: int) -> None:
    for content in (data, bytes([0, 0, 0, 1, 4, fault]) + data):
        try:
            proof = parse(content)
        except EvidenceInvalid:
            continue
        with pytest.raises(EvidenceInvalid):
            proof.check(Grounds(ZONE, SETS[0]))


def test_more_bytes_than_fit_are_not_read() -> None:
    with pytest.raises(EvidenceInvalid, match="at most"):
        parse(bytes(4) + b"\x04" + bytes(EVIDENCE_BYTES_MAX))

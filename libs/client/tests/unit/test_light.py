"""What the light client accepts, and everything it must not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn.consensus.v1.block_pb2 import VOTE_KIND_NOTARIZE, BlockHeader, Certificate
from icn.ledger.v1.service_pb2 import EpochStep, GetProofResponse
from icn.ledger.v1.state_pb2 import (
    BallotLeaf,
    ConsensusKeyLeaf,
    DecisionLeaf,
    DutyLeaf,
    EquivocationLeaf,
    MembershipLeaf,
    PollLeaf,
    ValidatorsLeaf,
)
from icn_chain.epochs import Handover, ProofInvalid
from icn_chain.equivocation import make
from icn_chain.malformed import EvidenceInvalid
from icn_client.evidence import check
from icn_client.light.leaves import read_statement
from icn_client.light.proof_file import (
    ProofFile,
    ProofMalformed,
    from_response,
    parse_proof_file,
)
from icn_client.light.verify import verdict, verify_proof
from icn_crypto.suites import Suite
from icn_sim.lies import notarize

HEADER_TIME_MS = 1_700_000_000_000 + 4 * 86_400_000 + 2_000


def reason_of(proof: ProofFile, zone: Any) -> str:
    with pytest.raises(ProofInvalid) as refused:
        verify_proof(proof, zone.genesis)
    return refused.value.reason


def test_a_balance_is_proven_from_genesis_over_two_epochs(handed_over: ProofFile, zone: Any) -> None:
    found = verdict(handed_over.to_bytes(), zone.genesis, HEADER_TIME_MS + 7_999)
    assert found == {
        "valid": True,
        "statement": {
            "kind": "account",
            "account": "05" * 16,
            "owner": b"o".hex() * 16,
            "unit": b"u".hex() * 16,
            "balance_minor": "500",
            "held_minor": "0",
            "floor_minor": "-50000",
            "given_minor": "0",
            "entries": "0",
            "entries_hash": "",
            "payer": "",
            "terms": None,
        },
        "height": 5,
        "trust": "genesis",
        "profile": "hosted",
        "age_seconds": 7,
        "epochs": 2,
    }


def test_a_clock_behind_the_block_time_gives_age_zero(handed_over: ProofFile, zone: Any) -> None:
    assert verdict(handed_over.to_bytes(), zone.genesis, 0)["age_seconds"] == 0


def test_absence_is_a_statement_too(proof_of: Callable[[bytes], ProofFile], zone: Any) -> None:
    found = verdict(proof_of(b"n" * 16).to_bytes(), zone.genesis, 0)
    assert found["valid"]
    assert found["statement"] == {"kind": "account", "id": b"n".hex() * 16, "is_absent": True}


def test_absence_of_an_account_that_is_there_is_refused(handed_over: ProofFile, zone: Any) -> None:
    assert reason_of(replace(handed_over, value=b""), zone) == "STATE_PROOF_INVALID"


def test_another_zone_s_proof_is_refused(handed_over: ProofFile, zone: Any) -> None:
    assert reason_of(replace(handed_over, genesis=bytes(32)), zone) == "WRONG_ZONE"


def test_another_account_s_leaf_is_refused(
    handed_over: ProofFile, proof_of: Callable[[bytes], ProofFile], zone: Any
) -> None:
    other = proof_of(bytes([6]) * 16)
    assert reason_of(replace(handed_over, value=other.value), zone) == "LEAF_MISMATCH"
    assert reason_of(replace(handed_over, state_proof=other.state_proof), zone) == "STATE_PROOF_INVALID"


def test_a_quorum_less_one_does_not_finalize(handed_over: ProofFile, zone: Any) -> None:
    step = handed_over.epochs[0]
    after = step.descendant_headers[-1]
    for seats, expected in (((0, 1), "CERTIFICATE_INVALID"), ((0, 1, 2, 3), None)):
        changed = replace(step, finalization=zone.certificate(after, seats=seats))
        proof = replace(handed_over, epochs=(changed, handed_over.epochs[1]))
        if expected is None:
            verify_proof(proof, zone.genesis)
        else:
            assert reason_of(proof, zone) == expected


def test_one_bad_signature_beside_a_quorum_of_good_ones_is_refused(handed_over: ProofFile, zone: Any) -> None:
    step = handed_over.epochs[0]
    certificate = Certificate.FromString(zone.certificate(step.descendant_headers[-1], seats=(0, 1, 2, 3)))
    certificate.signatures[3].signature = bytes(64)
    changed = replace(step, finalization=certificate.SerializeToString(deterministic=True))
    assert (
        reason_of(replace(handed_over, epochs=(changed, handed_over.epochs[1])), zone)
        == "CERTIFICATE_INVALID"
    )


@pytest.mark.parametrize("seats", [(0, 0, 1), (2, 1, 0)])
def test_seats_that_repeat_or_descend_are_refused(
    handed_over: ProofFile, zone: Any, seats: tuple[int, ...]
) -> None:
    step = handed_over.epochs[0]
    changed = replace(step, finalization=zone.certificate(step.descendant_headers[-1], seats=seats))
    assert (
        reason_of(replace(handed_over, epochs=(changed, handed_over.epochs[1])), zone)
        == "CERTIFICATE_INVALID"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"kind": VOTE_KIND_NOTARIZE},
        {"view": 99},
        {"height": 99},
        {"epoch": 1},
        {"scheme": 2},
        {"protocol_version": 2},
        {"block_hash": bytes(32)},
    ],
)
def test_a_certificate_of_something_else_is_refused(
    handed_over: ProofFile, zone: Any, change: dict[str, Any]
) -> None:
    step = handed_over.epochs[0]
    changed = replace(step, finalization=zone.certificate(step.descendant_headers[-1], **change))
    assert (
        reason_of(replace(handed_over, epochs=(changed, handed_over.epochs[1])), zone)
        == "CERTIFICATE_INVALID"
    )


def test_the_old_set_cannot_speak_for_the_new_epoch(handed_over: ProofFile, zone: Any) -> None:
    last = handed_over.descendant_headers[-1]
    proof = replace(handed_over, finalization=zone.certificate(last))
    assert reason_of(proof, zone) == "CERTIFICATE_INVALID"


def test_a_step_cannot_be_left_out_or_repeated(handed_over: ProofFile, zone: Any) -> None:
    first, second = handed_over.epochs
    assert reason_of(replace(handed_over, epochs=(first,)), zone) == "HEADER_CHAIN_INVALID"
    assert reason_of(replace(handed_over, epochs=(second,)), zone) == "EPOCH_STEP_INVALID"
    assert reason_of(replace(handed_over, epochs=(first, first, second)), zone) == "EPOCH_STEP_INVALID"


def test_a_header_within_its_epoch_is_no_edge(handed_over: ProofFile, zone: Any) -> None:
    within = make_step(zone, handed_over, time_ms=1_700_000_000_000 + 86_400_000 - 1)
    at_the_end = make_step(zone, handed_over, time_ms=1_700_000_000_000 + 86_400_000)
    assert reason_of(replace(handed_over, epochs=(within,)), zone) == "EPOCH_STEP_INVALID"
    assert reason_of(replace(handed_over, epochs=(at_the_end,)), zone) == "HEADER_CHAIN_INVALID", (
        "one step too few"
    )


def make_step(zone: Any, proof: ProofFile, time_ms: int) -> Handover:
    header = BlockHeader.FromString(proof.epochs[0].edge_header)
    header.time_ms = time_ms
    data = header.SerializeToString(deterministic=True)
    return Handover(data, (), zone.certificate(data), b"")


def test_the_next_set_must_be_the_one_that_the_edge_names(handed_over: ProofFile, zone: Any) -> None:
    first, second = handed_over.epochs
    same = replace(second, next_validator_set=b"")
    other = replace(second, next_validator_set=zone.validator_set)
    written_out = replace(first, next_validator_set=zone.validator_set)
    assert reason_of(replace(handed_over, epochs=(first, same)), zone) == "VALIDATOR_SET_MISMATCH"
    assert reason_of(replace(handed_over, epochs=(first, other)), zone) == "VALIDATOR_SET_MISMATCH"
    assert reason_of(replace(handed_over, epochs=(written_out, second)), zone) == "PROOF_MALFORMED"


def test_headers_that_are_no_chain_are_refused(handed_over: ProofFile, zone: Any) -> None:
    first, second = handed_over.descendant_headers
    assert reason_of(replace(handed_over, descendant_headers=(second,)), zone) == "HEADER_CHAIN_INVALID"
    assert reason_of(replace(handed_over, descendant_headers=(second, first)), zone) == "HEADER_CHAIN_INVALID"
    step = handed_over.epochs[0]
    swapped: Handover = replace(step, edge_header=handed_over.epochs[1].edge_header)
    assert (
        reason_of(replace(handed_over, epochs=(swapped, handed_over.epochs[1])), zone) == "EPOCH_STEP_INVALID"
    )


FLIPPED = 400


def test_no_flipped_byte_of_the_file_passes(handed_over: ProofFile, zone: Any) -> None:
    content = handed_over.to_bytes()

    @settings(max_examples=FLIPPED)
    @given(st.integers(0, len(content) - 1), st.integers(1, 255))
    def flip(position: int, mask: int) -> None:
        changed = bytearray(content)
        changed[position] ^= mask
        found = verdict(bytes(changed), zone.genesis, HEADER_TIME_MS)
        assert found["valid"] is False
        assert found["reason"] and found["message"]
        assert found["statement"] is None and found["height"] is None

    flip()


def test_no_flipped_bit_of_what_the_file_carries_passes(handed_over: ProofFile, zone: Any) -> None:
    document = json.loads(handed_over.to_bytes())
    places = [
        (holder, name)
        for holder in (document, *document["epochs"])
        for name in (
            "value",
            "header",
            "finalization",
            "edge_header",
            "next_validator_set",
            "genesis",
            "identifier",
        )
        if holder.get(name)
    ]

    @settings(max_examples=FLIPPED)
    @given(st.sampled_from(range(len(places))), st.data())
    def flip(which: int, data: st.DataObject) -> None:
        holder, name = places[which]
        original = holder[name]
        raw = bytearray.fromhex(original)
        bit = data.draw(st.integers(0, 8 * len(raw) - 1))
        raw[bit // 8] ^= 1 << bit % 8
        holder[name] = raw.hex()
        try:
            assert verdict(json.dumps(document).encode(), zone.genesis, 0)["valid"] is False
        finally:
            holder[name] = original

    flip()


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_garbage_is_malformed_and_never_raises(content: bytes) -> None:
    with pytest.raises(ProofMalformed):
        parse_proof_file(content)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("format", "icn/proof/v2"),
        ("namespace", 26),
        ("namespace", True),
        ("namespace", "3"),
        ("genesis", "00"),
        ("identifier", "00"),
        ("value", "0"),
        ("value", "AB"),
        ("value", None),
        ("header", ""),
        ("header", "00" * 1025),
        ("finalization", "00" * 8193),
        ("descendant_headers", {}),
        ("descendant_headers", ["00"] * 10_001),
        ("epochs", [{}]),
        ("epochs", [[]]),
        ("state_proof", {"siblings": []}),
    ],
)
def test_a_member_out_of_form_is_named(handed_over: ProofFile, member: str, value: object) -> None:
    document = json.loads(handed_over.to_bytes())
    document[member] = value
    with pytest.raises(ProofMalformed, match=member):
        parse_proof_file(json.dumps(document).encode())


def test_missing_unknown_and_repeated_members_are_refused(handed_over: ProofFile) -> None:
    document = json.loads(handed_over.to_bytes())
    for name in document:
        without = {key: value for key, value in document.items() if key != name}
        with pytest.raises(ProofMalformed, match=name):
            parse_proof_file(json.dumps(without).encode())
    with pytest.raises(ProofMalformed, match="memo"):
        parse_proof_file(json.dumps({**document, "memo": ""}).encode())
    with pytest.raises(ProofMalformed, match="twice"):
        parse_proof_file(handed_over.to_bytes().replace(b"{", b'{"value":"",', 1))


def test_a_file_survives_the_round_trip(handed_over: ProofFile) -> None:
    assert parse_proof_file(handed_over.to_bytes()) == handed_over
    pretty = json.dumps(json.loads(handed_over.to_bytes()), indent=2).encode()
    assert parse_proof_file(pretty) == handed_over


@pytest.mark.parametrize(
    ("namespace", "identifier", "leaf", "kind"),
    [
        (10, b"o" * 16 + b"m" * 16, MembershipLeaf(organization=b"o" * 16, member=b"m" * 16), "membership"),
        (11, b"p" * 16, PollLeaf(poll=b"p" * 16, result=bytes(32)), "poll"),
        (12, b"p" * 16 + b"v" * 16, BallotLeaf(poll=b"p" * 16, voter=b"v" * 16), "ballot"),
        (17, b"o" * 16 + bytes(7) + b"\x02", DutyLeaf(organization=b"o" * 16, epoch=2), "duty"),
        (18, bytes(7) + b"\x02" + bytes(7) + b"\x03", EquivocationLeaf(epoch=2, seat=3), "equivocation"),
    ],
)
def test_a_leaf_is_what_its_identifier_says(namespace: int, identifier: bytes, leaf: Any, kind: str) -> None:
    value = leaf.SerializeToString(deterministic=True)
    assert read_statement(namespace, identifier, value)["kind"] == kind
    with pytest.raises(ProofInvalid) as refused:
        read_statement(namespace, bytes(len(identifier)), value)
    assert refused.value.reason == "LEAF_MISMATCH"


def test_a_decision_is_named_by_the_hash_that_proves_it() -> None:
    value = DecisionLeaf(authority=b"f" * 16, members=4).SerializeToString(deterministic=True)
    assert read_statement(13, b"d" * 32, value)["id"] == (b"d" * 32).hex()


def test_who_validates_and_a_consensus_key_are_named_by_what_proves_them() -> None:
    value = ValidatorsLeaf(validator_set_hash=b"h" * 32, since_epoch=3).SerializeToString(deterministic=True)
    said = read_statement(19, b"", value)
    assert (said["kind"], said["since_epoch"]) == ("validators", "3") and "id" not in said
    value = ConsensusKeyLeaf(organization=b"o" * 16).SerializeToString(deterministic=True)
    assert read_statement(20, b"k" * 32, value)["id"] == (b"k" * 32).hex()
    assert read_statement(20, b"k" * 32, b"")["is_absent"]


def test_the_seats_of_every_epoch_follow_from_the_steps(zone: Any, handed_over: ProofFile) -> None:
    sets = verify_proof(handed_over, zone.genesis).sets
    assert [one.epoch for one in sets] == [0, 1, 4]
    first, second, third = (one.validators for one in sets)
    assert first == second and third.public_keys[1:] == first.public_keys[1:]
    assert third.public_keys[0] != first.public_keys[0]
    assert all(one.organizations == [bytes([seat + 1]) * 16 for seat in range(4)] for one in (first, third))


def test_an_equivocation_is_held_against_the_key_that_the_seat_had_in_its_epoch(
    zone: Any, handed_over: ProofFile
) -> None:
    sets = verify_proof(handed_over, zone.genesis).sets

    def proof(epoch: int, seat: int) -> bytes:
        key = zone.consensus_keys[seat][Suite.ED25519]
        said = (notarize(key, zone.genesis.hash, name * 32, epoch=epoch, view=5) for name in (b"a", b"b"))
        return make(seat, *said).encode()

    for epoch in (0, 1, 3):
        assert check(proof(epoch, 0), zone.genesis, sets).epoch == epoch
    assert check(proof(9, 1), zone.genesis, sets).seat == 1, "seat 1 has the key of genesis for ever"
    for known in ((), sets[:2]):
        assert check(proof(4, 0), zone.genesis, known), "what is not known yet is as before"
    with pytest.raises(EvidenceInvalid, match="epoch 4"):
        check(proof(4, 0), zone.genesis, sets)


def test_an_answer_may_leave_sets_out_that_stay_the_same_or_write_them_out(
    zone: Any, handed_over: ProofFile
) -> None:
    changed = handed_over.epochs[1].next_validator_set

    def answer(*sets: bytes) -> list[bytes]:
        steps = [EpochStep(edge_header=b"h", finalization=b"f", next_validator_set=one) for one in sets]
        response = GetProofResponse(state_proof=json.dumps(handed_over.state_proof.to_dict()), epochs=steps)
        read = from_response(response, zone.genesis.hash, zone.validator_set)
        return [step.next_validator_set for step in read.epochs]

    expected = [b"", changed, b"", b"", zone.validator_set]
    assert answer(b"", changed, b"", b"", zone.validator_set) == expected
    assert answer(zone.validator_set, changed, b"", changed, zone.validator_set) == expected

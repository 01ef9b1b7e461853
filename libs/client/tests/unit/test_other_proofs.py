"""Receipts, entries and exports: what the light client accepts of them, and everything it must not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn.ledger.v1 import service_pb2 as pb
from icn.ledger.v1 import state_pb2 as state
from icn_chain.epochs import ProofInvalid, read_header
from icn_client.light.entry_proof import ENTRIES_MAX, EntryProof
from icn_client.light.exporting import NotExportable, to_ics23
from icn_client.light.final_header import ProofMalformed
from icn_client.light.proof_file import ProofFile, from_response
from icn_client.light.proofs import Proof, parse_proof
from icn_client.light.receipt_proof import LATER_ROOTS_MAX, ReceiptProof, receipt_proof_of
from icn_client.light.verify import checkpoint_of, verdict, verify_proof
from icn_client.statements import sentence
from icn_crypto.merkle_log import inclusion_root, leaf_hash, node_hash
from icn_crypto.proof_files import verify_proof as verify_other

from libs.client.tests.conftest import Zone
from libs.client.tests.proof_examples import (
    ACCOUNT,
    ENTRIES,
    OTHER,
    absence_proof,
    entries,
    entry_proof,
    receipt_proof,
    receipts,
)

FLIPPED = 400
NOBODY = b"n" * 16


def reason_of(proof: Proof, zone: Zone) -> str:
    with pytest.raises(ProofInvalid) as refused:
        verify_proof(proof, zone.genesis)
    return refused.value.reason


@pytest.mark.parametrize("count", range(1, 6))
def test_each_receipt_of_a_block_is_shown(zone: Zone, count: int) -> None:
    for index in range(count):
        found = verdict(receipt_proof(zone, index, count).to_bytes(), zone.genesis, 0)
        assert (found["valid"], found["height"], found["epochs"]) == (True, 1, 0)
        assert found["statement"]["kind"] == "receipt"
        assert found["statement"]["transaction_id"] == (bytes([index + 1]) * 32).hex()


def test_a_receipt_says_what_was_posted_or_why_it_was_refused(zone: Zone) -> None:
    applied, refused, bare, contract, _ = (
        verify_proof(receipt_proof(zone, index), zone.genesis).statement for index in range(5)
    )
    assert [posting["amount_minor"] for posting in applied["postings"]] == ["-60", "60"]
    assert (applied["status"], applied["reason"], applied["contract"]) == ("applied", "", None)
    assert sentence(applied) == f"transaction {'01' * 32} was applied, and posted 2 entries"
    assert (refused["status"], refused["message_index"]) == ("refused", 1)
    assert refused["figures"][3] == {"name": "floor_minor", "value": "-100"}
    assert sentence(refused) == (
        f"transaction {'02' * 32} was refused: CREDIT_LIMIT_EXCEEDED (balance_minor -60, held_minor 0, "
        "amount_minor 41, floor_minor -100)"
    )
    assert sentence(bare) == f"transaction {'03' * 32} was refused: ACCOUNT_UNKNOWN"
    assert contract["contract"]["data"] == b"done".hex()


def test_another_receipt_place_or_path_is_refused(zone: Zone) -> None:
    proof = receipt_proof(zone, 2)
    for changed in (
        replace(proof, receipt=receipts()[1]),
        replace(proof, index=3),
        replace(proof, index=4),
        replace(proof, size=3),
        replace(proof, path=proof.path[:-1]),
        replace(proof, path=(*proof.path, bytes(32))),
        replace(proof, path=proof.path[::-1]),
        replace(proof, path=()),
        replace(proof, before=bytes(32)),
        replace(proof, later_roots=(bytes(32),)),
        replace(proof, header=receipt_proof(zone, 2, 4).header, descendant_headers=()),
    ):
        assert reason_of(changed, zone) in {"RECEIPT_PROOF_INVALID", "CERTIFICATE_INVALID"}
    assert reason_of(replace(proof, genesis=bytes(32)), zone) == "WRONG_ZONE"
    assert reason_of(replace(proof, descendant_headers=()), zone) == "CERTIFICATE_INVALID"


@pytest.mark.parametrize("later", [0, 1, 2, 7])
def test_a_receipt_of_a_block_below_the_named_one_is_shown_with_its_own_height(
    zone: Zone, later: int
) -> None:
    proof = receipt_proof(zone, 3, later=later)
    assert read_header(zone.genesis.hash, proof.header).executed_height == 1 + later
    shown = verify_proof(proof, zone.genesis)
    assert (shown.height, shown.statement["transaction_id"]) == (1, (b"\x04" * 32).hex())


def test_roots_of_later_blocks_left_out_added_or_exchanged_are_refused(zone: Zone) -> None:
    proof = receipt_proof(zone, 3, later=3)
    first, second, third = proof.later_roots
    own = inclusion_root(leaf_index=3, size=5, leaf=leaf_hash(proof.receipt), proof=proof.path)
    for later_roots in (
        (),
        (second, third),
        (first, third),
        (first, second),
        (second, first, third),
        (first, second, third, third),
        (own, first, second, third),
    ):
        assert reason_of(replace(proof, later_roots=later_roots), zone) == "RECEIPT_PROOF_INVALID"
    # A root before it that has a block in it already, and one that is not the one before.
    for before in (node_hash(proof.before, own), bytes(32)):
        assert reason_of(replace(proof, before=before), zone) == "RECEIPT_PROOF_INVALID"
    # What is above cannot be told as a taller tree of the block, nor as one block fewer.
    lifted = replace(proof, path=(*proof.path, first), size=10, later_roots=(second, third))
    assert reason_of(lifted, zone) == "RECEIPT_PROOF_INVALID"


@pytest.mark.parametrize(
    "receipt",
    [
        state.Receipt(transaction_id=bytes(31), status=state.RECEIPT_STATUS_APPLIED),
        state.Receipt(transaction_id=bytes(32)),
        state.Receipt(transaction_id=bytes(32), status=3),  # type: ignore[arg-type]
    ],
)
def test_a_receipt_of_no_transaction_or_without_a_verdict_is_malformed(zone: Zone, receipt: Any) -> None:
    data = receipt.SerializeToString(deterministic=True)
    assert reason_of(replace(receipt_proof(zone, 0), receipt=data), zone) == "PROOF_MALFORMED"
    # A field twice, or one that is at its default.
    for data in (receipts()[4] + b"\x10\x01", receipts()[4] + b"\x20\x00"):
        assert reason_of(replace(receipt_proof(zone, 4), receipt=data), zone) == "PROOF_MALFORMED"


@pytest.mark.parametrize("number", range(1, ENTRIES + 1))
def test_each_entry_of_an_account_is_shown(zone: Zone, number: int) -> None:
    found = verdict(entry_proof(zone, number).to_bytes(), zone.genesis, 0)
    assert (found["valid"], found["height"]) == (True, 1)
    said, entry = found["statement"], entries()[number - 1]
    assert (said["account"], said["number"], said["entries"]) == (ACCOUNT.hex(), str(number), str(ENTRIES))
    assert (said["amount_minor"], said["balance_minor"]) == (
        str(entry.amount_minor),
        str(entry.balance_minor),
    )


def test_what_an_entry_does_not_have_is_told_as_nothing(zone: Zone) -> None:
    said = [verify_proof(entry_proof(zone, number), zone.genesis).statement for number in (1, 2, 3, 4)]
    assert [one["posting"] for one in said] == ["transfer", "capture", "transfer", "transfer"]
    assert [one["hold"] for one in said] == ["", (b"h" * 16).hex(), "", ""]
    assert [one["reference"] for one in said] == ["", "", b"invoice 3".hex(), ""]
    assert [bool(one["memo_hash"]) for one in said] == [False, False, True, False]
    assert [bool(one["transaction"]) for one in said] == [True, True, True, False]
    assert said[0]["counter_account"] == OTHER.hex()
    assert sentence(said[1]) == (
        f"entry 2 of account {ACCOUNT.hex()}, a capture at 2023-11-14 22:15:20+00:00: "
        "-200 minor units, then 50"
    )


def test_an_entry_left_out_changed_or_invented_breaks_the_chain(zone: Zone) -> None:
    proof = entry_proof(zone, 2)
    first, second, *rest = proof.entries
    for changed in (
        (first, *rest),
        (second, first, *rest),
        (first, second),
        (first._replace(balance_minor=first.balance_minor + 1), second, *rest),
        (first._replace(number=3), second, *rest),
        (*proof.entries, rest[-1]),
    ):
        assert reason_of(replace(proof, entries=changed), zone) == "ENTRY_CHAIN_INVALID"
    assert reason_of(replace(proof, before=bytes(32)), zone) == "ENTRY_CHAIN_INVALID"
    other = entry_proof(zone, 2).account_proof
    assert reason_of(replace(proof, account_proof=replace(other, genesis=bytes(32))), zone) == "WRONG_ZONE"
    assert reason_of(replace(proof, account_proof=replace(other, identifier=OTHER)), zone) == "LEAF_MISMATCH"


def test_the_form_of_an_entry_proof_is_checked(zone: Zone) -> None:
    document = json.loads(entry_proof(zone, 2).to_bytes())
    nobody = json.loads(absence_proof(zone, NOBODY, with_neighbours=False).to_bytes())
    body = document["entries"][0]
    for member, value in (
        ("entries", []),
        ("entries", [body] * (ENTRIES_MAX + 1)),
        ("entries", [body[:-2]]),
        ("entries", [body.upper()]),
        ("entries", {}),
        ("before", ""),
        ("account_proof", nobody),
        ("account_proof", None),
        ("account_proof", {**document["account_proof"], "format": "icn/entry-proof/v1"}),
        ("account_proof", {**document["account_proof"], "memo": ""}),
        ("format", "icn/entry-proof/v2"),
        ("format", ["icn/entry-proof/v1"]),
    ):
        with pytest.raises(ProofMalformed, match=member):
            parse_proof(json.dumps({**document, member: value}).encode())


def test_the_form_of_a_receipt_proof_is_checked(zone: Zone) -> None:
    document = json.loads(receipt_proof(zone, 2).to_bytes())
    for member, value in (
        ("index", -1),
        ("index", 5),
        ("index", True),
        ("size", 0),
        ("size", 65_537),
        ("size", "5"),
        ("path", {}),
        ("path", ["00" * 32] * 17),
        ("path", ["00" * 31]),
        ("before", "00" * 31),
        ("before", None),
        ("later_roots", {}),
        ("later_roots", ["00" * 33]),
        ("later_roots", ["00" * 32] * (LATER_ROOTS_MAX + 1)),
        ("receipt", ""),
        ("receipt", "00" * 1_048_577),
    ):
        with pytest.raises(ProofMalformed, match=member):
            parse_proof(json.dumps({**document, member: value}).encode())
    longest = ["00" * 32] * LATER_ROOTS_MAX
    proof = parse_proof(json.dumps({**document, "later_roots": longest}).encode())
    assert reason_of(proof, zone) == "RECEIPT_PROOF_INVALID"


def test_index_and_size_are_no_part_of_what_a_receipt_says(zone: Zone) -> None:
    """Of 5 receipts the second has the path that it has of 6 to 8."""
    proof = receipt_proof(zone, 1)
    for size in (5, 6, 7, 8):
        assert verify_proof(replace(proof, size=size), zone.genesis) == verify_proof(proof, zone.genesis)
    for size in (4, 9):
        assert reason_of(replace(proof, size=size), zone) == "RECEIPT_PROOF_INVALID"


@pytest.mark.parametrize(
    "make",
    [lambda zone: receipt_proof(zone, 1, later=1), lambda zone: entry_proof(zone, 2)],
    ids=["receipt", "entry"],
)
def test_no_flipped_byte_of_a_file_passes_or_it_only_climbs_the_same_way(
    zone: Zone, make: Callable[[Zone], Proof]
) -> None:
    """A path can be told with several pairs of index and size; they are no part of the statement."""
    content = make(zone).to_bytes()
    original = verdict(content, zone.genesis, 0)

    def beside_the_climb(file: bytes) -> dict[str, Any]:
        return {**json.loads(file), "index": None, "size": None}

    @settings(max_examples=FLIPPED)
    @given(st.integers(0, len(content) - 1), st.integers(1, 255))
    def flip(position: int, mask: int) -> None:
        changed = bytearray(content)
        changed[position] ^= mask
        found = verdict(bytes(changed), zone.genesis, 0)
        if found["valid"] is True:
            assert found == original and beside_the_climb(changed) == beside_the_climb(content)
            return
        assert found["reason"] and found["message"]
        assert found["statement"] is None and found["height"] is None

    flip()


@pytest.mark.parametrize("kind", ["receipt", "entry", "absence"])
def test_files_survive_the_round_trip(zone: Zone, kind: str) -> None:
    made: dict[str, Proof] = {
        "receipt": receipt_proof(zone, 1, later=1),
        "entry": entry_proof(zone, 2),
        "absence": absence_proof(zone, NOBODY),
    }
    proof = made[kind]
    assert parse_proof(proof.to_bytes()) == proof
    checkpoint = checkpoint_of(verify_proof(proof, zone.genesis), zone.genesis)
    assert verify_proof(proof, zone.genesis, checkpoint).epochs == 0


@settings(max_examples=200)
@given(st.binary(max_size=200) | st.sampled_from([b"[]", b"1", b'{"format":1}', b'{"format":"x"}']))
def test_garbage_is_malformed_and_never_raises_otherwise(content: bytes) -> None:
    with pytest.raises(ProofMalformed):
        parse_proof(content)


def test_a_ledger_s_answer_becomes_the_file(zone: Zone) -> None:
    proof = receipt_proof(zone, 1, later=2)
    response = pb.GetReceiptProofResponse(
        receipt=proof.receipt,
        index=proof.index,
        size=proof.size,
        path=proof.path,
        before=proof.before,
        later_roots=proof.later_roots,
        header=proof.header,
        descendant_headers=proof.descendant_headers,
        finalization=proof.finalization,
    )
    assert receipt_proof_of(response, zone.genesis.hash, zone.validator_set) == proof
    absent = absence_proof(zone, NOBODY)
    told = pb.GetProofResponse(
        namespace=3,
        identifier=NOBODY,
        state_proof=json.dumps(absent.state_proof.to_dict()),
        header=absent.header,
        finalization=absent.finalization,
        neighbours=[
            pb.NeighbourLeaf(
                namespace=one.namespace,
                identifier=one.identifier,
                value=one.value,
                state_proof=json.dumps(one.state_proof.to_dict()),
            )
            for one in absent.neighbours
        ],
    )
    assert from_response(told, zone.genesis.hash, zone.validator_set) == absent
    told.neighbours[0].state_proof = "{}"
    with pytest.raises(ProofMalformed, match="state_proof"):
        from_response(told, zone.genesis.hash, zone.validator_set)


def test_neighbours_are_leaves_on_both_sides(zone: Zone) -> None:
    proof = absence_proof(zone, NOBODY)
    assert len(proof.neighbours) == 2
    left, right = proof.neighbours
    assert verify_proof(proof, zone.genesis).statement["is_absent"]
    for only in (left, right):
        assert verify_proof(replace(proof, neighbours=(only,)), zone.genesis).statement["is_absent"]
    assert reason_of(replace(proof, neighbours=(right, left)), zone) == "NEIGHBOUR_INVALID"
    assert reason_of(replace(proof, neighbours=(left, left)), zone) == "NEIGHBOUR_INVALID"
    forged = replace(left, value=right.value)
    assert reason_of(replace(proof, neighbours=(forged, right)), zone) == "STATE_PROOF_INVALID"


def test_the_form_of_neighbours_is_checked(zone: Zone, handed_over: ProofFile) -> None:
    document = json.loads(absence_proof(zone, NOBODY).to_bytes())
    first, second = document["neighbours"]
    for value in (
        [],
        [first, second, second],
        {},
        [{**first, "value": ""}],
        [{**first, "namespace": 99}],
        [{**first, "identifier": "00"}],
        [{**first, "state_proof": {}}],
        [{**first, "memo": ""}],
        [None],
    ):
        with pytest.raises(ProofMalformed, match="neighbours"):
            parse_proof(json.dumps({**document, "neighbours": value}).encode())
    present = json.loads(handed_over.to_bytes())
    with pytest.raises(ProofMalformed, match="neighbours"):
        parse_proof(json.dumps({**present, "neighbours": [first]}).encode())


def test_a_leaf_and_an_absence_are_exported_and_others_hold_them_valid(
    zone: Zone, handed_over: ProofFile
) -> None:
    for proof in (handed_over, *(absence_proof(zone, bytes([number]) * 16) for number in range(9, 40))):
        form = json.loads(to_ics23(proof))
        assert verify_other("ics23", form) == {"valid": True, "reason": ""}
        assert verify_other("ics23", {**form, "root": "00" * 32})["valid"] is False


def test_what_others_cannot_hold_valid_is_not_exported(zone: Zone, handed_over: ProofFile) -> None:
    absent = absence_proof(zone, NOBODY)
    far = replace(absent, neighbours=absence_proof(zone, bytes([9]) * 16).neighbours)
    assert far.neighbours != absent.neighbours, "another gap"
    cases: list[tuple[Proof, str]] = [
        (receipt_proof(zone, 0), "NOT_OF_A_LEAF"),
        (entry_proof(zone, 1), "NOT_OF_A_LEAF"),
        (replace(absent, neighbours=()), "NEIGHBOURS_MISSING"),
        (replace(absent, neighbours=absent.neighbours[:1]), "STATE_PROOF_INVALID"),
        (far, "STATE_PROOF_INVALID"),
        (replace(handed_over, value=b"x"), "STATE_PROOF_INVALID"),
        (replace(handed_over, header=b"x"), "PROOF_MALFORMED"),
    ]
    for proof, reason in cases:
        with pytest.raises(NotExportable) as refused:
            to_ics23(proof)
        assert refused.value.reason == reason


def test_every_kind_has_its_type(zone: Zone) -> None:
    assert isinstance(parse_proof(receipt_proof(zone, 0).to_bytes()), ReceiptProof)
    assert isinstance(parse_proof(entry_proof(zone, 1).to_bytes()), EntryProof)

"""The objects of `icn ledger verify-proof`."""

import base64
import inspect

import pytest
from icn_crypto import merkle_log
from icn_crypto.lines import InvalidMember
from icn_crypto.proof_files import KINDS, PROOF_HASHES_MAX, verify_proof

LEAVES = [merkle_log.leaf_hash(bytes([number])) for number in range(7)]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def written(proof: list[bytes]) -> list[str]:
    return [b64(element) for element in proof]


ROOT = merkle_log.tree_root(LEAVES)
FORMS: dict[str, dict[str, object]] = {
    "inclusion": {
        "leafIdx": 4,
        "treeSize": 7,
        "leafHash": b64(LEAVES[4]),
        "root": b64(ROOT),
        "proof": written(merkle_log.inclusion_proof(LEAVES, 4)),
    },
    "consistency": {
        "size1": 3,
        "size2": 7,
        "root1": b64(merkle_log.tree_root(LEAVES[:3])),
        "root2": b64(ROOT),
        "proof": written(merkle_log.consistency_proof(LEAVES, 3)),
    },
    "subtree-inclusion": {
        "leafIdx": 5,
        "start": 4,
        "end": 7,
        "leafHash": b64(LEAVES[5]),
        "root": b64(merkle_log.tree_root(LEAVES[4:])),
        "proof": written(merkle_log.inclusion_proof(LEAVES[4:], 1)),
    },
    "subtree-consistency": {
        "start": 4,
        "end": 6,
        "size": 7,
        "root1": b64(merkle_log.tree_root(LEAVES[4:6])),
        "root2": b64(ROOT),
        "proof": written(merkle_log.subtree_consistency_proof(LEAVES, 4, 6)),
    },
}


@pytest.mark.parametrize("kind", FORMS)
def test_a_valid_file_has_no_reason_and_notes_in_it_are_left_alone(kind: str) -> None:
    assert verify_proof(kind, FORMS[kind]) == {"valid": True, "reason": ""}
    assert verify_proof(kind, {**FORMS[kind], "desc": "happy", "wantErr": True})["valid"] is True


@pytest.mark.parametrize("kind", FORMS)
def test_a_changed_member_makes_a_file_invalid_with_a_reason(kind: str) -> None:
    for name, value in FORMS[kind].items():
        # Not just one more: the size of a log is bound by its root, and some paths are those of two sizes.
        changed: object = 2 if isinstance(value, int) else [] if isinstance(value, list) else b64(bytes(32))
        verdict = verify_proof(kind, {**FORMS[kind], name: changed})
        assert verdict["valid"] is False, name
        assert verdict["reason"]


@pytest.mark.parametrize("kind", FORMS)
def test_a_member_that_cannot_be_read_is_named(kind: str) -> None:
    for name, value in FORMS[kind].items():
        wrong: list[object] = [True, 1.5, {}, "%%%"] if isinstance(value, int) else [7, "%%%", {}]
        for other in wrong:
            with pytest.raises(InvalidMember) as refusal:
                verify_proof(kind, {**FORMS[kind], name: other})
            assert refusal.value.name == name
        if name != "proof":
            with pytest.raises(InvalidMember):
                verify_proof(kind, {key: kept for key, kept in FORMS[kind].items() if key != name})
    for form in (None, [], "text"):
        with pytest.raises(InvalidMember):
            verify_proof(kind, form)


def test_null_stands_for_no_hashes_and_for_no_bytes() -> None:
    form = {"leafIdx": 0, "treeSize": 1, "leafHash": b64(LEAVES[0]), "root": b64(LEAVES[0]), "proof": None}
    assert verify_proof("inclusion", form)["valid"] is True
    assert verify_proof("inclusion", {**form, "root": None})["valid"] is False
    assert verify_proof("inclusion", {**form, "leafHash": ""})["valid"] is False


def test_the_number_of_hashes_is_bounded() -> None:
    longest = [b64(bytes(32))] * PROOF_HASHES_MAX
    assert verify_proof("inclusion", {**FORMS["inclusion"], "proof": longest})["valid"] is False
    with pytest.raises(InvalidMember):
        verify_proof("inclusion", {**FORMS["inclusion"], "proof": [*longest, b64(bytes(32))]})


def test_huge_and_negative_numbers_are_invalid_and_not_an_error() -> None:
    for kind, form in FORMS.items():
        for name, value in form.items():
            if isinstance(value, int):
                for number in (-1, 2**64, 10**40):
                    assert verify_proof(kind, {**form, name: number})["valid"] is False


def test_an_ics23_file_names_its_specification() -> None:
    form = {"root": "00" * 32, "proof": "0a00", "key": "6b", "value": "76", "spec": "tendermint"}
    assert verify_proof("ics23", form) == {"valid": False, "reason": "no proof of membership of this key"}
    absent = {**form, "value": ""}
    assert verify_proof("ics23", absent)["reason"] == "no proof of absence around this key"
    del absent["value"]
    assert verify_proof("ics23", absent)["reason"] == "no proof of absence around this key"
    for broken in ({**form, "spec": "ibc"}, {**form, "proof": "0"}, {**form, "key": 1}, {"root": ""}):
        with pytest.raises(InvalidMember):
            verify_proof("ics23", broken)


def test_every_kind_of_the_command_is_known_and_no_other() -> None:
    assert set(KINDS) == {*FORMS, "ics23"}
    with pytest.raises(KeyError):
        verify_proof("exclusion", {})
    assert "KINDS" in (inspect.getdoc(verify_proof) or "")

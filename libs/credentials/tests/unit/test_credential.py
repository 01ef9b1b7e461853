"""Credentials: form, time, issuer, status; and files that try to be something else."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_credentials import credential, multibase, status_list
from icn_credentials.credential import Status
from icn_credentials.faults import InvalidStatusList
from icn_credentials.files import read_status_lists, verify_credential
from icn_credentials.resolver import Resolver
from icn_credentials.status_list import StatusEntry, StatusList

Signer = Any
"""A key of each suite; from conftest."""
NOW_MS = 1_790_000_000_000
"""2026-09-21T14:13:20Z, as conftest signs."""


RESOLVE = Resolver().verification_method
LIST_URL = "https://coop.example/lists/1"


def answer(content: bytes | dict[str, Any], lists: dict[str, StatusList] | None = None) -> dict[str, Any]:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return verify_credential(raw, {}, lists or {}, NOW_MS)


def test_a_credential_says_what_it_is(anna: Signer, membership: dict[str, Any]) -> None:
    found = answer(anna.add(membership))
    assert found["valid"] and found["issuer_bound"] and found["status"] == "none"
    assert found["issuer"] == anna.did and found["reason"] == ""
    assert [proof["cryptosuite"] for proof in found["proofs"]] == ["eddsa-jcs-2022"]


def test_a_credential_signed_by_somebody_else_is_not_bound_to_its_issuer(
    anna: Signer, bert: Signer, membership: dict[str, Any]
) -> None:
    assert not answer(bert.add(membership))["issuer_bound"]
    assert not answer(bert.add(anna.add(membership)))["issuer_bound"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"@context": ["https://www.w3.org/ns/credentials/examples/v2"]}, "@context"),
        ({"@context": []}, "@context"),
        ({"type": ["MembershipCredential"]}, "VerifiableCredential"),
        ({"type": [5]}, "type"),
        ({"issuer": None}, "issuer"),
        ({"issuer": {"name": "x"}}, "issuer"),
        ({"issuer": "anna"}, "issuer"),
        ({"credentialSubject": {}}, "credentialSubject"),
        ({"credentialSubject": []}, "credentialSubject"),
        ({"credentialSubject": "bert"}, "credentialSubject"),
        ({"validFrom": "2026-01-01"}, "validFrom"),
        ({"validFrom": "2026-13-01T00:00:00Z"}, "validFrom"),
        ({"validFrom": 5}, "validFrom"),
        ({"validFrom": "2026-09-21T14:13:21Z"}, "valid from"),
        ({"validUntil": "2026-09-21T14:13:19Z"}, "valid until"),
        ({"validUntil": "2025-12-31T23:59:59Z"}, "before validFrom"),
        ({"id": 5}, "id"),
    ],
)
def test_a_credential_without_its_form_or_out_of_its_time_is_not_valid(
    changes: dict[str, Any], said: str, anna: Signer, membership: dict[str, Any]
) -> None:
    found = answer(anna.add(membership | changes))
    assert not found["valid"] and said in str(found["reason"])


def test_the_borders_of_its_time_belong_to_it(anna: Signer, membership: dict[str, Any]) -> None:
    moment = {"validFrom": "2026-09-21T14:13:20Z", "validUntil": "2026-09-21T15:13:20+01:00"}
    assert answer(anna.add(membership | moment))["valid"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"\xff{}",
        b'{"a":1,"a":2}',
        b"[" * 100_000,
        b'{"a":' * 300 + b"1" + b"}" * 300,
        b'{"proof":NaN}',
        b"{}",
    ],
)
def test_what_is_no_credential_is_not_valid(content: bytes) -> None:
    found = answer(content)
    assert not found["valid"] and found["reason"] and found["proofs"] == []


def test_a_member_twice_in_a_signed_credential_is_refused(anna: Signer, membership: dict[str, Any]) -> None:
    content = json.dumps(anna.add(membership)).encode()
    assert answer(content)["valid"]
    twice = content.replace(
        b'{"id": "did:example:bert"', b'{"id": "did:example:eve", "id": "did:example:bert"'
    )
    assert twice != content
    assert "twice" in str(answer(twice)["reason"])


def test_a_huge_credential_is_refused_before_it_is_parsed() -> None:
    assert "at most" in str(answer(b" " * (credential.CREDENTIAL_BYTES_MAX + 1))["reason"])


@settings(max_examples=150)
@given(position=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_no_changed_byte_passes(signed_content: bytes, position: int, flip: int) -> None:
    content = bytearray(signed_content)
    content[position % len(content)] ^= flip
    found = answer(bytes(content))
    if found["valid"]:
        assert json.loads(content) == json.loads(signed_content)  # white space, say


# Status


def listed(purpose: str, *indices: int) -> dict[str, StatusList]:
    return {LIST_URL: StatusList((purpose,), status_list.with_bits_set(status_list.empty(), indices))}


def with_status(membership: dict[str, Any], **changes: Any) -> dict[str, Any]:
    entry = {
        "type": "BitstringStatusListEntry",
        "statusPurpose": "revocation",
        "statusListIndex": "94567",
        "statusListCredential": LIST_URL,
    }
    return membership | {"credentialStatus": entry | changes}


@pytest.mark.vectors
def test_the_published_list_is_read(shared_data: Callable[[str], Path]) -> None:
    example = json.loads((shared_data("bitstring-status-list") / "example.json").read_text())
    content = status_list.decode(example["encodedList"])
    assert len(content) == example["decoded_bytes"]
    assert [i for i in range(8 * len(content)) if status_list.read_bits(content, i)] == example["set_bits"]


def test_a_set_bit_revokes_and_no_other(anna: Signer, membership: dict[str, Any]) -> None:
    signed = anna.add(with_status(membership))
    assert answer(signed)["status"] == "not_checked"
    assert answer(signed, listed("revocation", 94_566, 94_568))["status"] == "good"
    found = answer(signed, listed("revocation", 94_567))
    assert (found["valid"], found["status"], found["reason"]) == (
        False,
        "revoked",
        "the credential is revoked",
    )


def test_the_worst_of_several_statuses_counts(anna: Signer, membership: dict[str, Any]) -> None:
    two = with_status(membership)
    entry = two["credentialStatus"]
    two["credentialStatus"] = [entry, entry | {"statusPurpose": "suspension"}]
    lists = {
        LIST_URL: StatusList(
            ("revocation", "suspension"), status_list.with_bits_set(status_list.empty(), [94_567])
        )
    }
    assert answer(anna.add(two), lists)["status"] == "revoked"


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "StatusList2021Entry"},
        {"statusListIndex": 94_567},
        {"statusListIndex": "-1"},
        {"statusListIndex": "094567"},
        {"statusListIndex": "131072"},
        {"statusListIndex": "9" * 30},
        {"statusPurpose": "suspension"},
        {"statusPurpose": ""},
        {"statusSize": 0},
        {"statusSize": 9},
        {"statusListCredential": 5},
    ],
)
def test_a_status_that_cannot_be_read_is_not_taken_for_good(
    changes: dict[str, Any], anna: Signer, membership: dict[str, Any]
) -> None:
    found = answer(anna.add(with_status(membership, **changes)), listed("revocation"))
    assert not found["valid"] and str(found["reason"]).startswith("status: ")


@given(indices=st.sets(st.integers(0, status_list.ENTRIES_MIN - 1), max_size=20))
@settings(max_examples=20)
def test_a_list_comes_back(indices: set[int]) -> None:
    content = status_list.with_bits_set(status_list.empty(), indices)
    assert status_list.decode(status_list.encode(content)) == content
    assert all(status_list.read_bits(content, index) for index in indices)
    assert sum(byte.bit_count() for byte in content) == len(indices)


def test_statuses_of_several_bits_are_read() -> None:
    assert [status_list.read_bits(b"\x1b", index, 2) for index in range(4)] == [0, 1, 2, 3]
    with pytest.raises(InvalidStatusList):
        status_list.read_bits(b"\x1b", 4, 2)


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "u",
        "u!!",
        "uAAAA",
        multibase.encode(multibase.BASE64URL, gzip.compress(bytes(16_384), mtime=0)[:-9]),
        multibase.encode(multibase.BASE64URL, gzip.compress(bytes(16_384), mtime=0) + b"x"),
        multibase.encode(multibase.BASE64URL, gzip.compress(bytes(50_000_000), mtime=0)),
        "u" + "A" * 6_000_001,
    ],
)
def test_a_list_that_is_cut_stretched_or_a_bomb_is_refused(encoded: str) -> None:
    with pytest.raises(InvalidStatusList):
        status_list.decode(encoded)


def list_credential(anna: Signer, **changes: Any) -> dict[str, Any]:
    subject = status_list.list_subject(LIST_URL, ["revocation"], status_list.empty())
    return {
        "@context": ["https://www.w3.org/ns/credentials/v2"],
        "id": LIST_URL,
        "type": ["VerifiableCredential", "BitstringStatusListCredential"],
        "issuer": anna.did,
        "credentialSubject": subject | changes,
    }


def test_a_list_is_taken_only_from_its_issuer(anna: Signer, bert: Signer) -> None:
    def read(form: dict[str, Any]) -> dict[str, StatusList]:
        return read_status_lists([json.dumps(form).encode()], {}, NOW_MS)

    found = read(anna.add(list_credential(anna)))
    assert found[LIST_URL].status(StatusEntry(LIST_URL, 5, "revocation")) == 0
    for bad in (
        bert.add(list_credential(anna)),
        list_credential(anna),
        anna.add(list_credential(anna, encodedList="u")),
        anna.add(list_credential(anna, encodedList=status_list.encode(bytes(100)))),
        anna.add(list_credential(anna, statusPurpose=[])),
        anna.add(list_credential(anna, type="StatusList2021")),
        anna.add(list_credential(anna) | {"type": ["VerifiableCredential"]}),
    ):
        with pytest.raises(InvalidStatusList):
            read(bad)


def test_the_order_of_statuses_is_from_harmless_to_revoked() -> None:
    assert set(credential._RANK) == set(Status)

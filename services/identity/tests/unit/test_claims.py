"""What a credential says, and what a list newly sets: without a database."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_credentials import organization, status_list
from icn_identity.domain.claims import ClaimKind, is_set, newly_set, read_claim
from icn_kit.errors import InvalidArgument

UUID = "58172aac-d8ba-11ed-83dd-0b3aef56cc33"
START_MS = 1_790_000_000_000


def claim(**changes: Any) -> dict[str, Any]:
    form = organization.claim_credential(
        uuid=UUID,
        issuer="did:webvh:x",
        subject=b"a" * 16,
        list_url="https://coop.example/list",
        list_index=7,
        valid_from_ms=START_MS,
        office="treasurer",
    )
    return form | changes


def test_a_claim_is_taken_apart() -> None:
    _, found = read_claim(json.dumps(claim()).encode())
    assert found.id.hex() == UUID.replace("-", "")
    assert (found.kind, found.office, found.subject) == (ClaimKind.OFFICE, "treasurer", b"a" * 16)
    assert (found.valid_from_ms, found.valid_until_ms, found.list_index) == (START_MS, None, 7)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "urn:uuid:58172AAC-d8ba-11ed-83dd-0b3aef56cc33"},
        {"id": 5},
        {"type": ["VerifiableCredential", "OfficeCredential", "MembershipCredential"]},
        {"type": "VerifiableCredential"},
        {"issuer": "x"},
        {"credentialSubject": {"id": "urn:icn:principal:61", "memberOf": "did:webvh:x"}},
        {
            "credentialSubject": {
                "id": "urn:icn:principal:" + "61" * 16,
                "memberOf": "did:webvh:y",
                "office": "x",
            }
        },
        {"credentialSubject": {"id": "urn:icn:principal:" + "61" * 16, "memberOf": "did:webvh:x"}},
        {
            "credentialSubject": {
                "id": "urn:icn:principal:" + "61" * 16,
                "memberOf": "did:webvh:x",
                "office": "x" * 33,
            }
        },
        {
            "credentialSubject": {
                "id": "urn:icn:principal:" + "61" * 16,
                "memberOf": "did:webvh:x",
                "office": 5,
            }
        },
        {"validFrom": "noon"},
        {"validUntil": 5},
        {"credentialStatus": None},
        {"credentialStatus": {"type": "StatusList2021Entry"}},
    ],
)
def test_what_is_no_claim_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_claim(json.dumps(claim(**changes)).encode())
    assert caught.value.reason == "CREDENTIAL_INVALID"


@given(before=st.sets(st.integers(0, 511)), after=st.sets(st.integers(0, 511)))
def test_a_new_list_sets_what_it_newly_sets_and_undoes_nothing(before: set[int], after: set[int]) -> None:
    old = status_list.with_bits_set(bytes(64), before)
    new = status_list.with_bits_set(bytes(64), after)
    assert newly_set(old, new) == (after - before if before <= after else None)
    assert all(is_set(new, index) is (index in after) for index in range(512))
    assert is_set(new, 512), "what is not in the list counts as used"

"""Proofs, sets and chains: published vectors, and every way to tamper that we thought of."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_credentials import did_key, proofs
from icn_credentials.faults import InvalidProof
from icn_credentials.proofs import (
    EDDSA_JCS,
    MLDSA65_JCS,
    SUITES,
    Terms,
    signed_bytes,
    suite_of,
    verify,
)
from icn_credentials.resolver import Resolver
from icn_crypto import jcs

Signer = Any
"""A key of each suite; from conftest."""
NOW_MS = 1_790_000_000_000
"""2026-09-21T14:13:20Z, as conftest signs."""


TERMS = Terms(Resolver().verification_method, NOW_MS)
RDFC = SUITES["eddsa-rdfc-2022"]


def reasons(document: dict[str, Any], terms: Terms = TERMS) -> list[str]:
    return [verdict.reason for verdict in verify(document, terms)]


@pytest.mark.vectors
@pytest.mark.parametrize(("folder", "suffix"), [("eddsa-jcs-2022", "JCS"), ("Ed25519Signature2020", "EdSig")])
def test_published_hashes_and_signatures_are_ours(
    shared_data: Callable[[str], Path], folder: str, suffix: str
) -> None:
    root = shared_data("vc-data-integrity-eddsa") / folder
    signed = json.loads((root / f"signed{suffix}.json").read_text())
    proof = signed["proof"]
    unsecured = {name: value for name, value in signed.items() if name != "proof"}
    options = {name: value for name, value in proof.items() if name != "proofValue"}
    content = signed_bytes(suite_of(proof), unsecured, options)
    assert content.hex() == (root / f"combinedHash{suffix}.txt").read_text().strip()
    assert reasons(signed) == [""]
    if suite_of(proof) is EDDSA_JCS:
        assert jcs.canonicalize(unsecured).decode() == (root / "canonDocJCS.txt").read_text().strip()
    else:
        from icn_credentials import rdf

        assert rdf.canonicalize(unsecured).decode() == (root / "canonDocEdSig.txt").read_text()


@pytest.mark.vectors
def test_every_changed_member_of_the_published_credentials_is_noticed(
    shared_data: Callable[[str], Path],
) -> None:
    root = shared_data("vc-data-integrity-eddsa")
    for name in ("eddsa-jcs-2022/signedJCS.json", "Ed25519Signature2020/signedEdSig.json"):
        signed = json.loads((root / name).read_text())
        for member in ("id", "name", "description", "issuer", "validFrom"):
            assert reasons(signed | {member: signed[member] + "0"}) != [""], (name, member)
        assert reasons(signed | {"credentialSubject": signed["credentialSubject"] | {"more": 1}}) != [""]
        for member in ("created", "verificationMethod", "proofValue"):
            changed = signed["proof"] | {member: signed["proof"][member].replace("2", "3", 1)}
            assert reasons(signed | {"proof": changed}) != [""], (name, member)


def test_a_set_of_both_suites_holds_only_whole(anna: Signer, membership: dict[str, Any]) -> None:
    signed = anna.add(anna.add(membership), MLDSA65_JCS)
    assert [proof["cryptosuite"] for proof in signed["proof"]] == ["eddsa-jcs-2022", "mldsa65-jcs-2024"]
    assert reasons(signed) == ["", ""]
    for index in (0, 1):
        broken = deepcopy(signed)
        value = broken["proof"][index]["proofValue"]
        broken["proof"][index]["proofValue"] = value[:40] + ("A" if value[40] != "A" else "B") + value[41:]
        found = reasons(broken)
        assert found[index] != "" and found[1 - index] == ""


def test_swapped_signatures_do_not_hold(anna: Signer, bert: Signer, membership: dict[str, Any]) -> None:
    signed = bert.add(anna.add(membership))
    first, second = signed["proof"]
    first["proofValue"], second["proofValue"] = second["proofValue"], first["proofValue"]
    assert all(reasons(signed))


def test_a_proof_of_another_document_does_not_hold(anna: Signer, membership: dict[str, Any]) -> None:
    other = anna.add(membership | {"id": "urn:other"})
    assert reasons(membership | {"proof": other["proof"]}) != [""]


def test_a_chain_covers_the_proofs_before_it(anna: Signer, bert: Signer, membership: dict[str, Any]) -> None:
    first = anna.add(membership, proof_id="urn:1")
    both = bert.add(first, proof_id="urn:2")
    chained = anna.add(both, MLDSA65_JCS, previous=["urn:1", "urn:2"])
    assert reasons(chained) == ["", "", ""]
    missing = chained | {"proof": chained["proof"][1:]}
    assert "not in the document" in reasons(missing)[1]
    replaced = deepcopy(chained)
    replaced["proof"][0] = bert.add(membership, proof_id="urn:1")["proof"]
    assert reasons(replaced)[2] != ""


@pytest.mark.parametrize("suite", [EDDSA_JCS, RDFC])
def test_a_chain_that_is_a_circle_is_refused(
    suite: proofs.Suite, anna: Signer, membership: dict[str, Any]
) -> None:
    signed = anna.add(membership, suite, proof_id="urn:1")
    own = deepcopy(signed)
    own["proof"]["previousProof"] = "urn:1"
    assert "circle" in reasons(own)[0]
    two = anna.add(signed, suite, proof_id="urn:2", previous=["urn:1"])
    two["proof"][0]["previousProof"] = "urn:2"
    assert all("circle" in reason for reason in reasons(two))


def test_two_proofs_of_one_id_are_refused(anna: Signer, membership: dict[str, Any]) -> None:
    signed = anna.add(anna.add(membership, proof_id="urn:1"), proof_id="urn:1")
    with pytest.raises(InvalidProof, match="one id"):
        verify(signed, TERMS)


def test_a_proof_is_asked_for_its_purpose(anna: Signer, membership: dict[str, Any]) -> None:
    signed = anna.add(membership, purpose="authentication")
    assert "assertionMethod is asked for" in reasons(signed)[0]
    assert reasons(signed, Terms(TERMS.resolve, NOW_MS, "authentication")) == [""]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cryptosuite": "eddsa-2022"}, "not known"),
        ({"cryptosuite": "bbs-2023"}, "not known"),
        ({"cryptosuite": "mldsa65-jcs-2024"}, "keys of ML_DSA_65"),
        ({"cryptosuite": 5}, "string"),
        ({"type": "JsonWebSignature2020"}, "not verified"),
        ({"type": "Ed25519Signature2020"}, "not verified"),
        ({"proofValue": "zz"}, "does not hold"),
        ({"proofValue": "uAAAA"}, "base58btc"),
        ({"proofValue": "?"}, "no base"),
        ({"proofValue": ""}, "string"),
        ({"created": "yesterday"}, "time"),
        ({"created": "2026-09-21T14:30:00Z"}, "ahead"),
        ({"expires": "2026-09-21T14:13:20Z"}, "expired"),
        ({"verificationMethod": "did:key:z6Mk#z6Mk"}, "no did:key"),
        ({"verificationMethod": "https://vc.example/issuers/5678#key"}, "no DID"),
        ({"verificationMethod": {"id": "x"}}, "string"),
        ({"previousProof": "urn:gone"}, "not in the document"),
        ({"previousProof": {"id": "urn:1"}}, "a string or a list"),
        ({"added": True}, "does not hold"),
    ],
)
def test_a_proof_that_says_something_else_is_refused(
    changes: dict[str, Any], said: str, anna: Signer, membership: dict[str, Any]
) -> None:
    signed = anna.add(membership)
    signed["proof"] |= changes
    (reason,) = reasons(signed)
    assert said in reason


@pytest.mark.parametrize("proof", [[], "x", 5, [5], {}, [{}] * 33])
def test_what_is_no_proof_is_refused(proof: Any, membership: dict[str, Any]) -> None:
    if proof == {}:
        assert reasons(membership | {"proof": proof}) != [""]
        return
    with pytest.raises(InvalidProof):
        verify(membership | {"proof": proof}, TERMS)
    with pytest.raises(InvalidProof):
        verify(membership, TERMS)


def test_contexts_that_the_proof_does_not_cover_are_refused(anna: Signer, membership: dict[str, Any]) -> None:
    signed = anna.add(membership)
    more = signed | {"@context": [*signed["@context"], "https://w3id.org/citizenship/v3"]}
    assert "does not cover" in reasons(more)[0]
    fewer = signed | {"@context": signed["@context"][:1]}
    assert "begin with" in reasons(fewer)[0]


def test_a_key_of_another_controller_does_not_pass_for_the_named_one(
    anna: Signer, bert: Signer, membership: dict[str, Any]
) -> None:
    signed = bert.add(membership, verification_method=did_key.method_id(anna.key))
    assert "does not hold" in reasons(signed)[0]


def test_a_quantum_safe_proof_covers_the_contexts_whether_it_repeats_them_or_not(
    anna: Signer, membership: dict[str, Any]
) -> None:
    signed = anna.add(membership, MLDSA65_JCS)
    del signed["proof"]["@context"]
    assert reasons(signed) == [""]
    signed["@context"] = [*signed["@context"], "https://w3id.org/citizenship/v3"]
    assert "does not hold" in reasons(signed)[0]


# RDF


def test_an_rdf_proof_covers_every_member(anna: Signer, membership: dict[str, Any]) -> None:
    signed = anna.add(membership, RDFC)
    assert reasons(signed) == [""]
    changed = deepcopy(signed)
    changed["credentialSubject"]["memberOf"] = "did:example:other"
    assert "does not hold" in reasons(changed)[0]


def test_a_member_that_no_context_defines_is_refused(anna: Signer, membership: dict[str, Any]) -> None:
    bare = membership | {"@context": ["https://www.w3.org/ns/credentials/v2"]}
    with pytest.raises(InvalidProof, match="memberOf"):
        anna.add(bare, RDFC)
    signed = anna.add(bare | {"credentialSubject": {"id": "did:example:bert"}}, RDFC)
    assert reasons(signed) == [""]
    signed["credentialSubject"]["isTreasurer"] = True
    assert "no context defines" in reasons(signed)[0]


@pytest.mark.parametrize(
    "context", ["https://evil.example/v1", "file:///etc/passwd", {"memberOf": "urn:x"}, 5, None]
)
def test_only_bundled_contexts_are_read(context: Any, anna: Signer, membership: dict[str, Any]) -> None:
    membership["@context"] = [*membership["@context"], context]
    with pytest.raises(InvalidProof, match="not bundled"):
        anna.add(membership, RDFC)
    inner = membership | {"@context": membership["@context"][:2]}
    inner["credentialSubject"] = {"id": "did:example:bert", "x": {"@context": context}}
    with pytest.raises(InvalidProof, match="not bundled"):
        anna.add(inner, RDFC)


def test_a_graph_made_to_take_for_ever_is_refused(anna: Signer, membership: dict[str, Any]) -> None:
    nodes = [f"_:b{number}" for number in range(12)]
    membership["credentialSubject"] = [
        {"id": node, "knows": [{"id": other} for other in nodes if other != node]} for node in nodes
    ]
    with pytest.raises(InvalidProof, match="look alike"):
        anna.add(membership, RDFC)


def test_a_document_with_too_many_values_is_refused(anna: Signer, membership: dict[str, Any]) -> None:
    membership["credentialSubject"]["list"] = list(range(5_000))
    with pytest.raises(InvalidProof, match="values"):
        anna.add(membership, RDFC)
    deep: Any = "x"
    for _ in range(70):
        deep = [deep]
    membership["credentialSubject"]["list"] = deep
    with pytest.raises(InvalidProof, match="levels"):
        anna.add(membership, RDFC)


KEYWORDS = ("@id", "@type", "@value", "@list", "@set", "@graph", "@language", "@index", "@reverse", "@nest")
KEYWORDS += ("@json", "@included", "@direction", "id", "type", "name", "proof", "x", "a:b", "_:b", "")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.sampled_from(KEYWORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=200)
@given(subject=VALUES, kind=VALUES)
def test_no_json_makes_the_canonicalization_fail_otherwise(subject: Any, kind: Any) -> None:
    from icn_credentials import rdf

    form = {
        "@context": ["https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/examples/v2"],
        "type": kind,
        "credentialSubject": subject,
    }
    try:
        assert isinstance(rdf.canonicalize(form), bytes)
    except InvalidProof:
        return

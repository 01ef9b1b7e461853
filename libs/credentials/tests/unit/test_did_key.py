"""did:key and did:peer: published documents, and DIDs that are none."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from icn_credentials import did_key, did_peer, multibase, varint
from icn_credentials.documents import RELATIONSHIPS, verification_method
from icn_credentials.faults import InvalidDid, InvalidProof, NotResolvable
from icn_credentials.multikey import KeyKind, PublicKey
from icn_credentials.resolver import Resolver, Version, resolve


def key_bytes(method: dict[str, Any]) -> bytes:
    """The key of a verification method in any of the representations of the vectors."""
    if "publicKeyBase58" in method:
        return multibase.decode_digits(multibase.BASE58BTC, method["publicKeyBase58"])
    if "publicKeyMultibase" in method:
        _, content = multibase.decode(method["publicKeyMultibase"])
        return varint.read(content)[1]
    jwk = method["publicKeyJwk"]
    if jwk["kty"] == "RSA":
        return json.dumps([jwk["n"], jwk["e"]]).encode()
    assert jwk["crv"] == "secp256k1"
    x, y = (int.from_bytes(multibase.decode_digits(multibase.BASE64URL, jwk[name]), "big") for name in "xy")
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256K1()).public_key()
    return key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


@pytest.mark.vectors
@pytest.mark.parametrize("name", ["bls12381", "ed25519-x25519", "nist-curves", "rsa", "secp256k1"])
def test_published_documents_have_our_keys_and_relationships(
    shared_data: Callable[[str], Path], name: str
) -> None:
    cases = json.loads((shared_data("did-key") / f"{name}.json").read_text())
    assert cases
    for did, case in cases.items():
        expected = case["didDocument"]
        found = did_key.resolve(did)
        assert found["id"] == expected["id"] == did
        methods = {method["id"]: key_bytes(method) for method in expected["verificationMethod"]}
        assert {method["id"]: key_bytes(method) for method in found["verificationMethod"]} == methods  # type: ignore
        for relationship in RELATIONSHIPS:
            assert found.get(relationship) == expected.get(relationship), (did, relationship)


def test_a_post_quantum_did_key_is_read_in_base64url_too() -> None:
    key = PublicKey(KeyKind.ML_DSA_65, bytes(1_952))
    did = f"did:key:{key.multikey()}"
    assert did.startswith("did:key:u") and did_key.read_key(did) == key
    assert Resolver().verification_method(did, "assertionMethod").key == key


def test_a_post_quantum_key_is_a_did_key_that_only_signs() -> None:
    key = PublicKey(KeyKind.ML_DSA_65, bytes(1_952))
    did = did_key.from_key(key)
    document = did_key.resolve(did)
    assert did_key.read_key(did) == key and "keyAgreement" not in document
    assert verification_method(document, did_key.method_id(key), "assertionMethod").key == key


@pytest.mark.parametrize(
    "did",
    [
        "did:key:",
        "did:key:u7QEBCAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICA",
        "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWq",
        "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooW",
        "did:key:z" + "1" * 20_000,
        "did:web:example.com",
    ],
)
def test_what_is_no_did_key_is_refused(did: str) -> None:
    with pytest.raises(InvalidDid):
        did_key.resolve(did)


def test_a_key_is_found_only_under_its_own_name_and_for_what_it_may() -> None:
    did = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
    resolver = Resolver()
    method = f"{did}#{did.removeprefix('did:key:')}"
    assert resolver.verification_method(method, "assertionMethod").controller == did
    assert resolver.verification_method(did, "assertionMethod").id == method, "a did:key is its key"
    for wrong, purpose in (
        (f"{did}#", "assertionMethod"),
        (f"{did}#x", "assertionMethod"),
        (method, "keyAgreement"),
        (method, "x"),
        (f"{did}?versionId=1#{did[8:]}", "assertionMethod"),
    ):
        with pytest.raises(InvalidProof):
            resolver.verification_method(wrong, purpose)


def test_a_method_that_needs_the_network_is_not_resolved() -> None:
    with pytest.raises(NotResolvable):
        resolve("did:web:example.com")
    with pytest.raises(InvalidDid):
        resolve("did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp", Version(version_number=1))


PEER_2 = (
    "did:peer:2.Vz6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp.Ez6LShs9GGnqk85isEBzzshkuVWrVKsRp24GnDuHk8QWkARMW"
    ".SeyJ0IjoiZG0iLCJzIjp7InVyaSI6Imh0dHA6Ly9leGFtcGxlLmNvbS9kaWRjb21tIiwiYSI6WyJkaWRjb21tL3YyIl0sInIiOltdfX0"
)
"""Keys of the did:key vectors, the service of the specification's example."""


def test_a_did_peer_of_several_keys_lists_them_in_order() -> None:
    document = did_peer.resolve(PEER_2)
    methods = document["verificationMethod"]
    assert isinstance(methods, list)
    assert [method["id"] for method in methods] == [f"{PEER_2}#key-1", f"{PEER_2}#key-2"]  # type: ignore
    assert document["authentication"] == [f"{PEER_2}#key-1"]
    assert document["keyAgreement"] == [f"{PEER_2}#key-2"]
    assert "assertionMethod" not in document
    assert document["service"] == [
        {
            "id": f"{PEER_2}#service",
            "type": "DIDCommMessaging",
            "serviceEndpoint": {
                "uri": "http://example.com/didcomm",
                "accept": ["didcomm/v2"],
                "routingKeys": [],
            },
        }
    ]


def test_a_did_peer_of_one_key_is_its_did_key_under_another_name() -> None:
    key = "z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
    peer, did = did_peer.resolve(f"did:peer:0{key}"), did_key.resolve(f"did:key:{key}")
    assert json.dumps(peer).replace("did:peer:0", "did:key:") == json.dumps(did)


@pytest.mark.parametrize(
    "rest",
    [
        "1zQmZ",
        "2",
        "2.",
        "2.Xz6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
        "2.Ez6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
        "2.Vz6LShs9GGnqk85isEBzzshkuVWrVKsRp24GnDuHk8QWkARMW",
        "2.S!!",
        "0zz",
        "2" + ".Vz6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp" * 33,
    ],
)
def test_what_is_no_did_peer_is_refused(rest: str) -> None:
    with pytest.raises(InvalidDid):
        did_peer.resolve(f"did:peer:{rest}")

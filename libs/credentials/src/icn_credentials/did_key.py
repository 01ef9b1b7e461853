"""did:key: the DID is the key. Source: the did:key method 0.7 and its test vectors."""

from typing import Final

from icn_credentials import multibase
from icn_credentials.documents import DID_CONTEXT, MULTIKEY_CONTEXT
from icn_credentials.faults import CredentialFault, InvalidDid
from icn_credentials.json_forms import JsonObject
from icn_credentials.multikey import (
    ML_DSA_KINDS,
    KeyKind,
    PublicKey,
    key_agreement_key,
    read_prefixed,
    rsa_jwk,
)

PREFIX: Final = "did:key:"
_SIGNING: Final = ("authentication", "assertionMethod", "capabilityInvocation", "capabilityDelegation")
_AGREES_WITH_ITSELF: Final = frozenset(
    (KeyKind.SECP256K1, KeyKind.P256, KeyKind.P384, KeyKind.P521, KeyKind.RSA)
)
"""The vectors list these keys for agreement as well; ML-DSA and BLS only sign."""


def from_key(key: PublicKey) -> str:
    """The DID of a key."""
    return PREFIX + key.did_key_part()


def method_id(key: PublicKey) -> str:
    """The verification method of the key in its own document."""
    part = key.did_key_part()
    return f"{PREFIX}{part}#{part}"


def read_key(did: str) -> PublicKey:
    """The key of a did:key.

    Raises:
        InvalidDid: another method, base or kind of key.
    """
    if not did.startswith(PREFIX):
        raise InvalidDid("not a did:key")
    try:
        base, content = multibase.decode(did.removeprefix(PREFIX))
        key = read_prefixed(content)
        if base is not multibase.BASE58BTC and not (base is multibase.BASE64URL and key.kind in ML_DSA_KINDS):
            raise InvalidDid("a did:key is written in base58btc, one of ML-DSA also in base64url")
        return key
    except InvalidDid:
        raise
    except CredentialFault as error:
        raise InvalidDid(f"no did:key: {error}") from None


def resolve(did: str) -> JsonObject:
    """The DID document.

    Raises:
        InvalidDid: as for ``read_key``.
    """
    return document_of(did, read_key(did))


def document_of(did: str, key: PublicKey) -> JsonObject:
    """The document of one key under any DID, as did:key and did:peer (0) have it."""
    # The drafts for quantum-safe suites write ML-DSA keys in base64url; the name is then in that base too.
    part = did.removeprefix(PREFIX) if did.startswith(PREFIX) else key.did_key_part()
    method = f"{did}#{part}"
    document: JsonObject = {"@context": [DID_CONTEXT, MULTIKEY_CONTEXT], "id": did}
    methods: list[JsonObject] = []
    if key.kind is KeyKind.RSA:
        document["@context"] = [DID_CONTEXT, "https://w3id.org/security/jwk/v1"]
        jwk: JsonObject = dict(rsa_jwk(key.content))
        methods.append({"id": method, "type": "JsonWebKey", "controller": did, "publicKeyJwk": jwk})
    else:
        methods.append(_multikey(method, did, key, part))
    agreement = [method] if key.kind in _AGREES_WITH_ITSELF or key.kind is KeyKind.X25519 else []
    if key.kind is KeyKind.ED25519:
        agreed = key_agreement_key(key.content)
        agreed_method = f"{did}#{agreed.did_key_part()}"
        methods.append(_multikey(agreed_method, did, agreed, agreed.did_key_part()))
        agreement = [agreed_method]
    document["verificationMethod"] = list(methods)
    if key.kind is not KeyKind.X25519:
        for relationship in _SIGNING:
            document[relationship] = [method]
    if agreement:
        document["keyAgreement"] = list(agreement)
    return document


def _multikey(method: str, did: str, key: PublicKey, part: str) -> JsonObject:
    """As the did:key method has it: the multikey is the DID's own part, in base58btc."""
    return {"id": method, "type": "Multikey", "controller": did, "publicKeyMultibase": part}

"""Keys of did:webvh logs: who may update, and hashes that commit to who may next."""

from icn_credentials import did_key, multihash
from icn_credentials.documents import VerificationMethod
from icn_credentials.faults import CredentialFault, InvalidProof
from icn_credentials.multikey import KeyKind, PublicKey, read_multikey


def key_hash(multikey: str) -> str:
    """What ``nextKeyHashes`` holds for a multikey."""
    return multihash.base58_sha256(multikey.encode())


def is_update_key(multikey: str) -> bool:
    """Whether the text is an Ed25519 multikey in base58btc, in its one form."""
    try:
        key = read_multikey(multikey)
    except CredentialFault:
        return False
    return key.kind is KeyKind.ED25519 and key.did_key_part() == multikey


def update_key_method(method_id: str) -> VerificationMethod:
    """The key of ``did:key:z6Mk…#z6Mk…``, both parts the same.

    Raises:
        InvalidProof: another method or kind of key, or parts that differ.
    """
    did, _, fragment = method_id.partition("#")
    try:
        key: PublicKey = did_key.read_key(did)
    except CredentialFault as error:
        raise InvalidProof(f"{method_id[:80]!r}: {error}") from None
    if key.kind is not KeyKind.ED25519 or method_id != did_key.method_id(key) or not fragment:
        raise InvalidProof(f"{method_id[:80]!r} is no did:key of Ed25519 with itself as fragment")
    return VerificationMethod(method_id, did, key)

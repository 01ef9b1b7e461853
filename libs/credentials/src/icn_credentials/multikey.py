"""Public keys that name their own kind: a multicodec before the bytes, written in multibase.

Source: W3C Controlled Identifiers 1.0, section 2.2.2 (Multikey); the multicodec table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from icn_crypto import mldsa
from icn_crypto.curve25519 import NoAgreementKey, x25519_public_key

from icn_credentials import multibase, varint
from icn_credentials.faults import InvalidKey, InvalidMultibase

RSA_BITS_MIN, RSA_BITS_MAX = 2_048, 4_096
"""Smaller ones are broken, larger ones only cost time."""


class KeyKind(Enum):
    """Which scheme a public key belongs to; the value is its multicodec."""

    ED25519 = 0xED
    X25519 = 0xEC
    SECP256K1 = 0xE7
    P256 = 0x1200
    P384 = 0x1201
    P521 = 0x1202
    RSA = 0x1205
    BLS12381_G1 = 0xEA
    BLS12381_G2 = 0xEB
    ML_DSA_44 = 0x1210
    ML_DSA_65 = 0x1211
    ML_DSA_87 = 0x1212


_SIZES: Final[Mapping[KeyKind, int]] = {
    KeyKind.ED25519: 32,
    KeyKind.X25519: 32,
    KeyKind.SECP256K1: 33,
    KeyKind.P256: 33,
    KeyKind.P384: 49,
    KeyKind.P521: 67,
    KeyKind.BLS12381_G1: 48,
    KeyKind.BLS12381_G2: 96,
    KeyKind.ML_DSA_44: 1_312,
    KeyKind.ML_DSA_65: 1_952,
    KeyKind.ML_DSA_87: 2_592,
}
_CURVES: Final[Mapping[KeyKind, type[ec.EllipticCurve]]] = {
    KeyKind.SECP256K1: ec.SECP256K1,
    KeyKind.P256: ec.SECP256R1,
    KeyKind.P384: ec.SECP384R1,
    KeyKind.P521: ec.SECP521R1,
}
ML_DSA_KINDS: Final[Mapping[KeyKind, mldsa.ParameterSet]] = {
    KeyKind.ML_DSA_44: mldsa.ParameterSet.ML_DSA_44,
    KeyKind.ML_DSA_65: mldsa.ParameterSet.ML_DSA_65,
    KeyKind.ML_DSA_87: mldsa.ParameterSet.ML_DSA_87,
}
_WRITTEN_IN_BASE64URL: Final = frozenset(ML_DSA_KINDS)
"""Base58 of two thousand bytes costs milliseconds; Multikey allows either base."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key of a known kind."""

    kind: KeyKind
    content: bytes
    """Canonical bytes: points compressed, RSA as PKCS#1."""

    def prefixed(self) -> bytes:
        """The key behind its multicodec."""
        return varint.encode(self.kind.value) + self.content

    def multikey(self) -> str:
        """``publicKeyMultibase`` of a verification method."""
        base = multibase.BASE64URL if self.kind in _WRITTEN_IN_BASE64URL else multibase.BASE58BTC
        return multibase.encode(base, self.prefixed())

    def did_key_part(self) -> str:
        """What follows ``did:key:``; base58btc for every kind."""
        return multibase.encode(multibase.BASE58BTC, self.prefixed())


def read_multikey(text: str) -> PublicKey:
    """The key of a multikey in base58btc or base64url.

    Raises:
        InvalidKey: another base or kind, a wrong length, or no point of the curve.
    """
    try:
        base, content = multibase.decode(text)
    except InvalidMultibase as error:
        raise InvalidKey(f"no multikey: {error}") from None
    if base not in (multibase.BASE58BTC, multibase.BASE64URL):
        raise InvalidKey(f"a multikey is written in base58btc or base64url, not {base.name}")
    return read_prefixed(content)


def read_prefixed(content: bytes) -> PublicKey:
    """The key behind a multicodec.

    Raises:
        InvalidKey: as for ``read_multikey``.
    """
    try:
        code, key = varint.read(content)
        kind = KeyKind(code)
    except ValueError:
        raise InvalidKey("the key's kind is not known") from None
    check(kind, key)
    return PublicKey(kind, key)


def check(kind: KeyKind, content: bytes) -> None:
    """Refuse bytes that are no key of the kind.

    Raises:
        InvalidKey: a wrong length, no point of the curve, or an RSA modulus out of bounds.
    """
    if kind is KeyKind.RSA:
        _rsa_numbers(content)
        return
    if len(content) != _SIZES[kind]:
        raise InvalidKey(f"{len(content)} bytes, a key of {kind.name} has {_SIZES[kind]}")
    if kind in _CURVES:
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[kind](), content)
        except ValueError:
            raise InvalidKey(f"no point of {kind.name}") from None
    if kind is KeyKind.ED25519:
        key_agreement_key(content)


def key_agreement_key(ed25519_key: bytes) -> PublicKey:
    """The X25519 key of an Ed25519 key, by the birational map of RFC 7748, section 4.1.

    Raises:
        InvalidKey: no point of prime order, so no key to agree with.
    """
    try:
        return PublicKey(KeyKind.X25519, x25519_public_key(ed25519_key))
    except NoAgreementKey as error:
        raise InvalidKey(str(error)) from None


def rsa_jwk(content: bytes) -> dict[str, str]:
    """An RSA key as a JSON Web Key (RFC 7518, section 6.3)."""
    numbers = _rsa_numbers(content)
    return {"kty": "RSA", "n": _base64url_number(numbers.n), "e": _base64url_number(numbers.e)}


def _base64url_number(number: int) -> str:
    return multibase.encode_digits(
        multibase.BASE64URL, number.to_bytes((number.bit_length() + 7) // 8, "big")
    )


def _rsa_numbers(content: bytes) -> rsa.RSAPublicNumbers:
    try:
        key = load_der_public_key(_subject_public_key_info(content))
    except (ValueError, TypeError):
        raise InvalidKey("no RSA key in PKCS#1") from None
    if not isinstance(key, rsa.RSAPublicKey) or not RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
        raise InvalidKey(f"an RSA key has {RSA_BITS_MIN} to {RSA_BITS_MAX} bits")
    if key.public_bytes(Encoding.DER, PublicFormat.PKCS1) != content:
        raise InvalidKey("an RSA key is written in DER, in one way only")
    return key.public_numbers()


def _subject_public_key_info(pkcs1: bytes) -> bytes:
    """PKCS#1 inside SubjectPublicKeyInfo with rsaEncryption (RFC 8017, A.1), as the reader wants it."""
    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    return _der(0x30, algorithm + _der(0x03, b"\0" + pkcs1))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content

"""Multihash: a digest that names its function and length. Source: draft-multiformats-multihash."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from icn_credentials import varint
from icn_credentials.faults import InvalidMultihash
from icn_credentials.multibase import BASE58BTC, decode_digits, encode_digits


@dataclass(frozen=True, slots=True)
class HashFunction:
    """A hash function with its number."""

    name: str
    code: int
    size_bytes: int
    digest: Callable[[bytes], bytes]


def _function(name: str, code: int, algorithm: str) -> HashFunction:
    def digest(content: bytes) -> bytes:
        return hashlib.new(algorithm, content, usedforsecurity=False).digest()

    return HashFunction(name, code, hashlib.new(algorithm, usedforsecurity=False).digest_size, digest)


FUNCTIONS: Final[Mapping[str, HashFunction]] = {
    function.name: function
    for function in (
        _function("sha1", 0x11, "sha1"),
        _function("sha2-256", 0x12, "sha256"),
        _function("sha2-512", 0x13, "sha512"),
        _function("sha3-512", 0x14, "sha3_512"),
        _function("sha3-384", 0x15, "sha3_384"),
        _function("sha3-256", 0x16, "sha3_256"),
        _function("sha3-224", 0x17, "sha3_224"),
        _function("sha2-384", 0x20, "sha384"),
    )
}
_BY_CODE: Final = {function.code: function for function in FUNCTIONS.values()}
SHA2_256: Final = FUNCTIONS["sha2-256"]


def multihash(function: HashFunction, content: bytes, size_bytes: int | None = None) -> bytes:
    """The multihash of the content, cut to its first ``size_bytes`` where given.

    Raises:
        InvalidMultihash: more bytes than the function has, or none.
    """
    digest = function.digest(content)
    size = len(digest) if size_bytes is None else size_bytes
    if not 0 < size <= len(digest):
        raise InvalidMultihash(f"{function.name} has {len(digest)} bytes, not {size}")
    return varint.encode(function.code) + varint.encode(size) + digest[:size]


def read(content: bytes) -> tuple[HashFunction, bytes]:
    """Function and digest of a multihash.

    Raises:
        InvalidMultihash: an unknown function, or a length that is not the digest's.
    """
    try:
        code, rest = varint.read(content)
        size, digest = varint.read(rest)
    except ValueError as error:
        raise InvalidMultihash(str(error)) from None
    function = _BY_CODE.get(code)
    if function is None:
        raise InvalidMultihash(f"hash function {code:#x} is not known")
    if len(digest) != size or not 0 < size <= function.size_bytes:
        raise InvalidMultihash(f"{len(digest)} bytes of digest, {size} announced")
    return function, digest


def base58_sha256(content: bytes) -> str:
    """base58btc(multihash(SHA-256)) without a multibase prefix, as did:webvh writes hashes."""
    return encode_digits(BASE58BTC, multihash(SHA2_256, content))


def is_base58_sha256(text: str) -> bool:
    """Whether the text is such a hash."""
    try:
        function, digest = read(decode_digits(BASE58BTC, text))
    except ValueError:
        return False
    return function is SHA2_256 and len(digest) == SHA2_256.size_bytes

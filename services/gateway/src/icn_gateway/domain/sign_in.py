"""Signing in: a challenge that only this gateway can have made, a session that only reads.

Source: docs/spec/gateway.md, "Sign-in".
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from icn_kit.errors import FailedPrecondition, InvalidArgument

CHALLENGE_MS = 2 * 60 * 1_000
"""Long enough for a person to find the passphrase of the keystore."""
SESSION_MS = 12 * 60 * 60 * 1_000
"""A day's work; a phone that is lost in the evening reads nothing in the morning."""
CODE_MS = 5 * 60 * 1_000
"""From the terminal to the phone."""
SESSIONS_MAX = 32
CODES_MAX = 8
"""Of one principal; beyond it the ones that end first go."""
SIGNATURES_MAX = 16
"""As many as a controller has keys."""

PRINCIPAL_BYTES = 16
NONCE_BYTES = 16
KEY_BYTES = 32
DIGEST_BYTES = 32
TOKEN_BYTES = 32
CODE_CHARACTERS = 12
CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: nothing that is read for something else. Twelve of them are 60 bits."""

_VERSION = b"\x01"
_CHALLENGE_BYTES = len(_VERSION) + PRINCIPAL_BYTES + 8 + NONCE_BYTES + DIGEST_BYTES
CHALLENGE_CHARACTERS = 2 * _CHALLENGE_BYTES


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a principal signs to show that it holds its keys."""

    principal: bytes
    """16 bytes."""
    expire_time_ms: int
    """Unix milliseconds by this gateway's clock."""
    content: bytes
    """The whole of it, as signed."""

    @property
    def digest(self) -> bytes:
        """Names it among those used, 32 bytes."""
        return sha256(self.content).digest()


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who has signed in."""

    principal: bytes
    keys_digest: bytes
    """`keys_digest` at sign-in; when the keys change the session ends."""
    expire_time_ms: int


def make_challenge(principal: bytes, key: bytes, nonce: bytes, now_ms: int) -> Challenge:
    """A challenge for ``principal``, under this gateway's own ``key``."""
    assert len(principal) == PRINCIPAL_BYTES and len(key) == KEY_BYTES and len(nonce) == NONCE_BYTES
    expire_time_ms = now_ms + CHALLENGE_MS
    body = _VERSION + principal + expire_time_ms.to_bytes(8, "big") + nonce
    return Challenge(principal, expire_time_ms, body + _tag(key, body))


def read_challenge(content: bytes, key: bytes, now_ms: int) -> Challenge:
    """The challenge in ``content``.

    Raises:
        InvalidArgument: CHALLENGE_MALFORMED, it was not made under ``key``.
        FailedPrecondition: CHALLENGE_EXPIRED.
    """
    body, tag = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    if len(content) != _CHALLENGE_BYTES or not hmac.compare_digest(tag, _tag(key, body)):
        raise InvalidArgument("CHALLENGE_MALFORMED", "this gateway has not made that challenge")
    expire_time_ms = int.from_bytes(body[1 + PRINCIPAL_BYTES : 1 + PRINCIPAL_BYTES + 8], "big")
    if expire_time_ms < now_ms:
        raise FailedPrecondition(
            "CHALLENGE_EXPIRED",
            f"it was good until {expire_time_ms}, it is {now_ms}",
            expire_time_ms=expire_time_ms,
            now_ms=now_ms,
        )
    return Challenge(body[1 : 1 + PRINCIPAL_BYTES], expire_time_ms, content)


def _tag(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")


def keys_digest(threshold: int, key_ids: Iterable[bytes]) -> bytes:
    """Stands for the keys that could sign in: another threshold or key gives another digest."""
    return sha256(threshold.to_bytes(4, "big") + b"".join(sorted(key_ids))).digest()


def secret_hash(secret: str) -> bytes:
    """What is stored of a token or code; they are random, so nothing slower is needed."""
    return sha256(secret.encode()).digest()


def make_code(random: bytes) -> str:
    """A code for people to read and type, from at least as many random bytes as it has characters."""
    assert len(random) >= CODE_CHARACTERS
    return "".join(CODE_ALPHABET[byte % len(CODE_ALPHABET)] for byte in random[:CODE_CHARACTERS])


def show_code(code: str) -> str:
    """In groups of four."""
    return "-".join(code[start : start + 4] for start in range(0, len(code), 4))


def read_code(text: str) -> str:
    """A code as typed: case, spaces and dashes do not matter, nor do O for 0 and I or L for 1.

    Raises:
        InvalidArgument: CODE_MALFORMED.
    """
    if len(text) > 4 * CODE_CHARACTERS:
        raise InvalidArgument("CODE_MALFORMED", "that is not a sign-in code")
    code = "".join(text.upper().split()).replace("-", "")
    code = code.replace("O", "0").replace("I", "1").replace("L", "1")
    if len(code) != CODE_CHARACTERS or not set(code) <= set(CODE_ALPHABET):
        raise InvalidArgument("CODE_MALFORMED", f"a sign-in code has {CODE_CHARACTERS} letters and digits")
    return code

"""Sealing per subject: what belongs to a person can be made unreadable by forgetting one key.

A subject's content is under AES-256-GCM with a key of its own, which is kept in the service's database under
the service's sealing key. That one is outside the database: a copy of the tables alone shows nothing.
Source: docs/spec/blobs.md.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from icn_kit.database import Connection
from icn_kit.errors import ErrorKind, InvalidArgument, RemoteError

KEY_BYTES = 32
NONCE_BYTES = 12
SUBJECT_CHARACTERS_MAX = 128

_MAKE = "INSERT INTO subject_keys (subject, wrapped) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_FIND = "SELECT wrapped FROM subject_keys WHERE subject = %s"
_FIND_LOCKED = "SELECT wrapped FROM subject_keys WHERE subject = %s FOR UPDATE"
_FORGET = "DELETE FROM subject_keys WHERE subject = %s"


class SealingKeyInvalid(ValueError):
    """The file is not a sealing key, or opens nothing of this database."""


def read_sealing_key(path: Path) -> bytes:
    """The service's sealing key.

    Raises:
        OSError: the file cannot be read.
        SealingKeyInvalid: it does not hold exactly 32 bytes.
    """
    with path.open("rb") as file:
        key = file.read(KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        raise SealingKeyInvalid(f"{path} holds other than {KEY_BYTES} bytes")
    return key


def create_sealing_statements() -> tuple[str, ...]:
    """What a service's migration executes, in its own schema, to get keys of subjects."""
    return (
        f"""
        CREATE TABLE subject_keys (
            subject text PRIMARY KEY CHECK (length(subject) BETWEEN 1 AND {SUBJECT_CHARACTERS_MAX}),
            wrapped bytea NOT NULL
        )
        """,
    )


class SubjectKey:
    """The key of one subject, opened."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, content: bytes, about: bytes) -> bytes:
        """Nonce ‖ ciphertext ‖ tag; ``about`` says what it is and must be given again to open it."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """The content.

        Raises:
            RemoteError: it was changed, or is of something else (SEAL_BROKEN, DATA_LOSS).
        """
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)
        except (InvalidTag, ValueError) as error:
            raise RemoteError(
                ErrorKind.DATA_LOSS, "SEAL_BROKEN", "what was sealed does not open any more"
            ) from error


class Sealer:
    """Finds, makes and forgets the keys of subjects."""

    def __init__(self, sealing_key: bytes) -> None:
        self._cipher = AESGCM(sealing_key)

    async def make(self, connection: Connection, subject: str) -> SubjectKey:
        """The subject's key, made unless it is there, and held for the rest of the transaction: nobody
        forgets it meanwhile, and whoever seals for the same subject waits.

        Raises:
            InvalidArgument: the subject's name is empty or too long (SUBJECT_INVALID).
        """
        if not 1 <= len(subject) <= SUBJECT_CHARACTERS_MAX:
            raise InvalidArgument(
                "SUBJECT_INVALID", f"a subject has 1 to {SUBJECT_CHARACTERS_MAX} characters"
            )
        while True:
            row = await (await connection.execute(_FIND_LOCKED, (subject,))).fetchone()
            if row is not None:
                return self._opened(subject, row[0])
            nonce = secrets.token_bytes(NONCE_BYTES)
            wrapped = nonce + self._cipher.encrypt(nonce, secrets.token_bytes(KEY_BYTES), subject.encode())
            await connection.execute(_MAKE, (subject, wrapped))

    async def find(self, connection: Connection, subject: str) -> SubjectKey | None:
        """The subject's key; None when it was never made or is forgotten."""
        row = await (await connection.execute(_FIND, (subject,))).fetchone()
        return None if row is None else self._opened(subject, row[0])

    async def forget(self, connection: Connection, subject: str) -> bool:
        """Make everything of the subject unreadable for ever; whether there was a key."""
        return (await connection.execute(_FORGET, (subject,))).rowcount > 0

    def _opened(self, subject: str, wrapped: bytes) -> SubjectKey:
        try:
            key = self._cipher.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], subject.encode())
        except InvalidTag as error:
            raise SealingKeyInvalid("the sealing key is not the one of this database") from error
        return SubjectKey(key)

"""Sign in by signature, as a program or through a one-time code; nothing here can sign.

Source: docs/spec/gateway.md, "Sign-in".
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from icn.kit.v1.command_pb2 import CommandSignature
from icn_crypto.sign_in import sign_in_preimage
from icn_kit.clock import Clock
from icn_kit.commands import KeyDirectory, PrincipalKeys, check_signatures
from icn_kit.errors import DomainError, Unauthenticated

from icn_gateway.domain.sign_in import (
    CODE_CHARACTERS,
    CODE_MS,
    NONCE_BYTES,
    SESSION_MS,
    TOKEN_BYTES,
    Challenge,
    Session,
    keys_digest,
    make_challenge,
    make_code,
    read_challenge,
    read_code,
    secret_hash,
)


class SessionStore(Protocol):
    """Where sessions are kept. Every method raises ``Unavailable`` when it cannot be reached."""

    async def challenge_key(self) -> bytes:
        """The key of challenges, 32 bytes, the same for every gateway of the zone."""
        ...

    async def add_session(
        self, token_hash: bytes, session: Session, challenge: Challenge, now_ms: int
    ) -> None:
        """Keep a session that a challenge has earned.

        Raises:
            FailedPrecondition: CHALLENGE_USED.
        """
        ...

    async def add_code(self, code_hash: bytes, session: Session, challenge: Challenge, now_ms: int) -> None:
        """Keep a code that a challenge has earned; ``session.expire_time_ms`` is the code's end. Raises as
        `add_session`."""
        ...

    async def exchange_code(
        self, code_hash: bytes, token_hash: bytes, expire_time_ms: int, now_ms: int
    ) -> Session | None:
        """Turn a code into a session that lasts until ``expire_time_ms``; None when there is none of it."""
        ...

    async def find(self, token_hash: bytes, now_ms: int) -> Session | None:
        """The session of a token."""
        ...

    async def end(self, token_hash: bytes) -> None:
        """Forget a session."""
        ...

    async def end_all(self, principal: bytes) -> int:
        """Forget every session and code of a principal; how many sessions there were."""
        ...


@dataclass(frozen=True, slots=True)
class Granted:
    """A session with the secret that opens it, told once."""

    token: str
    session: Session


@dataclass(frozen=True, slots=True)
class SignIn:
    """Everything that signing in needs; one per process.

    Args:
        origins: how this gateway is reached, ``https://icn.example``; the first is put into links.
    """

    genesis_hash: bytes
    origins: tuple[str, ...]
    store: SessionStore
    keys: KeyDirectory
    clock: Clock

    async def challenge(self, principal: bytes) -> Challenge:
        """Something to sign. It is not stored, so asking for many costs nothing here.

        Raises:
            Unauthenticated: CONTROLLER_UNKNOWN.
        """
        await self.keys.keys_of(principal)
        return make_challenge(
            principal,
            await self.store.challenge_key(),
            secrets.token_bytes(NONCE_BYTES),
            self.clock.now_ms(),
        )

    async def sign_in(self, content: bytes, signatures: Sequence[CommandSignature]) -> Granted:
        """A session for a program, which sends the token with each request.

        Raises:
            InvalidArgument: CHALLENGE_MALFORMED.
            FailedPrecondition: CHALLENGE_EXPIRED, CHALLENGE_USED.
            Unauthenticated: CONTROLLER_UNKNOWN, KEY_UNKNOWN, SIGN_IN_SIGNATURE_INVALID.
            PermissionDenied: KEY_SCOPED, THRESHOLD_NOT_MET.
        """
        challenge, digest, now_ms = await self._check(content, signatures)
        session = Session(challenge.principal, digest, now_ms + SESSION_MS)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        await self.store.add_session(secret_hash(token), session, challenge, now_ms)
        return Granted(token, session)

    async def make_code(self, content: bytes, signatures: Sequence[CommandSignature]) -> Granted:
        """A one-time code that signs a browser in. Raises as `sign_in`."""
        challenge, digest, now_ms = await self._check(content, signatures)
        session = Session(challenge.principal, digest, now_ms + CODE_MS)
        code = make_code(secrets.token_bytes(CODE_CHARACTERS))
        await self.store.add_code(secret_hash(code), session, challenge, now_ms)
        return Granted(code, session)

    async def use_code(self, text: str) -> Granted:
        """The session that a code opens, once.

        Raises:
            InvalidArgument: CODE_MALFORMED.
            Unauthenticated: CODE_UNKNOWN, it was used, has expired or never was.
        """
        code, now_ms = read_code(text), self.clock.now_ms()
        token = secrets.token_urlsafe(TOKEN_BYTES)
        session = await self.store.exchange_code(
            secret_hash(code), secret_hash(token), now_ms + SESSION_MS, now_ms
        )
        if session is None:
            raise Unauthenticated("CODE_UNKNOWN", "this code has been used, has expired, or never was one")
        return Granted(token, session)

    async def recognize(self, token: str) -> Session:
        """Whose token this is.

        Raises:
            Unauthenticated: SESSION_UNKNOWN: it has ended, by time, by its owner, or because the keys that
                signed in are no longer the principal's.
        """
        session = await self.store.find(secret_hash(token), self.clock.now_ms())
        if session is None or _digest(await self.keys.keys_of(session.principal)) != session.keys_digest:
            raise Unauthenticated("SESSION_UNKNOWN", "not signed in, or no longer")
        return session

    async def end(self, token: str) -> None:
        """End one session."""
        await self.store.end(secret_hash(token))

    async def end_all(self, principal: bytes) -> int:
        """End every session of a principal; how many there were."""
        return await self.store.end_all(principal)

    async def _check(
        self, content: bytes, signatures: Sequence[CommandSignature]
    ) -> tuple[Challenge, bytes, int]:
        now_ms = self.clock.now_ms()
        challenge = read_challenge(content, await self.store.challenge_key(), now_ms)
        known = await self.keys.keys_of(challenge.principal)
        if not self._is_signed(known, content, signatures):
            # A key that was just added counts at once.
            known = await self.keys.keys_of(challenge.principal, is_newest=True)
            self._check_signatures(known, content, signatures)
        return challenge, _digest(known), now_ms

    def _is_signed(self, keys: PrincipalKeys, content: bytes, signatures: Sequence[CommandSignature]) -> bool:
        try:
            self._check_signatures(keys, content, signatures)
        except DomainError:
            return False
        return True

    def _check_signatures(
        self, keys: PrincipalKeys, content: bytes, signatures: Sequence[CommandSignature]
    ) -> None:
        """Signed for one of our origins: what was signed for another gateway does not open this one."""
        failure: DomainError | None = None
        for origin in self.origins:
            try:
                check_signatures(keys, sign_in_preimage(self.genesis_hash, origin, content), signatures)
                return
            except DomainError as error:
                failure = error
        assert failure is not None, "there is at least one origin"
        if failure.reason == "COMMAND_SIGNATURE_INVALID":
            raise Unauthenticated(
                "SIGN_IN_SIGNATURE_INVALID",
                f"the signature does not hold for this challenge at {' or '.join(self.origins)}",
            )
        raise failure


def _digest(keys: PrincipalKeys) -> bytes:
    return keys_digest(keys.threshold, [key_id for key_id, key in keys.keys.items() if not key.is_scoped])

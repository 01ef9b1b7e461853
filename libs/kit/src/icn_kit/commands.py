"""Signed commands: what a member asks of a service, checked against the keys that the ledger knows.

Source: docs/spec/command.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from google.protobuf.message import Message
from icn.kit.v1.command_pb2 import CommandBody, CommandSignature, SignedCommand
from icn_crypto import tags
from icn_crypto.hashing import domain_hash, preimage
from icn_crypto.suites import KEY_ID_BYTES, SIGNATURE_BYTES, Suite, verify_batch
from icn_crypto.wire import MalformedBytes, NotCanonical, parse_canonical

from icn_kit.clock import Clock
from icn_kit.errors import (
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    Unauthenticated,
)

COMMAND_BYTES_MAX = 1_048_576
"""A photo of a phone, made smaller, with room to spare."""
COMMAND_LIFETIME_MS_MAX = 10 * 60 * 1000
AHEAD_MS_MAX = 2 * 60 * 1000
"""Clocks of phones are seldom further off."""
SIGNATURES_MAX = 16
"""As many as a controller has keys."""
PRINCIPAL_BYTES = 16
NONCE_BYTES = 16

RequestT = TypeVar("RequestT", bound=Message)


@dataclass(frozen=True, slots=True)
class DirectoryKey:
    """A key as a controller lists it."""

    public_keys: Mapping[int, bytes]
    """By suite."""
    is_scoped: bool
    """Whether it may sign only what its scope lists; commands never are."""


@dataclass(frozen=True, slots=True)
class PrincipalKeys:
    """Who may sign for a principal, as the ledger's newest executed state that is known here has it."""

    principal: bytes
    threshold: int
    """How many unscoped keys must sign."""
    keys: Mapping[bytes, DirectoryKey]
    """By key id."""
    sponsor: bytes
    """The organization that opened it, 16 bytes; empty for those of genesis."""


class KeyDirectory(Protocol):
    """Where keys are looked up; `icn_kit.key_directory` does so on the ledger."""

    async def keys_of(self, principal: bytes, *, is_newest: bool = False) -> PrincipalKeys:
        """The keys of ``principal`` (16 bytes).

        Args:
            is_newest: look again rather than answer from memory, as far as the directory's own limits let.

        Raises:
            Unauthenticated: there is no such controller (CONTROLLER_UNKNOWN).
            Unavailable: nobody can say now.
        """
        ...


@dataclass(frozen=True, slots=True)
class Command(Generic[RequestT]):
    """A command that its principal has signed; ``body`` and ``signatures`` are kept to show it later."""

    id: bytes
    """32 bytes; the idempotency key."""
    method: str
    principal: bytes
    """16 bytes."""
    issue_time_ms: int
    """By the member's clock: for order and display, never for a deadline."""
    expire_time_ms: int
    request: RequestT
    body: bytes
    """As received."""
    signatures: bytes
    """Canonical bytes of a SignedCommand without its body."""


def command_id(genesis_hash: bytes, body: bytes) -> bytes:
    """The id of a command with this body, 32 bytes."""
    return domain_hash(tags.COMMAND_ID, genesis_hash, body)


def command_preimage(genesis_hash: bytes, body: bytes) -> bytes:
    """What the signatures are over."""
    return preimage(tags.COMMAND, genesis_hash, body)


class CommandVerifier:
    """Reads and checks the commands of one zone."""

    def __init__(self, genesis_hash: bytes, keys: KeyDirectory, clock: Clock) -> None:
        self._genesis_hash = genesis_hash
        self._keys = keys
        self._clock = clock

    async def read(
        self, signed: SignedCommand, method: str, request_type: type[RequestT]
    ) -> Command[RequestT]:
        """The command in ``signed``, which came in a call of ``method`` (``/package.Service/Method``).

        Raises:
            InvalidArgument: COMMAND_MALFORMED, METHOD_MISMATCH.
            FailedPrecondition: COMMAND_EXPIRED, COMMAND_FROM_FUTURE.
            Unauthenticated: CONTROLLER_UNKNOWN, KEY_UNKNOWN, COMMAND_SIGNATURE_INVALID.
            PermissionDenied: KEY_SCOPED, THRESHOLD_NOT_MET.
            Unavailable: nobody could say which keys are the principal's.
        """
        body = _parse(CommandBody, signed.body)
        self._check_body(body, method)
        request = _parse(request_type, body.request)
        _check_signatures(signed.signatures)
        await self._check_signed(body.principal, signed)
        return Command(
            id=command_id(self._genesis_hash, signed.body),
            method=body.method,
            principal=body.principal,
            issue_time_ms=body.issue_time_ms,
            expire_time_ms=body.expire_time_ms,
            request=request,
            body=signed.body,
            signatures=SignedCommand(signatures=signed.signatures).SerializeToString(deterministic=True),
        )

    def _check_body(self, body: CommandBody, method: str) -> None:
        if body.method != method:
            raise InvalidArgument(
                "METHOD_MISMATCH", f"the command is for {body.method[:128]}, not for {method}", method=method
            )
        if len(body.principal) != PRINCIPAL_BYTES:
            raise _malformed(f"principal has {len(body.principal)} bytes, not {PRINCIPAL_BYTES}")
        if len(body.nonce) != NONCE_BYTES:
            raise _malformed(f"nonce has {len(body.nonce)} bytes, not {NONCE_BYTES}")
        lifetime_ms = body.expire_time_ms - body.issue_time_ms
        if not 0 < lifetime_ms <= COMMAND_LIFETIME_MS_MAX:
            raise _malformed(
                f"it expires {lifetime_ms} ms after its issue, not 1 to {COMMAND_LIFETIME_MS_MAX}"
            )
        now_ms = self._clock.now_ms()
        if body.issue_time_ms > now_ms + AHEAD_MS_MAX:
            raise FailedPrecondition(
                "COMMAND_FROM_FUTURE",
                f"it was issued at {body.issue_time_ms}, more than {AHEAD_MS_MAX} ms after {now_ms}",
                issue_time_ms=body.issue_time_ms,
                now_ms=now_ms,
            )
        if body.expire_time_ms < now_ms:
            raise FailedPrecondition(
                "COMMAND_EXPIRED",
                f"it expired at {body.expire_time_ms}, it is {now_ms}",
                expire_time_ms=body.expire_time_ms,
                now_ms=now_ms,
            )

    async def _check_signed(self, principal: bytes, signed: SignedCommand) -> None:
        """What is remembered decides where it says yes; before a no the ledger is asked again."""
        message = command_preimage(self._genesis_hash, signed.body)
        known = await self._keys.keys_of(principal)
        try:
            check_signatures(known, message, signed.signatures)
        except (Unauthenticated, PermissionDenied):
            newest = await self._keys.keys_of(principal, is_newest=True)
            if newest == known:
                raise
            check_signatures(newest, message, signed.signatures)


def check_signatures(keys: PrincipalKeys, message: bytes, signatures: Sequence[CommandSignature]) -> None:
    """Refuse signatures that are not the principal's over ``message`` or are too few.

    Raises:
        Unauthenticated: KEY_UNKNOWN, COMMAND_SIGNATURE_INVALID.
        PermissionDenied: KEY_SCOPED, THRESHOLD_NOT_MET.
    """
    items = []
    for signature in signatures:
        key = keys.keys.get(signature.key_id)
        public_key = None if key is None else key.public_keys.get(signature.suite)
        if key is None or public_key is None:
            raise Unauthenticated(
                "KEY_UNKNOWN",
                f"the principal has no key {signature.key_id.hex()} of suite {signature.suite}",
                key_id=signature.key_id.hex(),
                suite=signature.suite,
            )
        if key.is_scoped:
            raise PermissionDenied(
                "KEY_SCOPED",
                f"key {signature.key_id.hex()} may sign only what its scope lists",
                key_id=signature.key_id.hex(),
            )
        items.append((signature.suite, public_key, message, signature.signature))
    for signature, is_valid in zip(signatures, verify_batch(items), strict=True):
        if not is_valid:
            raise Unauthenticated(
                "COMMAND_SIGNATURE_INVALID",
                f"the signature of key {signature.key_id.hex()} does not hold for this command",
                key_id=signature.key_id.hex(),
            )
    if len(signatures) < keys.threshold:
        raise PermissionDenied(
            "THRESHOLD_NOT_MET",
            f"{len(signatures)} keys have signed, {keys.threshold} must",
            signatures=len(signatures),
            threshold=keys.threshold,
        )


def _check_signatures(signatures: Sequence[CommandSignature]) -> None:
    if not 1 <= len(signatures) <= SIGNATURES_MAX:
        raise _malformed(f"it has {len(signatures)} signatures, not 1 to {SIGNATURES_MAX}")
    before = b""
    for signature in signatures:
        if len(signature.key_id) != KEY_ID_BYTES or signature.key_id <= before:
            raise _malformed(f"key ids have {KEY_ID_BYTES} bytes and ascend, each once")
        before = signature.key_id
        length = _SIGNATURE_BYTES.get(signature.suite)
        if length is None or len(signature.signature) != length:
            raise _malformed(f"a signature of {len(signature.signature)} bytes in suite {signature.suite}")


_SIGNATURE_BYTES = {int(suite): SIGNATURE_BYTES[suite] for suite in Suite}


def _parse(message_type: type[RequestT], data: bytes) -> RequestT:
    try:
        return parse_canonical(message_type, data, COMMAND_BYTES_MAX)
    except (MalformedBytes, NotCanonical) as error:
        raise _malformed(str(error)) from error


def _malformed(message: str) -> InvalidArgument:
    return InvalidArgument("COMMAND_MALFORMED", message)

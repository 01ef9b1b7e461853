"""Commands: signed on the member's device, sent to the service that their method names.

Source: docs/spec/command.md. Transactions, which move credit and votes, are in `icn_client.transactions`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypeVar

from google.protobuf.message import Message
from icn.kit.v1.command_pb2 import CommandBody, CommandRequest, CommandSignature, SignedCommand
from icn_crypto import tags
from icn_crypto.hashing import domain_hash, preimage
from icn_crypto.suites import Suite

from icn_client.keystore import Identity
from icn_client.transactions import KeyPair

if TYPE_CHECKING:
    from icn_client.connection import Connection

NONCE_BYTES: Final = 16
LIFETIME_MS: Final = 10 * 60 * 1000
"""The longest that services take; what was sent may be sent again for so long."""

ResponseT = TypeVar("ResponseT", bound=Message)


def sign_command(
    genesis_hash: bytes,
    keys: Iterable[KeyPair],
    principal: bytes,
    method: str,
    request: Message,
    *,
    issue_time_ms: int | None = None,
    lifetime_ms: int = LIFETIME_MS,
) -> SignedCommand:
    """Sign ``request`` as a command.

    Args:
        genesis_hash: of the zone; the command is noise in every other one.
        keys: unscoped keys of the principal, as many as its threshold; any order.
        principal: who asks, 16 bytes.
        method: full name, ``/icn.marketplace.v1.MarketplaceService/AcceptOffer``.
        request: the inner message, an ``AcceptOffer``.
        issue_time_ms: unix milliseconds; now where left out.
        lifetime_ms: 1 to LIFETIME_MS.
    """
    issued_ms = time.time_ns() // 1_000_000 if issue_time_ms is None else issue_time_ms
    body = CommandBody(
        method=method,
        principal=principal,
        issue_time_ms=issued_ms,
        expire_time_ms=issued_ms + lifetime_ms,
        nonce=secrets.token_bytes(NONCE_BYTES),
        request=request.SerializeToString(deterministic=True),
    ).SerializeToString(deterministic=True)
    message = preimage(tags.COMMAND, genesis_hash, body)
    signatures = [
        CommandSignature(suite=int(Suite.ED25519), key_id=key.key_id, signature=key.sign(message))
        for key in sorted(keys, key=lambda key: key.key_id)
    ]
    return SignedCommand(body=body, signatures=signatures)


def command_id(genesis_hash: bytes, signed: SignedCommand) -> bytes:
    """The command's id, 32 bytes: the same for a repeat, whoever carries it."""
    return domain_hash(tags.COMMAND_ID, genesis_hash, signed.body)


def method_of(signed: SignedCommand) -> str:
    """The method that a command is for."""
    method: str = CommandBody.FromString(signed.body).method
    return method


def service_of(method: str) -> str:
    """The service that answers a method: ``/icn.marketplace.v1.…`` is of ``marketplace``."""
    return method.split(".")[1]


async def send_command(
    connection: Connection, signed: SignedCommand, response_type: type[ResponseT]
) -> ResponseT:
    """Send a command to its service; sending it again is harmless and gets the first answer.

    Raises:
        DomainError: the service's refusal, or Unavailable when it does not answer.
    """
    return await connection.call_service(method_of(signed), CommandRequest(command=signed), response_type)


async def command(
    connection: Connection,
    identity: Identity,
    method: str,
    request: Message,
    response_type: type[ResponseT],
) -> ResponseT:
    """Sign ``request`` with the identity's keys, up to its threshold, and send it.

    Raises:
        DomainError: as `send_command`.
    """
    signed = sign_command(
        connection.genesis.hash, identity.keys[: identity.threshold], identity.principal, method, request
    )
    return await send_command(connection, signed, response_type)

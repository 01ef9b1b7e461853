"""Bring a signed command to the service that it names, its bytes untouched."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import DecodeError, Message
from icn.kit.v1.command_pb2 import CommandBody, SignedCommand
from icn_kit.commands import COMMAND_BYTES_MAX, command_id
from icn_kit.errors import DeadlineExceeded, DomainError, InvalidArgument, Unavailable

from icn_gateway.usecases.contracts import COMMANDS, Method
from icn_gateway.usecases.ports import Services

SIGNED_COMMAND_BYTES_MAX = COMMAND_BYTES_MAX + 65_536
"""The largest body, and sixteen signatures of the largest suite."""
METHOD_CHARACTERS_SHOWN = 128


class CommandFailed(Exception):
    """No answer: the service may or may not have done it. Sending the same bytes again is safe."""

    def __init__(self, cause: DomainError, command: bytes) -> None:
        super().__init__(cause.message)
        self.cause = cause
        self.command_id = command


@dataclass(frozen=True, slots=True)
class NamedCommand:
    """A command of which only the name and the method have been read."""

    id: bytes
    """32 bytes; the idempotency key."""
    method: Method
    signed: bytes
    """A serialized SignedCommand, as received."""
    content: bytes = b""
    """The file beside it, for calls that take one; the command names its digest."""


def name_command(signed: bytes, genesis_hash: bytes, content: bytes = b"") -> NamedCommand:
    """Read as much of ``signed`` as says where it goes; everything else is for the service to judge.

    Raises:
        InvalidArgument: COMMAND_MALFORMED, METHOD_UNKNOWN, CONTENT_UNEXPECTED.
    """
    if not 1 <= len(signed) <= SIGNED_COMMAND_BYTES_MAX:
        raise InvalidArgument(
            "COMMAND_MALFORMED", f"{len(signed)} bytes, not 1 to {SIGNED_COMMAND_BYTES_MAX}"
        )
    try:
        body = SignedCommand.FromString(signed).body
        named = CommandBody.FromString(body).method
    except DecodeError:
        raise InvalidArgument("COMMAND_MALFORMED", "the bytes are no SignedCommand") from None
    if not body:
        raise InvalidArgument("COMMAND_MALFORMED", "the command has no body")
    if (method := COMMANDS.get(named)) is None:
        raise InvalidArgument(
            "METHOD_UNKNOWN", f"no service takes commands at {named[:METHOD_CHARACTERS_SHOWN]!r}"
        )
    if content and not method.takes_content:
        raise InvalidArgument(
            "CONTENT_UNEXPECTED", f"{method.name} takes no file", size_bytes=len(content), size_bytes_max=0
        )
    return NamedCommand(command_id(genesis_hash, body), method, signed, content)


async def send_command(command: NamedCommand, services: Services) -> Message:
    """The service's answer. The same bytes give the same answer however often they are sent: the id is the
    service's idempotency key.

    Raises:
        CommandFailed: no answer in time.
        DomainError: the service refused it, with its reason.
    """
    try:
        return await services.send(command.method, _request(command))
    except (Unavailable, DeadlineExceeded) as cause:
        raise CommandFailed(cause, command.id) from cause


def _request(command: NamedCommand) -> bytes:
    """A request of the command and its content: the bytes of both stay exactly what they were."""
    request = _field(1, command.signed)
    return request + _field(2, command.content) if command.content else request


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of the protobuf wire format."""
    length, prefix = len(content), bytearray([number << 3 | 2])
    while length > 0x7F:
        prefix.append(0x80 | length & 0x7F)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + content

"""Expected refusals, the same inside a service, on the wire and in a client.

A domain error becomes a gRPC status with ``google.rpc.ErrorInfo`` in the server (`icn_kit.server`) and
comes back as a domain error in the caller (`from_rpc_error`). This module imports no grpc until an error
crosses the wire.

Source: the carrier is google/rpc/error_details.proto; the reasons stand beside each RPC in ``protos/``.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import grpc

ERROR_DOMAIN = "icn"
"""``ErrorInfo.domain`` of everything this platform says."""

STATUS_DETAILS_KEY = "grpc-status-details-bin"
"""Trailing metadata in which gRPC carries a serialized google.rpc.Status."""

MESSAGE_CHARACTERS_MAX = 512
"""A status travels in HTTP/2 trailers, for which gRPC allows 8 KiB in all by default."""
LASTING_REASONS = frozenset({"MALFORMED_TRANSACTION", "SIGNATURE_INVALID"})
"""Refusals of a transaction that no other validator and no later block takes back."""

METADATA_ENTRIES_MAX = 16
METADATA_CHARACTERS_MAX = 128
"""Sixteen entries of this size stay below the 8 KiB of trailers."""


class ErrorKind(Enum):
    """How a caller should react: the gRPC status codes by name; the value is the code's number."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class DomainError(Exception):
    """A refusal that the caller is told: what kind, which stable reason, and the values that were compared.

    Subclasses set ``kind`` and ``reason``; clients and translations match on the reason
    (UPPER_SNAKE_CASE), never on the message. Metadata values become strings on the wire, where only the
    first sixteen are kept.
    """

    kind: ErrorKind = ErrorKind.INTERNAL
    reason: str = "INTERNAL"
    retry_after_ms: int = 0
    """When trying again makes sense, 0 where that cannot be said; on the wire google.rpc.RetryInfo."""

    def __init__(self, message: str, /, **metadata: object) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: dict[str, object] = metadata

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.kind.name}, {self.reason}, {self.message!r})"


class _Reasoned(DomainError):
    """A domain error whose reason is given where it is raised."""

    def __init__(self, reason: str, message: str, /, **metadata: object) -> None:
        super().__init__(message, **metadata)
        self.reason = reason


class InvalidArgument(_Reasoned):
    """The request is wrong whatever the state of the system."""

    kind = ErrorKind.INVALID_ARGUMENT


class NotFound(_Reasoned):
    """What the request names does not exist, or the caller may not know that it does."""

    kind = ErrorKind.NOT_FOUND


class AlreadyExists(_Reasoned):
    """What the request wants to make is there already."""

    kind = ErrorKind.ALREADY_EXISTS


class FailedPrecondition(_Reasoned):
    """The request is sound, the state of the system does not allow it."""

    kind = ErrorKind.FAILED_PRECONDITION


class PermissionDenied(_Reasoned):
    """The caller is known and may not do this."""

    kind = ErrorKind.PERMISSION_DENIED


class Unauthenticated(_Reasoned):
    """The caller did not show who it is."""

    kind = ErrorKind.UNAUTHENTICATED


class ResourceExhausted(_Reasoned):
    """A limit or an allowance is used up."""

    kind = ErrorKind.RESOURCE_EXHAUSTED


class Unavailable(_Reasoned):
    """Try again later; for anything but a read, the outcome of this try is unknown."""

    kind = ErrorKind.UNAVAILABLE


class DeadlineExceeded(_Reasoned):
    """The time for the call ran out; its outcome is unknown."""

    kind = ErrorKind.DEADLINE_EXCEEDED


class RemoteError(_Reasoned):
    """A status of another kind that a peer answered with; most often its bug (INTERNAL) or ours
    (UNIMPLEMENTED)."""

    def __init__(self, kind: ErrorKind, reason: str, message: str, /, **metadata: object) -> None:
        super().__init__(reason, message, **metadata)
        self.kind = kind


_BY_KIND: dict[ErrorKind, type[_Reasoned]] = {
    error.kind: error
    for error in (
        InvalidArgument,
        NotFound,
        AlreadyExists,
        FailedPrecondition,
        PermissionDenied,
        Unauthenticated,
        ResourceExhausted,
        Unavailable,
        DeadlineExceeded,
    )
}


def make_error(kind: ErrorKind, reason: str, message: str, /, **metadata: object) -> DomainError:
    """The ready class of ``kind`` with these values, `RemoteError` where there is none."""
    ready = _BY_KIND.get(kind)
    if ready is None:
        return RemoteError(kind, reason, message, **metadata)
    return ready(reason, message, **metadata)


def status_details(error: DomainError) -> bytes:
    """The serialized ``google.rpc.Status`` of ``error``, cut to what fits into trailers."""
    from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
    from google.rpc.status_pb2 import Status

    entries = list(error.metadata.items())[:METADATA_ENTRIES_MAX]
    information = ErrorInfo(
        reason=error.reason,
        domain=ERROR_DOMAIN,
        metadata={
            name[:METADATA_CHARACTERS_MAX]: str(value)[:METADATA_CHARACTERS_MAX] for name, value in entries
        },
    )
    status = Status(code=error.kind.value, message=error.message[:MESSAGE_CHARACTERS_MAX])
    status.details.add().Pack(information)
    if error.retry_after_ms:
        delay = RetryInfo()
        delay.retry_delay.FromMilliseconds(error.retry_after_ms)
        status.details.add().Pack(delay)
    serialized: bytes = status.SerializeToString()
    return serialized


def from_rpc_error(error: grpc.RpcError) -> DomainError:
    """The domain error that a failed call carries.

    Without a readable ErrorInfo of this platform the reason is the status' name (for instance
    ``UNAVAILABLE`` when nobody listens at the address).
    """
    code: Any = error.code()
    kind = (
        ErrorKind[code.name] if code is not None and code.name in ErrorKind.__members__ else ErrorKind.UNKNOWN
    )
    message = error.details() or ""
    for name, value in error.trailing_metadata() or ():
        if name == STATUS_DETAILS_KEY:
            found = _read_details(value)
            if found is not None:
                reason, metadata, retry_after_ms = found
                refusal = make_error(kind, reason, message, **metadata)
                refusal.retry_after_ms = retry_after_ms
                return refusal
    return make_error(kind, kind.name, message)


def _read_details(details: bytes) -> tuple[str, dict[str, str], int] | None:
    from google.protobuf.message import DecodeError
    from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
    from google.rpc.status_pb2 import Status

    information, delay, is_ours = ErrorInfo(), RetryInfo(), False
    try:
        for detail in Status.FromString(details).details:
            if not is_ours and detail.Unpack(information):
                is_ours = information.domain == ERROR_DOMAIN
            detail.Unpack(delay)
    except DecodeError:
        return None
    if not is_ours:
        return None
    return information.reason, dict(information.metadata), max(0, delay.retry_delay.ToMilliseconds())

from __future__ import annotations

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from icn_kit.errors import (
    METADATA_CHARACTERS_MAX,
    METADATA_ENTRIES_MAX,
    STATUS_DETAILS_KEY,
    DomainError,
    ErrorKind,
    InvalidArgument,
    NotFound,
    RemoteError,
    ResourceExhausted,
    Unavailable,
    from_rpc_error,
    make_error,
    status_details,
)

TRAILERS_BYTES_MAX = 8 * 1024
"""gRPC's default limit of metadata."""


class CreditLimitExceeded(DomainError):
    kind = ErrorKind.FAILED_PRECONDITION
    reason = "CREDIT_LIMIT_EXCEEDED"


def failed_call(
    code: grpc.StatusCode, details: str = "", trailers: tuple[tuple[str, bytes], ...] = ()
) -> grpc.RpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), details)


def carried(error: DomainError) -> DomainError:
    code = grpc.StatusCode[error.kind.name]
    return from_rpc_error(failed_call(code, error.message, ((STATUS_DETAILS_KEY, status_details(error)),)))


def test_kinds_are_the_grpc_codes_by_name_and_number() -> None:
    codes = {code.name: code.value[0] for code in grpc.StatusCode if code is not grpc.StatusCode.OK}
    assert {kind.name: kind.value for kind in ErrorKind} == codes


def test_a_refusal_arrives_with_its_kind_reason_and_numbers() -> None:
    arrived = carried(CreditLimitExceeded("too low", balance_minor=-120, floor_minor=-100))
    assert arrived.kind is ErrorKind.FAILED_PRECONDITION
    assert arrived.reason == "CREDIT_LIMIT_EXCEEDED"
    assert arrived.message == "too low"
    assert arrived.metadata == {"balance_minor": "-120", "floor_minor": "-100"}


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_kind_arrives_as_itself(kind: ErrorKind) -> None:
    sent = make_error(kind, "SOME_REASON", "said")
    arrived = carried(sent)
    assert type(arrived) is type(sent)
    assert (arrived.kind, arrived.reason, arrived.message) == (kind, "SOME_REASON", "said")


def test_ready_classes_can_be_caught_by_what_they_mean() -> None:
    assert isinstance(carried(NotFound("NO_ACCOUNT", "no such account")), NotFound)
    assert isinstance(carried(RemoteError(ErrorKind.ABORTED, "RACE", "lost")), RemoteError)


def test_metadata_may_have_the_names_of_the_arguments() -> None:
    error = InvalidArgument("BAD", "bad", reason="inner", message="text", self="me")
    assert error.metadata == {"reason": "inner", "message": "text", "self": "me"}
    assert error.reason == "BAD"


@pytest.mark.parametrize("retry_after_ms", [0, 1, 2_500])
def test_when_to_try_again_arrives_as_retry_info(retry_after_ms: int) -> None:
    sent = ResourceExhausted("POOL_FULL", "no room", held=7)
    sent.retry_after_ms = retry_after_ms
    arrived = carried(sent)
    assert (arrived.retry_after_ms, arrived.reason) == (retry_after_ms, "POOL_FULL")
    details = Status.FromString(status_details(sent)).details
    assert any(detail.Is(RetryInfo.DESCRIPTOR) for detail in details) == (retry_after_ms > 0), (
        "where nothing can be said nothing is"
    )


def test_nobody_at_the_address_is_unavailable() -> None:
    arrived = from_rpc_error(failed_call(grpc.StatusCode.UNAVAILABLE, "connection refused"))
    assert isinstance(arrived, Unavailable)
    assert arrived.reason == "UNAVAILABLE"


@given(st.binary(max_size=200))
def test_garbage_in_the_trailers_still_gives_an_error(garbage: bytes) -> None:
    call = failed_call(grpc.StatusCode.NOT_FOUND, "gone", ((STATUS_DETAILS_KEY, garbage),))
    assert isinstance(from_rpc_error(call), NotFound)


def test_error_information_of_another_domain_is_not_ours() -> None:
    status = Status(code=5, message="gone")
    status.details.add().Pack(ErrorInfo(reason="THEIRS", domain="example.org"))
    trailers = ((STATUS_DETAILS_KEY, status.SerializeToString()),)
    assert from_rpc_error(failed_call(grpc.StatusCode.NOT_FOUND, "gone", trailers)).reason == "NOT_FOUND"


@given(
    st.text(max_size=5_000),
    st.dictionaries(st.text(min_size=1, max_size=300), st.text(max_size=3_000), max_size=40),
)
def test_a_status_stays_below_the_limit_of_trailers(message: str, metadata: dict[str, str]) -> None:
    error = InvalidArgument("TOO_MUCH", message)
    error.metadata = dict(metadata)
    information = ErrorInfo()
    status = Status.FromString(status_details(error))
    assert status.details[0].Unpack(information)
    assert len(information.metadata) <= METADATA_ENTRIES_MAX
    assert all(len(value) <= METADATA_CHARACTERS_MAX for value in information.metadata.values())


def test_the_largest_status_of_plain_text_fits_into_trailers() -> None:
    error = InvalidArgument("R" * 64, "m" * 10_000)
    error.metadata = {f"{number:03}" + "n" * 1_000: "v" * 1_000 for number in range(50)}
    in_base64 = len(status_details(error)) * 4 // 3 + 3
    assert in_base64 + len(error.message[:512]) < TRAILERS_BYTES_MAX

"""This validator's application: over gRPC on a unix socket, or in the same process without a connection.

Source: protos/icn/consensus/v1/application.proto.
A call over a socket costs 0.4 ms of CPU time whatever it holds, and a view makes half a dozen.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import grpc
import structlog
from icn.consensus.v1 import application_pb2
from icn.consensus.v1.application_pb2_grpc import ApplicationServiceStub
from icn_kit.channel import ChannelFactory
from icn_kit.errors import DeadlineExceeded, DomainError, ErrorKind, RemoteError, from_rpc_error

from icn_consensus.domain.actions import Branch
from icn_consensus.domain.block import ExecutedState
from icn_consensus.usecases.pool import Place
from icn_consensus.usecases.ports import (
    AncestorUnknown,
    ApplicationRefused,
    Choice,
    Execution,
    FinalBlock,
    RestoredBlock,
    StateBehind,
    TransactionCheck,
)

CALL_SECONDS_MAX: Final = 10.0
"""For a look at the state; it takes milliseconds unless the node is overloaded."""
EXECUTE_SECONDS_MAX: Final = 60.0
"""For a full block on a slow disk. When it passes, the same call is made again: it is executed once."""
RESTORE_SECONDS_MAX: Final = 1_800.0
"""For a state of gigabytes."""
RETRY_SECONDS: Final = 0.2
"""Between tries while the application is away."""
_RETRIED: Final = (ErrorKind.UNAVAILABLE, ErrorKind.DEADLINE_EXCEEDED, ErrorKind.CANCELLED)

Answer = TypeVar("Answer")
_log = structlog.get_logger(__name__)


def execute_request(block: FinalBlock) -> Any:
    """The ExecuteBlockRequest of a final block."""
    return application_pb2.ExecuteBlockRequest(
        header=block.header,
        transactions=block.transactions,
        finalization=block.finalization,
        descendant_headers=block.descendant_headers,
        parent_certificate=block.parent_certificate,
        recovery=block.recovery,
        traces=[
            application_pb2.BlockTrace(index=index, traceparent=traceparent)
            for index, traceparent in block.traces
        ],
    )


class ApplicationCalls(ABC):
    """`usecases.ports.Application` as calls of ApplicationService, however they are carried."""

    @property
    @abstractmethod
    def _stub(self) -> Any:
        """What has a method per call: (request, *, timeout) → awaitable answer."""

    async def get_info(self) -> tuple[bytes, int, ExecutedState]:
        """Genesis hash, newest protocol version, newest state; waits until the application answers.

        Raises:
            DomainError: it answers with an error.
        """
        answer = await self._persistently(lambda: self._stub.GetInfo(application_pb2.GetInfoRequest()))
        return answer.genesis_hash, answer.protocol_version, _state(answer.state)

    async def validator_set(self, set_hash: bytes) -> bytes:
        """Canonical bytes of a set that a state has named; waits until the application answers.

        Raises:
            DomainError: it knows no such set.
        """
        request = application_pb2.GetValidatorSetRequest(hash=set_hash)
        answer = await self._persistently(lambda: self._stub.GetValidatorSet(request))
        data: bytes = answer.validator_set
        return data

    async def check_recovery(self, certificate: bytes) -> None:
        """Pass when a certificate may begin its epoch.

        Raises:
            DomainError: it may not, its block is not executed, or the application is away.
        """
        request = application_pb2.CheckRecoveryRequest(certificate=certificate)
        await _answered(self._stub.CheckRecovery(request))

    async def check(self, transactions: Sequence[bytes]) -> list[TransactionCheck]:
        """Verdicts on at most 1,000 transactions, in order.

        Raises:
            DomainError: the application is away or overloaded.
        """
        request = application_pb2.CheckTransactionsRequest(transactions=transactions)
        answer = await _answered(self._stub.CheckTransactions(request))
        return [
            TransactionCheck(
                check.transaction_id,
                check.reason,
                check.message,
                check.expire_time_ms,
                check.executed_height,
                Place(check.payer, check.lane, check.sequence, check.lane_sequence),
            )
            for check in answer.checks
        ]

    async def prepare(
        self,
        branch: Branch,
        epoch: int,
        time_ms: int,
        candidates: Sequence[bytes],
        *,
        size_bytes_max: int,
        transactions_max: int,
    ) -> Choice:
        """Choose for a proposal.

        Raises:
            AncestorUnknown, StateBehind: see there.
            DomainError: the application is away or refuses the request.
        """
        request = application_pb2.PrepareBlockRequest(
            branch=_branch(branch),
            epoch=epoch,
            time_ms=time_ms,
            candidates=candidates,
            size_bytes_max=size_bytes_max,
            transactions_max=transactions_max,
        )
        answer = await _judged(self._stub.PrepareBlock(request))
        return Choice(tuple(answer.chosen), tuple(refused.index for refused in answer.refused))

    async def validate(
        self,
        block_hash: bytes,
        branch: Branch,
        epoch: int,
        time_ms: int,
        transactions: Sequence[bytes],
        *,
        recovery: bytes,
    ) -> str:
        """Reason why a block is not valid, empty when it is.

        Raises:
            AncestorUnknown, StateBehind: see there.
            DomainError: the application is away or refuses the request.
        """
        request = application_pb2.ValidateBlockRequest(
            block_hash=block_hash,
            branch=_branch(branch),
            epoch=epoch,
            time_ms=time_ms,
            transactions=transactions,
            recovery=recovery,
        )
        answer = await _judged(self._stub.ValidateBlock(request))
        reason: str = answer.reason
        return reason

    async def execute(self, block: FinalBlock) -> Execution:
        """Execute the next final block; waits through restarts of the application.

        Raises:
            ApplicationRefused: it will never execute this block.
        """
        request = execute_request(block)
        try:
            answer = await self._persistently(
                lambda: self._stub.ExecuteBlock(request, timeout=EXECUTE_SECONDS_MAX)
            )
        except DomainError as error:
            message = f"block {block.height} is refused: {error.reason}: {error.message}"
            raise ApplicationRefused(error.reason, message) from error
        outcomes = [(outcome.transaction_id, outcome.receipt) for outcome in answer.outcomes]
        sequences = [(outcome.lane, outcome.sequence) for outcome in answer.outcomes if outcome.lane]
        return Execution(_state(answer.state), outcomes, sequences)

    async def snapshot(self) -> bytes:
        """The newest snapshot that is kept, empty where none is.

        Raises:
            DomainError: the application is away.
        """
        answer = await _answered(self._stub.GetSnapshot(application_pb2.GetSnapshotRequest()))
        data: bytes = answer.snapshot
        return data

    async def snapshot_chunk(self, digest: bytes) -> bytes:
        """A chunk of a snapshot, empty where it is not kept.

        Raises:
            DomainError: the application is away.
        """
        request = application_pb2.GetSnapshotChunkRequest(digest=digest)
        try:
            answer = await _answered(self._stub.GetSnapshotChunk(request))
        except DomainError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                return b""
            raise
        data: bytes = answer.chunk
        return data

    async def offer_snapshot(self, snapshot: bytes) -> tuple[int, tuple[bytes, ...]]:
        """Begin to restore a snapshot: its height, and the chunks that are missing.

        Raises:
            DomainError: it is refused, or the application is away.
        """
        request = application_pb2.OfferSnapshotRequest(snapshot=snapshot)
        answer = await _answered(self._stub.OfferSnapshot(request, timeout=EXECUTE_SECONDS_MAX))
        return answer.height, tuple(answer.missing)

    async def put_snapshot_chunk(self, chunk: bytes) -> None:
        """Hand over the next chunk that is missing.

        Raises:
            DomainError: it is refused, or the application is away.
        """
        request = application_pb2.PutSnapshotChunkRequest(chunk=chunk)
        await _answered(self._stub.PutSnapshotChunk(request, timeout=EXECUTE_SECONDS_MAX))

    async def restore_snapshot(self) -> None:
        """Make the snapshot the state.

        Raises:
            DomainError: it is refused, or the application is away.
        """
        request = application_pb2.RestoreSnapshotRequest()
        await _answered(self._stub.RestoreSnapshot(request, timeout=RESTORE_SECONDS_MAX))

    async def restored(self) -> RestoredBlock | None:
        """The block whose state was restored, while none was executed after it; waits until the application
        answers."""
        answer = await self._persistently(lambda: self._stub.GetInfo(application_pb2.GetInfoRequest()))
        if not answer.HasField("restored"):
            return None
        found = answer.restored
        return RestoredBlock(found.header, found.finalization, tuple(found.descendant_headers))

    async def _persistently(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Make an idempotent call until it is answered."""
        has_told = False
        while True:
            try:
                return await _answered(call())
            except DomainError as error:
                if error.kind not in _RETRIED:
                    raise
                if not has_told:
                    _log.warning("application is away", reason=error.reason, problem=error.message)
                    has_told = True
            await asyncio.sleep(RETRY_SECONDS)


class ApplicationClient(ApplicationCalls):
    """`usecases.ports.Application` at an address."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channels = ChannelFactory(call_seconds=CALL_SECONDS_MAX)

    @property
    def _stub(self) -> Any:
        return self._channels.stub(ApplicationServiceStub, self._address)

    async def close(self) -> None:
        """Cut the connection."""
        await self._channels.close()


class LocalApplication(ApplicationCalls):
    """`usecases.ports.Application` in the same process."""

    def __init__(self, service: Callable[[], Any]) -> None:
        """``service``: finds what has a method per call: (request, context) → awaitable answer."""
        self._find = service

    @property
    def _stub(self) -> Any:
        return _Methods(self._find())

    async def close(self) -> None:
        """Nothing is open."""


class _Methods:
    """A service as a stub. Refusals are raised as they are; of a fault no more is told than over a socket."""

    def __init__(self, service: Any) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._service, name)

        async def call(request: Any, timeout: float = CALL_SECONDS_MAX) -> Any:  # noqa: ASYNC109 - as gRPC's
            limit = asyncio.timeout(timeout)
            try:
                async with limit:
                    return await method(request, None)
            except DomainError:
                raise
            except Exception as error:  # noqa: BLE001 - the edge of the service, as the interceptor's
                if limit.expired():
                    message = f"no answer to {name} within {timeout:g} seconds"
                    raise DeadlineExceeded("DEADLINE_EXCEEDED", message) from None
                _log.error("call failed", method=name, exc_info=error)
                raise RemoteError(ErrorKind.INTERNAL, "INTERNAL", "internal error") from None

        return call


async def _answered(call: Awaitable[Answer]) -> Answer:
    try:
        return await call
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error


async def _judged(call: Awaitable[Answer]) -> Answer:
    try:
        return await _answered(call)
    except DomainError as error:
        if error.reason == "ANCESTOR_UNKNOWN":
            raise AncestorUnknown(error.message) from error
        if error.reason == "STATE_BEHIND":
            raise StateBehind(error.message) from error
        raise


def _branch(branch: Branch) -> application_pb2.Branch:
    return application_pb2.Branch(executed_height=branch.executed_height, unexecuted=branch.unexecuted)


def _state(state: application_pb2.ExecutedState) -> ExecutedState:
    return ExecutedState(
        executed_height=state.executed_height,
        time_ms=state.time_ms,
        state_root=state.state_root,
        receipts_root=state.receipts_root,
        log_root=state.log_root,
        has_changed_state=state.has_changed_state,
        next_expiry_time_ms=state.next_expiry_time_ms,
        next_validator_set=state.next_validator_set,
    )

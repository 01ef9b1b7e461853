# ruff: noqa: N802, D102 - gRPC names the methods, the proto describes them
"""ConsensusService: the validator's door for clients. Source: protos/icn/consensus/v1/service.proto."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

from icn.consensus.v1 import service_pb2, service_pb2_grpc
from icn_chain.validator_set import NO_SEAT
from icn_kit.errors import InvalidArgument, ResourceExhausted
from icn_kit.pages import PageTokens, check_page_size

from icn_consensus.api.sinks import CallSink, StreamSink
from icn_consensus.domain.replica import Status
from icn_consensus.usecases.admission import POOL_FULL
from icn_consensus.usecases.ends import News
from icn_consensus.usecases.get_node import NodeReader, PeerState
from icn_consensus.usecases.get_status import StatusReader
from icn_consensus.usecases.ports import Evidence, EvidenceStore, StoredChain, Submissions
from icn_consensus.usecases.read_final_blocks import get_finality, list_final_blocks

STREAM_TRANSACTIONS: Final = "/icn.consensus.v1.ConsensusService/StreamTransactions"
TRANSACTIONS_MAX: Final = 1_000
"""Of one call or message."""
WAIT_MS_MAX: Final = 30_000
EVIDENCE_PAGE_DEFAULT: Final = 50
EVIDENCE_PAGE_MAX: Final = 500
EVIDENCE_PAGE_BYTES: Final = 1_048_576
"""A page ends with the read that reaches it: a proof may be of 56 KiB, a message of 8 MiB."""
EVIDENCE_READ_MAX: Final = 16
"""Proofs read at once."""
EVIDENCE: Final = "evidence"
"""What its page tokens are bound to."""
PLACE_NUMBER_BYTES: Final = 8
FIRST_PLACE: Final = (2**63 - 1, 0)
"""Behind every epoch that a zone reaches."""


class ConsensusServicer(service_pb2_grpc.ConsensusServiceServicer):
    """The RPCs; errors become statuses in the interceptor."""

    def __init__(  # noqa: PLR0917 - one part per kind of call
        self,
        submissions: Submissions,
        status: StatusReader,
        node: NodeReader,
        evidence: EvidenceStore,
        blocks: StoredChain,
        submit_recovery: Callable[[bytes], Awaitable[tuple[bool, Status]]],
    ) -> None:
        self._submissions = submissions
        self._submit_recovery = submit_recovery
        self._status = status
        self._node = node
        self._evidence = evidence
        self._blocks = blocks
        self._tokens = PageTokens(status.genesis_hash)

    async def SubmitTransactions(self, request: Any, _context: Any) -> service_pb2.SubmitTransactionsResponse:
        count = len(request.transactions)
        if count == 0:
            raise InvalidArgument("NO_TRANSACTIONS", "at least one transaction")
        _check_count(count)
        if request.wait_ms > WAIT_MS_MAX:
            raise InvalidArgument(
                "WAIT_TOO_LONG",
                f"wait_ms is {request.wait_ms}, at most {WAIT_MS_MAX}",
                wait_ms=request.wait_ms,
                wait_ms_max=WAIT_MS_MAX,
            )
        sink = CallSink(count)
        try:
            await self._submissions.submit(request.transactions, sink, 0)
            news = await sink.wait(request.wait_ms / 1000)
        finally:
            sink.close()
        if all(one.reason == POOL_FULL for one in news):
            raise _pool_full(news)
        return service_pb2.SubmitTransactionsResponse(outcomes=[_outcome(one) for one in news])

    async def StreamTransactions(self, requests: AsyncIterator[Any], context: Any) -> None:
        sink = StreamSink()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(requests, sink))
                while (news := await sink.take()) is not None:
                    outcomes = [_outcome(one) for one in news]
                    await context.write(service_pb2.StreamTransactionsResponse(outcomes=outcomes))
        finally:
            sink.close()

    async def GetStatus(self, _request: Any, _context: Any) -> service_pb2.GetStatusResponse:
        status = self._status.read()
        core = status.core
        return service_pb2.GetStatusResponse(
            seat=max(0, core.seat),
            is_seated=core.seat != NO_SEAT,
            epoch=core.epoch,
            view=core.view,
            final_height=core.final_height,
            final_since_time_ms=status.final_since_ms,
            executed_height=core.executed_height,
            state_root=core.state_root,
            block_time_ms=core.block_time_ms,
            pool_transactions=status.pool_transactions,
            peers=[
                service_pb2.PeerStatus(
                    seat=seat,
                    is_connected=is_connected,
                    final_height=final_height,
                    protocol_newest=protocol_newest,
                )
                for seat, is_connected, final_height, protocol_newest in status.peers
            ],
            genesis_hash=status.genesis_hash,
            is_catching_up=core.is_catching_up,
            protocol_version=core.protocol_version,
            protocol_newest=status.protocol_newest,
            protocol_next=core.protocol_next,
            halted=core.halted,
        )

    async def GetNode(self, _request: Any, _context: Any) -> service_pb2.GetNodeResponse:
        node = self._node.read()
        return service_pb2.GetNodeResponse(
            leader=node.turn.leader,
            view_timeout_ms=node.turn.timeout_ms,
            is_view_timed=node.turn.is_timed,
            pool=service_pb2.PoolState(
                transactions=node.pool_transactions,
                size_bytes=node.pool_bytes,
                deferred_transactions=node.pool_deferred,
                oldest_age_ms=node.pool_oldest_age_ms,
                waiting_transactions=node.waiting_transactions,
            ),
            record_log=service_pb2.RecordLogState(
                size_bytes=node.record_log_bytes,
                sequence=node.record_sequence,
                synced_sequence=node.synced_record_sequence,
            ),
            execution_backlog=node.execution_backlog,
            peers=[_peer_state(peer) for peer in node.peers],
        )

    async def SubmitRecovery(self, request: Any, _context: Any) -> service_pb2.SubmitRecoveryResponse:
        has_begun, status = await self._submit_recovery(request.certificate)
        return service_pb2.SubmitRecoveryResponse(
            has_begun=has_begun, epoch=status.epoch, final_height=status.final_height
        )

    async def ListEvidence(self, request: Any, _context: Any) -> service_pb2.ListEvidenceResponse:
        size = check_page_size(request.page_size, EVIDENCE_PAGE_DEFAULT, EVIDENCE_PAGE_MAX)
        place = self._tokens.read(EVIDENCE, request.page_token, 2 * PLACE_NUMBER_BYTES)
        before = FIRST_PLACE
        if place is not None:
            before = (
                int.from_bytes(place[:PLACE_NUMBER_BYTES], "big"),
                int.from_bytes(place[PLACE_NUMBER_BYTES:], "big"),
            )
        rows: list[Evidence] = []
        token = ""
        while len(rows) < size and not token:
            wanted = min(EVIDENCE_READ_MAX, size - len(rows))
            read = await self._evidence.page(before, wanted + 1)
            rows += read[:wanted]
            if len(read) <= wanted:
                break
            before = (rows[-1].epoch, rows[-1].seat)
            if len(rows) == size or sum(len(row.proof) for row in rows) >= EVIDENCE_PAGE_BYTES:
                place = b"".join(number.to_bytes(PLACE_NUMBER_BYTES, "big") for number in before)
                token = self._tokens.write(EVIDENCE, place)
        return service_pb2.ListEvidenceResponse(
            evidence=[
                service_pb2.SeenEquivocation(epoch=row.epoch, seat=row.seat, view=row.view, proof=row.proof)
                for row in rows
            ],
            next_page_token=token,
        )

    async def ListFinalBlocks(self, request: Any, _context: Any) -> service_pb2.ListFinalBlocksResponse:
        blocks = await list_final_blocks(request.from_height, self._blocks)
        return service_pb2.ListFinalBlocksResponse(blocks=blocks)

    async def GetFinality(self, request: Any, _context: Any) -> service_pb2.GetFinalityResponse:
        found = await get_finality(request.height, self._blocks)
        return service_pb2.GetFinalityResponse(
            finalization=found.finalization, descendant_headers=found.descendant_headers
        )

    async def _read(self, requests: AsyncIterator[Any], sink: StreamSink) -> None:
        async for request in requests:
            count = len(request.transactions)
            _check_count(count)
            await sink.wait_for_room()
            first_position = sink.expect(count)
            await self._submissions.submit(request.transactions, sink, first_position)
        sink.end()


def _pool_full(news: Sequence[News]) -> ResourceExhausted:
    """There was no room for any of a call."""
    refusal = ResourceExhausted(POOL_FULL, news[0].message)
    refusal.retry_after_ms = max(one.retry_after_ms for one in news)
    return refusal


def _check_count(count: int) -> None:
    if count > TRANSACTIONS_MAX:
        raise InvalidArgument(
            "TOO_MANY_TRANSACTIONS",
            f"{count} transactions, at most {TRANSACTIONS_MAX} at once",
            transactions=count,
            transactions_max=TRANSACTIONS_MAX,
        )


def _peer_state(peer: PeerState) -> service_pb2.PeerState:
    return service_pb2.PeerState(
        public_key=peer.public_key,
        seat=peer.seat,
        is_silent=peer.is_silent,
        kept_turns=peer.kept_turns,
        lost_turns=peer.lost_turns,
        is_barred=peer.is_barred,
        streams=None if peer.streams is None else service_pb2.PeerStreams(**peer.streams._asdict()),
    )


def _outcome(news: News) -> service_pb2.SubmitOutcome:
    return service_pb2.SubmitOutcome(
        transaction_id=news.transaction_id,
        state=news.state,  # type: ignore[arg-type]  # SubmitState has the proto's numbers
        reason=news.reason,
        message=news.message,
        height=news.height,
        receipt=news.receipt,
        retry_after_ms=news.retry_after_ms,
        position=news.position,
    )

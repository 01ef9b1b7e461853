# ruff: noqa: N802, D102 - gRPC names the methods, the proto describes them
"""ApplicationService: what consensus drives. Source: protos/icn/consensus/v1/application.proto."""

from __future__ import annotations

from typing import Any

from icn.consensus.v1 import application_pb2, application_pb2_grpc
from icn_kit.clock import Clock
from icn_kit.errors import InvalidArgument, NotFound
from icn_kit.genesis import Genesis
from icn_machine.blocks.branches import BLOCKS_MAX, Branch, BranchCache
from icn_machine.blocks.check_recovery import check_recovery
from icn_machine.blocks.check_transactions import check_transactions
from icn_machine.blocks.execute_block import Executor
from icn_machine.blocks.final_block import FinalBlock
from icn_machine.blocks.ports import ExecutedBlock, State
from icn_machine.blocks.prepare_block import prepare_block
from icn_machine.blocks.transaction_cache import TransactionCache
from icn_machine.blocks.validate_block import validate_block
from icn_machine.limits import DIGEST_BYTES, QUANTITY_MAX
from icn_machine.validity import Moment

from icn_ledger.usecases.ports import SnapshotStore
from icn_ledger.usecases.restore_snapshot import SnapshotRestorer
from icn_ledger.usecases.write_snapshot import get_snapshot_chunk


class ApplicationServicer(application_pb2_grpc.ApplicationServiceServicer):
    """The RPCs; errors become statuses in the interceptor."""

    def __init__(
        self,
        genesis: Genesis,
        state: State,
        executor: Executor,
        clock: Clock,
        *,
        snapshots: SnapshotStore,
        restorer: SnapshotRestorer,
    ) -> None:
        self._genesis = genesis
        self._state = state
        self._executor = executor
        self._cache: TransactionCache = executor.cache
        self._branches = BranchCache()
        self._clock = clock
        self._snapshots = snapshots
        self._restorer = restorer

    async def GetInfo(self, _request: Any, _context: Any) -> application_pb2.GetInfoResponse:
        restored = await self._state.restored()
        return application_pb2.GetInfoResponse(
            genesis_hash=self._genesis.hash,
            protocol_version=self._executor.protocol_newest,
            state=await self._executed_state(self._state.newest),
            restored=restored and application_pb2.RestoredBlock(**restored._asdict()),
        )

    async def CheckTransactions(
        self, request: Any, _context: Any
    ) -> application_pb2.CheckTransactionsResponse:
        checks = await check_transactions(
            request.transactions,
            self._genesis,
            self._state,
            self._cache,
            self._clock,
            self._executor.protocol_newest,
        )
        answer = application_pb2.CheckTransactionsResponse()
        add = answer.checks.add
        for check in checks:  # thousands a second: filling in place takes a third of constructing
            added = add()
            added.transaction_id = check.transaction_id
            added.expire_time_ms = check.expire_time_ms
            added.executed_height = check.executed_height
            if check.reason:
                added.reason = check.reason
                added.message = check.message
            else:
                added.payer = check.payer
                added.lane = check.lane
                added.sequence = check.sequence
                added.lane_sequence = check.lane_sequence
        return answer

    async def GetValidatorSet(self, request: Any, _context: Any) -> application_pb2.GetValidatorSetResponse:
        if len(request.hash) != DIGEST_BYTES:
            raise InvalidArgument("MALFORMED_HASH", f"hash must have {DIGEST_BYTES} bytes")
        data = (await self._state.load_validator_sets((request.hash,))).get(request.hash)
        if data is None:
            raise NotFound("VALIDATOR_SET_UNKNOWN", f"no state has named the set {request.hash.hex()}")
        return application_pb2.GetValidatorSetResponse(validator_set=data)

    async def CheckRecovery(self, request: Any, _context: Any) -> application_pb2.CheckRecoveryResponse:
        await check_recovery(request.certificate, self._genesis, self._state)
        return application_pb2.CheckRecoveryResponse()

    async def PrepareBlock(self, request: Any, _context: Any) -> application_pb2.PrepareBlockResponse:
        choice = await prepare_block(
            _branch(request),
            _moment(request),
            request.candidates,
            size_bytes_max=request.size_bytes_max,
            transactions_max=request.transactions_max,
            state=self._state,
            cache=self._cache,
            branches=self._branches,
        )
        return application_pb2.PrepareBlockResponse(
            chosen=choice.chosen,
            refused=[
                application_pb2.RefusedCandidate(
                    index=refused.position, reason=refused.reason, message=refused.message
                )
                for refused in choice.refused
            ],
        )

    async def ValidateBlock(self, request: Any, _context: Any) -> application_pb2.ValidateBlockResponse:
        if len(request.block_hash) != DIGEST_BYTES:
            raise InvalidArgument("MALFORMED_HASH", f"block_hash must have {DIGEST_BYTES} bytes")
        judgement = await validate_block(
            request.block_hash,
            _branch(request),
            _moment(request),
            request.transactions,
            recovery=request.recovery,
            genesis=self._genesis,
            state=self._state,
            cache=self._cache,
            branches=self._branches,
        )
        return application_pb2.ValidateBlockResponse(
            transaction_ids=judgement.transaction_ids, reason=judgement.reason, message=judgement.message
        )

    async def ExecuteBlock(self, request: Any, _context: Any) -> application_pb2.ExecuteBlockResponse:
        execution = await self._executor.execute(read_final_block(request))
        answer = application_pb2.ExecuteBlockResponse(state=await self._executed_state(execution.block))
        add = answer.outcomes.add
        for (identifier, receipt), data in zip(execution.outcomes, request.transactions, strict=True):
            transaction = self._cache.read(data)
            added = add()
            added.transaction_id = identifier
            added.receipt = receipt
            added.lane = transaction.lane_name
            added.sequence = transaction.sequence
        return answer

    async def GetSnapshot(self, _request: Any, _context: Any) -> application_pb2.GetSnapshotResponse:
        return application_pb2.GetSnapshotResponse(snapshot=await self._snapshots.newest() or b"")

    async def GetSnapshotChunk(self, request: Any, _context: Any) -> application_pb2.GetSnapshotChunkResponse:
        chunk = await get_snapshot_chunk(request.digest, self._snapshots)
        return application_pb2.GetSnapshotChunkResponse(chunk=chunk)

    async def OfferSnapshot(self, request: Any, _context: Any) -> application_pb2.OfferSnapshotResponse:
        height, missing = await self._restorer.offer(request.snapshot)
        return application_pb2.OfferSnapshotResponse(height=height, missing=missing)

    async def PutSnapshotChunk(self, request: Any, _context: Any) -> application_pb2.PutSnapshotChunkResponse:
        await self._restorer.put(request.chunk)
        return application_pb2.PutSnapshotChunkResponse()

    async def RestoreSnapshot(self, _request: Any, _context: Any) -> application_pb2.RestoreSnapshotResponse:
        await self._restorer.restore()
        state = await self._executed_state(self._state.newest)
        return application_pb2.RestoreSnapshotResponse(state=state)

    async def _executed_state(self, block: ExecutedBlock) -> application_pb2.ExecutedState:
        following = block.next_validator_set_hash
        sets = await self._state.load_validator_sets((following,))
        return application_pb2.ExecutedState(
            executed_height=block.height,
            time_ms=block.time_ms,
            state_root=block.state_root,
            receipts_root=block.receipts_root,
            log_root=block.log_root,
            has_changed_state=block.has_changed_state,
            next_expiry_time_ms=block.next_expiry_time_ms,
            next_validator_set=sets[following],
        )


def read_final_block(request: Any) -> FinalBlock:
    """The block of an ExecuteBlockRequest."""
    return FinalBlock(
        request.header,
        request.transactions,
        request.finalization,
        tuple(request.descendant_headers),
        request.parent_certificate,
        request.recovery,
        tuple((trace.index, trace.traceparent) for trace in request.traces),
    )


def _branch(request: Any) -> Branch:
    branch = request.branch
    if len(branch.unexecuted) > BLOCKS_MAX:
        raise InvalidArgument("BRANCH_TOO_LONG", f"at most {BLOCKS_MAX} unexecuted blocks")
    if any(len(block_hash) != DIGEST_BYTES for block_hash in branch.unexecuted):
        raise InvalidArgument("MALFORMED_HASH", f"a block hash must have {DIGEST_BYTES} bytes")
    return Branch(branch.executed_height, tuple(branch.unexecuted))


def _moment(request: Any) -> Moment:
    if request.epoch > QUANTITY_MAX or request.time_ms > QUANTITY_MAX:
        raise InvalidArgument("TIME_OUT_OF_RANGE", "epoch and time_ms are at most 2^62")
    return Moment(request.epoch, request.time_ms)

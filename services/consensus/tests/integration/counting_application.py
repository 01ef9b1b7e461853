# ruff: noqa: N802 - gRPC names the methods
"""A tiny real application: lanes that count. It implements ApplicationService as the ledger does, in memory.

A transaction is u64 expiry ‖ 8-byte lane ‖ u64 sequence ‖ anything; its id is its hash. It is valid once its
lane stands at sequence − 1 and while block time has not passed its expiry. What follows NAMES_SEATS is the
set of the epochs to come.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from icn.consensus.v1 import application_pb2, application_pb2_grpc, block_pb2
from icn_chain.header import genesis_header
from icn_chain.protocols import NEWEST_PROTOCOL
from icn_chain.validator_set import validator_set_hash
from icn_crypto import tags
from icn_crypto.hashing import domain_hash, sha256
from icn_crypto.merkle_log import EMPTY_ROOT, Log, leaf_hash, tree_root
from icn_kit.errors import DomainError, ErrorKind, FailedPrecondition
from icn_kit.genesis import Genesis

HEAD_BYTES = 24
NAMES_SEATS = b"seats "


class StateBehind(DomainError):
    kind = ErrorKind.UNAVAILABLE
    reason = "STATE_BEHIND"


def make_transaction(
    lane: bytes, sequence: int, *, lifetime_ms: int = 3_600_000, payload: bytes = b""
) -> bytes:
    expire_time_ms = time.time_ns() // 1_000_000 + lifetime_ms
    return expire_time_ms.to_bytes(8, "big") + lane.ljust(8, b"\0") + sequence.to_bytes(8, "big") + payload


def transaction_id(data: bytes) -> bytes:
    return sha256(data)


def _expiry(data: bytes) -> int:
    return int.from_bytes(data[:8], "big")


def _lane(data: bytes) -> bytes:
    return data[8:16]


def _sequence(data: bytes) -> int:
    return int.from_bytes(data[16:24], "big")


@dataclass
class CountingApplication(application_pb2_grpc.ApplicationServiceServicer):
    """State that outlives the servers before it, as a database would."""

    genesis_hash: bytes
    genesis_header_of: Any
    """state root → bytes of the genesis header."""
    genesis_time_ms: int
    validator_set: bytes
    states: list[application_pb2.ExecutedState] = field(default_factory=list)
    answers: list[application_pb2.ExecuteBlockResponse] = field(default_factory=list)
    headers: list[bytes] = field(default_factory=list)
    lanes: list[dict[bytes, int]] = field(default_factory=list)
    """By height."""
    executed: dict[bytes, int] = field(default_factory=dict)
    """Transaction id → height."""
    judged: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)
    log: Log = field(default_factory=Log)
    digest: bytes = bytes(32)
    refuses_checks: bool = False
    sets: dict[bytes, bytes] = field(default_factory=dict)
    """By hash."""

    @classmethod
    def of(cls, genesis: Genesis) -> CountingApplication:
        """At genesis."""

        def header_of(root: bytes) -> bytes:
            return genesis_header(
                genesis.hash,
                protocol_version=genesis.protocol_version,
                time_ms=genesis.time_ms,
                state_root=root,
                validator_set_hash=genesis.validator_set_hash,
            ).data

        return cls(genesis.hash, header_of, genesis.time_ms, genesis.validator_set)

    def __post_init__(self) -> None:
        root = sha256(self.digest)
        self.sets[validator_set_hash(self.validator_set)] = self.validator_set
        self.states.append(
            application_pb2.ExecutedState(
                executed_height=0,
                time_ms=self.genesis_time_ms,
                state_root=root,
                receipts_root=EMPTY_ROOT,
                log_root=EMPTY_ROOT,
                next_validator_set=self.validator_set,
            )
        )
        self.answers.append(application_pb2.ExecuteBlockResponse())
        self.headers.append(self.genesis_header_of(root))
        self.lanes.append({})
        self.log.append(leaf_hash(self._hash(self.headers[0])))

    @property
    def height(self) -> int:
        return len(self.states) - 1

    @property
    def total(self) -> int:
        return len(self.executed)

    def restart(self) -> None:
        """What a restart loses."""
        self.judged.clear()

    def _hash(self, header: bytes) -> bytes:
        return domain_hash(tags.BLOCK, self.genesis_hash, header)

    async def GetInfo(self, request: Any, context: Any) -> Any:
        return application_pb2.GetInfoResponse(
            genesis_hash=self.genesis_hash, protocol_version=NEWEST_PROTOCOL, state=self.states[-1]
        )

    async def GetValidatorSet(self, request: Any, context: Any) -> Any:
        return application_pb2.GetValidatorSetResponse(validator_set=self.sets[request.hash])

    async def CheckTransactions(self, request: Any, context: Any) -> Any:
        if self.refuses_checks:
            raise FailedPrecondition("OUT_OF_ORDER", "told to refuse")
        now_ms = max(self.states[-1].time_ms + 1, time.time_ns() // 1_000_000)
        checks = []
        for data in request.transactions:
            if len(data) < HEAD_BYTES:
                checks.append(
                    application_pb2.TransactionCheck(reason="MALFORMED_TRANSACTION", message="too short")
                )
                continue
            identifier = transaction_id(data)
            reason = ""
            if _expiry(data) < now_ms:
                reason = "EXPIRED"
            elif _sequence(data) <= self.lanes[-1].get(_lane(data), 0):
                reason = "SEQUENCE_USED"
            checks.append(
                application_pb2.TransactionCheck(
                    transaction_id=identifier,
                    reason=reason,
                    expire_time_ms=_expiry(data),
                    executed_height=self.executed.get(identifier, 0),
                    lane=_lane(data),
                    sequence=_sequence(data),
                    lane_sequence=self.lanes[-1].get(_lane(data), 0),
                )
            )
        return application_pb2.CheckTransactionsResponse(checks=checks)

    def _view(self, branch: Any) -> dict[bytes, int]:
        if branch.executed_height > self.height:
            raise StateBehind("not executed yet")
        lanes = dict(self.lanes[branch.executed_height])
        for block_hash in branch.unexecuted:
            if block_hash not in self.judged:
                raise FailedPrecondition("ANCESTOR_UNKNOWN", block_hash.hex())
            for data in self.judged[block_hash]:
                lanes[_lane(data)] = _sequence(data)
        return lanes

    async def PrepareBlock(self, request: Any, context: Any) -> Any:
        lanes = self._view(request.branch)
        chosen: list[int] = []
        refused = []
        size_bytes = 0
        for index, data in enumerate(request.candidates):
            size_bytes += len(data) + 4
            if len(chosen) >= request.transactions_max or size_bytes > request.size_bytes_max:
                break
            if _expiry(data) < request.time_ms:
                refused.append(application_pb2.RefusedCandidate(index=index, reason="EXPIRED"))
            elif _sequence(data) <= self.lanes[-1].get(_lane(data), 0):
                refused.append(application_pb2.RefusedCandidate(index=index, reason="SEQUENCE_USED"))
            elif _sequence(data) == lanes.get(_lane(data), 0) + 1:
                lanes[_lane(data)] = _sequence(data)
                chosen.append(index)
        return application_pb2.PrepareBlockResponse(chosen=chosen, refused=refused)

    async def ValidateBlock(self, request: Any, context: Any) -> Any:
        lanes = self._view(request.branch)
        reason = _why_invalid(request.transactions, lanes, request.time_ms)
        if reason:
            return application_pb2.ValidateBlockResponse(reason=reason)
        self.judged[request.block_hash] = tuple(request.transactions)
        return application_pb2.ValidateBlockResponse(
            transaction_ids=[transaction_id(data) for data in request.transactions]
        )

    async def ExecuteBlock(self, request: Any, context: Any) -> Any:
        header = block_pb2.BlockHeader.FromString(request.header)
        if header.height <= self.height:
            assert self.headers[header.height] == request.header, "two blocks at one height"
            return self.answers[header.height]
        if header.height != self.height + 1:
            raise FailedPrecondition("HEIGHT_GAP", f"{header.height} after {self.height}")
        assert header.parent == self._hash(self.headers[-1])
        digest = sha256(request.parent_certificate) if request.parent_certificate else bytes(32)
        assert header.parent_certificate_digest == digest, "not the parent's certificate"
        assert bool(request.parent_certificate) is (header.height > 1)
        lanes = dict(self.lanes[-1])
        assert not _why_invalid(request.transactions, lanes, header.time_ms)
        receipts = []
        for data in request.transactions:
            identifier = transaction_id(data)
            assert identifier not in self.executed, "executed twice"
            self.executed[identifier] = header.height
            self.digest = sha256(self.digest + data)
            if data[HEAD_BYTES:].startswith(NAMES_SEATS):
                self.validator_set = data[HEAD_BYTES + len(NAMES_SEATS) :]
                self.sets[validator_set_hash(self.validator_set)] = self.validator_set
            receipts.append(b"done at %d" % header.height)
        self.log.append(leaf_hash(self._hash(request.header)))
        self.headers.append(request.header)
        self.lanes.append(lanes)
        state = application_pb2.ExecutedState(
            executed_height=header.height,
            time_ms=header.time_ms,
            state_root=sha256(self.digest),
            receipts_root=tree_root([leaf_hash(receipt) for receipt in receipts]),
            log_root=self.log.root(),
            has_changed_state=bool(receipts),
            next_validator_set=self.validator_set,
        )
        answer = application_pb2.ExecuteBlockResponse(
            state=state,
            outcomes=[
                application_pb2.TransactionOutcome(
                    transaction_id=transaction_id(data),
                    receipt=receipt,
                    lane=_lane(data),
                    sequence=_sequence(data),
                )
                for data, receipt in zip(request.transactions, receipts, strict=True)
            ],
        )
        self.states.append(state)
        self.answers.append(answer)
        return answer


def _why_invalid(transactions: Iterable[bytes], lanes: dict[bytes, int], time_ms: int) -> str:
    for data in transactions:
        if len(data) < HEAD_BYTES:
            return "MALFORMED_TRANSACTION"
        if _expiry(data) < time_ms:
            return "EXPIRED"
        if _sequence(data) != lanes.get(_lane(data), 0) + 1:
            return "SEQUENCE_GAP"
        lanes[_lane(data)] = _sequence(data)
    return ""


def chain_of(applications: Sequence[CountingApplication]) -> list[bytes]:
    """The headers that all of them have executed; asserts that they are the same."""
    height = min(application.height for application in applications)
    first = applications[0].headers[1 : height + 1]
    for application in applications[1:]:
        assert application.headers[1 : height + 1] == first
    return first

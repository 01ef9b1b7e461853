"""Turns the world into events for the core, and carries out what the core wants, in its order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

import structlog
from google.protobuf.message import DecodeError
from icn.consensus.v1 import block_pb2
from icn_chain.block import Block, parse_block
from icn_chain.certificate import CERTIFICATE_BYTES_MAX
from icn_chain.header import INTEGER_MAX
from icn_kit.clock import Clock
from icn_kit.lifecycle import cancel_all

from icn_consensus.domain.actions import (
    Abandoned,
    Action,
    Broadcast,
    Committed,
    Execute,
    Fetch,
    Judge,
    Notarized,
    Persist,
    Prepare,
    Report,
    ReportKind,
    Send,
    SetTimer,
)
from icn_consensus.domain.config import Config, Recovered
from icn_consensus.domain.events import (
    BlockExecuted,
    BlockPrepared,
    CertificateReceived,
    Event,
    PeerConnected,
    PoolChanged,
    ProposalReceived,
    RecoveryReceived,
    TimerFired,
    VoteReceived,
)
from icn_consensus.domain.ports import Crypto
from icn_consensus.domain.replica import Replica, Status
from icn_consensus.metrics import (
    BLOCK_INTERVAL_SECONDS,
    CLOCK_DISTANCE_SECONDS,
    EVENTS_DROPPED,
    FINALITY_SECONDS,
    NOTARIZATION_SECONDS,
    REPORTS,
    SYNC_SECONDS,
)
from icn_consensus.usecases.admission import HALTED, Admission
from icn_consensus.usecases.clock_watch import ClockWatch, check_step
from icn_consensus.usecases.ends import Ends
from icn_consensus.usecases.execution import Executor
from icn_consensus.usecases.fetching import Answering, Asking
from icn_consensus.usecases.forwarding import Forwarder
from icn_consensus.usecases.inbox import Inbox
from icn_consensus.usecases.judging import Judging
from icn_consensus.usecases.keep_evidence import EvidenceKeeper
from icn_consensus.usecases.pool import Pool, PoolItem
from icn_consensus.usecases.ports import (
    Application,
    BlockStore,
    EvidenceStore,
    Execution,
    FinalBlock,
    KeyLease,
    Peers,
    RecordLog,
    Snapshots,
    TransactionCheck,
)
from icn_consensus.usecases.submit_recovery import submit_recovery
from icn_consensus.usecases.traces import TraceBook

TIMER_SLACK_SECONDS: Final = 0.0005
"""A timer that fires a fraction of a millisecond early would fire twice."""

RETELL_SECONDS: Final = 0.25
"""When an application that could not prepare a block is asked again; the shortest view time-out."""

_REPORT_LEVELS: Final = {
    ReportKind.TIMED_OUT: logging.INFO,
    ReportKind.SILENT_LEADER: logging.INFO,
    ReportKind.RECOVERED: logging.WARNING,
    ReportKind.ROOT_MISMATCH: logging.ERROR,
    ReportKind.PROTOCOL_UNKNOWN: logging.CRITICAL,
}

_MESSAGES: Final[dict[str | None, Callable[[bytes, bytes], Event]]] = {
    "vote": VoteReceived,
    "certificate": CertificateReceived,
    "proposal": ProposalReceived,
    "recovery": RecoveryReceived,
}
"""What is for the core, by the kind of its frame."""
_REPORTED: Final = {kind: REPORTS.labels(kind.value) for kind in ReportKind}

Guard = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]

_log = structlog.get_logger(__name__)


class Driver:
    """One validator around its core. `begin` once, with the peers; then it runs in the guarded tasks."""

    def __init__(
        self,
        config: Config,
        crypto: Crypto,
        application: Application,
        store: BlockStore,
        record_log: RecordLog,
        *,
        lease: KeyLease,
        evidence: EvidenceStore,
        snapshots: Snapshots,
        pool: Pool,
        clock: Clock,
        recovered: Recovered,
    ) -> None:
        self._config = config
        self._application = application
        self._store = store
        self._snapshots = snapshots
        self._record_log = record_log
        self._lease = lease
        self._clock = clock
        self._clock_watch = ClockWatch()
        self._clock_distance = CLOCK_DISTANCE_SECONDS.labels(config.label)
        self._recovered = recovered
        self._last_now_ms = 0
        self._traces = TraceBook()
        self._executed_time_ms = 0
        """Block time of the block executed last by this process; 0 before."""
        self._final_since_ms = 0
        self._inbox = Inbox(self._note_fault)
        self._timer: asyncio.TimerHandle | None = None
        self._told_pending = False
        self._tasks: list[asyncio.Task[None]] = []
        self._peers: Peers
        self._note_peer_height: Callable[[bytes, int], None]
        self.pool = pool
        self.ends = Ends()
        self.replica = Replica(config, crypto)
        self.executor = Executor(
            application,
            store,
            record_log,
            executed_height=recovered.executed.executed_height,
            on_executed=self._on_executed,
            traces=self._traces,
        )
        self.admission = Admission(
            application,
            pool,
            self.ends,
            executed_height=lambda: self.executor.executed_height,
            on_admitted=self._on_admitted,
            halted=lambda: self.replica.halted,
        )
        self._judging = Judging(
            application,
            pool,
            find_block=self._find_block,
            on_answer=self._on_judged,
            on_refused=self._on_refused,
        )
        self._evidence = EvidenceKeeper(evidence)
        self._carriers: dict[type[Any], Callable[[Any], None]] = {
            Broadcast: self._carry_broadcast,
            Send: self._carry_send,
            Prepare: self._judging.put,
            Judge: self._judging.put,
            Execute: self._carry_execute,
            Fetch: self._carry_fetch,
            SetTimer: self._carry_set_timer,
            Notarized: self._carry_notarized,
            Committed: lambda action: self.pool.note_notarized(action.block_hash),
            Abandoned: lambda action: self.pool.note_abandoned(action.block_hashes),
            Report: self._carry_report,
        }

    def begin(self, peers: Peers, note_peer_height: Callable[[bytes, int], None], guard: Guard) -> None:
        """Start the core and everything around it.

        Args:
            peers: where messages go.
            note_peer_height: told of final heights that peers speak of.
            guard: runs a coroutine as a task whose failure stops the node.
        """
        self._peers, self._note_peer_height = peers, note_peer_height
        self._asking = Asking(peers, self.put)
        self._answering = Answering(peers, self._store, self.replica, self.executor.block, self._snapshots)
        self._forwarder = Forwarder(
            self.pool,
            peers,
            others=self.replica.other_seats,
            next_leaders=self.replica.next_leaders,
        )
        self._carry_out(self._persist(self.replica.start(self._recovered, self._now_ms())))
        works = {
            "core": self._run(),
            "store": self.executor.run_storing(),
            "execute": self.executor.run_executing(),
            "judge": self._judging.run(),
            "admit": self.admission.run(),
            "forward": self._forwarder.run(),
            "answer": self._answering.run(),
            "evidence": self._evidence.run(),
        }
        self._tasks = [guard(work, f"consensus.{name}") for name, work in works.items()]

    async def drain(self, seconds: float) -> None:
        """Finish the block under execution (for at most so long), tell waiting clients to ask by id, stop."""
        if self._tasks:
            await self.executor.drain(seconds)
        self.ends.close()
        await cancel_all(self._tasks)
        if self._timer is not None:
            self._timer.cancel()
        if self._tasks:
            self._asking.close()

    def status(self) -> Status:
        """Where the core stands."""
        return self.replica.status()

    async def submit_recovery(self, data: bytes) -> tuple[bool, Status]:
        """See `submit_recovery`."""
        return await submit_recovery(data, self.replica, self._application, self.put, self._config.public_key)

    def final_height(self) -> int:
        """Height of the newest final block."""
        return self.replica.status().final_height

    def final_since_ms(self) -> int:
        """When it became final here; 0 until one did in this process."""
        return self._final_since_ms

    # --- events

    def put(self, event: Event) -> None:
        """Hand an event to the core."""
        self._inbox.put(event)

    async def wait_for_room(self, peer: bytes) -> None:
        """Return when the core has caught up with what the peer says (peers.network.Listener)."""
        await self._inbox.wait_for_room(peer)

    def on_frame(self, peer: bytes, frame: Any) -> None:
        """A frame came from a peer (peers.network.Listener); a second Hello is ignored."""
        kind = frame.WhichOneof("kind")
        message = _MESSAGES.get(kind)
        if message is not None:
            self._on_message(message, peer, getattr(frame, kind))
        elif kind == "transactions":
            self.admission.offer(peer, frame.transactions.transactions)
        elif kind == "fetch_request":
            self._answering.put(peer, frame.fetch_request)
        elif kind == "fetch_response":
            self._asking.take_response(peer, frame.fetch_response)
        elif kind == "traces":
            self._traces.note_told(frame.traces.traces)

    def on_connected(self, peer: bytes, final_height: int) -> None:
        """A stream to a peer is ready (peers.network.Listener)."""
        self._inbox.put_of(peer, PeerConnected(peer, final_height), time.monotonic())

    def on_disconnected(self, peer: bytes) -> None:
        """The stream to a peer broke (peers.network.Listener)."""
        self._asking.forget_peer(peer)

    def _on_message(self, message: Callable[[bytes, bytes], Event], peer: bytes, data: bytes) -> None:
        now = time.monotonic()
        if self._inbox.is_repeat(peer, data, now):
            EVENTS_DROPPED.labels("repeat").inc()
            return
        if message is CertificateReceived:
            self._note_certificate(peer, data, now)
        self._inbox.put_of(peer, message(peer, data), now, len(data))

    def _note_certificate(self, peer: bytes, data: bytes, now: float) -> None:
        """A finalization tells how far its sender is: not verified, it is shown (GetStatus), not used. One
        of a later epoch may be honest and cannot be checked, so the peer has only so many of them free."""
        if len(data) > CERTIFICATE_BYTES_MAX:
            return
        try:
            certificate = block_pb2.Certificate.FromString(data)
        except DecodeError:
            return
        if certificate.epoch > self.replica.epoch:
            self._inbox.note_useless(peer, now)
        if certificate.kind == block_pb2.VOTE_KIND_FINALIZE and certificate.height <= INTEGER_MAX:
            self._note_peer_height(peer, certificate.height)

    def _note_fault(self, peer: bytes) -> None:
        self._peers.note_fault(peer)

    # --- the pool

    def _on_admitted(self, from_clients: list[PoolItem], _from_peers: list[PoolItem]) -> None:
        if from_clients:
            self._forwarder.forward(from_clients)
            self._tell_traces(from_clients)
        self._tell_pool(has_new=True)

    def _tell_traces(self, items: list[PoolItem]) -> None:
        """Whichever validator publishes the events of these transactions must know their traces."""
        traced = [
            (digest, item.traceparent)
            for item in items
            if item.traceparent and (digest := self._traces.note(item.data, item.traceparent)) is not None
        ]
        if traced:
            self._peers.broadcast_traces(traced)

    def _on_refused(self, item: PoolItem, check: TransactionCheck) -> None:
        if self.pool.get(item.id) is item:
            open_until_ms = self.pool.open_until_ms(item)
            self.pool.remove(item.id)
            self.ends.refuse(item.id, check.reason, check.message, open_until_ms=open_until_ms)

    def _on_judged(self, event: Event) -> None:
        self.put(event)
        if isinstance(event, BlockPrepared) and not event.transactions:
            # The core takes that as an empty pool. If it is not, because the application could not tell, it
            # hears so again in a while.
            self._told_pending = False
            asyncio.get_running_loop().call_later(RETELL_SECONDS, self._tell_pool)

    def _on_executed(self, block: FinalBlock, block_hash: bytes, execution: Execution) -> None:
        state, outcomes = execution.state, execution.outcomes
        if self._executed_time_ms:
            BLOCK_INTERVAL_SECONDS.observe((state.time_ms - self._executed_time_ms) / 1000)
        self._executed_time_ms = state.time_ms
        identifiers = [identifier for identifier, _ in outcomes]
        self.pool.note_executed(block_hash, identifiers, execution.sequences)
        self.ends.commit(block.height, state.time_ms, outcomes)
        for item in self.pool.expire(state.time_ms):
            message = f"it expired at {item.expire_time_ms}, block time is {state.time_ms}"
            self.ends.expire(item.id, message)
        if outcomes:
            self.pool.wake()
        self.put(BlockExecuted(state))
        self._tell_pool()

    def _tell_pool(self, *, has_new: bool = False) -> None:
        """Tell the core whether a block could include something, when that is news."""
        has_pending = self.pool.has_pending
        if has_new or has_pending != self._told_pending:
            self._told_pending = has_pending
            self.put(PoolChanged(has_pending))

    async def _find_block(self, block_hash: bytes) -> Block | None:
        """A recent block, unfinished or final."""
        data = self.replica.block(block_hash)
        if data is None:
            final = self.executor.block(block_hash)
            if final is not None:
                return final
            stored = await self._store.by_hash(block_hash)
            if stored is None:
                return None
            data = stored.block
        config = self._config
        return parse_block(
            config.genesis_hash,
            data,
            bytes_max=config.block_bytes_max,
            transactions_max=config.block_transactions_max,
        )

    # --- the core and its actions

    async def _run(self) -> None:
        """Let the core digest events, until cancelled."""
        while True:
            await self._inbox.wait()
            await self._lease.hold()
            actions: list[Action] = []
            for event in self._inbox.take():
                actions += self.replica.step(event, self._now_ms())
            if actions:
                others = self._persist(actions)
                await self._lease.hold()  # this process may have stood still since
                self._carry_out(others)
                self._tell_pool()
            await asyncio.sleep(0)  # streams are read between rounds

    def _persist(self, actions: Iterable[Action]) -> list[Action]:
        """Put the records on disk, with one fdatasync for all; gives the other actions.

        What comes before a record in the list may come after it: nothing depends on a record being absent.
        """
        others: list[Action] = []
        is_synced, started = False, time.perf_counter()
        for action in actions:
            if isinstance(action, Persist):
                self._record_log.append(action.record, action.epoch, action.view)
                is_synced = is_synced or action.is_synced
            else:
                others.append(action)
        if is_synced:
            self._record_log.sync()
            SYNC_SECONDS.observe(time.perf_counter() - started)
        return others

    def _carry_out(self, actions: Iterable[Action]) -> None:
        """What is left after `_persist`, in its order."""
        for action in actions:
            self._carriers[type(action)](action)

    def _carry_broadcast(self, action: Broadcast) -> None:
        self._peers.broadcast(action.kind, action.data, action.except_peers)

    def _carry_send(self, action: Send) -> None:
        self._peers.send(action.peer, action.kind, action.data)

    def _carry_execute(self, action: Execute) -> None:
        self._final_since_ms = self._now_ms()
        self.executor.put(action)

    def _carry_fetch(self, action: Fetch) -> None:
        self._asking.put(action)

    def _carry_set_timer(self, action: SetTimer) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if action.at_ms is not None:
            delay_seconds = max(0, action.at_ms - self._now_ms()) / 1000 + TIMER_SLACK_SECONDS
            self._timer = asyncio.get_running_loop().call_later(delay_seconds, self.put, TimerFired())

    def _carry_notarized(self, action: Notarized) -> None:
        self.pool.note_notarized(action.block_hash)
        if action.milliseconds is not None:
            NOTARIZATION_SECONDS.observe(action.milliseconds / 1000)

    def _carry_report(self, action: Report) -> None:
        _REPORTED[action.kind].inc()
        if action.kind is ReportKind.FINALIZED:
            FINALITY_SECONDS.observe(action.milliseconds / 1000)
            self._note_final_time(action)
            return
        if action.kind is ReportKind.BLOCK_TIME_REFUSED:
            self._clock_distance.set(action.milliseconds / 1000)
            if not self._clock_watch.note_refused(action.view, action.milliseconds):
                return  # told once, not in every view
        if action.kind is ReportKind.DISHONEST_MESSAGE:
            self._peers.note_fault(action.peer)
        if action.kind is ReportKind.PROTOCOL_UNKNOWN:
            self.ends.close(HALTED, action.detail)
        if action.kind is ReportKind.RECOVERY_REFUSED and action.peer:
            self._inbox.note_useless(action.peer, time.monotonic())
        if action.evidence:
            self._evidence.put(action)
        _log.log(
            logging.ERROR if action.evidence else _REPORT_LEVELS.get(action.kind, logging.WARNING),
            "consensus report",
            kind=action.kind.value,
            epoch=action.epoch,
            view=action.view,
            seat=action.seat,
            detail=action.detail,
            evidence=action.evidence.hex(),
        )

    def _note_final_time(self, action: Report) -> None:
        """The time of an own proposal says nothing: behind, it is the parent's and one millisecond."""
        if action.seat == self.replica.status().seat:
            return
        if self._clock_watch.note_final(action.view, time.monotonic()):
            self._clock_distance.set(0)

    def _now_ms(self) -> int:
        """Unix time that never goes backwards.

        Raises:
            ClockWrong: the clock was set back.
        """
        now_ms = self._clock.now_ms()
        check_step(self._last_now_ms, now_ms, self._config.block_time_distance_ms_max)
        self._last_now_ms = max(self._last_now_ms, now_ms)
        return self._last_now_ms

"""One seat of a simulation: the production replica with a simulated disk, pool and application."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

from icn_chain.block import Block, parse_block
from icn_chain.header import BlockHeader
from icn_chain.protocols import NEWEST_PROTOCOL
from icn_chain.validator_set import ValidatorSet, parse_validator_set
from icn_consensus.domain import actions as act
from icn_consensus.domain import events
from icn_consensus.domain.chain import RECENT_HEIGHTS
from icn_consensus.domain.config import Config, Recovered
from icn_consensus.domain.record_frames import RecordLogDamaged
from icn_consensus.domain.replica import Replica
from icn_consensus.usecases.driver import RETELL_SECONDS
from icn_consensus.usecases.execution import final_block_of, stored_block_of
from icn_consensus.usecases.fetching import ANSWER_SECONDS_MAX, page_of
from icn_consensus.usecases.judging import CANDIDATES_SHARE, with_ancestors
from icn_consensus.usecases.pool import Admitted, Pool
from icn_consensus.usecases.ports import AncestorUnknown, Choice, FetchRequest, Found, StateBehind
from icn_consensus.usecases.state_sync import fetch_body, restore

from icn_sim.application import SimulatedApplication, at_once
from icn_sim.disk import Disk, DiskFault
from icn_sim.forging import FORGED_CHUNK, FORGED_DIGEST, forged
from icn_sim.ledger import LedgerApplication
from icn_sim.signatures import SimulatedCrypto
from icn_sim.tally import Fault, Reached
from icn_sim.zone import GENESIS_HASH, PromiseBroken, public_key_of

if TYPE_CHECKING:
    from icn_sim.world import Network

ANSWER_MS_MAX: Final = int(1_000 * ANSWER_SECONDS_MAX)
RESTART_MS: Final = (50, 3_000)
_RECEIVED: Final[Mapping[act.MessageKind, Callable[[bytes, bytes], events.Message]]] = {
    act.MessageKind.PROPOSAL: events.ProposalReceived,
    act.MessageKind.VOTE: events.VoteReceived,
    act.MessageKind.CERTIFICATE: events.CertificateReceived,
    act.MessageKind.RECOVERY: events.RecoveryReceived,
}
"""What a message is to who gets it."""
MESSAGES_KEPT: Final = 1_024
"""All who get one get the same object."""


@lru_cache(MESSAGES_KEPT)
def _received(kind: act.MessageKind, peer: bytes, data: bytes) -> events.Message:
    return _RECEIVED[kind](peer, data)


class _Question:
    """What is asked of a peer while the state is taken from others; awaiting it gives the answer."""

    def __init__(self, peer: bytes, request: FetchRequest, patience_ms: int) -> None:
        self.peer, self.request, self.patience_ms = peer, request, patience_ms

    def __await__(self) -> Generator[_Question, Found | None, Found | None]:
        answer = yield self
        return answer


async def _ask(peer: bytes, request: FetchRequest, seconds: float) -> Found | None:
    return await _Question(peer, request, int(1_000 * seconds))


class Node:
    """A replica with its disk, pool and application. ``seat`` is its number, and its seat at genesis."""

    def __init__(self, network: Network, seat: int, clock_offset_ms: int) -> None:
        self.network = network
        self.seat = seat
        self.clock_offset_ms = clock_offset_ms
        self.disk = Disk()
        self.application = network.application_of(self)
        self.public_key = public_key_of(seat)
        self.protocol_newest = NEWEST_PROTOCOL
        """What its release knows."""
        self.crypto = SimulatedCrypto(self.public_key)
        self.is_up = False
        self.has_refused = False
        """Whether its log was found damaged: it stays away for good."""
        self.is_syncing = False
        """Whether it takes the state from others before it takes part."""
        self.life = 0
        """Counts starts: what was asked in an earlier life is not answered in this one."""
        self.replica = Replica(self._config(), self.crypto)
        self.pool = Pool()
        self._told_pending = False
        self.timer = 0
        self.busy_until_ms = 0
        """When the application has executed what it was given."""
        self.reports: list[act.Report] = []
        self.sent: dict[act.MessageKind, int] = dict.fromkeys(act.MessageKind, 0)
        self.times_final_ms: dict[int, int] = {}
        """When each height became final here (true time)."""

    def now_ms(self) -> int:
        """This node's clock."""
        return self.network.now_ms + self.clock_offset_ms

    def start(self) -> None:
        """Boot from disk."""
        assert not self.is_up, "a node starts when it is down"
        synced = self.disk.synced_payloads()
        try:
            records = self.disk.payloads()
        except RecordLogDamaged as error:
            if self.seat != self.network.bad_disk_seat:
                raise PromiseBroken(f"seat {self.seat} after a crash: {error}") from error
            self.has_refused = True
            self.network.tally.reached[Reached.DISK_REFUSED] += 1
            return
        if self.seat not in self.network.faulty and records[: len(synced)] != synced:
            raise PromiseBroken(f"seat {self.seat} starts without a record that was synced")
        self.is_up = True
        self.life += 1
        self.replica = Replica(self._config(), self.crypto)
        self.pool = Pool()
        self._told_pending = False
        self.application.restart()
        if self.is_syncing:
            self._resume(self._sync(records), None)
        else:
            self._boot(records)

    def _boot(self, records: tuple[bytes, ...]) -> None:
        """Let the replica take up where the disk left off."""
        for stored in self.disk.blocks_from(self.application.state().executed_height + 1):
            at_once(self.application.execute(final_block_of(stored)))
        newest = self.disk.blocks[-1] if self.disk.blocks else None
        recovered = Recovered(
            self.network.genesis if newest is None else newest.block.header,
            b"" if newest is None else newest.finalization,
            self.application.state(),
            records,
            () if newest is None else self._sets_of(newest.block.header),
            tuple(stored.block.hash for stored in self.disk.blocks[-RECENT_HEIGHTS:]),
        )
        self.perform(self.replica.start(recovered, self.now_ms()))
        self.tell_pool()
        for other in self.network.nodes:
            if other is not self and other.is_up:
                self.network.connect(self, other)

    async def _sync(self, records: tuple[bytes, ...]) -> None:
        """Take the state from others, as production does before a validator takes part."""
        nodes = [node for node in self.network.nodes if node is not self]
        self.network.random.shuffle(nodes)
        # The farthest are asked first, and who forges says that it is.
        nodes.sort(key=lambda node: node.seat != self.network.forges_snapshots)
        others = [node.public_key for node in nodes]
        application = self.application
        assert isinstance(application, LedgerApplication), "only the ledger has snapshots"
        restored = await application.restored() or await restore(others, application, _ask)
        while restored is not None:
            stored = await fetch_body(self._config(), restored, others, _ask)
            if stored is not None:
                block = parse_block(GENESIS_HASH, stored.block, bytes_max=1 << 20, transactions_max=1_000)
                self.disk.first_height = stored.height
                self.disk.blocks.append(act.Execute(block, stored.finalization, stored.descendant_headers))
                self.network.tally.reached[Reached.STATE_SYNC] += 1
                break
        self.is_syncing = False
        self._boot(records)

    def _resume(self, work: Coroutine[_Question, Found | None, None], answer: Found | None) -> None:
        """Let the sync go on with an answer, up to its next question, which is carried like any other."""
        try:
            question = work.send(answer)
        except StopIteration:
            return
        other, life = self.network.node_of(question.peer), self.life
        answered: list[bool] = []

        def take(found: Found | None) -> None:
            """Who crashed since and started again asks anew: an answer is for the life that asked."""
            if not answered and self.is_up and self.life == life:
                answered.append(True)
                self._resume(work, found)

        def serve() -> None:
            if other.is_up and other.answers(self.seat):
                found = other.serve_snapshot(question.request)
                self.network.deliver(other, self, lambda: take(found))

        self.network.schedule(question.patience_ms, lambda: take(None))
        self.network.deliver(self, other, serve)

    def serve_snapshot(self, request: FetchRequest) -> Found:
        """Answer who takes the state from others."""
        application = self.application
        assert isinstance(application, LedgerApplication), "only the ledger has snapshots"
        if request.block_hash is not None:
            stored = [item for item in self.disk.blocks if item.block.hash == request.block_hash]
            return Found((stored[0].block.data,)) if stored else Found()
        if request.snapshot:
            found = at_once(application.snapshot())
        else:
            assert request.snapshot_chunk is not None, "a request asks for one thing"
            found = at_once(application.snapshot_chunk(request.snapshot_chunk))
        if found and self.seat == self.network.forges_snapshots:
            self.network.tally.reached[Reached.FORGED_SNAPSHOT] += 1
            found = forged(found, self.network.random, is_snapshot=request.snapshot)
        if request.snapshot_chunk == FORGED_DIGEST and self.seat == self.network.forges_snapshots:
            found = FORGED_CHUNK
        return Found(snapshot=found)

    def lose_everything(self, public_key: bytes) -> None:
        """Lose log, databases and key; there is a new key."""
        self.lose_and_restore(0, public_key)
        self.is_syncing = True

    def _config(self) -> Config:
        return replace(
            self.network.config(self.seat), public_key=self.public_key, protocol_newest=self.protocol_newest
        )

    def _sets_of(self, header: BlockHeader) -> tuple[ValidatorSet, ...]:
        hashes = {header.validator_set_hash, header.next_validator_set_hash}
        if isinstance(self.application, SimulatedApplication):
            hashes |= set(self.application.seats.named)  # production asks for those that are pending alone
        data = [at_once(self.application.validator_set(item)) for item in sorted(hashes)]
        return tuple(parse_validator_set(item) for item in data)

    def crash(self) -> None:
        """Stop at once; some of the bytes that were not synced may have reached the disk."""
        if self.is_up:
            self.is_up = False
            self.network.tally.faults[Fault.CRASH] += 1
            faults = [self.disk.crash(self.network.random)]
            if self.network.bad_disk_seat == self.seat:
                faults.append(self.disk.go_bad(self.network.random))
            if DiskFault.STALE_SECTOR in faults:
                self.network.faulty.add(self.seat)
            self.network.tally.faults.update(fault for fault in faults if fault is not None)

    def lose_and_restore(self, height: int, public_key: bytes) -> None:
        """Lose the log and get a copy of the databases as they were at a height, and another key."""
        assert not self.is_up, "a node is restored while it is down"
        self.disk = Disk(self.disk.blocks[:height])
        self.application = self.network.application_of(self)
        self.busy_until_ms = 0
        self.public_key = public_key
        self.crypto = SimulatedCrypto(public_key)

    def handle(self, event: events.Event) -> None:
        """Let the replica digest an event."""
        if self.is_up and not self.is_syncing:
            self.network.note(self.seat, event)
            todo = self.replica.step(event, self.now_ms())
            if todo:
                self.perform(todo)

    def perform(self, todo: Iterable[act.Action]) -> None:
        """Carry actions out in order, unless the node dies between two of them."""
        life, network = self.life, self.network
        has_recorded = False
        for action in todo:
            if self.is_up and network.random.below(1_000) < network.conditions.crash_permille:
                if has_recorded and isinstance(action, act.Broadcast | act.Send):
                    network.tally.reached[Reached.CRASH_BEFORE_SEND] += 1
                self.crash()
                network.schedule(network.random.between(*RESTART_MS), self.start_again)
            if not self.is_up or self.life != life:
                return
            has_recorded = has_recorded or (isinstance(action, act.Persist) and action.is_synced)
            self.perform_one(action)

    def start_again(self) -> None:
        """Boot, if it is still down."""
        if not self.is_up and not self.has_refused:
            self.start()

    def perform_one(self, action: act.Action) -> None:  # noqa: PLR0912 - one branch per action
        """Carry one action out."""
        match action:
            case act.Persist():
                self.disk.append(action)
            case act.Broadcast():
                self.network.watch(self, action.kind, action.data)
                for other in self.network.nodes:
                    if other is not self and other.public_key not in action.except_peers:
                        self.transmit(other, action.kind, action.data)
            case act.SetTimer():
                self._set_timer(action.at_ms)
            case act.Send():
                self.network.watch(self, action.kind, action.data)
                self.transmit(self.network.node_of(action.peer), action.kind, action.data)
            case act.Prepare():
                self.later(self.network.conditions.prepare_ms, lambda: self._prepare(action))
            case act.Judge():
                self.pool.note_block(action.block_hash, action.transactions)
                self.later(self.network.conditions.judge_ms, lambda: self.judge(action))
            case act.Execute():
                self._execute(action)
            case act.Fetch():
                self._fetch(action)
            case act.Notarized() | act.Committed():
                self.pool.note_notarized(action.block_hash)
                self.tell_pool()
            case act.Abandoned():
                self.pool.note_abandoned(action.block_hashes)
                self.tell_pool()
            case act.Report():
                self.reports.append(action)
                if action.evidence:
                    self.network.tally.reached[Reached.EVIDENCE] += 1
                    is_of_proposal = action.kind == act.ReportKind.INVALID_PROPOSAL
                    self.network.tally.reached[Reached.INVALID_PROVEN] += is_of_proposal
                    self.network.check_evidence(self, action)
                if action.kind == act.ReportKind.BLOCK_TIME_REFUSED:
                    is_right = self.seat not in self.network.hampered
                    self.network.tally.reached[Reached.REFUSED_TIME] += is_right
                if action.kind == act.ReportKind.PROTOCOL_UNKNOWN:
                    self.network.tally.reached[Reached.HALTED] += 1
                if action.kind == act.ReportKind.DISHONEST_MESSAGE:
                    self.network.check_accused(self, action)

    def transmit(self, other: Node, kind: act.MessageKind, data: bytes) -> None:
        """Send a message on its way."""
        self.sent[kind] += 1
        self.network.deliver(self, other, partial(other.handle, _received(kind, self.public_key, data)))

    def submit(self, transaction: bytes) -> None:
        """Offer a transaction to this node's pool."""
        if self.pool.find(transaction) is not None or transaction in self.application.transactions:
            return
        (check,) = at_once(self.application.check([transaction]))
        if check.reason:
            return
        admitted = self.pool.add(check.transaction_id, transaction, check.expire_time_ms, 0.0, check.place)
        if admitted is Admitted.NEW:
            self.tell_pool(has_new=True)

    def tell_pool(self, *, has_new: bool = False) -> None:
        """Tell the replica whether a block could include something, when that is news."""
        has_pending = self.pool.has_pending
        if has_new or has_pending != self._told_pending:
            self._told_pending = has_pending
            self.network.schedule(0, self._if_alive(lambda: self.handle(events.PoolChanged(has_pending))))

    def later(self, duration_ms: tuple[int, int], answer: Callable[[], events.Event]) -> None:
        """Answer the replica after a while, unless it crashes before."""
        delay_ms = self.network.random.between(*duration_ms)
        self.network.schedule(delay_ms, self._if_alive(lambda: self.handle(answer())))

    def _if_alive(self, do: Callable[[], None]) -> Callable[[], None]:
        life = self.life

        def run() -> None:
            if self.is_up and self.life == life:
                do()

        return run

    def judge(self, action: act.Judge) -> events.Event:
        """The application's verdict on a block."""

        async def ask() -> str:
            return await self.application.validate(
                action.block_hash,
                action.branch,
                action.epoch,
                action.time_ms,
                action.transactions,
                recovery=action.recovery,
            )

        try:
            reason = at_once(with_ancestors(self.application, action.branch, ask, self.find_block))
        except (AncestorUnknown, StateBehind):
            return events.BlockJudged(action.block_hash, is_valid=False, is_behind=True)
        self.network.tally.reached[Reached.REFUSED_BLOCK] += bool(reason)
        return events.BlockJudged(action.block_hash, is_valid=not reason, reason=reason)

    def _prepare(self, action: act.Prepare) -> events.Event:
        """Transactions for a proposal; what is not chosen waits aside until something changes."""
        candidates = self.pool.candidates(
            action.branch.unexecuted,
            transactions_max=CANDIDATES_SHARE * action.transactions_max,
            size_bytes_max=CANDIDATES_SHARE * action.size_bytes_max,
        )

        async def ask() -> Choice:
            return await self.application.prepare(
                action.branch,
                action.epoch,
                action.time_ms,
                [item.data for item in candidates],
                size_bytes_max=action.size_bytes_max,
                transactions_max=action.transactions_max,
            )

        try:
            choice = at_once(with_ancestors(self.application, action.branch, ask, self.find_block))
        except (AncestorUnknown, StateBehind):
            choice = Choice((), ())
        else:
            if len(choice.chosen) < action.transactions_max:
                taken = set(choice.chosen)
                self.pool.defer([item for index, item in enumerate(candidates) if index not in taken])
        chosen = tuple(candidates[index].data for index in choice.chosen)
        if not chosen:
            self._told_pending = False
            self.network.schedule(int(1_000 * RETELL_SECONDS), self._if_alive(self.tell_pool))
        return events.BlockPrepared(action.request, chosen)

    async def find_block(self, block_hash: bytes) -> Block | None:
        """A recent block, unfinished or final."""
        data = self.replica.block(block_hash)
        if data is not None:
            return parse_block(GENESIS_HASH, data, bytes_max=1 << 20, transactions_max=1_000)
        final = (stored.block for stored in reversed(self.disk.blocks) if stored.block.hash == block_hash)
        return next(final, None)

    def _execute(self, action: act.Execute) -> None:
        self.network.check_final(self, action)
        self.disk.blocks.append(action)
        header = action.block.header
        self.times_final_ms.setdefault(header.height, self.network.now_ms)
        self.disk.prune(header.epoch, header.view)

        def execute() -> events.Event:
            execution = at_once(self.application.execute(final_block_of(action)))
            self.network.learn_set(execution.state.next_validator_set)
            identifiers = [identifier for identifier, _ in execution.outcomes]
            self.pool.note_executed(header.hash, identifiers, execution.sequences)
            if execution.outcomes:
                self.pool.wake()
            self.tell_pool()
            if self.seat not in self.network.faulty:
                self.network.acknowledged.update(action.block.transactions)
            return events.BlockExecuted(execution.state)

        delay_ms = self.network.random.between(*self.network.conditions.execute_ms)
        # Execution is in order: a height never overtakes the one before.
        self.busy_until_ms = max(self.busy_until_ms, self.network.now_ms) + delay_ms
        wait_ms = self.busy_until_ms - self.network.now_ms
        self.network.schedule(wait_ms, self._if_alive(lambda: self.handle(execute())))

    def _fetch(self, action: act.Fetch) -> None:
        other = self.network.node_of(action.peer)
        answered: list[bool] = []
        is_page = isinstance(action.what, act.FetchFinalBlocks)

        def fail() -> None:
            if not answered:
                self.handle(events.FetchFailed(action.request))

        def receive(answer: events.Event) -> None:
            answered.append(True)
            if isinstance(answer, events.BlocksFetched) and answer.blocks and is_page:
                self.network.tally.reached[Reached.CATCH_UP] += 1
            self._if_alive(lambda: self.handle(answer))()

        def serve() -> None:
            if other.is_up and other.answers(self.seat):
                answer = other.serve(action)
                self.network.deliver(other, self, lambda: receive(answer))

        self.network.schedule(ANSWER_MS_MAX, self._if_alive(fail))
        self.network.deliver(self, other, serve)

    def answers(self, seat: int) -> bool:
        """Whether a question of that seat is answered."""
        return not self.is_syncing

    def serve(self, fetch: act.Fetch) -> events.Event:
        """Answer another seat's request."""
        what = fetch.what
        if isinstance(what, act.FetchCertificates):
            found = self.replica.certificates_from(what.from_view)
            return events.CertificatesFetched(fetch.request, self.public_key, found)
        if isinstance(what, act.FetchBlock):
            data = self.replica.block(what.block_hash)
            if data is None:
                stored = [item for item in self.disk.blocks if item.block.hash == what.block_hash]
                data = stored[0].block.data if stored else None
            return events.BlocksFetched(fetch.request, self.public_key, () if data is None else (data,))
        stored_blocks = self.disk.blocks_from(what.from_height)[:64]
        if not stored_blocks:
            return events.BlocksFetched(fetch.request, self.public_key, ())
        page = page_of([stored_block_of(item) for item in stored_blocks])
        return events.BlocksFetched(
            fetch.request, self.public_key, page.blocks, page.certificates[0], page.descendant_headers
        )

    def _set_timer(self, at_ms: int | None) -> None:
        self.timer += 1
        if at_ms is None:
            return
        timer, life = self.timer, self.life

        def fire() -> None:
            if self.timer == timer and self.life == life:
                self.handle(events.TimerFired())

        self.network.schedule(max(0, at_ms - self.now_ms()), fire)

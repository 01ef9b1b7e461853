"""A federation in one thread: replicas, links that delay and lose, disks that forget what was not synced.

Everything follows from one seed: two runs with one seed do the same, event by event. Signatures are keyed
hashes, so a run measures the core and not the curve; the application keeps a digest and a list of expiries.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from icn.consensus.v1 import block_pb2
from icn_crypto.hashing import preimage, sha256
from icn_crypto.merkle_log import EMPTY_ROOT, Log, leaf_hash, tree_root

from icn_consensus.domain import actions as act
from icn_consensus.domain import events
from icn_consensus.domain.block import (
    NO_HASH,
    Block,
    BlockHeader,
    ExecutedState,
    Vote,
    VoteKind,
    genesis_header,
    parse_vote,
)
from icn_consensus.domain.config import Config, Recovered
from icn_consensus.domain.ports import SignedItem
from icn_consensus.domain.records import RecordKind, decode_record
from icn_consensus.domain.replica import Replica
from icn_consensus.domain.validator_set import parse_validator_set

GENESIS_HASH: Final = sha256(b"simulated genesis")
GENESIS_TIME_MS: Final = 1_800_000_000_000
FETCH_TIMEOUT_MS: Final = 500
RESTART_MS: Final = (50, 3_000)
EXPIRING: Final = b"expires at "
"""A transaction that begins so makes something that expires at the time that follows, unix milliseconds."""


class InvariantBroken(AssertionError):
    """The protocol did what it promises never to do."""


def _secret(public_key: bytes) -> bytes:
    return sha256(b"secret" + public_key)


@dataclass(slots=True)
class SimulatedCrypto:
    """Signatures that anybody could forge, and nobody in a simulation does; counts what they would cost."""

    public_key: bytes
    signed: int = 0
    verified: int = 0

    def sign(self, tag: str, body: bytes) -> bytes:
        """64 bytes that depend on key, tag and body."""
        self.signed += 1
        return self._signature(self.public_key, tag, body)

    def verify(self, items: Sequence[SignedItem]) -> list[bool]:
        """Verdicts by computing the signatures again."""
        self.verified += len(items)
        return [self._signature(key, tag, body) == signature for key, tag, body, signature in items]

    @staticmethod
    def _signature(public_key: bytes, tag: str, body: bytes) -> bytes:
        digest = sha256(_secret(public_key) + preimage(tag, GENESIS_HASH, body))
        return digest + sha256(digest)


@dataclass(slots=True)
class SimulatedApplication:
    """A state machine as small as consensus can tell: a digest of all transactions, and expiries."""

    validator_set: bytes
    height: int = 0
    time_ms: int = GENESIS_TIME_MS
    digest: bytes = NO_HASH
    expiries_ms: list[int] = field(default_factory=list)
    transactions: dict[bytes, int] = field(default_factory=dict)
    """Height of each transaction executed."""
    log: Log = field(default_factory=Log)
    receipts_root: bytes = EMPTY_ROOT
    has_changed_state: bool = False

    def state_root(self) -> bytes:
        """Root of the state."""
        return sha256(self.digest + b"".join(time.to_bytes(8, "big") for time in self.expiries_ms))

    def state(self) -> ExecutedState:
        """As the application tells it."""
        return ExecutedState(
            self.height,
            self.time_ms,
            self.state_root(),
            self.receipts_root,
            EMPTY_ROOT if self.height == 0 else self.log.root(),
            self.has_changed_state,
            min(self.expiries_ms, default=0),
            self.validator_set,
        )

    def execute(self, genesis: BlockHeader, block: Block) -> None:
        """Apply the next final block; applying a height again does nothing."""
        if block.header.height <= self.height:
            return
        if block.header.height != self.height + 1:
            raise InvariantBroken(f"height {block.header.height} executed after {self.height}")
        before = self.state_root()
        if self.height == 0:
            self.log.append(leaf_hash(genesis.hash))
        self.height = block.header.height
        self.time_ms = block.header.time_ms
        self.log.append(leaf_hash(block.hash))
        self.expiries_ms = [time for time in self.expiries_ms if time > self.time_ms]
        for transaction in block.transactions:
            if transaction in self.transactions:
                raise InvariantBroken(f"{transaction!r} is executed twice")
            self.transactions[transaction] = self.height
            self.digest = sha256(self.digest + transaction)
            if transaction.startswith(EXPIRING):
                self.expiries_ms = sorted([*self.expiries_ms, int(transaction[len(EXPIRING) :].split()[0])])
        self.receipts_root = tree_root([leaf_hash(transaction) for transaction in block.transactions])
        self.has_changed_state = self.state_root() != before


@dataclass(slots=True)
class Disk:
    """What survives a crash."""

    records: list[act.Persist] = field(default_factory=list)
    synced: int = 0
    """How many of the records are durable."""
    blocks: list[act.Execute] = field(default_factory=list)
    """Final blocks, ascending from height 1."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How the simulated world behaves. Times in milliseconds, inclusive; shares in percent."""

    delay_ms: tuple[int, int] = (10, 10)
    loss_percent: int = 0
    prepare_ms: tuple[int, int] = (0, 0)
    judge_ms: tuple[int, int] = (0, 0)
    execute_ms: tuple[int, int] = (0, 0)
    crash_permille: int = 0
    """How often a node dies before an action; it is back after `RESTART_MS`."""
    clock_offset_ms: int = 0
    """Clocks differ from the true time by at most this."""


class Node:
    """One seat: a replica with its disk, pool and application."""

    def __init__(self, network: Network, seat: int, clock_offset_ms: int) -> None:
        self.network = network
        self.seat = seat
        self.clock_offset_ms = clock_offset_ms
        self.disk = Disk()
        self.application = SimulatedApplication(network.validator_set)
        self.crypto = SimulatedCrypto(network.config(seat).validators.public_keys[seat])
        self.is_up = False
        self.life = 0
        """Counts starts: what was asked in an earlier life is not answered in this one."""
        self.replica = Replica(network.config(seat), self.crypto)
        self.pool: dict[bytes, None] = {}
        self.placed: dict[bytes, tuple[bytes, ...]] = {}
        """Transactions of notarized, unfinished blocks, by block hash."""
        self.bodies: dict[bytes, tuple[bytes, ...]] = {}
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
        self.is_up = True
        self.life += 1
        self.replica = Replica(self.network.config(self.seat), self.crypto)
        self.placed.clear()
        self.bodies.clear()
        del self.disk.records[self.disk.synced :]
        for stored in self.disk.blocks:
            self.application.execute(self.network.genesis, stored.block)
        newest = self.disk.blocks[-1] if self.disk.blocks else None
        recovered = Recovered(
            self.network.genesis if newest is None else newest.block.header,
            b"" if newest is None else newest.finalization,
            self.application.state(),
            tuple(item.record for item in self.disk.records),
        )
        self.perform(self.replica.start(recovered, self.now_ms()))
        self.tell_pool()
        for other in self.network.nodes:
            if other is not self and other.is_up:
                self.network.connect(self, other)

    def crash(self) -> None:
        """Stop at once; some of the records that were not synced may have reached the disk."""
        self.is_up = False
        unsynced = len(self.disk.records) - self.disk.synced
        self.disk.synced += self.network.random.randint(0, unsynced)

    def handle(self, event: events.Event) -> None:
        """Let the replica digest an event."""
        if self.is_up:
            self.perform(self.replica.step(event, self.now_ms()))

    def perform(self, todo: Iterable[act.Action]) -> None:
        """Carry actions out in order, unless the node dies between two of them."""
        life = self.life
        for action in todo:
            if self.network.random.randrange(1_000) < self.network.conditions.crash_permille:
                self.crash()
                self.network.schedule(self.network.random.randint(*RESTART_MS), self.start_again)
            if not self.is_up or self.life != life:
                return
            self.perform_one(action)

    def start_again(self) -> None:
        """Boot, if it is still down."""
        if not self.is_up:
            self.start()

    def perform_one(self, action: act.Action) -> None:  # noqa: PLR0912 - one branch per action
        """Carry one action out."""
        match action:
            case act.Persist():
                self.disk.records.append(action)
                if action.is_synced:
                    self.disk.synced = len(self.disk.records)
            case act.Broadcast():
                self.network.watch(self, action.kind, action.data)
                for other in self.network.nodes:
                    if other.seat != self.seat and other.seat not in action.except_seats:
                        self.transmit(other, action.kind, action.data)
            case act.Send():
                self.network.watch(self, action.kind, action.data)
                self.transmit(self.network.nodes[action.seat], action.kind, action.data)
            case act.Prepare():
                self._prepare(action)
            case act.Judge():
                self.bodies[action.block_hash] = action.transactions
                self.later(
                    self.network.conditions.judge_ms,
                    lambda: events.BlockJudged(action.block_hash, is_valid=True),
                )
            case act.Execute():
                self._execute(action)
            case act.Fetch():
                self._fetch(action)
            case act.SetTimer():
                self._set_timer(action.at_ms)
            case act.Notarized():
                self._place(action.block_hash)
            case act.Abandoned():
                for block_hash in action.block_hashes:
                    self.placed.pop(block_hash, None)
                self.tell_pool()
            case act.Report():
                self.reports.append(action)
            case act.Committed():
                pass

    def transmit(self, other: Node, kind: act.MessageKind, data: bytes) -> None:
        """Send a message on its way."""
        self.sent[kind] += 1
        received: events.Event
        if kind == act.MessageKind.PROPOSAL:
            received = events.ProposalReceived(self.seat, data)
        elif kind == act.MessageKind.VOTE:
            received = events.VoteReceived(self.seat, data)
        else:
            received = events.CertificateReceived(self.seat, data)
        self.network.deliver(self, other, lambda: other.handle(received))

    def submit(self, transaction: bytes) -> None:
        """Put a transaction into this node's pool."""
        if transaction not in self.application.transactions:
            self.pool[transaction] = None
            self.tell_pool()

    def tell_pool(self) -> None:
        """Tell the replica whether anything waits."""
        placed = {transaction for transactions in self.placed.values() for transaction in transactions}
        has_pending = any(transaction not in placed for transaction in self.pool)
        self.network.schedule(0, self._if_alive(lambda: self.handle(events.PoolChanged(has_pending))))

    def later(self, duration_ms: tuple[int, int], answer: Callable[[], events.Event]) -> None:
        """Answer the replica after a while, unless it crashes before."""
        delay_ms = self.network.random.randint(*duration_ms)
        self.network.schedule(delay_ms, self._if_alive(lambda: self.handle(answer())))

    def _if_alive(self, do: Callable[[], None]) -> Callable[[], None]:
        life = self.life

        def run() -> None:
            if self.is_up and self.life == life:
                do()

        return run

    def _prepare(self, action: act.Prepare) -> None:
        taken: set[bytes] = set()
        for block_hash in action.branch.unexecuted:
            data = self.replica.block(block_hash)
            if data is not None:
                taken.update(block_pb2.Block.FromString(data).transactions)
            else:
                taken.update(self.bodies.get(block_hash, ()))
        for stored in self.disk.blocks[self.application.height :]:
            taken.update(stored.block.transactions)
        chosen = tuple(
            item for item in self.pool if item not in taken and item not in self.application.transactions
        )
        chosen = chosen[: action.transactions_max]
        self.later(self.network.conditions.prepare_ms, lambda: events.BlockPrepared(action.request, chosen))

    def _execute(self, action: act.Execute) -> None:
        self.network.check_final(self, action)
        self.disk.blocks.append(action)
        header = action.block.header
        self.times_final_ms.setdefault(header.height, self.network.now_ms)
        self.disk.records, self.disk.synced = _pruned(self.disk, header)
        self.placed.pop(header.hash, None)
        for transaction in action.block.transactions:
            self.pool.pop(transaction, None)

        def execute() -> events.Event:
            self.application.execute(self.network.genesis, action.block)
            return events.BlockExecuted(self.application.state())

        delay_ms = self.network.random.randint(*self.network.conditions.execute_ms)
        # Execution is in order: a height never overtakes the one before.
        self.busy_until_ms = max(self.busy_until_ms, self.network.now_ms) + delay_ms
        wait_ms = self.busy_until_ms - self.network.now_ms
        self.network.schedule(wait_ms, self._if_alive(lambda: self.handle(execute())))
        self.tell_pool()

    def _place(self, block_hash: bytes) -> None:
        data = self.replica.block(block_hash)
        if data is not None:
            self.placed[block_hash] = tuple(block_pb2.Block.FromString(data).transactions)
            self.tell_pool()

    def _fetch(self, action: act.Fetch) -> None:
        other = self.network.nodes[action.seat]
        answered: list[bool] = []

        def fail() -> None:
            if not answered:
                self.handle(events.FetchFailed(action.request))

        def receive(answer: events.Event) -> None:
            answered.append(True)
            self._if_alive(lambda: self.handle(answer))()

        def serve() -> None:
            if other.is_up:
                answer = other.serve(action)
                self.network.deliver(other, self, lambda: receive(answer))

        self.network.schedule(FETCH_TIMEOUT_MS, self._if_alive(fail))
        self.network.deliver(self, other, serve)

    def serve(self, fetch: act.Fetch) -> events.Event:
        """Answer another seat's request."""
        what = fetch.what
        if isinstance(what, act.FetchCertificates):
            found = self.replica.certificates_from(what.from_view)
            return events.CertificatesFetched(fetch.request, self.seat, found)
        if isinstance(what, act.FetchBlock):
            data = self.replica.block(what.block_hash)
            if data is None:
                stored = [item for item in self.disk.blocks if item.block.hash == what.block_hash]
                data = stored[0].block.data if stored else None
            return events.BlocksFetched(fetch.request, self.seat, () if data is None else (data,), ())
        page = self.disk.blocks[what.from_height - 1 : what.from_height - 1 + 64]
        blocks = tuple(item.block.data for item in page)
        certificates = (page[-1].finalization,) if page else ()
        return events.BlocksFetched(fetch.request, self.seat, blocks, certificates)

    def _set_timer(self, at_ms: int | None) -> None:
        self.timer += 1
        if at_ms is None:
            return
        timer = self.timer

        def fire() -> None:
            if self.timer == timer:
                self.handle(events.TimerFired())

        self.network.schedule(max(0, at_ms - self.now_ms()), self._if_alive(fire))


def _pruned(disk: Disk, header: BlockHeader) -> tuple[list[act.Persist], int]:
    """The log without records below a final block that is stored."""
    kept = [item for item in disk.records if (item.epoch, item.view) >= (header.epoch, header.view)]
    synced = sum(
        1 for item in disk.records[: disk.synced] if (item.epoch, item.view) >= (header.epoch, header.view)
    )
    return kept, synced


class Network:
    """Nodes, links and time. `run_for` lets time pass; invariants are checked at every step."""

    def __init__(
        self,
        seats: int,
        seed: int,
        conditions: Conditions | None = None,
        *,
        epoch_ms: int = 86_400_000,
        heartbeat_ms: int = 30_000,
        block_transactions_max: int = 100,
        node_class: Callable[[Network, int, int], Node] | None = None,
        node_classes: dict[int, Callable[[Network, int, int], Node]] | None = None,
    ) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a simulation, not a secret
        self.conditions = conditions or Conditions()
        self.now_ms = GENESIS_TIME_MS
        self.validator_set = _validator_set(seats)
        self._epoch_ms = epoch_ms
        self._heartbeat_ms = heartbeat_ms
        self._block_transactions_max = block_transactions_max
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._cut: set[frozenset[int]] = set()
        self._last_arrival_ms: dict[tuple[int, int], int] = {}
        self.votes: dict[tuple[int, int, int], dict[VoteKind, Vote]] = {}
        """What each seat said, by (seat, epoch, view)."""
        self.final_hashes: dict[int, bytes] = {}
        self.messages = 0
        validators = parse_validator_set(self.validator_set)
        self.genesis = genesis_header(
            GENESIS_HASH,
            protocol_version=1,
            time_ms=GENESIS_TIME_MS,
            state_root=SimulatedApplication(self.validator_set).state_root(),
            validator_set_hash=validators.hash,
        )
        chosen = node_classes or {}
        offset = self.conditions.clock_offset_ms
        self.nodes = [
            chosen.get(seat, node_class or Node)(self, seat, self.random.randint(-offset, offset))
            for seat in range(seats)
        ]
        self.faulty = set(chosen)
        """Seats whose words and blocks are not held to the promises."""

    @property
    def honest(self) -> list[Node]:
        """Nodes that follow the protocol."""
        return [node for node in self.nodes if node.seat not in self.faulty]

    def config(self, seat: int) -> Config:
        """What a node is told at its start."""
        return Config(
            genesis_hash=GENESIS_HASH,
            protocol_version=1,
            seat=seat,
            validators=parse_validator_set(self.validator_set),
            genesis_time_ms=GENESIS_TIME_MS,
            epoch_ms=self._epoch_ms,
            heartbeat_ms=self._heartbeat_ms,
            block_time_distance_ms_max=3_000,
            block_bytes_max=1_048_576,
            block_transactions_max=self._block_transactions_max,
        )

    def start(self, seats: Iterable[int] | None = None) -> None:
        """Boot nodes (all of them by default)."""
        for node in self.nodes:
            if seats is None or node.seat in seats:
                node.start()

    def schedule(self, delay_ms: int, do: Callable[[], None]) -> None:
        """Do something later; things of one time happen in the order they were scheduled."""
        self._sequence += 1
        heapq.heappush(self._queue, (self.now_ms + delay_ms, self._sequence, do))

    def run_for(self, duration_ms: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass, at most until a condition holds; whether it came to hold."""
        end_ms = self.now_ms + duration_ms
        while self._queue and self._queue[0][0] <= end_ms:
            self.now_ms, _, do = heapq.heappop(self._queue)
            do()
            if until is not None and until():
                return True
        self.now_ms = end_ms
        return until is not None and until()

    def deliver(self, sender: Node, receiver: Node, do: Callable[[], None]) -> None:
        """Carry a message, or lose it. A link keeps order."""
        self.messages += 1
        if frozenset((sender.seat, receiver.seat)) in self._cut or not receiver.is_up:
            return
        if self.random.randrange(100) < self.conditions.loss_percent:
            return
        arrival_ms = self.now_ms + self.random.randint(*self.conditions.delay_ms)
        link = (sender.seat, receiver.seat)
        arrival_ms = max(arrival_ms, self._last_arrival_ms.get(link, 0))
        self._last_arrival_ms[link] = arrival_ms
        self.schedule(arrival_ms - self.now_ms, do)

    def partition(self, *groups: Sequence[int]) -> None:
        """Cut every link between different groups."""
        for position, group in enumerate(groups):
            for other in groups[position + 1 :]:
                self._cut.update(frozenset((a, b)) for a in group for b in other)

    def heal(self) -> None:
        """Join all links again; streams are opened anew."""
        cut, self._cut = self._cut, set()
        for a in self.nodes:
            for b in self.nodes:
                if a.seat < b.seat and frozenset((a.seat, b.seat)) in cut and a.is_up and b.is_up:
                    self.connect(a, b)

    def connect(self, a: Node, b: Node) -> None:
        """Tell both ends of a stream that it is open."""
        for node, peer in ((a, b), (b, a)):
            height = peer.replica.status().final_height
            self.deliver(peer, node, partial(node.handle, events.PeerConnected(peer.seat, height)))

    def submit(self, transaction: bytes, seats: Iterable[int] | None = None) -> None:
        """Hand a transaction to nodes' pools (all of them by default)."""
        for node in self.nodes:
            if node.is_up and (seats is None or node.seat in seats):
                node.submit(transaction)

    def watch(self, node: Node, kind: act.MessageKind, data: bytes) -> None:
        """Hold an honest node to its word: one vote of a kind per view, finalize xor nullify, disk first."""
        if node.seat in self.faulty or kind != act.MessageKind.VOTE:
            return
        vote = parse_vote(data)
        if vote.seat != node.seat:
            raise InvariantBroken(f"seat {node.seat} sends a vote of seat {vote.seat}")
        said = self.votes.setdefault((vote.seat, vote.epoch, vote.view), {})
        earlier = said.get(vote.kind)
        if earlier is None:
            if vote.kind == VoteKind.NOTARIZE and VoteKind.NULLIFY in said:
                raise InvariantBroken(f"seat {node.seat} notarizes view {vote.view} after nullifying it")
            said[vote.kind] = vote
            if not _is_on_disk(node.disk, vote):
                raise InvariantBroken(f"seat {node.seat} sends a vote that is not on its disk")
        elif earlier.data != data:
            raise InvariantBroken(f"seat {node.seat} says two things in view {vote.view}")
        if VoteKind.FINALIZE in said and VoteKind.NULLIFY in said:
            raise InvariantBroken(f"seat {node.seat} finalizes and nullifies view {vote.view}")

    def check_final(self, node: Node, action: act.Execute) -> None:
        """Hold honest nodes to one chain, without a gap."""
        header = action.block.header
        if node.seat in self.faulty:
            return
        if self.final_hashes.setdefault(header.height, header.hash) != header.hash:
            raise InvariantBroken(f"two final blocks at height {header.height}")
        if header.height != len(node.disk.blocks) + 1:
            raise InvariantBroken(f"height {header.height} is final after {len(node.disk.blocks)}")

    def heights(self) -> list[int]:
        """Final heights of the honest nodes."""
        return [len(node.disk.blocks) for node in self.honest]

    def headers(self) -> list[BlockHeader]:
        """The final chain as the first honest node that reached farthest has it."""
        longest = max(self.honest, key=lambda node: len(node.disk.blocks))
        return [item.block.header for item in longest.disk.blocks]


def _is_on_disk(disk: Disk, vote: Vote) -> bool:
    kinds = {
        VoteKind.NOTARIZE: RecordKind.NOTARIZE,
        VoteKind.NULLIFY: RecordKind.NULLIFY,
        VoteKind.FINALIZE: RecordKind.FINALIZE,
    }
    for item in reversed(disk.records[: disk.synced]):
        if (item.epoch, item.view) == (vote.epoch, vote.view):
            record = decode_record(item.record)
            if record.kind == kinds[vote.kind] and record.message == vote.data:
                return True
    return False


def _validator_set(seats: int) -> bytes:
    return block_pb2.ValidatorSet(
        validators=[
            block_pb2.Validator(
                organization=sha256(b"organization %d" % seat)[:16],
                keys=[block_pb2.ConsensusKey(suite=1, public_key=sha256(b"public key %d" % seat))],
            )
            for seat in range(seats)
        ]
    ).SerializeToString(deterministic=True)

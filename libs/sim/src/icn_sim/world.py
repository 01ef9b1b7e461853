"""A federation in one thread: replicas, links that delay and lose, clocks that differ.

Everything follows from one seed: two runs with one seed do the same, event by event.
Source: docs/spec/simulator.md.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from icn_chain import evidence
from icn_chain.certificate import VoteKind, peek_certificate
from icn_chain.grounds import Grounds
from icn_chain.header import BlockHeader, genesis_header
from icn_chain.invalid_proposal import Proposed, find
from icn_chain.malformed import EvidenceInvalid
from icn_chain.protocols import NEWEST_PROTOCOL
from icn_chain.validator_set import ValidatorSet, parse_validator_set
from icn_consensus.domain import actions as act
from icn_consensus.domain import events
from icn_consensus.domain.block import Proposal, Vote, parse_proposal, parse_vote
from icn_consensus.domain.config import Config
from icn_consensus.domain.records import Record, RecordKind, decode_record
from icn_kit.clock import Clock

from icn_sim.application import PROTOCOL, SEATS, Seats, Simulated, SimulatedApplication
from icn_sim.disk import Disk
from icn_sim.event_log import EventLog
from icn_sim.node import Node
from icn_sim.signatures import SimulatedCrypto
from icn_sim.tally import Fault, Reached, Tally
from icn_sim.traders import Clients, Numbering
from icn_sim.zone import GENESIS_HASH, GENESIS_TIME_MS, PromiseBroken, public_key_of, validator_set_of

GAP_VIEWS: Final = 2
"""A proposal whose parent is more than so many views back goes over at least two nullified ones."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How the simulated world behaves. Times in milliseconds, inclusive; shares in percent."""

    delay_ms: tuple[int, int] = (10, 10)
    loss_percent: int = 0
    duplicate_percent: int = 0
    reorder_percent: int = 0
    """How often a message overtakes those before it, which a stream never does and a new stream may."""
    prepare_ms: tuple[int, int] = (0, 0)
    judge_ms: tuple[int, int] = (0, 0)
    execute_ms: tuple[int, int] = (0, 0)
    crash_permille: int = 0
    """How often a node dies before an action; it is back after `RESTART_MS`."""
    clock_offset_ms: int = 0
    """Clocks differ from the true time by at most this."""


class Dice(random.Random):
    """Draws what its base would, without a look at the kind of its arguments: several for each message."""

    def below(self, bound: int) -> int:
        """As `randrange`."""
        bits = bound.bit_length()
        drawn = self.getrandbits(bits)
        while drawn >= bound:
            drawn = self.getrandbits(bits)
        return drawn

    def between(self, first: int, last: int) -> int:
        """As `randint`."""
        return first + self.below(last - first + 1)


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
        application_of: Callable[[Clock], Simulated] | None = None,
        clients: Clients | None = None,
        spares: int = 0,
    ) -> None:
        """``spares``: nodes that hold no seat at genesis, numbered after those that do."""
        self.random = Dice(seed)
        self.conditions = conditions or Conditions()
        self.now_ms = GENESIS_TIME_MS
        self.validator_set = validator_set_of(range(seats))
        self._epoch_ms = epoch_ms
        self._heartbeat_ms = heartbeat_ms
        self._block_transactions_max = block_transactions_max
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._cut: set[tuple[int, int]] = set()
        """Links that carry nothing, as (from, to)."""
        self._last_arrival_ms: dict[tuple[int, int], int] = {}
        self.votes: dict[tuple[bytes, int, int], dict[VoteKind, Vote]] = {}
        """What each node said, by (key, epoch, view): a new key owes nothing to what the old one said."""
        self.final_hashes: dict[int, bytes] = {}
        self.genesis_seats = range(seats)
        genesis_set = self._newest_set = parse_validator_set(self.validator_set)
        self._sets = {genesis_set.hash: genesis_set}
        """Every set that a state has named, by hash."""
        self._deciding = {0: genesis_set.hash}
        """Hash of the set that decides, by the epoch from which on."""
        self.messages = 0
        self.application_of = application_of or (lambda _clock: SimulatedApplication(Seats(range(seats))))
        """Makes a node's application."""
        self.clients: Clients = clients or Numbering()
        chosen = node_classes or {}
        offset = self._clock_offset_ms = self.conditions.clock_offset_ms
        self.nodes = [
            chosen.get(seat, node_class or Node)(self, seat, self.random.randint(-offset, offset))
            for seat in range(seats + spares)
        ]
        self._by_key = {node.public_key: node for node in self.nodes}
        self.genesis = genesis_header(
            GENESIS_HASH,
            protocol_version=1,
            time_ms=GENESIS_TIME_MS,
            state_root=self.nodes[0].application.state().state_root,
            validator_set_hash=self.config(0).validators.hash,
        )
        self.faulty = set(chosen)
        """Seats whose words and blocks are not held to the promises."""
        self.forges_snapshots: int | None = None
        """Who serves snapshots and chunks that are none, and is honest otherwise."""
        self.bad_disk_seat: int | None = None
        """Whose synced bytes change at its crashes. It may refuse to start; it counts as faulty once a sector
        went back to what it held before, which nothing on that disk need show."""
        self.wanted: dict[bytes, None] = {}
        """Transactions of the clients that nobody has told them to be executed."""
        self.acknowledged: set[bytes] = set()
        """Transactions that an honest node has executed: whoever waited there was told so."""
        self.tally = Tally()
        self._log = EventLog()
        self._opened: dict[tuple[int, int], set[int]] = {}
        """Kinds of the certificates that honest nodes passed on, by (epoch, view)."""
        self.accused: set[int] = set()
        """Nodes that honest ones have evidence against."""
        self._has_ledger = application_of is not None
        self._proposed: dict[bytes, bytes] = {}
        """Headers that honest leaders proposed, by their hash."""

    @property
    def honest(self) -> list[Node]:
        """Nodes that follow the protocol and whose disks keep what they were given; none that stays away."""
        return [node for node in self.nodes if node.seat not in self.faulty and not node.has_refused]

    def config(self, seat: int) -> Config:
        """What a node is told at its start."""
        return Config(
            genesis_hash=GENESIS_HASH,
            protocol_version=1,
            public_key=public_key_of(seat),
            validators=parse_validator_set(self.validator_set),
            genesis_time_ms=GENESIS_TIME_MS,
            epoch_ms=self._epoch_ms,
            heartbeat_ms=self._heartbeat_ms,
            block_time_distance_ms_max=3_000,
            block_bytes_max=1_048_576,
            block_transactions_max=self._block_transactions_max,
        )

    @property
    def wrong_clocks(self) -> set[int]:
        """Seats that keep the rules by clocks so far off that they can do no more than follow."""
        distance_ms_max = self.config(0).block_time_distance_ms_max
        return {node.seat for node in self.nodes if abs(node.clock_offset_ms) > distance_ms_max}

    @property
    def hampered(self) -> set[int]:
        """Seats that a quorum must do without: at most f of those that decide."""
        bad_disk = set() if self.bad_disk_seat is None else {self.bad_disk_seat}
        return self.faulty | self.wrong_clocks | bad_disk | self.outdated

    @property
    def outdated(self) -> set[int]:
        """Seats of an older release, which stops where a version begins that it does not know."""
        return {node.seat for node in self.nodes if node.protocol_newest < NEWEST_PROTOCOL}

    def restore(self, node: Node, height: int, public_key: bytes) -> None:
        """Give a node that is down an older copy of its databases, no log, and another key."""
        node.lose_and_restore(height, public_key)
        self._by_key[public_key] = node

    def lose_everything(self, node: Node, public_key: bytes) -> None:
        """Leave a node that is down nothing but another key."""
        node.lose_everything(public_key)
        self._by_key[public_key] = node

    def go_back(self, header: BlockHeader, state: Mapping[bytes, int], epoch: int, data: bytes) -> None:
        """All agree to go on after this block, in this epoch with these seats: what came later is void.

        ``state``: height by transaction, as the block left it.
        """
        for height in [height for height in self.final_hashes if height > header.height]:
            del self.final_hashes[height]
        self.wanted.update(dict.fromkeys(sorted(self.acknowledged - set(state))))
        self.acknowledged &= set(state)
        self._opened = {place: kinds for place, kinds in self._opened.items() if place[0] < epoch}
        self._deciding = {since: known for since, known in self._deciding.items() if since <= header.epoch}
        self.learn_set(data)
        self._deciding[epoch] = self._newest_set.hash

    def node_of(self, public_key: bytes) -> Node:
        """The node that has this consensus key."""
        return self._by_key[public_key]

    def start(self, seats: Iterable[int] | None = None) -> None:
        """Boot nodes (all of them by default)."""
        for node in self.nodes:
            if seats is None or node.seat in seats:
                node.start()

    def schedule(self, delay_ms: int, do: Callable[[], None]) -> None:
        """Do something later; things of one time happen in the order they were scheduled."""
        self._sequence += 1
        heapq.heappush(self._queue, (self.now_ms + delay_ms, self._sequence, do))

    def drop_all(self) -> None:
        """Lose whatever is on its way or due later: for when nobody is up."""
        assert not any(node.is_up for node in self.nodes), "timers and answers are for who is down"
        self._queue.clear()

    def run_for(self, duration_ms: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass, at most until a condition holds; whether it came to hold."""
        end_ms = self.now_ms + duration_ms
        queue = self._queue
        while queue and queue[0][0] <= end_ms:
            self.now_ms, _, do = heapq.heappop(queue)
            do()
            if until is not None and until():
                return True
        self.now_ms = end_ms
        return until is not None and until()

    def deliver(self, sender: Node, receiver: Node, do: Callable[[], None]) -> None:
        """Carry a message, or lose it; a link keeps order unless the conditions say otherwise."""
        self.messages += 1
        link = (sender.seat, receiver.seat)
        if not receiver.is_up or link in self._cut:
            return
        if self.random.below(100) < self.conditions.loss_percent:
            self.tally.faults[Fault.LOSS] += 1
            return
        self._carry(link, do)
        if self._happens(self.conditions.duplicate_percent):
            self.tally.faults[Fault.DUPLICATE] += 1
            self._carry(link, do)

    def _happens(self, percent: int) -> bool:
        return percent > 0 and self.random.below(100) < percent

    def _carry(self, link: tuple[int, int], do: Callable[[], None]) -> None:
        shortest_ms, longest_ms = self.conditions.delay_ms
        delay_ms = self.random.between(shortest_ms, longest_ms)
        if delay_ms > shortest_ms:
            self.tally.faults[Fault.DELAY] += 1
        newest_ms = self._last_arrival_ms.get(link, 0)
        if self.now_ms + delay_ms >= newest_ms:
            self._last_arrival_ms[link] = self.now_ms + delay_ms
        elif self._happens(self.conditions.reorder_percent):
            self.tally.faults[Fault.REORDER] += 1
        else:
            delay_ms = newest_ms - self.now_ms
        self.schedule(delay_ms, do)

    def partition(self, *groups: Sequence[int]) -> None:
        """Cut every link between different groups."""
        self.tally.faults[Fault.PARTITION] += 1
        for group in groups:
            for other in groups:
                if other is not group:
                    self._cut.update((a, b) for a in group for b in other)

    def cut_one_way(self, sender: int, receiver: int) -> None:
        """Let nothing through from one seat to another; what goes back does."""
        self.tally.faults[Fault.ONE_WAY_CUT] += 1
        self._cut.add((sender, receiver))

    def heal(self) -> None:
        """Join all links again; streams are opened anew."""
        cut, self._cut = self._cut, set()
        for a in self.nodes:
            for b in self.nodes:
                was_cut = (a.seat, b.seat) in cut or (b.seat, a.seat) in cut
                if a.seat < b.seat and was_cut and a.is_up and b.is_up:
                    self.connect(a, b)

    @property
    def is_disturbed(self) -> bool:
        """Whether a link is cut, a node is down or a seat lies at this moment."""
        return bool(self._cut or self.faulty) or not all(node.is_up for node in self.nodes)

    def note(self, seat: int, event: events.Event) -> None:
        """Put an event into the log whose digest tells two runs apart."""
        self._log.note(self.now_ms, seat, event)

    def digest(self) -> str:
        """Of every event so far, in hex."""
        return self._log.digest()

    def connect(self, a: Node, b: Node) -> None:
        """Tell both ends of a stream that it is open; who takes the state from others says nothing yet."""
        if a.is_syncing or b.is_syncing:
            return
        for node, peer in ((a, b), (b, a)):
            height = peer.replica.status().final_height
            self.deliver(peer, node, partial(node.handle, events.PeerConnected(peer.public_key, height)))

    def submit(self, transaction: bytes, seats: Iterable[int] | None = None) -> None:
        """Hand a transaction to nodes' pools (all of them by default)."""
        for node in self.nodes:
            if node.is_up and not node.is_syncing and (seats is None or node.seat in seats):
                node.submit(transaction)

    def hand_in(self, choose: random.Random, seats: Iterable[int] | None = None) -> bytes:
        """Let a client sign its next transaction and hand it in."""
        transaction = self.clients.draw(choose, self.now_ms)
        self.wanted[transaction] = None
        self.submit(transaction, seats)
        return transaction

    @property
    def seats_wanted(self) -> tuple[int, ...]:
        """Nodes that a state has named last, in seat order."""
        keys = self._newest_set.public_keys
        return tuple(self.node_of(key).seat for key in keys)

    def hand_in_seats(self, nodes: Sequence[int]) -> None:
        """Let everybody hear who shall decide from the next epoch on."""
        words = " ".join(map(str, nodes))
        transaction = SEATS + f"{words}|{len(self.wanted)} {self.now_ms}".encode()
        self.wanted[transaction] = None
        self.submit(transaction)

    def hand_in_protocol(self, version: int) -> None:
        """Let everybody hear by which protocol version it goes on from the next epoch on."""
        transaction = PROTOCOL + f"{version}|{len(self.wanted)} {self.now_ms}".encode()
        self.wanted[transaction] = None
        self.submit(transaction)

    def hand_in_again(self, seats: Callable[[], Iterable[int] | None]) -> None:
        """Let clients hand in what was not executed: who had it may have died."""
        self.wanted = {item: None for item in self.wanted if item not in self.acknowledged}
        for transaction in self.wanted:
            self.submit(transaction, seats())

    def watch(self, node: Node, kind: act.MessageKind, data: bytes) -> None:
        """Hold an honest node to its word: one vote of a kind per view, finalize xor nullify, disk first."""
        if node.seat in self.faulty:
            return
        if kind == act.MessageKind.CERTIFICATE:
            self._watch_certificate(data)
            return
        if kind == act.MessageKind.PROPOSAL:
            self._watch_proposal(data)
            return
        if kind == act.MessageKind.RECOVERY:
            return
        vote = parse_vote(data)
        held = self.seats_in(vote.epoch).seat_of(node.public_key)
        if vote.seat != held:
            raise PromiseBroken(f"node {node.seat} with seat {held} sends a vote of seat {vote.seat}")
        said = self.votes.setdefault((node.public_key, vote.epoch, vote.view), {})
        earlier = said.get(vote.kind)
        if earlier is None:
            said[vote.kind] = vote
            if not _is_on_disk(node.disk, vote):
                raise PromiseBroken(f"seat {node.seat} sends a vote that is not on its disk")
            nullified = said.get(VoteKind.NULLIFY)
            # It may have crashed between writing the one and sending it, and sends it after the other.
            if vote.kind == VoteKind.NOTARIZE and nullified and not _is_before(node.disk, vote, nullified):
                raise PromiseBroken(f"seat {node.seat} notarizes view {vote.view} after nullifying it")
        elif earlier.data != data:
            raise PromiseBroken(f"seat {node.seat} says two things in view {vote.view}")
        if VoteKind.FINALIZE in said and VoteKind.NULLIFY in said:
            raise PromiseBroken(f"seat {node.seat} finalizes and nullifies view {vote.view}")

    def seats_in(self, epoch: int) -> ValidatorSet:
        """Who decides in an epoch that has begun."""
        return self._sets[self._deciding[max(since for since in self._deciding if since <= epoch)]]

    def learn_set(self, data: bytes) -> None:
        """A state names this set."""
        self._newest_set = parse_validator_set(data)
        self._sets[self._newest_set.hash] = self._newest_set

    def _watch_certificate(self, data: bytes) -> None:
        peek = peek_certificate(data)
        epoch, view, kind = peek.epoch, peek.view, peek.kind
        opened = self._opened.setdefault((epoch, view), set())
        if kind in opened:
            return
        opened.add(kind)
        if kind == VoteKind.NULLIFY:
            self.tally.reached[Reached.NULLIFIED] += 1
        if {VoteKind.NOTARIZE, VoteKind.NULLIFY} <= opened:
            self.tally.reached[Reached.NOTARIZED_THEN_NULLIFIED] += 1
        if {VoteKind.FINALIZE, VoteKind.NULLIFY} <= opened:
            raise PromiseBroken(f"view {view} of epoch {epoch} is final and nullified")

    def grounds(self, epoch: int) -> Grounds:
        """What evidence about an epoch is judged by."""
        crypto = SimulatedCrypto(b"")
        return Grounds(self.config(0), self.seats_in(epoch), lambda *item: crypto.verify([item])[0])

    def _watch_proposal(self, data: bytes) -> None:
        """Hold evidence to its word: it is never about what an honest leader proposed."""
        proposal = parse_proposal(GENESIS_HASH, data, bytes_max=1 << 21, transactions_max=1_000)
        header = proposal.block.header
        if header.hash in self._proposed:
            return
        self._proposed[header.hash] = header.data
        found = find(self.grounds(header.epoch), self._shown(proposal))
        if found is not None:
            raise PromiseBroken(f"an honest proposal of view {header.view} is evidence: {found}")
        if header.view - proposal.parent_view > GAP_VIEWS:
            self.tally.reached[Reached.PROPOSAL_OVER_GAP] += 1

    def _shown(self, proposal: Proposal) -> Proposed:
        """All that could be held against it; transactions only where they are some."""
        block = proposal.block
        return Proposed(
            proposal.seat,
            proposal.parent_view,
            proposal.signature,
            block.header.data,
            block.transactions if self._has_ledger else (),
            block.parent_certificate,
            block.finalization,
            self._proposed.get(block.header.parent, b""),
        )

    def check_evidence(self, node: Node, report: act.Report) -> None:
        """Hold honest nodes to evidence that convinces who knows nothing but the set of its epoch."""
        if node.seat in self.faulty:
            return
        proof = evidence.parse(report.evidence)
        if (proof.epoch, proof.view, proof.seat) != (report.epoch, report.view, report.seat):
            raise PromiseBroken(f"evidence of another place than it is reported for: {report}")
        try:
            proof.check(self.grounds(proof.epoch))
        except EvidenceInvalid as error:
            raise PromiseBroken(f"evidence that proves nothing: {error}") from error
        self.accused.add(self.node_of(self.seats_in(proof.epoch).public_keys[proof.seat]).seat)

    def check_accused(self, node: Node, report: act.Report) -> None:
        """Hold honest nodes to blaming nobody who did nothing: it would cost an honest seat its streams."""
        blamed = self.node_of(report.peer).seat
        if not {node.seat, blamed} & self.faulty:
            raise PromiseBroken(f"node {node.seat} blames node {blamed}: {report.detail}")

    @property
    def _block_time_ahead_ms_max(self) -> int:
        """Of a final block: an honest seat whose clock is not wrong has compared it with that."""
        return self.config(0).block_time_distance_ms_max + self._clock_offset_ms

    def check_final(self, node: Node, action: act.Execute) -> None:
        """Hold honest nodes to one chain, without a gap."""
        header = action.block.header
        if node.seat in self.faulty:
            return
        if header.time_ms > self.now_ms + self._block_time_ahead_ms_max:
            raise PromiseBroken(f"final block {header.height} is of {header.time_ms}, at {self.now_ms}")
        if header.height not in self.final_hashes:
            self.tally.reached[Reached.FINAL_BLOCK] += 1
            is_edge = (header.time_ms - GENESIS_TIME_MS) // self._epoch_ms > header.epoch
            if is_edge:
                self._deciding[self.config(0).epoch_of(header.time_ms)] = header.next_validator_set_hash
                self.tally.reached[Reached.EDGE_UNDER_FAULT] += self.is_disturbed
                before, after = (
                    self._sets[header.validator_set_hash],
                    self._sets[header.next_validator_set_hash],
                )
                self.tally.reached[Reached.SEATS_CHANGED] += before.public_keys != after.public_keys
                self.tally.reached[Reached.ACTIVATED] += before.protocol_version != after.protocol_version
        if self.final_hashes.setdefault(header.height, header.hash) != header.hash:
            raise PromiseBroken(f"two final blocks at height {header.height}")
        if header.height != node.disk.height + 1:
            raise PromiseBroken(f"height {header.height} is final after {node.disk.height}")

    def heights(self) -> list[int]:
        """Final heights of the honest nodes."""
        return [node.disk.height for node in self.honest]

    def headers(self) -> list[BlockHeader]:
        """The final chain as the first honest node that reached farthest has it."""
        longest = max(self.honest, key=lambda node: len(node.disk.blocks))
        return [item.block.header for item in longest.disk.blocks]


_RECORDS: Final = {
    VoteKind.NOTARIZE: RecordKind.NOTARIZE,
    VoteKind.NULLIFY: RecordKind.NULLIFY,
    VoteKind.FINALIZE: RecordKind.FINALIZE,
}


def _is_on_disk(disk: Disk, vote: Vote) -> bool:
    return any(_is_of(record, vote) for record in map(decode_record, disk.newest_synced_payloads()))


def _is_before(disk: Disk, first: Vote, second: Vote) -> bool:
    """Whether one vote was written before another."""
    of_either = (
        record
        for record in map(decode_record, disk.newest_synced_payloads())
        if _is_of(record, first) or _is_of(record, second)
    )
    newest = next(of_either, None)
    return newest is not None and _is_of(newest, second)


def _is_of(record: Record, vote: Vote) -> bool:
    return record.kind == _RECORDS[vote.kind] and record.message == vote.data

"""Everything a replica knows, and the small steps that all its rules share.

The rules live in the modules beside this one as functions over `State`. They note what is to be done in
``actions`` and change what is known; `replica.Replica` runs them until nothing changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from icn_chain.certificate import Certificate, VoteKind
from icn_chain.header import BlockHeader
from icn_chain.recovery import RecoveryCertificate, RecoveryPeek
from icn_chain.validator_set import ValidatorSet

from icn_consensus.domain.actions import (
    Action,
    Broadcast,
    FetchBlock,
    MessageKind,
    Persist,
    Report,
    ReportKind,
    Send,
)
from icn_consensus.domain.attendance import Attendance
from icn_consensus.domain.block import ExecutedState, Proposal, Vote
from icn_consensus.domain.chain import Chain
from icn_consensus.domain.config import Config, Recovered
from icn_consensus.domain.fetcher import Fetcher, What
from icn_consensus.domain.pacemaker import Pacemaker
from icn_consensus.domain.ports import Crypto
from icn_consensus.domain.records import Record, RecordKind, encode_record
from icn_consensus.domain.seating import Seating
from icn_consensus.domain.view import View

FUTURE_VIEWS_MAX: Final = 16
"""Votes this far ahead of the current view are kept; others come again when the sender's timer fires."""
LATER_EPOCH_MESSAGES_MAX: Final = 32
"""Messages per peer kept for the next epoch while the finality of the edge is on its way."""
NEAR_HEIGHTS: Final = 4
"""A finalization this close is linked by fetching blocks by hash; a farther one by pages of final blocks."""
PAGE_DELAY_MS: Final = 250
"""How long a block may be missing before the page of final blocks that it lies in is asked for, too: a block
after an edge block is nowhere any more once the next epoch has begun."""
BODY_DELAY_MS: Final = 30
"""How long a body may still be on its way to us before its voters are asked for it."""
AHEAD_MAX: Final = 64
"""Peers that speak of a later epoch: all seats, and some who hold none and pass a recovery on."""
FINALIZATIONS_MAX: Final = 64
"""Finalizations remembered above what the newest final header names."""


@dataclass(slots=True)
class Candidate:
    """The current view's proposal on its way to this replica's vote."""

    proposal: Proposal
    parent_signers: tuple[bytes, ...] | None = None
    """Keys of who notarized the parent, once its certificate was found valid."""
    is_well_placed: bool = False
    """All but state and the application's judgement was found valid, which nothing changes any more."""
    is_rejected: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Final blocks that were fetched, with what shows that they are final."""

    end: BlockHeader
    """The last of them."""
    finalization: Certificate
    """Valid, of `end` or of a descendant."""
    descendant_headers: tuple[bytes, ...]
    """From the child of `end` to the block that the finalization names."""


@dataclass(slots=True)
class Recoveries:
    """Certificates that begin epochs without an edge block."""

    begun: RecoveryCertificate | None = None
    """What began the current epoch, until a block of it is final: that block's first ancestor carries it."""
    offers: dict[bytes, RecoveryPeek] = field(default_factory=dict)
    """Per peer, one that cannot be judged yet, and is not read in full before it can."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A proposal of ours whose transactions are being chosen."""

    request: int
    view: int
    parent: BlockHeader
    time_ms: int
    executed_height: int
    finalization: bytes
    recovery: bytes
    """What began the epoch, in its first block where that was no edge block; else empty."""


class State:
    """One replica's knowledge. Integers and bytes only; nothing in it depends on hashing order."""

    def __init__(self, config: Config, crypto: Crypto, recovered: Recovered, now_ms: int) -> None:
        final, executed = recovered.final_header, recovered.executed
        self.config = config
        self.crypto = crypto
        self.now_ms = now_ms
        self.actions: list[Action] = []
        self.chain = Chain(final, recovered.recent_hashes)
        self.seating = Seating(config, final, executed.next_validator_set, recovered.validators)
        self.epoch = config.epoch_of(final.time_ms) if config.closes_epoch(final) else final.epoch
        self.view = final.view + 1
        self.views: dict[int, View] = {}
        """Views of the current epoch above the newest final one."""
        self.opened_by: Certificate | None = None
        """Certificate that opened the current view."""
        self.opening: Certificate | None = None
        """Certificate of the current or a later view that waits to open the next."""
        self.armed_at_ms: int | None = None
        """Since when there is a reason to end the current view."""
        self.fired_at_ms: int | None = None
        """When the current view's timer last ran out."""
        self.timer_at_ms: int | None = None
        self.pacemaker = Pacemaker()
        self.attendance = Attendance(self.seating.current, self.seating.own_seat, self.view)
        self.fetcher = Fetcher(config.public_key)
        self.candidate: Candidate | None = None
        self.draft: Draft | None = None
        self.next_request = 1
        self.has_pending = False
        self.executed = executed
        self.executed_states: dict[int, ExecutedState] = {executed.executed_height: executed}
        """By height, for the last heights of `chain.RECENT_HEIGHTS`."""
        self.highest_finalization: Certificate | None = None
        self.finalizations: dict[int, Certificate] = {}
        """Verified ones by height; ascending use only through `sorted`."""
        self.page: Page | None = None
        """Fetched final blocks that are in `chain` and not final here yet."""
        self.ahead: dict[bytes, int] = {}
        """Peers that spoke of a later epoch, and of which: they are asked how this one ended, once."""
        self.judged: set[bytes] = set()
        """Blocks the application found valid since it started, of those that `is_wanted`."""
        self.judging: bytes | None = None
        self.is_judgement_deferred = False
        self.future_proposals: dict[bytes, Proposal] = {}
        """Per peer the latest proposal for a later view."""
        self.later_messages: dict[bytes, deque[tuple[MessageKind, bytes]]] = {}
        """Per peer, votes and certificates of a later epoch."""
        self.recoveries = Recoveries()
        self.later_records: list[Record] = []
        """Own records of a later epoch than the block store has reached, from the log."""
        self.helped_at_ms: dict[bytes, int] = {}
        """When a peer that is behind was last sent our certificates."""

    @property
    def validators(self) -> ValidatorSet:
        """Who decides in the current epoch."""
        return self.seating.current

    @property
    def seat(self) -> int:
        """Seat of this replica in the current epoch; `NO_SEAT` while it only follows."""
        return self.seating.own_seat

    @property
    def is_seated(self) -> bool:
        """Whether this replica votes in the current epoch."""
        return self.seating.is_seated

    @property
    def protocol_version(self) -> int:
        """In force in the current epoch: of every proposal, vote and certificate of it."""
        return self.seating.current.protocol_version

    @property
    def knows_rules(self) -> bool:
        """Whether this replica can decide by the version in force; else it takes no part in the epoch."""
        return self.seating.current.protocol_version <= self.config.protocol_newest

    @property
    def quorum(self) -> int:
        """Votes that make a certificate."""
        return self.validators.quorum

    @property
    def is_first_of_epoch(self) -> bool:
        """Whether no block of the current epoch is final: the newest final one is the edge before it."""
        return self.chain.final.epoch < self.epoch

    @property
    def recovery(self) -> RecoveryCertificate | None:
        """What began the current epoch, where that was no edge block and no block of the epoch is final."""
        return self.recoveries.begun

    @property
    def is_edge_final(self) -> bool:
        """Whether the current epoch is over, and the next waits until its seats are known here."""
        final = self.chain.final
        return final.epoch == self.epoch and self.config.closes_epoch(final)

    @property
    def is_catching_up(self) -> bool:
        """Whether pages of final blocks are on their way: nothing else needs to be asked for meanwhile."""
        highest = self.highest_finalization
        return highest is not None and highest.height - self.chain.final.height > NEAR_HEIGHTS

    def seats_of(self, epoch: int) -> ValidatorSet | None:
        """Who decides in an epoch: the current one, or the one that its first block still speaks of."""
        if epoch == self.epoch:
            return self.validators
        return self.seating.closed if epoch == self.chain.final.epoch else None

    def signers(self, certificate: Certificate) -> tuple[bytes, ...]:
        """Keys of who signed a valid certificate."""
        validators = self.seats_of(certificate.epoch)
        seats = [seat for seat, _ in certificate.signatures]
        return () if validators is None else tuple(validators.keys_of(seats))

    @property
    def current(self) -> View:
        """The current view."""
        return self.view_at(self.view)

    def view_at(self, number: int) -> View:
        """The view of this number, made when nothing is known of it yet."""
        view = self.views.get(number)
        if view is None:
            view = self.views[number] = View(number)
        return view

    def leader(self, view: int) -> int:
        """Seat whose turn the view is."""
        return self.validators.leader(view)

    def notarization(self, view: int) -> Certificate | None:
        """Notarization of a view not below the newest final one."""
        if view == self.chain.final.view:
            return self.chain.final_notarization
        known = self.views.get(view)
        return None if known is None else known.certificates.get(VoteKind.NOTARIZE)

    def is_nullified(self, view: int) -> bool:
        """Whether a quorum's nullification of the view is here."""
        known = self.views.get(view)
        return known is not None and VoteKind.NULLIFY in known.certificates

    def highest_notarization(self) -> Certificate | None:
        """Notarization of the highest view above the final one; None when there is none."""
        for number in sorted(self.views, reverse=True):
            certificate = self.views[number].certificates.get(VoteKind.NOTARIZE)
            if certificate is not None:
                return certificate
        return None

    def is_wanted(self, block_hash: bytes) -> bool:
        """Whether a verdict on the block may matter: it is held, final and not executed, or was proposed in a
        view above the final one, so that others may have notarized it."""
        unexecuted = range(self.executed.executed_height + 1, self.chain.final.height + 1)
        proposals = (view.proposal for view in self.views.values())
        return (
            block_hash in self.chain.blocks
            or any(self.chain.final_hash_at(height) == block_hash for height in unexecuted)
            or any(item is not None and item.block.hash == block_hash for item in proposals)
        )

    def emit(self, action: Action) -> None:
        """Note something to be done."""
        self.actions.append(action)

    def persist(self, record: Record, *, is_synced: bool) -> None:
        """Append a record to the log."""
        self.emit(Persist(encode_record(record), record.epoch, record.view, is_synced))

    def persist_certificate(self, certificate: Certificate) -> None:
        """Append a certificate; it becomes durable with this replica's next vote."""
        record = Record(RecordKind.CERTIFICATE, certificate.epoch, certificate.view, certificate.data)
        self.persist(record, is_synced=False)

    def broadcast_vote(self, vote: Vote) -> None:
        """Send a vote to all others."""
        self.emit(Broadcast(MessageKind.VOTE, vote.data))

    def broadcast_proposal(self, proposal: Proposal) -> None:
        """Send an own proposal to all others."""
        self.emit(Broadcast(MessageKind.PROPOSAL, proposal.data))

    def send(self, peer: bytes | None, kind: MessageKind, data: bytes) -> None:
        """Send to one peer, or to all."""
        self.emit(Broadcast(kind, data) if peer is None else Send(peer, kind, data))

    def report(
        self,
        kind: ReportKind,
        view: int,
        seat: int,
        *,
        detail: str = "",
        evidence: bytes = b"",
        milliseconds: int = 0,
        peer: bytes = b"",
    ) -> None:
        """Tell logs and metrics."""
        self.emit(Report(kind, self.epoch, view, seat, detail, evidence, milliseconds, peer))

    def note_ahead(self, peer: bytes, epoch: int) -> None:
        """A peer speaks of a later epoch; whether it is there shows when it is asked."""
        self.ahead[peer] = max(epoch, self.ahead.get(peer, 0))
        if len(self.ahead) > AHEAD_MAX:
            del self.ahead[next(iter(self.ahead))]

    def need(self, what: What, peers: Iterable[bytes], delay_ms: int = 0) -> None:
        """Ask for something missing, unless it is asked for already or lately."""
        fetch = self.fetcher.need(what, peers, self.now_ms, delay_ms)
        if fetch is not None:
            self.emit(fetch)

    def need_block(self, block_hash: bytes, signers: Iterable[bytes]) -> None:
        """Ask for a body, unless it comes with the pages of a catch-up."""
        if not self.is_catching_up:
            self.need(FetchBlock(block_hash), signers, BODY_DELAY_MS)

    def note_proposal(self, view: View, proposal: Proposal) -> None:
        """Keep the first proposal of the current view. Its length counts from the start of the timer, except
        where the block is empty: its leader may have waited on purpose, for as long as the time-out lets it.
        """
        view.proposal = proposal
        view.proposal_seen_at_ms = view.timed_since_ms = self.now_ms
        started_at_ms = self.armed_at_ms if self.fired_at_ms is None else self.fired_at_ms
        if proposal.block.transactions and started_at_ms is not None:
            view.timed_since_ms = started_at_ms

    def timeout_ms(self) -> int:
        """Time-out of the current view."""
        return self.pacemaker.timeout_ms(self.view - self.chain.final.view)

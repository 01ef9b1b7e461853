"""One seat's Simplex replica: events in, actions out, no I/O, no clock, no randomness.

Source: Chan and Pass, "Simplex Consensus", eprint 2023/463; docs/spec/consensus.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from icn_chain.certificate import VoteKind
from icn_chain.protocols import unknown_protocol
from icn_chain.recovery import RecoveryCertificate

from icn_consensus.domain import finality, proposing, receive, recovering, replay, timing, voting
from icn_consensus.domain.actions import Action, ReportKind
from icn_consensus.domain.config import Config, Recovered
from icn_consensus.domain.events import (
    BlockExecuted,
    BlockJudged,
    BlockPrepared,
    BlocksFetched,
    CertificateReceived,
    CertificatesFetched,
    Event,
    FetchFailed,
    PeerConnected,
    PoolChanged,
    ProposalReceived,
    RecoveryReceived,
    TimerFired,
    VoteReceived,
)
from icn_consensus.domain.ports import Crypto
from icn_consensus.domain.state import NEAR_HEIGHTS, State

CERTIFICATES_PAGE_MAX: Final = 64
_OF_RULES: Final = (
    ProposalReceived,
    VoteReceived,
    CertificateReceived,
    BlocksFetched,
    CertificatesFetched,
)
"""Events that mean something by the rules in force only."""


@dataclass(frozen=True, slots=True)
class Status:
    """Where a replica stands, for GetStatus."""

    epoch: int
    view: int
    seat: int
    """Held in this epoch; `NO_SEAT` while this replica only follows."""
    final_height: int
    executed_height: int
    state_root: bytes
    block_time_ms: int
    """Time of the executed block."""
    is_catching_up: bool
    protocol_version: int
    """In force in the epoch."""
    protocol_next: int
    """Of the set that the executed state names for the next epoch."""
    halted: str
    """Why this replica takes no part, and what to do; empty while it does."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The current view, for GetNode."""

    leader: int
    timeout_ms: int
    """How long it may take before its timer runs out."""
    is_timed: bool
    """Whether the timer runs: when idle there is nothing to wait for."""
    silent_seats: tuple[int, ...]
    """Whose views are nullified at once."""
    kept_turns: tuple[int, ...]
    """By seat, as `Attendance` counts them."""
    lost_turns: tuple[int, ...]


class Replica:
    """A deterministic state machine; see `step`. ``now_ms`` is unix time that never goes backwards."""

    def __init__(self, config: Config, crypto: Crypto) -> None:
        self._config = config
        self._crypto = crypto
        self._started: State | None = None

    def start(self, recovered: Recovered, now_ms: int) -> list[Action]:
        """Take up where the disk left off; called once, before any `step`.

        Raises:
            MalformedMessage: a record of the log cannot be read; the node must not vote.
            SafetyViolation: what is on disk cannot be; the node must stop.
        """
        assert self._started is None, "a replica starts once"
        state = self._started = replay.restore(self._config, self._crypto, recovered, now_ms)
        if not state.knows_rules:
            _report_halted(state)
        return self._progress()

    def step(self, event: Event, now_ms: int) -> list[Action]:
        """Digest one event. The actions are to be carried out in order before those of the next step.

        Raises:
            SafetyViolation: what cannot be; the node must stop.
        """
        state = self._state
        state.now_ms = max(state.now_ms, now_ms)
        if not self._digest(event) and not state.actions:
            return []
        return self._progress()

    def status(self) -> Status:
        """Where this replica stands."""
        state = self._state
        executed = state.executed
        backlog = state.chain.final.height - executed.executed_height
        return Status(
            epoch=state.epoch,
            view=state.view,
            seat=state.seat,
            final_height=state.chain.final.height,
            executed_height=executed.executed_height,
            state_root=executed.state_root,
            block_time_ms=executed.time_ms,
            is_catching_up=state.is_catching_up or backlog > NEAR_HEIGHTS,
            protocol_version=state.protocol_version,
            protocol_next=state.seating.next_protocol,
            halted=_halted(state),
        )

    @property
    def halted(self) -> str:
        """Why this replica takes no part, and what to do; empty while it does."""
        return _halted(self._state)

    @property
    def epoch(self) -> int:
        """Epoch this replica is in; as `status` says, which costs more than a message may."""
        return self._state.epoch

    def turn(self) -> Turn:
        """Whose view it is, and how long it may take."""
        state = self._state
        return Turn(
            leader=state.leader(state.view),
            timeout_ms=state.timeout_ms(),
            is_timed=state.armed_at_ms is not None,
            silent_seats=tuple(
                seat for seat in range(state.validators.seats) if state.attendance.is_silent(seat, state.view)
            ),
            kept_turns=tuple(state.attendance.kept_turns),
            lost_turns=tuple(state.attendance.lost_turns),
        )

    def next_leaders(self, count: int) -> tuple[bytes, ...]:
        """Peers that propose next, each once, silent ones left out: where pending transactions go."""
        state = self._state
        current = state.views.get(state.view)
        first = state.view + (1 if current is not None and current.proposal is not None else 0)
        leaders: dict[bytes, None] = {}
        for view in range(first, first + state.validators.seats):
            leader = state.leader(view)
            if len(leaders) < count and not state.attendance.is_silent(leader, view):
                leaders[state.validators.public_keys[leader]] = None
        return tuple(leaders)

    def check_recovery(self, certificate: RecoveryCertificate) -> None:
        """Pass when this replica may begin the certificate's epoch, now or once it has the block it names.

        Raises:
            RecoveryRefused, RecoveryInvalid: see `recovering.check`.
        """
        recovering.check(self._state, certificate)

    def is_begun_by(self, certificate: RecoveryCertificate) -> bool:
        """Whether the current epoch is the certificate's."""
        return self._state.validators.hash == certificate.validators.hash

    def names(self, public_key: bytes) -> bool:
        """Whether a set that decides, has just decided or may decide next gives this key a seat."""
        return self._state.seating.names(public_key)

    def seats(self) -> tuple[bytes, ...]:
        """Keys of who decides in the current epoch, in seat order."""
        return self._state.validators.public_keys

    def other_seats(self) -> tuple[bytes, ...]:
        """Keys of everybody else who decides in the current epoch."""
        keys = self._state.validators.public_keys
        return tuple(key for key in keys if key != self._config.public_key)

    def block(self, block_hash: bytes) -> bytes | None:
        """Bytes of an unfinished block, for FetchRequests by hash; final ones are in the block store."""
        state = self._state
        block = state.chain.blocks.get(block_hash)
        return None if block is None else block.data

    def certificates_from(self, view: int) -> tuple[bytes, ...]:
        """Up to 64 notarizations and nullifications from this view on, ascending.

        Those of the newest final block and of the current epoch's views above it are here.
        """
        state = self._state
        found: list[bytes] = []
        if view <= state.chain.final.view and state.chain.final_notarization is not None:
            found.append(state.chain.final_notarization.data)
        for number in sorted(number for number in state.views if number >= view):
            for kind in (VoteKind.NOTARIZE, VoteKind.NULLIFY):
                certificate = state.views[number].certificates.get(kind)
                if certificate is not None:
                    found.append(certificate.data)
            if len(found) >= CERTIFICATES_PAGE_MAX:
                break
        return tuple(found[:CERTIFICATES_PAGE_MAX])

    @property
    def _state(self) -> State:
        assert self._started is not None, "start comes before anything else"
        return self._started

    def _digest(self, event: Event) -> bool:  # noqa: PLR0912 - one branch per event
        """Take an event in; False when it told nothing new, as most certificates and late votes.

        What peers say by rules that are not known here is not looked at; a recovery would end such an epoch.
        """
        state = self._state
        if not state.knows_rules and isinstance(event, _OF_RULES):
            if isinstance(event, BlocksFetched | CertificatesFetched):
                finality.on_fetch_failed(state, FetchFailed(event.request))
            return False
        match event:
            case VoteReceived():
                return receive.on_vote(state, event.peer, event.data)
            case CertificateReceived():
                return receive.on_certificate(state, event.peer, event.data)
            case ProposalReceived():
                receive.on_proposal(state, event.peer, event.data)
            case BlockJudged():
                voting.on_judged(state, event)
            case BlockExecuted():
                finality.on_executed(state, event.state)
            case BlockPrepared():
                proposing.on_prepared(state, event)
            case PoolChanged():
                state.has_pending = event.has_pending
            case TimerFired():
                state.timer_at_ms = None
            case RecoveryReceived():
                recovering.on_recovery(state, event.peer, event.data)
            case PeerConnected():
                receive.on_peer_connected(state, event.peer)
            case BlocksFetched():
                finality.on_blocks_fetched(state, event)
            case CertificatesFetched():
                finality.on_certificates_fetched(state, event)
            case FetchFailed():
                finality.on_fetch_failed(state, event)
        return True

    def _progress(self) -> list[Action]:
        """Apply the rules until none has anything to do.

        Each round moves a view, a height or a vote on, so the loop ends.
        """
        state = self._state
        while self._advance_finality() or (
            state.knows_rules
            and (
                voting.advance_view(state)
                or receive.take_future_proposal(state)
                or voting.consider(state)
                or voting.nullify_with_others(state)
                or proposing.propose(state)
                or timing.tick(state)
            )
        ):
            pass
        if state.knows_rules:
            voting.judge_ahead(state)
        state.fetcher.forget_unneeded()
        if state.knows_rules:
            timing.set_timer(state)
        actions = state.actions
        state.actions = []
        return actions

    def _advance_finality(self) -> bool:
        state = self._state
        epoch = state.epoch
        if not finality.pursue(state) and not recovering.consider(state):
            return False
        if state.epoch > epoch:
            if not state.knows_rules:
                _report_halted(state)
                return True
            replay.apply_records(state)
            receive.replay_later_messages(state)
        return True


def _halted(state: State) -> str:
    if state.knows_rules:
        return ""
    edge = state.chain.final
    return unknown_protocol(state.protocol_version, edge.height + 1, state.config.protocol_newest)


def _report_halted(state: State) -> None:
    state.report(ReportKind.PROTOCOL_UNKNOWN, state.view, state.seat, detail=_halted(state))

"""Runs of the model (docs/spec/model/simplex.qnt) are told to the production core, step by step.

``python -m scripts.model --traces`` wrote the runs. In each step one seat is told one thing; then its view,
the votes it has cast, the certificates it holds and its final block must be those of the model.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest
from icn_chain.block import Block, build_block, transactions_root
from icn_chain.certificate import (
    VOTE_TAGS,
    VoteKind,
    build_certificate,
    certificate_digest,
    parse_certificate,
    vote_body,
)
from icn_chain.header import build_header
from icn_chain.validator_set import ValidatorSet
from icn_consensus.domain import actions as act
from icn_consensus.domain import events, rounds, voting
from icn_consensus.domain.block import (
    ExecutedState,
    body_of_proposal,
    build_proposal,
    build_vote,
    parse_proposal,
    parse_vote,
)
from icn_consensus.domain.config import Config, Recovered
from icn_consensus.domain.replica import Replica
from icn_consensus.domain.state import State
from icn_crypto import tags
from icn_crypto.hashing import sha256
from icn_sim.signatures import SimulatedCrypto
from icn_sim.world import Network
from icn_sim.zone import GENESIS_HASH, public_key_of

TRACES: Final = sorted((Path(__file__).parent / "model_traces").glob("*.itf.json"))
SEATS: Final = 4
KEYS: Final = [public_key_of(seat) for seat in range(SEATS)]
TIMEOUT_MS: Final = 10_000
"""Later than the longest time-out. Each seat has its own clock, so that no other timer runs out with it."""
NEVER_MS: Final = 1 << 40
UNCERTIFIED: Final = 2
"""As in the model: the body's parent certificate is nobody's."""

Branch = tuple[tuple[int, int, int], ...]
"""A block of the model: (view, executed height, salt) of it and all its ancestors. Empty: genesis."""
Said = tuple[str, int, Branch]
"""What a vote or certificate says: (kind, view, block)."""


def plain(value: Any) -> Any:
    """A value of an ITF file; records become dicts, and sets lists."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "#bigint" in value:
        return int(value["#bigint"])
    if "#set" in value:
        return plain(value["#set"])
    if "#map" in value:
        return {plain(key): plain(item) for key, item in value["#map"]}
    return {key.rpartition("::")[2]: plain(item) for key, item in value.items()}


def branch_of(value: Any) -> Branch:
    return tuple((link["view"], link["executed"], link["salt"]) for link in value)


def kind_of(name: str) -> VoteKind:
    return VoteKind[name.upper()]


def state_after(height: int, validator_set: bytes) -> ExecutedState:
    """All seats come to the same: which blocks are executed is what the model is about."""
    root = sha256(b"state %d" % height)
    return ExecutedState(height, 0, root, root, root, True, 0, validator_set)


@dataclass
class Seat:
    """An honest seat: the core, its application, and what it said."""

    replica: Replica
    validator_set: bytes
    now_ms: int
    votes: dict[tuple[VoteKind, int], bytes] = field(default_factory=dict)
    proposals: list[bytes] = field(default_factory=list)
    expected: dict[tuple[VoteKind, int], bytes] = field(default_factory=dict)
    """Votes that the model has cast."""
    final: list[bytes] = field(default_factory=list)
    """Hashes, ascending by height."""
    prepare: act.Prepare | None = None

    def tell(self, event: events.Event) -> None:
        """One event, and what the application answers to it."""
        self.perform(self.replica.step(event, self.now_ms))

    def perform(self, todo: Iterable[act.Action]) -> None:
        waiting = deque(todo)
        while waiting:
            answer = self.answer(waiting.popleft())
            if answer is not None:
                waiting.extend(self.replica.step(answer, self.now_ms))

    def answer(self, action: act.Action) -> events.Event | None:
        match action:
            case act.Judge():
                return events.BlockJudged(action.block_hash, is_valid=True)
            case act.Execute():
                return events.BlockExecuted(state_after(action.block.header.height, self.validator_set))
            case act.Committed():
                self.final.append(action.block_hash)
            case act.Prepare():
                self.prepare = action
            case act.Broadcast(act.MessageKind.PROPOSAL):
                self.proposals.append(action.data)
            case act.Broadcast(act.MessageKind.VOTE):
                vote = parse_vote(action.data)
                assert self.votes.setdefault((vote.kind, vote.view), action.data) == action.data
        return None


class Replay:
    """The seats of a run, and what its faulty seats make up."""

    def __init__(self, faulty: set[int]) -> None:
        network = Network(SEATS, 0, epoch_ms=NEVER_MS, heartbeat_ms=NEVER_MS)
        self.validator_set = network.validator_set
        self.faulty = faulty
        self.genesis = replace(network.genesis, state_root=state_after(0, b"").state_root)
        self.blocks: dict[Branch, Block] = {}
        self.told: dict[Branch, bytes] = {}
        """Proposals by the block they propose."""
        self.seats: dict[int, Seat] = {}
        for number in set(range(SEATS)) - faulty:
            config: Config = replace(network.config(number), block_time_distance_ms_max=NEVER_MS)
            replica = Replica(config, self.crypto(number))
            seat = self.seats[number] = Seat(replica, self.validator_set, network.now_ms)
            recovered = Recovered(self.genesis, b"", state_after(0, self.validator_set), ())
            seat.perform(replica.start(recovered, seat.now_ms))
            seat.tell(events.PoolChanged(has_pending=True))

    def crypto(self, seat: int) -> SimulatedCrypto:
        return SimulatedCrypto(KEYS[seat])

    def hash_of(self, branch: Branch) -> bytes:
        return self.blocks[branch].hash if branch else self.genesis.hash

    def vote(self, seat: int, kind: VoteKind, view: int, branch: Branch) -> bytes | None:
        """A seat's vote: as an honest one sent it, made up by a faulty one; None if it never said so."""
        block_hash = b"" if kind == VoteKind.NULLIFY else self.hash_of(branch)
        if seat not in self.faulty:
            data = self.seats[seat].votes.get((kind, view))
            return data if data is not None and parse_vote(data).block_hash == block_hash else None
        signature = self.crypto(seat).sign(VOTE_TAGS[kind], vote_body(1, 0, view, len(branch), block_hash))
        return build_vote(
            kind,
            protocol_version=1,
            epoch=0,
            view=view,
            height=len(branch),
            block_hash=block_hash,
            seat=seat,
            signature=signature,
        ).data

    def certificate(self, kind: VoteKind, view: int, branch: Branch) -> bytes:
        """Of all who said so; they must be a quorum."""
        votes = [self.vote(seat, kind, view, branch) for seat in range(SEATS)]
        signatures = {vote.seat: vote.signature for vote in map(parse_vote, filter(None, votes))}
        assert len(signatures) >= 3, f"{kind.name} of view {view} has the votes of {sorted(signatures)}"
        return self.certificate_of(kind, view, branch, signatures)

    def certificate_of(
        self, kind: VoteKind, view: int, branch: Branch, signatures: dict[int, bytes]
    ) -> bytes:
        block_hash = b"" if kind == VoteKind.NULLIFY else self.hash_of(branch)
        return build_certificate(
            kind,
            protocol_version=1,
            epoch=0,
            view=view,
            height=len(branch),
            block_hash=block_hash,
            signatures=signatures,
        ).data

    def forge(self, branch: Branch) -> bytes:
        """A faulty leader's proposal."""
        parent, (view, executed, salt) = branch[:-1], branch[-1]
        parent_header = self.blocks[parent].header if parent else self.genesis
        parent_certificate = b""
        if parent and salt == UNCERTIFIED:
            signatures = {seat: bytes(64) for seat in range(3)}
            parent_certificate = self.certificate_of(
                VoteKind.NOTARIZE, parent_header.view, parent, signatures
            )
        elif parent:
            parent_certificate = self.certificate(VoteKind.NOTARIZE, parent_header.view, parent)
        transactions = (b"forged %d" % salt,)
        state = state_after(executed, self.validator_set)
        header = build_header(
            GENESIS_HASH,
            protocol_version=1,
            height=len(branch),
            view=view,
            parent=parent_header.hash,
            time_ms=parent_header.time_ms + 1,
            transactions_root=transactions_root(transactions),
            executed_height=executed,
            state_root=state.state_root,
            receipts_root=state.receipts_root,
            log_root=state.log_root,
            parent_certificate_digest=certificate_digest(parent_certificate),
            finalization_digest=certificate_digest(b""),
            epoch=0,
            validator_set_hash=parent_header.validator_set_hash,
            next_validator_set_hash=parent_header.next_validator_set_hash,
        )
        seat = view % SEATS
        signature = self.crypto(seat).sign(tags.PROPOSAL, body_of_proposal(header, parent_header.view))
        block = build_block(header, transactions, parent_certificate, b"")
        self.blocks[branch] = block
        return build_proposal(block, parent_header.view, seat, signature).data

    def do(self, step: dict[str, Any]) -> None:
        """Let what the model did happen to the core."""
        seat, branch, view = self.seats[step["seat"]], branch_of(step["block"]), step["view"]
        match step["event"]:
            case "propose":
                self.propose(seat, branch)
            case "timeOut":
                seat.now_ms += TIMEOUT_MS
                seat.tell(events.TimerFired())
            case "proposal":
                if branch not in self.told:
                    assert step["sender"] in self.faulty
                    self.told[branch] = self.forge(branch)
                seat.tell(events.ProposalReceived(KEYS[step["sender"]], self.told[branch]))
            case "vote":
                data = self.vote(step["sender"], kind_of(step["kind"]), view, branch)
                assert data is not None, "the seat never said so"
                seat.tell(events.VoteReceived(KEYS[step["sender"]], data))
            case "certificate":
                data = self.certificate(kind_of(step["kind"]), view, branch)
                sender = next(number for number in range(SEATS) if number != step["seat"])
                seat.tell(events.CertificateReceived(KEYS[sender], data))
            case unknown:
                raise AssertionError(f"the model did something new: {unknown}")

    def propose(self, seat: Seat, branch: Branch) -> None:
        assert seat.prepare is not None, "the leader was not ready to propose"
        count = len(seat.proposals)
        seat.tell(events.BlockPrepared(seat.prepare.request, (b"view %d" % branch[-1][0],)))
        assert len(seat.proposals) == count + 1, "the leader did not propose"
        data = seat.proposals[-1]
        block = parse_proposal(GENESIS_HASH, data, bytes_max=1 << 20, transactions_max=100).block
        header = block.header
        expected = (len(branch), branch[-1][0], branch[-1][1], self.hash_of(branch[:-1]))
        assert (header.height, header.view, header.executed_height, header.parent) == expected
        self.blocks[branch] = block
        self.told[branch] = data

    def check(self, number: int, shown: dict[str, Any]) -> None:
        """Compare a seat with what the model shows of it."""
        seat = self.seats[number]
        final = branch_of(shown["final"])
        assert seat.final == [self.hash_of(final[: height + 1]) for height in range(len(final))]
        for vote in shown["cast"]:
            kind, view = kind_of(vote["kind"]), vote["view"]
            data = self.vote(number, kind, view, branch_of(vote["block"]))
            assert data is not None, f"no {vote['kind']} for view {view}"
            seat.expected[kind, view] = data
        assert seat.votes == seat.expected
        assert seat.replica.status().view == shown["view"]
        held = set()
        for data in seat.replica.certificates_from(final[-1][0] if final else 0):
            certificate = parse_certificate(data)
            held.add((certificate.kind, certificate.view, certificate.block_hash))
        expected = {(VoteKind.NULLIFY, view, b"") for view in shown["nullified"]} | {
            (VoteKind.NOTARIZE, view, self.hash_of(branch_of(block)))
            for view, block in shown["notarized"].items()
        }
        assert held == expected


def states_of(path: Path) -> list[dict[str, Any]]:
    return [plain(state) for state in json.loads(path.read_text("utf-8"))["states"]]


def check_run(states: list[dict[str, Any]]) -> None:
    replay = Replay(set(states[0]["faulty"]))
    for number in replay.seats:
        replay.check(number, states[0]["shown"])
    for position, state in enumerate(states[1:], 1):
        try:
            replay.do(state["did"])
            replay.check(state["did"]["seat"], state["shown"])
        except AssertionError as error:
            raise AssertionError(f"step {position}, {state['did']}: {error}") from error


def is_contradicted(path: Path) -> bool:
    try:
        check_run(states_of(path))
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name.split(".")[0])
def test_the_core_does_what_the_model_does(path: Path) -> None:
    check_run(states_of(path))


def test_the_runs_reach_the_states_that_are_hard_to_reach() -> None:
    shown = [state["shown"] for path in TRACES for state in states_of(path)]
    did = [state["did"] for path in TRACES for state in states_of(path)]
    assert {step["event"] for step in did} == {
        "start",
        "propose",
        "proposal",
        "vote",
        "certificate",
        "timeOut",
    }
    assert any(len(seat["final"]) >= 2 for seat in shown)
    assert any(set(seat["nullified"]) & set(seat["notarized"]) for seat in shown)
    assert any(branch_of(step["block"])[-1:] and step["block"][-1]["salt"] == UNCERTIFIED for step in did)
    assert any(step["block"] and step["block"][-1]["executed"] > 0 for step in did)


def test_a_run_with_one_vote_less_is_found_out() -> None:
    states = states_of(TRACES[0])
    votes = next(state["shown"]["cast"] for state in states if state["shown"]["cast"])
    votes.pop()
    with pytest.raises(AssertionError, match="step"):
        check_run(states)


def test_a_core_with_a_quorum_one_short_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ValidatorSet, "quorum", property(lambda validators: 2 * validators.seats // 3))
    with pytest.raises(AssertionError, match="step"):
        check_run(states_of(TRACES[0]))


def test_a_core_that_finalizes_what_it_nullified_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def cast_anyway(state: State, kind: VoteKind, view: int, height: int, block_hash: bytes) -> None:
        nullify = state.view_at(view).own_votes.pop(VoteKind.NULLIFY, None)
        cast(state, kind, view, height, block_hash)
        if nullify is not None:
            state.view_at(view).own_votes[VoteKind.NULLIFY] = nullify

    def advance_view(state: State) -> bool:
        opening = state.opening
        if opening is None or opening.view < state.view:
            return False
        if (
            opening.kind == VoteKind.NOTARIZE
            and VoteKind.FINALIZE not in state.view_at(opening.view).own_votes
        ):
            cast_anyway(state, VoteKind.FINALIZE, opening.view, opening.height, opening.block_hash)
        rounds.enter_view(state, opening.view + 1, opening)
        return True

    cast = voting.cast
    monkeypatch.setattr(voting, "advance_view", advance_view)
    assert any(is_contradicted(path) for path in TRACES)


def test_a_finalization_in_a_proposal_is_acted_on_before_the_next_event() -> None:
    """It was taken from the body, but what it makes final was looked at only when something else happened."""
    replay = Replay(set())
    first: Branch = ((1, 0, 0),)
    second: Branch = (*first, (2, 1, 0))
    replay.propose(replay.seats[1], first)
    for number in (0, 2, 3):
        replay.seats[number].tell(events.ProposalReceived(KEYS[1], replay.told[first]))
    notarization = replay.certificate(VoteKind.NOTARIZE, 1, first)
    for number in (0, 1, 3):
        replay.seats[number].tell(events.CertificateReceived(KEYS[2], notarization))
    replay.seats[2].tell(events.CertificateReceived(KEYS[0], replay.certificate(VoteKind.FINALIZE, 1, first)))
    replay.seats[2].tell(events.CertificateReceived(KEYS[0], notarization))
    replay.propose(replay.seats[2], second)
    voter = replay.seats[0]
    assert voter.final == []
    voter.tell(events.ProposalReceived(KEYS[2], replay.told[second]))
    assert voter.final == [replay.hash_of(first)]
    assert (VoteKind.NOTARIZE, 2) in voter.votes

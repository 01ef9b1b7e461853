"""The leader's turn: when it proposes, on what, and what the block names."""

from __future__ import annotations

from dataclasses import replace

from icn_chain.block import transactions_root
from icn_chain.certificate import VoteKind, certificate_digest
from icn_chain.header import HEADER_BYTES_MAX, BlockHeader
from icn_consensus.domain import actions as act
from icn_consensus.domain.actions import FetchBlock, FetchCertificates
from icn_consensus.domain.block import Proposal, body_of_proposal, parse_proposal
from icn_consensus.domain.events import BlockExecuted, BlockPrepared, PoolChanged, TimerFired
from icn_consensus.domain.pacemaker import TIMEOUT_MS_MIN
from icn_consensus.domain.proposing import PROPOSAL_TRANSACTIONS_MAX, TRANSACTION_OVERHEAD_BYTES
from icn_consensus.domain.records import RecordKind, decode_record
from icn_consensus.domain.state import BODY_DELAY_MS
from icn_crypto import tags
from icn_sim.zone import GENESIS_HASH

from .bench import Bench

OTHER_HASH = b"\x09" * 32


def prepares(actions: list[act.Action]) -> list[act.Prepare]:
    return [item for item in actions if isinstance(item, act.Prepare)]


def asked(actions: list[act.Action]) -> list[tuple[bytes, object]]:
    return [(item.peer, item.what) for item in actions if isinstance(item, act.Fetch)]


def proposed(actions: list[act.Action]) -> list[Proposal]:
    """What is sent to all as a proposal."""
    return [
        parse_proposal(GENESIS_HASH, item.data, bytes_max=1 << 21, transactions_max=1_000)
        for item in actions
        if isinstance(item, act.Broadcast) and item.kind == act.MessageKind.PROPOSAL
    ]


def at_turn(view: int = 1, **options: int) -> Bench:
    """The leader of this view, which nullifications of those before have opened."""
    bench = Bench(seat=view % 4, **options)
    for number in range(1, view):
        bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, number, [0, 1, 2]))
    assert bench.view == view
    return bench


def on_first(*, is_final: bool = False) -> tuple[Bench, BlockHeader]:
    """The leader of view 2 on a notarized block."""
    bench = Bench(seat=2)
    first = bench.proposal(1)
    bench.propose(first)
    bench.judge(first)
    bench.receive_certificate(bench.notarization(first.block.header, [0, 1, 3]))
    if is_final:
        bench.receive_certificate(bench.finalization(first.block.header, [0, 1, 3]))
    return bench, first.block.header


def executed(bench: Bench) -> act.Prepare:
    """Have a transaction wait for the newest final block to be executed."""
    bench.state.has_pending = True
    after = replace(bench.state.executed, executed_height=1, state_root=OTHER_HASH)
    (prepare,) = prepares(bench.step(BlockExecuted(after)))
    return prepare


class TestTurns:
    def test_a_leader_asks_for_transactions_once(self) -> None:
        bench = at_turn()
        (prepare,) = prepares(bench.step(PoolChanged(True)))
        assert (prepare.branch, prepare.epoch, prepare.time_ms) == (act.Branch(0, ()), 0, bench.now_ms + 1)
        assert prepare.transactions_max == 100
        assert not prepares(bench.step(PoolChanged(True)))

    def test_nobody_proposes_out_of_turn_or_without_a_reason(self) -> None:
        assert not prepares(at_turn(1).step(TimerFired()))
        assert not prepares(Bench(seat=2).step(PoolChanged(True)))
        assert not prepares(Bench(seat=5, spares=2).step(PoolChanged(True)))

    def test_who_has_voted_in_a_view_does_not_lead_it_any_more(self) -> None:
        bench = at_turn()
        bench.step(PoolChanged(True))
        bench.now_ms += TIMEOUT_MS_MIN
        bench.step(TimerFired())
        assert VoteKind.NULLIFY in bench.state.current.own_votes
        assert not proposed(bench.step(BlockPrepared(1, (b"one",))))
        assert not prepares(bench.step(PoolChanged(True)))

    def test_an_answer_to_another_question_is_none(self) -> None:
        bench = at_turn()
        (prepare,) = prepares(bench.step(PoolChanged(True)))
        assert not bench.step(BlockPrepared(prepare.request + 1, (b"one",)))
        assert proposed(bench.step(BlockPrepared(prepare.request, (b"one",))))
        assert not bench.step(BlockPrepared(prepare.request, (b"one",)))

    def test_an_answer_that_comes_after_the_view_is_not_proposed(self) -> None:
        bench = at_turn()
        (prepare,) = prepares(bench.step(PoolChanged(True)))
        for view in range(1, 5):
            bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, view, [0, 2, 3]))
        assert bench.view == 5
        assert not proposed(bench.step(BlockPrepared(prepare.request, (b"one",))))
        assert bench.state.draft is None or bench.state.draft.view == 5

    def test_a_pool_of_which_nothing_fits_is_not_asked_again(self) -> None:
        bench = at_turn()
        (prepare,) = prepares(bench.step(PoolChanged(True)))
        done = bench.step(BlockPrepared(prepare.request, ()))
        assert not proposed(done) and not prepares(done)
        assert bench.state.has_pending is False
        (again,) = prepares(bench.step(PoolChanged(True)))
        assert again.request == prepare.request + 1


class TestBlocks:
    def test_a_proposal_is_valid_to_the_others(self) -> None:
        bench = at_turn(3)
        (prepare,) = prepares(bench.step(PoolChanged(True)))
        (own,) = proposed(bench.step(BlockPrepared(prepare.request, (b"one", b"two"))))
        header = own.block.header
        assert own.block.transactions == (b"one", b"two")
        assert (own.seat, own.parent_view, header.view, header.height) == (3, 0, 3, 1)
        assert (header.parent, header.time_ms) == (bench.genesis.hash, bench.now_ms + 1)
        body = body_of_proposal(header, 0)
        assert bench.crypto.verify([(bench.peers[3], tags.PROPOSAL, body, own.signature)]) == [True]
        other = Bench()
        for view in (1, 2):
            other.receive_certificate(other.certificate(VoteKind.NULLIFY, view, [0, 1, 2]))
        assert [item.block_hash for item in other.propose(own) if isinstance(item, act.Judge)] == [
            header.hash
        ]

    def test_a_block_names_what_it_is_built_on(self) -> None:
        bench, parent = on_first(is_final=True)
        finalization = bench.state.highest_finalization
        notarization = bench.state.chain.final_notarization
        assert finalization is not None and notarization is not None
        prepare = executed(bench)
        assert prepare.branch == act.Branch(1, ())
        (own,) = proposed(bench.step(BlockPrepared(prepare.request, (b"one",))))
        header, state = own.block.header, bench.state.executed
        assert (own.block.parent_certificate, own.block.finalization) == (
            notarization.data,
            finalization.data,
        )
        assert header == replace(
            header,
            protocol_version=1,
            height=2,
            view=2,
            parent=parent.hash,
            time_ms=max(parent.time_ms + 1, bench.now_ms),
            transactions_root=transactions_root((b"one",)),
            executed_height=1,
            state_root=state.state_root,
            receipts_root=state.receipts_root,
            log_root=state.log_root,
            parent_certificate_digest=certificate_digest(notarization.data),
            finalization_digest=certificate_digest(finalization.data),
            epoch=0,
            validator_set_hash=bench.config.validators.hash,
            next_validator_set_hash=bench.config.validators.hash,
        )
        assert own.parent_view == 1
        written = bench.state.current.own_votes
        assert list(written) == [VoteKind.NOTARIZE]

    def test_a_clock_ahead_of_the_parent_gives_the_time(self) -> None:
        bench = at_turn()
        bench.now_ms += 500
        (prepare,) = prepares(bench.step(PoolChanged(True)))
        assert prepare.time_ms == bench.now_ms

    def test_a_block_on_one_that_is_not_final_names_the_parent_s_state(self) -> None:
        bench, parent = on_first()
        (prepare,) = prepares(bench.step(PoolChanged(True)))
        assert prepare.branch == act.Branch(0, (parent.hash,))
        (own,) = proposed(bench.step(BlockPrepared(prepare.request, (b"one",))))
        assert (own.block.finalization, own.block.header.executed_height) == (b"", 0)

    def test_a_finalization_whose_state_is_not_here_is_not_carried(self) -> None:
        bench, parent = on_first(is_final=True)
        (prepare,) = prepares(bench.step(PoolChanged(True)))
        assert prepare.branch == act.Branch(0, (parent.hash,))

    def test_the_newest_of_several_finalizations_is_carried(self) -> None:
        bench = Bench(seat=3)
        parent = None
        for view in (1, 2):
            proposal = bench.proposal(view, parent)
            parent = proposal.block.header
            bench.propose(proposal)
            bench.judge(proposal)
            bench.receive_certificate(bench.notarization(parent, [0, 1, 2]))
            bench.receive_certificate(bench.finalization(parent, [0, 1, 2]))
        for height in (1, 2):
            bench.step(BlockExecuted(replace(bench.state.executed, executed_height=height)))
        (prepare,) = prepares(bench.step(PoolChanged(True)))
        assert prepare.branch == act.Branch(2, ())

    def test_nobody_proposes_what_names_a_state_that_is_not_here(self) -> None:
        bench, _ = on_first()
        bench.state.executed_states.clear()
        assert not prepares(bench.step(PoolChanged(True)))

    def test_transactions_beyond_the_room_of_a_block_are_left_out_from_the_end(self) -> None:
        bench = at_turn()
        (prepare,) = prepares(bench.step(PoolChanged(True)))
        room = bench.config.block_bytes_max - HEADER_BYTES_MAX
        assert prepare.size_bytes_max == room - room // 16
        size = room // 4 - TRANSACTION_OVERHEAD_BYTES
        rest = room - 4 * (size + TRANSACTION_OVERHEAD_BYTES)
        full = [bytes(size)] * 3 + [bytes(size + rest)]
        for transactions, count in ((full, 4), ([*full[:3], bytes(size + rest + 1)], 3), ([b"t"] * 101, 100)):
            bench = at_turn()
            bench.step(PoolChanged(True))
            (own,) = proposed(bench.step(BlockPrepared(prepare.request, tuple(transactions))))
            assert own.block.transactions == tuple(transactions[:count])

    def test_certificates_take_their_part_of_the_room(self) -> None:
        bench, _ = on_first(is_final=True)
        notarization, finalization = bench.state.chain.final_notarization, bench.state.highest_finalization
        assert notarization is not None and finalization is not None
        prepare = executed(bench)
        room = bench.config.block_bytes_max - HEADER_BYTES_MAX
        room -= len(notarization.data) + len(finalization.data)
        assert prepare.size_bytes_max == room - room // 16
        (own,) = proposed(bench.step(BlockPrepared(prepare.request, (bytes(room - 3),))))
        assert own.block.transactions == (), "its tag and length do not fit any more"

    def test_no_more_is_proposed_at_once_than_a_small_machine_judges(self) -> None:
        bench = at_turn()
        bench.state.config = replace(bench.config, block_transactions_max=10_000)
        (prepare,) = prepares(bench.step(PoolChanged(True)))
        assert prepare.transactions_max == PROPOSAL_TRANSACTIONS_MAX

    def test_the_proposal_is_recorded_before_the_vote_that_makes_it_durable(self) -> None:
        bench = at_turn()
        (prepare,) = prepares(bench.step(PoolChanged(True)))
        done = bench.step(BlockPrepared(prepare.request, (b"one",)))
        (own,) = proposed(done)
        first, second = [item for item in done if isinstance(item, act.Persist)]
        record = decode_record(first.record)
        assert (record.kind, record.epoch, record.view) == (RecordKind.PROPOSAL, 0, 1)
        assert (record.message, first.is_synced, second.is_synced) == (own.data, False, True)
        assert bench.replica.block(own.block.hash) == own.block.data
        assert bench.state.current.proposal == own


class TestWaiting:
    def test_an_empty_block_waits_until_it_can_name_more(self) -> None:
        bench, _ = on_first()
        assert not proposed(bench.step(TimerFired()))
        bench.now_ms += TIMEOUT_MS_MIN // 2
        (own,) = proposed(bench.step(TimerFired()))
        assert own.block.transactions == ()

    def test_a_heartbeat_does_not_wait(self) -> None:
        bench = at_turn()
        bench.now_ms += 30_000
        (own,) = proposed(bench.step(TimerFired()))
        assert own.block.transactions == ()

    def test_a_parent_s_body_that_is_missing_is_asked_for_from_who_signed(self) -> None:
        bench = Bench(seat=2)
        header = bench.proposal(1).block.header
        bench.receive_certificate(bench.notarization(header, [0, 1, 3]))
        bench.step(PoolChanged(True))
        bench.now_ms += BODY_DELAY_MS
        done = bench.step(TimerFired())
        assert not prepares(done)
        assert asked(done) == [(bench.peers[0], FetchBlock(header.hash))]

    def test_nullifications_of_the_views_between_are_asked_for(self) -> None:
        bench = Bench(seat=3)
        for view in (1, 2):
            bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, view, [0, 1, 2]))
        del bench.state.views[1]
        done = bench.step(PoolChanged(True))
        assert not prepares(done)
        assert asked(done) == [(bench.peers[0], FetchCertificates(1))]

    def test_the_final_block_s_notarization_is_asked_for_where_it_is_missing(self) -> None:
        bench, header = on_first(is_final=True)
        bench.state.chain.final_notarization = None
        done = bench.step(PoolChanged(True))
        assert not prepares(done)
        assert asked(done) == [(bench.peers[0], FetchCertificates(header.view))]

    def test_the_highest_notarized_block_is_the_parent(self) -> None:
        bench = Bench(seat=3)
        for view in (1, 2):
            proposal = bench.proposal(view)
            bench.propose(proposal)
            bench.judge(proposal)
            bench.receive_certificate(bench.notarization(proposal.block.header, [0, 1, 2]))
            bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [0, 1, 2]))
        (prepare,) = prepares(bench.step(PoolChanged(True)))
        assert prepare.branch == act.Branch(0, (proposal.block.hash,))


class TestEpochs:
    EPOCH_MS = 10_000

    def test_the_block_whose_time_is_past_the_epoch_names_the_seats_in_the_state(self) -> None:
        named = Bench(5).config.validators
        for late_ms, expected in ((self.EPOCH_MS - 1, None), (self.EPOCH_MS, named.hash)):
            bench = at_turn(epoch_ms=self.EPOCH_MS)
            bench.now_ms += late_ms
            executed = replace(bench.state.executed, next_validator_set=named.data)
            bench.state.executed = bench.state.executed_states[0] = executed
            (prepare,) = prepares(bench.step(PoolChanged(True)))
            (own,) = proposed(bench.step(BlockPrepared(prepare.request, (b"one",))))
            own_set = bench.config.validators.hash
            assert own.block.header.validator_set_hash == own_set
            assert own.block.header.next_validator_set_hash == (expected or own_set)

    def after_edge(self, *, is_final: bool) -> tuple[Bench, BlockHeader]:
        bench = Bench(seat=2, epoch_ms=self.EPOCH_MS)
        bench.now_ms += self.EPOCH_MS
        edge = bench.proposal(1)
        bench.propose(edge)
        bench.judge(edge)
        bench.receive_certificate(bench.notarization(edge.block.header, [0, 1, 3]))
        if is_final:
            bench.receive_certificate(bench.finalization(edge.block.header, [0, 1, 3]))
        return bench, edge.block.header

    def test_a_block_after_the_edge_is_empty_and_waits_though_transactions_are_there(self) -> None:
        bench, edge = self.after_edge(is_final=False)
        done = bench.step(PoolChanged(True))
        assert not prepares(done) and not proposed(done)
        bench.now_ms += TIMEOUT_MS_MIN // 2
        (own,) = proposed(bench.step(TimerFired()))
        assert own.block.transactions == ()
        assert own.block.header.next_validator_set_hash == edge.next_validator_set_hash
        assert own.block.header.parent == edge.hash

    def test_the_first_block_of_an_epoch_carries_what_ended_the_one_before(self) -> None:
        bench, edge = self.after_edge(is_final=True)
        assert bench.replica.status().epoch == 1
        assert not prepares(bench.step(PoolChanged(True))), "the edge block is not executed"
        bench.step(BlockExecuted(replace(bench.state.executed, executed_height=1)))
        draft = bench.state.draft
        assert draft is not None
        (own,) = proposed(bench.step(BlockPrepared(draft.request, (b"one",))))
        finalization = bench.state.highest_finalization
        assert finalization is not None
        assert (own.block.finalization, own.block.header.executed_height) == (finalization.data, 1)
        assert (own.block.header.epoch, own.block.header.parent) == (1, edge.hash)

    def test_an_epoch_whose_end_nobody_shows_is_not_begun(self) -> None:
        bench, edge = self.after_edge(is_final=True)
        for highest in (None, bench.finalization(replace(edge, height=0))):
            bench.state.highest_finalization = highest
            bench.state.has_pending = True
            bench.state.executed = replace(bench.state.executed, executed_height=1)
            assert not prepares(bench.step(TimerFired()))

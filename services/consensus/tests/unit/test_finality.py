"""From finalizations to final blocks: what is asked for, what is believed, what follows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from icn_chain.certificate import Certificate, VoteKind
from icn_chain.header import BlockHeader
from icn_chain.recovery import peek_recovery
from icn_consensus.domain import actions as act
from icn_consensus.domain.actions import FetchBlock, FetchCertificates, FetchFinalBlocks
from icn_consensus.domain.block import Proposal
from icn_consensus.domain.events import (
    BlockExecuted,
    BlocksFetched,
    CertificatesFetched,
    FetchFailed,
    TimerFired,
)
from icn_consensus.domain.finality import EXECUTION_BACKLOG_MAX, PAGE_MAX, SafetyViolation, is_after_edge
from icn_consensus.domain.state import BODY_DELAY_MS, PAGE_DELAY_MS

from .bench import Bench, passed_on

FAR = 6
"""Heights: more than near ones, so that pages are asked for at once."""


def chain(bench: Bench, length: int, *, since: BlockHeader | None = None) -> list[Proposal]:
    """Blocks of successive views, each on the one before."""
    made: list[Proposal] = []
    parent = since
    for view in range(1, length + 1):
        made.append(bench.proposal(view + (0 if since is None else since.view), parent))
        parent = made[-1].block.header
    return made


def asked(actions: list[act.Action]) -> list[tuple[bytes, object]]:
    """What is fetched from whom."""
    return [(item.peer, item.what) for item in actions if isinstance(item, act.Fetch)]


def request_of(actions: list[act.Action]) -> int:
    (fetch,) = [item for item in actions if isinstance(item, act.Fetch)]
    return fetch.request


def committed(actions: list[act.Action]) -> list[tuple[bytes, int, int, int]]:
    return [
        (item.block_hash, item.height, item.epoch, item.view)
        for item in actions
        if isinstance(item, act.Committed)
    ]


def executed(actions: list[act.Action]) -> list[act.Execute]:
    return [item for item in actions if isinstance(item, act.Execute)]


def page(
    request: int,
    peer: bytes,
    blocks: list[Proposal],
    finalization: Certificate,
    descendants: list[Proposal] | None = None,
) -> BlocksFetched:
    return BlocksFetched(
        request,
        peer,
        tuple(item.block.data for item in blocks),
        finalization.data,
        tuple(item.block.header.data for item in descendants or []),
    )


class TestPages:
    def test_who_is_far_behind_asks_signers_for_final_blocks_at_once(self) -> None:
        bench = Bench()
        finalization = bench.finalization(chain(bench, FAR)[-1].block.header, [0, 2, 3])
        done = bench.receive_certificate(finalization)
        assert asked(done) == [(bench.peers[2], FetchFinalBlocks(1))]
        assert bench.replica.status().is_catching_up

    def test_a_page_that_a_certificate_covers_is_final(self) -> None:
        bench = Bench()
        blocks = chain(bench, FAR)
        headers = [item.block.header for item in blocks]
        finalization = bench.finalization(headers[-1])
        done = bench.receive_certificate(finalization)
        done = bench.step(page(request_of(done), bench.peers[1], blocks, finalization))
        assert committed(done) == [(item.hash, item.height, 0, item.view) for item in headers]
        effects = executed(done)
        assert [item.block.hash for item in effects] == [item.hash for item in headers]
        assert {item.finalization for item in effects} == {finalization.data}
        assert effects[2].descendant_headers == tuple(item.data for item in headers[3:])
        assert effects[-1].descendant_headers == ()
        status = bench.replica.status()
        assert (status.final_height, status.view) == (FAR, FAR + 1)
        assert bench.state.chain.final_notarization is None, "no child is here that carries it"
        assert bench.state.opened_by == finalization
        assert not bench.state.page and not bench.state.chain.blocks

    def test_a_page_s_last_block_may_be_final_through_headers_of_its_descendants(self) -> None:
        bench = Bench()
        blocks = chain(bench, FAR)
        finalization = bench.finalization(blocks[-1].block.header)
        done = bench.receive_certificate(finalization)
        answer = page(request_of(done), bench.peers[1], blocks[:3], finalization, blocks[3:])
        done = bench.step(answer)
        assert [height for _, height, _, _ in committed(done)] == [1, 2, 3]
        assert executed(done)[0].descendant_headers == tuple(i.block.header.data for i in blocks[1:])
        assert executed(done)[-1].descendant_headers == answer.descendant_headers
        notarization = bench.state.chain.final_notarization
        assert notarization is None, "the child that carries it is not here"
        assert bench.replica.status().final_height == 3

    def test_blocks_that_are_final_already_may_be_in_a_page(self) -> None:
        bench = Bench()
        blocks = chain(bench, FAR + 1)
        bench.finalize(blocks[0])
        finalization = bench.finalization(blocks[-1].block.header)
        done = bench.receive_certificate(finalization)
        assert [what for _, what in asked(done)] == [FetchFinalBlocks(2)]
        done = bench.step(page(request_of(done), bench.peers[1], blocks, finalization))
        assert [height for _, height, _, _ in committed(done)] == list(range(2, FAR + 2))

    @pytest.mark.parametrize(
        "fault", ["gap", "height", "finalization", "garbage", "kind", "block", "epoch", "quorum", "headers"]
    )
    def test_a_page_that_does_not_show_its_blocks_final_is_nothing_and_the_next_peer_is_asked(
        self, fault: str
    ) -> None:
        bench = Bench()
        blocks = chain(bench, FAR)
        header = blocks[-1].block.header
        finalization = bench.finalization(header)
        request = request_of(bench.receive_certificate(finalization))
        bench.state.ahead[bench.peers[1]] = 0
        answer = page(request, bench.peers[1], blocks, finalization)
        if fault == "gap":
            answer = page(request, bench.peers[1], [*blocks[:2], *blocks[3:]], finalization)
        elif fault == "height":
            odd = bench.proposal(9, blocks[1].block.header, height=4)
            answer = page(request, bench.peers[1], [*blocks[:2], odd], bench.finalization(odd.block.header))
        elif fault == "finalization":
            answer = replace(answer, finalization=b"")
        elif fault == "garbage":
            answer = replace(answer, finalization=b"\xff")
        elif fault == "kind":
            answer = replace(answer, finalization=bench.notarization(header).data)
        elif fault == "block":
            answer = replace(answer, finalization=bench.finalization(blocks[0].block.header).data)
        elif fault == "epoch":
            later = replace(header, epoch=1)
            answer = replace(answer, finalization=bench.finalization(later).data)
        elif fault == "quorum":
            answer = replace(answer, finalization=bench.finalization(header, [1, 2]).data)
        else:
            answer = replace(answer, descendant_headers=(blocks[0].block.header.data,))
        done = bench.step(answer)
        assert not committed(done)
        assert asked(done) == [(bench.peers[2], FetchFinalBlocks(1))]
        assert bench.peers[1] not in bench.state.ahead

    def test_headers_that_do_not_follow_one_another_show_nothing(self) -> None:
        bench = Bench()
        blocks = chain(bench, FAR)
        for headers in (
            [blocks[4], blocks[5]],
            [blocks[3], blocks[5]],
            [bench.proposal(9, blocks[2].block.header, height=9)],
        ):
            bench = Bench()
            finalization = bench.finalization(headers[-1].block.header)
            far = bench.finalization(blocks[-1].block.header)
            request = request_of(bench.receive_certificate(far))
            done = bench.step(page(request, bench.peers[1], blocks[:3], finalization, headers))
            assert not committed(done)

    def test_an_answer_counts_once_and_only_to_who_was_asked(self) -> None:
        bench = Bench()
        blocks = chain(bench, FAR)
        finalization = bench.finalization(blocks[-1].block.header)
        request = request_of(bench.receive_certificate(finalization))
        assert not committed(bench.step(page(request + 1, bench.peers[1], blocks, finalization)))
        assert committed(bench.step(page(request, bench.peers[1], blocks, finalization)))
        assert not bench.step(page(request, bench.peers[1], blocks, finalization))

    def test_no_more_than_a_page_is_taken_and_what_cannot_be_read_ends_it(self) -> None:
        bench = Bench()
        blocks = chain(bench, PAGE_MAX + 1)
        finalization = bench.finalization(blocks[PAGE_MAX - 1].block.header)
        far = bench.finalization(blocks[-1].block.header)
        request = request_of(bench.receive_certificate(far))
        answer = page(request, bench.peers[1], blocks, finalization)
        assert len(committed(bench.step(answer))) == PAGE_MAX
        bench = Bench()
        request = request_of(bench.receive_certificate(far))
        answer = page(request, bench.peers[1], blocks[:2], bench.finalization(blocks[1].block.header))
        done = bench.step(replace(answer, blocks=(*answer.blocks, b"\xff", blocks[3].block.data)))
        assert len(committed(done)) == 2

    def test_a_failed_request_goes_to_the_next_peer_then_waits(self) -> None:
        bench = Bench()
        finalization = bench.finalization(chain(bench, FAR)[-1].block.header)
        done = bench.receive_certificate(finalization)
        in_turn = []
        while asked(done):
            in_turn += [peer for peer, _ in asked(done)]
            done = bench.step(FetchFailed(request_of(done)))
        assert in_turn == list(bench.peers[1:])
        assert not asked(bench.step(FetchFailed(99)))

    def test_who_spoke_of_a_later_epoch_is_asked_how_this_one_ended(self) -> None:
        bench = Bench()
        later = bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3], epoch=1)
        done = bench.receive_certificate(later, seat=3)
        assert asked(done) == [(bench.peers[3], FetchFinalBlocks(1))]

    def test_a_page_of_an_epoch_that_a_recovery_began_brings_the_certificate(self) -> None:
        """Its finality can be checked when that epoch has begun here."""
        bench = Bench()
        certificate = bench.recovery(height=9)
        block = bench.proposal(1, epoch=4, recovery=certificate.data)
        request = request_of(
            bench.receive_certificate(bench.finalization(chain(bench, FAR)[-1].block.header))
        )
        done = bench.step(page(request, bench.peers[1], [block], bench.finalization(block.block.header)))
        assert bench.state.recoveries.offers == {bench.peers[1]: peek_recovery(certificate.data)}
        assert not committed(done)
        assert asked(done)[0] == (bench.peers[2], FetchFinalBlocks(1))

    def test_a_certificate_in_a_block_of_the_current_epoch_is_no_offer(self) -> None:
        bench = Bench()
        bench.state.epoch = 4
        block = bench.proposal(1, epoch=4, recovery=bench.recovery(height=9).data)
        bench.state.need(FetchFinalBlocks(1), bench.peers)
        request = request_of(bench.step(TimerFired()))
        done = bench.step(page(request, bench.peers[1], [block], bench.finalization(block.block.header)))
        assert not bench.state.recoveries.offers
        assert [height for _, height, _, _ in committed(done)] == [1]

    def test_a_recovery_is_over_when_a_block_of_its_epoch_is_final(self) -> None:
        bench = Bench()
        bench.state.epoch = 4
        bench.state.recoveries.begun = bench.recovery(height=9)
        block = bench.proposal(1, epoch=4)
        bench.state.chain.add(block.block)
        bench.receive_certificate(bench.finalization(block.block.header))
        assert bench.replica.status().final_height == 1
        assert bench.state.recovery is None

    def test_no_page_is_asked_for_while_execution_is_far_behind(self) -> None:
        bench = Bench()
        later = bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3], epoch=1)
        final = bench.state.chain.final
        bench.state.executed = replace(bench.state.executed, executed_height=-EXECUTION_BACKLOG_MAX - 1)
        assert final.height == 0
        assert not asked(bench.receive_certificate(later, seat=3))
        assert not asked(bench.receive_certificate(bench.finalization(chain(bench, FAR)[-1].block.header)))
        bench.state.executed = replace(bench.state.executed, executed_height=-EXECUTION_BACKLOG_MAX)
        assert asked(bench.step(TimerFired()))


class TestFinalizations:
    def test_a_block_and_its_ancestors_become_final_together_in_order(self) -> None:
        bench = Bench()
        blocks = chain(bench, 3)
        for item in blocks[:2]:
            bench.propose(item)
            bench.judge(item)
            bench.receive_certificate(bench.notarization(item.block.header))
        bench.propose(blocks[2])
        bench.judge(blocks[2])
        bench.now_ms += 70
        finalization = bench.finalization(blocks[2].block.header)
        done = bench.receive_certificate(finalization)
        assert [height for _, height, _, _ in committed(done)] == [1, 2, 3]
        told = [item for item in done if isinstance(item, act.Report)]
        assert [(item.kind, item.view, item.seat, item.milliseconds) for item in told] == [
            (act.ReportKind.FINALIZED, view, view % 4, 70) for view in (1, 2, 3)
        ]
        assert bench.state.chain.final_notarization is None
        assert bench.view == 4

    def test_the_notarization_of_the_newest_final_block_is_kept_for_its_child(self) -> None:
        bench = Bench()
        blocks = chain(bench, 2)
        bench.propose(blocks[0])
        bench.judge(blocks[0])
        notarization = bench.notarization(blocks[0].block.header)
        bench.receive_certificate(notarization)
        bench.receive_certificate(bench.finalization(blocks[0].block.header))
        assert bench.state.chain.final_notarization == notarization

    def test_a_body_that_does_not_come_by_itself_is_asked_for_from_signers(self) -> None:
        bench = Bench()
        (proposal,) = chain(bench, 1)
        header = proposal.block.header
        done = bench.receive_certificate(bench.finalization(header, [0, 2, 3]))
        assert not asked(done)
        bench.now_ms += BODY_DELAY_MS
        done = bench.step(TimerFired())
        assert asked(done) == [(bench.peers[2], FetchBlock(header.hash))]
        request = request_of(done)
        other = bench.proposal(7).block.data
        done = bench.step(BlocksFetched(request, bench.peers[2], (other,)))
        assert asked(done) == [(bench.peers[3], FetchBlock(header.hash))], "that was another block"
        done = bench.step(BlocksFetched(request_of(done), bench.peers[3], (proposal.block.data,)))
        assert committed(done) == [(header.hash, 1, 0, 1)]
        assert FetchBlock(header.hash) not in bench.state.fetcher._wanted

    def test_a_page_is_asked_for_where_a_body_alone_did_not_help(self) -> None:
        bench = Bench()
        bench.receive_certificate(bench.finalization(chain(bench, 3)[-1].block.header))
        bench.now_ms += PAGE_DELAY_MS
        questions = asked(bench.step(TimerFired()))
        assert (bench.peers[2], FetchFinalBlocks(1)) in questions, "the body was asked of the first"

    def test_a_finalization_beside_the_final_chain_stops_the_node(self) -> None:
        bench = Bench()
        first, other = bench.proposal(1), bench.proposal(2)
        bench.finalize(first)
        with pytest.raises(
            SafetyViolation, match=rf"^finalized block {other.block.hash.hex()} of view 2 at "
        ):
            bench.receive_certificate(bench.finalization(other.block.header))

    def test_a_finalized_descendant_of_another_block_stops_the_node(self) -> None:
        bench = Bench()
        first, other = bench.proposal(1), bench.proposal(2)
        child = bench.proposal(3, other.block.header)
        bench.finalize(first)
        bench.state.chain.add(child.block)
        with pytest.raises(SafetyViolation, match=r" at height 2 does not descend from final block "):
            bench.receive_certificate(bench.finalization(child.block.header))

    def test_an_older_finalization_changes_nothing(self) -> None:
        bench = Bench()
        blocks = chain(bench, 2)
        for item in blocks:
            bench.finalize(item)
        assert bench.receive_certificate(bench.finalization(blocks[0].block.header)) == []

    def test_blocks_that_can_no_longer_become_final_are_told(self) -> None:
        bench = Bench()
        loser, winner = bench.proposal(1), bench.proposal(2)
        bench.propose(loser)
        bench.judge(loser)
        bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))
        done = bench.finalize(winner)
        assert [item.block_hashes for item in done if isinstance(item, act.Abandoned)] == [
            (loser.block.hash,)
        ]
        assert loser.block.hash not in bench.state.judged
        assert winner.block.hash in bench.state.judged, "until it is executed"


class TestExecution:
    def test_effects_are_taken_in_once_and_only_upwards(self) -> None:
        bench = Bench()
        proposal = bench.proposal(1)
        bench.finalize(proposal)
        bench.state.is_judgement_deferred = True
        before = bench.state.executed
        after = replace(before, executed_height=1, state_root=bytes(32))
        bench.step(BlockExecuted(after))
        assert bench.state.executed == after
        assert bench.state.executed_states == {0: before, 1: after}
        assert proposal.block.hash not in bench.state.judged
        assert not bench.state.is_judgement_deferred
        assert bench.replica.status().state_root == bytes(32)
        bench.step(BlockExecuted(replace(after, state_root=bytes(range(32)))))
        bench.step(BlockExecuted(before))
        assert bench.state.executed == after

    def test_a_set_that_the_state_names_is_known_from_then_on(self) -> None:
        bench = Bench(spares=1)
        named = Bench(5).config.validators
        assert not bench.replica.names(bench.peers[4])
        bench.finalize(bench.proposal(1))
        bench.step(
            BlockExecuted(replace(bench.state.executed, executed_height=1, next_validator_set=named.data))
        )
        assert bench.replica.names(bench.peers[4])


class TestCertificates:
    def test_missing_ones_are_taken_from_an_answer(self) -> None:
        bench, request = asking_for_certificates()
        null = [bench.certificate(VoteKind.NULLIFY, view, [1, 2, 3]) for view in (1, 2)]
        bench.step(CertificatesFetched(request, bench.peers[1], tuple(item.data for item in null)))
        assert bench.view == 3
        assert not bench.state.fetcher._wanted

    def test_known_ones_are_passed_over_and_the_rest_taken(self) -> None:
        bench, request = asking_for_certificates()
        null = [bench.certificate(VoteKind.NULLIFY, view, [1, 2, 3]) for view in (1, 2)]
        bench.receive_certificate(null[0])
        bench.step(CertificatesFetched(request, bench.peers[1], tuple(item.data for item in null)))
        assert bench.view == 3

    @pytest.mark.parametrize("is_garbage", [True, False])
    def test_a_bad_one_ends_the_answer(self, is_garbage: bool) -> None:
        bench, request = asking_for_certificates()
        null = [bench.certificate(VoteKind.NULLIFY, view, [1, 2, 3]).data for view in (1, 3)]
        bad = b"\xff" if is_garbage else bench.certificate(VoteKind.NULLIFY, 2, [1, 2]).data
        done = bench.step(CertificatesFetched(request, bench.peers[1], (null[0], bad, null[1])))
        assert bench.view == 2
        assert not asked(done), "a part is help"

    @pytest.mark.parametrize("certificates", [(), (b"\xff",)])
    def test_the_next_peer_is_asked_where_an_answer_was_no_help(
        self, certificates: tuple[bytes, ...]
    ) -> None:
        bench, request = asking_for_certificates()
        bench.step(CertificatesFetched(request, bench.peers[1], certificates))
        bench.state.need(FetchCertificates(1), bench.peers)
        assert asked(bench.step(TimerFired())) == [(bench.peers[2], FetchCertificates(1))]

    def test_no_more_than_a_page_is_looked_at(self) -> None:
        bench, request = asking_for_certificates()
        null = [bench.certificate(VoteKind.NULLIFY, 1 + view, [1, 2, 3]).data for view in range(PAGE_MAX + 1)]
        bench.step(CertificatesFetched(request, bench.peers[1], tuple(null)))
        assert bench.view == PAGE_MAX + 1

    def test_of_what_was_fetched_only_what_moves_others_on_is_passed_on(self) -> None:
        bench, request = asking_for_certificates()
        passed, current = (bench.certificate(VoteKind.NULLIFY, view, [1, 2, 3]) for view in (1, 3))
        bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 2, [1, 2, 3]))
        assert bench.view == 3
        done = bench.step(CertificatesFetched(request, bench.peers[1], (passed.data, current.data)))
        assert [(item.data, item.except_peers) for item in passed_on(done)] == [
            (current.data, (bench.peers[1],))
        ]
        late = bench.notarization(bench.proposal(1).block.header)
        assert passed_on(bench.receive_certificate(late)), "what was not asked for is passed on in any case"

    def test_who_helped_is_not_asked_last(self) -> None:
        for certificates, place in (
            ((), True),
            ((Bench().certificate(VoteKind.NULLIFY, 1, [1, 2, 3]).data,), False),
        ):
            bench, request = asking_for_certificates()
            bench.step(CertificatesFetched(request, bench.peers[1], certificates))
            assert bench.state.fetcher._rank(bench.peers[1], bench.now_ms)[0] == place

    def test_an_answer_nobody_asked_for_is_nothing(self) -> None:
        bench, request = asking_for_certificates()
        null = bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]).data
        bench.step(CertificatesFetched(request + 1, bench.peers[1], (null,)))
        assert bench.view == 1
        assert not bench.state.views.get(1)


def asking_for_certificates() -> tuple[Bench, int]:
    """A replica that has asked seat 1 for certificates from view 1 on."""
    bench = Bench()
    bench.state.need(FetchCertificates(1), bench.peers)
    done = bench.step(TimerFired())
    return bench, request_of(done)


class TestEpochs:
    EPOCH_MS = 10_000

    def at_edge(self) -> tuple[Bench, Proposal]:
        """A replica, and a block whose time is in the next epoch."""
        bench = Bench(epoch_ms=self.EPOCH_MS)
        bench.now_ms += self.EPOCH_MS
        return bench, bench.proposal(1)

    def test_a_final_edge_block_ends_the_epoch(self) -> None:
        bench, edge = self.at_edge()
        bench.finalize(edge)
        status = bench.replica.status()
        assert (status.epoch, status.view, status.final_height) == (1, 2, 1)

    def test_the_next_epoch_waits_until_its_seats_are_known(self) -> None:
        bench = Bench(epoch_ms=self.EPOCH_MS)
        bench.now_ms += self.EPOCH_MS
        named = Bench(5).config.validators
        bench.state.executed = replace(bench.state.executed, next_validator_set=named.data)
        bench.state.executed_states[0] = bench.state.executed
        edge = bench.proposal(1, next_validator_set_hash=named.hash)
        bench.finalize(edge)
        assert bench.replica.status().epoch == 0
        assert bench.state.is_edge_final
        bench.step(BlockExecuted(replace(bench.state.executed, executed_height=1)))
        assert bench.replica.status().epoch == 1
        assert len(bench.replica.seats()) == 5

    def test_a_block_after_the_edge_block_makes_it_final_and_stays_outside(self) -> None:
        bench, edge = self.at_edge()
        header = edge.block.header
        after = bench.proposal(2, header)
        assert is_after_edge(bench.config, after.block.header, header)
        assert not is_after_edge(bench.config, header, bench.genesis)
        assert not is_after_edge(bench.config, replace(after.block.header, epoch=1), header)
        for item in (edge, after):
            bench.propose(item)
            bench.judge(item)
            bench.receive_certificate(bench.notarization(item.block.header))
        done = bench.receive_certificate(bench.finalization(after.block.header))
        assert [height for _, height, _, _ in committed(done)] == [1]
        (effect,) = executed(done)
        assert effect.descendant_headers == (after.block.header.data,)
        assert bench.replica.status().epoch == 1
        notarization = bench.state.chain.final_notarization
        assert notarization is not None and notarization.block_hash == header.hash
        assert not bench.state.chain.blocks

    def test_a_page_that_ends_after_the_edge_block_gives_the_notarization_that_its_child_carries(
        self,
    ) -> None:
        bench, edge = self.at_edge()
        header = edge.block.header
        later = bench.proposal(2, header, certificate=bench.notarization(header, [0, 1, 2]).data)
        bench.state.need(FetchFinalBlocks(1), bench.peers)
        request = request_of(bench.step(TimerFired()))
        finalization = bench.finalization(later.block.header)
        done = bench.step(page(request, bench.peers[1], [edge, later], finalization))
        assert [height for _, height, _, _ in committed(done)] == [1]
        assert bench.state.chain.final_notarization == bench.notarization(header, [0, 1, 2])

    def test_a_page_of_blocks_after_the_edge_is_none_to_who_has_passed_it(self) -> None:
        """Also with a finalization that the epoch's seats have signed: it made the edge block final."""
        bench, edge = self.at_edge()
        later = bench.proposal(2, edge.block.header)
        finalization = bench.finalization(later.block.header)
        bench.finalize(edge)
        assert bench.replica.status().epoch == 1
        bench.state.need(FetchFinalBlocks(2), bench.peers)
        request = request_of(bench.step(TimerFired()))
        done = bench.step(page(request, bench.peers[1], [later], finalization))
        assert not committed(done)
        assert bench.state.page is None
        assert bench.replica.status().final_height == 1

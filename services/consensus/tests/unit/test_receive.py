"""What peers say: who may say it, what is known already, and what is kept for later."""

from __future__ import annotations

from dataclasses import replace

import pytest
from icn_chain.certificate import VoteKind
from icn_chain.evidence import parse
from icn_chain.recovery import peek_recovery
from icn_consensus.domain import actions as act
from icn_consensus.domain.events import CertificateReceived, PeerConnected, ProposalReceived, VoteReceived
from icn_consensus.domain.receive import replay_later_messages
from icn_consensus.domain.state import FUTURE_VIEWS_MAX, LATER_EPOCH_MESSAGES_MAX

from .bench import Bench


def reports(actions: list[act.Action]) -> list[act.Report]:
    return [item for item in actions if isinstance(item, act.Report)]


def told(actions: list[act.Action]) -> tuple[act.ReportKind, int, str]:
    """Kind, seat and detail of the one report."""
    (report,) = reports(actions)
    return report.kind, report.seat, report.detail


def sent(actions: list[act.Action]) -> list[tuple[bytes, act.MessageKind, bytes]]:
    """What goes to single peers."""
    return [(item.peer, item.kind, item.data) for item in actions if isinstance(item, act.Send)]


def is_asked(actions: list[act.Action]) -> bool:
    """Whether the proposal was found worth the application's judgement."""
    return any(isinstance(item, act.Judge) for item in actions)


class TestProposals:
    def test_one_that_cannot_be_read_counts_against_its_sender(self) -> None:
        bench = Bench()
        (report,) = reports(bench.step(ProposalReceived(bench.peers[2], b"\xff")))
        assert (report.kind, report.seat, report.peer) == (
            act.ReportKind.DISHONEST_MESSAGE,
            2,
            bench.peers[2],
        )
        assert report.view == 1
        assert report.detail.startswith("proposal: ")

    def test_what_a_block_may_hold_at_most_is_asked_of_a_proposal(self) -> None:
        bench = Bench()
        many = bench.proposal(1, transactions=(b"t",) * 101)
        assert told(bench.propose(many))[2] == "proposal: 101 transactions, at most 100"
        long = bench.proposal(1, transactions=(bytes(1_048_577),))
        assert told(bench.propose(long))[2].startswith("proposal: ")

    def test_one_in_another_seats_name_counts_against_its_sender(self) -> None:
        bench = Bench()
        proposal = bench.proposal(1)
        done = bench.step(ProposalReceived(bench.peers[2], proposal.data))
        assert told(done) == (act.ReportKind.DISHONEST_MESSAGE, 2, "a proposal of seat 1")
        assert not is_asked(done)
        assert is_asked(bench.propose(proposal))

    def test_of_an_earlier_epoch_the_seats_may_have_been_others(self) -> None:
        bench = Bench()
        bench.state.epoch = 1
        proposal = bench.proposal(1, epoch=0)
        assert bench.step(ProposalReceived(bench.peers[2], proposal.data)) == []

    def test_one_out_of_turn_is_told_of_in_the_current_view_alone(self) -> None:
        bench = Bench()
        done = bench.propose(bench.proposal(1, seat=2))
        assert told(done) == (act.ReportKind.INVALID_PROPOSAL, 2, "view 1 is not its turn")
        assert not is_asked(done)
        assert bench.propose(bench.proposal(2, seat=1)) == []

    def test_another_protocol_version_counts_against_its_sender(self) -> None:
        bench = Bench()
        done = bench.propose(bench.proposal(1, protocol_version=2))
        assert told(done) == (
            act.ReportKind.DISHONEST_MESSAGE,
            1,
            "a proposal of protocol version 2, 1 is in force",
        )
        assert not is_asked(done)

    def test_one_that_its_leader_did_not_sign_is_as_if_it_had_not_come(self) -> None:
        bench = Bench()
        forged = bench.proposal(1, signature=bytes(64))
        done = bench.propose(forged)
        assert told(done) == (
            act.ReportKind.DISHONEST_MESSAGE,
            1,
            "a proposal that its leader did not sign",
        )
        assert not is_asked(done)
        assert is_asked(bench.propose(bench.proposal(1)))

    def test_a_second_one_of_the_view_is_evidence_once(self) -> None:
        bench = Bench()
        first, second, third = (bench.proposal(1, time_ms=bench.now_ms + later) for later in (1, 2, 3))
        bench.propose(first)
        (report,) = reports(bench.propose(second))
        assert (report.kind, report.seat, report.view) == (act.ReportKind.EQUIVOCATION, 1, 1)
        assert parse(report.evidence).seat == 1
        assert bench.propose(third) == []
        assert bench.state.current.proposal == first

    def test_the_same_block_signed_anew_is_no_second_one(self) -> None:
        bench = Bench()
        bench.propose(bench.proposal(1))
        assert bench.propose(bench.proposal(1, signature=bytes(64))) == []

    def test_one_that_comes_early_is_looked_at_as_soon_as_its_view_begins(self) -> None:
        bench = Bench()
        early = bench.proposal(2)
        assert bench.propose(early) == []
        done = bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))
        assert bench.view == 2
        assert is_asked(done)
        assert not bench.state.future_proposals

    def test_of_early_ones_the_latest_of_each_peer_is_kept(self) -> None:
        bench = Bench()
        bench.propose(bench.proposal(2))
        latest = bench.proposal(6)
        bench.propose(latest)
        bench.propose(bench.proposal(3))
        assert sorted(bench.state.future_proposals) == sorted((bench.peers[2], bench.peers[3]))
        assert bench.state.future_proposals[bench.peers[2]] == latest

    def test_an_early_one_stays_while_its_view_is_later_and_goes_when_that_has_passed(self) -> None:
        bench = Bench()
        bench.propose(bench.proposal(6))
        bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))
        assert bench.view == 2 and bench.state.future_proposals
        bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 9, [1, 2, 3]))
        assert bench.view == 10
        assert not bench.state.future_proposals

    def test_an_early_one_brings_the_certificates_that_it_carries(self) -> None:
        bench = Bench()
        parent = bench.proposal(1).block.header
        done = bench.propose(bench.proposal(2, parent))
        assert bench.view == 2
        assert [item.block_hash for item in done if isinstance(item, act.Notarized)] == [parent.hash]

    @pytest.mark.parametrize("changes", [{"seat": 3}, {"protocol_version": 2}, {"epoch": 1}])
    def test_an_early_one_that_turns_out_to_be_none_of_the_view_is_dropped(
        self, changes: dict[str, int]
    ) -> None:
        """Who leads a view of a later epoch is known when that begins."""
        bench = Bench()
        early = bench.proposal(2, **changes)  # type: ignore[arg-type]
        bench.state.future_proposals[bench.peers[2]] = early
        if "epoch" in changes:
            bench.state.epoch = 2
        done = bench.receive_certificate(
            bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3], epoch=bench.state.epoch)
        )
        assert bench.view == 2
        assert not is_asked(done) and not bench.state.future_proposals
        assert bench.state.current.proposal is None

    def test_one_of_a_later_epoch_is_kept_with_the_recovery_that_begins_it(self) -> None:
        bench = Bench()
        certificate = bench.recovery(height=9)
        early = bench.proposal(2, epoch=4, recovery=certificate.data)
        bench.propose(early)
        assert bench.state.future_proposals == {bench.peers[2]: early}
        assert bench.state.recoveries.offers == {bench.peers[2]: peek_recovery(certificate.data)}

    def test_a_late_one_is_kept_where_the_others_notarized_it(self) -> None:
        bench = Bench()
        late, unknown = bench.proposal(1), bench.proposal(2)
        bench.receive_certificate(bench.notarization(late.block.header))
        bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 2, [1, 2, 3]))
        assert bench.view == 3
        bench.propose(unknown)
        assert bench.replica.block(unknown.block.hash) is None
        bench.propose(bench.proposal(1, time_ms=bench.now_ms + 9))
        assert not bench.state.chain.blocks, "another block of that view"
        bench.propose(late)
        assert bench.replica.block(late.block.hash) == late.block.data

    def test_one_of_a_final_view_is_nothing(self) -> None:
        bench = Bench()
        proposal = bench.proposal(1)
        bench.finalize(proposal)
        assert bench.propose(proposal) == []
        assert bench.replica.block(proposal.block.hash) is None


class TestVotes:
    def test_one_that_cannot_be_read_counts_against_its_sender(self) -> None:
        bench = Bench()
        kind, seat, detail = told(bench.step(VoteReceived(bench.peers[3], b"\xff")))
        assert (kind, seat) == (act.ReportKind.DISHONEST_MESSAGE, 3)
        assert detail.startswith("vote: ")

    def test_one_of_another_seat_counts_against_its_sender(self) -> None:
        bench = Bench()
        vote = bench.vote(VoteKind.NULLIFY, 2, 1)
        done = bench.step(VoteReceived(bench.peers[1], vote.data))
        assert told(done) == (act.ReportKind.DISHONEST_MESSAGE, 1, "a vote of seat 2")

    def test_views_far_ahead_are_not_counted(self) -> None:
        bench = Bench()
        bench.receive(bench.vote(VoteKind.NULLIFY, 1, 1 + FUTURE_VIEWS_MAX + 1))
        assert not bench.state.views
        bench.receive(bench.vote(VoteKind.NULLIFY, 1, 1 + FUTURE_VIEWS_MAX))
        assert sorted(bench.state.views) == [1 + FUTURE_VIEWS_MAX]

    def test_who_votes_is_heard_in_the_view_but_in_none_that_is_to_come(self) -> None:
        bench = Bench()
        bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [0, 2, 3]))
        bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 2, [0, 2, 3]))
        heard = bench.state.attendance._heard
        bench.receive(bench.vote(VoteKind.FINALIZE, 1, 2))
        assert heard[1] == 2
        bench.receive(bench.vote(VoteKind.NULLIFY, 1, 7))
        assert heard[1] == 3

    def test_another_protocol_version_says_nothing(self) -> None:
        bench = Bench()
        assert bench.receive(bench.vote(VoteKind.NULLIFY, 1, 1, version=2)) == []
        assert not bench.state.views

    def test_who_nullifies_a_final_view_is_sent_what_it_missed(self) -> None:
        bench = Bench()
        proposal = bench.proposal(1)
        bench.finalize(proposal)
        finalization = bench.state.highest_finalization
        assert finalization is not None
        done = bench.receive(bench.vote(VoteKind.NULLIFY, 3, 1))
        assert (bench.peers[3], act.MessageKind.CERTIFICATE, finalization.data) in sent(done)
        assert bench.receive(bench.vote(VoteKind.FINALIZE, 2, 1, height=1)) == [], "it is not behind"
        assert not bench.state.views, "of a final view nothing is counted"

    def test_who_nullifies_a_view_of_an_epoch_that_is_over_is_sent_what_it_missed(self) -> None:
        bench = Bench()
        certificate = bench.certificate(VoteKind.FINALIZE, 1, [1, 2, 3])
        bench.state.epoch, bench.state.highest_finalization = 1, certificate
        bench.state.chain.final = replace(bench.genesis, epoch=1)
        done = bench.receive(bench.vote(VoteKind.NULLIFY, 3, 9))
        assert sent(done) == [(bench.peers[3], act.MessageKind.CERTIFICATE, certificate.data)]
        assert not bench.state.views

    @pytest.mark.parametrize(("passed_ms", "is_helped"), [(249, False), (250, True)])
    def test_help_is_sent_once_per_shortest_time_out_to_each(self, passed_ms: int, is_helped: bool) -> None:
        bench = Bench()
        bench.finalize(bench.proposal(1))
        stale = [bench.vote(VoteKind.NULLIFY, seat, 1) for seat in (2, 3)]
        assert sent(bench.receive(stale[0]))
        assert sent(bench.receive(stale[1])), "another peer has not been helped"
        bench.now_ms += passed_ms
        assert bool(sent(bench.receive(stale[0]))) == is_helped

    def test_a_nullify_of_a_view_that_ended_otherwise_asks_for_help(self) -> None:
        bench = Bench()
        notarization = bench.notarization(bench.proposal(1).block.header)
        bench.receive_certificate(notarization)
        done = bench.receive(bench.vote(VoteKind.NULLIFY, 3, 1))
        assert (bench.peers[3], act.MessageKind.CERTIFICATE, notarization.data) in sent(done)

    def test_a_nullify_of_a_view_that_all_nullified_asks_when_it_is_said_twice(self) -> None:
        bench = Bench(7)
        bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3, 4, 5]))
        vote = bench.vote(VoteKind.NULLIFY, 6, 1)
        assert not sent(bench.receive(vote)), "the certificate is on its way"
        assert sent(bench.receive(vote))


class TestCertificates:
    def test_one_that_cannot_be_read_counts_against_its_sender(self) -> None:
        bench = Bench()
        kind, seat, detail = told(bench.step(CertificateReceived(bench.peers[3], b"\xff")))
        assert (kind, seat) == (act.ReportKind.DISHONEST_MESSAGE, 3)
        assert detail.startswith("certificate: ")

    def test_one_that_no_quorum_signed_counts_against_its_sender(self) -> None:
        bench = Bench()
        done = bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2]), seat=3)
        assert told(done) == (
            act.ReportKind.DISHONEST_MESSAGE,
            3,
            "a certificate that no quorum signed",
        )

    def test_a_later_epoch_s_is_kept_and_its_sender_is_asked_how_this_one_ended(self) -> None:
        bench = Bench()
        for epoch in (2, 1):
            later = bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3], epoch=epoch)
            bench.receive_certificate(later, seat=2)
        assert bench.state.ahead == {bench.peers[2]: 2}
        assert len(bench.state.later_messages[bench.peers[2]]) == 2

    def test_of_a_later_epoch_the_newest_messages_of_each_peer_are_kept(self) -> None:
        bench = Bench()
        for view in range(LATER_EPOCH_MESSAGES_MAX + 1):
            bench.receive(bench.vote(VoteKind.NULLIFY, 1, 1 + view, epoch=1))
        bench.receive(bench.vote(VoteKind.NULLIFY, 2, 1, epoch=1))
        kept = bench.state.later_messages
        assert [len(kept[peer]) for peer in bench.peers[1:3]] == [LATER_EPOCH_MESSAGES_MAX, 1]
        newest = bench.vote(VoteKind.NULLIFY, 1, 1 + LATER_EPOCH_MESSAGES_MAX, epoch=1)
        assert kept[bench.peers[1]][-1] == (act.MessageKind.VOTE, newest.data)

    def test_what_was_kept_for_an_epoch_is_looked_at_when_it_begins(self) -> None:
        bench = Bench()
        bench.receive(*(bench.vote(VoteKind.NULLIFY, seat, 2, epoch=1) for seat in (1, 2, 3)))
        bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3], epoch=1), seat=2)
        further = bench.vote(VoteKind.NULLIFY, 2, 5, epoch=2)
        bench.receive(further)
        bench.state.epoch = 1
        replay_later_messages(bench.state)
        views = bench.state.views
        assert [number for number in views if VoteKind.NULLIFY in views[number].certificates] == [2, 1]
        kept = {bench.peers[2]: [(act.MessageKind.VOTE, further.data)]}
        assert {peer: list(items) for peer, items in bench.state.later_messages.items()} == kept


class TestStreams:
    def test_who_connects_is_sent_the_own_proposal_until_the_view_is_given_up(self) -> None:
        bench = Bench(7, seat=1)
        own = bench.lead()
        done = bench.step(PeerConnected(bench.peers[3], 0))
        assert (bench.peers[3], act.MessageKind.PROPOSAL, own.data) in sent(done)
        bench.receive(*(bench.vote(VoteKind.NULLIFY, seat, 1) for seat in (2, 3, 4)))
        done = bench.step(PeerConnected(bench.peers[3], 0))
        assert [kind for _, kind, _ in sent(done)] == [act.MessageKind.VOTE] * 2, "its notarize and nullify"

    def test_who_connects_first_is_told_nothing_by_who_has_said_nothing(self) -> None:
        bench = Bench()
        assert sent(bench.step(PeerConnected(bench.peers[3], 0))) == []

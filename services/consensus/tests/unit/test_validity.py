"""Which proposals a replica takes for valid: the rules of docs/spec/block.md, one replica, one proposal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from icn_chain.certificate import VoteKind
from icn_consensus.domain import actions as act
from icn_consensus.domain.actions import FetchBlock, FetchCertificates
from icn_consensus.domain.block import Proposal
from icn_consensus.domain.chain import RECENT_HEIGHTS
from icn_consensus.domain.events import BlockExecuted, TimerFired
from icn_consensus.domain.state import BODY_DELAY_MS
from icn_consensus.domain.validity import judge

from .bench import Bench

OTHER_HASH = b"\x09" * 32


def judged(actions: list[act.Action]) -> list[act.Judge]:
    return [item for item in actions if isinstance(item, act.Judge)]


def asked(actions: list[act.Action]) -> list[tuple[bytes, object]]:
    return [(item.peer, item.what) for item in actions if isinstance(item, act.Fetch)]


def refusal(actions: list[act.Action]) -> str:
    """Why the proposal was refused."""
    details = [
        item.detail
        for item in actions
        if isinstance(item, act.Report) and item.kind == act.ReportKind.INVALID_PROPOSAL
    ]
    assert len(details) == 1 and not judged(actions)
    return details[0]


def after(bench: Bench, first: Proposal, *, is_final: bool = False) -> None:
    """Have the block of view 1 judged and notarized, or even final, so that view 2 is current."""
    bench.propose(first)
    bench.judge(first)
    bench.receive_certificate(bench.notarization(first.block.header))
    if is_final:
        bench.receive_certificate(bench.finalization(first.block.header))


class TestOnGenesis:
    def test_what_is_judged_is_the_block_with_its_time_and_branch(self) -> None:
        bench = Bench()
        proposal = bench.proposal(1, transactions=(b"one", b"two"))
        (question,) = judged(bench.propose(proposal))
        assert question == act.Judge(
            proposal.block.hash,
            act.Branch(0, ()),
            0,
            proposal.block.header.time_ms,
            (b"one", b"two"),
            b"",
        )

    @pytest.mark.parametrize(
        ("changes", "rule"),
        [
            ({"certificate": b"\x01"}, "height 1 does not extend genesis"),
            ({"parent_view": 1}, "height 1 does not extend genesis"),
            ({"height": 2}, "certificate in the body: "),
            ({"validator_set_hash": OTHER_HASH}, "validator set is not the epoch's"),
            ({"next_validator_set_hash": OTHER_HASH}, "next validator set is named before the edge"),
            ({"executed_height": 1}, "executed_height without a finalization"),
            ({"state_root": OTHER_HASH}, "roots differ from this replica's"),
            ({"receipts_root": OTHER_HASH}, "roots differ from this replica's"),
            ({"log_root": OTHER_HASH}, "roots differ from this replica's"),
            ({"recovery": b"\x01"}, "a recovery certificate where no epoch begins by one"),
            ({"finalization": b"\x01"}, "certificate in the body: "),
        ],
        ids=str,
    )
    def test_what_breaks_a_rule_is_refused_by_it(self, changes: dict[str, Any], rule: str) -> None:
        bench = Bench()
        assert refusal(bench.propose(bench.proposal(1, **changes))).startswith(rule)

    def test_another_genesis_block_is_nobody_s_parent(self) -> None:
        bench = Bench()
        other = replace(bench.genesis, hash=OTHER_HASH)
        done = bench.propose(bench.proposal(1, other, certificate=b""))
        assert refusal(done) == "height 1 does not extend genesis"

    def test_a_block_is_later_than_its_parent_by_a_millisecond_at_least(self) -> None:
        genesis_ms = Bench().genesis.time_ms
        done = Bench().propose(Bench().proposal(1, time_ms=genesis_ms))
        assert refusal(done) == "block time is not later than the parent's"
        assert judged(Bench().propose(Bench().proposal(1, time_ms=genesis_ms + 1)))

    def test_another_root_than_the_own_is_reported_with_its_leader(self) -> None:
        bench = Bench()
        done = bench.propose(bench.proposal(1, state_root=OTHER_HASH))
        (report,) = [item for item in done if isinstance(item, act.Report) and item.kind != 0][:1]
        assert (report.kind, report.view, report.seat) == (act.ReportKind.ROOT_MISMATCH, 1, 1)

    def test_an_epoch_that_is_over_here_is_refused(self) -> None:
        bench = Bench()
        proposal = bench.proposal(1)
        bench.state.epoch = 1
        bench.state.note_proposal(bench.state.current, proposal)
        assert refusal(bench.step(TimerFired())) == "epoch 0 in epoch 1"


class TestOnABlock:
    def test_a_child_of_a_notarized_block_is_judged_on_the_branch(self) -> None:
        bench = Bench()
        parent = bench.proposal(1)
        after(bench, parent)
        child = bench.proposal(2, parent.block.header)
        (question,) = judged(bench.propose(child))
        assert question.branch == act.Branch(0, (parent.block.hash,))

    def test_the_notarization_that_a_child_carries_is_news_to_who_missed_it(self) -> None:
        bench = Bench()
        parent = bench.proposal(1)
        bench.propose(parent)
        bench.judge(parent)
        bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))
        child = bench.proposal(2, parent.block.header)
        done = bench.propose(child)
        assert parent.block.hash in [item.block_hash for item in done if isinstance(item, act.Notarized)]
        assert judged(done)

    @pytest.mark.parametrize(
        "fault", ["kind", "block", "height", "view", "parent view", "epoch", "quorum", "garbage"]
    )
    def test_a_parent_certificate_is_a_quorum_s_notarization_of_the_parent(self, fault: str) -> None:
        bench = Bench()
        parent = bench.proposal(1)
        after(bench, parent)
        header = parent.block.header
        rule = "parent certificate is not the parent's notarization"
        changes: dict[str, Any] = {}
        if fault == "kind":
            changes["certificate"] = bench.finalization(header).data
        elif fault == "block":
            changes["certificate"] = bench.notarization(replace(header, hash=OTHER_HASH)).data
        elif fault == "height":
            changes["certificate"] = bench.notarization(replace(header, height=2)).data
        elif fault == "view":
            late = replace(header, view=2)
            changes |= {"certificate": bench.notarization(late).data, "parent_view": 2}
        elif fault == "parent view":
            changes["parent_view"] = 0
        elif fault == "epoch":
            changes["certificate"] = bench.notarization(replace(header, epoch=1)).data
        elif fault == "quorum":
            changes["certificate"] = bench.notarization(header, [1, 2]).data
            rule = "parent certificate is not a quorum's"
        else:
            changes["certificate"] = b"\xff"
            rule = "certificate in the body: "
        child = bench.proposal(2, header, **changes)
        assert refusal(bench.propose(child)).startswith(rule)

    @pytest.mark.parametrize(
        ("changes", "rule"),
        [
            ({"height": 1}, "height 1 does not extend genesis"),
            ({"time_ms": -1}, "block time is not later than the parent's"),
            ({"executed_height": 1}, "executed_height without a finalization"),
        ],
        ids=str,
    )
    def test_what_a_child_takes_from_its_parent(self, changes: dict[str, Any], rule: str) -> None:
        bench = Bench()
        parent = bench.proposal(1, time_ms=bench.now_ms + 100)
        after(bench, parent)
        if "time_ms" in changes:
            changes = {"time_ms": parent.block.header.time_ms}
        assert refusal(bench.propose(bench.proposal(2, parent.block.header, **changes))) == rule

    def test_a_parent_that_is_missing_is_fetched_from_who_signed_for_it(self) -> None:
        bench = Bench()
        parent = bench.proposal(1)
        header = parent.block.header
        bench.receive_certificate(bench.notarization(header, [0, 2, 3]))
        child = bench.proposal(2, header, certificate=bench.notarization(header, [0, 2, 3]).data)
        assert not judged(bench.propose(child))
        bench.now_ms += BODY_DELAY_MS
        assert asked(bench.step(TimerFired())) == [(bench.peers[2], FetchBlock(header.hash))]
        assert judged(bench.propose(parent)), "now its ancestor is here"

    def test_a_proposal_waits_for_nullifications_of_the_views_between(self) -> None:
        bench = Bench()
        for view in (2, 3):
            bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, view, [1, 2, 3]))
        assert bench.view == 4
        bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 4, [1, 2, 3]))
        done = bench.propose(bench.proposal(5))
        assert not judged(done)
        assert asked(done) == [(bench.peers[1], FetchCertificates(1))], "its leader first"
        done = bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))
        assert judged(done)

    def test_the_leader_is_asked_first_for_what_its_proposal_needs(self) -> None:
        bench = Bench()
        bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 2, [1, 2, 3]))
        assert asked(bench.propose(bench.proposal(3))) == [(bench.peers[3], FetchCertificates(1))]

    def test_a_proposal_beside_the_final_chain_is_refused(self) -> None:
        bench = Bench()
        final, other = bench.proposal(1), bench.proposal(1, time_ms=bench.now_ms + 5)
        after(bench, final, is_final=True)
        bench.state.chain.blocks[other.block.hash] = other.block
        odd = replace(other.block.header)
        child = bench.proposal(2, odd, certificate=bench.notarization(odd).data)
        assert refusal(bench.propose(child)) == "parent does not descend from the final block"
        bench = Bench()
        after(bench, final, is_final=True)
        again = bench.proposal(2)
        assert refusal(bench.propose(again)) == "height 1 does not extend genesis"

    def test_ancestors_that_became_final_unjudged_are_executed_first(self) -> None:
        bench = Bench()
        parent = bench.proposal(1)
        after(bench, parent, is_final=True)
        bench.state.judged.clear()
        child = bench.proposal(2, parent.block.header)
        assert not judged(bench.propose(child))
        executed = replace(bench.state.executed, executed_height=1)
        assert judged(bench.step(BlockExecuted(executed)))


class TestFinalizations:
    def at_final(self) -> tuple[Bench, Proposal]:
        """View 1's block is final and executed."""
        bench = Bench()
        first = bench.proposal(1)
        after(bench, first, is_final=True)
        bench.step(BlockExecuted(replace(bench.state.executed, executed_height=1, state_root=OTHER_HASH)))
        return bench, first

    def test_a_finalization_of_an_ancestor_names_the_state_after_it(self) -> None:
        bench, first = self.at_final()
        finalization = bench.finalization(first.block.header).data
        child = bench.proposal(2, first.block.header, finalization=finalization, executed_height=1)
        (question,) = judged(bench.propose(child))
        assert question.branch == act.Branch(1, ())

    def test_without_one_the_state_named_is_the_parent_s(self) -> None:
        bench, first = self.at_final()
        bench.state.executed = bench.state.executed_states[0]
        child = bench.proposal(2, first.block.header)
        bench.state.executed = bench.state.executed_states[1]
        (question,) = judged(bench.propose(child))
        assert question.branch == act.Branch(0, (first.block.hash,))

    @pytest.mark.parametrize("fault", ["kind", "epoch", "height", "executed", "block", "quorum"])
    def test_a_finalization_is_a_newer_one_of_an_ancestor(self, fault: str) -> None:
        bench, first = self.at_final()
        header = first.block.header
        finalization, height = bench.finalization(header), 1
        rule = "finalization is not newer than the branch shows"
        if fault == "kind":
            finalization, rule = bench.notarization(header), "finalization is not one of the parent's epoch"
        elif fault == "epoch":
            finalization = bench.finalization(replace(header, epoch=1))
            rule = "finalization is not one of the parent's epoch"
        elif fault == "height":
            finalization = bench.finalization(replace(header, height=2))
        elif fault == "executed":
            height, rule = 0, "executed_height is not the finalization's height"
        elif fault == "block":
            finalization = bench.finalization(replace(header, hash=OTHER_HASH))
            rule = "finalization is not of an ancestor"
        else:
            finalization, rule = bench.finalization(header, [2, 3]), "finalization is not a quorum's"
        child = bench.proposal(2, header, finalization=finalization.data, executed_height=height)
        assert refusal(bench.propose(child)) == rule

    def test_a_finalization_that_is_held_already_is_not_verified_again(self) -> None:
        bench, first = self.at_final()
        child = bench.proposal(
            2,
            first.block.header,
            certificate=bench.state.chain.final_notarization.data,  # type: ignore[union-attr]
            finalization=bench.state.highest_finalization.data,  # type: ignore[union-attr]
            executed_height=1,
        )
        before = bench.crypto.verified
        assert judged(bench.propose(child))
        assert bench.crypto.verified == before + 1, "the proposal alone"

    def test_a_finalization_in_a_body_is_news_to_who_missed_it(self) -> None:
        bench = Bench()
        first = bench.proposal(1)
        after(bench, first)
        header = first.block.header
        finalization = bench.finalization(header).data
        child = bench.proposal(2, header, finalization=finalization, executed_height=1)
        done = bench.propose(child)
        assert [item.height for item in done if isinstance(item, act.Committed)] == [1]
        assert not judged(done), "the state that it names is not here"
        bench.state.has_pending = False
        assert judged(bench.step(BlockExecuted(replace(bench.state.executed, executed_height=1))))

    def test_a_finalization_of_a_block_on_the_way_is_found_there(self) -> None:
        bench = Bench()
        first = bench.proposal(1)
        after(bench, first)
        second = bench.proposal(2, first.block.header)
        bench.propose(second)
        bench.judge(second)
        bench.receive_certificate(bench.notarization(second.block.header))
        wrong = bench.finalization(replace(second.block.header, hash=OTHER_HASH))
        child = bench.proposal(3, second.block.header, finalization=wrong.data, executed_height=2)
        assert refusal(bench.propose(child)) == "finalization is not of an ancestor"


class TestJudging:
    def test_one_block_is_judged_at_a_time(self) -> None:
        bench = Bench()
        parent = bench.proposal(1)
        bench.propose(parent)
        bench.receive_certificate(bench.notarization(parent.block.header))
        child = bench.proposal(2, parent.block.header)
        assert not judged(bench.propose(child))

    def test_execution_that_is_behind_is_waited_for(self) -> None:
        bench = Bench()
        bench.state.executed = replace(bench.state.executed, executed_height=-1)
        with pytest.raises(Exception, match=r"^a final block this replica has not judged is being executed$"):
            judge(bench.state, [bench.proposal(1).block])
        bench.state.judged.add(bench.genesis.hash)
        with pytest.raises(Exception, match=r"^execution is behind$"):
            judge(bench.state, [bench.proposal(1).block])
        assert bench.state.judging is None

    def test_a_branch_that_reaches_below_what_is_remembered_is_not_judged(self) -> None:
        bench = Bench()
        old = bench.proposal(1, executed_height=0)
        bench.state.chain._recent.clear()
        bench.state.chain.final = replace(bench.genesis, height=RECENT_HEIGHTS)
        bench.state.executed = replace(bench.state.executed, executed_height=RECENT_HEIGHTS)
        with pytest.raises(Exception, match=r"^the branch reaches below what is remembered$"):
            judge(bench.state, [old.block])


class TestEpochs:
    EPOCH_MS = 10_000

    def at_edge(self) -> tuple[Bench, Proposal]:
        """A block whose time is in the next epoch is notarized."""
        bench = Bench(epoch_ms=self.EPOCH_MS)
        bench.now_ms += self.EPOCH_MS
        edge = bench.proposal(1)
        after(bench, edge)
        return bench, edge

    def test_an_edge_block_names_the_set_in_the_state(self) -> None:
        bench = Bench(epoch_ms=self.EPOCH_MS)
        bench.now_ms += self.EPOCH_MS
        done = bench.propose(bench.proposal(1, next_validator_set_hash=OTHER_HASH))
        assert refusal(done) == "next validator set is not the one in the state"
        bench = Bench(epoch_ms=self.EPOCH_MS)
        bench.now_ms += self.EPOCH_MS
        assert judged(bench.propose(bench.proposal(1)))

    def test_a_block_after_the_edge_is_empty_and_names_what_the_edge_named(self) -> None:
        bench, edge = self.at_edge()
        full = bench.proposal(2, edge.block.header, transactions=(b"one",))
        assert refusal(bench.propose(full)) == "a block after the edge block is not empty"
        bench, edge = self.at_edge()
        other = bench.proposal(2, edge.block.header, next_validator_set_hash=OTHER_HASH)
        assert refusal(bench.propose(other)) == "next validator set differs from the edge block's"
        bench, edge = self.at_edge()
        assert judged(bench.propose(bench.proposal(2, edge.block.header)))

    def begun(self) -> tuple[Bench, Proposal]:
        """The next epoch has begun, and the edge block is executed."""
        bench, edge = self.at_edge()
        bench.receive_certificate(bench.finalization(edge.block.header))
        bench.step(BlockExecuted(replace(bench.state.executed, executed_height=1)))
        assert bench.state.epoch == 1
        return bench, edge

    def first(self, bench: Bench, edge: Proposal, **changes: Any) -> Proposal:
        fields: dict[str, Any] = {
            "epoch": 1,
            "executed_height": 1,
            "finalization": bench.finalization(edge.block.header).data,
        }
        return bench.proposal(2, edge.block.header, **{**fields, **changes})

    def test_the_first_block_of_an_epoch_carries_what_ended_the_one_before(self) -> None:
        bench, edge = self.begun()
        (question,) = judged(bench.propose(self.first(bench, edge)))
        assert (question.branch, question.epoch) == (act.Branch(1, ()), 1)

    @pytest.mark.parametrize("fault", ["nothing", "executed", "block", "epoch", "parent"])
    def test_and_nothing_else(self, fault: str) -> None:
        bench, edge = self.begun()
        header = edge.block.header
        rule = "finalization does not cover the edge block"
        changes: dict[str, Any] = {}
        if fault == "nothing":
            changes = {"finalization": b""}
            rule = "the first block of an epoch does not carry the edge's finalization"
        elif fault == "executed":
            changes = {"executed_height": 0}
        elif fault == "block":
            changes = {"finalization": bench.finalization(replace(header, hash=OTHER_HASH)).data}
        elif fault == "epoch":
            changes = {"finalization": bench.finalization(replace(header, epoch=1)).data}
            rule = "finalization is not one of the parent's epoch"
        else:
            changes = {"certificate": bench.notarization(replace(header, epoch=2)).data}
            rule = "parent certificate is not the parent's notarization"
        assert refusal(bench.propose(self.first(bench, edge, **changes))) == rule

    def test_a_finalization_of_a_block_after_the_edge_covers_it(self) -> None:
        bench, edge = self.begun()
        later = bench.finalization(replace(edge.block.header, height=2, view=2, hash=OTHER_HASH))
        assert judged(bench.propose(self.first(bench, edge, finalization=later.data)))


class TestRecoveries:
    """The first block of an epoch that a recovery certificate began."""

    def begun(self) -> tuple[Bench, Proposal]:
        bench = Bench()
        first = bench.proposal(1)
        after(bench, first, is_final=True)
        bench.step(BlockExecuted(replace(bench.state.executed, executed_height=1)))
        certificate = bench.recovery()
        bench.state.epoch = 4
        bench.state.recoveries.begun = certificate
        return bench, first

    def first_of_epoch(self, bench: Bench, parent: Proposal, **changes: Any) -> Proposal:
        fields: dict[str, Any] = {"certificate": b"", "epoch": 4, "executed_height": 1}
        certificate = bench.state.recoveries.begun
        assert certificate is not None
        return bench.proposal(2, parent.block.header, **{**fields, "recovery": certificate.data, **changes})

    def test_it_carries_the_certificate_and_nothing_else(self) -> None:
        bench, parent = self.begun()
        proposal = self.first_of_epoch(bench, parent)
        (question,) = judged(bench.propose(proposal))
        assert question.recovery == proposal.block.recovery
        assert question.branch == act.Branch(1, ())

    @pytest.mark.parametrize(
        ("changes", "rule"),
        [
            ({"recovery": b"", "certificate": b"?"}, "the first block after a recovery names a parent "),
            ({"parent_view": 0}, "the first block after a recovery names a parent certificate"),
            ({"executed_height": 0}, "executed_height is not that of the block recovered from"),
            ({"recovery": b""}, "the first block does not carry the recovery certificate that began"),
            ({"recovery": b"\xff"}, "recovery certificate in the body: "),
            ({"recovery": Bench().recovery(epoch=7).data}, "the first block does not carry the recovery"),
        ],
        ids=str,
    )
    def test_what_does_not_is_refused(self, changes: dict[str, Any], rule: str) -> None:
        bench, parent = self.begun()
        proposal = self.first_of_epoch(bench, parent, **changes)
        bench.state.note_proposal(bench.state.current, proposal)
        assert refusal(bench.step(TimerFired())).startswith(rule)

"""What of an invalid proposal can be shown to others."""

from __future__ import annotations

from icn_chain.evidence import parse
from icn_chain.header import BlockHeader
from icn_chain.invalid_proposal import InvalidProposal
from icn_consensus.domain import actions as act
from icn_consensus.domain.block import Proposal
from icn_consensus.domain.evidence import accuse_of

from .bench import Bench


def accused(bench: Bench, proposal: Proposal) -> act.Report:
    """What is reported of the proposal."""
    accuse_of(bench.state, proposal, "why")
    report = bench.state.actions.pop()
    assert isinstance(report, act.Report)
    assert (report.kind, report.detail) == (act.ReportKind.INVALID_PROPOSAL, "why")
    assert (report.view, report.seat) == (proposal.block.header.view, proposal.seat)
    return report


def on_first() -> tuple[Bench, BlockHeader]:
    """A replica that knows the block of view 1."""
    bench = Bench()
    first = bench.proposal(1)
    bench.state.chain.add(first.block)
    return bench, first.block.header


def test_a_parent_certificate_that_is_none_is_shown_by_its_bytes() -> None:
    bench, parent = on_first()
    evidence = accused(bench, bench.proposal(2, parent, certificate=b"no certificate")).evidence
    told = parse(evidence)
    assert isinstance(told, InvalidProposal) and told.seat == 2
    assert b"no certificate" in evidence


def test_one_proof_of_a_seat_and_view_is_enough() -> None:
    bench, parent = on_first()
    wrong = [bench.proposal(2, parent, time_ms=parent.time_ms - less) for less in (0, 1)]
    assert accused(bench, wrong[0]).evidence
    assert accused(bench, wrong[1]).evidence == b""


def test_a_valid_proposal_shows_nothing() -> None:
    bench, parent = on_first()
    assert accused(bench, bench.proposal(2, parent)).evidence == b""

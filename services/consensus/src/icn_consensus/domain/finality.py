"""From finalizations to final blocks: linking, executing in order, closing epochs, catching up.

Source: docs/spec/consensus.md, "Finality and execution", "Epochs" and "Catching up".
"""

from __future__ import annotations

from typing import Final

from icn_chain.block import Block, parse_block
from icn_chain.certificate import Certificate, VoteKind, parse_certificate
from icn_chain.header import BlockHeader, parse_header
from icn_chain.malformed import MalformedMessage

from icn_consensus.domain import certificates, recovering, rounds
from icn_consensus.domain.actions import (
    Abandoned,
    Committed,
    Execute,
    FetchBlock,
    FetchFinalBlocks,
    ReportKind,
)
from icn_consensus.domain.block import ExecutedState
from icn_consensus.domain.chain import BLOCKS_MAX
from icn_consensus.domain.config import Config
from icn_consensus.domain.events import BlocksFetched, CertificatesFetched, FetchFailed
from icn_consensus.domain.evidence import notice_certificate
from icn_consensus.domain.fetcher import Question
from icn_consensus.domain.state import PAGE_DELAY_MS, Page, State

PAGE_MAX: Final = 64
"""Blocks or certificates taken from one answer."""
EXECUTION_BACKLOG_MAX: Final = 64
"""Final blocks waiting for execution beyond which no further page is asked for."""


class SafetyViolation(Exception):
    """What cannot be while at most f seats are faulty and the application is sound. The node must stop."""


def is_after_edge(config: Config, header: BlockHeader, parent: BlockHeader) -> bool:
    """Whether a block lies between its epoch's edge block and the next epoch: it only carries votes."""
    return header.epoch == parent.epoch and config.closes_epoch(parent)


def pursue(state: State) -> bool:
    """Make final what is shown to be, or ask for what is missing. True when something became final.

    By rules that are not known here nothing is.
    """
    if not state.knows_rules:
        return False
    if state.is_edge_final:
        return _enter_next_epoch(state)
    if state.page is not None:
        page, state.page = state.page, None
        _settle(state, state.chain.path_to(page.end.hash).blocks, page.finalization, page.descendant_headers)
        return True
    final_height = state.chain.final.height
    above = [height for height in state.finalizations if height > final_height]
    for height in sorted(above, reverse=True):
        certificate = state.finalizations[height]
        path = state.chain.path_to(certificate.block_hash)
        if path.missing is None:
            _settle(state, path.blocks, certificate)
            return True
    _pursue_highest(state)
    return False


def _pursue_highest(state: State) -> None:
    """Ask for what lies between the final block and what others have seen final.

    Who only says so is asked, too: its answer shows whether it is true.
    """
    final = state.chain.final
    signers = _signers_above(state)
    if not signers and not state.ahead:
        return
    if final.height - state.executed.executed_height > EXECUTION_BACKLOG_MAX:
        return
    delay_ms = PAGE_DELAY_MS if signers and not state.is_catching_up else 0
    state.need(FetchFinalBlocks(final.height + 1), (*signers, *sorted(state.ahead)), delay_ms)


def _signers_above(state: State) -> tuple[bytes, ...]:
    """Who finalized above the final block in this epoch, if anybody; what its block links to is asked for."""
    final = state.chain.final
    highest = state.highest_finalization
    if highest is None or highest.epoch < state.epoch:
        return ()
    if highest.height <= final.height:
        if (highest.epoch, highest.view) > (final.epoch, final.view):
            raise SafetyViolation(
                f"finalized block {highest.block_hash.hex()} of view {highest.view} "
                f"at height {highest.height}, where {final.hash.hex()} of view {final.view} "
                f"at height {final.height} is final"
            )
        return ()
    path = state.chain.path_to(highest.block_hash)
    if path.leaves_final:
        raise SafetyViolation(
            f"finalized block {highest.block_hash.hex()} at height {highest.height} does not descend from "
            f"final block {final.hash.hex()} at height {final.height}"
        )
    assert path.missing is not None, "what is linked has been settled"
    signers = state.signers(highest)
    state.need_block(path.missing, signers)
    return signers


def on_executed(state: State, executed: ExecutedState) -> None:
    """A final block's effects are on disk."""
    if executed.executed_height <= state.executed.executed_height:
        return
    state.executed = executed
    state.seating.learn(executed.next_validator_set)
    state.executed_states[executed.executed_height] = executed
    state.is_judgement_deferred = False
    certificates.forget_below_final(state)


def on_blocks_fetched(state: State, event: BlocksFetched) -> None:
    """Take in an answer: one block by hash, or a page of final blocks with what made them final."""
    question = state.fetcher.answered(event.request)
    if question is None:
        return
    blocks = _parse_blocks(state, event.blocks)
    what = question.what
    if isinstance(what, FetchBlock):
        helped = any(block.hash == what.block_hash and state.chain.add(block) for block in blocks)
    else:
        helped = isinstance(what, FetchFinalBlocks) and _take_page(state, blocks, event)
    _conclude(state, question, helped=helped)


def on_certificates_fetched(state: State, event: CertificatesFetched) -> None:
    """Take in notarizations and nullifications that were missing."""
    question = state.fetcher.answered(event.request)
    if question is None:
        return
    helped = False
    for data in event.certificates[:PAGE_MAX]:
        try:
            certificate = parse_certificate(data)
        except MalformedMessage:
            break
        if not certificates.is_news(state, certificate):
            continue
        if not certificates.is_valid(state, certificate):
            break
        certificates.accept(state, certificate, question.peer, is_fetched=True)
        helped = True
    _conclude(state, question, helped=helped)


def on_fetch_failed(state: State, event: FetchFailed) -> None:
    """The peer asked did not answer."""
    question = state.fetcher.answered(event.request)
    if question is not None:
        _conclude(state, question, helped=False)


def _conclude(state: State, question: Question, *, helped: bool) -> None:
    """Whoever still needs what was asked for says so in the same step, and the next is asked."""
    if helped:
        state.fetcher.helped(question, state.now_ms)
        return
    state.fetcher.useless(question, state.now_ms)
    if isinstance(question.what, FetchFinalBlocks):
        state.ahead.pop(question.peer, None)


def _take_page(state: State, blocks: list[Block], event: BlocksFetched) -> bool:
    """Keep the next final blocks, if they follow the newest and are shown to be final; whether they are."""
    end = state.chain.final
    following = [block for block in blocks if block.header.height > end.height]
    for block in following:
        header = block.header
        if header.parent != end.hash or header.height != end.height + 1:
            return False
        end = header
    if following and following[0].recovery and following[0].header.epoch > state.epoch:
        recovering.on_recovery(state, event.peer, following[0].recovery)
        return False  # its finality can be checked when that epoch has begun here
    if not following or state.page is not None or state.is_edge_final:
        return False
    try:
        finalization = parse_certificate(event.finalization)
        tip = _last_of_chain(state, end, event.descendant_headers)
    except MalformedMessage:
        return False
    if (
        tip is None
        or (finalization.kind, finalization.block_hash, finalization.height)
        != (VoteKind.FINALIZE, tip.hash, tip.height)
        or finalization.epoch != state.epoch
        or not certificates.is_valid(state, finalization)
        or not all(state.chain.add(block) for block in following)
    ):
        return False
    notice_certificate(state, finalization)
    certificates.remember_finalization(state, finalization)
    state.page = Page(end, finalization, event.descendant_headers)
    return True


def _last_of_chain(state: State, first: BlockHeader, headers: tuple[bytes, ...]) -> BlockHeader | None:
    """The last of these headers, if each is a child of the one before."""
    for data in headers[:BLOCKS_MAX]:
        header = parse_header(state.config.genesis_hash, data)
        if header.parent != first.hash or header.height != first.height + 1:
            return None
        first = header
    return first


def _parse_blocks(state: State, blocks: tuple[bytes, ...]) -> list[Block]:
    parsed = []
    for data in blocks[:PAGE_MAX]:
        try:
            block = parse_block(
                state.config.genesis_hash,
                data,
                bytes_max=state.config.block_bytes_max,
                transactions_max=state.config.block_transactions_max,
            )
        except MalformedMessage:
            break
        parsed.append(block)
    return parsed


def _settle(
    state: State, path: tuple[Block, ...], certificate: Certificate, further_headers: tuple[bytes, ...] = ()
) -> None:
    """Make the blocks of a path final; blocks after an edge block carry its finality and stay outside.

    ``further_headers`` lead from the end of the path to what the certificate names.
    """
    headers = [block.header for block in path]
    parents = [state.chain.final, *headers[:-1]]
    final_blocks = [
        block
        for block, parent in zip(path, parents, strict=True)
        if not is_after_edge(state.config, block.header, parent)
    ]
    assert final_blocks, "a path above the final block starts with a block that can become final"
    count = len(final_blocks)
    last = final_blocks[-1].header
    notarization = _notarization_of(state, path, count - 1)
    for position, block in enumerate(final_blocks):
        header = block.header
        state.chain.finalize(block)
        state.emit(Committed(header.hash, header.height, header.epoch, header.view))
        descendants = (*(item.data for item in headers[position + 1 :]), *further_headers)
        state.emit(Execute(block, certificate.data, descendants))
        _report_final(state, header)
    state.chain.final_notarization = notarization
    abandoned = state.chain.prune()
    if abandoned:
        state.emit(Abandoned(abandoned))
    if state.view <= last.view:
        rounds.enter_view(state, rounds.view_after(last), certificate)
    if last.epoch == state.epoch:
        state.recoveries.begun = None
    if not _enter_next_epoch(state):
        certificates.forget_below_final(state)


def _enter_next_epoch(state: State) -> bool:
    """Begin the epoch after a final edge block, once the seats that this names are known here: they are in
    the state after its executed_height."""
    edge = state.chain.final
    validators = state.seating.find(edge.next_validator_set_hash)
    if not state.is_edge_final or validators is None:
        return False
    epoch = state.config.epoch_of(edge.time_ms)
    rounds.enter_epoch(state, epoch, rounds.view_after(edge), validators)
    certificates.forget_below_final(state)
    return True


def _notarization_of(state: State, path: tuple[Block, ...], position: int) -> Certificate | None:
    """Notarization of a block on the path: its own view's, else the one its child carries."""
    header = path[position].header
    if header.epoch == state.epoch:
        known = state.notarization(header.view)
        if known is not None and known.block_hash == header.hash:
            return known
    if position + 1 < len(path):
        return parse_certificate(path[position + 1].parent_certificate)
    return None


def _report_final(state: State, header: BlockHeader) -> None:
    view = state.views.get(header.view) if header.epoch == state.epoch else None
    if view is None or view.proposal is None:
        return
    milliseconds = state.now_ms - view.proposal_seen_at_ms
    state.report(ReportKind.FINALIZED, header.view, view.proposal.seat, milliseconds=milliseconds)

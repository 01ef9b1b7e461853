"""From finalizations to final blocks: linking, executing in order, closing epochs, catching up.

Source: docs/spec/consensus.md, "Finality and execution", "Epochs" and "Catching up".
"""

from __future__ import annotations

from typing import Final

from icn_consensus.domain import certificates, rounds
from icn_consensus.domain.actions import (
    Abandoned,
    Committed,
    Execute,
    FetchBlock,
    FetchCertificates,
    FetchFinalBlocks,
    ReportKind,
)
from icn_consensus.domain.block import (
    Block,
    BlockHeader,
    Certificate,
    ExecutedState,
    MalformedMessage,
    VoteKind,
    parse_block,
    parse_certificate,
)
from icn_consensus.domain.chain import Path
from icn_consensus.domain.config import Config
from icn_consensus.domain.events import BlocksFetched, CertificatesFetched, FetchFailed
from icn_consensus.domain.records import Record, RecordKind
from icn_consensus.domain.state import Pages, State

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
    """Link finalizations to the final block, or ask for what is missing. True when something became final."""
    for height in sorted(state.finalizations, reverse=True):
        if height <= state.chain.final.height:
            break
        certificate = state.finalizations[height]
        path = state.chain.path_to(certificate.block_hash)
        if path.missing is None:
            _settle(state, path.blocks, certificate)
            return True
    highest = state.highest_finalization
    if highest is None or highest.epoch < state.epoch:
        return False
    final = state.chain.final
    if highest.height <= final.height:
        if (highest.epoch, highest.view) > (final.epoch, final.view):
            raise SafetyViolation(
                f"finalized block {highest.block_hash.hex()} of view {highest.view} "
                f"at height {highest.height}, where {final.hash.hex()} of view {final.view} "
                f"at height {final.height} is final"
            )
        return False
    path = state.chain.path_to(highest.block_hash)
    if path.leaves_final:
        raise SafetyViolation(
            f"finalized block {highest.block_hash.hex()} at height {highest.height} does not descend from "
            f"final block {state.chain.final.hash.hex()} at height {state.chain.final.height}"
        )
    _fetch_missing(state, path, highest)
    return False


def on_executed(state: State, executed: ExecutedState) -> None:
    """A final block's effects are on disk."""
    if executed.executed_height <= state.executed.executed_height:
        return
    state.executed = executed
    state.executed_states[executed.executed_height] = executed
    block_hash = state.chain.final_hash_at(executed.executed_height)
    if block_hash is not None:
        state.judged.discard(block_hash)
    state.is_judgement_deferred = False
    certificates.forget_below_final(state)


def on_blocks_fetched(state: State, event: BlocksFetched) -> None:
    """Take in an answer: one block by hash, or a page of final blocks with what made them final."""
    what = state.fetcher.answered(event.request)
    if what is None:
        return
    blocks = _parse_blocks(state, event.blocks)
    if isinstance(what, FetchBlock):
        helped = any(block.hash == what.block_hash and state.chain.add(block) for block in blocks)
    elif isinstance(what, FetchFinalBlocks):
        helped = _take_page(state, blocks, event.certificates, event.seat)
    else:
        helped = False
    _conclude(state, what, helped=helped)


def on_certificates_fetched(state: State, event: CertificatesFetched) -> None:
    """Take in notarizations and nullifications that were missing."""
    what = state.fetcher.answered(event.request)
    if what is None:
        return
    helped = False
    for data in event.certificates[:PAGE_MAX]:
        try:
            certificate = parse_certificate(data)
        except MalformedMessage:
            break
        if not certificates.is_news(state, certificate.epoch, certificate.view, certificate.kind):
            continue
        if not certificates.is_valid(state, certificate):
            break
        certificates.accept(state, certificate)
        helped = True
    _conclude(state, what, helped=helped)


def on_fetch_failed(state: State, event: FetchFailed) -> None:
    """The seat asked did not answer; ask the next."""
    what = state.fetcher.answered(event.request)
    if what is not None:
        _conclude(state, what, helped=False)


def _conclude(state: State, what: FetchBlock | FetchFinalBlocks | FetchCertificates, *, helped: bool) -> None:
    if helped:
        state.fetcher.satisfied(what)
        return
    following = state.fetcher.unsatisfied(what, state.now_ms)
    if following is not None:
        state.emit(following)
    elif isinstance(what, FetchFinalBlocks):
        _drop_pages(state)


def _take_page(state: State, blocks: list[Block], finalizations: tuple[bytes, ...], seat: int) -> bool:
    """Append linked final blocks; whether any was new and linked."""
    end = state.reached
    helped = False
    for block in blocks:
        header = block.header
        if header.height <= end.height:
            continue
        if header.parent != end.hash or header.height != end.height + 1 or not state.chain.add(block):
            break
        end = header
        helped = True
    if helped:
        state.pages = Pages(end, seat)
    for data in finalizations[:PAGE_MAX]:
        try:
            certificate = parse_certificate(data)
        except MalformedMessage:
            break
        if (
            certificate.kind == VoteKind.FINALIZE
            and certificate.height > state.chain.final.height
            and certificate.epoch >= state.epoch
            and certificates.is_valid(state, certificate)
        ):
            certificates.remember_finalization(state, certificate)
    return helped


def _drop_pages(state: State) -> None:
    """Forget pages that nobody goes on from: who gave the last of them may have made it up, and is asked last
    from now on."""
    if state.pages is not None:
        state.fetcher.doubt(state.pages.seat)
        for block in state.chain.path_to(state.pages.end.hash).blocks:
            state.chain.blocks.pop(block.hash, None)
    state.pages = None


def _fetch_missing(state: State, path: Path, highest: Certificate) -> None:
    """Ask the signers of a finalization for blocks between it and the final one."""
    final = state.chain.final
    if path.missing is None or final.height - state.executed.executed_height > EXECUTION_BACKLOG_MAX:
        return
    signers = [seat for seat, _ in highest.signatures]
    if state.is_catching_up:
        state.need(FetchFinalBlocks(state.reached.height + 1), signers)
    else:
        state.need_block(path.missing, signers)


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


def _settle(state: State, path: tuple[Block, ...], certificate: Certificate) -> None:
    """Make the blocks of a path final; blocks after an edge block carry its finality and stay outside."""
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
        descendants = tuple(item.data for item in headers[position + 1 :])
        state.emit(Execute(block, certificate.data, descendants))
        _report_final(state, header)
    state.chain.final_notarization = notarization
    state.handover = path[count:]
    for block in state.handover:
        # Others may need it to see that the edge block is final, also after a restart of all who have it.
        header = block.header
        state.persist(Record(RecordKind.BLOCK, header.epoch, header.view, block.data), is_synced=True)
    state.pages = None
    abandoned = state.chain.prune()
    if abandoned:
        state.emit(Abandoned(abandoned))
    for block_hash in abandoned:
        state.judged.discard(block_hash)
    if last.next_validator_set_hash != state.config.validators.hash:
        raise SafetyViolation(
            "the state names other seats than genesis, which protocol version 1 does not know"
        )
    next_epoch = state.config.epoch_of(last.time_ms) if state.config.closes_epoch(last) else last.epoch
    if next_epoch > state.epoch:
        rounds.enter_epoch(state, next_epoch, rounds.view_after(last))
    elif state.view <= last.view:
        rounds.enter_view(state, rounds.view_after(last), certificate)
    certificates.forget_below_final(state)


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

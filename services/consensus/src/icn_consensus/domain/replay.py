"""Taking up where the disk left off: the log's records become knowledge, and no vote contradicts them.

Source: docs/spec/wal.md, "Replay".
"""

from __future__ import annotations

from icn_chain.block import parse_block
from icn_chain.certificate import Certificate, VoteKind, parse_certificate

from icn_consensus.domain import certificates, finality, recovering, rounds, voting
from icn_consensus.domain.block import parse_proposal, parse_vote
from icn_consensus.domain.config import Config, Recovered
from icn_consensus.domain.ports import Crypto
from icn_consensus.domain.records import Record, RecordKind, decode_record
from icn_consensus.domain.state import State


def restore(config: Config, crypto: Crypto, recovered: Recovered, now_ms: int) -> State:
    """Knowledge from disk.

    Raises:
        MalformedMessage: a record is not what this code writes.
    """
    assert recovered.executed.executed_height == recovered.final_header.height, (
        "the driver lets the application execute the block store first"
    )
    state = State(config, crypto, recovered, now_ms)
    if recovered.finalization:
        certificates.remember_finalization(state, parse_certificate(recovered.finalization))
    state.later_records = [decode_record(payload) for payload in recovered.records]
    if state.is_first_of_epoch:
        _restore_edge(state)
    apply_records(state)
    recovering.take_recorded(state)
    while finality.pursue(state) or recovering.consider(state):
        apply_records(state)
    return state


def apply_records(state: State) -> None:
    """Take in the records of the current epoch, and stand in the highest view they speak of."""
    own_views = [state.view]
    for record in rounds.take_later_records(state):
        last = _apply(state, record)
        if last is not None:
            own_views.append(last)
    view = max(own_views)
    if view > state.view:
        state.view = view
        state.attendance.restart_window(view)
        state.opened_by = _opening_of(state, view)
    state.opening = None


def _apply(state: State, record: Record) -> int | None:
    """Take in one record; gives the view this replica was in at least when it was written."""
    final = state.chain.final
    if record.view <= final.view:
        if record.kind == RecordKind.CERTIFICATE and record.view == final.view:
            _apply_certificate(state, parse_certificate(record.message))
        return None
    if record.kind == RecordKind.RECOVERY:
        return None  # it began this epoch, see `recovering.take_recorded`
    if record.kind == RecordKind.CERTIFICATE:
        _apply_certificate(state, parse_certificate(record.message))
        return record.view + 1
    view = state.view_at(record.view)
    bounds = {
        "bytes_max": state.config.block_bytes_max,
        "transactions_max": state.config.block_transactions_max,
    }
    if record.kind == RecordKind.PROPOSAL:
        proposal = parse_proposal(state.config.genesis_hash, record.message, **bounds)
        view.own_proposal = proposal
        state.note_proposal(view, proposal)
        state.chain.add(proposal.block)
        return record.view
    if record.block:
        state.chain.add(parse_block(state.config.genesis_hash, record.block, **bounds))
    vote = parse_vote(record.message)
    voting.count_own(state, vote)
    return record.view + 1 if vote.kind == VoteKind.FINALIZE else record.view


def _restore_edge(state: State) -> None:
    """What the closed epoch leaves to the next: the edge block's notarization, which its child carries."""
    final = state.chain.final
    for record in state.later_records:
        is_of_edge = (record.epoch, record.view) == (final.epoch, final.view)
        if is_of_edge and record.kind == RecordKind.CERTIFICATE:
            _apply_certificate(state, parse_certificate(record.message))


def _apply_certificate(state: State, certificate: Certificate) -> None:
    final = state.chain.final
    if certificate.view == final.view:
        if certificate.kind == VoteKind.NOTARIZE and certificate.block_hash == final.hash:
            state.chain.final_notarization = certificate
        return
    state.view_at(certificate.view).certificates[certificate.kind] = certificate
    if certificate.kind == VoteKind.FINALIZE:
        certificates.remember_finalization(state, certificate)


def _opening_of(state: State, view: int) -> Certificate | None:
    known = state.views.get(view - 1)
    if known is None:
        return None
    return known.certificates.get(VoteKind.NOTARIZE) or known.certificates.get(VoteKind.NULLIFY)

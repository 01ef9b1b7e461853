"""The leader's turn: when to propose, on what, and with which finalization.

Source: docs/spec/consensus.md, "Proposals" and "When idle".
"""

from __future__ import annotations

from typing import Final

from icn_chain.block import Block, build_block, transactions_root
from icn_chain.certificate import CERTIFICATE_BYTES_MAX, Certificate, VoteKind, certificate_digest
from icn_chain.header import HEADER_BYTES_MAX, BlockHeader, build_header
from icn_chain.recovery import finality_digest
from icn_chain.validator_set import validator_set_hash
from icn_crypto import tags

from icn_consensus.domain import timing
from icn_consensus.domain.actions import FetchCertificates, Prepare
from icn_consensus.domain.block import ExecutedState, body_of_proposal, build_proposal
from icn_consensus.domain.events import BlockPrepared
from icn_consensus.domain.records import Record, RecordKind
from icn_consensus.domain.state import Draft, State
from icn_consensus.domain.voting import cast

TRANSACTION_OVERHEAD_BYTES: Final = 4
"""Field tag and length of a transaction in a block, at most."""
PROPOSAL_TRANSACTIONS_MAX: Final = 700
"""What this replica proposes at once; others may propose up to the genesis limit. A small machine judges and
executes these in less than the shortest time-out, so a busy zone does not time its own leaders out."""


def propose(state: State) -> bool:
    """Propose, or ask for transactions to propose, when it is this replica's turn and there is a reason to.

    True when a proposal was made.
    """
    if not _is_own_turn(state) or state.draft is not None:
        return False
    draft = _draft(state) if timing.has_reason(state) else None
    if draft is None:
        return False
    is_filler = draft.parent.epoch == state.epoch and state.config.closes_epoch(draft.parent)
    if state.has_pending and not is_filler:
        _ask_for_transactions(state, draft)
        return False
    if (is_filler or not timing.is_urgent(state)) and timing.is_patient(state):
        return False
    return _publish(state, draft, ())


def on_prepared(state: State, event: BlockPrepared) -> None:
    """The application chose; propose, unless the view has passed meanwhile."""
    draft = state.draft
    if draft is None or draft.request != event.request:
        return
    state.draft = None
    if not _is_own_turn(state) or draft.view != state.view:
        return
    if event.transactions:
        _publish(state, draft, event.transactions)
    else:
        # What is pending cannot go into this block; the pool says so again when that may have changed.
        state.has_pending = False


def _is_own_turn(state: State) -> bool:
    if state.leader(state.view) != state.seat:
        return False
    view = state.views.get(state.view)
    return view is None or not (view.own_proposal is not None or view.own_votes)


def _parent(state: State) -> BlockHeader | None:
    """The highest notarized block whose gap views are shown nullified; None while something is missing."""
    final = state.chain.final
    notarization = state.highest_notarization() or _notarization_of_parent(state, final)
    others = state.validators.public_keys
    if notarization is None:
        if final.height > 0 and state.recovery is None:
            state.need(FetchCertificates(final.view), others)
            return None
        parent = final
    else:
        path = state.chain.path_to(notarization.block_hash)
        if path.missing is not None:
            state.need_block(path.missing, state.signers(notarization))
            return None
        parent = path.blocks[-1].header if path.blocks else final
    for number in range(parent.view + 1, state.view):
        if not state.is_nullified(number):
            state.need(FetchCertificates(number), others)
            return None
    return parent


def _carried_finalization(state: State, parent: BlockHeader) -> tuple[int, bytes] | None:
    """executed_height and the newest finalization of an ancestor whose executed state is here.

    None while this replica has not executed what the block would have to name.
    """
    executed_height = state.executed.executed_height
    if parent.epoch < state.epoch:
        highest = state.highest_finalization
        if executed_height < parent.height or highest is None:
            return None
        if highest.epoch != parent.epoch or highest.height < parent.height:
            return None
        return parent.height, highest.data
    heights = [
        height
        for height in state.finalizations
        if parent.executed_height < height <= min(parent.height, executed_height)
    ]
    if heights:
        newest = max(heights)
        return newest, state.finalizations[newest].data
    if parent.executed_height not in state.executed_states:
        return None
    return parent.executed_height, b""


def _draft(state: State) -> Draft | None:
    """A block to be, without transactions; None while something for it is missing."""
    parent = _parent(state)
    if parent is None:
        return None
    recovery = state.recovery if parent.epoch < state.epoch else None
    carried = _carried_finalization(state, parent) if recovery is None else (parent.height, b"")
    if carried is None:
        return None
    executed_height, finalization = carried
    return Draft(
        request=state.next_request,
        view=state.view,
        parent=parent,
        time_ms=max(parent.time_ms + 1, state.now_ms),
        executed_height=executed_height,
        finalization=finalization,
        recovery=b"" if recovery is None else recovery.data,
    )


def _ask_for_transactions(state: State, draft: Draft) -> None:
    path = state.chain.path_to(draft.parent.hash)
    branch = state.chain.branch_of(path.blocks, draft.executed_height)
    if branch is None:
        return
    notarization = _notarization_of_parent(state, draft.parent)
    certificate_bytes = len(draft.finalization) + (0 if notarization is None else len(notarization.data))
    assert certificate_bytes <= 2 * CERTIFICATE_BYTES_MAX, "certificates are bounded when parsed"
    available = state.config.block_bytes_max - HEADER_BYTES_MAX - certificate_bytes - len(draft.recovery)
    state.draft = draft
    state.next_request += 1
    state.emit(
        Prepare(
            draft.request,
            branch,
            state.epoch,
            draft.time_ms,
            available
            - available // 16,  # leaves room for tags and lengths; _publish trims what is still too much
            min(state.config.block_transactions_max, PROPOSAL_TRANSACTIONS_MAX),
        )
    )


def _publish(state: State, draft: Draft, transactions: tuple[bytes, ...]) -> bool:
    """Build the block, put proposal and own notarize vote on disk, and send both."""
    notarization = _notarization_of_parent(state, draft.parent)
    parent_certificate = b"" if notarization is None else notarization.data
    executed = state.executed_states[draft.executed_height]
    carried_bytes = len(parent_certificate) + len(draft.finalization) + len(draft.recovery)
    budget = state.config.block_bytes_max - HEADER_BYTES_MAX - carried_bytes
    block = _build(state, draft, executed, _fitting(state, transactions, budget), parent_certificate)
    if not state.chain.add(block):
        return False
    header = block.header
    signature = state.crypto.sign(tags.PROPOSAL, body_of_proposal(header, draft.parent.view))
    proposal = build_proposal(block, draft.parent.view, state.seat, signature)
    view = state.view_at(state.view)
    view.own_proposal = proposal
    state.note_proposal(view, proposal)
    record = Record(RecordKind.PROPOSAL, state.epoch, state.view, proposal.data)
    state.persist(record, is_synced=False)  # durable with the vote that follows, before either is sent
    cast(state, VoteKind.NOTARIZE, state.view, header.height, header.hash)
    return True


def _build(
    state: State,
    draft: Draft,
    executed: ExecutedState,
    transactions: tuple[bytes, ...],
    parent_certificate: bytes,
) -> Block:
    parent = draft.parent
    own_set = state.validators.hash
    header = build_header(
        state.config.genesis_hash,
        protocol_version=state.protocol_version,
        height=parent.height + 1,
        view=draft.view,
        parent=parent.hash,
        time_ms=draft.time_ms,
        transactions_root=transactions_root(transactions),
        executed_height=draft.executed_height,
        state_root=executed.state_root,
        receipts_root=executed.receipts_root,
        log_root=executed.log_root,
        parent_certificate_digest=certificate_digest(parent_certificate),
        finalization_digest=finality_digest(state.config.genesis_hash, draft.finalization, draft.recovery),
        epoch=state.epoch,
        validator_set_hash=own_set,
        next_validator_set_hash=_next_set_hash(state, draft, executed, own_set),
    )
    return build_block(header, transactions, parent_certificate, draft.finalization, draft.recovery)


def _next_set_hash(state: State, draft: Draft, executed: ExecutedState, own_set: bytes) -> bytes:
    parent = draft.parent
    if parent.epoch == state.epoch and state.config.closes_epoch(parent):
        return parent.next_validator_set_hash
    if state.config.epoch_of(draft.time_ms) > state.epoch:
        return validator_set_hash(executed.next_validator_set)
    return own_set


def _fitting(state: State, transactions: tuple[bytes, ...], budget: int) -> tuple[bytes, ...]:
    """As many transactions from the front as the block may hold."""
    count = 0
    for transaction in transactions[: state.config.block_transactions_max]:
        budget -= len(transaction) + TRANSACTION_OVERHEAD_BYTES
        if budget < 0:
            break
        count += 1
    return transactions[:count]


def _notarization_of_parent(state: State, parent: BlockHeader) -> Certificate | None:
    if parent.hash == state.chain.final.hash:
        return None if state.recovery is not None else state.chain.final_notarization
    return state.notarization(parent.view)

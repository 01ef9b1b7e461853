"""Whether this replica may notarize a proposal: the rules of docs/spec/block.md in order.

Each check passes, raises `ProposalInvalid` (never this one), or raises `ProposalWaits` after asking for what
is missing; it is then tried again whenever something changes.
"""

from __future__ import annotations

from collections.abc import Sequence

from icn_chain.block import Block
from icn_chain.certificate import Certificate, VoteKind, parse_certificate
from icn_chain.header import BlockHeader
from icn_chain.malformed import MalformedMessage
from icn_chain.recovery import parse_recovery
from icn_chain.validator_set import validator_set_hash

from icn_consensus.domain import certificates
from icn_consensus.domain.actions import FetchCertificates, Judge, ReportKind
from icn_consensus.domain.block import Proposal
from icn_consensus.domain.finality import is_after_edge
from icn_consensus.domain.state import Candidate, State


class ProposalInvalid(Exception):
    """The proposal breaks a rule; the message says which."""


class BlockTimeRefused(ProposalInvalid):
    """The block's time is farther from this replica's clock than the rules allow: one of the two is wrong."""

    def __init__(self, ahead_ms: int) -> None:
        super().__init__(f"block time is {abs(ahead_ms)} ms from this clock")
        self.ahead_ms = ahead_ms
        """Block time after this clock; negative when before."""


class ProposalWaits(Exception):
    """Something is missing that may still come."""


def check(state: State, candidate: Candidate) -> None:
    """Pass when the current view's proposal is valid in every respect, the application's judgement included.

    Raises:
        ProposalInvalid: it never will be.
        ProposalWaits: it may become so.
    """
    proposal = candidate.proposal
    header = proposal.block.header
    if candidate.parent_signers is None:
        candidate.parent_signers = _check_parent_certificate(state, proposal)
    path = _path_to_parent(state, header, candidate.parent_signers)
    parent = path[-1].header if path else state.chain.final
    if not candidate.is_well_placed:
        _check_place(state, proposal, parent)
        _check_gap(state, proposal)
        _check_finalization(state, proposal, parent, path)
        candidate.is_well_placed = True
    _check_state(state, header, parent)
    judge(state, (*path, proposal.block))


def check_envelope(state: State, proposal: Proposal) -> None:
    """What depends on nothing but the clock, looked at once when the proposal's view is current.

    Raises:
        ProposalInvalid: the epoch is not acceptable.
        BlockTimeRefused: the time is not.
    """
    header = proposal.block.header
    if header.epoch != state.epoch:
        raise ProposalInvalid(f"epoch {header.epoch} in epoch {state.epoch}")
    ahead_ms = header.time_ms - state.now_ms
    if abs(ahead_ms) > state.config.block_time_distance_ms_max:
        raise BlockTimeRefused(ahead_ms)


def judge(state: State, path: Sequence[Block]) -> None:
    """Have the application judge the blocks of a path above the final block, ancestors first.

    Raises:
        ProposalWaits: until all are found valid.
    """
    for height in range(state.executed.executed_height + 1, state.chain.final.height + 1):
        if state.chain.final_hash_at(height) not in state.judged:
            raise ProposalWaits("a final block this replica has not judged is being executed")
    for position, block in enumerate(path):
        if block.hash in state.judged:
            continue
        header = block.header
        if state.judging is None and not state.is_judgement_deferred:
            if header.executed_height > state.executed.executed_height:
                raise ProposalWaits("execution is behind")
            branch = state.chain.branch_of(path[:position], header.executed_height)
            if branch is None:
                raise ProposalWaits("the branch reaches below what is remembered")
            state.judging = block.hash
            state.emit(
                Judge(block.hash, branch, header.epoch, header.time_ms, block.transactions, block.recovery)
            )
        raise ProposalWaits("the application judges")


def _check_parent_certificate(state: State, proposal: Proposal) -> tuple[bytes, ...]:
    """Rule 6; gives who has the parent's body."""
    header = proposal.block.header
    data = proposal.block.parent_certificate
    final = state.chain.final
    if state.recovery is not None and header.parent == final.hash:
        if data or proposal.parent_view != final.view:
            raise ProposalInvalid("the first block after a recovery names a parent certificate")
        return ()
    if header.height == 1:
        if data or proposal.parent_view or header.parent != final.hash:
            raise ProposalInvalid("height 1 does not extend genesis")
        return ()
    certificate = _parse(data)
    is_of_parent = (
        certificate.kind == VoteKind.NOTARIZE
        and certificate.block_hash == header.parent
        and certificate.height == header.height - 1
        and certificate.view == proposal.parent_view
        and certificate.view < header.view
    )
    is_of_epoch = certificate.epoch == state.epoch or (
        state.is_first_of_epoch and header.parent == final.hash and certificate.epoch == final.epoch
    )
    if not is_of_parent or not is_of_epoch:
        raise ProposalInvalid("parent certificate is not the parent's notarization")
    known = state.notarization(certificate.view)
    is_known = known is not None and known.data == data
    if not is_known and not certificates.is_valid(state, certificate):
        raise ProposalInvalid("parent certificate is not a quorum's")
    if certificates.is_news(state, certificate):
        certificates.accept(state, certificate)
    return state.signers(certificate)


def _path_to_parent(state: State, header: BlockHeader, signers: Sequence[bytes]) -> tuple[Block, ...]:
    if header.height <= state.chain.final.height:
        raise ProposalInvalid("height is final already")
    path = state.chain.path_to(header.parent)
    if path.leaves_final:
        raise ProposalInvalid("parent does not descend from the final block")
    if path.missing is not None:
        state.need_block(path.missing, signers)
        raise ProposalWaits("an ancestor is missing")
    return path.blocks


def _check_place(state: State, proposal: Proposal, parent: BlockHeader) -> None:
    """Rules 3 to 5, 11 and 12 as far as headers and the body show them."""
    header = proposal.block.header
    if header.height != parent.height + 1 or header.parent != parent.hash:
        raise ProposalInvalid("height or parent")
    if not proposal.parent_view == parent.view < header.view:
        raise ProposalInvalid("parent view")
    if header.time_ms <= parent.time_ms:
        raise ProposalInvalid("block time is not later than the parent's")
    is_first = state.is_first_of_epoch and parent.hash == state.chain.final.hash
    if not is_first and parent.epoch != header.epoch:
        raise ProposalInvalid("parent is of another epoch")
    if header.validator_set_hash != state.validators.hash:
        raise ProposalInvalid("validator set is not the epoch's")
    if is_after_edge(state.config, header, parent):
        if proposal.block.transactions:
            raise ProposalInvalid("a block after the edge block is not empty")
        if header.next_validator_set_hash != parent.next_validator_set_hash:
            raise ProposalInvalid("next validator set differs from the edge block's")
    elif (
        not state.config.closes_epoch(header) and header.next_validator_set_hash != header.validator_set_hash
    ):
        raise ProposalInvalid("next validator set is named before the edge")


def _check_gap(state: State, proposal: Proposal) -> None:
    """Every view between the parent's and this one is shown nullified."""
    view = proposal.block.header.view
    for number in range(proposal.parent_view + 1, view):
        if not state.is_nullified(number):
            keys = state.validators.public_keys
            state.need(FetchCertificates(number), (keys[state.leader(view)], *keys))
            raise ProposalWaits(f"view {number} is not shown nullified")


def _check_finalization(state: State, proposal: Proposal, parent: BlockHeader, path: Sequence[Block]) -> None:
    """Rules 7 and 8."""
    header = proposal.block.header
    data = proposal.block.finalization
    is_first = parent.epoch != header.epoch
    if _begins_recovered(state, proposal, is_first=is_first):
        if header.executed_height != parent.height:
            raise ProposalInvalid("executed_height is not that of the block recovered from")
        return
    if not data:
        if is_first:
            raise ProposalInvalid("the first block of an epoch does not carry the edge's finalization")
        if header.executed_height != parent.executed_height:
            raise ProposalInvalid("executed_height without a finalization")
        return
    certificate = _parse(data)
    if certificate.kind != VoteKind.FINALIZE or certificate.epoch != parent.epoch:
        raise ProposalInvalid("finalization is not one of the parent's epoch")
    if is_first:
        _check_covers_edge(header, parent, certificate)
    elif not parent.executed_height < certificate.height <= parent.height:
        raise ProposalInvalid("finalization is not newer than the branch shows")
    elif header.executed_height != certificate.height:
        raise ProposalInvalid("executed_height is not the finalization's height")
    elif _ancestor_hash(state, path, certificate.height) != certificate.block_hash:
        raise ProposalInvalid("finalization is not of an ancestor")
    _verify_finalization(state, certificate)


def _begins_recovered(state: State, proposal: Proposal, *, is_first: bool) -> bool:
    """Whether the block has to carry what began its epoch, and does; who signed is for the application."""
    data = proposal.block.recovery
    expected = state.recovery if is_first else None
    if expected is None:
        if data:
            raise ProposalInvalid("a recovery certificate where no epoch begins by one")
        return False
    try:
        carried = None if not data else parse_recovery(data)
    except MalformedMessage as error:
        raise ProposalInvalid(f"recovery certificate in the body: {error}") from error
    if carried is None or carried.body != expected.body:
        raise ProposalInvalid("the first block does not carry the recovery certificate that began its epoch")
    return True


def _check_covers_edge(header: BlockHeader, edge: BlockHeader, certificate: Certificate) -> None:
    # The edge block is final here, so a finalization of its epoch from its height on descends from it.
    is_covering = certificate.height > edge.height or certificate.block_hash == edge.hash
    if certificate.height < edge.height or not is_covering or header.executed_height != edge.height:
        raise ProposalInvalid("finalization does not cover the edge block")


def _verify_finalization(state: State, certificate: Certificate) -> None:
    held = (state.finalizations.get(certificate.height), state.highest_finalization)
    is_held = any(item is not None and item.data == certificate.data for item in held)
    if not is_held and not certificates.is_valid(state, certificate):
        raise ProposalInvalid("finalization is not a quorum's")
    if certificates.is_news(state, certificate):
        certificates.accept(state, certificate)


def _ancestor_hash(state: State, path: Sequence[Block], height: int) -> bytes | None:
    if height <= state.chain.final.height:
        return state.chain.final_hash_at(height)
    return path[height - state.chain.final.height - 1].hash


def _check_state(state: State, header: BlockHeader, parent: BlockHeader) -> None:
    """Rule 9, and the next set that an edge block fixes."""
    executed = state.executed_states.get(header.executed_height)
    if executed is None:
        raise ProposalWaits("the state of executed_height is not here")
    own = (executed.state_root, executed.receipts_root, executed.log_root)
    if own != (header.state_root, header.receipts_root, header.log_root):
        state.report(ReportKind.ROOT_MISMATCH, header.view, state.leader(header.view))
        raise ProposalInvalid("roots differ from this replica's")
    is_edge = state.config.closes_epoch(header) and not is_after_edge(state.config, header, parent)
    if is_edge and header.next_validator_set_hash != validator_set_hash(executed.next_validator_set):
        raise ProposalInvalid("next validator set is not the one in the state")


def _parse(data: bytes) -> Certificate:
    try:
        return parse_certificate(data)
    except MalformedMessage as error:
        raise ProposalInvalid(f"certificate in the body: {error}") from error

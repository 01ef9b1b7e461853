"""Starting again in a new epoch after the signing records of a quorum were lost.

A certificate of the seated organizations names a final block and new keys. Who stands at exactly that block
begins the epoch of the certificate; whose chain ends below fetches first; whose is longer takes no part.

Source: docs/spec/consensus.md, "Recovery".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from icn_chain.malformed import MalformedMessage
from icn_chain.recovery import (
    BLOCK_ROOM_BYTES,
    RecoveryCertificate,
    RecoveryInvalid,
    RecoveryPeek,
    check_recovery,
    parse_recovery,
    peek_recovery,
)

from icn_consensus.domain import rounds
from icn_consensus.domain.actions import Broadcast, MessageKind, ReportKind
from icn_consensus.domain.records import Record, RecordKind
from icn_consensus.domain.state import State

OFFERS_MAX: Final = 16
"""Peers whose certificate waits for blocks that are missing here; each may be of 768 kB."""


class RecoveryRefused(Exception):
    """This replica does not begin the epoch of a certificate, whoever signed it; ``reason`` is stable."""

    def __init__(self, reason: str, message: str, **figures: int) -> None:
        super().__init__(message)
        self.reason = reason
        self.figures = figures
        """The numbers that were compared."""


def on_recovery(state: State, peer: bytes, data: bytes) -> None:
    """A certificate from a peer, or (as from this replica itself) from the operator."""
    known = state.recovery
    if known is not None and known.data == data:
        return
    try:
        offer(state, peer, peek_recovery(data))
    except MalformedMessage as error:
        _blame(state, peer, f"recovery certificate: {error}")


def offer(state: State, peer: bytes, certificate: RecoveryPeek) -> None:
    """Keep a certificate until this replica stands where it can be judged; the newest of each peer.

    Where the block that it names is missing, the peer is asked for it as one that speaks of a later epoch.
    """
    offers = state.recoveries.offers
    if peer not in offers and len(offers) >= OFFERS_MAX:
        del offers[next(iter(offers))]
    offers[peer] = certificate
    if certificate.epoch > state.epoch and certificate.height > state.chain.final.height:
        state.note_ahead(peer, certificate.epoch)


def consider(state: State) -> bool:
    """Begin the epoch of a certificate that was offered. True when one began."""
    offers = state.recoveries.offers
    if not offers:
        return False
    for peer in sorted(offers):
        offered = offers[peer]
        final = state.chain.final
        if offered.epoch > state.epoch and offered.height > final.height:
            continue
        if offered.height == final.height > state.executed.executed_height:
            continue
        del offers[peer]
        try:
            _check_named(state, offered)
            certificate = parse_recovery(offered.data)
            _check_signed(state, certificate)
        except RecoveryRefused as refusal:
            _report_refused(state, peer, str(refusal))
        except (RecoveryInvalid, MalformedMessage) as fault:
            _blame(state, peer, f"recovery certificate: {fault}")
        else:
            _begin(state, certificate, peer)
            return True
    return False


def check(state: State, certificate: RecoveryCertificate) -> None:
    """Pass when this replica may begin the certificate's epoch now, or once it has the block that is named.

    Raises:
        RecoveryRefused: RECOVERY_EPOCH_PASSED, RECOVERY_TOO_LARGE, RECOVERY_OTHER_CHAIN, RECOVERY_OTHER_ROOT.
        RecoveryInvalid: see `check_recovery`; only where the block is the newest final one.
    """
    _check_named(state, certificate)
    _check_signed(state, certificate)


def _check_signed(state: State, certificate: RecoveryCertificate) -> None:
    """Refuse one that breaks a rule, where its block is the newest final one."""
    final = state.chain.final
    if certificate.height > final.height:
        return
    seated = state.seats_of(final.epoch)
    assert seated is not None, "the newest final block is of this epoch or of the one before"
    check_recovery(certificate, final, seated, state.config.genesis_hash, state.config)


def _check_named(state: State, certificate: RecoveryCertificate | RecoveryPeek) -> None:
    """Refuse one whose epoch, size, block or root is of no use here, whoever signed it."""
    final = state.chain.final
    if certificate.epoch <= state.epoch:
        raise RecoveryRefused(
            "RECOVERY_EPOCH_PASSED",
            f"it begins epoch {certificate.epoch}, this validator is in epoch {state.epoch}",
            epoch=certificate.epoch,
            epoch_now=state.epoch,
        )
    size_bytes_max = state.config.block_bytes_max - BLOCK_ROOM_BYTES
    if len(certificate.data) > size_bytes_max:
        raise RecoveryRefused(
            "RECOVERY_TOO_LARGE",
            f"it has {len(certificate.data)} bytes, a block takes one of {size_bytes_max}",
            size_bytes=len(certificate.data),
            size_bytes_max=size_bytes_max,
        )
    if certificate.height > final.height:
        return
    if (certificate.height, certificate.block_hash) != (final.height, final.hash):
        raise RecoveryRefused(
            "RECOVERY_OTHER_CHAIN",
            f"it goes on after block {certificate.block_hash.hex()} at height {certificate.height}; "
            f"here the chain ends with block {final.hash.hex()} at height {final.height}",
            height=certificate.height,
            final_height=final.height,
        )
    executed = state.executed
    if executed.executed_height == final.height and certificate.state_root != executed.state_root:
        raise RecoveryRefused(
            "RECOVERY_OTHER_ROOT",
            f"it names state root {certificate.state_root.hex()} after height {certificate.height}, "
            f"here it is {executed.state_root.hex()}",
            height=certificate.height,
        )


def take_recorded(state: State) -> None:
    """Offer this replica what it recorded before it was started again: the newest certificate."""
    recorded = [record for record in state.later_records if record.kind == RecordKind.RECOVERY]
    if recorded:
        newest = max(recorded, key=lambda record: record.epoch)
        offer(state, state.config.public_key, peek_recovery(newest.message))


def _begin(state: State, certificate: RecoveryCertificate, peer: bytes) -> None:
    """Put the certificate on disk, pass it on and enter its epoch. Nothing of the epoch before counts."""
    view = rounds.view_after(state.chain.final)
    record = Record(RecordKind.RECOVERY, certificate.epoch, view, certificate.data)
    if record not in state.later_records:
        state.persist(record, is_synced=True)
    state.emit(Broadcast(MessageKind.RECOVERY, certificate.data, (peer,)))
    state.page = None
    rounds.enter_epoch(state, certificate.epoch, view, certificate.validators)
    state.recoveries.begun = certificate
    # The certificate changes who follows, as executing a block does.
    executed = replace(state.executed, next_validator_set=certificate.validators.data)
    state.executed = state.executed_states[executed.executed_height] = executed
    state.seating.learn(executed.next_validator_set)
    state.report(
        ReportKind.RECOVERED,
        view,
        state.seat,
        detail=f"epoch {certificate.epoch} begins after height {certificate.height}",
    )


def _report_refused(state: State, peer: bytes, detail: str) -> None:
    """Say so, and of whom it came: one that an honest peer passes on may be of no use here."""
    sender = b"" if peer == state.config.public_key else peer
    state.report(ReportKind.RECOVERY_REFUSED, state.view, state.seat, detail=detail, peer=sender)


def _blame(state: State, peer: bytes, detail: str) -> None:
    if peer == state.config.public_key:
        _report_refused(state, peer, detail)
        return
    seat = state.validators.seat_of(peer)
    state.report(ReportKind.DISHONEST_MESSAGE, state.view, seat, detail=detail, peer=peer)

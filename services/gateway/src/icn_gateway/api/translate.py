"""From the messages of ``protos/`` to the documents of REST. Pure; the only place that knows both."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from google.protobuf.message import DecodeError
from icn.consensus.v1.block_pb2 import BlockHeader as HeaderMessage
from icn.consensus.v1.service_pb2 import GetStatusResponse
from icn.ledger.v1 import service_pb2, state_pb2, transaction_pb2
from icn_chain.quorum import quorum_of
from icn_crypto.suites import Suite, key_id
from icn_kit.errors import ErrorKind, RemoteError
from icn_kit.genesis import Genesis
from icn_kit.validators import ValidatorReport
from msgspec import UNSET

from icn_gateway.api import views
from icn_gateway.domain.outcome import Outcome, OutcomeState

PROOF_FORMAT: Final = "icn/proof/v1"
MALFORMED_ANSWER = "MALFORMED_ANSWER"
"""Reason of 502: a validator answered with bytes that are not what its contract says."""


def unit(leaf: state_pb2.UnitLeaf) -> views.Unit:
    """A unit."""
    return views.Unit(
        id=leaf.unit.hex(),
        code=leaf.code,
        scale=leaf.scale,
        issuer=leaf.issuer.hex(),
        authority=leaf.authority.hex(),
        default_floor_minor=str(leaf.default_floor_minor),
    )


def unit_reference(leaf: state_pb2.UnitLeaf) -> views.UnitReference:
    """What amounts are read with."""
    return views.UnitReference(id=leaf.unit.hex(), code=leaf.code, scale=leaf.scale)


_POSTING_KINDS: Final[Mapping[int, views.PostingKind]] = {
    state_pb2.POSTING_KIND_TRANSFER: "transfer",
    state_pb2.POSTING_KIND_CAPTURE: "capture",
    state_pb2.POSTING_KIND_STANDING: "standing",
    state_pb2.POSTING_KIND_EXCHANGE: "exchange",
    state_pb2.POSTING_KIND_FEE: "fee",
    state_pb2.POSTING_KIND_DEMURRAGE: "demurrage",
    state_pb2.POSTING_KIND_WRITE_OFF: "write_off",
    state_pb2.POSTING_KIND_OPENING: "opening",
}


def account(
    message: service_pb2.Account, unit_leaf: state_pb2.UnitLeaf, credit: service_pb2.Credit | None = None
) -> views.Account:
    """An account with its unit; lists do not say how far each owner may go."""
    leaf = message.leaf
    return views.Account(
        id=leaf.account.hex(),
        owner=leaf.owner.hex(),
        unit=unit_reference(unit_leaf),
        balance_minor=str(leaf.balance_minor),
        held_minor=str(leaf.held_minor),
        floor_minor=str(leaf.floor_minor),
        headroom_minor=str(leaf.balance_minor - leaf.held_minor - leaf.floor_minor),
        height=message.height,
        is_closed=leaf.terms.is_closed,
        frozen_until_ms=leaf.terms.frozen_until_ms,
        credit=None
        if credit is None
        else views.Credit(
            limit_minor=str(credit.limit_minor),
            growth_minor=str(credit.growth_minor),
            soft_limit_minor=str(credit.soft_limit_minor),
            spendable_minor=str(credit.spendable_minor),
            is_main=credit.is_main,
        ),
    )


def entry(message: service_pb2.Entry) -> views.Entry:
    """One change of a balance."""
    return views.Entry(
        height=message.height,
        index=message.index,
        transaction_id=message.transaction_id.hex() or None,
        account=message.posting.account.hex(),
        counter_account=message.posting.counter_account.hex(),
        amount_minor=str(message.posting.amount_minor),
        balance_minor=str(message.posting.balance_minor),
        memo_hash=message.memo_hash.hex() or None,
        block_time_ms=message.block_time_ms,
        number=message.number,
        kind=_POSTING_KINDS[message.posting.kind],
        reference=message.reference.hex() or None,
        hold=message.hold.hex() or None,
    )


def statement_opening(edge: service_pb2.StatementEdge, leaf: state_pb2.UnitLeaf) -> views.StatementOpening:
    """How a statement begins."""
    return views.StatementOpening(unit=unit_reference(leaf), opening=_edge(edge))


def statement_closing(edge: service_pb2.StatementEdge) -> views.StatementClosing:
    """How a statement ends."""
    return views.StatementClosing(closing=_edge(edge))


def _edge(edge: service_pb2.StatementEdge) -> views.StatementEdge:
    return views.StatementEdge(
        balance_minor=str(edge.balance_minor), entries=edge.entries, height=edge.height
    )


def account_news(news: service_pb2.WatchAccountResponse, leaf: state_pb2.UnitLeaf) -> views.AccountNews:
    """What a watched account has become."""
    return views.AccountNews(
        account=account(news.account, leaf, news.credit),
        entries=[entry(one) for one in news.entries],
        has_skipped=news.has_skipped,
    )


def principal(leaf: state_pb2.ControllerLeaf, names: Mapping[bytes, str]) -> views.Principal:
    """A principal; ``names`` are those of the genesis file."""
    return views.Principal(
        id=leaf.principal.hex(),
        name=names.get(leaf.principal),
        threshold=leaf.threshold,
        keys=[_key(key) for key in leaf.keys],
        sponsor=leaf.sponsor.hex() or None,
        lanes=[views.Lane(lane=lane.lane, last_sequence=lane.last_sequence) for lane in leaf.lanes],
        recovery=views.RecoveryPolicy(guardian=leaf.recovery.guardian.hex(), delay_ms=leaf.recovery.delay_ms)
        if leaf.HasField("recovery")
        else None,
    )


def recovery(leaf: state_pb2.RecoveryLeaf) -> views.Recovery:
    """A recovery that is under way."""
    return views.Recovery(
        principal=leaf.principal.hex(),
        guardian=leaf.guardian.hex(),
        threshold=leaf.threshold,
        keys=[_key(key) for key in leaf.keys],
        ready_time_ms=leaf.ready_time_ms,
        payer=leaf.payer.hex(),
    )


def _key(key: transaction_pb2.ControllerKey) -> views.Key:
    scope = key.scope
    return views.Key(
        key_id=key_id({Suite(public.suite): public.public_key for public in key.public_keys}).hex(),
        public_keys=[
            views.PublicKey(suite=public.suite, public_key=public.public_key.hex())
            for public in key.public_keys
        ],
        scope=views.KeyScope(
            message_kinds=list(scope.message_kinds),
            amount_minor_max=str(scope.amount_minor_max),
            accounts=[identifier.hex() for identifier in scope.accounts],
            expire_time_ms=scope.expire_time_ms,
        )
        if key.HasField("scope")
        else None,
    )


def hold(leaf: state_pb2.HoldLeaf, unit_leaf: state_pb2.UnitLeaf) -> views.Hold:
    """A hold with the unit of its amount."""
    return views.Hold(
        id=leaf.hold.hex(),
        source=leaf.source.hex(),
        destination=leaf.destination.hex() or None,
        unit=unit_reference(unit_leaf),
        remaining_minor=str(leaf.remaining_minor),
        expire_time_ms=leaf.expire_time_ms,
        payer=leaf.payer.hex(),
        price=views.Price(
            take_account=leaf.take_account.hex(),
            offered_give_minor=str(leaf.offered_give_minor),
            offered_take_minor=str(leaf.offered_take_minor),
            taker=leaf.taker.hex() or None,
        )
        if leaf.take_account
        else None,
    )


def allowance(leaf: state_pb2.AllowanceLeaf) -> views.Allowance:
    """An allowance, used and granted."""
    return views.Allowance(
        organization=leaf.organization.hex(),
        epoch=leaf.epoch,
        bytes_per_epoch=leaf.limits.bytes_per_epoch,
        signatures_per_epoch=leaf.limits.signatures_per_epoch,
        state_leaves=leaf.limits.state_leaves,
        fuel_per_epoch=leaf.limits.fuel_per_epoch,
        new_leaves_per_epoch=leaf.limits.new_leaves_per_epoch,
        used_bytes=leaf.used_bytes,
        used_signatures=leaf.used_signatures,
        used_state_leaves=leaf.used_state_leaves,
        used_fuel=leaf.used_fuel,
        used_new_leaves=leaf.used_new_leaves,
    )


def receipt(message: state_pb2.Receipt) -> views.Receipt:
    """A receipt."""
    is_applied = message.status == state_pb2.RECEIPT_STATUS_APPLIED
    return views.Receipt(
        transaction_id=message.transaction_id.hex(),
        status="applied" if is_applied else "refused",
        reason=message.reason or None,
        message_index=message.message_index,
        figures={figure.name: str(figure.value) for figure in message.figures},
        postings=[
            views.Posting(
                account=posting.account.hex(),
                counter_account=posting.counter_account.hex(),
                amount_minor=str(posting.amount_minor),
                balance_minor=str(posting.balance_minor),
            )
            for posting in message.postings
        ],
    )


def parse_receipt(serialized: bytes) -> views.Receipt:
    """The receipt in a submit outcome.

    Raises:
        RemoteError: MALFORMED_ANSWER.
    """
    try:
        return receipt(state_pb2.Receipt.FromString(serialized))
    except DecodeError as error:
        raise _malformed("a receipt") from error


def transaction(identifier: str, message: service_pb2.GetTransactionResponse) -> views.Transaction:
    """A transaction in a block."""
    return views.Transaction(
        transaction_id=identifier,
        height=message.height,
        index=message.index,
        block_time_ms=message.block_time_ms,
        receipt=receipt(message.receipt),
    )


def batch_outcome(position: int, outcome: Outcome) -> views.BatchOutcome:
    """One line of a batch's answer."""
    is_committed = outcome.state is OutcomeState.COMMITTED
    return views.BatchOutcome(
        position=position,
        transaction_id=outcome.transaction_id.hex() or None,
        state=outcome.state.value,
        reason=outcome.reason or None,
        detail=outcome.message or None,
        height=outcome.height if is_committed else None,
        receipt=parse_receipt(outcome.receipt) if is_committed else None,
        retry_after_ms=outcome.retry_after_ms or None,
    )


def _parse_header(serialized: bytes) -> HeaderMessage:
    try:
        return HeaderMessage.FromString(serialized)
    except DecodeError as error:
        raise _malformed("a header") from error


def block_summary(message: service_pb2.BlockSummary) -> views.BlockSummary:
    """A line of the list of blocks."""
    return views.BlockSummary(
        height=message.height,
        hash=message.hash.hex(),
        time_ms=_parse_header(message.header).time_ms,
        transactions=message.transactions,
        state_root=message.state_root.hex(),
    )


def block(message: service_pb2.BlockSummary) -> views.Block:
    """A block with its header."""
    header = _parse_header(message.header)
    return views.Block(
        height=message.height,
        hash=message.hash.hex(),
        time_ms=header.time_ms,
        transactions=message.transactions,
        state_root=message.state_root.hex(),
        transaction_ids=[identifier.hex() for identifier in message.transaction_ids],
        header=views.BlockHeader(
            protocol_version=header.protocol_version,
            height=header.height,
            view=header.view,
            parent=header.parent.hex(),
            time_ms=header.time_ms,
            transactions_root=header.transactions_root.hex(),
            executed_height=header.executed_height,
            state_root=header.state_root.hex(),
            receipts_root=header.receipts_root.hex(),
            log_root=header.log_root.hex(),
            parent_certificate_digest=header.parent_certificate_digest.hex(),
            finalization_digest=header.finalization_digest.hex(),
            epoch=header.epoch,
            validator_set_hash=header.validator_set_hash.hex(),
            next_validator_set_hash=header.next_validator_set_hash.hex(),
        ),
        header_bytes=message.header.hex(),
    )


def validator_list(
    genesis: Genesis, seats: Sequence[bytes], reports: Sequence[ValidatorReport]
) -> views.ValidatorList:
    """Every seat in force with its report; one that nobody is configured for is not reachable.

    Args:
        genesis: of the zone.
        seats: organizations that hold the seats in force.
        reports: of the configured validators, in genesis' order or later. One that genesis knows is its
            organization's; of a later one counts which seat it says it holds.
    """
    names = {organization.principal: organization.name for organization in genesis.organizations}
    founding = {seat.seat: seat for seat in genesis.validators}
    names |= {seat.organization: seat.name for seat in genesis.validators}
    numbers = {organization: seat for seat, organization in enumerate(seats)}
    statuses: dict[int, GetStatusResponse] = {}
    for report in sorted(reports, key=lambda report: report.seat in founding):
        if report.status is None:
            continue
        if report.seat in founding:
            number = numbers.get(founding[report.seat].organization)
        else:
            number = report.status.seat if report.status.is_seated else None
        if number is not None:
            statuses[number] = report.status
    return views.ValidatorList(
        zone=genesis.zone,
        genesis_hash=genesis.hash.hex(),
        trust_profile=genesis.trust_profile.value,
        quorum=quorum_of(len(seats)),
        validators=[
            views.Validator(
                seat=number,
                organization=organization.hex(),
                name=names.get(organization, ""),
                is_reachable=number in statuses,
                status=_status(statuses.get(number)),
            )
            for number, organization in enumerate(seats)
        ],
    )


def _status(message: GetStatusResponse | None) -> views.ValidatorStatus | None:
    if message is None:
        return None
    return views.ValidatorStatus(
        epoch=message.epoch,
        view=message.view,
        final_height=message.final_height,
        executed_height=message.executed_height,
        state_root=message.state_root.hex(),
        block_time_ms=message.block_time_ms,
        pool_transactions=message.pool_transactions,
        is_catching_up=message.is_catching_up,
        protocol_version=message.protocol_version,
        protocol_newest=message.protocol_newest,
        protocol_next=message.protocol_next,
        halted=message.halted,
        peers=[
            views.PeerConnection(
                seat=peer.seat,
                is_connected=peer.is_connected,
                final_height=peer.final_height,
                protocol_newest=peer.protocol_newest,
            )
            for peer in message.peers
        ],
    )


def proof_file(message: service_pb2.GetProofResponse, genesis: Genesis) -> views.ProofFile:
    """The file that ``icn proof verify`` reads.

    Raises:
        RemoteError: MALFORMED_ANSWER.

    Source: docs/spec/proof.md, "The file".
    """
    try:
        state_proof = json.loads(message.state_proof)
    except (ValueError, RecursionError) as error:
        raise _malformed("a state proof") from error
    if not isinstance(state_proof, dict):
        raise _malformed("a state proof")
    epochs = []
    current_set = genesis.validator_set
    for step in message.epochs:
        # The file leaves a set out that has not changed; the ledger may send it or not.
        next_set = b"" if step.next_validator_set == current_set else step.next_validator_set
        current_set = b"" if step.recovery else next_set or current_set
        epochs.append(
            views.ProofEpoch(
                edge_header=step.edge_header.hex(),
                descendant_headers=[header.hex() for header in step.descendant_headers],
                finalization=step.finalization.hex(),
                next_validator_set=UNSET if step.recovery else next_set.hex(),
                recovery=step.recovery.hex() if step.recovery else UNSET,
            )
        )
    return views.ProofFile(
        format=PROOF_FORMAT,
        genesis=genesis.hash.hex(),
        namespace=message.namespace,
        identifier=message.identifier.hex(),
        value=message.value.hex(),
        state_proof=state_proof,
        header=message.header.hex(),
        descendant_headers=[header.hex() for header in message.descendant_headers],
        finalization=message.finalization.hex(),
        epochs=epochs,
    )


def _malformed(what: str) -> RemoteError:
    return RemoteError(
        ErrorKind.INTERNAL, MALFORMED_ANSWER, f"a validator answered with {what} that cannot be read"
    )

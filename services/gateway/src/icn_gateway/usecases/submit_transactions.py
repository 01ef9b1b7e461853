"""Bring signed bytes to a validator and tell honestly what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from google.protobuf.message import DecodeError
from icn.consensus.v1.service_pb2 import SubmitOutcome, SubmitState
from icn.ledger.v1.transaction_pb2 import Transaction
from icn_crypto import tags
from icn_crypto.hashing import domain_hash
from icn_kit.errors import (
    DeadlineExceeded,
    DomainError,
    ErrorKind,
    NotFound,
    ResourceExhausted,
    Unavailable,
)

from icn_gateway.domain.outcome import (
    BATCH_TRANSACTIONS_MAX,
    MALFORMED_TRANSACTION,
    REASONS_OF_A_REPEAT,
    TRANSACTION_BYTES_MAX,
    WAIT_MS_MAX,
    Outcome,
    OutcomeState,
)
from icn_gateway.usecases.ports import LedgerReader, TransactionPool

LOOKUPS_AT_ONCE_MAX = 16
"""A whole batch sent again is looked up by id without crowding out other readers."""

RETRY_AFTER_MS_DEFAULT = 1_000
"""Where a validator that takes no more calls does not say when it does."""

_STATES = {
    SubmitState.SUBMIT_STATE_PENDING: OutcomeState.PENDING,
    SubmitState.SUBMIT_STATE_COMMITTED: OutcomeState.COMMITTED,
    SubmitState.SUBMIT_STATE_REFUSED: OutcomeState.REFUSED,
    SubmitState.SUBMIT_STATE_EXPIRED: OutcomeState.EXPIRED,
}


class SubmissionFailed(Exception):
    """No validator gave an answer; the transactions may or may not have reached a pool."""

    def __init__(self, cause: DomainError, transaction_ids: Sequence[bytes]) -> None:
        super().__init__(cause.message)
        self.cause = cause
        self.transaction_ids = transaction_ids


async def submit_transactions(
    transactions: Sequence[bytes],
    wait_ms: int,
    genesis_hash: bytes,
    pool: TransactionPool,
    ledger: LedgerReader,
) -> list[Outcome]:
    """Submit and wait up to ``wait_ms``; one outcome per transaction, in order.

    The same bytes give the same answer however often they are sent: a pool refuses what a block already
    includes (its sequence is used), and then the ledger's receipt is the answer.

    Raises:
        SubmissionFailed: no validator answered. Sending the same bytes again is safe.
        DomainError: a validator refused the request as a whole.
    """
    assert 1 <= len(transactions) <= BATCH_TRANSACTIONS_MAX, "the edge checks the number"
    assert 0 <= wait_ms <= WAIT_MS_MAX, "the edge checks the range"
    identifiers = [transaction_id(transaction, genesis_hash) for transaction in transactions]
    sound = [position for position, identifier in enumerate(identifiers) if identifier]
    outcomes = [
        Outcome(
            identifier,
            OutcomeState.REFUSED,
            MALFORMED_TRANSACTION,
            f"no transaction of 1 to {TRANSACTION_BYTES_MAX} bytes",
        )
        for identifier in identifiers
    ]
    if sound:
        try:
            answers = await pool.submit([transactions[position] for position in sound], wait_ms)
        except (Unavailable, DeadlineExceeded) as cause:
            raise SubmissionFailed(cause, [identifiers[position] for position in sound]) from cause
        except ResourceExhausted as full:
            answers = [_refused_by(full, identifiers[position]) for position in sound]
        settled = await _settle([_outcome(answer) for answer in answers], ledger)
        for position, outcome in zip(sound, settled, strict=True):
            outcomes[position] = outcome
    return outcomes


def transaction_id(transaction: bytes, genesis_hash: bytes) -> bytes:
    """The id of these transaction bytes in the zone; empty when they are none.

    Only the envelope is read, everything else is for the validator to judge.

    Source: docs/spec/transaction.md, "Bytes".
    """
    if not 1 <= len(transaction) <= TRANSACTION_BYTES_MAX:
        return b""
    try:
        body = Transaction.FromString(transaction).body
    except DecodeError:
        return b""
    return domain_hash(tags.TRANSACTION_ID, genesis_hash, body) if body else b""


def _refused_by(full: ResourceExhausted, identifier: bytes) -> SubmitOutcome:
    """What a full pool says of a whole call, said of one of its transactions."""
    return SubmitOutcome(
        transaction_id=identifier,
        state=SubmitState.SUBMIT_STATE_REFUSED,
        reason=full.reason,
        message=full.message,
        retry_after_ms=full.retry_after_ms or RETRY_AFTER_MS_DEFAULT,
    )


def _outcome(answer: SubmitOutcome) -> Outcome:
    return Outcome(
        transaction_id=answer.transaction_id,
        state=_STATES.get(answer.state, OutcomeState.UNKNOWN),
        reason=answer.reason,
        message=answer.message,
        height=answer.height,
        receipt=answer.receipt,
        retry_after_ms=answer.retry_after_ms,
    )


async def _settle(outcomes: Sequence[Outcome], ledger: LedgerReader) -> list[Outcome]:
    """Look again at those that a block may include although the pool's answer does not say so."""
    gate = asyncio.Semaphore(LOOKUPS_AT_ONCE_MAX)

    async def look(outcome: Outcome) -> Outcome:
        if not _may_be_included(outcome):
            return outcome
        async with gate:
            try:
                found = await ledger.get_transaction(f"transactions/{outcome.transaction_id.hex()}")
            except NotFound:
                return outcome
            except DomainError as error:
                return _undecided(outcome, error)
        return Outcome(
            outcome.transaction_id,
            OutcomeState.COMMITTED,
            height=found.height,
            receipt=found.receipt.SerializeToString(deterministic=True),
        )

    return list(await asyncio.gather(*(look(outcome) for outcome in outcomes)))


def _may_be_included(outcome: Outcome) -> bool:
    if not outcome.transaction_id:
        return False
    if outcome.state is OutcomeState.REFUSED:
        return outcome.reason in REASONS_OF_A_REPEAT
    return outcome.state in {OutcomeState.EXPIRED, OutcomeState.UNKNOWN}


def _undecided(outcome: Outcome, error: DomainError) -> Outcome:
    """The ledger could not be asked: a refusal that may be a repeat is then not the last word."""
    if error.kind not in {ErrorKind.UNAVAILABLE, ErrorKind.DEADLINE_EXCEEDED}:
        return outcome
    return Outcome(outcome.transaction_id, OutcomeState.UNKNOWN, outcome.reason, outcome.message)

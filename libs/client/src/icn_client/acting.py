"""One principal acting on one lane: knows the next sequence, signs, sends, and reads what became of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from icn.ledger.v1.state_pb2 import RECEIPT_STATUS_APPLIED, Receipt
from icn.ledger.v1.transaction_pb2 import Message

from icn_client import transactions
from icn_client.keystore import Identity
from icn_client.submitter import End, Outcome, Submitter
from icn_client.transactions import EXPIRY_MS, KeyPair, Signed

if TYPE_CHECKING:
    from icn_client.connection import Connection


class TransactionRefused(Exception):
    """A transaction had no effect; ``reason`` is stable, ``figures`` are the numbers compared."""

    def __init__(self, reason: str, message: str, figures: dict[str, int] | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.figures = figures or {}


def now_ms() -> int:
    """Unix milliseconds by this machine's clock."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Actor:
    """A principal with the keys that sign for it and the next number of its lane."""

    genesis_hash: bytes
    principal: bytes
    payer: bytes
    keys: Sequence[KeyPair]
    lane: int = 0
    next_sequence: int = 1

    def sign(self, messages: Sequence[Message], expire_time_ms: int) -> Signed:
        """Sign a transaction with the lane's next sequence."""
        signed = self.sign_as(messages, expire_time_ms, self.next_sequence)
        self.next_sequence += 1
        return signed

    def sign_as(self, messages: Sequence[Message], expire_time_ms: int, sequence: int) -> Signed:
        """Sign a transaction with a sequence that an earlier one did not use up."""
        body = transactions.build_body(
            principal=self.principal,
            payer=self.payer,
            lane=self.lane,
            sequence=sequence,
            expire_time_ms=expire_time_ms,
            messages=messages,
        )
        return transactions.sign(self.genesis_hash, body, self.keys)


async def find_actor(
    connection: Connection, principal: bytes, keys: Sequence[KeyPair], lane: int = 0
) -> Actor:
    """The principal as the ledger knows it now: its sponsor pays, its lane goes on.

    Raises:
        DomainError: CONTROLLER_UNKNOWN, or nobody answers.
    """
    controller = await connection.controller(principal)
    last = next((entry.last_sequence for entry in controller.lanes if entry.lane == lane), 0)
    return Actor(
        genesis_hash=connection.genesis.hash,
        principal=principal,
        payer=controller.sponsor or principal,
        keys=keys,
        lane=lane,
        next_sequence=last + 1,
    )


async def actor_of(connection: Connection, identity: Identity, lane: int = 0) -> Actor:
    """An identity's principal, signing with the keys it has, up to the threshold."""
    return await find_actor(connection, identity.principal, identity.keys[: identity.threshold], lane)


async def zone_authority(connection: Connection, founders: Sequence[Identity], lane: int = 0) -> Actor:
    """The zone's authority, signing with as many of the founders' keys as its threshold asks for.

    Raises:
        TransactionRefused: the founders given do not hold enough of its keys.
    """
    authority = connection.genesis.zone_authority
    wanted = {key.key_id for key in authority.keys}
    keys = [key for founder in founders for key in founder.keys if key.key_id in wanted]
    if len(keys) < authority.threshold:
        raise TransactionRefused(
            "THRESHOLD_NOT_MET",
            f"the zone's authority signs with {authority.threshold} keys, {len(keys)} of them are here",
        )
    return await find_actor(connection, authority.principal, keys[: authority.threshold], lane)


def read_receipt(outcome: Outcome) -> Receipt:
    """The receipt of a committed transaction.

    Raises:
        TransactionRefused: it was not committed, or it was and had no effect.
    """
    if outcome.end is not End.COMMITTED:
        raise TransactionRefused(outcome.reason, f"{outcome.reason}: {outcome.message or outcome.end.value}")
    receipt = Receipt.FromString(outcome.receipt)
    if receipt.status != RECEIPT_STATUS_APPLIED:
        raise refusal(receipt)
    return receipt


def refusal(receipt: Receipt) -> TransactionRefused:
    """A refused receipt as an error that says which numbers were compared."""
    figures = {figure.name: figure.value for figure in receipt.figures}
    said = ", ".join(f"{name} {value}" for name, value in figures.items())
    if receipt.contract.data:
        said = receipt.contract.data.decode("utf-8", "replace")  # the contract's own words
    message = f"{receipt.reason} (message {receipt.message_index}){': ' + said if said else ''}"
    return TransactionRefused(receipt.reason, message, figures)


async def perform(
    submitter: Submitter, actor: Actor, messages: Sequence[Message], *, expiry_ms: int = EXPIRY_MS
) -> tuple[Outcome, Receipt]:
    """Sign and send one transaction and wait for its end.

    Raises:
        TransactionRefused: it had no effect.
        NobodyAnswers: no validator answered; the outcome is unknown.
    """
    expire_time_ms = now_ms() + expiry_ms
    (outcome,) = await submitter.submit([actor.sign(messages, expire_time_ms)], expire_time_ms)
    return outcome, read_receipt(outcome)


def describe_postings(receipt: Receipt) -> list[dict[str, Any]]:
    """A receipt's postings for people and programs."""
    return [
        {
            "account": posting.account.hex(),
            "counter_account": posting.counter_account.hex(),
            "amount_minor": str(posting.amount_minor),
            "balance_minor": str(posting.balance_minor),
        }
        for posting in receipt.postings
    ]

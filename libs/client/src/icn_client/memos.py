"""Memos of payments: sealed here to the parties' keys, kept by the host, opened here again.

Source: docs/spec/memo.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from icn.ledger.v1.state_pb2 import AccountLeaf, ControllerLeaf
from icn.marketplace.v1 import service_pb2 as pb
from icn_chain.epochs import ProofInvalid
from icn_crypto.sealed_memo import MEMO_KEYS_MAX, MemoBroken, OpenedMemo, Payment, seal_memo
from icn_crypto.suites import Suite
from icn_kit.errors import DomainError, ErrorKind, FailedPrecondition, Unavailable

from icn_client.acting import now_ms
from icn_client.connection import PROOF_POLL_SECONDS, PROOF_SECONDS
from icn_client.light.final_header import ProofMalformed
from icn_client.marketplace import METHODS
from icn_client.opened_memos import MemoKey, open_with
from icn_client.proven_ledger import prove_leaf
from icn_client.transactions import controller_key_id

if TYPE_CHECKING:
    from icn_client.connection import Connection
    from icn_client.keystore import Identity

KEEP_SECONDS: Final = 0.5
"""Between tries, until f + 1 validators have executed the block of a payment."""
KEEP_SECONDS_MAX: Final = 5.0
"""Whoever pays is told of the payment then."""
EARLY_REASONS: Final = frozenset({"PAYMENT_UNKNOWN", "ORDER_UNKNOWN", "ACCOUNT_UNKNOWN"})
"""Of validators that have not come to the block yet."""
MEMOS_ASKED_MAX: Final = 200
"""In one call, as the marketplace answers them."""


Party = tuple[str, bytes]
"""``("principals", id)``, or ``("accounts", id)`` for who owns the account."""


OnOpened = Callable[[MemoKey, bytes, OpenedMemo], None]


async def seal_for(connection: Connection, text: str, payment: Payment, parties: Sequence[Party]) -> bytes:
    """A memo that every key of the parties opens which they have now.

    Owners and keys are proven: else whoever answers could add a key of its own and read the memo.

    Raises:
        MemoInvalid: the text is no memo's.
        FailedPrecondition: MEMO_UNREADABLE, one of them has no key to seal to, or they have too many, or what
            they have cannot be proven.
        DomainError: nobody answers.
    """
    public_keys: dict[bytes, bytes] = {}
    owners = [await _owner_of(connection, party) for party in parties]
    for principal in dict.fromkeys(owners):
        keys = await _keys_of(connection, principal)
        if not keys:
            raise _unreadable(f"principals/{principal.hex()} has no Ed25519 key that could open it")
        public_keys |= keys
    if len(public_keys) > MEMO_KEYS_MAX:
        raise _unreadable(
            f"the parties have {len(public_keys)} keys, it is sealed to {MEMO_KEYS_MAX} at most"
        )
    return seal_memo(text, public_keys, payment, connection.genesis.hash)


async def _owner_of(connection: Connection, party: Party) -> bytes:
    collection, identifier = party
    if collection == "principals":
        return identifier
    return AccountLeaf.FromString(await _proven(connection, "accounts", identifier)).owner


async def _keys_of(connection: Connection, principal: bytes) -> dict[bytes, bytes]:
    controller = ControllerLeaf.FromString(await _proven(connection, "principals", principal))
    now = now_ms()
    return {
        controller_key_id(key): one.public_key
        for key in controller.keys
        if not key.HasField("scope") or not key.scope.expire_time_ms or key.scope.expire_time_ms > now
        for one in key.public_keys
        if one.suite == Suite.ED25519
    }


async def _proven(connection: Connection, collection: str, identifier: bytes) -> bytes:
    """A leaf as a final header names it; waits for one that is new."""
    name = f"{collection}/{identifier.hex()}"
    deadline = time.monotonic() + PROOF_SECONDS
    while True:
        try:
            value = (await prove_leaf(connection, name, identifier)).value
        except FailedPrecondition as error:
            why = error.message
        except (ProofMalformed, ProofInvalid) as error:
            raise _unreadable(f"{name} is not as who answers says: {error}") from None
        else:
            if value:
                return value
            why = "no final block names it yet"
        if time.monotonic() > deadline:
            raise _unreadable(f"{name} cannot be proven: {why}")
        await asyncio.sleep(PROOF_POLL_SECONDS)


def _unreadable(why: str) -> FailedPrecondition:
    return FailedPrecondition("MEMO_UNREADABLE", f"the memo is not sealed: {why}")


async def keep(connection: Connection, payment: str, height: int, sealed: bytes) -> None:
    """Give the memo of a committed payment to the host.

    Args:
        connection: to the platform.
        payment: ``accounts/<hex>`` of an entry that has its hash, or ``orders/<hex>``.
        height: block of the entry; 0 with an order.
        sealed: the memo.

    Raises:
        DomainError: it is not kept.
    """
    request = pb.KeepMemoRequest(payment=payment, height=height, content=sealed)
    refusal: DomainError | None = None
    try:
        async with asyncio.timeout(KEEP_SECONDS_MAX):
            while True:
                try:
                    await connection.call_service(METHODS + "KeepMemo", request, pb.KeepMemoResponse)
                    return
                except DomainError as error:
                    if error.kind is not ErrorKind.UNAVAILABLE and error.reason not in EARLY_REASONS:
                        raise
                    refusal = error
                await asyncio.sleep(KEEP_SECONDS)
    except TimeoutError:
        raise refusal or Unavailable("NOBODY_ANSWERS", f"no answer in {KEEP_SECONDS_MAX:g} s") from None


async def fetch(connection: Connection, hashes: Iterable[bytes]) -> dict[bytes, bytes]:
    """The sealed memos that the host has, by hash; 200 hashes at most. Raises DomainError."""
    wanted = [memo_hash for memo_hash in dict.fromkeys(hashes) if memo_hash]
    if not wanted:
        return {}
    request = pb.ListMemosRequest(names=[f"memos/{memo_hash.hex()}" for memo_hash in wanted])
    answer = await connection.call_service(METHODS + "ListMemos", request, pb.ListMemosResponse)
    found = {sha256(content).digest(): content for content in answer.contents}
    return {memo_hash: found[memo_hash] for memo_hash in wanted if memo_hash in found}


@dataclass(slots=True)
class Opening:
    """What became of the memos of some entries."""

    texts: dict[MemoKey, OpenedMemo] = field(default_factory=dict)
    kept: int = 0
    """How many the host has."""
    broken: int = 0
    """How many are sealed to the identity, and are not of their payment or open to no text."""


async def open_memos(
    connection: Connection, identity: Identity, entries: Iterable[MemoKey], on_opened: OnOpened | None = None
) -> Opening:
    """The memos of some entries as the identity's keys open them.

    Args:
        connection: to the platform.
        identity: whose keys.
        entries: hash and payment of each.
        on_opened: told of each that opens, with the sealed memo.

    Raises:
        DomainError: the host does not answer.
    """
    found = Opening()
    wanted = list(dict.fromkeys(entry for entry in entries if entry.memo_hash))
    for first in range(0, len(wanted), MEMOS_ASKED_MAX):
        some = wanted[first : first + MEMOS_ASKED_MAX]
        sealed = await fetch(connection, (entry.memo_hash for entry in some))
        for entry in some:
            content = sealed.get(entry.memo_hash)
            if content is None:
                continue
            found.kept += 1
            try:
                memo = open_with(identity, content, entry.payment, connection.genesis.hash)
            except MemoBroken:
                found.broken += 1
                continue
            if memo is not None:
                found.texts[entry] = memo
                if on_opened is not None:
                    on_opened(entry, content, memo)
    return found

"""Memos of payments: sealed here to the parties' keys, kept by the host, opened here again.

Source: docs/spec/memo.md.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from icn.marketplace.v1 import service_pb2 as pb
from icn_crypto.sealed_memo import (
    MEMO_KEYS_MAX,
    MemoBroken,
    OpenedMemo,
    memo_key_ids,
    open_memo,
    read_memo,
    seal_memo,
)
from icn_crypto.suites import Suite
from icn_kit.errors import DomainError, ErrorKind, FailedPrecondition, NotFound

from icn_client.marketplace import METHODS
from icn_client.transactions import controller_key_id

if TYPE_CHECKING:
    from icn_client.connection import Connection
    from icn_client.keystore import Identity

KEEP_TRIES_MAX: Final = 4
KEEP_SECONDS: Final = 0.5
"""Until f + 1 validators have executed the block of a payment."""
MEMOS_ASKED_MAX: Final = 200
"""In one call, as the marketplace answers them."""


class MemosInvalid(ValueError):
    """A file of opened memos has a line that does not show what it says."""


async def seal_for(connection: Connection, text: str, principals: Iterable[bytes]) -> bytes:
    """A memo that every key of the principals opens.

    Raises:
        MemoInvalid: the text is no memo's.
        FailedPrecondition: MEMO_UNREADABLE, one of them has no key to seal to, or they have too many.
        DomainError: nobody answers.
    """
    public_keys: dict[bytes, bytes] = {}
    for principal in dict.fromkeys(principals):
        keys = await _keys_of(connection, principal)
        if not keys:
            raise FailedPrecondition(
                "MEMO_UNREADABLE", f"principals/{principal.hex()} has no Ed25519 key that could open a memo"
            )
        public_keys |= keys
    if len(public_keys) > MEMO_KEYS_MAX:
        raise FailedPrecondition(
            "MEMO_UNREADABLE",
            f"the parties have {len(public_keys)} keys, a memo is sealed to {MEMO_KEYS_MAX} at most",
            keys=len(public_keys),
            keys_max=MEMO_KEYS_MAX,
        )
    return seal_memo(text, public_keys, connection.genesis.hash)


async def _keys_of(connection: Connection, principal: bytes) -> dict[bytes, bytes]:
    try:
        controller = await connection.controller(principal)
    except NotFound:
        return {}
    return {
        controller_key_id(key): one.public_key
        for key in controller.keys
        for one in key.public_keys
        if one.suite == Suite.ED25519
    }


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
    for attempt in range(1, KEEP_TRIES_MAX + 1):
        try:
            await connection.call_service(METHODS + "KeepMemo", request, pb.KeepMemoResponse)
            return
        except DomainError as error:
            is_early = error.kind is ErrorKind.UNAVAILABLE or error.reason == "PAYMENT_UNKNOWN"
            if not is_early or attempt == KEEP_TRIES_MAX:
                raise
        await asyncio.sleep(KEEP_SECONDS)


async def fetch(connection: Connection, hashes: Sequence[bytes]) -> dict[bytes, bytes]:
    """The sealed memos that the host has, by hash. Raises DomainError."""
    wanted = [memo_hash for memo_hash in dict.fromkeys(hashes) if memo_hash]
    found: dict[bytes, bytes] = {}
    for first in range(0, len(wanted), MEMOS_ASKED_MAX):
        asked = wanted[first : first + MEMOS_ASKED_MAX]
        request = pb.ListMemosRequest(names=[f"memos/{memo_hash.hex()}" for memo_hash in asked])
        answer = await connection.call_service(METHODS + "ListMemos", request, pb.ListMemosResponse)
        found |= {sha256(content).digest(): content for content in answer.contents}
    return {memo_hash: found[memo_hash] for memo_hash in wanted if memo_hash in found}


def open_with(identity: Identity, sealed: bytes, genesis_hash: bytes) -> OpenedMemo | None:
    """The memo as one of the identity's keys opens it; None where it is sealed to none of them.

    Raises:
        MemoBroken: it is sealed to one, and does not open.
    """
    named = memo_key_ids(sealed)
    for key in identity.keys:
        if key.key_id in named and Suite.ED25519 in key.signing_keys:
            return open_memo(sealed, key.key_id, key.signing_keys[Suite.ED25519].seed, genesis_hash)
    return None


def opened_line(memo_hash: bytes, sealed: bytes, opened: OpenedMemo) -> bytes:
    """A line of a file of opened memos: whoever has it can read the text and check that it is the memo's."""
    document = {
        "memo_hash": memo_hash.hex(),
        "text": opened.text,
        "key": opened.key.hex(),
        "sealed": base64.b64encode(sealed).decode(),
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def read_opened(lines: Iterable[bytes], genesis_hash: bytes) -> Mapping[bytes, str]:
    """Texts by hash of a file of opened memos, each checked against its hash.

    Raises:
        MemosInvalid: a line is none, or its text is not what was sealed.
    """
    found: dict[bytes, str] = {}
    for number, line in enumerate(lines, 1):
        try:
            document = json.loads(line)
            memo_hash = bytes.fromhex(document["memo_hash"])
            sealed = base64.b64decode(document["sealed"], validate=True)
            if sha256(sealed).digest() != memo_hash:
                raise MemosInvalid(f"line {number}: the sealed memo does not have the hash {memo_hash.hex()}")
            text = read_memo(sealed, bytes.fromhex(document["key"]), genesis_hash)
            if text != document["text"]:
                raise MemosInvalid(f"line {number}: the text is not what was sealed")
        except MemoBroken as error:
            raise MemosInvalid(f"line {number}: {error}") from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if isinstance(error, MemosInvalid):
                raise
            raise MemosInvalid(f"line {number}: no opened memo: {error!r:.200}") from None
        found[memo_hash] = text
    return found


def memo_texts(
    identity: Identity, sealed: Mapping[bytes, bytes], genesis_hash: bytes
) -> Mapping[bytes, OpenedMemo]:
    """Those of the memos that the identity's keys open, by hash; what is broken is left out."""
    opened: dict[bytes, Any] = {}
    for memo_hash, content in sealed.items():
        try:
            memo = open_with(identity, content, genesis_hash)
        except MemoBroken:
            continue
        if memo is not None:
            opened[memo_hash] = memo
    return opened

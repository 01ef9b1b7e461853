"""Making a statement of an account, however many entries. Source: docs/spec/ledger.md, "Statements"."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Any

from icn.ledger.v1.service_pb2 import Entry as ShownEntry
from icn.ledger.v1.service_pb2 import GetBlockRequest
from icn_chain.header import parse_header
from icn_crypto.suites import Suite
from icn_kit.errors import FailedPrecondition, ResourceExhausted, Unavailable
from icn_machine.entries import Entry, EntryChain

from icn_client.light.proof_file import ProofFile, from_response, parse_proof_file
from icn_client.light.statement import Head, Sums, entry_line, head_line, line, signed_bytes
from icn_client.light.verify import Shown, verify_proof

if TYPE_CHECKING:
    from icn_client.connection import Connection
    from icn_client.keystore import Identity


async def write_statement(
    connection: Connection,
    head: Head,
    out: IO[bytes],
    *,
    signer: Identity | None = None,
    on_entry: Callable[[int], None] = lambda _number: None,
) -> Sums:
    """Write a statement.

    Args:
        connection: to the platform.
        head: account and span.
        out: where the lines go.
        signer: who signs it, with its first key; nobody where left out.
        on_entry: told of every entry that was read.

    Raises:
        DomainError: the account is unknown, or nobody answers; ENTRIES_INCOMPLETE: who told the entries is
            behind; ENTRIES_UNCHAINED: some are from before entries were chained.
        ProofInvalid, ProofMalformed: who answered shows what does not hold.
    """
    digest = sha256()

    def put(data: bytes) -> None:
        digest.update(data)
        out.write(data)

    closing = await connection.proof_file(f"accounts/{head.account.hex()}")
    proof = parse_proof_file(closing)
    shown = verify_proof(proof, connection.genesis)
    put(head_line(head))
    put(line({"unit_proof": await _document(connection, f"units/{shown.statement['unit']}")}))
    sums, chain, end, count = Sums(), EntryChain(connection.genesis.hash), b"", 0
    opened_height = 0
    document, opened = await _opening(connection, head)
    if opened is not None and opened.height <= shown.height:
        put(line(document))
        opened_height, leaf = opened.height, opened.statement
        end, count = bytes.fromhex(leaf["entries_hash"]), int(leaf["entries"])
        sums.opening_minor = sums.closing_minor = int(leaf["balance_minor"])
    told = entries_between(connection, head.account, opened_height, shown.height, on_entry)
    async for entry in told:
        end, count = chain.extend(end, entry), entry.number
        sums.add(head, entry)
        put(entry_line(entry))
    if (str(count), end.hex()) != (shown.statement["entries"], shown.statement["entries_hash"]):
        raise Unavailable(
            "ENTRIES_INCOMPLETE",
            f"{count} entries were told, the account has {shown.statement['entries']}: try again",
        )
    between = await _headers(connection, shown.height + 1, proof)
    put(line({"closing_proof": json.loads(closing), "headers": between}))
    signature: Mapping[str, Any] | None = None
    if signer is not None:
        put(line({"signer_proof": await _document(connection, f"principals/{signer.principal.hex()}")}))
        key = signer.keys[0]
        made = key.sign(signed_bytes(connection.genesis.hash, digest.digest()), Suite.ED25519)
        signature = {"key_id": key.key_id.hex(), "suite": int(Suite.ED25519), "signature": made.hex()}
    put(line({**sums.to_dict(), "signature": signature}))
    return sums


def read_told(told: ShownEntry) -> Entry:
    """An entry as the ledger tells it."""
    return Entry(
        told.number,
        told.height,
        told.block_time_ms,
        told.transaction_id,
        told.posting.kind,
        told.posting.amount_minor,
        told.posting.balance_minor,
        told.posting.counter_account,
        told.memo_hash,
        told.reference,
        told.hold,
    )


async def _opening(connection: Connection, head: Head) -> tuple[Mapping[str, Any], Shown | None]:
    """The opening's line and what it shows, of the newest state before the span that can be proven; None
    where none can, or where nothing had happened then."""
    if not head.from_ms:
        return {}, None
    try:
        told = await connection.proof(f"accounts/{head.account.hex()}", before_time_ms=head.from_ms)
    except (FailedPrecondition, ResourceExhausted):
        return {}, None
    proof = from_response(told, connection.genesis.hash, connection.genesis.validator_set)
    shown = verify_proof(proof, connection.genesis)
    leaf = shown.statement
    if "entries" not in leaf or (leaf["entries"], leaf["balance_minor"]) == ("0", "0"):
        return {}, None
    headers = await _headers(connection, shown.height, proof)
    if parse_header(connection.genesis.hash, bytes.fromhex(headers[0])).time_ms >= head.from_ms:
        return {}, None  # who answered knows of no other state than the newest
    return {"opening_proof": json.loads(proof.to_bytes()), "headers": headers}, shown


async def entries_between(
    connection: Connection,
    account: bytes,
    opened_height: int,
    height: int,
    on_entry: Callable[[int], None] = lambda _number: None,
) -> AsyncIterator[Entry]:
    """An account's entries above one height, up to another, oldest first, however many.

    Args:
        connection: to the platform.
        account: whose they are.
        opened_height: of the last block that does not count.
        height: of the last block that counts.
        on_entry: told of every entry that was read.

    Raises:
        DomainError: the account is unknown, or nobody answers; ENTRIES_UNCHAINED: some are from before
            entries were chained.
    """
    count = 0
    async for part in connection.statement(account, opened_height + 1, height + 1):
        for told in part.entries:
            if not told.number:
                raise FailedPrecondition(
                    "ENTRIES_UNCHAINED", f"entries from before height {told.height + 1} are in no chain"
                )
            count += 1
            on_entry(count)
            yield read_told(told)


async def _document(connection: Connection, name: str) -> Any:
    return json.loads(await connection.proof_file(name))


async def _headers(connection: Connection, first: int, proof: ProofFile) -> list[str]:
    """From a height on, in hex, up to the one before the header of a proof."""
    end = parse_header(connection.genesis.hash, proof.header).height
    return [(await _header(connection, height)).hex() for height in range(first, end)]


async def _header(connection: Connection, height: int) -> bytes:
    request = GetBlockRequest(name=f"blocks/{height}")
    answer: Any = await connection.read(lambda stub: stub.GetBlock(request))
    found: bytes = answer.block.header
    return found

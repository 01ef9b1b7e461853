"""Making a statement of an account, however many entries. Source: docs/spec/ledger.md, "Statements"."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from hashlib import sha256
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, Final

from icn.ledger.v1.service_pb2 import Entry as ShownEntry
from icn.ledger.v1.service_pb2 import GetBlockRequest, ListEntriesRequest
from icn_crypto.suites import Suite
from icn_kit.errors import FailedPrecondition, Unavailable
from icn_machine.entries import Entry, EntryChain

from icn_client.light.proof_file import parse_proof_file
from icn_client.light.statement import Head, Sums, entry_line, head_line, line, signed_bytes
from icn_client.light.verify import verify_proof

if TYPE_CHECKING:
    from icn_client.connection import Connection
    from icn_client.keystore import Identity

PAGE_SIZE: Final = 500


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
    with TemporaryFile() as spool:
        # They are told newest first, and written oldest first.
        places: list[tuple[int, int]] = []
        async for told in shown_entries(connection, head.account):
            if told.height <= shown.height:
                data = told.SerializeToString()
                places.append((spool.tell(), len(data)))
                spool.write(data)
                on_entry(len(places))
        for start, length in reversed(places):
            spool.seek(start)
            told = ShownEntry.FromString(spool.read(length))
            if not told.number:
                raise FailedPrecondition(
                    "ENTRIES_UNCHAINED", f"entries from before height {told.height + 1} are in no chain"
                )
            entry = read_told(told)
            end, count = chain.extend(end, entry), entry.number
            sums.add(head, entry)
            put(entry_line(entry))
    if (str(count), end.hex()) != (shown.statement["entries"], shown.statement["entries_hash"]):
        raise Unavailable(
            "ENTRIES_INCOMPLETE",
            f"{count} entries were told, the account has {shown.statement['entries']}: try again",
        )
    between = [
        await _header(connection, height)
        for height in range(shown.height + 1, _height_of(connection, proof.header))
    ]
    put(line({"closing_proof": json.loads(closing), "headers": [one.hex() for one in between]}))
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


async def shown_entries(connection: Connection, account: bytes) -> AsyncIterator[ShownEntry]:
    """All of an account's entries, newest first."""
    token = ""
    while True:
        request = ListEntriesRequest(
            account=f"accounts/{account.hex()}", page_size=PAGE_SIZE, page_token=token
        )
        page: Any = await connection.read(_Listing(request))
        for entry in page.entries:
            yield entry
        token = page.next_page_token
        if not token:
            return


class _Listing:
    """Asks a ledger for a page."""

    def __init__(self, request: ListEntriesRequest) -> None:
        self._request = request

    def __call__(self, stub: Any) -> Any:
        return stub.ListEntries(self._request)


async def _document(connection: Connection, name: str) -> Any:
    return json.loads(await connection.proof_file(name))


def _height_of(connection: Connection, header: bytes) -> int:
    from icn_chain.header import parse_header

    return parse_header(connection.genesis.hash, header).height


async def _header(connection: Connection, height: int) -> bytes:
    request = GetBlockRequest(name=f"blocks/{height}")
    answer: Any = await connection.read(lambda stub: stub.GetBlock(request))
    found: bytes = answer.block.header
    return found

"""Making a statement of an account, or of it and its sub-accounts, however many entries.

Source: docs/spec/ledger.md, "Statements".
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from icn.ledger.v1.service_pb2 import Entry as ShownEntry
from icn.ledger.v1.service_pb2 import GetBlockRequest
from icn.ledger.v1.state_pb2 import ControllerLeaf
from icn_chain.header import parse_header
from icn_crypto.suites import Suite
from icn_kit.errors import FailedPrecondition, ResourceExhausted, Unavailable
from icn_machine.entries import Entry, EntryChain

from icn_client.light.leaves import read_statement
from icn_client.light.proof_file import ProofFile, from_response, parse_proof_file
from icn_client.light.statement import (
    SUB_ACCOUNTS_MAX,
    Head,
    Sums,
    entry_line,
    head_line,
    line,
    signed_bytes,
    sub_accounts_hash,
)
from icn_client.light.verify import Shown, check_leaf, verify_proof
from icn_client.transactions import controller_key_id

if TYPE_CHECKING:
    from icn_client.connection import Connection
    from icn_client.keystore import Identity
    from icn_client.transactions import KeyPair


class _Edge(NamedTuple):
    """An account before or after its entries, and the line that shows it."""

    account: bytes
    height: int
    leaf: Mapping[str, Any]
    line: bytes


class _Signer(NamedTuple):
    """Who signs a statement."""

    key: KeyPair
    line: bytes
    """Shows that the key is one that may."""


async def write_statement(
    connection: Connection,
    head: Head,
    out: IO[bytes],
    *,
    has_sub_accounts: bool = False,
    signer: Identity | None = None,
    on_entry: Callable[[int], None] = lambda _number: None,
) -> Sums:
    """Write a statement.

    Args:
        connection: to the platform.
        head: account and span.
        out: where the lines go.
        has_sub_accounts: whether it covers all sub-accounts, too.
        signer: who signs it, with its first key that has no scope on the ledger; nobody where left out.
        on_entry: told how many entries were read so far.

    Returns:
        The sums of all its accounts together.

    Raises:
        DomainError: the account is unknown, or nobody answers; ENTRIES_INCOMPLETE: who told the entries is
            behind; ENTRIES_UNCHAINED: some are from before entries were chained; TOO_MANY_SUB_ACCOUNTS;
            SUB_ACCOUNTS_INCOMPLETE: who told them is behind; STATE_MOVED: the state in which all are shown is
            not kept any more; NO_UNSCOPED_KEY: the signer holds no key that signs a statement, and nothing is
            written.
        ProofInvalid, ProofMalformed: who answered shows what does not hold.
    """
    writer = _Writer(connection, head, out, on_entry)
    proof = parse_proof_file(await connection.proof_file(f"accounts/{head.account.hex()}"))
    shown = verify_proof(proof, connection.genesis)
    between = await _headers(connection, shown.height + 1, proof)
    closing = line({"closing_proof": json.loads(proof.to_bytes()), "headers": between})
    closings = [_Edge(head.account, shown.height, shown.statement, closing)]
    # Behind the closing's, since the signer's keys must be those of a state no older than that.
    signs = None if signer is None else await _signer(connection, signer)
    writer.put(head_line(head))
    writer.put(line({"unit_proof": await _document(connection, f"units/{shown.statement['unit']}")}))
    if has_sub_accounts:
        closings += await _sub_account_closings(connection, proof, shown)
        writer.put(line({"sub_accounts": [closed.account.hex() for closed in closings[1:]]}))
    opening, opened = await _opening(connection, head, shown.height, may_be_empty=has_sub_accounts)
    await writer.put_account(opening, closings[0])
    for closed in closings[1:]:
        await writer.put_account(await _sub_account_opening(connection, closed.account, head, opened), closed)
    writer.put_end(signs)
    return writer.sums


class _Writer:
    """Puts the lines of one statement, and adds up what it has put."""

    def __init__(
        self, connection: Connection, head: Head, out: IO[bytes], on_entry: Callable[[int], None]
    ) -> None:
        self.sums = Sums()
        self._connection, self._head, self._out, self._on_entry = connection, head, out, on_entry
        self._chain = EntryChain(connection.genesis.hash)
        self._digest = sha256()
        self._read = 0

    def put(self, data: bytes) -> None:
        """A line."""
        self._digest.update(data)
        self._out.write(data)

    async def put_account(self, opened: _Edge | None, closed: _Edge) -> None:
        """Opening, entries and closing of one account. Raises as `write_statement`."""
        sums, end, count, opened_height = Sums(), b"", 0, 0
        if opened is not None:
            self.put(opened.line)
            opened_height, leaf = opened.height, opened.leaf
            end, count = bytes.fromhex(leaf["entries_hash"]), int(leaf["entries"])
            sums.opening_minor = sums.closing_minor = int(leaf["balance_minor"])
        async for entry in entries_between(self._connection, closed.account, opened_height, closed.height):
            end, count = self._chain.extend(end, entry), entry.number
            sums.add(self._head, entry)
            self.put(entry_line(entry))
            self._read += 1
            self._on_entry(self._read)
        if (str(count), end.hex()) != (closed.leaf["entries"], closed.leaf["entries_hash"]):
            raise Unavailable(
                "ENTRIES_INCOMPLETE",
                f"{count} entries were told, the account has {closed.leaf['entries']}: try again",
            )
        self.put(closed.line)
        self.sums.merge(sums)

    def put_end(self, signer: _Signer | None) -> None:
        """Who signs, and the sums."""
        signature: Mapping[str, Any] | None = None
        if signer is not None:
            self.put(signer.line)
            key = signer.key
            signed = signed_bytes(self._connection.genesis.hash, self._digest.digest())
            made = key.sign(signed, Suite.ED25519)
            signature = {"key_id": key.key_id.hex(), "suite": int(Suite.ED25519), "signature": made.hex()}
        self.put(line({**self.sums.to_dict(), "signature": signature}))


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


async def _signer(connection: Connection, signer: Identity) -> _Signer:
    """The key that signs for an identity: the first that counts towards its threshold on the ledger."""
    document = await _document(connection, f"principals/{signer.principal.hex()}")
    shown = ControllerLeaf.FromString(bytes.fromhex(document["value"]))
    unscoped = {controller_key_id(key) for key in shown.keys if not key.HasField("scope")}
    key = next((key for key in signer.keys if key.key_id in unscoped), None)
    if key is None:
        raise FailedPrecondition(
            "NO_UNSCOPED_KEY",
            f"principals/{signer.principal.hex()} has {len(unscoped)} keys without a scope, and none of "
            f"them is one of the {len(signer.keys)} that {signer.name} holds: no other key signs a statement",
            unscoped=len(unscoped),
            held=len(signer.keys),
        )
    return _Signer(key, line({"signer_proof": document}))


async def _opening(
    connection: Connection, head: Head, closed_height: int, *, may_be_empty: bool
) -> tuple[_Edge | None, Shown | None]:
    """The account in the newest state before the span that can be proven, and what that proof shows; None
    where none can, or, unless it ``may_be_empty``, where nothing had happened then."""
    if not head.from_ms:
        return None, None
    try:
        told = await connection.proof(f"accounts/{head.account.hex()}", before_time_ms=head.from_ms)
    except (FailedPrecondition, ResourceExhausted):
        return None, None
    proof = from_response(told, connection.genesis.hash, connection.genesis.validator_set)
    shown = verify_proof(proof, connection.genesis)
    leaf = shown.statement
    if "entries" not in leaf or not (may_be_empty or _has_moved(leaf)) or shown.height > closed_height:
        return None, None
    headers = await _headers(connection, shown.height, proof)
    if parse_header(connection.genesis.hash, bytes.fromhex(headers[0])).time_ms >= head.from_ms:
        return None, None  # who answered knows of no other state than the newest
    made = line({"opening_proof": json.loads(proof.to_bytes()), "headers": headers})
    return _Edge(head.account, shown.height, leaf, made), shown


async def _sub_account_opening(
    connection: Connection, account: bytes, head: Head, opened: Shown | None
) -> _Edge | None:
    """A sub-account in the state that its parent's opening shows; None where nothing had happened then."""
    if opened is None:
        return None
    try:
        found = await _under(connection, account, head.from_ms, opened, "opening_leaf")
    except (FailedPrecondition, ResourceExhausted):
        return None
    return found if found is not None and _has_moved(found.leaf) else None


async def _sub_account_closings(connection: Connection, proof: ProofFile, shown: Shown) -> list[_Edge]:
    """All sub-accounts that an account has in the state that is shown, in that state. Raises as
    `write_statement`."""
    terms = shown.statement["terms"] or {}
    count = int(terms.get("sub_accounts", 0))
    if count > SUB_ACCOUNTS_MAX:
        raise FailedPrecondition(
            "TOO_MANY_SUB_ACCOUNTS",
            f"the account has {count} sub-accounts, a statement covers at most {SUB_ACCOUNTS_MAX}",
            sub_accounts=count,
            sub_accounts_max=SUB_ACCOUNTS_MAX,
        )
    if not count:
        return []
    named_by = parse_header(connection.genesis.hash, proof.header).height
    before = parse_header(connection.genesis.hash, await _header(connection, named_by - 1))
    found = []
    async for account in connection.sub_accounts(bytes.fromhex(shown.statement["account"])):
        edge = await _under(connection, account.leaf.account, before.time_ms + 1, shown, "closing_leaf")
        if edge is None:
            raise Unavailable(
                "STATE_MOVED", f"the state after height {shown.height} cannot be shown any more: try again"
            )
        found.append(edge)
        if len(found) == count:  # those that were opened later are not in that state
            break
    told = sub_accounts_hash(connection.genesis.hash, (edge.account for edge in found))
    if told.hex() != terms["sub_accounts_hash"]:
        raise Unavailable(
            "SUB_ACCOUNTS_INCOMPLETE",
            f"{len(found)} sub-accounts were told, the account has {count} others: try again",
        )
    return found


async def _under(
    connection: Connection, account: bytes, before_time_ms: int, shown: Shown, name: str
) -> _Edge | None:
    """An account in the newest state before a time; None where that is not the state of a proof, or where the
    account is not there."""
    answer = await connection.proof(
        f"accounts/{account.hex()}", shown.sets[-1].epoch, before_time_ms=before_time_ms
    )
    told = from_response(answer, connection.genesis.hash, shown.sets[-1].validators.data)
    root = parse_header(connection.genesis.hash, told.header).state_root
    if root != shown.state_root or not told.value:
        return None
    check_leaf(told.leaf, root)
    members = told.leaf.members()
    made = line({name: {"state_proof": members["state_proof"], "value": members["value"]}})
    return _Edge(account, shown.height, read_statement(told.namespace, told.identifier, told.value), made)


def _has_moved(leaf: Mapping[str, Any]) -> bool:
    return (leaf["entries"], leaf["balance_minor"]) != ("0", "0")


async def entries_between(
    connection: Connection,
    account: bytes,
    opened_height: int,
    height: int,
) -> AsyncIterator[Entry]:
    """An account's entries above one height, up to another, oldest first, however many.

    Args:
        connection: to the platform.
        account: whose they are.
        opened_height: of the last block that does not count.
        height: of the last block that counts.

    Raises:
        DomainError: the account is unknown, or nobody answers; ENTRIES_UNCHAINED: some are from before
            entries were chained.
    """
    async for part in connection.statement(account, opened_height + 1, height + 1):
        for told in part.entries:
            if not told.number:
                raise FailedPrecondition(
                    "ENTRIES_UNCHAINED", f"entries from before height {told.height + 1} are in no chain"
                )
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

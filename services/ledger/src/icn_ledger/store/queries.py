"""Queries of LedgerService. Each is one statement, or one snapshot, over committed rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from icn.consensus.v1 import block_pb2
from icn.ledger.v1 import service_pb2
from icn_chain.validator_set import parse_validator_set
from icn_crypto.state_tree import state_key
from icn_kit.database import Connection, Database
from icn_kit.outbox import events_of_row
from icn_machine.blocks.execute_block import Execution
from icn_machine.blocks.ports import EpochEdge, ExecutedBlock
from icn_machine.leaves import decode_leaf
from icn_machine.limits import IDENTIFIER_BYTES, QUANTITY_MAX
from icn_machine.posting import BlockContext
from icn_machine.records import (
    VALIDATORS_IDENTIFIER,
    Account,
    Authority,
    Code,
    Contract,
    Hold,
    Membership,
    Namespace,
    Validators,
)

from icn_ledger.store.arrays import BigintArray, ByteaArray, SmallintArray
from icn_ledger.store.history import ENTRY_BYTES_MAX, SELECT_PLACES, id_heads, split_outcomes, unpack_entries
from icn_ledger.store.state import SELECT_BLOCKS, SELECT_VALIDATOR_SETS, read_block
from icn_ledger.store.versions import fetch_leaf_bytes, fetch_storage, fetch_tree
from icn_ledger.usecases.get_proof import ProofMaterial
from icn_ledger.usecases.query_contract import ContractAt
from icn_ledger.usecases.reads import (
    BlockRow,
    EventsEnd,
    LeafAt,
    Place,
    PollAt,
    TransactionRow,
    ValidatorsAt,
)

LAST_IDENTIFIER = b"\xff" * IDENTIFIER_BYTES
"""No id lies above it."""
TRANSACTIONS_PER_PAGE_MAX = 20_000
"""In a page of blocks: about 10 MB of rows with receipts, and 0.7 MB of ids in an answer."""

_LEAF = """
    SELECT leaves.value, chain.executed_height FROM leaves, chain
    WHERE leaves.namespace = %(namespace)s AND leaves.identifier = %(identifier)s
"""

# LATERAL with a limit keeps each row's look-up by its key, also in a plan that was made while the tables were
# small and is used for as long as the connection lasts.

# A list's own table says which records there are; they never go.
_LISTED = """
    SELECT leaf.value, chain.executed_height
    FROM chain, (
        SELECT {key} FROM {table} WHERE {key} > %(after)s ORDER BY {key} LIMIT %(count)s
    ) AS listed, LATERAL (
        SELECT value FROM leaves WHERE namespace = %(namespace)s AND identifier = listed.{key} LIMIT 1
    ) AS leaf
    ORDER BY listed.{key}
"""
_ACCOUNTS = _LISTED.format(table="accounts", key="account")
_ACCOUNTS_OF_OWNER = _ACCOUNTS.replace("WHERE account >", "WHERE owner = %(owner)s AND account >")
_UNITS = _LISTED.format(table="units", key="unit")

# Also the list of what has a prefix: identifiers of pairs begin with the first of them.
_PREFIXED = """
    SELECT listed.value, chain.executed_height
    FROM chain, (
        SELECT identifier, value FROM leaves
        WHERE namespace = %(namespace)s AND identifier > %(after)s AND identifier <= %(last)s
        ORDER BY identifier LIMIT %(count)s
    ) AS listed
    ORDER BY listed.identifier
"""

_MEMBERSHIPS_OF_MEMBER = """
    SELECT leaf.value, chain.executed_height
    FROM chain, (
        SELECT organization FROM memberships WHERE member = %(member)s AND organization > %(after)s
        ORDER BY organization LIMIT %(count)s
    ) AS listed, LATERAL (
        SELECT value FROM leaves
        WHERE namespace = %(namespace)s AND identifier = listed.organization || %(member)s LIMIT 1
    ) AS leaf
    ORDER BY listed.organization
"""

_DUTIES = """
    SELECT leaf.value, chain.executed_height
    FROM chain, (
        SELECT epoch, organization FROM duties
        WHERE epoch < %(epoch)s OR (epoch = %(epoch)s AND organization > %(after)s)
        ORDER BY epoch DESC, organization LIMIT %(count)s
    ) AS listed, LATERAL (
        SELECT value FROM leaves
        WHERE namespace = %(namespace)s AND identifier = listed.organization || int8send(listed.epoch) LIMIT 1
    ) AS leaf
    ORDER BY listed.epoch DESC, listed.organization
"""

_DUTIES_OF_ORGANIZATION = _DUTIES.replace(
    "WHERE epoch < %(epoch)s OR (epoch = %(epoch)s AND organization > %(after)s)",
    "WHERE organization = %(organization)s AND epoch < %(epoch)s",
)

_POLL = """
    SELECT leaves.value, chain.executed_height, blocks.time_ms
    FROM leaves, chain JOIN blocks ON blocks.height = chain.executed_height
    WHERE leaves.namespace = %(namespace)s AND leaves.identifier = %(identifier)s
"""

# Row after row, until they hold enough: one has an entry or thousands. That of the place's own height may
# have none below its index, so it does not count.
_ENTRIES_OF_ACCOUNT = """
    WITH RECURSIVE page AS (
        (
            SELECT height, entries, 0 AS rows_above,
                CASE WHEN height < %(height)s THEN octet_length(entries) ELSE 0 END AS bytes
            FROM entries WHERE account = %(account)s AND height <= %(height)s
            ORDER BY height DESC LIMIT 1
        )
        UNION ALL
        SELECT older.height, older.entries, page.rows_above + 1, page.bytes + octet_length(older.entries)
        FROM page, LATERAL (
            SELECT height, entries FROM entries WHERE account = %(account)s AND height < page.height
            ORDER BY height DESC LIMIT 1
        ) AS older
        WHERE page.rows_above < %(count)s AND page.bytes < %(bytes)s
    )
    SELECT entries FROM page
"""

# As many blocks as it takes: every one has two entries at least, but the place's own may have none below it.
_ENTRIES = """
    SELECT listed.entries
    FROM (
        SELECT height, accounts, sum(least(entries, CASE WHEN height = %(height)s THEN %(index)s END))
            OVER (ORDER BY height DESC) - entries AS entries_above
        FROM (
            SELECT height, accounts, entries FROM entry_blocks WHERE height <= %(height)s
            ORDER BY height DESC LIMIT %(count)s + 1
        ) AS page
    ) AS block, unnest(accounts) AS moved (account), LATERAL (
        SELECT entries FROM entries
        WHERE entries.account = moved.account AND entries.height = block.height LIMIT 1
    ) AS listed
    WHERE entries_above < %(count)s
"""

_WHOLE = "SELECT namespace, value FROM leaves WHERE namespace = ANY(%(namespaces)s)"

_CONTRACT = """
    SELECT leaves.value, blocks.height, blocks.epoch, blocks.time_ms
    FROM leaves, chain JOIN blocks ON blocks.height = chain.executed_height
    WHERE leaves.namespace = %(namespace)s AND leaves.identifier = %(contract)s
"""

_VALIDATORS = """
    SELECT leaves.value, blocks.height, blocks.epoch
    FROM leaves, chain JOIN blocks ON blocks.height = chain.executed_height
    WHERE leaves.namespace = %(namespace)s AND leaves.identifier = %(identifier)s
"""

_TRANSACTION = """
    SELECT place.height, place.index, kept.receipt, block.time_ms
    FROM (_PLACES) AS place, LATERAL (
        SELECT receipts[place.index + 1] AS receipt FROM transactions
        WHERE transactions.height = place.height LIMIT 1
    ) AS kept, LATERAL (
        SELECT time_ms FROM blocks WHERE blocks.height = place.height LIMIT 1
    ) AS block
""".replace("_PLACES", SELECT_PLACES)

_EVENTS_END = """
    SELECT chain.executed_height, newest.id, newest.subject, newest.envelope
    FROM chain LEFT JOIN LATERAL (
        SELECT id, subject, envelope FROM outbox ORDER BY fence DESC, position DESC LIMIT 1
    ) AS newest ON true
"""

_TRANSACTIONS = """
    SELECT height, ids, receipts FROM transactions WHERE height >= %(first)s AND height <= %(last)s
"""

_EDGES = """
    SELECT epoch, height, executed_height, header, descendant_headers, finalization, next_validator_set,
        recovery
    FROM epoch_edges WHERE epoch >= %(first)s AND epoch < %(end)s ORDER BY epoch LIMIT %(count)s
"""


class LedgerQueries:
    """Implements the reading ports of the use cases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def snapshot_height(self) -> int:
        """Of the snapshot that this ledger began with, 0 for none."""
        ((height,),) = await self._all("SELECT snapshot_height FROM chain", {})
        return int(height)

    async def leaf(self, namespace: Namespace, identifier: bytes) -> LeafAt | None:
        """The newest version of a leaf, None when absent."""
        rows = await self._all(_LEAF, {"namespace": int(namespace), "identifier": identifier})
        return LeafAt(*rows[0]) if rows else None

    async def accounts(self, owner: bytes, after: bytes, count: int) -> Sequence[LeafAt]:
        """Accounts above an id, ascending; all or (``owner`` not empty) of one owner."""
        rows = await self._all(
            _ACCOUNTS_OF_OWNER if owner else _ACCOUNTS,
            {"namespace": int(Namespace.ACCOUNT), "owner": owner, "after": after, "count": count},
        )
        return [LeafAt(*row) for row in rows]

    async def units(self, after: bytes, count: int) -> Sequence[LeafAt]:
        """Units above an id, ascending."""
        rows = await self._all(_UNITS, {"namespace": int(Namespace.UNIT), "after": after, "count": count})
        return [LeafAt(*row) for row in rows]

    async def prefixed(
        self, namespace: Namespace, prefix: bytes, after: bytes, count: int
    ) -> Sequence[LeafAt]:
        """Leaves whose identifier is the prefix and another id above ``after``, ascending."""
        rows = await self._all(
            _PREFIXED,
            {
                "namespace": int(namespace),
                "after": prefix + after,
                "last": prefix + LAST_IDENTIFIER,
                "count": count,
            },
        )
        return [LeafAt(*row) for row in rows]

    async def memberships_of(self, member: bytes, after: bytes, count: int) -> Sequence[LeafAt]:
        """Memberships of a member in organizations above an id, ascending by organization."""
        rows = await self._all(
            _MEMBERSHIPS_OF_MEMBER,
            {"namespace": int(Namespace.MEMBERSHIP), "member": member, "after": after, "count": count},
        )
        return [LeafAt(*row) for row in rows]

    async def duties(
        self, organization: bytes, before: tuple[int, bytes] | None, count: int
    ) -> Sequence[LeafAt]:
        """Duty evidence behind a place, newest epoch first, then by organization."""
        epoch, after = before or (QUANTITY_MAX, LAST_IDENTIFIER)
        rows = await self._all(
            _DUTIES_OF_ORGANIZATION if organization else _DUTIES,
            {
                "namespace": int(Namespace.DUTY),
                "organization": organization,
                "epoch": epoch,
                "after": after,
                "count": count,
            },
        )
        return [LeafAt(*row) for row in rows]

    async def poll(self, identifier: bytes) -> PollAt | None:
        """A poll by id."""
        rows = await self._all(_POLL, {"namespace": int(Namespace.POLL), "identifier": identifier})
        return PollAt(*rows[0]) if rows else None

    async def validators(self) -> ValidatorsAt:
        """Who validates in the newest state."""
        place = {"namespace": int(Namespace.VALIDATORS), "identifier": VALIDATORS_IDENTIFIER}
        ((value, height, epoch),) = await self._all(_VALIDATORS, place)
        record = decode_leaf(Namespace.VALIDATORS, value)
        assert isinstance(record, Validators), "the namespace says so"
        named = ByteaArray([record.set_hash, record.next_hash])
        # Sets are never deleted, so it need not be one snapshot.
        async with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(SELECT_VALIDATOR_SETS, (named,))
            sets = {set_hash: parse_validator_set(data) for set_hash, data in await cursor.fetchall()}
        return ValidatorsAt(record, sets[record.set_hash], sets[record.next_hash], height, epoch)

    async def entries(self, account: bytes, before: Place | None, count: int) -> Sequence[service_pb2.Entry]:
        """Entries below a place, descending; all or (``account`` not empty) of one account."""
        before = before or (QUANTITY_MAX, 0)
        rows = await self._all(
            _ENTRIES_OF_ACCOUNT if account else _ENTRIES,
            {
                "account": account,
                "height": before[0],
                "index": before[1],
                "count": count,
                "bytes": count * ENTRY_BYTES_MAX,
            },
        )
        listed = unpack_entries(row[0] for row in rows)
        return [entry for entry in listed if (entry.height, entry.index) < before][:count]

    async def transaction(self, transaction_id: bytes) -> TransactionRow | None:
        """A transaction by id."""
        named = [transaction_id]
        rows = await self._all(
            _TRANSACTION, {"ids": ByteaArray(named), "id_heads": BigintArray(id_heads(named))}
        )
        return TransactionRow(*rows[0]) if rows else None

    async def events_end(self) -> EventsEnd:
        """The newest event of the outbox; a block's events are committed with its height."""
        ((executed_height, event_id, subject, envelope),) = await self._all(_EVENTS_END, {})
        if event_id is None:
            return EventsEnd(executed_height, b"", 0)
        return EventsEnd(executed_height, event_id, events_of_row(subject, envelope)[-1].height)

    async def block(self, height: int) -> BlockRow | None:
        """A block by height."""
        rows = await self._with_transactions("WHERE height = %(height)s", {"height": height})
        return BlockRow(rows[0].block, [identifier for identifier, _ in rows[0].outcomes]) if rows else None

    async def blocks(self, before: int | None, count: int) -> Sequence[BlockRow]:
        """Blocks below a height, descending."""
        rows = await self._with_transactions(
            # Of a snapshot's own block only the state is here, of those between it and genesis nothing.
            "WHERE height < %(height)s AND (height > (SELECT snapshot_height FROM chain)"
            " OR (SELECT snapshot_height FROM chain) = 0) ORDER BY height DESC LIMIT %(count)s",
            {"height": QUANTITY_MAX if before is None else before, "count": count},
        )
        return [BlockRow(row.block, [identifier for identifier, _ in row.outcomes]) for row in rows]

    async def executions(self, from_height: int, count: int) -> Sequence[Execution]:
        """Blocks with their receipts from a height on, ascending."""
        return await self._with_transactions(
            "WHERE height >= %(height)s ORDER BY height LIMIT %(count)s",
            {"height": from_height, "count": count},
        )

    async def countable(self) -> tuple[list[Account], list[Hold], list[Authority], list[Membership]]:
        """Every account, open hold, authority and membership of the newest state, to check that they add
        up."""
        wanted = (Namespace.ACCOUNT, Namespace.HOLD, Namespace.AUTHORITY, Namespace.MEMBERSHIP)
        rows = await self._all(_WHOLE, {"namespaces": SmallintArray(wanted)})
        records = [decode_leaf(Namespace(namespace), value) for namespace, value in rows]
        return (
            [record for record in records if isinstance(record, Account)],
            [record for record in records if isinstance(record, Hold)],
            [record for record in records if isinstance(record, Authority)],
            [record for record in records if isinstance(record, Membership)],
        )

    async def proof_material(
        self, namespace: Namespace, identifier: bytes, from_epoch: int, steps_max: int
    ) -> ProofMaterial | None:
        """Material for a proof; None when no final header names a state that is still kept."""
        async with self._database.connection() as connection:
            # One snapshot: what it says is kept cannot be pruned under its eyes.
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor = connection.cursor(binary=True)
            await cursor.execute(SELECT_BLOCKS + "ORDER BY height DESC LIMIT 1")
            row = await cursor.fetchone()
            assert row is not None, "genesis is there"
            block = read_block(row)
            await cursor.execute("SELECT chain.descendant_headers, horizon.provable_from FROM chain, horizon")
            position = await cursor.fetchone()
            assert position is not None, "both tables have their row"
            descendants, provable_from = position
            header = block_pb2.BlockHeader.FromString(block.header)
            height = header.executed_height
            if block.height == 0 or height < provable_from:
                return None
            leaves = await fetch_leaf_bytes(connection, [(namespace, identifier)], height)
            pages, changes = await fetch_tree(connection, height, [state_key(namespace, identifier)])
            await cursor.execute(_EDGES, {"first": from_epoch, "end": block.epoch, "count": steps_max})
            edges = tuple(read_edge(edge) for edge in await cursor.fetchall())
            await cursor.execute(SELECT_VALIDATOR_SETS, (ByteaArray([header.validator_set_hash]),))
            ((_, validator_set),) = await cursor.fetchall()
        value = leaves[0][2] if leaves else b""
        return ProofMaterial(block, tuple(descendants), value, pages, changes, edges, validator_set)

    async def contract_at_newest(self, contract: bytes) -> ContractAt | None:
        """A contract with its whole storage in the newest state, None where there is none."""
        async with self._database.connection() as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            rows = await _fetch(
                connection, _CONTRACT, {"namespace": int(Namespace.CONTRACT), "contract": contract}
            )
            if not rows:
                return None
            value, height, epoch, time_ms = rows[0]
            entries = await fetch_storage(connection, contract)
        record = decode_leaf(Namespace.CONTRACT, value)
        assert isinstance(record, Contract), "the namespace says so"
        return ContractAt(BlockContext(height, epoch, time_ms), record, entries)

    async def code(self, code_hash: bytes) -> bytes:
        """Code of a contract."""
        leaf = await self.leaf(Namespace.CODE, code_hash)
        assert leaf is not None, "no code ever goes"
        record = decode_leaf(Namespace.CODE, leaf.value)
        assert isinstance(record, Code), "the namespace says so"
        return record.code

    async def _with_transactions(self, condition: str, parameters: Mapping[str, Any]) -> list[Execution]:
        async with self._database.connection() as connection:
            blocks = _within(
                [read_block(row) for row in await _fetch(connection, SELECT_BLOCKS + condition, parameters)]
            )
            heights = [block.height for block in blocks]
            outcomes: dict[int, list[tuple[bytes, bytes]]] = {}
            if heights:
                span = {"first": min(heights), "last": max(heights)}
                for height, ids, receipts in await _fetch(connection, _TRANSACTIONS, span):
                    outcomes[height] = split_outcomes(ids, receipts)
        return [Execution(block, outcomes.get(block.height, [])) for block in blocks]

    async def _all(self, text: str, parameters: Mapping[str, Any]) -> list[psycopg.rows.TupleRow]:
        async with self._database.reading() as connection:
            return await _fetch(connection, text, parameters)


def _within(blocks: list[ExecutedBlock]) -> list[ExecutedBlock]:
    """As many blocks as hold at most TRANSACTIONS_PER_PAGE_MAX transactions together, one at least."""
    transactions = 0
    for position, block in enumerate(blocks):
        transactions += block.transaction_count
        if position and transactions > TRANSACTIONS_PER_PAGE_MAX:
            return blocks[:position]
    return blocks


async def _fetch(
    connection: Connection, text: str, parameters: Mapping[str, Any]
) -> list[psycopg.rows.TupleRow]:
    cursor = connection.cursor(binary=True)
    await cursor.execute(text, parameters)
    return await cursor.fetchall()


def read_edge(row: Any) -> EpochEdge:
    """A row of `epoch_edges`, in the order of its columns."""
    epoch, height, executed_height, header, descendant_headers, finalization, next_set, recovery = row
    descendants = tuple(descendant_headers)
    return EpochEdge(epoch, height, executed_height, header, descendants, finalization, next_set, recovery)

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
from icn_machine.blocks.ports import ExecutedBlock
from icn_machine.leaves import decode_leaf
from icn_machine.limits import IDENTIFIER_BYTES, QUANTITY_MAX
from icn_machine.posting import BlockContext
from icn_machine.records import (
    VALIDATORS_IDENTIFIER,
    Account,
    Authority,
    Code,
    Contract,
    CreditLine,
    Hold,
    Membership,
    Namespace,
    PolicyInForce,
    Validators,
)

from icn_ledger.store.arrays import BigintArray, ByteaArray, SmallintArray
from icn_ledger.store.edges import EDGES_FROM, read_edge
from icn_ledger.store.history import ENTRY_BYTES_MAX, SELECT_PLACES, id_heads, split_outcomes, unpack_entries
from icn_ledger.store.named_states import newest_state, state_before
from icn_ledger.store.naming import fetch_naming
from icn_ledger.store.state import SELECT_BLOCKS, SELECT_VALIDATOR_SETS, read_block
from icn_ledger.store.versions import (
    LeafBytes,
    fetch_leaf_bytes,
    fetch_leaf_bytes_at_edge,
    fetch_neighbours,
    fetch_storage,
    fetch_tree,
    fetch_tree_at_edge,
)
from icn_ledger.usecases.get_proof import ProofMaterial, Wanted
from icn_ledger.usecases.get_receipt_proof import ReceiptMaterial
from icn_ledger.usecases.get_statement import EntryRows
from icn_ledger.usecases.query_contract import ContractAt
from icn_ledger.usecases.reads import (
    BalanceRow,
    BlockRow,
    CreditAt,
    EventsEnd,
    LeafAt,
    Place,
    PollAt,
    TransactionRow,
    UnitAt,
    ValidatorsAt,
)

ENTRY_BYTES_MIN = 64
"""No entry is shorter: ids of transaction and account alone are of 48 bytes."""
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

_SUB_ACCOUNTS = """
    SELECT leaf.value, chain.executed_height, listed.number
    FROM chain, (
        SELECT account, number FROM accounts WHERE parent = %(parent)s AND number > %(after)s
        ORDER BY number LIMIT %(count)s
    ) AS listed, LATERAL (
        SELECT value FROM leaves WHERE namespace = %(namespace)s AND identifier = listed.account LIMIT 1
    ) AS leaf
    ORDER BY listed.number
"""

# The leaf of an account begins with account, owner and unit, each behind a tag and a length.
_CREDIT = """
    SELECT account.value, policy.value, line.value, chain.executed_height, blocks.time_ms
    FROM chain JOIN blocks ON blocks.height = chain.executed_height
    CROSS JOIN LATERAL (
        SELECT value, substring(value FROM 21 FOR 16) AS owner, substring(value FROM 39 FOR 16) AS unit
        FROM leaves WHERE namespace = %(account_namespace)s AND identifier = %(account)s LIMIT 1
    ) AS account
    LEFT JOIN LATERAL (
        SELECT value FROM leaves
        WHERE namespace = %(policy_namespace)s AND identifier = account.unit LIMIT 1
    ) AS policy ON true
    LEFT JOIN LATERAL (
        SELECT value FROM leaves
        WHERE namespace = %(line_namespace)s AND identifier = account.unit || account.owner LIMIT 1
    ) AS line ON true
"""

_UNIT = """
    SELECT unit.value, policy.value, period.value
    FROM leaves AS unit
    LEFT JOIN leaves AS policy ON policy.namespace = %(policy_namespace)s AND policy.identifier = %(unit)s
    LEFT JOIN leaves AS period ON period.namespace = %(period_namespace)s AND period.identifier = %(unit)s
    WHERE unit.namespace = %(unit_namespace)s AND unit.identifier = %(unit)s
"""

_LISTED = """
    SELECT leaf.value, chain.executed_height
    FROM chain, ({listed}) AS listed, LATERAL (
        SELECT value FROM leaves
        WHERE namespace = %(namespace)s AND identifier = listed.identifier LIMIT 1
    ) AS leaf
    ORDER BY listed.identifier
"""
# Each half is a range of its index; nothing has the same account on both sides.
_OF_ACCOUNT = """
    (SELECT {key} AS identifier FROM {table} WHERE source = %(account)s AND {key} > %(after)s
        ORDER BY {key} LIMIT %(count)s)
    UNION ALL
    (SELECT {key} FROM {table} WHERE destination = %(account)s AND {key} > %(after)s
        ORDER BY {key} LIMIT %(count)s)
    ORDER BY identifier LIMIT %(count)s
"""
_ORDERS = _LISTED.format(listed=_OF_ACCOUNT.format(key="standing_order", table="orders"))
_HOLDS = _LISTED.format(listed=_OF_ACCOUNT.format(key="hold", table="holds"))
_OFFERS = _LISTED.format(
    listed="""
    SELECT hold AS identifier FROM holds WHERE is_offer AND hold > %(after)s ORDER BY hold LIMIT %(count)s
"""
)

_LIMIT_CHANGES_OF_UNIT = """
    SELECT change FROM limit_changes
    WHERE unit = %(identifier)s AND (height, index) < (%(height)s, %(index)s)
    ORDER BY height DESC, index DESC LIMIT %(count)s
"""
_LIMIT_CHANGES_OF_ACCOUNT = _LIMIT_CHANGES_OF_UNIT.replace("WHERE unit =", "WHERE account =")

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

# No transaction is open from one part to the next; a row of executed blocks never changes.
_STATEMENT_PART = """
    SELECT height, entries FROM (
        SELECT height, entries,
            sum(octet_length(entries)) OVER (ORDER BY height) - octet_length(entries) AS bytes_before
        FROM (
            SELECT height, entries FROM entries
            WHERE account = %(account)s AND height >= %(first)s AND height <= %(last)s
            ORDER BY height LIMIT %(count)s
        ) AS page
    ) AS listed
    WHERE bytes_before < %(bytes)s ORDER BY height
"""

# What there is on both sides of a height; who asks decides which of it says the balance.
_BALANCE = """
    SELECT leaf.value, asked.height, before.entries, after.entries,
        chain.executed_height, newest.time_ms, chain.snapshot_height
    FROM chain CROSS JOIN LATERAL (
        SELECT time_ms FROM blocks WHERE blocks.height = chain.executed_height LIMIT 1
    ) AS newest CROSS JOIN LATERAL (
        SELECT coalesce(%(height)s::bigint, (
            SELECT height FROM blocks WHERE time_ms <= %(time_ms)s ORDER BY time_ms DESC LIMIT 1
        ), 0) AS height
    ) AS asked
    LEFT JOIN LATERAL (
        SELECT value FROM leaves WHERE namespace = %(namespace)s AND identifier = %(account)s LIMIT 1
    ) AS leaf ON true
    LEFT JOIN LATERAL (
        SELECT entries FROM entries WHERE account = %(account)s AND entries.height <= asked.height
        ORDER BY entries.height DESC LIMIT 1
    ) AS before ON true
    LEFT JOIN LATERAL (
        SELECT entries FROM entries WHERE account = %(account)s AND entries.height > asked.height
        ORDER BY entries.height LIMIT 1
    ) AS after ON true
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

_RECEIPTS_ROOT = "SELECT receipts_root FROM blocks WHERE height = %(height)s"


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

    async def credit(self, account: bytes) -> CreditAt | None:
        """An account with what its owner's credit follows from, all of one height; None when absent."""
        rows = await self._all(
            _CREDIT,
            {
                "account": account,
                "account_namespace": int(Namespace.ACCOUNT),
                "policy_namespace": int(Namespace.UNIT_POLICY),
                "line_namespace": int(Namespace.CREDIT_LINE),
            },
        )
        if not rows:
            return None
        leaf, policy, line, height, time_ms = rows[0]
        record = decode_leaf(Namespace.ACCOUNT, leaf)
        in_force = decode_leaf(Namespace.UNIT_POLICY, policy) if policy else None
        credit_line = decode_leaf(Namespace.CREDIT_LINE, line) if line else None
        assert (
            isinstance(record, Account)
            and isinstance(in_force, PolicyInForce | None)
            and isinstance(credit_line, CreditLine | None)
        ), "the namespaces say so"
        return CreditAt(record, height, time_ms, in_force, credit_line)

    async def unit(self, identifier: bytes) -> UnitAt | None:
        """A unit, its policy and its newest closed period, all of one height; None when absent."""
        rows = await self._all(
            _UNIT,
            {
                "unit": identifier,
                "unit_namespace": int(Namespace.UNIT),
                "policy_namespace": int(Namespace.UNIT_POLICY),
                "period_namespace": int(Namespace.PERIOD),
            },
        )
        return UnitAt(*rows[0]) if rows else None

    async def orders(self, account: bytes, after: bytes, count: int) -> Sequence[LeafAt]:
        """Orders above an id that debit or credit the account, ascending."""
        rows = await self._all(
            _ORDERS,
            {"namespace": int(Namespace.ORDER), "account": account, "after": after, "count": count},
        )
        return [LeafAt(*row) for row in rows]

    async def holds(self, account: bytes, after: bytes, count: int) -> Sequence[LeafAt]:
        """Holds above an id of an account, or (``account`` empty) offers of exchange, ascending."""
        rows = await self._all(
            _HOLDS if account else _OFFERS,
            {"namespace": int(Namespace.HOLD), "account": account, "after": after, "count": count},
        )
        return [LeafAt(*row) for row in rows]

    async def limit_changes(
        self, namespace: Namespace, identifier: bytes, before: Place | None, count: int
    ) -> Sequence[service_pb2.LimitChange]:
        """Changes of the limits of an account, or of a unit, below a place, descending."""
        height, index = before or (QUANTITY_MAX, 0)
        rows = await self._all(
            _LIMIT_CHANGES_OF_ACCOUNT if namespace is Namespace.ACCOUNT else _LIMIT_CHANGES_OF_UNIT,
            {"identifier": identifier, "height": height, "index": index, "count": count},
        )
        return [service_pb2.LimitChange.FromString(row[0]) for row in rows]

    async def accounts(self, owner: bytes, after: bytes, count: int) -> Sequence[LeafAt]:
        """Accounts above an id, ascending; all or (``owner`` not empty) of one owner."""
        rows = await self._all(
            _ACCOUNTS_OF_OWNER if owner else _ACCOUNTS,
            {"namespace": int(Namespace.ACCOUNT), "owner": owner, "after": after, "count": count},
        )
        return [LeafAt(*row) for row in rows]

    async def sub_accounts(self, parent: bytes, after: int, count: int) -> Sequence[tuple[int, LeafAt]]:
        """Sub-accounts with a number above one, ascending, each with its number."""
        place = {"namespace": int(Namespace.ACCOUNT), "parent": parent, "after": after, "count": count}
        return [(row[2], LeafAt(*row[:2])) for row in await self._all(_SUB_ACCOUNTS, place)]

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

    async def entry_rows(self, account: bytes, first: int, last: int, part_bytes: int) -> Sequence[EntryRows]:
        """Entries of the blocks from a height to another, ascending, a part of so many bytes."""
        rows = await self._all(
            _STATEMENT_PART,
            {
                "account": account,
                "first": first,
                "last": last,
                "bytes": part_bytes,
                "count": part_bytes // ENTRY_BYTES_MIN,
            },
        )
        return [EntryRows(*row) for row in rows]

    async def balance(self, account: bytes, height: int | None, time_ms: int) -> BalanceRow:
        """What there is around an account's balance after a height, or (None) at a time."""
        ((leaf, asked, before, after, *executed),) = await self._all(
            _BALANCE,
            {
                "namespace": int(Namespace.ACCOUNT),
                "account": account,
                "height": height,
                "time_ms": time_ms,
            },
        )
        newest = None if before is None else unpack_entries([before])[0]
        oldest = None if after is None else unpack_entries([after])[-1]
        return BalanceRow(leaf, asked, newest, oldest, *executed)

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

    async def proof_material(self, wanted: Wanted, from_epoch: int, steps_max: int) -> ProofMaterial | None:
        """Material for a proof; None when no final header names a state that is still kept."""
        async with self._database.connection() as connection:
            # One snapshot: what it says is kept cannot be pruned under its eyes.
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            named = await (
                state_before(connection, wanted.before_time_ms)
                if wanted.before_time_ms
                else newest_state(connection)
            )
            if named is None:
                return None
            named_leaf = [(wanted.namespace, wanted.identifier)]
            keys = [state_key(wanted.namespace, wanted.identifier)]
            beside: LeafBytes = []
            if named.edge is None:
                leaves = await fetch_leaf_bytes(connection, named_leaf, named.height)
                if wanted.with_neighbours and not leaves:
                    beside = await fetch_neighbours(connection, keys[0], named.height)
                    keys += [state_key(kind, name) for kind, name, _ in beside]
                pages, changes = await fetch_tree(connection, named.height, keys)
            else:
                leaves = await fetch_leaf_bytes_at_edge(connection, named_leaf, named.edge)
                pages, changes = await fetch_tree_at_edge(connection, named.edge, keys)
            block, header = named.block, block_pb2.BlockHeader.FromString(named.block.header)
            cursor = connection.cursor(binary=True)
            await cursor.execute(EDGES_FROM, {"first": from_epoch, "end": block.epoch, "count": steps_max})
            edges = tuple(read_edge(edge) for edge in await cursor.fetchall())
            await cursor.execute(SELECT_VALIDATOR_SETS, (ByteaArray([header.validator_set_hash]),))
            ((_, validator_set),) = await cursor.fetchall()
        value = leaves[0][2] if leaves else b""
        return ProofMaterial(
            block, named.descendant_headers, value, pages, changes, edges, validator_set, beside
        )

    async def receipt_material(self, height: int, from_epoch: int, steps_max: int) -> ReceiptMaterial:
        """Material for a proof of what an executed block's transactions came to."""
        async with self._database.connection() as connection:
            # One snapshot: the newest block and its descendants belong together.
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            naming = await fetch_naming(connection, height, from_epoch, steps_max)
            ((before,),) = await _fetch(connection, _RECEIPTS_ROOT, {"height": height - 1})
        return ReceiptMaterial(before, naming)

    async def receipts_at(self, height: int) -> Sequence[bytes]:
        """Of an executed block, in order, canonical bytes."""
        rows = await self._all(_TRANSACTIONS, {"first": height, "last": height})
        return rows[0][2] if rows else ()

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

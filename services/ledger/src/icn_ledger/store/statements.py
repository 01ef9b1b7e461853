"""The statements that write a block: their number does not depend on how many transactions it holds.

Source: docs/spec/ledger-store.md, "One block, one transaction".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from icn_ledger.domain.events import Movement
from icn_ledger.domain.records import Account, Hold, Unit
from icn_ledger.store.arrays import BigintArray, ByteaArray, IntegerArray, SmallintArray
from icn_ledger.usecases.ports import BlockCommit, EpochEdge, ExecutedBlock

Statement = tuple[str, Mapping[str, Any]]

# What nearly every block writes, as one statement: each costs the client about 0.2 ms, whatever its rows.
_WRITE = """
    WITH advanced AS (
        UPDATE chain SET executed_height = %(height)s, log_frontier = %(log_frontier)s,
            descendant_headers = %(descendant_headers)s
    ), transactions_written AS (
        INSERT INTO transactions (height, index, id, receipt)
        SELECT %(height)s, ordinality - 1, id, receipt
        FROM unnest(%(ids)s, %(receipts)s) WITH ORDINALITY AS given (id, receipt, ordinality)
    ), entries_written AS (
        INSERT INTO entries (height, index, transaction_index, account, counter_account, amount_minor,
            balance_minor, memo_hash)
        SELECT %(height)s, ordinality - 1, transaction_index, account, counter_account, amount, balance,
            memo_hash
        FROM unnest(%(entry_transactions)s, %(accounts)s, %(counter_accounts)s, %(amounts)s, %(balances)s,
            %(memo_hashes)s) WITH ORDINALITY
            AS given (transaction_index, account, counter_account, amount, balance, memo_hash, ordinality)
    ), leaves_written AS (
        INSERT INTO leaves (namespace, identifier, height, value)
        SELECT namespace, identifier, %(height)s, value
        FROM unnest(%(namespaces)s, %(identifiers)s, %(values)s) AS given (namespace, identifier, value)
    )
    INSERT INTO tree_pages (prefix, height, page)
    SELECT prefix, %(height)s, page FROM unnest(%(prefixes)s, %(pages)s) AS given (prefix, page)
"""

_INSERT_ACCOUNTS = """
    INSERT INTO accounts (account, owner)
    SELECT account, owner FROM unnest(%(accounts)s, %(owners)s) AS given (account, owner)
"""

_INSERT_UNITS = "INSERT INTO units (unit) SELECT unit FROM unnest(%(units)s) AS given (unit)"

_INSERT_HOLDS = """
    INSERT INTO holds (hold, expire_time_ms)
    SELECT hold, expire_time_ms FROM unnest(%(holds)s, %(expiries)s) AS given (hold, expire_time_ms)
"""

_DELETE_HOLDS = "DELETE FROM holds WHERE hold = ANY(%(holds)s)"

_INSERT_EDGE = """
    INSERT INTO epoch_edges
        (epoch, height, executed_height, header, descendant_headers, finalization, next_validator_set)
    VALUES (%(epoch)s, %(height)s, %(executed_height)s, %(header)s, %(descendant_headers)s, %(finalization)s,
        %(next_validator_set)s)
"""

INSERT_BLOCK = """
    INSERT INTO blocks (height, hash, header, time_ms, epoch, state_root, receipts_root, log_root,
        has_changed_state, next_expiry_time_ms, transaction_count, finalization)
    VALUES (%(height)s, %(hash)s, %(header)s, %(time_ms)s, %(epoch)s, %(state_root)s, %(receipts_root)s,
        %(log_root)s, %(has_changed_state)s,
        coalesce((SELECT expire_time_ms FROM holds ORDER BY expire_time_ms LIMIT 1), 0),
        %(transaction_count)s, %(finalization)s)
    RETURNING next_expiry_time_ms
"""

INSERT_CHAIN = """
    INSERT INTO chain (genesis_hash, executed_height, log_frontier, descendant_headers)
    VALUES (%(genesis_hash)s, 0, %(log_frontier)s, '{}')
"""


def block_statements(commit: BlockCommit) -> list[Statement]:
    """Everything but `INSERT_BLOCK`, which comes last because it looks at the holds that are left."""
    return [_write(commit), *_projections(commit), *_edge(commit.edge)]


def block_parameters(block: ExecutedBlock) -> Mapping[str, Any]:
    """Parameters of `INSERT_BLOCK`."""
    return {
        "height": block.height,
        "hash": block.hash,
        "header": block.header,
        "time_ms": block.time_ms,
        "epoch": block.epoch,
        "state_root": block.state_root,
        "receipts_root": block.receipts_root,
        "log_root": block.log_root,
        "has_changed_state": block.has_changed_state,
        "transaction_count": block.transaction_count,
        "finalization": block.finalization,
    }


def _write(commit: BlockCommit) -> Statement:
    entry_transactions: list[int] = []
    accounts: list[bytes] = []
    counter_accounts: list[bytes] = []
    amounts: list[int] = []
    balances: list[int] = []
    memo_hashes: list[bytes] = []
    for event in commit.events:
        if type(event) is Movement:
            index = event.transaction_index
            source, destination, amount = event.source, event.destination, event.amount_minor
            entry_transactions += (index, index)
            accounts += (source, destination)
            counter_accounts += (destination, source)
            amounts += (-amount, amount)
            balances += (event.source_balance_minor, event.destination_balance_minor)
            memo_hashes += (event.memo_hash, event.memo_hash)
    return (
        _WRITE,
        {
            "height": commit.block.height,
            "log_frontier": commit.log.to_bytes(),
            "descendant_headers": ByteaArray(commit.descendant_headers),
            "ids": ByteaArray(commit.transaction_ids),
            "receipts": ByteaArray(commit.receipts),
            "entry_transactions": IntegerArray(entry_transactions),
            "accounts": ByteaArray(accounts),
            "counter_accounts": ByteaArray(counter_accounts),
            "amounts": BigintArray(amounts),
            "balances": BigintArray(balances),
            "memo_hashes": ByteaArray(memo_hashes),
            "namespaces": SmallintArray([namespace for namespace, _, _ in commit.leaves]),
            "identifiers": ByteaArray([identifier for _, identifier, _ in commit.leaves]),
            "values": ByteaArray([value for _, _, value in commit.leaves]),
            "prefixes": ByteaArray(list(commit.pages)),
            "pages": ByteaArray(list(commit.pages.values())),
        },
    )


def _projections(commit: BlockCommit) -> Iterator[Statement]:
    """What lists and due holds are made by; their columns never change while the record is there."""
    before, changes = commit.before, commit.changes
    accounts: list[Account] = [
        account
        for identifier, account in changes.accounts.items()
        if account is not None and before.accounts[identifier] is None
    ]
    if accounts:
        yield (
            _INSERT_ACCOUNTS,
            {
                "accounts": ByteaArray([account.account for account in accounts]),
                "owners": ByteaArray([account.owner for account in accounts]),
            },
        )
    units: list[Unit] = [unit for unit in changes.units.values() if unit is not None]
    if units:
        yield _INSERT_UNITS, {"units": ByteaArray([unit.unit for unit in units])}
    ended = [
        identifier
        for identifier, hold in changes.holds.items()
        if before.holds[identifier] is not None
        and (hold is None or hold.expire_time_ms != _expiry(before.holds[identifier]))
    ]
    if ended:
        yield _DELETE_HOLDS, {"holds": ByteaArray(ended)}
    placed: list[Hold] = [
        hold
        for identifier, hold in changes.holds.items()
        if hold is not None
        and (before.holds[identifier] is None or hold.expire_time_ms != _expiry(before.holds[identifier]))
    ]
    if placed:
        yield (
            _INSERT_HOLDS,
            {
                "holds": ByteaArray([hold.hold for hold in placed]),
                "expiries": BigintArray([hold.expire_time_ms for hold in placed]),
            },
        )


def _expiry(hold: Hold | None) -> int:
    """A hold may end and its id be used again within one block, with another expiry."""
    assert hold is not None, "asked only for a hold that was there"
    return hold.expire_time_ms


def _edge(edge: EpochEdge | None) -> Iterator[Statement]:
    if edge is not None:
        yield (
            _INSERT_EDGE,
            {
                "epoch": edge.epoch,
                "height": edge.height,
                "executed_height": edge.executed_height,
                "header": edge.header,
                "descendant_headers": ByteaArray(edge.descendant_headers),
                "finalization": edge.finalization,
                "next_validator_set": edge.next_validator_set,
            },
        )

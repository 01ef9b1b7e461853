"""The statement that writes a block: one, whatever the block holds.

Source: docs/spec/ledger-store.md, "One block, one statement".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from icn_machine.blocks.ports import BlockCommit
from icn_machine.records import RecordTables

from icn_ledger.store.arrays import BigintArray, ByteaArray, SmallintArray
from icn_ledger.store.history import id_heads, limit_changes, pack_entries
from icn_ledger.usecases.ports import OutboxRow

INSERT_CHAIN = """
    INSERT INTO chain (genesis_hash, executed_height, log_frontier, descendant_headers)
    VALUES (%(genesis_hash)s, 0, '', '{}')
"""

_ADVANCE = """
    advanced AS (
        UPDATE chain SET executed_height = %(height)s, log_frontier = %(log_frontier)s,
            descendant_headers = %(descendant_headers)s, pages_height = %(pages_height)s,
            duty_epoch = %(duty_epoch)s, duty_counts = %(duty_counts)s
    )
"""

_TRANSACTIONS = """
    transactions_written AS (
        INSERT INTO transactions (height, ids, receipts) VALUES (%(height)s, %(ids)s, %(receipts)s)
    ), places_written AS (
        INSERT INTO transaction_places (id_head, height, index)
        SELECT id_head, %(height)s, ordinality - 1
        FROM unnest(%(id_heads)s) WITH ORDINALITY AS given (id_head, ordinality)
    )
"""

_ENTRIES = """
    entries_written AS (
        INSERT INTO entries (account, height, entries)
        SELECT account, %(height)s, entries
        FROM unnest(%(entry_accounts)s, %(packed_entries)s) AS given (account, entries)
    ), entry_block_written AS (
        INSERT INTO entry_blocks (height, entries, accounts)
        VALUES (%(height)s, %(entries)s, %(entry_accounts)s)
    )
"""

# All parts of a statement see the rows as they were before it. Each is looked up once, then changed where it
# lies: ON CONFLICT looks it up again and writes a lock to the log.
_LEAVES = """
    leaves_before AS MATERIALIZED (
        SELECT ordinality, given.namespace, given.identifier, given.value,
            leaf.place, leaf.height AS height_before, leaf.value AS value_before
        FROM unnest(%(namespaces)s, %(identifiers)s, %(values)s) WITH ORDINALITY
            AS given (namespace, identifier, value, ordinality)
        LEFT JOIN LATERAL (
            SELECT ctid AS place, height, value FROM leaves
            WHERE leaves.namespace = given.namespace AND leaves.identifier = given.identifier
            LIMIT 1
        ) AS leaf ON true
    ), leaves_replaced AS (
        INSERT INTO replaced (height, namespaces, identifiers, written_at, leaf_values)
        SELECT %(height)s, %(namespaces)s, %(identifiers)s,
            array_agg(height_before ORDER BY ordinality), array_agg(value_before ORDER BY ordinality)
        FROM leaves_before
    ), leaves_changed AS (
        UPDATE leaves SET height = %(height)s, value = leaves_before.value FROM leaves_before
        WHERE leaves.ctid = leaves_before.place AND leaves_before.value IS NOT NULL
    ), leaves_made AS (
        INSERT INTO leaves (namespace, identifier, height, value)
        SELECT namespace, identifier, %(height)s, value FROM leaves_before
        WHERE place IS NULL AND value IS NOT NULL
    )
"""

_LEAVES_GONE = """
    leaves_gone AS (
        DELETE FROM leaves USING unnest(%(gone_namespaces)s, %(gone_identifiers)s)
            AS given (namespace, identifier)
        WHERE leaves.namespace = given.namespace AND leaves.identifier = given.identifier
    )
"""

_PAGES = """
    pages_written AS (
        INSERT INTO tree_pages (prefix, page)
        SELECT prefix, page FROM unnest(%(prefixes)s, %(pages)s) AS given (prefix, page)
        WHERE page IS NOT NULL
        ON CONFLICT (prefix) DO UPDATE SET page = excluded.page
    ), pages_gone AS (
        DELETE FROM tree_pages WHERE prefix = ANY(%(gone_prefixes)s)
    )
"""

_ACCOUNTS = """
    accounts_opened AS (
        INSERT INTO accounts (account, owner, parent, number)
        SELECT account, owner, parent, nullif(number, 0)
        FROM unnest(%(accounts)s, %(owners)s, %(parents)s, %(sub_account_numbers)s)
            AS given (account, owner, parent, number)
    )
"""

_UNITS = """
    units_created AS (
        INSERT INTO units (unit) SELECT unit FROM unnest(%(units)s) AS given (unit)
    )
"""

_MEMBERSHIPS = """
    memberships_begun AS (
        INSERT INTO memberships (member, organization)
        SELECT member, organization
        FROM unnest(%(members)s, %(organizations)s) AS given (member, organization)
    )
"""

_DUTIES = """
    duties_written AS (
        INSERT INTO duties (epoch, organization)
        SELECT %(duty_of_epoch)s, organization FROM unnest(%(seated)s) AS given (organization)
    )
"""

# An id may end and be used again in one block, with another expiry: then it is not among the ended.
_HOLDS = """
    holds_ended AS (
        DELETE FROM holds WHERE hold = ANY(%(ended_holds)s)
    ), holds_placed AS (
        INSERT INTO holds (hold, expire_time_ms, source, destination, is_offer)
        SELECT hold, expire_time_ms, source, coalesce(take_account, destination), take_account IS NOT NULL
        FROM unnest(%(holds)s, %(expiries)s, %(hold_sources)s, %(hold_destinations)s, %(take_accounts)s)
            AS given (hold, expire_time_ms, source, destination, take_account)
        ON CONFLICT (hold) DO UPDATE SET expire_time_ms = excluded.expire_time_ms,
            source = excluded.source, destination = excluded.destination, is_offer = excluded.is_offer
    )
"""

_POLLS = """
    polls_closed AS (
        DELETE FROM open_polls WHERE poll = ANY(%(closed_polls)s)
    ), polls_opened AS (
        INSERT INTO open_polls (poll, close_time_ms)
        SELECT poll, close_time_ms FROM unnest(%(opened_polls)s, %(closes)s) AS given (poll, close_time_ms)
    )
"""

_ORDERS = """
    orders_ended AS (
        DELETE FROM orders WHERE standing_order = ANY(%(ended_orders)s)
    ), orders_waiting AS (
        INSERT INTO orders (standing_order, next_time_ms, source, destination)
        SELECT standing_order, next_time_ms, source, destination
        FROM unnest(%(orders)s, %(order_times)s, %(order_sources)s, %(order_destinations)s)
            AS given (standing_order, next_time_ms, source, destination)
        ON CONFLICT (standing_order) DO UPDATE SET next_time_ms = excluded.next_time_ms,
            source = excluded.source, destination = excluded.destination
    )
"""

_LIMIT_CHANGES = """
    limit_changes_written AS (
        INSERT INTO limit_changes (height, index, unit, account, change)
        SELECT %(height)s, ordinality - 1, unit, account, change
        FROM unnest(%(changed_units)s, %(changed_accounts)s, %(limit_changes)s)
            WITH ORDINALITY AS given (unit, account, change, ordinality)
    )
"""

_EDGE = """
    edge_passed AS (
        INSERT INTO epoch_edges
            (epoch, height, executed_height, header, descendant_headers, finalization, next_validator_set)
        VALUES (%(epoch)s, %(height)s, %(edge_executed_height)s, %(header)s, %(descendant_headers)s,
            %(finalization)s, %(next_validator_set)s)
    )
"""

# The parent may have been an edge block, whose epoch then began for nobody.
_RECOVERED = """
    epoch_recovered AS (
        INSERT INTO epoch_edges (epoch, height, executed_height, header, descendant_headers, finalization,
            next_validator_set, recovery)
        SELECT %(closed_epoch)s, %(closed_height)s, %(closed_executed_height)s, %(closed_header)s,
            chain.descendant_headers, %(closed_finalization)s, %(recovered_set)s, %(recovery)s
        FROM chain
        ON CONFLICT (epoch) DO UPDATE
        SET next_validator_set = excluded.next_validator_set, recovery = excluded.recovery
    )
"""

_VALIDATOR_SETS = """
    validator_sets_named AS (
        INSERT INTO validator_sets (hash, data)
        SELECT hash, data FROM unnest(%(set_hashes)s, %(sets)s) AS given (hash, data)
        ON CONFLICT (hash) DO NOTHING
    )
"""

# Without a subject a row has a run of events.
_EVENTS = """
    events_written AS (
        INSERT INTO outbox (id, subject, envelope)
        SELECT id, '', run FROM unnest(%(event_ids)s, %(runs)s) AS given (id, run)
    )
"""

_BLOCK = """
    INSERT INTO blocks (height, hash, header, time_ms, epoch, state_root, receipts_root, log_root,
        has_changed_state, next_expiry_time_ms, transaction_count, finalization, next_validator_set_hash)
    VALUES (%(height)s, %(hash)s, %(header)s, %(time_ms)s, %(epoch)s, %(state_root)s, %(receipts_root)s,
        %(log_root)s, %(has_changed_state)s, %(next_expiry_time_ms)s, %(transaction_count)s, %(finalization)s,
        %(next_validator_set_hash)s)
"""


class Changed(Protocol):
    """Records before and after."""

    @property
    def before(self) -> RecordTables:
        """Those that change, as they were."""

    @property
    def changes(self) -> RecordTables:
        """As they become."""


def lists_statement(changed: Changed) -> tuple[str, Mapping[str, Any]] | None:
    """What lists and queues are made from, of records that are written otherwise; None for nothing."""
    parts, parameters = [], {}
    for part, values in (
        (_ACCOUNTS, _accounts(changed)),
        (_UNITS, _units(changed)),
        (_HOLDS, _holds(changed)),
        (_POLLS, _polls(changed)),
        (_ORDERS, _orders(changed)),
        (_MEMBERSHIPS, _memberships(changed)),
    ):
        if values:
            parts.append(part)
            parameters.update(values)
    return ("WITH" + ", ".join(parts) + "SELECT", parameters) if parts else None


def block_statement(
    commit: BlockCommit, events: Sequence[OutboxRow], pages: Mapping[bytes, bytes | None], pages_height: int
) -> tuple[str, Mapping[str, Any]]:
    """Text and parameters; there are few texts, so that the server keeps them prepared.

    Args:
        commit: the block.
        events: its events.
        pages: pages of the state tree to write, None for those that went; none of them to write none.
        pages_height: whose tree the written pages are, then.
    """
    parts = [_ADVANCE]
    parameters = {**_block_parameters(commit), "pages_height": pages_height}
    for part, values in (
        (_TRANSACTIONS, _transactions(commit)),
        (_ENTRIES, _entries(commit)),
        (_LEAVES, _leaves(commit)),
        (_LEAVES_GONE, _leaves_gone(commit)),
        (_PAGES, _pages(pages)),
        (_ACCOUNTS, _accounts(commit)),
        (_UNITS, _units(commit)),
        (_HOLDS, _holds(commit)),
        (_POLLS, _polls(commit)),
        (_ORDERS, _orders(commit)),
        (_LIMIT_CHANGES, _limit_changes(commit)),
        (_MEMBERSHIPS, _memberships(commit)),
        (_DUTIES, _duties(commit)),
        (_EDGE, _edge(commit)),
        (_RECOVERED, _recovered(commit)),
        (_VALIDATOR_SETS, _validator_sets(commit)),
        # Left out when there are none: the outbox wakes its relay on every statement.
        (_EVENTS, _events(events)),
    ):
        if values:
            parts.append(part)
            parameters.update(values)
    return "WITH" + ", ".join(parts) + _BLOCK, parameters


def _block_parameters(commit: BlockCommit) -> dict[str, Any]:
    block = commit.block
    return {
        "height": block.height,
        "log_frontier": commit.log.to_bytes(),
        "descendant_headers": ByteaArray(commit.descendant_headers),
        "duty_epoch": commit.duty.epoch,
        "duty_counts": BigintArray([commit.duty.blocks, *commit.duty.proposed, *commit.duty.signed]),
        "hash": block.hash,
        "header": block.header,
        "time_ms": block.time_ms,
        "epoch": block.epoch,
        "state_root": block.state_root,
        "receipts_root": block.receipts_root,
        "log_root": block.log_root,
        "has_changed_state": block.has_changed_state,
        "next_expiry_time_ms": block.next_expiry_time_ms,
        "transaction_count": block.transaction_count,
        "finalization": block.finalization,
        "next_validator_set_hash": block.next_validator_set_hash,
    }


def _transactions(commit: BlockCommit) -> dict[str, Any]:
    if not commit.transaction_ids:
        return {}
    return {
        "ids": b"".join(commit.transaction_ids),
        "id_heads": BigintArray(id_heads(commit.transaction_ids)),
        "receipts": ByteaArray(commit.receipts),
    }


def _entries(commit: BlockCommit) -> dict[str, Any]:
    packed = pack_entries(commit)
    if not packed:
        return {}
    return {
        "entries": 2 * len(commit.posted),
        "entry_accounts": ByteaArray(list(packed)),
        "packed_entries": ByteaArray(list(packed.values())),
    }


def _leaves(commit: BlockCommit) -> dict[str, Any]:
    if not commit.leaves:
        return {}
    return {
        "namespaces": SmallintArray([namespace for namespace, _, _ in commit.leaves]),
        "identifiers": ByteaArray([identifier for _, identifier, _ in commit.leaves]),
        "values": ByteaArray([value for _, _, value in commit.leaves]),
    }


def _leaves_gone(commit: BlockCommit) -> dict[str, Any]:
    gone = [(namespace, identifier) for namespace, identifier, value in commit.leaves if value is None]
    if not gone:
        return {}
    return {
        "gone_namespaces": SmallintArray([namespace for namespace, _ in gone]),
        "gone_identifiers": ByteaArray([identifier for _, identifier in gone]),
    }


def _pages(pages: Mapping[bytes, bytes | None]) -> dict[str, Any]:
    if not pages:
        return {}
    return {
        "prefixes": ByteaArray(list(pages)),
        "pages": ByteaArray(list(pages.values())),
        "gone_prefixes": ByteaArray([prefix for prefix, page in pages.items() if page is None]),
    }


def _accounts(commit: Changed) -> dict[str, Any]:
    before = commit.before.accounts
    opened = [
        account
        for identifier, account in commit.changes.accounts.items()
        if account is not None and before[identifier] is None
    ]
    if not opened:
        return {}
    return {
        "accounts": ByteaArray([account.account for account in opened]),
        "owners": ByteaArray([account.owner for account in opened]),
        "parents": ByteaArray([account.known_terms.parent or None for account in opened]),
        "sub_account_numbers": BigintArray([account.known_terms.sub_account_number for account in opened]),
    }


def _units(commit: Changed) -> dict[str, Any]:
    created = list(commit.changes.units)
    return {"units": ByteaArray(created)} if created else {}


def _memberships(commit: Changed) -> dict[str, Any]:
    before = commit.before.memberships
    begun = [
        membership
        for identifier, membership in commit.changes.memberships.items()
        if membership is not None and before[identifier] is None
    ]
    if not begun:
        return {}
    return {
        "members": ByteaArray([membership.member for membership in begun]),
        "organizations": ByteaArray([membership.organization for membership in begun]),
    }


def _duties(commit: BlockCommit) -> dict[str, Any]:
    written = [duty for duty in commit.changes.duties.values() if duty is not None]
    if not written:
        return {}
    (epoch,) = {duty.epoch for duty in written}
    return {
        "duty_of_epoch": epoch,
        "seated": ByteaArray([duty.organization for duty in written]),
    }


def _holds(commit: Changed) -> dict[str, Any]:
    changed = commit.changes.holds
    if not changed:
        return {}
    open_holds = [hold for hold in changed.values() if hold is not None]
    return {
        "ended_holds": ByteaArray([identifier for identifier, hold in changed.items() if hold is None]),
        "holds": ByteaArray([hold.hold for hold in open_holds]),
        "expiries": BigintArray([hold.expire_time_ms for hold in open_holds]),
        "hold_sources": ByteaArray([hold.source for hold in open_holds]),
        "hold_destinations": ByteaArray([hold.destination for hold in open_holds]),
        "take_accounts": ByteaArray([hold.price.take_account if hold.price else None for hold in open_holds]),
    }


def _polls(commit: Changed) -> dict[str, Any]:
    before, changed = commit.before.polls, commit.changes.polls
    polls = [(poll, before[identifier]) for identifier, poll in changed.items() if poll is not None]
    opened = [poll for poll, previous in polls if previous is None]
    closed = [
        poll for poll, previous in polls if poll.is_closed and previous is not None and not previous.is_closed
    ]
    if not opened and not closed:
        return {}
    return {
        "closed_polls": ByteaArray([poll.poll for poll in closed]),
        "opened_polls": ByteaArray([poll.poll for poll in opened]),
        "closes": BigintArray([poll.close_time_ms for poll in opened]),
    }


def _orders(commit: Changed) -> dict[str, Any]:
    changed = commit.changes.orders
    if not changed:
        return {}
    waiting = [order for order in changed.values() if order is not None]
    return {
        "ended_orders": ByteaArray([identifier for identifier, order in changed.items() if order is None]),
        "orders": ByteaArray([order.ordered.order for order in waiting]),
        "order_times": BigintArray([order.next_time_ms for order in waiting]),
        "order_sources": ByteaArray([order.ordered.source for order in waiting]),
        "order_destinations": ByteaArray([order.ordered.destination for order in waiting]),
    }


def _limit_changes(commit: BlockCommit) -> dict[str, Any]:
    changes = limit_changes(commit)
    if not changes:
        return {}
    return {
        "changed_units": ByteaArray([change.unit for change in changes]),
        "changed_accounts": ByteaArray([change.floor.account for change in changes]),
        "limit_changes": ByteaArray([change.SerializeToString() for change in changes]),
    }


def _edge(commit: BlockCommit) -> dict[str, Any]:
    if commit.edge is None:
        return {}
    return {
        "edge_executed_height": commit.edge.executed_height,
        "next_validator_set": commit.edge.next_validator_set,
    }


def _recovered(commit: BlockCommit) -> dict[str, Any]:
    closed = commit.recovered
    if closed is None:
        return {}
    return {
        "closed_epoch": closed.epoch,
        "closed_height": closed.height,
        "closed_executed_height": closed.executed_height,
        "closed_header": closed.header,
        "closed_finalization": closed.finalization,
        "recovered_set": closed.next_validator_set,
        "recovery": closed.recovery,
    }


def _validator_sets(commit: BlockCommit) -> dict[str, Any]:
    if not commit.validator_sets:
        return {}
    return {
        "set_hashes": ByteaArray(list(commit.validator_sets)),
        "sets": ByteaArray(list(commit.validator_sets.values())),
    }


def _events(rows: Sequence[OutboxRow]) -> dict[str, Any]:
    if not rows:
        return {}
    return {"event_ids": ByteaArray([row.id for row in rows]), "runs": ByteaArray([row.run for row in rows])}

"""Earlier heights: validity on them, proofs of them, and what pruning leaves."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from icn.consensus.v1.block_pb2 import BlockHeader
from icn.ledger.v1 import service_pb2
from icn_crypto.state_tree import (
    Proof,
    StateTree,
    state_key,
    verify_absence,
    verify_inclusion,
)
from icn_kit.database import Database
from icn_kit.errors import FailedPrecondition
from icn_ledger.store import queries as queries_module
from icn_ledger.store import statements
from icn_ledger.store.arrays import BigintArray, ByteaArray, SmallintArray
from icn_ledger.store.cache import RECENT_HEIGHTS
from icn_ledger.store.history import ENTRY_BYTES_MAX
from icn_ledger.store.pruner import HEIGHTS_PER_TRANSACTION_MAX, Pruner
from icn_ledger.store.queries import LedgerQueries
from icn_ledger.store.versions import (
    fetch_leaf_bytes,
    fetch_leaf_bytes_at_edge,
    fetch_tree,
    records_of,
)
from icn_ledger.usecases.get_proof import Wanted, get_proof
from icn_machine.blocks.ports import StateBehind, StatePruned
from icn_machine.limits import VERSIONED_HEIGHTS
from icn_machine.records import Namespace, RecordTables
from icn_machine.touched import RecordNames

from libs.machine.tests.workload import BLOCK_MS, Workload
from libs.machine.tests.zone import (
    Ledger,
    Zone,
    create_unit,
    identifier,
    memory_ledger,
    open_account,
    place_hold,
    transfer,
    void_hold,
)
from services.ledger.tests.conftest import OpenLedger
from services.ledger.tests.integration.conftest import Query

UNIT = identifier("unit")
ANA, BEN, HOLD = identifier("account of ana"), identifier("account of ben"), identifier("hold")


async def opened(ledger: Ledger, zone: Zone) -> None:
    shop = zone.organizations[0]
    await ledger.execute(
        zone.transaction(
            shop, create_unit(UNIT, floor_minor=-(2**40)), open_account(ANA, UNIT), open_account(BEN, UNIT)
        )
    )


async def move(ledger: Ledger, zone: Zone, **changes: int) -> None:
    data = zone.transaction(zone.organizations[0], transfer(ANA, BEN, 1), time_ms=ledger.state.newest.time_ms)
    await ledger.execute(data, **changes)


def lanes_of(zone: Zone) -> RecordNames:
    return RecordNames(
        controllers={zone.organizations[0].principal, identifier("nobody")},
        allowances={zone.organizations[0].principal},
    )


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_validity_records_are_those_of_the_height_from_memory_and_from_the_database(
    zone: Zone, open_ledger: OpenLedger, dsn: str, is_restarted: bool
) -> None:
    heights = RECENT_HEIGHTS + 9
    shop = zone.organizations[0].principal
    seen = {}
    async with open_ledger(dsn) as ledger:
        seen[0] = await ledger.state.load_validity(lanes_of(zone), 0)
        await opened(ledger, zone)
        seen[1] = await ledger.state.load_validity(lanes_of(zone), 1)
        for height in range(2, heights + 1):
            await move(ledger, zone)
            seen[height] = await ledger.state.load_validity(lanes_of(zone), height)
        if not is_restarted:
            for height in range(heights + 1):
                assert await ledger.state.load_validity(lanes_of(zone), height) == seen[height]
    async with open_ledger(dsn) as ledger:
        for height in range(heights + 1):
            assert await ledger.state.load_validity(lanes_of(zone), height) == seen[height]
        with pytest.raises(StateBehind):
            await ledger.state.load_validity(lanes_of(zone), heights + 1)
    for height, view in seen.items():
        controller = view.controllers[shop]
        assert controller is not None
        assert controller.last_sequence(0) == height
        assert view.controllers[identifier("nobody")] is None


async def prove(ledger: Ledger, namespace: Namespace, name: bytes) -> tuple[bytes, BlockHeader]:
    """A leaf's proven value, checked against the root that a final header names."""
    proven = await get_proof(Wanted(namespace, name), 0, LedgerQueries(ledger.state._database))
    header = BlockHeader.FromString(proven.block.header)
    proof = Proof.from_dict(json.loads(proven.state_proof))
    key = state_key(int(namespace), name)
    if proven.value:
        assert verify_inclusion(header.state_root, key, proven.value, proof)
        assert not verify_inclusion(header.state_root, key, proven.value + b"x", proof)
    else:
        assert verify_absence(header.state_root, key, proof)
    assert proven.block == ledger.state.newest
    return proven.value, header


async def test_a_proof_shows_the_state_that_the_newest_final_header_names(
    zone: Zone, open_ledger: OpenLedger, dsn: str
) -> None:
    """Headers name a state up to two heights back, so the value proven is the one of then."""
    from icn_machine.leaves import decode_leaf

    async with open_ledger(dsn) as ledger:
        with pytest.raises(FailedPrecondition) as refusal:
            await prove(ledger, Namespace.ACCOUNT, ANA)
        assert refusal.value.reason == "PROOF_NOT_READY"
        await opened(ledger, zone)
        assert (await prove(ledger, Namespace.ACCOUNT, ANA))[0] == b""
        named = ledger.state.newest
        for _ in range(3):
            await move(ledger, zone)
        await move(ledger, zone, named=named)
        value, header = await prove(ledger, Namespace.ACCOUNT, ANA)
        assert header.executed_height == 1
        assert decode_leaf(Namespace.ACCOUNT, value).balance_minor == 0
        await ledger.execute()
        value, _ = await prove(ledger, Namespace.ACCOUNT, ANA)
        assert decode_leaf(Namespace.ACCOUNT, value).balance_minor == -4
        for namespace, name in (
            (Namespace.UNIT, UNIT),
            (Namespace.CONTROLLER, zone.organizations[0].principal),
            (Namespace.ALLOWANCE, zone.organizations[0].principal),
        ):
            assert (await prove(ledger, namespace, name))[0]
        for namespace, name in ((Namespace.HOLD, HOLD), (Namespace.ANCHOR, bytes(32)), (Namespace.UNIT, ANA)):
            assert (await prove(ledger, namespace, name))[0] == b""


async def test_a_proof_brings_the_headers_up_to_the_finalized_one(
    zone: Zone, open_ledger: OpenLedger, dsn: str
) -> None:
    async with open_ledger(dsn) as ledger:
        queries = LedgerQueries(ledger.state._database)
        for descendants in ((b"child", b"grandchild"), (b"child",), ()):
            await ledger.execute(descendants=descendants)
            proven = await get_proof(Wanted(Namespace.ACCOUNT, ANA), 0, queries)
            assert proven.descendant_headers == descendants


async def test_a_page_of_full_blocks_is_shorter(
    zone: Zone, open_ledger: OpenLedger, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icn_ledger.store.queries.TRANSACTIONS_PER_PAGE_MAX", 3)
    async with open_ledger(dsn) as ledger:
        queries = LedgerQueries(ledger.state._database)
        await opened(ledger, zone)
        for _ in range(4):
            await move(ledger, zone)
        await ledger.execute(
            *[zone.transaction(zone.organizations[0], transfer(ANA, BEN, 1)) for _ in range(5)]
        )
        assert [row.block.height for row in await queries.blocks(None, 10)] == [6]
        assert [row.block.height for row in await queries.blocks(6, 10)] == [5, 4, 3]
        assert [execution.block.height for execution in await queries.executions(3, 10)] == [3, 4, 5]
        assert [len(execution.outcomes) for execution in await queries.executions(6, 10)] == [5]


ENTRIES_OF_BLOCKS = (1, 7, 1, 1, 3, 1, 1)


async def test_pages_of_an_account_are_full_however_many_entries_its_blocks_have(
    zone: Zone, open_ledger: OpenLedger, dsn: str
) -> None:
    async with open_ledger(dsn) as ledger:
        await opened(ledger, zone)
        shop = zone.organizations[0]
        for count in ENTRIES_OF_BLOCKS:
            await ledger.execute(*[zone.transaction(shop, transfer(ANA, BEN, 1)) for _ in range(count)])
        queries = LedgerQueries(ledger.state._database)
        every = await queries.entries(ANA, None, 100)
        assert len(every) == sum(ENTRIES_OF_BLOCKS)
        for size in (1, 2, 3, 5, 14, 15, 16):
            told: list[service_pb2.Entry] = []
            place = None
            while page := await queries.entries(ANA, place, size):
                assert len(page) == min(size, len(every) - len(told))
                told += page
                place = (page[-1].height, page[-1].index)
            assert told == every


PLANS = {
    "_ACCOUNTS": {"namespace": 3, "after": b"", "count": 51},
    "_ACCOUNTS_OF_OWNER": {"namespace": 3, "owner": bytes(16), "after": b"", "count": 51},
    "_UNITS": {"namespace": 2, "after": b"", "count": 51},
    "_ENTRIES": {"height": 2**62, "index": 0, "count": 51},
    "_ENTRIES_OF_ACCOUNT": {"account": ANA, "height": 2**62, "count": 51, "bytes": 51 * ENTRY_BYTES_MAX},
    "_BALANCE": {"namespace": 3, "account": ANA, "height": None, "time_ms": 2**62},
    "_LEAF": {"namespace": 3, "identifier": ANA},
    "_TRANSACTION": {"ids": ByteaArray([bytes(32)]), "id_heads": BigintArray([0])},
}


GENERIC = "-c search_path=ledger -c plan_cache_mode=force_generic_plan"


async def plan_of(
    connection: psycopg.AsyncConnection[Any], text: str, parameters: dict[str, Any]
) -> list[tuple[str, str | None]]:
    """Kind and table of every node."""
    cursor = await connection.execute("EXPLAIN (FORMAT JSON) " + text, parameters, prepare=True)
    row = await cursor.fetchone()
    assert row is not None
    nodes, waiting = [], [row[0][0]["Plan"]]
    while waiting:
        node = waiting.pop()
        nodes.append((node["Node Type"], node.get("Relation Name")))
        waiting += node.get("Plans", ())
    return nodes


async def test_a_block_finds_the_leaves_it_changes_by_their_keys_however_few_there_were_once(
    zone: Zone, open_ledger: OpenLedger, dsn: str
) -> None:
    given = {
        "height": 5,
        "namespaces": SmallintArray([3]),
        "identifiers": ByteaArray([ANA]),
        "values": ByteaArray([b"leaf"]),
    }
    async with open_ledger(dsn) as ledger:
        writer = ledger.state._writer
        await opened(ledger, zone)
        assert writer._connection is not None
        await writer.execute("ANALYZE leaves", ())
        await writer.execute("SET plan_cache_mode = force_generic_plan", ())
        nodes = await plan_of(writer._connection, f"WITH {statements._LEAVES} SELECT 1", given)
    read = {kind for kind, relation in nodes if relation == "leaves" and kind != "ModifyTable"}
    assert read == {"Index Scan", "Tid Scan"}, nodes


@pytest.mark.parametrize("name", PLANS)
async def test_a_plan_made_while_tables_were_small_finds_rows_by_their_keys(
    zone: Zone, open_ledger: OpenLedger, dsn: str, name: str
) -> None:
    async with open_ledger(dsn) as ledger:
        await opened(ledger, zone)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, options=GENERIC) as connection:
        nodes = await plan_of(connection, getattr(queries_module, name), PLANS[name])
    read = [relation for kind, relation in nodes if kind in {"Seq Scan", "Bitmap Heap Scan"}]
    assert set(read) <= {"chain"}, nodes
    assert not [kind for kind, _ in nodes if kind in {"Hash Join", "Merge Join"}], nodes


async def test_every_leaf_of_a_busy_state_is_proven(zone: Zone, open_ledger: OpenLedger, dsn: str) -> None:
    async with open_ledger(dsn) as ledger:
        in_memory = memory_ledger(zone)
        for transactions in Workload(zone, 5).blocks(25):
            await in_memory.execute(*transactions, after_ms=BLOCK_MS)
            await ledger.execute(*transactions, after_ms=BLOCK_MS)
        await ledger.execute()
        for namespace, name, record in in_memory.state.records[-1]:
            value, _ = await prove(ledger, namespace, name)
            assert bool(value) == (record is not None)


async def test_epoch_steps_are_given_from_the_epoch_that_is_asked_for(
    zone: Zone, open_ledger: OpenLedger, dsn: str
) -> None:
    async with open_ledger(dsn) as ledger:
        queries = LedgerQueries(ledger.state._database)
        day = zone.genesis.epoch_ms
        for _ in range(3):
            await ledger.execute()
            await ledger.execute(after_ms=day)
        await ledger.execute()
        assert ledger.state.newest.epoch == 3
        for first in range(5):
            proven = await get_proof(Wanted(Namespace.ACCOUNT, ANA), first, queries)
            assert [edge.epoch for edge in proven.edges] == list(range(first, 3))
        for edge in (await get_proof(Wanted(Namespace.ACCOUNT, ANA), 0, queries)).edges:
            header = BlockHeader.FromString(edge.header)
            assert (header.epoch, header.height) == (edge.epoch, edge.height)
            assert zone.genesis.epoch_of(header.time_ms) == edge.epoch + 1
            assert edge.finalization


async def history(ledger: Ledger, names: RecordNames, first: int = 0) -> dict[int, RecordTables]:
    """Records of every height from the first on, as the database has them; each height's tree is checked."""
    wanted = [(namespace, name) for namespace in Namespace for name in names.names(namespace)]
    found = {}
    async with ledger.state._database.connection() as connection:
        for height in range(first, ledger.state.newest.height + 1):
            found[height] = records_of(wanted, await fetch_leaf_bytes(connection, wanted, height))
            pages, changes = await fetch_tree(connection, height, [bytes(32)])
            block = await ledger.state.block_at(height)
            assert block is not None
            assert StateTree(pages).update(changes).root == block.state_root
    return found


async def at_edge(ledger: Ledger, names: RecordNames, epoch: int) -> RecordTables:
    """Records in the state that an epoch's edge names."""
    wanted = [(namespace, name) for namespace in Namespace for name in names.names(namespace)]
    async with ledger.state._database.connection() as connection:
        return records_of(wanted, await fetch_leaf_bytes_at_edge(connection, wanted, epoch))


async def test_pruning_keeps_what_can_be_read_and_the_edges(
    zone: Zone, open_ledger: OpenLedger, dsn: str, query: Query
) -> None:
    shop = zone.organizations[0]
    names = RecordNames(accounts={ANA, BEN}, holds={HOLD}, controllers={shop.principal})
    async with open_ledger(dsn) as ledger:
        database: Database = ledger.state._database
        await opened(ledger, zone)
        expiry = ledger.state.newest.time_ms + 30 * 86_400_000
        await ledger.execute(zone.transaction(shop, place_hold(HOLD, ANA, BEN, 5, expiry)))
        for _ in range(8):
            await move(ledger, zone)
        await move(ledger, zone, after_ms=zone.genesis.epoch_ms)  # the edge, height 11; it names height 10
        for _ in range(9):
            await move(ledger, zone)
        time_ms = ledger.state.newest.time_ms
        await ledger.execute(zone.transaction(shop, void_hold(HOLD), time_ms=time_ms))
        while ledger.state.newest.height < VERSIONED_HEIGHTS + 60:
            await move(ledger, zone)
        before = await history(ledger, names)
        assert await at_edge(ledger, names, 0) == before[10]
        pruner = Pruner(database)
        rounds = 0
        while await pruner.prune():
            rounds += 1
        oldest = ledger.state.newest.height - VERSIONED_HEIGHTS - 1
        assert rounds == -(-oldest // HEIGHTS_PER_TRANSACTION_MAX)
        assert query("SELECT provable_from FROM horizon") == [(oldest,)]
        for height, records in (await history(ledger, names, oldest)).items():
            assert records == before[height], height
        assert before[10].holds[HOLD] is not None
        assert await at_edge(ledger, names, 0) == before[10]
        assert query("SELECT min(height) FROM replaced") == [(oldest + 1,)]
        # Reads at the promised borders go on, also of what was pruned beside them.
        await ledger.state.load_validity(lanes_of(zone), ledger.state.newest.height - VERSIONED_HEIGHTS)
        with pytest.raises(StatePruned):
            await ledger.state.load_validity(lanes_of(zone), oldest)
        assert not await pruner.prune()


async def test_edges_show_what_they_showed_however_often_and_late_is_pruned(
    zone: Zone, open_ledger: OpenLedger, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the ledger in memory, over epochs in which records come, change, go and come again."""
    monkeypatch.setattr("icn_ledger.store.pruner.VERSIONED_HEIGHTS", 3)
    in_memory = memory_ledger(zone)
    names, shown = RecordNames(), {}
    async with open_ledger(dsn) as ledger:
        pruner = Pruner(ledger.state._database)
        for number, transactions in enumerate(Workload(zone, 11).blocks(40)):
            named = in_memory.state.newest
            epoch = zone.genesis.epoch_of(named.time_ms)
            after_ms = zone.genesis.epoch_ms if number % 5 == 4 else BLOCK_MS
            await in_memory.execute(*transactions, after_ms=after_ms)
            await ledger.execute(*transactions, after_ms=after_ms)
            if zone.genesis.epoch_of(ledger.state.newest.time_ms) != epoch:
                shown[epoch] = in_memory.state.records[named.height]
            for namespace, name, _ in in_memory.state.records[-1]:
                names.names(namespace).add(name)
            if number % 7 == 0:
                await pruner.prune()
            for edge, records in shown.items():
                assert without_absent(await at_edge(ledger, names, edge)) == without_absent(records)
        assert len(shown) >= 8
        while await pruner.prune():
            pass
        for edge, records in shown.items():
            assert without_absent(await at_edge(ledger, names, edge)) == without_absent(records)


def without_absent(records: RecordTables) -> dict[tuple[Namespace, bytes], object]:
    return {(namespace, name): record for namespace, name, record in records if record is not None}


async def test_an_edge_shows_the_hold_that_ended_and_came_again_after_it(
    zone: Zone, open_ledger: OpenLedger, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icn_ledger.store.pruner.VERSIONED_HEIGHTS", 1)
    shop, names = zone.organizations[0], RecordNames(holds={HOLD})
    async with open_ledger(dsn) as ledger:

        async def hold(amount: int) -> None:
            time_ms = ledger.state.newest.time_ms
            message = place_hold(HOLD, ANA, BEN, amount, time_ms + 86_400_000)
            await ledger.execute(zone.transaction(shop, message, time_ms=time_ms))

        async def void(**changes: int) -> None:
            time_ms = ledger.state.newest.time_ms
            await ledger.execute(zone.transaction(shop, void_hold(HOLD), time_ms=time_ms), **changes)

        await opened(ledger, zone)
        await hold(5)
        await ledger.execute(after_ms=zone.genesis.epoch_ms // 2)
        await move(ledger, zone, after_ms=zone.genesis.epoch_ms // 2)
        await void()
        await hold(7)
        await void()
        shown = await at_edge(ledger, names, 0)
        assert shown.holds[HOLD] is not None
        assert shown.holds[HOLD].remaining_minor == 5
        for _ in range(4):
            await ledger.execute()
        while await Pruner(ledger.state._database).prune():
            pass
        assert await at_edge(ledger, names, 0) == shown


async def test_edges_older_than_the_kept_ones_are_forgotten(
    zone: Zone, open_ledger: OpenLedger, dsn: str, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icn_ledger.store.pruner.VERSIONED_HEIGHTS", 1)
    monkeypatch.setattr("icn_ledger.store.pruner.EDGES_KEPT", 2)
    async with open_ledger(dsn) as ledger:
        await opened(ledger, zone)
        for _ in range(6):
            await move(ledger, zone, after_ms=zone.genesis.epoch_ms)
            await move(ledger, zone)
        while await Pruner(ledger.state._database).prune():
            pass
        assert query("SELECT DISTINCT epoch FROM leaves_at_edges ORDER BY epoch") == [(3,), (4,)]


async def test_a_record_that_goes_leaves_the_newest_state(
    zone: Zone, open_ledger: OpenLedger, dsn: str, query: Query
) -> None:
    shop = zone.organizations[0]
    async with open_ledger(dsn) as ledger:
        await opened(ledger, zone)
        expiry = ledger.state.newest.time_ms + 30 * 86_400_000
        await ledger.execute(zone.transaction(shop, place_hold(HOLD, ANA, BEN, 5, expiry)))
        assert query("SELECT height FROM leaves WHERE namespace = 4") == [(2,)]
        await ledger.execute(zone.transaction(shop, void_hold(HOLD)))
        assert query("SELECT count(*) FROM leaves WHERE namespace = 4") == [(0,)]
        names = RecordNames(holds={HOLD})
        assert [records.holds[HOLD] is None for records in (await history(ledger, names)).values()] == [
            True,
            True,
            False,
            True,
        ]


async def test_a_header_that_names_a_pruned_state_proves_nothing(
    zone: Zone, open_ledger: OpenLedger, dsn: str
) -> None:
    async with open_ledger(dsn) as ledger:
        named = ledger.state.newest
        while ledger.state.newest.height < VERSIONED_HEIGHTS + 5:
            await ledger.execute()
        while await Pruner(ledger.state._database).prune():
            pass
        await ledger.execute(named=named)
        with pytest.raises(FailedPrecondition) as refusal:
            await prove(ledger, Namespace.ACCOUNT, ANA)
        assert refusal.value.reason == "PROOF_NOT_READY"
        await ledger.execute()
        await prove(ledger, Namespace.ACCOUNT, ANA)

"""Executing blocks over a real Postgres: exactly once, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg
import pytest
from icn.ledger.v1.state_pb2 import RECEIPT_STATUS_APPLIED, Receipt
from icn_crypto.state_tree import build, state_key
from icn_kit.errors import FailedPrecondition, Unavailable
from icn_kit.writer import Writer
from icn_ledger.store.queries import LedgerQueries
from icn_ledger.store.state import StateStore, WrongGenesis
from icn_machine.blocks.execute_block import Execution, Halted
from icn_machine.blocks.final_block import FinalBlock
from icn_machine.blocks.ports import ExecutedBlock, PageNotLoaded
from icn_machine.records import Namespace
from icn_machine.touched import RecordNames

from libs.machine.tests.workload import BLOCK_MS, Workload
from libs.machine.tests.zone import (
    Ledger,
    Zone,
    create_unit,
    first_commit,
    identifier,
    make_zone,
    memory_ledger,
    open_account,
    open_controller,
    place_hold,
    transfer,
)
from services.ledger.tests.conftest import OpenLedger
from services.ledger.tests.integration.conftest import Query

UNIT = identifier("unit")
ANA, BEN = identifier("account of ana"), identifier("account of ben")


async def play(ledger: Ledger, zone: Zone, blocks: int, seed: int = 1) -> list[Execution]:
    return [
        await ledger.execute(*transactions, after_ms=BLOCK_MS)
        for transactions in Workload(zone, seed).blocks(blocks)
    ]


async def test_a_sale_on_credit_moves_both_balances(zone: Zone, open_ledger: OpenLedger, dsn: str) -> None:
    shop = zone.organizations[0]
    ana, ben = zone.member("ana", shop), zone.member("ben", shop)
    async with open_ledger(dsn) as ledger:
        await ledger.execute(
            zone.transaction(shop, open_controller(ana), open_controller(ben)),
            zone.transaction(shop, create_unit(UNIT, floor_minor=-100)),
        )
        await ledger.execute(
            zone.transaction(ana, open_account(ANA, UNIT)), zone.transaction(ben, open_account(BEN, UNIT))
        )
        execution = await ledger.execute(zone.transaction(ana, transfer(ANA, BEN, 100)))
        receipt = Receipt.FromString(execution.outcomes[0][1])
        assert receipt.status == RECEIPT_STATUS_APPLIED
        assert [posting.balance_minor for posting in receipt.postings] == [-100, 100]
        assert ledger.halts == []


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_postgres_and_memory_come_to_the_same_roots_and_receipts(
    zone: Zone, open_ledger: OpenLedger, dsn: str, seed: int
) -> None:
    in_memory = await play(memory_ledger(zone), zone, 40, seed)
    async with open_ledger(dsn) as ledger:
        assert await play(ledger, make_zone(), 40, seed) == in_memory
        assert ledger.halts == []


async def test_a_restart_before_every_block_comes_to_the_same_roots(
    zone: Zone, open_ledger: OpenLedger, dsn: str
) -> None:
    expected = await play(memory_ledger(zone), zone, 12)
    for number, transactions in enumerate(Workload(make_zone(), 1).blocks(12)):
        async with open_ledger(dsn) as ledger:
            assert ledger.state.newest.height == number
            assert await ledger.execute(*transactions, after_ms=BLOCK_MS) == expected[number]


def pages_of(query: Query, unwritten: Mapping[bytes, bytes | None]) -> dict[object, object]:
    """The newest tree: the written pages and what has changed since."""
    pages = {**dict(query("SELECT prefix, page FROM tree_pages")), **unwritten}
    return {prefix: page for prefix, page in pages.items() if page is not None}


async def test_the_tree_built_anew_from_the_leaves_has_the_stored_root(
    zone: Zone, open_ledger: OpenLedger, dsn: str, query: Query
) -> None:
    async with open_ledger(dsn) as ledger:
        executions = await play(ledger, zone, 30)
        unwritten = ledger.state._position.unwritten
    leaves = {
        state_key(namespace, identifier_): value
        for namespace, identifier_, value in query("SELECT namespace, identifier, value FROM leaves")
    }
    rebuilt = build(leaves)
    assert rebuilt.root == executions[-1].block.state_root
    assert pages_of(query, unwritten) == rebuilt.pages
    assert len(unwritten) > 0
    async with open_ledger(dsn) as ledger:
        assert pages_of(query, ledger.state._position.unwritten) == rebuilt.pages


@pytest.mark.parametrize("heights", [1, 15, 16, 18, 33])
async def test_pages_are_written_every_sixteen_heights_and_made_up_for_after_a_restart(
    zone: Zone, open_ledger: OpenLedger, dsn: str, query: Query, heights: int
) -> None:
    async with open_ledger(dsn) as ledger:
        await play(ledger, zone, heights)
        unwritten = ledger.state._position.unwritten
    assert query("SELECT pages_height FROM chain") == [(heights // 16 * 16,)]
    assert (unwritten == {}) == (heights % 16 == 0)
    expected = pages_of(query, unwritten)
    async with open_ledger(dsn) as ledger:
        assert pages_of(query, ledger.state._position.unwritten) == expected


async def test_pages_are_written_at_once_when_many_have_changed(
    zone: Zone, open_ledger: OpenLedger, dsn: str, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icn_ledger.store.state.PAGES_BEHIND_MAX", 0)
    async with open_ledger(dsn) as ledger:
        await play(ledger, zone, 3)
    assert query("SELECT pages_height FROM chain") == [(3,)]


async def test_pages_that_are_not_in_memory_are_read(
    zone: Zone, open_ledger: OpenLedger, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = await play(memory_ledger(zone), zone, 20)
    monkeypatch.setattr("icn_ledger.store.state.PAGES_BEHIND_MAX", 0)
    async with open_ledger(dsn) as ledger:
        for number, transactions in enumerate(Workload(make_zone(), 1).blocks(20)):
            ledger.state._pages.clear()
            with pytest.raises(PageNotLoaded):
                ledger.state.pages.get(b"")
            assert await ledger.execute(*transactions, after_ms=BLOCK_MS) == expected[number]


async def test_a_tree_with_another_root_is_not_built_upon(
    zone: Zone, open_ledger: OpenLedger, dsn: str, query: Query
) -> None:
    async with open_ledger(dsn) as ledger:
        await play(ledger, zone, 20)
    query("UPDATE leaves SET value = value || 'x' WHERE height = (SELECT max(height) FROM leaves)")
    with pytest.raises(AssertionError, match="another root"):
        async with open_ledger(dsn):
            pass


async def test_an_executed_height_gives_its_first_answer_also_after_a_restart(
    zone: Zone, open_ledger: OpenLedger, dsn: str
) -> None:
    shop = zone.organizations[0]
    transactions = [zone.transaction(shop, create_unit(UNIT)), zone.transaction(shop, create_unit(UNIT))]
    async with open_ledger(dsn) as ledger:
        final = FinalBlock(ledger.header(transactions), transactions, b"\x08\x03", ())
        first = await ledger.executor.execute(final)
        await ledger.execute()
        assert await ledger.executor.execute(final) == first
    async with open_ledger(dsn) as ledger:
        assert await ledger.executor.execute(final) == first
        with pytest.raises(FailedPrecondition) as refusal:
            await ledger.execute(height=1)
        assert refusal.value.reason == "BLOCK_CONFLICT"


async def _wait_until_blocked(dsn: str) -> int:
    """The backend that waits for a lock."""
    for _ in range(500):
        with psycopg.connect(dsn, autocommit=True) as connection:
            row = connection.execute(
                "SELECT pid FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            ).fetchone()
        if row is not None:
            return int(row[0])
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits for the lock")


@pytest.mark.parametrize("table", ["blocks", "leaves"])
async def test_a_connection_killed_inside_the_transaction_leaves_nothing_and_the_block_is_executed_again(
    zone: Zone, open_ledger: OpenLedger, dsn: str, query: Query, table: str
) -> None:
    expected = await play(memory_ledger(zone), zone, 4)
    blocks = list(Workload(make_zone(), 1).blocks(4))
    async with open_ledger(dsn) as ledger:
        for transactions in blocks[:2]:
            await ledger.execute(*transactions, after_ms=BLOCK_MS)
        header = ledger.header(blocks[2], after_ms=BLOCK_MS)
        final = FinalBlock(header, blocks[2], b"\x08\x03", ())
        with psycopg.connect(dsn, options="-c search_path=ledger") as blocker:
            blocker.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
            call = asyncio.create_task(ledger.executor.execute(final))
            pid = await _wait_until_blocked(dsn)
            blocker.execute("SELECT pg_terminate_backend(%s)", (pid,))
            with pytest.raises(Unavailable):
                await call
        for name in ("blocks", "transactions", "entries", "leaves", "replaced"):
            assert query(f"SELECT count(*) FROM {name} WHERE height > 2") == [(0,)]
        assert query("SELECT executed_height FROM chain") == [(2,)]
        assert await ledger.executor.execute(final) == expected[2]
        assert await ledger.execute(*blocks[3], after_ms=BLOCK_MS) == expected[3]
        assert ledger.halts == []


async def test_a_statement_that_the_server_still_runs_is_ended_before_the_block_is_executed_again(
    zone: Zone, open_ledger: OpenLedger, dsn: str, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is lost on this side only; the other side would commit as soon as a lock is free."""
    expected = await play(memory_ledger(zone), zone, 2)
    blocks = list(Workload(make_zone(), 1).blocks(2))
    async with open_ledger(dsn) as ledger:
        await ledger.execute(*blocks[0], after_ms=BLOCK_MS)
        running: list[asyncio.Task[object]] = []
        writer = ledger.state._writer
        write = writer.execute

        async def lose(text: str, parameters: Any) -> int:
            running.append(asyncio.create_task(write(text, parameters)))
            await _wait_until_blocked(dsn)
            raise Unavailable("DATABASE_UNAVAILABLE", "the connection to Postgres was lost")

        async def stay() -> None:
            """The connection is not closed from this side."""

        monkeypatch.setattr(writer, "execute", lose)
        monkeypatch.setattr(writer, "close", stay)
        with psycopg.connect(dsn, options="-c search_path=ledger") as blocker:
            blocker.execute("LOCK TABLE blocks IN SHARE ROW EXCLUSIVE MODE")
            with pytest.raises(Unavailable):
                await ledger.execute(*blocks[1], after_ms=BLOCK_MS)
            await ledger.state.settle()
        with pytest.raises(Unavailable):
            await running[0]
        monkeypatch.undo()
        await writer.close()
        assert query("SELECT executed_height FROM chain") == [(1,)]
        assert await ledger.execute(*blocks[1], after_ms=BLOCK_MS) == expected[1]
        assert ledger.halts == []


async def test_a_height_is_judged_by_its_own_records_also_while_the_last_commit_is_in_doubt(
    zone: Zone, open_ledger: OpenLedger, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = zone.organizations[0]
    names = RecordNames(controllers={shop.principal}, allowances={shop.principal})
    async with open_ledger(dsn) as ledger:
        await ledger.execute(zone.transaction(shop, create_unit(UNIT)))
        before = await ledger.state.load_validity(names, 1)
        writer = ledger.state._writer
        write = writer.execute

        async def write_and_lose(text: str, parameters: Any) -> int:
            await write(text, parameters)
            raise Unavailable("DATABASE_UNAVAILABLE", "the connection to Postgres was lost")

        monkeypatch.setattr(writer, "execute", write_and_lose)
        with pytest.raises(Unavailable):
            await ledger.execute(zone.transaction(shop, create_unit(identifier("other unit"))))
        monkeypatch.undo()
        ledger.state._records.clear()
        assert await ledger.state.load_validity(names, 1) == before
        await ledger.state.settle()
        assert ledger.state.newest.height == 2
        assert await ledger.state.load_validity(names, 2) != before
        assert await ledger.state.load_validity(names, 1) == before


async def test_a_commit_whose_answer_was_lost_is_found_and_not_repeated(
    zone: Zone, open_ledger: OpenLedger, dsn: str, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = await play(memory_ledger(zone), zone, 3)
    blocks = list(Workload(make_zone(), 1).blocks(3))
    async with open_ledger(dsn) as ledger:
        write = Writer.execute

        async def write_and_lose(writer: Writer, text: str, parameters: object) -> None:
            await write(writer, text, parameters)
            raise Unavailable("DATABASE_UNAVAILABLE", "made up")

        final = FinalBlock(ledger.header(blocks[0], after_ms=BLOCK_MS), blocks[0], b"\x08\x03", ())
        with monkeypatch.context() as patch:
            patch.setattr(Writer, "execute", write_and_lose)
            with pytest.raises(Unavailable):
                await ledger.executor.execute(final)
        assert await ledger.executor.execute(final) == expected[0]
        for number in (1, 2):
            assert await ledger.execute(*blocks[number], after_ms=BLOCK_MS) == expected[number]
        assert query("SELECT count(*) FROM blocks") == [(4,)]


async def test_two_processes_over_one_database_stop_instead_of_mixing(
    zone: Zone, open_ledger: OpenLedger, dsn: str, query: Query
) -> None:
    async with open_ledger(dsn) as one, open_ledger(dsn) as other:
        await one.execute(zone.transaction(zone.organizations[0], create_unit(UNIT)))
        with pytest.raises(Halted):
            await other.execute(zone.transaction(zone.organizations[1], create_unit(UNIT)))
        assert len(other.halts) == 1
        await one.execute()
        assert query("SELECT count(*) FROM units") == [(1,)]


async def test_another_zones_database_is_refused(zone: Zone, open_ledger: OpenLedger, dsn: str) -> None:
    async with open_ledger(dsn) as ledger:
        await ledger.execute()
        other = make_zone({"bytes_per_epoch": 1, "signatures_per_epoch": 1, "state_leaves": 1}).genesis
        with pytest.raises(WrongGenesis):
            await StateStore.open(
                ledger.state._database,
                lambda _: pytest.fail("nothing is written"),
                other.hash,
                first_commit(other),
            )


async def test_holds_expire_on_an_idle_chain_and_after_a_restart(
    zone: Zone, open_ledger: OpenLedger, dsn: str, query: Query
) -> None:
    shop = zone.organizations[0]
    opening = zone.transaction(
        shop, create_unit(UNIT, floor_minor=-100), open_account(ANA, UNIT), open_account(BEN, UNIT)
    )
    async with open_ledger(dsn) as ledger:
        await ledger.execute(opening)
        now = ledger.state.newest.time_ms + 1_000
        holds = [place_hold(identifier(f"hold {n}"), ANA, BEN, 10, now + 1_000 * n) for n in (3, 1, 2)]
        block = (await ledger.execute(zone.transaction(shop, *holds))).block
        assert block.next_expiry_time_ms == now + 1_000
    async with open_ledger(dsn) as ledger:
        assert ledger.state.newest == block
        assert (await ledger.execute(after_ms=999)).block.next_expiry_time_ms == now + 1_000
        released = (await ledger.execute(after_ms=1)).block
        assert (released.next_expiry_time_ms, released.has_changed_state) == (now + 2_000, True)
        assert (await ledger.execute(after_ms=10_000)).block.next_expiry_time_ms == 0
        assert query("SELECT count(*) FROM holds") == [(0,)]
        leaf = await LedgerQueries(ledger.state._database).leaf(Namespace.HOLD, identifier("hold 1"))
        assert leaf is None


async def test_a_block_is_one_statement_whatever_it_holds(
    zone: Zone, open_ledger: OpenLedger, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []
    write = Writer.execute

    async def noted(writer: Writer, text: str, parameters: object) -> None:
        texts.append(text)
        await write(writer, text, parameters)

    monkeypatch.setattr(Writer, "execute", noted)
    shop = zone.organizations[0]
    async with open_ledger(dsn) as ledger:
        opening = [create_unit(UNIT, floor_minor=-(2**40)), open_account(ANA, UNIT), open_account(BEN, UNIT)]
        await ledger.execute(zone.transaction(shop, *opening))
        for transfers in (1, 100):
            await ledger.execute(*[zone.transaction(shop, transfer(ANA, BEN, 1)) for _ in range(transfers)])
    assert len(texts) == 3
    assert texts[1] == texts[2]


async def test_newest_is_a_block_of_the_store(zone: Zone, open_ledger: OpenLedger, dsn: str) -> None:
    async with open_ledger(dsn) as ledger:
        block = (await ledger.execute()).block
        assert isinstance(block, ExecutedBlock)
        assert await ledger.state.block_at(1) == block
        assert await ledger.state.block_at(2) is None
        genesis = await ledger.state.block_at(0)
        assert genesis is not None
        assert genesis.height == 0

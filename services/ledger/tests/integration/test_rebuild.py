"""A ledger made anew from its blocks: the same rows, compared at every root; refused where blocks differ."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import psycopg
import pytest
from icn.consensus.v1.block_pb2 import BlockHeader
from icn_kit import migrate
from icn_kit.envelope import ledger_event_id
from icn_kit.errors import DomainError
from icn_kit.outbox import events_of_row
from icn_ledger.main import rebuild
from icn_ledger.store.pruner import Pruner
from icn_ledger.usecases.rebuild_ledger import Rebuilt, RootDiffers
from icn_localnet.pytest_plugin import Templates
from icn_machine.blocks.contract_engine import NoVm
from icn_machine.blocks.final_block import FinalBlock

from libs.machine.tests.workload import Workload
from libs.machine.tests.zone import Zone
from services.ledger.tests.certified import Certified
from services.ledger.tests.conftest import OpenLedger

BLOCKS = 300
"""More than are kept provable, so that some of what was replaced is forgotten."""
BESIDE = "ledger_beside"
SAME_ROWS = {
    "chain": "SELECT * FROM chain",
    "horizon": "SELECT * FROM horizon",
    "blocks": "SELECT * FROM blocks",
    "transactions": "SELECT * FROM transactions",
    "transaction_places": "SELECT * FROM transaction_places",
    "entries": "SELECT * FROM entries",
    "entry_blocks": "SELECT * FROM entry_blocks",
    "leaves": "SELECT * FROM leaves",
    "replaced": "SELECT * FROM replaced",
    "leaves_at_edges": "SELECT * FROM leaves_at_edges",
    "tree_pages": "SELECT * FROM tree_pages",
    "accounts": "SELECT * FROM accounts",
    "units": "SELECT * FROM units",
    "holds": "SELECT * FROM holds",
    "open_polls": "SELECT * FROM open_polls",
    "memberships": "SELECT * FROM memberships",
    "duties": "SELECT * FROM duties",
    "epoch_edges": "SELECT * FROM epoch_edges",
    "validator_sets": "SELECT * FROM validator_sets",
    "outbox": "SELECT position, id, subject, envelope FROM outbox",
}
"""Everything but snapshots, which are written in their own time, and what Postgres says of the outbox."""

Rows = Callable[[str, str], list[tuple[object, ...]]]


@pytest.fixture
def dsn(database_templates: Templates) -> Iterator[str]:
    """A fresh database with the ledger's tables, and with empty ones in a schema beside them."""
    database, dsn = database_templates.copy("icn_ledger")
    with database_templates.server.connect(database) as connection:
        connection.execute(f"CREATE SCHEMA {BESIDE} AUTHORIZATION ledger")
    migrate.upgrade(dsn, BESIDE, migrate.versions_folder_of("icn_ledger"))
    yield dsn
    database_templates.drop(database)


@pytest.fixture
def rows(dsn: str) -> Rows:
    """The rows of a query in a schema, in an order that both have."""

    def run(schema: str, text: str) -> list[tuple[object, ...]]:
        with psycopg.connect(dsn, autocommit=True, options=f"-c search_path={schema}") as connection:
            return sorted(connection.execute(text).fetchall(), key=repr)

    return run


async def given(blocks: Sequence[FinalBlock]) -> AsyncIterator[FinalBlock]:
    for block in blocks:
        yield block


async def beside(
    zone: Zone, dsn: str, blocks: Sequence[FinalBlock], *, may_replace: bool = True
) -> tuple[Rebuilt, list[int]]:
    heights: list[int] = []
    rebuilt = await rebuild(
        zone.genesis, dsn, BESIDE, given(blocks), NoVm(), may_replace=may_replace, on_block=heights.append
    )
    return rebuilt, heights


async def played(open_ledger: OpenLedger, dsn: str, zone: Zone, count: int) -> Certified:
    """A ledger that has executed so many blocks and is pruned."""
    async with open_ledger(dsn) as ledger:
        made = Certified(ledger)
        blocks = list(Workload(zone, 5).blocks(count - 4))
        for block in blocks[:3]:
            await made.execute(*block)
        for _ in range(2):
            await made.pass_edge()
            await made.execute(signers=(0, 1, 3))
        for block in blocks[3:]:
            await made.execute(*block)
        pruner = Pruner(made.state._database)  # type: ignore[union-attr]
        while await pruner.prune():
            pass
        return made


async def test_row_for_row_it_is_the_ledger_that_executed_the_blocks_when_they_came(
    zone: Zone, open_ledger: OpenLedger, dsn: str, rows: Rows
) -> None:
    made = await played(open_ledger, dsn, zone, BLOCKS + 4)
    rebuilt, heights = await beside(zone, dsn, made.blocks)
    newest = made.state.newest
    assert (rebuilt.height, rebuilt.state_root) == (newest.height, newest.state_root)
    assert heights == list(range(1, newest.height + 1))
    named = BlockHeader.FromString(newest.header)
    assert (rebuilt.named_height, rebuilt.named_state_root) == (named.executed_height, named.state_root)
    assert rebuilt.transactions == sum(len(block.transactions) for block in made.blocks)
    for table, text in SAME_ROWS.items():
        assert rows(BESIDE, text) == rows("ledger", text), table
    assert rows(BESIDE, "SELECT provable_from FROM horizon") > [(0,)], "what is too old was forgotten"
    assert rows(BESIDE, "SELECT epoch FROM leaves_at_edges"), "an edge lies that far back"


async def test_its_events_are_those_of_before_so_that_nobody_takes_one_for_another(
    zone: Zone, open_ledger: OpenLedger, dsn: str, rows: Rows
) -> None:
    made = await played(open_ledger, dsn, zone, 20)
    await beside(zone, dsn, made.blocks)
    events = [
        event
        for _, subject, envelope in rows(BESIDE, "SELECT position, subject, envelope FROM outbox")
        for event in events_of_row(str(subject), envelope)  # type: ignore[arg-type]
    ]
    assert len({event.id for event in events}) == len(events) > 20
    first = next(event for event in events if event.height == 1)
    assert first.id == ledger_event_id(zone.genesis.hash[:16], 1, 0)


async def test_a_root_that_executing_does_not_give_is_named_with_what_it_should_be(
    zone: Zone, open_ledger: OpenLedger, dsn: str, rows: Rows
) -> None:
    made = await played(open_ledger, dsn, zone, 10)
    before = {table: rows("ledger", text) for table, text in SAME_ROWS.items()}
    last = BlockHeader.FromString(made.blocks[-1].header)
    for name in ("state_root", "receipts_root", "log_root"):
        header = BlockHeader.FromString(made.blocks[-1].header)
        setattr(header, name, bytes(32))
        block = made.blocks[-1]._replace(header=header.SerializeToString(deterministic=True))
        with pytest.raises(RootDiffers, match=f"{name} after height {last.executed_height}") as refusal:
            await beside(zone, dsn, [*made.blocks[:-1], block])
        assert refusal.value.metadata == {
            "height": last.executed_height,
            "name": name,
            "expected": bytes(32).hex(),
            "found": getattr(last, name).hex(),
            "named_by": last.height,
        }
    assert {table: rows("ledger", text) for table, text in SAME_ROWS.items()} == before


@pytest.mark.parametrize("left_out", [0, 4])
async def test_a_block_that_does_not_follow_is_refused(
    zone: Zone, open_ledger: OpenLedger, dsn: str, left_out: int
) -> None:
    made = await played(open_ledger, dsn, zone, 10)
    with pytest.raises(DomainError) as refusal:
        await beside(zone, dsn, made.blocks[:left_out] + made.blocks[left_out + 1 :])
    assert refusal.value.reason == "HEIGHT_GAP"


async def test_a_ledger_at_genesis_is_replaced_without_asking_one_with_a_block_is_not(
    zone: Zone, open_ledger: OpenLedger, dsn: str
) -> None:
    with pytest.raises(DomainError) as refusal:
        await beside(zone, dsn, [], may_replace=False)
    assert refusal.value.reason == "NO_BLOCKS", "nothing was there, and nothing comes of nothing"
    async with open_ledger(dsn) as ledger:
        made = Certified(ledger)
        with pytest.raises(DomainError) as refusal:
            await beside(zone, dsn, [], may_replace=False)
        assert refusal.value.reason == "NO_BLOCKS"
        await made.execute()
    with pytest.raises(DomainError, match="the ledger stands at height 1") as refusal:
        await beside(zone, dsn, made.blocks, may_replace=False)
    assert refusal.value.reason == "LEDGER_NOT_EMPTY"
    assert (await beside(zone, dsn, made.blocks))[0].height == 1

"""Snapshots over a real database: written in the background, restored as a whole or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import psycopg
import pytest
from icn.consensus.v1 import application_pb2 as app
from icn.ledger.v1 import service_pb2 as pb
from icn.ledger.v1 import snapshot_pb2
from icn_crypto.state_tree import build, state_key
from icn_kit.errors import FailedPrecondition
from icn_ledger.store import snapshots as snapshots_module
from icn_ledger.store.pruner import Pruner
from icn_ledger.store.queries import LAST_IDENTIFIER, LedgerQueries
from icn_ledger.store.versions import fetch_leaf_bytes_at_edge
from icn_ledger.usecases.get_receipt_proof import get_receipt_proof
from icn_localnet.pytest_plugin import DatabaseFor
from icn_machine.blocks.ports import StatePruned
from icn_machine.records import Namespace

from libs.machine.tests.credit_messages import open_with
from libs.machine.tests.workload import ACCOUNTS, Workload
from libs.machine.tests.zone import (
    Zone,
    anchor,
    create_unit,
    identifier,
    memory_ledger,
    open_account,
    set_floor,
)
from services.ledger.tests.certified import Certified, restore
from services.ledger.tests.conftest import OpenLedger
from services.ledger.tests.integration.conftest import Running, refuse

BLOCKS = 40
LISTS = (
    "accounts",
    "units",
    "holds",
    "open_polls",
    "memberships",
    "duties",
    "epoch_edges",
    "validator_sets",
)


def rows(dsn: str, text: str) -> list[Any]:
    with psycopg.connect(dsn, autocommit=True, options="-c search_path=ledger") as connection:
        return connection.execute(text).fetchall()


async def fill(source: Certified) -> None:
    """Two epochs of everything, then a snapshot that is due two heights below the newest."""
    for block in Workload(source.zone, 3).blocks(BLOCKS):
        await source.execute(*block)
    for _ in range(2):
        await source.pass_edge()
        await source.execute(signers=(0, 1, 3))
        await source.execute()


def more(zone: Zone, number: int) -> list[bytes]:
    """Transactions of an organization, one of which changes what the workload left."""
    shop = zone.organizations[0]
    return [
        zone.transaction(shop, anchor(number.to_bytes(32, "big"))),
        zone.transaction(shop, set_floor(ACCOUNTS[number % 3], -1_000 - number)),
    ]


async def answers(queries: LedgerQueries) -> dict[str, Any]:
    """What every query that reads the state says."""
    found: dict[str, Any] = {
        "accounts": await queries.accounts(b"", b"", 100),
        "units": await queries.units(b"", 100),
        "duties": await queries.duties(b"", None, 100),
        "validators": await queries.validators(),
        "countable": [sorted(map(str, one)) for one in await queries.countable()],
        "block": (await queries.blocks(None, 1))[0].block,
    }
    for namespace in Namespace:
        found[namespace.name] = await queries.prefixed(namespace, b"", b"", 1_000)
    for owner in (identifier("member 1"), identifier("co-op 0")):
        found[f"of {owner.hex()}"] = await queries.accounts(owner, b"", 100)
        found[f"memberships {owner.hex()}"] = await queries.memberships_of(owner, b"", 100)
    return found


async def test_a_restored_ledger_says_and_does_what_the_one_that_executed_everything_does(
    zone: Zone, open_ledger: OpenLedger, database_for: DatabaseFor
) -> None:
    dsn, other_dsn = database_for("icn_ledger"), database_for("icn_ledger")
    async with open_ledger(dsn) as executed, open_ledger(other_dsn) as empty:
        source, target = Certified(executed), Certified(empty)
        await fill(source)
        snapshot = await source.write()
        chunks = await source.chunks(snapshot)
        await restore(target, snapshot, chunks)
        height = source.state.newest.height - 1
        assert (target.state.newest.height, target.state.snapshot_height) == (height, height)
        assert target.state.newest.next_expiry_time_ms == source.state.newest.next_expiry_time_ms
        for table in LISTS:
            assert sorted(rows(other_dsn, f"SELECT * FROM {table}")) == sorted(
                rows(dsn, f"SELECT * FROM {table}")
            ), table
        leaves = rows(other_dsn, "SELECT namespace, identifier, value FROM leaves")
        assert sorted(leaves) == sorted(rows(dsn, "SELECT namespace, identifier, value FROM leaves"))
        tree = build({state_key(namespace, name): value for namespace, name, value in leaves})
        assert dict(rows(other_dsn, "SELECT prefix, page FROM tree_pages")) == tree.pages
        await target.play(source.blocks[-1])
        for number in range(3):
            await source.execute(*more(zone, number))
            await target.play(source.blocks[-1])
        await source.pass_edge()
        await target.play(source.blocks[-1])
        await source.execute(signers=(1, 2, 3))
        await target.play(source.blocks[-1])
        assert target.state.newest == source.state.newest
        assert target.state.duty == source.state.duty
        database, other = source.state._database, target.state._database  # type: ignore[union-attr]
        assert await answers(LedgerQueries(other)) == await answers(LedgerQueries(database))
        # The chain of receipts goes on from the root that the snapshot brought.
        proven = await LedgerQueries(database).block(height + 2)
        assert proven is not None and proven.transaction_ids
        for transaction_id in proven.transaction_ids:
            assert await get_receipt_proof(transaction_id, 0, LedgerQueries(other)) == (
                await get_receipt_proof(transaction_id, 0, LedgerQueries(database))
            )
        with pytest.raises(StatePruned):
            async with other.connection() as connection:
                await fetch_leaf_bytes_at_edge(connection, [], 0)
    async with open_ledger(other_dsn) as again:
        assert again.state.newest == source.state.newest
        assert again.state.snapshot_height == height


async def test_the_state_of_a_height_is_written_while_blocks_go_on_and_are_forgotten(
    zone: Zone, open_ledger: OpenLedger, dsn: str
) -> None:
    async with open_ledger(dsn) as ledger:
        source = Certified(ledger)
        await fill(source)
        twin = Certified(memory_ledger(zone))
        for block in source.blocks:
            await twin.play(block)
        for number in range(300):
            await source.execute(*more(zone, number))
        async with source.snapshots.state_after(source.due[-1].height) as state:
            await source.execute(after_ms=60_000)  # holds fall due
            while await Pruner(source.state._database).prune():  # type: ignore[union-attr]
                pass
            found = [leaf async for some in state.leaves() for leaf in some]
        async with twin.snapshots.state_after(source.due[-1].height) as state:
            assert found == [leaf async for some in state.leaves() for leaf in some]


async def test_two_snapshots_are_kept_with_their_chunks_and_no_others(
    zone: Zone, open_ledger: OpenLedger, dsn: str
) -> None:
    async with open_ledger(dsn) as ledger:
        source = Certified(ledger)
        await fill(source)
        written = [await source.write()]
        await source.snapshots.put_chunk(b"left over", b"by a crash")
        for _ in range(2):
            await source.pass_edge()
            await source.execute()
            await source.execute()
            written.append(await source.write())
        kept = [height for (height,) in rows(dsn, "SELECT height FROM snapshots ORDER BY height")]
        assert kept == [snapshot_pb2.Snapshot.FromString(one).height for one in written[1:]]
        held = {bytes(digest) for (digest,) in rows(dsn, "SELECT digest FROM snapshot_chunks")}
        assert held == {
            bytes(digest) for (digests,) in rows(dsn, "SELECT digests FROM snapshots") for digest in digests
        }
        for snapshot in written[1:]:
            await source.chunks(snapshot)


@pytest.mark.parametrize(
    "statement", ["_ADD_LEAVES", "_ADD_PAGES", "_ADD_BLOCK", "_MOVE_CHAIN", "_MOVE_HORIZON"]
)
async def test_a_restore_that_breaks_leaves_genesis_and_can_be_made_again(
    zone: Zone,
    open_ledger: OpenLedger,
    database_for: DatabaseFor,
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
) -> None:
    source = Certified(memory_ledger(zone))
    await fill(source)
    snapshot = await source.write()
    chunks = await source.chunks(snapshot)
    dsn = database_for("icn_ledger")
    async with open_ledger(dsn) as ledger:
        target = Certified(ledger)
        genesis = await LedgerQueries(ledger.state._database).countable()  # type: ignore[union-attr]
        restorer = target.restorer()
        await restorer.offer(snapshot)
        for chunk in chunks:
            await restorer.put(chunk)
        with monkeypatch.context() as patch:
            patch.setattr(snapshots_module, statement, "SELECT 1 / 0")
            with pytest.raises(psycopg.Error):
                await restorer.restore()
    async with open_ledger(dsn) as ledger:
        target = Certified(ledger)
        assert (target.state.newest.height, target.state.snapshot_height) == (0, 0)
        assert await LedgerQueries(ledger.state._database).countable() == genesis  # type: ignore[union-attr]
        restorer = target.restorer()
        assert (await restorer.offer(snapshot))[1] == []  # what was put is still there
        await restorer.restore()
        assert target.state.newest.state_root == source.state.newest.state_root
        with pytest.raises(FailedPrecondition) as refusal:
            await target.restorer().offer(snapshot)
        assert refusal.value.reason == "STATE_NOT_EMPTY"


async def served(running: Running, source: Certified, snapshot: bytes) -> None:
    """Restore a served ledger over its RPCs."""
    await running.application.OfferSnapshot(app.OfferSnapshotRequest(snapshot=snapshot))
    for chunk in await source.chunks(snapshot):
        await running.application.PutSnapshotChunk(app.PutSnapshotChunkRequest(chunk=chunk))
    await running.application.RestoreSnapshot(app.RestoreSnapshotRequest())


async def test_what_lies_before_the_snapshot_is_refused_and_not_answered_as_if_it_were_not(
    running: Running, zone: Zone
) -> None:
    source = Certified(memory_ledger(zone))
    await fill(source)
    snapshot = await source.write()
    info = await running.application.GetInfo(app.GetInfoRequest())
    assert not info.HasField("restored")
    await served(running, source, snapshot)
    info = await running.application.GetInfo(app.GetInfoRequest())
    height = info.state.executed_height
    assert info.restored.header == snapshot_pb2.Snapshot.FromString(snapshot).headers[0]
    ledger = running.ledger
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await ledger.GetBlock(pb.GetBlockRequest(name="blocks/3"))
    assert f"from height {height + 1} on" in str(refusal.value.details())
    old = source.ledger.executed[5].outcomes
    of_account = f"accounts/{ACCOUNTS[0].hex()}"
    account = source.state.records_at(height).accounts[ACCOUNTS[0]]  # type: ignore[union-attr]
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: ledger.GetBlock(pb.GetBlockRequest(name=f"blocks/{height}")),
        lambda: ledger.ListBlocks(pb.ListBlocksRequest()),
        lambda: ledger.GetBalance(pb.GetBalanceRequest(name=of_account, height=height - 1)),
        lambda: ledger.GetBalance(pb.GetBalanceRequest(name=of_account, time_ms=info.state.time_ms - 1)),
        lambda: ledger.ListEntries(pb.ListEntriesRequest()),
        lambda: ledger.ListEntries(pb.ListEntriesRequest(account=f"accounts/{ACCOUNTS[0].hex()}")),
        lambda: ledger.GetTransaction(pb.GetTransactionRequest(name=f"transactions/{old[0][0].hex()}")),
        lambda: ledger.GetEventsEnd(pb.GetEventsEndRequest()),
        lambda: anext(aiter(ledger.WatchBlocks(pb.WatchBlocksRequest(from_height=1)))),
    ]
    for call in calls:
        assert await refuse(call(), grpc.StatusCode.FAILED_PRECONDITION) == "HISTORY_MISSING"
    assert (
        await refuse(
            ledger.ListEntries(pb.ListEntriesRequest(account=f"accounts/{LAST_IDENTIFIER.hex()}")),
            grpc.StatusCode.NOT_FOUND,
        )
        == "ACCOUNT_UNKNOWN"
    )
    genesis = await ledger.GetBlock(pb.GetBlockRequest(name="blocks/0"))
    assert genesis.block.hash == zone.genesis.hash or genesis.block.height == 0
    used = next(one for block in source.blocks[2:] for one in block.transactions)
    checks = await running.application.CheckTransactions(app.CheckTransactionsRequest(transactions=[used]))
    assert checks.checks[0].reason in {"HISTORY_MISSING", "EXPIRED"}
    block = source.blocks[-1]
    request = _asked(block)
    at_snapshot = pb.GetBalanceRequest(name=of_account, height=height)
    assert account.entries > 0
    for is_executed in (False, True):
        if is_executed:
            await running.application.ExecuteBlock(request)
        found = await ledger.GetBalance(at_snapshot)
        assert (found.balance_minor, found.entries) == (account.balance_minor, account.entries)
        assert not found.HasField("entry")
    (opening,) = [
        part.opening
        async for part in ledger.GetStatement(
            pb.GetStatementRequest(name=of_account, from_height=height + 1, until_height=height + 2)
        )
        if part.HasField("opening")
    ]
    assert (opening.balance_minor, opening.entries) == (account.balance_minor, account.entries)
    page = await ledger.ListBlocks(pb.ListBlocksRequest())
    assert [one.height for one in page.blocks] == [height + 1]
    assert (
        await refuse(
            ledger.ListBlocks(pb.ListBlocksRequest(page_token=page.next_page_token)),
            grpc.StatusCode.FAILED_PRECONDITION,
        )
        == "HISTORY_MISSING"
    )
    assert not (await running.application.GetInfo(app.GetInfoRequest())).HasField("restored")


async def test_a_restored_ledger_tells_sub_accounts_in_the_order_in_which_they_were_opened(
    running: Running, zone: Zone
) -> None:
    source = Certified(memory_ledger(zone))
    shop, unit = zone.organizations[0], identifier("unit")
    main, *subs = (identifier(name) for name in ("main", "first", "second", "third"))
    *before, after = (open_with(one, unit, parent=main) for one in subs)
    await source.execute(zone.transaction(shop, create_unit(unit), open_account(main, unit), *before))
    for _ in range(2):
        await source.pass_edge()
        await source.execute()
        await source.execute()
    snapshot = await source.write()
    await served(running, source, snapshot)

    async def listed() -> list[bytes]:
        request = pb.ListAccountsRequest(parent=f"accounts/{main.hex()}")
        return [account.leaf.account for account in (await running.ledger.ListAccounts(request)).accounts]

    assert await listed() == subs[:2]
    (block,) = source.blocks[snapshot_pb2.Snapshot.FromString(snapshot).height :]
    await running.application.ExecuteBlock(_asked(block))
    await source.execute(zone.transaction(shop, after))
    await running.application.ExecuteBlock(_asked(source.blocks[-1]))
    assert await listed() == subs


def _asked(block: Any) -> app.ExecuteBlockRequest:
    return app.ExecuteBlockRequest(
        header=block.header,
        transactions=block.transactions,
        finalization=block.finalization,
        parent_certificate=block.parent_certificate,
    )

"""The ledger as a service: real sockets, real database, every kind of wrong input."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from icn.consensus.v1 import application_pb2 as app
from icn.consensus.v1.block_pb2 import BlockHeader
from icn.ledger.v1 import events_pb2
from icn.ledger.v1 import service_pb2 as pb
from icn_chain.protocols import NEWEST_PROTOCOL
from icn_kit.bus import Bus
from icn_kit.envelope import check_envelope, ledger_event_id
from icn_kit.outbox import events_of_row
from icn_ledger.store.state import PAGES_BEHIND_HEIGHTS
from icn_localnet.nats import NatsServer
from icn_localnet.pytest_plugin import Templates

from libs.machine.tests.zone import (
    TestKey,
    block_hash,
    cancel_recovery,
    capture_hold,
    complete_recovery,
    create_unit,
    guarded_by,
    identifier,
    open_controller,
    place_hold,
    set_floor,
    start_recovery,
    transfer,
    void_hold,
)
from services.ledger.tests.integration.conftest import ANA, BEN, UNIT, Query, Running, pages, refuse

HOLD = identifier("hold")
HEX = "ab" * 16


async def test_the_handshake_names_genesis_and_its_state(running: Running) -> None:
    info = await running.application.GetInfo(app.GetInfoRequest())
    genesis = running.zone.genesis
    assert (info.genesis_hash, info.protocol_version) == (genesis.hash, NEWEST_PROTOCOL)
    assert (info.state.executed_height, info.state.time_ms) == (0, genesis.time_ms)
    assert info.state.next_validator_set == genesis.validator_set


async def test_a_block_goes_from_the_pool_to_the_pages(running: Running) -> None:
    shop = running.zone.organizations[0]
    data = running.zone.transaction(shop, create_unit(UNIT))
    checks = (
        await running.application.CheckTransactions(app.CheckTransactionsRequest(transactions=[data]))
    ).checks
    assert checks[0].reason == ""
    branch = app.Branch(executed_height=0)
    time_ms = running.zone.genesis.time_ms + 1_000
    prepared = await running.application.PrepareBlock(
        app.PrepareBlockRequest(
            branch=branch,
            time_ms=time_ms,
            candidates=[b"junk", data],
            size_bytes_max=10**6,
            transactions_max=10,
        )
    )
    assert list(prepared.chosen) == [1]
    assert [(one.index, one.reason) for one in prepared.refused] == [(0, "MALFORMED_TRANSACTION")]
    header = await running.header([data])
    name = block_hash(running.zone, header)
    validated = await running.application.ValidateBlock(
        app.ValidateBlockRequest(block_hash=name, branch=branch, time_ms=time_ms, transactions=[data])
    )
    assert list(validated.transaction_ids) == [checks[0].transaction_id]
    executed = await running.application.ExecuteBlock(
        app.ExecuteBlockRequest(header=header, transactions=[data], finalization=b"\x08\x03")
    )
    assert executed.state.executed_height == 1
    assert executed.state.has_changed_state
    assert executed.outcomes[0].transaction_id == checks[0].transaction_id
    unit = (await running.ledger.GetUnit(pb.GetUnitRequest(name=f"units/{UNIT.hex()}"))).unit
    assert (unit.code, unit.issuer) == ("HOUR", shop.principal)
    found = await running.ledger.GetTransaction(
        pb.GetTransactionRequest(name=f"transactions/{checks[0].transaction_id.hex()}")
    )
    assert (found.height, found.index, found.block_time_ms) == (1, 0, time_ms)
    assert found.receipt.SerializeToString(deterministic=True) == executed.outcomes[0].receipt


async def test_records_are_read_by_name(running: Running) -> None:
    await running.fill()
    shop = running.zone.organizations[0].principal.hex()
    account = (await running.ledger.GetAccount(pb.GetAccountRequest(name=f"accounts/{ANA.hex()}"))).account
    assert (account.name, account.leaf.balance_minor, account.height) == (f"accounts/{ANA.hex()}", -15, 6)
    controller = await running.ledger.GetController(pb.GetControllerRequest(name=f"principals/{shop}"))
    assert controller.controller.lanes[0].last_sequence == 6
    allowance = await running.ledger.GetAllowance(pb.GetAllowanceRequest(organization=f"principals/{shop}"))
    assert allowance.allowance.used_state_leaves == 4, "a unit, a controller, an account, its credit line"
    expiry = running.zone.genesis.time_ms + 60_000
    await running.execute(
        running.zone.transaction(running.zone.organizations[0], place_hold(HOLD, ANA, BEN, 5, expiry))
    )
    hold = (await running.ledger.GetHold(pb.GetHoldRequest(name=f"holds/{HOLD.hex()}"))).hold
    assert (hold.remaining_minor, hold.expire_time_ms) == (5, expiry)


async def test_a_past_balance_is_that_after_the_newest_entry_until_then(running: Running) -> None:
    await running.fill()
    genesis = running.zone.genesis

    async def balance(**at: int) -> tuple[int, int, int]:
        found = await running.ledger.GetBalance(pb.GetBalanceRequest(name=f"accounts/{ANA.hex()}", **at))
        assert (found.executed_height, found.executed_time_ms) == (6, genesis.time_ms + 6_000)
        assert found.entries == (found.entry.number if found.HasField("entry") else 0)
        return found.balance_minor, found.entries, found.height

    after = [(0, 0), (0, 0), (-1, 1), (-3, 2), (-6, 3), (-10, 4), (-15, 5)]
    for height, (balance_minor, number) in enumerate(after):
        assert await balance(height=height) == (balance_minor, number, height)
        time_ms = genesis.time_ms + 1_000 * height
        assert await balance(time_ms=time_ms) == (balance_minor, number, height)
        assert await balance(time_ms=time_ms + 999) == (balance_minor, number, height)
        assert await balance(time_ms=time_ms - 1) == (*after[max(height - 1, 0)], max(height - 1, 0))
    assert await balance(time_ms=0) == (0, 0, 0)
    assert await balance(time_ms=2**62) == (-15, 5, 6)
    call = running.ledger.GetBalance(pb.GetBalanceRequest(name=f"accounts/{ANA.hex()}", height=7))
    assert await refuse(call, grpc.StatusCode.UNAVAILABLE) == "STATE_BEHIND"


async def test_of_several_entries_of_one_block_the_last_is_the_balance(running: Running) -> None:
    await running.fill()
    shop = running.zone.organizations[0]
    await running.execute(
        *[running.zone.transaction(shop, transfer(ANA, BEN, amount)) for amount in (7, 20, 1)]
    )
    found = await running.ledger.GetBalance(pb.GetBalanceRequest(name=f"accounts/{ANA.hex()}", height=7))
    assert (found.balance_minor, found.entry.number) == (-43, 8)


async def test_a_recovery_is_read_by_its_principal_and_proven_until_it_ends(running: Running) -> None:
    zone = running.zone
    shop = zone.organizations[0]
    ana, key = zone.member("ana", shop), TestKey("new key of ana")
    await running.execute(zone.transaction(shop, open_controller(ana, recovery=guarded_by(shop, 5_000))))
    await running.execute(zone.transaction(shop, start_recovery(ana.principal, 1, key)))
    name = f"recoveries/{ana.principal.hex()}"
    found = (await running.ledger.GetRecovery(pb.GetRecoveryRequest(name=name))).recovery
    assert (found.principal, found.guardian, list(found.keys)) == (
        ana.principal,
        shop.principal,
        [key.message()],
    )
    controller = (
        await running.ledger.GetController(pb.GetControllerRequest(name=f"principals/{ana.principal.hex()}"))
    ).controller
    assert (controller.recovery.guardian, controller.recovery.delay_ms) == (shop.principal, 5_000)
    await running.execute()
    proof = await running.ledger.GetProof(pb.GetProofRequest(name=name))
    assert (proof.namespace, proof.identifier) == (8, ana.principal)
    assert proof.value == found.SerializeToString(deterministic=True)
    await running.execute(zone.transaction(ana, cancel_recovery(ana.principal)))
    call = running.ledger.GetRecovery(pb.GetRecoveryRequest(name=name))
    assert await refuse(call, grpc.StatusCode.NOT_FOUND) == "RECOVERY_UNKNOWN"


ABSENT = [
    ("GetAccount", pb.GetAccountRequest(name=f"accounts/{HEX}"), "ACCOUNT_UNKNOWN"),
    ("ListEntries", pb.ListEntriesRequest(account=f"accounts/{HEX}"), "ACCOUNT_UNKNOWN"),
    ("GetBalance", pb.GetBalanceRequest(name=f"accounts/{HEX}", height=0), "ACCOUNT_UNKNOWN"),
    ("GetUnit", pb.GetUnitRequest(name=f"units/{HEX}"), "UNIT_UNKNOWN"),
    ("GetController", pb.GetControllerRequest(name=f"principals/{HEX}"), "CONTROLLER_UNKNOWN"),
    ("GetHold", pb.GetHoldRequest(name=f"holds/{HEX}"), "HOLD_UNKNOWN"),
    ("GetOrder", pb.GetOrderRequest(name=f"orders/{HEX}"), "ORDER_UNKNOWN"),
    ("GetAllowance", pb.GetAllowanceRequest(organization=f"principals/{HEX}"), "ALLOWANCE_UNKNOWN"),
    ("GetRecovery", pb.GetRecoveryRequest(name=f"recoveries/{HEX}"), "RECOVERY_UNKNOWN"),
    ("GetTransaction", pb.GetTransactionRequest(name=f"transactions/{HEX * 2}"), "TRANSACTION_UNKNOWN"),
    ("GetBlock", pb.GetBlockRequest(name="blocks/1"), "BLOCK_UNKNOWN"),
    ("GetBlock", pb.GetBlockRequest(name=f"blocks/{2**62}"), "BLOCK_UNKNOWN"),
]


async def test_what_is_not_there_is_not_found(running: Running) -> None:
    for method, request, reason in ABSENT:
        call = getattr(running.ledger, method)(request)
        assert await refuse(call, grpc.StatusCode.NOT_FOUND) == reason


BAD_NAMES = [
    "",
    "accounts/",
    "nonsense",
    f"accounts/{HEX.upper()}",
    "blocks/-1",
    "x" * 100_000,
    "accounts/\u0000",
]


async def test_a_wrong_name_is_an_invalid_argument_everywhere(running: Running) -> None:
    ledger = running.ledger
    for name in BAD_NAMES:
        calls = [
            ledger.GetAccount(pb.GetAccountRequest(name=name)),
            ledger.GetBalance(pb.GetBalanceRequest(name=name, height=0)),
            ledger.GetUnit(pb.GetUnitRequest(name=name)),
            ledger.GetController(pb.GetControllerRequest(name=name)),
            ledger.GetHold(pb.GetHoldRequest(name=name)),
            ledger.GetOrder(pb.GetOrderRequest(name=name)),
            ledger.GetAllowance(pb.GetAllowanceRequest(organization=name)),
            ledger.GetRecovery(pb.GetRecoveryRequest(name=name)),
            ledger.GetTransaction(pb.GetTransactionRequest(name=name)),
            ledger.GetBlock(pb.GetBlockRequest(name=name)),
            ledger.GetProof(pb.GetProofRequest(name=name)),
        ]
        if name:  # in lists the empty name means all
            calls.append(ledger.ListAccounts(pb.ListAccountsRequest(owner=name)))
            calls.append(ledger.ListEntries(pb.ListEntriesRequest(account=name)))
        for call in calls:
            assert await refuse(call, grpc.StatusCode.INVALID_ARGUMENT) == "MALFORMED_NAME"


WRONG_PAGES = [
    ("ListAccounts", pb.ListAccountsRequest(page_size=501), "PAGE_SIZE_OUT_OF_RANGE"),
    ("ListAccounts", pb.ListAccountsRequest(page_token="AAAA"), "INVALID_PAGE_TOKEN"),
    ("ListUnits", pb.ListUnitsRequest(page_size=2**32 - 1), "PAGE_SIZE_OUT_OF_RANGE"),
    ("ListUnits", pb.ListUnitsRequest(page_token="x" * 10_000), "INVALID_PAGE_TOKEN"),
    ("ListEntries", pb.ListEntriesRequest(page_size=501), "PAGE_SIZE_OUT_OF_RANGE"),
    ("ListEntries", pb.ListEntriesRequest(page_token="\u00fc"), "INVALID_PAGE_TOKEN"),
    ("ListBlocks", pb.ListBlocksRequest(page_size=201), "PAGE_SIZE_OUT_OF_RANGE"),
    ("ListBlocks", pb.ListBlocksRequest(page_token="0"), "INVALID_PAGE_TOKEN"),
    ("GetProof", pb.GetProofRequest(name=f"accounts/{HEX}", from_epoch=2**64 - 1), "EPOCH_OUT_OF_RANGE"),
    (
        "GetProof",
        pb.GetProofRequest(name=f"accounts/{HEX}", before_time_ms=2**62 + 1),
        "INSTANT_OUT_OF_RANGE",
    ),
    ("GetBalance", pb.GetBalanceRequest(name=f"accounts/{HEX}"), "INSTANT_MISSING"),
    ("GetBalance", pb.GetBalanceRequest(name=f"accounts/{HEX}", height=2**62 + 1), "INSTANT_OUT_OF_RANGE"),
    ("GetBalance", pb.GetBalanceRequest(name=f"accounts/{HEX}", time_ms=2**64 - 1), "INSTANT_OUT_OF_RANGE"),
]


async def test_a_wrong_page_is_an_invalid_argument(running: Running) -> None:
    for method, request, reason in WRONG_PAGES:
        call = getattr(running.ledger, method)(request)
        assert await refuse(call, grpc.StatusCode.INVALID_ARGUMENT) == reason


WRONG_REQUESTS = [
    (
        "CheckTransactions",
        app.CheckTransactionsRequest(transactions=[b"x"] * 1_001),
        "TOO_MANY_TRANSACTIONS",
    ),
    ("ValidateBlock", app.ValidateBlockRequest(block_hash=b"short"), "MALFORMED_HASH"),
    (
        "ValidateBlock",
        app.ValidateBlockRequest(block_hash=bytes(32), branch=app.Branch(unexecuted=[b"short"])),
        "MALFORMED_HASH",
    ),
    (
        "ValidateBlock",
        app.ValidateBlockRequest(block_hash=bytes(32), branch=app.Branch(unexecuted=[bytes(32)] * 513)),
        "BRANCH_TOO_LONG",
    ),
    (
        "ValidateBlock",
        app.ValidateBlockRequest(block_hash=bytes(32), time_ms=2**64 - 1),
        "TIME_OUT_OF_RANGE",
    ),
    ("PrepareBlock", app.PrepareBlockRequest(epoch=2**64 - 1), "TIME_OUT_OF_RANGE"),
    ("ExecuteBlock", app.ExecuteBlockRequest(), "MALFORMED_FINALIZATION"),
    ("ExecuteBlock", app.ExecuteBlockRequest(header=b"\xff", finalization=b"x"), "MALFORMED_HEADER"),
    (
        "ExecuteBlock",
        app.ExecuteBlockRequest(finalization=b"x", descendant_headers=[b""] * 10_001),
        "TOO_MANY_HEADERS",
    ),
]


async def test_a_wrong_request_of_consensus_is_an_invalid_argument(running: Running) -> None:
    for method, request, reason in WRONG_REQUESTS:
        call = getattr(running.application, method)(request)
        assert await refuse(call, grpc.StatusCode.INVALID_ARGUMENT) == reason


async def test_a_branch_that_is_not_known_yet_has_a_reason_of_its_own(running: Running) -> None:
    behind = app.ValidateBlockRequest(block_hash=bytes(32), branch=app.Branch(executed_height=2**64 - 1))
    assert (
        await refuse(running.application.ValidateBlock(behind), grpc.StatusCode.UNAVAILABLE) == "STATE_BEHIND"
    )
    unknown = app.PrepareBlockRequest(branch=app.Branch(unexecuted=[bytes(32)]))
    refused = await refuse(running.application.PrepareBlock(unknown), grpc.StatusCode.FAILED_PRECONDITION)
    assert refused == "ANCESTOR_UNKNOWN"


async def test_a_gap_is_a_failed_precondition(running: Running) -> None:
    request = app.ExecuteBlockRequest(header=await running.header([], height=5), finalization=b"x")
    call = running.application.ExecuteBlock(request)
    assert await refuse(call, grpc.StatusCode.FAILED_PRECONDITION) == "HEIGHT_GAP"


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GetAccount", "ListEntries", "GetProof", "WatchBlocks"]),
    data=st.binary(max_size=200),
)
async def test_garbage_bytes_are_answered_with_a_refusal(running: Running, method: str, data: bytes) -> None:
    async with grpc.aio.insecure_channel(running.service.addresses[1]) as channel:
        call = channel.unary_unary(f"/icn.ledger.v1.LedgerService/{method}")
        if method == "WatchBlocks":
            stream = channel.unary_stream(f"/icn.ledger.v1.LedgerService/{method}")(b"\xff" + data)
            assert await refuse(stream.read(), grpc.StatusCode.INVALID_ARGUMENT)
            return
        try:
            await call(data, timeout=5)
        except grpc.aio.AioRpcError as error:
            expected = (
                grpc.StatusCode.INVALID_ARGUMENT,
                grpc.StatusCode.NOT_FOUND,
                grpc.StatusCode.FAILED_PRECONDITION,
            )
            assert error.code() in expected, error


async def test_entries_are_listed_newest_first_whatever_the_page_size(running: Running) -> None:
    await running.fill()

    def listed(account: str, size: int, height: int = 0) -> Callable[[str], Awaitable[Any]]:
        return lambda token: running.ledger.ListEntries(
            pb.ListEntriesRequest(account=account, page_size=size, page_token=token, height=height)
        )

    for size in (1, 2, 3, 10, 11):
        entries = await pages(listed("", size), "entries")
        places = [(entry.height, entry.index) for entry in entries]
        assert places == [(height, index) for height in range(6, 1, -1) for index in (1, 0)]
        of_ana = await pages(listed(f"accounts/{ANA.hex()}", size), "entries")
        assert [entry.posting.balance_minor for entry in of_ana] == [-15, -10, -6, -3, -1]
        assert [entry.posting.amount_minor for entry in of_ana] == [-5, -4, -3, -2, -1]
        for height, amounts in ((1, []), (2, [-1]), (4, [-3]), (6, [-5])):
            of_block = await pages(listed(f"accounts/{ANA.hex()}", size, height), "entries")
            assert [entry.posting.amount_minor for entry in of_block] == amounts
            of_all = await pages(listed("", size, height), "entries")
            assert [entry.posting.amount_minor for entry in of_all] == [-one for one in amounts] + amounts
    ahead = listed(f"accounts/{ANA.hex()}", 1, 7)("")
    assert await refuse(ahead, grpc.StatusCode.UNAVAILABLE) == "STATE_BEHIND"
    newest = of_ana[0]
    assert newest.memo_hash == bytes([5]) * 32
    assert newest.posting.counter_account == BEN
    assert newest.block_time_ms == running.zone.genesis.time_ms + 6_000
    assert len(newest.transaction_id) == 32


async def test_accounts_and_units_are_listed_by_id(running: Running) -> None:
    await running.fill()
    shop = running.zone.organizations[0]
    for size in (1, 2, 3):
        for owner in ("", f"principals/{shop.principal.hex()}"):
            accounts = await pages(
                lambda token, owner=owner, size=size: running.ledger.ListAccounts(
                    pb.ListAccountsRequest(owner=owner, page_size=size, page_token=token)
                ),
                "accounts",
            )
            assert [account.leaf.account for account in accounts] == sorted([ANA, BEN])
            assert {account.leaf.balance_minor for account in accounts} == {-15, 15}
    other = f"principals/{HEX}"
    assert not (await running.ledger.ListAccounts(pb.ListAccountsRequest(owner=other))).accounts
    units = await pages(
        lambda token: running.ledger.ListUnits(pb.ListUnitsRequest(page_size=1, page_token=token)), "units"
    )
    assert [unit.unit for unit in units] == [UNIT]


async def test_a_token_of_one_list_is_refused_by_another(running: Running) -> None:
    await running.fill()
    page = await running.ledger.ListEntries(pb.ListEntriesRequest(page_size=1))
    of_ana = pb.ListEntriesRequest(account=f"accounts/{ANA.hex()}", page_token=page.next_page_token)
    call = running.ledger.ListEntries(of_ana)
    assert await refuse(call, grpc.StatusCode.INVALID_ARGUMENT) == "INVALID_PAGE_TOKEN"


async def test_blocks_are_listed_newest_first_down_to_genesis(running: Running) -> None:
    await running.fill()
    for size in (1, 4, 7, 8):
        blocks = await pages(
            lambda token, size=size: running.ledger.ListBlocks(
                pb.ListBlocksRequest(page_size=size, page_token=token)
            ),
            "blocks",
        )
        assert [block.height for block in blocks] == list(range(6, -1, -1))
        for block in blocks:
            assert block.hash == block_hash(running.zone, block.header)
            assert len(block.transaction_ids) == block.transactions == (1 if block.height else 0)


async def test_a_proof_comes_with_everything_that_checks_it(running: Running) -> None:
    name = f"accounts/{ANA.hex()}"
    call = running.ledger.GetProof(pb.GetProofRequest(name=name))
    assert await refuse(call, grpc.StatusCode.FAILED_PRECONDITION) == "PROOF_NOT_READY"
    await running.fill()
    proof = await running.ledger.GetProof(pb.GetProofRequest(name=name))
    assert (proof.namespace, proof.identifier) == (3, ANA)
    assert proof.value
    assert proof.validator_set == running.zone.genesis.validator_set
    assert BlockHeader.FromString(proof.header).height == 6
    assert proof.finalization == b"\x08\x03"
    assert json.loads(proof.state_proof)


async def test_watchers_see_old_blocks_and_new_ones(running: Running) -> None:
    await running.fill()
    stream = running.ledger.WatchBlocks(pb.WatchBlocksRequest(from_height=5))
    heights = [(await stream.read()).block.height for _ in range(2)]
    shop = running.zone.organizations[0]
    await running.execute(running.zone.transaction(shop, set_floor(ANA, -5)))
    seen = await stream.read()
    assert [*heights, seen.block.height] == [5, 6, 7]
    assert [receipt.transaction_id for receipt in seen.receipts] == list(seen.block.transaction_ids)
    stream.cancel()


async def test_who_only_follows_the_time_is_spared_receipts_and_ids(running: Running) -> None:
    await running.fill()
    stream = running.ledger.WatchBlocks(pb.WatchBlocksRequest(from_height=5, without_receipts=True))
    seen = await stream.read()
    assert (seen.block.height, len(seen.receipts), len(seen.block.transaction_ids)) == (5, 0, 0)
    assert seen.block.header
    stream.cancel()


async def test_a_drain_ends_watchers_and_refuses_new_calls(running: Running) -> None:
    stream = running.ledger.WatchBlocks(pb.WatchBlocksRequest())
    reading = asyncio.create_task(stream.read())
    await asyncio.sleep(0.1)
    await running.service.drain()
    assert await refuse(reading, grpc.StatusCode.UNAVAILABLE) == "DRAINING"


async def test_a_restart_serves_the_same_state(start: Callable[..., Awaitable[Running]]) -> None:
    first = await start()
    await first.fill()
    before = await first.application.GetInfo(app.GetInfoRequest())
    await first.service.drain()
    again = await start()
    assert await again.application.GetInfo(app.GetInfoRequest()) == before
    await again.execute(again.zone.transaction(again.zone.organizations[0], transfer(ANA, BEN, 1)))


async def test_a_state_that_does_not_add_up_is_not_served(
    start: Callable[..., Awaitable[Running]], query: Query
) -> None:
    first = await start()
    await first.fill()
    for _ in range(PAGES_BEHIND_HEIGHTS):
        await first.execute()  # from then on the tree says nothing of old leaves
    await first.service.drain()
    query("DELETE FROM leaves WHERE namespace = 3 AND identifier = %s", ANA)
    with pytest.raises(AssertionError, match="sum to"):
        await start()


async def test_a_halt_asks_the_process_to_end_and_refuses_every_block(running: Running) -> None:
    await running.execute()
    header = await running.header([], state_root=bytes(32))
    request = app.ExecuteBlockRequest(header=header, finalization=b"x")
    for _ in range(2):
        call = running.application.ExecuteBlock(request)
        assert await refuse(call, grpc.StatusCode.FAILED_PRECONDITION) == "LEDGER_HALTED"
    assert running.stop.is_requested
    assert running.stop.exit_code == 1
    assert running.service.fault


async def test_the_ledgers_role_reads_its_own_schema_only(dsn: str, database_templates: Templates) -> None:
    parameters = psycopg.conninfo.conninfo_to_dict(dsn)
    database = str(parameters["dbname"])
    server = database_templates.server
    other = server.create_role_and_schema("someone", database)
    with psycopg.connect(other) as connection:
        connection.execute("CREATE TABLE someone.notes (text text)")
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in (
            "SELECT * FROM someone.notes",
            "CREATE TABLE someone.mine (a int)",
            "CREATE TABLE public.mine (a int)",
            "CREATE SCHEMA mine",
            "SELECT pg_read_file('/etc/hostname')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    with psycopg.connect(other, autocommit=True) as connection:
        for statement in ("SELECT * FROM ledger.leaves", "DELETE FROM ledger.chain"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


async def test_every_event_reaches_the_stream_in_order_and_with_its_own_id(
    start: Callable[..., Awaitable[Running]], nats_server: NatsServer, query: Query
) -> None:
    bus = await Bus.connect(nats_server.url, "test")
    await bus.delete_stream("ledger")
    running = await start(nats_url=nats_server.url)
    zone = running.zone
    shop = zone.organizations[0]
    await running.fill()
    expiry = zone.genesis.time_ms + 60_000
    await running.execute(
        zone.transaction(shop, place_hold(HOLD, ANA, BEN, 5, expiry)),
        zone.transaction(shop, capture_hold(HOLD, 2)),
        zone.transaction(shop, void_hold(HOLD)),
        zone.transaction(shop, set_floor(ANA, -5)),
        zone.transaction(shop, transfer(ANA, BEN, 1_000)),
    )
    eve, key = zone.member("eve", shop), TestKey("new key of eve")
    await running.execute(
        zone.transaction(shop, open_controller(eve, recovery=guarded_by(shop, 1_000))),
        zone.transaction(shop, start_recovery(eve.principal, 1, key), cancel_recovery(eve.principal)),
        zone.transaction(shop, start_recovery(eve.principal, 1, key)),
    )
    await running.execute(zone.transaction(shop, complete_recovery(eve.principal)))
    envelopes = [
        event
        for row in query("SELECT subject, envelope FROM outbox ORDER BY position")
        for event in events_of_row(*row)
    ]
    kinds = [envelope.subject.rpartition(".")[2] for envelope in envelopes]
    assert kinds == [
        *["account_opened"] * 2,
        *["transfer_committed"] * 5,
        "hold_placed",
        "transfer_committed",
        "hold_captured",
        "hold_released",
        "floor_changed",
        "transaction_refused",
        "controller_opened",
        "recovery_started",
        "recovery_cancelled",
        "recovery_started",
        "recovery_completed",
        "controller_changed",
    ]
    positions: dict[int, int] = {}
    for envelope in envelopes:
        check_envelope(envelope)
        index = positions.setdefault(envelope.height, 0)
        positions[envelope.height] += 1
        assert envelope.id == ledger_event_id(zone.genesis.hash[:16], envelope.height, index)
        assert envelope.tenant == shop.principal
    moved = events_pb2.TransferCommitted.FromString(envelopes[2].payload)
    assert (moved.source, moved.destination, moved.amount_minor, moved.unit) == (ANA, BEN, 1, UNIT)
    assert envelopes[2].aggregate == f"accounts/{ANA.hex()}"
    captured = events_pb2.HoldCaptured.FromString(envelopes[9].payload)
    assert (captured.hold, captured.amount_minor, captured.remaining_minor) == (HOLD, 2, 3)
    assert (
        captured.transaction_id
        == events_pb2.TransferCommitted.FromString(envelopes[8].payload).transaction_id
    )
    assert envelopes[9].aggregate == f"holds/{HOLD.hex()}"
    cancelled = events_pb2.RecoveryCancelled.FromString(envelopes[-4].payload)
    assert (cancelled.recovery.principal, cancelled.cancelled_by) == (eve.principal, shop.principal)
    completed = events_pb2.RecoveryCompleted.FromString(envelopes[-2].payload)
    assert list(completed.recovery.keys) == [key.message()]
    assert {envelope.aggregate for envelope in envelopes[-6:]} == {f"principals/{eve.principal.hex()}"}
    refused = events_pb2.TransactionRefused.FromString(envelopes[-7].payload)
    assert refused.receipt.reason == "CREDIT_LIMIT_EXCEEDED"
    for _ in range(400):
        state = await bus.stream_state("ledger")
        if state is not None and state.messages == len(envelopes):
            break
        await asyncio.sleep(0.025)
    for sequence, envelope in enumerate(envelopes, start=1):
        event = await bus.event_at("ledger", sequence)
        assert event == envelope
    await bus.close()
    end = await running.ledger.GetEventsEnd(pb.GetEventsEndRequest())
    newest = await running.ledger.ListBlocks(pb.ListBlocksRequest(page_size=1))
    assert (end.height, end.event_id) == (newest.blocks[0].height, envelopes[-1].id)
    assert end.event_height == envelopes[-1].height
    await running.execute()  # a block without events
    after = await running.ledger.GetEventsEnd(pb.GetEventsEndRequest())
    assert after.height == end.height + 1 and after.event_id == end.event_id


async def test_without_any_event_the_end_is_empty(running: Running) -> None:
    end = await running.ledger.GetEventsEnd(pb.GetEventsEndRequest())
    assert (end.height, end.event_id, end.event_height) == (0, b"", 0)

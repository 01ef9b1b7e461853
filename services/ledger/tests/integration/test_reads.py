"""Reads over real Postgres and gRPC: at a height that was asked for, of an account as it goes, of a statement
however long."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import grpc
import pytest
from icn.ledger.v1 import service_pb2 as pb
from icn_kit.errors import from_rpc_error
from icn_kit.min_height import MIN_HEIGHT_KEY
from icn_ledger.api.reads_at_height import WAIT_SECONDS_MAX

from libs.machine.tests.zone import set_floor, transfer
from services.ledger.tests.integration.conftest import ANA, BEN, Running, pages, refuse

ACCOUNT = f"accounts/{ANA.hex()}"
MESSAGES = 10
"""In a transaction of the long statement."""
NOBODY = f"accounts/{'ab' * 16}"


def at(height: object) -> dict[str, Any]:
    """The option of a call that asks for a height."""
    return {"metadata": ((MIN_HEIGHT_KEY, str(height)),)}


def balance(running: Running, height: object, **options: Any) -> Any:
    return running.ledger.GetAccount(pb.GetAccountRequest(name=ACCOUNT), **at(height), **options)


async def pay(running: Running, *amounts: int) -> None:
    shop = running.zone.organizations[0]
    await running.execute(*[running.zone.transaction(shop, transfer(ANA, BEN, amount)) for amount in amounts])


async def test_a_reader_that_waits_is_woken_by_its_block(running: Running) -> None:
    await running.fill()
    assert (await balance(running, 6)).account.height == 6
    reading = asyncio.ensure_future(balance(running, 8))
    await asyncio.sleep(0.2)
    await pay(running, 1)
    await asyncio.sleep(0.1)
    assert not reading.done()
    started = monotonic()
    await pay(running, 1)
    found = (await reading).account
    assert (found.height, found.leaf.balance_minor) == (8, -17)
    assert monotonic() - started < 1


async def test_a_height_that_does_not_come_is_refused_within_the_deadline_and_the_bound(
    running: Running,
) -> None:
    await running.fill()
    for seconds, least, most in ((0.6, 0.3, 0.6), (60.0, WAIT_SECONDS_MAX, WAIT_SECONDS_MAX + 1)):
        started = monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await balance(running, 7, timeout=seconds)
        found = from_rpc_error(refusal.value)
        assert (found.kind.name, found.reason) == ("UNAVAILABLE", "STATE_BEHIND")
        assert found.metadata == {"height": "7", "executed_height": "6"}
        assert least <= monotonic() - started <= most


async def test_what_is_too_far_ahead_is_refused_at_once_and_what_is_no_height_always(
    running: Running,
) -> None:
    started = monotonic()
    assert await refuse(balance(running, 1_001), grpc.StatusCode.UNAVAILABLE) == "STATE_BEHIND"
    assert await refuse(balance(running, 2**62), grpc.StatusCode.UNAVAILABLE) == "STATE_BEHIND"
    for value in ("", "-1", "+1", "1.5", " 1 2", "1_0", 2**62 + 1, "9" * 5_000, "x"):
        call = balance(running, value)
        assert await refuse(call, grpc.StatusCode.INVALID_ARGUMENT) == "MIN_HEIGHT_MALFORMED", value
    assert monotonic() - started < 1


READS = [
    ("GetAccount", pb.GetAccountRequest(name=ACCOUNT)),
    ("GetBalance", pb.GetBalanceRequest(name=ACCOUNT, height=0)),
    ("ListAccounts", pb.ListAccountsRequest()),
    ("ListEntries", pb.ListEntriesRequest()),
    ("ListOrders", pb.ListOrdersRequest(account=ACCOUNT)),
    ("ListHolds", pb.ListHoldsRequest(account=ACCOUNT)),
    ("ListUnits", pb.ListUnitsRequest()),
    ("GetValidators", pb.GetValidatorsRequest()),
    ("GetContract", pb.GetContractRequest(name=f"contracts/{'ab' * 16}")),
    ("GetProof", pb.GetProofRequest(name=ACCOUNT)),
]
STREAMS = [
    ("WatchBlocks", pb.WatchBlocksRequest()),
    ("WatchAccount", pb.WatchAccountRequest(name=ACCOUNT)),
    ("GetStatement", pb.GetStatementRequest(name=ACCOUNT)),
    ("StreamLeaves", pb.StreamLeavesRequest()),
]


async def test_every_call_waits_for_the_height(running: Running) -> None:
    await running.fill()
    for method, request in READS:
        call = getattr(running.ledger, method)(request, **at(2_000))
        assert await refuse(call, grpc.StatusCode.UNAVAILABLE) == "STATE_BEHIND", method
    for method, request in STREAMS:
        stream = getattr(running.ledger, method)(request, **at(2_000))
        assert await refuse(stream.read(), grpc.StatusCode.UNAVAILABLE) == "STATE_BEHIND", method


async def test_a_proof_is_of_the_height_that_was_asked_for(running: Running) -> None:
    await running.fill()
    request = pb.GetProofRequest(name=ACCOUNT)
    old = await running.ledger.GetProof(request, **at(5))
    assert b"".join(old.descendant_headers) == b""
    proving = asyncio.ensure_future(running.ledger.GetProof(request, **at(6)))
    await asyncio.sleep(0.2)
    assert not proving.done(), "height 6 is executed, and no header names its state yet"
    await running.execute()
    proof = await proving
    account = (await running.ledger.GetAccount(pb.GetAccountRequest(name=ACCOUNT))).account
    assert proof.value == account.leaf.SerializeToString(deterministic=True) != old.value
    call = running.ledger.GetProof(request, timeout=0.6, **at(7))
    assert await refuse(call, grpc.StatusCode.FAILED_PRECONDITION) == "PROOF_NOT_READY"


async def test_an_account_is_watched_over_grpc_and_resumed_where_it_broke_off(running: Running) -> None:
    await running.fill()
    shop = running.zone.organizations[0]
    stream = running.ledger.WatchAccount(pb.WatchAccountRequest(name=ACCOUNT))
    first = await stream.read()
    assert (first.account.leaf.balance_minor, first.account.height, len(first.entries)) == (-15, 6, 0)
    assert first.credit.spendable_minor == 85
    reading = asyncio.ensure_future(stream.read())
    await running.execute()
    await pay(running, 2, 3)
    news = await reading
    assert (news.account.height, news.account.leaf.balance_minor, news.credit.spendable_minor) == (8, -20, 80)
    assert [entry.number for entry in news.entries] == [6, 7] and not news.has_skipped
    same = await running.ledger.GetAccount(pb.GetAccountRequest(name=ACCOUNT))
    assert (same.account, same.credit) == (news.account, news.credit)
    stream.cancel()
    await running.execute(running.zone.transaction(shop, set_floor(ANA, -50)))
    await pay(running, 1)
    resumed = running.ledger.WatchAccount(pb.WatchAccountRequest(name=ACCOUNT, from_height=9))
    news = await resumed.read()
    assert (news.account.height, news.credit.spendable_minor) == (10, 29)
    assert [entry.number for entry in news.entries] == [8]
    reading = asyncio.ensure_future(resumed.read())
    await running.execute(running.zone.transaction(shop, set_floor(ANA, -60)))
    news = await reading
    assert (news.account.height, news.credit.spendable_minor, list(news.entries)) == (11, 39, [])
    resumed.cancel()


async def test_a_drain_ends_who_watches_an_account(running: Running) -> None:
    await running.fill()
    stream = running.ledger.WatchAccount(pb.WatchAccountRequest(name=ACCOUNT))
    await stream.read()
    reading = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0.1)
    await running.service.drain()
    assert await refuse(reading, grpc.StatusCode.UNAVAILABLE) == "DRAINING"


async def test_what_cannot_be_watched_is_refused(running: Running) -> None:
    await running.fill()
    for request, code, reason in (
        ({"name": NOBODY}, grpc.StatusCode.NOT_FOUND, "ACCOUNT_UNKNOWN"),
        ({"name": "accounts/x"}, grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_NAME"),
        (
            {"name": ACCOUNT, "from_height": 2**62 + 1},
            grpc.StatusCode.INVALID_ARGUMENT,
            "HEIGHT_OUT_OF_RANGE",
        ),
        ({"name": ACCOUNT, "from_height": 1_008}, grpc.StatusCode.UNAVAILABLE, "STATE_BEHIND"),
    ):
        stream = running.ledger.WatchAccount(pb.WatchAccountRequest(**request))
        assert await refuse(stream.read(), code) == reason
    stream = running.ledger.WatchAccount(pb.WatchAccountRequest(name=ACCOUNT, from_height=7))
    assert (await stream.read()).account.height == 6
    stream.cancel()


Parts = list[pb.GetStatementResponse]


async def statement(running: Running, **span: int) -> Parts:
    return [part async for part in running.ledger.GetStatement(pb.GetStatementRequest(name=ACCOUNT, **span))]


def entries_of(parts: Parts) -> list[pb.Entry]:
    return [entry for part in parts for entry in part.entries]


def edges(parts: Parts) -> tuple[int, int, int, int, int, int]:
    """Balance, entries and height of opening and closing."""
    opening, closing = parts[0].opening, parts[-1].closing
    return (
        opening.balance_minor,
        opening.entries,
        opening.height,
        closing.balance_minor,
        closing.entries,
        closing.height,
    )


async def listed(running: Running) -> list[pb.Entry]:
    """All of the account's entries, oldest first."""
    found = await pages(
        lambda token: running.ledger.ListEntries(
            pb.ListEntriesRequest(account=ACCOUNT, page_size=500, page_token=token)
        ),
        "entries",
    )
    return found[::-1]


async def test_a_statement_is_of_the_blocks_from_the_first_up_to_the_one_that_is_no_longer_in_it(
    running: Running,
) -> None:
    await running.fill()
    whole = await statement(running)
    assert edges(whole) == (0, 0, 0, -15, 5, 6)
    assert entries_of(whole) == await listed(running)
    balances = {0: 0, 1: 0, 2: -1, 3: -3, 4: -6, 5: -10, 6: -15}
    genesis_ms = running.zone.genesis.time_ms
    for first in range(1, 8):
        for end in range(first, 8):
            numbers = [height - 1 for height in range(max(first, 2), end)]
            before = first - 1
            for span in (
                {"from_height": first, "until_height": end},
                {"from_time_ms": genesis_ms + 1_000 * first, "until_time_ms": genesis_ms + 1_000 * end},
                {"from_time_ms": genesis_ms + 1_000 * before + 1, "until_height": end},
            ):
                found = await statement(running, **span)
                assert [entry.number for entry in entries_of(found)] == numbers, span
                assert edges(found) == (
                    balances[before],
                    max(before - 1, 0),
                    before,
                    balances[end - 1],
                    max(end - 2, 0),
                    end - 1,
                )
    assert edges(await statement(running, until_time_ms=2**62)) == edges(whole)
    assert edges(await statement(running, from_height=0, from_time_ms=0)) == edges(whole)


async def test_what_is_no_span_of_this_ledger_is_refused(running: Running) -> None:
    await running.fill()
    invalid, behind = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAVAILABLE
    for span, code, reason in (
        ({"from_height": 3, "until_height": 2}, invalid, "SPAN_REVERSED"),
        ({"from_height": 7, "until_height": 3}, invalid, "SPAN_REVERSED"),
        ({"until_height": 8}, behind, "STATE_BEHIND"),
        ({"from_height": 8}, behind, "STATE_BEHIND"),
        ({"from_height": 2**62 + 1}, invalid, "INSTANT_OUT_OF_RANGE"),
        ({"until_time_ms": 2**62 + 1}, invalid, "INSTANT_OUT_OF_RANGE"),
        ({"name": NOBODY}, grpc.StatusCode.NOT_FOUND, "ACCOUNT_UNKNOWN"),
        ({"name": "accounts/"}, invalid, "MALFORMED_NAME"),
    ):
        request: Any = {"name": ACCOUNT, **span}
        stream = running.ledger.GetStatement(pb.GetStatementRequest(**request))
        assert await refuse(stream.read(), code) == reason, span


async def test_a_long_statement_is_the_list_reversed_and_no_block_that_comes_meanwhile_tears_it(
    running: Running,
) -> None:
    await running.fill()
    shop = running.zone.organizations[0]
    there_and_back = [transfer(ANA, BEN, 1), transfer(BEN, ANA, 1)] * (MESSAGES // 2)
    for _ in range(10):
        await running.execute(
            *[running.zone.transaction(shop, *there_and_back) for _ in range(1_000 // MESSAGES)]
        )
    before = await listed(running)
    assert len(before) == 10_005
    stream = running.ledger.GetStatement(pb.GetStatementRequest(name=ACCOUNT))
    parts = [await stream.read()]
    await pay(running, 1)
    while (part := await stream.read()) is not grpc.aio.EOF:
        parts.append(part)
    assert len(parts) > 5, "it came in parts"
    assert entries_of(parts) == before
    assert edges(parts) == (0, 0, 0, -15, 10_005, 16)
    assert [entry.number for entry in entries_of(await statement(running))] == list(range(1, 10_007))

"""The client's doors over real gRPC sockets, against a validator that holds its chain in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from icn.consensus.v1 import service_pb2 as consensus
from icn.consensus.v1.service_pb2_grpc import ConsensusServiceServicer, add_ConsensusServiceServicer_to_server
from icn.ledger.v1 import service_pb2 as ledger
from icn.ledger.v1.service_pb2_grpc import LedgerServiceServicer, add_LedgerServiceServicer_to_server
from icn.ledger.v1.state_pb2 import RECEIPT_STATUS_APPLIED, AccountLeaf, Receipt
from icn.ledger.v1.transaction_pb2 import Transaction
from icn_client.connection import Connection, NetworkFile, NetworkFileInvalid
from icn_client.submitter import End, Submitter
from icn_client.transactions import KeyPair, Signed, build_body, sign, transaction_id, void_hold
from icn_kit.errors import NotFound, Unavailable
from icn_kit.min_height import MIN_HEIGHT_KEY
from icn_kit.server import GrpcServer

STREAM = "/icn.consensus.v1.ConsensusService/StreamTransactions"


class Chain:
    """What the validators of one test have executed: id → height."""

    def __init__(self, genesis_hash: bytes) -> None:
        self.genesis_hash = genesis_hash
        self.executed: dict[bytes, int] = {}

    def execute(self, data: bytes) -> bytes:
        identifier = transaction_id(self.genesis_hash, Transaction.FromString(data).body)
        self.executed.setdefault(identifier, len(self.executed) + 1)
        return identifier


class MemoryValidator(ConsensusServiceServicer, LedgerServiceServicer):
    """Commits what it is sent; breaks the stream after ``breaks_after`` transactions, telling nobody of the
    last.
    """

    def __init__(self, chain: Chain, breaks_after: int | None = None) -> None:
        self.chain = chain
        self.breaks_after = breaks_after
        self.received = 0
        self.asked = 0
        self.is_catching_up = False
        self.heights: list[int] = []
        """What its reads were asked to have reached."""
        self.statement: list[ledger.GetStatementResponse] = []
        self.breaks_statement = False
        self.statements_asked: list[tuple[int, int]] = []
        self.news: list[list[Any]] = []
        """What each stream of a watched account tells before it ends, or how it breaks."""
        self.watches_asked: list[int] = []

    async def GetStatus(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by gRPC
        return consensus.GetStatusResponse(
            genesis_hash=self.chain.genesis_hash,
            executed_height=len(self.chain.executed),
            block_time_ms=1,
            is_catching_up=self.is_catching_up,
        )

    async def StreamTransactions(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - named by gRPC
        async for request in requests:
            outcomes = []
            for data in request.transactions:
                self.received += 1
                identifier = self.chain.execute(data)
                if self.breaks_after is not None and self.received > self.breaks_after:
                    raise Unavailable("GONE", "the validator is gone")
                outcomes.append(
                    consensus.SubmitOutcome(
                        transaction_id=identifier,
                        state=consensus.SUBMIT_STATE_COMMITTED,
                        height=self.chain.executed[identifier],
                        receipt=receipt_of(identifier).SerializeToString(),
                    )
                )
            yield consensus.StreamTransactionsResponse(outcomes=outcomes)

    async def GetTransaction(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by gRPC
        self.asked += 1
        identifier = bytes.fromhex(request.name.removeprefix("transactions/"))
        if identifier not in self.chain.executed:
            raise NotFound("TRANSACTION_UNKNOWN", "no block includes it")
        return ledger.GetTransactionResponse(
            height=self.chain.executed[identifier], receipt=receipt_of(identifier)
        )

    async def GetAccount(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by gRPC
        self.heights.append(int(dict(context.invocation_metadata()).get(MIN_HEIGHT_KEY, 0)))
        if request.name != f"accounts/{'aa' * 16}":
            raise NotFound("ACCOUNT_UNKNOWN", "there is no such account")
        return ledger.GetAccountResponse(
            account=ledger.Account(leaf=AccountLeaf(account=b"\xaa" * 16, balance_minor=-5))
        )

    async def ListAccounts(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by gRPC
        first = int(request.page_token or 0)
        return ledger.ListAccountsResponse(
            accounts=[
                ledger.Account(leaf=AccountLeaf(account=bytes([number]) * 16))
                for number in range(first, first + 2)
            ],
            next_page_token=str(first + 2) if first < 4 else "",
        )

    async def GetStatement(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - named by gRPC
        self.statements_asked.append((request.from_height, request.until_height))
        for part in self.statement:
            yield part
        if self.breaks_statement:
            raise Unavailable("GONE", "the validator is gone")

    async def WatchAccount(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - named by gRPC
        self.watches_asked.append(request.from_height)
        for news in self.news.pop(0) if self.news else []:
            if isinstance(news, Exception):
                raise news
            yield news


def receipt_of(identifier: bytes) -> Receipt:
    return Receipt(transaction_id=identifier, status=RECEIPT_STATUS_APPLIED)


async def serve(validator: MemoryValidator) -> GrpcServer:
    server = GrpcServer(
        "127.0.0.1:0",
        [
            (add_ConsensusServiceServicer_to_server, validator),
            (add_LedgerServiceServicer_to_server, validator),
        ],
        long_lived_streams=[STREAM],
    )
    await server.start()
    return server


def network_of(folder: Path, zone: Any, addresses: list[str]) -> NetworkFile:
    (folder / "genesis.json").write_bytes(zone.genesis_bytes)
    document = {
        "format": 3,
        "gateway": {"url": "http://127.0.0.1:1"},
        "client_tls": None,
        "services": {"marketplace": {"address": "127.0.0.1:2", "metrics": "127.0.0.1:3"}},
        "validators": [
            {
                "seat": seat,
                "name": f"v{seat}",
                "organization": "00" * 16,
                "consensus": address,
                "ledger": address,
            }
            for seat, address in enumerate(addresses)
        ],
    }
    (folder / "network.json").write_text(json.dumps(document))
    return NetworkFile.load(folder)


def test_a_gateway_s_file_may_name_validators_which_are_then_asked_themselves(
    tmp_path: Path, zone: Any
) -> None:
    (tmp_path / "genesis.json").write_bytes(zone.genesis_bytes)
    tls = {"certificate": "/run/tls/tls.crt", "key": "/run/tls/tls.key", "authority": "/run/tls/ca.crt"}
    reached = [
        {"seat": seat, "consensus": f"v{seat}:7001", "ledger": f"v{seat}:7002"} for seat in (0, 1, 2, 3, 7)
    ]
    document = {"url": "http://gateway", "validators": reached, "tls": tls}
    (tmp_path / "gateway.json").write_text(json.dumps(document))
    network = NetworkFile.load(tmp_path)
    assert not network.is_remote and network.tls is not None
    assert str(network.tls.authority) == "/run/tls/ca.crt"
    founding = {one.seat: one.organization for one in network.genesis.validators}
    assert [(one.seat, one.ledger) for one in network.validators] == [
        (one["seat"], one["ledger"]) for one in reached
    ]
    assert [one.organization for one in network.validators] == [
        founding.get(one["seat"], b"") for one in reached
    ]
    del document["tls"]
    (tmp_path / "gateway.json").write_text(json.dumps(document))
    with pytest.raises(NetworkFileInvalid, match="tls"):
        NetworkFile.load(tmp_path)


def signed_ones(genesis_hash: bytes, count: int) -> list[Signed]:
    key = KeyPair.generate()
    return [
        sign(
            genesis_hash,
            build_body(
                principal=b"p" * 16,
                payer=b"p" * 16,
                lane=0,
                sequence=number + 1,
                expire_time_ms=2**60,
                messages=[void_hold(b"h" * 16)],
            ),
            [key],
        )
        for number in range(count)
    ]


async def test_a_stream_that_breaks_is_taken_up_at_the_next_validator(tmp_path: Path, zone: Any) -> None:
    chain = Chain(zone.genesis.hash)
    validators = [MemoryValidator(chain, breaks_after=700), MemoryValidator(chain)]
    servers = [await serve(validator) for validator in validators]
    network = network_of(tmp_path, zone, [server.address for server in servers])
    wanted = signed_ones(zone.genesis.hash, 2_000)
    async with (
        asyncio.timeout(60),
        Connection(network) as connection,
        Submitter(connection.doors(), window=600) as submitter,
    ):
        outcomes = await submitter.submit(wanted, 2**60)
    assert {outcome.end for outcome in outcomes} == {End.COMMITTED}
    assert [outcome.signed for outcome in outcomes] == wanted
    assert len(chain.executed) == 2_000
    assert sorted(outcome.height for outcome in outcomes) == list(range(1, 2_001))
    assert validators[1].asked > 0, "what the broken stream left unknown was asked by id"
    for server in servers:
        await server.drain(0)


async def test_validators_that_are_away_catching_up_or_of_another_zone_are_passed_over(
    tmp_path: Path, zone: Any
) -> None:
    behind, foreign = MemoryValidator(Chain(zone.genesis.hash)), MemoryValidator(Chain(bytes(32)))
    behind.is_catching_up = True
    there = MemoryValidator(Chain(zone.genesis.hash))
    servers = [await serve(validator) for validator in (behind, foreign, there)]
    addresses = ["127.0.0.1:1", *(server.address for server in servers)]
    network = network_of(tmp_path, zone, addresses)
    async with (
        asyncio.timeout(30),
        Connection(network) as connection,
        Submitter(connection.doors()) as submitter,
    ):
        (outcome,) = await submitter.submit(signed_ones(zone.genesis.hash, 1), 2**60)
    assert outcome.end is End.COMMITTED
    assert (behind.received, foreign.received, there.received) == (0, 0, 1)
    for server in servers:
        await server.drain(0)


async def test_reads_go_to_the_next_validator_and_refusals_come_back_as_they_are(
    tmp_path: Path, zone: Any
) -> None:
    server = await serve(MemoryValidator(Chain(zone.genesis.hash)))
    network = network_of(tmp_path, zone, ["127.0.0.1:1", server.address])
    async with Connection(network) as connection:
        assert (await connection.account(b"\xaa" * 16)).leaf.balance_minor == -5
        with pytest.raises(NotFound) as refused:
            await connection.account(bytes(16))
        assert refused.value.reason == "ACCOUNT_UNKNOWN"
        listed = [account.leaf.account[0] async for account in connection.accounts()]
        assert listed == [0, 1, 2, 3, 4, 5]
    await server.drain(0)


async def test_nobody_answering_a_read_is_unavailable(tmp_path: Path, zone: Any) -> None:
    network = network_of(tmp_path, zone, ["127.0.0.1:1", "127.0.0.1:2"])
    async with Connection(network) as connection:
        with pytest.raises(Unavailable) as away:
            await connection.account(bytes(16))
    assert away.value.reason == "NOBODY_ANSWERS"


async def test_what_is_read_after_a_transaction_is_of_its_block_or_a_later_one(
    tmp_path: Path, zone: Any
) -> None:
    validators = [MemoryValidator(Chain(zone.genesis.hash)) for _ in range(2)]
    servers = [await serve(validator) for validator in validators]
    network = network_of(tmp_path, zone, [server.address for server in servers])
    async with asyncio.timeout(30), Connection(network) as connection:
        await connection.account(b"\xaa" * 16)
        async with Submitter(connection.doors()) as submitter:
            await submitter.submit(signed_ones(zone.genesis.hash, 3), 2**60)
        connection.prefer(network.validators[1])
        await connection.account(b"\xaa" * 16)
    assert (validators[0].heights, validators[1].heights) == ([0], [3])
    for server in servers:
        await server.drain(0)


async def test_a_statement_that_breaks_off_goes_on_at_the_next_validator_behind_what_it_had(
    tmp_path: Path, zone: Any
) -> None:
    entries = [ledger.Entry(height=height) for height in (4, 4, 6, 9)]
    opening, closing = ledger.StatementEdge(height=2), ledger.StatementEdge(height=9)
    breaking, other = (MemoryValidator(Chain(zone.genesis.hash)) for _ in range(2))
    breaking.statement = [
        ledger.GetStatementResponse(opening=opening),
        ledger.GetStatementResponse(entries=entries[:2]),
    ]
    breaking.breaks_statement = True
    other.statement = [
        ledger.GetStatementResponse(opening=opening),
        ledger.GetStatementResponse(entries=entries[2:]),
        ledger.GetStatementResponse(closing=closing),
    ]
    servers = [await serve(validator) for validator in (breaking, other)]
    network = network_of(tmp_path, zone, [server.address for server in servers])
    async with asyncio.timeout(30), Connection(network) as connection:
        told = [part async for part in connection.statement(b"\xaa" * 16, 3, 10)]
        assert [entry for part in told for entry in part.entries] == entries
        assert told[-1].closing == closing
        assert (breaking.statements_asked, other.statements_asked) == ([(3, 10)], [(5, 10)])
        other.breaks_statement, other.statement = True, []
        breaking.statement = []
        with pytest.raises(Unavailable):
            await anext(connection.statement(b"\xaa" * 16, 3, 10))
        breaking.breaks_statement = other.breaks_statement = False
        for answered in ([], [2], [10], [6, 5]):
            wrong = ledger.GetStatementResponse(entries=[ledger.Entry(height=height) for height in answered])
            breaking.statement = other.statement = [wrong]
            with pytest.raises(Unavailable) as refusal:
                [part async for part in connection.statement(b"\xaa" * 16, 3, 10)]
            assert refusal.value.reason == "STATEMENT_MALFORMED", answered
    for server in servers:
        await server.drain(0)


def news_of(height: int, balance_minor: int, *entries: int, spendable_minor: int = 0) -> Any:
    return ledger.WatchAccountResponse(
        account=ledger.Account(leaf=AccountLeaf(balance_minor=balance_minor), height=height),
        credit=ledger.Credit(spendable_minor=spendable_minor),
        entries=[ledger.Entry(height=at) for at in entries],
    )


async def test_an_account_is_watched_on_where_a_validator_left_off_and_nothing_is_told_twice(
    tmp_path: Path, zone: Any
) -> None:
    gone = Unavailable("GONE", "the validator is gone")
    first, second = (MemoryValidator(Chain(zone.genesis.hash)) for _ in range(2))
    first.news = [
        [news_of(3, 5), news_of(4, 5, spendable_minor=7), gone],
        [news_of(9, 8, spendable_minor=7), news_of(11, 8, 10, 11, spendable_minor=7)],
    ]
    second.news = [[news_of(6, 5, spendable_minor=7), news_of(8, 8, 8, spendable_minor=7)]]
    servers = [await serve(validator) for validator in (first, second)]
    network = network_of(tmp_path, zone, [server.address for server in servers])
    async with asyncio.timeout(30), Connection(network) as connection:
        told = []
        with pytest.raises(Unavailable):
            async for news in connection.watch_account(b"\xaa" * 16, 3):
                told.append((news.account.height, len(news.entries)))
        assert told == [(3, 0), (4, 0), (8, 1), (11, 2)]
        assert (first.watches_asked, second.watches_asked) == ([3, 9], [5, 12])
        first.news = [[NotFound("ACCOUNT_UNKNOWN", "there is no such account")]]
        connection.prefer(network.validators[0])
        with pytest.raises(NotFound):
            await anext(connection.watch_account(b"\xaa" * 16))
    for server in servers:
        await server.drain(0)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 3, "validators": [{}]}'])
def test_a_network_file_that_cannot_be_used_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(NetworkFileInvalid, match="is not there"):
        NetworkFile.load(tmp_path)
    (tmp_path / "network.json").write_text(text)
    with pytest.raises(NetworkFileInvalid, match=r"network\.json"):
        NetworkFile.load(tmp_path)

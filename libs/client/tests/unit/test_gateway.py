"""What a client makes of a gateway's answers, honest or not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from icn.ledger.v1.service_pb2 import (
    Account,
    Entry,
    GetAccountRequest,
    GetAccountResponse,
    GetStatementRequest,
    GetStatementResponse,
    GetTransactionResponse,
    StatementEdge,
    WatchAccountRequest,
    WatchAccountResponse,
)
from icn.ledger.v1.service_pb2_grpc import LedgerServiceStub
from icn.ledger.v1.state_pb2 import AccountLeaf
from icn.ledger.v1.transaction_pb2 import Transaction
from icn_client import gateway as module
from icn_client.connection import NetworkFile, ValidatorAddress
from icn_client.gateway import Gateway, GatewayChannel, GatewayConnection, GatewayDoor
from icn_client.submitter import DoorClosed, NewsState, TransactionMalformed
from icn_client.transactions import transaction_id
from icn_kit.errors import DomainError, NotFound, Unavailable
from icn_kit.min_height import MIN_HEIGHT_KEY, min_height_metadata

GENESIS = b"\x01" * 32
DATA = Transaction(body=b"body").SerializeToString()


class Served:
    """Answers by path, ``(status, headers, body)``; what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, bytes]] = []
        self.heights: list[str | None] = []
        """The height that each of them asked for."""
        self.waiting: list[bytes] = []
        """Bodies for the next requests, in place of ``answers``."""
        self.url = ""

    def problem(self, path: str, status: int, reason: str, **headers: str) -> None:
        body = json.dumps({"reason": reason, "detail": "no", "figures": {"asked": "7"}}).encode()
        self.answers[path] = (status, headers, body)


@pytest.fixture
def served() -> Iterator[Served]:
    state = Served()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server asks for
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["content-length"])))

        def _answer(self, body: bytes) -> None:
            state.asked.append((self.path, body))
            state.heights.append(self.headers.get(MIN_HEIGHT_KEY))
            path = self.path.partition("?")[0]
            status, headers, content = (
                (200, {}, state.waiting.pop(0)) if state.waiting else state.answers[path]
            )
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_parts: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def stub(served: Served) -> Any:
    return LedgerServiceStub(GatewayChannel(Gateway(served.url)))


def organization_of(seat: int) -> bytes:
    return bytes([seat]) * 16


def connection(served: Served) -> GatewayConnection:
    network = NetworkFile(
        directory=Path(),
        validators=tuple(ValidatorAddress(seat, "one", organization_of(seat), "", "") for seat in range(2)),
        gateway_url=served.url,
        tls=None,
        supervisor_pid=None,
        services={},
        document={},
    )
    network.__dict__["genesis"] = SimpleNamespace(hash=GENESIS)  # as if it had been read
    return GatewayConnection(network)


def door(served: Served) -> GatewayDoor:
    return GatewayDoor(connection(served))


def standing(seat: int, block_time_ms: Any) -> dict[str, Any]:
    numbers = ("epoch", "view", "final_height", "executed_height", "pool_transactions")
    return {
        "seat": seat,
        "organization": organization_of(seat).hex(),
        "status": {
            **dict.fromkeys(numbers, 3),
            "peers": [],
            "state_root": "ab",
            "block_time_ms": block_time_ms,
            "is_catching_up": False,
        },
    }


async def test_a_stub_calls_through_the_gateway(served: Served) -> None:
    response = GetAccountResponse()
    response.account.height = 7
    served.answers["/v1/calls"] = (200, {}, response.SerializeToString())
    request = GetAccountRequest(name="accounts/1")
    assert await stub(served).GetAccount(request, timeout=3) == response
    path = "/v1/calls?method=%2Ficn.ledger.v1.LedgerService%2FGetAccount"
    assert served.asked == [(path, request.SerializeToString())]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (409, "FAILED_PRECONDITION"),
        (429, "RESOURCE_EXHAUSTED"),
        (502, "UNAVAILABLE"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
    ],
)
async def test_a_problem_is_told_as_grpc_would_have_told_it(status: int, kind: str, served: Served) -> None:
    served.problem("/v1/calls", status, "SOME_REASON")
    with pytest.raises(DomainError) as refusal:
        await stub(served).GetAccount(GetAccountRequest())
    assert (refusal.value.kind.name, refusal.value.reason) == (kind, "SOME_REASON")
    assert refusal.value.metadata == {"asked": "7"}


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"figures": 7}'])
async def test_an_answer_that_is_no_gateways_is_an_outage(body: bytes, served: Served) -> None:
    served.answers["/v1/calls"] = (500, {}, body)
    with pytest.raises(Unavailable):
        await stub(served).GetAccount(GetAccountRequest())


async def test_an_answer_without_end_is_cut(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_BYTES_MAX", 100)
    served.answers["/v1/calls"] = (200, {}, bytes(101))
    with pytest.raises(Unavailable, match="more than 100 bytes"):
        await stub(served).GetAccount(GetAccountRequest())


async def test_bytes_that_are_no_response_are_an_outage(served: Served) -> None:
    served.answers["/v1/calls"] = (200, {}, b"\xff\xff")
    with pytest.raises(Unavailable, match="the answer is none of"):
        await stub(served).GetAccount(GetAccountRequest())


async def test_a_height_goes_along_as_a_header(served: Served) -> None:
    served.answers["/v1/calls"] = (200, {}, b"")
    await stub(served).GetAccount(GetAccountRequest(), metadata=min_height_metadata(7))
    await stub(served).GetAccount(GetAccountRequest())
    assert served.heights == ["7", None]


async def test_a_statement_comes_in_calls_of_a_part_each_until_its_closing(served: Served) -> None:
    parts = [
        GetStatementResponse(opening=StatementEdge(), entries=[Entry(height=4), Entry(height=6)]),
        GetStatementResponse(entries=[Entry(height=9)], closing=StatementEdge(height=9)),
    ]
    served.waiting = [part.SerializeToString() for part in parts]
    told = [part async for part in connection(served).statement(b"\xaa" * 16, 3, 10)]
    assert told == parts
    asked = [GetStatementRequest.FromString(body) for _, body in served.asked]
    assert [(one.from_height, one.until_height) for one in asked] == [(3, 10), (7, 10)]
    assert served.heights == ["9", "9"]


async def test_an_account_is_watched_by_asking_again_behind_the_last_answer(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WATCH_POLL_SECONDS", 0.01)

    def news(height: int, balance_minor: int, *entries: int) -> WatchAccountResponse:
        return WatchAccountResponse(
            account=Account(leaf=AccountLeaf(balance_minor=balance_minor), height=height),
            entries=[Entry(height=at) for at in entries],
        )

    told = [news(3, 5), news(4, 5), news(9, 8, 6, 9)]
    served.waiting = [one.SerializeToString() for one in told]
    watching = connection(served).watch_account(b"\xaa" * 16)
    assert [await anext(watching), await anext(watching)] == [told[0], told[2]]
    asked = [WatchAccountRequest.FromString(body).from_height for _, body in served.asked]
    assert asked == [0, 4, 5]


async def test_nobody_there_is_an_outage_and_a_stream_is_refused(served: Served) -> None:
    with pytest.raises(Unavailable, match="127"):
        await Gateway("http://127.0.0.1:9").get("/v1/validators")
    with pytest.raises(Unavailable, match="is a stream"):
        stub(served).WatchBlocks(GetAccountRequest())
    assert served.asked == []


@pytest.mark.parametrize(
    ("status", "reason", "headers", "state", "retry_after_ms"),
    [
        (403, "SIGNATURE_INVALID", {}, NewsState.REFUSED, 0),
        (409, "SEQUENCE_GAP", {}, NewsState.REFUSED, 0),
        (429, "POOL_FULL", {"retry-after": "2"}, NewsState.REFUSED, 2_000),
        (429, "POOL_FULL", {"retry-after": "soon"}, NewsState.REFUSED, 0),
        (503, "NO_VALIDATOR", {}, NewsState.UNKNOWN, 0),
        (504, "LATE", {}, NewsState.UNKNOWN, 0),
    ],
)
async def test_a_refused_transaction_is_news(
    status: int, reason: str, headers: dict[str, str], state: NewsState, retry_after_ms: int, served: Served
) -> None:
    served.problem("/v1/transactions", status, reason, **headers)
    news = await door(served).submit(DATA)
    assert (news.transaction_id, news.state) == (transaction_id(GENESIS, b"body"), state)
    assert news.retry_after_ms == retry_after_ms


async def test_a_committed_transaction_is_asked_for_with_its_receipt(served: Served) -> None:
    found = GetTransactionResponse(height=12)
    found.receipt.transaction_id = transaction_id(GENESIS, b"body")
    served.answers["/v1/transactions"] = (200, {}, b'{"height": 12}')
    served.answers["/v1/calls"] = (200, {}, found.SerializeToString())
    news = await door(served).submit(DATA)
    assert (news.state, news.height) == (NewsState.COMMITTED, 12)
    assert served.heights == [None, "12"], "whichever validator is asked, it has the block"
    assert news.receipt == found.receipt.SerializeToString(deterministic=True)
    served.problem("/v1/calls", 404, "TRANSACTION_UNKNOWN")  # another validator, a little behind
    assert (await door(served).submit(DATA)).state is NewsState.PENDING
    assert await door(served).find(news.transaction_id) is None


@pytest.mark.parametrize(
    ("said", "state"), [(b"pending", NewsState.PENDING), (b"unknown", NewsState.UNKNOWN)]
)
async def test_a_transaction_that_nobody_could_tell_of_is_no_pending_one(
    said: bytes, state: NewsState, served: Served
) -> None:
    """After `unknown` no refusal is an end (`icn_client.submitter`): the transaction may be elsewhere."""
    served.answers["/v1/transactions"] = (202, {}, b'{"state": "%s"}' % said)
    assert (await door(served).submit(DATA)).state is state


async def test_a_malformed_transaction_and_a_lost_gateway_are_told_apart(served: Served) -> None:
    served.problem("/v1/transactions", 400, "MALFORMED_TRANSACTION")
    with pytest.raises(TransactionMalformed):
        await door(served).submit(DATA)
    served.answers["/v1/transactions"] = (400, {}, b"nonsense")
    with pytest.raises(DoorClosed):
        await door(served).submit(DATA)


async def test_a_stream_brings_news_of_each_transaction(served: Served) -> None:
    served.answers["/v1/validators"] = (200, {}, json.dumps({"genesis_hash": GENESIS.hex()}).encode())
    served.problem("/v1/transactions", 403, "SIGNATURE_INVALID")
    stream = await door(served).open()
    await stream.send([DATA, DATA])
    said = []
    async for news in stream.news():
        said += news
        if len(said) == 2:
            break
    await stream.close()
    assert [news.reason for news in said] == ["SIGNATURE_INVALID"] * 2


async def test_a_gateway_of_another_zone_gets_no_transaction(served: Served) -> None:
    served.answers["/v1/validators"] = (200, {}, json.dumps({"genesis_hash": "00" * 32}).encode())
    with pytest.raises(DoorClosed, match="another zone"):
        await door(served).open()


async def test_one_request_tells_where_all_validators_stand(served: Served) -> None:
    away = [{"seat": seat, "organization": organization_of(seat).hex(), "status": None} for seat in range(2)]
    shown = {"genesis_hash": GENESIS.hex(), "validators": [away[1], standing(0, 70)]}
    served.answers["/v1/validators"] = (200, {}, json.dumps(shown).encode())
    assert await door(served).block_time_ms() == 70
    assert len(served.asked) == 1
    shown["validators"] = away
    served.answers["/v1/validators"] = (200, {}, json.dumps(shown).encode())
    assert await door(served).block_time_ms() == 0
    shown["validators"] = [standing(0, 80)]  # the other has given its seat up
    served.answers["/v1/validators"] = (200, {}, json.dumps(shown).encode())
    assert await door(served).block_time_ms() == 80


async def test_which_protocol_version_a_validator_goes_by_is_heard_where_the_gateway_says_it(
    served: Served,
) -> None:
    told = standing(0, 70)
    told["status"] |= {"protocol_version": 1, "protocol_newest": 1, "protocol_next": 2, "halted": "upgrade"}
    told["status"]["peers"] = [
        {"seat": 1, "is_connected": True, "protocol_newest": 2},
        {"seat": 2, "is_connected": False},
    ]
    shown = {"genesis_hash": GENESIS.hex(), "validators": [told, standing(1, 70)]}
    served.answers["/v1/validators"] = (200, {}, json.dumps(shown).encode())
    newer, older, *_ = await connection(served).statuses()
    assert newer is not None and older is not None
    assert (newer.protocol_version, newer.protocol_newest, newer.protocol_next) == (1, 1, 2)
    assert (newer.halted, [peer.protocol_newest for peer in newer.peers]) == ("upgrade", [2, 0])
    assert (older.protocol_version, older.halted) == (0, "")


@pytest.mark.parametrize(
    "validators", [7, [7], [{}], [{"status": None}], [standing(0, 70), standing(1, "x")]]
)
async def test_where_validators_stand_is_told_whole_or_not(validators: Any, served: Served) -> None:
    shown = {"genesis_hash": GENESIS.hex(), "validators": validators}
    served.answers["/v1/validators"] = (200, {}, json.dumps(shown).encode())
    with pytest.raises(DoorClosed, match="ANSWER_MALFORMED"):
        await door(served).block_time_ms()


async def test_what_is_not_found_is_not_found(served: Served) -> None:
    served.problem("/v1/calls", 404, "ACCOUNT_UNKNOWN")
    with pytest.raises(NotFound):
        await stub(served).GetAccount(GetAccountRequest())

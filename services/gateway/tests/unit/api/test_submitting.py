from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from icn.consensus.v1 import service_pb2 as consensus
from icn.ledger.v1 import state_pb2 as state
from icn_gateway.api.submitting import BODY_BYTES_MAX
from icn_gateway.usecases.submit_transactions import transaction_id
from icn_kit.errors import DeadlineExceeded, Unavailable

OCTETS = {"content-type": "application/octet-stream"}


async def submit(client: httpx.AsyncClient, submitted: bytes, **params: Any) -> httpx.Response:
    return await client.post("/v1/transactions", content=submitted, headers=OCTETS, params=params)


def decide(zone: Any, submitted: bytes, **outcome: Any) -> str:
    name = transaction_id(submitted, zone.genesis.hash)
    zone.outcomes[submitted] = consensus.SubmitOutcome(transaction_id=name, **outcome)
    return name.hex()


async def test_committed_bytes_are_answered_with_the_receipt(client: httpx.AsyncClient, zone: Any) -> None:
    submitted, outcome = next(iter(zone.outcomes.items()))
    answer = await submit(client, submitted, wait_ms=5_000)
    assert answer.status_code == 200
    document = answer.json()
    assert (document["state"], document["height"]) == ("committed", outcome.height)
    assert document["receipt"]["status"] == "applied"
    assert zone.submissions == [(1, 5_000)]


async def test_a_refusal_at_execution_is_a_committed_fact_with_both_numbers(
    client: httpx.AsyncClient, zone: Any, make: Any
) -> None:
    submitted = make.signed(50)
    receipt = state.Receipt(
        transaction_id=transaction_id(submitted, zone.genesis.hash),
        status=state.RECEIPT_STATUS_REFUSED,
        reason="CREDIT_LIMIT_EXCEEDED",
        figures=[
            state.Figure(name="balance_minor", value=-400),
            state.Figure(name="held_minor", value=0),
            state.Figure(name="amount_minor", value=101),
            state.Figure(name="floor_minor", value=-500),
        ],
    )
    decide(
        zone, submitted, state=consensus.SUBMIT_STATE_COMMITTED, height=9, receipt=receipt.SerializeToString()
    )
    answer = await submit(client, submitted)
    assert answer.status_code == 200
    document = answer.json()["receipt"]
    assert (document["status"], document["reason"]) == ("refused", "CREDIT_LIMIT_EXCEEDED")
    assert document["figures"] == {
        "balance_minor": "-400",
        "held_minor": "0",
        "amount_minor": "101",
        "floor_minor": "-500",
    }
    assert document["postings"] == []


async def test_bytes_and_json_are_two_ways_to_say_the_same(
    client: httpx.AsyncClient, zone: Any, make: Any
) -> None:
    submitted = make.signed(50)
    encoded = base64.b64encode(submitted).decode()
    answers = [
        await submit(client, submitted),
        await client.post("/v1/transactions", json={"transaction": encoded}),
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    name = transaction_id(submitted, zone.genesis.hash).hex()
    assert answers[0].json() == {
        "transaction_id": name,
        "state": "pending",
        "poll": f"/v1/transactions/{name}",
    }
    assert answers[0].headers["location"] == f"/v1/transactions/{name}"


async def test_an_unknown_outcome_is_open_and_names_where_to_ask(
    client: httpx.AsyncClient, zone: Any, make: Any
) -> None:
    name = decide(zone, make.signed(50), state=consensus.SUBMIT_STATE_UNKNOWN)
    answer = await submit(client, make.signed(50))
    assert answer.status_code == 202
    assert (answer.json()["state"], answer.json()["transaction_id"]) == ("unknown", name)


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("MALFORMED_TRANSACTION", 400),
        ("EXPIRY_TOO_FAR", 400),
        ("EXPIRED", 409),
        ("CONTROLLER_UNKNOWN", 403),
        ("PAYER_NOT_ALLOWED", 403),
        ("SEQUENCE_USED", 409),
        ("SEQUENCE_GAP", 409),
        ("KEY_UNKNOWN", 403),
        ("THRESHOLD_NOT_MET", 403),
        ("KEY_SCOPE_EXCEEDED", 403),
        ("SIGNATURE_INVALID", 403),
        ("ALLOWANCE_EXCEEDED", 429),
        ("SOMETHING_NEW", 422),
    ],
)
async def test_each_refusal_of_a_pool_has_its_status_and_keeps_its_reason(
    client: httpx.AsyncClient, zone: Any, make: Any, reason: str, status: int
) -> None:
    name = decide(
        zone, make.signed(50), state=consensus.SUBMIT_STATE_REFUSED, reason=reason, message="figures"
    )
    answer = await submit(client, make.signed(50))
    assert answer.status_code == status
    document = answer.json()
    assert (document["reason"], document["transaction_id"], document["detail"]) == (reason, name, "figures")


async def test_a_full_pool_is_a_429_that_says_when_to_come_back(
    client: httpx.AsyncClient, zone: Any, make: Any
) -> None:
    decide(
        zone, make.signed(50), state=consensus.SUBMIT_STATE_REFUSED, reason="POOL_FULL", retry_after_ms=2_500
    )
    answer = await submit(client, make.signed(50))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")


async def test_an_expired_transaction_never_takes_effect_and_says_so(
    client: httpx.AsyncClient, zone: Any, make: Any
) -> None:
    decide(zone, make.signed(50), state=consensus.SUBMIT_STATE_EXPIRED)
    answer = await submit(client, make.signed(50))
    assert (answer.status_code, answer.json()["reason"]) == (409, "EXPIRED")


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Unavailable("NO_VALIDATOR_REACHABLE", "none"), 503),
        (DeadlineExceeded("DEADLINE_EXCEEDED", "late"), 504),
    ],
)
async def test_without_an_answer_the_client_learns_which_id_to_ask_for(
    client: httpx.AsyncClient, zone: Any, make: Any, fault: Exception, status: int
) -> None:
    zone.fault = fault
    answer = await submit(client, make.signed(50))
    assert answer.status_code == status
    assert answer.json()["transaction_id"] == transaction_id(make.signed(50), zone.genesis.hash).hex()


@pytest.mark.parametrize("body", [b"", b"\x00", b"garbage", b"\xff" * 1_000, bytes(65_537)])
async def test_garbage_bytes_are_refused_as_malformed(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await submit(client, body)
    assert (answer.status_code, answer.json()["reason"]) == (400, "MALFORMED_TRANSACTION")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'{"transaction":1}',
        b'{"transaction":null}',
        b'{"transaction":"not base64!"}',
        b'{"transaction":"CiAB","more":1}',
        b"\xff\xfe",
        b"[" * 50_000,
    ],
)
async def test_json_of_another_form_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/v1/transactions", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    "media_type", ["text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data"]
)
async def test_other_media_types_are_refused(client: httpx.AsyncClient, make: Any, media_type: str) -> None:
    for path in ("/v1/transactions", "/v1/transactions:batch"):
        answer = await client.post(path, content=make.signed(50), headers={"content-type": media_type})
        assert (answer.status_code, answer.json()["reason"]) == (415, "MEDIA_TYPE_NOT_SUPPORTED")


async def test_a_media_type_may_have_parameters_and_capitals(client: httpx.AsyncClient, make: Any) -> None:
    answer = await client.post(
        "/v1/transactions", content=make.signed(50), headers={"content-type": "Application/Octet-Stream; q=1"}
    )
    assert answer.status_code == 202


async def test_a_body_over_the_limit_is_refused_whether_it_says_its_length_or_not(
    client: httpx.AsyncClient,
) -> None:
    async def stream() -> Any:
        for _ in range(3):
            yield bytes(BODY_BYTES_MAX // 2)

    for content in (bytes(BODY_BYTES_MAX + 1), stream()):
        answer = await client.post("/v1/transactions", content=content, headers=OCTETS)
        assert (answer.status_code, answer.json()["reason"]) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("wait_ms", ["-1", "30001", "soon", "1.5", ""])
async def test_a_wait_outside_of_its_range_is_refused(
    client: httpx.AsyncClient, make: Any, wait_ms: str
) -> None:
    answer = await submit(client, make.signed(50), wait_ms=wait_ms)
    assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_ARGUMENT")


async def test_the_longest_wait_is_allowed(client: httpx.AsyncClient, zone: Any, make: Any) -> None:
    assert (await submit(client, make.signed(50), wait_ms=30_000)).status_code == 202
    assert zone.submissions == [(1, 30_000)]


def batch(*transactions: bytes) -> dict[str, list[str]]:
    return {"transactions": [base64.b64encode(item).decode() for item in transactions]}


async def test_each_transaction_of_a_batch_has_its_own_outcome_in_its_place(
    client: httpx.AsyncClient, zone: Any, make: Any
) -> None:
    committed = next(iter(zone.outcomes))
    decide(zone, make.signed(51), state=consensus.SUBMIT_STATE_REFUSED, reason="SEQUENCE_GAP")
    answer = await client.post(
        "/v1/transactions:batch", json=batch(committed, make.signed(50), make.signed(51), b"garbage")
    )
    assert answer.status_code == 200
    outcomes = answer.json()["outcomes"]
    assert [outcome["position"] for outcome in outcomes] == [0, 1, 2, 3]
    assert [outcome["state"] for outcome in outcomes] == ["committed", "pending", "refused", "refused"]
    assert outcomes[0]["receipt"]["status"] == "applied"
    assert (outcomes[2]["reason"], outcomes[3]["reason"]) == ("SEQUENCE_GAP", "MALFORMED_TRANSACTION")
    assert outcomes[3]["transaction_id"] is None
    assert zone.submissions == [(3, 0)]


async def test_a_batch_of_a_thousand_is_taken_and_one_more_is_not(
    client: httpx.AsyncClient, make: Any
) -> None:
    thousand = [make.signed(100 + number) for number in range(1_000)]
    answer = await client.post("/v1/transactions:batch", json=batch(*thousand))
    assert len(answer.json()["outcomes"]) == 1_000
    answer = await client.post("/v1/transactions:batch", json=batch(*thousand, make.signed(50)))
    assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    "body", [b"{}", b'{"transactions":[]}', b'{"transactions":[1]}', b'{"transactions":"CiAB"}', b"", b"[1"]
)
async def test_a_batch_of_another_form_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post(
        "/v1/transactions:batch", content=body, headers={"content-type": "application/json"}
    )
    assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_ARGUMENT")

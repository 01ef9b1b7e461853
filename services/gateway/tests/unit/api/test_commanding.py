from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from icn.kit.v1.command_pb2 import CommandBody, SignedCommand
from icn.marketplace.v1 import service_pb2 as marketplace
from icn_gateway.api.commanding import BODY_BYTES_MAX
from icn_gateway.api.fields import EXAMPLE_COMMAND
from icn_gateway.usecases.contracts import COMMANDS
from icn_gateway.usecases.send_command import SIGNED_COMMAND_BYTES_MAX
from icn_kit.commands import command_id
from icn_kit.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)

OCTETS = {"content-type": "application/octet-stream"}
CLOSE_OFFER = "/icn.marketplace.v1.MarketplaceService/CloseOffer"
ADD_PHOTO = "/icn.marketplace.v1.MarketplaceService/AddPhoto"
SIGNED = base64.b64decode(EXAMPLE_COMMAND)


def identifier(zone: Any, signed: bytes = SIGNED) -> str:
    return command_id(zone.genesis.hash, SignedCommand.FromString(signed).body).hex()


def naming(method: str) -> bytes:
    body = CommandBody(method=method, principal=bytes(16)).SerializeToString()
    return SignedCommand(body=body).SerializeToString()


def test_the_table_of_commands_holds_writes_of_services_and_nothing_else() -> None:
    assert CLOSE_OFFER in COMMANDS
    assert "/icn.governance.v1.GovernanceService/CreateProposal" in COMMANDS
    for name in COMMANDS:
        assert not name.rpartition("/")[2].startswith(("Get", "List", "Query", "Watch")), name
        assert "LedgerService" not in name


@pytest.mark.parametrize("form", ["octets", "json"])
async def test_a_command_reaches_its_service_byte_for_byte(
    form: str, client: httpx.AsyncClient, zone: Any
) -> None:
    # A field that no canonical encoder would write so: whoever parses and writes again loses it.
    odd = SIGNED + b"\x7a\x01x"
    zone.services.answers["CloseOffer"] = marketplace.CloseOfferResponse(
        offer=marketplace.Offer(name="offers/1", price_minor=250)
    )
    if form == "octets":
        answer = await client.post("/v1/commands", content=odd, headers=OCTETS)
    else:
        answer = await client.post("/v1/commands", json={"command": base64.b64encode(odd).decode()})
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["command_id"] == identifier(zone)
    assert document["method"] == CLOSE_OFFER
    assert document["response"]["offer"]["price_minor"] == "250"
    ((method, request),) = zone.services.asked
    assert method == CLOSE_OFFER
    assert request.endswith(odd)
    assert (
        marketplace.CloseOfferRequest.FromString(request).command.body == SignedCommand.FromString(odd).body
    )


async def test_a_file_goes_beside_the_command_that_names_its_digest(
    client: httpx.AsyncClient, zone: Any
) -> None:
    photo = bytes(range(256)) * 3_906
    signed = naming(ADD_PHOTO)
    zone.services.answers["AddPhoto"] = marketplace.AddPhotoResponse(photo="photos/1")
    parts = {"command": base64.b64encode(signed).decode(), "content": base64.b64encode(photo).decode()}
    answer = await client.post("/v1/commands", json=parts)
    assert answer.status_code == 200, answer.text
    ((method, request),) = zone.services.asked
    assert method == ADD_PHOTO
    carried = marketplace.AddPhotoRequest.FromString(request)
    assert (carried.command.SerializeToString(), carried.content) == (signed, photo)


async def test_a_file_beside_a_command_that_takes_none_is_refused(
    client: httpx.AsyncClient, zone: Any
) -> None:
    parts = {"command": EXAMPLE_COMMAND, "content": base64.b64encode(b"four").decode()}
    answer = await client.post("/v1/commands", json=parts)
    assert (answer.status_code, answer.json()["reason"]) == (400, "CONTENT_UNEXPECTED")
    assert answer.json()["figures"] == {"size_bytes": "4", "size_bytes_max": "0"}
    assert zone.services.asked == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "COMMAND_MALFORMED"),
        (b"\xff\xff", "COMMAND_MALFORMED"),
        (b"\x12\x00", "COMMAND_MALFORMED"),
        (SignedCommand(body=b"\xff\xff").SerializeToString(), "COMMAND_MALFORMED"),
        (naming(""), "METHOD_UNKNOWN"),
        (naming("/icn.ledger.v1.LedgerService/GetAccount"), "METHOD_UNKNOWN"),
        (naming("/icn.consensus.v1.ConsensusService/SubmitTransactions"), "METHOD_UNKNOWN"),
        (naming("/icn.marketplace.v1.MarketplaceService/GetOffer"), "METHOD_UNKNOWN"),
        (naming(CLOSE_OFFER + "/"), "METHOD_UNKNOWN"),
        (naming("../../" + "x" * 4_000), "METHOD_UNKNOWN"),
        (b"\x0a\x00" * (SIGNED_COMMAND_BYTES_MAX // 2 + 1), "COMMAND_MALFORMED"),
    ],
)
async def test_what_is_no_command_of_ours_goes_nowhere(
    body: bytes, reason: str, client: httpx.AsyncClient, zone: Any
) -> None:
    answer = await client.post("/v1/commands", content=body, headers=OCTETS)
    assert (answer.status_code, answer.json()["reason"]) == (400, reason)
    assert len(answer.json()["detail"]) < 600
    assert zone.services.asked == []


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (SIGNED, "text/plain", 415),
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"command": 7}', "application/json", 400),
        (b'{"command": "!!!"}', "application/json", 400),
        (b'{"transaction": "AAAA"}', "application/json", 400),
        (b'{"command": "AAAA", "more": "AAAA"}', "application/json", 400),
        (b'{"content": "AAAA"}', "application/json", 400),
        (b'{"command": "AAAA", "content": 7}', "application/json", 400),
        (b'{"command": "AAAA", "content": "!!!"}', "application/json", 400),
        (b"x" * (BODY_BYTES_MAX + 1), "application/octet-stream", 413),
    ],
)
async def test_a_body_of_another_form_is_refused(
    body: bytes, media_type: str, status: int, client: httpx.AsyncClient, zone: Any
) -> None:
    answer = await client.post("/v1/commands", content=body, headers={"content-type": media_type})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert zone.services.asked == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unauthenticated("COMMAND_SIGNATURE_INVALID", "no"), 401),
        (PermissionDenied("THRESHOLD_NOT_MET", "no", signatures=1, threshold=2), 403),
        (FailedPrecondition("OFFER_CLOSED", "no"), 409),
    ],
)
async def test_a_services_refusal_is_told_with_its_numbers(
    error: Any, status: int, client: httpx.AsyncClient, zone: Any
) -> None:
    zone.services.answers["CloseOffer"] = error
    answer = await client.post("/v1/commands", content=SIGNED, headers=OCTETS)
    assert (answer.status_code, answer.json()["reason"]) == (status, error.reason)
    assert answer.json()["figures"] == {name: str(value) for name, value in error.metadata.items()}


@pytest.mark.parametrize(
    ("error", "status"),
    [(Unavailable("SERVICE_UNREACHABLE", "x"), 503), (DeadlineExceeded("LATE", "x"), 504)],
)
async def test_without_an_answer_the_sender_learns_which_command_is_open(
    error: Any, status: int, client: httpx.AsyncClient, zone: Any
) -> None:
    zone.services.answers["CloseOffer"] = error
    answer = await client.post("/v1/commands", content=SIGNED, headers=OCTETS)
    assert answer.status_code == status
    assert answer.json()["command_id"] == identifier(zone)
    assert "same bytes again" in answer.json()["detail"]


async def test_an_idempotency_key_must_be_the_commands_id(client: httpx.AsyncClient, zone: Any) -> None:
    right = {**OCTETS, "idempotency-key": identifier(zone)}
    assert (await client.post("/v1/commands", content=SIGNED, headers=right)).status_code == 200
    answer = await client.post(
        "/v1/commands", content=SIGNED, headers={**OCTETS, "idempotency-key": "ab" * 32}
    )
    assert (answer.status_code, answer.json()["reason"]) == (422, "IDEMPOTENCY_KEY_MISMATCH")
    assert answer.json()["figures"] == {"idempotency_key": "ab" * 32, "id": identifier(zone)}
    answer = await client.post("/v1/commands", content=SIGNED, headers={**OCTETS, "idempotency-key": "mine"})
    assert answer.status_code == 400
    assert len(zone.services.asked) == 1


async def test_an_idempotency_key_must_be_the_transactions_id(
    client: httpx.AsyncClient, zone: Any, make: Any
) -> None:
    from icn_gateway.usecases.submit_transactions import transaction_id

    submitted = make.signed(3)
    name = transaction_id(submitted, zone.genesis.hash).hex()
    answer = await client.post(
        "/v1/transactions", content=submitted, headers={**OCTETS, "idempotency-key": name}
    )
    assert answer.status_code in {200, 202}
    answer = await client.post(
        "/v1/transactions", content=submitted, headers={**OCTETS, "idempotency-key": "00" * 32}
    )
    assert (answer.status_code, answer.json()["reason"]) == (422, "IDEMPOTENCY_KEY_MISMATCH")
    assert len(zone.submissions) == 1

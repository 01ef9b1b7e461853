from __future__ import annotations

from typing import Any

import httpx
import pytest
from icn.ledger.v1 import service_pb2 as ledger
from icn.marketplace.v1 import service_pb2 as marketplace
from icn_gateway.api.commanding import BODY_BYTES_MAX
from icn_gateway.api.fields import EXAMPLE_ID
from icn_gateway.usecases.contracts import BEGINNINGS, CALLS, COMMANDS
from icn_kit.errors import NotFound

OCTETS = {"content-type": "application/octet-stream"}
GET_OFFER = "/icn.marketplace.v1.MarketplaceService/GetOffer"
QUERY_CONTRACT = "/icn.ledger.v1.LedgerService/QueryContract"


def address(method: str) -> str:
    return f"/v1/calls?method={method}"


def test_calls_are_those_of_services_that_are_no_streams() -> None:
    assert COMMANDS.keys() < CALLS.keys()
    assert QUERY_CONTRACT in CALLS
    assert {name for name, method in CALLS.items() if method.descriptor.server_streaming} == BEGINNINGS
    assert not [name for name in CALLS if "WatchBlocks" in name or "consensus" in name or "vm" in name]


async def test_a_call_reaches_its_service_byte_for_byte(client: httpx.AsyncClient, zone: Any) -> None:
    zone.services.answers["GetOffer"] = marketplace.GetOfferResponse(offer=marketplace.Offer(name="offers/1"))
    odd = marketplace.GetOfferRequest(name=f"offers/{EXAMPLE_ID}").SerializeToString() + b"\x7a\x01x"
    answer = await client.post(address(GET_OFFER), content=odd, headers=OCTETS)
    assert (answer.status_code, answer.headers["content-type"]) == (200, OCTETS["content-type"])
    assert marketplace.GetOfferResponse.FromString(answer.content).offer.name == "offers/1"
    assert zone.services.asked == [(GET_OFFER, odd)]


async def test_the_ledger_is_asked_through_the_validators(client: httpx.AsyncClient, zone: Any) -> None:
    request = ledger.QueryContractRequest(name=f"contracts/{EXAMPLE_ID}", message=b"{}")
    answer = await client.post(address(QUERY_CONTRACT), content=request.SerializeToString(), headers=OCTETS)
    assert ledger.QueryContractResponse.FromString(answer.content).height == 3
    ((_, asked),) = zone.services.asked
    assert asked == request


@pytest.mark.parametrize(
    ("method", "body", "media_type", "status", "reason"),
    [
        ("/icn.consensus.v1.ConsensusService/GetStatus", b"", OCTETS["content-type"], 400, "METHOD_UNKNOWN"),
        ("/icn.ledger.v1.LedgerService/WatchBlocks", b"", OCTETS["content-type"], 400, "METHOD_UNKNOWN"),
        ("../../etc/passwd", b"", OCTETS["content-type"], 400, "METHOD_UNKNOWN"),
        (GET_OFFER, b"\xff\xff", OCTETS["content-type"], 400, "REQUEST_MALFORMED"),
        (GET_OFFER, b"{}", "application/json", 415, "MEDIA_TYPE_NOT_SUPPORTED"),
        (GET_OFFER, bytes(BODY_BYTES_MAX + 1), OCTETS["content-type"], 413, "BODY_TOO_LARGE"),
        ("", b"", OCTETS["content-type"], 400, "INVALID_ARGUMENT"),
        ("x" * 201, b"", OCTETS["content-type"], 400, "INVALID_ARGUMENT"),
    ],
)
async def test_what_is_no_call_of_a_service_goes_nowhere(
    method: str, body: bytes, media_type: str, status: int, reason: str, client: httpx.AsyncClient, zone: Any
) -> None:
    answer = await client.post(address(method), content=body, headers={"content-type": media_type})
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert zone.services.asked == []


async def test_a_refusal_keeps_its_reason(client: httpx.AsyncClient, zone: Any) -> None:
    zone.services.answers["GetOffer"] = NotFound("OFFER_UNKNOWN", "no such offer")
    answer = await client.post(address(GET_OFFER), content=b"", headers=OCTETS)
    assert (answer.status_code, answer.json()["reason"]) == (404, "OFFER_UNKNOWN")

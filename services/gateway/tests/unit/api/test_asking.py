from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from icn.governance.v1 import service_pb2 as governance
from icn.identity.v1 import service_pb2 as identity
from icn.ledger.v1 import service_pb2 as ledger
from icn.ledger.v1.transaction_pb2 import Countersignature
from icn_gateway.api.application import API_ROUTES
from icn_gateway.api.document import openapi_document
from icn_gateway.api.fields import EXAMPLE_DIGEST, EXAMPLE_ID
from icn_kit.errors import FailedPrecondition, PermissionDenied

QUERY = f"/v1/contracts/{EXAMPLE_ID}:query"
AS_JSON = {"content-type": "application/json"}
COUNTERSIGN = f"/v1/certificates/{EXAMPLE_DIGEST}/countersignatures"
COUNTERSIGNATURE = {"signer": EXAMPLE_ID, "key_id": "01" * 16, "suite": 1, "signature": "02" * 64}


async def test_a_contract_is_asked_in_its_own_words(client: httpx.AsyncClient, zone: Any) -> None:
    answer = await client.post(
        QUERY, content=b' {"state": {}} ', headers={"content-type": "application/json"}
    )
    assert answer.json() == {"data": {"owed": "12"}, "fuel_used": str(2**60), "height": 3}
    ((_, request),) = zone.services.asked
    assert request == ledger.QueryContractRequest(name=f"contracts/{EXAMPLE_ID}", message=b' {"state": {}} ')


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/v1/contracts/{EXAMPLE_ID}", 404),
        (f"/v1/contracts/{EXAMPLE_ID}:execute", 404),
        ("/v1/contracts/nothing:query", 400),
        (f"/v1/contracts/{EXAMPLE_ID.upper()}:query", 400),
    ],
)
async def test_only_a_query_of_a_contract_is_answered(
    path: str, status: int, client: httpx.AsyncClient, zone: Any
) -> None:
    assert (await client.post(path, json={})).status_code == status
    assert zone.services.asked == []


@pytest.mark.parametrize("path", [QUERY, "/v1/credentials:verify", COUNTERSIGN])
@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b" " * 300_000, "application/json", 413),
    ],
)
async def test_a_body_of_another_form_is_refused(
    path: str, body: bytes, media_type: str, status: int, client: httpx.AsyncClient, zone: Any
) -> None:
    answer = await client.post(path, content=body, headers={"content-type": media_type})
    assert answer.status_code == status, answer.text
    assert zone.services.asked == []


async def test_a_contract_that_stops_says_so(client: httpx.AsyncClient, zone: Any) -> None:
    zone.services.answers["QueryContract"] = FailedPrecondition("CALL_STOPPED", "out of fuel", fuel_limit=5)
    answer = await client.post(QUERY, json={})
    assert (answer.status_code, answer.json()["reason"]) == (409, "CALL_STOPPED")
    assert answer.json()["figures"] == {"fuel_limit": "5"}


async def test_an_answer_that_is_no_json_is_not_passed_on(client: httpx.AsyncClient, zone: Any) -> None:
    zone.services.answers["QueryContract"] = ledger.QueryContractResponse(data=b"<script>")
    assert (await client.post(QUERY, json={})).status_code == 502


async def test_a_credential_is_judged_and_the_verdict_told(client: httpx.AsyncClient, zone: Any) -> None:
    zone.services.answers["VerifyCredential"] = identity.VerifyCredentialResponse(
        is_valid=False, reason="REVOKED", proofs=[identity.ProofVerdict(is_valid=True, cryptosuite="x")]
    )
    answer = await client.post("/v1/credentials:verify", json={"id": "urn:uuid:1"})
    assert (answer.status_code, answer.json()["reason"]) == (200, "REVOKED")
    assert answer.json()["proofs"][0]["is_valid"] is True


async def test_a_countersignature_is_brought_by_anybody(client: httpx.AsyncClient, zone: Any) -> None:
    zone.services.answers["SubmitCountersignature"] = governance.SubmitCountersignatureResponse(
        countersignatures=3
    )
    answer = await client.post(COUNTERSIGN, json=COUNTERSIGNATURE)
    assert answer.json() == {"countersignatures": 3}
    ((_, request),) = zone.services.asked
    sent = governance.SubmitCountersignatureRequest.FromString(request)
    assert sent.decision == f"decisions/{EXAMPLE_DIGEST}"
    assert sent.countersignature.signature == b"\x02" * 64
    zone.services.answers["SubmitCountersignature"] = PermissionDenied("NOT_A_MEMBER", "no")
    answer = await client.post(COUNTERSIGN, json=COUNTERSIGNATURE)
    assert (answer.status_code, answer.json()["reason"]) == (403, "NOT_A_MEMBER")


async def test_a_proposals_countersignatures_are_found_through_its_decision(
    client: httpx.AsyncClient, zone: Any
) -> None:
    path = f"/v1/proposals/{EXAMPLE_ID}/countersignatures"
    zone.services.answers["GetProposal"] = governance.GetProposalResponse()
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["reason"]) == (409, "DECISION_MISSING")
    zone.services.answers["GetProposal"] = governance.GetProposalResponse(
        proposal=governance.Proposal(decision=f"decisions/{EXAMPLE_DIGEST}")
    )
    zone.services.answers["GetDecision"] = governance.GetDecisionResponse(
        decision=governance.Decision(countersignatures=1, countersignatures_needed=3)
    )
    zone.services.answers["ListCountersignatures"] = governance.ListCountersignaturesResponse(
        countersignatures=[Countersignature(signer=bytes.fromhex(EXAMPLE_ID))]
    )
    assert (await client.get(path)).json() == {
        "decision": EXAMPLE_DIGEST,
        "countersignatures": 1,
        "countersignatures_needed": 3,
        "enact_height": 0,
        "signers": [EXAMPLE_ID],
    }
    assert (await client.get("/v1/proposals/x/countersignatures")).status_code == 400


@pytest.mark.parametrize(
    "change", [{"signer": "x"}, {"suite": 0}, {"signature": ""}, {"signature": "0"}, {"more": 1}]
)
async def test_a_countersignature_of_another_form_is_refused(
    change: dict[str, Any], client: httpx.AsyncClient, zone: Any
) -> None:
    answer = await client.post(COUNTERSIGN, json=COUNTERSIGNATURE | change)
    assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_ARGUMENT")
    assert (await client.post(COUNTERSIGN.replace("b5", "B5"), json=COUNTERSIGNATURE)).status_code == 400
    assert zone.services.asked == []


def routes_that_read_json() -> list[str]:
    """Every route of the API that takes a body of JSON, with ids in its address."""
    document = json.loads(openapi_document(API_ROUTES))
    return [
        path.replace("{decision_id}", EXAMPLE_DIGEST).replace("{contract_id}", EXAMPLE_ID)
        for path, operations in document["paths"].items()
        if "application/json" in operations.get("post", {}).get("requestBody", {}).get("content", {})
    ]


def test_the_routes_that_read_json_are_known() -> None:
    assert len(routes_that_read_json()) == 8
    assert all("{" not in path for path in routes_that_read_json())


@pytest.mark.parametrize("path", routes_that_read_json())
@pytest.mark.parametrize("opening", ["[", '{"a":', '{"command":[', '[{"transaction":'])
@pytest.mark.parametrize("levels", [600, 1_100, 3_000])
async def test_json_nested_however_deep_is_answered(
    path: str, opening: str, levels: int, client: httpx.AsyncClient, zone: Any
) -> None:
    closing = "".join({"[": "]", "{": "}"}[sign] for sign in reversed(opening) if sign in "[{")
    body = opening * levels + "1" + closing * levels
    answer = await client.post(path, content=body, headers=AS_JSON)
    if answer.status_code != 200:
        assert answer.json()["reason"] in {"INVALID_ARGUMENT", "JSON_TOO_DEEP", "BODY_TOO_LARGE"}, answer.text
        assert answer.status_code in {400, 413}
    else:
        assert path in {"/v1/credentials:verify", QUERY}
        assert levels == 600, "the service judges what can be read"


async def test_an_answer_nested_too_deep_is_not_passed_on(client: httpx.AsyncClient, zone: Any) -> None:
    zone.services.answers["QueryContract"] = ledger.QueryContractResponse(data=b"[" * 5_000 + b"]" * 5_000)
    answer = await client.post(QUERY, json={})
    assert (answer.status_code, answer.json()["reason"]) == (502, "MALFORMED_ANSWER")

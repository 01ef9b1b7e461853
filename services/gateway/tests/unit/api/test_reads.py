from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest
from icn.governance.v1 import service_pb2 as governance
from icn.ledger.v1 import service_pb2 as ledger
from icn.ledger.v1 import state_pb2 as state
from icn.marketplace.v1 import service_pb2 as marketplace
from icn.reputation.v1 import service_pb2 as reputation
from icn_gateway.api import reads
from icn_gateway.api.fields import EXAMPLE_DIGEST, EXAMPLE_ID
from icn_gateway.api.reads.described import comments
from icn_gateway.usecases.contracts import COMMANDS
from icn_kit.errors import ErrorKind, FailedPrecondition, NotFound, RemoteError, Unavailable

OTHER_ID = "0" * 31 + "1"
BAD_TOKENS = ["~bad~!", "9" * 600, "0\n", "é", "\0"]
BAD = [*BAD_TOKENS, "0" * 33, "ABCDEF" * 6, "-1"]


def path_of(read: reads.Read, values: dict[str, str] | None = None) -> str:
    path = read.openapi_path
    for parameter in read.parameters:
        path = path.replace(f"{{{parameter.name}}}", (values or {}).get(parameter.name, parameter.example))
    return path


def query_of(read: reads.Read) -> dict[str, str]:
    """What a read cannot do without."""
    needed = {
        parameter.name: parameter.example
        for parameter in read.parameters
        if parameter.default is None and parameter.name not in read.path_parameters
    }
    first_filter = {
        "ListMemberships": "organization",
        "ListMembers": "organization",
        "ListPermissions": "subject",
        "ListScores": "principal",
        "ListCredentials": "subject",
    }
    if read.operation in first_filter:
        needed[first_filter[read.operation]] = EXAMPLE_ID
    return needed | ({"about": EXAMPLE_ID} if read.operation == "ListEvidence" else {})


def by_operation(name: str) -> reads.Read:
    return next(read for read in reads.ALL if read.operation == name)


@pytest.mark.parametrize("read", reads.ALL, ids=lambda read: read.operation)
async def test_every_read_asks_its_service_once_and_answers_with_its_document(
    read: reads.Read, client: httpx.AsyncClient, zone: Any
) -> None:
    answer = await client.get(path_of(read), params=query_of(read))
    assert answer.status_code == 200, answer.text
    ((asked, request),) = zone.services.asked
    assert asked == read.method.name
    assert type(request) is read.method.request
    if read.content is not None:
        assert answer.headers["content-type"].partition(";")[0] in read.media_types
        return
    fields = {
        field.name for field in read.method.response.DESCRIPTOR.fields if field.containing_oneof is None
    }
    assert set(answer.json()) == fields


@pytest.mark.parametrize("read", reads.ALL, ids=lambda read: read.operation)
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("THING_UNKNOWN", "no such thing"), 404),
        (FailedPrecondition("NOT_YET", "not yet"), 409),
        (Unavailable("SERVICE_UNREACHABLE", "away"), 503),
    ],
)
async def test_what_a_service_refuses_keeps_its_reason(
    read: reads.Read, error: Any, status: int, client: httpx.AsyncClient, zone: Any
) -> None:
    zone.services.answers[read.method.descriptor.name] = error
    answer = await client.get(path_of(read), params=query_of(read))
    assert (answer.status_code, answer.json()["reason"]) == (status, error.reason)


@pytest.mark.parametrize("read", reads.ALL, ids=lambda read: read.operation)
async def test_a_value_of_another_form_is_refused_without_asking_anybody(
    read: reads.Read, client: httpx.AsyncClient, zone: Any
) -> None:
    for parameter in read.parameters:
        for bad in BAD_TOKENS if parameter.name == "page_token" else BAD:
            path, query = path_of(read, {parameter.name: quote(bad)}), query_of(read)
            if parameter.name not in read.path_parameters:
                query[parameter.name] = bad
            answer = await client.get(path, params=query)
            assert answer.status_code == 400, (parameter.name, bad, answer.text)
            assert answer.json()["reason"] in {"MALFORMED_IDENTIFIER", "INVALID_ARGUMENT"}
    assert zone.services.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "/v1/memberships",
        f"/v1/memberships?organization={EXAMPLE_ID}&member={EXAMPLE_ID}",
        "/v1/members",
        "/v1/scores",
        "/v1/evidence?dimension=delivery",
        f"/v1/scores/{EXAMPLE_ID}",
        f"/v1/scores/{EXAMPLE_ID}?dimension=delivery&contributions_max=101",
        f"/v1/resources/{EXAMPLE_ID}/free-slot",
        "/v1/offers?page_size=201",
        "/v1/offers?include_closed=yes",
        "/v1/offers?page_size=5&page_size=6",
        "/v1/certificates?state=unspecified",
        "/v1/proposals?state=OPEN",
    ],
)
async def test_a_question_that_leaves_open_what_is_asked_is_refused(
    path: str, client: httpx.AsyncClient, zone: Any
) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_ARGUMENT")
    assert zone.services.asked == []


async def test_ids_become_resource_names_and_words_become_numbers(
    client: httpx.AsyncClient, zone: Any
) -> None:
    await client.get(f"/v1/memberships/{EXAMPLE_ID}/{OTHER_ID}")
    await client.get("/v1/proposals", params={"organization": EXAMPLE_ID, "state": "open", "page_size": "7"})
    await client.get(f"/v1/decisions/{EXAMPLE_DIGEST}")
    await client.get(f"/v1/resources/{EXAMPLE_ID}/bookings", params={"include_cancelled": "true"})
    membership, proposals, decision, bookings = (request for _, request in zone.services.asked)
    assert membership == ledger.GetMembershipRequest(name=f"memberships/{EXAMPLE_ID}/{OTHER_ID}")
    assert proposals == governance.ListProposalsRequest(
        organization=f"organizations/{EXAMPLE_ID}", state=governance.PROPOSAL_STATE_OPEN, page_size=7
    )
    assert decision.name == f"decisions/{EXAMPLE_DIGEST}"
    assert bookings == marketplace.ListBookingsRequest(
        resource=f"resources/{EXAMPLE_ID}", include_cancelled=True, page_size=50
    )


async def test_a_document_keeps_every_number_exact(client: httpx.AsyncClient, zone: Any) -> None:
    zone.services.answers["ListScores"] = reputation.ListScoresResponse(
        scores=[reputation.Score(principal=f"principals/{EXAMPLE_ID}", score_nano=2**63 + 1, rank=3)]
    )
    zone.services.answers["GetMembership"] = ledger.GetMembershipResponse(
        membership=state.MembershipLeaf(
            organization=bytes(16),
            member=bytes.fromhex(EXAMPLE_ID),
            status=state.MEMBERSHIP_STATUS_ACTIVE,
            since_time_ms=1_790_000_000_000,
            vouchers=[b"\x01" * 16],
        ),
        height=12,
    )
    (score,) = (await client.get("/v1/scores?dimension=delivery")).json()["scores"]
    assert score["score_nano"] == "9223372036854775809"
    assert score["rank"] == "3"
    assert (await client.get(f"/v1/polls/{EXAMPLE_ID}")).json()["poll"] is None
    answer = (await client.get(f"/v1/memberships/{EXAMPLE_ID}/{OTHER_ID}")).json()
    assert answer["height"] == 12
    assert answer["membership"]["status"] == "active"
    assert answer["membership"]["since_time_ms"] == 1_790_000_000_000
    assert answer["membership"]["vouchers"] == ["01" * 16]


async def test_a_service_that_does_not_know_a_call_is_a_bad_gateway_without_its_insides(
    client: httpx.AsyncClient, zone: Any
) -> None:
    zone.services.answers["GetOffer"] = RemoteError(ErrorKind.UNIMPLEMENTED, "UNIMPLEMENTED", "inside")
    answer = await client.get(f"/v1/offers/{EXAMPLE_ID}")
    assert answer.status_code == 502
    assert "inside" not in answer.text


def test_every_call_and_message_of_a_read_is_described_in_the_words_of_its_contract() -> None:
    for read in reads.ALL:
        assert comments()[read.method.descriptor.full_name]
        assert comments()[read.method.descriptor.output_type.full_name]
        assert read.method.name not in COMMANDS
        assert not read.method.is_command


def test_no_two_routes_or_operations_are_the_same() -> None:
    assert len({read.path for read in reads.ALL}) == len(reads.ALL)
    assert len({read.operation for read in reads.ALL}) == len(reads.ALL)
    assert by_operation("GetPoll").openapi_path == "/v1/polls/{poll_id}"


async def test_a_photo_is_shown_as_what_it_is_and_cannot_run_anything(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/v1/blobs/{EXAMPLE_DIGEST}")
    assert answer.content == b"foo\n"
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"] == f'"{EXAMPLE_DIGEST}"'
    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "photo",
    [
        marketplace.GetPhotoResponse(content=b"foo\n", media_type="image/svg+xml"),
        marketplace.GetPhotoResponse(content=b"foo\n", media_type="text/html"),
        marketplace.GetPhotoResponse(content=b"another", media_type="image/png"),
    ],
)
async def test_what_is_not_the_photo_asked_for_is_not_passed_on(
    photo: Any, client: httpx.AsyncClient, zone: Any
) -> None:
    zone.services.answers["GetPhoto"] = photo
    answer = await client.get(f"/v1/blobs/{EXAMPLE_DIGEST}")
    assert (answer.status_code, answer.json()["reason"]) == (502, "MALFORMED_ANSWER")


async def test_a_memo_is_given_out_as_it_was_sealed(client: httpx.AsyncClient, zone: Any) -> None:
    answer = await client.get(f"/v1/memos/{EXAMPLE_DIGEST}")
    assert answer.content == b"foo\n"
    assert answer.headers["content-type"] == "application/vnd.icn.sealed-memo"
    assert answer.headers["content-disposition"] == "attachment"
    zone.services.answers["GetMemo"] = marketplace.GetMemoResponse(content=b"another")
    answer = await client.get(f"/v1/memos/{EXAMPLE_DIGEST}")
    assert (answer.status_code, answer.json()["reason"]) == (502, "MALFORMED_ANSWER")


async def test_a_result_is_answered_byte_for_byte_under_its_digest(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/v1/proposals/{EXAMPLE_ID}/result")
    assert answer.content == b'{"quota":"3"}'
    assert answer.headers["etag"] == f'"{"05" * 32}"'


async def test_a_did_resolves_to_its_document_as_signed(client: httpx.AsyncClient, zone: Any) -> None:
    did = f"did:webvh:QmScid:localhost%3A8080:orgs:{EXAMPLE_ID}"
    answer = await client.get(f"/v1/dids/{quote(did, safe='')}", params={"version_number": "2"})
    assert answer.json() == {"didDocument": {"id": "did:x"}, "didDocumentMetadata": {}}
    ((_, request),) = zone.services.asked
    assert (request.did, request.version_number) == (did, 2)


async def test_a_did_log_lies_where_resolvers_look_for_it(client: httpx.AsyncClient, zone: Any) -> None:
    answer = await client.get(f"/orgs/{EXAMPLE_ID}/did.jsonl")
    assert answer.headers["content-type"].startswith("text/jsonl")
    ((_, request),) = zone.services.asked
    assert request.name == f"principals/{EXAMPLE_ID}"


async def test_a_height_that_is_yet_to_come_is_no_outage(client: httpx.AsyncClient, zone: Any) -> None:
    zone.services.answers["ListPermissions"] = Unavailable("HEIGHT_NOT_REACHED", "later", asked=9, reached=5)
    answer = await client.get("/v1/permissions", params={"subject": EXAMPLE_ID, "height": "9"})
    assert (answer.status_code, answer.json()["reason"]) == (409, "HEIGHT_NOT_REACHED")
    assert answer.json()["figures"] == {"asked": "9", "reached": "5"}

"""Every wrong input of every call: a stable reason, and nothing changes."""

from __future__ import annotations

import secrets
from typing import Any

import grpc
import pytest
from icn.reputation.v1 import service_pb2 as pb
from icn_kit.errors import ErrorKind, from_rpc_error

from services.reputation.tests.conftest import ended, named
from services.reputation.tests.integration.conftest import Query, Reputation

NOBODY = f"principals/{'0' * 32}"
NAMES = [
    "principals/" + "A" * 32,
    "principals/" + "a" * 33,
    "accounts/" + "a" * 32,
    "../" + "a" * 32,
    "principals/" + "a" * 32 + "\n",
    "ж" * 1_000,
    "'; DROP TABLE evidence; --",
]
TOKENS = ["x", "A" * 44, "ж", "=" * 40, "A" * 100_000]


def wrong_requests() -> list[Any]:
    good = {"principal": NOBODY}
    requests: list[tuple[str, Any, str]] = [
        ("GetScore", pb.GetScoreRequest(), "MALFORMED_NAME"),
        ("GetScore", pb.GetScoreRequest(**good), "DIMENSION_UNKNOWN"),
        ("GetScore", pb.GetScoreRequest(**good, dimension="fame"), "DIMENSION_UNKNOWN"),
        ("GetScore", pb.GetScoreRequest(**good, dimension="delivery\0"), "DIMENSION_UNKNOWN"),
        ("GetScore", pb.GetScoreRequest(**good, dimension="delivery"), "SCORE_UNKNOWN"),
        (
            "GetScore",
            pb.GetScoreRequest(**good, dimension="delivery", contributions_max=101),
            "CONTRIBUTIONS_OUT_OF_RANGE",
        ),
        ("ListScores", pb.ListScoresRequest(), "FILTER_MISSING"),
        ("ListScores", pb.ListScoresRequest(dimension="fame"), "DIMENSION_UNKNOWN"),
        ("ListScores", pb.ListScoresRequest(dimension="x" * 100_000), "DIMENSION_UNKNOWN"),
        ("ListScores", pb.ListScoresRequest(**good, dimension="fame"), "DIMENSION_UNKNOWN"),
        ("ListEvidence", pb.ListEvidenceRequest(dimension="delivery"), "FILTER_MISSING"),
        ("ListEvidence", pb.ListEvidenceRequest(about=NOBODY, dimension="delivery", kind=3), "KIND_UNKNOWN"),
        ("ListEvidence", pb.ListEvidenceRequest(about=NOBODY), "DIMENSION_UNKNOWN"),
        ("ListEvidence", pb.ListEvidenceRequest(about=NOBODY, dimension="fame"), "DIMENSION_UNKNOWN"),
        ("ListReciprocities", pb.ListReciprocitiesRequest(), "MALFORMED_NAME"),
    ]
    for name in NAMES:
        requests += [
            ("GetScore", pb.GetScoreRequest(principal=name, dimension="delivery"), "MALFORMED_NAME"),
            ("ListScores", pb.ListScoresRequest(principal=name), "MALFORMED_NAME"),
            ("ListEvidence", pb.ListEvidenceRequest(about=name, dimension="delivery"), "MALFORMED_NAME"),
            ("ListEvidence", pb.ListEvidenceRequest(who=name, dimension="delivery"), "MALFORMED_NAME"),
            ("ListDuties", pb.ListDutiesRequest(organization=name), "MALFORMED_NAME"),
            ("ListReciprocities", pb.ListReciprocitiesRequest(principal=name), "MALFORMED_NAME"),
        ]
    for token in TOKENS:
        requests += [
            (
                "ListScores",
                pb.ListScoresRequest(dimension="delivery", page_token=token),
                "INVALID_PAGE_TOKEN",
            ),
            ("ListScores", pb.ListScoresRequest(**good, page_token=token), "INVALID_PAGE_TOKEN"),
            (
                "ListEvidence",
                pb.ListEvidenceRequest(about=NOBODY, dimension="delivery", page_token=token),
                "INVALID_PAGE_TOKEN",
            ),
            ("ListDimensions", pb.ListDimensionsRequest(page_token=token), "INVALID_PAGE_TOKEN"),
        ]
    for size in (501, 2**32 - 1):
        requests += [
            (
                "ListScores",
                pb.ListScoresRequest(dimension="delivery", page_size=size),
                "PAGE_SIZE_OUT_OF_RANGE",
            ),
            (
                "ListEvidence",
                pb.ListEvidenceRequest(about=NOBODY, dimension="delivery", page_size=size),
                "PAGE_SIZE_OUT_OF_RANGE",
            ),
            ("ListDimensions", pb.ListDimensionsRequest(page_size=size), "PAGE_SIZE_OUT_OF_RANGE"),
            ("ListDuties", pb.ListDutiesRequest(page_size=size), "PAGE_SIZE_OUT_OF_RANGE"),
            (
                "ListReciprocities",
                pb.ListReciprocitiesRequest(**good, page_size=size),
                "PAGE_SIZE_OUT_OF_RANGE",
            ),
        ]
    return requests


async def test_every_wrong_request_has_its_reason_and_changes_nothing(
    reputation: Reputation, query: Query
) -> None:
    await reputation.tell(ended("farm", "ana"))
    await reputation.until_computed(1)
    await reputation.until_computed(0, "payment")
    state = "SELECT * FROM evidence, computations ORDER BY computations.dimension"
    before = query(state)
    called = {method for method, _, _ in wrong_requests()}
    service = pb.DESCRIPTOR.services_by_name["ReputationService"]
    assert called == set(service.methods_by_name), "no call without a wrong request"
    for method, request, reason in wrong_requests():
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await getattr(reputation.stub, method)(request)
        told = from_rpc_error(refusal.value)
        assert told.reason == reason, (method, request)
        assert told.kind in (ErrorKind.INVALID_ARGUMENT, ErrorKind.NOT_FOUND)
        assert len(told.message) < 600
    assert query(state) == before


async def test_a_token_of_one_list_is_none_of_another(reputation: Reputation) -> None:
    await reputation.tell(*(ended("farm", f"member {number}") for number in range(5)))
    await reputation.tell(*(ended("farm", "member 0", weight) for weight in range(1, 5)))
    await reputation.until_computed(9)
    scores = await reputation.stub.ListScores(pb.ListScoresRequest(dimension="delivery", page_size=2))
    evidence = await reputation.stub.ListEvidence(
        pb.ListEvidenceRequest(dimension="delivery", about=named("member 0"), page_size=2)
    )
    assert scores.next_page_token and evidence.next_page_token
    for request in (
        pb.ListScoresRequest(dimension="payment", page_token=scores.next_page_token),
        pb.ListScoresRequest(dimension="delivery", page_token=evidence.next_page_token),
        pb.ListScoresRequest(principal=named("farm"), page_token=scores.next_page_token),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await reputation.stub.ListScores(request)
        assert from_rpc_error(refusal.value).reason == "INVALID_PAGE_TOKEN"
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await reputation.stub.ListEvidence(
            pb.ListEvidenceRequest(
                dimension="delivery", who=named("member 0"), page_token=evidence.next_page_token
            )
        )
    assert from_rpc_error(refusal.value).reason == "INVALID_PAGE_TOKEN"


async def test_noise_instead_of_a_request_is_never_an_internal_error(reputation: Reputation) -> None:
    service = pb.DESCRIPTOR.services_by_name["ReputationService"]
    for method in service.methods_by_name:
        call = reputation.channel.unary_unary(f"/{service.full_name}/{method}")
        for noise in (b"\xff" * 40, secrets.token_bytes(500), b"\x0a\x05ab", bytes(10 * 1024 * 1024)):
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await call(noise)
            assert refusal.value.code() in (
                grpc.StatusCode.INVALID_ARGUMENT,
                grpc.StatusCode.RESOURCE_EXHAUSTED,
            ), (method, noise[:20], refusal.value.details())

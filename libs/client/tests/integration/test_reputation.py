"""Scores as a client asks for them, over a real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from icn.reputation.v1 import service_pb2 as pb
from icn.reputation.v1.service_pb2_grpc import (
    ReputationServiceServicer,
    add_ReputationServiceServicer_to_server,
)
from icn_client import reputation
from icn_client.cli.reputation import _print_evidence, _print_score
from icn_client.connection import Connection, NetworkFile
from icn_kit.errors import DomainError, NotFound
from icn_kit.server import GrpcServer

ANA = b"\xaa" * 16
FARM = f"principals/{'fa' * 16}"
LATEST_MS = 2**63 - 1


class Service(ReputationServiceServicer):  # type: ignore[misc]
    """Knows ana in one dimension of two."""

    async def ListDimensions(self, _request: Any, _context: Any) -> Any:  # noqa: N802 - named by gRPC
        return pb.ListDimensionsResponse(
            dimensions=[pb.Dimension(name="delivery"), pb.Dimension(name="payment")]
        )

    async def GetScore(self, request: Any, _context: Any) -> Any:  # noqa: N802 - named by gRPC
        if request.dimension != "delivery":
            raise NotFound("SCORE_UNKNOWN", "no evidence names it")
        piece = pb.Evidence(
            who=FARM,
            about=request.principal,
            kind=pb.EvidenceKind.EVIDENCE_KIND_FAILED,
            weight=2**32 - 1,
            occurred_time_ms=LATEST_MS,
            source="commitments/1",
        )
        return pb.GetScoreResponse(
            score=pb.Score(
                principal=request.principal,
                dimension=request.dimension,
                score_nano=1_000_000_000,
                rank=1,
                as_of_time_ms=LATEST_MS,
                evidence_count=7,
            ),
            explanation=pb.Explanation(
                seed_nano=150_000_000,
                contributions=[
                    pb.Contribution(
                        principal=FARM,
                        amount_nano=850_000_000,
                        score_nano=5,
                        trust=9,
                        evidence=[piece],
                        others=3,
                        others_fulfilled=4,
                        others_failed=5,
                    )
                ],
            ),
            computation=pb.Computation(members=12, seeds=[FARM]),
        )

    async def ListEvidence(self, request: Any, _context: Any) -> Any:  # noqa: N802 - named by gRPC
        if request.dimension != "delivery":
            return pb.ListEvidenceResponse()
        is_failed = request.kind == pb.EvidenceKind.EVIDENCE_KIND_FAILED
        pieces = [
            pb.Evidence(
                who=FARM,
                about=request.about,
                kind=request.kind,
                weight=number,
                occurred_time_ms=1_790_000_000_000,
                source=f"commitments/{number}",
            )
            for number in ((12, 11) if is_failed else (10,))
        ]
        return pb.ListEvidenceResponse(evidence=pieces, next_page_token="" if is_failed else "more")

    async def ListDuties(self, request: Any, _context: Any) -> Any:  # noqa: N802 - named by gRPC
        duty = pb.Duty(organization=request.organization, epoch=3, blocks=4, proposed=1, signed=2)
        return pb.ListDutiesResponse(duties=[duty])

    async def ListReciprocities(self, _request: Any, _context: Any) -> Any:  # noqa: N802 - named by gRPC
        one = pb.Reciprocity(
            account=f"accounts/{'ac' * 16}",
            unit=f"units/{'ee' * 16}",
            given_minor=2**62,
            received_minor=2**62 - 5,
            balance_minor=-5,
            height=8,
            marked_given_minor=7,
            marked_received_minor=9,
        )
        return pb.ListReciprocitiesResponse(reciprocities=[one])


@pytest.fixture
async def connection(tmp_path: Path, zone: Any) -> AsyncIterator[Connection]:
    server = GrpcServer("127.0.0.1:0", [(add_ReputationServiceServicer_to_server, Service())])
    await server.start()
    (tmp_path / "genesis.json").write_bytes(zone.genesis_bytes)
    document = {
        "format": 3,
        "gateway": {"url": "http://127.0.0.1:1"},
        "client_tls": None,
        "services": {"reputation": {"address": server.address}},
        "validators": [],
    }
    (tmp_path / "network.json").write_text(json.dumps(document))
    async with Connection(NetworkFile.load(tmp_path)) as opened:
        yield opened
    await server.drain(0.1)


async def test_a_standing_has_the_scores_there_are_with_duty_and_give_and_take_beside_them(
    connection: Connection,
) -> None:
    found = await reputation.standing(connection, ANA)
    document = reputation.standing_document(ANA, found)
    (score,) = document["scores"]
    assert (score["dimension"], score["score_nano"], score["rank"], score["members"]) == (
        "delivery",
        "1000000000",
        "1",
        "12",
    )
    (contribution,) = score["parts"]["contributions"]
    assert contribution["evidence"] == [
        {
            "source": "commitments/1",
            "kind": "failed",
            "weight": "4294967295",
            "occurred_time_ms": str(LATEST_MS),
        }
    ]
    assert document["duties"] == [{"epoch": "3", "blocks": "4", "proposed": "1", "signed": "2"}]
    (account,) = document["reciprocities"]
    assert account["given_minor"] == str(2**62)
    assert (account["marked_given_minor"], account["marked_received_minor"]) == ("7", "9")
    json.dumps(document)


async def test_a_dimension_that_was_named_and_has_no_score_is_a_refusal(connection: Connection) -> None:
    with pytest.raises(DomainError) as refusal:
        await reputation.standing(connection, ANA, "payment")
    assert refusal.value.reason == "SCORE_UNKNOWN"


async def test_a_score_is_printed_with_every_part(
    connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    found = await reputation.standing(connection, ANA, "delivery")
    _print_score(reputation.standing_document(ANA, found)["scores"][0])
    text = capsys.readouterr().out
    assert text.splitlines()[0].startswith("delivery: 1.000000000, rank 1 of 12")
    for part in ("0.150000000  is a seed", f"0.850000000  from {FARM}", "failed 4294967295", "and 3 more"):
        assert part in text


async def test_what_others_experienced_is_listed_failures_first(
    connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    document = reputation.standing_document(ANA, await reputation.standing(connection, ANA))
    (about,) = document["evidence"]
    assert [(piece["kind"], piece["weight"]) for piece in about["failed"]] == [
        ("failed", "12"),
        ("failed", "11"),
    ]
    assert about["failed"][0]["who"] == "fa" * 16
    assert (about["has_more_failed"], about["has_more_fulfilled"]) == (False, True)
    _print_evidence(about)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "delivery, evidence about it: 2 failed, 1 or more fulfilled"
    assert [line.split()[:2] for line in lines] == [["failed", "12"], ["failed", "11"], ["fulfilled", "10"]]
    assert all(FARM in line and "commitments/1" in line for line in lines)

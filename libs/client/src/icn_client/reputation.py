"""Scores with what they are the sum of, and the ledger's integers beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from icn.reputation.v1 import service_pb2
from icn.reputation.v1.service_pb2_grpc import ReputationServiceStub
from icn_kit.errors import DomainError

from icn_client.connection import Connection, ask

SERVICE: Final = "reputation"
SHOWN_MAX: Final = 50
"""Epochs of duty and accounts in one answer; further ones are a matter of pages."""


class EvidenceAbout(NamedTuple):
    """What others experienced with a principal in one dimension, latest first."""

    dimension: str
    failed: Sequence[service_pb2.Evidence]
    fulfilled: Sequence[service_pb2.Evidence]
    more_failed: bool
    """There are older ones than these."""
    more_fulfilled: bool


class Standing(NamedTuple):
    """What is known of one principal."""

    scores: Sequence[service_pb2.GetScoreResponse]
    """By dimension; none in a dimension where neither evidence nor seeds name the principal."""
    duties: Sequence[service_pb2.Duty]
    """Newest epoch first; of a principal without a seat none."""
    reciprocities: Sequence[service_pb2.Reciprocity]
    """By account."""
    evidence: Sequence[EvidenceAbout] = ()
    """By dimension, the ones asked about in which there is any."""


async def dimensions(connection: Connection) -> Sequence[service_pb2.Dimension]:
    """What is scored apart, by name. Raises DomainError."""
    answer = await ask(_stub(connection).ListDimensions(service_pb2.ListDimensionsRequest()))
    return list(answer.dimensions)


async def score(
    connection: Connection, principal: bytes, dimension: str, contributions_max: int = 0
) -> service_pb2.GetScoreResponse:
    """One explained score. Raises DomainError (SCORE_UNKNOWN, DIMENSION_UNKNOWN)."""
    request = service_pb2.GetScoreRequest(
        principal=_name(principal), dimension=dimension, contributions_max=contributions_max
    )
    answer: service_pb2.GetScoreResponse = await ask(_stub(connection).GetScore(request))
    return answer


async def standing(
    connection: Connection, principal: bytes, dimension: str = "", contributions_max: int = 0
) -> Standing:
    """Everything about one principal, in one dimension or in all.

    Raises:
        DomainError: DIMENSION_UNKNOWN; SCORE_UNKNOWN where a dimension was named; Unavailable.
    """
    stub = _stub(connection)
    names = [dimension] if dimension else [found.name for found in await dimensions(connection)]
    if dimension:
        scores = [await score(connection, principal, dimension, contributions_max)]
    else:
        scores = []
        for name in names:
            try:
                scores.append(await score(connection, principal, name, contributions_max))
            except DomainError as error:
                if error.reason != "SCORE_UNKNOWN":
                    raise
    evidence = [await evidence_about(connection, principal, name) for name in names]
    duties = await ask(
        stub.ListDuties(service_pb2.ListDutiesRequest(organization=_name(principal), page_size=SHOWN_MAX))
    )
    reciprocities = await ask(
        stub.ListReciprocities(
            service_pb2.ListReciprocitiesRequest(principal=_name(principal), page_size=SHOWN_MAX)
        )
    )
    return Standing(
        scores,
        list(duties.duties),
        list(reciprocities.reciprocities),
        [one for one in evidence if one.failed or one.fulfilled],
    )


async def evidence_about(connection: Connection, principal: bytes, dimension: str) -> EvidenceAbout:
    """The newest SHOWN_MAX failures and as many kept promises. Raises DomainError (DIMENSION_UNKNOWN)."""
    failed, fulfilled = [
        await ask(
            _stub(connection).ListEvidence(
                service_pb2.ListEvidenceRequest(
                    dimension=dimension, about=_name(principal), kind=kind, page_size=SHOWN_MAX
                )
            )
        )
        for kind in (
            service_pb2.EvidenceKind.EVIDENCE_KIND_FAILED,
            service_pb2.EvidenceKind.EVIDENCE_KIND_FULFILLED,
        )
    ]
    return EvidenceAbout(
        dimension,
        list(failed.evidence),
        list(fulfilled.evidence),
        bool(failed.next_page_token),
        bool(fulfilled.next_page_token),
    )


def standing_document(principal: bytes, found: Standing) -> dict[str, Any]:
    """A standing as JSON; exact numbers are decimal strings."""
    return {
        "principal": principal.hex(),
        "scores": [_score_document(answer) for answer in found.scores],
        "evidence": [
            {
                "dimension": one.dimension,
                "failed": [_evidence_document(piece) for piece in one.failed],
                "has_more_failed": one.more_failed,
                "fulfilled": [_evidence_document(piece) for piece in one.fulfilled],
                "has_more_fulfilled": one.more_fulfilled,
            }
            for one in found.evidence
        ],
        "duties": [
            {
                "epoch": str(duty.epoch),
                "blocks": str(duty.blocks),
                "proposed": str(duty.proposed),
                "signed": str(duty.signed),
            }
            for duty in found.duties
        ],
        "reciprocities": [
            {
                "account": one.account.rpartition("/")[2],
                "unit": one.unit.rpartition("/")[2],
                "given_minor": str(one.given_minor),
                "received_minor": str(one.received_minor),
                "balance_minor": str(one.balance_minor),
                "marked_given_minor": str(one.marked_given_minor),
                "marked_received_minor": str(one.marked_received_minor),
                "height": one.height,
            }
            for one in found.reciprocities
        ],
    }


def _score_document(answer: service_pb2.GetScoreResponse) -> dict[str, Any]:
    shown, explanation, computation = answer.score, answer.explanation, answer.computation
    return {
        "dimension": shown.dimension,
        "score_nano": str(shown.score_nano),
        "rank": str(shown.rank),
        "members": str(computation.members),
        "as_of_time_ms": str(shown.as_of_time_ms),
        "evidence_count": str(shown.evidence_count),
        "seeds": [seed.rpartition("/")[2] for seed in computation.seeds],
        "parts": {
            "seed_nano": str(explanation.seed_nano),
            "returned_nano": str(explanation.returned_nano),
            "contributions": [_contribution_document(one) for one in explanation.contributions],
            "rest_nano": str(explanation.rest_nano),
            "rest_members": str(explanation.rest_members),
        },
    }


def _contribution_document(contribution: service_pb2.Contribution) -> dict[str, Any]:
    return {
        "principal": contribution.principal.rpartition("/")[2],
        "amount_nano": str(contribution.amount_nano),
        "score_nano": str(contribution.score_nano),
        "trust": str(contribution.trust),
        "evidence": [_piece_document(piece) for piece in contribution.evidence],
        "others": str(contribution.others),
        "others_fulfilled": str(contribution.others_fulfilled),
        "others_failed": str(contribution.others_failed),
    }


def _piece_document(piece: service_pb2.Evidence) -> dict[str, str]:
    return {
        "source": piece.source,
        "kind": kind_name(piece.kind),
        "weight": str(piece.weight),
        "occurred_time_ms": str(piece.occurred_time_ms),
    }


def _evidence_document(piece: service_pb2.Evidence) -> dict[str, str]:
    """With whose experience it is."""
    return {"who": piece.who.rpartition("/")[2], **_piece_document(piece)}


def kind_name(kind: int) -> str:
    """``fulfilled`` or ``failed``."""
    name: str = service_pb2.EvidenceKind.Name(kind)
    return name.removeprefix("EVIDENCE_KIND_").lower()


def _stub(connection: Connection) -> Any:
    return connection.service(ReputationServiceStub, SERVICE)


def _name(principal: bytes) -> str:
    return f"principals/{principal.hex()}"

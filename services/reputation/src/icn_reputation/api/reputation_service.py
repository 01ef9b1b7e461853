# ruff: noqa: N802, D102 - gRPC names the methods, the proto describes them
"""ReputationService: reads only. Source: protos/icn/reputation/v1/service.proto."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from icn.reputation.v1 import service_pb2, service_pb2_grpc
from icn_kit.errors import InvalidArgument
from icn_kit.pages import PageTokens, check_page_size
from icn_trust.evidence import Kind

from icn_reputation.api.names import parse_principal
from icn_reputation.domain.computation import ALPHA_NANO, Basis
from icn_reputation.domain.principals import IDENTIFIER_BYTES, name_of
from icn_reputation.usecases.compute_scores import ScoreBook
from icn_reputation.usecases.get_score import ExplainedScore, get_score
from icn_reputation.usecases.list_dimensions import list_dimensions
from icn_reputation.usecases.list_evidence import list_evidence
from icn_reputation.usecases.list_reciprocities import list_reciprocities
from icn_reputation.usecases.list_scores import list_scores, list_scores_of
from icn_reputation.usecases.ports import (
    ComputationRow,
    LedgerReader,
    MarkedReader,
    NumberedEvidence,
    PairEvidence,
    ScoreReader,
    ScoreRow,
)

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 500
CONTRIBUTIONS_DEFAULT = 20
CONTRIBUTIONS_MAX = 100
"""With 20 pieces of evidence each an answer stays below 0.5 MB."""
SEEDS_NAMED_MAX = 1_000
PLACE_NUMBER_BYTES = 8

KINDS = {
    Kind.FULFILLED: service_pb2.EvidenceKind.EVIDENCE_KIND_FULFILLED,
    Kind.FAILED: service_pb2.EvidenceKind.EVIDENCE_KIND_FAILED,
}
_KIND_OF: dict[int, Kind | None] = {0: None, **{number: kind for kind, number in KINDS.items()}}


class ReputationServicer(service_pb2_grpc.ReputationServiceServicer):
    """The RPCs; errors become statuses in the interceptor."""

    def __init__(
        self,
        reader: ScoreReader,
        book: ScoreBook,
        ledger: LedgerReader,
        marked: MarkedReader,
        genesis_hash: bytes,
    ) -> None:
        self._reader = reader
        self._book = book
        self._ledger = ledger
        self._marked = marked
        self._tokens = PageTokens(genesis_hash)

    async def GetScore(self, request: Any, _context: Any) -> service_pb2.GetScoreResponse:
        principal = parse_principal(request.principal)
        if request.contributions_max > CONTRIBUTIONS_MAX:
            raise InvalidArgument(
                "CONTRIBUTIONS_OUT_OF_RANGE",
                f"contributions_max {request.contributions_max}, the largest is {CONTRIBUTIONS_MAX}",
                contributions_max=request.contributions_max,
                largest=CONTRIBUTIONS_MAX,
            )
        wanted = request.contributions_max or CONTRIBUTIONS_DEFAULT
        found = await get_score(principal, request.dimension, wanted, self._reader, self._book)
        basis = found.computed.basis
        return service_pb2.GetScoreResponse(
            score=service_pb2.Score(
                principal=found.explanation.member,
                dimension=basis.dimension,
                score_nano=found.explanation.score_units,
                rank=found.rank,
                as_of_time_ms=basis.as_of_ms,
                evidence_count=basis.evidence_count,
            ),
            explanation=_explanation(found),
            computation=_computation(ComputationRow(basis, found.computed.members, found.computed.pairs)),
        )

    async def ListScores(self, request: Any, _context: Any) -> service_pb2.ListScoresResponse:
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        if request.principal:
            rows = await list_scores_of(parse_principal(request.principal), request.dimension, self._reader)
            listing = f"scores of {request.principal} in {request.dimension}"
            first = self._tokens.read(listing, request.page_token, PLACE_NUMBER_BYTES)
            begin = 0 if first is None else int.from_bytes(first, "big")
            end = begin + size
            token = self._tokens.write(listing, _place(end)) if len(rows) > end else ""
            return service_pb2.ListScoresResponse(
                scores=[_score(row) for row in rows[begin:end]], next_page_token=token
            )
        if not request.dimension:
            raise InvalidArgument("FILTER_MISSING", "dimension or principal must be set")
        listing = f"scores in {request.dimension}"
        place = self._tokens.read(listing, request.page_token, PLACE_NUMBER_BYTES + IDENTIFIER_BYTES)
        after = None
        if place is not None:
            after = (int.from_bytes(place[:PLACE_NUMBER_BYTES], "big"), place[PLACE_NUMBER_BYTES:])
        rows = await list_scores(request.dimension, after, size + 1, self._reader)
        token = ""
        if len(rows) > size:
            last = rows[size - 1]
            token = self._tokens.write(listing, _place(last.score_nano) + last.principal)
        return service_pb2.ListScoresResponse(
            scores=[_score(row) for row in rows[:size]], next_page_token=token
        )

    async def ListEvidence(self, request: Any, _context: Any) -> service_pb2.ListEvidenceResponse:
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        about = parse_principal(request.about) if request.about else b""
        who = parse_principal(request.who) if request.who else b""
        if not about and not who:
            raise InvalidArgument("FILTER_MISSING", "about or who must be set")
        if request.kind not in _KIND_OF:
            raise InvalidArgument("KIND_UNKNOWN", f"kind {request.kind} is not one of {sorted(_KIND_OF)}")
        listing = f"evidence of {request.dimension} about {about.hex()} from {who.hex()} kind {request.kind}"
        place = self._tokens.read(listing, request.page_token, PLACE_NUMBER_BYTES)
        before = None if place is None else int.from_bytes(place, "big")
        rows = await list_evidence(
            request.dimension,
            about,
            who,
            before,
            kind=_KIND_OF[request.kind],
            limit=size + 1,
            reader=self._reader,
        )
        token = self._tokens.write(listing, _place(rows[size - 1].number)) if len(rows) > size else ""
        return service_pb2.ListEvidenceResponse(
            evidence=[_evidence(row) for row in rows[:size]], next_page_token=token
        )

    async def ListDimensions(self, request: Any, _context: Any) -> service_pb2.ListDimensionsResponse:
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        first = self._tokens.read("dimensions", request.page_token, PLACE_NUMBER_BYTES)
        begin = 0 if first is None else int.from_bytes(first, "big")
        end = begin + size
        rows = await list_dimensions(self._reader)
        return service_pb2.ListDimensionsResponse(
            dimensions=[
                service_pb2.Dimension(
                    name=dimension.name,
                    measure=dimension.measure,
                    evidence_count=row.evidence_count,
                    computation=None if row.computation is None else _computation(row.computation),
                )
                for dimension, row in rows[begin:end]
            ],
            next_page_token=self._tokens.write("dimensions", _place(end)) if len(rows) > end else "",
        )

    async def ListDuties(self, request: Any, _context: Any) -> service_pb2.ListDutiesResponse:
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        if request.organization:
            parse_principal(request.organization)
        answer = await self._ledger.list_duties(request.organization, size, request.page_token)
        return service_pb2.ListDutiesResponse(
            duties=[
                service_pb2.Duty(
                    organization=name_of(leaf.organization),
                    epoch=leaf.epoch,
                    blocks=leaf.blocks,
                    proposed=leaf.proposed,
                    signed=leaf.signed,
                )
                for leaf in answer.duties
            ],
            next_page_token=answer.next_page_token,
        )

    async def ListReciprocities(self, request: Any, _context: Any) -> service_pb2.ListReciprocitiesResponse:
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        parse_principal(request.principal)
        found, next_page_token = await list_reciprocities(
            request.principal, size, request.page_token, self._ledger, self._marked
        )
        return service_pb2.ListReciprocitiesResponse(
            reciprocities=[
                service_pb2.Reciprocity(
                    account=account.name,
                    unit=f"units/{account.leaf.unit.hex()}",
                    given_minor=sums.given_minor,
                    received_minor=sums.received_minor,
                    balance_minor=account.leaf.balance_minor,
                    height=account.height,
                    marked_given_minor=sums.marked.debited_minor,
                    marked_received_minor=sums.marked.credited_minor,
                )
                for account, sums in found
            ],
            next_page_token=next_page_token,
        )


def _score(row: ScoreRow) -> service_pb2.Score:
    return service_pb2.Score(
        principal=name_of(row.principal),
        dimension=row.dimension,
        score_nano=row.score_nano,
        rank=row.rank,
        as_of_time_ms=row.as_of_ms,
        evidence_count=row.evidence_count,
    )


def _computation(row: ComputationRow) -> service_pb2.Computation:
    basis: Basis = row.basis
    seeds: Sequence[bytes] = basis.seeds.principals
    return service_pb2.Computation(
        evidence_count=basis.evidence_count,
        as_of_time_ms=basis.as_of_ms,
        seeds=[name_of(seed) for seed in seeds[:SEEDS_NAMED_MAX]],
        seeds_count=len(seeds),
        members=row.members,
        pairs=row.pairs,
        alpha_nano=ALPHA_NANO,
    )


def _explanation(found: ExplainedScore) -> service_pb2.Explanation:
    explanation = found.explanation
    return service_pb2.Explanation(
        seed_nano=explanation.seed_units,
        returned_nano=explanation.returned_units,
        contributions=[
            service_pb2.Contribution(
                principal=contribution.member,
                amount_nano=contribution.amount_units,
                score_nano=found.computed.scores.rounded(contribution.member),
                trust=round(contribution.trust),
                **_pieces(pieces),
            )
            for contribution, pieces in found.evidence
        ],
        rest_nano=explanation.rest_units,
        rest_members=explanation.rest_members,
    )


def _pieces(pieces: PairEvidence) -> dict[str, Any]:
    return {
        "evidence": [_evidence(numbered) for numbered in pieces.named],
        "others": pieces.others,
        "others_fulfilled": pieces.others_fulfilled,
        "others_failed": pieces.others_failed,
    }


def _evidence(numbered: NumberedEvidence) -> service_pb2.Evidence:
    piece = numbered.piece
    return service_pb2.Evidence(
        who=piece.who,
        about=piece.about,
        dimension=piece.dimension,
        kind=KINDS[piece.kind],
        weight=piece.weight,
        occurred_time_ms=piece.occurred_at_ms,
        source=piece.source_id,
        number=numbered.number,
    )


def _place(number: int) -> bytes:
    return number.to_bytes(PLACE_NUMBER_BYTES, "big")

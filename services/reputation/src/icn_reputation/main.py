"""Puts reputation together: ``icn-reputation``, settings from the environment."""

from __future__ import annotations

from functools import partial

from icn.reputation.v1.service_pb2_grpc import add_ReputationServiceServicer_to_server
from icn_kit.inbox import Consumer
from icn_kit.lifecycle import Stop
from icn_kit.service import Foundation, HostedService, Parts, run_hosted

from icn_reputation.api.reputation_service import ReputationServicer
from icn_reputation.events.announcements import scores_updated
from icn_reputation.events.handlers import (
    LEDGER_SUBJECTS,
    MARKETPLACE_SUBJECTS,
    POSTING_SUBJECTS,
    Handlers,
    is_marked,
    of_postings,
)
from icn_reputation.settings import ReputationSettings
from icn_reputation.store.evidence import EvidenceTable
from icn_reputation.store.marked import MarkedQueries, MarkedTable
from icn_reputation.store.scores import ScoreTables
from icn_reputation.usecases.compute_scores import ScoreBook, Scorer

NAME = "reputation"
ZONE_BYTES = 16
"""Of the genesis hash, in every event."""


async def assemble(settings: ReputationSettings, foundation: Foundation) -> Parts:
    """Reputation's parts."""
    genesis, database = foundation.genesis, foundation.database
    tables = ScoreTables(database, partial(scores_updated, genesis.hash[:ZONE_BYTES]))
    book = ScoreBook(tables)
    founders = [organization.principal for organization in genesis.organizations]
    scorer = Scorer(tables, book, settings.seed_identifiers, founders)
    handlers = Handlers(EvidenceTable, scorer)
    return Parts(
        servicers=[
            (
                add_ReputationServiceServicer_to_server,
                ReputationServicer(
                    tables, book, foundation.validators, MarkedQueries(database), genesis.hash
                ),
            )
        ],
        consumers=[
            Consumer(
                database,
                foundation.bus,
                "marketplace",
                name="reputation_evidence",
                subjects=MARKETPLACE_SUBJECTS,
                handler=handlers.of_marketplace,
            ),
            Consumer(
                database,
                foundation.bus,
                "ledger",
                name="reputation_memberships",
                subjects=LEDGER_SUBJECTS,
                handler=handlers.of_ledger,
            ),
            Consumer(
                database,
                foundation.bus,
                "ledger",
                name="reputation_postings",
                subjects=POSTING_SUBJECTS,
                handler=of_postings(MarkedTable),
                wants=is_marked,
            ),
        ],
        tasks={"scorer": scorer.run},
    )


async def build(settings: ReputationSettings, stop: Stop) -> HostedService:
    """Reputation over ``settings``, not yet started."""
    return await HostedService.build(NAME, settings, stop, partial(assemble, settings))


def main() -> None:
    """Run until a signal; exits with 0 after a clean drain."""
    run_hosted(NAME, ReputationSettings, build)


if __name__ == "__main__":
    main()

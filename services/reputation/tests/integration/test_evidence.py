"""Evidence in a real Postgres: any order and any repeats give the same scores."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit.database import Database
from icn_kit.inbox import handle_once
from icn_localnet.pytest_plugin import DatabaseFor
from icn_reputation.events.handlers import Handlers
from icn_reputation.store.evidence import EvidenceTable
from icn_reputation.store.scores import ScoreTables
from icn_reputation.usecases.compute_scores import ScoreBook, Scorer

from services.reputation.tests.conftest import FOUNDERS, TRADES, pieces_of, principal

Scores = list[tuple[bytes, int]]


class World:
    """A database that is emptied between examples."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.tables = ScoreTables(database, lambda _row, _changes: self._event())
        self._ids = itertools.count(1)

    def _event(self) -> EventEnvelope:
        return EventEnvelope(
            id=next(self._ids).to_bytes(16, "big"),
            zone=bytes(16),
            schema_version=1,
            subject="icn.reputation.v1.scores_updated",
            aggregate="dimensions/delivery",
        )

    async def scores_after(self, events: list[EventEnvelope], computed_after: set[int]) -> Scores:
        """Handle the events in this order, computing after some of them and at the end."""
        async with self.database.transaction() as connection:
            await connection.execute(
                "TRUNCATE evidence, dimensions, computations, scores, inbox, outbox, memberships, authorities"
            )
        scorer = Scorer(self.tables, ScoreBook(self.tables), [], [principal(name) for name in FOUNDERS])
        handlers = Handlers(EvidenceTable, scorer)
        for number, event in enumerate(events):
            async with self.database.transaction() as connection:
                await handle_once(connection, "test", [event], handlers.of_marketplace)
            if number in computed_after:
                await scorer.compute("delivery", 0)
        await scorer.compute("delivery", 0)
        return [(row.principal, row.score_nano) for row in await self.tables.scores("delivery", None, 1_000)]


def test_any_order_and_any_repeats_of_the_events_give_the_same_scores(database_for: DatabaseFor) -> None:
    loop = asyncio.new_event_loop()
    database = loop.run_until_complete(Database.open(database_for("icn_reputation"), "reputation"))
    world = World(database)

    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    @given(trades=TRADES, data=st.data())
    def same(trades: list[Any], data: st.DataObject) -> None:
        events = pieces_of(trades)
        again = []
        for event in events:
            for _ in range(data.draw(st.integers(0, 2))):
                copy = EventEnvelope.FromString(event.SerializeToString())
                if data.draw(st.booleans()):
                    copy.id = next(world._ids).to_bytes(16, "big")  # told by another event
                again.append(copy)
        other = data.draw(st.permutations([*events, *again]))
        pauses = data.draw(st.sets(st.integers(0, len(other)), max_size=4))
        first = loop.run_until_complete(world.scores_after(events, set()))
        second = loop.run_until_complete(world.scores_after(other, pauses))
        assert first == second

    try:
        same()
    finally:
        loop.run_until_complete(database.close())
        loop.close()

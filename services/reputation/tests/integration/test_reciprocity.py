"""Reciprocity over a real Postgres and NATS: what the ledger tells of marked postings is left out, once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1 import service_pb2 as ledger
from icn.ledger.v1 import state_pb2
from icn.ledger.v1.state_pb2 import PostingKind
from icn.reputation.v1 import service_pb2 as pb
from icn_kit.database import Database
from icn_kit.inbox import handle_once, is_level
from icn_localnet.pytest_plugin import DatabaseFor
from icn_reputation.domain.reciprocity import MarkedSums
from icn_reputation.events.handlers import of_postings
from icn_reputation.store.marked import MarkedQueries, MarkedTable

from services.reputation.tests.conftest import named, posted, principal
from services.reputation.tests.integration.conftest import Ledger, Query, Reputation, Start, until

CONSUMER = "reputation_postings"


async def tell(reputation: Reputation, *events: EventEnvelope) -> None:
    """Publish, and wait until all of it was handled."""
    await reputation.tell(*events)

    async def ask() -> bool:
        return await is_level(reputation.bus, "ledger", CONSUMER)

    await until(ask)


async def shown(reputation: Reputation, servicer: Ledger, **leaf: Any) -> tuple[int, int, int, int]:
    """Given, received, and both of what was marked, of Ana's account as the ledger has it at a height."""
    height = leaf.pop("height")
    account = state_pb2.AccountLeaf(
        account=principal("ana"), owner=principal("owner"), unit=principal("unit"), **leaf
    )
    name = f"accounts/{principal('ana').hex()}"
    servicer.accounts = ledger.ListAccountsResponse(
        accounts=[ledger.Account(name=name, leaf=account, height=height)], next_page_token="more"
    )
    answer = await reputation.stub.ListReciprocities(pb.ListReciprocitiesRequest(principal=named("owner")))
    assert answer.next_page_token == "more"
    (one,) = answer.reciprocities
    assert (one.account, one.balance_minor, one.height) == (name, leaf["balance_minor"], height)
    return one.given_minor, one.received_minor, one.marked_given_minor, one.marked_received_minor


async def test_marked_postings_are_no_trade(
    reputation: Reputation, ledger_server: tuple[Ledger, str], query: Query
) -> None:
    servicer, _ = ledger_server
    trade = [posted("ana", "ben", 400, 5, kind) for kind in (0, 1, 2, 3, 4)]  # type: ignore[arg-type]
    await tell(
        reputation,
        *trade,
        posted("ana", "fund", 2, 5, PostingKind.POSTING_KIND_FEE),
        posted("ana", "fund", 3, 6, PostingKind.POSTING_KIND_DEMURRAGE),
        posted("fund", "ana", 40, 6, PostingKind.POSTING_KIND_WRITE_OFF),
        posted("cay", "ana", 7, 9, PostingKind.POSTING_KIND_OPENING),
    )
    leaf = {"balance_minor": -1_958, "given_minor": 2_005}
    assert await shown(reputation, servicer, height=9, **leaf) == (2_000, 0, 5, 47)
    assert query("SELECT count(*) FROM inbox WHERE consumer = %s", CONSUMER) == [(4,)], "trade costs no row"


async def test_an_account_that_nothing_marked_has_touched_shows_the_ledgers_sums(
    reputation: Reputation, ledger_server: tuple[Ledger, str]
) -> None:
    servicer, _ = ledger_server
    assert await shown(reputation, servicer, height=9, balance_minor=-150, given_minor=400) == (
        400,
        250,
        0,
        0,
    )


async def test_a_validator_that_is_behind_is_answered_for_its_own_height(
    reputation: Reputation, ledger_server: tuple[Ledger, str]
) -> None:
    servicer, _ = ledger_server
    await tell(reputation, posted("ana", "fund", 2, 5), posted("ana", "fund", 3, 8))
    assert await shown(reputation, servicer, height=4, balance_minor=0, given_minor=0) == (0, 0, 0, 0)
    assert await shown(reputation, servicer, height=5, balance_minor=-2, given_minor=2) == (0, 0, 2, 0)
    assert await shown(reputation, servicer, height=7, balance_minor=-2, given_minor=2) == (0, 0, 2, 0)
    assert await shown(reputation, servicer, height=8, balance_minor=-5, given_minor=5) == (0, 0, 5, 0)


@pytest.mark.parametrize(
    "changed",
    [
        {"source": b"short"},
        {"destination": b""},
        {"amount_minor": 0},
        {"amount_minor": 2**62 + 1},
        {"height": 0},
        {"height": 2**63},
    ],
)
async def test_what_breaks_a_rule_is_put_aside_and_the_rest_goes_on(
    reputation: Reputation,
    ledger_server: tuple[Ledger, str],
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, Any],
) -> None:
    monkeypatch.setattr("icn_kit.inbox.RETRY_SECONDS", ())
    servicer, _ = ledger_server
    await tell(reputation, posted("ana", "fund", 2, 5, changed=changed), posted("ana", "fund", 2**62, 5))
    (letter,) = await reputation.dead_letters("ledger", CONSUMER)
    assert letter.headers["Icn-Reason"] == "MALFORMED_EVENT"
    leaf = {"balance_minor": -(2**62), "given_minor": 2**62}
    assert await shown(reputation, servicer, height=5, **leaf) == (0, 0, 2**62, 0)


async def test_a_stream_made_anew_changes_nothing_and_a_database_made_anew_counts_it_all(
    reputation: Reputation, ledger_server: tuple[Ledger, str], query: Query, start: Start
) -> None:
    servicer, _ = ledger_server
    events = [posted("ana", "fund", number, 5 + number) for number in range(1, 5)]
    leaf = {"height": 9, "balance_minor": -10, "given_minor": 10}
    await tell(reputation, *events)
    assert await shown(reputation, servicer, **leaf) == (0, 0, 10, 0)
    await reputation.bus.streams.purge_stream("ICN_LEDGER")
    await tell(reputation, *events)
    assert await shown(reputation, servicer, **leaf) == (0, 0, 10, 0)
    await reputation.service.drain()
    for consumer in await reputation.bus.streams.consumers_info("ICN_LEDGER"):
        await reputation.bus.streams.delete_consumer("ICN_LEDGER", consumer.name)
    query("TRUNCATE marked_sums, inbox")
    again = await start()
    await tell(again)
    assert await shown(again, servicer, **leaf) == (0, 0, 10, 0)


POSTINGS = st.lists(
    st.tuples(
        st.permutations(["ana", "ben", "fund"]).map(lambda names: names[:2]),
        st.integers(1, 100),
        st.integers(1, 6),
    ),
    max_size=12,
)
"""Source and destination, amount, height."""


def test_in_any_order_sums_are_those_of_every_height(database_for: DatabaseFor) -> None:
    loop = asyncio.new_event_loop()
    database = loop.run_until_complete(Database.open(database_for("icn_reputation"), "reputation"))
    handler, queries = of_postings(MarkedTable), MarkedQueries(database)

    async def check(postings: list[Any]) -> None:
        async with database.transaction() as connection:
            await connection.execute("TRUNCATE marked_sums, inbox")
            events = [posted(*names, amount, height) for names, amount, height in postings]
            await handle_once(connection, "test", events, handler)
        for height in range(8):
            for name in ("ana", "ben", "fund"):
                before = [one for one in postings if one[2] <= height]
                debited = sum(amount for (source, _), amount, _ in before if source == name)
                credited = sum(amount for (_, other), amount, _ in before if other == name)
                sums = await queries.marked_sums([(principal(name), height)])
                expected = MarkedSums(debited, credited)
                assert sums.get(principal(name), MarkedSums()) == expected

    @settings(max_examples=30, suppress_health_check=list(HealthCheck), deadline=None)
    @given(postings=POSTINGS)
    def same(postings: list[Any]) -> None:
        loop.run_until_complete(check(postings))

    same()
    loop.run_until_complete(database.close())
    loop.close()

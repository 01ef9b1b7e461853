"""Reputation from events to answers: real sockets, real Postgres, real NATS."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import icn_kit.inbox
import pytest
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1 import service_pb2 as ledger
from icn.ledger.v1 import state_pb2
from icn.reputation.v1 import service_pb2 as pb
from icn.reputation.v1.events_pb2 import ScoresUpdated
from icn.reputation.v1.service_pb2_grpc import ReputationServiceStub
from icn_kit.bus import Bus
from icn_localnet.nats import NatsServer
from icn_localnet.pytest_plugin import DatabaseFor
from icn_reputation.metrics import COMPUTATIONS
from icn_trust.eigentrust import SCORE_SCALE

from services.reputation.tests.conftest import FOUNDERS, authority, ended, membership, named, principal
from services.reputation.tests.integration.conftest import Ledger, Query, Reputation, Start, until, variables

TRADES = [
    ended("bakery", "farm", 600),
    ended("bakery", "ana", 200),
    ended("farm", "ana", 300),
    ended("farm", "ben", 300),
    ended("ana", "ben", 50),
    ended("farm", "ben", 100, commitment="late", is_failed=True, occurred_at_ms=5_000),
]


async def test_before_any_evidence_scores_are_the_founders_shares(reputation: Reputation) -> None:
    found = await reputation.until_computed(0)
    assert await reputation.scores() == {named(founder): SCORE_SCALE // 4 for founder in FOUNDERS}
    assert sorted(found.computation.seeds) == sorted(map(named, FOUNDERS))
    assert (found.computation.as_of_time_ms, found.computation.members) == (0, 4)


async def test_a_score_is_exactly_the_sum_of_its_parts_and_names_the_commitments_behind_them(
    reputation: Reputation,
) -> None:
    await reputation.tell(*TRADES)
    await reputation.until_computed(len(TRADES))
    request = pb.GetScoreRequest(principal=named("ben"), dimension="delivery")
    answer = await reputation.stub.GetScore(request)
    assert answer.score.score_nano == (await reputation.scores())[named("ben")] > 0
    explanation = answer.explanation
    parts = [explanation.seed_nano, explanation.returned_nano, explanation.rest_nano]
    parts += [contribution.amount_nano for contribution in explanation.contributions]
    assert sum(parts) == answer.score.score_nano
    assert answer.score.as_of_time_ms == answer.computation.as_of_time_ms == 5_000
    by_farm = {one.principal: one for one in explanation.contributions}[named("farm")]
    assert by_farm.trust == 300 - 100
    assert [(piece.weight, piece.kind) for piece in by_farm.evidence] == [
        (300, pb.EvidenceKind.EVIDENCE_KIND_FULFILLED),
        (100, pb.EvidenceKind.EVIDENCE_KIND_FAILED),
    ]
    assert by_farm.evidence[1].source == f"commitments/{principal('late').hex()}"
    assert (by_farm.others, by_farm.others_fulfilled, by_farm.others_failed) == (0, 0, 0)


async def test_scores_of_two_dimensions_are_never_mixed(reputation: Reputation) -> None:
    await reputation.tell(ended("farm", "ana"), ended("farm", "ben", dimension="payment"))
    await reputation.until_computed(1)
    await reputation.until_computed(1, "payment")
    assert named("ben") not in await reputation.scores()
    assert named("ana") not in await reputation.scores("payment")
    answer = await reputation.stub.ListScores(pb.ListScoresRequest(principal=named("farm")))
    assert [score.dimension for score in answer.scores] == ["delivery", "payment"]


async def test_events_in_another_order_and_twice_give_the_same_scores(
    start: Start, database_for: DatabaseFor
) -> None:
    dice = random.Random(7)
    first = await start()
    await first.tell(*TRADES)
    await first.until_computed(len(TRADES))
    expected = await first.scores()
    await first.service.drain()
    other = await start(DATABASE_URL=database_for("icn_reputation"))
    again = [EventEnvelope.FromString(one.SerializeToString()) for one in TRADES * 2]
    dice.shuffle(again)
    for one in again[::2]:
        one.id = bytes(dice.randrange(256) for _ in range(16))  # another event of the same commitment
    await other.tell(*again)
    await other.until_computed(len(TRADES))
    assert await other.scores() == expected
    evidence = await other.stub.ListEvidence(pb.ListEvidenceRequest(dimension="delivery", about=named("ben")))
    assert len(evidence.evidence) == 3


async def test_every_computation_that_moves_a_score_is_published(reputation: Reputation) -> None:
    await reputation.until_computed(0)

    async def told_of(evidence_count: int) -> ScoresUpdated:
        async with asyncio.timeout(20):
            async for event in reputation.bus.subscribe("icn.reputation.v1.>"):
                told = ScoresUpdated.FromString(event.payload)
                if (told.dimension, told.evidence_count) == ("delivery", evidence_count):
                    return told
        raise AssertionError

    telling = asyncio.create_task(told_of(1))
    await asyncio.sleep(0.2)
    await reputation.tell(ended("farm", "ana", 7, occurred_at_ms=123))
    told = await telling
    assert (told.as_of_time_ms, told.members, told.changed_count) == (123, 5, 5)
    assert {change.principal: change.score_nano for change in told.changes} == await reputation.scores()
    before = {change.principal: change.previous_score_nano for change in told.changes}
    assert before == {**{named(founder): SCORE_SCALE // 4 for founder in FOUNDERS}, named("ana"): 0}


async def test_a_second_word_about_one_commitment_is_put_aside_with_its_reason(
    reputation: Reputation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(icn_kit.inbox, "RETRY_SECONDS", (0.01,) * 4)
    await reputation.tell(
        ended("farm", "ana", 7, commitment="one"),
        ended("farm", "ana", 7, commitment="one", is_failed=True),
        ended("farm", "ana", 8, commitment="two", dimension="fame"),
        ended("farm", "ana", 8, commitment="three", changed={"source_id": "commitments/elsewhere"}),
        ended("farm", "farm", 8, commitment="four"),
        ended("farm", "ana", 0, commitment="five"),
        ended("farm", "ana", 8, commitment="six", changed={"who": b"short"}),
        ended("farm", "ana", 9, commitment="seven"),
    )
    await reputation.until_computed(2)
    letters = await reputation.dead_letters("marketplace", "reputation_evidence")
    assert [letter.headers["Icn-Reason"] for letter in letters] == [
        "EVIDENCE_CONFLICT",
        "DIMENSION_UNKNOWN",
        *["EVIDENCE_INVALID"] * 4,
    ]
    answer = await reputation.stub.ListEvidence(
        pb.ListEvidenceRequest(dimension="delivery", about=named("ana"), who=named("farm"))
    )
    assert [(piece.weight, piece.number) for piece in answer.evidence] == [(9, 2), (7, 1)]


async def test_trust_flows_from_the_federations_members_once_two_thirds_of_the_founders_are_in_it(
    reputation: Reputation,
) -> None:
    async def seeds() -> set[str]:
        answer = await reputation.stub.ListDimensions(pb.ListDimensionsRequest())
        return set(answer.dimensions[0].computation.seeds)

    def are(*names: str) -> Any:
        async def ask() -> bool:
            return await seeds() == set(map(named, names))

        return ask

    await reputation.tell(authority("pirates", 2), membership("pirates", "eva", 2))
    await reputation.tell(membership("pirates", "bakery", 3), membership("pirates", "housing", 3))
    await reputation.tell(authority("federation", 4))
    await until(are(*FOUNDERS))
    for founder in FOUNDERS[:3]:
        await reputation.tell(membership("federation", founder, 4))
    await until(are(*FOUNDERS[:3]))
    await reputation.tell(membership("federation", "school", 9))
    await until(are(*FOUNDERS[:3], "school"))
    await reputation.tell(membership("federation", "farm", 12, is_active=False))
    await until(are("bakery", "housing", "school"))
    await reputation.tell(membership("federation", "farm", 11))
    await reputation.tell(ended("bakery", "farm"))
    await reputation.until_computed(1)
    assert await are("bakery", "housing", "school")(), "an older event changes nothing"


async def test_the_settings_may_name_the_seeds(start: Start) -> None:
    reputation = await start(SEEDS=f'["{principal("eva").hex()}"]')
    found = await reputation.until_computed(0)
    assert list(found.computation.seeds) == [named("eva")]
    assert await reputation.scores() == {named("eva"): SCORE_SCALE}


async def test_other_seeds_in_the_settings_take_effect_after_a_restart(start: Start) -> None:
    first = await start()
    await first.until_computed(0)
    await first.service.drain()
    second = await start(SEEDS=f'["{named("eva")}"]')

    async def is_changed() -> bool:
        return await second.scores() == {named("eva"): SCORE_SCALE}

    await until(is_changed)
    await second.service.drain()
    third = await start(SEEDS="[]")

    async def is_back() -> bool:
        return set(await third.scores()) == set(map(named, FOUNDERS))

    await until(is_back)


async def test_scores_come_in_pages_with_ranks_that_ties_share(reputation: Reputation) -> None:
    await reputation.tell(*(ended("farm", f"member {number}", 10) for number in range(12)))
    await reputation.until_computed(12)
    whole = (await reputation.stub.ListScores(pb.ListScoresRequest(dimension="delivery"))).scores
    assert [score.score_nano for score in whole] == sorted(
        (score.score_nano for score in whole), reverse=True
    )
    for score in whole:
        assert score.rank == 1 + sum(other.score_nano > score.score_nano for other in whole)
    paged: list[Any] = []
    request = pb.ListScoresRequest(dimension="delivery", page_size=5)
    while True:
        answer = await reputation.stub.ListScores(request)
        paged.extend(answer.scores)
        if not answer.next_page_token:
            break
        assert len(answer.scores) == 5
        request.page_token = answer.next_page_token
    assert paged == list(whole)
    explained = await reputation.stub.GetScore(
        pb.GetScoreRequest(principal=whole[7].principal, dimension="delivery")
    )
    assert explained.score == whole[7]


async def test_evidence_comes_in_pages_about_from_and_between(reputation: Reputation) -> None:
    await reputation.tell(*(ended("farm", "ana", number) for number in range(1, 8)))
    await reputation.tell(ended("ben", "ana", 50), ended("farm", "ben", 60))
    await reputation.until_computed(9)

    async def weights(**fields: Any) -> list[int]:
        found: list[int] = []
        token = ""
        while True:
            request = pb.ListEvidenceRequest(dimension="delivery", page_size=3, page_token=token, **fields)
            answer = await reputation.stub.ListEvidence(request)
            found.extend(piece.weight for piece in answer.evidence)
            token = answer.next_page_token
            if not token:
                return found

    assert await weights(about=named("ana")) == [50, 7, 6, 5, 4, 3, 2, 1]
    assert await weights(who=named("farm")) == [60, 7, 6, 5, 4, 3, 2, 1]
    assert await weights(who=named("farm"), about=named("ana")) == [7, 6, 5, 4, 3, 2, 1]
    assert await weights(who=named("eva")) == []
    await reputation.tell(ended("farm", "ana", 9, commitment="broken", is_failed=True))
    await reputation.until_computed(10)
    failed, fulfilled = pb.EvidenceKind.EVIDENCE_KIND_FAILED, pb.EvidenceKind.EVIDENCE_KIND_FULFILLED
    assert await weights(about=named("ana"), kind=failed) == [9]
    assert await weights(about=named("ana"), kind=fulfilled) == [50, 7, 6, 5, 4, 3, 2, 1]
    assert await weights(about=named("ben"), kind=failed) == []


async def test_much_evidence_of_one_pair_is_named_in_part_and_counted_in_whole(
    reputation: Reputation,
) -> None:
    await reputation.tell(*(ended("farm", "ana", number) for number in range(1, 31)))
    await reputation.tell(ended("farm", "ana", 3, commitment="broken", is_failed=True))
    await reputation.until_computed(31)
    answer = await reputation.stub.GetScore(pb.GetScoreRequest(principal=named("ana"), dimension="delivery"))
    (by_farm,) = answer.explanation.contributions
    assert [piece.weight for piece in by_farm.evidence] == list(range(30, 10, -1))
    assert (by_farm.others, by_farm.others_fulfilled, by_farm.others_failed) == (11, 55, 3)
    assert by_farm.trust == 465 - 3


async def test_duty_and_reciprocity_are_the_ledgers_integers(
    reputation: Reputation, ledger_server: tuple[Ledger, str]
) -> None:
    servicer, _ = ledger_server
    leaf = state_pb2.DutyLeaf(organization=principal("farm"), epoch=3, blocks=100, proposed=25, signed=99)
    servicer.duties = ledger.ListDutiesResponse(duties=[leaf], next_page_token="more")
    duties = await reputation.stub.ListDuties(
        pb.ListDutiesRequest(organization=named("farm"), page_size=1, page_token="before")
    )
    assert duties == pb.ListDutiesResponse(
        duties=[pb.Duty(organization=named("farm"), epoch=3, blocks=100, proposed=25, signed=99)],
        next_page_token="more",
    )
    assert servicer.asked[-1] == ledger.ListDutiesRequest(
        organization=named("farm"), page_size=1, page_token="before"
    )
    account = state_pb2.AccountLeaf(
        account=principal("till"),
        owner=principal("farm"),
        unit=principal("unit"),
        balance_minor=-150,
        given_minor=400,
    )
    name = f"accounts/{principal('till').hex()}"
    servicer.accounts = ledger.ListAccountsResponse(
        accounts=[ledger.Account(name=name, leaf=account, height=9)]
    )
    found = await reputation.stub.ListReciprocities(pb.ListReciprocitiesRequest(principal=named("farm")))
    assert list(found.reciprocities) == [
        pb.Reciprocity(
            account=name,
            unit=f"units/{principal('unit').hex()}",
            given_minor=400,
            received_minor=250,
            balance_minor=-150,
            height=9,
        )
    ]


async def test_idle_it_computes_nothing(reputation: Reputation, query: Query) -> None:
    await reputation.tell(ended("farm", "ana"))
    await reputation.until_computed(1)
    await asyncio.sleep(1.0)
    before = query("SELECT * FROM computations ORDER BY dimension"), looks()
    commits = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"

    async def is_quiet() -> bool:
        """Postgres counts what a connection did only some time after it; so a busy start is waited out."""
        first = query(commits)[0][0]
        await asyncio.sleep(2.0)
        return bool(query(commits)[0][0] - first <= 4)  # these questions themselves

    await until(is_quiet)
    assert (query("SELECT * FROM computations ORDER BY dimension"), looks()) == before


def looks() -> float:
    """How often a dimension was looked at so far."""
    return sum(
        sample.value
        for metric in COMPUTATIONS.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    )


async def test_two_processes_of_the_service_agree_and_publish_once(start: Start, query: Query) -> None:
    first, second = await start(), await start()
    await first.tell(*TRADES)
    await first.until_computed(len(TRADES))
    await second.until_computed(len(TRADES))
    request = pb.GetScoreRequest(principal=named("ana"), dimension="delivery")
    assert await first.stub.GetScore(request) == await second.stub.GetScore(request)
    events = query("SELECT envelope FROM outbox")
    counts = [
        ScoresUpdated.FromString(EventEnvelope.FromString(envelope).payload).evidence_count
        for (envelope,) in events
        if b"delivery" in envelope
    ]
    assert len(counts) == len(set(counts)), "one event per computation"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


async def test_killed_at_any_moment_it_gives_the_same_answers(
    genesis_path: Path, dsn: str, nats: NatsServer, bus: Bus, ledger_server: tuple[Ledger, str], start: Start
) -> None:
    """A process is killed again and again while evidence comes; another database has it without a kill."""
    dice = random.Random(11)
    trades = [
        ended(
            *dice.sample((*FOUNDERS, "ana", "ben", "eva"), 2), 1 + dice.randrange(90), commitment=str(number)
        )
        for number in range(60)
    ]
    port = free_port()
    environment = variables(
        genesis_path, dsn, nats.url, ledger_server[1], ADDRESS=f"127.0.0.1:{port}", METRICS_PORT="0"
    )
    command = [sys.executable, "-m", "icn_reputation.main"]
    for one in trades:
        await bus.streams.publish(one.subject, one.SerializeToString())
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    stub = ReputationServiceStub(channel)

    async def computed() -> int:
        try:
            answer = await stub.ListDimensions(pb.ListDimensionsRequest(), timeout=1)
        except grpc.aio.AioRpcError:
            return -1
        return int(answer.dimensions[0].computation.evidence_count)

    for seconds in (1.0, 0.15, 0.4, None):
        process = subprocess.Popen(command, env={**os.environ, **environment})  # noqa: ASYNC220
        try:

            async def serves() -> bool:
                return await computed() >= 0

            await until(serves)
            if seconds is not None:
                await asyncio.sleep(seconds * dice.random())
                continue

            async def is_done() -> bool:
                return await computed() == len(trades)

            await until(is_done)
            requests = [
                pb.GetScoreRequest(principal=named(name), dimension="delivery")
                for name in (*FOUNDERS, "ana", "ben", "eva")
            ]
            answers = [await stub.GetScore(request) for request in requests]
            page = await stub.ListScores(pb.ListScoresRequest(dimension="delivery"))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    after = await start()
    await after.until_computed(len(trades))
    assert [await after.stub.GetScore(request) for request in requests] == answers
    assert await after.stub.ListScores(pb.ListScoresRequest(dimension="delivery")) == page
    assert sum(score.score_nano for score in page.scores) == pytest.approx(SCORE_SCALE, abs=len(page.scores))
    await channel.close()

"""Proofs of equivocation: the first of each seat and epoch is kept, also through an outage, and is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from icn.consensus.v1 import service_pb2 as pb
from icn_consensus.api.consensus_service import ConsensusServicer
from icn_consensus.domain.actions import Report, ReportKind
from icn_consensus.store.block_store import SCHEMA
from icn_consensus.store.evidence_store import EvidenceStore
from icn_consensus.usecases import keep_evidence
from icn_consensus.usecases.get_status import StatusReader
from icn_consensus.usecases.keep_evidence import EvidenceKeeper
from icn_consensus.usecases.ports import Evidence
from icn_kit.database import Database
from icn_kit.errors import InvalidArgument, Unavailable

BEGINNING = (2**63 - 1, 0)


@pytest.fixture
async def store(databases: list[str]) -> AsyncIterator[EvidenceStore]:
    database = await Database.open(databases[0], SCHEMA, pool_size=2)
    yield EvidenceStore(database)
    await database.close()


def proof(epoch: int, seat: int, view: int = 1) -> Evidence:
    return Evidence(epoch, seat, view, b"proof %d %d %d" % (epoch, seat, view))


def report(evidence: Evidence) -> Report:
    return Report(
        ReportKind.EQUIVOCATION, evidence.epoch, evidence.view, evidence.seat, evidence=evidence.proof
    )


async def test_the_first_of_a_seat_and_epoch_is_kept(store: EvidenceStore) -> None:
    for evidence in (proof(1, 2), proof(1, 2, view=9), proof(1, 0), proof(3, 2)):
        await store.add(evidence)
    assert await store.page(BEGINNING, 10) == [proof(3, 2), proof(1, 2), proof(1, 0)]
    assert await store.page((3, 2), 1) == [proof(1, 2)]
    assert await store.page((1, 0), 10) == []


class Away:
    """A store whose database is away for a while."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.added: list[Evidence] = []

    async def add(self, evidence: Evidence) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("DATABASE_UNAVAILABLE", "away")
        self.added.append(evidence)

    async def page(self, before: tuple[int, int], count: int) -> Sequence[Evidence]:
        raise NotImplementedError


async def test_reports_wait_for_the_database_and_each_seat_is_stored_once_an_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keep_evidence, "RETRY_SECONDS", 0.01)
    store = Away(failures=3)
    keeper = EvidenceKeeper(store)
    reported = [proof(1, 2), proof(1, 2, view=9), proof(1, 0), proof(2, 2), proof(1, 2, view=10)]
    for evidence in reported:
        keeper.put(report(evidence))
    running = asyncio.create_task(keeper.run())
    async with asyncio.timeout(10):
        while len(store.added) < 3:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    running.cancel()
    assert store.added == [proof(1, 2), proof(1, 0), proof(2, 2)]


async def test_what_there_is_no_room_for_is_taken_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keep_evidence, "WAITING_MAX", 2)
    store = Away(failures=0)
    keeper = EvidenceKeeper(store)
    for seat in range(3):
        keeper.put(report(proof(1, seat)))
    running = asyncio.create_task(keeper.run())
    async with asyncio.timeout(10):
        while len(store.added) < 2:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
        keeper.put(report(proof(1, 2, view=7)))
        while len(store.added) < 3:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    running.cancel()
    assert store.added == [proof(1, 0), proof(1, 1), proof(1, 2, view=7)]


async def test_who_asks_is_told_page_by_page(store: EvidenceStore) -> None:
    for epoch in range(5):
        await store.add(proof(epoch, epoch % 4))
    unused: Any = None
    status = StatusReader(b"k" * 32, b"g" * 32, unused, unused, unused, unused, unused, unused, 1)
    servicer = ConsensusServicer(unused, status, unused, store, unused, unused)
    told, token = [], ""
    while True:
        answer = await servicer.ListEvidence(pb.ListEvidenceRequest(page_size=2, page_token=token), None)
        told += [(one.epoch, one.seat, one.view, one.proof) for one in answer.evidence]
        token = answer.next_page_token
        if not token:
            break
    assert told == [tuple(proof(epoch, epoch % 4)) for epoch in (4, 3, 2, 1, 0)]
    large = Evidence(0, 0, 1, b"x" * 57_344)
    for seat in range(50):
        await store.add(large._replace(epoch=9, seat=seat))
    first = await servicer.ListEvidence(pb.ListEvidenceRequest(page_size=500), None)
    assert (len(first.evidence), first.evidence[-1].seat) == (32, 18), (
        "a page ends at a mebibyte, by sixteens"
    )
    second = pb.ListEvidenceRequest(page_size=500, page_token=first.next_page_token)
    rest = await servicer.ListEvidence(second, None)
    assert [one.seat for one in rest.evidence if one.epoch == 9] == list(range(17, -1, -1))
    assert (len(rest.evidence), rest.next_page_token) == (18 + 5, "")
    for wrong, reason in (
        (pb.ListEvidenceRequest(page_size=501), "PAGE_SIZE_OUT_OF_RANGE"),
        (pb.ListEvidenceRequest(page_token="AAAA"), "INVALID_PAGE_TOKEN"),
    ):
        with pytest.raises(InvalidArgument) as refusal:
            await servicer.ListEvidence(wrong, None)
        assert refusal.value.reason == reason

"""When scores are computed: on change, gathered, as far as they can be seen, and never when idle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from icn_kit.errors import ResourceExhausted, Unavailable
from icn_reputation.domain.computation import PAIRS_MAX, Basis, PairSum
from icn_reputation.domain.seeds import Seeds
from icn_reputation.usecases import compute_scores
from icn_reputation.usecases.compute_scores import ScoreBook, Scorer
from icn_reputation.usecases.ports import Changes, ComputationRow, DimensionRow

SEED, ANA = b"s" * 16, b"a" * 16
BUSY_SECONDS_MAX = 30.0


class Store:
    """A store of one pair whose evidence a test lets appear."""

    def __init__(self) -> None:
        self.evidence_count = 0
        self.height = 0
        self.computed: dict[str, ComputationRow] = {}
        self.scores: dict[str, dict[bytes, int]] = {}
        self.stored: list[tuple[str, int]] = []
        self.bases = 0
        self.fail: list[Exception] = []
        self.pairs: Sequence[PairSum] | None = None

    async def basis(self, dimension: str, _configured: Sequence[bytes], founders: Sequence[bytes]) -> Basis:
        self.bases += 1
        if self.fail:
            raise self.fail.pop()
        count = self.evidence_count if dimension == "delivery" else 0
        return Basis(dimension, count, count * 10, Seeds(tuple(founders), self.height))

    async def memberships_height(self) -> int:
        return self.height

    async def dimension(self, name: str) -> DimensionRow | None:
        return DimensionRow(name, self.evidence_count, self.computed.get(name))

    async def pair_sums(self, basis: Basis, limit: int) -> Sequence[PairSum]:
        if self.pairs is not None:
            return self.pairs
        return [PairSum(SEED, ANA, basis.evidence_count, 0)] if basis.evidence_count else []

    async def store(self, row: ComputationRow, scores: dict[bytes, int], _changes_max: int) -> Changes | None:
        self.computed[row.basis.dimension] = row
        self.scores[row.basis.dimension] = scores
        self.stored.append((row.basis.dimension, row.basis.evidence_count))
        return Changes([], 0)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def scorer(store: Store, monkeypatch: pytest.MonkeyPatch) -> Scorer:
    monkeypatch.setattr(compute_scores, "DEBOUNCE_SECONDS", 0.02)
    monkeypatch.setattr(compute_scores, "UNSEEN_SECONDS", (0.01,) * 6)
    monkeypatch.setattr(compute_scores, "RETRY_SECONDS", 0.01)
    made: Any = store
    return Scorer(made, ScoreBook(made), [], [SEED])


async def running(scorer: Scorer, seconds: float = 0.15, is_done: Callable[[], bool] = lambda: True) -> None:
    """Let it run for so long, and on a busy machine until it is done; it never ends by itself."""
    task = asyncio.ensure_future(scorer.run())
    await asyncio.wait({task}, timeout=seconds)
    deadline = asyncio.get_running_loop().time() + BUSY_SECONDS_MAX
    while not is_done() and asyncio.get_running_loop().time() < deadline:
        await asyncio.wait({task}, timeout=0.01)
    assert not task.done()
    task.cancel()
    await asyncio.wait({task})


async def test_after_a_start_every_dimension_is_computed_once_and_then_it_sleeps(
    scorer: Scorer, store: Store
) -> None:
    await running(scorer, is_done=lambda: len(store.stored) >= 2)
    assert store.stored == [("delivery", 0), ("payment", 0)]
    assert store.bases == 2


async def test_what_is_stored_already_is_not_computed_again(scorer: Scorer, store: Store) -> None:
    await running(scorer, is_done=lambda: len(store.stored) >= 2)
    made: Any = store
    await running(Scorer(made, ScoreBook(made), [], [SEED]))
    assert store.stored == [("delivery", 0), ("payment", 0)]


async def test_pieces_that_come_together_are_one_computation(scorer: Scorer, store: Store) -> None:
    async def tell() -> None:
        await asyncio.sleep(0.06)
        for number in range(1, 11):
            store.evidence_count = number
            scorer.evidence_added("delivery", number)

    await asyncio.gather(running(scorer, 0.3, lambda: len(store.stored) >= 3), tell())
    assert store.stored == [("delivery", 0), ("payment", 0), ("delivery", 10)]
    assert sum(store.scores["delivery"].values()) == pytest.approx(10**9, abs=2)


async def test_a_piece_that_is_not_committed_yet_is_waited_for(scorer: Scorer, store: Store) -> None:
    async def commit() -> None:
        scorer.evidence_added("delivery", 1)
        await asyncio.sleep(0.06)
        store.evidence_count = 1

    await asyncio.gather(running(scorer, 0.3, lambda: ("delivery", 1) in store.stored), commit())
    assert ("delivery", 1) in store.stored


async def test_a_piece_that_was_rolled_back_is_not_waited_for_without_end(
    scorer: Scorer, store: Store
) -> None:
    scorer.evidence_added("delivery", 1)
    await running(scorer, 0.4, lambda: len(store.stored) >= 2)
    assert store.stored == [("delivery", 0), ("payment", 0)]


async def test_other_seeds_are_another_computation(scorer: Scorer, store: Store) -> None:
    async def change() -> None:
        await asyncio.sleep(0.06)
        store.height = 5
        scorer.membership_changed(5)

    await asyncio.gather(running(scorer, 0.3, lambda: len(store.stored) >= 4), change())
    assert store.stored == [("delivery", 0), ("payment", 0)] * 2
    assert store.computed["payment"].basis.seeds.height == 5


async def test_a_database_that_is_away_is_asked_again(scorer: Scorer, store: Store) -> None:
    store.fail = [Unavailable("DATABASE_UNAVAILABLE", "gone") for _ in range(3)]
    await running(scorer, 0.6, lambda: len(set(store.stored)) >= 2)
    assert sorted(set(store.stored)) == [("delivery", 0), ("payment", 0)]


async def test_a_dimension_of_too_many_pairs_keeps_its_scores(scorer: Scorer, store: Store) -> None:
    await running(scorer)
    before = dict(store.scores)
    store.pairs = [PairSum(SEED, ANA, 1, 0)] * (PAIRS_MAX + 1)
    store.evidence_count = 1
    with pytest.raises(ResourceExhausted) as refusal:
        await scorer.compute("delivery", 1)
    assert refusal.value.reason == "EVIDENCE_TOO_LARGE"
    scorer.evidence_added("delivery", 1)
    await running(scorer)
    assert store.scores == before


async def test_a_computation_is_kept_for_explanations_and_made_once_for_many(store: Store) -> None:
    made: Any = store
    book = ScoreBook(made)
    basis = Basis("delivery", 1, 10, Seeds((SEED,), 0))
    found = await asyncio.gather(*(book.computed(basis) for _ in range(5)))
    assert all(one is found[0] for one in found)
    older = await book.computed(Basis("delivery", 0, 0, Seeds((SEED,), 0)))
    assert older.basis.evidence_count == 0
    assert await book.computed(basis) is found[0], "an older one does not take its place"

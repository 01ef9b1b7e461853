from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from icn_chain.block import Block, build_block
from icn_chain.header import build_header
from icn_chain.validator_set import Validator, ValidatorSet
from icn_consensus.domain.actions import Branch, Judge, Prepare
from icn_consensus.domain.events import BlockJudged, BlockPrepared, Event
from icn_consensus.usecases import judging
from icn_consensus.usecases.judging import Judging
from icn_consensus.usecases.pool import Pool, PoolItem
from icn_consensus.usecases.ports import AncestorUnknown, Choice, StateBehind, TransactionCheck
from icn_kit.errors import Unavailable

from .fakes import LATER_MS, FakeApplication, check_of, settle

BRANCH = Branch(5, (b"six", b"seven"))


SEATS = ValidatorSet.of(Validator(key * 16, ((1, key * 32),)) for key in (b"k", b"l", b"m", b"n"))


def some_block(height: int, protocol_version: int = 1) -> Block:
    header = build_header(
        bytes(32),
        protocol_version=protocol_version,
        height=height,
        view=height,
        parent=bytes(32),
        time_ms=height * 1_000,
        transactions_root=bytes(32),
        executed_height=height - 1,
        state_root=bytes(32),
        receipts_root=bytes(32),
        log_root=bytes(32),
        parent_certificate_digest=bytes(32),
        finalization_digest=bytes(32),
        epoch=0,
        validator_set_hash=SEATS.hash,
        next_validator_set_hash=SEATS.hash,
    )
    return build_block(header, [b"of %d" % height], b"", b"")


def judge(block_hash: bytes = b"eight", branch: Branch = BRANCH) -> Judge:
    return Judge(block_hash, branch, 0, 8_000, (b"transaction",))


def prepare(request: int = 1, **changes: Any) -> Prepare:
    fields = {"size_bytes_max": 1_000_000, "transactions_max": 100, **changes}
    return Prepare(request, BRANCH, 0, 8_000, **fields)


class World:
    def __init__(self) -> None:
        self.application = FakeApplication()
        self.pool = Pool()
        self.blocks: dict[bytes, Block] = {b"six": some_block(6), b"seven": some_block(7)}
        self.answers: list[Event] = []
        self.refused: list[tuple[bytes, str]] = []
        self.judging = Judging(
            self.application,
            self.pool,
            find_block=self._find_block,
            on_answer=self.answers.append,
            on_refused=self._on_refused,
        )

    async def _find_block(self, block_hash: bytes) -> Block | None:
        return self.blocks.get(block_hash)

    def _on_refused(self, item: PoolItem, check: TransactionCheck) -> None:
        self.refused.append((item.data, check.reason))

    def admit(self, *transactions: bytes) -> None:
        for data in transactions:
            self.pool.add(b"id of " + data, data, LATER_MS, 0.0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    task = asyncio.ensure_future(world.judging.run())
    yield world
    task.cancel()


async def test_a_block_is_judged_by_the_application(world: World) -> None:
    world.application.on_validate = lambda block_hash, _branch: "EXPIRED" if block_hash == b"bad" else ""
    world.judging.put(judge())
    world.judging.put(judge(b"bad"))
    await settle()
    assert world.answers == [
        BlockJudged(b"eight", is_valid=True),
        BlockJudged(b"bad", is_valid=False, reason="EXPIRED"),
    ]


async def test_what_a_refused_block_holds_is_free_again(world: World) -> None:
    world.application.on_validate = lambda block_hash, _branch: "EXPIRED" if block_hash == b"bad" else ""
    world.admit(b"transaction")
    item = world.pool.get(b"id of transaction")
    assert item is not None
    for block_hash, is_free in ((b"bad", True), (b"eight", False)):
        world.judging.put(judge(block_hash))
        assert world.pool.open_until_ms(item) == item.expire_time_ms
        await settle()
        assert (world.pool.open_until_ms(item) == 0) is is_free


@pytest.mark.parametrize("error", [StateBehind("later"), Unavailable("AWAY", "restarting")])
async def test_a_block_that_cannot_be_judged_now_is_asked_about_later(world: World, error: Exception) -> None:
    def fail(_block_hash: bytes, _branch: Branch) -> str:
        raise error

    world.application.on_validate = fail
    world.judging.put(judge())
    await settle()
    assert world.answers == [BlockJudged(b"eight", is_valid=False, is_behind=True)]


async def test_an_application_that_does_not_know_the_branch_is_taught_it_in_order(world: World) -> None:
    known: set[bytes] = set()

    def validate(block_hash: bytes, branch: Branch) -> str:
        if not known.issuperset(branch.unexecuted):
            raise AncestorUnknown
        known.add(block_hash)
        return ""

    world.application.on_validate = validate
    world.judging.put(judge())
    await settle()
    assert world.answers == [BlockJudged(b"eight", is_valid=True)]
    assert world.application.validated == [
        (b"six", Branch(5, ())),
        (b"seven", Branch(5, (b"six",))),
        (b"eight", BRANCH),
    ]


async def test_a_branch_whose_blocks_are_not_here_is_asked_about_later(world: World) -> None:
    def validate(_block_hash: bytes, branch: Branch) -> str:
        if branch.unexecuted:
            raise AncestorUnknown
        return ""

    world.application.on_validate = validate
    world.blocks.clear()
    world.judging.put(judge())
    await settle()
    assert world.answers == [BlockJudged(b"eight", is_valid=False, is_behind=True)]


async def test_a_proposal_holds_what_the_application_chooses_in_its_order(world: World) -> None:
    world.admit(b"one", b"two", b"three")
    world.application.on_prepare = lambda _candidates: Choice((2, 0), ())
    world.judging.put(prepare())
    await settle()
    assert world.answers == [BlockPrepared(1, (b"three", b"one"))]


async def test_only_the_newest_question_for_a_proposal_is_answered(world: World) -> None:
    world.admit(b"one")
    world.judging.put(prepare(1))
    world.judging.put(prepare(2))
    await settle()
    assert world.answers == [BlockPrepared(2, (b"one",))]


async def test_an_empty_pool_is_answered_without_asking(world: World) -> None:
    def fail(_candidates: Any) -> Choice:
        raise AssertionError("not asked")

    world.application.on_prepare = fail
    world.judging.put(prepare())
    await settle()
    assert world.answers == [BlockPrepared(1, ())]


async def test_what_a_proposal_with_room_does_not_take_is_put_aside(world: World) -> None:
    world.admit(b"one", b"ahead of its lane")
    world.application.on_prepare = lambda _candidates: Choice((0,), ())
    world.judging.put(prepare())
    await settle()
    deferred = world.pool.first_to_leave()
    assert deferred is not None
    assert deferred.data == b"ahead of its lane"


@pytest.mark.parametrize("limits", [{"transactions_max": 1}, {"size_bytes_max": judging.ROOM_LEFT_BYTES}])
async def test_what_a_full_proposal_leaves_is_offered_again(world: World, limits: dict[str, int]) -> None:
    world.admit(b"one", b"two")
    world.application.on_prepare = lambda _candidates: Choice((0,), ())
    world.judging.put(prepare(**limits))
    await settle()
    assert world.pool.first_to_leave() is None


async def test_a_refused_candidate_is_refused_for_the_reason_of_a_second_look(world: World) -> None:
    world.admit(b"one", b"revoked")
    world.application.on_prepare = lambda _candidates: Choice((0,), (1,))
    world.application.checks[b"revoked"] = check_of(b"revoked", reason="KEY_UNKNOWN")
    world.judging.put(prepare())
    await settle()
    assert world.refused == [(b"revoked", "KEY_UNKNOWN")]


@pytest.mark.parametrize(
    "check",
    [
        check_of(b"one", reason="SEQUENCE_USED", executed_height=6),
        check_of(b"one", reason="EXPIRED"),
        check_of(b"one"),
    ],
    ids=["executed meanwhile", "expired by a clock, not by block time", "fine again"],
)
async def test_a_refused_candidate_stays_when_that_is_not_its_end(
    world: World, check: TransactionCheck
) -> None:
    world.admit(b"one")
    world.application.on_prepare = lambda _candidates: Choice((), (0,))
    world.application.checks[b"one"] = check
    world.judging.put(prepare())
    await settle()
    assert world.refused == []
    assert world.pool.get(b"id of one") is not None


async def test_of_too_many_questions_the_oldest_are_answered_without_asking() -> None:
    world = World()
    for number in range(judging.WAITING_MAX + 1):
        world.judging.put(judge(b"%d" % number))
    assert world.answers == [BlockJudged(b"0", is_valid=False, is_behind=True)]

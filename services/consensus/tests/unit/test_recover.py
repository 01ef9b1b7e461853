from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from icn_consensus.domain.block import ExecutedState
from icn_consensus.domain.config import Config
from icn_consensus.usecases.ports import Execution, FinalBlock, StoredBlock
from icn_consensus.usecases.recover import ProtocolUnknown, WrongApplication, recover

from .fakes import FakeApplication, FakeStore, state_after
from .test_judging import SEATS, some_block

CONFIG = Config(
    genesis_hash=bytes(32),
    protocol_version=1,
    public_key=b"k" * 32,
    validators=SEATS,
    genesis_time_ms=1,
    epoch_ms=60_000,
    heartbeat_ms=30_000,
    block_time_distance_ms_max=3_000,
    block_bytes_max=1_000_000,
    block_transactions_max=4_000,
)


class Application(FakeApplication):
    """Stands at a height; executing what is executed gives the first answer."""

    genesis_hash = bytes(32)
    protocol_version = 1
    height = 0

    async def get_info(self) -> tuple[bytes, int, ExecutedState]:
        return self.genesis_hash, self.protocol_version, state_after(self.height)

    async def execute(self, block: FinalBlock) -> Execution:
        assert block.height <= self.height + 1, "no gap"
        self.height = max(self.height, block.height)
        return await super().execute(block)


def store_of(heights: Sequence[int]) -> FakeStore:
    store = FakeStore()
    for height in heights:
        block = some_block(height)
        store.blocks[height] = StoredBlock(height, block.hash, 0, height, block.data, b"final", ())
    return store


async def test_an_empty_disk_begins_with_genesis() -> None:
    recovered = await recover(CONFIG, Application(), store_of([]), [])
    assert (recovered.final_header.height, recovered.finalization, recovered.records) == (0, b"", ())
    assert recovered.final_header.state_root == state_after(0).state_root
    assert recovered.executed == state_after(0)


async def test_an_application_at_the_stores_height_has_nothing_to_do() -> None:
    application = Application()
    application.height = 3
    recovered = await recover(CONFIG, application, store_of([1, 2, 3]), [b"record"])
    assert application.executed == []
    assert (recovered.final_header.hash, recovered.finalization) == (some_block(3).hash, b"final")
    assert recovered.records == (b"record",)
    assert recovered.recent_hashes == tuple(some_block(height).hash for height in (1, 2, 3))


@pytest.mark.parametrize("height", [0, 1, 4])
async def test_an_application_that_is_behind_executes_the_rest_of_the_store(height: int) -> None:
    application = Application()
    application.height = height
    recovered = await recover(CONFIG, application, store_of(range(1, 6)), [])
    assert application.executed == list(range(height + 1, 6))
    assert recovered.executed == state_after(5)


async def test_an_application_that_is_ahead_of_the_store_answers_again_for_its_newest_block() -> None:
    application = Application()
    application.height = 9
    recovered = await recover(CONFIG, application, store_of([1, 2, 3]), [])
    assert application.executed == [3]
    assert recovered.executed.executed_height == recovered.final_header.height == 3


@pytest.mark.parametrize(
    ("changes", "heights", "why"),
    [
        ({"genesis_hash": b"x" * 32}, [], "began with genesis 7878"),
        ({"protocol_version": 0}, [], "protocol versions up to 0"),
        ({"height": 2}, [], "the block store is empty"),
    ],
)
async def test_an_application_that_does_not_fit_is_refused(
    changes: dict[str, object], heights: list[int], why: str
) -> None:
    application = Application()
    for name, value in changes.items():
        setattr(application, name, value)
    with pytest.raises(WrongApplication, match=why):
        await recover(CONFIG, application, store_of(heights), [])


async def test_blocks_of_a_newer_release_are_refused_before_anything_is_executed() -> None:
    application, store = Application(), store_of([1, 2])
    block = some_block(3, protocol_version=2)
    store.blocks[3] = StoredBlock(3, block.hash, 0, 3, block.data, b"final", ())
    with pytest.raises(ProtocolUnknown) as refusal:
        await recover(dataclasses.replace(CONFIG, protocol_newest=1), application, store, [])
    assert str(refusal.value) == (
        "block 3 in this database is of protocol version 2; this release knows 1: upgrade icn "
        "(nothing was changed: the newer release goes on from here)"
    )
    assert application.executed == []


async def test_an_application_of_newer_rules_is_welcome() -> None:
    application = Application()
    application.protocol_version = 2
    recovered = await recover(dataclasses.replace(CONFIG), application, store_of([]), [])
    assert recovered.executed.executed_height == 0

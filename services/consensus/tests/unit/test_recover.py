from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from icn_chain.validator_set import ValidatorSet
from icn_consensus.domain.block import ExecutedState
from icn_consensus.domain.config import Config
from icn_consensus.usecases.admission import HISTORY_MISSING
from icn_consensus.usecases.ports import ApplicationRefused, Execution, FinalBlock, StoredBlock
from icn_consensus.usecases.recover import ProtocolUnknown, WrongApplication, recover

from .fakes import FakeApplication, FakeStore
from .fakes import state_after as nameless_state_after
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


def state_after(height: int, named: ValidatorSet = SEATS) -> ExecutedState:
    return dataclasses.replace(nameless_state_after(height), next_validator_set=named.data)


class Application(FakeApplication):
    """Stands at a height; executing what is executed gives the first answer."""

    genesis_hash = bytes(32)
    protocol_version = 1
    height = 0
    sets: dict[int, ValidatorSet] = {}  # noqa: RUF012 - replaced, never changed
    """Which set the state names, by the height that named it."""

    def state(self, height: int) -> ExecutedState:
        named = max((since for since in self.sets if since <= height), default=0)
        return state_after(height, self.sets.get(named, SEATS))

    async def get_info(self) -> tuple[bytes, int, ExecutedState]:
        return self.genesis_hash, self.protocol_version, self.state(self.height)

    async def execute(self, block: FinalBlock) -> Execution:
        assert block.height <= self.height + 1, "no gap"
        self.height = max(self.height, block.height)
        return Execution(self.state(block.height), (await super().execute(block)).outcomes)


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


async def test_every_set_that_an_edge_may_still_name_is_known_after_a_restart() -> None:
    """Two changes were pending; the edge named the state between them, and the node stood still there."""
    application = Application()
    application.height = 3
    first, second = SEATS.under(2), ValidatorSet.of(SEATS.validators[::-1], 2)
    application.sets = {2: first, 3: second}
    recovered = await recover(CONFIG, application, store_of([1, 2, 3]), [])
    assert recovered.final_header.executed_height == 2
    assert {first.hash, second.hash} <= {one.hash for one in recovered.validators}
    assert application.executed == [2, 3], "each is answered as at first"


async def test_blocks_from_before_a_snapshot_name_no_set_and_any_other_refusal_stops_the_node() -> None:
    class Refusing(Application):
        reason = HISTORY_MISSING

        async def execute(self, block: FinalBlock) -> Execution:
            if block.height == 2:
                raise ApplicationRefused(self.reason, "block 2 is refused")
            return await super().execute(block)

    application = Refusing()
    application.height = 3
    named = SEATS.under(2)
    application.sets = {3: named}
    recovered = await recover(CONFIG, application, store_of([1, 2, 3]), [])
    assert named.hash in {one.hash for one in recovered.validators}
    application.reason = "STATE_ROOT_MISMATCH"
    with pytest.raises(ApplicationRefused, match="block 2 is refused"):
        await recover(CONFIG, application, store_of([1, 2, 3]), [])


async def test_an_application_of_newer_rules_is_welcome() -> None:
    application = Application()
    application.protocol_version = 2
    recovered = await recover(dataclasses.replace(CONFIG), application, store_of([]), [])
    assert recovered.executed.executed_height == 0

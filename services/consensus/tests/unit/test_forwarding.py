from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from icn_consensus.usecases import forwarding
from icn_consensus.usecases.forwarding import Forwarder
from icn_consensus.usecases.pool import Place, Pool, PoolItem

from .fakes import LATER_MS, FakePeers

SELF, ANA, BEN, CAT = (b"self", b"ana", b"ben", b"cat")


class World:
    def __init__(self, *leaders: bytes) -> None:
        self.pool = Pool()
        self.peers = FakePeers()
        self.others = [ANA, BEN, CAT]
        self.forwarder = Forwarder(
            self.pool,
            self.peers,
            others=lambda: self.others,
            next_leaders=lambda count: leaders[:count],
        )

    def item(self, data: bytes) -> PoolItem:
        self.pool.add(b"id of " + data, data, LATER_MS, 0.0)
        item = self.pool.get(b"id of " + data)
        assert item is not None
        return item


def test_new_transactions_go_to_the_next_two_leaders_in_one_batch_each() -> None:
    world = World(BEN, CAT, ANA)
    world.forwarder.forward([world.item(b"one"), world.item(b"two")])
    assert world.peers.batches == [(BEN, [b"one", b"two"]), (CAT, [b"one", b"two"])]


def test_a_leader_does_not_send_to_itself() -> None:
    world = World(SELF, ANA)
    world.forwarder.forward([world.item(b"one")])
    assert world.peers.batches == [(ANA, [b"one"])]


def test_who_has_a_transaction_is_not_sent_it_again() -> None:
    world = World(BEN, CAT)
    item = world.item(b"one")
    item.sent_to = world.pool.bit(BEN)
    world.forwarder.forward([item, world.item(b"two")])
    assert world.peers.batches == [(BEN, [b"two"]), (CAT, [b"one", b"two"])]


def test_batches_are_bounded_in_number_and_bytes() -> None:
    world = World(BEN)
    world.forwarder.forward([world.item(b"%d" % number) for number in range(1_001)])
    assert [len(batch) for _, batch in world.peers.batches] == [1_000, 1]
    world.peers.batches.clear()
    half = forwarding.FORWARD_BYTES_MAX // 2
    world.forwarder.forward([world.item(bytes([number]) * half) for number in range(3)])
    assert [len(batch) for _, batch in world.peers.batches] == [2, 1]


def flooded(count: int, *, has_company: bool) -> tuple[World, list[PoolItem]]:
    """A pool of a flood of one payer, and where others pay too one of another's."""
    world = World(BEN)
    world.pool.add(b"id of other", b"other", LATER_MS, 0.0, Place(b"ana" if has_company else b"flood"))
    names = [b"flood %d" % number for number in range(count)]
    for name in names:
        world.pool.add(b"id of " + name, name, LATER_MS, 0.0, Place(b"flood"))
    return world, [item for name in names if (item := world.pool.find(name)) is not None]


def sent(world: World) -> list[bytes]:
    return [data for _, batch in world.peers.batches for data in batch]


def test_of_one_payer_beside_others_exactly_so_many_are_under_way_and_alone_all() -> None:
    world, items = flooded(400, has_company=True)
    world.forwarder.forward(items)
    other = world.pool.find(b"other")
    assert other is not None
    world.forwarder.forward([other])
    first = [item.data for item in items[: forwarding.PAYER_UNDER_WAY_MAX]]
    assert sent(world) == [*first, b"other"]
    world, items = flooded(400, has_company=False)
    world.forwarder.forward(items)
    assert len(sent(world)) == 400


async def test_what_was_held_goes_on_its_way_in_order_when_something_of_its_payer_has_left(
    impatient: None,
) -> None:
    world, items = flooded(forwarding.PAYER_UNDER_WAY_MAX + 5, has_company=True)
    world.forwarder.forward(items)
    world.peers.batches.clear()
    world.pool.remove(items[0].id)
    world.pool.remove(items[1].id)
    world.pool.remove(items[-5].id)  # held, and gone
    task = asyncio.ensure_future(world.forwarder.run())
    await until(lambda: len(set(sent(world)) & {item.data for item in items[-4:]}) == 2)
    await asyncio.sleep(0.05)
    held = [data for peer, batch in world.peers.batches if peer == BEN for data in batch]
    assert [data for data in held if data in {item.data for item in items[-5:]}] == [
        item.data for item in items[-4:-2]
    ]
    task.cancel()


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not claim():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "PATIENCE_SECONDS", 0.02)
    monkeypatch.setattr(forwarding, "LOOK_SECONDS", 0.01)


@pytest.mark.usefixtures("impatient")
async def test_what_is_not_final_in_time_goes_to_all_who_do_not_have_it() -> None:
    world = World(BEN, CAT)
    item, gone = world.item(b"one"), world.item(b"gone")
    world.forwarder.forward([item, gone])
    world.pool.remove(gone.id)
    world.peers.batches.clear()
    task = asyncio.ensure_future(world.forwarder.run())
    await until(lambda: world.peers.batches == [(ANA, [b"one"])])
    task.cancel()


@pytest.mark.usefixtures("impatient")
async def test_who_was_not_connected_gets_it_when_it_is() -> None:
    world = World(BEN, CAT)
    world.peers.away = {ANA, BEN}
    world.forwarder.forward([world.item(b"one")])
    task = asyncio.ensure_future(world.forwarder.run())
    await asyncio.sleep(0.1)
    assert world.peers.batches == [(CAT, [b"one"])]
    world.peers.away = set()
    await until(lambda: sorted(world.peers.batches) == [(peer, [b"one"]) for peer in (ANA, BEN, CAT)])
    task.cancel()


@pytest.mark.usefixtures("impatient")
async def test_who_comes_to_decide_gets_what_is_not_final_yet() -> None:
    world = World(BEN, CAT)
    world.others = [BEN, CAT]
    world.peers.away = {CAT}
    world.forwarder.forward([world.item(b"one")])
    task = asyncio.ensure_future(world.forwarder.run())
    world.others = [ANA, CAT]
    await until(lambda: world.peers.batches == [(BEN, [b"one"]), (ANA, [b"one"])])
    task.cancel()

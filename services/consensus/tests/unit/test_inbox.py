"""Whose word reaches the core when, and what a peer may say for nothing."""

from __future__ import annotations

import asyncio

import pytest
from icn_consensus.domain.events import PoolChanged, VoteReceived
from icn_consensus.usecases import inbox as inboxes
from icn_consensus.usecases.inbox import Inbox

ANA, BEN, CAI = b"ana", b"ben", b"cai"


class World:
    def __init__(self) -> None:
        self.blamed: list[bytes] = []
        self.inbox = Inbox(self.blamed.append)

    def say(self, peer: bytes, *messages: bytes, now: float = 0.0) -> None:
        """As the driver takes messages in."""
        for message in messages:
            if not self.inbox.is_repeat(peer, message, now):
                self.inbox.put_of(peer, VoteReceived(peer, message), now, len(message))

    def take(self) -> list[tuple[bytes, bytes]]:
        return [(event.peer, event.data) for event in self.inbox.take() if isinstance(event, VoteReceived)]


@pytest.fixture
def world() -> World:
    return World()


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


def test_one_of_each_peer_in_turn_each_peers_in_their_order(world: World) -> None:
    world.say(ANA, b"1", b"2", b"3")
    world.say(BEN, b"1")
    world.say(CAI, b"1", b"2")
    assert world.take() == [(ANA, b"1"), (BEN, b"1"), (CAI, b"1"), (ANA, b"2"), (CAI, b"2"), (ANA, b"3")]


def test_a_peer_that_floods_is_before_nobody_by_more_than_one_message(world: World) -> None:
    world.say(ANA, *numbered(1_000))
    world.take()
    world.say(BEN, b"1")
    assert BEN in [peer for peer, _ in world.take()[:2]]


def test_what_a_validator_tells_itself_comes_first(world: World) -> None:
    world.say(ANA, *numbered(100))
    world.inbox.put(PoolChanged(True))
    first, *others = world.inbox.take()
    assert first == PoolChanged(True)
    assert len(others) == inboxes.EVENTS_PER_ROUND_MAX - 1
    assert len(world.inbox) == 101 - inboxes.EVENTS_PER_ROUND_MAX


async def test_exactly_from_the_bound_on_a_peer_waits_and_no_other_does(world: World) -> None:
    world.say(ANA, *numbered(inboxes.PEER_EVENTS_MAX - 1))
    await asyncio.wait_for(world.inbox.wait_for_room(ANA), 1)
    world.say(ANA, b"one more")
    waiting = asyncio.ensure_future(world.inbox.wait_for_room(ANA))
    await asyncio.wait_for(world.inbox.wait_for_room(BEN), 1)
    await asyncio.sleep(0)
    assert not waiting.done()
    world.take()
    await asyncio.wait_for(waiting, 1)


async def test_from_eight_mebibytes_on_a_peer_waits_until_the_core_has_taken_enough_of_them(
    world: World,
) -> None:
    half = inboxes.PEER_BYTES_MAX // 2
    world.say(ANA, b"1" * half, b"2" * (half - 1))
    await asyncio.wait_for(world.inbox.wait_for_room(ANA), 1)
    world.say(ANA, b"3")
    waiting = asyncio.ensure_future(world.inbox.wait_for_room(ANA))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert len(world.take()) == 3
    await asyncio.wait_for(waiting, 1)
    world.say(ANA, *(b"%d" % number + bytes(half // 40) for number in range(100)))
    assert not await has_room(world)
    world.take()
    assert await has_room(world), "what is left is less"


async def has_room(world: World) -> bool:
    try:
        await asyncio.wait_for(world.inbox.wait_for_room(ANA), 0.01)
    except TimeoutError:
        return False
    return True


async def test_who_waits_for_events_gets_those_of_peers_and_its_own(world: World) -> None:
    waiting = asyncio.ensure_future(world.inbox.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    world.say(ANA, b"1")
    await asyncio.wait_for(waiting, 1)
    world.take()
    waiting = asyncio.ensure_future(world.inbox.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    world.inbox.put(PoolChanged(False))
    await asyncio.wait_for(waiting, 1)


def test_a_repeat_is_dropped_for_a_moment_and_heard_when_a_time_out_may_have_passed(world: World) -> None:
    world.say(ANA, b"vote", b"vote")
    world.say(ANA, b"vote", now=inboxes.REPEAT_SECONDS - 0.001)
    world.say(BEN, b"vote")
    assert world.take() == [(ANA, b"vote"), (BEN, b"vote")]
    world.say(ANA, b"vote", now=inboxes.REPEAT_SECONDS)
    assert world.take() == [(ANA, b"vote")]


def test_a_peer_that_repeats_itself_beyond_all_measure_is_blamed_again_and_again(world: World) -> None:
    world.say(ANA, *[b"vote"] * (1 + inboxes.USELESS_MAX))
    assert world.blamed == []
    world.say(ANA, b"vote")
    assert world.blamed == [ANA]
    world.say(ANA, *[b"vote"] * (inboxes.USELESS_PER_FAULT - 1))
    assert world.blamed == [ANA]
    world.say(ANA, b"vote")
    assert world.blamed == [ANA, ANA]


def test_a_peer_that_says_everything_again_at_each_of_many_reconnects_is_never_blamed(world: World) -> None:
    """A stream that breaks at once is dialled again after 50 ms at the earliest."""
    now = 0.0
    for reconnect in range(20_000):
        now += 0.05
        world.say(ANA, *numbered(8, start=reconnect // 100), now=now)
        world.take()
    assert world.blamed == []


def test_after_a_pause_all_that_two_streams_held_may_be_of_a_later_epoch(world: World) -> None:
    for _ in range(2 * 8_192):
        world.inbox.note_useless(ANA, 0.0)
    assert world.blamed == []


def test_what_is_kept_of_a_peer_and_of_how_many_is_bounded(world: World) -> None:
    world.say(ANA, *numbered(3 * inboxes.HEARD_MAX))
    assert len(world.inbox._peers[ANA].heard) == inboxes.HEARD_MAX
    for number in range(2 * inboxes.PEERS_MAX):
        world.say(b"peer %d" % number, b"vote", now=1.0 + number)
        world.take()
    assert len(world.inbox._peers) == inboxes.PEERS_MAX
    assert b"peer %d" % (2 * inboxes.PEERS_MAX - 1) in world.inbox._peers

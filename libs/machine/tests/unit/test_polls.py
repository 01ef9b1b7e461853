"""Polls and ballots: who may open one, who may cast, until when, and that a person counts once."""

from __future__ import annotations

import pytest
from icn.ledger.v1 import transaction_pb2 as pb
from icn_machine.events import BallotCast, PollClosed, PollOpened
from icn_machine.limits import POLL_AHEAD_MS_MAX, POLL_MS_MIN_DEFAULT
from icn_machine.records import Ballot, Electorate, Poll

from libs.machine.tests.institutions import (
    DOCUMENT,
    FEDERATION,
    POLL,
    Federation,
    admit_member,
    apply_for_membership,
    cast_ballot,
    end_membership,
    open_poll,
    set_rules,
)
from libs.machine.tests.zone import Zone, identifier

YES, NO = bytes([3]) * 32, bytes([4]) * 32
OF_MEMBERS = pb.ELECTORATE_MEMBERS_OF_MEMBERS
NOBODY = identifier("nobody")


@pytest.fixture
async def scene(zone: Zone) -> Federation:
    made = await Federation(zone).set_up()
    await made.joined(made.ana, made.shop)
    return made


def close_in(scene: Federation, after_ms: int) -> int:
    return scene.now_ms + after_ms


async def test_a_member_opens_a_poll_and_votes_in_it(scene: Federation) -> None:
    shop, ana = scene.shop.principal, scene.ana.principal
    leaves = scene.leaves_used()
    close = close_in(scene, 60_000)
    await scene.applied(scene.ana, open_poll(POLL, shop, close))
    opened = scene.last_time_ms
    expected = Poll(POLL, shop, Electorate.MEMBERS, DOCUMENT, ana, opened, close, 0, b"", b"", False)
    assert scene.poll() == expected
    assert scene.ledger.state.commits[-1].events == [PollOpened(expected)]
    await scene.applied(scene.ana, cast_ballot(POLL, YES))
    ballot = Ballot(POLL, ana, YES, b"", scene.last_time_ms, shop)
    assert (scene.ballot(ana), scene.poll().ballots) == (ballot, 1)
    assert scene.ledger.state.commits[-1].events == [BallotCast(shop, ballot, False)]
    assert scene.leaves_used() == leaves + 2


async def test_a_later_ballot_takes_the_place_of_an_earlier_one(scene: Federation) -> None:
    shop, ana = scene.shop.principal, scene.ana.principal
    await scene.applied(scene.shop, open_poll(POLL, shop, close_in(scene, 60_000)))
    await scene.applied(scene.ana, cast_ballot(POLL, YES))
    leaves = scene.leaves_used()
    await scene.applied(scene.ana, cast_ballot(POLL, NO))
    again = Ballot(POLL, ana, NO, b"", scene.last_time_ms, shop)
    assert (scene.ballot(ana), scene.poll().ballots, scene.leaves_used()) == (again, 1, leaves)
    assert scene.ledger.state.commits[-1].events == [BallotCast(shop, again, True)]


async def test_only_the_organization_and_its_members_open_polls(scene: Federation) -> None:
    shop = scene.shop.principal
    close = close_in(scene, 60_000)
    await scene.refused("ORGANIZATION_UNKNOWN", scene.ana, open_poll(POLL, NOBODY, close))
    await scene.refused("NOT_A_MEMBER", scene.ben, open_poll(POLL, shop, close))
    await scene.applied(scene.ben, apply_for_membership(shop))
    await scene.refused("NOT_A_MEMBER", scene.ben, open_poll(POLL, shop, close))
    await scene.refused("NOT_A_MEMBER", scene.ana, open_poll(POLL, FEDERATION, close))
    await scene.applied(scene.shop, open_poll(POLL, FEDERATION, close))
    await scene.refused("POLL_EXISTS", scene.ana, open_poll(POLL, shop, close))


async def test_a_poll_closes_after_its_block_and_within_a_year(scene: Federation) -> None:
    shop = scene.shop.principal
    for after_ms in (0, POLL_AHEAD_MS_MAX + 1):
        now_ms, close = scene.now_ms, close_in(scene, after_ms)
        figures = await scene.refused("POLL_CLOSE_OUT_OF_RANGE", scene.ana, open_poll(POLL, shop, close))
        assert figures == {"close_time_ms": close, "block_time_ms": now_ms}
    await scene.applied(scene.ana, open_poll(POLL, shop, close_in(scene, 1)))
    other = identifier("another poll")
    await scene.applied(scene.ana, open_poll(other, shop, close_in(scene, POLL_AHEAD_MS_MAX)))


async def test_a_poll_of_an_authority_is_open_as_long_as_its_rules_say(scene: Federation) -> None:
    """Else one member could open, win and close a poll before the others see it."""
    for poll_ms_min, least_ms in ((0, POLL_MS_MIN_DEFAULT), (60_000, 60_000)):
        await scene.applied(scene.shop, scene.decided(set_rules(0, poll_ms_min=poll_ms_min)))
        close = close_in(scene, least_ms - 1)
        figures = await scene.refused("POLL_TOO_SHORT", scene.shop, open_poll(POLL, FEDERATION, close))
        assert list(figures.items()) == [("open_ms", least_ms - 1), ("poll_ms_min", least_ms)]
        poll = identifier(f"a poll of {least_ms} ms")
        await scene.applied(scene.shop, open_poll(poll, FEDERATION, close_in(scene, least_ms)))
    await scene.applied(scene.ana, open_poll(POLL, scene.shop.principal, close_in(scene, 1)))


async def test_ballots_are_taken_before_the_close_and_not_at_it(scene: Federation) -> None:
    await scene.refused("POLL_UNKNOWN", scene.ana, cast_ballot(POLL, YES))
    close = close_in(scene, 10_000)
    await scene.applied(scene.ana, open_poll(POLL, scene.shop.principal, close))
    await scene.applied(scene.ana, cast_ballot(POLL, YES), after_ms=close - scene.last_time_ms - 1)
    assert scene.last_time_ms == close - 1
    assert not scene.poll().is_closed
    await scene.ledger.execute(after_ms=1)
    assert scene.poll().is_closed
    assert scene.ledger.state.commits[-1].events == [PollClosed(scene.poll())]
    figures = await scene.refused("POLL_CLOSED", scene.ana, cast_ballot(POLL, NO), after_ms=1)
    assert figures == {"close_time_ms": close, "block_time_ms": close + 1}
    assert scene.ballot(scene.ana.principal).commitment == YES


async def test_who_became_a_member_after_the_opening_does_not_vote(scene: Federation) -> None:
    shop, ben = scene.shop.principal, scene.ben.principal
    await scene.applied(scene.ana, open_poll(POLL, shop, close_in(scene, 60_000)))
    opened = scene.last_time_ms
    expected = {"since_time_ms": 0, "open_time_ms": opened}
    assert await scene.refused("NOT_ELIGIBLE", scene.ben, cast_ballot(POLL, YES)) == expected
    await scene.joined(scene.ben, scene.shop)
    since = scene.membership(shop, ben).since_time_ms
    figures = await scene.refused("NOT_ELIGIBLE", scene.ben, cast_ballot(POLL, YES))
    assert figures == {"since_time_ms": since, "open_time_ms": opened}
    # In the next poll it does.
    other = identifier("another poll")
    await scene.applied(scene.ana, open_poll(other, shop, close_in(scene, 60_000)))
    await scene.applied(scene.ben, cast_ballot(other, YES))


async def test_who_is_admitted_in_the_block_of_the_opening_votes(scene: Federation) -> None:
    """Both have the block's time, whatever their order; the ballot may be in that block, too."""
    shop, ben = scene.shop.principal, scene.ben.principal
    await scene.applied(scene.ben, apply_for_membership(shop))
    zone, now_ms = scene.zone, scene.now_ms
    execution = await scene.ledger.execute(
        zone.transaction(scene.ana, open_poll(POLL, shop, now_ms + 60_000), time_ms=now_ms),
        zone.transaction(scene.shop, admit_member(ben), time_ms=now_ms),
        zone.transaction(scene.ben, cast_ballot(POLL, YES), time_ms=now_ms),
        zone.transaction(scene.ana, cast_ballot(POLL, NO), time_ms=now_ms),
    )
    assert execution.block.height == scene.ledger.state.newest.height
    assert (scene.ballot(ben).commitment, scene.poll().ballots) == (YES, 2)


async def test_who_has_left_does_not_vote_and_a_cast_ballot_stays(scene: Federation) -> None:
    shop, ana = scene.shop.principal, scene.ana.principal
    await scene.applied(scene.ana, open_poll(POLL, shop, close_in(scene, 60_000)))
    await scene.applied(scene.ana, cast_ballot(POLL, YES))
    await scene.applied(scene.ana, end_membership(shop, ana))
    await scene.refused("NOT_ELIGIBLE", scene.ana, cast_ballot(POLL, NO))
    await scene.joined(scene.ana, scene.shop)
    figures = await scene.refused("NOT_ELIGIBLE", scene.ana, cast_ballot(POLL, NO))
    assert figures["since_time_ms"] > figures["open_time_ms"]
    assert scene.ballot(ana).commitment == YES


async def test_members_vote_themselves_and_not_through_anybody(scene: Federation) -> None:
    shop = scene.shop.principal
    await scene.applied(scene.ana, open_poll(POLL, shop, close_in(scene, 60_000)))
    await scene.refused("NOT_ELIGIBLE", scene.ana, cast_ballot(POLL, YES, through=shop))


async def test_members_of_members_have_one_ballot_however_many_ways_lead_to_it(scene: Federation) -> None:
    shop, bakery = scene.founders[0], scene.founders[1]
    await scene.joined(scene.ana, bakery)
    await scene.applied(shop, open_poll(POLL, FEDERATION, close_in(scene, 60_000), OF_MEMBERS))
    await scene.refused("NOT_ELIGIBLE", scene.ana, cast_ballot(POLL, YES))
    await scene.applied(scene.ana, cast_ballot(POLL, YES, through=shop.principal))
    await scene.applied(scene.ana, cast_ballot(POLL, NO, through=bakery.principal))
    ballot = scene.ballot(scene.ana.principal)
    assert (ballot.commitment, ballot.through, scene.poll().ballots) == (NO, bakery.principal, 1)
    # Ben is a member of none; the mill is a member itself, not a member of one.
    for actor, through in (
        (scene.ben, shop.principal),
        (scene.ana, scene.founders[2].principal),
        (scene.ana, FEDERATION),
        (scene.ana, NOBODY),
        (scene.founders[2], FEDERATION),
    ):
        await scene.refused("NOT_ELIGIBLE", actor, cast_ballot(POLL, YES, through=through))


async def test_an_organization_that_left_carries_no_votes(scene: Federation) -> None:
    shop = scene.shop
    await scene.applied(shop, open_poll(POLL, FEDERATION, close_in(scene, 60_000), OF_MEMBERS))
    await scene.applied(shop, end_membership(FEDERATION, shop.principal))
    await scene.refused("NOT_ELIGIBLE", scene.ana, cast_ballot(POLL, YES, through=shop.principal))


async def test_a_ballot_is_part_of_its_transaction(scene: Federation) -> None:
    shop, ana = scene.shop.principal, scene.ana.principal
    await scene.applied(scene.ana, open_poll(POLL, shop, close_in(scene, 60_000)))
    await scene.refused("POLL_UNKNOWN", scene.ana, cast_ballot(POLL, YES), cast_ballot(NOBODY, YES))
    assert scene.poll().ballots == 0
    assert scene.ledger.state.records[-1].ballots.get(POLL + ana) is None

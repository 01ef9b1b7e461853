"""Two want the tractor at the same hours, through REST, through gRPC and through kills."""

from __future__ import annotations

import asyncio
from typing import Any

from icn.marketplace.v1 import service_pb2 as market
from icn_client.acting import now_ms
from icn_client.marketplace import bare_id, booking_rules

from e2e.doors import Refused
from e2e.stories import Play, tell

LANE = 6
HOUR_MS = 3_600_000


async def booking(play: Play) -> dict[str, Any]:
    bakery, housing, farm, workshop = play.founders.values()
    tractor = market.AddResource(
        owner=farm.principal, title="Tractor", specification="tractor", rules=booking_rules()
    )
    resource = bare_id((await play.say(farm, tractor))["resource"]["name"])
    start = (now_ms() // HOUR_MS + 24) * HOUR_MS

    def wish(begin: int, end: int, if_taken: Any = market.IF_TAKEN_REFUSE) -> market.BookResource:
        return market.BookResource(
            resource=resource,
            start_time_ms=start + begin * HOUR_MS,
            end_time_ms=start + end * HOUR_MS,
            if_taken=if_taken,
        )

    rivals = (bakery, housing)
    answers = await asyncio.gather(*(play.say(rival, wish(0, 2, market.IF_TAKEN_WAIT)) for rival in rivals))
    assert sorted(answer["booking"]["state"] for answer in answers) == ["booked", "waiting"]
    won = [answer["booking"]["state"] for answer in answers].index("booked")
    winner, loser = rivals[won], rivals[1 - won]
    slot = answers[1 - won]["next_free_slot"]
    offered = [(slot[name] - start) // HOUR_MS for name in ("start_time_ms", "end_time_ms")]
    taken = await play.say(loser, wish(*offered))
    try:
        await play.say(workshop, wish(1, 3))
    except Refused as refusal:
        refused = refusal.reason
    else:
        raise AssertionError("two bookings overlap")

    async def calendar(count: int, promoted: bool) -> list[Any]:
        path = f"/v1/resources/{resource.hex()}/bookings?include_cancelled=true"
        request = market.ListBookingsRequest(resource=f"resources/{resource.hex()}", include_cancelled=True)
        found = await play.seen(
            path,
            request,
            "bookings",
            lambda shown: len(shown) == count and any(one["is_promoted"] for one in shown) == promoted,
        )
        roles = {
            f"principals/{winner.principal.hex()}": "winner",
            f"principals/{loser.principal.hex()}": "loser",
        }
        return sorted(
            (
                (one["start_time_ms"] - start) // HOUR_MS,
                (one["end_time_ms"] - start) // HOUR_MS,
                roles[one["booker"]],
                one["state"],
                one["queue_place"],
                one["is_promoted"],
            )
            for one in found
        )

    before = await calendar(3, promoted=False)
    cancelled = await play.say(winner, market.CancelBooking(booking=bare_id(answers[won]["booking"]["name"])))
    return {
        "offered": offered,
        "taken": taken["booking"]["state"],
        "refused": refused,
        "before": before,
        "promoted": len(cancelled["promoted"]),
        "after": await calendar(3, promoted=True),
    }


def test_one_has_the_tractor_and_the_other_the_next_slot(federation: Any) -> None:
    assert tell(federation, LANE, booking) == {
        "offered": [2, 4],
        "taken": "booked",
        "refused": "BOOKING_OVERLAPS",
        "before": [
            (0, 2, "loser", "waiting", 1, False),
            (0, 2, "winner", "booked", 0, False),
            (2, 4, "loser", "booked", 0, False),
        ],
        "promoted": 1,
        "after": [
            (0, 2, "loser", "booked", 0, True),
            (0, 2, "winner", "cancelled", 0, False),
            (2, 4, "loser", "booked", 0, False),
        ],
    }

"""Members of four co-ops elect delegates by STV; through REST, through gRPC and through kills."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from icn.ledger.v1 import service_pb2 as ledger
from icn_client import transactions
from icn_client.acting import Actor
from icn_client.governance import election_draft

from e2e.stories import Play, tell

LANE = 8
SEATS = 2
CANDIDATES = ("Anna", "Dina", "Goran", "Hana")
RANKINGS = (
    [[1], [2]],
    [[1], [3]],
    [[1], [2]],
    [[1], [2]],
    [[2], [1]],
    [[2], [3]],
    [[3], [2]],
    [[4], [3]],
)
"""One ballot each, two voters per co-op. The quota is 8 // 3 + 1 = 3: Anna has 4 and is elected; her surplus
of 1 goes on at 0.25 a ballot, 0.75 of it to Dina.
"""


async def elect(play: Play) -> dict[str, Any]:
    authority = await play.found()
    voters: list[tuple[Actor, bytes]] = []
    for coop in play.founders.values():
        pair = [play.person(coop), play.person(coop)]
        await play.apply(coop, *(opening for _, opening in pair))
        voters += [(person, coop.principal) for person, _ in pair]
    await asyncio.gather(
        *(play.apply(person, transactions.apply_for_membership(coop)) for person, coop in voters)
    )
    for coop in play.founders.values():
        mine = [person for person, through in voters if through == coop.principal]
        await play.apply(coop, *(transactions.admit_member(person.principal) for person in mine))
    tellers = [play.founders["bakery"], play.founders["farm"]]
    draft = election_draft(
        authority,
        "Delegates of the year",
        "Who shall speak for us?",
        CANDIDATES,
        SEATS,
        tellers=[teller.principal for teller in tellers],
    )
    ballots = [
        (person, ranking, through) for (person, through), ranking in zip(voters, RANKINGS, strict=True)
    ]
    poll, decided = await play.decide(draft, ballots, tellers)
    result = json.loads(await play.door.result(poll))
    leaf = await play.seen(
        f"/v1/polls/{poll.hex()}",
        ledger.GetPollRequest(name=f"polls/{poll.hex()}"),
        "poll",
        lambda shown: bool(shown["result"]),
    )
    return {
        "decided": decided,
        "winners": [CANDIDATES[number - 1] for number in result["winners"]],
        "counted": result["ballots"],
        "lots": result["lots"]["state"],
        "ballots": leaf["ballots"],
    }


def test_delegates_are_elected_and_the_result_is_on_the_ledger(federation: Any) -> None:
    told = tell(federation, LANE, elect)
    assert told["winners"] == ["Anna", "Dina"]
    assert told["counted"] == {"cast": 8, "opened": 8, "malformed": 0, "unopened": 0}
    assert (told["ballots"], told["decided"]["ballots"], told["decided"]["openings"]) == (8, 8, 8)
    assert told["decided"]["state"] == "enacted" and told["decided"]["is_complete"]

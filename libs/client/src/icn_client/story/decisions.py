"""What the federation decides: who are its delegates, and how far one member may go into debt."""

from __future__ import annotations

import asyncio
from typing import Final

from icn_kit.errors import NotFound
from icn_tally.polls.documents import Draft

from icn_client import decisions, institutions
from icn_client.governance import election_draft, plain_draft
from icn_client.story import polls
from icn_client.story.stage import FLOOR_MINOR, Stage, hours, wait_for

CANDIDATES: Final = ("Anna", "Dina", "Goran", "Hana", "Jun")
SEATS: Final = 3
RANKINGS: Final = {
    "Anna": ((1,), (2,)),
    "Bruno": ((1,), (4,)),
    "Carla": ((1,), (2,), (3,)),
    "Dina": ((2,), (5,)),
    "Emre": ((2,), (3,)),
    "Fay": ((1,), (4,)),
    "Goran": ((3,), (4,)),
    "Hana": ((4,), (5,)),
    "Ivo": ((4,), (2,)),
    "Jun": ((5,), (4,)),
    "Kofi": ((1,), (5,)),
    "Lena": ((4,), (1,)),
}
"""One ballot each: candidates by number, the first first."""
RAISED_FLOOR_MINOR: Final = -900_00
SHORT_SECONDS: Final = 4.0
"""Four looks of a steward: long enough for those that run to have countersigned."""


async def elect(stage: Stage) -> None:
    """Twelve members of seven co-ops elect delegates by STV; stewards recount and record the result."""
    ballots = polls.by_name(
        stage, {name: [list(rank) for rank in ranking] for name, ranking in RANKINGS.items()}
    )
    tellers = [stage.coops[name] for name in ("Sunrise Bakery", "Harvest Farm")]
    draft = election_draft(
        stage.federation,
        "Delegates of the year",
        "Who shall speak for us?",
        CANDIDATES,
        SEATS,
        tellers=[coop.actor.principal for coop in tellers],
    )
    ballots = polls.by_name(
        stage, {name: [list(rank) for rank in ranking] for name, ranking in RANKINGS.items()}
    )
    proposer = stage.coops["Sunrise Bakery"]
    proposal = await polls.ask(stage, draft, proposer, ballots, tellers)
    shown = await polls.enacted(stage, proposal)
    stage.election = proposal
    leaf = (await institutions.poll(stage.connection, proposal)).poll
    winners = await _winners(stage, proposal, draft)
    stage.check(
        leaf.ballots == len(RANKINGS) and len(winners) == SEATS and winners[0] == "Anna",
        f"{leaf.ballots} ballots, {SEATS} seats, Scottish STV: {', '.join(winners)}",
    )
    stage.check(
        leaf.result.hex() != "" and shown.decision.endswith(leaf.decision.hex()),
        f"the stewards recounted it; its digest {leaf.result.hex()[:16]}… is in the poll's leaf",
    )


async def _winners(stage: Stage, proposal: bytes, draft: Draft) -> list[str]:
    import json

    result = json.loads(await stage.governance.result(proposal))
    return [draft.candidates[number - 1] for number in result["winners"]]


async def raise_floor(stage: Stage) -> None:
    """A decision lets one member owe more; with one steward short it stays on paper."""
    anna = stage.members["Anna"]
    coops = list(stage.coops.values())
    assert stage.stewards is not None, "they run since the founding"
    needed = len(coops) * 2 // 3 + 1
    absent = coops[needed - 1 :]
    stage.stewards.stop(*(coop.name for coop in absent))
    draft = plain_draft(
        stage.federation,
        "A lower floor for Anna",
        "Anna buys an oven; may she owe more for a while?",
        len(coops),
        actions=[decisions.set_floor(anna.account, RAISED_FLOOR_MINOR)],
    )
    ballots = [(coop, polls.YES, b"") for coop in coops]
    proposal = await polls.ask(stage, draft, coops[0], ballots)
    decision = bytes.fromhex((await stage.governance.proposal(proposal)).decision.rpartition("/")[2])

    async def have_countersigned() -> bool:
        return len(await stage.governance.countersignatures(decision)) == needed - 1

    is_short = await wait_for(have_countersigned, polls.WAIT_SECONDS_MAX)
    await asyncio.sleep(SHORT_SECONDS)
    floor = (await stage.balance("Anna")).floor_minor
    stage.check(
        is_short and floor == FLOOR_MINOR,
        f"all {len(coops)} vote yes, {needed - 1} countersign: one short, it is still {hours(floor)}",
    )
    for coop in absent:
        stage.stewards.start(stage, coop)
    await polls.enacted(stage, proposal)

    async def has_decision() -> bool:
        """Another validator than the one asked here may have told governance."""
        try:
            await institutions.decision(stage.connection, decision)
        except NotFound:
            return False
        return True

    await wait_for(has_decision, polls.WAIT_SECONDS_MAX)
    leaf = await stage.balance("Anna")
    record = await institutions.decision(stage.connection, decision)
    stage.check(
        leaf.floor_minor == RAISED_FLOOR_MINOR and len(record.signers) >= needed,
        f"with {len(record.signers)} of {record.members}: Anna's floor is {hours(leaf.floor_minor)}, "
        f"decided in block {record.height}",
    )

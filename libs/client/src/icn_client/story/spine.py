"""The spine: founders, accounts, a sale, a refusal, a hold."""

from __future__ import annotations

import time
from typing import Final

from icn.consensus.v1.block_pb2 import BlockHeader
from icn.ledger.v1.service_pb2 import GetHoldRequest
from icn_kit.errors import NotFound

from icn_client import transactions
from icn_client.acting import TransactionRefused, now_ms, perform
from icn_client.story.stage import FLOOR_MINOR, Stage, StoryFailed, hours, wait_for
from icn_client.transactions import new_identifier

HOLD_SECONDS_MIN: Final = 4.0
HOLD_COMMITS: Final = 20
"""A hold lasts as long as this many payments took to commit, so that a slow machine captures a part in
time.
"""
EXPIRY_SECONDS_MAX: Final = 20.0
"""How long after its expiry a hold may still stand: an idle chain makes a block at once, a busy machine is
late.
"""


async def founding(stage: Stage) -> None:
    """Who sits where, and whose keys are whose."""
    genesis = stage.network.genesis
    answers = [status for status in await stage.connection.statuses() if status is not None]
    for seat, address in zip(genesis.validators, stage.network.validators, strict=True):
        stage.show(f"seat {seat.seat}: {seat.name}, process {stage.pid(address)}")
    stage.check(
        [answer.genesis_hash for answer in answers] == [genesis.hash] * len(stage.network.validators),
        f"all {len(answers)} validators run zone {genesis.hash.hex()[:16]}…",
    )
    stage.check(
        len({stage.pid(address) for address in stage.network.validators}) == len(answers),
        "each is a process of its own, with a Postgres of its own",
    )
    held = {seat.organization for seat in genesis.validators}
    stage.check(
        held == {identity.principal for identity in stage.founders.values()},
        "each seat is a founding co-op's, whose key no process of the platform holds",
    )
    stage.show(f"trust profile {genesis.trust_profile}: one host holds a quorum, and every proof says so")


async def sale(stage: Stage) -> None:
    """Credit moves."""
    started = time.monotonic()
    outcome = await stage.pay("Bruno", "Anna", 120_00)
    stage.commit_seconds = time.monotonic() - started
    anna, bruno = await stage.balance("Anna"), await stage.balance("Bruno")
    stage.show(f"Bruno, who has nothing, buys bread from Anna for {hours(120_00)}")
    stage.check(
        (anna.balance_minor, bruno.balance_minor) == (120_00, -120_00),
        f"final in block {outcome.height}: Anna {hours(120_00)}, Bruno {hours(-120_00)}, sum 0",
    )


async def refusal(stage: Stage) -> None:
    """A debt below the floor."""
    try:
        await stage.pay("Bruno", "Anna", 400_00)
    except TransactionRefused as error:
        stage.check(error.reason == "CREDIT_LIMIT_EXCEEDED", f"refused: {error.reason}")
        figures = error.figures
        would_be = figures.get("balance_minor", 0) - figures.get("amount_minor", 0)
        stage.check(
            (would_be, figures.get("floor_minor")) == (-520_00, FLOOR_MINOR),
            f"Bruno would stand at {hours(would_be)}, the floor is {hours(FLOOR_MINOR)}",
        )
    else:
        raise StoryFailed("step 4: a debt below the floor was accepted")
    leaf = await stage.balance("Bruno")
    stage.check(leaf.balance_minor == -120_00, f"Bruno's balance is still {hours(-120_00)}")


async def hold(stage: Stage) -> None:
    """Credit reserved, taken in part, and released by block time alone."""
    hold, carla = new_identifier(), stage.members["Carla"]
    hold_seconds = max(HOLD_SECONDS_MIN, HOLD_COMMITS * stage.commit_seconds)
    expire_time_ms = now_ms() + int(hold_seconds * 1000)
    message = transactions.place_hold(
        hold, carla.account, stage.members["Anna"].account, 100_00, expire_time_ms
    )
    await perform(stage.submitter, carla.actor, [message])
    leaf = await stage.balance("Carla")
    stage.check(
        (leaf.held_minor, leaf.balance_minor) == (100_00, 0),
        f"Carla books the oven: {hours(100_00)} held, nothing paid yet",
    )
    outcome, _ = await perform(
        stage.submitter, stage.members["Anna"].actor, [transactions.capture_hold(hold, 30_00)]
    )
    leaf = await stage.balance("Carla")
    stage.check(
        (leaf.held_minor, leaf.balance_minor) == (70_00, -30_00),
        f"Anna captures {hours(30_00)} of it: Carla {hours(-30_00)}, {hours(70_00)} still held",
    )
    stage.show("nobody sends anything more: the chain is idle until block time passes the hold's expiry")
    released = await wait_for(lambda: _is_released(stage, hold), hold_seconds + EXPIRY_SECONDS_MAX)
    leaf = await stage.balance("Carla")
    stage.check(
        released and (leaf.held_minor, leaf.balance_minor) == (0, -30_00),
        f"what was left is released: Carla {hours(-30_00)}, nothing held",
    )
    expired = await _releasing_block(stage, outcome.height, expire_time_ms)
    stage.check(
        expired is not None and expired[1] >= expire_time_ms and expired[2] == 0,
        "by block time alone: "
        + (f"block {expired[0]} holds no transaction and came " if expired else "no such block, ")
        + (f"{(expired[1] - expire_time_ms) / 1000:.2f} s after the expiry" if expired else ""),
    )


async def _is_released(stage: Stage, hold: bytes) -> bool:
    request = GetHoldRequest(name=f"holds/{hold.hex()}")
    try:
        await stage.connection.read(lambda stub: stub.GetHold(request))
    except NotFound:
        return True
    return False


async def _releasing_block(stage: Stage, after: int, expire_time_ms: int) -> tuple[int, int, int] | None:
    """Height, block time and number of transactions of the first block at or past a time, above a
    height.
    """
    for height in range(after + 1, after + 1000):
        block = await stage.connection.block_at(stage.network.validators[0], height)
        if block is None:
            return None
        time_ms = BlockHeader.FromString(block.header).time_ms
        if time_ms >= expire_time_ms:
            return height, time_ms, block.transactions
    return None

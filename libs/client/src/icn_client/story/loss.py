"""What is lost and comes back: a validator with its Postgres, and everything NATS holds."""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import Final

from icn_client.events import read_events
from icn_client.replay import agreed_root
from icn_client.story.stage import Stage

EVENTS_SECONDS_MAX: Final = 60.0
RESTARTED_SEAT: Final = 2
TRANSFERS_WITHOUT_IT: Final = 20


async def kill(stage: Stage) -> None:
    """A validator dies while members pay."""
    address = stage.network.validators[RESTARTED_SEAT]
    pid = stage.pid(address)
    before = (await stage.balance("Carla")).balance_minor
    await asyncio.to_thread(stage.platform.kill, RESTARTED_SEAT)
    stage.show(f"kill -9 {pid} and its Postgres: the validator of {address.name} is gone")
    started = time.monotonic()
    last = None
    for _ in range(TRANSFERS_WITHOUT_IT):
        last = await stage.pay("Anna", "Carla", 1_00)
    seconds = time.monotonic() - started
    carla = await stage.balance("Carla")
    stage.check(
        carla.balance_minor == before + TRANSFERS_WITHOUT_IT * 1_00,
        f"{TRANSFERS_WITHOUT_IT} payments one after another committed without it, up to block "
        f"{last.height if last else 0}, {seconds / TRANSFERS_WITHOUT_IT * 1000:.0f} ms each",
    )
    stage.check(stage.pid(address) is None, "it was down all the while")
    stage.last_height = last.height if last else 0


async def catching_up(stage: Stage) -> None:
    """It comes back and agrees."""
    started = time.monotonic()
    await asyncio.to_thread(stage.platform.start, RESTARTED_SEAT)
    pid = stage.pid(stage.network.validators[RESTARTED_SEAT])
    stage.show(f"process {pid} serves {time.monotonic() - started:.1f} s after it was let up")
    root = await agreed_root(stage.connection, stage.last_height)
    stage.check(
        True,  # agreed_root has compared all four
        f"all four have executed block {stage.last_height} and have the root {root.hex()[:16]}… "
        f"after {time.monotonic() - started:.1f} s",
    )
    outcome = await stage.pay("Anna", "Bruno", 10_00)
    root = await agreed_root(stage.connection, outcome.height)
    stage.check(True, f"and the next block too: {root.hex()[:16]}… after block {outcome.height}")


async def events(stage: Stage) -> None:
    """NATS is wiped and filled again from Postgres."""
    before = await _settled_events(stage)
    stage.check(len(before) > 0, f"the stream of the ledger holds {len(before)} events")
    await asyncio.to_thread(stage.platform.hold, "nats")
    await asyncio.to_thread(shutil.rmtree, stage.platform.directory / "shared" / "nats" / "store")
    stage.show("kill -9 of NATS, and its whole store removed")
    outcome = await stage.pay("Anna", "Bruno", 5_00)
    stage.check(outcome.height > 0, "trade goes on without it: Postgres is the truth")
    await asyncio.to_thread(stage.platform.release, "nats")
    started = time.monotonic()
    after = await _rebuilt_events(stage, before)
    stage.check(
        all(after.get(identifier) == event for identifier, event in before.items()),
        f"every one of the {len(before)} events is back with the same id and content, "
        f"and {len(after) - len(before)} new with them, "
        f"{time.monotonic() - started:.1f} s after its return",
    )


async def _settled_events(stage: Stage) -> dict[str, bytes]:
    """The stream's events, once none has come for a while."""
    found: dict[str, bytes] = {}
    for _ in range(int(EVENTS_SECONDS_MAX)):
        seen = await read_events(stage.platform.directory, stage.network)
        if seen and len(seen) == len(found):
            return seen
        found = seen
        await asyncio.sleep(0.5)
    return found


async def _rebuilt_events(stage: Stage, before: dict[str, bytes]) -> dict[str, bytes]:
    deadline = time.monotonic() + EVENTS_SECONDS_MAX
    while True:
        after = await read_events(stage.platform.directory, stage.network)
        if before.keys() < after.keys() or time.monotonic() > deadline:
            return after
        await asyncio.sleep(0.25)

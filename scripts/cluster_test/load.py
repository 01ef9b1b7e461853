"""A steady load of transfers, and whether each is still there."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from icn_client import transactions
from icn_client.acting import Actor, now_ms
from icn_client.connection import NetworkFile, connect
from icn_client.transactions import KeyPair, new_identifier

from e2e.doors import RestDoor
from e2e.stories import founder_acting
from scripts.cluster_test.platform import ClusterUnderTest
from scripts.cluster_test.release import Cluster, Failed, say

TRANSFERS_AT_ONCE = 4
TRANSFER_PAUSE_SECONDS = 0.2
EXPIRY_MS = 600_000
LOAD_LANE = 14
"""Stories and people use others."""
LOAD_BEGINS_SECONDS_MAX = 60.0


@dataclass
class Load:
    """Transfers one after the other on a few lanes, each until it is final."""

    committed: list[float] = field(default_factory=list)
    """When each was known to be final, in seconds of the machine's clock."""
    transactions: list[bytes] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def longest_gap_seconds(self) -> float:
        """Between two that became final."""
        times = sorted(self.committed)
        return max((later - earlier for earlier, later in pairwise(times)), default=float("inf"))


@contextmanager
def steady_load(cluster: Cluster) -> Iterator[Load]:
    """As long as the block lasts."""
    load, stop = Load(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_load(cluster, load, stop)))
    thread.start()
    try:
        deadline = time.monotonic() + LOAD_BEGINS_SECONDS_MAX
        while len(load.committed) < 10 * TRANSFERS_AT_ONCE:
            if time.monotonic() > deadline or not thread.is_alive():
                raise Failed(f"there was no load: {load.failures}")
            time.sleep(TRANSFER_PAUSE_SECONDS)
        yield load
    finally:
        stop.set()
        thread.join()
    if load.failures:
        say(f"under load: {load.failures[:3]}")


async def _load(cluster: Cluster, load: Load, stop: threading.Event) -> None:
    platform = ClusterUnderTest(cluster)
    network = NetworkFile.load(platform.directory)
    async with RestDoor(platform.gateway_url) as door, connect(network) as connection:
        sponsor = await founder_acting(connection, platform.founders[0], LOAD_LANE)

        async def send(actor: Actor, *messages: Any) -> Any:
            expire = now_ms() + EXPIRY_MS
            signed = actor.sign(messages, expire)
            ended = await door.transact(signed, expire)
            load.transactions.append(signed.transaction_id)
            load.committed.append(time.monotonic())
            return ended

        unit = new_identifier()
        await send(sponsor, transactions.create_unit(unit, "LOAD", 2, -1_000_000_00))

        async def one(_number: int) -> None:
            key, who = KeyPair.generate(), new_identifier()
            opening = transactions.open_controller(who, 1, [transactions.controller_key(key.public_keys)])
            async with turn:
                await send(sponsor, opening)
            actor = Actor(network.genesis.hash, who, sponsor.principal, [key])
            mine, other = new_identifier(), new_identifier()
            await send(actor, transactions.open_account(mine, unit))
            await send(actor, transactions.open_account(other, unit))
            while not stop.is_set():
                try:
                    ended = await send(actor, transactions.transfer(mine, other, 1))
                    if ended.status != "applied":
                        load.failures.append(f"{ended.status} {ended.reason}")
                        return
                except Exception as error:  # noqa: BLE001 - counted, and told with the row
                    load.failures.append(repr(error)[:300])
                    return
                await asyncio.sleep(TRANSFER_PAUSE_SECONDS)

        turn = asyncio.Lock()
        await asyncio.gather(*(one(number) for number in range(TRANSFERS_AT_ONCE)))


async def count_missing(cluster: Cluster, identifiers: Sequence[bytes]) -> int:
    """How many of them the platform does not know as committed."""
    missing = 0
    async with RestDoor(cluster.gateway_url) as door:
        for identifier in identifiers:
            try:
                await door.transaction(identifier)
            except Exception:  # noqa: BLE001 - whatever the answer is, it is not there
                missing += 1
    return missing

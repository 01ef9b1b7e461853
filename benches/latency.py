"""Time from handing a signed transfer to a validator until its commit is heard, at a steady rate.

`python benches/latency.py DIRECTORY` measures the platform that runs there and prints one JSON object.
Transfers are sent on a fixed timetable (open loop), so that a slow answer does not slow the load down.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from pathlib import Path

from icn_client import transactions
from icn_client.acting import actor_of, now_ms, perform, read_receipt
from icn_client.connection import Connection, NetworkFile
from icn_client.platforms import open_founders
from icn_client.submitter import Submitter
from icn_client.transactions import EXPIRY_MS, new_identifier

RATE_PER_SECOND = 200
SECONDS = 20
FLOOR_MINOR = -1_000_000_000


async def measure(directory: Path) -> dict[str, float]:
    """Latencies in milliseconds of RATE_PER_SECOND × SECONDS transfers, all of which must apply."""
    founder = open_founders(directory)[0]
    async with (
        Connection(NetworkFile.load(directory)) as connection,
        Submitter(connection.doors()) as submitter,
    ):
        actor = await actor_of(connection, founder, lane=7)
        unit, source, destination = new_identifier(), new_identifier(), new_identifier()
        await perform(submitter, actor, [transactions.create_unit(unit, "BENCH", 2, FLOOR_MINOR)])
        await perform(
            submitter,
            actor,
            [transactions.open_account(source, unit), transactions.open_account(destination, unit)],
        )
        count = RATE_PER_SECOND * SECONDS
        sent_at: dict[bytes, float] = {}
        latencies: list[float] = []

        async def hear() -> None:
            while len(latencies) < count:
                if not submitter.outstanding:
                    await asyncio.sleep(0.001)
                    continue
                for outcome in await submitter.take():
                    read_receipt(outcome)
                    latencies.append((time.perf_counter() - sent_at[outcome.signed.transaction_id]) * 1_000)

        listening = asyncio.create_task(hear())
        started = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(max(0.0, started + number / RATE_PER_SECOND - time.perf_counter()))
            expire_time_ms = now_ms() + EXPIRY_MS
            signed = actor.sign([transactions.transfer(source, destination, 1)], expire_time_ms)
            sent_at[signed.transaction_id] = time.perf_counter()
            submitter.put(signed, expire_time_ms)
        await listening
    latencies.sort()
    return {
        "transfers": count,
        "p50_ms": round(statistics.median(latencies), 1),
        "p99_ms": round(latencies[int(count * 0.99)], 1),
        "rate_per_second": round(count / (time.perf_counter() - started), 1),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(Path(sys.argv[1])))))

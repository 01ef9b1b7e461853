"""A consumer that never ends its first effect, for tests to kill."""

from __future__ import annotations

import asyncio
import sys

from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit.bus import Bus
from icn_kit.database import Connection, Database
from icn_kit.inbox import Consumer


async def stay_in_the_middle(event: EventEnvelope, connection: Connection) -> None:
    await connection.execute(
        "INSERT INTO effect (event_id, note) VALUES (%s, %s)", (event.id, str(event.height))
    )
    print("in the middle", flush=True)
    await asyncio.sleep(600)


async def main(dsn: str, url: str, service: str, name: str) -> None:
    database = await Database.open(dsn, "kit", pool_size=1)
    bus = await Bus.connect(url, name)
    subjects = [f"icn.{service}.>"]
    await Consumer(database, bus, service, name=name, subjects=subjects, handler=stay_in_the_middle).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

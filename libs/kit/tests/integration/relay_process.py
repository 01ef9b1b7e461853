"""A relay in a process of its own, for tests to kill: ``relay_process.py DSN URL SERVICE HOLDER``."""

from __future__ import annotations

import asyncio
import sys

from icn_kit.bus import Bus
from icn_kit.database import Database
from icn_kit.relay import Relay


async def main(dsn: str, url: str, service: str, holder: str) -> None:
    database = await Database.open(dsn, "kit", pool_size=1)
    bus = await Bus.connect(url, holder)
    print("started", flush=True)
    await Relay(database, bus, service).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

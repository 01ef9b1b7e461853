"""The booking race: many want one resource at the same time, through the platform's marketplace.

`python benches/booking.py DIRECTORY [PEOPLE]` measures the platform that runs there and prints one JSON
object: of so many signed requests for the same hour one must win, nobody may overlap, and every caller must
get a definite answer; then the same with "or the next slot", where everybody must be booked.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from icn.kit.v1.command_pb2 import SignedCommand
from icn.marketplace.v1 import service_pb2 as pb
from icn_client import marketplace, transactions
from icn_client.acting import actor_of, now_ms, perform
from icn_client.commands import send_command, sign_command
from icn_client.connection import Connection, NetworkFile
from icn_client.platforms import open_founders
from icn_client.submitter import Submitter
from icn_client.transactions import KeyPair, new_identifier
from icn_kit.errors import DomainError

PEOPLE_DEFAULT = 200
HOUR_MS = 3_600_000
CONTROLLERS_PER_TRANSACTION = 10
"""Their leaves and keys fit into one transaction many times."""


async def measure(directory: Path, people: int) -> dict[str, Any]:
    """Both races, with their seconds and what became of everybody."""
    network = NetworkFile.load(directory)
    async with Connection(network) as connection, Submitter(connection.doors()) as submitter:
        founder = open_founders(directory)[0]
        sponsor = await actor_of(connection, founder, lane=5)
        members = [(new_identifier(), KeyPair.generate()) for _ in range(people)]
        for start in range(0, people, CONTROLLERS_PER_TRANSACTION):
            opened = [
                transactions.open_controller(principal, 1, [transactions.controller_key(key.public_keys)])
                for principal, key in members[start : start + CONTROLLERS_PER_TRANSACTION]
            ]
            await perform(submitter, sponsor, opened)
        add = pb.AddResource(
            owner=founder.principal,
            title="Tractor",
            specification="tractor",
            rules=marketplace.booking_rules(minutes_max=1_440, ahead_days_max=366),
        )
        resource = (await marketplace.write(connection, founder, add)).resource
        start_ms = (now_ms() // HOUR_MS + 24) * HOUR_MS

        def signed(principal: bytes, key: KeyPair, if_taken: int, begin_ms: int) -> SignedCommand:
            request = pb.BookResource(
                resource=marketplace.bare_id(resource.name),
                start_time_ms=begin_ms,
                end_time_ms=begin_ms + HOUR_MS,
                if_taken=if_taken,  # type: ignore[arg-type]
            )
            method = marketplace.METHODS + "BookResource"
            return sign_command(connection.genesis.hash, [key], principal, method, request)

        async def ask(command: SignedCommand) -> str:
            try:
                await send_command(connection, command, pb.BookResourceResponse)
            except DomainError as error:
                return error.reason
            return "booked"

        async def race(if_taken: int, begin_ms: int) -> tuple[float, Counter[str]]:
            commands = [signed(principal, key, if_taken, begin_ms) for principal, key in members]
            started = time.perf_counter()
            answers = await asyncio.gather(*map(ask, commands))
            return time.perf_counter() - started, Counter(answers)

        same_seconds, same = await race(pb.IF_TAKEN_REFUSE, start_ms)
        next_seconds, following = await race(pb.IF_TAKEN_NEXT_SLOT, start_ms + HOUR_MS)
        listed = pb.ListBookingsRequest(resource=resource.name)
        spans = [
            (booking.start_time_ms, booking.end_time_ms)
            async for booking in marketplace.read_all(connection, listed, "bookings")
        ]
    overlaps = sum(first[1] > second[0] for first, second in pairwise(spans))
    return {
        "people": people,
        "same_hour": dict(same),
        "same_hour_seconds": round(same_seconds, 3),
        "next_slot": dict(following),
        "next_slot_seconds": round(next_seconds, 3),
        "bookings": len(spans),
        "overlaps": overlaps,
    }


if __name__ == "__main__":
    wanted = int(sys.argv[2]) if len(sys.argv) > 2 else PEOPLE_DEFAULT
    print(json.dumps(asyncio.run(measure(Path(sys.argv[1]), wanted))))

"""What the layer around every call costs: CPU-µs per call and per streamed message, with it and without.

Client and server share this process and its CPU time, so only the difference is the layer's. Runs are
interleaved; the median of the pairs counts. ``--json`` prints one object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import uvloop
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit.server import GrpcServer

SERVICE = "icn.bench.v1.EchoService"
CALLS = 2_000
MESSAGES = 10_000
PAIRS = 8
CONCURRENCY = 16

Work = Callable[[grpc.aio.Channel], Awaitable[int]]


class Echo:
    """Answers with the request."""

    async def unary(self, request: EventEnvelope, _context: Any) -> EventEnvelope:
        """One for one."""
        return request

    async def chat(self, requests: Any, _context: Any) -> Any:
        """One for each."""
        async for request in requests:
            yield request


def add_echo(servicer: Echo, server: Any) -> None:
    """Registers the two methods as generated code does."""
    shape = (EventEnvelope.FromString, EventEnvelope.SerializeToString)
    server.add_registered_method_handlers(
        SERVICE,
        {
            "Unary": grpc.unary_unary_rpc_method_handler(servicer.unary, *shape),
            "Chat": grpc.stream_stream_rpc_method_handler(servicer.chat, *shape),
        },
    )


REQUEST = EventEnvelope(id=b"i" * 16, aggregate="accounts/7f3a", payload=b"p" * 200)
SHAPE = (EventEnvelope.SerializeToString, EventEnvelope.FromString)


async def call(channel: grpc.aio.Channel) -> int:
    """Unary calls, some at a time, each with a deadline."""
    unary = channel.unary_unary(f"/{SERVICE}/Unary", *SHAPE)

    async def some() -> None:
        for _ in range(CALLS // CONCURRENCY):
            await unary(REQUEST, timeout=10)

    await asyncio.gather(*(some() for _ in range(CONCURRENCY)))
    return CALLS // CONCURRENCY * CONCURRENCY


async def chat(channel: grpc.aio.Channel) -> int:
    """Messages over one stream, there and back."""
    stream = channel.stream_stream(f"/{SERVICE}/Chat", *SHAPE)()

    async def send() -> None:
        for _ in range(MESSAGES):
            await stream.write(REQUEST)
        await stream.done_writing()

    sending = asyncio.create_task(send())
    received = 0
    while await stream.read() is not grpc.aio.EOF:
        received += 1
    await sending
    return received


async def cpu_microseconds(work: Work, address: str) -> float:
    """CPU time of this process for one unit of ``work`` against the server at ``address``."""
    async with grpc.aio.insecure_channel(address) as channel:
        await channel.channel_ready()
        started = time.process_time_ns()
        units = await work(channel)
        return (time.process_time_ns() - started) / 1_000 / units


async def main() -> dict[str, dict[str, float]]:
    """Measure and return medians by shape of call."""
    bare = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_echo(Echo(), bare)
    bare_address = f"127.0.0.1:{bare.add_insecure_port('127.0.0.1:0')}"
    await bare.start()
    wrapped = GrpcServer("127.0.0.1:0", [(add_echo, Echo())], long_lived_streams=[f"/{SERVICE}/Chat"])
    await wrapped.start()
    found = {}
    for name, work in (("unary call", call), ("streamed message", chat)):
        pairs = []
        for number in range(PAIRS + 1):
            order = [bare_address, wrapped.address]
            measured = {
                address: await cpu_microseconds(work, address)
                for address in (order if number % 2 else reversed(order))
            }
            pairs.append((measured[bare_address], measured[wrapped.address]))
        del pairs[0]  # warm-up
        found[name] = {
            "without": round(statistics.median(without for without, _ in pairs), 1),
            "with": round(statistics.median(within for _, within in pairs), 1),
            "difference": round(statistics.median(within - without for without, within in pairs), 1),
        }
    await wrapped.drain(1)
    await bare.stop(1)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        medians = runner.run(main())
    if arguments.json:
        print(json.dumps(medians))
    else:
        print(f"{'CPU-µs per':<20}{'without':>10}{'with':>10}{'difference':>12}")
        for name, row in medians.items():
            print(f"{name:<20}{row['without']:>10}{row['with']:>10}{row['difference']:>12}")

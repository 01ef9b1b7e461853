"""The transport adapter is late, in order, and loses nothing."""

from __future__ import annotations

import asyncio
import time

from benches.consensus.delay import carry, forward, links

LATE_SECONDS = 0.05


def test_there_is_a_way_of_its_own_from_each_node_to_each_other() -> None:
    made = links(["a:1", "b:2", "c:3"])
    assert sorted(made) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    assert len(set(made.values())) == len(made)


async def test_what_is_sent_arrives_late_in_order_and_then_the_end() -> None:
    received = bytearray()
    ended = asyncio.Event()

    async def target(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read())
        writer.close()
        ended.set()

    async with await asyncio.start_server(target, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await forward(f"127.0.0.1:{port}", LATE_SECONDS, reader, writer)

        async with await asyncio.start_server(accept, "127.0.0.1", 0) as adapter:
            _, writer = await asyncio.open_connection(*adapter.sockets[0].getsockname())
            begun = time.monotonic()
            sent = b"".join(number.to_bytes(4, "big") for number in range(50_000))
            writer.write(sent)
            await writer.drain()
            writer.write_eof()
            await asyncio.wait_for(ended.wait(), 10)
            assert time.monotonic() - begun >= LATE_SECONDS
            assert bytes(received) == sent
            writer.close()


async def test_nobody_at_the_other_end_closes_the_connection() -> None:
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await asyncio.wait_for(carry(reader, writer, 0.0), 10)
        assert writer.is_closing()
